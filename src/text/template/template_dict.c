/* Dicts: entries in the order of insertion, found through a hash table once there are several. */
#include "template_value.h"

#include <math.h>

enum { SMALL_DICT = 8 };

struct value nib_tpl_dict_value(struct dict *dict)
{
    return dict ? (struct value){.kind = V_DICT, .u.dict = dict} : NIB_TPL_ERROR;
}

struct dict *nib_tpl_dict_new(struct render *r)
{
    return nib_tpl_alloc(r, sizeof(struct dict));
}

static uint64_t mix(uint64_t h)
{
    h ^= h >> 32;
    h *= 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

/* Values that are equal have equal hashes: True, 1 and 1.0 are one key. */
static uint64_t hash(const struct value *v)
{
    uint64_t h = 0xcbf29ce484222325u;
    switch ((enum value_kind)v->kind) {
    case V_BOOL:
        return mix(v->u.b);
    case V_INT:
        return mix((uint64_t)v->u.i);
    case V_FLOAT:
        if (v->u.d >= -0x1p63 && v->u.d < 0x1p63 && v->u.d == floor(v->u.d))
            return mix((uint64_t)(int64_t)v->u.d);
        memcpy(&h, &v->u.d, sizeof h);
        return mix(h);
    case V_STRING:
    case V_BIG:
        for (size_t i = 0; i < v->u.s->len; i++)
            h = (h ^ (unsigned char)v->u.s->data[i]) * 0x100000001b3u;
        return mix(h);
    case V_TUPLE:
        return mix(h + v->u.list->n);
    case V_NONE:
    case V_UNDEFINED:
        return mix(h + v->kind);
    default:
        return mix((uint64_t)(uintptr_t)v->u.list);
    }
}

static struct dict_entry *find(struct render *r, const struct dict *dict, const struct value *key,
                               uint64_t h)
{
    if (!dict->index) {
        for (size_t i = 0; i < dict->n; i++) {
            if (dict->entries[i].hash == h && nib_tpl_equal(r, dict->entries[i].key, *key))
                return &dict->entries[i];
        }
        return NULL;
    }
    const size_t mask = dict->n_index - 1;
    for (size_t i = h & mask; dict->index[i]; i = (i + 1) & mask) {
        struct dict_entry *e = &dict->entries[dict->index[i] - 1];
        if (!nib_tpl_charge(r, 1))
            return NULL;
        if (e->hash == h && nib_tpl_equal(r, e->key, *key))
            return e;
    }
    return NULL;
}

static void index_add(struct dict *dict, size_t entry)
{
    const size_t mask = dict->n_index - 1;
    size_t i = dict->entries[entry].hash & mask;
    while (dict->index[i])
        i = (i + 1) & mask;
    dict->index[i] = (uint32_t)entry + 1;
}

static bool grow(struct render *r, struct dict *dict)
{
    const size_t cap = dict->cap ? 2 * dict->cap : SMALL_DICT;
    struct dict_entry *entries = nib_tpl_alloc_array(r, cap, sizeof *entries);
    if (!entries)
        return false;
    if (dict->n)
        memcpy(entries, dict->entries, dict->n * sizeof *entries);
    dict->entries = entries;
    dict->cap = cap;
    if (cap > SMALL_DICT) {
        uint32_t *index = nib_tpl_alloc_array(r, 2 * cap, sizeof *index);
        if (!index)
            return false;
        dict->index = index;
        dict->n_index = 2 * cap;
        for (size_t i = 0; i < dict->n; i++)
            index_add(dict, i);
    }
    return true;
}

bool nib_tpl_dict_set(struct render *r, struct dict *dict, struct value key, struct value value)
{
    if (!dict || r->failed || key.kind == V_ERROR || value.kind == V_ERROR)
        return false;
    if (!nib_tpl_hashable(r, key)) {
        nib_tpl_fail(r, "unhashable type: '%s'", nib_tpl_type_name(key));
        return false;
    }
    const uint64_t h = hash(&key);
    struct dict_entry *e = find(r, dict, &key, h);
    if (e) {
        e->value = value;
        return true;
    }
    if (r->failed || (dict->n == dict->cap && !grow(r, dict)))
        return false;
    dict->entries[dict->n] = (struct dict_entry){key, value, h};
    dict->n++;
    if (dict->index)
        index_add(dict, dict->n - 1);
    return true;
}

struct value *nib_tpl_dict_get(struct render *r, const struct dict *dict, struct value key)
{
    if (!nib_tpl_hashable(r, key))
        return NULL;
    struct dict_entry *e = find(r, dict, &key, hash(&key));
    return e ? &e->value : NULL;
}
