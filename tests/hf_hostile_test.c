/* Folders that are wrong in one thing: each gives its error, and nothing else happens. */
#define _GNU_SOURCE
#include "hf_builder.h"

#include <unistd.h>

static struct scratch_dir scratch;
static struct nib_error err;

static int setup(void **state)
{
    (void)state;
    scratch_dir_create(&scratch);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scratch_dir_remove(&scratch);
    return 0;
}

static void expect_error_at(const char *path, const char *part)
{
    struct nib_gguf *gguf = (void *)&err;
    memset(&err, 0, sizeof(err));
    const enum nib_status status = nib_hf_open(&gguf, path, &err);
    if (status == NIB_OK || !strstr(err.message, part))
        fail_msg("expected \"%s\", got %d: %s", part, (int)status, err.message);
    assert_null(gguf);
}

static void expect_error(const char *part)
{
    expect_error_at(scratch.path, part);
}

static const struct hf_tensor embedding[] = {
    {"model.embed_tokens.weight", {4, 8}, NULL},
    {0},
};

#define SIZES                                                                                      \
    "\"hidden_size\":8,\"num_hidden_layers\":2,\"num_attention_heads\":2,"                         \
    "\"intermediate_size\":16,\"max_position_embeddings\":64,\"tie_word_embeddings\":true"
#define LLAMA            "{\"model_type\":\"llama\"," SIZES "}"
#define LLAMA_WITH(more) "{\"model_type\":\"llama\"," SIZES "," more "}"

static void expect_config_error(const char *config, const char *part)
{
    scratch_write(&scratch, "config.json", config);
    hf_write_weights(&scratch, "model.safetensors", embedding);
    expect_error(part);
}

static void expect_tensor_error(const char *config, const struct hf_tensor *tensors,
                                const char *part)
{
    scratch_write(&scratch, "config.json", config);
    hf_write_weights(&scratch, "model.safetensors", tensors);
    expect_error(part);
}

/* ---- what is there --------------------------------------------------------------------------- */

static void test_open_rejects_other_paths(void **state)
{
    (void)state;
    char path[512];
    expect_error("is a folder without config.json");
    expect_error_at("", "is no folder of a model");
    expect_error_at(scratch_path(&scratch, "none", path), "is no folder of a model");
    expect_error_at("/dev/null", "is no folder of a model");
    char *long_path = malloc(100001);
    memset(long_path, 'x', 100000);
    long_path[100000] = '\0';
    expect_error_at(long_path, "is no folder of a model");
    free(long_path);
}

static void test_open_rejects_folders_without_safetensors(void **state)
{
    (void)state;
    scratch_write(&scratch, "config.json", LLAMA);
    expect_error("has neither model.safetensors nor model.safetensors.index.json");
    scratch_write(&scratch, "tf_model.h5", "x");
    expect_error("its weights are in tf_model.h5, a format that nibble does not read");
    scratch_write(&scratch, "pytorch_model.bin", "x");
    expect_error("its weights are in pytorch_model.bin, a format that can run any program");
    scratch_write(&scratch, "model.safetensors", "");
    expect_error("the file is empty");
}

/* ---- S12: shards ----------------------------------------------------------------------------- */

#define INDEX "model.safetensors.index.json"
static const struct hf_tensor norm[] = {{"model.norm.weight", {8}, NULL}, {0}};
static const struct hf_tensor both[] = {
    {"model.embed_tokens.weight", {4, 8}, NULL}, {"model.norm.weight", {8}, NULL}, {0}};

static void expect_index_error(const char *index, const char *part)
{
    scratch_write(&scratch, "config.json", LLAMA);
    hf_write_weights(&scratch, "a.safetensors", embedding);
    hf_write_weights(&scratch, "b.safetensors", norm);
    scratch_write(&scratch, INDEX, index);
    expect_error(part);
}

static void test_open_rejects_names_of_shards(void **state)
{
    (void)state;
    static const char *const names[] = {
        "../a.safetensors",
        "/etc/passwd",
        "/etc/x.safetensors",
        "x/a.safetensors",
        "x\\\\a.safetensors",
        "..",
        "a.bin",
        ".safetensors",
        ".a.safetensors",
        "a.safetensors\\u0000",
        "",
    };
    for (size_t i = 0; i < NIB_COUNT(names); i++) {
        char index[256];
        snprintf(index, sizeof(index), "{\"weight_map\":{\"model.embed_tokens.weight\":\"%s\"}}",
                 names[i]);
        expect_index_error(index, "expected the name of a .safetensors file beside the index");
    }
    expect_index_error("{\"weight_map\":{\"model.embed_tokens.weight\":7}}",
                       "expected the name of a .safetensors file beside the index");
    expect_index_error("{\"weight_map\":{}}", "weight_map is missing or empty");
    expect_index_error("{\"weight_map\":[1]}", "weight_map is missing or empty");
    expect_index_error("[]", "weight_map is missing or empty");
    expect_index_error("{\"weight_map\":", "is no sound JSON");
    expect_index_error("{\"weight_map\":{\"x\":\"c.safetensors\"}}", "there is no such file");
    expect_index_error("{\"weight_map\":{\"x\":\"a.safetensors\",\"x\":\"b.safetensors\"}}",
                       "the key \"x\" is there twice");
}

static void test_open_rejects_shards_that_differ_from_the_index(void **state)
{
    (void)state;
    expect_index_error("{\"weight_map\":{\"model.embed_tokens.weight\":\"b.safetensors\","
                       "\"model.norm.weight\":\"a.safetensors\"}}",
                       "by the index it is in b.safetensors");
    expect_index_error("{\"weight_map\":{\"model.norm.weight\":\"a.safetensors\"}}",
                       "tensor model.embed_tokens.weight is not in the index");
    expect_index_error("{\"weight_map\":{\"model.embed_tokens.weight\":\"a.safetensors\","
                       "\"model.norm.weight\":\"b.safetensors\",\"z\":\"b.safetensors\"}}",
                       "tensor z should be in b.safetensors, but is not");
    /* the same tensor in two files */
    hf_write_weights(&scratch, "b.safetensors", both);
    scratch_write(&scratch, INDEX,
                  "{\"weight_map\":{\"model.embed_tokens.weight\":\"a.safetensors\","
                  "\"model.norm.weight\":\"b.safetensors\"}}");
    expect_error("tensor model.embed_tokens.weight is here, but by the index it is in a.saf");
}

static void test_links_out_of_the_folder_are_not_followed(void **state)
{
    (void)state;
    char target[512], link[512], folder[512];
    struct nib_gguf *gguf;
    hf_write_weights(&scratch, "elsewhere/model.safetensors", embedding);
    scratch_write(&scratch, "repo/snapshots/1/config.json", LLAMA);
    scratch_path(&scratch, "repo/snapshots/1", folder);
    scratch_path(&scratch, "repo/snapshots/1/model.safetensors", link);
    scratch_path(&scratch, "elsewhere/model.safetensors", target);
    assert_int_equal(symlink(target, link), 0);
    expect_error_at(folder, "leads out of the folder");
    unlink(link);
    assert_int_equal(symlink("../../../elsewhere/model.safetensors", link), 0);
    expect_error_at(folder, "leads out of the folder");
    unlink(link);

    /* As the hub's cache has it. */
    hf_write_weights(&scratch, "repo/blobs/0123", embedding);
    assert_int_equal(symlink("../../blobs/0123", link), 0);
    if (nib_hf_open(&gguf, folder, &err) != NIB_OK)
        fail_msg("%s", err.message);
    nib_gguf_close(gguf);
    unlink(link);
    hf_write_weights(&scratch, "repo/snapshots/1/x.safetensors", embedding);
    assert_int_equal(symlink("x.safetensors", link), 0);
    if (nib_hf_open(&gguf, folder, &err) != NIB_OK)
        fail_msg("%s", err.message);
    nib_gguf_close(gguf);
    unlink(link);
    assert_int_equal(symlink("nothing", link), 0);
    expect_error_at(folder, "has neither model.safetensors");
}

/* ---- S13: config.json ------------------------------------------------------------------------ */

static void test_config_must_be_json(void **state)
{
    (void)state;
    expect_config_error("{", "config.json: is no sound JSON");
    expect_config_error("[]", "config.json: is no JSON object");
    expect_config_error("null", "config.json: is no JSON object");
    expect_config_error("{\"a\":1,\"a\":2}", "the key \"a\" is there twice");
    expect_config_error("{\"a\":1}garbage", "is no sound JSON");
    expect_config_error("{\"a\":\"\xff\"}", "is no sound JSON");
    char *deep = malloc(200001);
    memset(deep, '[', 200000);
    deep[200000] = '\0';
    expect_config_error(deep, "deep, at most 32 are allowed");
    free(deep);
}

static void test_config_numbers(void **state)
{
    (void)state;
    static const char *const names[] = {"hidden_size", "num_hidden_layers", "num_attention_heads",
                                        "intermediate_size", "max_position_embeddings"};
    static const struct {
        const char *value, *part;
    } cases[] = {
        {"\"32\"", "is \"32\", a string, expected an integer"},
        {"1e99", ", expected an integer from 0 to 4294967295"},
        {"4.0", "is 4.0, expected an integer from 0 to 4294967295"},
        {"-2", "is -2, expected an integer from 0 to 4294967295"},
        {"4294967296", "is 4294967296, expected an integer from 0 to 4294967295"},
        {"18446744073709551616", "expected an integer from 0 to 4294967295"},
        {"[1]", "is [1], expected an integer from 0 to 4294967295"},
        {"true", "is true, expected an integer from 0 to 4294967295"},
        {"NaN", ", expected an integer from 0 to 4294967295"},
    };
    for (size_t n = 0; n < NIB_COUNT(names); n++)
        for (size_t i = 0; i < NIB_COUNT(cases); i++) {
            char config[1024] = "{\"model_type\":\"llama\"", part[128];
            for (size_t k = 0; k < NIB_COUNT(names); k++)
                snprintf(config + strlen(config), sizeof(config) - strlen(config), ",\"%s\":%s",
                         names[k], k == n ? cases[i].value : "8");
            strcat(config, "}");
            expect_config_error(config, cases[i].part);
            snprintf(part, sizeof(part), "config.json: %s is ", names[n]);
            assert_non_null(strstr(err.message, part));
        }
}

static void test_config_missing_keys(void **state)
{
    (void)state;
    expect_config_error("{}", "model_type is missing");
    expect_config_error("{\"model_type\":null}", "model_type is missing");
    expect_config_error("{\"model_type\":\"llama\"}", "num_hidden_layers is missing");
    expect_config_error("{\"model_type\":\"llama\",\"num_hidden_layers\":null,\"hidden_size\":8}",
                        "num_hidden_layers is missing");
    expect_config_error("{\"model_type\":\"llama\",\"num_hidden_layers\":2}",
                        "hidden_size is missing");
    expect_config_error("{\"model_type\":\"llama\",\"num_hidden_layers\":2,\"hidden_size\":8,"
                        "\"num_attention_heads\":2,\"max_position_embeddings\":9}",
                        "intermediate_size is missing");
}

static void test_config_floats_and_words(void **state)
{
    (void)state;
    static const struct {
        const char *more, *part;
    } cases[] = {
        {"\"rms_norm_eps\":\"1e-5\"", "rms_norm_eps is \"1e-5\", expected a finite number"},
        {"\"rms_norm_eps\":1e99", "expected a finite number"},
        {"\"rms_norm_eps\":NaN", "expected a finite number"},
        {"\"rope_theta\":Infinity", "expected a finite number"},
        {"\"rope_theta\":[]", "expected a finite number"},
        {"\"hidden_act\":\"quick_gelu\"", "hidden_act is \"quick_gelu\", which nibble does not"},
        {"\"hidden_act\":7", "expected a string of at most 64 bytes"},
        {"\"tie_word_embeddings2\":1,\"num_key_value_heads\":\"2\"",
         "a string, expected an integer"},
        {"\"rope_scaling\":7", "expected an object"},
        {"\"rope_scaling\":{\"type\":\"mrope\"}",
         "a scaling of positions that nibble does not run"},
        {"\"rope_scaling\":{\"type\":\"linear\"}", "factor is missing"},
        {"\"rope_scaling\":{\"type\":\"linear\",\"factor\":\"2\"}", "expected a finite number"},
        {"\"rope_scaling\":{\"type\":\"linear\",\"type\":\"yarn\"}", "\"type\" is there twice"},
        {"\"rope_scaling\":{\"type\":\"llama3\",\"factor\":0}", "its factors must be positive"},
        {"\"rope_scaling\":{\"type\":\"llama3\",\"low_freq_factor\":4}", "must be positive"},
        {"\"rope_scaling\":{\"type\":\"longrope\",\"factor\":2}", "long_factor is absent"},
        {"\"rope_scaling\":{\"type\":\"longrope\",\"factor\":2,\"long_factor\":[1,0],"
         "\"short_factor\":[1,1]}",
         "expected positive numbers"},
        {"\"rope_scaling\":{\"type\":\"longrope\",\"factor\":2,\"long_factor\":[1],"
         "\"short_factor\":[1,1]}",
         "expected a number for every two rotated values"},
        {"\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2,\"truncate\":7}",
         "expected true or false"},
        {"\"partial_rotary_factor\":2", "models of this family rotate whole heads"},
        {"\"partial_rotary_factor\":-1", "models of this family rotate whole heads"},
        {"\"architectures\":[\"LlamaForSequenceClassification\"]", "a model that generates text"},
        {"\"architectures\":7", "a model that generates text"},
        {"\"eos_token_id\":\"2\"", "eos_token_id must be an id"},
        {"\"eos_token_id\":[2,-1]", "eos_token_id must be an id"},
        {"\"text_config\":[]", "expected an object"},
    };
    for (size_t i = 0; i < NIB_COUNT(cases); i++) {
        char config[1024];
        snprintf(config, sizeof(config), "{\"model_type\":\"llama\"," SIZES ",%s}", cases[i].more);
        expect_config_error(config, cases[i].part);
    }
    expect_config_error("{\"model_type\":\"llama\",\"tie_word_embeddings\":1,\"hidden_size\":8,"
                        "\"num_hidden_layers\":2,\"num_attention_heads\":2,"
                        "\"intermediate_size\":16,\"max_position_embeddings\":64}",
                        "tie_word_embeddings is 1, expected true or false");
}

static void test_config_of_unknown_families(void **state)
{
    (void)state;
    expect_config_error("{\"model_type\":\"mamba\"}",
                        "model_type is \"mamba\", a family that is not known; nibble runs: bloom");
    assert_non_null(strstr(err.message, "qwen3_moe"));
    expect_config_error("{\"model_type\":7}", "model_type is 7, expected a string");
}

static void test_config_of_quantised_weights(void **state)
{
    (void)state;
    static const char *const methods[] = {"fp8", "gptq", "awq", "bitsandbytes", "mxfp4"};
    for (size_t i = 0; i < NIB_COUNT(methods); i++) {
        char config[512], part[64];
        snprintf(config, sizeof(config),
                 "{\"model_type\":\"llama\"," SIZES
                 ",\"quantization_config\":{\"quant_method\":\"%s\"}}",
                 methods[i]);
        snprintf(part, sizeof(part), "quantised already, by %s, which", methods[i]);
        expect_config_error(config, part);
    }
}

static void test_config_of_odd_models(void **state)
{
    (void)state;
    expect_config_error("{\"model_type\":\"opt\"," SIZES
                        ",\"ffn_dim\":16,\"word_embed_proj_dim\":4}",
                        "word_embed_proj_dim is 4, but nibble runs only");
    expect_config_error("{\"model_type\":\"opt\"," SIZES ",\"do_layer_norm_before\":false}",
                        "do_layer_norm_before is false");
    expect_config_error("{\"model_type\":\"bloom\"," SIZES
                        ",\"apply_residual_connection_post_layernorm\":true}",
                        "apply_residual_connection_post_layernorm is true");
    expect_config_error("{\"model_type\":\"gemma2\"," SIZES
                        ",\"layer_types\":[\"full_attention\"]}",
                        "expected an array with a word for each layer");
    expect_config_error("{\"model_type\":\"gemma2\"," SIZES
                        ",\"layer_types\":[\"full_attention\",\"linear_attention\"]}",
                        "a kind of layer that nibble does not run");
    expect_config_error("{\"model_type\":\"smollm3\"," SIZES ",\"no_rope_layers\":[1]}",
                        "no_rope_layers is [1], expected an array with a number for each layer");
}

static void test_config_of_models_that_would_be_computed_wrongly(void **state)
{
    (void)state;
    static const struct {
        const char *config, *part;
    } cases[] = {
        {"{\"model_type\":\"opt\"," SIZES ",\"layer_norm_elementwise_affine\":false}",
         "layer_norm_elementwise_affine is false, but nibble runs only"},
        {"{\"model_type\":\"bloom\"," SIZES ",\"slow_but_exact\":true,\"pretraining_tp\":2}",
         "slow_but_exact is true, which changes results"},
        {"{\"model_type\":\"mpt\"," SIZES ",\"attn_config\":{\"alibi\":false}}",
         "alibi is false, but nibble runs only models of this family with ALiBi"},
        {"{\"model_type\":\"mpt\"," SIZES ",\"logit_scale\":\"inv_sqrt_d_model\"}",
         "logit_scale is \"inv_sqrt_d_model\", but nibble runs only"},
        {"{\"model_type\":\"mpt\"," SIZES ",\"norm_type\":\"rmsnorm\"}",
         "norm_type is \"rmsnorm\", expected low_precision_layernorm"},
        {LLAMA_WITH("\"partial_rotary_factor\":0.5"),
         "partial_rotary_factor is 0.5, but models of this family rotate whole heads"},
        {"{\"model_type\":\"gemma3_text\"," SIZES
         ",\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"default\"},"
         "\"sliding_attention\":{\"rope_type\":\"linear\",\"factor\":2}}}",
         "but nibble scales only the positions of full_attention"},
    };
    for (size_t i = 0; i < NIB_COUNT(cases); i++)
        expect_config_error(cases[i].config, cases[i].part);
}

/* Numbers in range of JSON, but not of memory. */
static void test_config_huge_numbers_take_no_memory(void **state)
{
    (void)state;
    struct nib_gguf *gguf;
    scratch_write(&scratch, "config.json",
                  "{\"model_type\":\"gemma2\",\"hidden_size\":4294967295,\"num_hidden_layers\":"
                  "4294967295,\"num_attention_heads\":4294967295,\"intermediate_size\":4294967295,"
                  "\"max_position_embeddings\":4294967295,\"head_dim\":4294967295}");
    hf_write_weights(&scratch, "model.safetensors", embedding);
    assert_int_equal(nib_hf_open(&gguf, scratch.path, &err), NIB_OK);
    hf_expect_int(gguf, "gemma2.block_count", 4294967295);
    nib_gguf_close(gguf);
    scratch_write(
        &scratch, "config.json",
        LLAMA_WITH("\"head_dim\":4294967294,\"rope_scaling\":{\"rope_type\":\"llama3\"}"));
    assert_int_equal(nib_hf_open(&gguf, scratch.path, &err), NIB_OK);
    assert_null(nib_gguf_find(gguf, "rope_freqs.weight"));
    nib_gguf_close(gguf);
}

/* ---- tensors --------------------------------------------------------------------------------- */

#define EMBEDDING                                                                                  \
    {                                                                                              \
        "model.embed_tokens.weight", {4, 8}, NULL                                                  \
    }
#define LIST(...) ((const struct hf_tensor[]){EMBEDDING, __VA_ARGS__, {0}})

static void test_tensors_that_are_not_known(void **state)
{
    (void)state;
    static const char *const names[] = {
        "model.extra.weight",
        "model.layers.0.self_attn.q_proj.lora_A.weight",
        "model.layers.00.self_attn.q_proj.weight",
        "model.layers..self_attn.q_proj.weight",
        "model.layers.x.self_attn.q_proj.weight",
        "model.layers.99999999999.self_attn.q_proj.weight",
        "model.layers.0.self_attn.q_proj",
        "model.layers.0.self_attn.q_proj.weightx",
        "score.weight",
        "\xc3\xa9",
    };
    for (size_t i = 0; i < NIB_COUNT(names); i++)
        expect_tensor_error(LLAMA, LIST({names[i], {8, 8}, NULL}),
                            "is not known of models of the family llama");
    expect_tensor_error(LLAMA, LIST({"model.layers.2.self_attn.q_proj.weight", {8, 8}, NULL}),
                        "is of layer 2, but by config.json there are 2 layers");
}

static void test_tensors_of_quantised_weights(void **state)
{
    (void)state;
    static const char *const ends[] = {"qweight", "qzeros", "scales", "weight_scale_inv",
                                       "weight_scale"};
    for (size_t i = 0; i < NIB_COUNT(ends); i++) {
        char name[128];
        snprintf(name, sizeof(name), "model.layers.0.self_attn.q_proj.%s", ends[i]);
        expect_tensor_error(LLAMA, LIST({name, {8, 8}, NULL}), "quantised already");
    }
    expect_tensor_error(LLAMA, LIST({"model.norm.weight", {8}, "F8_E4M3"}),
                        "tensor model.norm.weight is of dtype F8_E4M3, which nibble does not read");
    expect_tensor_error(LLAMA, LIST({"model.norm.weight", {8}, "I16"}), "is of dtype I16");
}

/* Of a tensor that nobody needs, it does not matter. */
static void test_types_of_buffers_do_not_matter(void **state)
{
    (void)state;
    struct nib_gguf *gguf;
    scratch_write(&scratch, "config.json", LLAMA);
    hf_write_weights(&scratch, "model.safetensors",
                     LIST({"model.layers.0.self_attn.rotary_emb.inv_freq", {2}, "I16"},
                          {"lm_head.weight", {4, 8}, "F8_E4M3"}));
    if (nib_hf_open(&gguf, scratch.path, &err) != NIB_OK)
        fail_msg("%s", err.message);
    assert_int_equal(nib_gguf_tensor_count(gguf), 1);
    nib_gguf_close(gguf);
}

static void test_heads_must_be_there_or_tied(void **state)
{
    (void)state;
    static const char untied[] =
        "{\"model_type\":\"llama\",\"hidden_size\":8,\"num_hidden_layers\":2,"
        "\"num_attention_heads\":2,\"intermediate_size\":16,\"max_position_embeddings\":64}";
    struct nib_gguf *gguf;
    expect_tensor_error(untied, embedding, "no file has one");
    hf_write_weights(&scratch, "model.safetensors", LIST({"lm_head.weight", {4, 8}, NULL}));
    assert_int_equal(nib_hf_open(&gguf, scratch.path, &err), NIB_OK);
    assert_non_null(nib_gguf_find(gguf, "output.weight"));
    nib_gguf_close(gguf);
}

static void test_shapes_that_cannot_be_seen(void **state)
{
    (void)state;
    expect_tensor_error(LLAMA, LIST({"model.layers.0.self_attn.q_proj.weight", {6, 8}, NULL}),
                        "has the shape [6, 8], expected an even number of rows for each of 2");
    expect_tensor_error(LLAMA, LIST({"model.layers.0.self_attn.q_proj.weight", {2, 4, 8}, NULL}),
                        "expected an even number of rows");
    expect_tensor_error("{\"model_type\":\"bloom\",\"hidden_size\":8,\"n_layer\":1,\"n_head\":2}",
                        (const struct hf_tensor[]){
                            {"h.0.self_attention.query_key_value.weight", {23, 8}, NULL}, {0}},
                        "expected 4 rows for each of 2 queries, 2 keys and as many values");
    expect_tensor_error(
        "{\"model_type\":\"gpt2\",\"n_embd\":8,\"n_layer\":1,\"n_head\":2}",
        (const struct hf_tensor[]){{"h.0.attn.c_attn.weight", {2, 3, 4}, NULL}, {0}},
        "expected two dimensions");
    expect_tensor_error("{\"model_type\":\"gemma\"," SIZES "}",
                        (const struct hf_tensor[]){{"model.norm.weight", {8, 8}, NULL}, {0}},
                        "expected one dimension");
    expect_tensor_error(
        "{\"model_type\":\"opt\"," SIZES "}",
        (const struct hf_tensor[]){{"decoder.embed_positions.weight", {2, 8}, NULL}, {0}},
        "expected a matrix of at least three rows");
    expect_tensor_error(LLAMA_WITH("\"num_key_value_heads\":0"),
                        LIST({"model.layers.0.self_attn.k_proj.weight", {8, 8}, NULL}),
                        "for each of 0 heads");
}

static void test_experts_must_be_complete_and_alike(void **state)
{
    (void)state;
#define MOE     "{\"model_type\":\"olmoe\"," SIZES ",\"num_experts\":2,\"num_experts_per_tok\":1}"
#define GATE(e) "model.layers.0.mlp.experts." e ".gate_proj.weight"
    expect_tensor_error(MOE, LIST({GATE("0"), {16, 8}, NULL}),
                        "is one of 1 parts of blk.0.ffn_gate");
    expect_tensor_error(MOE, LIST({GATE("0"), {16, 8}, NULL}, {GATE("2"), {16, 8}, NULL}),
                        "expected all from 0 to 1");
    expect_tensor_error(
        MOE,
        LIST({GATE("0"), {16, 8}, NULL}, {GATE("1"), {16, 8}, NULL}, {GATE("2"), {16, 8}, NULL}),
        "is one of 3 parts");
    expect_tensor_error(MOE, LIST({GATE("0"), {16, 8}, NULL}, {GATE("1"), {8, 16}, NULL}),
                        "expected that and the type of the other parts");
    expect_tensor_error(MOE, LIST({GATE("0"), {16, 8}, NULL}, {GATE("1"), {16, 8}, "F16"}),
                        "expected that and the type of the other parts");
    expect_tensor_error(MOE, LIST({"model.layers.0.mlp.experts.gate_up_proj", {2, 15, 8}, NULL}),
                        "expected a matrix for each expert");
    expect_tensor_error(MOE, LIST({"model.layers.0.mlp.experts.down_proj", {3, 8, 16}, NULL}),
                        "expected a matrix for each expert");
    expect_tensor_error(MOE,
                        LIST({"model.layers.0.mlp.experts.down_proj", {2, 8, 16}, NULL},
                             {"model.layers.0.mlp.experts.0.down_proj.weight", {8, 16}, NULL}),
                        "are the same part of the model");
    expect_tensor_error("{\"model_type\":\"olmoe\"," SIZES ",\"num_experts\":2}", embedding,
                        "num_experts_per_tok is missing");
}

static void test_a_tensor_with_and_without_prefix(void **state)
{
    (void)state;
    expect_tensor_error(LLAMA, LIST({"embed_tokens.weight", {4, 8}, NULL}),
                        "are the same part of the model");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_open_rejects_other_paths, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open_rejects_folders_without_safetensors, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_open_rejects_names_of_shards, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open_rejects_shards_that_differ_from_the_index, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_links_out_of_the_folder_are_not_followed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_config_must_be_json, setup, teardown),
        cmocka_unit_test_setup_teardown(test_config_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_config_missing_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_config_floats_and_words, setup, teardown),
        cmocka_unit_test_setup_teardown(test_config_of_unknown_families, setup, teardown),
        cmocka_unit_test_setup_teardown(test_config_of_quantised_weights, setup, teardown),
        cmocka_unit_test_setup_teardown(test_config_of_odd_models, setup, teardown),
        cmocka_unit_test_setup_teardown(test_config_of_models_that_would_be_computed_wrongly, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_config_huge_numbers_take_no_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tensors_that_are_not_known, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tensors_of_quantised_weights, setup, teardown),
        cmocka_unit_test_setup_teardown(test_types_of_buffers_do_not_matter, setup, teardown),
        cmocka_unit_test_setup_teardown(test_heads_must_be_there_or_tied, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shapes_that_cannot_be_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(test_experts_must_be_complete_and_alike, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_tensor_with_and_without_prefix, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
