/* The rules of the mixes.  See quantize_mix.h. */
#include "quantize_mix.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

enum mix_id {
    MIX_Q4_0,
    MIX_Q4_1,
    MIX_Q5_0,
    MIX_Q5_1,
    MIX_Q8_0,
    MIX_Q2_K,
    MIX_Q3_K_S,
    MIX_Q3_K_M,
    MIX_Q3_K_L,
    MIX_Q4_K_S,
    MIX_Q4_K_M,
    MIX_Q5_K_S,
    MIX_Q5_K_M,
    MIX_Q6_K,
    MIX_IQ4_NL,
    MIX_IQ4_XS,
    MIX_MXFP4,
    MIX_MXFP4_MOE,
    MIX_F16,
    MIX_BF16,
    MIX_F32,
    MIX_COUNT
};

static const struct nib_mix mixes[MIX_COUNT] = {
    [MIX_Q4_0] = {"Q4_0", 2, NIB_TYPE_Q4_0},
    [MIX_Q4_1] = {"Q4_1", 3, NIB_TYPE_Q4_1},
    [MIX_Q5_0] = {"Q5_0", 8, NIB_TYPE_Q5_0},
    [MIX_Q5_1] = {"Q5_1", 9, NIB_TYPE_Q5_1},
    [MIX_Q8_0] = {"Q8_0", 7, NIB_TYPE_Q8_0},
    [MIX_Q2_K] = {"Q2_K", 10, NIB_TYPE_Q2_K},
    [MIX_Q3_K_S] = {"Q3_K_S", 11, NIB_TYPE_Q3_K},
    [MIX_Q3_K_M] = {"Q3_K_M", 12, NIB_TYPE_Q3_K},
    [MIX_Q3_K_L] = {"Q3_K_L", 13, NIB_TYPE_Q3_K},
    [MIX_Q4_K_S] = {"Q4_K_S", 14, NIB_TYPE_Q4_K},
    [MIX_Q4_K_M] = {"Q4_K_M", 15, NIB_TYPE_Q4_K},
    [MIX_Q5_K_S] = {"Q5_K_S", 16, NIB_TYPE_Q5_K},
    [MIX_Q5_K_M] = {"Q5_K_M", 17, NIB_TYPE_Q5_K},
    [MIX_Q6_K] = {"Q6_K", 18, NIB_TYPE_Q6_K},
    [MIX_IQ4_NL] = {"IQ4_NL", 25, NIB_TYPE_IQ4_NL},
    [MIX_IQ4_XS] = {"IQ4_XS", 30, NIB_TYPE_IQ4_XS},
    [MIX_MXFP4] = {"MXFP4", 38, NIB_TYPE_MXFP4},
    [MIX_MXFP4_MOE] = {"MXFP4_MOE", 38, NIB_TYPE_MXFP4}, /* experts MXFP4, all else Q8_0 */
    [MIX_F16] = {"F16", 1, NIB_TYPE_F16},
    [MIX_BF16] = {"BF16", 32, NIB_TYPE_BF16},
    [MIX_F32] = {"F32", 0, NIB_TYPE_F32},
};

static const struct {
    const char *name;
    enum mix_id mix;
} aliases[] = {{"Q3_K", MIX_Q3_K_M}, {"Q4_K", MIX_Q4_K_M}, {"Q5_K", MIX_Q5_K_M}};

bool nib_same_word(const char *a, const char *b)
{
    while (*a && toupper((unsigned char)*a) == toupper((unsigned char)*b)) {
        a++;
        b++;
    }
    return !*a && !*b;
}

const struct nib_mix *nib_mix_at(size_t i)
{
    return i < MIX_COUNT ? &mixes[i] : NULL;
}

const struct nib_mix *nib_mix_find(const char *name)
{
    for (size_t i = 0; i < MIX_COUNT; i++)
        if (nib_same_word(mixes[i].name, name))
            return &mixes[i];
    for (size_t i = 0; i < NIB_COUNT(aliases); i++)
        if (nib_same_word(aliases[i].name, name))
            return &mixes[aliases[i].mix];
    return NULL;
}

/* ---- what the rules look at ------------------------------------------------------------------ */

static const struct {
    const char *part;
    enum nib_role role;
} roles[] = {
    {"attn_qkv.weight", NIB_ROLE_ATTN_V},         {"attn_kv_b.weight", NIB_ROLE_ATTN_V},
    {"attn_v.weight", NIB_ROLE_ATTN_V},           {"attn_k.weight", NIB_ROLE_ATTN_K},
    {"attn_output.weight", NIB_ROLE_ATTN_OUTPUT}, {"ffn_down", NIB_ROLE_FFN_DOWN},
};

enum nib_role nib_role_of(const char *name)
{
    if (strcmp(name, "output.weight") == 0)
        return NIB_ROLE_OUTPUT;
    if (strcmp(name, "token_embd.weight") == 0 || strcmp(name, "per_layer_token_embd.weight") == 0)
        return NIB_ROLE_TOKEN_EMBD;
    for (size_t i = 0; i < NIB_COUNT(roles); i++)
        if (strstr(name, roles[i].part))
            return roles[i].role;
    return NIB_ROLE_OTHER;
}

/* More than any model has; numbers in files may be anything. */
enum { MAX_LAYERS = 1 << 20 };

int64_t nib_layer_of(const char *name)
{
    static const char prefix[] = "blk.";
    if (strncmp(name, prefix, sizeof(prefix) - 1) != 0 || !isdigit((unsigned char)name[4]))
        return -1;
    char *end;
    const long long layer = strtoll(name + 4, &end, 10);
    return *end == '.' && layer <= MAX_LAYERS ? layer : -1;
}

/* The key after the family's name; of an array its first number. */
static int64_t family_int(const struct nib_gguf *gguf, const char *key, int64_t or_else)
{
    struct nib_str family = {0};
    nib_gguf_string(gguf, "general.architecture", &family);
    char full[128];
    snprintf(full, sizeof(full), "%.*s.%s", (int)(family.len < 64 ? family.len : 64), family.data,
             key);
    int64_t value = or_else;
    size_t n;
    if (nib_gguf_int(gguf, full, &value) || !nib_gguf_ints(gguf, full, &n) || n == 0)
        return value;
    int64_t *values = malloc(n * sizeof(*values));
    if (!values)
        return or_else;
    nib_gguf_copy_ints(gguf, full, values);
    value = values[0];
    free(values);
    return value;
}

struct nib_mix_walk nib_mix_begin(const struct nib_mix *mix, const struct nib_gguf *gguf)
{
    struct nib_str family = {0};
    nib_gguf_string(gguf, "general.architecture", &family);
    const int64_t n_heads = family_int(gguf, "attention.head_count", 0);
    const int64_t n_kv_heads = family_int(gguf, "attention.head_count_kv", n_heads);
    struct nib_mix_walk m = {
        .mix = mix,
        .is_falcon = nib_str_equal(family, NIB_STR("falcon")),
        .is_tied = true,
        .n_layers = family_int(gguf, "block_count", 0),
        .n_experts = family_int(gguf, "expert_count", 0),
        .n_gqa = n_kv_heads > 0 ? n_heads / n_kv_heads : 0,
    };
    if (m.n_layers < 0 || m.n_layers > MAX_LAYERS)
        m.n_layers = 0;
    const bool is_llama = nib_str_equal(family, NIB_STR("llama"));
    m.is_70b = m.n_layers == 80 &&
               ((is_llama && n_heads != n_kv_heads) || nib_str_equal(family, NIB_STR("qwen2")));
    for (size_t i = 0; i < nib_gguf_tensor_count(gguf); i++) {
        const enum nib_role role = nib_role_of(nib_gguf_tensor(gguf, i)->name);
        m.n_attn_v += role == NIB_ROLE_ATTN_V;
        m.is_tied &= role != NIB_ROLE_OUTPUT;
    }
    return m;
}

static enum mix_id id_of(const struct nib_mix_walk *m)
{
    return (enum mix_id)(m->mix - mixes);
}

/* ---- the rules ------------------------------------------------------------------------------- */

/* The first and last eighth of the layers, and every third between. */
static bool is_sensitive(int64_t layer, int64_t n_layers)
{
    return layer < n_layers / 8 || layer >= 7 * n_layers / 8 || (layer - n_layers / 8) % 3 == 2;
}

static enum nib_type output_type(const struct nib_mix_walk *m, const struct nib_gguf_tensor *tensor)
{
    const enum nib_type type = m->mix->type;
    if (id_of(m) == MIX_MXFP4_MOE || m->is_falcon || type == NIB_TYPE_Q8_0 ||
        tensor->dims[0] % nib_type_info(type)->n_values != 0)
        return NIB_TYPE_Q8_0;
    return NIB_TYPE_Q6_K;
}

static enum nib_type attn_v_type(struct nib_mix_walk *m)
{
    const int64_t layer = m->i_attn_v++;
    enum nib_type type = m->mix->type;
    switch (id_of(m)) {
    case MIX_Q2_K:
        type = m->n_gqa >= 4 ? NIB_TYPE_Q4_K : NIB_TYPE_Q3_K;
        break;
    case MIX_Q3_K_M:
        type = layer < 2 ? NIB_TYPE_Q5_K : NIB_TYPE_Q4_K;
        break;
    case MIX_Q3_K_L:
        type = NIB_TYPE_Q5_K;
        break;
    case MIX_IQ4_NL:
    case MIX_IQ4_XS:
        if (m->n_gqa >= 4)
            type = NIB_TYPE_Q5_K;
        break;
    case MIX_Q4_K_M:
    case MIX_Q5_K_M:
        if (is_sensitive(layer, m->n_attn_v))
            type = NIB_TYPE_Q6_K;
        break;
    case MIX_Q4_K_S:
        if (layer < 4)
            type = NIB_TYPE_Q5_K;
        break;
    default:
        break;
    }
    if (m->is_70b && (type == NIB_TYPE_Q3_K || type == NIB_TYPE_Q4_K))
        type = NIB_TYPE_Q5_K;
    return m->n_experts == 8 ? NIB_TYPE_Q8_0 : type;
}

/* Experts are not always in the order of their layers: their names tell. */
static int64_t ffn_layer(struct nib_mix_walk *m, const char *name)
{
    const int64_t counted = m->i_ffn_down++, named = nib_layer_of(name);
    return m->n_experts > 1 && named >= 0 ? named : counted;
}

static enum nib_type ffn_down_type(struct nib_mix_walk *m, const char *name)
{
    const int64_t layer = ffn_layer(m, name), n = m->n_layers;
    const enum nib_type type = m->mix->type;
    const bool is_early = layer < n / 8;
    switch (id_of(m)) {
    case MIX_Q2_K:
        return NIB_TYPE_Q3_K;
    case MIX_Q3_K_M:
        if (layer < n / 16)
            return NIB_TYPE_Q5_K;
        return !m->is_falcon || is_sensitive(layer, n) ? NIB_TYPE_Q4_K : type;
    case MIX_Q3_K_L:
        return m->is_falcon ? NIB_TYPE_Q4_K : NIB_TYPE_Q5_K;
    case MIX_Q4_K_M:
        if (m->is_falcon)
            return layer < n / 16 ? NIB_TYPE_Q6_K : is_sensitive(layer, n) ? NIB_TYPE_Q5_K : type;
        return is_sensitive(layer, n) ? NIB_TYPE_Q6_K : type;
    case MIX_Q5_K_M:
        return is_sensitive(layer, n) ? NIB_TYPE_Q6_K : type;
    case MIX_Q4_K_S:
        return is_early && !m->is_falcon ? NIB_TYPE_Q5_K : type;
    case MIX_IQ4_NL:
    case MIX_IQ4_XS:
        return is_early ? NIB_TYPE_Q5_K : type;
    default:
        return type;
    }
}

static enum nib_type attn_output_type(const struct nib_mix_walk *m)
{
    const enum nib_type type = m->mix->type;
    const bool has_8_experts = m->n_experts == 8;
    if (m->is_falcon)
        return id_of(m) == MIX_Q3_K_L ? NIB_TYPE_Q4_K : type;
    switch (id_of(m)) {
    case MIX_Q2_K:
        return has_8_experts ? NIB_TYPE_Q5_K : NIB_TYPE_Q3_K;
    case MIX_Q3_K_M:
        return has_8_experts ? NIB_TYPE_Q5_K : NIB_TYPE_Q4_K;
    case MIX_Q3_K_L:
        return has_8_experts ? type : NIB_TYPE_Q5_K;
    case MIX_Q3_K_S:
    case MIX_Q4_K_S:
    case MIX_Q4_K_M:
    case MIX_IQ4_NL:
    case MIX_IQ4_XS:
        return has_8_experts ? NIB_TYPE_Q5_K : type;
    default:
        return type;
    }
}

enum nib_type nib_mix_next(struct nib_mix_walk *m, const struct nib_gguf_tensor *tensor)
{
    const enum nib_role role = nib_role_of(tensor->name);
    const enum nib_type type = m->mix->type;
    if (type == NIB_TYPE_F32 || type == NIB_TYPE_F16 || type == NIB_TYPE_BF16)
        return type;
    if (role == NIB_ROLE_OUTPUT || (role == NIB_ROLE_TOKEN_EMBD && m->is_tied))
        return output_type(m, tensor);
    if (id_of(m) == MIX_MXFP4_MOE)
        return tensor->dims[2] > 1 ? NIB_TYPE_MXFP4 : NIB_TYPE_Q8_0;
    switch (role) {
    case NIB_ROLE_ATTN_V:
        return attn_v_type(m);
    case NIB_ROLE_ATTN_K:
        return m->n_experts == 8 ? NIB_TYPE_Q8_0 : type;
    case NIB_ROLE_FFN_DOWN:
        return ffn_down_type(m, tensor->name);
    case NIB_ROLE_ATTN_OUTPUT:
        return attn_output_type(m);
    default:
        return type;
    }
}
