/* GGUF's tokenizer.ggml.model "t5", of T5 and XLM-RoBERTa: Unigram on text as SentencePiece
 * normalises it. */
#include "encoder.h"
#include "gguf.h"
#include "sp_normalize.h"

#include <stdlib.h>

#define KEY_MAP "tokenizer.ggml.precompiled_charsmap"

struct text_unigram {
    struct nib_unigram *unigram;
    struct nib_charsmap *map;
    struct nib_sp_normalizer normalizer;
};

static void unigram_free(void *encoder)
{
    struct text_unigram *u = encoder;
    if (u == NULL)
        return;
    nib_unigram_free(u->unigram);
    nib_charsmap_free(u->map);
    free(u);
}

static enum nib_status wrong_map(const struct nib_gguf *gguf, struct nib_error *err)
{
    return nib_fail(err, NIB_ERROR_FILE,
                    "%s: %s is not an array of at most %zu bytes; the file is damaged, get it "
                    "again",
                    nib_gguf_path(gguf), KEY_MAP, NIB_MAX_CHARSMAP_BYTES);
}

static enum nib_status load_map(struct text_unigram *u, const struct nib_gguf *gguf,
                                struct nib_error *err)
{
    size_t n;
    if (!nib_gguf_has(gguf, KEY_MAP))
        return NIB_OK;
    if (!nib_gguf_ints(gguf, KEY_MAP, &n) || n > NIB_MAX_CHARSMAP_BYTES)
        return wrong_map(gguf, err);
    if (n == 0)
        return NIB_OK;
    int64_t *values = malloc(n * sizeof(*values));
    uint8_t *blob = malloc(n);
    enum nib_status status = NIB_OK;
    if (values == NULL || blob == NULL)
        status = nib_fail_memory(err, n * (sizeof(*values) + 1), "the map of characters");
    else
        nib_gguf_copy_ints(gguf, KEY_MAP, values);
    for (size_t i = 0; i < n && status == NIB_OK; i++) {
        if (values[i] < -128 || values[i] > 255) /* converters write I8 or U8 */
            status = wrong_map(gguf, err);
        else
            blob[i] = (uint8_t)values[i];
    }
    if (status == NIB_OK)
        status = nib_charsmap_create(&u->map, blob, n, nib_gguf_path(gguf), err);
    free(values);
    free(blob);
    return status;
}

static enum nib_status unigram_create(void **out, struct nib_encoder_traits *traits,
                                      const struct nib_vocabulary *vocabulary,
                                      const struct nib_gguf *gguf, struct nib_error *err)
{
    *out = NULL;
    if (vocabulary->score == NULL)
        return nib_fail(err, NIB_ERROR_FILE,
                        "%s: tokenizer.ggml.scores is missing, which a tokenizer of the kind 't5' "
                        "needs; the file was converted wrongly, get it again",
                        nib_gguf_path(gguf));
    struct text_unigram *u = calloc(1, sizeof(*u));
    if (u == NULL)
        return nib_fail_memory(err, sizeof(*u), "the tokenizer");
    const struct nib_unigram_options options = {.path = nib_gguf_path(gguf),
                                                .unk_id = vocabulary->unk_id,
                                                .falls_back_to_bytes = true,
                                                .sums_in_float = true};
    enum nib_status status = nib_unigram_create(&u->unigram, vocabulary, &options, err);
    if (status == NIB_OK)
        status = load_map(u, gguf, err);
    if (status != NIB_OK) {
        unigram_free(u);
        return status;
    }
    u->normalizer = (struct nib_sp_normalizer){
        .map = u->map, .adds_blank = true, .removes_extra_blanks = true, .writes_bars = true};
    (void)nib_gguf_bool(gguf, "tokenizer.ggml.add_space_prefix", &u->normalizer.adds_blank);
    (void)nib_gguf_bool(gguf, "tokenizer.ggml.remove_extra_whitespaces",
                        &u->normalizer.removes_extra_blanks);
    *traits = (struct nib_encoder_traits){
        .pre_tokenizer = "", .adds_eos = true, .adds_space_prefix = u->normalizer.adds_blank};
    *out = u;
    return NIB_OK;
}

/* Text after a special token gets its blank as well, as at the start. */
static enum nib_status unigram_encode(const void *encoder, struct nib_scratch *scratch,
                                      struct nib_str text, bool with_space_prefix,
                                      struct nib_error *err)
{
    (void)with_space_prefix;
    const struct text_unigram *u = encoder;
    if (!nib_sp_normalize(&u->normalizer, &scratch->text, text))
        return nib_encode_no_memory(text.len, err);
    return nib_unigram_encode(u->unigram, scratch,
                              (struct nib_str){scratch->text.data, scratch->text.n}, err);
}

const struct nib_encoder_kind nib_encoder_unigram = {
    .model = "t5",
    .name = "unigram",
    .default_bos_id = -1,
    .default_eos_id = 1,
    .default_unk_id = 2,
    .piece = nib_piece_from_bars,
    .create = unigram_create,
    .free = unigram_free,
    .encode = unigram_encode,
};
