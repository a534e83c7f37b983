/* The trie over special tokens, see special_tokens.h. */
#include "special_tokens.h"

#include <stdlib.h>

#define NO_NODE 0u /* the root is nobody's child */

struct nib_trie_node {
    uint32_t first_child, next_sibling;
    int32_t id; /* -1: no token ends here */
    uint8_t byte;
};

static uint32_t find_child(const struct nib_special_finder *finder, uint32_t node, uint8_t byte)
{
    uint32_t child = finder->nodes[node].first_child;
    while (child != NO_NODE && finder->nodes[child].byte != byte)
        child = finder->nodes[child].next_sibling;
    return child;
}

static uint32_t add_child(struct nib_special_finder *finder, uint32_t node, uint8_t byte)
{
    const uint32_t child = (uint32_t)finder->n_nodes++;
    finder->nodes[child] = (struct nib_trie_node){
        .next_sibling = finder->nodes[node].first_child, .id = -1, .byte = byte};
    finder->nodes[node].first_child = child;
    return child;
}

static bool reserve(struct nib_special_finder *finder, size_t n)
{
    if (n <= finder->capacity)
        return true;
    const size_t capacity = n + n / 2 + 64;
    if (capacity > UINT32_MAX)
        return false;
    struct nib_trie_node *nodes = realloc(finder->nodes, capacity * sizeof(*nodes));
    if (nodes == NULL)
        return false;
    finder->nodes = nodes;
    finder->capacity = capacity;
    return true;
}

static enum nib_status insert(struct nib_special_finder *finder, struct nib_str text, int32_t id,
                              struct nib_error *err)
{
    if (!reserve(finder, finder->n_nodes + text.len))
        return nib_fail_memory(err, (finder->n_nodes + text.len) * sizeof(struct nib_trie_node),
                               "the special tokens");
    uint32_t node = 0;
    for (size_t i = 0; i < text.len; i++) {
        const uint8_t byte = (uint8_t)text.data[i];
        const uint32_t child = find_child(finder, node, byte);
        node = child != NO_NODE ? child : add_child(finder, node, byte);
    }
    if (finder->nodes[node].id < 0) /* of equal names the lowest id */
        finder->nodes[node].id = id;
    finder->can_begin[(uint8_t)text.data[0]] = true;
    return NIB_OK;
}

enum nib_status nib_special_finder_create(struct nib_special_finder *finder,
                                          const struct nib_vocabulary *vocabulary, const char *path,
                                          struct nib_error *err)
{
    *finder = (struct nib_special_finder){.types = vocabulary->type};
    if (!reserve(finder, 1))
        return nib_fail_memory(err, 64 * sizeof(struct nib_trie_node), "the special tokens");
    finder->nodes[0] = (struct nib_trie_node){.id = -1};
    finder->n_nodes = 1;
    for (size_t i = 0; i < vocabulary->n_tokens; i++) {
        const struct nib_str text = vocabulary->text[i];
        if (text.len == 0 || !nib_token_is_special(vocabulary, (int32_t)i))
            continue;
        if (text.len > NIB_MAX_SPECIAL_BYTES)
            return nib_fail(err, NIB_ERROR_FILE,
                            "%s: the name of special token %zu is %zu bytes long, expected at most "
                            "%zu; the file is damaged, get it again",
                            path, i, text.len, NIB_MAX_SPECIAL_BYTES);
        const enum nib_status status = insert(finder, text, (int32_t)i, err);
        if (status != NIB_OK)
            return status;
    }
    return NIB_OK;
}

void nib_special_finder_free(struct nib_special_finder *finder)
{
    free(finder->nodes);
    *finder = (struct nib_special_finder){0};
}

/* The longest token that begins at `start`. */
static bool match_at(const struct nib_special_finder *finder, struct nib_str text, size_t start,
                     bool parses_special, struct nib_special_match *match)
{
    bool is_found = false;
    uint32_t node = 0;
    for (size_t i = start; i < text.len; i++) {
        node = find_child(finder, node, (uint8_t)text.data[i]);
        if (node == NO_NODE)
            break;
        const int32_t id = finder->nodes[node].id;
        if (id >= 0 && (parses_special || finder->types[id] == NIB_TOKEN_USER_DEFINED)) {
            *match = (struct nib_special_match){.start = start, .end = i + 1, .id = id};
            is_found = true;
        }
    }
    return is_found;
}

bool nib_special_find(const struct nib_special_finder *finder, struct nib_str text, size_t from,
                      bool parses_special, struct nib_special_match *match)
{
    for (size_t i = from; i < text.len; i++)
        if (finder->can_begin[(uint8_t)text.data[i]] &&
            match_at(finder, text, i, parses_special, match))
            return true;
    return false;
}
