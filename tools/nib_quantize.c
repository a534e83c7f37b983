/*
 * nibble quantize: a model file with weights of other types.
 */
#include "commands.h"
#include "settings.h"

#include <string.h>
#include <strings.h>

static struct {
    const char *output, *type;
    const char *output_type, *token_embedding_type;
    struct nib_words tensor_types;
    bool is_pure, allow_requantize, is_dry_run;
} args;

static const struct nib_option options[] = {
    {NULL, "--dry-run", NULL, NULL, "say what every tensor would become, and write nothing",
     NIB_OPTION_ON, &args.is_dry_run, 0, 0, false, NULL},
    {NULL, "--allow-requantize", NULL, NULL,
     "take a model that is quantised already; quality is lost twice", NIB_OPTION_ON,
     &args.allow_requantize, 0, 0, false, NULL},
    {NULL, "--pure", NULL, NULL, "one type for all matrices", NIB_OPTION_ON, &args.is_pure, 0, 0,
     false, NULL},
    {NULL, "--tensor-type", NULL, "PATTERN=TYPE",
     "for tensors whose names match a regular expression; may be repeated, the first match wins",
     NIB_OPTION_WORDS, &args.tensor_types, 0, 0, false, NULL},
    {NULL, "--output-tensor-type", NULL, "TYPE", "of output.weight", NIB_OPTION_TEXT,
     &args.output_type, 0, 0, false, NULL},
    {NULL, "--token-embedding-type", NULL, "TYPE", "of the token embeddings", NIB_OPTION_TEXT,
     &args.token_embedding_type, 0, 0, false, NULL},
    {0},
};

static const struct nib_option *const tables[] = {options, nib_options_common, nib_options_threads,
                                                  NULL};

static double mebibytes(uint64_t n_bytes)
{
    return (double)n_bytes / 1048576.0;
}

static void print_dims(const struct nib_quantize_tensor *tensor, char *out, size_t size)
{
    size_t used = 0;
    for (uint32_t i = 0; i < tensor->n_dims && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%llu", i ? " x " : "",
                                 (unsigned long long)tensor->dims[i]);
}

static void on_tensor(void *data, const struct nib_quantize_tensor *tensor)
{
    (void)data;
    char dims[100];
    print_dims(tensor, dims, sizeof dims);
    if (tensor->wanted)
        nib_note("%s: rows of %llu do not fit %s, so it becomes %s", tensor->name,
                 (unsigned long long)tensor->dims[0], tensor->wanted, tensor->to);
    if (args.is_dry_run)
        printf("%-36s %-20s %6s -> %-6s %9.3f -> %9.3f MiB\n", tensor->name, dims, tensor->from,
               tensor->to, mebibytes(tensor->n_bytes_from), mebibytes(tensor->n_bytes_to));
    else if (nib_settings.is_verbose)
        nib_note("%s %s %s -> %s", tensor->name, dims, tensor->from, tensor->to);
}

static bool on_progress(void *data, uint64_t done, uint64_t total)
{
    nib_progress_update(data, done, total);
    return !nib_interrupt_seen();
}

static void print_totals(const struct nib_quantize_result *result, double seconds)
{
    const double bits = result->n_weights ? 8.0 / (double)result->n_weights : 0;
    char time[40] = "", fallbacks[60] = "";
    if (!args.is_dry_run)
        snprintf(time, sizeof time, ", %.1f s", seconds);
    if (result->n_fallbacks > 0)
        snprintf(fallbacks, sizeof fallbacks, ", %zu of another type than the mix has",
                 result->n_fallbacks);
    printf("%zu tensors%s: %.2f -> %.2f MiB, %.2f -> %.2f bits a weight%s\n", result->n_tensors,
           fallbacks, mebibytes(result->n_bytes_from), mebibytes(result->n_bytes_to),
           bits * (double)result->n_bytes_from, bits * (double)result->n_bytes_to, time);
}

static int quantize(void)
{
    struct nib_quantize_params params;
    struct nib_quantize_result result;
    struct nib_progress progress;
    struct nib_error err;
    nib_quantize_params_init(&params);
    params.type = args.type;
    params.output_type = args.output_type;
    params.token_embedding_type = args.token_embedding_type;
    params.tensor_types = args.tensor_types.values;
    params.n_tensor_types = args.tensor_types.n;
    params.is_pure = args.is_pure;
    params.allow_requantize = args.allow_requantize;
    params.is_dry_run = args.is_dry_run;
    params.n_threads = (int)nib_settings.n_threads;
    params.on_tensor = on_tensor;
    params.progress = on_progress;
    params.data = &progress;

    nib_interrupt_catch(NULL);
    const double started = nib_seconds();
    nib_progress_start(&progress, "quantising");
    const enum nib_status status =
        nib_quantize(nib_settings.model, args.output, &params, &result, &err);
    nib_progress_end(&progress);
    if (status == NIB_ERROR_CANCELLED)
        return NIB_EXIT_INTERRUPT;
    if (status != NIB_OK)
        return nib_complain_error(&err);
    print_totals(&result, nib_seconds() - started);
    return NIB_EXIT_OK;
}

const struct nib_command nib_command_quantize = {
    .name = "quantize",
    .summary = "write a model file with weights of other types",
    .usage = "IN.gguf OUT.gguf TYPE [options]",
    .tables = tables,
    .positional = &nib_settings.model,
    .more_positionals = {&args.output, &args.type},
    .run = quantize,
};
