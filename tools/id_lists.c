/* See id_lists.h. */
#include "id_lists.h"
#include "input.h"
#include "terminal.h"

void nib_id_lists_begin(struct nib_id_lists *l)
{
    l->lists = nib_grow(l->lists, l->n_lists + 1, sizeof *l->lists);
    l->lists[l->n_lists++] = (struct nib_id_list){0};
}

void nib_id_lists_add(struct nib_id_lists *l, int32_t id)
{
    l->ids = nib_grow(l->ids, l->n_ids + 1, sizeof *l->ids);
    l->ids[l->n_ids++] = id;
    l->lists[l->n_lists - 1].n_ids++;
}

void nib_id_lists_end(struct nib_id_lists *l)
{
    size_t used = 0;
    for (size_t i = 0; i < l->n_lists; i++) {
        l->lists[i].ids = l->ids + used;
        used += l->lists[i].n_ids;
    }
}

int nib_word_ids(const struct nib_model *model, const char *text, size_t n_bytes, int32_t **ids,
                 size_t *n_ids)
{
    struct nib_error err;
    if (nib_tokenize(model, text, n_bytes, NIB_PARSE_SPECIAL, ids, n_ids, &err) != NIB_OK)
        return nib_complain_error(&err);
    return NIB_EXIT_OK;
}
