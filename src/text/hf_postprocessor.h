/*
 * The post-processors of a tokenizer.json, for single sequences: what they do comes down to a list
 * of ids and of places where the sequence goes, one with special tokens and one without.
 */
#ifndef NIB_HF_POSTPROCESSOR_H
#define NIB_HF_POSTPROCESSOR_H

#include "scratch.h"

#include <yyjson.h>

#define NIB_HF_SEQUENCE (-1) /* in a list of ids: the sequence goes here */

struct nib_hf_template {
    struct nib_ids with_special, without_special;
};

/* `json` may be NULL or null: the sequence alone.  Ids are checked against n_tokens.  To be freed
 * even after a failure. */
enum nib_status nib_hf_template_create(struct nib_hf_template *out, yyjson_val *json,
                                       size_t n_tokens, const char *path, struct nib_error *err);
void nib_hf_template_free(struct nib_hf_template *template);

/* The id before all others (at the end: after all others) where it stands outside of the sequence;
 * -1: none. */
int32_t nib_hf_template_first(const struct nib_hf_template *template);
int32_t nib_hf_template_last(const struct nib_hf_template *template);

/* Put this id there, or take it away. */
enum nib_status nib_hf_template_set_first(struct nib_hf_template *template, int32_t id,
                                          bool is_there, struct nib_error *err);
enum nib_status nib_hf_template_set_last(struct nib_hf_template *template, int32_t id,
                                         bool is_there, struct nib_error *err);

#endif
