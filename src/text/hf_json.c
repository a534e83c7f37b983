/* Fields of a tokenizer.json, see hf_json.h. */
#include "hf_json.h"

#include "hf_regex.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_DEPTH 64

yyjson_val *nib_hf_field(yyjson_val *object, const char *key)
{
    yyjson_val *found = NULL, *name;
    const size_t n = strlen(key);
    size_t i, max;
    yyjson_val *value;
    if (object == NULL)
        return NULL;
    yyjson_obj_foreach(object, i, max, name, value)
    {
        if (yyjson_equals_strn(name, key, n))
            found = value;
    }
    return found;
}

enum nib_status nib_hf_part_open(struct nib_hf_part *part, yyjson_val *json, const char *role,
                                 const char *path, struct nib_error *err)
{
    *part = (struct nib_hf_part){.json = json, .path = path, .role = role};
    const struct nib_str type = nib_hf_string(nib_hf_field(json, "type"));
    if (type.data == NULL)
        return nib_fail(err, NIB_ERROR_FILE,
                        "%s: a part of the %s is no object with a \"type\"; the file is damaged or "
                        "not a tokenizer.json, get it again",
                        path, role);
    (void)nib_escape(part->type, sizeof(part->type), type.data, type.len);
    return NIB_OK;
}

enum nib_status nib_hf_part_unknown(const struct nib_hf_part *part, const char *expected,
                                    struct nib_error *err)
{
    return nib_fail(err, NIB_ERROR_FILE,
                    "%s: the %s '%s' is not known, expected one of %s; a newer nibble may know it",
                    part->path, part->role, part->type, expected);
}

enum nib_status nib_hf_part_wrong(const struct nib_hf_part *part, const char *key,
                                  const char *expected, struct nib_error *err)
{
    return nib_fail(err, NIB_ERROR_FILE,
                    "%s: '%s' of the %s %s is missing or wrong, expected %s; the file is damaged, "
                    "get it again",
                    part->path, key, part->role, part->type, expected);
}

/* *value: NULL where the field is missing and need not be there. */
static bool find(const struct nib_hf_part *part, const char *key, enum nib_hf_need need,
                 yyjson_val **value)
{
    *value = nib_hf_field(part->json, key);
    if (need == NIB_HF_OPTIONAL && yyjson_is_null(*value))
        *value = NULL;
    return *value != NULL || need == NIB_HF_OPTIONAL;
}

enum nib_status nib_hf_part_bool(const struct nib_hf_part *part, const char *key,
                                 enum nib_hf_need need, bool *value, struct nib_error *err)
{
    yyjson_val *field;
    if (!find(part, key, need, &field) || (field != NULL && !yyjson_is_bool(field)))
        return nib_hf_part_wrong(part, key, "true or false", err);
    if (field != NULL)
        *value = yyjson_get_bool(field);
    return NIB_OK;
}

enum nib_status nib_hf_part_string(const struct nib_hf_part *part, const char *key,
                                   enum nib_hf_need need, struct nib_str *value,
                                   struct nib_error *err)
{
    yyjson_val *field;
    if (!find(part, key, need, &field) || (field != NULL && !yyjson_is_str(field)))
        return nib_hf_part_wrong(part, key, "a string", err);
    if (field != NULL)
        *value = nib_hf_string(field);
    return NIB_OK;
}

enum nib_status nib_hf_part_number(const struct nib_hf_part *part, const char *key,
                                   enum nib_hf_need need, size_t *value, struct nib_error *err)
{
    yyjson_val *field;
    if (!find(part, key, need, &field) ||
        (field != NULL && (!yyjson_is_uint(field) || yyjson_get_uint(field) > INT32_MAX)))
        return nib_hf_part_wrong(part, key, "an integer from 0 on", err);
    if (field != NULL)
        *value = (size_t)yyjson_get_uint(field);
    return NIB_OK;
}

enum nib_status nib_hf_part_character(const struct nib_hf_part *part, const char *key,
                                      uint32_t *value, struct nib_error *err)
{
    struct nib_str text = {0};
    size_t i = 0;
    const enum nib_status status = nib_hf_part_string(part, key, NIB_HF_REQUIRED, &text, err);
    if (status != NIB_OK)
        return status;
    if (text.len > 0)
        *value = nib_hf_next(text, &i);
    return i == text.len && i > 0 ? NIB_OK
                                  : nib_hf_part_wrong(part, key, "a string of one character", err);
}

enum nib_status nib_hf_part_pattern(const struct nib_hf_part *part, const char *key,
                                    struct nib_hf_pattern **out, struct nib_error *err)
{
    char where[96];
    (void)snprintf(where, sizeof(where), "the %s %s", part->role, part->type);
    yyjson_val *pattern = nib_hf_field(part->json, key);
    yyjson_val *string = nib_hf_field(pattern, "String"), *regex = nib_hf_field(pattern, "Regex");
    if (yyjson_obj_size(pattern) != 1 || !(yyjson_is_str(string) || yyjson_is_str(regex)))
        return nib_hf_part_wrong(part, key, "{\"String\": ...} or {\"Regex\": ...}", err);
    return nib_hf_pattern_create(out, nib_hf_string(string != NULL ? string : regex),
                                 string == NULL, part->path, where, err);
}

enum nib_status nib_hf_copy(struct nib_str *out, struct nib_str text, struct nib_error *err)
{
    char *copy = malloc(text.len + 1);
    if (copy == NULL)
        return nib_fail_memory(err, text.len + 1, "the tokenizer");
    if (text.len > 0)
        memcpy(copy, text.data, text.len);
    copy[text.len] = 0;
    *out = (struct nib_str){copy, text.len};
    return NIB_OK;
}

struct reading {
    const char *role, *key, *path;
    nib_hf_read_fn *read;
    void *data;
    size_t n_parts;
};

static enum nib_status read_parts(struct reading *r, yyjson_val *json, size_t depth,
                                  struct nib_error *err)
{
    if (++r->n_parts > NIB_HF_MAX_PARTS || depth > MAX_DEPTH)
        return nib_fail(err, NIB_ERROR_FILE,
                        "%s: the %s has more than %zu parts, or is nested more than %d deep; the "
                        "file is damaged, get it again",
                        r->path, r->role, NIB_HF_MAX_PARTS, MAX_DEPTH);
    struct nib_hf_part part;
    enum nib_status status = nib_hf_part_open(&part, json, r->role, r->path, err);
    if (status != NIB_OK)
        return status;
    if (strcmp(part.type, "Sequence") != 0)
        return r->read(r->data, &part, err);
    yyjson_val *list = nib_hf_field(json, r->key), *element;
    if (!yyjson_is_arr(list))
        return nib_hf_part_wrong(&part, r->key, "an array", err);
    size_t i, max;
    yyjson_arr_foreach(list, i, max, element)
    {
        status = read_parts(r, element, depth + 1, err);
        if (status != NIB_OK)
            return status;
    }
    return NIB_OK;
}

enum nib_status nib_hf_read_parts(yyjson_val *json, const char *role, const char *key,
                                  const char *path, nib_hf_read_fn *read, void *data,
                                  struct nib_error *err)
{
    struct reading r = {.role = role, .key = key, .path = path, .read = read, .data = data};
    return read_parts(&r, json, 0, err);
}
