/*
 * Finds special tokens in text: a trie over their names, walked from each byte that can begin one.
 * The leftmost match counts, and the longest of those that begin there.
 */
#ifndef NIB_SPECIAL_TOKENS_H
#define NIB_SPECIAL_TOKENS_H

#include "trie.h"
#include "vocabulary.h"

struct nib_special_finder {
    struct nib_trie trie;
    const uint8_t *types; /* of the vocabulary */
};

struct nib_special_match {
    size_t start, end;
    int32_t id;
};

/* Over the control, unknown and user-defined tokens; keeps pointing into `vocabulary`.  `path` is
 * for the error.  To be freed even after a failure. */
enum nib_status nib_special_finder_create(struct nib_special_finder *finder,
                                          const struct nib_vocabulary *vocabulary, const char *path,
                                          struct nib_error *err);
void nib_special_finder_free(struct nib_special_finder *finder);

/* The first match at or after `from`; user-defined tokens alone unless `parses_special`. */
bool nib_special_find(const struct nib_special_finder *finder, struct nib_str text, size_t from,
                      bool parses_special, struct nib_special_match *match);

#endif
