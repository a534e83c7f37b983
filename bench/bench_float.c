/*
 * The float kernels of every level, over data in the nearest cache: GB/s of the floats they read,
 * so that ns/value = 4 / (GB/s).
 */
#include "yardstick.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUES = 2048, HEAD = 64 };

struct float_case {
    const char *isa;
    unsigned features;
    void (*run)(void *data);
};

struct floats {
    struct nib_kernels kernels;
    struct nib_act act[NIB_ACT_COUNT];
    void *act_memory[NIB_ACT_COUNT];
    float *x, *y, *w, *cosine, *sine;
    uint16_t *half;
};

/* ---- what is timed: VALUES values each ------------------------------------------------------- */

static void quantize(void *data)
{
    const struct floats *f = data;
    f->kernels.quantize[NIB_ACT_Q8](&f->act[NIB_ACT_Q8], 0, f->x);
}

static void quantize15(void *data)
{
    const struct floats *f = data;
    f->kernels.quantize[NIB_ACT_Q15](&f->act[NIB_ACT_Q15], 0, f->x);
}

static void rms_norm(void *data)
{
    const struct floats *f = data;
    f->kernels.rms_norm(f->y, f->x, f->w, VALUES, 1e-5f);
}

static void layer_norm(void *data)
{
    const struct floats *f = data;
    f->kernels.layer_norm(f->y, f->x, f->w, f->w, VALUES, 1e-5f);
}

static void rope(void *data)
{
    const struct floats *f = data;
    for (size_t i = 0; i < VALUES; i += HEAD)
        f->kernels.rope(f->y + i, f->cosine, f->sine, HEAD / 2);
}

/* On a fresh copy: a second activation would meet other numbers. */
static void activate(const struct floats *f, enum nib_activation activation)
{
    memcpy(f->y, f->x, VALUES * sizeof(*f->y));
    f->kernels.activate[activation](f->y, VALUES);
}

static void silu(void *data)
{
    activate(data, NIB_ACTIVATION_SILU);
}

static void gelu(void *data)
{
    activate(data, NIB_ACTIVATION_GELU);
}

static void gelu_tanh(void *data)
{
    activate(data, NIB_ACTIVATION_GELU_TANH);
}

static void softmax(void *data)
{
    const struct floats *f = data;
    struct nib_softmax state = {.max = -INFINITY};
    memcpy(f->y, f->x, VALUES * sizeof(*f->y));
    for (size_t i = 0; i < VALUES; i += NIB_TILE)
        f->kernels.softmax_tile(&state, f->y + i, 0, NIB_TILE);
}

static void to_f16(void *data)
{
    const struct floats *f = data;
    f->kernels.to_f16(f->half, f->x, VALUES);
}

static void from_f16(void *data)
{
    const struct floats *f = data;
    f->kernels.from_f16(f->y, f->half, VALUES);
}

/* ---- data ------------------------------------------------------------------------------------ */

static float *random_floats(size_t n)
{
    float *x = aligned_alloc(64, n * sizeof(*x));
    for (size_t i = 0; x && i < n; i++)
        x[i] = 4.0f * nib_yard_random_float();
    return x;
}

static bool make_floats(struct floats *f)
{
    bool is_complete = true;
    for (int kind = 0; kind < NIB_ACT_COUNT; kind++) {
        f->act_memory[kind] = aligned_alloc(64, nib_act_bytes((enum nib_act_kind)kind, 1, VALUES));
        is_complete = is_complete && f->act_memory[kind];
        f->act[kind] = nib_act_place((enum nib_act_kind)kind, 1, VALUES, f->act_memory[kind]);
    }
    f->x = random_floats(VALUES);
    f->y = random_floats(VALUES);
    f->w = random_floats(VALUES);
    f->cosine = random_floats(HEAD);
    f->sine = random_floats(HEAD);
    f->half = calloc(VALUES, sizeof(*f->half));
    if (!is_complete || !f->x || !f->y || !f->w || !f->cosine || !f->sine || !f->half)
        return false;
    for (size_t i = 0; i < HEAD; i++) { /* a rotation: repeated, it keeps the lengths */
        f->cosine[i] = cosf((float)i);
        f->sine[i] = sinf((float)i);
    }
    return true;
}

static void free_floats(struct floats *f)
{
    for (int kind = 0; kind < NIB_ACT_COUNT; kind++)
        free(f->act_memory[kind]);
    free(f->x);
    free(f->y);
    free(f->w);
    free(f->cosine);
    free(f->sine);
    free(f->half);
}

static void bench_float(struct nib_bench *b, const void *arg)
{
    const struct float_case *c = arg;
    struct floats f = {0};
    nib_kernels_init(&f.kernels, c->features);
    if (make_floats(&f))
        nib_yard_time(b, &(struct nib_timed_work){
                             .isa = c->isa,
                             .kind = NIB_WORK_OTHER,
                             .n_bytes = VALUES * (c->run == from_f16 ? 2.0 : 4.0),
                             .run = c->run,
                             .data = &f,
                         });
    else
        nib_bench_fail(b, "out of memory");
    free_floats(&f);
}

static void register_level(const char *isa, unsigned features, void *data)
{
    static const struct {
        const char *name;
        void (*run)(void *data);
    } kernels[] = {
        {"quantize_q8", quantize},
        {"quantize_q15", quantize15},
        {"rms_norm", rms_norm},
        {"layer_norm", layer_norm},
        {"rope", rope},
        {"silu", silu},
        {"gelu", gelu},
        {"gelu_tanh", gelu_tanh},
        {"softmax", softmax},
        {"to_f16", to_f16},
        {"from_f16", from_f16},
    };
    (void)data;
    for (size_t i = 0; i < sizeof(kernels) / sizeof(*kernels); i++) {
        const struct float_case c = {isa, features, kernels[i].run};
        char name[128];
        snprintf(name, sizeof(name), "float/%s/%s", kernels[i].name, isa);
        nib_bench_register(name, NIB_BENCH_CPU, bench_float, &c, sizeof(c));
    }
}

void nib_register_floats(const struct nib_yard *yard)
{
    (void)yard;
    nib_yard_each_isa(register_level, NULL);
}
