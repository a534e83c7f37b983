#include "act.h"

static size_t round64(size_t n)
{
    return (n + 63) & ~(size_t)63;
}

struct sizes {
    size_t codes, block; /* of q, and of each of d, s, zero; zero_half takes twice that */
};

static size_t parts_of(enum nib_act_kind kind)
{
    return kind == NIB_ACT_Q15 ? 2 : 1;
}

static struct sizes plane_sizes(enum nib_act_kind kind, size_t n_rows, size_t n_cols)
{
    return (struct sizes){round64(n_cols * n_rows * parts_of(kind)),
                          round64(n_cols / NIB_BLOCK * n_rows * 4)};
}

size_t nib_act_bytes(enum nib_act_kind kind, size_t n_rows, size_t n_cols)
{
    const struct sizes z = plane_sizes(kind, n_rows, n_cols);
    return kind == NIB_ACT_F32 ? round64(n_cols * 4) * n_rows : z.codes + 5 * z.block;
}

struct nib_act nib_act_place(enum nib_act_kind kind, size_t n_rows, size_t n_cols, void *memory)
{
    const struct sizes z = plane_sizes(kind, n_rows, n_cols);
    uint8_t *p = memory;
    struct nib_act a = {
        .kind = kind, .n_rows = n_rows, .n_cols = n_cols, .n_parts = parts_of(kind)};
    if (kind == NIB_ACT_F32) {
        a.stride = round64(n_cols * 4) / 4;
        a.f = memory;
        return a;
    }
    a.q = memory;
    a.d = (float *)(void *)(p + z.codes);
    a.s = (float *)(void *)(p + z.codes + z.block);
    a.zero = (int32_t *)(void *)(p + z.codes + 2 * z.block);
    a.zero_half = (int32_t *)(void *)(p + z.codes + 3 * z.block);
    return a;
}
