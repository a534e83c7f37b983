/*
 * WordPiece (Schuster & Nakajima 2012, as BERT has it): the longest token that begins the word,
 * then the longest one that goes on, marked by a prefix, until the word ends; if that fails, the
 * word is unknown.
 */
#include "subword.h"
#include "trie.h"

#include <stdlib.h>

#define NO_NODE UINT32_MAX

struct nib_wordpiece {
    struct nib_trie trie;
    uint32_t start, continuing; /* where walks begin: after the prefixes */
    int32_t unk_id;
    size_t max_characters;
};

/* The node after `prefix`. */
static uint32_t walk(const struct nib_trie *trie, struct nib_str prefix)
{
    uint32_t node = NIB_TRIE_ROOT;
    for (size_t i = 0; i < prefix.len; i++) {
        node = nib_trie_step(trie, node, (uint8_t)prefix.data[i]);
        if (node == NIB_TRIE_ROOT)
            return NO_NODE;
    }
    return node;
}

static enum nib_status add_tokens(struct nib_trie *trie, const struct nib_vocabulary *v,
                                  const char *path, struct nib_error *err)
{
    struct nib_trie_entry *entries = malloc(v->n_tokens * sizeof(*entries));
    if (entries == NULL)
        return nib_fail_memory(err, v->n_tokens * sizeof(*entries), "the table of tokens");
    size_t n = 0;
    for (size_t i = 0; i < v->n_tokens; i++)
        if (v->text[i].len > 0 && nib_token_comes_of_text(v, (int32_t)i))
            entries[n++] = (struct nib_trie_entry){.text = v->text[i], .id = (int32_t)i};
    const enum nib_status status = nib_trie_create(trie, entries, n, path, err);
    free(entries);
    return status;
}

enum nib_status nib_wordpiece_create(struct nib_wordpiece **out,
                                     const struct nib_vocabulary *vocabulary,
                                     const struct nib_wordpiece_options *options,
                                     struct nib_error *err)
{
    *out = NULL;
    struct nib_wordpiece *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return nib_fail_memory(err, sizeof(*w), "the tokenizer");
    const enum nib_status status = add_tokens(&w->trie, vocabulary, options->path, err);
    if (status != NIB_OK) {
        nib_wordpiece_free(w);
        return status;
    }
    w->start = walk(&w->trie, options->start_prefix);
    w->continuing = walk(&w->trie, options->continuing_prefix);
    w->unk_id = options->unk_id;
    w->max_characters = options->max_characters;
    *out = w;
    return NIB_OK;
}

void nib_wordpiece_free(struct nib_wordpiece *w)
{
    if (w == NULL)
        return;
    nib_trie_free(&w->trie);
    free(w);
}

/* The longest token that text[from ..) begins with, walking on from `node`; -1: none. */
static int32_t longest(const struct nib_trie *trie, uint32_t node, struct nib_str text, size_t from,
                       size_t *end)
{
    int32_t id = -1;
    for (size_t i = from; i < text.len && node != NO_NODE;) {
        node = nib_trie_step(trie, node, (uint8_t)text.data[i++]);
        if (node == NIB_TRIE_ROOT)
            break;
        if (trie->nodes[node].id >= 0) {
            id = trie->nodes[node].id;
            *end = i;
        }
    }
    return id;
}

static bool is_too_long(const struct nib_wordpiece *w, struct nib_str word)
{
    if (w->max_characters == 0 || word.len <= w->max_characters)
        return false;
    size_t n = 0;
    for (size_t i = 0; i < word.len && n <= w->max_characters; i++)
        n += ((unsigned char)word.data[i] & 0xC0) != 0x80;
    return n > w->max_characters;
}

enum nib_status nib_wordpiece_encode(const struct nib_wordpiece *w, struct nib_scratch *scratch,
                                     struct nib_str word, struct nib_error *err)
{
    struct nib_ids *ids = &scratch->ids;
    const size_t n_before = ids->n;
    bool is_known = !is_too_long(w, word);
    for (size_t from = 0, end = 0; from < word.len && is_known; from = end) {
        const int32_t id =
            longest(&w->trie, from == 0 ? w->start : w->continuing, word, from, &end);
        is_known = id >= 0;
        if (is_known && !nib_ids_push(ids, id))
            return nib_encode_no_memory(word.len, err);
    }
    if (is_known)
        return NIB_OK;
    ids->n = n_before;
    return w->unk_id < 0 || nib_ids_push(ids, w->unk_id) ? NIB_OK
                                                         : nib_encode_no_memory(word.len, err);
}
