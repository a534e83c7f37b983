/*
 * Text to ids and back.  A tokenizer is built once from the vocabulary in a model's file; encoding
 * and decoding are read-only on it and may run in several threads.
 */
#ifndef NIB_TOKENIZER_H
#define NIB_TOKENIZER_H

#include "common.h"

struct nib_gguf;
struct nib_tokenizer;

/* From the keys tokenizer.ggml.*; refuses kinds and pre-tokenizers it does not know by name. */
enum nib_status nib_tokenizer_from_gguf(struct nib_tokenizer **out, const struct nib_gguf *gguf,
                                        struct nib_error *err);
void nib_tokenizer_free(struct nib_tokenizer *tokenizer);

struct nib_tokenizer_info {
    const char *kind;          /* "bpe", "sentencepiece" */
    const char *pre_tokenizer; /* "smollm", or "" where the kind has none */
    size_t n_vocab;
    int32_t bos_id, eos_id, unk_id; /* -1: none */
    bool adds_bos, adds_eos;
};

const struct nib_tokenizer_info *nib_tokenizer_info(const struct nib_tokenizer *tokenizer);

/* `flags` as in nibble.h: NIB_ADD_SPECIAL, NIB_PARSE_SPECIAL.  *ids is malloc'ed (not NULL even for
 * 0). */
enum nib_status nib_tokenizer_encode(const struct nib_tokenizer *tokenizer, struct nib_str text,
                                     unsigned flags, int32_t **ids, size_t *n_ids,
                                     struct nib_error *err);

/* The text of ids as one string: where the kind adds a leading blank to text, it is taken off
 * again. *text is malloc'ed and zero-terminated.  NIB_PARSE_SPECIAL: special tokens as their names.
 * NIB_CLEAN_SPACES: without the blanks that the published tokenizer takes out, see nibble.h. */
enum nib_status nib_tokenizer_decode(const struct nib_tokenizer *tokenizer, const int32_t *ids,
                                     size_t n_ids, unsigned flags, char **text, size_t *n_bytes,
                                     struct nib_error *err);

/*
 * The bytes one id stands for, leading blank included.  Valid as long as
 * the tokenizer.  Special (control) tokens give 0 bytes unless `flags` has NIB_PARSE_SPECIAL.
 */
struct nib_str nib_tokenizer_piece(const struct nib_tokenizer *tokenizer, int32_t id,
                                   unsigned flags);
size_t nib_tokenizer_max_piece_bytes(const struct nib_tokenizer *tokenizer);

const char *nib_tokenizer_name(const struct nib_tokenizer *tokenizer, int32_t id); /* or NULL */
bool nib_tokenizer_is_end(const struct nib_tokenizer *tokenizer, int32_t id);

/* Streaming; see nib_text_stream in nibble.h, which is this. */
enum nib_status nib_text_stream_create_from(struct nib_text_stream **out,
                                            const struct nib_tokenizer *tokenizer,
                                            struct nib_error *err);

#endif
