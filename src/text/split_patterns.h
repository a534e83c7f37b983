/* The patterns by which published models split text into words, and the names that GGUF files have
 * for them (tokenizer.ggml.pre). */
#ifndef NIB_SPLIT_PATTERNS_H
#define NIB_SPLIT_PATTERNS_H

#include "pretokenizer.h"

#define NIB_MAX_SPLIT_STAGES 6

/*
 * Stages that no pattern does in linear time: digits (Nd) by threes, counted from the end of their
 * run.  nib_split_threes_of_words leaves runs alone that a letter follows; nib_split_before_threes
 * splits before each whole three alone.
 */
extern const char nib_split_threes[], nib_split_threes_of_words[], nib_split_before_threes[];

/*
 * Each stage splits the parts that the one before has made, at the borders of its matches; a part
 * is matched as if nothing stood around it.  A stage is a pattern of PCRE2 or one of those above.
 */
struct nib_split_pattern {
    const char *stages[NIB_MAX_SPLIT_STAGES]; /* up to the first NULL */
};

struct nib_split_row {
    struct nib_pretokenizer_traits traits;
    const struct nib_split_pattern *pattern;
};

/* NULL: the name is not known. */
const struct nib_split_row *nib_split_row_find(struct nib_str name);

/* For tests: the i-th row, NULL behind the last. */
const struct nib_split_row *nib_split_row_at(size_t i);

#endif
