/* What SentencePiece does to text before it is cut into tokens (NormalizerSpec of its models). */
#ifndef NIB_SP_NORMALIZE_H
#define NIB_SP_NORMALIZE_H

#include "charsmap.h"
#include "scratch.h"
#include "trie.h"

struct nib_sp_normalizer {
    const struct nib_charsmap *map; /* or NULL: characters stay as they are */
    const struct nib_trie *kept;    /* texts that stay as they are, or NULL */
    bool adds_blank;                /* in front: add_dummy_prefix */
    bool adds_blank_behind;         /* ... but at the end: treat_whitespace_as_suffix */
    bool removes_extra_blanks;      /* at both ends, and all but one in between */
    bool writes_bars;               /* "▁" for blanks: escape_whitespaces */
};

/* Into `out`, whose old content goes; bytes that are no text become U+FFFD.  False: no memory. */
bool nib_sp_normalize(const struct nib_sp_normalizer *normalizer, struct nib_buffer *out,
                      struct nib_str text);

#endif
