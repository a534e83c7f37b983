/*
 * Matrix products of every packing on every level, for 1 to 512 tokens:
 *
 *     matmul/PACK/ISA/tokens:N/cold    on one core; every call takes the next 1024 rows of weights
 *                                      that are together more than twice the last-level cache
 *     matmul/PACK/ISA/tokens:N/warm    the same rows again and again, which fit into L2
 *     matmul/PACK/ISA/tokens:N/cold/all    cold, split over all cores with a barrier after each
 *                                      matrix, as the runtime does it; the best level alone
 */
#include "parallel.h"
#include "yardstick.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLS = 2048, TINY_COLS = 256, GROUPS = 64, SCALAR_GROUPS = 4 };

static const struct nib_yard *yard;

struct matmul_case {
    enum nib_pack pack;
    const char *isa;
    unsigned features;
    uint32_t n_tokens;
    bool is_cold, is_team;
};

struct product {
    struct nib_kernels kernels;
    struct nib_matrix w; /* all of the memory: matrices are slices of its groups */
    struct nib_act x;
    void *activations;
    float *y;        /* of each thread */
    size_t y_floats; /* of one */
    size_t n_groups; /* of a call */
    size_t next;     /* group that the next call begins with */
    size_t n_tokens;
    bool is_cold;
};

/* ---- data ------------------------------------------------------------------------------------ */

/* Random codes; scales of both signs and any precision that are neither tiny nor huge: as f16,
 * 2^-4 to 2, and as bf16, f32, e8m0 and integers also ordinary numbers. */
static void fill_group(const struct nib_matrix *w, uint8_t *group)
{
    const struct nib_pack_info *info = nib_pack_info(w->pack);
    const size_t n_codes = info->float_bytes ? 0 : w->planes.scale;
    for (size_t i = 0; i < w->planes.n_bytes; i++) {
        const uint32_t r = nib_yard_random();
        group[i] = (uint8_t)(i < n_codes ? r : 0x2c + r % 16 + (i % 2 ? r >> 8 & 0x80 : 0));
    }
}

/* Fill the cold memory with one random group after the other, unless it is that already. */
static struct nib_matrix make_weights(enum nib_pack pack)
{
    static int held = -1;
    const uint32_t n_cols = yard->is_tiny ? TINY_COLS : COLS;
    const size_t group_bytes = nib_planes(pack, n_cols).n_bytes;
    const uint32_t n_rows = (uint32_t)(yard->cold_bytes / group_bytes) * NIB_GROUP;
    struct nib_matrix w = nib_matrix_shape(pack, n_rows, n_cols);
    if (held != (int)pack) {
        fill_group(&w, yard->cold);
        for (size_t g = 1; g < w.n_groups; g++)
            memcpy(yard->cold + g * group_bytes, yard->cold, group_bytes);
        held = (int)pack;
    }
    w.data = yard->cold;
    return w;
}

static bool make_activations(struct product *p)
{
    const enum nib_act_kind kind = nib_pack_info(p->w.pack)->act;
    const size_t n_cols = p->w.n_cols, n_bytes = nib_act_bytes(kind, p->n_tokens, n_cols);
    float *row = malloc(2 * n_cols * sizeof(float));
    p->activations = aligned_alloc(64, n_bytes);
    if (row && p->activations) {
        for (size_t i = 0; i < 2 * n_cols; i++)
            row[i] = nib_yard_random_float();
        p->x = nib_act_place(kind, p->n_tokens, n_cols, p->activations);
        for (size_t t = 0; t < p->n_tokens; t++)
            p->kernels.quantize[kind](&p->x, t, row + t % n_cols);
    }
    free(row);
    return p->activations != NULL;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void multiply(const struct product *p, float *y, size_t begin, size_t end)
{
    const struct nib_matmul m = {
        .w = &p->w,
        .x = &p->x,
        .y = y,
        .y_stride = p->n_groups * NIB_GROUP,
        .group_begin = begin,
        .group_end = end,
        .token_end = p->n_tokens,
    };
    p->kernels.matmul[p->w.pack](&m);
}

static void run_one(void *data)
{
    struct product *p = data;
    if (!p->is_cold || p->next + p->n_groups > p->w.n_groups)
        p->next = 0;
    multiply(p, p->y, p->next, p->next + p->n_groups);
    p->next += p->n_groups;
}

/* A thread's part of each matrix lies in its own share of the memory. */
static void run_thread(void *data, int thread, int n_threads)
{
    const struct product *p = data;
    const size_t part = p->n_groups / (size_t)n_threads;
    const size_t share = p->w.n_groups / (size_t)n_threads;
    const size_t begin = share * (size_t)thread;
    for (size_t g = 0; g + part <= share; g += part) {
        multiply(p, p->y + (size_t)thread * p->y_floats, begin + g, begin + g + part);
        nib_team_barrier(yard->team, thread);
    }
}

static void run_team(void *data)
{
    nib_team_run(yard->team, run_thread, data);
}

static size_t warm_groups(size_t group_bytes)
{
    const size_t fit = yard->l2_bytes / 8 * 3 / group_bytes;
    return fit < 1 ? 1 : fit < GROUPS ? fit : GROUPS;
}

static void bench_matmul(struct nib_bench *b, const void *arg)
{
    const struct matmul_case *c = arg;
    const struct nib_pack_info *info = nib_pack_info(c->pack);
    const size_t n_threads = c->is_team ? (size_t)yard->n_threads : 1;
    struct product p = {.n_tokens = c->n_tokens, .is_cold = c->is_cold};
    nib_kernels_init(&p.kernels, c->features);
    p.w = make_weights(c->pack);
    p.n_groups = c->is_cold ? GROUPS : warm_groups(p.w.planes.n_bytes);
    if (c->features == 0 || yard->is_tiny)
        p.n_groups = p.n_groups < SCALAR_GROUPS ? p.n_groups : SCALAR_GROUPS;
    if (p.n_groups < n_threads)
        p.n_groups = n_threads;
    p.y_floats = p.n_tokens * p.n_groups * NIB_GROUP;
    p.y = aligned_alloc(64, n_threads * p.y_floats * sizeof(float));
    if (!make_activations(&p) || !p.y) {
        nib_bench_fail(b, "out of memory");
    } else {
        const size_t part = p.n_groups / n_threads;
        const size_t n_groups = /* of one run */
            c->is_team ? p.w.n_groups / n_threads / part * part * n_threads : p.n_groups;
        memset(p.y, 0, n_threads * p.y_floats * sizeof(float));
        nib_yard_time(b, &(struct nib_timed_work){
                             .isa = c->isa,
                             .kind = info->float_bytes ? NIB_WORK_FLOATS : NIB_WORK_INTEGERS,
                             .code_bits = info->bits,
                             .n_ops = 2.0 * (double)n_groups * NIB_GROUP * p.w.n_cols * c->n_tokens,
                             .n_bytes = (double)n_groups * (double)p.w.planes.n_bytes,
                             .is_cold = c->is_cold,
                             .is_team = c->is_team,
                             .run = c->is_team ? run_team : run_one,
                             .data = &p,
                         });
    }
    free(p.y);
    free(p.activations);
}

/* ---- names ----------------------------------------------------------------------------------- */

static void register_case(const struct matmul_case *c)
{
    char name[128];
    snprintf(name, sizeof(name), "matmul/%s/%s/tokens:%u/%s%s", nib_pack_info(c->pack)->name,
             c->isa, c->n_tokens, c->is_cold ? "cold" : "warm", c->is_team ? "/all" : "");
    nib_bench_register(name, c->is_team ? NIB_BENCH_REAL : NIB_BENCH_CPU, bench_matmul, c,
                       sizeof(*c));
}

static void register_level(const char *isa, unsigned features, void *data)
{
    static const uint32_t tokens[] = {1, 2, 4, 8, 32, 512};
    (void)data;
    for (int pack = 0; pack < NIB_PACK_COUNT; pack++)
        for (size_t i = 0; i < sizeof(tokens) / sizeof(*tokens); i++) {
            const uint32_t n = yard->is_tiny && tokens[i] > 32 ? 40 : tokens[i];
            struct matmul_case c = {(enum nib_pack)pack, isa, features, n, true, false};
            register_case(&c);
            if (n <= 4 && strcmp(isa, nib_isa_name(nib_cpu_features())) == 0) {
                c.is_team = true;
                register_case(&c);
            }
            c.is_team = c.is_cold = false;
            register_case(&c);
        }
}

void nib_register_matmul(const struct nib_yard *y)
{
    yard = y;
    nib_yard_each_isa(register_level, NULL);
}
