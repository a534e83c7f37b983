/*
 * The way from text to ids and back, one for each kind of file: GGUF (gguf_tokenizer.c),
 * tokenizer.json (hf_tokenizer.c), SentencePiece's .model (sp_tokenizer.c).  tokenizer.c picks one.
 */
#ifndef NIB_TEXT_CODEC_H
#define NIB_TEXT_CODEC_H

#include "encoder.h"
#include "tokenizer.h"

/* Decoding of one sequence in a stream: as a whole it may differ, see nib_tokenizer_decode(). */
#define NIB_DECODE_STREAM (1u << 16)

struct nib_codec {
    /* The codec in `self` and what is known of it, NULL after a failure. */
    enum nib_status (*create)(void **self, struct nib_tokenizer_info *info,
                              const struct nib_gguf *gguf, struct nib_error *err);
    void (*free)(void *self);

    /* Append the ids of `text`, at most NIB_MAX_TEXT_BYTES of anything, to scratch->ids. */
    enum nib_status (*encode)(const void *self, struct nib_scratch *scratch, struct nib_str text,
                              unsigned flags, struct nib_error *err);

    /*
     * Decoding of one sequence: push() appends to `text` what an id below n_vocab settles, end()
     * what is left.
     */
    enum nib_status (*decoding_create)(void **decoding, const void *self, unsigned flags,
                                       struct nib_error *err);
    enum nib_status (*decoding_push)(void *decoding, int32_t id, struct nib_buffer *text,
                                     struct nib_error *err);
    enum nib_status (*decoding_end)(void *decoding, struct nib_buffer *text, struct nib_error *err);
    void (*decoding_free)(void *decoding);

    const char *(*name)(const void *self, int32_t id); /* of an id below n_vocab; NULL: none */
    bool (*is_end)(const void *self, int32_t id);
    bool (*cleans_spaces)(const void *self); /* see nib_clean_spaces() */
};

extern const struct nib_codec nib_codec_gguf;
extern const struct nib_codec nib_codec_hf;
extern const struct nib_codec nib_codec_sp;

#endif
