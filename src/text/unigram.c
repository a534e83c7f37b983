/*
 * Unigram (Kudo 2018): of all ways to cut the text into tokens the one whose scores, which are
 * logarithms of probabilities, have the largest sum.  Viterbi: the best way to each place is the
 * best way to an earlier one and a token from there; of equal ones that with the longest last
 * token.
 */
#include "bars.h"
#include "subword.h"
#include "trie.h"
#include "utf8.h"

#include <stdlib.h>

#define UNK_PENALTY  10 /* below the lowest score, as in SentencePiece */
#define NOT_REACHED  UINT32_MAX
#define UNKNOWN_PART (-1)

struct nib_unigram {
    const struct nib_vocabulary *vocabulary;
    struct nib_unigram_options options;
    struct nib_trie trie;
    double unk_score, max_score;
    int32_t byte_id[256]; /* -1: none */
    /* No token has a ▁ after another character, and ▁ is known: so text may be cut before each such
     * ▁. */
    bool cuts_at_bars;
};

/* The best way to a place. */
struct nib_best {
    double score;
    uint32_t start; /* of its last token */
    int32_t id;     /* or UNKNOWN_PART */
};

static bool is_found_in_text(const struct nib_vocabulary *v, size_t i)
{
    return v->text[i].len > 0 &&
           (v->type[i] == NIB_TOKEN_NORMAL || v->type[i] == NIB_TOKEN_USER_DEFINED);
}

/* The trie, and what is known of all tokens. */
static enum nib_status add_tokens(struct nib_unigram *u, struct nib_error *err)
{
    const struct nib_vocabulary *v = u->vocabulary;
    struct nib_trie_entry *entries = malloc(v->n_tokens * sizeof(*entries));
    if (entries == NULL)
        return nib_fail_memory(err, v->n_tokens * sizeof(*entries), "the table of tokens");
    size_t n = 0;
    double min_score = 0, max_score = 0;
    bool has_normal = false;
    const int32_t bar_id = nib_vocabulary_find(v, NIB_BAR, NIB_BAR_LEN);
    u->cuts_at_bars = bar_id >= 0 && is_found_in_text(v, (size_t)bar_id);
    for (size_t i = 0; i < v->n_tokens; i++) {
        if (!is_found_in_text(v, i))
            continue;
        entries[n++] = (struct nib_trie_entry){.text = v->text[i], .id = (int32_t)i};
        u->cuts_at_bars = u->cuts_at_bars && nib_bar_cut(v->text[i], 0) == v->text[i].len;
        if (v->type[i] != NIB_TOKEN_NORMAL)
            continue;
        const double score = (double)v->score[i];
        min_score = !has_normal || score < min_score ? score : min_score;
        max_score = !has_normal || score > max_score ? score : max_score;
        has_normal = true;
    }
    u->unk_score = min_score - UNK_PENALTY;
    u->max_score = max_score;
    const enum nib_status status = nib_trie_create(&u->trie, entries, n, u->options.path, err);
    free(entries);
    return status;
}

enum nib_status nib_unigram_create(struct nib_unigram **out,
                                   const struct nib_vocabulary *vocabulary,
                                   const struct nib_unigram_options *options, struct nib_error *err)
{
    assert(vocabulary->score != NULL);
    *out = NULL;
    struct nib_unigram *u = calloc(1, sizeof(*u));
    if (u == NULL)
        return nib_fail_memory(err, sizeof(*u), "the tokenizer");
    u->vocabulary = vocabulary;
    u->options = *options;
    for (unsigned byte = 0; byte < 256; byte++)
        u->byte_id[byte] = nib_vocabulary_find_byte(vocabulary, (uint8_t)byte);
    const enum nib_status status = add_tokens(u, err);
    if (status != NIB_OK) {
        nib_unigram_free(u);
        return status;
    }
    u->options.path = NULL; /* the caller's */
    *out = u;
    return NIB_OK;
}

void nib_unigram_free(struct nib_unigram *u)
{
    if (u == NULL)
        return;
    nib_trie_free(&u->trie);
    free(u);
}

/* ---- encoding ------------------------------------------------------------------------------- */

static bool reserve_best(struct nib_scratch *scratch, size_t n)
{
    if (n <= scratch->best_capacity)
        return true;
    free(scratch->best);
    const size_t capacity = n + n / 2 + 256;
    scratch->best = malloc(capacity * sizeof(*scratch->best));
    scratch->best_capacity = scratch->best == NULL ? 0 : capacity;
    return scratch->best != NULL;
}

/* User-defined tokens are always the best choice. */
static double score_of(const struct nib_unigram *u, int32_t id, size_t n_bytes)
{
    if (u->vocabulary->type[id] == NIB_TOKEN_USER_DEFINED)
        return (double)n_bytes * u->max_score - 0.1;
    return (double)u->vocabulary->score[id];
}

static void offer(const struct nib_unigram *u, struct nib_best *best, double score, size_t start,
                  int32_t id)
{
    if (u->options.sums_in_float)
        score = (double)(float)score;
    if (best->start == NOT_REACHED || score > best->score)
        *best = (struct nib_best){.score = score, .start = (uint32_t)start, .id = id};
}

/* best[0].score is that of all text before. */
static void find_best(const struct nib_unigram *u, struct nib_best *best, struct nib_str text)
{
    for (size_t i = 1; i <= text.len; i++)
        best[i].start = NOT_REACHED;
    for (size_t i = 0, len; i < text.len; i += len) {
        const int scanned = nib_utf8_scan(text.data + i, text.len - i);
        len = scanned > 0 ? (size_t)scanned : 1;
        if (i > 0 && best[i].start == NOT_REACHED)
            continue; /* only tokens that are no text could end so */
        bool has_character = false;
        uint32_t node = NIB_TRIE_ROOT;
        for (size_t end = i; end < text.len;) {
            node = nib_trie_step(&u->trie, node, (uint8_t)text.data[end++]);
            if (node == NIB_TRIE_ROOT)
                break;
            const int32_t id = u->trie.nodes[node].id;
            if (id < 0)
                continue;
            offer(u, &best[end], best[i].score + score_of(u, id, end - i), i, id);
            has_character = has_character || end == i + len;
        }
        if (!has_character)
            offer(u, &best[i + len], best[i].score + u->unk_score, i, UNKNOWN_PART);
    }
}

static bool has_bytes(const struct nib_unigram *u, struct nib_str text)
{
    bool has_all = u->options.falls_back_to_bytes;
    for (size_t i = 0; i < text.len; i++)
        has_all = has_all && u->byte_id[(uint8_t)text.data[i]] >= 0;
    return has_all;
}

/* For text that no token covers; `is_fused`: the unknown token stands there already. */
static bool push_unknown(const struct nib_unigram *u, struct nib_str text, bool *is_fused,
                         struct nib_ids *ids)
{
    bool is_fine = true;
    if (has_bytes(u, text)) {
        for (size_t i = text.len; i-- > 0 && is_fine;)
            is_fine = nib_ids_push(ids, u->byte_id[(uint8_t)text.data[i]]);
        *is_fused = false;
        return is_fine;
    }
    if (u->options.unk_id >= 0 && !*is_fused)
        is_fine = nib_ids_push(ids, u->options.unk_id);
    *is_fused = true;
    return is_fine;
}

/* The best way from its end to its start; `ids` get it in that order. */
static bool push_backwards(const struct nib_unigram *u, const struct nib_best *best,
                           struct nib_str text, struct nib_ids *ids)
{
    bool is_fused = false;
    for (size_t end = text.len, start; end > 0; end = start) {
        start = best[end].start;
        const bool is_unknown = best[end].id == UNKNOWN_PART;
        if (is_unknown
                ? !push_unknown(u, (struct nib_str){text.data + start, end - start}, &is_fused, ids)
                : !nib_ids_push(ids, best[end].id))
            return false;
        is_fused = is_fused && is_unknown;
    }
    return true;
}

static void reverse(int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        const int32_t id = ids[i];
        ids[i] = ids[n - 1 - i];
        ids[n - 1 - i] = id;
    }
}

enum nib_status nib_unigram_encode(const struct nib_unigram *u, struct nib_scratch *scratch,
                                   struct nib_str text, struct nib_error *err)
{
    struct nib_ids *ids = &scratch->ids;
    double score = 0;
    for (size_t from = 0, end; from < text.len; from = end) {
        end = u->cuts_at_bars ? nib_bar_cut(text, from) : text.len;
        const struct nib_str part = {text.data + from, end - from};
        if (!reserve_best(scratch, part.len + 1))
            return nib_encode_no_memory(part.len, err);
        scratch->best[0].score = score; /* cutting is not to change how sums are rounded */
        find_best(u, scratch->best, part);
        score = scratch->best[part.len].score;
        const size_t n_before = ids->n;
        if (!push_backwards(u, scratch->best, part, ids))
            return nib_encode_no_memory(part.len, err);
        reverse(ids->data + n_before, ids->n - n_before);
    }
    return NIB_OK;
}
