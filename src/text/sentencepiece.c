/*
 * SentencePiece BPE (Kudo & Richardson 2018; tokenizer.ggml.model "llama", also Gemma's): blanks
 * become "▁" (U+2581), the text its characters, and the neighbours that make the token with the
 * highest score are merged first.  A character that is no token becomes its bytes, "<0xE2>" ...
 */
#include "encoder.h"
#include "gguf.h"
#include "utf8.h"

#include <stdio.h>
#include <stdlib.h>

#define BLANK     "\xE2\x96\x81" /* ▁ */
#define BLANK_LEN ((size_t)3)

struct sentencepiece {
    const struct nib_vocabulary *vocabulary;
    int32_t byte_id[256]; /* -1: none */
    /* No token has a ▁ after another character: so text may be cut before each such ▁. */
    bool cuts_at_blanks;
};

static bool is_blank(const char *p, size_t n)
{
    return n >= BLANK_LEN && memcmp(p, BLANK, BLANK_LEN) == 0;
}

static size_t piece_from_text(char *out, struct nib_str text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len;) {
        const bool blank = is_blank(text.data + i, text.len - i);
        out[n++] = blank ? ' ' : text.data[i];
        i += blank ? BLANK_LEN : 1;
    }
    return n;
}

/* May text become this token?  Control tokens never come of text, nor bytes of their names. */
static bool is_made_of_text(const struct nib_vocabulary *v, int32_t id)
{
    const uint8_t type = v->type[id];
    return type == NIB_TOKEN_NORMAL || type == NIB_TOKEN_USER_DEFINED || type == NIB_TOKEN_UNUSED;
}

static bool has_inner_blank(struct nib_str text)
{
    bool was_blank = true;
    for (size_t i = 0; i < text.len;) {
        const bool blank = is_blank(text.data + i, text.len - i);
        if (blank && !was_blank)
            return true;
        was_blank = blank;
        i += blank ? BLANK_LEN : 1;
    }
    return false;
}

static void find_byte_ids(struct sentencepiece *sp)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        char name[8];
        const int n = snprintf(name, sizeof(name), "<0x%02X>", byte);
        sp->byte_id[byte] = nib_vocabulary_find(sp->vocabulary, name, (size_t)n);
    }
}

static enum nib_status sentencepiece_create(void **out, struct nib_encoder_traits *traits,
                                            const struct nib_vocabulary *vocabulary,
                                            const struct nib_gguf *gguf, struct nib_error *err)
{
    *out = NULL;
    if (vocabulary->score == NULL)
        return nib_fail(
            err, NIB_ERROR_FILE,
            "%s: tokenizer.ggml.scores is missing, which a tokenizer of the kind 'llama' "
            "needs; the file was converted wrongly, get it again",
            nib_gguf_path(gguf));
    struct sentencepiece *sp = calloc(1, sizeof(*sp));
    if (sp == NULL)
        return nib_fail_memory(err, sizeof(*sp), "the tokenizer");
    sp->vocabulary = vocabulary;
    find_byte_ids(sp);
    sp->cuts_at_blanks = true;
    for (size_t i = 0; i < vocabulary->n_tokens && sp->cuts_at_blanks; i++)
        if (is_made_of_text(vocabulary, (int32_t)i) && has_inner_blank(vocabulary->text[i]))
            sp->cuts_at_blanks = false;
    *traits = (struct nib_encoder_traits){
        .pre_tokenizer = "", .adds_bos = true, .adds_space_prefix = true};
    (void)nib_gguf_bool(gguf, "tokenizer.ggml.add_space_prefix", &traits->adds_space_prefix);
    *out = sp;
    return NIB_OK;
}

/* ---- encoding ------------------------------------------------------------------------------- */

struct job {
    const struct sentencepiece *sp;
    const char *text; /* what symbols' start and end count from */
};

static enum nib_status no_memory(size_t n_bytes, struct nib_error *err)
{
    return nib_fail_memory(err, n_bytes * sizeof(struct nib_symbol), "encoding text");
}

/* The highest score as the lowest key: IEEE-754 numbers compare like integers of sign and
 * magnitude. */
static uint32_t key_from_score(float score)
{
    uint32_t bits;
    score += 0.0f; /* -0 and 0 are one score */
    memcpy(&bits, &score, sizeof(bits));
    return bits >> 31 ? bits : ~(bits | UINT32_C(1) << 31);
}

static bool find_pair(const void *data, struct nib_symbol *left, const struct nib_symbol *right)
{
    const struct job *job = data;
    const struct nib_vocabulary *v = job->sp->vocabulary;
    const int32_t id = nib_vocabulary_find(v, job->text + left->start, right->end - left->start);
    if (id < 0 || !is_made_of_text(v, id))
        return false;
    left->pair_id = id;
    left->pair_key = key_from_score(v->score[id]);
    return true;
}

static bool push_character(const struct sentencepiece *sp, const char *p, size_t n,
                           struct nib_ids *ids)
{
    const struct nib_vocabulary *v = sp->vocabulary;
    const int32_t id = nib_vocabulary_find(v, p, n);
    if (id >= 0 && is_made_of_text(v, id))
        return nib_ids_push(ids, id);
    bool has_bytes = true;
    for (size_t i = 0; i < n; i++)
        has_bytes = has_bytes && sp->byte_id[(uint8_t)p[i]] >= 0;
    if (!has_bytes)
        return v->unk_id < 0 || nib_ids_push(ids, v->unk_id);
    for (size_t i = 0; i < n; i++)
        if (!nib_ids_push(ids, sp->byte_id[(uint8_t)p[i]]))
            return false;
    return true;
}

/* Text whose blanks have been replaced and that no token reaches out of. */
static enum nib_status encode_part(const struct sentencepiece *sp, struct nib_scratch *scratch,
                                   struct nib_str text, struct nib_error *err)
{
    struct nib_merge *merge = &scratch->merge;
    struct job job = {.sp = sp, .text = text.data};
    if (!nib_merge_reserve(merge, text.len))
        return no_memory(text.len, err);
    merge->n_symbols = 0;
    for (uint32_t i = 0; i < text.len;) {
        const int len = nib_utf8_scan(text.data + i, text.len - i);
        const uint32_t end = i + (len > 0 ? (uint32_t)len : 1);
        merge->symbols[merge->n_symbols++] = (struct nib_symbol){.start = i, .end = end, .id = -1};
        i = end;
    }
    if (!nib_merge_run(merge, find_pair, &job))
        return no_memory(text.len, err);
    for (uint32_t i = 0; i != NIB_NO_SYMBOL; i = merge->symbols[i].next) {
        const struct nib_symbol *symbol = &merge->symbols[i];
        if (symbol->id >= 0 ? !nib_ids_push(&scratch->ids, symbol->id)
                            : !push_character(sp, text.data + symbol->start,
                                              symbol->end - symbol->start, &scratch->ids))
            return no_memory(text.len, err);
    }
    return NIB_OK;
}

/* Where the part that begins at `from` ends: before the next ▁ that does not follow one. */
static size_t find_cut(struct nib_str text, size_t from)
{
    bool was_blank = true;
    for (size_t i = from; i < text.len;) {
        const bool blank = is_blank(text.data + i, text.len - i);
        if (blank && !was_blank)
            return i;
        was_blank = blank;
        i += blank ? BLANK_LEN : 1;
    }
    return text.len;
}

/* The text with ▁ for blanks, in scratch->text. */
static bool escape_blanks(struct nib_scratch *scratch, struct nib_str text, bool with_space_prefix,
                          struct nib_str *out)
{
    size_t n = text.len + (with_space_prefix ? BLANK_LEN : 0);
    for (size_t i = 0; i < text.len; i++)
        n += text.data[i] == ' ' ? BLANK_LEN - 1 : 0;
    if (n > scratch->text_capacity) {
        free(scratch->text);
        scratch->text = malloc(n);
        scratch->text_capacity = scratch->text == NULL ? 0 : n;
        if (scratch->text == NULL)
            return false;
    }
    char *p = scratch->text;
    if (with_space_prefix)
        p = (char *)memcpy(p, BLANK, BLANK_LEN) + BLANK_LEN;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == ' ')
            p = (char *)memcpy(p, BLANK, BLANK_LEN) + BLANK_LEN;
        else
            *p++ = text.data[i];
    }
    *out = (struct nib_str){scratch->text, n};
    return true;
}

static enum nib_status sentencepiece_encode(const void *encoder, struct nib_scratch *scratch,
                                            struct nib_str text, bool with_space_prefix,
                                            struct nib_error *err)
{
    const struct sentencepiece *sp = encoder;
    struct nib_str escaped;
    if (!escape_blanks(scratch, text, with_space_prefix, &escaped))
        return no_memory(text.len, err);
    for (size_t i = 0; i < escaped.len;) {
        const size_t end = sp->cuts_at_blanks ? find_cut(escaped, i) : escaped.len;
        const enum nib_status status =
            encode_part(sp, scratch, (struct nib_str){escaped.data + i, end - i}, err);
        if (status != NIB_OK)
            return status;
        i = end;
    }
    return NIB_OK;
}

const struct nib_encoder_kind nib_encoder_sentencepiece = {
    .model = "llama",
    .name = "sentencepiece",
    .default_bos_id = 1,
    .default_eos_id = 2,
    .default_unk_id = 0,
    .piece = piece_from_text,
    .create = sentencepiece_create,
    .free = free,
    .encode = sentencepiece_encode,
};
