/*
 * Matrix products of every packing on every level, for 1 to 512 tokens:
 *
 *     matmul/PACK/ISA/tokens:N/cold    on one core; every call takes the next 1024 rows of weights
 *                                      that are together many times the last-level cache
 *     matmul/PACK/ISA/tokens:N/warm    the same rows again and again, which fit into L2
 *     matmul/PACK/ISA/tokens:N/cold/all    cold, split over all cores with a barrier after each
 *                                      matrix, as the runtime does it; the best level alone
 */
#include "parallel.h"
#include "yardstick.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    COLS = 2048,
    TINY_COLS = 256,
    GROUPS = 64,
    SLOW_GROUPS = 4, /* where a call would take long */
    TEAM_PARTS = 16, /* calls of the team to go through the cold memory once */
};

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
    float *y;          /* of each thread */
    size_t y_floats;   /* of one */
    size_t n_groups;   /* of a call */
    size_t next;       /* group, for a team matrix, that the next call begins with */
    size_t n_matrices; /* of a call of the team */
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

/* The cold memory as one matrix, of one random group again and again. */
static struct nib_matrix make_weights(enum nib_pack pack)
{
    const uint32_t n_cols = yard->is_tiny ? TINY_COLS : COLS;
    const size_t group_bytes = nib_planes(pack, n_cols).n_bytes;
    const uint32_t n_rows = (uint32_t)(yard->cold_bytes / group_bytes) * NIB_GROUP;
    struct nib_matrix w = nib_matrix_shape(pack, n_rows, n_cols);
    if (nib_yard_claim(nib_pack_info(pack)->name)) {
        fill_group(&w, yard->cold);
        for (size_t g = 1; g < w.n_groups; g++)
            memcpy(yard->cold + g * group_bytes, yard->cold, group_bytes);
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

/* Matrices [next, next + n_matrices); a thread's part of each lies in its own share of the memory.
 */
static void run_thread(void *data, int thread, int n_threads)
{
    const struct product *p = data;
    const size_t part = p->n_groups / (size_t)n_threads;
    const size_t begin = p->w.n_groups / (size_t)n_threads * (size_t)thread;
    for (size_t i = p->next; i < p->next + p->n_matrices; i++) {
        multiply(p, p->y + (size_t)thread * p->y_floats, begin + i * part, begin + (i + 1) * part);
        nib_team_barrier(yard->team, thread);
    }
}

static void run_team(void *data)
{
    struct product *p = data;
    const size_t n = p->w.n_groups / p->n_groups;
    if (p->next + p->n_matrices > n)
        p->next = 0;
    nib_team_run(yard->team, run_thread, p);
    p->next += p->n_matrices;
}

static size_t warm_groups(size_t group_bytes)
{
    const size_t fit = yard->l2_bytes / 8 * 3 / group_bytes;
    return fit < 1 ? 1 : fit < GROUPS ? fit : GROUPS;
}

/* Groups of a call, a part for each thread. */
static size_t groups_of_call(const struct matmul_case *c, size_t group_bytes, size_t n_threads)
{
    size_t n = c->is_cold ? GROUPS : warm_groups(group_bytes);
    if (c->features == 0 || yard->is_tiny)
        n = n < SLOW_GROUPS ? n : SLOW_GROUPS;
    return n < n_threads ? n_threads : n / n_threads * n_threads;
}

static bool make_product(struct product *p, const struct matmul_case *c, size_t n_threads)
{
    p->n_tokens = c->n_tokens;
    p->is_cold = c->is_cold;
    nib_kernels_init(&p->kernels, c->features);
    p->w = make_weights(c->pack);
    p->n_groups = groups_of_call(c, p->w.planes.n_bytes, n_threads);
    p->n_matrices = c->is_team ? p->w.n_groups / p->n_groups / TEAM_PARTS : 1;
    p->n_matrices = p->n_matrices > 0 ? p->n_matrices : 1;
    p->y_floats = p->n_tokens * p->n_groups * NIB_GROUP;
    const size_t n_bytes = n_threads * p->y_floats * sizeof(float);
    p->y = aligned_alloc(64, n_bytes);
    if (p->y)
        memset(p->y, 0, n_bytes);
    return make_activations(p) && p->y;
}

static void bench_matmul(struct nib_bench *b, const void *arg)
{
    const struct matmul_case *c = arg;
    const struct nib_pack_info *info = nib_pack_info(c->pack);
    struct product p = {0};
    if (make_product(&p, c, c->is_team ? (size_t)yard->n_threads : 1)) {
        const double n_groups = (double)(p.n_matrices * p.n_groups);
        nib_yard_time(b, &(struct nib_timed_work){
                             .isa = c->isa,
                             .kind = info->float_bytes ? NIB_WORK_FLOATS : NIB_WORK_INTEGERS,
                             .code_bits = info->bits,
                             .n_ops = 2.0 * n_groups * NIB_GROUP * p.w.n_cols * c->n_tokens,
                             .n_bytes = n_groups * (double)p.w.planes.n_bytes,
                             .is_cold = c->is_cold,
                             .is_team = c->is_team,
                             .run = c->is_team ? run_team : run_one,
                             .data = &p,
                         });
    } else {
        nib_bench_fail(b, "out of memory");
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
