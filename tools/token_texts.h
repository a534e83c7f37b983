/*
 * The texts of single tokens, as they stand in the middle of a text, and what JSON says of tokens.
 */
#ifndef NIB_TOKEN_TEXTS_H
#define NIB_TOKEN_TEXTS_H

#include "input.h"
#include "nibble.h"

#include <yyjson.h>

struct nib_token_texts {
    const struct nib_model *model;
    struct nib_text_stream *stream; /* NULL for a model without a tokenizer: there are no texts */
    int32_t before; /* a token of one letter that stands before the other, so that this is not the
                       text's first */
    char letter;    /* of it; 0: there is none */
    struct nib_buffer text;
};

void nib_token_texts_create(struct nib_token_texts *out, const struct nib_model *model);
void nib_token_texts_free(struct nib_token_texts *texts);

/* UTF-8, incomplete characters as U+FFFD, special tokens by their names, "" where there is
 * none; until the next call. */
const char *nib_token_text(struct nib_token_texts *texts, int32_t id);

/* "ids": [...] and, where there are texts, "tokens": [...] */
void nib_json_add_ids(yyjson_mut_doc *doc, yyjson_mut_val *object, struct nib_token_texts *texts,
                      const int32_t *ids, size_t n_ids);
/* A number, or null for infinity and NaN, which JSON cannot hold. */
yyjson_mut_val *nib_json_number(yyjson_mut_doc *doc, double value);
/* [{"id": 1, "token": "a", "logprob": -0.5}, ...] */
yyjson_mut_val *nib_json_logprobs(yyjson_mut_doc *doc, struct nib_token_texts *texts,
                                  const struct nib_id_logprob *logprobs, size_t n);
/* The document as a line on standard output; complains where that fails.  Frees it. */
int nib_json_print_line(yyjson_mut_doc *doc);

#endif
