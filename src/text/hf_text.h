/*
 * Text on its way through a tokenizer.json: valid UTF-8 that normalizers rewrite, and the splits
 * that pre-tokenizers make of it.
 *
 * Of where the text came from one thing counts later: whether a split begins at the very start of
 * the input (Metaspace with the scheme "first").  So a split knows whether it does, and how many of
 * its first bytes were made of the input's first character.
 */
#ifndef NIB_HF_TEXT_H
#define NIB_HF_TEXT_H

#include "scratch.h"

struct nib_hf_split {
    size_t start, end; /* bytes in the text */
    size_t n_origin;   /* of them, the first ones, come of the input's first character */
    bool is_at_origin;
    int32_t id; /* an added token; -1: text */
};

/* All splits, in order; text that belongs to none is passed over. */
struct nib_hf_splits {
    struct nib_buffer text;
    struct nib_hf_split *data;
    size_t n, capacity;
};

/* A text and its n_origin. */
struct nib_hf_text {
    struct nib_buffer bytes;
    size_t n_origin;
};

/* What encoding works in: one thread's, zeroed at first. */
struct nib_hf_work {
    size_t max_bytes; /* what a text may grow to */
    struct nib_hf_text text, other_text;
    struct nib_hf_splits splits, other_splits;
    int32_t *characters; /* [characters_capacity] of the Unicode forms */
    size_t characters_capacity;
    void *match_data, *match_context; /* PCRE2's */
    int64_t cpu_limit_ns; /* of this thread, for matching patterns of the file; 0: not yet set */
    size_t n_matches;
    struct nib_buffer bytes; /* of a component's own use */
};

void nib_hf_work_free(struct nib_hf_work *work);

/* Append to a text or to splits' text, at most work->max_bytes in all. */
enum nib_status nib_hf_append(struct nib_hf_work *work, struct nib_buffer *out, const char *bytes,
                              size_t n, struct nib_error *err);

/* Append the part [start, end) of `from` as a split of its own, unless it is empty. */
enum nib_status nib_hf_push_slice(struct nib_hf_splits *out, const struct nib_hf_split *from,
                                  size_t start, size_t end, struct nib_error *err);
/* Append a split as it is, if it is not empty. */
enum nib_status nib_hf_push_split(struct nib_hf_splits *out, const struct nib_hf_split *split,
                                  struct nib_error *err);

/* The character at *i in valid UTF-8; moves *i behind it. */
static inline uint32_t nib_hf_next(struct nib_str text, size_t *i)
{
    const unsigned char *u = (const unsigned char *)text.data + *i;
    if (u[0] < 0x80) {
        *i += 1;
        return u[0];
    }
    if (u[0] < 0xE0) {
        *i += 2;
        return (u[0] & 0x1Fu) << 6 | (u[1] & 0x3Fu);
    }
    if (u[0] < 0xF0) {
        *i += 3;
        return (u[0] & 0x0Fu) << 12 | (u[1] & 0x3Fu) << 6 | (u[2] & 0x3Fu);
    }
    *i += 4;
    return (u[0] & 0x07u) << 18 | (u[1] & 0x3Fu) << 12 | (u[2] & 0x3Fu) << 6 | (u[3] & 0x3Fu);
}

/* The character that ends before `end` > 0. */
static inline uint32_t nib_hf_previous(struct nib_str text, size_t *end)
{
    size_t i = *end - 1;
    while (i > 0 && ((unsigned char)text.data[i] & 0xC0) == 0x80)
        i--;
    *end = i;
    size_t next = i;
    return nib_hf_next(text, &next);
}

/* Write a character; gives its 1..4 bytes. */
size_t nib_hf_put(char out[4], uint32_t character);

/* Unicode's White_Space. */
bool nib_hf_is_space(uint32_t character);
bool nib_hf_is_number(uint32_t character);      /* N */
bool nib_hf_is_punctuation(uint32_t character); /* P, and ASCII's symbols */
bool nib_hf_is_mark(uint32_t character);        /* M */
bool nib_hf_is_nonspacing(uint32_t character);  /* Mn */
bool nib_hf_is_other(uint32_t character);       /* Cc, Cf, Co, Cs */
/* What the regular expressions of Rust call \w: letters and their like, marks, digits, connecting
 * punctuation, joiners. */
bool nib_hf_is_word(uint32_t character);

#endif
