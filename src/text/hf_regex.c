/* Matching of patterns, see hf_regex.h. */
#include "hf_regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <time.h>

struct nib_hf_pattern {
    pcre2_code *code;       /* NULL: a string */
    struct nib_str literal; /* lies behind this */
};

static enum nib_status refuse(struct nib_str source, int code, size_t offset, const char *path,
                              const char *where, struct nib_error *err)
{
    PCRE2_UCHAR reason[128] = {0};
    (void)pcre2_get_error_message(code, reason, sizeof(reason));
    return nib_fail(err, NIB_ERROR_FILE,
                    "%s: the pattern '%.*s' of %s cannot be used: %s, at %zu of its translation; "
                    "the file is damaged or needs a newer nibble",
                    path, (int)(source.len < 80 ? source.len : 80), source.data, where,
                    (const char *)reason, offset);
}

/* Lines end in \n alone, and ^ and $ match at their ends, as in Oniguruma. */
static enum nib_status compile(pcre2_code **out, struct nib_str translated, struct nib_str source,
                               const char *path, const char *where, struct nib_error *err)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (context == NULL)
        return nib_fail_memory(err, 256, "the pattern that splits text");
    (void)pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    (void)pcre2_set_max_pattern_length(context, 16 * NIB_MAX_PATTERN_BYTES);
    (void)pcre2_set_parens_nest_limit(context, 200);
    int code;
    PCRE2_SIZE offset;
    *out = pcre2_compile((PCRE2_SPTR)translated.data, translated.len,
                         PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &code,
                         &offset, context);
    pcre2_compile_context_free(context);
    if (*out == NULL && code == PCRE2_ERROR_HEAP_FAILED)
        return nib_fail_memory(err, 4096, "the pattern that splits text");
    if (*out == NULL)
        return refuse(source, code, (size_t)offset, path, where, err);
    /* Without JIT (no executable memory here) matching is slower, and the same. */
    (void)pcre2_jit_compile(*out, PCRE2_JIT_COMPLETE);
    return NIB_OK;
}

static enum nib_status create(struct nib_hf_pattern **out, size_t n_literal, struct nib_error *err)
{
    *out = calloc(1, sizeof(**out) + n_literal);
    return *out != NULL ? NIB_OK : nib_fail_memory(err, sizeof(**out) + n_literal, "a pattern");
}

enum nib_status nib_hf_pattern_create_raw(struct nib_hf_pattern **out, struct nib_str source,
                                          struct nib_error *err)
{
    enum nib_status status = create(out, 0, err);
    if (status != NIB_OK)
        return status;
    status = compile(&(*out)->code, source, source, "PCRE2", "a built-in pre-tokenizer", err);
    if (status != NIB_OK) {
        nib_hf_pattern_free(*out);
        *out = NULL;
    }
    return status;
}

enum nib_status nib_hf_pattern_create(struct nib_hf_pattern **out, struct nib_str source,
                                      bool is_regex, const char *path, const char *where,
                                      struct nib_error *err)
{
    *out = NULL;
    const size_t max_bytes = is_regex ? NIB_MAX_PATTERN_BYTES : NIB_MAX_LITERAL_BYTES;
    if (source.len > max_bytes)
        return nib_fail(err, NIB_ERROR_FILE,
                        "%s: the pattern of %s has %zu bytes, expected at most %zu; the file is "
                        "damaged, get it again",
                        path, where, source.len, max_bytes);
    enum nib_status status = create(out, is_regex ? 0 : source.len, err);
    if (status != NIB_OK)
        return status;
    struct nib_hf_pattern *p = *out;
    struct nib_buffer translated = {0};
    if (!is_regex) {
        p->literal = (struct nib_str){(char *)(p + 1), source.len};
        memcpy(p + 1, source.data, source.len);
        return NIB_OK;
    }
    status = nib_hf_regex_translate(&translated, source, path, where, err);
    if (status == NIB_OK)
        status = compile(&p->code, (struct nib_str){translated.data, translated.n}, source, path,
                         where, err);
    free(translated.data);
    if (status != NIB_OK) {
        nib_hf_pattern_free(p);
        *out = NULL;
    }
    return status;
}

void nib_hf_pattern_free(struct nib_hf_pattern *p)
{
    if (p == NULL)
        return;
    pcre2_code_free(p->code);
    free(p);
}

/* ---- matching ------------------------------------------------------------------------------- */

/* Nanoseconds that this thread has computed. */
static int64_t cpu_time(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Looked at from time to time: asking for the time costs as much as a match. */
static bool is_out_of_time(struct nib_hf_work *work)
{
    return ++work->n_matches % 64 == 0 && cpu_time() > work->cpu_limit_ns;
}

static enum nib_status too_slow(size_t from, size_t n_bytes, struct nib_error *err)
{
    return nib_fail(err, NIB_ERROR_ARGUMENT,
                    "matching a pattern of the tokenizer.json takes too long at byte %zu of %zu of "
                    "the text; the pattern backtracks without end, use another tokenizer, or pass "
                    "the text in smaller parts",
                    from, n_bytes);
}

static enum nib_status prepare(struct nib_hf_work *work, struct nib_str text, struct nib_error *err)
{
    if (work->match_data == NULL) {
        work->match_data = pcre2_match_data_create(1, NULL);
        work->match_context = pcre2_match_context_create(NULL);
        if (work->match_data == NULL || work->match_context == NULL)
            return nib_fail_memory(err, 1024, "splitting text");
        (void)pcre2_set_match_limit(work->match_context, 10000000);
        (void)pcre2_set_heap_limit(work->match_context, 256 << 10 /* KiB */);
    }
    if (work->cpu_limit_ns == 0) /* five seconds, and five for each megabyte */
        work->cpu_limit_ns =
            cpu_time() + 5000000000 + (int64_t)(text.len < 1 << 30 ? text.len : 1 << 30) * 5000;
    return NIB_OK;
}

/* The first match at or after `from`, which may be empty. */
static enum nib_status find_regex(const struct nib_hf_pattern *p, struct nib_hf_work *work,
                                  struct nib_hf_matches *m, bool *is_found, struct nib_error *err)
{
    const PCRE2_SPTR subject = (PCRE2_SPTR)(m->text.data == NULL ? "" : m->text.data);
    int rc = pcre2_match(p->code, subject, m->text.len, m->from, PCRE2_NO_UTF_CHECK,
                         work->match_data, work->match_context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(p->code, subject, m->text.len, m->from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                         work->match_data, work->match_context);
    *is_found = rc >= 0;
    if (rc == PCRE2_ERROR_MATCHLIMIT || rc == PCRE2_ERROR_HEAPLIMIT ||
        rc == PCRE2_ERROR_DEPTHLIMIT || is_out_of_time(work))
        return too_slow(m->from, m->text.len, err);
    if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
        return nib_fail(
            err, rc == PCRE2_ERROR_NOMEMORY ? NIB_ERROR_MEMORY : NIB_ERROR_ARGUMENT,
            "the text could not be split at byte %zu of %zu (PCRE2 error %d); pass it in smaller "
            "parts",
            m->from, m->text.len, rc);
    if (*is_found) {
        const PCRE2_SIZE *offsets = pcre2_get_ovector_pointer(work->match_data);
        m->start = offsets[0];
        m->end = offsets[1];
        if (m->end < m->start) /* \K behind a look-ahead */
            m->end = m->start;
    }
    return NIB_OK;
}

static bool find_literal(struct nib_str literal, struct nib_hf_matches *m)
{
    const char *p = m->text.data + m->from, *end = m->text.data + m->text.len;
    if (literal.len == 0) {
        m->start = m->end = m->from;
        return true;
    }
    for (; (size_t)(end - p) >= literal.len; p++) {
        p = memchr(p, literal.data[0], (size_t)(end - p) - literal.len + 1);
        if (p == NULL)
            return false;
        if (memcmp(p, literal.data, literal.len) == 0) {
            m->start = (size_t)(p - m->text.data);
            m->end = m->start + literal.len;
            return true;
        }
    }
    return false;
}

enum nib_status nib_hf_pattern_next(const struct nib_hf_pattern *p, struct nib_hf_work *work,
                                    struct nib_hf_matches *m, bool *is_found, struct nib_error *err)
{
    enum nib_status status = p->code == NULL ? NIB_OK : prepare(work, m->text, err);
    *is_found = false;
    while (status == NIB_OK && m->from <= m->text.len && m->text.len > 0) {
        if (p->code == NULL)
            *is_found = find_literal(p->literal, m);
        else
            status = find_regex(p, work, m, is_found, err);
        if (status != NIB_OK || !*is_found)
            break;
        if (m->start < m->end || !m->has_last || m->start != m->last_end) {
            m->from = m->last_end = m->end;
            m->has_last = true;
            return NIB_OK;
        }
        /* Empty, where the last one ended: on with the next character. */
        *is_found = false;
        if (m->from == m->text.len)
            break;
        (void)nib_hf_next(m->text, &m->from);
    }
    return status;
}
