/* Types for all tensors: the caller's own, the mix's, and what fits.  See quantize_plan.h. */
#include "quantize_plan.h"
#include "encode.h"
#include "hf_folder.h"

#include <stdio.h>
#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* A type that can be encoded, by its name in either case. */
static bool find_type(const char *name, enum nib_type *out)
{
    for (uint32_t type = 0; type < NIB_TYPE_END; type++)
        if (nib_can_encode((enum nib_type)type) && nib_same_word(nib_type_info(type)->name, name)) {
            *out = (enum nib_type)type;
            return true;
        }
    return false;
}

/* Small or sensitive matrices that stay as they are, by a part of their names. */
static const char *const kept_parts[] = {
    "_norm.weight",
    "ffn_gate_inp.weight", /* routers of experts */
    "ffn_gate_tid2eid.weight",
    "altup",
    "laurel",
    "per_layer_model_proj",
    "ssm_conv1d",
    "shortconv.conv.weight",
    "indexer.k_proj.weight",
    "indexer.q_proj.weight",
    "time_mix_first.weight",
    "time_mix_w0.weight",
    "time_mix_w1.weight",
    "time_mix_w2.weight",
    "time_mix_v0.weight",
    "time_mix_v1.weight",
    "time_mix_v2.weight",
    "time_mix_a0.weight",
    "time_mix_a1.weight",
    "time_mix_a2.weight",
    "time_mix_g1.weight",
    "time_mix_g2.weight",
    "time_mix_decay_w1.weight",
    "time_mix_decay_w2.weight",
    "time_mix_lerp_fused.weight",
    "attn_rel_b.weight", /* T5's relative positions */
    ".position_embd",
    "sam.pos_embd",
    "sam.neck.",
    "sam.net_",
    ".rel_pos",
    ".patch_embd",
    ".patch_merger",
    "a.rvq.codebook",
    "mm.a.code_embd",
};

/* Whole names. */
static const char *const kept_names[] = {"position_embd.weight", "token_types.weight"};

static bool is_kept(const struct nib_gguf_tensor *tensor)
{
    const char *name = tensor->name;
    const size_t n = strlen(name);
    const bool is_vector = tensor->dims[1] * tensor->dims[2] * tensor->dims[3] == 1;
    if (is_vector || n < 6 || strcmp(name + n - 6, "weight") != 0)
        return true;
    if (tensor->type >= NIB_TYPE_I8 && tensor->type <= NIB_TYPE_F64)
        return true;
    for (size_t i = 0; i < NIB_COUNT(kept_parts); i++)
        if (strstr(name, kept_parts[i]))
            return true;
    for (size_t i = 0; i < NIB_COUNT(kept_names); i++)
        if (strcmp(name, kept_names[i]) == 0)
            return true;
    return false;
}

/* The type for columns that are no multiple of its block. */
static enum nib_type fitting(enum nib_type type, uint64_t n_cols)
{
    static const enum nib_type narrower[NIB_TYPE_END] = {
        [NIB_TYPE_Q2_K] = NIB_TYPE_Q4_0, [NIB_TYPE_Q3_K] = NIB_TYPE_Q4_0,
        [NIB_TYPE_Q4_K] = NIB_TYPE_Q5_0, [NIB_TYPE_Q5_K] = NIB_TYPE_Q5_1,
        [NIB_TYPE_Q6_K] = NIB_TYPE_Q8_0, [NIB_TYPE_IQ4_XS] = NIB_TYPE_IQ4_NL,
    };
    if (n_cols % nib_type_info(type)->n_values == 0)
        return type;
    const enum nib_type next = narrower[type]; /* F32, which is 0: none */
    return next != NIB_TYPE_F32 && n_cols % nib_type_info(next)->n_values == 0 ? next
                                                                               : NIB_TYPE_F16;
}

/* ---- types that the caller named ------------------------------------------------------------- */

struct override {
    pcre2_code *pattern;
    enum nib_type type;
};

struct overrides {
    struct override *all;
    size_t n;
    pcre2_match_data *match;
    bool has_output, has_token_embedding;
    enum nib_type output, token_embedding;
};

static void free_overrides(struct overrides *o)
{
    for (size_t i = 0; o->all && i < o->n; i++)
        pcre2_code_free(o->all[i].pattern);
    pcre2_match_data_free(o->match);
    free(o->all);
}

static enum nib_status fail_type(struct nib_error *err, const char *what, const char *name)
{
    char list[256] = "";
    size_t n = 0;
    for (uint32_t type = 0; type < NIB_TYPE_END && n < sizeof(list); type++)
        if (nib_can_encode((enum nib_type)type))
            n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", n ? ", " : "",
                                  nib_type_info(type)->name);
    return nib_fail(err, NIB_ERROR_ARGUMENT, "%s: unknown type \"%.64s\"; there are %s", what, name,
                    list);
}

static enum nib_status read_override(struct override *out, const char *text, struct nib_error *err)
{
    const char *equals = strrchr(text, '=');
    if (!equals || equals == text)
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "tensor type \"%.64s\": expected PATTERN=TYPE, as in attn_v=Q6_K", text);
    if (!find_type(equals + 1, &out->type))
        return fail_type(err, text, equals + 1);
    int error;
    PCRE2_SIZE at;
    out->pattern =
        pcre2_compile((PCRE2_SPTR)text, (PCRE2_SIZE)(equals - text), 0, &error, &at, NULL);
    if (out->pattern)
        return NIB_OK;
    PCRE2_UCHAR message[128] = "";
    pcre2_get_error_message(error, message, sizeof(message));
    return nib_fail(err, NIB_ERROR_ARGUMENT,
                    "tensor type \"%.64s\": no regular expression: %s at character %zu", text,
                    (const char *)message, (size_t)at + 1);
}

static enum nib_status read_overrides(struct overrides *o, const struct nib_quantize_params *params,
                                      struct nib_error *err)
{
    if (params->output_type && !find_type(params->output_type, &o->output))
        return fail_type(err, "the type of the output tensor", params->output_type);
    if (params->token_embedding_type &&
        !find_type(params->token_embedding_type, &o->token_embedding))
        return fail_type(err, "the type of the token embeddings", params->token_embedding_type);
    o->has_output = params->output_type;
    o->has_token_embedding = params->token_embedding_type;

    o->n = params->n_tensor_types;
    o->all = calloc(o->n ? o->n : 1, sizeof(*o->all));
    o->match = pcre2_match_data_create(1, NULL);
    if (!o->all || !o->match)
        return nib_fail_memory(err, o->n * sizeof(*o->all), "the types of tensors");
    enum nib_status status = NIB_OK;
    for (size_t i = 0; i < o->n && status == NIB_OK; i++)
        status = read_override(&o->all[i], params->tensor_types[i], err);
    return status;
}

/* The output's type is that of the token embeddings too where one matrix serves as both. */
static bool find_override(const struct overrides *o, const char *name, bool is_tied,
                          enum nib_type *out)
{
    const enum nib_role role = nib_role_of(name);
    if (o->has_token_embedding && role == NIB_ROLE_TOKEN_EMBD) {
        *out = o->token_embedding;
        return true;
    }
    if (o->has_output && (role == NIB_ROLE_OUTPUT || (role == NIB_ROLE_TOKEN_EMBD && is_tied))) {
        *out = o->output;
        return true;
    }
    for (size_t i = 0; i < o->n; i++)
        if (pcre2_match(o->all[i].pattern, (PCRE2_SPTR)name, strlen(name), 0, 0, o->match, NULL) >=
            0) {
            *out = o->all[i].type;
            return true;
        }
    return false;
}

/* ---- all tensors ----------------------------------------------------------------------------- */

struct place {
    const char *name;
    int64_t layer;
    size_t i;
};

static int compare_places(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->layer != y->layer)
        return x->layer < y->layer ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Rules count tensors by layer, in whatever order the file has them. */
static struct place *places_by_layer(const struct nib_gguf *gguf)
{
    const size_t n = nib_gguf_tensor_count(gguf);
    struct place *places = malloc((n ? n : 1) * sizeof(*places));
    for (size_t i = 0; places && i < n; i++) {
        const char *name = nib_gguf_tensor(gguf, i)->name;
        places[i] = (struct place){name, nib_layer_of(name), i};
    }
    if (places)
        qsort(places, n, sizeof(*places), compare_places);
    return places;
}

static struct nib_quantize_choice choose(struct nib_mix_walk *walk,
                                         const struct nib_gguf_tensor *tensor,
                                         const struct overrides *overrides, bool is_pure,
                                         bool is_folder)
{
    /* The small ones of a folder have the type of all others, but GGUF has them as floats. */
    const enum nib_type kept = is_folder ? NIB_TYPE_F32 : tensor->type;
    if (is_kept(tensor))
        return (struct nib_quantize_choice){kept, kept};
    enum nib_type type = walk->mix->type;
    if (!find_override(overrides, tensor->name, walk->is_tied, &type) && !is_pure)
        type = nib_mix_next(walk, tensor);
    return (struct nib_quantize_choice){fitting(type, tensor->dims[0]), type};
}

enum nib_status nib_quantize_plan(struct nib_quantize_choice *out, const struct nib_gguf *gguf,
                                  const struct nib_mix *mix,
                                  const struct nib_quantize_params *params, struct nib_error *err)
{
    struct overrides overrides = {0};
    struct place *places = NULL;
    enum nib_status status = read_overrides(&overrides, params, err);
    if (status != NIB_OK)
        goto done;
    places = places_by_layer(gguf);
    if (!places) {
        status = nib_fail_memory(err, nib_gguf_tensor_count(gguf) * sizeof(*places),
                                 "the order of tensors");
        goto done;
    }
    struct nib_mix_walk walk = nib_mix_begin(mix, gguf);
    const bool is_folder = nib_hf_is_folder(nib_gguf_path(gguf));
    for (size_t i = 0; i < nib_gguf_tensor_count(gguf); i++)
        out[places[i].i] = choose(&walk, nib_gguf_tensor(gguf, places[i].i), &overrides,
                                  params->is_pure, is_folder);

done:
    free(places);
    free_overrides(&overrides);
    return status;
}
