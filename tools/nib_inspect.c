/*
 * nibble inspect: what a model file holds and what it needs in memory.
 */
#include "commands.h"
#include "input.h"
#include "kv_cost.h"
#include "settings.h"
#include "tensor_sums.h"

#include <yyjson.h>

#include <stdlib.h>
#include <string.h>

static struct {
    int format;
    bool shows_memory, measures_kv;
} args;

static const struct nib_option options[] = {
    {NULL, "--output", NULL, "FORMAT", "text, or json with all tensors and metadata",
     NIB_OPTION_CHOICE, &args.format, 0, 0, false, nib_choices_text_json},
    {NULL, "--memory", NULL, NULL, "compute some tokens and show what lies in huge pages",
     NIB_OPTION_ON, &args.shows_memory, 0, 0, false, NULL},
    {NULL, "--kv-cost", NULL, NULL, "measure from which length on the KV cache saves time here",
     NIB_OPTION_ON, &args.measures_kv, 0, 0, false, NULL},
    {0},
};

static const struct nib_option *const tables[] = {options, nib_options_common, nib_options_threads,
                                                  NULL};

/* ---- facts ---------------------------------------------------------------------------------- */

enum {
    KV_TYPES = NIB_KV_Q8_0 + 1,
    SOME_TOKENS = 512,
    BLOCK = 4096, /* the cache has its positions in blocks of some power of two */
};

struct facts {
    const struct nib_model *model;
    const struct nib_model_info *info;
    struct nib_type_sum types[NIB_MAX_TYPE_SUMS];
    size_t n_types;
    uint64_t n_kv_bytes[KV_TYPES];         /* of one position, by enum nib_kv_type */
    uint64_t n_scratch_bytes;              /* of a context with the default batch */
    struct nib_memory_info weights, cache; /* with --memory */
    uint32_t n_touched;                    /* positions of the cache that have been */
    struct nib_kv_cost kv_cost;            /* with --kv-cost */
};

/* Evaluates some tokens, so that the memory of their positions is touched. */
static int touch(struct facts *facts, struct nib_context *context, uint32_t n)
{
    struct nib_error err;
    int32_t ids[SOME_TOKENS] = {0};
    if (facts->info->has_encoder &&
        nib_encode_sources(context, &(struct nib_batch){.n_tokens = 1, .ids = ids}, &err) != NIB_OK)
        return nib_complain_error(&err);
    if (nib_evaluate(context, &(struct nib_batch){.n_tokens = n, .ids = ids}, &err) != NIB_OK)
        return nib_complain_error(&err);
    facts->n_touched = n;
    nib_model_memory(facts->model, &facts->weights);
    nib_context_memory(context, &facts->cache);
    return NIB_EXIT_OK;
}

/* Scratch memory goes with the batch and hardly with the length, so a small context tells. */
static int measure_memory(struct facts *facts)
{
    const uint32_t n_ctx = facts->info->n_ctx_train;
    struct nib_context_params params;
    struct nib_context *context;
    struct nib_error err;
    nib_context_params_init(&params);
    params.n_ctx = n_ctx < SOME_TOKENS ? n_ctx : SOME_TOKENS;
    params.n_threads = (int)nib_settings.n_threads;
    if (nib_context_create(&context, facts->model, &params, &err) != NIB_OK)
        return nib_complain_error(&err);
    facts->n_scratch_bytes = nib_context_info(context)->n_scratch_bytes;
    const uint32_t n_whole = (uint32_t)(((uint64_t)n_ctx + BLOCK - 1) / BLOCK * BLOCK);
    for (int type = 0; type < KV_TYPES; type++)
        facts->n_kv_bytes[type] =
            nib_kv_bytes(facts->model, n_whole, (enum nib_kv_type)type, (enum nib_kv_type)type) /
            n_whole;
    int exit_code = args.shows_memory ? touch(facts, context, params.n_ctx) : NIB_EXIT_OK;
    nib_context_free(context);
    if (exit_code == NIB_EXIT_OK && args.measures_kv)
        exit_code = nib_kv_cost_measure(&facts->kv_cost, facts->model);
    return exit_code;
}

/* ---- text ----------------------------------------------------------------------------------- */

static void print_text_value(const char *label, const char *text)
{
    printf("%-14s", label);
    nib_print_escaped(stdout, text, strlen(text));
    putchar('\n');
}

static double mebibytes(uint64_t n_bytes)
{
    return (double)n_bytes / 1048576.0;
}

static void print_special(const struct facts *facts, const char *label, int32_t id)
{
    if (id < 0)
        return;
    const char *name = nib_token_name(facts->model, id);
    printf(", %s %d ", label, id);
    nib_print_escaped(stdout, name ? name : "?", strlen(name ? name : "?"));
}

static void print_sizes(const struct facts *facts)
{
    const struct nib_model_info *info = facts->info;
    print_text_value("name", info->name);
    print_text_value("family", info->family);
    if (info->packed_from)
        print_text_value("packed from", info->packed_from);
    printf("%-14s%.1f M\n", "weights", 1e-6 * (double)info->n_params);
    printf("%-14s%u layers, width %u, %u heads of %u, %u KV heads, feed-forward %u\n", "layers",
           info->n_layers, info->n_embd, info->n_heads, info->d_head, info->n_kv_heads, info->n_ff);
    printf("%-14s%u positions\n", "trained for", info->n_ctx_train);
    printf("%-14s%s%s%s, %u tokens", "tokenizer", info->tokenizer, *info->pre_tokenizer ? " " : "",
           info->pre_tokenizer, info->n_tokens);
    print_special(facts, info->adds_bos ? "adds BOS" : "BOS", info->bos_id);
    print_special(facts, info->adds_eos ? "adds EOS" : "EOS", info->eos_id);
    putchar('\n');
}

static void print_types(const struct facts *facts)
{
    printf("\n%-10s %8s %12s %14s %14s\n", "type", "tensors", "weights", "file MiB", "memory MiB");
    for (size_t i = 0; i < facts->n_types; i++) {
        const struct nib_type_sum *sum = &facts->types[i];
        printf("%-10s %8zu %10.2f M %14.2f %14.2f\n", sum->type, sum->n_tensors,
               1e-6 * (double)sum->n_weights, mebibytes(sum->n_file_bytes),
               mebibytes(sum->n_packed_bytes));
    }
}

/* Bytes of one key and value. */
static double head_bytes(const struct facts *facts, int type)
{
    return (double)facts->n_kv_bytes[type] /
           ((double)facts->info->n_layers * (double)facts->info->n_kv_heads);
}

static void print_kv_cost(const struct facts *facts)
{
    const struct nib_kv_cost *cost = &facts->kv_cost;
    printf("\nKV cache, time of a token with it and without, measured\n");
    if (cost->n_pays > 0)
        printf("  it pays from %u positions on: %.3g ms and %.3g ms\n", cost->n_pays,
               1e3 * cost->pays_step_s, 1e3 * cost->pays_all_s);
    else
        printf("  it does not pay up to %u positions\n", cost->n_longest);
    if (cost->n_longest > cost->n_pays)
        printf("  at %u positions: %.3g ms and %.3g ms\n", cost->n_longest,
               1e3 * cost->longest_step_s, 1e3 * cost->longest_all_s);
}

static void print_memory(const struct facts *facts)
{
    const uint32_t n_ctx = facts->info->n_ctx_train;
    printf("\nmemory\n");
    printf("  %-26s %10.1f MiB (%.1f MiB read for each token)\n", "weights, packed",
           mebibytes(facts->info->n_packed_bytes), mebibytes(facts->info->n_token_bytes));
    for (int type = 0; type < KV_TYPES; type++) {
        char label[40];
        snprintf(label, sizeof label, "KV cache %s, %u", nib_choices_kv[type], n_ctx);
        printf("  %-26s %10.1f MiB (%.1f KiB for each position: %u layers x %u heads x %.0f B)\n",
               label, mebibytes(facts->n_kv_bytes[type] * n_ctx),
               (double)facts->n_kv_bytes[type] / 1024.0, facts->info->n_layers,
               facts->info->n_kv_heads, head_bytes(facts, type));
    }
    if (facts->info->has_encoder)
        printf(
            "  a source takes as much for each of its tokens, once for all that decodes from it\n");
    printf("  %-26s %10.1f MiB\n", "scratch, batch of 512", mebibytes(facts->n_scratch_bytes));
}

static void print_pages(const char *label, const struct nib_memory_info *memory)
{
    printf("  %-26s %10.1f MiB, %.1f MiB touched, %.1f MiB of it on huge pages (%.0f %%)\n", label,
           mebibytes(memory->n_bytes), mebibytes(memory->n_resident_bytes),
           mebibytes(memory->n_huge_bytes), nib_settings_huge_percent(memory));
}

static void print_touched(const struct facts *facts)
{
    char label[40];
    snprintf(label, sizeof label, "KV cache f16, %u", facts->n_touched);
    printf("\nmemory in use\n");
    print_pages("weights, packed", &facts->weights);
    print_pages(label, &facts->cache);
}

static void print_tensors(const struct facts *facts)
{
    printf("\ntensors\n");
    for (size_t i = 0; i < nib_model_tensor_count(facts->model); i++) {
        struct nib_tensor_info tensor;
        nib_model_tensor(facts->model, i, &tensor);
        printf("  %-6s [", tensor.type);
        for (uint32_t j = 0; j < tensor.n_dims; j++)
            printf("%s%llu", j ? ", " : "", (unsigned long long)tensor.dims[j]);
        fputs("] ", stdout);
        nib_print_escaped(stdout, tensor.name, strlen(tensor.name));
        putchar('\n');
    }
    printf("\nmetadata\n");
    const char *key, *value;
    for (size_t i = 0; nib_model_metadata(facts->model, i, &key, &value); i++) {
        fputs("  ", stdout);
        nib_print_escaped(stdout, key, strlen(key));
        fputs(" = ", stdout);
        nib_print_escaped(stdout, value, strlen(value));
        putchar('\n');
    }
}

/* The template's own lines, indented. */
static void print_template(const struct facts *facts)
{
    const char *source = facts->info->chat_template;
    printf("\ntemplate%s\n", source ? "" : "      none");
    while (source && *source) {
        const size_t length = strcspn(source, "\n");
        fputs("  ", stdout);
        nib_print_escaped(stdout, source, length);
        putchar('\n');
        source += length + (source[length] == '\n');
    }
}

static void print_text(const struct facts *facts)
{
    print_sizes(facts);
    print_types(facts);
    print_memory(facts);
    if (args.shows_memory)
        print_touched(facts);
    if (args.measures_kv)
        print_kv_cost(facts);
    print_template(facts);
    if (nib_settings.is_verbose)
        print_tensors(facts);
}

/* ---- JSON ----------------------------------------------------------------------------------- */

/* Text from the file may be anything; JSON takes UTF-8. */
static void add_text(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *key, const char *text)
{
    struct nib_buffer clean_key = {0}, clean = {0};
    nib_buffer_add_clean(&clean_key, key, strlen(key));
    nib_buffer_add_clean(&clean, text, strlen(text));
    yyjson_mut_obj_add(object, yyjson_mut_strncpy(doc, clean_key.data, clean_key.n_bytes),
                       yyjson_mut_strncpy(doc, clean.data, clean.n_bytes));
    nib_buffer_free(&clean_key);
    nib_buffer_free(&clean);
}

static void add_info(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct nib_model_info *info)
{
    add_text(doc, root, "family", info->family);
    add_text(doc, root, "name", info->name);
    add_text(doc, root, "isa", info->isa);
    add_text(doc, root, "tokenizer", info->tokenizer);
    add_text(doc, root, "pre_tokenizer", info->pre_tokenizer);
    if (info->chat_template)
        add_text(doc, root, "chat_template", info->chat_template);
    if (info->packed_from)
        add_text(doc, root, "packed_from", info->packed_from);
    const struct {
        const char *key;
        uint64_t value;
    } numbers[] = {
        {"n_vocab", info->n_vocab},
        {"n_tokens", info->n_tokens},
        {"n_ctx_train", info->n_ctx_train},
        {"n_layers", info->n_layers},
        {"n_embd", info->n_embd},
        {"n_heads", info->n_heads},
        {"n_kv_heads", info->n_kv_heads},
        {"d_head", info->d_head},
        {"n_ff", info->n_ff},
        {"n_params", info->n_params},
        {"n_file_bytes", info->n_file_bytes},
        {"n_packed_bytes", info->n_packed_bytes},
        {"n_token_bytes", info->n_token_bytes},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        yyjson_mut_obj_add_uint(doc, root, numbers[i].key, numbers[i].value);
    yyjson_mut_obj_add_int(doc, root, "bos_id", info->bos_id);
    yyjson_mut_obj_add_int(doc, root, "eos_id", info->eos_id);
    yyjson_mut_obj_add_bool(doc, root, "adds_bos", info->adds_bos);
    yyjson_mut_obj_add_bool(doc, root, "adds_eos", info->adds_eos);
}

static void add_tensors(yyjson_mut_doc *doc, yyjson_mut_val *list, const struct nib_model *model)
{
    for (size_t i = 0; i < nib_model_tensor_count(model); i++) {
        struct nib_tensor_info tensor;
        nib_model_tensor(model, i, &tensor);
        yyjson_mut_val *item = yyjson_mut_arr_add_obj(doc, list);
        add_text(doc, item, "name", tensor.name);
        add_text(doc, item, "type", tensor.type);
        yyjson_mut_val *dims = yyjson_mut_obj_add_arr(doc, item, "dims");
        for (uint32_t j = 0; j < tensor.n_dims; j++)
            yyjson_mut_arr_add_uint(doc, dims, tensor.dims[j]);
        yyjson_mut_obj_add_uint(doc, item, "n_file_bytes", tensor.n_file_bytes);
        yyjson_mut_obj_add_uint(doc, item, "n_packed_bytes", tensor.n_packed_bytes);
    }
}

static void add_memory(yyjson_mut_doc *doc, yyjson_mut_val *root, const char *key,
                       const struct nib_memory_info *memory)
{
    yyjson_mut_val *object = yyjson_mut_obj_add_obj(doc, root, key);
    yyjson_mut_obj_add_uint(doc, object, "n_bytes", memory->n_bytes);
    yyjson_mut_obj_add_uint(doc, object, "n_resident_bytes", memory->n_resident_bytes);
    yyjson_mut_obj_add_uint(doc, object, "n_huge_bytes", memory->n_huge_bytes);
}

static void add_kv_cost(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct nib_kv_cost *cost)
{
    yyjson_mut_val *object = yyjson_mut_obj_add_obj(doc, root, "kv_cost");
    yyjson_mut_obj_add_uint(doc, object, "pays_from", cost->n_pays);
    yyjson_mut_obj_add_uint(doc, object, "n_longest", cost->n_longest);
    yyjson_mut_obj_add_real(doc, object, "longest_with_s", cost->longest_step_s);
    yyjson_mut_obj_add_real(doc, object, "longest_without_s", cost->longest_all_s);
}

static int print_json(const struct facts *facts)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    add_info(doc, root, facts->info);
    yyjson_mut_obj_add_uint(doc, root, "n_kv_bytes_f16", facts->n_kv_bytes[NIB_KV_F16]);
    yyjson_mut_obj_add_uint(doc, root, "n_kv_bytes_f32", facts->n_kv_bytes[NIB_KV_F32]);
    yyjson_mut_obj_add_uint(doc, root, "n_kv_bytes_q8_0", facts->n_kv_bytes[NIB_KV_Q8_0]);
    yyjson_mut_val *of_head = yyjson_mut_obj_add_obj(doc, root, "n_kv_bytes_of_layer_and_head");
    for (int type = 0; type < KV_TYPES; type++)
        yyjson_mut_obj_add_real(doc, of_head, nib_choices_kv[type], head_bytes(facts, type));
    yyjson_mut_obj_add_uint(doc, root, "n_scratch_bytes", facts->n_scratch_bytes);
    if (args.measures_kv)
        add_kv_cost(doc, root, &facts->kv_cost);
    if (args.shows_memory) {
        add_memory(doc, root, "weights_memory", &facts->weights);
        add_memory(doc, root, "kv_memory", &facts->cache);
    }
    add_tensors(doc, yyjson_mut_obj_add_arr(doc, root, "tensors"), facts->model);
    yyjson_mut_val *metadata = yyjson_mut_obj_add_obj(doc, root, "metadata");
    const char *key, *value;
    for (size_t i = 0; nib_model_metadata(facts->model, i, &key, &value); i++)
        add_text(doc, metadata, key, value);

    char *text = yyjson_mut_write(doc, YYJSON_WRITE_PRETTY, NULL);
    yyjson_mut_doc_free(doc);
    if (!text)
        return nib_complain(NIB_EXIT_MEMORY, "out of memory for the JSON text; use --output text");
    const bool is_written = nib_print(text, strlen(text)) && nib_print("\n", 1);
    free(text);
    return is_written ? NIB_EXIT_OK : NIB_EXIT_RUNTIME;
}

static int run(void)
{
    struct nib_model *model;
    int exit_code = nib_settings_open_model(&model);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    struct facts facts = {.model = model, .info = nib_model_info(model)};
    facts.n_types = nib_sum_types(model, facts.types);
    exit_code = measure_memory(&facts);
    if (exit_code == NIB_EXIT_OK && args.format == NIB_FORMAT_JSON)
        exit_code = print_json(&facts);
    else if (exit_code == NIB_EXIT_OK)
        print_text(&facts);
    nib_model_close(model);
    return exit_code;
}

const struct nib_command nib_command_inspect = {
    .name = "inspect",
    .summary = "what a model file holds and what it needs in memory",
    .usage = "MODEL [-v] [--memory] [--kv-cost] [--output json]",
    .tables = tables,
    .positional = &nib_settings.model,
    .run = run,
};
