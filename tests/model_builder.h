/*
 * A tiny model as a draft that tests change before it is written:
 *
 *     struct model_draft d;
 *     draft_init(&d);
 *     draft_int(&d, "llama.block_count", 0);
 *     draft_tensor(&d, "blk.1.attn_q.weight")->dims[1] = 12;
 *     draft_write(&d, path);
 */
#ifndef MODEL_BUILDER_H
#define MODEL_BUILDER_H

#include "gguf_builder.h"

#include <assert.h>

struct draft_key {
    char name[64];
    uint32_t type; /* NIB_GGUF_I64, F32, STRING, or ARRAY of I64 */
    int64_t integer, integers[8];
    uint64_t n_integers;
    float number;
    const char *text;
};

struct draft_tensor {
    char name[64];
    uint32_t type, n_dims;
    uint64_t dims[4];
    const float *values; /* of an F32 tensor; NULL: made up */
};

struct model_draft {
    struct draft_key keys[64];
    struct draft_tensor tensors[64];
    size_t n_keys, n_tensors;
};

/* ---- metadata -------------------------------------------------------------------------------- */

/* The key as it is there, or a new one. */
static inline struct draft_key *draft_key(struct model_draft *d, const char *name)
{
    for (size_t i = 0; i < d->n_keys; i++)
        if (strcmp(d->keys[i].name, name) == 0)
            return &d->keys[i];
    assert(d->n_keys < 64);
    struct draft_key *key = &d->keys[d->n_keys++];
    *key = (struct draft_key){0};
    snprintf(key->name, sizeof(key->name), "%s", name);
    return key;
}

static inline void draft_int(struct model_draft *d, const char *name, int64_t value)
{
    struct draft_key *key = draft_key(d, name);
    key->type = NIB_GGUF_I64;
    key->integer = value;
}

static inline void draft_ints(struct model_draft *d, const char *name, const int64_t *values,
                              size_t n)
{
    struct draft_key *key = draft_key(d, name);
    assert(n <= 8);
    key->type = NIB_GGUF_ARRAY;
    key->n_integers = n;
    memcpy(key->integers, values, n * sizeof(*values));
}

static inline void draft_float(struct model_draft *d, const char *name, float value)
{
    struct draft_key *key = draft_key(d, name);
    key->type = NIB_GGUF_F32;
    key->number = value;
}

static inline void draft_string(struct model_draft *d, const char *name, const char *value)
{
    struct draft_key *key = draft_key(d, name);
    key->type = NIB_GGUF_STRING;
    key->text = value;
}

static inline void draft_remove(struct model_draft *d, const char *name)
{
    *draft_key(d, name) = d->keys[d->n_keys - 1];
    d->n_keys--;
}

/* ---- tensors --------------------------------------------------------------------------------- */

/* The tensor as it is there, or a new one: F32. */
static inline struct draft_tensor *draft_tensor(struct model_draft *d, const char *name)
{
    for (size_t i = 0; i < d->n_tensors; i++)
        if (strcmp(d->tensors[i].name, name) == 0)
            return &d->tensors[i];
    assert(d->n_tensors < 64);
    struct draft_tensor *t = &d->tensors[d->n_tensors++];
    *t = (struct draft_tensor){.type = NIB_TYPE_F32, .n_dims = 1, .dims = {1, 1, 1, 1}};
    snprintf(t->name, sizeof(t->name), "%s", name);
    return t;
}

static inline void draft_tensor_remove(struct model_draft *d, const char *name)
{
    *draft_tensor(d, name) = d->tensors[d->n_tensors - 1];
    d->n_tensors--;
}

static inline void draft_vector(struct model_draft *d, const char *name, uint64_t n)
{
    draft_tensor(d, name)->dims[0] = n;
}

static inline void draft_matrix(struct model_draft *d, const char *name, uint64_t n_rows,
                                uint64_t n_cols)
{
    struct draft_tensor *t = draft_tensor(d, name);
    t->n_dims = 2;
    t->dims[0] = n_cols;
    t->dims[1] = n_rows;
}

/* ---- the model ------------------------------------------------------------------------------- */

enum {
    DRAFT_LAYERS = 2,
    DRAFT_EMBD = 64,
    DRAFT_FF = 96,
    DRAFT_HEADS = 4,
    DRAFT_KV_HEADS = 2,
    DRAFT_D_HEAD = 16,
    DRAFT_VOCAB = 14,
};

static inline void draft_init(struct model_draft *d)
{
    d->n_keys = d->n_tensors = 0;
    draft_string(d, "general.architecture", "llama");
    draft_string(d, "general.name", "Tiny");
    draft_int(d, "llama.block_count", DRAFT_LAYERS);
    draft_int(d, "llama.context_length", 128);
    draft_int(d, "llama.embedding_length", DRAFT_EMBD);
    draft_int(d, "llama.feed_forward_length", DRAFT_FF);
    draft_int(d, "llama.attention.head_count", DRAFT_HEADS);
    draft_int(d, "llama.attention.head_count_kv", DRAFT_KV_HEADS);
    draft_float(d, "llama.attention.layer_norm_rms_epsilon", 1e-5f);

    draft_matrix(d, "token_embd.weight", DRAFT_VOCAB, DRAFT_EMBD);
    draft_vector(d, "output_norm.weight", DRAFT_EMBD);
    for (int layer = 0; layer < DRAFT_LAYERS; layer++) {
        static const struct {
            const char *name;
            int n_rows, n_cols; /* no columns: a norm */
        } tensors[] = {
            {"attn_norm", DRAFT_EMBD, 0},
            {"attn_q", DRAFT_HEADS * DRAFT_D_HEAD, DRAFT_EMBD},
            {"attn_k", DRAFT_KV_HEADS * DRAFT_D_HEAD, DRAFT_EMBD},
            {"attn_v", DRAFT_KV_HEADS * DRAFT_D_HEAD, DRAFT_EMBD},
            {"attn_output", DRAFT_EMBD, DRAFT_HEADS * DRAFT_D_HEAD},
            {"ffn_norm", DRAFT_EMBD, 0},
            {"ffn_gate", DRAFT_FF, DRAFT_EMBD},
            {"ffn_up", DRAFT_FF, DRAFT_EMBD},
            {"ffn_down", DRAFT_EMBD, DRAFT_FF},
        };
        for (size_t i = 0; i < sizeof(tensors) / sizeof(tensors[0]); i++) {
            char name[64];
            snprintf(name, sizeof(name), "blk.%d.%s.weight", layer, tensors[i].name);
            if (tensors[i].n_cols == 0)
                draft_vector(d, name, (uint64_t)tensors[i].n_rows);
            else
                draft_matrix(d, name, (uint64_t)tensors[i].n_rows, (uint64_t)tensors[i].n_cols);
        }
    }
}

static inline void draft_put_key(struct gguf_builder *b, const struct draft_key *key)
{
    if (key->type == NIB_GGUF_STRING)
        gguf_add_string(b, key->name, key->text);
    else if (key->type == NIB_GGUF_F32)
        gguf_add_f32(b, key->name, key->number);
    else if (key->type == NIB_GGUF_ARRAY)
        gguf_add_array(b, key->name, NIB_GGUF_I64, key->n_integers, key->integers,
                       key->n_integers * sizeof(*key->integers));
    else
        gguf_add_value(b, key->name, NIB_GGUF_I64, &key->integer, sizeof(key->integer));
}

static inline void draft_put_tensor(struct gguf_builder *b, const struct draft_tensor *t)
{
    size_t n = 1;
    for (uint32_t i = 0; i < t->n_dims; i++)
        n *= (size_t)t->dims[i];
    const struct nib_type_info *type = nib_type_info(t->type);
    const size_t n_bytes = n / type->n_values * type->n_bytes;
    float *made_up = NULL;
    if (t->type == NIB_TYPE_F32 && !t->values) {
        made_up = malloc(n_bytes + 1);
        if (!made_up)
            abort();
        for (size_t i = 0; i < n; i++)
            made_up[i] = (float)((i * 37 + 11) % 101) / 101 - 0.25f;
    }
    gguf_add_tensor(b, t->name, t->type, t->n_dims, t->dims, made_up ? made_up : t->values,
                    n_bytes);
    free(made_up);
}

static inline void draft_put_tokenizer(struct gguf_builder *b)
{
    static const char *const tokens[DRAFT_VOCAB] = {
        "<unk>", "<s>", "</s>", "<0x61>", "▁", "a", "b", "ab", "▁a", "▁ab", "<s", "s", ">", "<"};
    static const int32_t types[DRAFT_VOCAB] = {2, 3, 3, 6, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    static const float scores[DRAFT_VOCAB] = {0, 0, 0, 0, -9, -9, -9, -2, -1, -3, 0, -9, -9, -9};
    gguf_add_string(b, "tokenizer.ggml.model", "llama");
    gguf_add_strings(b, "tokenizer.ggml.tokens", tokens, DRAFT_VOCAB);
    gguf_add_array(b, "tokenizer.ggml.token_type", NIB_GGUF_I32, DRAFT_VOCAB, types, sizeof(types));
    gguf_add_array(b, "tokenizer.ggml.scores", NIB_GGUF_F32, DRAFT_VOCAB, scores, sizeof(scores));
    gguf_add_u32(b, "tokenizer.ggml.bos_token_id", 1);
    gguf_add_u32(b, "tokenizer.ggml.eos_token_id", 2);
}

static inline void draft_write(const struct model_draft *d, const char *path)
{
    struct gguf_builder b;
    gguf_builder_init(&b);
    for (size_t i = 0; i < d->n_keys; i++)
        draft_put_key(&b, &d->keys[i]);
    draft_put_tokenizer(&b);
    for (size_t i = 0; i < d->n_tensors; i++)
        draft_put_tensor(&b, &d->tensors[i]);
    gguf_builder_write(&b, path);
    gguf_builder_free(&b);
}

#endif
