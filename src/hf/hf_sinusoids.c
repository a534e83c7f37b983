/*
 * Tables of sinusoidal positions, for models whose files have none.  Frequencies and angles are
 * doubles, by functions that give the same bits everywhere; they are rounded to float once.
 */
#include "hf_tensors.h"

#include <inttypes.h>
#include <math.h>
#include <sleef.h>

#define MIN_TABLE_LIMIT                                                                            \
    ((uint64_t)64 << 20) /* of bytes; larger tables only beside larger weights */

/* Of the position `at`, column i of the d / 2 that have its frequency:
 *     at / 10000^(2i / d)                       (Vaswani et al. 2017)
 *     (at + pad + 1) * 10000^(-i / (d / 2 - 1)) (fairseq) */
static double angle(const struct nib_hf_config *c, double divisor, uint32_t at)
{
    if (c->family->sines == NIB_HF_SINES_FAIRSEQ)
        return ((double)at + c->first_position) / divisor;
    return at / divisor;
}

static double divisor_of(const struct nib_hf_config *c, uint32_t i)
{
    const double half = c->n_embd / 2;
    const double n = c->family->sines == NIB_HF_SINES_FAIRSEQ ? fmax(half - 1, 1) : half;
    return Sleef_cinz_powd1_u10purec(10000, i / n);
}

static void fill(float *rows, const struct nib_hf_config *c)
{
    const size_t d = c->n_embd, half = d / 2;
    const bool alternate = c->family->sines == NIB_HF_SINES_ALTERNATE;
    for (uint32_t i = 0; i < half; i++) {
        const double divisor = divisor_of(c, i);
        float *sine = rows + (alternate ? 2 * i : i), *cosine = sine + (alternate ? 1 : half);
        for (uint32_t at = 0; at < c->n_ctx; at++) {
            const double x = angle(c, divisor, at);
            sine[at * d] = (float)Sleef_cinz_sind1_u10purec(x);
            cosine[at * d] = (float)Sleef_cinz_cosd1_u10purec(x);
        }
    }
}

enum nib_status nib_hf_sinusoids_add(struct nib_hf_tensors *tensors,
                                     const struct nib_hf_config *config, const char *const *names,
                                     size_t n_names, uint64_t n_weight_bytes, struct nib_error *err)
{
    if (n_names == 0)
        return NIB_OK;
    const uint64_t n_bytes = (uint64_t)config->n_ctx * config->n_embd * sizeof(float);
    if (config->n_embd % 2 != 0 || config->n_ctx == 0)
        return nib_fail(err, NIB_ERROR_FILE,
                        "%s: positions of %" PRIu32 " values for %" PRIu32
                        " tokens; expected an even d_model, and max_position_embeddings above 0: "
                        "get the file again from its publisher",
                        config->path, config->n_embd, config->n_ctx);
    if (n_bytes > MIN_TABLE_LIMIT && n_bytes > n_weight_bytes)
        return nib_fail(err, NIB_ERROR_FILE,
                        "%s: max_position_embeddings is %" PRIu32
                        ", whose table would be larger than all weights; set it to what the model "
                        "needs, or get the file again from its publisher",
                        config->path, config->n_ctx);
    struct nib_gguf_tensor *t = &tensors->all[tensors->n];
    t[0] = (struct nib_gguf_tensor){
        .name = names[0],
        .type = NIB_TYPE_F32,
        .n_dims = 2,
        .dims = {config->n_embd, config->n_ctx, 1, 1},
        .n_bytes = (size_t)n_bytes,
    };
    float *rows = (float *)(void *)nib_hf_view_copy(&t[0], &tensors->memory);
    if (!rows)
        return nib_fail_memory(err, (size_t)n_bytes, "a table of positions");
    fill(rows, config);
    for (size_t i = 1; i < n_names; i++) {
        t[i] = t[0]; /* the same view */
        t[i].name = names[i];
    }
    tensors->n += n_names;
    return NIB_OK;
}
