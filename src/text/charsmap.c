/*
 * Walking the double array, see charsmap.h.  A unit of 32 bits:
 *
 *     0..7    label: the byte that leads here        31      this is a value, in bits 0..30
 *     8       a value stands at the children's base
 *     9       the offset counts in 256
 *     10..30  offset to the children's base, by exclusive or
 *
 * The child by byte c of a node whose base is b is unit b ^ c, if that is labelled c.
 */
#include "charsmap.h"

#include <stdlib.h>

struct nib_charsmap {
    uint32_t *units;
    size_t n_units;
    char *texts; /* the last byte is 0 */
    size_t n_texts;
};

static size_t base_of(size_t index, uint32_t unit)
{
    return index ^ ((size_t)(unit >> 10) << ((unit & 0x200) != 0 ? 8 : 0));
}

static bool has_value(uint32_t unit)
{
    return (unit & 0x100) != 0;
}

/* The unit of the child by `byte`; false: none. */
static bool find_child(const struct nib_charsmap *map, size_t base, uint8_t byte, size_t *index)
{
    *index = base ^ byte;
    return byte != 0 && *index < map->n_units &&
           (map->units[*index] & UINT32_C(0x800000FF)) == byte;
}

static struct nib_str replacement_at(const struct nib_charsmap *map, size_t base)
{
    return nib_str_from(map->texts + (map->units[base] & UINT32_C(0x7FFFFFFF)));
}

/* ---- checking ------------------------------------------------------------------------------- */

static bool is_value_sound(const struct nib_charsmap *map, size_t base)
{
    if (base >= map->n_units)
        return false;
    const size_t offset = map->units[base] & UINT32_C(0x7FFFFFFF);
    if (offset >= map->n_texts)
        return false;
    const size_t left = map->n_texts - offset;
    return memchr(map->texts + offset, 0,
                  left <= NIB_MAX_REPLACEMENT_BYTES ? left : NIB_MAX_REPLACEMENT_BYTES + 1) != NULL;
}

/* Every base that walks can come to once, those to be looked at on a stack. */
static bool are_values_sound(const struct nib_charsmap *map, size_t *stack, uint8_t *is_seen)
{
    size_t n = 1;
    stack[0] = base_of(0, map->units[0]);
    while (n > 0) {
        const size_t base = stack[--n];
        for (unsigned byte = 1; byte < 256; byte++) {
            size_t index;
            if (!find_child(map, base, (uint8_t)byte, &index))
                continue;
            const size_t next = base_of(index, map->units[index]);
            if (has_value(map->units[index]) && !is_value_sound(map, next))
                return false;
            if (next < map->n_units && !is_seen[next]) {
                is_seen[next] = 1;
                stack[n++] = next;
            }
        }
    }
    return true;
}

static enum nib_status check(const struct nib_charsmap *map, const char *path,
                             struct nib_error *err)
{
    size_t *stack = malloc((map->n_units + 1) * sizeof(*stack));
    uint8_t *is_seen = calloc(map->n_units, 1);
    enum nib_status status = NIB_OK;
    if (stack == NULL || is_seen == NULL)
        status = nib_fail_memory(err, map->n_units * (sizeof(*stack) + 1), "the map of characters");
    else if (!are_values_sound(map, stack, is_seen))
        status = nib_fail(err, NIB_ERROR_FILE,
                          "%s: the map of characters (precompiled_charsmap) leads out of its %zu "
                          "bytes of texts, or to one of more than %zu bytes; the file is damaged, "
                          "get it again",
                          path, map->n_texts, NIB_MAX_REPLACEMENT_BYTES);
    free(stack);
    free(is_seen);
    return status;
}

/* ---- making one ----------------------------------------------------------------------------- */

static uint32_t load_u32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static enum nib_status copy_blob(struct nib_charsmap *map, const uint8_t *blob, size_t n_bytes,
                                 const char *path, struct nib_error *err)
{
    const size_t n_trie = n_bytes < 4 ? 0 : load_u32(blob);
    if (n_bytes < 8 || n_bytes > NIB_MAX_CHARSMAP_BYTES || n_trie < 4 || n_trie % 4 != 0 ||
        n_trie > n_bytes - 5 || blob[n_bytes - 1] != 0)
        return nib_fail(err, NIB_ERROR_FILE,
                        "%s: the map of characters (precompiled_charsmap) has %zu bytes, of them "
                        "%zu of a trie, expected 8 to %zu, whole units of 4 in the trie, and texts "
                        "that end in a zero byte; the file is damaged, get it again",
                        path, n_bytes, n_trie, NIB_MAX_CHARSMAP_BYTES);
    map->n_units = n_trie / 4;
    map->n_texts = n_bytes - 4 - n_trie;
    map->units = malloc(n_trie);
    map->texts = malloc(map->n_texts);
    if (map->units == NULL || map->texts == NULL)
        return nib_fail_memory(err, n_bytes, "the map of characters");
    for (size_t i = 0; i < map->n_units; i++)
        map->units[i] = load_u32(blob + 4 + 4 * i);
    memcpy(map->texts, blob + 4 + n_trie, map->n_texts);
    return NIB_OK;
}

enum nib_status nib_charsmap_create(struct nib_charsmap **out, const uint8_t *blob, size_t n_bytes,
                                    const char *path, struct nib_error *err)
{
    *out = NULL;
    struct nib_charsmap *map = calloc(1, sizeof(*map));
    if (map == NULL)
        return nib_fail_memory(err, sizeof(*map), "the map of characters");
    enum nib_status status = copy_blob(map, blob, n_bytes, path, err);
    if (status == NIB_OK)
        status = check(map, path, err);
    if (status != NIB_OK) {
        nib_charsmap_free(map);
        return status;
    }
    *out = map;
    return NIB_OK;
}

void nib_charsmap_free(struct nib_charsmap *map)
{
    if (map == NULL)
        return;
    free(map->units);
    free(map->texts);
    free(map);
}

/* ---- matching ------------------------------------------------------------------------------- */

static size_t match(const struct nib_charsmap *map, struct nib_str text, bool takes_first,
                    struct nib_str *replacement)
{
    size_t n = 0, index, base = base_of(0, map->units[0]);
    for (size_t i = 0; i < text.len && find_child(map, base, (uint8_t)text.data[i], &index); i++) {
        base = base_of(index, map->units[index]);
        if (!has_value(map->units[index]))
            continue;
        n = i + 1;
        *replacement = replacement_at(map, base);
        if (takes_first)
            break;
    }
    return n;
}

size_t nib_charsmap_longest(const struct nib_charsmap *map, struct nib_str text,
                            struct nib_str *replacement)
{
    return match(map, text, false, replacement);
}

size_t nib_charsmap_shortest(const struct nib_charsmap *map, struct nib_str text,
                             struct nib_str *replacement)
{
    return match(map, text, true, replacement);
}
