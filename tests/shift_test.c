/*
 * Context shift: the next logits of a sequence that forgot something are those of a sequence that
 * never had it, bit for bit: for every kind of position, with and without a cache, beside others
 * and whatever blocks it shares.
 */
#define _GNU_SOURCE
#include "golden_data.h"

#include "context.h"
#include "quick.h"

#include <signal.h>
#include <sys/time.h>

enum { N_CTX = 300, N_SEQUENCES = 3 };

static const char *const long_model = "models/falcon-7b-style"; /* 2048 positions */

static struct nib_model *open_model(const char *name)
{
    char path[1024];
    struct nib_model *model;
    struct nib_error err;
    struct nib_model_params p;
    nib_model_params_init(&p);
    p.n_threads = 1;
    snprintf(path, sizeof(path), "%s/%s", NIB_TEST_DATA, name);
    if (nib_model_open(&model, path, &p, &err) != NIB_OK)
        fail_msg("%s", err.message);
    return model;
}

/* How a context is made. */
struct shape {
    uint32_t n_ctx, n_batch;
    enum nib_kv_type type;
    bool has_no_cache;
    int n_threads;
};

static struct nib_context *make_context(const struct nib_model *model, struct shape shape)
{
    struct nib_context *context;
    struct nib_error err;
    struct nib_context_params p;
    nib_context_params_init(&p);
    p.n_ctx = shape.n_ctx;
    if (shape.n_batch > 0)
        p.n_batch = shape.n_batch;
    p.n_sequences = N_SEQUENCES;
    p.type_k = p.type_v = shape.type;
    p.kv_cache = !shape.has_no_cache;
    p.n_threads = shape.n_threads ? shape.n_threads : 1;
    if (nib_context_create(&context, model, &p, &err) != NIB_OK)
        fail_msg("%s", err.message);
    return context;
}

static size_t row_bytes(const struct nib_model *model)
{
    return nib_model_info(model)->n_vocab * sizeof(float);
}

/* Other ones for each seed; a model's encoder takes them too. */
static void make_ids(const struct nib_model *model, int32_t *ids, size_t n, uint32_t seed)
{
    const struct nib_model_info *info = nib_model_info(model);
    const uint32_t n_most =
        info->n_source_vocab < info->n_tokens ? info->n_source_vocab : info->n_tokens;
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        ids[i] = (int32_t)((seed >> 8) % n_most);
    }
}

static void evaluate(struct nib_context *context, uint32_t sequence, const int32_t *ids, size_t n)
{
    uint32_t sequences[N_CTX];
    struct nib_error err;
    assert_true(n <= N_CTX);
    for (size_t i = 0; i < n; i++)
        sequences[i] = sequence;
    if (nib_evaluate(context, &(struct nib_batch){n, ids, sequences, NULL}, &err) != NIB_OK)
        fail_msg("%s", err.message);
}

static void shift(struct nib_context *context, uint32_t sequence, uint32_t n_keep,
                  uint32_t n_discard)
{
    struct nib_error err;
    const uint32_t length = nib_sequence_length(context, sequence);
    if (nib_sequence_shift(context, sequence, n_keep, n_discard, &err) != NIB_OK)
        fail_msg("%s", err.message);
    assert_int_equal(nib_sequence_length(context, sequence), length - n_discard);
    assert_null(nib_logits(context, 0));
}

static void encode(struct nib_context *context, const int32_t *ids, size_t n)
{
    struct nib_error err;
    if (nib_encode_sources(context, &(struct nib_batch){n, ids, NULL, NULL}, &err) != NIB_OK)
        fail_msg("%s", err.message);
}

/* Logits of the last of n ids in a context that has had nothing else; to be freed. */
static float *logits_of(const struct nib_model *model, struct shape shape, const int32_t *ids,
                        size_t n, const int32_t *source, size_t n_source)
{
    float *logits = malloc(row_bytes(model));
    struct nib_context *context = make_context(model, shape);
    if (source)
        encode(context, source, n_source);
    evaluate(context, 0, ids, n);
    memcpy(logits, nib_logits(context, 0), row_bytes(model));
    nib_context_free(context);
    return logits;
}

/* The next logits of `sequence` are those of a fresh one with `ids` [n], of which it holds all but
 * the last. */
static void expect_fresh(struct nib_context *context, uint32_t sequence,
                         const struct nib_model *model, struct shape shape, const int32_t *ids,
                         size_t n)
{
    float *expected = logits_of(model, shape, ids, n, NULL, 0);
    assert_int_equal(nib_sequence_length(context, sequence), n - 1);
    evaluate(context, sequence, ids + n - 1, 1);
    assert_memory_equal(nib_logits(context, 0), expected, row_bytes(model));
    free(expected);
}

static void forget(int32_t *ids, size_t n, size_t n_keep, size_t n_discard)
{
    memmove(ids + n_keep, ids + n_keep + n_discard, (n - n_keep - n_discard) * sizeof(*ids));
}

/* ---- positions ------------------------------------------------------------------------------- */

/* A full context shifts, goes on, and shifts again. */
static void check_full(const struct nib_model *model, struct shape shape)
{
    int32_t ids[2 * N_CTX];
    struct nib_context *context = make_context(model, shape);
    const uint32_t n_ctx = nib_context_info(context)->n_ctx, n_keep = 3;
    const uint32_t n_discard = (n_ctx - n_keep) / 2;
    make_ids(model, ids, NIB_COUNT(ids), n_ctx);
    evaluate(context, 0, ids, n_ctx);
    for (int i = 0; i < 2; i++) {
        shift(context, 0, n_keep, n_discard);
        forget(ids, NIB_COUNT(ids), n_keep, n_discard);
        expect_fresh(context, 0, model, shape, ids, n_ctx - n_discard + 1);
        evaluate(context, 0, ids + n_ctx - n_discard + 1, n_discard - 1);
    }
    nib_context_free(context);
}

static void test_every_kind_of_position(void **state)
{
    (void)state;
    static const char *const models[] = {
        "models/llama-gqa",     /* rotated, all dimensions */
        "models/llama-dynamic", /* by the size of the context */
        "models/llama-longrope",
        "models/gpt-neox-f16", /* a part of the dimensions */
        "models/gptj",
        "models/gpt2", /* learned */
        "models/opt",
        "models/bloom", /* ALiBi */
        "models/mpt",
        "models/gemma3-text", /* windows in some layers */
        "models/mistral-swa8-sharded",
        "models/mixtral",
        "gguf-models/llama3-scaled-q8_0.gguf",
    };
    for (size_t i = 0; i < NIB_COUNT(models); i++) {
        struct nib_model *model = open_model(models[i]);
        check_full(model, (struct shape){.n_ctx = 40});
        check_full(model, (struct shape){.n_ctx = 40, .n_batch = 7, .n_threads = 2});
        check_full(model, (struct shape){.n_ctx = 40, .has_no_cache = true});
        nib_model_close(model);
    }
}

/* Several blocks, each type of cache, any cutting: kept and moved tokens begin and end anywhere. */
static void test_every_place(void **state)
{
    (void)state;
    static const struct {
        uint32_t length, n_keep, n_discard;
    } cases[] = {
        {300, 0, 1},    {300, 0, 150}, {300, 1, 149},   {300, 128, 64}, {300, 128, 128},
        {300, 130, 40}, {256, 256, 0}, {256, 128, 128}, {256, 0, 256},  {257, 100, 156},
        {300, 299, 1},  {129, 127, 1}, {64, 10, 20},    {1, 0, 1},
    };
    static const struct shape shapes[] = {
        {.n_ctx = N_CTX},
        {.n_ctx = N_CTX, .n_batch = 33, .type = NIB_KV_Q8_0, .n_threads = 2},
        {.n_ctx = N_CTX, .n_batch = 1, .type = NIB_KV_F32},
        {.n_ctx = N_CTX, .has_no_cache = true},
    };
    struct nib_model *model = open_model(long_model);
    const size_t n_shapes = is_quick() ? 2 : NIB_COUNT(shapes);
    for (size_t s = 0; s < n_shapes; s++)
        for (size_t c = 0; c < NIB_COUNT(cases); c++) {
            int32_t ids[N_CTX + 1];
            struct nib_context *context = make_context(model, shapes[s]);
            make_ids(model, ids, NIB_COUNT(ids), (uint32_t)c);
            if (cases[c].n_discard == 0)
                ids[cases[c].length] = 5;
            evaluate(context, 0, ids, cases[c].length);
            shift(context, 0, cases[c].n_keep, cases[c].n_discard);
            forget(ids, cases[c].length, cases[c].n_keep, cases[c].n_discard);
            expect_fresh(context, 0, model, shapes[s], ids,
                         cases[c].length - cases[c].n_discard + 1);
            nib_context_free(context);
        }
    nib_model_close(model);
}

/* ---- beside others --------------------------------------------------------------------------- */

static void check_forks(const struct nib_model *model, struct shape shape)
{
    enum { LENGTH = 280, N_KEEP = 130, N_DISCARD = 70 };
    int32_t ids[LENGTH + 1], rest[LENGTH + 1], other[N_CTX];
    struct nib_context *context = make_context(model, shape);
    make_ids(model, ids, NIB_COUNT(ids), 1);
    make_ids(model, other, NIB_COUNT(other), 2);
    memcpy(rest, ids, sizeof(rest));
    forget(rest, LENGTH, N_KEEP, N_DISCARD);
    evaluate(context, 0, ids, LENGTH);
    evaluate(context, 2, other, 100);
    assert_int_equal(nib_sequence_fork(context, 0, 1, NULL), NIB_OK);

    shift(context, 1, N_KEEP, N_DISCARD);
    expect_fresh(context, 0, model, shape, ids, LENGTH + 1);
    expect_fresh(context, 1, model, shape, rest, LENGTH - N_DISCARD + 1);
    expect_fresh(context, 2, model, shape, other, 101);

    /* The blocks that a sequence has left are still known by what is in them, and by that alone. */
    nib_sequence_truncate(context, 0, 0);
    const uint32_t n = nib_sequence_reuse(context, 0, ids, LENGTH);
    assert_int_equal(n, shape.has_no_cache ? 0 : 256);
    evaluate(context, 0, ids + n, LENGTH - n);
    expect_fresh(context, 0, model, shape, ids, LENGTH + 1);
    shift(context, 2, 0, 50);
    expect_fresh(context, 2, model, shape, other + 50, 52);
    nib_context_free(context);
}

static void test_sequences_that_share_blocks(void **state)
{
    (void)state;
    struct nib_model *model = open_model(long_model);
    check_forks(model, (struct shape){.n_ctx = N_CTX});
    check_forks(model, (struct shape){.n_ctx = N_CTX, .type = NIB_KV_Q8_0, .n_threads = 2});
    check_forks(model, (struct shape){.n_ctx = N_CTX, .has_no_cache = true});
    nib_model_close(model);
}

/* All sequences are full, so that no block is left over. */
static void test_all_are_full(void **state)
{
    (void)state;
    static int32_t ids[N_SEQUENCES][N_CTX + 1];
    const struct shape shape = {.n_ctx = N_CTX};
    struct nib_model *model = open_model(long_model);
    struct nib_context *context = make_context(model, shape);
    for (uint32_t i = 0; i < N_SEQUENCES; i++) {
        make_ids(model, ids[i], NIB_COUNT(ids[i]), i);
        evaluate(context, i, ids[i], N_CTX);
    }
    for (uint32_t i = 0; i < N_SEQUENCES; i++) {
        shift(context, i, 10 * i, 140);
        forget(ids[i], NIB_COUNT(ids[i]), 10 * i, 140);
    }
    for (uint32_t i = 0; i < N_SEQUENCES; i++)
        expect_fresh(context, i, model, shape, ids[i], N_CTX - 140 + 1);
    nib_context_free(context);
    nib_model_close(model);
}

/* ---- encoders -------------------------------------------------------------------------------- */

static void check_encoder(const struct nib_model *model, struct shape shape)
{
    enum { LENGTH = 30, N_SOURCE = 9, N_KEEP = 1, N_DISCARD = 14 };
    int32_t ids[LENGTH + 1], source[N_SOURCE];
    make_ids(model, ids, NIB_COUNT(ids), 1);
    make_ids(model, source, NIB_COUNT(source), 2);
    struct nib_context *context = make_context(model, shape);
    encode(context, source, N_SOURCE);
    evaluate(context, 0, ids, LENGTH);
    shift(context, 0, N_KEEP, N_DISCARD);
    forget(ids, NIB_COUNT(ids), N_KEEP, N_DISCARD);
    const size_t n = LENGTH - N_DISCARD + 1;
    float *expected = logits_of(model, shape, ids, n, source, N_SOURCE);
    evaluate(context, 0, ids + n - 1, 1);
    assert_memory_equal(nib_logits(context, 0), expected, row_bytes(model));
    free(expected);
    nib_context_free(context);
}

static void test_sources_stay(void **state)
{
    (void)state;
    static const char *const models[] = {"models/t5-relu", "models/bart", "models/marian",
                                         "models/transformer-separate"};
    for (size_t i = 0; i < NIB_COUNT(models); i++) {
        struct nib_model *model = open_model(models[i]);
        check_encoder(model, (struct shape){.n_ctx = 32});
        check_encoder(model, (struct shape){.n_ctx = 32, .n_batch = 5, .n_threads = 2});
        check_encoder(model, (struct shape){.n_ctx = 32, .has_no_cache = true});
        nib_model_close(model);
    }
}

/* ---- failures -------------------------------------------------------------------------------- */

static void expect_refusal(struct nib_context *context, uint32_t sequence, uint32_t n_keep,
                           uint32_t n_discard, const char *words)
{
    struct nib_error err;
    assert_int_equal(nib_sequence_shift(context, sequence, n_keep, n_discard, &err),
                     NIB_ERROR_ARGUMENT);
    assert_int_equal(nib_sequence_shift(context, sequence, n_keep, n_discard, NULL),
                     NIB_ERROR_ARGUMENT);
    if (!strstr(err.message, words))
        fail_msg("'%s' is not in: %s", words, err.message);
}

static void test_wrong_arguments_change_nothing(void **state)
{
    (void)state;
    int32_t ids[21];
    const struct shape shape = {.n_ctx = 40};
    struct nib_model *model = open_model(long_model);
    struct nib_context *context = make_context(model, shape);
    make_ids(model, ids, NIB_COUNT(ids), 1);
    evaluate(context, 0, ids, 20);
    expect_refusal(context, N_SEQUENCES, 0, 1, "the context has 3");
    expect_refusal(context, 0, 21, 0, "has 20 tokens");
    expect_refusal(context, 0, 10, 11, "forget 11 behind the first 10");
    expect_refusal(context, 0, 1, UINT32_MAX, "has 20 tokens");
    expect_refusal(context, 0, UINT32_MAX, 2, "has 20 tokens");
    expect_refusal(context, 1, 0, 1, "has 0 tokens");
    assert_non_null(nib_logits(context, 0));
    expect_fresh(context, 0, model, shape, ids, 21);
    nib_context_free(context);
    nib_model_close(model);
}

static struct nib_context *alarmed;

static void cancel(int signal_number)
{
    (void)signal_number;
    nib_context_cancel(alarmed);
}

/* An alarm that repeats comes while the shift computes, which takes far longer. */
static void test_a_cancelled_shift_leaves_what_is_kept(void **state)
{
    (void)state;
    enum { LENGTH = 2000, N_KEEP = 140 };
    static int32_t ids[LENGTH];
    const struct shape shape = {.n_ctx = LENGTH, .n_batch = 1};
    const struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
    struct nib_model *model = open_model(long_model);
    struct nib_error err;
    alarmed = make_context(model, shape);
    make_ids(model, ids, LENGTH, 1);
    for (int i = 0; i < LENGTH; i += 250)
        evaluate(alarmed, 0, ids + i, 250);
    struct sigaction action = {.sa_handler = cancel, .sa_flags = SA_RESTART}, before;
    sigaction(SIGALRM, &action, &before);
    setitimer(ITIMER_REAL, &often, NULL);
    const enum nib_status status = nib_sequence_shift(alarmed, 0, N_KEEP, 10, &err);
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &before, NULL);
    assert_int_equal(status, NIB_ERROR_CANCELLED);
    assert_non_null(strstr(err.message, "cancelled"));
    assert_null(nib_logits(alarmed, 0));
    expect_fresh(alarmed, 0, model, shape, ids, N_KEEP + 1);
    nib_context_free(alarmed);
    nib_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_of_position),
        cmocka_unit_test(test_every_place),
        cmocka_unit_test(test_sequences_that_share_blocks),
        cmocka_unit_test(test_all_are_full),
        cmocka_unit_test(test_sources_stay),
        cmocka_unit_test(test_wrong_arguments_change_nothing),
        cmocka_unit_test(test_a_cancelled_shift_leaves_what_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
