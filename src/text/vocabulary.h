/*
 * The tokens of a model: their texts, kinds and scores, and the way from a text to its id.
 * Everything is copied out of the file, into a few blocks of memory, and read-only after it has
 * been loaded.
 */
#ifndef NIB_VOCABULARY_H
#define NIB_VOCABULARY_H

#include "common.h"

struct nib_gguf;

#define NIB_MAX_TOKENS      ((size_t)4 << 20)
#define NIB_MAX_TOKEN_BYTES ((size_t)64 << 10)

/* Numbers as in tokenizer.ggml.token_type. */
enum nib_token_type {
    NIB_TOKEN_UNDEFINED,
    NIB_TOKEN_NORMAL,
    NIB_TOKEN_UNKNOWN,
    NIB_TOKEN_CONTROL,
    NIB_TOKEN_USER_DEFINED, /* found in any text, before it is split */
    NIB_TOKEN_UNUSED,
    NIB_TOKEN_BYTE, /* "<0x0A>" */
    NIB_TOKEN_TYPE_COUNT
};

enum {
    NIB_TOKEN_IS_END = 1, /* ends an answer */
    NIB_TOKEN_RSTRIP = 2, /* swallows the white space after it */
};

struct nib_vocabulary {
    size_t n_tokens;
    struct nib_str *text;  /* [n_tokens] as in the file; zero bytes follow each */
    struct nib_str *piece; /* [n_tokens] the bytes a token stands for, "" for what never prints */
    uint8_t *type;         /* [n_tokens] enum nib_token_type */
    uint8_t *flags;        /* [n_tokens] NIB_TOKEN_IS_END, ... */
    float *score;          /* [n_tokens], or NULL */
    size_t max_text_bytes, max_piece_bytes;
    int32_t bos_id, eos_id, unk_id; /* -1: none */

    struct nib_token_slot *slots; /* [slot_mask + 1] */
    size_t slot_mask;
    uint64_t seed;
    char *texts, *pieces; /* the bytes of all */
};

/* Write the bytes that a normal token's text stands for, at most text.len; gives their number. */
typedef size_t nib_piece_fn(char *out, struct nib_str text);

/* What a vocabulary is made of; nothing of it is needed afterwards. */
struct nib_token_list {
    const char *path; /* for errors */
    size_t n_tokens;
    const struct nib_str *texts; /* any bytes; "": an id that no text has */
    const uint8_t *types;        /* enum nib_token_type, or NULL: all normal */
    const float *scores;         /* or NULL: the vocabulary has none */
};

/*
 * `vocabulary` is zeroed by the caller (bos_id, eos_id and unk_id apart, which stay) and to be
 * freed even after a failure.
 */
enum nib_status nib_vocabulary_create(struct nib_vocabulary *vocabulary,
                                      const struct nib_token_list *list, struct nib_error *err);

/* The same from the keys tokenizer.ggml.{tokens,scores,token_type}.  (gguf_vocabulary.c) */
enum nib_status nib_vocabulary_load(struct nib_vocabulary *vocabulary, const struct nib_gguf *gguf,
                                    struct nib_error *err);

/* Fill `piece`; after the types are final. */
enum nib_status nib_vocabulary_make_pieces(struct nib_vocabulary *vocabulary, nib_piece_fn *piece,
                                           struct nib_error *err);

void nib_vocabulary_free(struct nib_vocabulary *vocabulary);

/* The lowest id with this text; -1: none.  No text finds an empty token. */
int32_t nib_vocabulary_find(const struct nib_vocabulary *vocabulary, const char *text, size_t n);

/* "<0x0A>" to 10, and nothing else to anything: -1. */
int nib_byte_token_value(struct nib_str text);

/* The token "<0x0A>" of byte 10; -1: none. */
int32_t nib_vocabulary_find_byte(const struct nib_vocabulary *vocabulary, uint8_t byte);

/*
 * Read the ids of special tokens (their defaults are in `vocabulary`) and decide which tokens end
 * an answer, are control tokens in spite of their type, or strip white space.  (token_roles.c)
 */
enum nib_status nib_vocabulary_assign_roles(struct nib_vocabulary *vocabulary,
                                            const struct nib_gguf *gguf, struct nib_error *err);

/* Does a special token of this name end an answer in every model that has it?  `has` tells which
 * other names there are.  (token_roles.c) */
typedef bool nib_has_name_fn(const void *data, struct nib_str name);
bool nib_name_ends_answer(struct nib_str name, nib_has_name_fn *has, const void *data);

static inline bool nib_token_is_special(const struct nib_vocabulary *vocabulary, int32_t id)
{
    const uint8_t type = vocabulary->type[id];
    return type == NIB_TOKEN_CONTROL || type == NIB_TOKEN_UNKNOWN || type == NIB_TOKEN_USER_DEFINED;
}

/* May text become this token?  Control tokens never come of text, nor bytes of their names. */
static inline bool nib_token_comes_of_text(const struct nib_vocabulary *vocabulary, int32_t id)
{
    const uint8_t type = vocabulary->type[id];
    return type == NIB_TOKEN_NORMAL || type == NIB_TOKEN_USER_DEFINED || type == NIB_TOKEN_UNUSED;
}

/* Tokens that print as their names with NIB_PARSE_SPECIAL and else not at all. */
static inline bool nib_token_is_silent(const struct nib_vocabulary *vocabulary, int32_t id)
{
    const uint8_t type = vocabulary->type[id];
    return type == NIB_TOKEN_CONTROL || type == NIB_TOKEN_UNKNOWN || type == NIB_TOKEN_UNUSED;
}

#endif
