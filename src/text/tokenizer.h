/*
 * Text to ids and back.  A tokenizer is built once from the vocabulary in a model's file; encoding
 * and decoding are read-only on it and may run in several threads.
 */
#ifndef NIB_TOKENIZER_H
#define NIB_TOKENIZER_H

#include "common.h"

struct nib_gguf;
struct nib_tokenizer;

/*
 * From the keys tokenizer.ggml.*; else tokenizer.huggingface.json, all of a tokenizer.json, with
 * nibble.tokenizer.config, all of tokenizer_config.json; else nibble.tokenizer.model, the bytes of
 * SentencePiece's .model.  Ids in the keys tokenizer.ggml.{bos,eos}_token_id win over names in
 * these, and nibble.eos_token_ids are more that end an answer.  What is not known is refused by
 * name.
 */
enum nib_status nib_tokenizer_from_gguf(struct nib_tokenizer **out, const struct nib_gguf *gguf,
                                        struct nib_error *err);
void nib_tokenizer_free(struct nib_tokenizer *tokenizer);

struct nib_tokenizer_info {
    const char *kind;          /* "bpe", "sentencepiece", "unigram", "wordpiece", "wordlevel" */
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
 * Decoding of one sequence in parts: push() appends to `text` what an id settles (nothing for ids
 * that are not in the vocabulary), end() what is left, after which a new sequence begins.  With
 * NIB_DECODE_STREAM (text_codec.h) the sequence may begin in the middle of a text.
 */
struct nib_buffer;
struct nib_tokenizer_decoding {
    const struct nib_tokenizer *tokenizer;
    void *data;
};
enum nib_status nib_tokenizer_decoding_create(struct nib_tokenizer_decoding *decoding,
                                              const struct nib_tokenizer *tokenizer, unsigned flags,
                                              struct nib_error *err);
void nib_tokenizer_decoding_free(struct nib_tokenizer_decoding *decoding);
enum nib_status nib_tokenizer_decoding_push(struct nib_tokenizer_decoding *decoding, int32_t id,
                                            struct nib_buffer *text, struct nib_error *err);
enum nib_status nib_tokenizer_decoding_end(struct nib_tokenizer_decoding *decoding,
                                           struct nib_buffer *text, struct nib_error *err);

const char *nib_tokenizer_name(const struct nib_tokenizer *tokenizer, int32_t id); /* or NULL */
bool nib_tokenizer_is_end(const struct nib_tokenizer *tokenizer, int32_t id);

/* Streaming; see nib_text_stream in nibble.h, which is this. */
enum nib_status nib_text_stream_create_from(struct nib_text_stream **out,
                                            const struct nib_tokenizer *tokenizer,
                                            struct nib_error *err);

#endif
