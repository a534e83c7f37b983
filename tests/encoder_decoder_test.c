/*
 * Encoder-decoder families against their references (tests/data/models): what the encoder gives,
 * the logits of forced targets, greedy search and both beam searches; and one answer everywhere:
 * equal bits for every instruction set, number of threads and batch, for float and quantised
 * weights.
 */
#define _GNU_SOURCE
#include "golden_data.h"

#include "common.h"
#include "evaluation.h"
#include "quick.h"

#include <math.h>

enum { N_PROMPTS = 2, N_BEAMS = 4, N_NEW = 24, N_BEAM_NEW = 16, MAX_START = 2 };

static const double tolerance = 1e-4; /* of the largest value */

static const char *const models[] = {
    "bart",
    "m2m100",
    "marian",
    "mbart",
    "pegasus",
    "t5-relu",
    "t5-v1_1-gated-gelu",
    "transformer-separate",
};

/* ---- reading --------------------------------------------------------------------------------- */

struct ids {
    int32_t *data;
    size_t n;
};

static struct ids read_ids(const struct golden_table *table, int prompt, const char *name)
{
    char key[160];
    snprintf(key, sizeof(key), "p%d.%s", prompt, name);
    const struct golden_tensor t = golden_tensor(table, key);
    struct ids ids = {malloc(t.n * sizeof(*ids.data)), t.n};
    for (size_t i = 0; i < t.n; i++)
        ids.data[i] = (int32_t)((const int64_t *)t.data)[i];
    return ids;
}

static const float *read_floats(const struct golden_table *table, int prompt, const char *name)
{
    char key[160];
    snprintf(key, sizeof(key), "p%d.%s", prompt, name);
    return golden_tensor(table, key).data;
}

struct stage {
    const char *name;
    struct golden_table table;
    struct nib_model *model;
    struct nib_context *context;
    struct ids sources[N_PROMPTS], targets[N_PROMPTS];
    size_t n_vocab, n_embd;
};

static void open_stage(struct stage *s, const char *name, const char *type, const char *isa,
                       int n_threads, uint32_t n_sources)
{
    char file[128], path[1024];
    struct nib_error err;
    struct nib_model_params p;
    struct nib_context_params c;
    nib_model_params_init(&p);
    nib_context_params_init(&c);
    p.type = type;
    p.isa = isa;
    *s = (struct stage){.name = name};
    snprintf(file, sizeof(file), "models/%s/golden.safetensors", name);
    s->table = golden_table_open(file);
    snprintf(path, sizeof(path), "%s/models/%s", NIB_TEST_DATA, name);
    if (nib_model_open(&s->model, path, &p, &err) != NIB_OK)
        fail_msg("%s", err.message);
    c.n_ctx = 64;
    c.n_sources = n_sources;
    c.n_sequences = n_sources * N_BEAMS;
    c.n_logits = 128;
    c.n_threads = n_threads;
    if (strcmp(type, "f32") == 0)
        c.type_k = c.type_v = NIB_KV_F32;
    if (nib_context_create(&s->context, s->model, &c, &err) != NIB_OK)
        fail_msg("%s", err.message);
    for (int i = 0; i < N_PROMPTS; i++) {
        s->sources[i] = read_ids(&s->table, i, "input_ids");
        s->targets[i] = read_ids(&s->table, i, "decoder_input_ids");
    }
    s->n_vocab = nib_model_info(s->model)->n_vocab;
    s->n_embd = nib_model_info(s->model)->n_embd;
    assert_true(nib_model_info(s->model)->has_encoder);
}

static void close_stage(struct stage *s)
{
    for (int i = 0; i < N_PROMPTS; i++) {
        free(s->sources[i].data);
        free(s->targets[i].data);
    }
    nib_context_free(s->context);
    nib_model_close(s->model);
    golden_table_close(&s->table);
}

static void encode(struct stage *s, const struct ids *source)
{
    struct nib_error err;
    if (nib_encode_sources(s->context, &(struct nib_batch){source->n, source->data, NULL, NULL},
                           &err) != NIB_OK)
        fail_msg("%s", err.message);
}

static void evaluate(struct stage *s, const struct nib_batch *batch)
{
    struct nib_error err;
    if (nib_evaluate(s->context, batch, &err) != NIB_OK)
        fail_msg("%s: %s", s->name, err.message);
}

static void evaluate_all(struct stage *s, const struct ids *ids)
{
    bool wants[128];
    memset(wants, true, sizeof(wants));
    evaluate(s, &(struct nib_batch){ids->n, ids->data, NULL, wants});
}

/* Of rows, against a reference: the largest difference as a part of the largest value. */
static void expect_near(const struct stage *s, const char *what, const float *got,
                        const float *expected, size_t n)
{
    double largest = 0, difference = 0;
    for (size_t i = 0; i < n; i++) {
        const double size = fabs((double)expected[i]);
        const double d = fabs((double)got[i] - (double)expected[i]);
        largest = size > largest ? size : largest;
        difference = d <= difference ? difference : d; /* NaN stays */
    }
    if (!(difference <= tolerance * largest))
        fail_msg("%s: %s differ by %g of %g", s->name, what, difference, largest);
}

/* ---- against the reference ------------------------------------------------------------------- */

static void check_numbers(struct stage *s, int prompt)
{
    const struct ids *source = &s->sources[prompt], *target = &s->targets[prompt];
    encode(s, source);
    float *rows = malloc((source->n * s->n_embd + target->n * s->n_vocab) * sizeof(*rows));
    for (size_t i = 0; i < source->n; i++)
        memcpy(rows + i * s->n_embd, nib_encoder_output(s->context, i), s->n_embd * sizeof(*rows));
    assert_null(nib_encoder_output(s->context, source->n));
    expect_near(s, "encoder outputs", rows, read_floats(&s->table, prompt, "encoder_output"),
                source->n * s->n_embd);
    evaluate_all(s, target);
    for (size_t i = 0; i < target->n; i++)
        memcpy(rows + i * s->n_vocab, nib_logits(s->context, i), s->n_vocab * sizeof(*rows));
    expect_near(s, "logits", rows, read_floats(&s->table, prompt, "logits"),
                target->n * s->n_vocab);
    free(rows);
}

/* The start id, and the first id where it is forced. */
static struct ids start_of(const struct stage *s, int32_t ids[MAX_START])
{
    const struct nib_model_info *info = nib_model_info(s->model);
    ids[0] = info->decoder_start_id;
    ids[1] = info->forced_bos_id;
    return (struct ids){ids, info->forced_bos_id >= 0 ? 2 : 1};
}

static bool is_bad(const struct nib_model_info *info, int32_t id)
{
    for (size_t i = 0; i < info->n_bad_ids; i++)
        if (info->bad_ids[i] == id)
            return true;
    return false;
}

static int32_t best_id(const struct stage *s)
{
    const float *logits = nib_logits(s->context, 0);
    int32_t best = -1;
    for (int32_t id = 0; id < (int32_t)s->n_vocab; id++)
        if (!is_bad(nib_model_info(s->model), id) && (best < 0 || logits[id] > logits[best]))
            best = id;
    return best;
}

static void check_greedy(struct stage *s, int prompt)
{
    int32_t start[MAX_START];
    const struct ids expected = read_ids(&s->table, prompt, "greedy_noeos");
    struct ids next = start_of(s, start);
    encode(s, &s->sources[prompt]);
    for (size_t i = 0; i < expected.n; i++) {
        evaluate(s, &(struct nib_batch){next.n, next.data, NULL, NULL});
        start[0] = best_id(s);
        next = (struct ids){start, 1};
        if (start[0] != expected.data[i])
            fail_msg("%s, prompt %d: id %zu is %d, expected %d", s->name, prompt, i, start[0],
                     expected.data[i]);
    }
    free(expected.data);
}

static void check_beams(struct stage *s, int prompt, const char *name, enum nib_beam_rule rule,
                        double length_penalty, enum nib_early_stopping early_stopping)
{
    char key[128];
    int32_t start[MAX_START];
    struct nib_error err;
    struct nib_beam_params p;
    struct nib_beam_output out;
    nib_beam_params_init(&p);
    p.n_beams = p.n_best = N_BEAMS;
    p.max_new = N_BEAM_NEW;
    p.rule = rule;
    p.length_penalty = length_penalty;
    p.early_stopping = early_stopping;
    encode(s, &s->sources[prompt]);
    const struct ids prefix = start_of(s, start);
    const struct nib_beam_input input = {prefix.data, prefix.n, 0};
    if (nib_beam_search(s->context, s->model, &p, &input, 1, &out, &err) != NIB_OK)
        fail_msg("%s", err.message);

    snprintf(key, sizeof(key), "%s.ids", name);
    const struct ids ids = read_ids(&s->table, prompt, key);
    snprintf(key, sizeof(key), "%s.len", name);
    const struct ids lengths = read_ids(&s->table, prompt, key);
    snprintf(key, sizeof(key), "%s.done", name);
    const struct ids done = read_ids(&s->table, prompt, key);
    snprintf(key, sizeof(key), "%s.scores", name);
    const float *scores = read_floats(&s->table, prompt, key);
    snprintf(key, sizeof(key), "%s.sums", name);
    const float *sums = read_floats(&s->table, prompt, key);
    assert_int_equal(out.n_best, N_BEAMS);
    for (size_t i = 0; i < N_BEAMS; i++) {
        const struct nib_hypothesis *h = &out.best[i];
        const bool is_equal =
            h->n_ids == (size_t)lengths.data[i] &&
            memcmp(h->ids, ids.data + i * (ids.n / N_BEAMS), h->n_ids * sizeof(*h->ids)) == 0 &&
            h->is_ended == (done.data[i] != 0) && fabs(h->score - (double)scores[i]) < 1e-4 &&
            fabs(h->sum - (double)sums[i]) < 1e-4;
        if (!is_equal)
            fail_msg("%s, prompt %d, %s: hypothesis %zu is another one (score %g, expected %g)",
                     s->name, prompt, name, i, h->score, (double)scores[i]);
    }
    free(ids.data);
    free(lengths.data);
    free(done.data);
    nib_beam_outputs_free(&out, 1);
}

static void test_models_are_as_their_references(void **state)
{
    (void)state;
    for (size_t m = 0; m < NIB_COUNT(models); m++) {
        struct stage s;
        open_stage(&s, models[m], "f32", NULL, 2, 1);
        for (int prompt = 0; prompt < N_PROMPTS; prompt++) {
            check_numbers(&s, prompt);
            check_greedy(&s, prompt);
            check_beams(&s, prompt, "beam_lp1.0", NIB_BEAMS_HF, 1, NIB_STOP_WHEN_WORSE);
            check_beams(&s, prompt, "beam_lp0.6", NIB_BEAMS_HF, 0.6, NIB_STOP_WHEN_WORSE);
            check_beams(&s, prompt, "beam_es_lp1.0", NIB_BEAMS_HF, 1, NIB_STOP_AT_ONCE);
            check_beams(&s, prompt, "beam_textbook_a1.0", NIB_BEAMS_TEXTBOOK, 1,
                        NIB_STOP_WHEN_WORSE);
            check_beams(&s, prompt, "beam_textbook_a0.6", NIB_BEAMS_TEXTBOOK, 0.6,
                        NIB_STOP_WHEN_WORSE);
        }
        close_stage(&s);
    }
}

/* ---- one answer everywhere ------------------------------------------------------------------- */

/* Logits of both targets, one after the other; to be freed. */
static float *both_logits(struct stage *s, size_t *n)
{
    *n = (s->targets[0].n + s->targets[1].n) * s->n_vocab;
    float *out = malloc(*n * sizeof(*out)), *to = out;
    for (int i = 0; i < N_PROMPTS; i++) {
        encode(s, &s->sources[i]);
        evaluate_all(s, &s->targets[i]);
        for (size_t r = 0; r < s->targets[i].n; r++, to += s->n_vocab)
            memcpy(to, nib_logits(s->context, r), s->n_vocab * sizeof(*to));
    }
    return out;
}

/* Both sources in one batch, both targets token by token in turns: the same bits. */
static void check_together(struct stage *s, const float *expected)
{
    struct nib_error err;
    int32_t ids[256];
    uint32_t sequences[256];
    struct nib_batch batch = {.ids = ids, .sequences = sequences};
    for (uint32_t i = 0; i < N_PROMPTS; i++)
        for (size_t j = 0; j < s->sources[i].n; j++) {
            ids[batch.n_tokens] = s->sources[i].data[j];
            sequences[batch.n_tokens++] = i;
        }
    if (nib_encode_sources(s->context, &batch, &err) != NIB_OK)
        fail_msg("%s", err.message);
    for (size_t t = 0; t < s->targets[0].n || t < s->targets[1].n; t++) {
        batch.n_tokens = 0;
        for (uint32_t i = 0; i < N_PROMPTS; i++)
            if (t < s->targets[i].n) {
                ids[batch.n_tokens] = s->targets[i].data[t];
                sequences[batch.n_tokens++] = i;
            }
        evaluate(s, &batch);
        for (size_t r = 0; r < batch.n_tokens; r++) {
            const size_t at = sequences[r] * s->targets[0].n + t;
            assert_memory_equal(nib_logits(s->context, r), expected + at * s->n_vocab,
                                s->n_vocab * sizeof(float));
        }
    }
}

static void check_everywhere(const char *name, const char *type, const char *isas)
{
    struct stage s;
    size_t n;
    open_stage(&s, name, type, "scalar", 1, N_PROMPTS);
    float *expected = both_logits(&s, &n);
    close_stage(&s);
    char list[256];
    snprintf(list, sizeof(list), "%s", isas);
    for (char *isa = strtok(list, " "); isa; isa = strtok(NULL, " ")) {
        open_stage(&s, name, type, isa, isa[0] == 's' ? 2 : 3, N_PROMPTS);
        size_t n_got;
        float *got = both_logits(&s, &n_got);
        if (n_got != n || memcmp(got, expected, n * sizeof(*got)) != 0)
            fail_msg("%s %s: %s gives other bits than scalar", name, type, isa);
        check_together(&s, expected);
        free(got);
        close_stage(&s);
    }
    free(expected);
}

static void test_one_answer_everywhere(void **state)
{
    (void)state;
    struct nib_machine_info machine;
    nib_machine_query(&machine);
    static const char *const chosen[] = {"t5-v1_1-gated-gelu", "bart", "marian"};
    for (size_t m = 0; m < NIB_COUNT(chosen); m++) {
        check_everywhere(chosen[m], "q8", machine.isa_list);
        check_everywhere(chosen[m], "q4", machine.isa_list);
    }
}

static void test_beams_of_many_are_those_of_each(void **state)
{
    (void)state;
    enum { N = 8 };
    static const char *const chosen[] = {"t5-relu", "bart", "m2m100"};
    for (size_t m = 0; m < NIB_COUNT(chosen); m++) {
        struct stage s;
        struct nib_error err;
        struct nib_beam_params p;
        struct nib_beam_input inputs[N];
        struct nib_beam_output together[N], alone;
        int32_t ids[512], start[MAX_START];
        uint32_t sequences[512];
        struct nib_batch batch = {.ids = ids, .sequences = sequences};
        open_stage(&s, chosen[m], "q8", NULL, 2, N);
        nib_beam_params_init(&p);
        p.n_best = N_BEAMS;
        p.max_new = N_BEAM_NEW;
        const struct ids prefix = start_of(&s, start);
        for (uint32_t i = 0; i < N; i++) { /* beginnings of the sources, of many lengths */
            inputs[i] = (struct nib_beam_input){prefix.data, prefix.n, 0};
            for (size_t j = 0; j < s.sources[i % 2].n - i; j++) {
                ids[batch.n_tokens] = s.sources[i % 2].data[j];
                sequences[batch.n_tokens++] = i;
            }
        }
        assert_int_equal(nib_encode_sources(s.context, &batch, NULL), NIB_OK);
        if (nib_beam_search(s.context, s.model, &p, inputs, N, together, &err) != NIB_OK)
            fail_msg("%s", err.message);
        for (uint32_t i = 0; i < N; i++) {
            encode(&s, &(struct ids){s.sources[i % 2].data, s.sources[i % 2].n - i});
            assert_int_equal(nib_beam_search(s.context, s.model, &p, inputs, 1, &alone, NULL),
                             NIB_OK);
            assert_int_equal(alone.n_best, together[i].n_best);
            for (size_t k = 0; k < alone.n_best; k++) {
                assert_int_equal(alone.best[k].n_ids, together[i].best[k].n_ids);
                assert_memory_equal(alone.best[k].ids, together[i].best[k].ids,
                                    alone.best[k].n_ids * sizeof(int32_t));
                assert_true(alone.best[k].sum == together[i].best[k].sum);
            }
            nib_beam_outputs_free(&alone, 1);
        }
        nib_beam_outputs_free(together, N);
        close_stage(&s);
    }
}

/* ---- what is refused ------------------------------------------------------------------------- */

static void test_wrong_sources_and_searches_are_refused(void **state)
{
    (void)state;
    struct stage s;
    struct nib_error err;
    struct nib_beam_output out;
    open_stage(&s, "bart", "f32", NULL, 1, 2);
    const int32_t start = nib_model_info(s.model)->decoder_start_id;
    struct nib_beam_input input = {&start, 1, 0};
    assert_int_equal(nib_evaluate(s.context, &(struct nib_batch){1, &start, NULL, NULL}, &err),
                     NIB_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "source 0, which is empty"));

    int32_t many[200] = {0};
    assert_int_equal(
        nib_encode_sources(s.context, &(struct nib_batch){200, many, NULL, NULL}, &err),
        NIB_ERROR_CONTEXT);
    assert_non_null(strstr(err.message, "200 tokens"));
    const uint32_t turns[] = {0, 1, 0};
    assert_int_equal(nib_encode_sources(s.context, &(struct nib_batch){3, many, turns, NULL}, &err),
                     NIB_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "neighbours"));

    encode(&s, &s.sources[0]);
    const struct {
        struct nib_beam_params p;
        const char *word;
    } bad[] = {
        {{.n_beams = 0, .n_best = 1, .max_new = 4, .repeat_penalty = 1, .n_groups = 1}, "0 beams"},
        {{.n_beams = 2, .n_best = 3, .max_new = 4, .repeat_penalty = 1, .n_groups = 1}, "3 best"},
        {{.n_beams = 2, .n_best = 1, .max_new = 0, .repeat_penalty = 1, .n_groups = 1}, "new ids"},
        {{.n_beams = 2,
          .n_best = 1,
          .max_new = 4,
          .repeat_penalty = 1,
          .n_groups = 1,
          .length_penalty = NAN},
         "length_penalty"},
        {{.n_beams = 2, .n_best = 1, .max_new = 4, .n_groups = 1}, "repeat_penalty"},
        {{.n_beams = 3, .n_best = 1, .max_new = 4, .repeat_penalty = 1, .n_groups = 2}, "groups"},
        {{.n_beams = 2, .n_best = 1, .max_new = 1000, .repeat_penalty = 1, .n_groups = 1},
         "do not fit"},
        {{.n_beams = 200, .n_best = 1, .max_new = 4, .repeat_penalty = 1, .n_groups = 1},
         "sequences"},
    };
    for (size_t i = 0; i < NIB_COUNT(bad); i++) {
        assert_int_not_equal(nib_beam_search(s.context, s.model, &bad[i].p, &input, 1, &out, &err),
                             NIB_OK);
        if (!strstr(err.message, bad[i].word))
            fail_msg("'%s' is not in: %s", bad[i].word, err.message);
        assert_null(out.best);
    }
    close_stage(&s);
}

/* ---- what is cancelled ----------------------------------------------------------------------- */

struct watched {
    struct nib_context *context;
    size_t n_steps;
};

static void cancel_second_step(void *data, size_t input, size_t step,
                               const struct nib_hypothesis *beams, size_t n_beams)
{
    struct watched *w = data;
    (void)input;
    (void)beams;
    (void)n_beams;
    w->n_steps++;
    if (step == 1)
        nib_context_cancel(w->context);
}

static void test_a_search_is_cancelled_between_evaluations(void **state)
{
    (void)state;
    struct stage s;
    struct nib_error err;
    struct nib_beam_output out;
    struct nib_beam_params p;
    open_stage(&s, "bart", "f32", NULL, 1, 1);
    struct watched watched = {.context = s.context};
    const int32_t start = nib_model_info(s.model)->decoder_start_id;
    const struct nib_beam_input input = {&start, 1, 0};
    nib_beam_params_init(&p);
    p.max_new = 20;
    p.ignores_end = true;
    p.on_step = cancel_second_step;
    p.data = &watched;
    encode(&s, &s.sources[0]);
    assert_int_equal(nib_beam_search(s.context, s.model, &p, &input, 1, &out, &err),
                     NIB_ERROR_CANCELLED);
    assert_int_equal(watched.n_steps, 2);
    p.on_step = NULL; /* it is over with that search */
    assert_int_equal(nib_beam_search(s.context, s.model, &p, &input, 1, &out, &err), NIB_OK);
    nib_beam_outputs_free(&out, 1);
    close_stage(&s);
}

/* Without a cache an evaluation encodes again. */
static void test_a_cancelled_evaluation_keeps_its_source(void **state)
{
    (void)state;
    struct stage s;
    struct nib_error err;
    struct nib_context_params p;
    open_stage(&s, "bart", "f32", NULL, 1, 1);
    nib_context_free(s.context);
    nib_context_params_init(&p);
    p.n_ctx = 64;
    p.kv_cache = false;
    assert_int_equal(nib_context_create(&s.context, s.model, &p, &err), NIB_OK);
    const int32_t start = nib_model_info(s.model)->decoder_start_id;
    const struct nib_batch batch = {1, &start, NULL, NULL};
    encode(&s, &s.sources[0]);
    evaluate(&s, &batch);
    float *logits = malloc(s.n_vocab * sizeof(*logits));
    memcpy(logits, nib_logits(s.context, 0), s.n_vocab * sizeof(*logits));
    nib_sequence_truncate(s.context, 0, 0);
    nib_context_cancel(s.context);
    assert_int_equal(nib_evaluate_part(s.context, &batch, &err), NIB_ERROR_CANCELLED);
    assert_int_equal(nib_sequence_length(s.context, 0), 0);
    evaluate(&s, &batch);
    assert_memory_equal(nib_logits(s.context, 0), logits, s.n_vocab * sizeof(*logits));
    free(logits);
    close_stage(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models_are_as_their_references),
        cmocka_unit_test(test_one_answer_everywhere),
        cmocka_unit_test(test_beams_of_many_are_those_of_each),
        cmocka_unit_test(test_wrong_sources_and_searches_are_refused),
        cmocka_unit_test(test_a_search_is_cancelled_between_evaluations),
        cmocka_unit_test(test_a_cancelled_evaluation_keeps_its_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
