/*
 * nibble quantize: a model file with weights of other types.
 */
#include "commands.h"
#include "settings.h"

#include <signal.h>
#include <string.h>

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

/* Tensors whose columns do not fit what the mix has for them. */
struct fallback {
    const char *wanted, *to;
    size_t n;
    char first[100]; /* name and columns */
};

struct run {
    struct nib_progress progress;
    bool has_input; /* the input could be read */
    struct fallback fallbacks[16];
    size_t n_fallbacks;
};

static void count_fallback(struct run *run, const struct nib_quantize_tensor *tensor)
{
    for (size_t i = 0; i < run->n_fallbacks; i++) {
        struct fallback *known = &run->fallbacks[i];
        if (strcmp(known->wanted, tensor->wanted) == 0 && strcmp(known->to, tensor->to) == 0) {
            known->n++;
            return;
        }
    }
    if (run->n_fallbacks == sizeof run->fallbacks / sizeof run->fallbacks[0])
        return;
    struct fallback *added = &run->fallbacks[run->n_fallbacks++];
    *added = (struct fallback){.wanted = tensor->wanted, .to = tensor->to, .n = 1};
    snprintf(added->first, sizeof added->first, "%s has %llu columns", tensor->name,
             (unsigned long long)tensor->dims[0]);
}

static void note_fallbacks(const struct run *run)
{
    for (size_t i = 0; i < run->n_fallbacks; i++) {
        const struct fallback *f = &run->fallbacks[i];
        nib_note("%zu tensor%s %s instead of %s, whose blocks do not fit: %s%s", f->n,
                 f->n == 1 ? " is" : "s are", f->to, f->wanted, f->first, f->n > 1 ? ", ..." : "");
    }
}

static void on_tensor(void *data, const struct nib_quantize_tensor *tensor)
{
    struct run *run = data;
    run->has_input = true;
    char dims[100];
    print_dims(tensor, dims, sizeof dims);
    if (tensor->wanted)
        count_fallback(run, tensor);
    if (args.is_dry_run)
        printf("%-36s %-20s %6s -> %-6s %9.3f -> %9.3f MiB\n", tensor->name, dims, tensor->from,
               tensor->to, mebibytes(tensor->n_bytes_from), mebibytes(tensor->n_bytes_to));
    else if (nib_settings.is_verbose)
        nib_note("%s %s %s -> %s", tensor->name, dims, tensor->from, tensor->to);
}

/* SIGTERM and SIGHUP end the program once the library has removed what it was writing. */
static volatile sig_atomic_t ended_by;

static void handle_end(int signal_number)
{
    ended_by = signal_number;
}

static void catch_ends(void)
{
    static const int signals[] = {SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        struct sigaction before;
        struct sigaction action = {.sa_handler = handle_end, .sa_flags = SA_RESTART};
        sigemptyset(&action.sa_mask);
        /* nohup's SIG_IGN stays. */
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
    }
}

static bool on_progress(void *data, uint64_t done, uint64_t total)
{
    nib_progress_update(&((struct run *)data)->progress, done, total);
    return !nib_interrupt_seen() && !ended_by;
}

static void print_totals(const struct nib_quantize_result *result, double seconds)
{
    const double bits = result->n_weights ? 8.0 / (double)result->n_weights : 0;
    char time[40] = "";
    if (!args.is_dry_run)
        snprintf(time, sizeof time, ", %.1f s", seconds);
    printf("%zu tensors: %.2f -> %.2f MiB, %.2f -> %.2f bits a weight%s\n", result->n_tensors,
           mebibytes(result->n_bytes_from), mebibytes(result->n_bytes_to),
           bits * (double)result->n_bytes_from, bits * (double)result->n_bytes_to, time);
}

static int quantize(void)
{
    struct nib_quantize_params params;
    struct nib_quantize_result result;
    struct run run = {0};
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
    params.data = &run;

    nib_interrupt_catch(NULL);
    catch_ends();
    const double started = nib_seconds();
    nib_progress_start(&run.progress, "quantising");
    const enum nib_status status =
        nib_quantize(nib_settings.model, args.output, &params, &result, &err);
    nib_progress_end(&run.progress);
    if (ended_by) {
        signal(ended_by, SIG_DFL);
        raise(ended_by);
    }
    if (status == NIB_ERROR_IO && !run.has_input)
        return nib_complain(NIB_EXIT_FILE, "%s", err.message);
    if (status != NIB_OK)
        return nib_complain_error(&err);
    note_fallbacks(&run);
    print_totals(&result, nib_seconds() - started);
    return NIB_EXIT_OK;
}

const struct nib_command nib_command_quantize = {
    .name = "quantize",
    .summary = "write a model file with weights of another type, as Q4_K_M, Q8_0 or F16",
    .usage = "IN.gguf OUT.gguf TYPE [options]",
    .tables = tables,
    .positional = &nib_settings.model,
    .more_positionals = {&args.output, &args.type},
    .run = quantize,
};
