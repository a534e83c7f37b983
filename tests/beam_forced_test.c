/*
 * Beam search with forced phrases: ids and sums of transformers (tests/data/make_forced.py), many
 * inputs as each alone, phrases as texts have them in all answers, and what is refused.
 */
#define _GNU_SOURCE
#include "golden_data.h"

#include "common.h"

#include <math.h>

enum { N_PROMPTS = 2, MAX_BEAMS = 6, MAX_PHRASES = 4, MAX_ALTERNATIVES = 4, MAX_IDS = 64 };

struct stage {
    struct nib_model *model;
    struct nib_context *context;
    int32_t prompts[N_PROMPTS][MAX_IDS];
    size_t n_prompts[N_PROMPTS];
};

static void open_stage(struct stage *s, const char *name, const char *type)
{
    char file[128], path[1024], key[32];
    struct nib_error err;
    struct nib_model_params p;
    struct nib_context_params c;
    nib_model_params_init(&p);
    nib_context_params_init(&c);
    p.type = type;
    *s = (struct stage){0};
    snprintf(path, sizeof(path), "%s/models/%s", NIB_TEST_DATA, name);
    if (nib_model_open(&s->model, path, &p, &err) != NIB_OK)
        fail_msg("%s", err.message);
    c.n_ctx = 96;
    c.n_sources = nib_model_info(s->model)->has_encoder ? N_PROMPTS : 0;
    c.n_sequences = c.n_logits = N_PROMPTS * MAX_BEAMS;
    c.n_threads = 2;
    if (strcmp(type, "f32") == 0)
        c.type_k = c.type_v = NIB_KV_F32;
    if (nib_context_create(&s->context, s->model, &c, &err) != NIB_OK)
        fail_msg("%s", err.message);
    snprintf(file, sizeof(file), "models/%s/golden.safetensors", name);
    struct golden_table table = golden_table_open(file);
    for (int i = 0; i < N_PROMPTS; i++) {
        snprintf(key, sizeof(key), "p%d.input_ids", i);
        const struct golden_tensor t = golden_tensor(&table, key);
        assert_true(t.n <= MAX_IDS);
        s->n_prompts[i] = t.n;
        for (size_t j = 0; j < t.n; j++)
            s->prompts[i][j] = (int32_t)((const int64_t *)t.data)[j];
    }
    golden_table_close(&table);
}

static void close_stage(struct stage *s)
{
    nib_context_free(s->context);
    nib_model_close(s->model);
}

/* Of the prompts [first, first + n), the sources or what is to be continued. */
static enum nib_status search(struct stage *s, const struct nib_beam_params *p, size_t first,
                              size_t n, struct nib_beam_output *out, struct nib_error *err)
{
    struct nib_beam_input inputs[N_PROMPTS];
    const struct nib_model_info *info = nib_model_info(s->model);
    int32_t ids[N_PROMPTS * MAX_IDS];
    uint32_t sources[N_PROMPTS * MAX_IDS];
    struct nib_batch batch = {.ids = ids, .sequences = sources};
    for (size_t i = 0; i < n; i++) {
        inputs[i] = (struct nib_beam_input){s->prompts[first + i], s->n_prompts[first + i], 0};
        if (info->has_encoder)
            inputs[i] = (struct nib_beam_input){&info->decoder_start_id, 1, 0};
        for (size_t j = 0; j < s->n_prompts[first + i]; j++) {
            ids[batch.n_tokens] = s->prompts[first + i][j];
            sources[batch.n_tokens++] = (uint32_t)i;
        }
    }
    if (info->has_encoder)
        assert_int_equal(nib_encode_sources(s->context, &batch, err), NIB_OK);
    return nib_beam_search(s->context, s->model, p, inputs, n, out, err);
}

static bool has(const struct nib_hypothesis *h, const struct nib_id_list *ids)
{
    for (size_t i = 0; i + ids->n_ids <= h->n_ids; i++)
        if (memcmp(h->ids + i, ids->ids, ids->n_ids * sizeof(*ids->ids)) == 0)
            return true;
    return false;
}

/* ---- references ------------------------------------------------------------------------------ */

struct phrases {
    int32_t ids[MAX_PHRASES][MAX_ALTERNATIVES][8];
    struct nib_id_list alternatives[MAX_PHRASES][MAX_ALTERNATIVES];
    struct nib_beam_phrase phrases[MAX_PHRASES];
    size_t n;
};

static void read_phrases(struct phrases *p, yyjson_val *list)
{
    size_t i, j, k, n, n_alternatives, n_ids;
    yyjson_val *phrase, *alternative, *id;
    *p = (struct phrases){.n = yyjson_arr_size(list)};
    yyjson_arr_foreach(list, i, n, phrase)
    {
        yyjson_arr_foreach(phrase, j, n_alternatives, alternative)
        {
            yyjson_arr_foreach(alternative, k, n_ids, id) p->ids[i][j][k] =
                (int32_t)yyjson_get_int(id);
            p->alternatives[i][j] = (struct nib_id_list){p->ids[i][j], n_ids};
        }
        p->phrases[i] = (struct nib_beam_phrase){p->alternatives[i], n_alternatives};
    }
}

static const char *text_of(yyjson_val *object, const char *key)
{
    return yyjson_get_str(yyjson_obj_get(object, key));
}

static double number_of(yyjson_val *object, const char *key)
{
    return yyjson_get_num(yyjson_obj_get(object, key));
}

static bool is_same(const struct nib_hypothesis *h, yyjson_val *expected)
{
    yyjson_val *ids = yyjson_obj_get(expected, "ids"), *id;
    size_t i, n;
    if (h->n_ids != yyjson_arr_size(ids))
        return false;
    yyjson_arr_foreach(ids, i, n, id) if (h->ids[i] != yyjson_get_int(id)) return false;
    return h->is_ended == yyjson_get_bool(yyjson_obj_get(expected, "ended")) &&
           fabs(h->sum - number_of(expected, "sum")) < 1e-4 &&
           fabs(h->score - number_of(expected, "score")) < 1e-4;
}

static void check_case(struct stage *s, yyjson_val *c, size_t number)
{
    struct phrases phrases;
    struct nib_error err;
    struct nib_beam_params p;
    struct nib_beam_output out;
    const char *stopping = text_of(c, "early_stopping");
    nib_beam_params_init(&p);
    read_phrases(&phrases, yyjson_obj_get(c, "phrases"));
    p.phrases = phrases.phrases;
    p.n_phrases = phrases.n;
    p.n_beams = (uint32_t)number_of(c, "n_beams");
    p.n_best = (uint32_t)number_of(c, "n_best");
    p.max_new = (uint32_t)number_of(c, "max_new");
    p.length_penalty = number_of(c, "length_penalty");
    p.early_stopping = strcmp(stopping, "true") == 0    ? NIB_STOP_AT_ONCE
                       : strcmp(stopping, "false") == 0 ? NIB_STOP_WHEN_WORSE
                                                        : NIB_STOP_NEVER;
    if (search(s, &p, (size_t)number_of(c, "prompt"), 1, &out, &err) != NIB_OK)
        fail_msg("case %zu: %s", number, err.message);
    yyjson_val *best = yyjson_obj_get(c, "best");
    assert_int_equal(out.n_best, yyjson_arr_size(best));
    for (size_t i = 0; i < out.n_best; i++)
        if (!is_same(&out.best[i], yyjson_arr_get(best, i)))
            fail_msg("case %zu, %s: answer %zu is another one (score %g, expected %g)", number,
                     text_of(c, "model"), i, out.best[i].score,
                     number_of(yyjson_arr_get(best, i), "score"));
    nib_beam_outputs_free(&out, 1);
}

static void test_phrases_are_forced_as_in_transformers(void **state)
{
    (void)state;
    yyjson_doc *doc = golden_json("forced.json");
    struct stage s = {0};
    const char *name = "";
    size_t i, n;
    yyjson_val *c;
    yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, c)
    {
        if (strcmp(name, text_of(c, "model")) != 0) {
            close_stage(&s);
            name = text_of(c, "model");
            open_stage(&s, name, "f32");
        }
        check_case(&s, c, i);
    }
    assert_true(n > 100);
    close_stage(&s);
    yyjson_doc_free(doc);
}

/* ---- many inputs ----------------------------------------------------------------------------- */

static void test_inputs_together_are_those_alone(void **state)
{
    (void)state;
    static const char *const models[] = {"bart", "llama-gqa"};
    static const int32_t ids[] = {50, 51, 52, 60, 61, 62};
    const struct nib_id_list lists[] = {{ids, 3}, {ids + 3, 1}, {ids + 4, 2}};
    const struct nib_beam_phrase phrases[] = {{lists, 1}, {lists + 1, 2}};
    for (size_t m = 0; m < NIB_COUNT(models); m++) {
        struct stage s;
        struct nib_error err;
        struct nib_beam_params p;
        struct nib_beam_output together[N_PROMPTS], alone;
        nib_beam_params_init(&p);
        p.n_best = p.n_beams;
        p.max_new = 24;
        p.phrases = phrases;
        p.n_phrases = NIB_COUNT(phrases);
        open_stage(&s, models[m], "q8");
        if (search(&s, &p, 0, N_PROMPTS, together, &err) != NIB_OK)
            fail_msg("%s", err.message);
        for (size_t i = 0; i < N_PROMPTS; i++) {
            assert_int_equal(search(&s, &p, i, 1, &alone, &err), NIB_OK);
            assert_int_equal(alone.n_best, together[i].n_best);
            for (size_t k = 0; k < alone.n_best; k++) {
                const struct nib_hypothesis *h = &alone.best[k];
                assert_int_equal(h->n_ids, together[i].best[k].n_ids);
                assert_memory_equal(h->ids, together[i].best[k].ids, h->n_ids * sizeof(int32_t));
                assert_true(h->sum == together[i].best[k].sum);
                if (h->has_phrases)
                    assert_true(has(h, &lists[0]) && (has(h, &lists[1]) || has(h, &lists[2])));
            }
            nib_beam_outputs_free(&alone, 1);
        }
        nib_beam_outputs_free(together, N_PROMPTS);
        close_stage(&s);
    }
}

/* What is in the prompt is forced nevertheless, and penalties below 1 and bans go with phrases. */
static void test_phrases_go_with_other_options(void **state)
{
    (void)state;
    struct stage s;
    struct nib_error err;
    struct nib_beam_params p;
    struct nib_beam_output out;
    open_stage(&s, "gpt2", "q8");
    const struct nib_id_list list = {s.prompts[0] + 4, 2};
    const struct nib_beam_phrase phrase = {&list, 1};
    const int32_t banned = list.ids[0] + 1;
    nib_beam_params_init(&p);
    p.max_new = 16;
    p.phrases = &phrase;
    p.n_phrases = 1;
    for (int i = 0; i < 4; i++) {
        p.repeat_penalty = i == 1 ? 0.8 : 1;
        p.min_new = i == 2 ? 12 : 0;
        p.bad_ids = &banned;
        p.n_bad_ids = i == 3 ? 1 : 0;
        p.ignores_end = i == 3;
        if (search(&s, &p, 0, 1, &out, &err) != NIB_OK)
            fail_msg("%s", err.message);
        assert_true(has(&out.best[0], &list) && out.best[0].has_phrases);
        assert_true(out.best[0].n_ids > p.min_new);
        nib_beam_outputs_free(&out, 1);
    }
    /* A phrase that another rule forbids is left out, as it cannot be had. */
    p.no_repeat_ngram = 2;
    assert_int_equal(search(&s, &p, 0, 1, &out, &err), NIB_OK);
    assert_true(out.n_best > 0 && !has(&out.best[0], &list) && !out.best[0].has_phrases);
    nib_beam_outputs_free(&out, 1);
    close_stage(&s);
}

/* ---- what is refused ------------------------------------------------------------------------- */

static void test_phrases_that_cannot_be_had_are_refused(void **state)
{
    (void)state;
    struct stage s;
    struct nib_error err;
    struct nib_beam_output out;
    open_stage(&s, "marian", "f32"); /* 165 ends, 255 is banned */
    static const int32_t ids[] = {50, 51, 52, 165, 255, 256, -1};
    static const struct nib_id_list lists[] = {{ids, 3},     {ids, 2},     {ids + 2, 2},
                                               {ids + 4, 1}, {ids + 5, 1}, {ids + 6, 1},
                                               {ids, 0},     {ids + 1, 1}};
    struct nib_beam_phrase many[65];
    for (size_t i = 0; i < NIB_COUNT(many); i++)
        many[i] = (struct nib_beam_phrase){lists + 7, 1};
    const struct {
        struct nib_beam_phrase phrase;
        uint32_t max_new, n_groups;
        enum nib_beam_rule rule;
        size_t n_phrases;
        const char *word; /* NULL: nothing is wrong */
    } cases[] = {
        {{lists, 1}, 3, 1, NIB_BEAMS_HF, 1, NULL},
        {{lists, 1}, 2, 1, NIB_BEAMS_HF, 1, "need 3 new ids, and input 0 gets at most 2"},
        {{lists, 2}, 8, 1, NIB_BEAMS_HF, 1, "begins with another"},
        {{lists + 2, 1}, 8, 1, NIB_BEAMS_HF, 1, "165, which ends"},
        {{lists + 3, 1}, 8, 1, NIB_BEAMS_HF, 1, "255, which is banned"},
        {{lists + 4, 1}, 8, 1, NIB_BEAMS_HF, 1, "256; this model has ids 0 to 255"},
        {{lists + 5, 1}, 8, 1, NIB_BEAMS_HF, 1, "id -1"},
        {{lists + 6, 1}, 8, 1, NIB_BEAMS_HF, 1, "phrase 1 of 1 to force has no ids"},
        {{lists, 0}, 8, 1, NIB_BEAMS_HF, 1, "has no ids"},
        {{lists, 1}, 8, 2, NIB_BEAMS_HF, 1, "without groups"},
        {{lists, 1}, 8, 1, NIB_BEAMS_TEXTBOOK, 1, "rule of transformers"},
        {{lists + 7, 1}, 8, 1, NIB_BEAMS_HF, 9, "need 9 new ids"},
        {{lists + 7, 1}, 80, 1, NIB_BEAMS_HF, 65, "at most 64"},
        {{lists + 7, 1}, 80, 1, NIB_BEAMS_HF, 64, NULL},
    };
    for (size_t i = 0; i < NIB_COUNT(cases); i++) {
        struct nib_beam_params p;
        nib_beam_params_init(&p);
        many[0] = cases[i].phrase;
        p.max_new = cases[i].max_new;
        p.n_groups = cases[i].n_groups;
        p.rule = cases[i].rule;
        p.phrases = many;
        p.n_phrases = cases[i].n_phrases;
        const enum nib_status status = search(&s, &p, 0, 1, &out, &err);
        if (cases[i].word && (status != NIB_ERROR_ARGUMENT || !strstr(err.message, cases[i].word)))
            fail_msg("'%s' is not in: %s", cases[i].word, err.message);
        if (!cases[i].word && status != NIB_OK)
            fail_msg("%s", err.message);
        nib_beam_outputs_free(&out, 1);
    }
    const int32_t banned = 51; /* by the search */
    struct nib_beam_params p;
    nib_beam_params_init(&p);
    p.max_new = 16;
    p.phrases = &(struct nib_beam_phrase){lists, 1};
    p.n_phrases = 1;
    p.bad_ids = &banned;
    p.n_bad_ids = 1;
    assert_int_equal(search(&s, &p, 0, 1, &out, &err), NIB_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "51, which is banned"));
    p.n_bad_ids = 0;
    p.ignores_end = true; /* which makes end ids ordinary */
    p.phrases = &(struct nib_beam_phrase){lists + 2, 1};
    assert_int_equal(search(&s, &p, 0, 1, &out, &err), NIB_OK);
    assert_true(has(&out.best[0], &lists[2]));
    nib_beam_outputs_free(&out, 1);

    const struct nib_beam_phrase two[] = {{lists, 2}, {lists + 7, 1}}; /* 3 or 2 ids, and 1 */
    p.phrases = two;
    p.n_phrases = 2;
    assert_int_equal(nib_beam_least_new(s.model, &p), 3);
    p.n_phrases = 0;
    assert_int_equal(nib_beam_least_new(s.model, &p), 0);
    close_stage(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_phrases_are_forced_as_in_transformers),
        cmocka_unit_test(test_inputs_together_are_those_alone),
        cmocka_unit_test(test_phrases_go_with_other_options),
        cmocka_unit_test(test_phrases_that_cannot_be_had_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
