/* Opening and closing a model, and what its tokenizer and template do for the public interface. */
#include "chat.h"
#include "gguf_file.h"
#include "hf_folder.h"
#include "model.h"
#include "os.h"
#include "pack_cache.h"
#include "packed_file.h"
#include "tokenizer.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- opening --------------------------------------------------------------------------------- */

void nib_model_params_init(struct nib_model_params *params)
{
    *params = (struct nib_model_params){.cache_limit = UINT64_C(8) << 30,
                                        .cache_minimum = UINT64_C(256) << 20};
}

/* The level that was asked for, by the caller or the environment, or the best. */
static enum nib_status choose_isa(struct nib_model *model, const char *isa, struct nib_error *err)
{
    const unsigned all = nib_cpu_features();
    unsigned features = all;
    const char *source = "isa";
    if (!isa) {
        isa = getenv("NIBBLE_ISA");
        source = "NIBBLE_ISA";
    }
    if (isa && *isa) {
        const bool is_known = nib_isa_features(isa, &features);
        if (!is_known || (features & ~all) != 0)
            return nib_fail(err, NIB_ERROR_CPU,
                            "%s=%.40s: %s; this CPU has: %s; unset %s or set it to one of these",
                            source, isa,
                            is_known ? "this CPU lacks that instruction set"
                                     : "there is no such instruction set",
                            nib_isa_list(all), source);
    }
    model->cpu_features = features;
    model->info.isa = nib_isa_name(features);
    nib_kernels_init(&model->kernels, features);
    return NIB_OK;
}

static enum nib_status choose_family(struct nib_model *model, const struct nib_gguf *gguf,
                                     struct nib_error *err)
{
    struct nib_str name;
    if (!nib_gguf_string(gguf, "general.architecture", &name))
        return nib_fail(err, NIB_ERROR_FILE,
                        "%s: the key general.architecture is missing or no string; this file holds "
                        "no model: use the GGUF file of a model",
                        nib_gguf_path(gguf));
    model->family = nib_family_find(name);
    if (model->family)
        return NIB_OK;
    char shown[64];
    nib_escape(shown, sizeof(shown), name.data, name.len);
    return nib_fail(err, NIB_ERROR_FILE,
                    "%s: models of the family \"%s\" are not known; nibble runs: %s",
                    nib_gguf_path(gguf), shown, nib_family_list());
}

/* An id of the decoder's vocabulary, or -1 where the file has none. */
static enum nib_status read_id(const struct nib_model *model, const struct nib_gguf *gguf,
                               const char *key, int32_t *out, struct nib_error *err)
{
    int64_t id = -1;
    *out = -1;
    if (!nib_gguf_has(gguf, key))
        return NIB_OK;
    if (!nib_gguf_int(gguf, key, &id) || id < 0 || id >= model->config.n_vocab)
        return nib_fail(err, NIB_ERROR_FILE,
                        "%s: %s is no id of the vocabulary, expected 0 to %u; get the file again",
                        nib_gguf_path(gguf), key, model->config.n_vocab - 1);
    *out = (int32_t)id;
    return NIB_OK;
}

/* An array of such ids; none if the file has none. */
static enum nib_status read_ids(const struct nib_model *model, const struct nib_gguf *gguf,
                                const char *key, int32_t **out, size_t *n_out,
                                struct nib_error *err)
{
    size_t n;
    if (!nib_gguf_ints(gguf, key, &n) || n == 0)
        return NIB_OK;
    int64_t *ids = malloc(n * sizeof(*ids));
    *out = malloc(n * sizeof(**out));
    if (!ids || !*out) {
        free(ids);
        return nib_fail_memory(err, n * sizeof(*ids), "ids");
    }
    nib_gguf_copy_ints(gguf, key, ids);
    enum nib_status status = NIB_OK;
    for (size_t i = 0; i < n && status == NIB_OK; i++) {
        (*out)[i] = (int32_t)ids[i];
        if (ids[i] < 0 || ids[i] >= model->config.n_vocab)
            status =
                nib_fail(err, NIB_ERROR_FILE,
                         "%s: %s: %lld is no id of the vocabulary, expected 0 to %u; get the "
                         "file again",
                         nib_gguf_path(gguf), key, (long long)ids[i], model->config.n_vocab - 1);
    }
    free(ids);
    *n_out = n;
    return status;
}

/* What ends an answer of a model without a tokenizer. */
static enum nib_status read_ends(struct nib_model *model, const struct nib_gguf *gguf,
                                 struct nib_error *err)
{
    enum nib_status status =
        read_id(model, gguf, "tokenizer.ggml.eos_token_id", &model->info.eos_id, err);
    if (status == NIB_OK)
        status =
            read_ids(model, gguf, "nibble.eos_token_ids", &model->end_ids, &model->n_end_ids, err);
    if (status == NIB_OK && model->info.eos_id < 0 && model->n_end_ids > 0)
        model->info.eos_id = model->end_ids[0];
    return status;
}

static enum nib_status open_tokenizer(struct nib_model *model, const struct nib_gguf *gguf,
                                      struct nib_error *err)
{
    static const char *const keys[] = {"tokenizer.ggml.model", "tokenizer.huggingface.json",
                                       "nibble.tokenizer.model"};
    bool has_tokenizer = false;
    for (size_t i = 0; i < NIB_COUNT(keys); i++)
        has_tokenizer |= nib_gguf_has(gguf, keys[i]);
    struct nib_str kind = {0}; /* GGUF has two words for none */
    (void)nib_gguf_string(gguf, keys[0], &kind);
    if (!has_tokenizer || nib_str_equal(kind, NIB_STR("no_vocab")) ||
        nib_str_equal(kind, NIB_STR("none")))
        return read_ends(model, gguf, err);
    const enum nib_status status = nib_tokenizer_from_gguf(&model->tokenizer, gguf, err);
    if (status != NIB_OK)
        return status;
    const size_t n = nib_tokenizer_info(model->tokenizer)->n_vocab;
    const uint32_t n_source = model->encoder ? model->encoder->config.n_vocab : 0;
    if (n <= model->config.n_vocab || n <= n_source)
        return NIB_OK;
    return nib_fail(err, NIB_ERROR_FILE,
                    "%s: token_embd.weight: %u rows, expected one for each of the %zu tokens; the "
                    "file contradicts itself: get it again from its publisher",
                    nib_gguf_path(gguf), (unsigned)model->config.n_vocab, n);
}

static void fill_info(struct nib_model *model)
{
    struct nib_model_info *info = &model->info;
    const struct nib_config *c = &model->config;
    const struct nib_tokenizer_info none = {.kind = "",
                                            .pre_tokenizer = "",
                                            .n_vocab = c->n_vocab,
                                            .bos_id = -1,
                                            .eos_id = info->eos_id,
                                            .unk_id = -1};
    const struct nib_tokenizer_info *t =
        model->tokenizer ? nib_tokenizer_info(model->tokenizer) : &none;
    info->family = model->family->name;
    info->tokenizer = t->kind;
    info->pre_tokenizer = t->pre_tokenizer;
    info->n_vocab = c->n_vocab;
    info->n_source_vocab = model->encoder ? model->encoder->config.n_vocab : c->n_vocab;
    /* A tokenizer of both sides may have more tokens than are decoded. */
    info->n_tokens = t->n_vocab < c->n_vocab ? (uint32_t)t->n_vocab : c->n_vocab;
    info->n_ctx_train = c->n_ctx;
    info->scales_by_context = c->rope[NIB_ROPE_GLOBAL].scaling == NIB_SCALING_DYNAMIC ||
                              c->rope[NIB_ROPE_GLOBAL].scaling == NIB_SCALING_LONG;
    info->n_layers = c->n_layers;
    info->n_embd = c->n_embd;
    info->n_heads = c->n_heads;
    info->n_kv_heads = c->n_kv_heads;
    info->d_head = c->d_head;
    info->n_ff = c->n_ff;
    info->bos_id = t->bos_id;
    info->eos_id = t->eos_id;
    info->adds_bos = t->adds_bos;
    info->adds_eos = t->adds_eos;
}

/* What decoding begins and ends with. */
static enum nib_status read_decoder_ids(struct nib_model *model, const struct nib_gguf *gguf,
                                        struct nib_error *err)
{
    struct nib_model_info *info = &model->info;
    char start[128];
    snprintf(start, sizeof(start), "%s.decoder_start_token_id", model->family->name);
    enum nib_status status = read_id(model, gguf, start, &info->decoder_start_id, err);
    if (status == NIB_OK && info->decoder_start_id < 0)
        status = nib_fail(err, NIB_ERROR_FILE,
                          "%s: %s is missing, with which every answer begins; get the file again",
                          nib_gguf_path(gguf), start);
    if (status == NIB_OK)
        status = read_id(model, gguf, "nibble.forced_bos_token_id", &info->forced_bos_id, err);
    if (status == NIB_OK)
        status = read_id(model, gguf, "nibble.forced_eos_token_id", &info->forced_eos_id, err);
    info->has_encoder = true;
    if (status == NIB_OK)
        status =
            read_ids(model, gguf, "nibble.bad_token_ids", &model->bad_ids, &info->n_bad_ids, err);
    info->bad_ids = model->bad_ids;
    return status;
}

static enum nib_status add_encoder(struct nib_model *model, const struct nib_gguf *gguf,
                                   struct nib_error *err)
{
    struct nib_model *encoder = model->encoder = calloc(1, sizeof(*encoder));
    if (!encoder)
        return nib_fail_memory(err, sizeof(*encoder), "a model");
    encoder->kernels = model->kernels;
    encoder->family = model->family;
    encoder->is_encoder = true;
    const enum nib_status status =
        nib_config_from_gguf(&encoder->config, gguf, model->family, true, err);
    return status == NIB_OK ? read_decoder_ids(model, gguf, err) : status;
}

/* What is quick to refuse comes first. */
static enum nib_status load_parts(struct nib_model *model, const struct nib_gguf *gguf,
                                  const struct nib_packed *packed,
                                  const struct nib_model_params *params, struct nib_error *err)
{
    enum nib_status status = choose_family(model, gguf, err);
    if (status == NIB_OK)
        status = nib_config_from_gguf(&model->config, gguf, model->family, false, err);
    if (status == NIB_OK && model->family->encoder_tensors)
        status = add_encoder(model, gguf, err);
    if (status == NIB_OK)
        status = open_tokenizer(model, gguf, err);
    if (status == NIB_OK)
        status = nib_facts_from_gguf(model, gguf, err);
    if (status == NIB_OK)
        status = nib_weights_load(model, gguf, packed, params, err);
    if (status == NIB_OK)
        fill_info(model);
    return status;
}

static enum nib_status load(struct nib_model *model, struct nib_gguf *gguf,
                            const struct nib_model_params *params, struct nib_error *err)
{
    if (!nib_packed_is(gguf))
        return load_parts(model, gguf, NULL, params, err);
    struct nib_packed packed;
    enum nib_status status = nib_packed_open(&packed, gguf, params->type, err);
    if (status == NIB_OK)
        status = load_parts(model, gguf, &packed, params, err);
    nib_packed_free(&packed);
    return status;
}

enum nib_status nib_model_load(struct nib_model **out, const char *path,
                               const struct nib_model_params *params, nib_loaded_fn *loaded,
                               void *data, struct nib_error *err)
{
    struct nib_gguf *gguf = NULL;
    *out = NULL;
    struct nib_model *model = calloc(1, sizeof(*model));
    if (!model)
        return nib_fail_memory(err, sizeof(*model), "a model");
    model->info.decoder_start_id = model->info.forced_bos_id = model->info.forced_eos_id = -1;
    enum nib_status status = choose_isa(model, params->isa, err);
    if (status == NIB_OK)
        status = nib_hf_is_folder(path) ? nib_hf_open(&gguf, path, err)
                                        : nib_gguf_open(&gguf, path, err);
    if (status == NIB_OK)
        status = load(model, gguf, params, err);
    if (status == NIB_OK && loaded)
        status = loaded(model, gguf, data, err);
    if (status == NIB_OK && nib_packed_is(gguf))
        model->packed_file = nib_gguf_take_file(gguf);
    else if (gguf && nib_packed_is(gguf))
        model->arena = NULL; /* goes with the file */
    nib_gguf_close(gguf);
    if (status != NIB_OK) {
        nib_model_close(model);
        return status;
    }
    *out = model;
    return NIB_OK;
}

enum nib_status nib_model_open(struct nib_model **out, const char *path,
                               const struct nib_model_params *params, struct nib_error *err)
{
    struct nib_model_params defaults;
    *out = NULL;
    nib_model_params_init(&defaults);
    if (!params)
        params = &defaults;
    if (!path)
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "no path was given; name a GGUF file or a Hugging Face folder");
    return params->cache ? nib_pack_cache_open(out, path, params, err)
                         : nib_model_load(out, path, params, NULL, NULL, err);
}

void nib_model_close(struct nib_model *model)
{
    if (!model)
        return;
    nib_pack_keeper_end(model->keeper); /* it reads the arena */
    nib_model_close(model->encoder);
    nib_tokenizer_free(model->tokenizer);
    if (model->packed_file.data)
        nib_os_unmap(&model->packed_file);
    else
        nib_os_free(model->arena, model->arena_bytes);
    nib_facts_free(model);
    free(model->types);
    free(model->cache_note);
    nib_distance_bias_free(model);
    free(model->slopes);
    free(model->bad_ids);
    free(model->end_ids);
    free(model->layers);
    free(model);
}

/* ---- asking ---------------------------------------------------------------------------------- */

const struct nib_model_info *nib_model_info(const struct nib_model *model)
{
    return &model->info;
}

void nib_model_memory(const struct nib_model *model, struct nib_memory_info *out)
{
    const struct nib_pages pages = nib_os_pages(model->arena, model->arena_bytes);
    *out = (struct nib_memory_info){model->arena_bytes, pages.resident, pages.huge};
}

size_t nib_model_tensor_count(const struct nib_model *model)
{
    return model->n_tensors;
}

void nib_model_tensor(const struct nib_model *model, size_t i, struct nib_tensor_info *out)
{
    assert(i < model->n_tensors);
    *out = model->tensors[i];
}

bool nib_model_metadata(const struct nib_model *model, size_t i, const char **key,
                        const char **value)
{
    if (i >= model->n_texts) {
        *key = *value = NULL;
        return false;
    }
    *key = model->texts[i].key;
    *value = model->texts[i].value;
    return true;
}

/* ---- text and ids ---------------------------------------------------------------------------- */

static enum nib_status check_tokenizer(const struct nib_model *model, struct nib_error *err)
{
    if (model->tokenizer)
        return NIB_OK;
    return nib_fail(err, NIB_ERROR_ARGUMENT,
                    "this model came without a tokenizer, so it takes ids only (--ids); put its "
                    "tokenizer.json or tokenizer.model beside it for text");
}

enum nib_status nib_tokenize(const struct nib_model *model, const char *text, size_t n_bytes,
                             unsigned flags, int32_t **ids, size_t *n_ids, struct nib_error *err)
{
    *ids = NULL;
    *n_ids = 0;
    if (check_tokenizer(model, err) != NIB_OK)
        return NIB_ERROR_ARGUMENT;
    return nib_tokenizer_encode(model->tokenizer, (struct nib_str){text, n_bytes}, flags, ids,
                                n_ids, err);
}

enum nib_status nib_detokenize(const struct nib_model *model, const int32_t *ids, size_t n_ids,
                               unsigned flags, char **text, size_t *n_bytes, struct nib_error *err)
{
    *text = NULL;
    *n_bytes = 0;
    if (check_tokenizer(model, err) != NIB_OK)
        return NIB_ERROR_ARGUMENT;
    return nib_tokenizer_decode(model->tokenizer, ids, n_ids, flags, text, n_bytes, err);
}

const char *nib_token_name(const struct nib_model *model, int32_t id)
{
    return model->tokenizer ? nib_tokenizer_name(model->tokenizer, id) : NULL;
}

bool nib_token_is_end(const struct nib_model *model, int32_t id)
{
    if (model->tokenizer)
        return nib_tokenizer_is_end(model->tokenizer, id);
    bool is_end = id >= 0 && id == model->info.eos_id;
    for (size_t i = 0; i < model->n_end_ids; i++)
        is_end |= id == model->end_ids[i];
    return is_end;
}

enum nib_status nib_text_stream_create(struct nib_text_stream **out, const struct nib_model *model,
                                       struct nib_error *err)
{
    *out = NULL;
    if (check_tokenizer(model, err) != NIB_OK)
        return NIB_ERROR_ARGUMENT;
    return nib_text_stream_create_from(out, model->tokenizer, err);
}

/* Without data where the model has no such token. */
static struct nib_str token_name(const struct nib_model *model, int32_t id)
{
    const char *name = id >= 0 ? nib_token_name(model, id) : NULL;
    return name ? nib_str_from(name) : (struct nib_str){0};
}

enum nib_status nib_chat_format(const struct nib_model *model, const char *source,
                                const struct nib_chat_message *messages, size_t n_messages,
                                bool add_generation_prompt, char **text, struct nib_error *err)
{
    return nib_chat_format_with(model, source, messages, n_messages, add_generation_prompt, NULL,
                                text, err);
}

enum nib_status nib_chat_format_with(const struct nib_model *model, const char *source,
                                     const struct nib_chat_message *messages, size_t n_messages,
                                     bool add_generation_prompt, const char *variables, char **text,
                                     struct nib_error *err)
{
    *text = NULL;
    if (!source)
        source = model->info.chat_template;
    if (!source)
        return nib_fail(
            err, NIB_ERROR_TEMPLATE,
            "the model's file has no chat template, so that nothing says how a "
            "conversation is written for it; give a template, or let the model continue "
            "plain text");
    return nib_chat_render(nib_str_from(source), messages, n_messages, add_generation_prompt,
                           variables ? nib_str_from(variables) : (struct nib_str){0},
                           token_name(model, model->info.bos_id),
                           token_name(model, model->info.eos_id), text, err);
}
