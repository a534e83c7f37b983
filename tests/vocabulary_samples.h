/* Two small vocabularies to test with, and files made from them that are opened or refused. */
#ifndef VOCABULARY_SAMPLES_H
#define VOCABULARY_SAMPLES_H

#include "vocabulary_builder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const char *const bpe_tokens[] = {"a",    "b",     "c",          "Ġ", "ab",  "abc",
                                         "bc",   "<",     ">",          "x", "<x>", "<u>",
                                         "<uu>", "<unk>", "<|im_end|>", "Ġa"};
static const int32_t bpe_types[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 4, 4, 2, 1, 1};
static const char *const bpe_merges[] = {"b c", "a b", "a bc", "Ġ a", "b c"};
enum { A, B, C, BLANK, AB, ABC, BC, LESS, MORE, X, CONTROL, USER, USER2, UNKNOWN, IM_END, BLANK_A };

static const struct vocabulary bpe = {.model = "gpt2",
                                      .pre = "gpt-2",
                                      .tokens = bpe_tokens,
                                      .n_tokens = NIB_COUNT(bpe_tokens),
                                      .types = bpe_types,
                                      .merges = bpe_merges,
                                      .n_merges = NIB_COUNT(bpe_merges)};

static const char *const spm_tokens[] = {"<unk>", "<s>", "</s>", "<0x61>", "▁", "a", "b",
                                         "ab",    "▁a",  "▁ab",  "<s",     "s", ">", "<"};
static const int32_t spm_types[] = {2, 3, 3, 6, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
static const float spm_scores[] = {0, 0, 0, 0, -9, -9, -9, -2, -1, -3, 0, -9, -9, -9};

static const struct vocabulary spm = {.model = "llama",
                                      .tokens = spm_tokens,
                                      .n_tokens = NIB_COUNT(spm_tokens),
                                      .types = spm_types,
                                      .scores = spm_scores};

static inline struct nib_tokenizer *open_good(struct gguf_builder *b)
{
    struct nib_error err;
    struct nib_tokenizer *t;
    if (vocabulary_open(&t, b, &err) != NIB_OK)
        fail_msg("%s", err.message);
    return t;
}

static inline struct nib_tokenizer *open_plain(const struct vocabulary *v)
{
    struct gguf_builder b;
    vocabulary_put(v, &b);
    return open_good(&b);
}

/* The file is refused, with a sentence that has `word` in it. */
static inline void expect_refusal(struct gguf_builder *b, const char *word)
{
    struct nib_error err;
    struct nib_tokenizer *t;
    assert_int_equal(vocabulary_open(&t, b, &err), NIB_ERROR_FILE);
    assert_null(t);
    if (strstr(err.message, word) == NULL)
        fail_msg("'%s' is not in: %s", word, err.message);
    assert_non_null(strstr(err.message, "model.gguf"));
}

#endif
