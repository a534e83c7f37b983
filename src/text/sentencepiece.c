/*
 * SentencePiece's BPE (Kudo & Richardson 2018): the text is its characters, and the neighbours that
 * make the token with the highest score are merged first.
 */
#include "bars.h"
#include "subword.h"
#include "utf8.h"

#include <stdlib.h>

struct nib_sentencepiece {
    const struct nib_vocabulary *vocabulary;
    int32_t byte_id[256]; /* -1: none */
    /* No token has a ▁ after another character: so text may be cut before each such ▁. */
    bool cuts_at_bars;
};

size_t nib_piece_from_bars(char *out, struct nib_str text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len;) {
        const bool is_bar = nib_is_bar(text.data + i, text.len - i);
        out[n++] = is_bar ? ' ' : text.data[i];
        i += is_bar ? NIB_BAR_LEN : 1;
    }
    return n;
}

enum nib_status nib_sentencepiece_create(struct nib_sentencepiece **out,
                                         const struct nib_vocabulary *vocabulary,
                                         struct nib_error *err)
{
    assert(vocabulary->score != NULL);
    *out = NULL;
    struct nib_sentencepiece *sp = calloc(1, sizeof(*sp));
    if (sp == NULL)
        return nib_fail_memory(err, sizeof(*sp), "the tokenizer");
    sp->vocabulary = vocabulary;
    for (unsigned byte = 0; byte < 256; byte++)
        sp->byte_id[byte] = nib_vocabulary_find_byte(vocabulary, (uint8_t)byte);
    sp->cuts_at_bars = true;
    for (size_t i = 0; i < vocabulary->n_tokens && sp->cuts_at_bars; i++)
        if (nib_token_comes_of_text(vocabulary, (int32_t)i) &&
            nib_bar_cut(vocabulary->text[i], 0) < vocabulary->text[i].len)
            sp->cuts_at_bars = false;
    *out = sp;
    return NIB_OK;
}

void nib_sentencepiece_free(struct nib_sentencepiece *sp)
{
    free(sp);
}

/* ---- encoding ------------------------------------------------------------------------------- */

struct job {
    const struct nib_sentencepiece *sp;
    const char *text; /* what symbols' start and end count from */
};

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
    if (id < 0 || !nib_token_comes_of_text(v, id))
        return false;
    left->pair_id = id;
    left->pair_key = key_from_score(v->score[id]);
    return true;
}

static bool push_character(const struct nib_sentencepiece *sp, const char *p, size_t n,
                           struct nib_ids *ids)
{
    const struct nib_vocabulary *v = sp->vocabulary;
    const int32_t id = nib_vocabulary_find(v, p, n);
    if (id >= 0 && nib_token_comes_of_text(v, id))
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
static enum nib_status encode_part(const struct nib_sentencepiece *sp, struct nib_scratch *scratch,
                                   struct nib_str text, struct nib_error *err)
{
    struct nib_merge *merge = &scratch->merge;
    struct job job = {.sp = sp, .text = text.data};
    if (!nib_merge_reserve(merge, text.len))
        return nib_encode_no_memory(text.len, err);
    merge->n_symbols = 0;
    for (uint32_t i = 0; i < text.len;) {
        const int len = nib_utf8_scan(text.data + i, text.len - i);
        const uint32_t end = i + (len > 0 ? (uint32_t)len : 1);
        merge->symbols[merge->n_symbols++] = (struct nib_symbol){.start = i, .end = end, .id = -1};
        i = end;
    }
    if (!nib_merge_run(merge, find_pair, &job))
        return nib_encode_no_memory(text.len, err);
    for (uint32_t i = 0; i != NIB_NO_SYMBOL; i = merge->symbols[i].next) {
        const struct nib_symbol *symbol = &merge->symbols[i];
        if (symbol->id >= 0 ? !nib_ids_push(&scratch->ids, symbol->id)
                            : !push_character(sp, text.data + symbol->start,
                                              symbol->end - symbol->start, &scratch->ids))
            return nib_encode_no_memory(text.len, err);
    }
    return NIB_OK;
}

enum nib_status nib_sentencepiece_encode(const struct nib_sentencepiece *sp,
                                         struct nib_scratch *scratch, struct nib_str text,
                                         struct nib_error *err)
{
    for (size_t i = 0; i < text.len;) {
        const size_t end = sp->cuts_at_bars ? nib_bar_cut(text, i) : text.len;
        const enum nib_status status =
            encode_part(sp, scratch, (struct nib_str){text.data + i, end - i}, err);
        if (status != NIB_OK)
            return status;
        i = end;
    }
    return NIB_OK;
}

bool nib_bars_from_blanks(struct nib_buffer *out, struct nib_str text, bool with_prefix)
{
    out->n = 0;
    bool is_fine = !with_prefix || nib_buffer_append(out, NIB_BAR, NIB_BAR_LEN);
    for (size_t from = 0; from < text.len && is_fine;) {
        const char *blank = memchr(text.data + from, ' ', text.len - from);
        const size_t end = blank == NULL ? text.len : (size_t)(blank - text.data);
        is_fine = nib_buffer_append(out, text.data + from, end - from) &&
                  (blank == NULL || nib_buffer_append(out, NIB_BAR, NIB_BAR_LEN));
        from = end + 1;
    }
    return is_fine;
}
