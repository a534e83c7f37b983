/* See phrase_settings.h. */
#include "phrase_settings.h"
#include "input.h"
#include "terminal.h"

#include <stdlib.h>
#include <string.h>

/* One value of an option: alternatives with "|" between.  The pointers are set once all are
 * there. */
struct phrase {
    struct nib_id_list *alternatives;
    int32_t *ids;
    size_t n_alternatives, n_ids;
};

static void begin(struct phrase *p)
{
    p->alternatives = nib_grow(p->alternatives, p->n_alternatives + 1, sizeof *p->alternatives);
    p->alternatives[p->n_alternatives++] = (struct nib_id_list){0};
}

static void add(struct phrase *p, int32_t id)
{
    p->ids = nib_grow(p->ids, p->n_ids + 1, sizeof *p->ids);
    p->ids[p->n_ids++] = id;
    p->alternatives[p->n_alternatives - 1].n_ids++;
}

static struct nib_beam_phrase end(struct phrase *p)
{
    const int32_t *ids = p->ids;
    for (size_t i = 0; i < p->n_alternatives; i++) {
        p->alternatives[i].ids = ids;
        ids += p->alternatives[i].n_ids;
    }
    return (struct nib_beam_phrase){p->alternatives, p->n_alternatives};
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

static int tokenize(const struct nib_model *model, const char *text, size_t n_bytes, int32_t **ids,
                    size_t *n_ids)
{
    struct nib_error err;
    if (nib_tokenize(model, text, n_bytes, NIB_PARSE_SPECIAL, ids, n_ids, &err) != NIB_OK)
        return nib_complain_error(&err);
    return NIB_EXIT_OK;
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
static int add_word(struct phrase *out, const struct nib_model *model,
                    const struct nib_buffer *word)
{
    struct nib_buffer text = {0};
    int32_t *before = NULL, *ids = NULL;
    size_t n_before = 0, n_ids = 0;
    nib_buffer_add(&text, "a ", 2);
    nib_buffer_add(&text, word->data, word->n_bytes);
    int exit_code = tokenize(model, "a", 1, &before, &n_before);
    if (exit_code == NIB_EXIT_OK)
        exit_code = tokenize(model, text.data, text.n_bytes, &ids, &n_ids);
    if (exit_code == NIB_EXIT_OK &&
        (n_ids <= n_before || memcmp(ids, before, n_before * sizeof *ids) != 0)) {
        nib_free(ids);
        ids = NULL;
        n_before = 0;
        exit_code = tokenize(model, text.data + 1, text.n_bytes - 1, &ids, &n_ids);
    }
    begin(out);
    for (size_t i = n_before; i < n_ids && exit_code == NIB_EXIT_OK; i++) {
        add(out, ids[i]);
        exit_code = check_special(model, word, ids[i]);
    }
    nib_free(before);
    nib_free(ids);
    nib_buffer_free(&text);
    return exit_code;
}

static int read_words(struct phrase *out, const struct nib_model *model, const char *text)
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

static int read_ids(struct phrase *out, const struct nib_model *model, const char *text)
{
    const uint32_t n_tokens = nib_model_info(model)->n_tokens;
    begin(out);
    for (const char *at = text;; at++) {
        const size_t n = strspn(at, "0123456789");
        const unsigned long long id = n > 0 && n < 10 ? strtoull(at, NULL, 10) : n_tokens;
        at += n;
        if (id >= n_tokens || (*at && *at != ',' && *at != '|'))
            return nib_complain(NIB_EXIT_USAGE,
                                "--force-ids %.100s: expected ids from 0 to %u with commas "
                                "between, and | between alternatives, as in 12,13|14",
                                text, n_tokens - 1);
        add(out, (int32_t)id);
        if (!*at)
            return NIB_EXIT_OK;
        if (*at == '|')
            begin(out);
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
        struct phrase p = {0};
        exit_code = read_words(&p, model, words->values[i]);
        phrases[out->n_phrases++] = end(&p);
    }
    for (size_t i = 0; i < ids->n && exit_code == NIB_EXIT_OK; i++) {
        struct phrase p = {0};
        exit_code = read_ids(&p, model, ids->values[i]);
        phrases[out->n_phrases++] = end(&p);
    }
    return exit_code;
}
