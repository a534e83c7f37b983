/*
 * The options of sampling, with llama.cpp's names and defaults, and the parameters that are made of
 * them: words and texts become ids of the model's vocabulary.
 */
#include "id_lists.h"
#include "settings.h"

#include <yyjson.h>

#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
    int64_t seed; /* -1: a new one each time */
    const char *samplers;
    double temperature, dynatemp_range, dynatemp_exponent;
    double top_p, min_p, typical_p, top_n_sigma, xtc_probability, xtc_threshold;
    int64_t top_k;
    double repeat_penalty, frequency_penalty, presence_penalty;
    int64_t repeat_last_n;
    double dry_multiplier, dry_base;
    int64_t dry_allowed_length, dry_last_n;
    int64_t mirostat;
    double mirostat_tau, mirostat_eta;
    int64_t min_length;
    struct nib_words dry_breakers, logit_bias, bad_words;
} args;

#define MAX_INT32 2147483647.0

const struct nib_option nib_options_sampling[] = {
    {"-s", "--seed", NULL, "N", "random numbers start from this; -1: other ones every time",
     NIB_OPTION_INT, &args.seed, -1, 9223372036854775807.0, false, NULL},
    {NULL, "--samplers", NULL, "NAMES",
     "the stages and their order, with ; between: penalties, dry, top_n_sigma, top_k, typ_p, "
     "top_p, "
     "min_p, xtc, temperature, mirostat; without it that order",
     NIB_OPTION_TEXT, &args.samplers, 0, 0, false, NULL},
    {NULL, "--temp", "--temperature", "X",
     "temperature; 0 takes the most probable token; without it 0.8, of models with an encoder 0",
     NIB_OPTION_NUMBER, &args.temperature, 0, 100, false, NULL},
    {NULL, "--dynatemp-range", NULL, "X", "the temperature moves by X with the entropy; 0: off",
     NIB_OPTION_NUMBER, &args.dynatemp_range, 0, 100, false, NULL},
    {NULL, "--dynatemp-exp", NULL, "X", "and how: the entropy's share to the power of X",
     NIB_OPTION_NUMBER, &args.dynatemp_exponent, 0, 100, false, NULL},
    {NULL, "--top-k", NULL, "N", "choose among the N most probable; 0: off", NIB_OPTION_INT,
     &args.top_k, 0, MAX_INT32, false, NULL},
    {NULL, "--top-p", NULL, "X", "choose among those that make up X of the probability; 1: off",
     NIB_OPTION_NUMBER, &args.top_p, 0, 1, false, NULL},
    {NULL, "--min-p", NULL, "X", "drop those less probable than X times the best; 0: off",
     NIB_OPTION_NUMBER, &args.min_p, 0, 1, false, NULL},
    {NULL, "--typical", NULL, "X",
     "choose among the typical ones with X of the probability; 1: off", NIB_OPTION_NUMBER,
     &args.typical_p, 0, 1, false, NULL},
    {NULL, "--top-nsigma", "--top-n-sigma", "X",
     "drop logits more than X standard deviations below the best; 0: off", NIB_OPTION_NUMBER,
     &args.top_n_sigma, -1, 1e6, false, NULL},
    {NULL, "--xtc-probability", NULL, "X", "how often XTC drops the most probable ones; 0: off",
     NIB_OPTION_NUMBER, &args.xtc_probability, 0, 1, false, NULL},
    {NULL, "--xtc-threshold", NULL, "X", "of those above X, XTC leaves the least probable",
     NIB_OPTION_NUMBER, &args.xtc_threshold, 0, 1, false, NULL},
    {NULL, "--repeat-penalty", NULL, "X", "divide logits of tokens seen before by X; 1: off",
     NIB_OPTION_NUMBER, &args.repeat_penalty, 0.01, 100, false, NULL},
    {NULL, "--repeat-last-n", NULL, "N", "how far back penalties look; -1: all", NIB_OPTION_INT,
     &args.repeat_last_n, -1, MAX_INT32, false, NULL},
    {NULL, "--presence-penalty", NULL, "X", "subtract X from tokens generated before; 0: off",
     NIB_OPTION_NUMBER, &args.presence_penalty, -100, 100, false, NULL},
    {NULL, "--frequency-penalty", NULL, "X", "subtract X for each time generated before; 0: off",
     NIB_OPTION_NUMBER, &args.frequency_penalty, -100, 100, false, NULL},
    {NULL, "--dry-multiplier", NULL, "X", "what making a repetition longer costs; 0: off",
     NIB_OPTION_NUMBER, &args.dry_multiplier, 0, 1000, false, NULL},
    {NULL, "--dry-base", NULL, "X", "times this for each token that repeats", NIB_OPTION_NUMBER,
     &args.dry_base, 1, 1000, false, NULL},
    {NULL, "--dry-allowed-length", NULL, "N", "repetitions this long begin to cost", NIB_OPTION_INT,
     &args.dry_allowed_length, 0, MAX_INT32, false, NULL},
    {NULL, "--dry-penalty-last-n", NULL, "N", "how far back DRY looks; -1: all", NIB_OPTION_INT,
     &args.dry_last_n, -1, MAX_INT32, false, NULL},
    {NULL, "--dry-sequence-breaker", NULL, "TEXT",
     "repetitions end at this text (\\n is a newline; none: nowhere), may be repeated; without it "
     "at \\n : \" *",
     NIB_OPTION_WORDS, &args.dry_breakers, 0, 0, false, NULL},
    {NULL, "--mirostat", NULL, "N", "2: Mirostat 2 in place of the other filters; 0: off",
     NIB_OPTION_INT, &args.mirostat, 0, 2, false, NULL},
    {NULL, "--mirostat-lr", NULL, "X", "how fast it adapts (eta)", NIB_OPTION_NUMBER,
     &args.mirostat_eta, 0, 1, false, NULL},
    {NULL, "--mirostat-ent", NULL, "X", "the surprise it keeps to, in bits (tau)",
     NIB_OPTION_NUMBER, &args.mirostat_tau, 0, 100, false, NULL},
    {"-l", "--logit-bias", NULL, "TOKEN(+/-)X",
     "add X to the logit of an id, or of the tokens of a text; -inf bans; may be repeated",
     NIB_OPTION_WORDS, &args.logit_bias, 0, 0, false, NULL},
    {NULL, "--bad-words", NULL, "TEXT",
     "never complete this text (with or without a blank before), or these lists of ids as "
     "[[1,2],[3]]; may be repeated",
     NIB_OPTION_WORDS, &args.bad_words, 0, 0, false, NULL},
    {NULL, "--min-length", "--min-new-tokens", "N", "no end token before N others", NIB_OPTION_INT,
     &args.min_length, 0, MAX_INT32, false, NULL},
    {0},
};

/* 0.8f is 0.800000012 as a double; options and their help want 0.8. */
static double decimal(float value)
{
    return round(1e6 * (double)value) / 1e6;
}

void nib_settings_init_sampling(void)
{
    struct nib_sampler_params p;
    nib_sampler_params_init(&p);
    args.seed = -1;
    args.temperature = NAN; /* not given */
    args.dynatemp_range = decimal(p.dynatemp_range);
    args.dynatemp_exponent = decimal(p.dynatemp_exponent);
    args.top_k = p.top_k;
    args.top_p = decimal(p.top_p);
    args.min_p = decimal(p.min_p);
    args.typical_p = decimal(p.typical_p);
    args.top_n_sigma = decimal(p.top_n_sigma);
    args.xtc_probability = decimal(p.xtc_probability);
    args.xtc_threshold = decimal(p.xtc_threshold);
    args.repeat_penalty = decimal(p.repeat_penalty);
    args.repeat_last_n = p.repeat_last_n;
    args.frequency_penalty = decimal(p.frequency_penalty);
    args.presence_penalty = decimal(p.presence_penalty);
    args.dry_multiplier = decimal(p.dry_multiplier);
    args.dry_base = decimal(p.dry_base);
    args.dry_allowed_length = p.dry_allowed_length;
    args.dry_last_n = p.dry_last_n;
    args.mirostat = p.mirostat;
    args.mirostat_tau = decimal(p.mirostat_tau);
    args.mirostat_eta = decimal(p.mirostat_eta);
}

void nib_settings_note_unsampled(void)
{
    static const void *const used[] = {&args.seed, &args.repeat_penalty, &args.logit_bias,
                                       &args.bad_words, &args.min_length};
    for (const struct nib_option *option = nib_options_sampling; option->name; option++) {
        bool is_used = false;
        for (size_t i = 0; i < sizeof used / sizeof *used; i++)
            is_used = is_used || option->value == used[i];
        if (!is_used && nib_option_is_given(option))
            nib_note("%s changes nothing: beams are not sampled", option->name);
    }
}

/* ---- logit bias ----------------------------------------------------------------------------- */

struct biases {
    struct nib_logit_bias *list;
    size_t n;
};

static void add_bias(struct biases *out, int32_t id, double bias)
{
    out->list = nib_grow(out->list, out->n + 1, sizeof *out->list);
    out->list[out->n++] = (struct nib_logit_bias){id, (float)bias};
}

/* "1.5", "1e-5" or "inf", whole. */
static bool read_size(const char *text, double *size)
{
    char *end;
    if (strcmp(text, "inf") == 0) {
        *size = INFINITY;
        return true;
    }
    *size = strtod(text, &end);
    return (isdigit((unsigned char)*text) || *text == '.') && end > text && !*end &&
           strspn(text, "0123456789.eE+-") == strlen(text) && isfinite(*size);
}

/* The sign that begins the number at the end of `text`, and the number; NULL if there is none.  The
 * number may have a sign in its exponent. */
static const char *find_bias(const char *text, double *bias)
{
    const char *found = NULL;
    double size;
    for (const char *sign = text + strlen(text); sign-- > text + 1;) {
        if (*sign != '+' && *sign != '-')
            continue;
        if (!read_size(sign + 1, &size))
            break;
        *bias = *sign == '-' ? -size : size;
        found = sign;
    }
    return found;
}

static int read_bias(const struct nib_model *model, const char *text, struct biases *out)
{
    double bias = 0;
    const char *sign = find_bias(text, &bias);
    if (!sign || bias == INFINITY)
        return nib_complain(NIB_EXIT_USAGE,
                            "--logit-bias %.100s: expected an id or a text, then + or - and a "
                            "number, or -inf, as in 15043-1.5",
                            text);
    const size_t n_bytes = (size_t)(sign - text);
    if (strspn(text, "0123456789") >= n_bytes) {
        const unsigned long long id = strtoull(text, NULL, 10);
        const uint32_t n_vocab = nib_model_info(model)->n_vocab;
        if (id >= n_vocab)
            return nib_complain(NIB_EXIT_USAGE, "--logit-bias %.100s: ids go from 0 to %u", text,
                                n_vocab - 1);
        add_bias(out, (int32_t)id, bias);
        return NIB_EXIT_OK;
    }
    int32_t *ids;
    size_t n_ids;
    const int exit_code = nib_word_ids(model, text, n_bytes, &ids, &n_ids);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    for (size_t i = 0; i < n_ids; i++)
        add_bias(out, ids[i], bias);
    nib_free(ids);
    return NIB_EXIT_OK;
}

/* ---- bad words ------------------------------------------------------------------------------ */

static int complain_lists(const char *text)
{
    return nib_complain(NIB_EXIT_USAGE,
                        "--bad-words %.100s: not lists of this model's ids; expected a text, or "
                        "[[id, id], [id]]",
                        text);
}

static int read_word_ids(const struct nib_model *model, const char *text, struct nib_id_lists *out)
{
    int exit_code = NIB_EXIT_OK;
    const uint32_t n_vocab = nib_model_info(model)->n_vocab;
    yyjson_doc *doc = yyjson_read(text, strlen(text), 0);
    if (!yyjson_is_arr(yyjson_doc_get_root(doc)))
        exit_code = complain_lists(text);
    size_t i, j, n, n_ids;
    yyjson_val *list, *id;
    yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, list)
    {
        if (!yyjson_is_arr(list) || yyjson_arr_size(list) == 0) {
            exit_code = complain_lists(text);
            break;
        }
        nib_id_lists_begin(out);
        yyjson_arr_foreach(list, j, n_ids, id)
        {
            if (!yyjson_is_uint(id) || yyjson_get_uint(id) >= n_vocab)
                exit_code = complain_lists(text);
            else
                nib_id_lists_add(out, (int32_t)yyjson_get_uint(id));
            if (exit_code != NIB_EXIT_OK)
                goto done;
        }
    }
done:
    yyjson_doc_free(doc);
    return exit_code;
}

/* As it stands, and as it is written behind another word. */
static int read_word(const struct nib_model *model, const char *text, struct nib_id_lists *out)
{
    if (strncmp(text, "[[", 2) == 0)
        return read_word_ids(model, text, out);
    for (int has_blank = 0; has_blank < 2; has_blank++) {
        struct nib_buffer word = {0};
        int32_t *ids = NULL;
        size_t n_ids = 0;
        nib_buffer_add(&word, " ", has_blank ? 1 : 0);
        nib_buffer_add(&word, text, strlen(text));
        const int exit_code = nib_word_ids(model, word.data, word.n_bytes, &ids, &n_ids);
        if (n_ids > 0)
            nib_id_lists_begin(out);
        for (size_t i = 0; i < n_ids; i++)
            nib_id_lists_add(out, ids[i]);
        nib_free(ids);
        nib_buffer_free(&word);
        if (exit_code != NIB_EXIT_OK)
            return exit_code;
    }
    return NIB_EXIT_OK;
}

/* ---- DRY ------------------------------------------------------------------------------------ */

/* In place: \n, \t, \\ and \" as in C. */
static char *unescape(const char *text)
{
    const size_t n_bytes = strlen(text);
    char *out = nib_grow(NULL, n_bytes + 1, 1);
    size_t n = 0;
    for (const char *c = text; *c; c++) {
        if (*c == '\\' && c[1]) {
            c++;
            out[n++] = (char)(*c == 'n' ? '\n' : *c == 't' ? '\t' : *c);
        } else {
            out[n++] = *c;
        }
    }
    out[n] = 0;
    return out;
}

static int read_breakers(const struct nib_model *model, struct nib_sampler_params *out)
{
    static const char *const usual[] = {"\n", ":", "\"", "*"};
    char *texts[sizeof args.dry_breakers.values / sizeof args.dry_breakers.values[0]];
    const struct nib_words *words = &args.dry_breakers;
    struct nib_id_list *lists;
    struct nib_error err;
    size_t n = 0;
    if (args.dry_multiplier <= 0)
        return NIB_EXIT_OK;
    for (size_t i = 0; i < words->n; i++)
        if (strcmp(words->values[i], "none") != 0)
            texts[n++] = unescape(words->values[i]);
    const enum nib_status status =
        words->n > 0 ? nib_dry_breakers(model, (const char *const *)texts, n, &lists,
                                        &out->n_dry_breakers, &err)
                     : nib_dry_breakers(model, usual, sizeof usual / sizeof usual[0], &lists,
                                        &out->n_dry_breakers, &err);
    out->dry_breakers = lists;
    for (size_t i = 0; i < n; i++)
        free(texts[i]);
    return status == NIB_OK ? NIB_EXIT_OK : nib_complain_error(&err);
}

/* ---- parameters ----------------------------------------------------------------------------- */

static uint64_t fresh_seed(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return ((uint64_t)now.tv_sec * 1000000007u) ^ ((uint64_t)now.tv_nsec << 20) ^
           (uint64_t)getpid();
}

static void fill_numbers(struct nib_sampler_params *p, bool has_encoder)
{
    if (args.seed < 0)
        args.seed = (int64_t)(fresh_seed() & INT64_MAX);
    p->seed = (uint64_t)args.seed;
    p->samplers = args.samplers;
    if (!isnan(args.temperature))
        p->temperature = (float)args.temperature;
    else if (has_encoder)
        p->temperature = 0;
    p->dynatemp_range = (float)args.dynatemp_range;
    p->dynatemp_exponent = (float)args.dynatemp_exponent;
    p->top_k = (int32_t)args.top_k;
    p->top_p = (float)args.top_p;
    p->min_p = (float)args.min_p;
    p->typical_p = (float)args.typical_p;
    p->top_n_sigma = args.top_n_sigma > 0 ? (float)args.top_n_sigma : 0; /* llama.cpp's off: -1 */
    p->xtc_probability = (float)args.xtc_probability;
    p->xtc_threshold = (float)args.xtc_threshold;
    p->repeat_penalty = (float)args.repeat_penalty;
    p->repeat_last_n = (int32_t)args.repeat_last_n;
    p->presence_penalty = (float)args.presence_penalty;
    p->frequency_penalty = (float)args.frequency_penalty;
    p->dry_multiplier = (float)args.dry_multiplier;
    p->dry_base = (float)args.dry_base;
    p->dry_allowed_length = (int32_t)args.dry_allowed_length;
    p->dry_last_n = (int32_t)args.dry_last_n;
    p->mirostat = (int32_t)args.mirostat;
    p->mirostat_tau = (float)args.mirostat_tau;
    p->mirostat_eta = (float)args.mirostat_eta;
    p->min_length = (uint32_t)args.min_length;
}

static void fill_end_ids(struct nib_sampler_params *p, const struct nib_model *model)
{
    int32_t *ids = NULL;
    for (uint32_t id = 0; args.min_length > 0 && id < nib_model_info(model)->n_tokens; id++)
        if (nib_token_is_end(model, (int32_t)id)) {
            ids = nib_grow(ids, p->n_end_ids + 1, sizeof *ids);
            ids[p->n_end_ids++] = (int32_t)id;
        }
    p->end_ids = ids;
}

static int make_params(struct nib_sampler_params *p, const struct nib_model *model)
{
    struct nib_id_lists words = {0};
    struct biases biases = {0};
    int exit_code = NIB_EXIT_OK;
    nib_sampler_params_init(p);
    fill_numbers(p, nib_model_info(model)->has_encoder);
    fill_end_ids(p, model);
    p->n_tokens = nib_model_info(model)->n_tokens;
    for (size_t i = 0; i < nib_model_info(model)->n_bad_ids; i++)
        add_bias(&biases, nib_model_info(model)->bad_ids[i], -INFINITY);
    for (size_t i = 0; i < args.logit_bias.n && exit_code == NIB_EXIT_OK; i++)
        exit_code = read_bias(model, args.logit_bias.values[i], &biases);
    for (size_t i = 0; i < args.bad_words.n && exit_code == NIB_EXIT_OK; i++)
        exit_code = read_word(model, args.bad_words.values[i], &words);
    nib_id_lists_end(&words);
    p->logit_bias = biases.list;
    p->n_logit_bias = biases.n;
    p->bad_words = words.lists;
    p->n_bad_words = words.n_lists;
    return exit_code == NIB_EXIT_OK ? read_breakers(model, p) : exit_code;
}

int nib_settings_sampler_params(struct nib_sampler_params *out, const struct nib_model *model)
{
    static struct nib_sampler_params params; /* a program has one model */
    static const struct nib_model *made_for;
    if (made_for != model) {
        const int exit_code = make_params(&params, model);
        if (exit_code != NIB_EXIT_OK)
            return exit_code;
        made_for = model;
    }
    *out = params;
    return NIB_EXIT_OK;
}

int nib_settings_create_sampler(struct nib_sampler **out, const struct nib_model *model,
                                uint32_t sequence, bool wants_logprob)
{
    struct nib_sampler_params params;
    struct nib_error err;
    const int exit_code = nib_settings_sampler_params(&params, model);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    params.sequence = sequence;
    params.wants_logprob = wants_logprob;
    params.wants_report = nib_settings.wants_report;
    if (nib_sampler_create(out, &params, nib_model_info(model)->n_vocab, &err) != NIB_OK)
        return nib_complain_error(&err);
    if (nib_settings.is_verbose && sequence == 0)
        nib_note("%s", nib_sampler_describe(*out));
    return NIB_EXIT_OK;
}
