/* What every file of src/ may use: strings with a length, error sentences. */
#ifndef NIB_COMMON_H
#define NIB_COMMON_H

#include "nibble.h"

#include <assert.h>
#include <string.h>

#define NIB_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#ifdef __GNUC__
#define NIB_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define NIB_PRINTF(fmt, args)
#endif

/* Bytes that someone else owns; not zero-terminated, may hold anything. */
struct nib_str {
    const char *data;
    size_t len;
};

#define NIB_STR(literal) ((struct nib_str){"" literal, sizeof(literal) - 1})

static inline struct nib_str nib_str_from(const char *zero_terminated)
{
    return (struct nib_str){zero_terminated, strlen(zero_terminated)};
}

static inline bool nib_str_equal(struct nib_str a, struct nib_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/*
 * Write status and sentence to `err` (may be NULL) and return the status, so that a failing
 * function ends in `return nib_fail(err, NIB_ERROR_FILE, "%s: ...", path)`.  A sentence names what
 * was found, where, what was expected, and the next step.  Control characters and broken UTF-8 in
 * the result are replaced, as names come from files.
 */
enum nib_status nib_fail(struct nib_error *err, enum nib_status status, const char *format, ...)
    NIB_PRINTF(3, 4);

/*
 * Copy text that may hold anything so that a terminal can show it: control and format characters
 * and bytes that are not UTF-8 become \n, \t, \xNN or \uNNNN, and "..." ends what `cap` bytes, the
 * final zero included, cannot hold.  Returns the length.
 */
size_t nib_escape(char *out, size_t cap, const char *text, size_t n_bytes);

/* "out of memory: could not get N bytes for WHAT; ..." */
enum nib_status nib_fail_memory(struct nib_error *err, uint64_t n_bytes, const char *what);

#endif
