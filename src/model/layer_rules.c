/*
 * What layers differ in: windows, rotation, scale of scores; and ALiBi's slopes (Press et al. 2021,
 * https://arxiv.org/abs/2108.12409).
 */
#include "config_keys.h"

#include <sleef.h>
#include <stdlib.h>

/* Is layer i one of those that a period of n leaves out? */
static bool is_nth(size_t i, uint32_t n)
{
    return n > 0 && i % n == n - 1;
}

/* The file's own list (bools), or a number: the period; else the family's period. */
static enum nib_status set_windows(const struct nib_config_reader *r, struct nib_model *m)
{
    static const char key[] = "attention.sliding_window_pattern";
    const struct nib_config *c = &m->config;
    uint32_t period = r->family->window_period;
    int64_t *list, number;
    char name[NIB_MAX_KEY];
    const enum nib_status status = nib_config_read_layer_ints(r, key, c->n_layers, &list);
    if (status != NIB_OK)
        return status;
    if (nib_gguf_int(r->gguf, nib_config_key_name(r, key, name), &number) && number >= 0 &&
        number <= UINT32_MAX)
        period = (uint32_t)number;
    for (size_t i = 0; i < c->n_layers; i++) {
        struct nib_attention_weights *a = &m->layers[i].attn;
        const bool has_window = c->window > 0 && (list ? list[i] != 0 : !is_nth(i, period));
        a->rule.window = has_window && c->window < c->n_ctx ? c->window : 0;
        a->rope = has_window && c->rope[NIB_ROPE_LOCAL].base > 0 ? NIB_ROPE_LOCAL : NIB_ROPE_GLOBAL;
    }
    free(list);
    return NIB_OK;
}

static enum nib_status set_rotation(const struct nib_config_reader *r, struct nib_model *m)
{
    const struct nib_config *c = &m->config;
    int64_t *list;
    const enum nib_status status = nib_config_read_layer_ints(r, "rope.layers", c->n_layers, &list);
    if (status != NIB_OK)
        return status;
    for (size_t i = 0; i < c->n_layers; i++)
        if (c->n_rot == 0 || (list ? list[i] == 0 : is_nth(i, r->family->no_rope_period)))
            m->layers[i].attn.rope = NIB_ROPE_NONE;
    free(list);
    return NIB_OK;
}

static enum nib_status set_scales(const struct nib_config_reader *r, struct nib_model *m)
{
    const struct nib_config *c = &m->config;
    float *list;
    const enum nib_status status =
        nib_config_read_layer_floats(r, "attention.layer_scales", c->n_layers, &list);
    if (status != NIB_OK)
        return status;
    for (size_t i = 0; i < c->n_layers; i++) {
        m->layers[i].attn.scale = list ? list[i] : c->score_scale;
        m->layers[i].attn.rule.soft_cap = c->score_cap;
        m->layers[i].cross.scale = m->layers[i].attn.scale;
        m->layers[i].cross.rule.kind = NIB_ATTENTION_CROSS;
        if (m->is_encoder)
            m->layers[i].attn.rule.kind = NIB_ATTENTION_ALL;
    }
    free(list);
    return NIB_OK;
}

/* 2^(-bias / n (h + 1)) for the first n heads, the largest power of two; the others take every
 * second of those that 2 n heads would have. */
static enum nib_status set_slopes(struct nib_model *m, struct nib_error *err)
{
    const struct nib_config *c = &m->config;
    if (c->alibi_bias == 0)
        return NIB_OK;
    m->slopes = malloc(c->n_heads * sizeof(*m->slopes));
    if (!m->slopes)
        return nib_fail_memory(err, c->n_heads * sizeof(*m->slopes), "slopes");
    uint32_t n = 1;
    while (2 * n <= c->n_heads)
        n *= 2;
    for (uint32_t h = 0; h < c->n_heads; h++) {
        const double step = h < n ? (double)c->alibi_bias / n * (h + 1)
                                  : (double)c->alibi_bias / (2 * n) * (2 * (h - n) + 1);
        m->slopes[h] = (float)Sleef_cinz_exp2d1_u10purec(-step);
        if (m->family->scales_alibi)
            m->slopes[h] *= c->score_scale;
    }
    for (size_t i = 0; i < c->n_layers; i++)
        m->layers[i].attn.rule.slope = m->slopes;
    return NIB_OK;
}

enum nib_status nib_layers_set_rules(struct nib_model *model, const struct nib_gguf *gguf,
                                     struct nib_error *err)
{
    const struct nib_config_reader r = {.gguf = gguf, .family = model->family, .err = err};
    enum nib_status status = set_windows(&r, model);
    if (status == NIB_OK)
        status = set_rotation(&r, model);
    if (status == NIB_OK)
        status = set_scales(&r, model);
    return status == NIB_OK ? set_slopes(model, err) : status;
}
