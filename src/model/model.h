/*
 * A model in memory: what a file says (config), how its family is computed (family), and its
 * weights, packed.  Built by nib_model_open(); read-only afterwards and shared by all contexts.
 */
#ifndef NIB_MODEL_H
#define NIB_MODEL_H

#include "common.h"
#include "attention_rule.h"
#include "kernels.h"
#include "os.h"

struct nib_gguf;
struct nib_packed;
struct nib_pack_keeper;
struct nib_tokenizer;
struct nib_step;

/* ---- numbers from the file, checked by config_keys.c ----------------------------------------- */

enum {
    NIB_MAX_GROUP = 128, /* query heads that share a KV head */
    NIB_MAX_HEAD = 512,  /* width of a head */
    NIB_MAX_EXPERTS_USED = 64,
};

enum { NIB_ROPE_GLOBAL, NIB_ROPE_LOCAL, NIB_ROPE_COUNT, NIB_ROPE_NONE = NIB_ROPE_COUNT };

/* A set of frequencies that positions are rotated by (positions.h). */
struct nib_rope {
    enum nib_rope_scaling {
        NIB_SCALING_NONE,    /* or linear, which is in the factors */
        NIB_SCALING_DYNAMIC, /* a larger base for contexts above n_ctx_original */
        NIB_SCALING_YARN,
        NIB_SCALING_LONG, /* other factors for contexts above n_ctx_original */
    } scaling;
    float base;
    float factor;               /* of dynamic and yarn */
    float magnitude;            /* cosine and sine are multiplied by it */
    float beta_fast, beta_slow; /* of yarn */
    bool has_whole_bounds;      /* of yarn: they are rounded to whole pairs */
    uint32_t n_ctx_original;
    const float *factors; /* [n_rot / 2] that divide the frequencies, or NULL */
    const float *long_factors;
};

struct nib_config {
    uint32_t n_vocab, n_ctx, n_layers, n_embd, n_ff;
    uint32_t n_heads, n_kv_heads; /* n_heads is a multiple of n_kv_heads */
    uint32_t d_head;              /* of q, k and v */
    uint32_t n_rot; /* values of a head that are rotated: even, <= d_head; 0 without rotation */
    enum nib_activation activation;
    float norm_eps;
    float rope_scale;  /* linear scaling; part of nib_rope.factors already */
    float score_scale; /* q is multiplied by it before the dot with k: 1 / sqrt(d_head) */
    float embedding_scale, residual_scale, logit_scale; /* 1: nothing to do, as below 0 */
    float score_cap, logit_cap;                         /* soft caps */
    float clamp_qkv;                                    /* q, k and v are kept within +- this */
    float alibi_bias;                 /* the steepest slope is 2^-(alibi_bias / n_heads), ... */
    uint32_t window;                  /* of the layers that have one */
    bool is_parallel;                 /* attention and feed-forward side by side */
    bool is_post_norm;                /* x = norm(x + f(x)) in place of x + f(norm(x)) */
    uint32_t n_buckets, max_distance; /* of T5's bias by distance; 0: none */
    struct nib_rope rope[NIB_ROPE_COUNT];
    uint32_t n_experts, n_experts_used, n_ff_expert, n_ff_shared;
    bool renormalizes_experts; /* the weights of the chosen experts are made to sum to 1 */
};

/* ---- weights --------------------------------------------------------------------------------- */

/* y = x W^T + b.  Absent: w.data is NULL, and the step is skipped.  b is padded to whole groups. */
struct nib_linear {
    struct nib_matrix w;
    const float *b;
    bool is_fine_head; /* see nib_linear_act() */
};

/*
 * How the input of a product is held.  Small matrices get 15-bit activations: they are a small part
 * of any model's work, and what they feed (keys and values above all) is sensitive.  So does a fine
 * head: the last place where rounding shows, whose time goes into reading it.  A model with an
 * encoder has no fine head, as batches and beams take many rows through it at each step: it would
 * cost a fifth of their speed (docs/performance.md).
 */
enum { NIB_SMALL_MATRIX = 1 << 16 }; /* weights */

static inline enum nib_act_kind nib_linear_act(const struct nib_linear *l)
{
    const enum nib_act_kind act = nib_pack_info(l->w.pack)->act;
    const bool is_small = (uint64_t)l->w.n_rows * l->w.n_cols <= NIB_SMALL_MATRIX;
    return act == NIB_ACT_Q8 && (is_small || l->is_fine_head) ? NIB_ACT_Q15 : act;
}

/* Absent: w is NULL. */
struct nib_norm {
    const float *w, *b;
};

/* Of q or k, before they are rotated. */
struct nib_head_norm {
    struct nib_norm norm;
    uint32_t stride; /* between the weights of heads; 0: all heads share d_head of them */
    bool is_whole;   /* over all heads together */
};

struct nib_attention_weights {
    struct nib_linear q, k, v, o; /* q, k, v: rows of one head together, see rope_pairs */
    struct nib_head_norm q_norm, k_norm;
    struct nib_attention_rule rule; /* zeroed: causal */
    int rope;                       /* NIB_ROPE_... */
    float scale;                    /* nib_config.score_scale, or this layer's own */
};

struct nib_ffn_weights {
    struct nib_linear gate, up, down; /* no gate: down(activation(up x)) */
};

/* Matrices of one shape behind each other, without biases. */
struct nib_expert_stack {
    struct nib_matrix first;
    size_t n_bytes; /* from one to the next */
};

/* A mixture of experts: each token goes to the n_experts_used that the router likes best. */
struct nib_moe_weights {
    struct nib_linear router; /* [n_experts, n_embd] */
    struct nib_expert_stack gate, up, down;
    struct nib_ffn_weights shared; /* for every token, times sigmoid(shared_gate x); or absent */
    struct nib_linear shared_gate; /* [1, n_embd] */
};

/* What is absent is skipped. */
struct nib_layer {
    struct nib_norm attn_norm;
    struct nib_attention_weights attn;
    const float *distance_bias;     /* [n_buckets][n_heads] of T5; see distance_bias.c */
    struct nib_norm attn_post_norm; /* of what attention adds */
    struct nib_norm cross_norm;
    struct nib_attention_weights cross; /* of a decoder: attention to what the encoder has read */
    struct nib_norm ffn_norm;
    struct nib_ffn_weights ffn; /* one of both */
    struct nib_moe_weights moe;
    struct nib_norm ffn_post_norm;
};

/* ---- families (families/): what is true of a kind of model, as data -------------------------- */

enum nib_norm_kind { NIB_NORM_RMS, NIB_NORM_LAYER };

/*
 * Which slot of nib_layer a tensor of the file fills: the rows [first_row, first_row + n_rows) of
 * blk.N.NAME.weight and, perhaps, .bias.  Fused matrices stand in the table once for each part.
 */
struct nib_tensor_name {
    const char *name; /* "attn_q" */
    size_t slot;      /* offsetof in struct nib_layer */
    enum {
        NIB_SLOT_LINEAR,
        NIB_SLOT_NORM,
        NIB_SLOT_HEAD_NORM,
        NIB_SLOT_EXPERTS,
        NIB_SLOT_BIAS
    } kind;
    uint32_t (*n_rows)(const struct nib_config *);    /* of a linear; of a norm: its length */
    uint32_t (*n_cols)(const struct nib_config *);    /* NULL for norms */
    uint32_t (*first_row)(const struct nib_config *); /* NULL: 0 */
    bool is_optional;
    bool is_rotated; /* rows are heads of q or k: see rope_pairs */
};

/* Numbers that files of a family do not give, as they are in its code. */
struct nib_family {
    const char *name; /* general.architecture */
    enum nib_norm_kind norm;
    enum nib_activation activation; /* unless the file says otherwise */
    /* The file's q and k rows are ordered for rotation of neighbours (2i, 2i + 1).  They are packed
     * in the order of halves (i, n_rot / 2 + i), so that one rotation serves all families. */
    bool rope_pairs;
    enum { NIB_POSITIONS_ROTATED, NIB_POSITIONS_LEARNED, NIB_POSITIONS_NONE } positions;
    bool is_parallel;          /* unless the file says otherwise */
    bool scales_embedding;     /* by sqrt(n_embd) */
    bool divides_logits;       /* logit_scale is a divisor */
    bool renormalizes_experts; /* unless the file says otherwise */
    uint32_t window_period;    /* n > 0: each n-th layer has no window */
    uint32_t no_rope_period;   /* n > 0: each n-th layer is not rotated */
    float local_rope_base;     /* > 0: layers with a window are rotated by this base */
    uint32_t
        wide_scale_layers;  /* n > 0: models of n layers scale scores by sqrt(n_heads / n_embd) */
    float alibi_bias;       /* unless the file says otherwise */
    bool scales_alibi;      /* the bias is scaled as the scores are */
    bool norms_then_clamps; /* q and k: first their norms, then the limit */
    const struct nib_tensor_name *layer_tensors;   /* ends with name NULL */
    const struct nib_tensor_name *encoder_tensors; /* of an encoder's layers; NULL: no encoder */
    bool is_gelu_with_gate;  /* layers with a gate have GELU in place of `activation` */
    bool scales_tied_logits; /* by 1 / sqrt(n_embd), where the output is the embedding */
    float score_scale;       /* > 0: unless the file says otherwise */
    bool is_post_norm;       /* unless the file says otherwise */
    void (*arrange)(const struct nib_config *, struct nib_layer *); /* after loading; or NULL */
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
    bool is_encoder; /* of another model */
    struct nib_tokenizer *tokenizer;

    struct nib_matrix embedding; /* [n_vocab, n_embd]; rows are read by nib_matrix_row() */
    struct nib_matrix positions; /* [n_ctx, n_embd], where they are learned */
    struct nib_norm embedding_norm;
    struct nib_linear output; /* [n_vocab, n_embd]; the embedding's own data where they are tied */
    struct nib_norm final_norm;
    struct nib_layer *layers;
    float *slopes;                    /* [n_heads] of ALiBi; or NULL */
    struct nib_distance_bias *biases; /* [n_layers], of T5; or NULL */
    struct nib_model *encoder; /* its config, embedding, layers and final norm; NULL: none.  What it
                                  shares lies in the decoder's arena. */
    int32_t *bad_ids;
    int32_t *end_ids; /* [n_end_ids] of a model without a tokenizer */
    size_t n_end_ids;

    /* One arena for all packed weights and small tensors: memory on huge pages, or a part of
     * packed_file.  See nib_weight_layout(). */
    void *arena;
    size_t arena_bytes;
    uint64_t layout;
    struct nib_mapping packed_file; /* without data: the arena is memory */
    struct nib_model_info info;
    /* for nib_model_tensor() and nib_model_metadata() */
    struct nib_tensor_info *tensors;
    enum nib_type *types; /* that they have in memory */
    size_t n_tensors;
    struct nib_model_text *texts;
    size_t n_texts;
    char *text; /* all strings */

    struct nib_pack_keeper *keeper; /* who writes to the cache (pack_cache.c), or NULL */
    char *cache_note;
};

/* config.c: reads and checks; messages name the key, the value and the range. */
enum nib_status nib_config_from_gguf(struct nib_config *out, const struct nib_gguf *gguf,
                                     const struct nib_family *family, bool is_encoder,
                                     struct nib_error *err);

/* distance_bias.c: tables of T5's bias for all layers, from those that have one. */
enum nib_status nib_distance_bias_create(struct nib_model *model, bool is_causal,
                                         struct nib_error *err);
void nib_distance_bias_free(struct nib_model *model);

/* facts.c: copies names, metadata and the list of tensors, so that the file can be closed. */
enum nib_status nib_facts_from_gguf(struct nib_model *model, const struct nib_gguf *gguf,
                                    struct nib_error *err);
void nib_facts_free(struct nib_model *model);

/* layer_rules.c: what each layer's attention does; fills parts of model->layers. */
enum nib_status nib_layers_set_rules(struct nib_model *model, const struct nib_gguf *gguf,
                                     struct nib_error *err);

/* weights.c: checks the shape and type of every tensor the family names, sizes the arena, packs on
 * n_threads threads with progress; fills the numbers of model->info and model->tensors, which
 * nib_facts_from_gguf() made.  What is `packed` (else NULL) is used where it lies. */
enum nib_status nib_weights_load(struct nib_model *model, const struct nib_gguf *gguf,
                                 const struct nib_packed *packed,
                                 const struct nib_model_params *params, struct nib_error *err);

/* model.c: nib_model_open() without the cache.  `loaded` (or NULL) is called when all is there and
 * the file is still open. */
typedef enum nib_status nib_loaded_fn(struct nib_model *model, const struct nib_gguf *gguf,
                                      void *data, struct nib_error *err);
enum nib_status nib_model_load(struct nib_model **out, const char *path,
                               const struct nib_model_params *params, nib_loaded_fn *loaded,
                               void *data, struct nib_error *err);

#endif
