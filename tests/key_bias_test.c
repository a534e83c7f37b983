/*
 * Int8 caches of models whose keys have large biases: the angles that they are rotated by in the
 * mean, and whole models, which must stay near to themselves with a cache of floats and give the
 * same bits on every level, number of threads and chunking.
 */
#define _GNU_SOURCE
#include "model_check.h"

#include "key_bias.h"
#include "positions.h"
#include "quick.h"

#include <math.h>

static void test_mean_angles_are_means(void **state)
{
    (void)state;
    static const float frequency[] = {1, 0.3f, 0.01f, 1e-4f, 1e-8f, 0};
    enum { N = NIB_COUNT(frequency) };
    float c[N], s[N], mean_c[N], mean_s[N];
    for (uint32_t first = 0; first < 40000; first += 9984) {
        double sum_c[N] = {0}, sum_s[N] = {0};
        nib_rope_mean_angles(mean_c, mean_s, frequency, N, first, NIB_SEGMENT, 1.5f);
        for (uint32_t i = 0; i < NIB_SEGMENT; i++) {
            nib_rope_angles(c, s, frequency, N, first + i, 1.5f);
            for (size_t j = 0; j < N; j++)
                sum_c[j] += (double)c[j] / NIB_SEGMENT, sum_s[j] += (double)s[j] / NIB_SEGMENT;
        }
        for (size_t j = 0; j < N; j++) {
            assert_true(fabs(sum_c[j] - (double)mean_c[j]) < 1e-6);
            assert_true(fabs(sum_s[j] - (double)mean_s[j]) < 1e-6);
        }
    }
}

/* ---- models ---------------------------------------------------------------------------------- */

enum { N_TOKENS = 300, D_HEAD = 32, N_KEYED = DRAFT_KV_HEADS * D_HEAD };

/* Rows of k with a bias in neighbouring pairs, as files of Llama's family order them: hundreds in
 * pairs that turn slowly, 20 in one that turns fast. */
static void make_draft(struct model_draft *d, float *values)
{
    static const char *const names[] = {"attn_q", "attn_k", "attn_v"};
    static const uint64_t n_heads[] = {DRAFT_HEADS, DRAFT_KV_HEADS, DRAFT_KV_HEADS};
    draft_init(d);
    draft_int(d, "llama.context_length", N_TOKENS + 20);
    draft_int(d, "llama.attention.key_length", D_HEAD);
    draft_int(d, "llama.attention.value_length", D_HEAD);
    draft_int(d, "llama.rope.dimension_count", D_HEAD);
    draft_float(d, "llama.rope.freq_base", 1e6f);
    for (size_t i = 0; i < N_KEYED; i++) {
        const size_t e = i % D_HEAD;
        values[i] = e < 2 ? 20.0f : e >= 24 ? 60.0f * ((float)(i % 7) - 3) : 0.5f;
    }
    /* Weights of both signs, so that tokens tell themselves apart. */
    float *w = values + N_KEYED;
    for (size_t i = 0; i < DRAFT_HEADS * D_HEAD * DRAFT_EMBD; i++)
        w[i] = (float)((i * 7919 + i / 64 * 104729) % 1009) / 1009 - 0.5f;
    for (int layer = 0; layer < DRAFT_LAYERS; layer++) {
        char name[64];
        for (size_t i = 0; i < NIB_COUNT(names); i++) {
            snprintf(name, sizeof(name), "blk.%d.%s.weight", layer, names[i]);
            draft_matrix(d, name, n_heads[i] * D_HEAD, DRAFT_EMBD);
            draft_tensor(d, name)->values = w;
        }
        snprintf(name, sizeof(name), "blk.%d.attn_output.weight", layer);
        draft_matrix(d, name, DRAFT_EMBD, DRAFT_HEADS * D_HEAD);
        draft_tensor(d, name)->values = w;
        snprintf(name, sizeof(name), "blk.%d.attn_k.bias", layer);
        draft_vector(d, name, N_KEYED);
        draft_tensor(d, name)->values = values;
    }
    draft_tensor(d, "token_embd.weight")->values = w;
}

static struct nib_model *open_biased(const char *isa)
{
    struct model_draft d;
    struct nib_model_params params;
    struct nib_model *model;
    struct nib_error err;
    float *values = malloc((N_KEYED + DRAFT_HEADS * D_HEAD * DRAFT_EMBD) * sizeof(*values));
    assert_non_null(values);
    make_draft(&d, values);
    nib_model_params_init(&params);
    params.isa = isa;
    params.n_threads = 1;
    if (open_draft(&model, &d, &params, &err) != NIB_OK)
        fail_msg("%s", err.message);
    free(values);
    return model;
}

/* All logits of one text, computed `chunk` tokens at a time. */
static float *score(const struct nib_model *model, enum nib_kv_type type, int n_threads,
                    size_t chunk)
{
    struct nib_context_params params;
    struct nib_context *context;
    struct nib_error err;
    int32_t ids[N_TOKENS];
    bool wants[N_TOKENS];
    float *out = malloc((size_t)N_TOKENS * DRAFT_VOCAB * sizeof(*out));
    for (size_t i = 0; i < N_TOKENS; i++)
        ids[i] = (int32_t)(i * i % 23 * 5 % DRAFT_VOCAB), wants[i] = true;
    nib_context_params_init(&params);
    params.n_threads = n_threads;
    params.n_logits = N_TOKENS;
    params.type_k = type;
    params.type_v = NIB_KV_F32;
    if (nib_context_create(&context, model, &params, &err) != NIB_OK)
        fail_msg("%s", err.message);
    for (size_t i = 0, n; i < N_TOKENS; i += n) {
        n = N_TOKENS - i < chunk ? N_TOKENS - i : chunk;
        const struct nib_batch batch = {.n_tokens = n, .ids = ids + i, .wants_logits = wants};
        if (nib_evaluate(context, &batch, &err) != NIB_OK)
            fail_msg("%s", err.message);
        for (size_t j = 0; j < n; j++)
            memcpy(out + (i + j) * DRAFT_VOCAB, nib_logits(context, j), DRAFT_VOCAB * sizeof(*out));
    }
    nib_context_free(context);
    return out;
}

static void test_int8_keys_stay_near_keys_as_floats(void **state)
{
    (void)state;
    struct nib_model *model = open_biased(NULL);
    float *exact = score(model, NIB_KV_F32, 1, N_TOKENS);
    float *held = score(model, NIB_KV_Q8_0, 1, N_TOKENS);
    double error = 0, size = 0;
    for (size_t i = 0; i < (size_t)N_TOKENS * DRAFT_VOCAB; i++) {
        error += pow((double)held[i] - (double)exact[i], 2);
        size += pow((double)exact[i], 2);
    }
    print_message("off by %g of the logits' size\n", sqrt(error / size));
    assert_true(sqrt(error / size) <= 0.002);
    free(exact), free(held);
    nib_model_close(model);
}

static void test_every_way_gives_the_same_bits(void **state)
{
    (void)state;
    static const struct {
        int n_threads;
        size_t chunk;
    } ways[] = {{1, N_TOKENS}, {2, 1}, {3, 7}, {2, 130}, {1, 1}};
    struct nib_machine_info machine;
    char list[128];
    float *expected = NULL;
    nib_machine_query(&machine);
    snprintf(list, sizeof(list), "%s", machine.isa_list);
    for (char *rest, *isa = strtok_r(list, " ", &rest); isa; isa = strtok_r(NULL, " ", &rest)) {
        struct nib_model *model = open_biased(isa);
        for (size_t w = 0; w < (is_quick() ? 2 : NIB_COUNT(ways)); w++) {
            float *got = score(model, NIB_KV_Q8_0, ways[w].n_threads, ways[w].chunk);
            if (!expected) {
                expected = got;
                continue;
            }
            if (memcmp(got, expected, (size_t)N_TOKENS * DRAFT_VOCAB * sizeof(*got)) != 0)
                fail_msg("%s, %d threads, %zu tokens at a time: other bits", isa, ways[w].n_threads,
                         ways[w].chunk);
            free(got);
        }
        nib_model_close(model);
    }
    free(expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mean_angles_are_means),
        cmocka_unit_test(test_int8_keys_stay_near_keys_as_floats),
        cmocka_unit_test(test_every_way_gives_the_same_bits),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
