/*
 * The pre-tokenizers of a tokenizer.json: each turns splits into more and smaller splits, some
 * rewrite their text.  Added tokens among the splits stay as they are.
 */
#ifndef NIB_HF_PRETOKENIZER_H
#define NIB_HF_PRETOKENIZER_H

#include "hf_text.h"

#include <yyjson.h>

struct nib_hf_pretokenizer;

/* `json` may be NULL or null: nothing is split. */
enum nib_status nib_hf_pretokenizer_create(struct nib_hf_pretokenizer **out, yyjson_val *json,
                                           const char *path, struct nib_error *err);
void nib_hf_pretokenizer_free(struct nib_hf_pretokenizer *pretokenizer);

/* Split work->splits. */
enum nib_status nib_hf_pretokenize(const struct nib_hf_pretokenizer *pretokenizer,
                                   struct nib_hf_work *work, struct nib_error *err);

/* ---- for the steps themselves (hf_split.c) -------------------------------------------------- */

/* What becomes of the matches of a pattern that splits. */
enum nib_hf_behavior {
    NIB_HF_REMOVED,
    NIB_HF_ISOLATED,
    NIB_HF_MERGED_WITH_PREVIOUS,
    NIB_HF_MERGED_WITH_NEXT,
    NIB_HF_CONTIGUOUS,
};

/* One walk over the parts of a split, which are matches and what is between them. */
struct nib_hf_splitter {
    enum nib_hf_behavior behavior;
    bool inverts; /* matches and the rest change places */
    struct nib_hf_splits *out;
    const struct nib_hf_split *from;
    /* the part that is not yet out */
    size_t start, end;
    bool has_part, part_is_match, was_match;
};

/* The next part, in order, without gaps; then the end of the split. */
enum nib_status nib_hf_splitter_add(struct nib_hf_splitter *s, size_t start, size_t end,
                                    bool is_match, struct nib_error *err);
enum nib_status nib_hf_splitter_end(struct nib_hf_splitter *s, struct nib_error *err);

/* A class of characters; each of them is a match of its own. */
typedef bool nib_hf_class_fn(uint32_t character, uint32_t parameter);
enum nib_status nib_hf_split_by_class(struct nib_hf_splitter *s, struct nib_str text,
                                      nib_hf_class_fn *is_match, uint32_t parameter,
                                      struct nib_error *err);

struct nib_hf_pattern;
enum nib_status nib_hf_split_by_pattern(struct nib_hf_splitter *s, struct nib_hf_work *work,
                                        struct nib_str text, const struct nib_hf_pattern *pattern,
                                        struct nib_error *err);

#endif
