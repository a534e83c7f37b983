/* Building the trie, see trie.h: level by level from the sorted texts. */
#include "trie.h"

#include <stdlib.h>

/* The texts that begin as the path to a node does. */
struct range {
    uint32_t begin, end;
    uint32_t depth;
};

static int compare_entries(const void *a, const void *b)
{
    const struct nib_trie_entry *x = a, *y = b;
    const size_t n = x->text.len < y->text.len ? x->text.len : y->text.len;
    const int order = memcmp(x->text.data, y->text.data, n);
    if (order != 0)
        return order;
    if (x->text.len != y->text.len)
        return x->text.len < y->text.len ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static size_t common_prefix(struct nib_str a, struct nib_str b)
{
    size_t n = 0;
    while (n < a.len && n < b.len && a.data[n] == b.data[n])
        n++;
    return n;
}

static enum nib_status count_nodes(size_t *out, const struct nib_trie_entry *entries, size_t n,
                                   const char *path, struct nib_error *err)
{
    *out = 1;
    for (size_t i = 0; i < n; i++) {
        const struct nib_str text = entries[i].text;
        if (text.len > NIB_MAX_TRIE_BYTES)
            return nib_fail(err, NIB_ERROR_FILE,
                            "%s: the text of token %d is %zu bytes long, expected at most %zu in a "
                            "tokenizer of this kind or of a special token; the file is damaged, "
                            "get it again",
                            path, (int)entries[i].id, text.len, NIB_MAX_TRIE_BYTES);
        *out += text.len - (i == 0 ? 0 : common_prefix(entries[i - 1].text, text));
    }
    return NIB_OK;
}

/* Append the children of `node`; gives how many nodes there are then. */
static uint32_t add_children(struct nib_trie *trie, struct range *ranges, uint32_t node,
                             uint32_t n_nodes, const struct nib_trie_entry *entries)
{
    const uint32_t depth = ranges[node].depth, end = ranges[node].end;
    uint32_t i = ranges[node].begin;
    trie->nodes[node].id = -1;
    if (i < end && entries[i].text.len == depth && depth > 0)
        trie->nodes[node].id = entries[i].id;
    while (i < end && entries[i].text.len == depth)
        i++;
    trie->nodes[node].first_child = n_nodes;
    while (i < end) {
        const uint8_t byte = (uint8_t)entries[i].text.data[depth];
        const uint32_t begin = i;
        while (i < end && (uint8_t)entries[i].text.data[depth] == byte)
            i++;
        ranges[n_nodes] = (struct range){.begin = begin, .end = i, .depth = depth + 1};
        trie->nodes[n_nodes].byte = byte;
        trie->nodes[node].n_children++;
        if (node == NIB_TRIE_ROOT)
            trie->from_root[byte] = n_nodes;
        n_nodes++;
    }
    return n_nodes;
}

enum nib_status nib_trie_create(struct nib_trie *trie, struct nib_trie_entry *entries, size_t n,
                                const char *path, struct nib_error *err)
{
    *trie = (struct nib_trie){0};
    if (n > 0)
        qsort(entries, n, sizeof(*entries), compare_entries);
    size_t n_nodes;
    const enum nib_status status = count_nodes(&n_nodes, entries, n, path, err);
    if (status != NIB_OK)
        return status;
    if (n_nodes >= UINT32_MAX)
        return nib_fail_memory(err, n_nodes, "the table of tokens");
    trie->nodes = calloc(n_nodes, sizeof(*trie->nodes));
    struct range *ranges = malloc(n_nodes * sizeof(*ranges));
    if (trie->nodes == NULL || ranges == NULL) {
        free(ranges);
        return nib_fail_memory(err, n_nodes * (sizeof(*trie->nodes) + sizeof(*ranges)),
                               "the table of tokens");
    }
    ranges[0] = (struct range){.begin = 0, .end = (uint32_t)n, .depth = 0};
    uint32_t n_made = 1;
    for (uint32_t node = 0; node < n_made; node++)
        n_made = add_children(trie, ranges, node, n_made, entries);
    assert(n_made == n_nodes);
    free(ranges);
    return NIB_OK;
}

void nib_trie_free(struct nib_trie *trie)
{
    free(trie->nodes);
    *trie = (struct nib_trie){0};
}
