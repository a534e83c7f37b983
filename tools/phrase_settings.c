/* See phrase_settings.h. */
#include "phrase_settings.h"
#include "id_lists.h"
#include "input.h"
#include "terminal.h"

#include <stdlib.h>
#include <string.h>

/* One value of an option: alternatives with "|" between. */
static struct nib_beam_phrase phrase_of(struct nib_id_lists *alternatives)
{
    nib_id_lists_end(alternatives);
    return (struct nib_beam_phrase){alternatives->lists, alternatives->n_lists};
}

/* ---- words ---------------------------------------------------------------------------------- */

/* The next alternative, without the backslashes before "|" and "\"; behind the "|" that ends it, or
 * NULL at the end of the text. */
static const char *next_word(const char *text, struct nib_buffer *out)
{
    for (; *text && *text != '|'; text++) {
        if (*text == '\\' && (text[1] == '|' || text[1] == '\\'))
            text++;
        nib_buffer_add(out, text, 1);
    }
    return *text ? text + 1 : NULL;
}

/* Special tokens have a name and no text: a word that has one is not in the vocabulary. */
static int check_special(const struct nib_model *model, const struct nib_buffer *word, int32_t id)
{
    char *name = NULL, *text = NULL;
    size_t n_name = 0, n_text = 0;
    struct nib_error err;
    int exit_code = NIB_EXIT_OK;
    if (nib_detokenize(model, &id, 1, NIB_PARSE_SPECIAL, &name, &n_name, &err) != NIB_OK ||
        nib_detokenize(model, &id, 1, 0, &text, &n_text, &err) != NIB_OK)
        exit_code = nib_complain_error(&err);
    else if (n_name > 0 && n_text == 0)
        exit_code = nib_complain(NIB_EXIT_USAGE,
                                 "--force-words '%.100s': becomes %.40s in this vocabulary; use "
                                 "words that it knows, or ids with --force-ids",
                                 word->data, name);
    nib_free(name);
    nib_free(text);
    return exit_code;
}

/* The ids that a word adds behind another and a blank: with the blank where it is part of a token,
 * and without what a vocabulary puts before a text. */
static int add_word(struct nib_id_lists *out, const struct nib_model *model,
                    const struct nib_buffer *word)
{
    struct nib_buffer text = {0};
    int32_t *before = NULL, *ids = NULL;
    size_t n_before = 0, n_ids = 0;
    nib_buffer_add(&text, "a ", 2);
    nib_buffer_add(&text, word->data, word->n_bytes);
    int exit_code = nib_word_ids(model, "a", 1, &before, &n_before);
    if (exit_code == NIB_EXIT_OK)
        exit_code = nib_word_ids(model, text.data, text.n_bytes, &ids, &n_ids);
    if (exit_code == NIB_EXIT_OK &&
        (n_ids <= n_before || memcmp(ids, before, n_before * sizeof *ids) != 0)) {
        nib_free(ids);
        ids = NULL;
        n_before = 0;
        exit_code = nib_word_ids(model, text.data + 1, text.n_bytes - 1, &ids, &n_ids);
    }
    nib_id_lists_begin(out);
    for (size_t i = n_before; i < n_ids && exit_code == NIB_EXIT_OK; i++) {
        nib_id_lists_add(out, ids[i]);
        exit_code = check_special(model, word, ids[i]);
    }
    nib_free(before);
    nib_free(ids);
    nib_buffer_free(&text);
    return exit_code;
}

static int read_words(struct nib_id_lists *out, const struct nib_model *model, const char *text)
{
    int exit_code = NIB_EXIT_OK;
    for (const char *rest = text; rest && exit_code == NIB_EXIT_OK;) {
        struct nib_buffer word = {0};
        rest = next_word(rest, &word);
        if (word.n_bytes == 0)
            exit_code = nib_complain(NIB_EXIT_USAGE,
                                     "--force-words '%.100s': nothing to force; give a text, or "
                                     "several with | between",
                                     text);
        else
            exit_code = add_word(out, model, &word);
        nib_buffer_free(&word);
    }
    return exit_code;
}

/* ---- ids ------------------------------------------------------------------------------------ */

static int read_ids(struct nib_id_lists *out, const struct nib_model *model, const char *text)
{
    const uint32_t n_tokens = nib_model_info(model)->n_tokens;
    nib_id_lists_begin(out);
    for (const char *at = text;; at++) {
        const size_t n = strspn(at, "0123456789");
        const unsigned long long id = n > 0 && n < 10 ? strtoull(at, NULL, 10) : n_tokens;
        at += n;
        if (id >= n_tokens || (*at && *at != ',' && *at != '|'))
            return nib_complain(NIB_EXIT_USAGE,
                                "--force-ids %.100s: expected ids from 0 to %u with commas "
                                "between, and | between alternatives, as in 12,13|14",
                                text, n_tokens - 1);
        nib_id_lists_add(out, (int32_t)id);
        if (!*at)
            return NIB_EXIT_OK;
        if (*at == '|')
            nib_id_lists_begin(out);
    }
}

int nib_settings_add_phrases(struct nib_beam_params *out, const struct nib_model *model,
                             const struct nib_words *words, const struct nib_words *ids)
{
    static struct nib_beam_phrase *phrases; /* a program has one model */
    int exit_code = NIB_EXIT_OK;
    phrases = nib_grow(phrases, words->n + ids->n + 1, sizeof *phrases);
    out->phrases = phrases;
    for (size_t i = 0; i < words->n && exit_code == NIB_EXIT_OK; i++) {
        struct nib_id_lists p = {0};
        exit_code = read_words(&p, model, words->values[i]);
        phrases[out->n_phrases++] = phrase_of(&p);
    }
    for (size_t i = 0; i < ids->n && exit_code == NIB_EXIT_OK; i++) {
        struct nib_id_lists p = {0};
        exit_code = read_ids(&p, model, ids->values[i]);
        phrases[out->n_phrases++] = phrase_of(&p);
    }
    return exit_code;
}
