/*
 * Every decoder family against its reference: tiny models as their publishers' library writes them
 * (tests/data/models.md says where they
 * are from) and as GGUF.  The path without quantisation is near the reference; with it, all ways to
 * compute give the same bits.
 */
#define _GNU_SOURCE
#include "golden_data.h"

#include "common.h"
#include "quick.h"

#include <math.h>

enum { N_PROMPTS = 2, MAX_THREADS = 3 };

static const double tolerance = 1e-4; /* of the largest logit */

static const char *const models[] = {
    "models/bloom",
    "models/bloom-6-heads",
    "models/cohere",
    "models/falcon-7b-style",
    "models/falcon-40b-style",
    "models/gemma",
    "models/gemma2",
    "models/gemma3-text",
    "models/gpt-bigcode",
    "models/gpt-neox-f16",
    "models/gpt-neox-odd-rotary",
    "models/gpt2",
    "models/gpt2-layer-scale",
    "models/gptj",
    "models/granite",
    "models/llama-dynamic",
    "models/llama-gqa",
    "models/llama-linear",
    "models/llama-longrope",
    "models/llama-yarn",
    "models/llama3-rope-scaled",
    "models/mistral-swa8-sharded",
    "models/mixtral",
    "models/mpt",
    "models/olmo2",
    "models/olmoe",
    "models/opt",
    "models/phi-partial-rotary",
    "models/phi-qk-norm",
    "models/phi3",
    "models/phi3-longrope",
    "models/qwen2-bf16",
    "models/qwen2-moe",
    "models/qwen3",
    "models/qwen3-moe",
    "models/qwen3-moe-window",
    "models/smollm3",
    "models/stablelm",
    "models/stablelm-parallel",
    "models/starcoder2",
    "gguf-models/gemma2-f16.gguf",
    "gguf-models/gpt2-q5_1.gguf",
    "gguf-models/llama-q4_k_m.gguf",
    "gguf-models/llama3-scaled-q8_0.gguf",
    "gguf-models/qwen3-q4_0.gguf",
};

/* A prompt of a model and what its reference says of it. */
struct prompt {
    int32_t *ids;
    size_t n_ids;
    const float *logits;
    int32_t *greedy; /* or NULL */
    size_t n_greedy;
};

struct golden {
    const char *name;
    struct golden_table table;
    struct prompt prompts[N_PROMPTS];
};

static int32_t *read_ids(const struct golden_table *table, const char *name, size_t *n)
{
    const struct golden_tensor t = golden_tensor(table, name);
    int32_t *ids = malloc(t.n * sizeof(*ids));
    for (size_t i = 0; i < t.n; i++)
        ids[i] = (int32_t)((const int64_t *)t.data)[i];
    *n = t.n;
    return ids;
}

static struct golden open_golden(const char *name)
{
    struct golden g = {.name = name};
    char file[256], key[64];
    const char *suffix = strstr(name, ".gguf");
    snprintf(file, sizeof(file), "%.*s%sgolden.safetensors",
             (int)(suffix ? (size_t)(suffix - name) : strlen(name)), name, suffix ? "." : "/");
    g.table = golden_table_open(file);
    for (int i = 0; i < N_PROMPTS; i++) {
        struct prompt *p = &g.prompts[i];
        snprintf(key, sizeof(key), "p%d.input_ids", i);
        p->ids = read_ids(&g.table, key, &p->n_ids);
        snprintf(key, sizeof(key), "p%d.logits", i);
        p->logits = golden_tensor(&g.table, key).data;
        snprintf(key, sizeof(key), "p%d.greedy_noeos", i);
        if (yyjson_obj_get(yyjson_doc_get_root(g.table.header), key))
            p->greedy = read_ids(&g.table, key, &p->n_greedy);
    }
    return g;
}

static void close_golden(struct golden *g)
{
    for (int i = 0; i < N_PROMPTS; i++) {
        free(g->prompts[i].ids);
        free(g->prompts[i].greedy);
    }
    golden_table_close(&g->table);
}

static struct nib_model *open_model(const char *name, const char *isa, const char *type)
{
    char path[1024];
    struct nib_model *model;
    struct nib_error err;
    struct nib_model_params params;
    snprintf(path, sizeof(path), "%s/%s", NIB_TEST_DATA, name);
    nib_model_params_init(&params);
    params.isa = isa;
    params.type = type;
    params.n_threads = 1;
    if (nib_model_open(&model, path, &params, &err) != NIB_OK)
        fail_msg("%s", err.message);
    return model;
}

static struct nib_context *make_context(const struct nib_model *model, size_t n_ctx, int n_threads,
                                        enum nib_kv_type type)
{
    struct nib_context *context;
    struct nib_error err;
    struct nib_context_params params;
    nib_context_params_init(&params);
    params.n_ctx = (uint32_t)n_ctx;
    params.n_sequences = N_PROMPTS;
    params.n_logits = 256;
    params.n_threads = n_threads;
    params.type_k = params.type_v = type;
    if (nib_context_create(&context, model, &params, &err) != NIB_OK)
        fail_msg("%s", err.message);
    return context;
}

static size_t longest(const struct golden *g)
{
    const size_t a = g->prompts[0].n_ids, b = g->prompts[1].n_ids;
    return a > b ? a : b;
}

/* Tokens of one sequence, all of whose logits go to out[n][n_vocab]. */
static void evaluate(struct nib_context *context, size_t n_vocab, const int32_t *ids, size_t n,
                     float *out)
{
    bool wants[256];
    struct nib_error err;
    assert_true(n <= NIB_COUNT(wants));
    memset(wants, true, sizeof(wants));
    const struct nib_batch batch = {.n_tokens = n, .ids = ids, .wants_logits = wants};
    if (nib_evaluate(context, &batch, &err) != NIB_OK)
        fail_msg("%s", err.message);
    for (size_t i = 0; i < n; i++)
        memcpy(out + i * n_vocab, nib_logits(context, i), n_vocab * sizeof(float));
}

/* [n_ids][n_vocab] logits of a prompt in an empty sequence 0, computed `chunk` tokens at a time. */
static float *score(struct nib_context *context, const struct nib_model *model,
                    const struct prompt *p, size_t chunk)
{
    const size_t n_vocab = nib_model_info(model)->n_vocab;
    float *out = malloc(p->n_ids * n_vocab * sizeof(float));
    nib_sequence_truncate(context, 0, 0);
    for (size_t i = 0; i < p->n_ids; i += chunk)
        evaluate(context, n_vocab, p->ids + i, p->n_ids - i < chunk ? p->n_ids - i : chunk,
                 out + i * n_vocab);
    return out;
}

/* ---- near the reference ---------------------------------------------------------------------- */

/* The largest difference, in parts of the largest logit. */
static double distance(const float *x, const float *expected, size_t n)
{
    double difference = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = fabs((double)x[i] - (double)expected[i]);
        difference = d <= difference ? difference : d; /* also where it is no number */
        largest = fmax(largest, fabs((double)expected[i]));
    }
    return difference / largest;
}

static void check_logits(const struct golden *g, const struct nib_model *model)
{
    const size_t n_vocab = nib_model_info(model)->n_vocab;
    for (int i = 0; i < N_PROMPTS; i++) {
        const struct prompt *p = &g->prompts[i];
        struct nib_context *context = make_context(model, p->n_ids, 1, NIB_KV_F32);
        float *logits = score(context, model, p, p->n_ids);
        const double error = distance(logits, p->logits, p->n_ids * n_vocab);
        if (!(error <= tolerance))
            fail_msg("%s, prompt %d: logits differ by %g of the largest", g->name, i, error);
        free(logits);
        nib_context_free(context);
    }
}

static void check_greedy(const struct golden *g, const struct nib_model *model)
{
    const size_t n_vocab = nib_model_info(model)->n_vocab;
    for (int i = 0; i < N_PROMPTS; i++) {
        const struct prompt *p = &g->prompts[i];
        if (!p->greedy)
            continue;
        struct nib_context *context = make_context(model, p->n_ids + p->n_greedy, 1, NIB_KV_F32);
        float *logits = score(context, model, p, p->n_ids);
        int32_t id = (int32_t)nib_argmax(logits + (p->n_ids - 1) * n_vocab, n_vocab);
        for (size_t k = 0; k < p->n_greedy; k++) {
            if (id != p->greedy[k])
                fail_msg("%s, prompt %d: greedy id %zu is %d, not %d", g->name, i, k, (int)id,
                         (int)p->greedy[k]);
            evaluate(context, n_vocab, &id, 1, logits);
            id = (int32_t)nib_argmax(logits, n_vocab);
        }
        free(logits);
        nib_context_free(context);
    }
}

static void test_floats_are_near_the_reference(void **state)
{
    (void)state;
    for (size_t m = 0; m < NIB_COUNT(models); m++) {
        struct golden g = open_golden(models[m]);
        struct nib_model *model = open_model(models[m], NULL, "f32");
        check_logits(&g, model);
        check_greedy(&g, model);
        nib_model_close(model);
        close_golden(&g);
    }
}

/* ---- one answer everywhere ------------------------------------------------------------------- */

static void expect_equal(const struct golden *g, const float *x, const float *expected, size_t n,
                         const char *how)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(&x[i], &expected[i], sizeof(float)) != 0)
            fail_msg("%s, %s: logit %zu is %a, not %a", g->name, how, i, (double)x[i],
                     (double)expected[i]);
}

/* Threads, and tokens at a time, down to one by one. */
static const struct {
    int n_threads;
    size_t chunk;
} ways[] = {{1, 256}, {2, 7}, {3, 1}, {2, 256}};

static void check_ways(const struct golden *g, const struct nib_model *model,
                       float *expected[N_PROMPTS], const char *type)
{
    const struct nib_model_info *info = nib_model_info(model);
    const size_t n_ways = is_quick() ? 2 : NIB_COUNT(ways);
    for (size_t w = 0; w < n_ways; w++) {
        struct nib_context *context =
            make_context(model, longest(g), ways[w].n_threads, NIB_KV_F16);
        char how[96];
        snprintf(how, sizeof(how), "%s, %s, %d threads, %zu tokens at a time", type, info->isa,
                 ways[w].n_threads, ways[w].chunk);
        for (int i = 0; i < N_PROMPTS; i++) {
            const struct prompt *p = &g->prompts[i];
            float *logits = score(context, model, p, ways[w].chunk);
            if (!expected[i]) {
                expected[i] = logits;
                continue;
            }
            expect_equal(g, logits, expected[i], p->n_ids * info->n_vocab, how);
            free(logits);
        }
        nib_context_free(context);
    }
}

/* Both prompts in one batch, token by token in turn. */
static void check_batch(const struct golden *g, const struct nib_model *model,
                        float *const expected[N_PROMPTS], const char *type)
{
    const size_t n_vocab = nib_model_info(model)->n_vocab;
    int32_t ids[256];
    uint32_t sequences[256], row[256];
    bool wants[256];
    size_t n = 0;
    for (uint32_t i = 0; i < longest(g); i++)
        for (uint32_t s = 0; s < N_PROMPTS; s++)
            if (i < g->prompts[s].n_ids) {
                assert_true(n < NIB_COUNT(ids));
                ids[n] = g->prompts[s].ids[i];
                sequences[n] = s;
                row[n] = i;
                wants[n++] = true;
            }
    struct nib_context *context = make_context(model, longest(g), 2, NIB_KV_F16);
    struct nib_error err;
    const struct nib_batch batch = {n, ids, sequences, wants};
    char how[64];
    snprintf(how, sizeof(how), "%s, both prompts in a batch", type);
    if (nib_evaluate(context, &batch, &err) != NIB_OK)
        fail_msg("%s: %s", g->name, err.message);
    for (size_t i = 0; i < n; i++)
        expect_equal(g, nib_logits(context, i), expected[sequences[i]] + row[i] * n_vocab, n_vocab,
                     how);
    nib_context_free(context);
}

static void check_type(const struct golden *g, const char *type)
{
    struct nib_machine_info machine;
    char list[128];
    float *expected[N_PROMPTS] = {NULL};
    nib_machine_query(&machine);
    snprintf(list, sizeof(list), "%s", machine.isa_list);
    for (char *rest, *isa = strtok_r(list, " ", &rest); isa; isa = strtok_r(NULL, " ", &rest)) {
        struct nib_model *model = open_model(g->name, isa, type);
        check_ways(g, model, expected, type);
        check_batch(g, model, expected, type);
        nib_model_close(model);
    }
    for (int i = 0; i < N_PROMPTS; i++)
        free(expected[i]);
}

static void test_quantised_models_give_the_same_bits_everywhere(void **state)
{
    (void)state;
    for (size_t m = 0; m < NIB_COUNT(models); m++) {
        struct golden g = open_golden(models[m]);
        check_type(&g, "q8");
        check_type(&g, "q4");
        close_golden(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_floats_are_near_the_reference),
        cmocka_unit_test(test_quantised_models_give_the_same_bits_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
