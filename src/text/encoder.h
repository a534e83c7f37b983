/*
 * The kinds of tokenizers that GGUF files have: each turns text without special tokens into ids.  A
 * further kind is one `struct nib_encoder_kind` in its own file and a line in tokenizer.c; the
 * models behind them are those of subword.h.
 */
#ifndef NIB_ENCODER_H
#define NIB_ENCODER_H

#include "subword.h"

struct nib_gguf;

/* Longest text for one call: positions are 32 bits and sentencepiece makes 3 bytes of a blank. */
#define NIB_MAX_TEXT_BYTES ((size_t)1 << 30)

/* What a kind does where the file does not say otherwise. */
struct nib_encoder_traits {
    const char *pre_tokenizer; /* "" if it has none */
    bool adds_bos, adds_eos;
    bool adds_space_prefix; /* a blank before the text and after each special token */
    bool cleans_spaces;     /* see nib_clean_spaces() */
};

struct nib_encoder_kind {
    const char *model;                                      /* tokenizer.ggml.model */
    const char *name;                                       /* for people */
    int32_t default_bos_id, default_eos_id, default_unk_id; /* -1: none */
    nib_piece_fn *piece;
    enum nib_status (*create)(void **out, struct nib_encoder_traits *traits,
                              const struct nib_vocabulary *vocabulary, const struct nib_gguf *gguf,
                              struct nib_error *err);
    void (*free)(void *encoder);
    /* Append the ids of `text`, at most NIB_MAX_TEXT_BYTES of anything, to scratch->ids. */
    enum nib_status (*encode)(const void *encoder, struct nib_scratch *scratch, struct nib_str text,
                              bool with_space_prefix, struct nib_error *err);
};

extern const struct nib_encoder_kind nib_encoder_bpe;
extern const struct nib_encoder_kind nib_encoder_bpe_bars;
extern const struct nib_encoder_kind nib_encoder_sentencepiece;
extern const struct nib_encoder_kind nib_encoder_unigram;
extern const struct nib_encoder_kind nib_encoder_wordpiece;

/* BPE with the merges of tokenizer.ggml.merges.  (gguf_bpe.c) */
enum nib_status nib_gguf_create_bpe(struct nib_bpe **out, const struct nib_vocabulary *vocabulary,
                                    const struct nib_bpe_options *options,
                                    const struct nib_gguf *gguf, struct nib_error *err);

#endif
