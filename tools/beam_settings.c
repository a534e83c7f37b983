/* See beam_settings.h. */
#include "beam_settings.h"
#include "phrase_settings.h"
#include "settings.h"

#include <math.h>

static struct {
    int64_t n_beams; /* 0: not given */
    int64_t n_best, no_repeat_ngram, n_groups;
    double length_penalty, diversity_penalty;
    int rule, early_stopping;
    struct nib_words force_words, force_ids;
} args;

static const char *const rules[] = {"hf", "textbook", NULL};
static const char *const stops[] = {"false", "true", "never", NULL};
static const enum nib_early_stopping stopping[] = {NIB_STOP_WHEN_WORSE, NIB_STOP_AT_ONCE,
                                                   NIB_STOP_NEVER};

enum { MAX_BEAMS = 256 };

const struct nib_option nib_options_beams[] = {
    {NULL, "--beams", "--num-beams", "N",
     "beam search: keep the N best beginnings of an answer instead of choosing token by token",
     NIB_OPTION_INT, &args.n_beams, 1, MAX_BEAMS, false, NULL},
    {NULL, "--nbest", "--num-return-sequences", "N",
     "of the beams, give the N best, each with its score", NIB_OPTION_INT, &args.n_best, 1,
     MAX_BEAMS, false, NULL},
    {NULL, "--length-penalty", NULL, "X",
     "scores are sums of log-probabilities / tokens to the power of X", NIB_OPTION_NUMBER,
     &args.length_penalty, -100, 100, false, NULL},
    {NULL, "--beam-rule", NULL, "NAME",
     "hf: answers that end leave the beams, as in transformers; textbook: they stay and compete",
     NIB_OPTION_CHOICE, &args.rule, 0, 0, false, rules},
    {NULL, "--early-stopping", NULL, "WHEN",
     "once N answers have ended, with hf: true: stop; false: when what runs scores less; never: "
     "when it cannot score more any longer",
     NIB_OPTION_CHOICE, &args.early_stopping, 0, 0, false, stops},
    {NULL, "--no-repeat-ngram-size", NULL, "N", "no N tokens come twice in a row in beams; 0: off",
     NIB_OPTION_INT, &args.no_repeat_ngram, 0, 1e6, false, NULL},
    {NULL, "--beam-groups", "--num-beam-groups", "N",
     "beams in N groups, which avoid what earlier groups take", NIB_OPTION_INT, &args.n_groups, 1,
     MAX_BEAMS, false, NULL},
    {NULL, "--diversity-penalty", NULL, "X", "and what taking the same costs", NIB_OPTION_NUMBER,
     &args.diversity_penalty, 0, 1e6, false, NULL},
    {NULL, "--force-words", NULL, "TEXT",
     "answers of beams have this text in them, as it is written behind a blank, or one of several: "
     "'house|building' (\\| is a |); may be repeated",
     NIB_OPTION_WORDS, &args.force_words, 0, 0, false, NULL},
    {NULL, "--force-ids", NULL, "IDS", "the same with ids, as 12,13 or 12,13|14; may be repeated",
     NIB_OPTION_WORDS, &args.force_ids, 0, 0, false, NULL},
    {0},
};

void nib_settings_init_beams(void)
{
    struct nib_beam_params p;
    nib_beam_params_init(&p);
    args.n_beams = 0;
    args.n_best = p.n_best;
    args.no_repeat_ngram = p.no_repeat_ngram;
    args.n_groups = p.n_groups;
    args.length_penalty = p.length_penalty;
    args.diversity_penalty = p.diversity_penalty;
}

bool nib_settings_wants_beams(void)
{
    return args.n_beams > 0;
}

int nib_settings_check_beams(void)
{
    const bool forces = args.force_words.n > 0 || args.force_ids.n > 0;
    for (const struct nib_option *option = nib_options_beams; option->name; option++)
        if (args.n_beams == 0 && nib_option_is_given(option))
            return nib_complain(NIB_EXIT_USAGE,
                                "%s is for beam search; add --beams N, as --beams 4", option->name);
    if (args.n_beams > 0)
        nib_settings_note_unsampled();
    if (args.n_beams > 0 && args.n_best > args.n_beams)
        return nib_complain(NIB_EXIT_USAGE,
                            "--nbest %lld of --beams %lld: ask for at most as many as there are "
                            "beams",
                            (long long)args.n_best, (long long)args.n_beams);
    if (args.n_beams > 0 && args.n_beams % args.n_groups != 0)
        return nib_complain(NIB_EXIT_USAGE,
                            "--beam-groups %lld does not divide --beams %lld; choose numbers that "
                            "go into each other",
                            (long long)args.n_groups, (long long)args.n_beams);
    if (args.n_groups > 1 && args.rule != 0)
        return nib_complain(NIB_EXIT_USAGE,
                            "--beam-groups goes with --beam-rule hf; leave one of them out");
    if (forces && (args.n_groups > 1 || args.rule != 0))
        return nib_complain(NIB_EXIT_USAGE,
                            "--force-words and --force-ids go with --beam-rule hf and without "
                            "--beam-groups; leave the others out");
    return NIB_EXIT_OK;
}

/* Beams know neither words of several ids nor biases but -inf. */
static int check_bans(const struct nib_sampler_params *sampling)
{
    for (size_t i = 0; i < sampling->n_bad_words; i++)
        if (sampling->bad_words[i].n_ids > 1)
            return nib_complain(NIB_EXIT_USAGE,
                                "--bad-words: beam search bans single tokens alone, and one of "
                                "these words has %zu; give ids as [[1],[2]], or leave --beams out",
                                sampling->bad_words[i].n_ids);
    for (size_t i = 0; i < sampling->n_logit_bias; i++)
        if (!isinf(sampling->logit_bias[i].bias))
            return nib_complain(NIB_EXIT_USAGE,
                                "--logit-bias: beam search takes -inf alone, which bans a token; "
                                "leave other biases or --beams out");
    return NIB_EXIT_OK;
}

/* Ids that --bad-words and --logit-bias ban. */
static void add_bans(struct nib_beam_params *out, const struct nib_sampler_params *sampling)
{
    static int32_t *ids; /* a program has one model */
    ids = nib_grow(ids, sampling->n_bad_words + sampling->n_logit_bias + 1, sizeof *ids);
    for (size_t i = 0; i < sampling->n_bad_words; i++)
        ids[out->n_bad_ids++] = sampling->bad_words[i].ids[0];
    for (size_t i = 0; i < sampling->n_logit_bias; i++)
        ids[out->n_bad_ids++] = sampling->logit_bias[i].id;
    out->bad_ids = ids;
}

int nib_settings_beam_params(struct nib_beam_params *out, const struct nib_model *model)
{
    struct nib_sampler_params sampling;
    int exit_code = nib_settings_sampler_params(&sampling, model);
    if (exit_code == NIB_EXIT_OK)
        exit_code = check_bans(&sampling);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    nib_beam_params_init(out);
    out->n_beams = (uint32_t)args.n_beams;
    out->n_best = (uint32_t)args.n_best;
    out->rule = args.rule == 0 ? NIB_BEAMS_HF : NIB_BEAMS_TEXTBOOK;
    out->early_stopping = stopping[args.early_stopping];
    out->length_penalty = args.length_penalty;
    out->repeat_penalty = (double)sampling.repeat_penalty;
    out->no_repeat_ngram = (uint32_t)args.no_repeat_ngram;
    out->min_new = sampling.min_length;
    out->n_groups = (uint32_t)args.n_groups;
    out->diversity_penalty = args.diversity_penalty;
    add_bans(out, &sampling);
    return nib_settings_add_phrases(out, model, &args.force_words, &args.force_ids);
}
