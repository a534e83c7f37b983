/*
 * nibble bench: how fast a model runs here.  Tests as in llama-bench: ppN computes a prompt of N
 * tokens, tgN generates N tokens one by one, each after D tokens of context (@dD).
 */
#include "bench_report.h"
#include "commands.h"
#include "settings.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct {
    struct nib_int_list n_prompt, n_gen, n_depth, n_threads;
    int64_t n_repetitions;
    bool warms_up;
    int format;
} args = {
    .n_prompt = {1, {512}},
    .n_gen = {1, {128}},
    .n_depth = {1, {0}},
    .n_threads = {1, {0}},
    .n_repetitions = 5,
    .warms_up = true,
};

#define MAX_TOKENS 16777216

static const struct nib_option options[] = {
    {"-p", "--n-prompt", NULL, "N,..", "prompt lengths to test, 0: none (default 512)",
     NIB_OPTION_LIST, &args.n_prompt, 0, MAX_TOKENS, false, NULL},
    {"-n", "--n-gen", NULL, "N,..", "numbers of tokens to generate, 0: none (default 128)",
     NIB_OPTION_LIST, &args.n_gen, 0, MAX_TOKENS, false, NULL},
    {"-d", "--n-depth", NULL, "N,..", "tokens in the context before each test (default 0)",
     NIB_OPTION_LIST, &args.n_depth, 0, MAX_TOKENS, false, NULL},
    {"-t", "--threads", NULL, "N,..", "threads; auto (or -1): the cores this process may use",
     NIB_OPTION_LIST, &args.n_threads, 1, 1024, true, NULL},
    {"-r", "--repetitions", NULL, "N", "times each test runs", NIB_OPTION_INT, &args.n_repetitions,
     1, NIB_BENCH_MAX_REPETITIONS, false, NULL},
    {NULL, "--no-warmup", NULL, NULL, "count the first run too", NIB_OPTION_OFF, &args.warms_up, 0,
     0, false, NULL},
    {"-o", "--output", NULL, "FORMAT", "md, json, jsonl or csv", NIB_OPTION_CHOICE, &args.format, 0,
     0, false, nib_bench_formats},
    {0},
};

static const struct nib_option *const tables[] = {options, nib_options_common, nib_options_context,
                                                  NULL};

/* Tokens that differ from each other, the same on every run; numbers from xorshift32. */
static void fill_ids(int32_t *ids, size_t n, uint32_t n_vocab)
{
    uint32_t state = 2463534242u;
    for (size_t i = 0; i < n; i++) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        ids[i] = (int32_t)(state % n_vocab);
    }
}

static int evaluate(struct nib_context *context, const int32_t *ids, size_t n)
{
    struct nib_error err;
    const struct nib_batch batch = {.n_tokens = n, .ids = ids};
    if (n > 0 && nib_evaluate(context, &batch, &err) != NIB_OK)
        return nib_complain_error(&err);
    return nib_interrupt_seen() ? NIB_EXIT_INTERRUPT : NIB_EXIT_OK;
}

/* Runs the test once after `depth` tokens; *seconds is its time. */
static int run_once(struct nib_context *context, const struct nib_bench_test *test,
                    const int32_t *ids, double *seconds)
{
    nib_sequence_truncate(context, 0, (uint32_t)test->n_depth);
    ids += test->n_depth;
    const double started = nib_seconds();
    int exit_code = evaluate(context, ids, (size_t)test->n_prompt);
    for (int64_t i = 0; i < test->n_gen && exit_code == NIB_EXIT_OK; i++)
        exit_code = evaluate(context, ids + i, 1);
    *seconds = nib_seconds() - started;
    return exit_code;
}

static int run_test(struct nib_context *context, const int32_t *ids, struct nib_bench_test *test)
{
    double seconds;
    nib_sequence_truncate(context, 0, 0);
    test->started = time(NULL);
    int exit_code = evaluate(context, ids, (size_t)test->n_depth);
    if (exit_code == NIB_EXIT_OK && args.warms_up) {
        /* A few generated tokens wake everything up as well as all of them. */
        struct nib_bench_test warm_up = *test;
        warm_up.n_gen = test->n_gen < 8 ? test->n_gen : 8;
        exit_code = run_once(context, &warm_up, ids, &seconds);
    }
    for (int64_t i = 0; i < args.n_repetitions && exit_code == NIB_EXIT_OK; i++) {
        exit_code = run_once(context, test, ids, &seconds);
        test->samples[test->n_samples++] = seconds;
    }
    return exit_code;
}

static int64_t list_max(const struct nib_int_list *list)
{
    int64_t max = 0;
    for (size_t i = 0; i < list->n; i++)
        max = list->values[i] > max ? list->values[i] : max;
    return max;
}

/* Positions that the longest of the tests needs. */
static size_t longest_test(void)
{
    const int64_t prompt = list_max(&args.n_prompt), gen = list_max(&args.n_gen);
    const size_t length = (size_t)(list_max(&args.n_depth) + (prompt > gen ? prompt : gen));
    return length ? length : 1;
}

static int run_and_report(struct nib_bench_report *report, struct nib_context *context,
                          const int32_t *ids, int64_t n_prompt, int64_t n_gen, int64_t n_depth)
{
    struct nib_bench_test test = {.n_prompt = n_prompt, .n_gen = n_gen, .n_depth = n_depth};
    if (n_prompt + n_gen == 0)
        return NIB_EXIT_OK;
    const int exit_code = run_test(context, ids, &test);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    nib_bench_report_add(report, context, &test);
    return fflush(stdout) == 0 ? NIB_EXIT_OK : NIB_EXIT_RUNTIME;
}

static int run_tests(struct nib_bench_report *report, struct nib_context *context,
                     const int32_t *ids)
{
    int exit_code = NIB_EXIT_OK;
    for (size_t d = 0; d < args.n_depth.n; d++) {
        const int64_t n_depth = args.n_depth.values[d];
        for (size_t i = 0; i < args.n_prompt.n && exit_code == NIB_EXIT_OK; i++)
            exit_code = run_and_report(report, context, ids, args.n_prompt.values[i], 0, n_depth);
        for (size_t i = 0; i < args.n_gen.n && exit_code == NIB_EXIT_OK; i++)
            exit_code = run_and_report(report, context, ids, 0, args.n_gen.values[i], n_depth);
    }
    return exit_code;
}

static int run(void)
{
    struct nib_model *model;
    nib_settings.n_threads = list_max(&args.n_threads);
    int exit_code = nib_settings_open_model(&model);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    if (nib_model_info(model)->has_encoder) {
        nib_model_close(model);
        return nib_complain(NIB_EXIT_USAGE, "bench measures models without an encoder; nibble run "
                                            "says how fast it decodes from sources");
    }
    const size_t n_ctx = longest_test();
    int32_t *ids = nib_grow(NULL, n_ctx, sizeof *ids);
    fill_ids(ids, n_ctx, nib_model_info(model)->n_vocab);

    struct nib_bench_report report;
    nib_bench_report_begin(&report, model, args.format);
    for (size_t i = 0; i < args.n_threads.n && exit_code == NIB_EXIT_OK; i++) {
        struct nib_context *context;
        nib_settings.n_threads = args.n_threads.values[i];
        exit_code = nib_settings_create_context(&context, model, (uint32_t)n_ctx, 1, 1);
        if (exit_code != NIB_EXIT_OK)
            break;
        nib_interrupt_catch(context);
        report.bandwidth = nib_measure_bandwidth(context);
        exit_code = run_tests(&report, context, ids);
        nib_interrupt_catch(NULL);
        nib_context_free(context);
    }
    nib_bench_report_end(&report);
    free(ids);
    nib_model_close(model);
    return exit_code;
}

const struct nib_command nib_command_bench = {
    .name = "bench",
    .summary = "how fast a model runs here",
    .usage = "MODEL.gguf [-p 512] [-n 128] [-d 0] [-t auto] [-r 5] [-o md]",
    .tables = tables,
    .positional = &nib_settings.model,
    .run = run,
};
