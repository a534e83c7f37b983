/*
 * Post-processing, see hf_postprocessor.h.  A processor works on one or several encodings and makes
 * one or several of them: TemplateProcessing makes one of each piece of its template, so that what
 * comes after it in a Sequence sees these.
 */
#include "hf_postprocessor.h"

#include "hf_json.h"

#include <stdlib.h>

#define MAX_ENCODINGS 64
#define MAX_LIST      4096 /* ids in a list */

/* Encodings as lists of ids. */
struct encodings {
    struct nib_ids list[MAX_ENCODINGS];
    size_t n;
};

struct processing {
    struct encodings encodings;
    bool adds_special;
    size_t n_tokens;
};

static void free_encodings(struct encodings *e)
{
    for (size_t i = 0; i < e->n; i++)
        free(e->list[i].data);
    *e = (struct encodings){0};
}

static enum nib_status push(struct nib_ids *ids, int32_t id, struct nib_error *err)
{
    if (ids->n >= MAX_LIST)
        return nib_fail(err, NIB_ERROR_FILE,
                        "the post-processor of the tokenizer.json adds more than %d ids; the file "
                        "is damaged, get it again",
                        MAX_LIST);
    return nib_ids_push(ids, id) ? NIB_OK : nib_fail_memory(err, sizeof(id), "the tokenizer");
}

static enum nib_status append(struct nib_ids *ids, const struct nib_ids *from,
                              struct nib_error *err)
{
    enum nib_status status = NIB_OK;
    for (size_t i = 0; i < from->n && status == NIB_OK; i++)
        status = push(ids, from->data[i], err);
    return status;
}

static enum nib_status check_id(const struct processing *p, const struct nib_hf_part *part,
                                yyjson_val *value, int32_t *id, struct nib_error *err)
{
    if (!yyjson_is_uint(value) || yyjson_get_uint(value) >= p->n_tokens)
        return nib_fail(err, NIB_ERROR_FILE,
                        "%s: an id of the post-processor %s is none of the vocabulary, expected 0 "
                        ".. %zu; the file is damaged, get it again",
                        part->path, part->type, p->n_tokens - 1);
    *id = (int32_t)yyjson_get_uint(value);
    return NIB_OK;
}

/* ---- TemplateProcessing --------------------------------------------------------------------- */

static enum nib_status add_special(struct processing *p, const struct nib_hf_part *part,
                                   yyjson_val *piece, struct nib_ids *out, struct nib_error *err)
{
    const struct nib_str name = nib_hf_string(nib_hf_field(piece, "id"));
    yyjson_val *tokens = nib_hf_field(part->json, "special_tokens"), *token = NULL, *id;
    if (name.data != NULL && strlen(name.data) == name.len)
        token = nib_hf_field(tokens, name.data);
    yyjson_val *ids = nib_hf_field(token, "ids");
    if (!yyjson_is_arr(ids))
        return nib_hf_part_wrong(part, "special_tokens", "the ids of every token of the template",
                                 err);
    size_t i, max;
    yyjson_arr_foreach(ids, i, max, id)
    {
        int32_t number = 0;
        enum nib_status status = check_id(p, part, id, &number, err);
        if (status == NIB_OK)
            status = push(out, number, err);
        if (status != NIB_OK)
            return status;
    }
    return NIB_OK;
}

static enum nib_status add_piece(struct processing *p, const struct nib_hf_part *part,
                                 yyjson_val *piece, struct encodings *made, struct nib_error *err)
{
    yyjson_val *special = nib_hf_field(piece, "SpecialToken");
    const struct nib_str name = nib_hf_string(nib_hf_field(nib_hf_field(piece, "Sequence"), "id"));
    const bool is_a = nib_str_equal(name, NIB_STR("A")), is_b = nib_str_equal(name, NIB_STR("B"));
    if (special == NULL && !is_a && !(is_b && p->encodings.n == 2))
        return nib_hf_part_wrong(
            part, "single",
            "an array of {\"SpecialToken\": ...} and {\"Sequence\": {\"id\": \"A\"}}", err);
    if (special != NULL && !p->adds_special)
        return NIB_OK;
    if (made->n == MAX_ENCODINGS)
        return nib_hf_part_wrong(part, "single", "a shorter template", err);
    struct nib_ids *out = &made->list[made->n++];
    *out = (struct nib_ids){0};
    if (special != NULL)
        return add_special(p, part, special, out, err);
    return append(out, &p->encodings.list[is_b ? 1 : 0], err);
}

static enum nib_status process_template(struct processing *p, const struct nib_hf_part *part,
                                        struct nib_error *err)
{
    const char *key = p->encodings.n == 2 ? "pair" : "single";
    yyjson_val *pieces = nib_hf_field(part->json, key), *piece;
    if (!yyjson_is_arr(nib_hf_field(part->json, "single")) ||
        !yyjson_is_arr(nib_hf_field(part->json, "pair")) || !yyjson_is_arr(pieces))
        return nib_hf_part_wrong(part, key, "an array of pieces", err);
    if (p->encodings.n == 0 || p->encodings.n > 2)
        return nib_fail(err, NIB_ERROR_FILE,
                        "%s: the post-processor %s is used on what others have cut into %zu parts, "
                        "expected 1 or 2; the file is damaged, get it again",
                        part->path, part->type, p->encodings.n);
    struct encodings made = {0};
    enum nib_status status = NIB_OK;
    size_t i, max;
    yyjson_arr_foreach(pieces, i, max, piece)
    {
        status = add_piece(p, part, piece, &made, err);
        if (status != NIB_OK)
            break;
    }
    free_encodings(&p->encodings);
    p->encodings = made;
    return status;
}

/* ---- BertProcessing, RobertaProcessing ------------------------------------------------------ */

/* ["[SEP]", 102] */
static enum nib_status read_pair(struct processing *p, const struct nib_hf_part *part,
                                 const char *key, int32_t *id, struct nib_error *err)
{
    yyjson_val *pair = nib_hf_field(part->json, key);
    if (yyjson_arr_size(pair) != 2 || !yyjson_is_str(yyjson_arr_get(pair, 0)))
        return nib_hf_part_wrong(part, key, "a token and its id", err);
    return check_id(p, part, yyjson_arr_get(pair, 1), id, err);
}

static enum nib_status process_bert(struct processing *p, const struct nib_hf_part *part,
                                    struct nib_error *err)
{
    const bool is_roberta = strcmp(part->type, "RobertaProcessing") == 0;
    int32_t cls = 0, sep = 0;
    enum nib_status status = read_pair(p, part, "cls", &cls, err);
    if (status == NIB_OK)
        status = read_pair(p, part, "sep", &sep, err);
    for (size_t i = 0; i < p->encodings.n && status == NIB_OK && p->adds_special; i++) {
        struct nib_ids made = {0}, *ids = &p->encodings.list[i];
        if (i == 0 || is_roberta)
            status = push(&made, i == 0 ? cls : sep, err);
        if (status == NIB_OK)
            status = append(&made, ids, err);
        if (status == NIB_OK)
            status = push(&made, sep, err);
        free(ids->data);
        *ids = made;
    }
    return status;
}

/* ---- all of them ---------------------------------------------------------------------------- */

static enum nib_status process_part(void *data, const struct nib_hf_part *part,
                                    struct nib_error *err)
{
    if (strcmp(part->type, "TemplateProcessing") == 0)
        return process_template(data, part, err);
    if (strcmp(part->type, "BertProcessing") == 0 || strcmp(part->type, "RobertaProcessing") == 0)
        return process_bert(data, part, err);
    if (strcmp(part->type, "ByteLevel") == 0) /* sets offsets, which are not wanted here */
        return NIB_OK;
    return nib_hf_part_unknown(
        part, "BertProcessing, ByteLevel, RobertaProcessing, Sequence, TemplateProcessing", err);
}

static enum nib_status process(struct nib_ids *out, yyjson_val *json, bool adds_special,
                               size_t n_tokens, const char *path, struct nib_error *err)
{
    struct processing p = {.adds_special = adds_special, .n_tokens = n_tokens};
    p.encodings.n = 1;
    enum nib_status status = push(&p.encodings.list[0], NIB_HF_SEQUENCE, err);
    if (status == NIB_OK && json != NULL && !yyjson_is_null(json))
        status =
            nib_hf_read_parts(json, "post-processor", "processors", path, process_part, &p, err);
    for (size_t i = 0; i < p.encodings.n && status == NIB_OK; i++)
        status = append(out, &p.encodings.list[i], err);
    free_encodings(&p.encodings);
    return status;
}

enum nib_status nib_hf_template_create(struct nib_hf_template *out, yyjson_val *json,
                                       size_t n_tokens, const char *path, struct nib_error *err)
{
    *out = (struct nib_hf_template){0};
    const enum nib_status status = process(&out->with_special, json, true, n_tokens, path, err);
    return status == NIB_OK ? process(&out->without_special, json, false, n_tokens, path, err)
                            : status;
}

void nib_hf_template_free(struct nib_hf_template *template)
{
    free(template->with_special.data);
    free(template->without_special.data);
    *template = (struct nib_hf_template){0};
}

int32_t nib_hf_template_first(const struct nib_hf_template *template)
{
    const struct nib_ids *ids = &template->with_special;
    return ids->n > 0 ? ids->data[0] : -1;
}

int32_t nib_hf_template_last(const struct nib_hf_template *template)
{
    const struct nib_ids *ids = &template->with_special;
    return ids->n > 0 ? ids->data[ids->n - 1] : -1;
}

/* Put an id at a place of the list, or take away the one that is there. */
static enum nib_status edit(struct nib_ids *ids, size_t place, bool puts, int32_t id,
                            struct nib_error *err)
{
    if (puts) {
        const enum nib_status status = push(ids, id, err);
        if (status != NIB_OK)
            return status;
        memmove(ids->data + place + 1, ids->data + place, (ids->n - 1 - place) * sizeof(id));
        ids->data[place] = id;
    } else {
        memmove(ids->data + place, ids->data + place + 1, (ids->n - 1 - place) * sizeof(id));
        ids->n--;
    }
    return NIB_OK;
}

enum nib_status nib_hf_template_set_first(struct nib_hf_template *template, int32_t id,
                                          bool is_there, struct nib_error *err)
{
    const bool was_there = nib_hf_template_first(template) == id;
    return was_there == is_there ? NIB_OK : edit(&template->with_special, 0, is_there, id, err);
}

enum nib_status nib_hf_template_set_last(struct nib_hf_template *template, int32_t id,
                                         bool is_there, struct nib_error *err)
{
    struct nib_ids *ids = &template->with_special;
    const bool was_there = nib_hf_template_last(template) == id;
    return was_there == is_there ? NIB_OK
                                 : edit(ids, is_there ? ids->n : ids->n - 1, is_there, id, err);
}
