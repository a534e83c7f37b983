/*
 * A trie over the bytes of texts: walks along a text find every token that begins at a place.  A
 * node's children lie together, in the order of their bytes.
 */
#ifndef NIB_TRIE_H
#define NIB_TRIE_H

#include "common.h"

/* Longest text: bounds the steps per byte of what is looked through.  Published tokens that are
 * found this way have up to about 60 bytes. */
#define NIB_MAX_TRIE_BYTES ((size_t)512)

#define NIB_TRIE_ROOT 0u /* nobody's child: "no such child" too */

struct nib_trie_node {
    uint32_t first_child;
    uint16_t n_children;
    uint8_t byte; /* that leads here */
    int32_t id;   /* -1: no text ends here */
};

struct nib_trie {
    struct nib_trie_node *nodes;
    uint32_t from_root[256];
};

struct nib_trie_entry {
    struct nib_str text; /* not "" */
    int32_t id;
};

/* Sorts the entries; of equal texts the lowest id counts.  `trie` is to be freed even after a
 * failure; `path` is for the error. */
enum nib_status nib_trie_create(struct nib_trie *trie, struct nib_trie_entry *entries, size_t n,
                                const char *path, struct nib_error *err);
void nib_trie_free(struct nib_trie *trie);

/* The child of `node` by this byte, NIB_TRIE_ROOT: none. */
static inline uint32_t nib_trie_step(const struct nib_trie *trie, uint32_t node, uint8_t byte)
{
    if (node == NIB_TRIE_ROOT)
        return trie->from_root[byte];
    uint32_t first = trie->nodes[node].first_child, n = trie->nodes[node].n_children;
    while (n > 1) { /* the last one that is not greater */
        const uint32_t half = n / 2;
        if (trie->nodes[first + half].byte <= byte) {
            first += half;
            n -= half;
        } else {
            n = half;
        }
    }
    return n == 1 && trie->nodes[first].byte == byte ? first : NIB_TRIE_ROOT;
}

/* The longest text of the trie that `text` begins with: its length and, unless `id` is NULL, its
 * id; 0: none. */
static inline size_t nib_trie_longest(const struct nib_trie *trie, struct nib_str text, int32_t *id)
{
    size_t n = 0;
    uint32_t node = NIB_TRIE_ROOT;
    for (size_t i = 0; i < text.len; i++) {
        node = nib_trie_step(trie, node, (uint8_t)text.data[i]);
        if (node == NIB_TRIE_ROOT)
            break;
        if (trie->nodes[node].id < 0)
            continue;
        n = i + 1;
        if (id != NULL)
            *id = trie->nodes[node].id;
    }
    return n;
}

#endif
