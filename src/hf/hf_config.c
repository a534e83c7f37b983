/* See hf_config.h. */
#include "hf_config.h"
#include "json_reader.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const struct nib_json_limits limits = {1 << 24, 1 << 20, 32};

/* ---- values ---------------------------------------------------------------------------------- */

static yyjson_val *find_in(yyjson_val *object, const char *names)
{
    while (*names) {
        const size_t n = strcspn(names, "|");
        yyjson_val *value = yyjson_obj_getn(object, names, n);
        if (value && !yyjson_is_null(value))
            return value;
        names += n + (names[n] == '|');
    }
    return NULL;
}

yyjson_val *nib_hf_find(const struct nib_hf_config *config, const char *names)
{
    yyjson_val *value = find_in(config->text, names);
    return value || config->text == config->root ? value : find_in(config->root, names);
}

static yyjson_val *find(const struct nib_hf_config *c, yyjson_val *object, const char *names)
{
    return object ? find_in(object, names) : nib_hf_find(c, names);
}

/* "PATH: NAME WHAT". */
static void fail(struct nib_hf_config *c, const char *name, const char *what)
{
    if (c->status == NIB_OK)
        c->status = nib_fail(c->err, NIB_ERROR_FILE, "%s: %s %s", c->path, name, what);
}

void nib_hf_no_memory(struct nib_hf_config *config, size_t n_bytes)
{
    if (config->status == NIB_OK)
        config->status = nib_fail_memory(config->err, n_bytes, "the configuration of a model");
}

/* Which of "a|b|c" the value has; the first if that cannot be told. */
static void show_name(const struct nib_hf_config *c, const char *names, const yyjson_val *value,
                      char out[64])
{
    const char *shown = names;
    for (const char *at = names; value; at++) {
        const size_t n = strcspn(at, "|");
        if (yyjson_obj_getn(c->text, at, n) == value || yyjson_obj_getn(c->root, at, n) == value)
            shown = at;
        at += n;
        if (*at == '\0')
            break;
    }
    snprintf(out, 64, "%.*s", (int)strcspn(shown, "|"), shown);
}

void nib_hf_refuse(struct nib_hf_config *config, const char *name, yyjson_val *value,
                   const char *rule)
{
    char what[320], shown[64] = "absent", first[64];
    char *text = value ? yyjson_val_write(value, YYJSON_WRITE_ALLOW_INF_AND_NAN, NULL) : NULL;
    if (text)
        nib_escape(shown, sizeof(shown), text, strlen(text));
    free(text);
    show_name(config, name, value, first);
    snprintf(what, sizeof(what), "is %s, %s", shown, rule);
    fail(config, first, what);
}

static double absent_number(struct nib_hf_config *c, const char *names, double absent)
{
    if (absent != NIB_HF_REQUIRED)
        return fmin(absent, UINT32_MAX);
    char first[64];
    snprintf(first, sizeof(first), "%.*s", (int)strcspn(names, "|"), names);
    fail(c, first, "is missing; get the complete folder again from its publisher");
    return 0;
}

uint32_t nib_hf_int(struct nib_hf_config *config, yyjson_val *object, const char *names,
                    double absent)
{
    yyjson_val *value = find(config, object, names);
    if (!value)
        return (uint32_t)absent_number(config, names, absent);
    if (yyjson_is_uint(value) && yyjson_get_uint(value) <= UINT32_MAX)
        return (uint32_t)yyjson_get_uint(value);
    nib_hf_refuse(config, names, value,
                  yyjson_is_str(value) ? "a string, expected an integer; get the file again from "
                                         "its publisher"
                                       : "expected an integer from 0 to 4294967295; get the file "
                                         "again from its publisher");
    return 0;
}

double nib_hf_float(struct nib_hf_config *config, yyjson_val *object, const char *names,
                    double absent)
{
    yyjson_val *value = find(config, object, names);
    if (!value)
        return absent_number(config, names, absent);
    if (yyjson_is_num(value) && fabs(yyjson_get_num(value)) <= FLT_MAX) /* NaN: neither */
        return yyjson_get_num(value);
    nib_hf_refuse(config, names, value,
                  "expected a finite number; get the file again from its publisher");
    return 0;
}

bool nib_hf_bool(struct nib_hf_config *config, yyjson_val *object, const char *names, bool absent)
{
    yyjson_val *value = find(config, object, names);
    if (!value)
        return absent;
    if (yyjson_is_bool(value))
        return yyjson_get_bool(value);
    nib_hf_refuse(config, names, value,
                  "expected true or false; get the file again from its publisher");
    return false;
}

const char *nib_hf_string(struct nib_hf_config *config, yyjson_val *object, const char *names)
{
    yyjson_val *value = find(config, object, names);
    if (!value)
        return NULL;
    const char *text = yyjson_get_str(value);
    if (text && strlen(text) == yyjson_get_len(value) && strlen(text) <= 64)
        return text;
    nib_hf_refuse(config, names, value,
                  "expected a string of at most 64 bytes; get the file again from its publisher");
    return NULL;
}

yyjson_val *nib_hf_object(struct nib_hf_config *config, yyjson_val *object, const char *names)
{
    yyjson_val *value = find(config, object, names);
    if (!value)
        return NULL;
    if (!yyjson_is_obj(value)) {
        nib_hf_refuse(config, names, value,
                      "expected an object; get the file again from its publisher");
        return NULL;
    }
    const enum nib_status status = nib_json_check_keys(value, config->path, names, config->err);
    if (config->status == NIB_OK)
        config->status = status;
    return status == NIB_OK ? value : NULL;
}

/* ---- keys ------------------------------------------------------------------------------------ */

enum { MAX_KEY = 128 };

static const char *full_key(const struct nib_hf_config *c, const char *name, char out[MAX_KEY])
{
    snprintf(out, MAX_KEY, "%s.%s", c->family->arch, name);
    return out;
}

void nib_hf_put_int(struct nib_hf_config *config, const char *name, uint32_t value)
{
    char key[MAX_KEY];
    nib_gguf_put_u32(config->image, full_key(config, name, key), value);
}

void nib_hf_put_float(struct nib_hf_config *config, const char *name, double value)
{
    char key[MAX_KEY];
    const float narrow = (float)fmax(-FLT_MAX, fmin(value, FLT_MAX));
    nib_gguf_put_f32(config->image, full_key(config, name, key), narrow);
}

void nib_hf_put_bool(struct nib_hf_config *config, const char *name, bool value)
{
    char key[MAX_KEY];
    nib_gguf_put_bool(config->image, full_key(config, name, key), value);
}

void nib_hf_put_string(struct nib_hf_config *config, const char *name, const char *value)
{
    char key[MAX_KEY];
    nib_gguf_put_string(config->image, full_key(config, name, key), nib_str_from(value));
}

void nib_hf_put_array(struct nib_hf_config *config, const char *name, enum nib_gguf_type type,
                      const void *elements, size_t n)
{
    char key[MAX_KEY];
    nib_gguf_put_array(config->image, full_key(config, name, key), type, elements, n);
}

/* ---- what kind of model it is ---------------------------------------------------------------- */

static void find_family(struct nib_hf_config *c)
{
    char list[512], what[704];
    const char *type = nib_hf_string(c, NULL, "model_type");
    if (c->status != NIB_OK)
        return;
    if (!type) {
        fail(
            c, "model_type",
            "is missing: this is no configuration of a model; name the folder of a complete model");
        return;
    }
    c->family = nib_hf_family_find(type);
    if (c->family)
        return;
    nib_hf_family_list(list, sizeof(list));
    snprintf(what, sizeof(what), "is \"%s\", a family that is not known; nibble runs: %s", type,
             list);
    fail(c, "model_type", what);
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), n_end = strlen(end);
    return n >= n_end && strcmp(text + n - n_end, end) == 0;
}

/* A classifier has the layers of a language model, but nothing that predicts tokens. */
static void check_architecture(struct nib_hf_config *c)
{
    static const char *const ends[] = {"ForCausalLM", "LMHeadModel", "ForConditionalGeneration",
                                       "MTModel",     "Model",       "LM"};
    yyjson_val *list = find_in(c->root, "architectures");
    if (!list || (yyjson_is_arr(list) && yyjson_arr_size(list) == 0))
        return;
    const char *name = yyjson_get_str(yyjson_arr_get_first(list));
    for (size_t i = 0; name && i < NIB_COUNT(ends); i++)
        if (ends_with(name, ends[i]))
            return;
    nib_hf_refuse(
        c, "architectures", list,
        "expected a model that generates text, as in LlamaForCausalLM; use another model");
}

static void check_unquantised(struct nib_hf_config *c)
{
    yyjson_val *how = nib_hf_find(c, "quantization_config|compression_config");
    if (!how)
        return;
    const char *method = yyjson_get_str(find_in(how, "quant_method"));
    if (!method)
        method = yyjson_get_str(find_in(how, "format"));
    if (!method)
        method = "a method that it does not name";
    char what[256];
    snprintf(what, sizeof(what),
             "says that the weights are quantised already, by %.40s, which nibble does not read "
             "yet; use the model that they were made from, or a GGUF file of it",
             method);
    fail(c, "quantization_config", what);
}

static enum nib_status identify(struct nib_hf_config *config)
{
    config->root = yyjson_doc_get_root(config->doc);
    if (!yyjson_is_obj(config->root))
        return nib_fail(config->err, NIB_ERROR_FILE,
                        "%s: is no JSON object; get the file again from its publisher",
                        config->path);
    config->status =
        nib_json_check_keys(config->root, config->path, "the configuration", config->err);
    if (config->status != NIB_OK)
        return config->status;
    config->text = config->root;
    yyjson_val *text = nib_hf_object(config, config->root, "text_config");
    if (text)
        config->text = text;
    find_family(config);
    if (config->status == NIB_OK)
        check_architecture(config);
    if (config->status == NIB_OK)
        check_unquantised(config);
    return config->status;
}

enum nib_status nib_hf_config_parse(struct nib_hf_config *config, const char *text, size_t n_bytes,
                                    const char *path, struct nib_error *err)
{
    *config = (struct nib_hf_config){.path = path, .err = err};
    const enum nib_status status = nib_json_parse(&config->doc, text, n_bytes, &limits, path, err);
    return status == NIB_OK ? identify(config) : status;
}

enum nib_status nib_hf_config_open(struct nib_hf_config *config, const char *path,
                                   struct nib_error *err)
{
    *config = (struct nib_hf_config){.path = path, .err = err};
    const enum nib_status status = nib_json_open(&config->doc, path, &limits, err);
    return status == NIB_OK ? identify(config) : status;
}

void nib_hf_config_free(struct nib_hf_config *config)
{
    yyjson_doc_free(config->doc);
    free(config->rope_freqs);
    free(config->rope_long);
    free(config->rope_short);
}

/* ---- the keys that all families have --------------------------------------------------------- */

static double or_required(double absent)
{
    return absent != 0 ? absent : NIB_HF_REQUIRED;
}

static void read_sizes(struct nib_hf_config *c)
{
    const struct nib_hf_family *f = c->family;
    c->n_layers = nib_hf_int(
        c, NULL, "num_hidden_layers|encoder_layers|num_layers|n_layer|n_layers", NIB_HF_REQUIRED);
    c->n_embd = nib_hf_int(c, NULL, "hidden_size|d_model|n_embd|n_embed", NIB_HF_REQUIRED);
    c->n_heads =
        nib_hf_int(c, NULL, "num_attention_heads|encoder_attention_heads|num_heads|n_head|n_heads",
                   or_required(f->absent.heads));
    c->n_kv_heads = nib_hf_int(c, NULL, "num_key_value_heads",
                               f->absent.kv_heads != 0 ? f->absent.kv_heads : c->n_heads);
    /* Where heads do not divide the hidden size, the key stays absent and the numbers are refused
     * by those who check them. */
    c->d_head = nib_hf_int(c, NULL, "head_dim|d_kv", f->absent.d_head);
    if (c->d_head == 0 && c->n_heads > 0 && c->n_embd % c->n_heads == 0)
        c->d_head = c->n_embd / c->n_heads;

    nib_hf_put_int(c, "block_count", c->n_layers);
    c->n_ctx = nib_hf_int(c, NULL, "max_position_embeddings|n_positions|max_seq_len|seq_length",
                          or_required(f->absent.context));
    nib_hf_put_int(c, "embedding_length", c->n_embd);
    c->n_ff = nib_hf_int(c, NULL,
                         "intermediate_size|encoder_ffn_dim|ffn_dim|d_ff|ffn_hidden_size|n_inner",
                         (f->flags & NIB_HF_FF_4X) ? 4.0 * c->n_embd : NIB_HF_REQUIRED);
    nib_hf_put_int(c, "attention.head_count", c->n_heads);
    if (nib_hf_find(c, "vocab_size"))
        nib_hf_put_int(c, "vocab_size", nib_hf_int(c, NULL, "vocab_size", 0));
    nib_hf_put_float(c,
                     f->flags & NIB_HF_RMS ? "attention.layer_norm_rms_epsilon"
                                           : "attention.layer_norm_epsilon",
                     nib_hf_float(c, NULL,
                                  "rms_norm_eps|layer_norm_eps|layer_norm_epsilon|norm_epsilon|"
                                  "norm_eps",
                                  or_required(f->absent.eps)));
}

/* After the family, which may have its own idea of them. */
static void put_sizes(struct nib_hf_config *c)
{
    nib_hf_put_int(c, "feed_forward_length", c->n_ff);
    const bool has_two_stacks = (c->family->flags & NIB_HF_TWO_STACKS) != 0;
    if (!has_two_stacks) /* else each stack has as many as heads */
        nib_hf_put_int(c, "attention.head_count_kv", c->n_kv_heads);
    if (c->d_head == 0 || (has_two_stacks && c->family->absent.d_head == 0))
        return;
    nib_hf_put_int(c, "attention.key_length", c->d_head);
    nib_hf_put_int(c, "attention.value_length", c->d_head);
}

static void read_activation(struct nib_hf_config *c)
{
    static const struct {
        const char *name, *is;
    } known[] = {
        {"silu", "silu"},
        {"swish", "silu"},
        {"gelu", "gelu"},
        {"gelu_python", "gelu"},
        {"gelu_new", "gelu_tanh"},
        {"gelu_fast", "gelu_tanh"},
        {"gelu_pytorch_tanh", "gelu_tanh"},
        {"gelu_tanh", "gelu_tanh"},
        {"relu", "relu"},
    };
    static const char names[] = "hidden_activation|hidden_act|activation_function|activation|"
                                "dense_act_fn";
    const struct nib_hf_family *f = c->family;
    const char *name = nib_hf_string(c, NULL, names);
    const char *t5 = name ? NULL : nib_hf_string(c, NULL, "feed_forward_proj");
    if (t5)
        name = strcmp(t5, "gated-gelu") == 0   ? "gelu_new"
               : strncmp(t5, "gated-", 6) == 0 ? t5 + 6
                                               : t5;
    if (!name)
        name = f->activation;
    if (name && (f->flags & NIB_HF_GELU_IS_TANH) && strcmp(name, "gelu") == 0)
        name = "gelu_tanh";
    for (size_t i = 0; name && i < NIB_COUNT(known); i++)
        if (strcmp(known[i].name, name) == 0) {
            nib_hf_put_string(c, "feed_forward.activation", known[i].is);
            return;
        }
    nib_hf_refuse(c, "hidden_act", nib_hf_find(c, names),
                  "which nibble does not compute; there are silu, gelu, gelu_new, "
                  "gelu_pytorch_tanh and relu: use another model");
}

static void read_experts(struct nib_hf_config *c)
{
    c->n_experts = nib_hf_int(c, NULL, "num_local_experts|num_experts", 0);
    if (c->n_experts == 0)
        return;
    nib_hf_put_int(c, "expert_count", c->n_experts);
    nib_hf_put_int(c, "expert_used_count",
                   nib_hf_int(c, NULL, "num_experts_per_tok", NIB_HF_REQUIRED));
    nib_hf_put_int(c, "expert_feed_forward_length",
                   nib_hf_int(c, NULL, "moe_intermediate_size|intermediate_size", NIB_HF_REQUIRED));
    if (nib_hf_find(c, "shared_expert_intermediate_size"))
        nib_hf_put_int(c, "expert_shared_feed_forward_length",
                       nib_hf_int(c, NULL, "shared_expert_intermediate_size", 0));
    nib_hf_put_bool(c, "expert_weights_norm",
                    (c->family->flags & NIB_HF_EXPERTS_NORMED) ||
                        nib_hf_bool(c, NULL, "norm_topk_prob", false));
}

/* ---- sliding windows ------------------------------------------------------------------------- */

/* Does the window of a layer count? */
static bool is_windowed(struct nib_hf_config *c, uint32_t layer)
{
    uint32_t period;
    switch (c->family->windows) {
    case NIB_HF_ALL_LAYERS:
    case NIB_HF_ALL_IF_USED:
        return true;
    case NIB_HF_IF_USED:
        return layer >= nib_hf_int(c, NULL, "max_window_layers", 28);
    case NIB_HF_EVEN_IF_USED:
        return layer % 2 == 0 && layer < nib_hf_int(c, NULL, "max_window_layers", 28);
    case NIB_HF_EVERY_2ND:
        return layer % 2 == 0;
    case NIB_HF_ALL_BUT_6TH:
        period = nib_hf_int(c, NULL, "sliding_window_pattern|_sliding_window_pattern", 6);
        return period == 0 || (layer + 1) % period != 0;
    default:
        return false;
    }
}

/* layer_types, or what the family does without it. */
static void read_pattern(struct nib_hf_config *c, uint8_t *pattern)
{
    yyjson_val *types = nib_hf_find(c, "layer_types");
    if (types && (!yyjson_is_arr(types) || yyjson_arr_size(types) != c->n_layers)) {
        nib_hf_refuse(c, "layer_types", types,
                      "expected an array with a word for each layer; get the file again from its "
                      "publisher");
        return;
    }
    yyjson_val *type = yyjson_arr_get_first(types);
    for (uint32_t i = 0; i < c->n_layers; i++, type = types ? unsafe_yyjson_get_next(type) : NULL) {
        if (!types) {
            pattern[i] = is_windowed(c, i);
        } else if (yyjson_equals_str(type, "sliding_attention")) {
            pattern[i] = 1;
        } else if (!yyjson_equals_str(type, "full_attention")) {
            nib_hf_refuse(c, "layer_types", type,
                          "a kind of layer that nibble does not run; there are sliding_attention "
                          "and full_attention: use another model");
            return;
        }
    }
}

static bool needs_consent(enum nib_hf_windows windows)
{
    return windows == NIB_HF_IF_USED || windows == NIB_HF_EVEN_IF_USED ||
           windows == NIB_HF_ALL_IF_USED || windows == NIB_HF_NAMED_IF_USED;
}

void nib_hf_put_windows(struct nib_hf_config *c, uint32_t window, const uint8_t *pattern)
{
    uint32_t n_windowed = 0;
    for (uint32_t i = 0; i < c->n_layers; i++)
        n_windowed += pattern[i];
    if (n_windowed > 0)
        nib_hf_put_int(c, "attention.sliding_window", window);
    if (n_windowed > 0 && n_windowed < c->n_layers)
        nib_hf_put_array(c, "attention.sliding_window_pattern", NIB_GGUF_BOOL, pattern,
                         c->n_layers);
}

static void read_windows(struct nib_hf_config *c)
{
    const struct nib_hf_family *f = c->family;
    if (f->windows == NIB_HF_NO_WINDOW ||
        (needs_consent(f->windows) && !nib_hf_bool(c, NULL, "use_sliding_window", false)))
        return;
    /* null is no window; an absent key is the family's. */
    const bool is_null = yyjson_is_null(yyjson_obj_get(c->text, "sliding_window"));
    const uint32_t window = nib_hf_int(c, NULL, "sliding_window", is_null ? 0 : f->absent.window);
    if (window == 0 || c->n_layers == 0 || c->n_layers > NIB_HF_MAX_LAYERS || c->status != NIB_OK)
        return;
    uint8_t *pattern = calloc(c->n_layers, 1);
    if (!pattern) {
        nib_hf_no_memory(c, c->n_layers);
        return;
    }
    read_pattern(c, pattern);
    nib_hf_put_windows(c, window, pattern);
    free(pattern);
}

/* ---- all of it ------------------------------------------------------------------------------- */

enum nib_status nib_hf_config_read(struct nib_hf_config *config, struct nib_gguf_image *image)
{
    assert(config->family && config->status == NIB_OK);
    const struct nib_hf_family *f = config->family;
    config->image = image;
    nib_gguf_put_string(image, "general.architecture", nib_str_from(f->arch));
    read_sizes(config);
    config->is_tied =
        nib_hf_bool(config, NULL, "tie_word_embeddings", (f->flags & NIB_HF_TIED) != 0);
    read_activation(config);
    read_experts(config);
    read_windows(config);
    if (f->extra && config->status == NIB_OK)
        f->extra(config);
    put_sizes(config);
    if ((f->flags & NIB_HF_ROPE) && config->status == NIB_OK)
        nib_hf_read_rope(config);
    nib_hf_put_int(config, "context_length", config->n_ctx);
    return config->status;
}
