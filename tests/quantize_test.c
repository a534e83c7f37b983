/* nib_quantize(): the file it writes, what it refuses, and that nothing is lost when it stops. */
#define _GNU_SOURCE
#include "golden_data.h"
#include "encode.h"
#include "gguf_builder.h"
#include "half.h"
#include "hf_folder.h"
#include "scratch_dir.h"

#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static struct scratch_dir scratch;
static struct nib_error err;
static char input[512], output[512];

enum { WIDE = 1280, N_ROWS = 37 }; /* more than a piece; no multiple of a group */

static float weight_at(size_t i)
{
    return ldexpf((float)((int)(i * 2654435761u >> 12 & 0xffff) - 0x8000), -18);
}

static float *weights(size_t n)
{
    float *x = malloc(n * sizeof(*x));
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = weight_at(i);
    return x;
}

static void add_floats(struct gguf_builder *b, const char *name, uint32_t n_dims,
                       const uint64_t *dims, const float *x)
{
    size_t n = 1;
    for (uint32_t i = 0; i < n_dims; i++)
        n *= (size_t)dims[i];
    gguf_add_tensor(b, name, NIB_TYPE_F32, n_dims, dims, x, n * sizeof(*x));
}

/* A small model with every kind of metadata; `spoil`, at any weight of blk.0.attn_q, may be NULL.
 */
static void write_input(const float *spoil, size_t at)
{
    struct gguf_builder b;
    gguf_builder_init(&b);
    gguf_add_string(&b, "general.architecture", "llama");
    gguf_add_u32(&b, "llama.block_count", 1);
    gguf_add_u32(&b, "general.file_type", 0);
    gguf_add_strings(&b, "tokenizer.ggml.tokens", (const char *const[]){"a", "", "\n"}, 3);
    gguf_add_array(&b, "tokenizer.ggml.scores", NIB_GGUF_F32, 3, (const float[]){1, 2, 3}, 12);
    gguf_add_bool(&b, "tokenizer.ggml.add_bos_token", true);
    gguf_add_value(&b, "llama.rope.scale", NIB_GGUF_F64, &(double){0.1}, 8);

    float *x = weights(WIDE * N_ROWS * 2);
    if (spoil)
        x[at] = *spoil;
    add_floats(&b, "blk.0.attn_q.weight", 2, (const uint64_t[]){WIDE, N_ROWS}, x);
    add_floats(&b, "blk.0.attn_norm.weight", 1, (const uint64_t[]){WIDE}, x + 5000);
    add_floats(&b, "blk.0.attn_k.weight", 2, (const uint64_t[]){64, 3}, x + 7000);
    add_floats(&b, "blk.0.ffn_up_exps.weight", 3, (const uint64_t[]){256, 5, 2}, x + 9000);
    uint16_t halves[256 * 7];
    for (size_t i = 0; i < 256 * 7; i++)
        halves[i] = nib_f32_to_f16(x[i]);
    gguf_add_tensor(&b, "token_embd.weight", NIB_TYPE_F16, 2, (const uint64_t[]){256, 7}, halves,
                    sizeof(halves));
    free(x);
    gguf_builder_write(&b, input);
    gguf_builder_free(&b);
}

static int setup(void **state)
{
    (void)state;
    scratch_dir_create(&scratch);
    scratch_path(&scratch, "in.gguf", input);
    scratch_path(&scratch, "out.gguf", output);
    memset(&err, 0, sizeof(err));
    write_input(NULL, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scratch_dir_remove(&scratch);
    return 0;
}

static struct nib_quantize_params params_for(const char *type)
{
    struct nib_quantize_params params;
    nib_quantize_params_init(&params);
    params.type = type;
    params.n_threads = 2;
    return params;
}

static struct nib_quantize_result quantize(const struct nib_quantize_params *params)
{
    struct nib_quantize_result result;
    if (nib_quantize(input, output, params, &result, &err) != NIB_OK)
        fail_msg("%s", err.message);
    return result;
}

/* The whole file, to be freed. */
static uint8_t *read_file(const char *path, size_t *n)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *n = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*n + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *n, file), *n);
    fclose(file);
    return bytes;
}

static struct nib_gguf *open_file(const char *path)
{
    struct nib_gguf *gguf;
    if (nib_gguf_open(&gguf, path, &err) != NIB_OK)
        fail_msg("%s", err.message);
    return gguf;
}

/* ---- what is written ------------------------------------------------------------------------- */

static void test_tensors_hold_what_the_encoders_give(void **state)
{
    (void)state;
    const struct nib_quantize_params params = params_for("Q4_K_S");
    const struct nib_quantize_result result = quantize(&params);
    struct nib_gguf *in = open_file(input), *out = open_file(output);
    static const char *const expected[] = {"Q4_K", "F32", "Q5_0", "Q4_K", "Q6_K"};
    assert_int_equal(nib_gguf_tensor_count(out), 5);
    uint64_t n_bytes = 0;
    for (size_t i = 0; i < 5; i++) {
        const struct nib_gguf_tensor *a = nib_gguf_tensor(in, i), *b = nib_gguf_tensor(out, i);
        assert_string_equal(a->name, b->name);
        assert_int_equal(a->n_dims, b->n_dims);
        assert_memory_equal(a->dims, b->dims, sizeof(a->dims));
        assert_string_equal(nib_type_info(b->type)->name, expected[i]);
        n_bytes += b->n_bytes;

        const size_t n = (size_t)(a->dims[0] * a->dims[1] * a->dims[2]);
        float *x = malloc(n * sizeof(*x));
        uint8_t *bytes = malloc(b->n_bytes);
        for (size_t k = 0; k < n; k++) {
            uint16_t half = 0;
            if (a->type == NIB_TYPE_F16)
                memcpy(&half, a->data + 2 * k, 2);
            else
                memcpy(&x[k], a->data + 4 * k, 4);
            if (a->type == NIB_TYPE_F16)
                x[k] = nib_f16_to_f32(half);
        }
        size_t bad;
        assert_true(nib_encode(b->type, x, n, NULL, bytes, &bad));
        assert_memory_equal(bytes, b->data, b->n_bytes);
        free(bytes);
        free(x);
    }
    assert_int_equal(result.n_tensors, 5);
    assert_int_equal(result.n_fallbacks, 1); /* attn_k: 64 columns */
    assert_int_equal(result.n_bytes_to, n_bytes);
    assert_int_equal(result.n_weights, WIDE * N_ROWS + WIDE + 64 * 3 + 256 * 10 + 256 * 7);
    nib_gguf_close(in);
    nib_gguf_close(out);
}

static void test_metadata_stays_but_for_the_file_type(void **state)
{
    (void)state;
    const struct nib_quantize_params params = params_for("Q5_K_M");
    quantize(&params);
    struct nib_gguf *in = open_file(input), *out = open_file(output);
    const size_t n = nib_gguf_key_count(in);
    assert_int_equal(nib_gguf_key_count(out), n + 1);
    assert_string_equal(nib_gguf_key(out, n), "general.quantization_version");
    for (size_t i = 0; i < n; i++) {
        char a[200], b[200];
        assert_string_equal(nib_gguf_key(in, i), nib_gguf_key(out, i));
        nib_gguf_value_text(in, i, a, sizeof(a));
        nib_gguf_value_text(out, i, b, sizeof(b));
        if (strcmp(nib_gguf_key(in, i), "general.file_type") == 0)
            assert_string_equal(b, "17");
        else
            assert_string_equal(a, b);
    }
    int64_t version = 0;
    assert_true(nib_gguf_int(out, "general.quantization_version", &version));
    assert_int_equal(version, 2);
    nib_gguf_close(in);
    nib_gguf_close(out);
}

static void test_the_alignment_of_the_file_is_kept(void **state)
{
    (void)state;
    struct gguf_builder b;
    gguf_builder_init(&b);
    b.alignment = 256;
    gguf_add_string(&b, "general.architecture", "llama");
    gguf_add_u32(&b, "general.alignment", b.alignment);
    float *x = weights(32 * 9);
    add_floats(&b, "a.weight", 2, (const uint64_t[]){32, 3}, x);
    add_floats(&b, "b.weight", 2, (const uint64_t[]){32, 9}, x);
    free(x);
    gguf_builder_write(&b, input);
    gguf_builder_free(&b);
    const struct nib_quantize_params params = params_for("Q8_0");
    quantize(&params);
    size_t n;
    uint8_t *bytes = read_file(output, &n);
    assert_int_equal(n % 256, 0);
    free(bytes);
    struct nib_gguf *out = open_file(output); /* refuses offsets that are not aligned */
    assert_int_equal(nib_gguf_tensor(out, 1)->data - nib_gguf_tensor(out, 0)->data, 256);
    nib_gguf_close(out);
}

static void test_bytes_do_not_depend_on_threads(void **state)
{
    (void)state;
    for (size_t m = 0; nib_quantize_type(m); m++) {
        struct nib_quantize_params params = params_for(nib_quantize_type(m));
        size_t n_first = 0;
        uint8_t *first = NULL;
        for (int n_threads = 1; n_threads <= 3; n_threads += 2) {
            size_t n;
            params.n_threads = n_threads;
            quantize(&params);
            uint8_t *bytes = read_file(output, &n);
            if (first) {
                assert_int_equal(n, n_first);
                assert_memory_equal(bytes, first, n);
                free(bytes);
            } else {
                first = bytes;
                n_first = n;
            }
        }
        free(first);
    }
}

static void test_what_is_of_the_type_already_is_copied(void **state)
{
    (void)state;
    const struct nib_quantize_params params = params_for("Q8_0");
    quantize(&params);
    char copy[512];
    scratch_path(&scratch, "copy.gguf", copy);
    if (nib_quantize(output, copy, &params, NULL, &err) != NIB_OK)
        fail_msg("%s", err.message);
    size_t n, n_copy;
    uint8_t *bytes = read_file(output, &n), *copied = read_file(copy, &n_copy);
    assert_int_equal(n, n_copy);
    assert_memory_equal(bytes, copied, n);
    free(bytes);
    free(copied);
}

struct seen {
    size_t n;
    char text[1024];
};

static void on_tensor(void *data, const struct nib_quantize_tensor *tensor)
{
    struct seen *seen = data;
    seen->n++;
    const size_t n = strlen(seen->text);
    snprintf(seen->text + n, sizeof(seen->text) - n, "%s %s>%s%s%s\n", tensor->name, tensor->from,
             tensor->to, tensor->wanted ? " for " : "", tensor->wanted ? tensor->wanted : "");
}

static void test_a_dry_run_tells_what_would_be_and_writes_nothing(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct nib_quantize_params params = params_for("Q3_K_M");
    params.on_tensor = on_tensor;
    params.data = &seen;
    params.is_dry_run = true;
    const struct nib_quantize_result planned = quantize(&params);
    assert_string_equal(seen.text, "blk.0.attn_q.weight F32>Q3_K\n"
                                   "blk.0.attn_norm.weight F32>F32\n"
                                   "blk.0.attn_k.weight F32>Q4_0 for Q3_K\n"
                                   "blk.0.ffn_up_exps.weight F32>Q3_K\n"
                                   "token_embd.weight F16>Q6_K\n");
    assert_int_equal(scratch_count(&scratch), 1);
    params.is_dry_run = false;
    const struct nib_quantize_result done = quantize(&params);
    assert_memory_equal(&planned, &done, sizeof(done));
    assert_int_equal(scratch_count(&scratch), 2);
}

static void test_types_can_be_named(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct nib_quantize_params params = params_for("Q4_0");
    params.on_tensor = on_tensor;
    params.data = &seen;
    params.is_dry_run = true;
    params.tensor_types =
        (const char *const[]){"attn_(q|v)=q8_0", "^blk\\.\\d+\\.attn=Q5_1", "exps=BF16"};
    params.n_tensor_types = 3;
    params.token_embedding_type = "iq4_nl";
    quantize(&params);
    assert_string_equal(seen.text, "blk.0.attn_q.weight F32>Q8_0\n"
                                   "blk.0.attn_norm.weight F32>F32\n"
                                   "blk.0.attn_k.weight F32>Q5_1\n"
                                   "blk.0.ffn_up_exps.weight F32>BF16\n"
                                   "token_embd.weight F16>IQ4_NL\n");
    memset(&seen, 0, sizeof(seen));
    params.n_tensor_types = 0;
    params.token_embedding_type = NULL;
    params.output_type = "Q5_K"; /* the embeddings are the output too */
    params.type = "Q6_K";
    quantize(&params);
    assert_non_null(strstr(seen.text, "token_embd.weight F16>Q5_K\n"));
    memset(&seen, 0, sizeof(seen));
    params.output_type = NULL;
    params.is_pure = true;
    params.type = "Q2_K";
    quantize(&params);
    assert_non_null(strstr(seen.text, "token_embd.weight F16>Q2_K\n"));
}

/* ---- what is refused ------------------------------------------------------------------------- */

/* Nothing but the input is there, or what was there before. */
static void expect_refused(const struct nib_quantize_params *params, enum nib_status status,
                           const char *part)
{
    const int n_files = scratch_count(&scratch);
    struct nib_quantize_result result = {.n_tensors = 99};
    assert_int_equal(nib_quantize(input, output, params, &result, &err), status);
    if (!strstr(err.message, part))
        fail_msg("\"%s\" does not say \"%s\"", err.message, part);
    assert_int_equal(result.n_tensors, 0);
    assert_int_equal(scratch_count(&scratch), n_files);
}

static void test_names_that_mean_nothing_are_refused_with_a_list(void **state)
{
    (void)state;
    struct nib_quantize_params params = params_for("Q4_X");
    expect_refused(&params, NIB_ERROR_ARGUMENT, "Q4_K_M");
    params.type = NULL;
    expect_refused(&params, NIB_ERROR_ARGUMENT, "Q4_K_M");
    params.type = "IQ2_XXS";
    expect_refused(&params, NIB_ERROR_ARGUMENT, "unknown type \"IQ2_XXS\"");
    params = params_for("Q4_0");
    params.output_type = "Q4_K_M"; /* a mix, no type */
    expect_refused(&params, NIB_ERROR_ARGUMENT, "there are F32, F16, Q4_0");
    params = params_for("Q4_0");
    params.token_embedding_type = "x";
    expect_refused(&params, NIB_ERROR_ARGUMENT, "token embeddings");
    params = params_for("Q4_0");
    params.n_tensor_types = 1;
    params.tensor_types = (const char *const[]){"attn_v"};
    expect_refused(&params, NIB_ERROR_ARGUMENT, "PATTERN=TYPE");
    params.tensor_types = (const char *const[]){"=Q4_0"};
    expect_refused(&params, NIB_ERROR_ARGUMENT, "PATTERN=TYPE");
    params.tensor_types = (const char *const[]){"a(=Q4_0"};
    expect_refused(&params, NIB_ERROR_ARGUMENT, "regular expression");
    params.tensor_types = (const char *const[]){"a=Q9_0"};
    expect_refused(&params, NIB_ERROR_ARGUMENT, "Q9_0");
}

static void test_quantised_weights_are_taken_only_when_allowed(void **state)
{
    (void)state;
    struct nib_quantize_params params = params_for("Q8_0");
    quantize(&params);
    assert_int_equal(rename(output, input), 0);
    params.type = "Q4_K_M";
    expect_refused(&params, NIB_ERROR_ARGUMENT, "--allow-requantize");
    assert_non_null(strstr(err.message, "blk.0.attn_q.weight"));
    params.allow_requantize = true;
    quantize(&params);
}

static void test_weights_that_are_no_numbers_are_named(void **state)
{
    (void)state;
    const size_t at = 33 * WIDE + 1100;
    const struct {
        float value;
        const char *type, *sentence;
    } cases[] = {
        {NAN, "Q4_K_M", "is not a number"},       {INFINITY, "Q4_0", "is infinite"},
        {-INFINITY, "F16", "is infinite"},        {1e6f, "F16", "more than F16 holds (65504)"},
        {-3e38f, "Q8_0", "more than Q8_0 holds"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (int n_threads = 1; n_threads <= 3; n_threads += 2) {
            write_input(&cases[i].value, at);
            struct nib_quantize_params params = params_for(cases[i].type);
            params.n_threads = n_threads;
            expect_refused(&params, NIB_ERROR_FILE, cases[i].sentence);
            assert_non_null(strstr(err.message, "tensor blk.0.attn_q.weight: weight 43340 "
                                                "(row 33, column 1100)"));
        }
}

/* All that a folder has, in a file: matrices near the source, the rest as floats. */
static void test_a_folder_becomes_a_file(void **state)
{
    (void)state;
    static const char *const folders[] = {"gpt2",    "llama-gqa",    "gemma2",
                                          "mixtral", "gpt-neox-f16", "llama3-rope-scaled"};
    for (size_t f = 0; f < NIB_COUNT(folders); f++) {
        struct nib_gguf *from, *to;
        snprintf(input, sizeof(input), "%.400s/models/%s", NIB_TEST_DATA, folders[f]);
        const struct nib_quantize_params params = params_for("Q8_0");
        quantize(&params);
        if (nib_hf_open(&from, input, &err) != NIB_OK)
            fail_msg("%s", err.message);
        to = open_file(output);
        assert_int_equal(nib_gguf_tensor_count(to), nib_gguf_tensor_count(from));
        for (size_t i = 0; i < nib_gguf_key_count(from); i++)
            assert_true(nib_gguf_has(to, nib_gguf_key(from, i)));
        for (size_t i = 0; i < nib_gguf_tensor_count(from); i++) {
            const struct nib_gguf_tensor *a = nib_gguf_tensor(from, i);
            const struct nib_gguf_tensor *b = nib_gguf_find(to, a->name);
            assert_non_null(b);
            assert_memory_equal(a->dims, b->dims, sizeof(a->dims));
            const bool is_norm = strstr(a->name, "norm") || strstr(a->name, "bias");
            assert_true(!is_norm || b->type == NIB_TYPE_F32);
            assert_true(b->type == NIB_TYPE_F32 || b->type == NIB_TYPE_Q8_0);
            const size_t n = (size_t)a->dims[0];
            float *x = malloc(n * sizeof(*x));
            for (uint64_t row = 0; row < a->dims[1] * a->dims[2]; row++) {
                nib_tensor_floats(a, row, 0, n, x);
                if (b->type == NIB_TYPE_F32) {
                    assert_memory_equal(nib_tensor_row(b, row), x, n * sizeof(*x));
                    continue;
                }
                const uint8_t *blocks = nib_tensor_row(b, row);
                for (size_t k = 0; k < n; k++) {
                    uint16_t half;
                    memcpy(&half, blocks + k / 32 * 34, sizeof(half));
                    const float d = nib_f16_to_f32(half);
                    const float y = d * (float)(int8_t)blocks[k / 32 * 34 + 2 + k % 32];
                    assert_true(fabsf(x[k] - y) <= 0.51f * d + 0.07f * d);
                }
            }
            free(x);
        }
        nib_gguf_close(from);
        nib_gguf_close(to);
    }
}

static void test_input_and_output_must_be_two_files(void **state)
{
    (void)state;
    const struct nib_quantize_params params = params_for("Q4_0");
    assert_int_equal(link(input, output), 0);
    expect_refused(&params, NIB_ERROR_ARGUMENT, "another name");
}

static void test_a_part_of_a_split_model_is_refused(void **state)
{
    (void)state;
    struct gguf_builder b;
    gguf_builder_init(&b);
    gguf_add_string(&b, "general.architecture", "llama");
    gguf_add_u32(&b, "split.count", 3);
    gguf_builder_write(&b, input);
    gguf_builder_free(&b);
    const struct nib_quantize_params params = params_for("Q4_0");
    expect_refused(&params, NIB_ERROR_FILE, "3 files of a split model");
}

static void test_a_type_without_a_reader_is_refused(void **state)
{
    (void)state;
    struct gguf_builder b;
    gguf_builder_init(&b);
    gguf_add_string(&b, "general.architecture", "llama");
    gguf_add_tensor(&b, "blk.0.attn_q.weight", NIB_TYPE_NVFP4, 2, (const uint64_t[]){64, 2}, NULL,
                    72);
    gguf_builder_write(&b, input);
    gguf_builder_free(&b);
    struct nib_quantize_params params = params_for("Q4_0");
    params.allow_requantize = true;
    expect_refused(&params, NIB_ERROR_FILE, "NVFP4");
}

/* ---- stopped on the way ---------------------------------------------------------------------- */

static const char old_text[] = "what was there before";

static void write_old(void)
{
    scratch_write(&scratch, "out.gguf", old_text);
}

static void expect_old(void)
{
    size_t n;
    uint8_t *bytes = read_file(output, &n);
    assert_int_equal(n, strlen(old_text));
    assert_memory_equal(bytes, old_text, n);
    free(bytes);
}

static bool stop_after_half(void *data, uint64_t done, uint64_t total)
{
    (*(size_t *)data)++;
    return done < total / 2;
}

static void test_a_callback_can_stop_it(void **state)
{
    (void)state;
    size_t n_calls = 0;
    struct nib_quantize_params params = params_for("Q4_K_M");
    params.progress = stop_after_half;
    params.data = &n_calls;
    write_old();
    expect_refused(&params, NIB_ERROR_CANCELLED, "stopped");
    expect_old();
    assert_true(n_calls > 0);
}

static bool die_after_half(void *data, uint64_t done, uint64_t total)
{
    (void)data;
    if (done >= total / 2)
        raise(SIGKILL);
    return true;
}

static void test_a_kill_leaves_the_old_file_or_none(void **state)
{
    (void)state;
    for (int has_old = 0; has_old <= 1; has_old++) {
        if (has_old)
            write_old();
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct nib_quantize_params params = params_for("Q4_K_M");
            params.n_threads = 1; /* the parent's threads are not there after fork() */
            params.progress = die_after_half;
            nib_quantize(input, output, &params, NULL, NULL);
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        if (has_old)
            expect_old();
        else
            assert_int_equal(access(output, F_OK), -1);
    }
}

static void test_a_full_disk_is_said_and_leaves_nothing(void **state)
{
    (void)state;
    struct rlimit before, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 20000;
    signal(SIGXFSZ, SIG_IGN);
    write_old();
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    const struct nib_quantize_params params = params_for("Q8_0");
    const enum nib_status status = nib_quantize(input, output, &params, NULL, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, NIB_ERROR_IO);
    assert_non_null(strstr(err.message, "cannot be written"));
    assert_int_equal(scratch_count(&scratch), 2);
    expect_old();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_tensors_hold_what_the_encoders_give),
        TEST(test_metadata_stays_but_for_the_file_type),
        TEST(test_the_alignment_of_the_file_is_kept),
        TEST(test_bytes_do_not_depend_on_threads),
        TEST(test_what_is_of_the_type_already_is_copied),
        TEST(test_a_dry_run_tells_what_would_be_and_writes_nothing),
        TEST(test_types_can_be_named),
        TEST(test_names_that_mean_nothing_are_refused_with_a_list),
        TEST(test_quantised_weights_are_taken_only_when_allowed),
        TEST(test_weights_that_are_no_numbers_are_named),
        TEST(test_a_folder_becomes_a_file),
        TEST(test_input_and_output_must_be_two_files),
        TEST(test_a_part_of_a_split_model_is_refused),
        TEST(test_a_type_without_a_reader_is_refused),
        TEST(test_a_callback_can_stop_it),
        TEST(test_a_kill_leaves_the_old_file_or_none),
        TEST(test_a_full_disk_is_said_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
