/*
 * How the search goes.  First each block is fitted alone: for some assumed scales the codes are
 * rounded, and least squares gives the scale (and minimum) that suit these codes best.  Then the
 * scales are rounded to what the format holds and improved in turns, every turn lowering the error:
 * d and dmin by least squares, s and m of each block among their neighbours, codes by rounding.
 *
 * A weight counts importance * (mean square of its block + x^2)^p: large weights count more, but
 * not as their squares; p is 1/2 with a minimum and 3/4 without.  So the plain error and the one
 * weighted by |x| or x^2 both come out below the reference's (tests/encode_test.c).
 */
#include "encode_search.h"
#include "half.h"

#include <math.h>
#include <string.h>

/*
 * Sums are taken in four lanes, value i in lane i mod 4, so that they are the same on every machine
 * and compilers find vector instructions for them on all.
 */
typedef float vf __attribute__((vector_size(16)));
typedef int32_t vi __attribute__((vector_size(16)));

static inline vf load(const float *p)
{
    vf v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static inline vf all(float x)
{
    return (vf){x, x, x, x};
}

static inline vf choose(vi mask, vf a, vf b)
{
    return (vf)(((vi)a & mask) | ((vi)b & ~mask));
}

static inline double sum(vf v)
{
    return (v[0] + v[2]) + (v[1] + v[3]);
}

/* Of a block: sums over w, x, and the codes c, all weighted. */
struct fit {
    double w, x, xx;
    double c, cc, cx;
};

/* Sum of w (scale c - min - x)^2. */
static double fit_error(const struct fit *f, double scale, double min)
{
    return scale * (scale * f->cc - 2 * min * f->c - 2 * f->cx) + min * (min * f->w + 2 * f->x) +
           f->xx;
}

/* A format's codes as values: whole numbers from lo to hi, or those of a book. */
struct values {
    bool has_book;
    float lo, hi;
    float borders[NIB_BOOK - 1], steps[NIB_BOOK - 1]; /* between neighbours of the book */
};

static struct values values_of(const struct nib_search_shape *shape)
{
    struct values v = {.lo = (float)shape->min_code, .hi = (float)shape->max_code};
    if (!shape->book)
        return v;
    v.has_book = true;
    v.lo = shape->book[0];
    v.hi = shape->book[NIB_BOOK - 1];
    for (int i = 0; i + 1 < NIB_BOOK; i++) {
        v.borders[i] = 0.5f * (float)(shape->book[i] + shape->book[i + 1]);
        v.steps[i] = (float)(shape->book[i + 1] - shape->book[i]);
    }
    return v;
}

/* The nearest values; both clamped first, so that infinities do no harm. */
static inline vf nearest_whole(const struct values *v, vf t)
{
    t = choose(t > all(v->lo), t, all(v->lo));
    t = choose(t < all(v->hi), t, all(v->hi));
    return t + 0x1.8p23f - 0x1.8p23f;
}

static inline vf nearest_in_book(const struct values *v, vf t)
{
    vf value = all(v->lo);
    for (int i = 0; i + 1 < NIB_BOOK; i++)
        value += (vf)((vi)all(v->steps[i]) & (vi)(t > all(v->borders[i])));
    return value;
}

/* Codes of n values, nearest((x + offset) * factor), and their sums; `codes` may be NULL. */
static inline void round_codes(const float *x, const float *w, int n, float factor, float offset,
                               const struct values *v, bool has_book, float *codes, struct fit *f)
{
    vf c1 = {0}, cc = {0}, cx = {0};
    for (int i = 0; i < n; i += 4) {
        const vf xi = load(x + i);
        const vf t = (xi + offset) * factor;
        const vf c = has_book ? nearest_in_book(v, t) : nearest_whole(v, t);
        const vf wc = load(w + i) * c;
        c1 += wc;
        cc += wc * c;
        cx += wc * xi;
        if (codes)
            memcpy(codes + i, &c, sizeof(c));
    }
    f->c = sum(c1);
    f->cc = sum(cc);
    f->cx = sum(cx);
}

static void code_block(const float *x, const float *w, int n, float factor, float offset,
                       const struct values *v, float *codes, struct fit *f)
{
    if (v->has_book)
        round_codes(x, w, n, factor, offset, v, true, codes, f);
    else
        round_codes(x, w, n, factor, offset, v, false, codes, f);
}

/* ---- one block alone ------------------------------------------------------------------------- */

/* What a super-block's search starts from. */
struct task {
    const struct nib_search_shape *shape;
    struct values values;
    const float *x;
    float w[NIB_SEARCH_VALUES];
    int n_blocks;
    struct fit fits[NIB_SEARCH_BLOCKS];                        /* without codes */
    double scales[NIB_SEARCH_BLOCKS], mins[NIB_SEARCH_BLOCKS]; /* of each block alone */
};

/* Below this no f16 scale tells a weight from 0. */
static const float least_range = 1e-20f;

static void weigh(const struct task *t, const float *x, const float *importance, float *w)
{
    const int n = t->shape->n;
    vf squares = {0};
    for (int i = 0; i < n; i += 4)
        squares += load(x + i) * load(x + i);
    const float mean = (float)sum(squares) / (float)n;
    for (int i = 0; i < n; i++) {
        const float root = sqrtf(mean + x[i] * x[i]);
        w[i] = t->shape->has_min ? root : root * sqrtf(root);
        if (importance)
            w[i] *= importance[i];
    }
}

static struct fit sums_of(const float *x, const float *w, int n)
{
    vf sw = {0}, sx = {0}, sxx = {0};
    for (int i = 0; i < n; i += 4) {
        const vf xi = load(x + i), wi = load(w + i);
        sw += wi;
        sx += wi * xi;
        sxx += wi * xi * xi;
    }
    return (struct fit){.w = sum(sw), .x = sum(sx), .xx = sum(sxx)};
}

/* The scale and minimum (at least 0, or exactly 0) that suit the codes of `f` best.  Codes that are
 * all equal cannot tell both. */
static void solve(const struct fit *f, bool has_min, double *scale, double *min)
{
    const double determinant = f->w * f->cc - f->c * f->c;
    *min = 0;
    if (has_min && determinant > 1e-5 * f->w * f->cc) {
        *scale = (f->w * f->cx - f->x * f->c) / determinant;
        *min = (f->c * f->cx - f->cc * f->x) / determinant;
        if (*min >= 0)
            return;
        *min = 0;
    }
    *scale = f->cc > 0 ? f->cx / f->cc : 0;
}

struct alone {
    double scale, min, error;
};

/* Try codes rounded with this factor. */
static void try_factor(const struct task *t, int block, float factor, float offset,
                       struct alone *best)
{
    const int n = t->shape->n;
    struct fit f = t->fits[block];
    double scale, min;
    code_block(t->x + block * n, t->w + block * n, n, factor, offset, &t->values, NULL, &f);
    solve(&f, t->shape->has_min, &scale, &min);
    const double error = fit_error(&f, scale, min);
    if (error < best->error && (scale > 0 || !t->shape->has_min))
        *best = (struct alone){scale, min, error};
}

/* 0, 1, -1, 2, -2, ...: of equal errors the first one wins. */
static float around(int i)
{
    return (float)(i & 1 ? (i + 1) / 2 : -(i / 2));
}

/* The greatest code stands for the greatest weight, for a little more, or for less. */
static void fit_with_min(struct task *t, int block)
{
    const float *x = t->x + block * t->shape->n;
    float least = 0, most = x[0];
    for (int i = 0; i < t->shape->n; i++) {
        least = x[i] < least ? x[i] : least;
        most = x[i] > most ? x[i] : most;
    }
    struct alone best = {0, -(double)least, INFINITY};
    if (most - least > least_range)
        for (int i = 0; i < 11; i++)
            try_factor(t, block, (t->values.hi + 0.2f * around(i)) / (most - least), -least, &best);
    t->scales[block] = best.scale;
    t->mins[block] = best.min;
}

/* Codes have one value more below zero: the extreme weight lies on that side, or on the other. */
static void fit_symmetric(struct task *t, int block)
{
    const float *x = t->x + block * t->shape->n;
    float extreme = 0;
    for (int i = 0; i < t->shape->n; i++)
        extreme = fabsf(x[i]) > fabsf(extreme) ? x[i] : extreme;
    struct alone best = {0, 0, INFINITY};
    if (fabsf(extreme) > least_range) {
        const float unit = t->values.has_book ? 5.0f : 0.3f;
        const int n_tries = t->values.has_book ? 5 : 7;
        for (int i = 0; i < n_tries; i++) {
            try_factor(t, block, (t->values.lo + unit * around(i)) / extreme, 0, &best);
            try_factor(t, block, (t->values.hi + unit * around(i)) / extreme, 0, &best);
        }
    }
    t->scales[block] = best.scale;
    t->mins[block] = 0;
}

/* ---- all blocks together --------------------------------------------------------------------- */

struct state {
    double d, dmin, error;
    int scales[NIB_SEARCH_BLOCKS], mins[NIB_SEARCH_BLOCKS];
    struct fit fits[NIB_SEARCH_BLOCKS];
    float codes[NIB_SEARCH_VALUES];
};

static int nearest_int(double x, int lo, int hi)
{
    if (!(x > lo))
        return lo;
    return x < hi ? (int)(x - lo + 0.5) + lo : hi;
}

/* The nearest f16, finite, and not 0 unless x is. */
static double nearest_f16(double x)
{
    if (x == 0)
        return 0;
    const double magnitude = fabs(x) > 65504 ? 65504 : fabs(x);
    const double rounded = (double)nib_f16_to_f32(nib_f32_to_f16((float)magnitude));
    return copysign(rounded > 0 ? rounded : 0x1p-24, x);
}

static double total_error(const struct task *t, const struct state *s, double d, double dmin)
{
    double error = 0;
    for (int j = 0; j < t->n_blocks; j++)
        error += fit_error(&s->fits[j], d * s->scales[j], dmin * s->mins[j]);
    return error;
}

/* Codes and sums of a block for scale s and minimum m. */
static void recode(const struct task *t, const struct state *s, int block, int scale, int min,
                   float *codes, struct fit *f)
{
    const int n = t->shape->n;
    /* The product in single precision is what a reader of the block computes. */
    const float step = (float)s->d * (float)scale, offset = (float)s->dmin * (float)min;
    *f = t->fits[block];
    if (step != 0)
        code_block(t->x + block * n, t->w + block * n, n, 1 / step, offset, &t->values, codes, f);
    else
        for (int i = 0; i < n; i++)
            codes[i] = 0;
}

static void recode_all(const struct task *t, struct state *s)
{
    for (int j = 0; j < t->n_blocks; j++)
        recode(t, s, j, s->scales[j], s->mins[j], s->codes + j * t->shape->n, &s->fits[j]);
    s->error = total_error(t, s, s->d, s->dmin);
}

/* d and dmin by least squares for the codes as they are. */
static void improve_super(const struct task *t, struct state *s)
{
    double aa = 0, am = 0, mm = 0, ax = 0, mx = 0;
    for (int j = 0; j < t->n_blocks; j++) {
        const struct fit *f = &s->fits[j];
        const double a = s->scales[j], m = s->mins[j];
        aa += a * a * f->cc;
        am += a * m * f->c;
        mm += m * m * f->w;
        ax += a * f->cx;
        mx += m * f->x;
    }
    const double determinant = aa * mm - am * am;
    double d = s->d, dmin = s->dmin;
    if (determinant > 1e-5 * aa * mm) {
        d = nearest_f16((mm * ax - am * mx) / determinant);
        dmin = nearest_f16((am * ax - aa * mx) / determinant);
    } else if (aa > 0) {
        d = nearest_f16((ax + am * dmin) / aa);
    }
    if (t->shape->has_min && !(d > 0 && dmin >= 0))
        return;
    const double error = total_error(t, s, d, dmin);
    if (error < s->error) {
        s->d = d;
        s->dmin = dmin;
        s->error = error;
    }
}

/* The best m for a block whose scale is d s, codes as they are. */
static int best_min(const struct task *t, const struct state *s, const struct fit *f, int scale)
{
    if (!(s->dmin > 0 && f->w > 0))
        return 0;
    return nearest_int((s->d * scale * f->c - f->x) / f->w / s->dmin, 0, t->shape->max_scale);
}

static void improve_block(const struct task *t, struct state *s, int block)
{
    const struct fit *f = &s->fits[block];
    const int old = s->scales[block];
    double best = fit_error(f, s->d * old, s->dmin * s->mins[block]);
    for (int scale = old - 1; scale <= old + 1; scale++) {
        if (scale < t->shape->min_scale || scale > t->shape->max_scale)
            continue;
        const int min = best_min(t, s, f, scale);
        const double error = fit_error(f, s->d * scale, s->dmin * min);
        if (error < best) {
            best = error;
            s->scales[block] = scale;
            s->mins[block] = min;
        }
    }
}

/* The neighbours of s and m, each with codes of its own. */
static void polish_block(const struct task *t, struct state *s, int block)
{
    const int n = t->shape->n, old_scale = s->scales[block], old_min = s->mins[block];
    const int reach = s->dmin > 0 ? 1 : 0;
    double best = fit_error(&s->fits[block], s->d * old_scale, s->dmin * old_min);
    for (int scale = old_scale - 1; scale <= old_scale + 1; scale++)
        for (int min = old_min - reach; min <= old_min + reach; min++) {
            if (scale < t->shape->min_scale || scale > t->shape->max_scale || min < 0 ||
                min > t->shape->max_scale || (scale == old_scale && min == old_min))
                continue;
            float codes[32];
            struct fit f;
            recode(t, s, block, scale, min, codes, &f);
            const double error = fit_error(&f, s->d * scale, s->dmin * min);
            if (error >= best)
                continue;
            best = error;
            s->scales[block] = scale;
            s->mins[block] = min;
            s->fits[block] = f;
            memcpy(s->codes + block * n, codes, (size_t)n * sizeof(*codes));
        }
}

/* The scales of the blocks rounded for these d and dmin, then improved. */
static void descend(const struct task *t, double d, double dmin, struct state *s)
{
    enum { TURNS = 2 };
    s->d = nearest_f16(d);
    s->dmin = nearest_f16(dmin);
    for (int j = 0; j < t->n_blocks; j++) {
        s->scales[j] =
            s->d != 0 ? nearest_int(t->scales[j] / s->d, t->shape->min_scale, t->shape->max_scale)
                      : 0;
        s->mins[j] = s->dmin > 0 ? nearest_int(t->mins[j] / s->dmin, 0, t->shape->max_scale) : 0;
    }
    recode_all(t, s);
    for (int turn = 0; turn < TURNS && s->error > 0; turn++) {
        improve_super(t, s);
        for (int j = 0; j < t->n_blocks; j++)
            improve_block(t, s, j);
        recode_all(t, s);
    }
}

/* d such that the block of the greatest scale gets the greatest whole number, or one less, ... */
static void search_together(const struct task *t, struct state *best)
{
    const struct nib_search_shape *shape = t->shape;
    double scale = 0, min = 0;
    for (int j = 0; j < t->n_blocks; j++) {
        scale = fabs(t->scales[j]) > fabs(scale) ? t->scales[j] : scale;
        min = t->mins[j] > min ? t->mins[j] : min;
    }
    best->error = INFINITY;
    for (int i = 0; i < shape->n_starts; i++) {
        const int top = shape->min_scale < 0 ? shape->min_scale + i : shape->max_scale - i;
        struct state s;
        descend(t, scale / top, min / (shape->max_scale - i), &s);
        if (s.error < best->error)
            *best = s;
    }
    for (int turn = 0; turn < 2; turn++) {
        for (int j = 0; j < t->n_blocks; j++)
            polish_block(t, best, j);
        best->error = total_error(t, best, best->d, best->dmin);
        improve_super(t, best);
        recode_all(t, best);
    }
}

/* Where even the least f16 is too large a scale, nothing is better than zeros. */
static void prefer_zeros(const struct task *t, struct state *s)
{
    double error = 0;
    for (int j = 0; j < t->n_blocks; j++)
        error += t->fits[j].xx;
    if (!(s->error < error))
        *s = (struct state){.error = error};
}

static int place_in_book(const int8_t *book, float value)
{
    int i = 0;
    while (i + 1 < NIB_BOOK && (float)book[i] < value)
        i++;
    return i;
}

void nib_search(const struct nib_search_shape *shape, const float *x, const float *importance,
                struct nib_search_result *out)
{
    struct task t = {.shape = shape, .values = values_of(shape), .x = x};
    t.n_blocks = shape->n_values / shape->n;
    for (int j = 0; j < t.n_blocks; j++) {
        const int at = j * shape->n;
        weigh(&t, x + at, importance ? importance + at : NULL, t.w + at);
        t.fits[j] = sums_of(x + at, t.w + at, shape->n);
        if (shape->has_min)
            fit_with_min(&t, j);
        else
            fit_symmetric(&t, j);
    }
    struct state s = {0};
    search_together(&t, &s);
    prefer_zeros(&t, &s);

    out->d = nib_f32_to_f16((float)s.d);
    out->dmin = nib_f32_to_f16((float)s.dmin);
    memcpy(out->scales, s.scales, sizeof(s.scales));
    memcpy(out->mins, s.mins, sizeof(s.mins));
    for (int i = 0; i < shape->n_values; i++)
        out->codes[i] =
            (int8_t)(shape->book ? place_in_book(shape->book, s.codes[i]) : (int)s.codes[i]);
}
