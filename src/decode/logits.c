#include "logits.h"

#include <float.h>
#include <math.h>
#include <sleef.h>

enum { LANES = 8 };

size_t nib_row_blocks(size_t n)
{
    return (n + NIB_LOGITS_BLOCK - 1) / NIB_LOGITS_BLOCK;
}

/* The largest of a block; *n_bad counts NaN and +infinity, which may or may not win. */
static float scan_block(const float *x, size_t n, int32_t *n_bad)
{
    float lanes[LANES];
    int32_t bad[LANES] = {0};
    for (size_t j = 0; j < LANES; j++)
        lanes[j] = -INFINITY;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++) {
            lanes[j] = x[i + j] > lanes[j] ? x[i + j] : lanes[j];
            bad[j] += !(x[i + j] <= FLT_MAX);
        }
    for (; i < n; i++) {
        lanes[0] = x[i] > lanes[0] ? x[i] : lanes[0];
        bad[0] += !(x[i] <= FLT_MAX);
    }
    float best = lanes[0];
    for (size_t j = 0; j < LANES; j++) {
        best = lanes[j] > best ? lanes[j] : best;
        *n_bad += bad[j];
    }
    return best;
}

int32_t nib_argmax(const float *logits, size_t n_vocab)
{
    float best = -INFINITY;
    size_t begin = 0;
    for (size_t i = 0; i < n_vocab; i += NIB_LOGITS_BLOCK) {
        const size_t n = n_vocab - i < NIB_LOGITS_BLOCK ? n_vocab - i : NIB_LOGITS_BLOCK;
        int32_t n_bad = 0;
        const float block = scan_block(logits + i, n, &n_bad);
        if (block > best) {
            best = block;
            begin = i;
        }
    }
    for (size_t i = begin; i < n_vocab; i++)
        if (logits[i] == best)
            return (int32_t)i;
    return -1;
}

static enum nib_status fail_not_a_number(const struct nib_row *row, struct nib_error *err)
{
    size_t i = 0;
    while (row->logits[i] <= FLT_MAX)
        i++;
    return nib_fail(
        err, NIB_ERROR_NUMERIC,
        "the logit of id %zu is %s: the model's weights hold values that are not numbers, "
        "or its arithmetic overflowed; get the model file again or use another",
        i, isnan(row->logits[i]) ? "not a number" : "infinite");
}

enum nib_status nib_row_scan(struct nib_row *row, struct nib_error *err)
{
    int32_t n_bad = 0;
    size_t best = 0;
    const size_t n_blocks = nib_row_blocks(row->n);
    for (size_t b = 0; b < n_blocks; b++) {
        const size_t begin = b * NIB_LOGITS_BLOCK;
        const size_t n = row->n - begin < NIB_LOGITS_BLOCK ? row->n - begin : NIB_LOGITS_BLOCK;
        row->block_max[b] = scan_block(row->logits + begin, n, &n_bad);
        if (row->block_max[b] > row->block_max[best])
            best = b;
    }
    row->best = -1;
    if (n_bad > 0)
        return fail_not_a_number(row, err);
    if (row->block_max[best] == -INFINITY)
        return nib_fail(err, NIB_ERROR_NUMERIC,
                        "all %zu logits are -infinity (id 0 to %zu), so no id can be chosen: the "
                        "model's weights hold infinity, or everything was masked",
                        row->n, row->n - 1);
    size_t i = best * NIB_LOGITS_BLOCK;
    while (row->logits[i] != row->block_max[best])
        i++;
    row->best = (int32_t)i;
    return NIB_OK;
}

static double add_lanes(const double lanes[LANES])
{
    const double a = lanes[0] + lanes[4], b = lanes[1] + lanes[5];
    const double c = lanes[2] + lanes[6], d = lanes[3] + lanes[7];
    return (a + c) + (b + d);
}

double nib_sum(const double *x, size_t n)
{
    double lanes[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            lanes[j] += x[i + j];
    for (size_t j = 0; i < n; i++, j++)
        lanes[j] += x[i];
    return add_lanes(lanes);
}

/*
 * x = k ln 2 + r, |r| <= ln 2 / 2; e^r by its Taylor series, whose next term is below 2^-57.
 * Written without branches so that compilers make vectors of it: SLEEF's deterministic scalar
 * function, 12 ns an element, would cost a vocabulary of 150,000 ids 1.8 ms a token.
 */
static inline double exp_one(double x)
{
    static const double magic = 0x1.8p52; /* adding it rounds to an integer, kept in the low bits */
    const double shifted = x * 0x1.71547652b82fep+0 + magic;
    const double k = shifted - magic;
    const double r = (x - k * 0x1.62e42feep-1) - k * 0x1.a39ef35793c76p-33;
    double p = 1.0 / 6227020800.0;
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    uint64_t bits;
    double scale;
    memcpy(&bits, &shifted, sizeof(bits));
    bits = (bits + 1023) << 52; /* 2^k */
    memcpy(&scale, &bits, sizeof(scale));
    return p * scale;
}

void nib_exp(double *y, const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] > -700.0 ? x[i] : -700.0; /* apart, or GCC makes branches of both */
    for (size_t i = 0; i < n; i++)
        y[i] = exp_one(y[i]);
}

double nib_log_softmax(const float *logits, size_t n, int32_t best, int32_t id)
{
    const double max = logits[best];
    double lanes[LANES] = {0};
    for (size_t begin = 0; begin < n; begin += NIB_LOGITS_BLOCK) {
        const size_t size = n - begin < NIB_LOGITS_BLOCK ? n - begin : NIB_LOGITS_BLOCK;
        double x[NIB_LOGITS_BLOCK], y[NIB_LOGITS_BLOCK];
        for (size_t i = 0; i < NIB_LOGITS_BLOCK; i++)
            x[i] = i < size ? (double)logits[begin + i] - max : -INFINITY;
        nib_exp(y, x, NIB_LOGITS_BLOCK);
        for (size_t i = 0; i < NIB_LOGITS_BLOCK; i += LANES)
            for (size_t j = 0; j < LANES; j++)
                lanes[j] += y[i + j];
    }
    return (double)logits[id] - max - Sleef_cinz_logd1_u10purec(add_lanes(lanes));
}
