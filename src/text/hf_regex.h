/*
 * The patterns of a tokenizer.json: a string, or a regular expression of Oniguruma, which runs on
 * PCRE2 after a translation of what the two write differently (hf_regex_syntax.c).
 *
 * Matching ends with an error where it takes too long: one match by PCRE2's limit of steps, all of
 * a text by the time that the thread has computed.
 */
#ifndef NIB_HF_REGEX_H
#define NIB_HF_REGEX_H

#include "hf_text.h"

#define NIB_MAX_PATTERN_BYTES ((size_t)64 << 10)
#define NIB_MAX_LITERAL_BYTES ((size_t)1024)

struct nib_hf_pattern;

/* `path` and `where` ("the normalizer Replace") are for errors. */
enum nib_status nib_hf_pattern_create(struct nib_hf_pattern **out, struct nib_str source,
                                      bool is_regex, const char *path, const char *where,
                                      struct nib_error *err);
/* A pattern of PCRE2's own, which is known to be right. */
enum nib_status nib_hf_pattern_create_raw(struct nib_hf_pattern **out, struct nib_str source,
                                          struct nib_error *err);
void nib_hf_pattern_free(struct nib_hf_pattern *pattern);

/* One walk over a text, valid UTF-8: zeroed, then text set. */
struct nib_hf_matches {
    struct nib_str text;
    size_t from, last_end;
    bool has_last;
    size_t start, end; /* the match */
};

/*
 * The next match; *is_found is false after the last one.  Empty matches count unless they touch the
 * end of the one before.
 */
enum nib_status nib_hf_pattern_next(const struct nib_hf_pattern *pattern, struct nib_hf_work *work,
                                    struct nib_hf_matches *matches, bool *is_found,
                                    struct nib_error *err);

/* Oniguruma's pattern as PCRE2 wants it; `where` as above. */
enum nib_status nib_hf_regex_translate(struct nib_buffer *out, struct nib_str source,
                                       const char *path, const char *where, struct nib_error *err);

/* Unicode's White_Space and what \w means, for use within []. */
#define NIB_REGEX_SPACE                                                                            \
    "\\x09-\\x0D\\x20\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}"        \
    "\\x{205F}\\x{3000}"
#define NIB_REGEX_WORD "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"

#endif
