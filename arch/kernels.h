/*
 * The kernel table.  A kernel is a serial C function: no allocation, threads, globals, I/O or
 * errors; it works on any slice of its output.  Every entry gives the same bits on every backend
 * (docs/numerics.md); scalar/ is the specification.
 *
 * Unless said otherwise buffers are 64-byte aligned with lengths that need not be multiples of
 * anything, and nothing past the given lengths is read or written.
 */
#ifndef NIB_KERNELS_H
#define NIB_KERNELS_H

#include "act.h"

/* ---- CPU features --------------------------------------------------------------------------- */

/* A feature counts only if the CPU and the operating system have it. */
enum {
    NIB_CPU_AVX2 = 1, /* with FMA and F16C */
    NIB_CPU_AVXVNNI = 2,
    NIB_CPU_AVX512 = 4, /* F, BW, VL, DQ */
    NIB_CPU_AVX512VNNI = 8,
    NIB_CPU_NEON = 16,
    NIB_CPU_DOTPROD = 32,
    NIB_CPU_I8MM = 64,
};

unsigned nib_cpu_features(void);  /* of this machine */
bool nib_cpu_has_sha(void);       /* x86: instructions for SHA-256 */
void nib_cpu_name(char name[64]); /* "AMD EPYC ...", "" if unknown */

/* ---- matrix products ------------------------------------------------------------------------ */

/*
 * y[t][r] = bias[r] + sum over k of w[r][k] x[t][k]
 *
 * for tokens t in [token_begin, token_end) and rows r of groups [group_begin, group_end); without
 * bias where it is NULL; y += that with `accumulate`.  y is where this slice begins: the result of
 * token_begin and group_begin.  Order of additions: docs/numerics.md, rule 3; then + bias, then y +
 * it.  y and bias have room for whole groups of 16.  x is NIB_ACT_F32 for float weights, else
 * NIB_ACT_Q8 or NIB_ACT_Q15.
 */
struct nib_matmul {
    const struct nib_matrix *w;
    const struct nib_act *x;
    const float *bias;
    float *y;
    size_t y_stride; /* in floats */
    bool accumulate;
    size_t group_begin, group_end;
    size_t token_begin, token_end;
};

typedef void nib_matmul_fn(const struct nib_matmul *m);

/* ---- attention ------------------------------------------------------------------------------ */

enum {
    NIB_TILE = 64,     /* keys of a tile of the online softmax */
    NIB_SEGMENT = 128, /* keys of a segment: online softmax inside, segments merged in order */
};

enum nib_kv { NIB_CACHE_F16, NIB_CACHE_F32, NIB_CACHE_Q8, NIB_CACHE_COUNT };
enum { NIB_CACHE_FLOATS = NIB_CACHE_Q8 }; /* the types before it are floats */

/*
 * out[r][j] = sum over i of a[r][i] b[i][j], i ascending, fma, from 0
 *
 * for r < n_rows, j < n_cols, n_cols a multiple of 16 (scores: b = keys).  b is f16 or f32, and its
 * columns lie in runs of 16, [run][n_inner][16], a run b_stride values behind the one before.
 * `next`, here and below: what will be read after b, and may be fetched meanwhile; or NULL.
 */
typedef void nib_scores_fn(float *out, size_t out_stride, const float *a, size_t a_stride,
                           const void *b, size_t b_stride, const void *next, size_t n_rows,
                           size_t n_inner, size_t n_cols);

/*
 * out[r][j] = out[r][j] * scale[r], then + sum over i in [begin[r], end[r]) of p[r][i] b[i][j], i
 * ascending, fma                                                         (values: b = values
 * [64][d])
 */
typedef void nib_values_fn(float *out, size_t out_stride, const float *scale, const float *p,
                           size_t p_stride, const uint8_t *begin, const uint8_t *end, const void *b,
                           size_t b_stride, const void *next, size_t n_rows, size_t n_cols);

/*
 * Products with a tile of an int8 cache: rows of 15-bit codes times columns of 8-bit codes, exact
 * in int32, idot[r][j] = sum over i < n_inner of a[r][i] b[i / 4][j][i % 4], and then, with n_inner
 * a multiple of 4, n_cols of 16, at most 512 codes of a row,
 *
 *     scores   out[r][j] = (float)idot (a_scale[r] b_scale[j])          b = keys [4][d / 4][16][4]
 *     values   out[r][j] = fma((float)idot, a_scale[r], out[r][j] keep[r])
 *                                                                       b = values [64 / 4][d][4]
 */
struct nib_dots {
    float *out;
    size_t out_stride;
    const int16_t *a;
    size_t a_stride;
    const float *a_scale; /* [n_rows] */
    const int8_t *b;
    size_t b_row, b_run;  /* bytes from four rows to the next, and from 16 columns to the next */
    const float *b_scale; /* [n_cols], for scores */
    const void *next;
    const float *keep; /* [n_rows], for values; else NULL */
    size_t n_rows, n_inner, n_cols;
};

typedef void nib_dots_fn(const struct nib_dots *d);

/* Running softmax of one query row over one segment. */
struct nib_softmax {
    float max;
    float sum[16]; /* key i adds to sum[i % 16]; combined by the tree of rule 4 when merged */
};

/* ---- logits --------------------------------------------------------------------------------- */

enum { NIB_LOGITS_BLOCK = 64, NIB_EXP_SUM_BLOCK = 256 };

/* ---- the table ------------------------------------------------------------------------------ */

enum nib_activation {
    NIB_ACTIVATION_SILU,      /* x / (1 + exp(-x)), by nib_exp */
    NIB_ACTIVATION_GELU,      /* 0.5 x (1 + erf(x / sqrt 2)), SLEEF */
    NIB_ACTIVATION_GELU_TANH, /* 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), SLEEF */
    NIB_ACTIVATION_RELU,
    NIB_ACTIVATION_COUNT
};

struct nib_kernels {
    const char *name;
    void (*rms_norm)(float *y, const float *x, const float *w, size_t n, float eps);
    void (*layer_norm)(float *y, const float *x, const float *w, const float *b, size_t n,
                       float eps); /* b may be NULL */
    /* Rotate the first 2 n values of a head: x[i], x[n + i] by the angle with cosine c[i], sine
     * s[i]. */
    void (*rope)(float *x, const float *c, const float *s, size_t n);
    void (*activate[NIB_ACTIVATION_COUNT])(float *x, size_t n);
    void (*add)(float *y, const float *x, size_t n); /* y += x */
    void (*mul)(float *y, const float *x, size_t n); /* y *= x */
    void (*scale)(float *y, float factor, size_t n); /* y *= factor */
    void (*to_f16)(uint16_t *y, const float *x, size_t n);
    void (*from_f16)(float *y, const uint16_t *x, size_t n);
    /* Row `row` of a from x[a->n_cols]; entry F32 copies. */
    void (*quantize[NIB_ACT_COUNT])(const struct nib_act *a, size_t row, const float *x);

    nib_scores_fn *scores[NIB_CACHE_FLOATS];
    nib_values_fn *values[NIB_CACHE_FLOATS];
    nib_dots_fn *dots;
    /*
     * Walsh-Hadamard transform, not normalised, of each `block` (a power of two that divides n)
     * values of x: for h = 1, 2, 4 .. block / 2, pairs h apart become (a + b, a - b).
     */
    void (*hadamard)(float *x, size_t n, size_t block);
    /* q = rint(x / d), d = max|x| / 127, returned (quantize.h). */
    float (*codes8)(int8_t *q, const float *x, size_t n);
    /*
     * The same with d = max / NIB_CODE15 of y = x factor (factor NULL: 1) over [begin, end); codes
     * outside, up to n rounded up to 16, are 0.  Reads x and factor only inside of [0, end).
     */
    float (*codes15)(int16_t *q, const float *x, const float *factor, size_t begin, size_t end,
                     size_t n);
    /* s[i] = cap tanh(s[i] (1 / cap)), SLEEF */
    void (*soft_cap)(float *s, float cap, size_t n);
    /* s[i] = fma(slope, -|first + i|, s[i]); whole numbers below 2^24 */
    void (*add_distance)(float *s, float slope, float first, size_t n);
    /*
     * One tile of one query row: of the scores s[0..63] only keys [begin, end) count.  Updates
     * `state`, replaces s[i] by exp(s[i] - max) (0 outside of the range, up to the next multiple of
     * 16 of end), and returns exp(old max - new max), by which what was summed so far is to be
     * scaled.
     */
    float (*softmax_tile)(struct nib_softmax *state, float *s, size_t begin, size_t end);
    /*
     * Fold segment b into a, which covers earlier keys: max, sum[0] (already combined) and acc[d].
     */
    void (*softmax_merge)(float *acc_a, float *max_a, float *sum_a, const float *acc_b, float max_b,
                          float sum_b, size_t d);

    /*
     * The largest of each NIB_LOGITS_BLOCK of x[n], -0 as 0; false if a value is not finite, and
     * then max holds anything.
     */
    bool (*block_max)(float *max, const float *x, size_t n);
    /*
     * The sum of exp(x[i] - max), by nib_exp: of each NIB_EXP_SUM_BLOCK values 16 partial sums
     * (rule 4), their totals in binary64, ascending.
     */
    double (*exp_sum)(const float *x, size_t n, float max);

    nib_matmul_fn *matmul[NIB_PACK_COUNT];
};

/* Fill every entry for the best backend within `features`. */
void nib_kernels_init(struct nib_kernels *k, unsigned features);

/* "scalar", "avx2", "avxvnni", "avx512", "avx512vnni"; "neon", "dotprod", "i8mm": the features that
 * the level uses; false if there is no such level for this architecture. */
bool nib_isa_features(const char *isa, unsigned *features);
const char *nib_isa_name(unsigned features); /* the best level within features */
const char *nib_isa_list(unsigned features); /* all levels within features, by blanks, best last */

/* What the fill functions of the backends are called; each overrides what it does faster. */
void nib_kernels_init_scalar(struct nib_kernels *k);
void nib_kernels_init_matmul_scalar(struct nib_kernels *k);
void nib_kernels_init_avx2(struct nib_kernels *k);
void nib_kernels_init_avxvnni(struct nib_kernels *k);
void nib_kernels_init_avx512(struct nib_kernels *k);
void nib_kernels_init_avx512vnni(struct nib_kernels *k);
void nib_kernels_init_matmul_avx2(struct nib_kernels *k);
void nib_kernels_init_matmul_avxvnni(struct nib_kernels *k);
void nib_kernels_init_matmul_avx512(struct nib_kernels *k);
void nib_kernels_init_matmul_avx512vnni(struct nib_kernels *k);
void nib_kernels_init_neon(struct nib_kernels *k);
void nib_kernels_init_matmul_neon(struct nib_kernels *k);
void nib_kernels_init_matmul_dotprod(struct nib_kernels *k);
void nib_kernels_init_matmul_i8mm(struct nib_kernels *k);

/* Whole vectors of 16 values that hold n. */
static inline size_t nib_pad16(size_t n)
{
    return (n + 15) & ~(size_t)15;
}

/* Combine 16 partial sums: s[i] += s[i + 8], then + 4, + 2, + 1 (rule 4). */
static inline float nib_sum16(const float partial[16])
{
    float s[8];
    for (int i = 0; i < 8; i++)
        s[i] = partial[i] + partial[i + 8];
    for (int i = 0; i < 4; i++)
        s[i] += s[i + 4];
    s[0] += s[2];
    s[1] += s[3];
    return s[0] + s[1];
}

#endif
