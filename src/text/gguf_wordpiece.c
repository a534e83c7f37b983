/*
 * GGUF's tokenizer.ggml.model "bert": WordPiece on BERT's words.  GGUF writes "▁" before tokens
 * that begin a word and nothing before others.  As llama.cpp does, whose converter makes these
 * files, of a character's canonical decomposition the first one is kept, and marks (M) are dropped.
 */
#include "encoder.h"
#include "gguf.h"
#include "utf8.h"

#include <stdlib.h>
#include <utf8proc.h>

struct bert {
    struct nib_wordpiece *wordpiece;
};

static void bert_free(void *encoder)
{
    struct bert *bert = encoder;
    if (bert == NULL)
        return;
    nib_wordpiece_free(bert->wordpiece);
    free(bert);
}

static enum nib_status bert_create(void **out, struct nib_encoder_traits *traits,
                                   const struct nib_vocabulary *vocabulary,
                                   const struct nib_gguf *gguf, struct nib_error *err)
{
    *out = NULL;
    struct bert *bert = calloc(1, sizeof(*bert));
    if (bert == NULL)
        return nib_fail_memory(err, sizeof(*bert), "the tokenizer");
    const struct nib_wordpiece_options options = {.path = nib_gguf_path(gguf),
                                                  .start_prefix = NIB_STR("\xE2\x96\x81"),
                                                  .continuing_prefix = NIB_STR(""),
                                                  .unk_id = vocabulary->unk_id};
    const enum nib_status status =
        nib_wordpiece_create(&bert->wordpiece, vocabulary, &options, err);
    if (status != NIB_OK) {
        bert_free(bert);
        return status;
    }
    *traits = (struct nib_encoder_traits){
        .pre_tokenizer = "", .adds_bos = true, .adds_eos = true, .cleans_spaces = true};
    *out = bert;
    return NIB_OK;
}

/* ---- words ---------------------------------------------------------------------------------- */

/* Unicode's White_Space. */
static bool is_white_space(utf8proc_int32_t c)
{
    return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

static bool is_dropped(utf8proc_int32_t c, utf8proc_category_t category)
{
    return c == 0 || c == 0xFFFD || category == UTF8PROC_CATEGORY_CC ||
           category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_CO ||
           category == UTF8PROC_CATEGORY_CS || category == UTF8PROC_CATEGORY_MN ||
           category == UTF8PROC_CATEGORY_MC || category == UTF8PROC_CATEGORY_ME;
}

static bool is_han(utf8proc_int32_t c)
{
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
           (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
           (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
           (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

static bool is_word_of_its_own(utf8proc_int32_t c, utf8proc_category_t category)
{
    return (category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO) ||
           (c < 0x7F && category >= UTF8PROC_CATEGORY_SM && category <= UTF8PROC_CATEGORY_SO) ||
           is_han(c);
}

/* The first character of the canonical decomposition. */
static utf8proc_int32_t decompose(utf8proc_int32_t c)
{
    utf8proc_int32_t parts[32];
    int last_class = 0;
    const utf8proc_ssize_t n = utf8proc_decompose_char(c, parts, (utf8proc_ssize_t)NIB_COUNT(parts),
                                                       UTF8PROC_DECOMPOSE, &last_class);
    return n >= 1 && n <= (utf8proc_ssize_t)NIB_COUNT(parts) ? parts[0] : c;
}

struct word_job {
    const struct bert *bert;
    struct nib_scratch *scratch; /* the word so far in scratch->text */
};

static enum nib_status end_word(struct word_job *job, struct nib_error *err)
{
    const struct nib_str word = {job->scratch->text.data, job->scratch->text.n};
    job->scratch->text.n = 0;
    return word.len == 0 ? NIB_OK
                         : nib_wordpiece_encode(job->bert->wordpiece, job->scratch, word, err);
}

static enum nib_status add_character(struct word_job *job, utf8proc_int32_t c,
                                     struct nib_error *err)
{
    enum nib_status status = NIB_OK;
    if (is_white_space(c))
        return end_word(job, err);
    c = decompose(c);
    const utf8proc_category_t category = utf8proc_category(c);
    if (is_dropped(c, category))
        return NIB_OK;
    const bool is_alone = is_word_of_its_own(c, category);
    if (is_alone)
        status = end_word(job, err);
    char bytes[4];
    const utf8proc_ssize_t n = utf8proc_encode_char(utf8proc_tolower(c), (utf8proc_uint8_t *)bytes);
    if (status == NIB_OK && !nib_buffer_append(&job->scratch->text, bytes, (size_t)n))
        status = nib_encode_no_memory((size_t)n, err);
    if (status == NIB_OK && is_alone)
        status = end_word(job, err);
    return status;
}

/* Bytes that are no text are dropped. */
static enum nib_status bert_encode(const void *encoder, struct nib_scratch *scratch,
                                   struct nib_str text, bool with_space_prefix,
                                   struct nib_error *err)
{
    (void)with_space_prefix; /* not a thing of this kind */
    struct word_job job = {.bert = encoder, .scratch = scratch};
    scratch->text.n = 0;
    for (size_t i = 0, used; i < text.len; i += used) {
        const int len = nib_utf8_scan(text.data + i, text.len - i);
        used = len > 0 ? (size_t)len : 1;
        utf8proc_int32_t c;
        if (len <= 0 || utf8proc_iterate((const utf8proc_uint8_t *)text.data + i, len, &c) <= 0)
            continue;
        const enum nib_status status = add_character(&job, c, err);
        if (status != NIB_OK)
            return status;
    }
    return end_word(&job, err);
}

const struct nib_encoder_kind nib_encoder_wordpiece = {
    .model = "bert",
    .name = "wordpiece",
    .default_bos_id = 101,
    .default_eos_id = 102,
    .default_unk_id = 100,
    .piece = nib_piece_from_bars,
    .create = bert_create,
    .free = bert_free,
    .encode = bert_encode,
};
