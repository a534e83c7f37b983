#include "act.h"

static size_t round64(size_t n)
{
    return (n + 63) & ~(size_t)63;
}

struct sizes {
    size_t q, d, s, nsum;
};

static struct sizes plane_sizes(enum nib_act_kind kind, size_t n_rows, size_t n_cols)
{
    if (kind == NIB_ACT_F32)
        return (struct sizes){.q = round64(round64(n_cols * 4) * n_rows)};
    const size_t d_block = kind == NIB_ACT_Q8K ? NIB_SUPER : NIB_BLOCK;
    const size_t sum_block = kind == NIB_ACT_Q8K ? 16 : NIB_BLOCK;
    return (struct sizes){
        .q = round64(n_cols * n_rows),
        .d = round64(n_cols / d_block * n_rows * 4),
        .s = round64(n_cols / NIB_BLOCK * n_rows * 4),
        .nsum = round64(n_cols / sum_block * n_rows * 4),
    };
}

size_t nib_act_bytes(enum nib_act_kind kind, size_t n_rows, size_t n_cols)
{
    const struct sizes z = plane_sizes(kind, n_rows, n_cols);
    return z.q + z.d + z.s + z.nsum;
}

struct nib_act nib_act_place(enum nib_act_kind kind, size_t n_rows, size_t n_cols, void *memory)
{
    const struct sizes z = plane_sizes(kind, n_rows, n_cols);
    uint8_t *p = memory;
    struct nib_act a = {.kind = kind, .n_rows = n_rows, .n_cols = n_cols};
    if (kind == NIB_ACT_F32) {
        a.stride = round64(n_cols * 4) / 4;
        a.f = memory;
        return a;
    }
    a.q = (int8_t *)p;
    a.d = (float *)(p + z.q);
    a.s = (float *)(p + z.q + z.d);
    a.nsum = (int32_t *)(p + z.q + z.d + z.s);
    return a;
}
