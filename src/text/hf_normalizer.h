/*
 * The normalizers of a tokenizer.json.  Sequences are flattened and BertNormalizer is taken apart,
 * so that what is left is a list of steps, each from one text to the next.
 */
#ifndef NIB_HF_NORMALIZER_H
#define NIB_HF_NORMALIZER_H

#include "hf_text.h"

#include <yyjson.h>

struct nib_hf_normalizer;

/* `json` may be NULL or null: nothing is changed. */
enum nib_status nib_hf_normalizer_create(struct nib_hf_normalizer **out, yyjson_val *json,
                                         const char *path, struct nib_error *err);
void nib_hf_normalizer_free(struct nib_hf_normalizer *normalizer);

/* Rewrite work->text. */
enum nib_status nib_hf_normalize(const struct nib_hf_normalizer *normalizer,
                                 struct nib_hf_work *work, struct nib_error *err);

/* Unicode's normalisation forms, from `in` to `out`.  (hf_unicode.c) */
enum nib_hf_form { NIB_HF_NFC, NIB_HF_NFD, NIB_HF_NFKC, NIB_HF_NFKD };
enum nib_status nib_hf_unicode_form(enum nib_hf_form form, struct nib_hf_work *work,
                                    const struct nib_hf_text *in, struct nib_hf_text *out,
                                    struct nib_error *err);

/* The bytes that base64 stands for; *data is malloc'ed.  False: it is none, or no memory. */
bool nib_hf_base64(struct nib_str text, uint8_t **data, size_t *n);

/* The lower case of a character, which may be two. */
size_t nib_hf_lower(uint32_t character, uint32_t out[2]);

#endif
