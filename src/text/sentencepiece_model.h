/*
 * SentencePiece's .model files: a protocol-buffers message ModelProto, as far as it says how text
 * is encoded and decoded
 * (https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto).
 */
#ifndef NIB_SENTENCEPIECE_MODEL_H
#define NIB_SENTENCEPIECE_MODEL_H

#include "vocabulary.h"

struct nib_buffer;

#define NIB_MAX_SP_MODEL_BYTES ((size_t)256 << 20)

enum nib_sp_kind { NIB_SP_UNIGRAM = 1, NIB_SP_BPE, NIB_SP_WORD, NIB_SP_CHAR };

/* Strings point into the file. */
struct nib_sp_model {
    size_t n_pieces;
    struct nib_str *pieces; /* [n_pieces] */
    float *scores;
    uint8_t *types; /* enum nib_token_type, whose numbers are the same */
    enum nib_sp_kind kind;
    bool falls_back_to_bytes, has_blank_behind; /* treat_whitespace_as_suffix */
    bool adds_blank, removes_extra_blanks, writes_bars;
    bool has_denormalizer;
    struct nib_str charsmap; /* "": none */
    struct nib_str unk_surface, bos_piece, eos_piece;
};

/* To be freed even after a failure; `path` is for errors. */
enum nib_status nib_sp_model_read(struct nib_sp_model *model, struct nib_str file, const char *path,
                                  struct nib_error *err);
void nib_sp_model_free(struct nib_sp_model *model);

/* Append a file that reads as this model; false: no memory. */
bool nib_sp_model_write(struct nib_buffer *out, const struct nib_sp_model *model);

#endif
