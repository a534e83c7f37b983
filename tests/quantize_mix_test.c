/*
 * Which tensor gets which type, against what llama-quantize gives (data/quants/mixes.txt).  A line
 * is MODEL MIX TENSOR TYPE*COUNT ...: the types of blk.0.TENSOR.weight, blk.1..., or of
 * TENSOR.weight.
 */
#include "golden_data.h"
#include "gguf_builder.h"
#include "gguf_file.h"
#include "quantize_plan.h"

enum { MAX_KINDS = 8 };

static const struct model {
    const char *name, *family;
    uint32_t n_layers, n_heads, n_kv_heads, n_experts;
    bool is_tied;
    uint64_t n_cols;
    const char *kinds[MAX_KINDS];
} models[] = {
#define DENSE                                                                                      \
    {                                                                                              \
        "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"              \
    }
#define EXPERTS                                                                                    \
    {                                                                                              \
        "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate_exps", "ffn_up_exps",               \
            "ffn_down_exps"                                                                        \
    }
    {"gqa4", "llama", 32, 8, 2, 0, false, 256, DENSE},
    {"gqa1_tied", "llama", 22, 8, 8, 0, true, 256, DENSE},
    {"l70b", "llama", 80, 8, 1, 0, false, 256, DENSE},
    {"moe8", "llama", 16, 8, 2, 8, false, 256, EXPERTS},
    {"moe4", "llama", 9, 8, 8, 4, true, 256, EXPERTS},
    {"falcon",
     "falcon",
     32,
     8,
     1,
     0,
     false,
     256,
     {"attn_qkv", "attn_output", "ffn_up", "ffn_down"}},
    {"narrow", "llama", 8, 8, 2, 0, false, 96, DENSE},
    {"odd", "llama", 4, 8, 2, 0, false, 40, DENSE},
};
enum { N_MODELS = sizeof(models) / sizeof(models[0]) };

static void add_u32(struct gguf_builder *b, const char *family, const char *key, uint32_t value)
{
    char full[64];
    snprintf(full, sizeof(full), "%s.%s", family, key);
    gguf_add_u32(b, full, value);
}

static void add_matrix(struct gguf_builder *b, const struct model *m, const char *name)
{
    const bool has_experts = strstr(name, "_exps");
    const uint64_t dims[3] = {m->n_cols, 2, m->n_experts};
    gguf_add_tensor(b, name, NIB_TYPE_F32, has_experts ? 3 : 2, dims, NULL,
                    (size_t)(m->n_cols * 2 * (has_experts ? m->n_experts : 1) * 4));
}

/* Layers from the last to the first: the order in the file must not matter. */
static void build(struct gguf_builder *b, const struct model *m)
{
    gguf_builder_init(b);
    gguf_add_string(b, "general.architecture", m->family);
    add_u32(b, m->family, "block_count", m->n_layers);
    add_u32(b, m->family, "attention.head_count", m->n_heads);
    add_u32(b, m->family, "attention.head_count_kv", m->n_kv_heads);
    if (m->n_experts > 0)
        add_u32(b, m->family, "expert_count", m->n_experts);
    for (uint32_t layer = m->n_layers; layer-- > 0;) {
        char name[64];
        for (size_t k = 0; k < MAX_KINDS && m->kinds[k]; k++) {
            snprintf(name, sizeof(name), "blk.%u.%s.weight", layer, m->kinds[k]);
            add_matrix(b, m, name);
        }
        snprintf(name, sizeof(name), "blk.%u.ffn_gate_inp.weight", layer);
        add_matrix(b, m, name);
        snprintf(name, sizeof(name), "blk.%u.attn_norm.weight", layer);
        gguf_add_tensor(b, name, NIB_TYPE_F32, 1, &m->n_cols, NULL, (size_t)m->n_cols * 4);
    }
    add_matrix(b, m, "token_embd.weight");
    if (!m->is_tied)
        add_matrix(b, m, "output.weight");
}

/* A model that is open, and the choices of one mix. */
static struct {
    uint8_t *image;
    struct nib_gguf *gguf;
    struct nib_quantize_choice *choices;
    const struct model *model;
    char mix[16];
} open_model;

static void close_model(void)
{
    nib_gguf_close(open_model.gguf);
    free(open_model.image);
    free(open_model.choices);
    memset(&open_model, 0, sizeof(open_model));
}

static void use_model(const char *name)
{
    if (open_model.model && strcmp(open_model.model->name, name) == 0)
        return;
    close_model();
    for (size_t i = 0; i < N_MODELS; i++)
        if (strcmp(models[i].name, name) == 0)
            open_model.model = &models[i];
    assert_non_null(open_model.model);
    struct gguf_builder b;
    size_t n_bytes;
    struct nib_error err;
    build(&b, open_model.model);
    open_model.image = gguf_builder_image(&b, &n_bytes);
    gguf_builder_free(&b);
    if (nib_gguf_open_memory(&open_model.gguf, open_model.image, n_bytes, name, &err) != NIB_OK)
        fail_msg("%s", err.message);
    open_model.choices =
        calloc(nib_gguf_tensor_count(open_model.gguf), sizeof(*open_model.choices));
    assert_non_null(open_model.choices);
}

static void use_mix(const char *name)
{
    if (strcmp(open_model.mix, name) == 0)
        return;
    snprintf(open_model.mix, sizeof(open_model.mix), "%s", name);
    const struct nib_mix *mix = nib_mix_find(name);
    assert_non_null(mix);
    struct nib_quantize_params params;
    struct nib_error err;
    nib_quantize_params_init(&params);
    if (nib_quantize_plan(open_model.choices, open_model.gguf, mix, &params, &err) != NIB_OK)
        fail_msg("%s", err.message);
}

static const char *type_of(const char *kind, int layer)
{
    char name[64];
    if (strcmp(kind, "token_embd") == 0 || strcmp(kind, "output") == 0)
        snprintf(name, sizeof(name), "%s.weight", kind);
    else
        snprintf(name, sizeof(name), "blk.%d.%s.weight", layer, kind);
    for (size_t i = 0; i < nib_gguf_tensor_count(open_model.gguf); i++)
        if (strcmp(nib_gguf_tensor(open_model.gguf, i)->name, name) == 0)
            return nib_type_info(open_model.choices[i].type)->name;
    fail_msg("no tensor %s", name);
    return NULL;
}

static void check_line(char *line)
{
    char *rest = line;
    const char *model = strtok_r(NULL, " ", &rest), *mix = strtok_r(NULL, " ", &rest);
    const char *kind = strtok_r(NULL, " ", &rest);
    use_model(model);
    use_mix(mix);
    int layer = 0;
    for (char *run = strtok_r(NULL, " ", &rest); run; run = strtok_r(NULL, " ", &rest)) {
        char *star = strchr(run, '*');
        assert_non_null(star);
        *star = 0;
        for (int n = atoi(star + 1); n > 0; n--, layer++) {
            const char *type = type_of(kind, layer);
            if (strcmp(type, run) != 0)
                fail_msg("%s as %s: %s of layer %d is %s, expected %s", model, mix, kind, layer,
                         type, run);
        }
    }
    assert_true(layer > 0);
}

static void test_every_tensor_has_the_type_that_the_mix_is_known_for(void **state)
{
    (void)state;
    size_t n_bytes, n_lines = 0;
    char *text = (char *)golden_read("quants/mixes.txt", &n_bytes), *rest = text;
    for (char *line = strtok_r(NULL, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        check_line(line);
        n_lines++;
    }
    assert_int_equal(n_lines, 1340);
    close_model();
    free(text);
}

static void test_vectors_and_routers_stay(void **state)
{
    (void)state;
    use_model("moe8");
    for (size_t m = 0; nib_mix_at(m); m++) {
        use_mix(nib_mix_at(m)->name);
        for (size_t i = 0; i < nib_gguf_tensor_count(open_model.gguf); i++) {
            const char *name = nib_gguf_tensor(open_model.gguf, i)->name;
            if (strstr(name, "norm") || strstr(name, "gate_inp"))
                assert_int_equal(open_model.choices[i].type, NIB_TYPE_F32);
        }
    }
    close_model();
}

static void test_mxfp4_is_for_all_matrices_but_the_output(void **state)
{
    (void)state;
    use_model("gqa4");
    use_mix("mxfp4");
    assert_string_equal(type_of("attn_v", 3), "MXFP4");
    assert_string_equal(type_of("token_embd", 0), "MXFP4");
    assert_string_equal(type_of("output", 0), "Q6_K");
    close_model();
}

static void test_mixes_are_found_in_either_case_and_by_their_short_names(void **state)
{
    (void)state;
    assert_string_equal(nib_mix_find("q4_k_m")->name, "Q4_K_M");
    assert_string_equal(nib_mix_find("Q5_K")->name, "Q5_K_M");
    assert_null(nib_mix_find("Q4_K_X"));
    assert_null(nib_mix_find(""));
    assert_null(nib_mix_find("Q4"));
}

/* Numbers in a file may be anything. */
static void test_absurd_numbers_do_no_harm(void **state)
{
    (void)state;
    static const int64_t numbers[] = {INT64_MIN, -1, 0, 1, INT64_MAX};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct gguf_builder b;
        gguf_builder_init(&b);
        gguf_add_string(&b, "general.architecture", "llama");
        static const char *const keys[] = {"llama.block_count", "llama.attention.head_count",
                                           "llama.attention.head_count_kv", "llama.expert_count"};
        for (size_t k = 0; k < 4; k++)
            gguf_add_value(&b, keys[k], NIB_GGUF_I64, &numbers[i], sizeof(numbers[i]));
        add_matrix(&b, &models[0], "blk.99999999999999999999.ffn_down.weight");
        add_matrix(&b, &models[0], "blk.9999999999.attn_v.weight");
        add_matrix(&b, &models[0], "blk..attn_v.weight");
        size_t n_bytes;
        uint8_t *image = gguf_builder_image(&b, &n_bytes);
        gguf_builder_free(&b);
        struct nib_gguf *gguf;
        assert_int_equal(nib_gguf_open_memory(&gguf, image, n_bytes, "absurd", NULL), NIB_OK);
        for (size_t m = 0; nib_mix_at(m); m++) {
            struct nib_quantize_choice choices[3];
            struct nib_quantize_params params;
            nib_quantize_params_init(&params);
            assert_int_equal(nib_quantize_plan(choices, gguf, nib_mix_at(m), &params, NULL),
                             NIB_OK);
        }
        nib_gguf_close(gguf);
        free(image);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_tensor_has_the_type_that_the_mix_is_known_for),
        cmocka_unit_test(test_vectors_and_routers_stay),
        cmocka_unit_test(test_mxfp4_is_for_all_matrices_but_the_output),
        cmocka_unit_test(test_mixes_are_found_in_either_case_and_by_their_short_names),
        cmocka_unit_test(test_absurd_numbers_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
