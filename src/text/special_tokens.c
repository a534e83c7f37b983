/* Looking for special tokens, see special_tokens.h. */
#include "special_tokens.h"

#include <stdlib.h>

enum nib_status nib_special_finder_create(struct nib_special_finder *finder,
                                          const struct nib_vocabulary *vocabulary, const char *path,
                                          struct nib_error *err)
{
    *finder = (struct nib_special_finder){.types = vocabulary->type};
    size_t n = 0;
    for (size_t i = 0; i < vocabulary->n_tokens; i++)
        n += nib_token_is_special(vocabulary, (int32_t)i) && vocabulary->text[i].len > 0;
    struct nib_trie_entry *entries = malloc(n * sizeof(*entries) + 1);
    if (entries == NULL)
        return nib_fail_memory(err, n * sizeof(*entries), "the special tokens");
    n = 0;
    for (size_t i = 0; i < vocabulary->n_tokens; i++)
        if (nib_token_is_special(vocabulary, (int32_t)i) && vocabulary->text[i].len > 0)
            entries[n++] = (struct nib_trie_entry){.text = vocabulary->text[i], .id = (int32_t)i};
    const enum nib_status status = nib_trie_create(&finder->trie, entries, n, path, err);
    free(entries);
    return status;
}

void nib_special_finder_free(struct nib_special_finder *finder)
{
    nib_trie_free(&finder->trie);
}

/* The longest token that begins at `start`. */
static bool match_at(const struct nib_special_finder *finder, struct nib_str text, size_t start,
                     bool parses_special, struct nib_special_match *match)
{
    bool is_found = false;
    uint32_t node = NIB_TRIE_ROOT;
    for (size_t i = start; i < text.len; i++) {
        node = nib_trie_step(&finder->trie, node, (uint8_t)text.data[i]);
        if (node == NIB_TRIE_ROOT)
            break;
        const int32_t id = finder->trie.nodes[node].id;
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
        if (match_at(finder, text, i, parses_special, match))
            return true;
    return false;
}
