/* Reading added tokens and finding them in text, see hf_added_tokens.h. */
#include "hf_added_tokens.h"

#include "hash.h"
#include "hf_json.h"
#include "hf_normalizer.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- tables --------------------------------------------------------------------------------- */

static uint32_t *find_slot(const struct nib_hf_added_tokens *added, struct nib_str content)
{
    uint64_t i = nib_hash_bytes(added->seed, content.data, content.len);
    for (;; i++) {
        uint32_t *slot = &added->by_content[i & added->mask];
        if (*slot == NIB_HF_NOWHERE || nib_str_equal(added->data[*slot].content, content))
            return slot;
    }
}

const struct nib_hf_added_token *nib_hf_added_by_content(const struct nib_hf_added_tokens *added,
                                                         struct nib_str content)
{
    if (added->n == 0)
        return NULL;
    const uint32_t place = *find_slot(added, content);
    return place == NIB_HF_NOWHERE ? NULL : &added->data[place];
}

const struct nib_hf_added_token *nib_hf_added_by_id(const struct nib_hf_added_tokens *added,
                                                    int32_t id)
{
    const uint32_t place = id >= 0 && (size_t)id < added->n_ids ? added->by_id[id] : NIB_HF_NOWHERE;
    return place == NIB_HF_NOWHERE ? NULL : &added->data[place];
}

static enum nib_status allocate(struct nib_hf_added_tokens *added, size_t n, struct nib_error *err)
{
    size_t n_slots = 16;
    while (n_slots < 2 * n)
        n_slots *= 2;
    added->data = calloc(n + 1, sizeof(*added->data));
    added->by_content = malloc(n_slots * sizeof(*added->by_content));
    if (added->data == NULL || added->by_content == NULL)
        return nib_fail_memory(err, n_slots * sizeof(uint32_t) + n * sizeof(*added->data),
                               "the added tokens");
    memset(added->by_content, 0xFF, n_slots * sizeof(*added->by_content));
    added->capacity = n;
    added->mask = n_slots - 1;
    added->seed = nib_hash_seed(added->by_content);
    return NIB_OK;
}

static enum nib_status index_ids(struct nib_hf_added_tokens *added, struct nib_error *err)
{
    for (size_t i = 0; i < added->n; i++)
        if ((size_t)added->data[i].id >= added->n_ids)
            added->n_ids = (size_t)added->data[i].id + 1;
    added->by_id = malloc(added->n_ids * sizeof(*added->by_id) + 1);
    if (added->by_id == NULL)
        return nib_fail_memory(err, added->n_ids * sizeof(*added->by_id), "the added tokens");
    memset(added->by_id, 0xFF, added->n_ids * sizeof(*added->by_id));
    for (size_t i = 0; i < added->n; i++)
        added->by_id[added->data[i].id] = (uint32_t)i;
    return NIB_OK;
}

static enum nib_status make_trie(struct nib_trie *trie, const struct nib_hf_added_tokens *added,
                                 bool is_normalized, const char *path, struct nib_error *err)
{
    struct nib_trie_entry *entries = malloc((added->n + 1) * sizeof(*entries));
    if (entries == NULL)
        return nib_fail_memory(err, added->n * sizeof(*entries), "the added tokens");
    size_t n = 0;
    for (size_t i = 0; i < added->n; i++) {
        const struct nib_hf_added_token *token = &added->data[i];
        const struct nib_str text = is_normalized ? token->normalized : token->content;
        if (token->is_normalized == is_normalized && text.len > 0)
            entries[n++] = (struct nib_trie_entry){.text = text, .id = (int32_t)i};
    }
    const enum nib_status status = nib_trie_create(trie, entries, n, path, err);
    free(entries);
    return status;
}

/* ---- reading -------------------------------------------------------------------------------- */

static enum nib_status normalize(struct nib_hf_added_token *token,
                                 const struct nib_hf_normalizer *normalizer,
                                 struct nib_hf_work *work, struct nib_error *err)
{
    work->max_bytes = 64 * token->content.len + 4096;
    work->text.bytes.n = 0;
    enum nib_status status =
        nib_hf_append(work, &work->text.bytes, token->content.data, token->content.len, err);
    if (status == NIB_OK)
        status = nib_hf_normalize(normalizer, work, err);
    free((char *)(uintptr_t)token->normalized.data);
    token->normalized = (struct nib_str){0};
    return status != NIB_OK
               ? status
               : nib_hf_copy(&token->normalized,
                             (struct nib_str){work->text.bytes.data, work->text.bytes.n}, err);
}

/* Add a token, or give one that is there already other properties. */
static enum nib_status add(struct nib_hf_added_tokens *added,
                           const struct nib_hf_added_source *source,
                           const struct nib_hf_added_token *read, int32_t *next_id,
                           struct nib_hf_work *work, struct nib_error *err)
{
    if (read->content.len == 0)
        return NIB_OK;
    uint32_t *slot = find_slot(added, read->content);
    const bool is_new = *slot == NIB_HF_NOWHERE;
    struct nib_hf_added_token *token = &added->data[is_new ? added->n : *slot];
    struct nib_hf_added_token made = *read;
    enum nib_status status = NIB_OK;
    if (is_new) {
        assert(added->n < added->capacity);
        status = nib_hf_copy(&made.content, read->content, err);
        if (status != NIB_OK)
            return status;
        made.id = source->find(source->model, read->content);
        if (made.id < 0)
            made.id = (*next_id)++;
        *slot = (uint32_t)added->n++;
    } else {
        made.id = token->id;
        made.content = token->content;
        made.normalized = token->normalized;
        made.is_special = made.is_special || token->is_special;
    }
    *token = made;
    if (token->is_normalized)
        status = normalize(token, source->normalizer, work, err);
    return status;
}

static enum nib_status read_token(struct nib_hf_added_token *token, yyjson_val *json,
                                  const char *path, struct nib_error *err)
{
    struct nib_hf_part part = {.json = json, .path = path, .role = "added token"};
    const struct nib_str content = nib_hf_string(nib_hf_field(json, "content"));
    (void)nib_escape(part.type, sizeof(part.type), content.data == NULL ? "" : content.data,
                     content.len);
    *token = (struct nib_hf_added_token){0};
    const struct {
        const char *key;
        bool *value;
    } flags[] = {{"special", &token->is_special},
                 {"single_word", &token->is_single_word},
                 {"lstrip", &token->strips_left},
                 {"rstrip", &token->strips_right},
                 {"normalized", &token->is_normalized}};
    enum nib_status status =
        nib_hf_part_string(&part, "content", NIB_HF_REQUIRED, &token->content, err);
    for (size_t i = 0; i < NIB_COUNT(flags) && status == NIB_OK; i++)
        status = nib_hf_part_bool(&part, flags[i].key, NIB_HF_REQUIRED, flags[i].value, err);
    return status;
}

/* Its keys, ids, in their order: places in the object. */
struct numbered {
    uint64_t id;
    yyjson_val *value;
};

static int compare_numbered(const void *a, const void *b)
{
    const struct numbered *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* The tokens of tokenizer_config.json that differ from those of tokenizer.json. */
static enum nib_status add_more(struct nib_hf_added_tokens *added,
                                const struct nib_hf_added_source *source, int32_t next_id,
                                struct nib_hf_work *work, struct nib_error *err)
{
    const size_t n = yyjson_obj_size(source->more);
    if (n == 0)
        return NIB_OK;
    struct numbered *list = malloc((n + 1) * sizeof(*list));
    if (list == NULL)
        return nib_fail_memory(err, n * sizeof(*list), "the added tokens");
    size_t i, max;
    yyjson_val *key, *value;
    yyjson_obj_foreach(source->more, i, max, key, value)
    {
        list[i] = (struct numbered){.id = strtoull(yyjson_get_str(key), NULL, 10), .value = value};
    }
    qsort(list, n, sizeof(*list), compare_numbered);
    enum nib_status status = NIB_OK;
    for (i = 0; i < n && status == NIB_OK; i++) {
        struct nib_hf_added_token token;
        status = read_token(&token, list[i].value, source->path, err);
        if (status == NIB_OK)
            status = add(added, source, &token, &next_id, work, err);
    }
    free(list);
    return status;
}

static enum nib_status add_all(struct nib_hf_added_tokens *added,
                               const struct nib_hf_added_source *source, struct nib_hf_work *work,
                               struct nib_error *err)
{
    enum nib_status status = NIB_OK;
    int32_t next_id = (int32_t)source->n_model, max_id = -1;
    size_t i, max;
    yyjson_val *value;
    yyjson_arr_foreach(source->json, i, max, value)
    {
        struct nib_hf_added_token token;
        status = read_token(&token, value, source->path, err);
        if (status == NIB_OK && !yyjson_is_uint(nib_hf_field(value, "id")))
            status = nib_fail(err, NIB_ERROR_FILE,
                              "%s: an added token has no id, expected a number from 0 on; the file "
                              "is damaged, get it again",
                              source->path);
        if (status == NIB_OK)
            status = add(added, source, &token, &next_id, work, err);
        if (status != NIB_OK)
            return status;
    }
    if (yyjson_obj_size(source->more) == 0)
        return NIB_OK;
    for (i = 0; i < added->n; i++)
        max_id = added->data[i].id > max_id ? added->data[i].id : max_id;
    next_id = max_id >= (int32_t)source->n_model ? max_id + 1 : (int32_t)source->n_model;
    return add_more(added, source, next_id, work, err);
}

enum nib_status nib_hf_added_create(struct nib_hf_added_tokens *out,
                                    const struct nib_hf_added_source *source, struct nib_error *err)
{
    *out = (struct nib_hf_added_tokens){0};
    const size_t n = yyjson_arr_size(source->json) + yyjson_obj_size(source->more);
    if (source->json != NULL && !yyjson_is_arr(source->json) && !yyjson_is_null(source->json))
        return nib_fail(err, NIB_ERROR_FILE,
                        "%s: added_tokens is no array; the file is damaged, get it again",
                        source->path);
    struct nib_hf_work work = {0};
    enum nib_status status = allocate(out, n, err);
    if (status == NIB_OK)
        status = add_all(out, source, &work, err);
    nib_hf_work_free(&work);
    if (status == NIB_OK)
        status = index_ids(out, err);
    if (status == NIB_OK)
        status = make_trie(&out->raw, out, false, source->path, err);
    if (status == NIB_OK)
        status = make_trie(&out->normalized, out, true, source->path, err);
    return status;
}

void nib_hf_added_free(struct nib_hf_added_tokens *added)
{
    for (size_t i = 0; i < added->n; i++) {
        free((char *)(uintptr_t)added->data[i].content.data);
        free((char *)(uintptr_t)added->data[i].normalized.data);
    }
    free(added->data);
    free(added->by_content);
    free(added->by_id);
    nib_trie_free(&added->raw);
    nib_trie_free(&added->normalized);
    *added = (struct nib_hf_added_tokens){0};
}

/* ---- finding -------------------------------------------------------------------------------- */

/* Neither letters nor the like right before and after? */
static bool stands_alone(struct nib_str text, size_t first, size_t start, size_t end)
{
    size_t before = start, after = end;
    return (start == first || !nib_hf_is_word(nib_hf_previous(text, &before))) &&
           (end == text.len || !nib_hf_is_word(nib_hf_next(text, &after)));
}

/* The white space that the token takes with it on the left, but not before `floor`. */
static size_t strip_left(struct nib_str text, size_t floor, size_t start)
{
    for (size_t i = start; i > floor; start = i)
        if (!nib_hf_is_space(nib_hf_previous(text, &i)))
            break;
    return start;
}

static size_t strip_right(struct nib_str text, size_t end)
{
    for (size_t i = end; i < text.len; end = i)
        if (!nib_hf_is_space(nib_hf_next(text, &i)))
            break;
    return end;
}

static enum nib_status push_token(struct nib_hf_splits *out, int32_t id, struct nib_error *err)
{
    const struct nib_hf_split split = {.id = id};
    return nib_hf_push_split(out, &split, err);
}

enum nib_status nib_hf_added_split(const struct nib_hf_added_tokens *added, bool is_normalized,
                                   bool parses_special, struct nib_str text,
                                   const struct nib_hf_split *split, struct nib_hf_splits *out,
                                   struct nib_error *err)
{
    const struct nib_trie *trie = is_normalized ? &added->normalized : &added->raw;
    const struct nib_str part = {text.data, split->end};
    enum nib_status status = NIB_OK;
    size_t done = split->start;
    for (size_t i = split->start, end = 0; i < part.len && status == NIB_OK && added->n > 0;) {
        int32_t place = 0;
        end = i + nib_trie_longest(trie, (struct nib_str){part.data + i, part.len - i}, &place);
        if (end == i) {
            i++;
            continue;
        }
        const struct nib_hf_added_token *token = &added->data[place];
        size_t start = i;
        i = end;
        if ((token->is_special && !parses_special) ||
            (token->is_single_word && !stands_alone(part, split->start, start, end)))
            continue;
        if (token->strips_left) /* what the one before has taken is gone */
            start = done < start ? strip_left(part, done, start) : done;
        if (token->strips_right)
            end = strip_right(part, end);
        if (done < start)
            status = nib_hf_push_slice(out, split, done, start, err);
        if (status == NIB_OK && start < end)
            status = push_token(out, token->id, err);
        done = end;
    }
    return status == NIB_OK && done < part.len ? nib_hf_push_slice(out, split, done, part.len, err)
                                               : status;
}
