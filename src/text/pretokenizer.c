/* Splitting by the patterns of split_patterns.h. */
#include "pretokenizer.h"

#include "split_patterns.h"
#include "utf8.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <utf8proc.h>

struct stage {
    pcre2_code *code;      /* NULL: digits by threes */
    const char *of_threes; /* which way, of split_patterns.h */
};

struct nib_pretokenizer {
    const struct nib_pretokenizer_traits *traits;
    struct stage stages[NIB_MAX_SPLIT_STAGES];
    size_t n_stages;
};

static enum nib_status compile(struct nib_pretokenizer *p, const char *pattern,
                               struct nib_error *err)
{
    int code;
    PCRE2_SIZE offset;
    struct stage *stage = &p->stages[p->n_stages++];
    if (pattern == nib_split_threes || pattern == nib_split_threes_of_words ||
        pattern == nib_split_before_threes) {
        stage->of_threes = pattern;
        return NIB_OK;
    }
    stage->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP,
                                &code, &offset, NULL);
    if (stage->code == NULL && code == PCRE2_ERROR_NOMEMORY)
        return nib_fail_memory(err, 4096, "the pattern that splits text");
    if (stage->code == NULL)
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "PCRE2 refuses the pattern of the pre-tokenizer %s at offset %zu (error "
                        "%d), expected a PCRE2 of at least 10.40 built with Unicode; install one",
                        p->traits->name, (size_t)offset, code);
    /* Without JIT (no executable memory here) matching is slower, and the same. */
    (void)pcre2_jit_compile(stage->code, PCRE2_JIT_COMPLETE);
    return NIB_OK;
}

enum nib_status nib_pretokenizer_create(struct nib_pretokenizer **out, struct nib_str name,
                                        const char *path, struct nib_error *err)
{
    *out = NULL;
    const struct nib_split_row *row = nib_split_row_find(name);
    if (row == NULL)
        return nib_fail(
            err, NIB_ERROR_FILE,
            "%s: the pre-tokenizer '%.*s' (tokenizer.ggml.pre) is not known, expected "
            "gpt-2, smollm, llama-bpe, qwen2 or another of those that llama.cpp writes; a newer "
            "nibble may know it",
            path, (int)(name.len < 64 ? name.len : 64), name.data);
    struct nib_pretokenizer *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return nib_fail_memory(err, sizeof(*p), "the pre-tokenizer");
    p->traits = &row->traits;
    enum nib_status status = NIB_OK;
    for (size_t i = 0; i < NIB_MAX_SPLIT_STAGES && row->pattern->stages[i] != NULL; i++)
        if (status == NIB_OK)
            status = compile(p, row->pattern->stages[i], err);
    if (status != NIB_OK) {
        nib_pretokenizer_free(p);
        return status;
    }
    *out = p;
    return NIB_OK;
}

void nib_pretokenizer_free(struct nib_pretokenizer *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < p->n_stages; i++)
        pcre2_code_free(p->stages[i].code);
    free(p);
}

const struct nib_pretokenizer_traits *nib_pretokenizer_traits(const struct nib_pretokenizer *p)
{
    return p->traits;
}

void nib_split_scratch_free(struct nib_split_scratch *scratch)
{
    pcre2_match_data_free(scratch->match_data);
    pcre2_match_context_free(scratch->match_context);
    *scratch = (struct nib_split_scratch){0};
}

static enum nib_status prepare(struct nib_split_scratch *scratch, size_t n_bytes,
                               struct nib_error *err)
{
    if (scratch->match_data == NULL)
        scratch->match_data = pcre2_match_data_create(1, NULL);
    if (scratch->match_context == NULL)
        scratch->match_context = pcre2_match_context_create(NULL);
    if (scratch->match_data == NULL || scratch->match_context == NULL)
        return nib_fail_memory(err, 1024, "splitting text");
    /* No match takes more than a few steps for a byte; the limit is there in case one would. */
    const uint32_t limit = 10000000 + 16 * (uint32_t)(n_bytes < 1 << 26 ? n_bytes : 1 << 26);
    pcre2_set_match_limit(scratch->match_context, limit);
    return NIB_OK;
}

struct split_job {
    const struct nib_pretokenizer *pretokenizer;
    struct nib_split_scratch *scratch;
    nib_word_fn *word;
    void *data;
};

/* The next match at or after `from`; if there is none, an empty one at the end. */
static enum nib_status find_match(const pcre2_code *code, struct nib_split_scratch *scratch,
                                  struct nib_str text, size_t from, size_t *start, size_t *end,
                                  struct nib_error *err)
{
    const PCRE2_SPTR subject = (PCRE2_SPTR)text.data;
    const uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY;
    int rc = pcre2_match(code, subject, text.len, from, options, scratch->match_data,
                         scratch->match_context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(code, subject, text.len, from, options | PCRE2_NO_JIT, scratch->match_data,
                         scratch->match_context);
    *start = *end = text.len;
    if (rc == PCRE2_ERROR_NOMATCH)
        return NIB_OK;
    if (rc < 0)
        return nib_fail(
            err, rc == PCRE2_ERROR_NOMEMORY ? NIB_ERROR_MEMORY : NIB_ERROR_ARGUMENT,
            "the text could not be split into words at byte %zu of %zu (PCRE2 error %d); "
            "pass it in smaller parts",
            from, text.len, rc);
    const PCRE2_SIZE *offsets = pcre2_get_ovector_pointer(scratch->match_data);
    *start = offsets[0];
    *end = offsets[1];
    return NIB_OK;
}

static enum nib_status split_part(const struct split_job *job, size_t i_stage, struct nib_str text,
                                  struct nib_error *err);

/* Text from byte `begin` to `end`, by the stages that follow. */
static enum nib_status pass_on(const struct split_job *job, size_t i_stage, struct nib_str text,
                               size_t begin, size_t end, struct nib_error *err)
{
    return split_part(job, i_stage + 1, (struct nib_str){text.data + begin, end - begin}, err);
}

/* ---- digits by threes ----------------------------------------------------------------------- */

/* The category of the character at `at`, and its length; bytes are valid UTF-8. */
static utf8proc_category_t category_at(struct nib_str text, size_t at, size_t *len)
{
    utf8proc_int32_t c = 0;
    *len = (size_t)nib_utf8_scan(text.data + at, text.len - at);
    (void)utf8proc_iterate((const utf8proc_uint8_t *)text.data + at, (utf8proc_ssize_t)*len, &c);
    return utf8proc_category(c);
}

static bool is_of_word(utf8proc_category_t category)
{
    return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NL) ||
           category == UTF8PROC_CATEGORY_PC;
}

/* The text from *from on, of which n digits begin at `at`, up to the last border in them. */
static enum nib_status split_run(const struct split_job *job, size_t i_stage, struct nib_str text,
                                 size_t *from, size_t at, size_t n, struct nib_error *err)
{
    const bool at_ends = job->pretokenizer->stages[i_stage].of_threes != nib_split_before_threes;
    enum nib_status status = NIB_OK;
    if (at_ends || n % 3 == 0) {
        status = pass_on(job, i_stage, text, *from, at, err);
        *from = at;
    }
    while (n > 0 && status == NIB_OK) {
        const size_t n_group = n % 3 == 0 ? 3 : n % 3;
        for (size_t i = 0; i < n_group; i++)
            at += (size_t)nib_utf8_scan(text.data + at, text.len - at);
        n -= n_group;
        if (at_ends || n > 0) {
            status = pass_on(job, i_stage, text, *from, at, err);
            *from = at;
        }
    }
    return status;
}

static enum nib_status split_by_threes(const struct split_job *job, size_t i_stage,
                                       struct nib_str text, struct nib_error *err)
{
    const bool of_words = job->pretokenizer->stages[i_stage].of_threes == nib_split_threes_of_words;
    enum nib_status status = NIB_OK;
    size_t from = 0;
    for (size_t i = 0, end, len; i < text.len && status == NIB_OK; i = end) {
        size_t n = 0;
        utf8proc_category_t category; /* in the end, of the first character that is no digit */
        for (end = i; end < text.len; end += len, n++)
            if ((category = category_at(text, end, &len)) != UTF8PROC_CATEGORY_ND)
                break;
        const bool is_word = end < text.len && is_of_word(category);
        if (n > 0 && !(of_words && is_word))
            status = split_run(job, i_stage, text, &from, i, n, err);
        end += end < text.len ? len : 0;
    }
    return status != NIB_OK ? status : pass_on(job, i_stage, text, from, text.len, err);
}

/* ---- stages --------------------------------------------------------------------------------- */

static enum nib_status split_by_pattern(const struct split_job *job, size_t i_stage,
                                        struct nib_str text, struct nib_error *err)
{
    const pcre2_code *code = job->pretokenizer->stages[i_stage].code;
    for (size_t from = 0, start, end; from < text.len; from = end) {
        enum nib_status status = find_match(code, job->scratch, text, from, &start, &end, err);
        if (status == NIB_OK)
            status = pass_on(job, i_stage, text, from, start, err);
        if (status == NIB_OK)
            status = pass_on(job, i_stage, text, start, end, err);
        if (status != NIB_OK)
            return status;
    }
    return NIB_OK;
}

/* Split by this stage, each part by those after it. */
static enum nib_status split_part(const struct split_job *job, size_t i_stage, struct nib_str text,
                                  struct nib_error *err)
{
    if (text.len == 0)
        return NIB_OK;
    if (i_stage == job->pretokenizer->n_stages)
        return job->word(job->data, text, err);
    return job->pretokenizer->stages[i_stage].code != NULL
               ? split_by_pattern(job, i_stage, text, err)
               : split_by_threes(job, i_stage, text, err);
}

enum nib_status nib_pretokenizer_split(const struct nib_pretokenizer *p,
                                       struct nib_split_scratch *scratch, struct nib_str text,
                                       nib_word_fn *word, void *data, struct nib_error *err)
{
    const struct split_job job = {
        .pretokenizer = p, .scratch = scratch, .word = word, .data = data};
    const enum nib_status status = prepare(scratch, text.len, err);
    return status != NIB_OK ? status : split_part(&job, 0, text, err);
}
