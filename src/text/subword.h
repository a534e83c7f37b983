/*
 * The models of subwords: each turns a piece of text that is ready (normalised, split into words
 * where the model works on words) into ids of a vocabulary.  What makes it ready and what the file
 * says is the business of the readers, gguf_*.c and hf_*.c.
 *
 * A model is read-only once created, keeps pointing into its vocabulary, and may be used by several
 * threads, each with its own scratch.  nib_X_encode() appends to scratch->ids; it fails only for
 * want of memory.  Control and unknown tokens are never made of text.
 */
#ifndef NIB_SUBWORD_H
#define NIB_SUBWORD_H

#include "scratch.h"
#include "vocabulary.h"

/* ---- BPE by a list of merges (bpe.c) -------------------------------------------------------- */

#define NIB_MAX_MERGES      (4 * NIB_MAX_TOKENS)
#define NIB_MAX_AFFIX_BYTES 64

struct nib_bpe;

struct nib_bpe_merge {
    struct nib_str left, right;
};

struct nib_bpe_options {
    const char *path;   /* for errors */
    bool is_byte_level; /* text is bytes; a byte is the token of the letter that stands for it */
    bool takes_whole_words; /* a word that is a token is that token, whatever the merges give */
    /* Not for byte level: */
    bool falls_back_to_bytes; /* a character that is no token becomes "<0xE2>" ... */
    bool fuses_unknown;       /* neighbours that are unknown are one unknown token */
    int32_t unk_id;           /* for what is unknown in spite of all that; -1: it is dropped */
    struct nib_str continuing_prefix, end_suffix; /* of a word's later symbols, of its last one */
};

/* The earliest merge is done first; each is of two tokens that make a third.  `merges` is not
 * needed any more afterwards. */
enum nib_status nib_bpe_create(struct nib_bpe **out, const struct nib_vocabulary *vocabulary,
                               const struct nib_bpe_options *options,
                               const struct nib_bpe_merge *merges, size_t n_merges,
                               struct nib_error *err);
void nib_bpe_free(struct nib_bpe *bpe);
enum nib_status nib_bpe_encode(const struct nib_bpe *bpe, struct nib_scratch *scratch,
                               struct nib_str word, struct nib_error *err);

/* Byte level only: bytes that are no text, as far as the vocabulary has them; U+FFFD for others. */
enum nib_status nib_bpe_encode_invalid(const struct nib_bpe *bpe, struct nib_scratch *scratch,
                                       struct nib_str bytes, struct nib_error *err);

/* The letter (UTF-8, zero-terminated) that stands for a byte in a byte-level vocabulary: "Ġ" for
 * the blank. */
void nib_letter_from_byte(char letter[3], uint8_t byte);

/* A nib_piece_fn: letters back to bytes.  A text that has others stands for itself. */
size_t nib_piece_from_letters(char *out, struct nib_str text);

/* ---- SentencePiece's BPE, by scores (sentencepiece.c) --------------------------------------- */

struct nib_sentencepiece;

/* The neighbours that make the token with the highest score are merged first.  A character that is
 * no token becomes its bytes, "<0xE2>" ..., or vocabulary->unk_id, or nothing.  The vocabulary has
 * scores. */
enum nib_status nib_sentencepiece_create(struct nib_sentencepiece **out,
                                         const struct nib_vocabulary *vocabulary,
                                         struct nib_error *err);
void nib_sentencepiece_free(struct nib_sentencepiece *sp);

/* Text of any length with "▁" (U+2581) for blanks. */
enum nib_status nib_sentencepiece_encode(const struct nib_sentencepiece *sp,
                                         struct nib_scratch *scratch, struct nib_str text,
                                         struct nib_error *err);

/* "▁" for blanks, one more in front if asked for; false: out of memory. */
bool nib_bars_from_blanks(struct nib_buffer *out, struct nib_str text, bool with_prefix);

/* A nib_piece_fn: "▁" back to blanks. */
size_t nib_piece_from_bars(char *out, struct nib_str text);

/* ---- Unigram (unigram.c) -------------------------------------------------------------------- */

struct nib_unigram;

struct nib_unigram_options {
    const char *path;         /* for errors */
    int32_t unk_id;           /* for what no token covers, neighbours as one; -1: it is dropped */
    bool falls_back_to_bytes; /* what no token covers becomes "<0xE2>" ... */
    bool sums_in_float;       /* SentencePiece; double: the tokenizers library */
};

/* The tokens whose scores have the largest sum.  The vocabulary has scores. */
enum nib_status nib_unigram_create(struct nib_unigram **out,
                                   const struct nib_vocabulary *vocabulary,
                                   const struct nib_unigram_options *options,
                                   struct nib_error *err);
void nib_unigram_free(struct nib_unigram *unigram);

/* Text of any length. */
enum nib_status nib_unigram_encode(const struct nib_unigram *unigram, struct nib_scratch *scratch,
                                   struct nib_str text, struct nib_error *err);

/* ---- WordPiece (wordpiece.c) ---------------------------------------------------------------- */

struct nib_wordpiece;

struct nib_wordpiece_options {
    const char *path;                 /* for errors */
    struct nib_str start_prefix;      /* of tokens that begin a word: "", "▁" in GGUF */
    struct nib_str continuing_prefix; /* of the others: "##", "" in GGUF */
    int32_t unk_id;                   /* for a word that is not all tokens; -1: it is dropped */
    size_t max_characters;            /* longer words are unknown; 0: no limit */
};

/* The longest token that begins the word, then the longest that goes on, and so forth. */
enum nib_status nib_wordpiece_create(struct nib_wordpiece **out,
                                     const struct nib_vocabulary *vocabulary,
                                     const struct nib_wordpiece_options *options,
                                     struct nib_error *err);
void nib_wordpiece_free(struct nib_wordpiece *wordpiece);
enum nib_status nib_wordpiece_encode(const struct nib_wordpiece *wordpiece,
                                     struct nib_scratch *scratch, struct nib_str word,
                                     struct nib_error *err);

#endif
