/* See constraints.h. */
#include "constraints.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

struct nib_constraints {
    size_t n_biases, n_words, n_end_ids;
    uint32_t min_length;
    struct nib_logit_bias *biases;
    struct nib_id_list *words; /* into `ids` */
    int32_t *end_ids;
    int32_t *ids;
};

/* ---- making --------------------------------------------------------------------------------- */

static enum nib_status check_id(const char *what, size_t i, int32_t id, size_t n_vocab,
                                struct nib_error *err)
{
    if (id >= 0 && (size_t)id < n_vocab)
        return NIB_OK;
    return nib_fail(err, NIB_ERROR_ARGUMENT,
                    "%s %zu has id %d, which does not exist: the model has ids 0 to %zu; take ids "
                    "of this model",
                    what, i, id, n_vocab - 1);
}

static enum nib_status check_words(const char *what, const struct nib_id_list *words, size_t n,
                                   size_t n_vocab, struct nib_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (words[i].n_ids == 0)
            return nib_fail(err, NIB_ERROR_ARGUMENT, "%s %zu has no ids; give at least one", what,
                            i);
        for (size_t j = 0; j < words[i].n_ids; j++)
            if (check_id(what, i, words[i].ids[j], n_vocab, err) != NIB_OK)
                return NIB_ERROR_ARGUMENT;
    }
    return NIB_OK;
}

static enum nib_status check(const struct nib_sampler_params *p, size_t n_vocab,
                             struct nib_error *err)
{
    for (size_t i = 0; i < p->n_logit_bias; i++) {
        if (check_id("logit_bias", i, p->logit_bias[i].id, n_vocab, err) != NIB_OK)
            return NIB_ERROR_ARGUMENT;
        if (!(p->logit_bias[i].bias < INFINITY))
            return nib_fail(err, NIB_ERROR_ARGUMENT,
                            "logit_bias %zu is %g; it must be a number, or -infinity, which bans "
                            "the id",
                            i, (double)p->logit_bias[i].bias);
    }
    for (size_t i = 0; i < p->n_end_ids; i++)
        if (check_id("end_ids", i, p->end_ids[i], n_vocab, err) != NIB_OK)
            return NIB_ERROR_ARGUMENT;
    if (check_words("bad_words", p->bad_words, p->n_bad_words, n_vocab, err) != NIB_OK)
        return NIB_ERROR_ARGUMENT;
    return check_words("dry_breakers", p->dry_breakers, p->n_dry_breakers, n_vocab, err);
}

/* `size` at least, so that NULL always means that there is no memory. */
static void *copy(const void *from, size_t count, size_t size)
{
    void *to = calloc(count + 1, size);
    if (to && count > 0)
        memcpy(to, from, count * size);
    return to;
}

enum nib_status nib_constraints_create(struct nib_constraints **out,
                                       const struct nib_sampler_params *params, size_t n_vocab,
                                       struct nib_error *err)
{
    *out = NULL;
    const enum nib_status status = check(params, n_vocab, err);
    const bool has_min_length = params->min_length > 0 && params->n_end_ids > 0;
    if (status != NIB_OK ||
        (params->n_logit_bias == 0 && params->n_bad_words == 0 && !has_min_length))
        return status;
    size_t n_ids = 0;
    for (size_t i = 0; i < params->n_bad_words; i++)
        n_ids += params->bad_words[i].n_ids;
    struct nib_constraints *c = calloc(1, sizeof(*c));
    if (!c)
        goto fail;
    c->n_biases = params->n_logit_bias;
    c->n_words = params->n_bad_words;
    c->n_end_ids = has_min_length ? params->n_end_ids : 0;
    c->min_length = has_min_length ? params->min_length : 0;
    c->biases = copy(params->logit_bias, c->n_biases, sizeof(*c->biases));
    c->words = copy(params->bad_words, c->n_words, sizeof(*c->words));
    c->end_ids = copy(params->end_ids, c->n_end_ids, sizeof(*c->end_ids));
    c->ids = calloc(n_ids + 1, sizeof(*c->ids));
    if (!c->biases || !c->words || !c->end_ids || !c->ids)
        goto fail;
    n_ids = 0;
    for (size_t i = 0; i < c->n_words; i++) {
        memcpy(c->ids + n_ids, c->words[i].ids, c->words[i].n_ids * sizeof(*c->ids));
        c->words[i].ids = c->ids + n_ids;
        n_ids += c->words[i].n_ids;
    }
    *out = c;
    return NIB_OK;
fail:
    nib_constraints_free(c);
    return nib_fail_memory(err, n_ids * 4 + params->n_logit_bias * 8, "the sampler's bad words");
}

void nib_constraints_free(struct nib_constraints *c)
{
    if (!c)
        return;
    free(c->biases);
    free(c->words);
    free(c->end_ids);
    free(c->ids);
    free(c);
}

/* ---- applying ------------------------------------------------------------------------------- */

static size_t add_biases(const struct nib_constraints *c, const struct nib_history *history,
                         uint64_t n_choices, float *logits)
{
    (void)history;
    (void)n_choices;
    for (size_t i = 0; i < c->n_biases; i++) {
        float *logit = &logits[c->biases[i].id];
        if (c->biases[i].bias == -INFINITY) {
            *logit = -INFINITY;
        } else if (*logit >= -FLT_MAX && *logit <= FLT_MAX) {
            const double x = (double)*logit + (double)c->biases[i].bias;
            *logit = x > FLT_MAX ? FLT_MAX : x < -FLT_MAX ? -FLT_MAX : (float)x;
        }
    }
    return c->n_biases;
}

static size_t ban_words(const struct nib_constraints *c, const struct nib_history *history,
                        uint64_t n_choices, float *logits)
{
    (void)n_choices;
    size_t n = 0;
    for (size_t i = 0; i < c->n_words; i++) {
        const struct nib_id_list *word = &c->words[i];
        const size_t n_before = word->n_ids - 1;
        if (n_before > history->n ||
            (n_before > 0 && memcmp(history->ids + history->n - n_before, word->ids,
                                    n_before * sizeof(*word->ids)) != 0))
            continue;
        logits[word->ids[n_before]] = -INFINITY;
        n++;
    }
    return n;
}

static size_t ban_ends(const struct nib_constraints *c, const struct nib_history *history,
                       uint64_t n_choices, float *logits)
{
    (void)history;
    if (n_choices >= c->min_length)
        return 0;
    for (size_t i = 0; i < c->n_end_ids; i++)
        logits[c->end_ids[i]] = -INFINITY;
    return c->n_end_ids;
}

static size_t count_biases(const struct nib_constraints *c)
{
    return c->n_biases;
}

static size_t count_words(const struct nib_constraints *c)
{
    return c->n_words;
}

static size_t least_length(const struct nib_constraints *c)
{
    return c->min_length;
}

static const struct {
    const char *name;
    size_t (*value)(const struct nib_constraints *c);
    size_t (*apply)(const struct nib_constraints *c, const struct nib_history *history,
                    uint64_t n_choices, float *logits);
} constraints[NIB_CONSTRAINT_COUNT] = {
    [NIB_CONSTRAINT_LOGIT_BIAS] = {"logit-bias", count_biases, add_biases},
    [NIB_CONSTRAINT_BAD_WORDS] = {"bad-words", count_words, ban_words},
    [NIB_CONSTRAINT_MIN_LENGTH] = {"min-length", least_length, ban_ends},
};

const char *nib_constraint_name(enum nib_constraint which)
{
    return constraints[which].name;
}

size_t nib_constraint_value(const struct nib_constraints *c, enum nib_constraint which)
{
    return c ? constraints[which].value(c) : 0;
}

bool nib_constraints_need_history(const struct nib_constraints *c)
{
    for (size_t i = 0; c && i < c->n_words; i++)
        if (c->words[i].n_ids > 1)
            return true;
    return false;
}

size_t nib_constraint_apply(const struct nib_constraints *c, enum nib_constraint which,
                            const struct nib_history *history, uint64_t n_choices, float *logits)
{
    return constraints[which].apply(c, history, n_choices, logits);
}
