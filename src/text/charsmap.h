/*
 * The map of characters in SentencePiece models (precompiled_charsmap), also in GGUF and
 * tokenizer.json: which bytes are replaced by which text.  The blob is a length (32 bits,
 * little-endian), a double-array trie of that many bytes as Darts-clone writes it, and the
 * replacements, each ended by a zero byte.  A trie's values are offsets of replacements.
 */
#ifndef NIB_CHARSMAP_H
#define NIB_CHARSMAP_H

#include "common.h"

#define NIB_MAX_CHARSMAP_BYTES    ((size_t)4 << 20) /* published ones have 0.3 MiB */
#define NIB_MAX_REPLACEMENT_BYTES ((size_t)256) /* published ones: 33; bounds what text becomes */

struct nib_charsmap;

/* Copies the blob and checks all that can be reached in it; `path` is for the error. */
enum nib_status nib_charsmap_create(struct nib_charsmap **out, const uint8_t *blob, size_t n_bytes,
                                    const char *path, struct nib_error *err);
void nib_charsmap_free(struct nib_charsmap *map);

/* How many bytes at the start of `text` are replaced, and by what; 0: none.  The longest match, or
 * the shortest: SentencePiece takes the one, the tokenizers library the other. */
size_t nib_charsmap_longest(const struct nib_charsmap *map, struct nib_str text,
                            struct nib_str *replacement);
size_t nib_charsmap_shortest(const struct nib_charsmap *map, struct nib_str text,
                             struct nib_str *replacement);

#endif
