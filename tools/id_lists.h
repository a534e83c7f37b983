/* Lists of ids that grow, as options with words or ids make them. */
#ifndef NIB_ID_LISTS_H
#define NIB_ID_LISTS_H

#include "nibble.h"

struct nib_id_lists {
    struct nib_id_list *lists; /* their pointers are set by nib_id_lists_end() */
    int32_t *ids;
    size_t n_lists, n_ids;
};

void nib_id_lists_begin(struct nib_id_lists *l);
void nib_id_lists_add(struct nib_id_lists *l, int32_t id); /* to the list that was begun last */
void nib_id_lists_end(struct nib_id_lists *l);

/* A text of an option as ids, special tokens by their names; *ids is freed with nib_free().
 * Complains when it fails and returns an exit code. */
int nib_word_ids(const struct nib_model *model, const char *text, size_t n_bytes, int32_t **ids,
                 size_t *n_ids);

#endif
