/*
 * Many sequences in one context: they join and leave, are copied and begin with what others have
 * computed, and each gets the bits that it gets alone.
 */
#define _GNU_SOURCE /* nftw() */
#include "model_check.h"
#include "quick.h"

#include <malloc.h>
#include <math.h>

enum { N_TEXTS = 64, N_SLOTS = 8, MAX_LENGTH = 300, N_EVENTS = 1000, N_CTX = 384 };

struct text {
    int32_t ids[MAX_LENGTH];
    size_t n;
    float *logits; /* [n][n_vocab], computed alone */
};

struct slot {
    const struct text *text; /* NULL: free */
    size_t n_done;
};

/* How a context is made. */
struct shape {
    int n_threads;
    bool has_no_cache;
    enum nib_kv_type type_k, type_v;
};

struct stage {
    struct shape shape;
    struct nib_model *model;
    struct nib_context *context;
    size_t n_vocab;
    struct text texts[N_TEXTS];
    struct slot slots[N_SLOTS];
    uint64_t random;
    size_t n_reused;
};

static uint32_t draw(struct stage *s, uint32_t n)
{
    s->random = s->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(s->random >> 33) % n;
}

static struct nib_context *make_context(const struct nib_model *model, struct shape shape)
{
    struct nib_context_params p;
    struct nib_context *context;
    struct nib_error err;
    nib_context_params_init(&p);
    p.n_ctx = N_CTX;
    p.n_batch = 64;
    p.n_sequences = p.n_logits = N_SLOTS;
    p.n_threads = shape.n_threads;
    p.kv_cache = !shape.has_no_cache;
    p.type_k = shape.type_k;
    p.type_v = shape.type_v;
    if (nib_context_create(&context, model, &p, &err) != NIB_OK)
        fail_msg("%s", err.message);
    return context;
}

static void evaluate(struct nib_context *context, const struct nib_batch *batch)
{
    struct nib_error err;
    if (nib_evaluate(context, batch, &err) != NIB_OK)
        fail_msg("%s", err.message);
}

/* Texts of a few beginnings longer than a block, and of their own from somewhere on. */
static void make_texts(struct stage *s)
{
    const struct shape shape = {1, false, s->shape.type_k, s->shape.type_v};
    struct nib_context *alone = make_context(s->model, shape);
    for (size_t t = 0; t < N_TEXTS; t++) {
        struct text *text = &s->texts[t];
        const struct text *stem = t >= 4 ? &s->texts[draw(s, 4)] : NULL;
        const size_t n_common = stem ? draw(s, (uint32_t)stem->n) : 0;
        text->n = t < 4 ? MAX_LENGTH - t : 1 + draw(s, MAX_LENGTH);
        for (size_t i = 0; i < text->n; i++)
            text->ids[i] = i < n_common ? stem->ids[i] : (int32_t)draw(s, (uint32_t)s->n_vocab);
        text->logits = malloc(text->n * s->n_vocab * sizeof(float));
        nib_sequence_truncate(alone, 0, 0);
        for (size_t i = 0; i < text->n; i++) {
            evaluate(alone, &(struct nib_batch){1, text->ids + i, NULL, NULL});
            memcpy(text->logits + i * s->n_vocab, nib_logits(alone, 0), s->n_vocab * sizeof(float));
        }
    }
    nib_context_free(alone);
}

/* Every sequence that is there gets some more of its text. */
static void advance(struct stage *s)
{
    int32_t ids[N_SLOTS * 40];
    uint32_t sequences[N_SLOTS * 40];
    struct nib_batch batch = {.ids = ids, .sequences = sequences};
    for (uint32_t i = 0; i < N_SLOTS; i++) {
        struct slot *slot = &s->slots[i];
        if (!slot->text)
            continue;
        const size_t left = slot->text->n - slot->n_done;
        size_t n = 1 + draw(s, 40);
        for (n = n < left ? n : left; n > 0; n--) {
            ids[batch.n_tokens] = slot->text->ids[slot->n_done++];
            sequences[batch.n_tokens++] = i;
        }
    }
    if (batch.n_tokens == 0)
        return;
    evaluate(s->context, &batch);
    size_t row = 0;
    for (uint32_t i = 0, last = N_SLOTS; row < N_SLOTS && i < batch.n_tokens; i++) {
        if (sequences[i] == last)
            continue;
        last = sequences[i];
        const struct slot *slot = &s->slots[last];
        assert_memory_equal(nib_logits(s->context, row++),
                            slot->text->logits + (slot->n_done - 1) * s->n_vocab,
                            s->n_vocab * sizeof(float));
    }
}

static void join(struct stage *s, uint32_t slot)
{
    const struct text *text = &s->texts[draw(s, N_TEXTS)];
    s->slots[slot].text = text;
    s->slots[slot].n_done = nib_sequence_reuse(s->context, slot, text->ids, text->n);
    s->n_reused += s->slots[slot].n_done;
    assert_int_equal(nib_sequence_length(s->context, slot), s->slots[slot].n_done);
}

static void leave(struct stage *s, uint32_t slot)
{
    s->slots[slot].text = NULL;
    nib_sequence_truncate(s->context, slot, 0);
}

/* One event at one place: a text joins, goes on, goes back, is copied, or leaves. */
static void happen(struct stage *s)
{
    const uint32_t i = draw(s, N_SLOTS), other = draw(s, N_SLOTS);
    struct slot *slot = &s->slots[i];
    const uint32_t what = draw(s, 8);
    if (!slot->text) {
        join(s, i);
    } else if (slot->n_done == slot->text->n || what == 0) {
        leave(s, i);
    } else if (what == 1) {
        slot->n_done = draw(s, (uint32_t)slot->n_done + 1);
        nib_sequence_truncate(s->context, i, (uint32_t)slot->n_done);
    } else if (what == 2 && slot->n_done > 0) {
        assert_int_equal(nib_sequence_fork(s->context, i, other, NULL), NIB_OK);
        s->slots[other] = *slot;
    }
    for (uint32_t j = 0; j < N_SLOTS; j++)
        if (s->slots[j].text && s->slots[j].n_done == s->slots[j].text->n)
            leave(s, j);
    advance(s);
}

static void run_events(size_t n, struct shape shape)
{
    struct model_draft d;
    draft_init(&d);
    draft_int(&d, "llama.context_length", N_CTX);
    struct stage *s = calloc(1, sizeof(*s));
    s->shape = shape;
    s->model = open_good(&d);
    s->n_vocab = nib_model_info(s->model)->n_vocab;
    s->random = 7;
    make_texts(s);
    s->context = make_context(s->model, shape);
    for (size_t i = 0; i < 50; i++)
        happen(s);
    const size_t n_bytes = mallinfo2().uordblks;
    for (size_t i = 50; i < n; i++)
        happen(s);
    assert_true(mallinfo2().uordblks <= n_bytes + 4096);
    if (!shape.has_no_cache)
        assert_true(s->n_reused > 0);
    nib_context_free(s->context);
    for (size_t t = 0; t < N_TEXTS; t++)
        free(s->texts[t].logits);
    nib_model_close(s->model);
    free(s);
}

static void test_sequences_join_and_leave(void **state)
{
    (void)state;
    run_events(is_quick() ? N_EVENTS / 8 : N_EVENTS, (struct shape){.n_threads = 1});
    run_events(is_quick() ? N_EVENTS / 16 : N_EVENTS / 4, (struct shape){.n_threads = 2});
}

/* Copies of blocks know how each type lies in memory. */
static void test_caches_of_all_types(void **state)
{
    (void)state;
    static const enum nib_kv_type types[] = {NIB_KV_Q8_0, NIB_KV_F32, NIB_KV_F16};
    for (int i = 0; i < 3; i++)
        run_events(N_EVENTS / 8, (struct shape){1 + i % 2, false, types[i], types[(i + 1) % 3]});
}

static void test_without_a_cache_too(void **state)
{
    (void)state;
    run_events(60, (struct shape){.n_threads = 1, .has_no_cache = true});
}

/* All blocks are in use and known: going back into one leaves none for a copy of it. */
static void test_a_full_context_goes_back_and_on(void **state)
{
    (void)state;
    struct model_draft d;
    struct nib_error err;
    struct nib_context *context;
    struct nib_context_params p;
    static const int32_t ids[N_CTX] = {3, 1, 4};
    draft_init(&d);
    draft_int(&d, "llama.context_length", N_CTX);
    struct nib_model *model = open_good(&d);
    const size_t n_bytes = nib_model_info(model)->n_vocab * sizeof(float);
    nib_context_params_init(&p);
    p.n_ctx = N_CTX;
    assert_int_equal(nib_context_create(&context, model, &p, &err), NIB_OK);
    evaluate(context, &(struct nib_batch){N_CTX, ids, NULL, NULL});
    float *logits = malloc(n_bytes);
    memcpy(logits, nib_logits(context, 0), n_bytes);
    for (uint32_t n = 1; n < N_CTX; n = 2 * n + 1) {
        nib_sequence_truncate(context, 0, N_CTX - n);
        evaluate(context, &(struct nib_batch){n, ids + N_CTX - n, NULL, NULL});
        assert_memory_equal(nib_logits(context, 0), logits, n_bytes);
    }
    free(logits);
    nib_context_free(context);
    nib_model_close(model);
}

/* ---- what is found again ----------------------------------------------------------------------
 */

static void fill(struct nib_context *context, uint32_t sequence, const int32_t *ids, size_t n)
{
    uint32_t sequences[N_CTX];
    for (size_t i = 0; i < n; i++)
        sequences[i] = sequence;
    evaluate(context, &(struct nib_batch){n, ids, sequences, NULL});
}

static void test_reuse_begins_anew_where_nothing_is_kept(void **state)
{
    (void)state;
    struct model_draft d;
    static const int32_t ids[] = {3, 1, 4};
    draft_init(&d);
    draft_int(&d, "llama.context_length", N_CTX);
    struct nib_model *model = open_good(&d);
    struct nib_context *context = make_context(model, (struct shape){1, true, 0, 0});
    fill(context, 1, ids, 3);
    assert_int_equal(nib_sequence_reuse(context, 1, ids, 3), 0);
    assert_int_equal(nib_sequence_length(context, 1), 0);
    nib_context_free(context);
    nib_model_close(model);
}

/* Two sequences of one batch begin alike: what the longer one has is found behind what both have.
 */
static void test_the_longest_beginning_is_found(void **state)
{
    (void)state;
    enum { SHORT = 130 };
    struct model_draft d;
    int32_t ids[SHORT + N_CTX];
    uint32_t sequences[SHORT + N_CTX];
    draft_init(&d);
    draft_int(&d, "llama.context_length", N_CTX);
    struct nib_model *model = open_good(&d);
    struct nib_context *context = make_context(model, (struct shape){.n_threads = 1});
    for (int i = 0; i < SHORT + N_CTX; i++) {
        ids[i] = (i < SHORT ? i : i - SHORT) * 7 % (int)nib_model_info(model)->n_vocab;
        sequences[i] = i >= SHORT;
    }
    evaluate(context, &(struct nib_batch){SHORT + N_CTX, ids, sequences, NULL});
    assert_int_equal(nib_sequence_reuse(context, 2, ids + SHORT, N_CTX), 256);
    nib_context_free(context);
    nib_model_close(model);
}

/* Blocks of texts that are gone are taken from the end. */
static void test_beginnings_are_kept_for_longest(void **state)
{
    (void)state;
    struct model_draft d;
    struct nib_context *context;
    struct nib_context_params p;
    int32_t ids[3][N_CTX];
    draft_init(&d);
    draft_int(&d, "llama.context_length", N_CTX);
    struct nib_model *model = open_good(&d);
    for (int i = 0; i < 3 * N_CTX; i++)
        ids[i / N_CTX][i % N_CTX] = i * i % 1009 % (int)nib_model_info(model)->n_vocab;
    nib_context_params_init(&p);
    p.n_ctx = N_CTX;
    p.n_sequences = 2; /* 6 blocks */
    assert_int_equal(nib_context_create(&context, model, &p, NULL), NIB_OK);
    fill(context, 0, ids[0], N_CTX);
    nib_sequence_truncate(context, 0, 0);
    fill(context, 0, ids[1], N_CTX);
    fill(context, 1, ids[2], 200); /* in the place of two blocks of the first text */
    assert_int_equal(nib_sequence_reuse(context, 0, ids[0], N_CTX), 128);
    nib_context_free(context);
    nib_model_close(model);
}

static void test_a_wrong_sequence_is_no_copy(void **state)
{
    (void)state;
    struct model_draft d;
    struct nib_error err;
    draft_init(&d);
    draft_int(&d, "llama.context_length", N_CTX);
    struct nib_model *model = open_good(&d);
    struct nib_context *context = make_context(model, (struct shape){.n_threads = 1});
    assert_int_equal(nib_sequence_fork(context, 0, N_SLOTS, &err), NIB_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "the context has 8"));
    const int32_t id = 3;
    assert_int_equal(nib_encode_sources(context, &(struct nib_batch){1, &id, NULL, NULL}, &err),
                     NIB_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "no encoder"));
    assert_int_equal(nib_sequence_reuse(context, N_SLOTS, &id, 1), 0);
    nib_context_free(context);
    nib_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sequences_join_and_leave),
        cmocka_unit_test(test_caches_of_all_types),
        cmocka_unit_test(test_without_a_cache_too),
        cmocka_unit_test(test_a_full_context_goes_back_and_on),
        cmocka_unit_test(test_reuse_begins_anew_where_nothing_is_kept),
        cmocka_unit_test(test_the_longest_beginning_is_found),
        cmocka_unit_test(test_beginnings_are_kept_for_longest),
        cmocka_unit_test(test_a_wrong_sequence_is_no_copy),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
