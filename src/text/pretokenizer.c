/*
 * The table of pre-tokenizers, and splitting with them.  The patterns are those of the
 * tokenizer.json files that the models were published with, "(?i:...)" written out in ASCII; the
 * names, and which name means which pattern, are those of llama.cpp's converter.
 */
#include "pretokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

#define MAX_STAGES 2

/* Unicode's White_Space, for use within [].  PCRE2's own \s still has U+180E. */
#define SPACE                                                                                      \
    "\\x09-\\x0D\\x20\\x85\\xA0\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}"   \
    "\\x{3000}"

#define DIGIT  "\\p{N}"
#define SPACES "[" SPACE "]+(?![^" SPACE "])|[" SPACE "]+"
#define GPT2   "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" SPACE "\\p{L}\\p{N}]+|" SPACES
#define LLAMA3(digits)                                                                             \
    "'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits             \
    "| ?[^" SPACE "\\p{L}\\p{N}]+[\\r\\n]*|[" SPACE "]*[\\r\\n]+|" SPACES

/*
 * Each stage splits the parts that the one before has made, at the borders of its matches; a part
 * is matched as if nothing stood around it.
 */
struct split_pattern {
    const char *stages[MAX_STAGES];
};

static const struct split_pattern gpt2 = {{GPT2}};
static const struct split_pattern digits_then_gpt2 = {{DIGIT, GPT2}};
static const struct split_pattern llama3 = {{LLAMA3("\\p{N}{1,3}")}};
static const struct split_pattern qwen2 = {{LLAMA3("\\p{N}")}};

static const struct {
    struct nib_pretokenizer_traits traits; /* name, adds_bos, takes_whole_words, cleans_spaces */
    const struct split_pattern *pattern;
} table[] = {
    {{"gpt-2", false, false, true}, &gpt2},
    {{"phi-2", false, false, true}, &gpt2},
    {{"mpt", false, false, true}, &gpt2},
    {{"olmo", false, false, true}, &gpt2},
    {{"jais", false, false, true}, &gpt2},
    {{"gigachat", false, false, true}, &gpt2},
    {{"mellum", false, false, true}, &gpt2},
    {{"exaone4", false, false, true}, &gpt2},
    {{"smollm", false, false, false}, &digits_then_gpt2},
    {{"starcoder", false, false, true}, &digits_then_gpt2},
    {{"refact", false, false, true}, &digits_then_gpt2},
    {{"command-r", false, false, false}, &digits_then_gpt2},
    {{"codeshell", false, false, true}, &digits_then_gpt2},
    {{"exaone", false, false, true}, &digits_then_gpt2},
    {{"minerva-7b", false, false, true}, &digits_then_gpt2},
    {{"llama-bpe", true, true, true}, &llama3},
    {{"llama3", true, true, true}, &llama3},
    {{"llama-v3", true, true, true}, &llama3},
    {{"falcon3", true, true, true}, &llama3},
    {{"pixtral", true, true, true}, &llama3},
    {{"lfm2", true, true, true}, &llama3},
    {{"dbrx", false, false, true}, &llama3},
    {{"smaug-bpe", false, false, true}, &llama3},
    {{"qwen2", false, false, false}, &qwen2},
    {{"deepseek-r1-qwen", false, false, false}, &qwen2},
    {{"stablelm2", false, false, true}, &qwen2},
    {{"hunyuan", false, false, false}, &qwen2},
    {{"megrez", false, false, true}, &qwen2},
};

struct nib_pretokenizer {
    const struct nib_pretokenizer_traits *traits;
    pcre2_code *stages[MAX_STAGES + 1]; /* up to a NULL */
};

static enum nib_status compile(struct nib_pretokenizer *p, const struct split_pattern *pattern,
                               struct nib_error *err)
{
    for (size_t i = 0; i < MAX_STAGES && pattern->stages[i] != NULL; i++) {
        int code;
        PCRE2_SIZE offset;
        p->stages[i] = pcre2_compile((PCRE2_SPTR)pattern->stages[i], PCRE2_ZERO_TERMINATED,
                                     PCRE2_UTF | PCRE2_UCP, &code, &offset, NULL);
        if (p->stages[i] == NULL && code == PCRE2_ERROR_NOMEMORY)
            return nib_fail_memory(err, 4096, "the pattern that splits text");
        if (p->stages[i] == NULL)
            return nib_fail(
                err, NIB_ERROR_ARGUMENT,
                "PCRE2 refuses the pattern of the pre-tokenizer %s at offset %zu (error "
                "%d), expected a PCRE2 built with Unicode; install one",
                p->traits->name, (size_t)offset, code);
        /* Without JIT (no executable memory here) matching is slower, and the same. */
        (void)pcre2_jit_compile(p->stages[i], PCRE2_JIT_COMPLETE);
    }
    return NIB_OK;
}

enum nib_status nib_pretokenizer_create(struct nib_pretokenizer **out, struct nib_str name,
                                        const char *path, struct nib_error *err)
{
    *out = NULL;
    size_t row = 0;
    while (row < NIB_COUNT(table) && !nib_str_equal(name, nib_str_from(table[row].traits.name)))
        row++;
    if (row == NIB_COUNT(table))
        return nib_fail(
            err, NIB_ERROR_FILE,
            "%s: the pre-tokenizer '%.*s' (tokenizer.ggml.pre) is not known, expected "
            "gpt-2, smollm, llama-bpe, qwen2 or a relative of theirs; a newer nibble may "
            "know it",
            path, (int)(name.len < 64 ? name.len : 64), name.data);
    struct nib_pretokenizer *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return nib_fail_memory(err, sizeof(*p), "the pre-tokenizer");
    p->traits = &table[row].traits;
    const enum nib_status status = compile(p, table[row].pattern, err);
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
    for (size_t i = 0; i < MAX_STAGES; i++)
        pcre2_code_free(p->stages[i]);
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

/* Split by this stage, each part by those after it; at the end of the stages stands a NULL. */
static enum nib_status split_part(pcre2_code *const *stage, const struct split_job *job,
                                  struct nib_str text, struct nib_error *err)
{
    if (text.len == 0)
        return NIB_OK;
    if (*stage == NULL)
        return job->word(job->data, text, err);
    for (size_t from = 0, start, end; from < text.len; from = end) {
        enum nib_status status = find_match(*stage, job->scratch, text, from, &start, &end, err);
        if (status == NIB_OK)
            status =
                split_part(stage + 1, job, (struct nib_str){text.data + from, start - from}, err);
        if (status == NIB_OK)
            status =
                split_part(stage + 1, job, (struct nib_str){text.data + start, end - start}, err);
        if (status != NIB_OK)
            return status;
    }
    return NIB_OK;
}

enum nib_status nib_pretokenizer_split(const struct nib_pretokenizer *p,
                                       struct nib_split_scratch *scratch, struct nib_str text,
                                       nib_word_fn *word, void *data, struct nib_error *err)
{
    const struct split_job job = {.scratch = scratch, .word = word, .data = data};
    const enum nib_status status = prepare(scratch, text.len, err);
    return status != NIB_OK ? status : split_part(p->stages, &job, text, err);
}
