/*
 * Packed files: the same model as the source, every damage an error, and the cache of them.
 */
#define _GNU_SOURCE
#include "gguf_file.h"
#include "gguf_writer.h"
#include "model.h"
#include "packed_file.h"
#include "scratch_dir.h"
#include "sha256.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <utime.h>
#include <cmocka.h>

#define TINY NIB_TEST_DATA "/gguf-models/llama-q4_k_m.gguf"

static struct scratch_dir dir;

static int set_up(void **state)
{
    (void)state;
    scratch_dir_create(&dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_dir_remove(&dir);
    return 0;
}

/* ---- helpers --------------------------------------------------------------------------------- */

struct text {
    char s[600];
};

static struct text in_dir(const char *name)
{
    struct text path;
    scratch_path(&dir, name, path.s);
    return path;
}

static struct nib_model *open_with(const char *path, const struct nib_model_params *params)
{
    struct nib_model *model;
    struct nib_error err;
    if (nib_model_open(&model, path, params, &err) != NIB_OK)
        fail_msg("%s", err.message);
    return model;
}

static void pack(const char *input, const char *output, const char *type)
{
    struct nib_pack_params params;
    struct nib_error err;
    nib_pack_params_init(&params);
    params.type = type;
    if (nib_pack_model(input, output, &params, &err) != NIB_OK)
        fail_msg("%s", err.message);
}

struct bytes {
    uint8_t *data;
    size_t n;
};

static struct bytes read_bytes(const char *path)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    struct bytes b = {.n = (size_t)ftell(file)};
    rewind(file);
    b.data = malloc(b.n);
    assert_int_equal(fread(b.data, 1, b.n, file), b.n);
    fclose(file);
    return b;
}

static void write_bytes(const char *path, const void *data, size_t n)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, n, file), n);
    fclose(file);
}

/* After the first `text` in the file; the arena is not looked at. */
static uint8_t *after(const struct bytes *b, const char *text)
{
    uint8_t *at = memmem(b->data, b->n, text, strlen(text));
    assert_non_null(at);
    return at + strlen(text);
}

/* Logits of some ids, [3][n_vocab]; to be freed. */
static float *logits_of(const struct nib_model *model)
{
    struct nib_context *context;
    struct nib_context_params params;
    struct nib_error err;
    const int32_t ids[] = {3, 1, 2};
    const bool wants[] = {true, true, true};
    const size_t n_vocab = nib_model_info(model)->n_vocab;
    nib_context_params_init(&params);
    params.n_ctx = 8;
    params.n_logits = 3;
    if (nib_context_create(&context, model, &params, &err) != NIB_OK ||
        nib_evaluate(context, &(struct nib_batch){3, ids, NULL, wants}, &err) != NIB_OK)
        fail_msg("%s", err.message);
    float *out = malloc(3 * n_vocab * sizeof(*out));
    for (size_t i = 0; i < 3; i++)
        memcpy(out + i * n_vocab, nib_logits(context, i), n_vocab * sizeof(*out));
    nib_context_free(context);
    return out;
}

static void expect_equal(const struct nib_model *a, const struct nib_model *b)
{
    const size_t n = nib_model_info(a)->n_vocab;
    assert_int_equal(n, nib_model_info(b)->n_vocab);
    float *x = logits_of(a), *y = logits_of(b);
    assert_memory_equal(x, y, 3 * n * sizeof(*x));
    free(x);
    free(y);
}

/* ---- the same model -------------------------------------------------------------------------- */

static void expect_same(const char *source, const char *type)
{
    const char *const isas[] = {"scalar", NULL};
    const struct text packed = in_dir("same.gguf");
    pack(source, packed.s, type);
    for (size_t i = 0; i < NIB_COUNT(isas); i++) {
        struct nib_model_params params;
        nib_model_params_init(&params);
        params.isa = isas[i];
        params.type = type;
        struct nib_model *a = open_with(source, &params), *b = open_with(packed.s, &params);
        const struct nib_model_info *x = nib_model_info(a), *y = nib_model_info(b);
        assert_int_equal(a->arena_bytes, b->arena_bytes);
        assert_memory_equal(a->arena, b->arena, a->arena_bytes);
        assert_int_equal((uintptr_t)b->arena % 4096, 0);
        assert_int_equal((size_t)((const uint8_t *)b->arena - b->packed_file.data) % (2 << 20), 0);
        expect_equal(a, b);
        assert_null(x->packed_from);
        assert_non_null(strstr(y->packed_from, "sha256:"));
        assert_int_equal(x->n_params, y->n_params);
        assert_int_equal(x->n_file_bytes, y->n_file_bytes);
        assert_int_equal(x->n_packed_bytes, y->n_packed_bytes);
        assert_int_equal(x->n_token_bytes, y->n_token_bytes);
        assert_int_equal(nib_model_tensor_count(a), nib_model_tensor_count(b));
        for (size_t t = 0; t < nib_model_tensor_count(a); t++) {
            struct nib_tensor_info p, q;
            nib_model_tensor(a, t, &p);
            nib_model_tensor(b, t, &q);
            assert_string_equal(p.name, q.name);
            assert_string_equal(p.type, q.type);
            assert_memory_equal(p.dims, q.dims, sizeof(p.dims));
            assert_int_equal(p.n_packed_bytes, q.n_packed_bytes);
        }
        nib_model_close(a);
        nib_model_close(b);
    }
}

static void test_packed_files_give_the_bits_of_their_source(void **state)
{
    (void)state;
    expect_same(TINY, NULL);
    expect_same(TINY, "f32");
    expect_same(NIB_TEST_DATA "/gguf-models/llama3-scaled-q8_0.gguf", NULL);
}

static void test_packed_folders_give_the_bits_of_their_source(void **state)
{
    (void)state;
    static const char *const names[] = {
        "bloom",           "gpt2",   "llama3-rope-scaled",  "phi3", "mixtral",
        "falcon-7b-style", "gemma2", "mistral-swa8-sharded"};
    for (size_t i = 0; i < NIB_COUNT(names); i++) {
        char path[600];
        snprintf(path, sizeof(path), "%s/models/%s", NIB_TEST_DATA, names[i]);
        expect_same(path, NULL);
    }
    expect_same(NIB_TEST_DATA "/models/qwen3", "q4");
    expect_same(NIB_TEST_DATA "/models/qwen3/config.json", "bf16");
}

static void test_the_source_is_named_by_its_hash(void **state)
{
    (void)state;
    struct nib_sha256 sha;
    char hex[65];
    nib_sha256_begin(&sha);
    nib_sha256_add(&sha, "abc", 3);
    nib_sha256_end(&sha, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    const char *text = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    nib_sha256_begin(&sha);
    for (const char *p = text; *p; p++)
        nib_sha256_add(&sha, p, 1);
    nib_sha256_end(&sha, hex);
    assert_string_equal(hex, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");

    const struct bytes source = read_bytes(TINY);
    char plain[65];
    nib_sha256_begin(&sha);
    sha.is_plain = true;
    nib_sha256_add(&sha, source.data, source.n);
    nib_sha256_end(&sha, plain);
    nib_sha256_begin(&sha);
    nib_sha256_add(&sha, source.data, source.n);
    nib_sha256_end(&sha, hex);
    free(source.data);
    assert_string_equal(plain, hex);
    pack(TINY, in_dir("named.gguf").s, NULL);
    struct nib_model *model = open_with(in_dir("named.gguf").s, NULL);
    char expected[200];
    snprintf(expected, sizeof(expected), "sha256:%s llama-q4_k_m.gguf", hex);
    assert_string_equal(nib_model_info(model)->packed_from, expected);
    nib_model_close(model);
}

/* What is packed by one version is read by the next, as long as NIB_PACK_VERSION stays. */
static void test_the_layout_belongs_to_its_version(void **state)
{
    (void)state;
    struct nib_sha256 sha;
    char hex[65];
    struct nib_model *model = open_with(TINY, NULL);
    nib_sha256_begin(&sha);
    nib_sha256_add(&sha, model->arena, model->arena_bytes);
    nib_sha256_end(&sha, hex);
    if (NIB_PACK_VERSION != 1 || memcmp(hex, "3f8f9d0c07e3cc06", 16) != 0)
        fail_msg("weights lie in another way (%.16s): raise NIB_PACK_VERSION, and put both here",
                 hex);
    nib_model_close(model);
}

/* ---- what is refused ------------------------------------------------------------------------- */

static void expect_refusal(const struct bytes *b, size_t n, const char *words)
{
    const struct text path = in_dir("bad.gguf");
    struct nib_model *model;
    struct nib_error err;
    write_bytes(path.s, b->data, n);
    if (nib_model_open(&model, path.s, NULL, &err) != NIB_ERROR_FILE)
        fail_msg("not refused: \"%s\"", words);
    assert_null(model);
    if (!strstr(err.message, words) || !strstr(err.message, "bad.gguf"))
        fail_msg("\"%s\" lacks \"%s\"", err.message, words);
}

/* Change one number for a while. */
static void expect_refusal_with(const struct bytes *b, uint8_t *at, uint64_t value, size_t n_bytes,
                                const char *words)
{
    uint64_t before = 0;
    memcpy(&before, at, n_bytes);
    memcpy(at, &value, n_bytes);
    expect_refusal(b, b->n, words);
    memcpy(at, &before, n_bytes);
}

enum { ARRAY = 16 /* type, type of elements, count */, NUMBER = 4 /* type */ };

static void test_damaged_files_are_refused(void **state)
{
    (void)state;
    pack(TINY, in_dir("good.gguf").s, NULL);
    const struct bytes b = read_bytes(in_dir("good.gguf").s);
    expect_refusal(&b, b.n - 1, "truncated");
    expect_refusal(&b, b.n / 2, "truncated");

    const char *again = "another version of nibble";
    expect_refusal_with(&b, after(&b, "nibble.pack.version") + NUMBER, 2, 4, again);
    expect_refusal_with(&b, after(&b, "nibble.pack.version") + NUMBER, 0, 4, again);
    uint8_t *layout = after(&b, "nibble.pack.layout");
    expect_refusal_with(&b, layout + NUMBER, 0x1234567890, 8, again);
    expect_refusal_with(&b, layout - 1, 'u', 1, "nibble.pack.layout is missing");

    uint8_t *arena = after(&b, "nibble.arena");
    uint64_t n;
    memcpy(&n, arena + 4, sizeof(n));
    expect_refusal_with(&b, arena + 4, n - 64, 8, "bytes, expected");
    expect_refusal_with(&b, arena + 4, n + 64, 8, "");
    expect_refusal_with(&b, arena + 12, 8, 4, "");
    expect_refusal_with(&b, arena - 1, 'A', 1, "nibble.arena");

    const char *list = "a tensor in its list cannot be";
    uint8_t *types = after(&b, "nibble.pack.types") + ARRAY;
    expect_refusal_with(&b, types, 9999, 4, list);
    expect_refusal_with(&b, types, 4, 4, list);
    uint8_t *packed_type = after(&b, "nibble.pack.packed_types") + ARRAY + 4; /* of a matrix */
    expect_refusal_with(&b, packed_type, UINT32_MAX, 4, list);
    expect_refusal_with(&b, packed_type, NIB_TYPE_I64, 4, "does not run");
    expect_refusal_with(&b, packed_type, NIB_TYPE_F32, 4, again);
    expect_refusal_with(&b, after(&b, "nibble.pack.n_dims") + ARRAY, 5, 4, list);
    expect_refusal_with(&b, after(&b, "nibble.pack.n_dims") + ARRAY, 0, 4, list);
    uint8_t *dims = after(&b, "nibble.pack.dims") + ARRAY;
    expect_refusal_with(&b, dims, 0, 8, list);
    expect_refusal_with(&b, dims, UINT64_MAX, 8, "its list of tensors");
    expect_refusal_with(&b, dims, INT64_MAX, 8, list);
    expect_refusal_with(&b, dims, 512, 8, "expected");
    expect_refusal_with(&b, dims - ARRAY - 1, 'z', 1, "incomplete");
    expect_refusal_with(&b, after(&b, "nibble.pack.names") - 1, 'z', 1, "list of tensors");
    uint8_t *name = after(&b, "nibble.pack.names") + ARRAY + 8;
    expect_refusal_with(&b, name, 0, 1, list);
    expect_refusal_with(&b, name, '!', 1, "");
    free(b.data);
}

/* Whatever a byte of the head or the weights becomes, nothing crashes. */
static void test_no_byte_is_trusted(void **state)
{
    (void)state;
    const struct text path = in_dir("flipped.gguf");
    pack(TINY, path.s, NULL);
    struct bytes b = read_bytes(path.s);
    uint8_t *const begin = after(&b, "nibble.pack.version"), *const end = after(&b, "nibble.arena");
    uint8_t *const padding = after(&b, "nibble.pack.padding") + ARRAY;
    size_t n_opened = 0;
    for (uint8_t *at = begin; at<end + 40; at += at> padding && at + 70 < end ? 9999 : 5) {
        struct nib_model *model;
        struct nib_error err;
        const uint8_t before = *at;
        *at ^= (uint8_t)(1 << (at - begin) % 8);
        write_bytes(path.s, b.data, b.n);
        if (nib_model_open(&model, path.s, NULL, &err) == NIB_OK)
            n_opened++;
        nib_model_close(model);
        *at = before;
    }
    assert_true(n_opened > 0); /* the source's name, the padding */

    for (size_t i = (size_t)(after(&b, "nibble.arena") - b.data) + 65536; i < b.n; i++)
        b.data[i] = (uint8_t)(i * i >> 7 ^ i); /* weights of nonsense */
    write_bytes(path.s, b.data, b.n);
    struct nib_model *model;
    struct nib_error err;
    if (nib_model_open(&model, path.s, NULL, &err) == NIB_OK) {
        struct nib_context *context;
        struct nib_context_params params;
        const int32_t ids[] = {3, 1, 2};
        nib_context_params_init(&params);
        params.n_ctx = 8;
        assert_int_equal(nib_context_create(&context, model, &params, &err), NIB_OK);
        const enum nib_status status =
            nib_evaluate(context, &(struct nib_batch){3, ids, NULL, NULL}, &err);
        assert_true(status == NIB_OK || status == NIB_ERROR_NUMERIC);
        nib_context_free(context);
    }
    nib_model_close(model);
    free(b.data);
}

static void test_what_is_packed_stays_so(void **state)
{
    (void)state;
    const struct text packed = in_dir("once.gguf"), other = in_dir("twice.gguf");
    struct nib_model_params params;
    struct nib_model *model;
    struct nib_error err;
    pack(TINY, packed.s, NULL);
    nib_model_params_init(&params);
    params.type = "q8";
    assert_int_equal(nib_model_open(&model, packed.s, &params, &err), NIB_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "packed already"));
    assert_int_equal(nib_pack_model(packed.s, other.s, NULL, &err), NIB_ERROR_ARGUMENT);
    assert_int_equal(nib_pack_model(packed.s, packed.s, NULL, &err), NIB_ERROR_ARGUMENT);
    struct nib_quantize_params quantize;
    nib_quantize_params_init(&quantize);
    assert_int_equal(nib_quantize(packed.s, other.s, &quantize, NULL, &err), NIB_ERROR_ARGUMENT);
    assert_int_equal(nib_pack_model("/no/such", other.s, NULL, &err), NIB_ERROR_IO);
    assert_int_equal(nib_pack_model(TINY, "/no/such/folder/out.gguf", NULL, &err), NIB_ERROR_IO);
    assert_int_equal(access(other.s, F_OK), -1);
}

static bool stop(void *data, uint64_t done, uint64_t total)
{
    uint64_t *n_calls = data;
    assert_true(done <= total);
    return ++*n_calls < 2;
}

static void test_packing_can_be_stopped(void **state)
{
    (void)state;
    struct nib_pack_params params;
    struct nib_error err;
    uint64_t n_calls = 0;
    nib_pack_params_init(&params);
    params.progress = stop;
    params.data = &n_calls;
    const struct text folder = in_dir("stopped"), path = in_dir("stopped/out.gguf");
    assert_true(nib_os_make_folders(folder.s));
    assert_int_equal(nib_pack_model(TINY, path.s, &params, &err), NIB_ERROR_CANCELLED);
    assert_true(n_calls > 0);
    struct nib_os_file *files;
    size_t n;
    assert_true(nib_os_folder_files(folder.s, &files, &n));
    assert_int_equal(n, 0);
    nib_os_files_free(files, n);
}

/* ---- the cache ------------------------------------------------------------------------------- */

static struct nib_model_params with_cache(const char *folder)
{
    struct nib_model_params params;
    nib_model_params_init(&params);
    params.cache = folder;
    params.cache_minimum = 0;
    return params;
}

/* Of a folder; all its files are whole ones of the cache. */
static size_t count_kept(const char *folder, char last[600])
{
    struct nib_os_file *files;
    size_t n;
    assert_true(nib_os_folder_files(folder, &files, &n));
    for (size_t i = 0; i < n; i++) {
        assert_null(strstr(files[i].name, ".tmp"));
        assert_non_null(strstr(files[i].name, ".gguf"));
        snprintf(last, 600, "%.300s/%.255s", folder, files[i].name);
    }
    nib_os_files_free(files, n);
    return n;
}

static enum nib_status die(struct nib_model *model, const struct nib_gguf *gguf, void *data,
                           struct nib_error *err)
{
    struct nib_gguf_writer *writer;
    const struct nib_packed_origin origin = {"nothing", NULL};
    if (nib_packed_begin(&writer, data, model, gguf, &origin, err) == NIB_OK &&
        nib_gguf_writer_begin_data(writer, err) == NIB_OK &&
        nib_gguf_writer_write(writer, model->arena, model->arena_bytes / 2, err) == NIB_OK)
        raise(SIGKILL);
    return NIB_ERROR_IO;
}

/* Before any other: a process that has had threads is not to be forked. */
static void test_a_kill_leaves_no_part_under_the_name(void **state)
{
    (void)state;
    struct text path = in_dir("killed.gguf");
    const pid_t child = fork();
    if (child == 0) {
        struct nib_model *model;
        struct nib_model_params params;
        nib_model_params_init(&params);
        nib_model_load(&model, TINY, &params, die, path.s, NULL);
        _exit(1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(access(path.s, F_OK), -1);
}

static void test_two_processes_may_write_the_cache_at_once(void **state)
{
    (void)state;
    const struct text cache = in_dir("both/deep/cache");
    enum { N = 2, TIMES = 5 };
    pid_t children[N];
    for (int i = 0; i < N; i++) {
        children[i] = fork();
        if (children[i] != 0)
            continue;
        for (int k = 0; k < TIMES; k++) {
            const struct nib_model_params params = with_cache(cache.s);
            struct nib_model *model;
            if (nib_model_open(&model, TINY, &params, NULL) != NIB_OK)
                _exit(1);
            nib_model_close(model);
            if (k % 2 == 0) { /* so that it has to be written again */
                struct nib_os_file *files;
                size_t n;
                nib_os_folder_files(cache.s, &files, &n);
                for (size_t f = 0; f < n; f++) {
                    char path[900];
                    snprintf(path, sizeof(path), "%s/%s", cache.s, files[f].name);
                    if (!strstr(path, ".tmp"))
                        remove(path);
                }
                nib_os_files_free(files, n);
            }
        }
        _exit(0);
    }
    for (int i = 0; i < N; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    const struct nib_model_params params = with_cache(cache.s);
    nib_model_close(open_with(TINY, &params));
    char path[600];
    assert_int_equal(count_kept(cache.s, path), 1);
    nib_model_close(open_with(path, NULL));
}

static void test_the_second_time_is_mapped(void **state)
{
    (void)state;
    const struct text cache = in_dir("cache"), source = in_dir("model.gguf");
    const struct nib_model_params params = with_cache(cache.s);
    const struct bytes b = read_bytes(TINY);
    char path[600];
    write_bytes(source.s, b.data, b.n);
    struct nib_model *first = open_with(source.s, &params);
    assert_non_null(strstr(nib_model_info(first)->cache, "to be kept as "));
    float *logits = logits_of(first);
    const size_t n_logits = 3 * nib_model_info(first)->n_vocab;
    nib_model_close(first);
    assert_int_equal(count_kept(cache.s, path), 1);

    struct nib_model *second = open_with(source.s, &params);
    assert_non_null(second->packed_file.data);
    assert_non_null(strstr(nib_model_info(second)->cache, "mapped from "));
    remove(path); /* who has it mapped keeps it */
    float *again = logits_of(second);
    assert_memory_equal(logits, again, n_logits * sizeof(*logits));
    free(again);
    nib_model_close(second);

    /* A damaged file is not used, and replaced. */
    nib_model_close(open_with(source.s, &params));
    assert_int_equal(count_kept(cache.s, path), 1);
    assert_int_equal(truncate(path, 5000), 0);
    struct nib_model *third = open_with(source.s, &params);
    assert_null(third->packed_file.data);
    again = logits_of(third);
    assert_memory_equal(logits, again, n_logits * sizeof(*logits));
    free(again);
    free(logits);
    nib_model_close(third);
    struct nib_model *fourth = open_with(source.s, &params);
    assert_non_null(fourth->packed_file.data);
    nib_model_close(fourth);

    /* Nor is a sound one of another model under that name. */
    pack(NIB_TEST_DATA "/gguf-models/llama3-scaled-q8_0.gguf", path, NULL);
    struct nib_model *fifth = open_with(source.s, &params);
    assert_null(fifth->packed_file.data);
    nib_model_close(fifth);

    /* Another type, and another file of the same name, are other models. */
    struct nib_model_params f32 = params;
    f32.type = "f32";
    nib_model_close(open_with(source.s, &f32));
    assert_int_equal(count_kept(cache.s, path), 2);
    struct nib_model *floats = open_with(source.s, &f32);
    assert_non_null(floats->packed_file.data);
    nib_model_close(floats);
    assert_int_equal(utime(source.s, &(struct utimbuf){1000, 1000}), 0);
    struct nib_model *changed = open_with(source.s, &params);
    assert_null(changed->packed_file.data);
    nib_model_close(changed);
    assert_int_equal(count_kept(cache.s, path), 3);
    free(b.data);
}

static void test_folders_are_kept_too(void **state)
{
    (void)state;
    const struct text cache = in_dir("folders");
    const struct nib_model_params params = with_cache(cache.s);
    char path[600];
    struct nib_model *a = open_with(NIB_TEST_DATA "/models/gpt2", &params);
    nib_model_close(open_with(NIB_TEST_DATA "/models/gpt2/config.json", &params));
    nib_model_close(a);
    assert_int_equal(count_kept(cache.s, path), 2);
    a = open_with(NIB_TEST_DATA "/models/gpt2", &params);
    struct nib_model *b = open_with(NIB_TEST_DATA "/models/gpt2", NULL);
    assert_non_null(a->packed_file.data);
    expect_equal(a, b);
    nib_model_close(a);
    nib_model_close(b);
}

static void test_the_oldest_go_first(void **state)
{
    (void)state;
    const struct text cache = in_dir("limited");
    struct nib_model_params params = with_cache(cache.s);
    char path[600];
    static const char *const types[] = {"f32", "f16", "bf16"};
    static const char *const others[] = {"notes.txt", "left-0123456789abcdef.gguf.tmp-1-1",
                                         "model.gguf"};
    for (size_t i = 0; i < NIB_COUNT(types); i++) {
        params.type = types[i];
        nib_model_close(open_with(TINY, &params));
        assert_int_equal(count_kept(cache.s, path), i + 1);
    }
    for (size_t i = 0; i < NIB_COUNT(others); i++) {
        snprintf(path, sizeof(path), "%.300s/%s", cache.s, others[i]);
        write_bytes(path, "old", 3);
        assert_int_equal(utime(path, &(struct utimbuf){1000, 1000}), 0);
    }
    params.type = "f32"; /* the oldest, but used just now */
    nib_model_close(open_with(TINY, &params));
    params.type = NULL;
    params.cache_limit = UINT64_C(43) << 20; /* 32 MiB for the new one, about 6 for each other */
    nib_model_close(open_with(TINY, &params));
    struct nib_os_file *files;
    size_t n, n_kept = 0, n_others = 0;
    assert_true(nib_os_folder_files(cache.s, &files, &n));
    for (size_t i = 0; i < n; i++) {
        n_kept += strstr(files[i].name, "llama") != NULL;
        n_others += strstr(files[i].name, "llama") == NULL;
        assert_null(strstr(files[i].name, ".tmp"));
    }
    nib_os_files_free(files, n);
    assert_int_equal(n_others, 2); /* what is not ours stays */
    assert_true(n_kept < 4);
    params.type = "f32";
    struct nib_model *model = open_with(TINY, &params);
    assert_non_null(model->packed_file.data);
    nib_model_close(model);

    params.type = "q8";
    params.cache_limit = 1;
    model = open_with(TINY, &params);
    assert_non_null(strstr(nib_model_info(model)->cache, "more than the limit"));
    nib_model_close(model);
    params.cache_limit = UINT64_C(8) << 30;
    params.cache_minimum = UINT64_C(1) << 30;
    model = open_with(TINY, &params);
    assert_non_null(strstr(nib_model_info(model)->cache, "not kept"));
    nib_model_close(model);
}

static void test_a_cache_that_cannot_be_costs_nothing(void **state)
{
    (void)state;
    const struct text file = in_dir("a-file"), below = in_dir("a-file/cache");
    write_bytes(file.s, "x", 1);
    const char *const folders[] = {file.s, below.s, "/proc/none", "/dev/null", ""};
    for (size_t i = 0; i < NIB_COUNT(folders); i++) {
        const struct nib_model_params params = with_cache(folders[i]);
        struct nib_model *model = open_with(TINY, &params);
        assert_non_null(strstr(nib_model_info(model)->cache, "not kept in the cache: "));
        nib_model_close(model);
    }
    const struct nib_model_params params = with_cache(in_dir("unused").s);
    struct nib_model *model;
    assert_int_equal(nib_model_open(&model, "/no/such/model", &params, NULL), NIB_ERROR_IO);
    const struct text packed = in_dir("packed.gguf");
    pack(TINY, packed.s, NULL);
    model = open_with(packed.s, &params); /* is there already */
    assert_null(nib_model_info(model)->cache);
    nib_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_kill_leaves_no_part_under_the_name),
        cmocka_unit_test(test_two_processes_may_write_the_cache_at_once),
        cmocka_unit_test(test_packed_files_give_the_bits_of_their_source),
        cmocka_unit_test(test_packed_folders_give_the_bits_of_their_source),
        cmocka_unit_test(test_the_source_is_named_by_its_hash),
        cmocka_unit_test(test_the_layout_belongs_to_its_version),
        cmocka_unit_test(test_damaged_files_are_refused),
        cmocka_unit_test(test_no_byte_is_trusted),
        cmocka_unit_test(test_what_is_packed_stays_so),
        cmocka_unit_test(test_packing_can_be_stopped),
        cmocka_unit_test(test_the_second_time_is_mapped),
        cmocka_unit_test(test_folders_are_kept_too),
        cmocka_unit_test(test_the_oldest_go_first),
        cmocka_unit_test(test_a_cache_that_cannot_be_costs_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
