/* See kv_cost.h. */
#include "kv_cost.h"
#include "settings.h"
#include "terminal.h"

enum { MOST = 512, TIMES = 3, N_SOURCE = 16 };

struct pair {
    double step_s, all_s;
};

static int evaluate(struct nib_context *context, uint32_t n, double *seconds)
{
    static const int32_t ids[MOST];
    struct nib_error err;
    const double started = nib_seconds();
    if (nib_evaluate(context, &(struct nib_batch){.n_tokens = n, .ids = ids}, &err) != NIB_OK)
        return nib_complain_error(&err);
    const double taken = nib_seconds() - started;
    *seconds = taken < *seconds ? taken : *seconds;
    return NIB_EXIT_OK;
}

/* The best of some times, with n positions. */
static int measure(struct nib_context *context, uint32_t n, struct pair *out)
{
    int exit_code = NIB_EXIT_OK;
    *out = (struct pair){1e30, 1e30};
    for (int i = 0; i < TIMES && exit_code == NIB_EXIT_OK; i++) {
        nib_sequence_truncate(context, 0, 0);
        exit_code = evaluate(context, n, &out->all_s);
        nib_sequence_truncate(context, 0, n - 1);
        if (exit_code == NIB_EXIT_OK)
            exit_code = evaluate(context, 1, &out->step_s);
    }
    return exit_code;
}

static bool pays(const struct pair *pair)
{
    return pair->all_s > 1.1 * pair->step_s;
}

/* It pays at `high` and not at `low`. */
static int narrow(struct nib_context *context, uint32_t low, uint32_t high, struct nib_kv_cost *out)
{
    int exit_code = NIB_EXIT_OK;
    while (high - low > 1 && exit_code == NIB_EXIT_OK) {
        const uint32_t middle = low + (high - low) / 2;
        struct pair pair;
        exit_code = measure(context, middle, &pair);
        if (!pays(&pair)) {
            low = middle;
            continue;
        }
        high = middle;
        out->pays_step_s = pair.step_s;
        out->pays_all_s = pair.all_s;
    }
    out->n_pays = high;
    return exit_code;
}

static int measure_lengths(struct nib_context *context, struct nib_kv_cost *out)
{
    const uint32_t limit = nib_context_info(context)->n_ctx;
    const double started = nib_seconds();
    uint32_t last = 1;
    struct pair pair;
    int exit_code = measure(context, 1, &pair); /* wakes threads and caches up */
    for (uint32_t n = 2; n <= limit && exit_code == NIB_EXIT_OK; last = n, n *= 2) {
        exit_code = measure(context, n, &pair);
        out->n_longest = n;
        out->longest_step_s = pair.step_s;
        out->longest_all_s = pair.all_s;
        if (out->n_pays == 0 && exit_code == NIB_EXIT_OK && pays(&pair)) {
            out->pays_step_s = pair.step_s;
            out->pays_all_s = pair.all_s;
            exit_code = narrow(context, last, n, out);
        }
        if (out->n_pays > 0 && nib_seconds() - started > 1)
            break;
    }
    return exit_code;
}

static int encode_something(struct nib_context *context)
{
    static const int32_t ids[N_SOURCE];
    struct nib_error err;
    const uint32_t most = nib_context_info(context)->n_ctx_source;
    const struct nib_batch batch = {.n_tokens = most < N_SOURCE ? most : N_SOURCE, .ids = ids};
    return most == 0 || nib_encode_sources(context, &batch, &err) == NIB_OK
               ? NIB_EXIT_OK
               : nib_complain_error(&err);
}

int nib_kv_cost_measure(struct nib_kv_cost *out, const struct nib_model *model)
{
    const uint32_t n_ctx = nib_model_info(model)->n_ctx_train;
    struct nib_context_params params;
    struct nib_context *context;
    struct nib_error err;
    *out = (struct nib_kv_cost){0};
    nib_context_params_init(&params);
    params.n_ctx = n_ctx < MOST ? n_ctx : MOST;
    params.n_threads = (int)nib_settings.n_threads;
    if (nib_context_create(&context, model, &params, &err) != NIB_OK)
        return nib_complain_error(&err);
    int exit_code = encode_something(context);
    if (exit_code == NIB_EXIT_OK)
        exit_code = measure_lengths(context, out);
    nib_context_free(context);
    return exit_code;
}
