/*
 * A model in memory: what a file says (config), how its family is computed (family), and its
 * weights, packed.  Built by nib_model_open(); read-only afterwards and shared by all contexts.
 */
#ifndef NIB_MODEL_H
#define NIB_MODEL_H

#include "common.h"
#include "attention_rule.h"
#include "kernels.h"

struct nib_gguf;
struct nib_tokenizer;
struct nib_step;

/* ---- numbers from the file, checked against one table of ranges (config.c) ------------------- */

enum { NIB_MAX_GROUP = 128 }; /* query heads that share a KV head */

struct nib_config {
    uint32_t n_vocab, n_ctx, n_layers, n_embd, n_ff;
    uint32_t n_heads, n_kv_heads; /* n_heads is a multiple of n_kv_heads */
    uint32_t d_head;              /* of q, k and v */
    uint32_t n_rot;               /* values of a head that are rotated: even, <= d_head */
    float norm_eps;
    float rope_base;
    float rope_scale;  /* linear scaling; part of nib_model.rope_factors already */
    float score_scale; /* q is multiplied by it before the dot with k: 1 / sqrt(d_head) */
};

/* ---- weights --------------------------------------------------------------------------------- */

/* y = x W^T + b.  Absent: w.data is NULL, and the step is skipped.  b is padded to whole groups. */
struct nib_linear {
    struct nib_matrix w;
    const float *b;
};

/*
 * How the input of a product is held.  Small matrices get 15-bit activations: they are a small part
 * of any model's work, and what they feed (keys and values above all) is sensitive.  So does the
 * head, the last place where rounding shows, whose time goes into reading it.
 */
enum { NIB_SMALL_MATRIX = 1 << 16 }; /* weights */

static inline enum nib_act_kind nib_linear_act(const struct nib_linear *l, bool is_head)
{
    const enum nib_act_kind act = nib_pack_info(l->w.pack)->act;
    const bool is_small = (uint64_t)l->w.n_rows * l->w.n_cols <= NIB_SMALL_MATRIX;
    return act == NIB_ACT_Q8 && (is_small || is_head) ? NIB_ACT_Q8X2 : act;
}

/* Absent: w is NULL. */
struct nib_norm {
    const float *w, *b;
};

struct nib_attention_weights {
    struct nib_linear q, k, v, o;   /* q, k, v: rows of one head together, see rope_pairs */
    struct nib_norm q_norm, k_norm; /* over a head's d_head values */
    struct nib_attention_rule rule; /* zeroed: causal */
};

struct nib_ffn_weights {
    struct nib_linear gate, up, down; /* no gate: down(activation(up x)) */
};

struct nib_layer {
    struct nib_norm attn_norm;
    struct nib_attention_weights attn;
    struct nib_norm ffn_norm;
    struct nib_ffn_weights ffn;
};

/* ---- families (families/): what is true of a kind of model, as data -------------------------- */

enum nib_norm_kind { NIB_NORM_RMS, NIB_NORM_LAYER };

/* Which slot of nib_layer (or, outside of layers, of nib_model) a tensor of the file fills. */
struct nib_tensor_name {
    const char *name; /* "attn_q": the file has blk.N.attn_q.weight and perhaps .bias */
    size_t slot;      /* offsetof in struct nib_layer / struct nib_model */
    enum { NIB_SLOT_LINEAR, NIB_SLOT_NORM } kind;
    uint32_t (*n_rows)(const struct nib_config *); /* of a linear; of a norm: its length */
    uint32_t (*n_cols)(const struct nib_config *); /* NULL for norms */
    bool is_optional;
    bool is_rotated; /* rows are heads of q or k: see rope_pairs */
};

struct nib_family {
    const char *name; /* general.architecture */
    enum nib_norm_kind norm;
    enum nib_activation activation;
    /* The file's q and k rows are ordered for rotation of neighbours (2i, 2i + 1).  They are packed
     * in the order of halves (i, n_rot / 2 + i), so that one rotation serves all families. */
    bool rope_pairs;
    void (*layer)(struct nib_step *step, const struct nib_layer *layer);
    const struct nib_tensor_name *layer_tensors; /* ends with name NULL */
};

const struct nib_family *nib_family_find(struct nib_str name); /* NULL: unknown */
const char *nib_family_list(void);                             /* "llama, ..." for messages */

/* A metadata key with its value as text. */
struct nib_model_text {
    const char *key, *value;
};

/* ---- the model ------------------------------------------------------------------------------- */

struct nib_model {
    struct nib_kernels kernels;
    unsigned cpu_features;
    const struct nib_family *family;
    struct nib_config config;
    struct nib_tokenizer *tokenizer;

    struct nib_matrix embedding; /* [n_vocab, n_embd]; rows are read by nib_matrix_row() */
    struct nib_linear output; /* [n_vocab, n_embd]; the embedding's own data where they are tied */
    struct nib_norm final_norm;
    struct nib_layer *layers;
    const float *rope_factors; /* [n_rot / 2] that divide the frequencies, or NULL:
                                  rope_freqs.weight times rope_scale */

    /* One huge-page arena for all packed weights and small tensors. */
    void *arena;
    size_t arena_bytes;
    struct nib_model_info info;
    /* for nib_model_tensor() and nib_model_metadata() */
    struct nib_tensor_info *tensors;
    size_t n_tensors;
    struct nib_model_text *texts;
    size_t n_texts;
    char *text; /* all strings */
};

/* config.c: reads and checks; messages name the key, the value and the range. */
enum nib_status nib_config_from_gguf(struct nib_config *out, const struct nib_gguf *gguf,
                                     const struct nib_family *family, struct nib_error *err);

/* facts.c: copies names, metadata and the list of tensors, so that the file can be closed. */
enum nib_status nib_facts_from_gguf(struct nib_model *model, const struct nib_gguf *gguf,
                                    struct nib_error *err);
void nib_facts_free(struct nib_model *model);

/* weights.c: checks the shape and type of every tensor the family names, sizes the arena, packs on
 * n_threads threads with progress; fills the numbers of model->info and model->tensors, which
 * nib_facts_from_gguf() made. */
enum nib_status nib_weights_load(struct nib_model *model, const struct nib_gguf *gguf,
                                 const struct nib_model_params *params, struct nib_error *err);

#endif
