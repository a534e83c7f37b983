/* The memory of a struct nib_work. */
#include "positions.h"
#include "step.h"

void *nib_cut(uint8_t *base, size_t *used, uint64_t n_bytes)
{
    void *p = base ? base + *used : NULL;
    *used += ((size_t)n_bytes + 63) & ~(size_t)63;
    return p;
}

static struct nib_buffer cut_buffer(uint8_t *base, size_t *used, size_t n_rows, size_t n_cols)
{
    const size_t stride = (n_cols + 15) & ~(size_t)15;
    return (struct nib_buffer){nib_cut(base, used, n_rows * stride * sizeof(float)), stride};
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* What feed-forward layers and experts work in.  gate and up serve rows of n_ff values and pairs of
 * n_ff_expert. */
static void place_wide(struct nib_work *w, const struct nib_config *c, size_t n, uint8_t *base,
                       size_t *used)
{
    struct nib_routing *t = &w->routing;
    const size_t n_pairs = n * c->n_experts_used;
    const size_t n_wide = larger(larger(c->n_ff, c->n_ff_shared), c->n_ff_expert);
    w->gate = cut_buffer(base, used, larger(n, n_pairs), n_wide);
    w->up = cut_buffer(base, used, larger(n, n_pairs), n_wide);
    if (c->n_experts == 0)
        return;
    t->scores = cut_buffer(base, used, n, ((c->n_experts + 15) & ~15u) + NIB_GROUP);
    t->output = cut_buffer(base, used, n_pairs, c->n_embd);
    t->expert = nib_cut(base, used, n_pairs * sizeof(*t->expert));
    t->weight = nib_cut(base, used, n_pairs * sizeof(*t->weight));
    t->pair = nib_cut(base, used, n_pairs * sizeof(*t->pair));
    t->row = nib_cut(base, used, n_pairs * sizeof(*t->row));
    t->first = nib_cut(base, used, (c->n_experts + 1) * sizeof(*t->first));
}

size_t nib_work_place(struct nib_work *w, const struct nib_work_size *size, uint8_t *base)
{
    const struct nib_config *c = &w->model->config;
    const size_t n = size->n_rows, n_most = larger(n, size->n_logits);
    const size_t n_keyed = larger((size_t)c->n_kv_heads * c->d_head, size->n_keyed);
    const size_t n_widest = nib_step_widest_row(c);
    size_t used = 0;
    w->x = cut_buffer(base, &used, n, c->n_embd);
    w->branch = cut_buffer(base, &used, n, c->n_embd);
    w->q = cut_buffer(base, &used, n, (size_t)c->n_heads * c->d_head);
    w->k = cut_buffer(base, &used, n, n_keyed);
    w->v = cut_buffer(base, &used, n, n_keyed);
    place_wide(w, c, n, base, &used);
    for (int i = 0; i < NIB_ROPE_COUNT; i++) {
        const size_t n_angles = c->rope[i].base > 0 ? c->n_rot / 2 : 0;
        w->cosine[i] = cut_buffer(base, &used, n, n_angles);
        w->sine[i] = cut_buffer(base, &used, n, n_angles);
        float *frequency = nib_cut(base, &used, n_angles * sizeof(float));
        if (base && n_angles > 0)
            nib_rope_frequencies(frequency, &c->rope[i], c->n_rot, size->n_ctx);
        w->rope_frequency[i] = frequency;
    }
    w->logits = cut_buffer(base, &used, size->n_logits, c->n_vocab);
    w->logits_max = cut_buffer(base, &used, size->n_logits, c->n_vocab / NIB_LOGITS_BLOCK + 1);
    const size_t n_inputs = n_most * larger(c->n_experts_used, 1);
    for (int kind = 0; kind < NIB_ACT_COUNT; kind++)
        w->act[kind] =
            nib_cut(base, &used, nib_act_bytes((enum nib_act_kind)kind, n_inputs, n_widest));
    w->partial_floats = nib_attention_partial_floats(c);
    w->partial_room = NIB_FEW_ROWS * size->n_segments;
    w->partials = nib_cut(
        base, &used, (uint64_t)w->partial_room * c->n_kv_heads * w->partial_floats * sizeof(float));
    w->n_done = nib_cut(base, &used, NIB_MAX_SPLIT_RUNS * c->n_kv_heads * sizeof(*w->n_done));
    w->scratch_bytes = nib_step_scratch_bytes(c);
    w->scratch = nib_cut(base, &used, w->scratch_bytes * (size_t)size->n_threads);
    return used;
}
