/*
 * The added tokens of a tokenizer.json: found in the text before it is normalised or after, left of
 * all else and the longest where several begin at a place.
 *
 * Their ids are those of the model's vocabulary where it has them, else they follow it in order, as
 * the tokenizers library has it; the ids in the file are not looked at.
 */
#ifndef NIB_HF_ADDED_TOKENS_H
#define NIB_HF_ADDED_TOKENS_H

#include "hf_text.h"
#include "trie.h"

#include <yyjson.h>

struct nib_hf_added_token {
    struct nib_str content;
    struct nib_str normalized; /* what the normalizer makes of it, where it is to be found so */
    int32_t id;
    bool is_special, is_single_word, strips_left, strips_right, is_normalized;
};

struct nib_hf_added_tokens {
    struct nib_hf_added_token *data;
    size_t n, capacity;
    struct nib_trie raw, normalized; /* their ids are places in data */
    uint32_t *by_content;            /* [mask + 1] places in data, or NIB_HF_NOWHERE */
    uint32_t *by_id;                 /* [n_ids] the same */
    size_t mask, n_ids;
    uint64_t seed;
};

struct nib_hf_normalizer;

/* Where the model has this text: its id, or -1. */
typedef int32_t nib_hf_find_fn(const void *model, struct nib_str text);

#define NIB_HF_NOWHERE UINT32_MAX

/*
 * From the array of tokenizer.json (`json` may be NULL or null), then the object
 * added_tokens_decoder of tokenizer_config.json (`more` may be NULL).  Ids that are new begin at
 * n_model, the number of the model's tokens.
 */
struct nib_hf_added_source {
    yyjson_val *json, *more;
    nib_hf_find_fn *find;
    const void *model;
    size_t n_model;
    const struct nib_hf_normalizer *normalizer; /* may be NULL */
    const char *path;
};

/* To be freed even after a failure. */
enum nib_status nib_hf_added_create(struct nib_hf_added_tokens *out,
                                    const struct nib_hf_added_source *source,
                                    struct nib_error *err);
void nib_hf_added_free(struct nib_hf_added_tokens *added);

/* NULL: none. */
const struct nib_hf_added_token *nib_hf_added_by_id(const struct nib_hf_added_tokens *added,
                                                    int32_t id);
const struct nib_hf_added_token *nib_hf_added_by_content(const struct nib_hf_added_tokens *added,
                                                         struct nib_str content);

/* Append the parts of a split of `text`: text, and the tokens found in it, special ones only if
 * parses_special. */
enum nib_status nib_hf_added_split(const struct nib_hf_added_tokens *added, bool is_normalized,
                                   bool parses_special, struct nib_str text,
                                   const struct nib_hf_split *split, struct nib_hf_splits *out,
                                   struct nib_error *err);

#endif
