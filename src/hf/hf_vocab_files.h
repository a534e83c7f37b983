/* Tokenizers of folders without tokenizer.json, made of the files that there are. */
#ifndef NIB_HF_VOCAB_FILES_H
#define NIB_HF_VOCAB_FILES_H

#include "hf_config.h"

struct nib_hf_vocab_source {
    struct nib_gguf_image *image;
    const char *folder;
    const struct nib_hf_config *config;
    yyjson_val *settings; /* of tokenizer_config.json, NULL: there is none */
    yyjson_val *special;  /* of special_tokens_map.json, or NULL */
    struct nib_error *err;
};

/* The path of a file of the folder; false, and "", if there is none. */
enum { NIB_HF_MAX_PATH = 4096 };
bool nib_hf_find_file(const char *folder, const char *name, char out[NIB_HF_MAX_PATH]);

/* The value of either file, special_tokens_map.json first; NULL: absent or null. */
yyjson_val *nib_hf_setting(const struct nib_hf_vocab_source *source, const char *name);
/* A token's name, "<s>" or {"content": "<s>"}; without data where it is neither. */
struct nib_str nib_hf_token_name(yyjson_val *value);

/*
 * Each returns NIB_OK, and puts nothing, where its files are not there.
 *
 * hf_bpe_files.c: vocab.json and merges.txt -> tokenizer.huggingface.json.
 * hf_spm_files.c: a SentencePiece model whose ids are not, or not all, those of the language model,
 * as Marian, M2M-100, NLLB, mBART, Pegasus and T5 have them -> nibble.tokenizer.model, with the
 * pieces in the order of the ids.
 */
enum nib_status nib_hf_put_bpe(const struct nib_hf_vocab_source *source);
enum nib_status nib_hf_put_spm(const struct nib_hf_vocab_source *source);

#endif
