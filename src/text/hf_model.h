/* The model in a tokenizer.json: BPE, Unigram, WordPiece or WordLevel, with its vocabulary. */
#ifndef NIB_HF_MODEL_H
#define NIB_HF_MODEL_H

#include "subword.h"

#include <yyjson.h>

struct nib_hf_model {
    struct nib_vocabulary vocabulary; /* of the model alone, without added tokens */
    size_t n_known;                   /* ids that have a text */
    const char *name;                 /* "bpe", ... */
    int32_t unk_id;                   /* -1: none */
    struct nib_bpe *bpe;
    struct nib_unigram *unigram;
    struct nib_wordpiece *wordpiece; /* none of the three: WordLevel */
};

/* The vocabulary.  To be freed even after a failure; `json` stays the caller's. */
enum nib_status nib_hf_model_read(struct nib_hf_model *model, yyjson_val *json, const char *path,
                                  struct nib_error *err);
/* What works on it, after the types of its tokens are final. */
enum nib_status nib_hf_model_create(struct nib_hf_model *model, yyjson_val *json, const char *path,
                                    struct nib_error *err);
void nib_hf_model_free(struct nib_hf_model *model);

/* Append the ids of a word that is ready. */
enum nib_status nib_hf_model_encode(const struct nib_hf_model *model, struct nib_scratch *scratch,
                                    struct nib_str word, struct nib_error *err);

#endif
