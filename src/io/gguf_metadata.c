/* GGUF: keys and values.  See gguf.h. */
#include "gguf_file.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    MAX_KEY = 65535,
    MAX_DEPTH = 4, /* of arrays in arrays */
};

/* Bytes of a value; of strings and arrays the least they take. */
static size_t type_size(uint32_t type)
{
    static const uint8_t sizes[] = {
        [NIB_GGUF_U8] = 1,     [NIB_GGUF_I8] = 1,  [NIB_GGUF_U16] = 2, [NIB_GGUF_I16] = 2,
        [NIB_GGUF_U32] = 4,    [NIB_GGUF_I32] = 4, [NIB_GGUF_F32] = 4, [NIB_GGUF_BOOL] = 1,
        [NIB_GGUF_U64] = 8,    [NIB_GGUF_I64] = 8, [NIB_GGUF_F64] = 8, [NIB_GGUF_STRING] = 8,
        [NIB_GGUF_ARRAY] = 12,
    };
    return type < NIB_COUNT(sizes) ? sizes[type] : 0;
}

/* ---- reading ------------------------------------------------------------------------------- */

static enum nib_status fail_value(const struct nib_gguf_cursor *c, const char *key,
                                  const char *what, uint64_t found)
{
    return nib_fail(c->err, NIB_ERROR_FILE,
                    "%s: key %.64s: %s (%" PRIu64 ", before byte %zu): the file is damaged or was "
                    "made by a faulty converter; download it again",
                    c->gguf->path, key, what, found, c->at);
}

static enum nib_status fail_value_end(const struct nib_gguf_cursor *c, const char *key)
{
    char what[96];
    snprintf(what, sizeof(what), "the value of key %.64s", key);
    return nib_gguf_fail_end(c, what);
}

/* Step over n values of a type, each checked.  Arrays in arrays are bounded by `depth`. */
static enum nib_status skip_values(struct nib_gguf_cursor *c, const char *key, uint32_t type,
                                   uint64_t n, int depth)
{
    const size_t size = type_size(type);
    if (size == 0)
        return fail_value(c, key, "its value has a type that GGUF does not have", type);
    if (n > nib_gguf_left(c) / size) {
        c->wanted = n > UINT64_MAX / size ? UINT64_MAX : n * size;
        return fail_value_end(c, key);
    }

    if (type == NIB_GGUF_STRING) {
        struct nib_str string;
        for (uint64_t i = 0; i < n; i++)
            if (!nib_gguf_take_string(c, &string))
                return fail_value_end(c, key);
        return NIB_OK;
    }
    if (type == NIB_GGUF_ARRAY) {
        if (depth == MAX_DEPTH)
            return fail_value(c, key, "arrays are nested deeper than the limit", MAX_DEPTH);
        for (uint64_t i = 0; i < n; i++) {
            uint32_t element;
            uint64_t count;
            if (!nib_gguf_take(c, &element, sizeof(element)) ||
                !nib_gguf_take(c, &count, sizeof(count)))
                return fail_value_end(c, key);
            const enum nib_status status = skip_values(c, key, element, count, depth + 1);
            if (status != NIB_OK)
                return status;
        }
        return NIB_OK;
    }
    if (type == NIB_GGUF_BOOL)
        for (uint64_t i = 0; i < n; i++)
            if (c->data[c->at + i] > 1)
                return fail_value(c, key, "a bool must be 0 or 1", c->data[c->at + i]);
    c->at += (size_t)n * size;
    return NIB_OK;
}

/* What follows the key. */
static enum nib_status read_value(struct nib_gguf_cursor *c, const char *key,
                                  struct nib_gguf_pair *pair)
{
    uint32_t type;
    if (!nib_gguf_take(c, &type, sizeof(type)))
        return fail_value_end(c, key);
    uint32_t element = type;
    pair->n = 1;
    if (type == NIB_GGUF_ARRAY) {
        if (!nib_gguf_take(c, &element, sizeof(element)) ||
            !nib_gguf_take(c, &pair->n, sizeof(pair->n)))
            return fail_value_end(c, key);
    }
    const size_t begin = c->at;
    const enum nib_status status = skip_values(c, key, element, pair->n, type == NIB_GGUF_ARRAY);
    if (status != NIB_OK)
        return status;
    pair->type = (enum nib_gguf_type)type;
    pair->element = (enum nib_gguf_type)element;
    pair->value = (struct nib_str){(const char *)c->data + begin, c->at - begin};
    if (type == NIB_GGUF_STRING) {
        pair->value.data += sizeof(uint64_t);
        pair->value.len -= sizeof(uint64_t);
    }
    return NIB_OK;
}

enum nib_status nib_gguf_read_pairs(struct nib_gguf_cursor *c, uint64_t n_pairs)
{
    struct nib_gguf *gguf = c->gguf;
    size_t cap = 0;
    for (size_t i = 0; i < n_pairs; i++) {
        struct nib_gguf_pair *grown = nib_gguf_grow(gguf->pairs, &cap, i, sizeof(*grown));
        if (!grown)
            return nib_fail_memory(c->err, 2 * cap * sizeof(*grown),
                                   "the metadata of a model file");
        gguf->pairs = grown;
        size_t key;
        enum nib_status status = nib_gguf_take_name(c, &gguf->keys, "key", i, MAX_KEY, &key);
        if (status == NIB_OK)
            status = read_value(c, gguf->keys.text + key, &grown[i]);
        if (status != NIB_OK)
            return status;
    }
    gguf->n_pairs = (size_t)n_pairs;
    const char *key = gguf->keys.text;
    for (size_t i = 0; i < gguf->n_pairs; i++) {
        gguf->pairs[i].key = key;
        key += strlen(key) + 1;
    }
    return nib_gguf_index_create(&gguf->pairs_by_key, gguf->pairs, gguf->n_pairs,
                                 sizeof(*gguf->pairs), c, "key");
}

/* ---- one number ---------------------------------------------------------------------------- */

static bool is_integer(enum nib_gguf_type type)
{
    return type <= NIB_GGUF_I32 || type == NIB_GGUF_U64 || type == NIB_GGUF_I64;
}

#define LOAD(type, data, i)                                                                        \
    __extension__({                                                                                \
        type loaded;                                                                               \
        memcpy(&loaded, (data) + (i) * sizeof(loaded), sizeof(loaded));                            \
        loaded;                                                                                    \
    })

/* The i-th integer of an integer type; U64 above INT64_MAX comes back negative. */
static int64_t load_int(enum nib_gguf_type type, const char *data, size_t i)
{
    switch (type) {
    case NIB_GGUF_U8:
    case NIB_GGUF_BOOL:
        return LOAD(uint8_t, data, i);
    case NIB_GGUF_I8:
        return LOAD(int8_t, data, i);
    case NIB_GGUF_U16:
        return LOAD(uint16_t, data, i);
    case NIB_GGUF_I16:
        return LOAD(int16_t, data, i);
    case NIB_GGUF_U32:
        return LOAD(uint32_t, data, i);
    case NIB_GGUF_I32:
        return LOAD(int32_t, data, i);
    default:
        return LOAD(int64_t, data, i);
    }
}

static double load_float(enum nib_gguf_type type, const char *data, size_t i)
{
    return type == NIB_GGUF_F32 ? (double)LOAD(float, data, i) : LOAD(double, data, i);
}

static bool is_float(enum nib_gguf_type type)
{
    return type == NIB_GGUF_F32 || type == NIB_GGUF_F64;
}

/* ---- by key -------------------------------------------------------------------------------- */

static const struct nib_gguf_pair *find(const struct nib_gguf *gguf, const char *key)
{
    const struct nib_gguf_index *found =
        nib_gguf_index_find(gguf->pairs_by_key, gguf->n_pairs, key);
    return found ? &gguf->pairs[found->i] : NULL;
}

bool nib_gguf_has(const struct nib_gguf *gguf, const char *key)
{
    return find(gguf, key) != NULL;
}

bool nib_gguf_string(const struct nib_gguf *gguf, const char *key, struct nib_str *out)
{
    const struct nib_gguf_pair *pair = find(gguf, key);
    if (!pair || pair->type != NIB_GGUF_STRING)
        return false;
    *out = pair->value;
    return true;
}

bool nib_gguf_int(const struct nib_gguf *gguf, const char *key, int64_t *out)
{
    const struct nib_gguf_pair *pair = find(gguf, key);
    if (!pair || !is_integer(pair->type))
        return false;
    const int64_t value = load_int(pair->type, pair->value.data, 0);
    if (pair->type == NIB_GGUF_U64 && value < 0)
        return false;
    *out = value;
    return true;
}

bool nib_gguf_float(const struct nib_gguf *gguf, const char *key, double *out)
{
    const struct nib_gguf_pair *pair = find(gguf, key);
    if (!pair)
        return false;
    double value;
    if (pair->type == NIB_GGUF_U64)
        value = (double)LOAD(uint64_t, pair->value.data, 0);
    else if (is_integer(pair->type))
        value = (double)load_int(pair->type, pair->value.data, 0);
    else if (is_float(pair->type))
        value = load_float(pair->type, pair->value.data, 0);
    else
        return false;
    if (!isfinite(value))
        return false;
    *out = value;
    return true;
}

bool nib_gguf_bool(const struct nib_gguf *gguf, const char *key, bool *out)
{
    const struct nib_gguf_pair *pair = find(gguf, key);
    if (!pair || pair->type != NIB_GGUF_BOOL)
        return false;
    *out = pair->value.data[0] != 0;
    return true;
}

/* ---- arrays by key ------------------------------------------------------------------------- */

static const struct nib_gguf_pair *find_array(const struct nib_gguf *gguf, const char *key)
{
    const struct nib_gguf_pair *pair = find(gguf, key);
    return pair && pair->type == NIB_GGUF_ARRAY ? pair : NULL;
}

bool nib_gguf_strings(const struct nib_gguf *gguf, const char *key, size_t *n)
{
    const struct nib_gguf_pair *pair = find_array(gguf, key);
    if (!pair || pair->element != NIB_GGUF_STRING)
        return false;
    *n = (size_t)pair->n;
    return true;
}

bool nib_gguf_ints(const struct nib_gguf *gguf, const char *key, size_t *n)
{
    const struct nib_gguf_pair *pair = find_array(gguf, key);
    if (!pair || !(is_integer(pair->element) || pair->element == NIB_GGUF_BOOL))
        return false;
    if (pair->element == NIB_GGUF_U64)
        for (size_t i = 0; i < pair->n; i++)
            if (load_int(NIB_GGUF_U64, pair->value.data, i) < 0)
                return false;
    *n = (size_t)pair->n;
    return true;
}

bool nib_gguf_floats(const struct nib_gguf *gguf, const char *key, size_t *n)
{
    const struct nib_gguf_pair *pair = find_array(gguf, key);
    if (!pair || !is_float(pair->element))
        return false;
    for (size_t i = 0; i < pair->n; i++)
        if (!isfinite((float)load_float(pair->element, pair->value.data, i)))
            return false;
    *n = (size_t)pair->n;
    return true;
}

bool nib_gguf_bytes(const struct nib_gguf *gguf, const char *key, struct nib_str *out)
{
    const struct nib_gguf_pair *pair = find_array(gguf, key);
    if (!pair || pair->element != NIB_GGUF_U8)
        return false;
    *out = (struct nib_str){(const char *)pair->value.data, (size_t)pair->n};
    return true;
}

void nib_gguf_copy_strings(const struct nib_gguf *gguf, const char *key, struct nib_str *out)
{
    const struct nib_gguf_pair *pair = find_array(gguf, key);
    assert(pair && pair->element == NIB_GGUF_STRING);
    const char *at = pair->value.data;
    for (size_t i = 0; i < pair->n; i++) {
        out[i] = (struct nib_str){at + sizeof(uint64_t), (size_t)LOAD(uint64_t, at, 0)};
        at = out[i].data + out[i].len;
    }
}

void nib_gguf_copy_ints(const struct nib_gguf *gguf, const char *key, int64_t *out)
{
    const struct nib_gguf_pair *pair = find_array(gguf, key);
    assert(pair && (is_integer(pair->element) || pair->element == NIB_GGUF_BOOL));
    for (size_t i = 0; i < pair->n; i++)
        out[i] = load_int(pair->element, pair->value.data, i);
}

void nib_gguf_copy_floats(const struct nib_gguf *gguf, const char *key, float *out)
{
    const struct nib_gguf_pair *pair = find_array(gguf, key);
    assert(pair && is_float(pair->element));
    for (size_t i = 0; i < pair->n; i++)
        out[i] = (float)load_float(pair->element, pair->value.data, i);
}

/* ---- as text ------------------------------------------------------------------------------- */

size_t nib_gguf_key_count(const struct nib_gguf *gguf)
{
    return gguf->n_pairs;
}

const char *nib_gguf_key(const struct nib_gguf *gguf, size_t i)
{
    assert(i < gguf->n_pairs);
    return gguf->pairs[i].key;
}

/* One value of a type that is neither a string nor an array. */
static void print_number(char out[32], enum nib_gguf_type type, const char *data, size_t i)
{
    if (type == NIB_GGUF_BOOL)
        snprintf(out, 32, "%s", data[i] ? "true" : "false");
    else if (type == NIB_GGUF_U64)
        snprintf(out, 32, "%" PRIu64, LOAD(uint64_t, data, i));
    else if (is_integer(type))
        snprintf(out, 32, "%" PRId64, load_int(type, data, i));
    else
        snprintf(out, 32, type == NIB_GGUF_F32 ? "%.9g" : "%.17g", load_float(type, data, i));
}

/* "[49152] "<s>", "a", ..." with as many elements as fit. */
static void print_array(const struct nib_gguf_pair *pair, char *out, size_t cap)
{
    const char *at = pair->value.data;
    size_t used = (size_t)snprintf(out, cap, "[%" PRIu64 "]", pair->n);
    for (size_t i = 0; i < pair->n && used + sizeof(", ...") <= cap; i++) {
        char shown[128];
        if (pair->element == NIB_GGUF_ARRAY) {
            snprintf(shown, sizeof(shown), "...");
        } else if (pair->element == NIB_GGUF_STRING) {
            const size_t n = (size_t)LOAD(uint64_t, at, 0);
            shown[0] = '"';
            const size_t n_shown = nib_escape(shown + 1, sizeof(shown) - 2, at + 8, n);
            memcpy(shown + 1 + n_shown, "\"", 2);
            at += 8 + n;
        } else {
            print_number(shown, pair->element, at, i);
        }
        const size_t n = strlen(shown) + 2;
        const bool is_last = i + 1 == pair->n;
        const bool fits = used + n + (is_last ? 1 : sizeof(", ...")) <= cap;
        used += (size_t)snprintf(out + used, cap - used, "%s%s", i == 0 ? " " : ", ",
                                 fits ? shown : "...");
        if (!fits || pair->element == NIB_GGUF_ARRAY)
            return;
    }
}

void nib_gguf_value_text(const struct nib_gguf *gguf, size_t i, char *out, size_t cap)
{
    assert(i < gguf->n_pairs);
    const struct nib_gguf_pair *pair = &gguf->pairs[i];
    if (cap == 0)
        return;
    if (pair->type == NIB_GGUF_STRING) {
        nib_escape(out, cap, pair->value.data, pair->value.len);
    } else if (pair->type == NIB_GGUF_ARRAY) {
        print_array(pair, out, cap);
    } else {
        char shown[32];
        print_number(shown, pair->type, pair->value.data, 0);
        nib_escape(out, cap, shown, strlen(shown));
    }
}
