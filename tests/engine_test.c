/*
 * The engine through the public API: logits against reference data, and one answer everywhere:
 * equal bits for every instruction set this CPU has, thread count, chunking, batch, and with the
 * cache off. NIBBLE_TEST_MODEL names SmolLM2's file for the tests that need a real model.
 */
#define _GNU_SOURCE
#include "golden_data.h"

#include "nibble.h"
#include "quick.h"

#include <math.h>

#if defined(__SANITIZE_ADDRESS__) /* GCC */
#define HAS_ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ADDRESS_SANITIZER
#endif
#endif

enum { MAX_THREADS = 3 };

static const char *const tiny_models[] = {"llama-q4_k_m", "llama3-scaled-q8_0"};

static char *data_path(const char *name, const char *suffix)
{
    static char path[1024];
    snprintf(path, sizeof(path), "%s/gguf-models/%s%s", NIB_TEST_DATA, name, suffix);
    return path;
}

static struct nib_model *open_model(const char *path, const char *isa)
{
    struct nib_model *model;
    struct nib_error err;
    struct nib_model_params params;
    nib_model_params_init(&params);
    params.isa = isa;
    if (nib_model_open(&model, path, &params, &err) != NIB_OK)
        fail_msg("%s", err.message);
    return model;
}

static struct nib_context *make_context(const struct nib_model *model,
                                        const struct nib_context_params *params)
{
    struct nib_context *context;
    struct nib_error err;
    if (nib_context_create(&context, model, params, &err) != NIB_OK)
        fail_msg("%s", err.message);
    return context;
}

/* Logits [n][n_vocab] of all ids, evaluated `chunk` at a time. */
static float *all_logits(struct nib_context *context, const struct nib_model *model,
                         const int32_t *ids, size_t n, size_t chunk)
{
    const size_t n_vocab = nib_model_info(model)->n_vocab;
    float *out = malloc(n * n_vocab * sizeof(float));
    bool *wants = malloc(n * sizeof(bool));
    memset(wants, true, n * sizeof(bool));
    for (size_t i = 0; i < n; i += chunk) {
        struct nib_error err;
        const size_t m = n - i < chunk ? n - i : chunk;
        const struct nib_batch batch = {.n_tokens = m, .ids = ids + i, .wants_logits = wants};
        if (nib_evaluate(context, &batch, &err) != NIB_OK)
            fail_msg("%s", err.message);
        for (size_t j = 0; j < m; j++)
            memcpy(out + (i + j) * n_vocab, nib_logits(context, j), n_vocab * sizeof(float));
    }
    free(wants);
    return out;
}

static int32_t *golden_ids(const struct golden_table *table, const char *name, size_t *n)
{
    const struct golden_tensor t = golden_tensor(table, name);
    int32_t *ids = malloc(t.n * sizeof(*ids));
    for (size_t i = 0; i < t.n; i++)
        ids[i] = (int32_t)((const int64_t *)t.data)[i];
    *n = t.n;
    return ids;
}

/* ---- right ---------------------------------------------------------------------------------- */

static void check_reference(const char *name, int prompt)
{
    char key[64], file[128];
    snprintf(file, sizeof(file), "gguf-models/%s.golden.safetensors", name);
    struct golden_table table = golden_table_open(file);
    snprintf(file, sizeof(file), "gguf-models/%s.golden.json", name);
    yyjson_doc *facts = golden_json(file);
    yyjson_val *fact =
        yyjson_arr_get(yyjson_obj_get(yyjson_doc_get_root(facts), "prompts"), (size_t)prompt);
    struct nib_model *model = open_model(data_path(name, ".gguf"), NULL);
    const size_t n_vocab = nib_model_info(model)->n_vocab;
    struct nib_context_params params;
    nib_context_params_init(&params);
    params.n_logits = 64;
    struct nib_context *context = make_context(model, &params);

    size_t n;
    snprintf(key, sizeof(key), "p%d.input_ids", prompt);
    int32_t *ids = golden_ids(&table, key, &n);
    snprintf(key, sizeof(key), "p%d.logits", prompt);
    const float *expected = golden_tensor(&table, key).data;
    float *got = all_logits(context, model, ids, n, n);
    double error = 0, power = 0, n_agree = 0;
    for (size_t i = 0; i < n; i++) {
        const float *e = expected + i * n_vocab, *g = got + i * n_vocab;
        n_agree += nib_argmax(e, n_vocab) == nib_argmax(g, n_vocab);
        for (size_t j = 0; j < n_vocab; j++) {
            error += ((double)g[j] - e[j]) * ((double)g[j] - e[j]);
            power += (double)e[j] * e[j];
        }
    }
    const double rms = sqrt(error / power), top1 = n_agree / (double)n;
    const double peer_rms = yyjson_get_num(yyjson_obj_get(fact, "llama_cpp_rel_rms_diff"));
    const double peer_top1 = yyjson_get_num(yyjson_obj_get(fact, "llama_cpp_top1_agree"));
    print_message("%s p%d: relative rms %.5f (llama.cpp %.5f), top-1 %.4f (%.4f)\n", name, prompt,
                  rms, peer_rms, top1, peer_top1);
    assert_true(rms <= peer_rms);
    assert_true(top1 >= peer_top1 - 1e-4);
    free(got);
    free(ids);
    nib_context_free(context);
    nib_model_close(model);
    yyjson_doc_free(facts);
    golden_table_close(&table);
}

static void test_logits_match_reference(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++)
        for (int prompt = 0; prompt < 2; prompt++)
            check_reference(tiny_models[i], prompt);
}

/* ---- one answer everywhere ------------------------------------------------------------------ */

static uint64_t hash_floats(const float *x, size_t n)
{
    uint64_t h = 0xcbf29ce484222325;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof(bits));
        h = (h ^ bits) * 0x100000001b3;
    }
    return h;
}

/* Types of caches; the first ones are run over more threads and chunks, and a longer text, with a
 * large model. */
static const struct cache {
    const char *name;
    enum nib_kv_type k, v;
} caches[] = {
    {"f16", NIB_KV_F16, NIB_KV_F16},           {"q8_0", NIB_KV_Q8_0, NIB_KV_Q8_0},
    {"f32", NIB_KV_F32, NIB_KV_F32},           {"q8_0 and f16", NIB_KV_Q8_0, NIB_KV_F16},
    {"f32 and q8_0", NIB_KV_F32, NIB_KV_Q8_0},
};
enum { N_CACHES = sizeof(caches) / sizeof(*caches) };

static uint64_t logits_hash(const struct nib_model *model, const int32_t *ids, size_t n,
                            int n_threads, size_t chunk, bool kv_cache, const struct cache *cache)
{
    struct nib_context_params params;
    nib_context_params_init(&params);
    params.n_threads = n_threads;
    params.n_batch = (uint32_t)chunk;
    params.n_logits = (uint32_t)n;
    params.kv_cache = kv_cache;
    params.type_k = cache->k;
    params.type_v = cache->v;
    struct nib_context *context = make_context(model, &params);
    float *logits = all_logits(context, model, ids, n, kv_cache ? n : 64);
    const uint64_t hash = hash_floats(logits, n * nib_model_info(model)->n_vocab);
    free(logits);
    nib_context_free(context);
    return hash;
}

static void check_same_bits(const char *path, const int32_t *ids, size_t n_ids, bool is_large)
{
    static const size_t chunks[] = {1, 7, 64, 300};
    enum { TWO_SEGMENTS = 140 };
    struct nib_machine_info machine;
    nib_machine_query(&machine);
    for (int i = 0; i < N_CACHES; i++) {
        const struct cache *cache = &caches[i];
        const size_t n = is_large && i > 1 ? TWO_SEGMENTS : n_ids;
        uint64_t expected = 0;
        char list[128];
        snprintf(list, sizeof(list), "%s", machine.isa_list);
        for (char *rest, *isa = strtok_r(list, " ", &rest); isa; isa = strtok_r(NULL, " ", &rest)) {
            struct nib_model *model = open_model(path, isa);
            assert_string_equal(nib_model_info(model)->isa, isa);
            const bool is_slow =
                (is_large && (strcmp(isa, "scalar") == 0 || i > 1)) || (is_quick() && i > 0);
            for (int threads = 1; threads <= MAX_THREADS; threads++)
                for (size_t c = 0; c < 4; c++) {
                    if (is_slow && (c != 2 || threads != 2))
                        continue;
                    if (is_quick() && (int)c % MAX_THREADS + 1 != threads)
                        continue;
                    const uint64_t hash =
                        logits_hash(model, ids, n, threads, chunks[c], true, cache);
                    if (!expected)
                        expected = hash;
                    if (hash != expected)
                        fail_msg("%s, %d threads, chunks of %zu, %s: %016llx, not %016llx", isa,
                                 threads, chunks[c], cache->name, (unsigned long long)hash,
                                 (unsigned long long)expected);
                }
            if (!is_slow)
                assert_true(logits_hash(model, ids, n, 2, 64, false, cache) == expected);
            nib_model_close(model);
        }
        print_message("%s, %s cache: hash %016llx on %s\n", strrchr(path, '/') + 1, cache->name,
                      (unsigned long long)expected, machine.isa_list);
    }
}

static void test_tiny_models_give_the_same_bits(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        int32_t ids[120];
        for (int j = 0; j < 120; j++)
            ids[j] = (j * 37 + 11) % 900;
        check_same_bits(data_path(tiny_models[i], ".gguf"), ids, is_quick() ? 70 : 120, false);
    }
}

static const char *real_model(void)
{
    if (is_quick()) {
        print_message("left out as quick: dispatch_test.sh compares a short text\n");
        skip();
    }
    const char *path = getenv("NIBBLE_TEST_MODEL");
    if (path && *path)
        return path;
    print_message("NIBBLE_TEST_MODEL is not set: run tools/get-model.sh and set it to the path\n");
    skip();
    return NULL;
}

/* A text of at least n ids. */
static int32_t *real_ids(const struct nib_model *model, size_t *n)
{
    size_t n_bytes;
    char *text = (char *)golden_read("real/text-a.txt", &n_bytes);
    char *twice = malloc(2 * n_bytes);
    memcpy(twice, text, n_bytes);
    memcpy(twice + n_bytes, text, n_bytes);
    int32_t *ids;
    assert_int_equal(nib_tokenize(model, twice, 2 * n_bytes, 0, &ids, n, NULL), NIB_OK);
    free(text);
    free(twice);
    return ids;
}

static void test_real_model_gives_the_same_bits(void **state)
{
    (void)state;
#ifdef HAS_ADDRESS_SANITIZER
    print_message("too slow under a sanitizer; the tiny models run the same code\n");
    skip();
#endif
    const char *path = real_model();
    struct nib_model *model = open_model(path, NULL);
    size_t n;
    int32_t *ids = real_ids(model, &n);
    nib_model_close(model);
    assert_true(n >= 300);
    check_same_bits(path, ids, 300, true);
    nib_free(ids);
}

/* ---- a real model against its reference ----------------------------------------------------- */

static double log_sum_exp(const float *x, size_t n)
{
    double max = x[0], sum = 0;
    for (size_t i = 1; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (size_t i = 0; i < n; i++)
        sum += exp(x[i] - max);
    return max + log(sum);
}

/* KL(reference, ours) of one position, the ids beyond the listed ones as one. */
static double divergence(yyjson_val *top_ids, yyjson_val *top_logits, double reference_lse,
                         const float *logits, double lse)
{
    double kl = 0, p_rest = 1, q_rest = 1;
    for (size_t i = 0; i < yyjson_arr_size(top_ids); i++) {
        const double log_p = yyjson_get_num(yyjson_arr_get(top_logits, i)) - reference_lse;
        const double log_q = logits[yyjson_get_uint(yyjson_arr_get(top_ids, i))] - lse;
        kl += exp(log_p) * (log_p - log_q);
        p_rest -= exp(log_p);
        q_rest -= exp(log_q);
    }
    if (p_rest > 1e-9 && q_rest > 1e-9)
        kl += p_rest * log(p_rest / q_rest);
    return kl;
}

struct likeness {
    double kl, nll; /* means over the positions */
};

/* The reference's text through a context with the given cache. */
static struct likeness compare_to_reference(const struct nib_model *model, yyjson_val *root,
                                            const int32_t *ids, size_t n, enum nib_kv_type kv)
{
    const size_t n_vocab = nib_model_info(model)->n_vocab;
    struct nib_context_params params;
    nib_context_params_init(&params);
    params.n_logits = 512;
    params.type_k = params.type_v = kv;
    struct nib_context *context = make_context(model, &params);
    float *logits = all_logits(context, model, ids, n, n);
    struct likeness l = {0};
    for (size_t i = 0; i < n; i++) {
        const float *row = logits + i * n_vocab;
        const double lse = log_sum_exp(row, n_vocab);
        l.kl += divergence(yyjson_arr_get(yyjson_obj_get(root, "top_ids"), i),
                           yyjson_arr_get(yyjson_obj_get(root, "top_logits"), i),
                           yyjson_get_num(yyjson_arr_get(yyjson_obj_get(root, "logsumexp"), i)),
                           row, lse);
        if (i + 1 < n)
            l.nll += lse - row[ids[i + 1]];
    }
    l.kl /= (double)n;
    l.nll /= (double)(n - 1);
    free(logits);
    nib_context_free(context);
    return l;
}

/* Greedy ids up to the first margin below 0.3. */
static void check_greedy(const struct nib_model *model, yyjson_val *root)
{
    struct nib_context *context = make_context(model, NULL);
    size_t i, count;
    yyjson_val *entry;
    yyjson_arr_foreach(yyjson_obj_get(root, "greedy"), i, count, entry)
    {
        yyjson_val *prompt = yyjson_obj_get(entry, "prompt_ids");
        yyjson_val *expected = yyjson_obj_get(entry, "new_ids");
        yyjson_val *margins = yyjson_obj_get(entry, "margins");
        size_t n_next = yyjson_arr_size(prompt);
        int32_t next[256];
        for (size_t j = 0; j < n_next; j++)
            next[j] = yyjson_get_int(yyjson_arr_get(prompt, j));
        nib_sequence_truncate(context, 0, 0);
        for (size_t j = 0; j < yyjson_arr_size(expected); j++, n_next = 1) {
            if (yyjson_get_num(yyjson_arr_get(margins, j)) < 0.3)
                break;
            const struct nib_batch batch = {.n_tokens = n_next, .ids = next};
            assert_int_equal(nib_evaluate(context, &batch, NULL), NIB_OK);
            next[0] = nib_argmax(nib_logits(context, 0), nib_model_info(model)->n_vocab);
            assert_int_equal(next[0], yyjson_get_int(yyjson_arr_get(expected, j)));
        }
    }
    nib_context_free(context);
}

static void test_real_model_is_near_its_reference(void **state)
{
    (void)state;
    struct nib_model *model = open_model(real_model(), NULL);
    yyjson_doc *doc = golden_json("real/smollm2-a.json");
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *list = yyjson_obj_get(root, "ids");
    const size_t n = yyjson_arr_size(list);
    int32_t *ids = malloc(n * sizeof(*ids));
    for (size_t i = 0; i < n; i++)
        ids[i] = yyjson_get_int(yyjson_arr_get(list, i));

    const struct likeness f16 = compare_to_reference(model, root, ids, n, NIB_KV_F16);
    const struct likeness q8 = compare_to_reference(model, root, ids, n, NIB_KV_Q8_0);
    const double reference_nll = yyjson_get_num(yyjson_obj_get(root, "mean_nll"));
    print_message("mean KL %.5f, int8 cache %.5f (llama.cpp 0.0020); nll %.5f, int8 cache %.5f "
                  "(reference %.5f)\n",
                  f16.kl, q8.kl, f16.nll, q8.nll, reference_nll);
    assert_true(f16.kl <= 0.0022);
    assert_true(q8.kl <= 1.3 * f16.kl);
    assert_true(fabs(f16.nll - reference_nll) <= 0.01);
    assert_true(fabs(q8.nll - reference_nll) <= 0.01);
    check_greedy(model, root);
    free(ids);
    yyjson_doc_free(doc);
    nib_model_close(model);
}

/* ---- sequences and faults ------------------------------------------------------------------- */

static void test_a_batch_of_sequences_equals_each_alone(void **state)
{
    (void)state;
    enum { SEQUENCES = 3, LENGTH = 90 };
    struct nib_model *model = open_model(data_path(tiny_models[1], ".gguf"), NULL);
    const size_t n_vocab = nib_model_info(model)->n_vocab;
    struct nib_context_params params;
    nib_context_params_init(&params);
    params.n_sequences = SEQUENCES;
    params.n_logits = SEQUENCES * LENGTH;
    params.n_batch = 50; /* chunks that cut sequences */
    struct nib_context *together = make_context(model, &params);
    int32_t ids[SEQUENCES * LENGTH];
    uint32_t sequences[SEQUENCES * LENGTH];
    bool wants[SEQUENCES * LENGTH];
    size_t n = 0;
    for (int i = 0; i < LENGTH; i++)
        for (uint32_t s = 0; s < SEQUENCES; s++) {
            if (i % 30 < 10 * (int)(s + 1)) { /* different lengths, interleaved */
                ids[n] = (i * 31 + (int)s * 101) % 990;
                sequences[n] = s;
                wants[n++] = true;
            }
        }
    const struct nib_batch batch = {n, ids, sequences, wants};
    assert_int_equal(nib_evaluate(together, &batch, NULL), NIB_OK);
    for (uint32_t s = 0; s < SEQUENCES; s++) {
        int32_t own[LENGTH];
        size_t n_own = 0;
        for (size_t i = 0; i < n; i++)
            if (sequences[i] == s)
                own[n_own++] = ids[i];
        assert_int_equal(nib_sequence_length(together, s), n_own);
        params.n_sequences = 1;
        params.n_batch = 512;
        struct nib_context *alone = make_context(model, &params);
        float *expected = all_logits(alone, model, own, n_own, 1);
        size_t k = 0;
        for (size_t i = 0; i < n; i++)
            if (sequences[i] == s)
                assert_memory_equal(nib_logits(together, i), expected + k++ * n_vocab,
                                    n_vocab * sizeof(float));
        free(expected);
        nib_context_free(alone);
    }
    nib_context_free(together);
    nib_model_close(model);
}

static void test_truncated_sequence_continues_as_if_new(void **state)
{
    (void)state;
    struct nib_model *model = open_model(data_path(tiny_models[0], ".gguf"), NULL);
    const size_t n_bytes = nib_model_info(model)->n_vocab * sizeof(float);
    int32_t ids[100];
    for (int i = 0; i < 100; i++)
        ids[i] = (i * 53 + 7) % 990;
    struct nib_context *a = make_context(model, NULL), *b = make_context(model, NULL);
    assert_int_equal(nib_evaluate(a, &(struct nib_batch){.n_tokens = 100, .ids = ids}, NULL),
                     NIB_OK);
    nib_sequence_truncate(a, 0, 70);
    assert_int_equal(nib_sequence_length(a, 0), 70);
    assert_int_equal(nib_evaluate(a, &(struct nib_batch){.n_tokens = 5, .ids = ids}, NULL), NIB_OK);
    memcpy(ids + 70, ids, 5 * sizeof(*ids));
    assert_int_equal(nib_evaluate(b, &(struct nib_batch){.n_tokens = 75, .ids = ids}, NULL),
                     NIB_OK);
    assert_memory_equal(nib_logits(a, 0), nib_logits(b, 0), n_bytes);
    nib_context_free(a);
    nib_context_free(b);
    nib_model_close(model);
}

static void test_bad_batches_leave_the_context_as_it_was(void **state)
{
    (void)state;
    struct nib_model *model = open_model(data_path(tiny_models[0], ".gguf"), NULL);
    struct nib_context_params params;
    nib_context_params_init(&params);
    params.n_ctx = 16;
    struct nib_context *context = make_context(model, &params);
    struct nib_error err;
    int32_t ids[20] = {1, 2, 3};
    assert_int_equal(nib_evaluate(context, &(struct nib_batch){.n_tokens = 3, .ids = ids}, &err),
                     NIB_OK);
    assert_int_equal(nib_evaluate(context, &(struct nib_batch){.n_tokens = 14, .ids = ids}, &err),
                     NIB_ERROR_CONTEXT);
    assert_non_null(strstr(err.message, "3 of 16"));
    assert_int_equal(nib_evaluate(context, &(struct nib_batch){.ids = ids}, &err),
                     NIB_ERROR_ARGUMENT);
    const int32_t bad[] = {-1, 1000, INT32_MAX};
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            nib_evaluate(context, &(struct nib_batch){.n_tokens = 1, .ids = &bad[i]}, &err),
            NIB_ERROR_ARGUMENT);
    const uint32_t other = 1;
    assert_int_equal(
        nib_evaluate(context, &(struct nib_batch){.n_tokens = 1, .ids = ids, .sequences = &other},
                     &err),
        NIB_ERROR_ARGUMENT);
    const bool wants[2] = {true, true};
    assert_int_equal(
        nib_evaluate(context, &(struct nib_batch){.n_tokens = 2, .ids = ids, .wants_logits = wants},
                     &err),
        NIB_ERROR_ARGUMENT);
    assert_int_equal(nib_sequence_length(context, 0), 3);
    assert_int_equal(nib_evaluate(context, &(struct nib_batch){.n_tokens = 13, .ids = ids}, &err),
                     NIB_OK);
    assert_int_equal(nib_sequence_length(context, 0), 16);
    assert_null(nib_logits(context, 1));
    nib_context_free(context);
    nib_model_close(model);
}

static void test_bad_context_params_are_refused(void **state)
{
    (void)state;
    struct nib_model *model = open_model(data_path(tiny_models[0], ".gguf"), NULL);
    const struct nib_context_params good = {.n_batch = 512, .n_sequences = 1, .kv_cache = true};
    struct nib_context_params bad[6];
    for (int i = 0; i < 6; i++)
        bad[i] = good;
    bad[0].n_batch = 0;
    bad[1].n_batch = 4097;
    bad[2].n_sequences = 0;
    bad[3].n_ctx = 129; /* the model was trained for 128 */
    bad[4].type_k = (enum nib_kv_type)7;
    bad[5].n_threads = -2;
    for (int i = 0; i < 6; i++) {
        struct nib_context *context;
        struct nib_error err;
        assert_int_equal(nib_context_create(&context, model, &bad[i], &err), NIB_ERROR_ARGUMENT);
        assert_null(context);
        assert_true(strlen(err.message) > 20);
    }
    nib_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits_match_reference),
        cmocka_unit_test(test_tiny_models_give_the_same_bits),
        cmocka_unit_test(test_a_batch_of_sequences_equals_each_alone),
        cmocka_unit_test(test_truncated_sequence_continues_as_if_new),
        cmocka_unit_test(test_bad_batches_leave_the_context_as_it_was),
        cmocka_unit_test(test_bad_context_params_are_refused),
        cmocka_unit_test(test_real_model_is_near_its_reference),
        cmocka_unit_test(test_real_model_gives_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
