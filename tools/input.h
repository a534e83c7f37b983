/*
 * What commands read: whole files or standard input, UTF-8 checked, JSON lists of texts and of ids.
 * Functions that return int complain when they fail and return an exit code.
 */
#ifndef NIB_INPUT_H
#define NIB_INPUT_H

#include "nibble.h"

struct nib_buffer { /* text that grows; data is zero-terminated once something was added */
    char *data;
    size_t n_bytes, capacity;
};

void nib_buffer_add(struct nib_buffer *buffer, const char *text, size_t n_bytes);
void nib_buffer_free(struct nib_buffer *buffer);

/* Bytes up to the first that is no UTF-8 (surrogates and overlong forms are not); n_bytes if all
 * is. */
size_t nib_utf8_prefix(const char *text, size_t n_bytes);
/* Whether what stands on the command line is UTF-8: complains about "the prompt" if not. */
int nib_check_argument(const char *what, const char *text);
/* Adds `text` with U+FFFD for what is no UTF-8. */
void nib_buffer_add_clean(struct nib_buffer *buffer, const char *text, size_t n_bytes);

/* The file at `path`, "-" for standard input, at most 256 MiB.  Add NIB_INPUT_TEXT to demand UTF-8.
 */
enum { NIB_INPUT_BYTES, NIB_INPUT_TEXT };
int nib_read_input(const char *path, int kind, struct nib_buffer *out);

struct nib_lists { /* lists of ids, one after the other */
    size_t n_lists;
    int32_t *ids;
    size_t *starts; /* [n_lists + 1] */
};

/* [[ids], [ids], ...], or lines of ids; each id must be below n_vocab, and none of the lists empty
 * unless `may_be_empty`. */
int nib_read_ids(const char *path, uint32_t n_vocab, bool may_be_empty, struct nib_lists *out);
void nib_lists_free(struct nib_lists *lists);

struct nib_texts {
    size_t n_texts;
    struct nib_buffer *texts;
};

/* A JSON list of strings, or lines of text. */
int nib_read_texts(const char *path, struct nib_texts *out);
/* Adds the lines of a text. */
void nib_split_lines(const char *text, size_t n_bytes, struct nib_texts *out);
void nib_texts_free(struct nib_texts *texts);

#endif
