/*
 * Matrix products: every packing on every backend this CPU has, against scalar with memcmp, at odd
 * shapes and slices, with the activations up to an unreadable page; and scalar's integer sums
 * against 64 bits. NIB_TEST_SHAPES: random shapes for each packing (default 40).
 */
#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "guard.h"
#include "half.h"
#include "kernels.h"

enum codes { RANDOM_CODES, LARGEST_CODES, SMALLEST_CODES, CODE_KINDS };

static uint32_t seed = 1;

static uint32_t next(void)
{
    seed = seed * 1664525 + 1013904223;
    return seed >> 8;
}

static float small_float(void)
{
    return (float)((int)(next() % 2001) - 1000) / 997.0f;
}

static void put_f16(uint8_t *p, float x)
{
    const uint16_t half = nib_f32_to_f16(x);
    memcpy(p, &half, 2);
}

/* Scales of both signs, some zero, some denormal. */
static void fill_scales(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put_f16(p + 2 * i, next() % 9 == 0 ? 0.0f : next() % 9 == 0 ? 0x1p-20f : small_float());
}

static void fill_floats(const struct nib_matrix *w, uint8_t *group)
{
    for (size_t i = 0; i < (size_t)w->n_cols * NIB_GROUP; i++) {
        const float x = small_float();
        const uint16_t half = w->pack == NIB_PACK_F16 ? nib_f32_to_f16(x) : nib_f32_to_bf16(x);
        if (w->pack == NIB_PACK_F32)
            memcpy(group + 4 * i, &x, 4);
        else
            memcpy(group + 2 * i, &half, 2);
    }
}

/* All planes are filled with `scale` (f16), or with random scales where it is NAN. */
static void set_scales(const struct nib_matrix *w, uint8_t *group, float scale)
{
    const struct nib_pack_info *info = nib_pack_info(w->pack);
    const struct nib_planes *p = &w->planes;
    const size_t n_blocks = w->n_cols / NIB_BLOCK, n_supers = w->n_cols / NIB_SUPER;
    const bool is_random = isnan(scale);
    if (info->form == NIB_SCALE_F16) {
        fill_scales(group + p->scale, n_blocks * NIB_GROUP);
        if (info->min)
            fill_scales(group + p->min, n_blocks * NIB_GROUP);
        for (size_t i = 0; !is_random && i < n_blocks * NIB_GROUP; i++) {
            put_f16(group + p->scale + 2 * i, scale);
            if (info->min)
                put_f16(group + p->min + 2 * i, 0.0f);
        }
        return;
    }
    for (size_t i = 0; !is_random && i < p->super - p->scale; i++)
        group[p->scale + i] = info->form == NIB_SCALE_E8M0 ? 128 : i < p->min - p->scale ? 1 : 0;
    if (is_random && info->form == NIB_SCALE_E8M0) /* also the two smallest, which are denormal */
        for (size_t i = 0; i < n_blocks * NIB_GROUP; i++)
            group[p->scale + i] = (uint8_t)(next() % 5 == 0 ? next() % 3 : 100 + next() % 60);
    for (size_t s = 0; info->super && s < n_supers; s++) {
        uint8_t *super = group + p->super + s * info->super;
        const bool has_min = info->form == NIB_SCALE_U8_MIN || info->form == NIB_SCALE_U4_16;
        if (info->form == NIB_SCALE_F32_16) {
            for (size_t i = 0; i < NIB_GROUP; i++) {
                const float x = is_random ? small_float() * 1e-3f : scale;
                memcpy(super + 4 * i, &x, 4);
            }
            continue;
        }
        fill_scales(super, has_min ? 2 * NIB_GROUP : NIB_GROUP);
        for (size_t i = 0; !is_random && i < NIB_GROUP; i++) {
            put_f16(super + 2 * i, scale);
            if (has_min)
                put_f16(super + 2 * (NIB_GROUP + i), 0.0f);
        }
        if (!is_random && info->form == NIB_SCALE_I6_16) { /* 33 in 6 bits: 1 */
            memset(super + 32, 0x11, 8 * NIB_GROUP);
            memset(super + 32 + 8 * NIB_GROUP, 0xaa, 4 * NIB_GROUP);
        }
    }
}

static void fill_group(const struct nib_matrix *w, uint8_t *group, enum codes codes)
{
    if (nib_pack_info(w->pack)->float_bytes) {
        fill_floats(w, group);
        return;
    }
    for (size_t i = 0; i < w->planes.n_bytes; i++)
        group[i] = (uint8_t)next();
    if (codes != RANDOM_CODES)
        memset(group, codes == LARGEST_CODES ? 0xff : 0, w->planes.scale);
    set_scales(w, group, NAN);
}

struct product {
    struct nib_matrix w;
    uint8_t *weights;
    struct nib_act x;
    void *activations;
    size_t n_activation_bytes;
    float *bias;
    size_t n_tokens;
};

static void make_product(struct product *p, enum nib_pack pack, uint32_t n_rows, uint32_t n_cols,
                         size_t n_tokens, enum nib_act_kind kind, enum codes codes)
{
    p->w = nib_matrix_shape(pack, n_rows, n_cols);
    p->weights = guard_alloc(p->w.n_groups * p->w.planes.n_bytes, 64);
    for (size_t g = 0; g < p->w.n_groups; g++)
        fill_group(&p->w, p->weights + g * p->w.planes.n_bytes, codes);
    p->w.data = p->weights;
    p->n_tokens = n_tokens;
    p->n_activation_bytes = nib_act_bytes(kind, n_tokens, n_cols);
    p->activations = guard_alloc(p->n_activation_bytes, 64);
    memset(p->activations, 0, p->n_activation_bytes);
    p->x = nib_act_place(kind, n_tokens, n_cols, p->activations);
    p->bias = guard_alloc(p->w.n_groups * NIB_GROUP * sizeof(float), 64);
    for (size_t i = 0; i < p->w.n_groups * NIB_GROUP; i++)
        p->bias[i] = small_float();

    struct nib_kernels scalar;
    nib_kernels_init(&scalar, 0);
    float *row = malloc(n_cols * sizeof(float));
    for (size_t t = 0; t < n_tokens; t++) {
        for (uint32_t k = 0; k < n_cols; k++)
            row[k] = codes == RANDOM_CODES ? small_float() : 1.5f;
        scalar.quantize[kind](&p->x, t, row);
    }
    free(row);
}

static void free_product(struct product *p)
{
    assert_true(guard_free(p->weights, p->w.n_groups * p->w.planes.n_bytes, 64));
    assert_true(guard_free(p->activations, p->n_activation_bytes, 64));
    assert_true(guard_free(p->bias, p->w.n_groups * NIB_GROUP * sizeof(float), 64));
}

static void run(const struct product *p, unsigned features, struct nib_matmul m)
{
    struct nib_kernels k;
    nib_kernels_init(&k, features);
    m.w = &p->w;
    m.x = &p->x;
    k.matmul[p->w.pack](&m);
}

/* One slice on every level; results in memory that ends at an unreadable page. */
static void check_slice(const struct product *p, struct nib_matmul m)
{
    const size_t n_groups = m.group_end - m.group_begin, n = m.token_end - m.token_begin;
    const size_t n_bytes = n * n_groups * NIB_GROUP * sizeof(float);
    float *expected = guard_alloc(n_bytes, 64), *got = guard_alloc(n_bytes, 64);
    m.y_stride = n_groups * NIB_GROUP;
    memset(expected, 0x3e, n_bytes);
    m.y = expected;
    run(p, 0, m);
    char list[128];
    snprintf(list, sizeof(list), "%s", nib_isa_list(nib_cpu_features()));
    for (char *rest, *isa = strtok_r(list, " ", &rest); isa; isa = strtok_r(NULL, " ", &rest)) {
        unsigned features;
        assert_true(nib_isa_features(isa, &features));
        memset(got, 0x3e, n_bytes);
        m.y = got;
        run(p, features, m);
        if (memcmp(got, expected, n_bytes) != 0)
            fail_msg("%s on %s: %u x %u, %zu tokens differ from scalar",
                     nib_pack_info(p->w.pack)->name, isa, p->w.n_rows, p->w.n_cols, n);
    }
    assert_true(guard_free(expected, n_bytes, 64));
    assert_true(guard_free(got, n_bytes, 64));
}

static size_t n_shapes(void)
{
    const char *text = getenv("NIB_TEST_SHAPES");
    return text ? (size_t)strtoul(text, NULL, 10) : 40;
}

/* The finest activations that a product with such weights takes. */
static enum nib_act_kind fine_act(const struct nib_pack_info *info)
{
    return info->act == NIB_ACT_Q8 ? NIB_ACT_Q15 : info->act;
}

static void test_every_backend_equals_scalar(void **state)
{
    (void)state;
    print_message("levels: %s\n", nib_isa_list(nib_cpu_features()));
    for (int pack = 0; pack < NIB_PACK_COUNT; pack++)
        for (size_t i = 0; i < n_shapes(); i++) {
            const struct nib_pack_info *info = nib_pack_info((enum nib_pack)pack);
            const uint32_t unit = info->super ? NIB_SUPER : info->float_bytes ? 1 : NIB_BLOCK;
            const uint32_t n_cols = unit * (1 + next() % (unit == 1 ? 90 : 5));
            struct product p;
            const uint32_t n_rows = 1 + next() % 150;
            make_product(&p, (enum nib_pack)pack, n_rows, n_cols, 1 + next() % 40,
                         i / CODE_KINDS % 2 ? fine_act(info) : info->act,
                         (enum codes)(i % CODE_KINDS));
            struct nib_matmul m = {.group_end = p.w.n_groups, .token_end = p.n_tokens};
            check_slice(&p, m);
            m.bias = p.bias;
            m.accumulate = true;
            m.group_begin = next() % p.w.n_groups;
            m.token_begin = next() % p.n_tokens;
            check_slice(&p, m);
            free_product(&p);
        }
}

static int input_code(const struct nib_act *x, size_t token, size_t col)
{
    const size_t block = col / NIB_BLOCK * x->n_rows + token;
    const int8_t *q = x->q + block * NIB_BLOCK * x->n_parts + col % NIB_BLOCK;
    return x->n_parts == 1 ? q[0] : 128 * q[0] + q[NIB_BLOCK];
}

/* With scales of 1 the result is that of 64-bit dots of codes, by runs that share a scale. */
static void check_integer_sums(enum nib_act_kind kind)
{
    for (int pack = NIB_PACK_Q4_0; pack < NIB_PACK_COUNT; pack++)
        for (size_t n_tokens = 1; n_tokens <= 33; n_tokens += 4) {
            struct product p;
            make_product(&p, (enum nib_pack)pack, 32, NIB_SUPER, n_tokens, kind,
                         n_tokens % 8 == 1 ? LARGEST_CODES : SMALLEST_CODES);
            for (size_t g = 0; g < p.w.n_groups; g++)
                set_scales(&p.w, p.weights + g * p.w.planes.n_bytes, 1.0f);
            for (size_t i = 0; i < NIB_SUPER / NIB_BLOCK * n_tokens; i++)
                p.x.d[i] = 1.0f;
            float y[33 * 32];
            run(&p, nib_cpu_features(),
                (struct nib_matmul){.y = y, .y_stride = 32, .group_end = 2, .token_end = n_tokens});
            const int zero_shift = nib_pack_info((enum nib_pack)pack)->zero_shift;
            const int zero = zero_shift ? 1 << zero_shift : 0;
            const size_t n_run = nib_scale_columns(nib_pack_info((enum nib_pack)pack)->form);
            for (size_t t = 0; t < n_tokens; t++)
                for (size_t r = 0; r < 32; r++) {
                    const uint8_t *group = p.weights + r / NIB_GROUP * p.w.planes.n_bytes;
                    int64_t sum = 0;
                    float expected = 0;
                    for (size_t k = 0; k < NIB_SUPER; k++) {
                        const int code = nib_matrix_code(&p.w, group, (int)(r % NIB_GROUP), k);
                        sum += (int64_t)(code - zero) * input_code(&p.x, t, k);
                        if ((k + 1) % n_run == 0) {
                            expected += (float)sum;
                            sum = 0;
                        }
                    }
                    assert_true(y[t * 32 + r] == expected);
                }
            free_product(&p);
        }
}

static void test_integer_sums_are_exact(void **state)
{
    (void)state;
    check_integer_sums(NIB_ACT_Q8);
    check_integer_sums(NIB_ACT_Q15);
}

/* A kernel that skips a part of a plane would not notice. */
static void test_one_flipped_code_changes_the_output(void **state)
{
    (void)state;
    for (int pack = NIB_PACK_Q4_0; pack < NIB_PACK_COUNT; pack++) {
        struct product p;
        make_product(&p, (enum nib_pack)pack, 16, 2 * NIB_SUPER, 1, NIB_ACT_Q8, LARGEST_CODES);
        set_scales(&p.w, p.weights, 1.0f);
        float before[NIB_GROUP], after[NIB_GROUP];
        struct nib_matmul m = {.y_stride = NIB_GROUP, .group_end = 1, .token_end = 1};
        m.y = before;
        run(&p, nib_cpu_features(), m);
        m.y = after;
        for (size_t i = 0; i < p.w.planes.scale; i++) {
            const uint8_t bit = (uint8_t)(1 << next() % 8);
            p.weights[i] ^= bit;
            run(&p, nib_cpu_features(), m);
            p.weights[i] ^= bit;
            /* Two entries of the e2m1 book are zero. */
            if (pack != NIB_PACK_MXFP4 || (bit & 0x77))
                assert_memory_not_equal(before, after, sizeof(before));
        }
        free_product(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_backend_equals_scalar),
        cmocka_unit_test(test_integer_sums_are_exact),
        cmocka_unit_test(test_one_flipped_code_changes_the_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
