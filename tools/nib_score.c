/*
 * nibble score: the logits of every position of given sequences, as a safetensors file.
 *
 * A safetensors file is the length of a JSON header (8 bytes, little-endian), the header with the
 * name, type, shape and offsets of each tensor, and the numbers:
 * https://github.com/huggingface/safetensors. Logits are written as they are computed, into a file
 * beside the one asked for, which takes its name once everything is on the disk.
 */
#include "commands.h"
#include "input.h"
#include "score_lines.h"
#include "settings.h"

#include <errno.h>
#include <sys/stat.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    const char *ids_file, *decoder_ids_file, *logits_file, *text, *texts_file;
    bool wants_logprobs;
    int64_t n_top, n_parallel;
} args = {.n_parallel = 16};

static const struct nib_option options[] = {
    {NULL, "--ids", NULL, "FILE", "the sequences, JSON [[ids], [ids], ...]; - is standard input",
     NIB_OPTION_TEXT, &args.ids_file, 0, 0, false, NULL},
    {NULL, "--decoder-ids", NULL, "FILE",
     "of models with an encoder: what is decoded from each of the sequences, start id and all; the "
     "encoder's output goes beside the logits as encoder.0, encoder.1, ...",
     NIB_OPTION_TEXT, &args.decoder_ids_file, 0, 0, false, NULL},
    {NULL, "--logits", NULL, "FILE", "where the logits go: F32 tensors logits.0, logits.1, ...",
     NIB_OPTION_TEXT, &args.logits_file, 0, 0, false, NULL},
    {NULL, "--logprobs", NULL, NULL,
     "instead of logits: a line of JSON for each text, with the log-probability of every token",
     NIB_OPTION_ON, &args.wants_logprobs, 0, 0, false, NULL},
    {NULL, "--top-logprobs", NULL, "N", "and of the N most probable in its place", NIB_OPTION_INT,
     &args.n_top, 0, 1000, false, NULL},
    {"-p", "--prompt", NULL, "TEXT", "the text for --logprobs", NIB_OPTION_TEXT, &args.text, 0, 0,
     false, NULL},
    {"-f", "--file", NULL, "FILE",
     "texts for --logprobs: lines, or a JSON list of strings; - is standard input; for models with "
     "an encoder source, tab, target",
     NIB_OPTION_TEXT, &args.texts_file, 0, 0, false, NULL},
    {"-np", "--parallel", NULL, "N", "texts computed at once", NIB_OPTION_INT, &args.n_parallel, 1,
     256, false, NULL},
    {0},
};

static const struct nib_option *const tables[] = {
    options, nib_options_common, nib_options_threads, nib_options_length, nib_options_context, NULL,
};

/* ---- the file ------------------------------------------------------------------------------- */

struct output {
    char *path; /* of the file beside the one asked for */
    FILE *file;
};

static int complain_write(const char *what)
{
    return nib_complain(NIB_EXIT_RUNTIME, "%s: cannot be %s: %s; give a path with room on its disk",
                        args.logits_file, what, strerror(errno));
}

static int output_open(struct output *out)
{
    static const char suffix[] = ".XXXXXX";
    struct stat status;
    /* A device or a folder would be replaced, or refuse to be once all is computed. */
    if (stat(args.logits_file, &status) == 0 && !S_ISREG(status.st_mode))
        return nib_complain(NIB_EXIT_RUNTIME, "%s: is not a regular file; give another path",
                            args.logits_file);
    const size_t length = strlen(args.logits_file);
    out->path = nib_grow(NULL, length + sizeof suffix, 1);
    memcpy(out->path, args.logits_file, length);
    memcpy(out->path + length, suffix, sizeof suffix);
    const int descriptor = mkstemp(out->path);
    out->file = descriptor < 0 ? NULL : fdopen(descriptor, "w+b");
    if (out->file) {
        nib_unfinished(out->path);
        /* mkstemp's mode is for the owner alone; a result has the usual one. */
        const mode_t mask = umask(0);
        umask(mask);
        (void)!fchmod(descriptor, 0666 & ~mask);
        return NIB_EXIT_OK;
    }
    const int exit_code = complain_write("made");
    if (descriptor >= 0) {
        close(descriptor);
        unlink(out->path);
    }
    free(out->path);
    out->path = NULL;
    return exit_code;
}

static int output_commit(struct output *out)
{
    if (fflush(out->file) != 0 || fsync(fileno(out->file)) != 0)
        return complain_write("written");
    if (rename(out->path, args.logits_file) != 0)
        return complain_write("put in place");
    nib_unfinished(NULL);
    free(out->path);
    out->path = NULL;
    return NIB_EXIT_OK;
}

static void output_free(struct output *out)
{
    if (out->file)
        fclose(out->file);
    if (out->path)
        unlink(out->path);
    nib_unfinished(NULL);
    free(out->path);
}

static void add_entry(struct nib_buffer *header, const char *name, const char *shape,
                      uint64_t begin, uint64_t end)
{
    char entry[256];
    const int n = snprintf(entry, sizeof entry,
                           "%s\"%s\":{\"dtype\":\"F32\",\"shape\":%s,\"data_offsets\":[%llu,%llu]}",
                           header->n_bytes == 1 ? "" : ",", name, shape, (unsigned long long)begin,
                           (unsigned long long)end);
    nib_buffer_add(header, entry, (size_t)n);
}

static bool have_equal_lengths(const struct nib_lists *lists)
{
    for (size_t i = 1; i < lists->n_lists; i++) {
        if (lists->starts[i + 1] - lists->starts[i] != lists->starts[1])
            return false;
    }
    return true;
}

static int write_header(struct output *out, const struct nib_lists *lists,
                        const struct nib_lists *sources, const struct nib_model_info *info)
{
    const uint32_t n_vocab = info->n_vocab;
    struct nib_buffer header = {0};
    char name[32], shape[80];
    const uint64_t row_bytes = (uint64_t)n_vocab * sizeof(float);
    const uint64_t all_bytes = lists->starts[lists->n_lists] * row_bytes;
    nib_buffer_add(&header, "{", 1);
    for (size_t i = 0; i < lists->n_lists; i++) {
        snprintf(name, sizeof name, "logits.%zu", i);
        snprintf(shape, sizeof shape, "[%zu,%u]", lists->starts[i + 1] - lists->starts[i], n_vocab);
        add_entry(&header, name, shape, lists->starts[i] * row_bytes,
                  lists->starts[i + 1] * row_bytes);
    }
    if (have_equal_lengths(lists)) {
        snprintf(shape, sizeof shape, "[%zu,%zu,%u]", lists->n_lists, lists->starts[1], n_vocab);
        add_entry(&header, "logits", shape, all_bytes, 2 * all_bytes);
    }
    uint64_t at = have_equal_lengths(lists) ? 2 * all_bytes : all_bytes;
    for (size_t i = 0; sources && i < sources->n_lists; i++) {
        const size_t n = sources->starts[i + 1] - sources->starts[i];
        snprintf(name, sizeof name, "encoder.%zu", i);
        snprintf(shape, sizeof shape, "[%zu,%u]", n, info->n_embd);
        add_entry(&header, name, shape, at, at + (uint64_t)n * info->n_embd * sizeof(float));
        at += (uint64_t)n * info->n_embd * sizeof(float);
    }
    nib_buffer_add(&header, "}", 1);
    while (header.n_bytes % 8 != 0) /* so that the numbers are aligned */
        nib_buffer_add(&header, " ", 1);

    unsigned char length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)((uint64_t)header.n_bytes >> 8 * i);
    const bool is_written = fwrite(length, 1, 8, out->file) == 8 &&
                            fwrite(header.data, 1, header.n_bytes, out->file) == header.n_bytes;
    nib_buffer_free(&header);
    return is_written ? NIB_EXIT_OK : complain_write("written");
}

/* The one tensor of all sequences holds the bytes of logits.0, logits.1, ... once more. */
static int repeat_data(struct output *out, uint64_t n_bytes)
{
    char chunk[65536];
    if (fflush(out->file) != 0)
        return complain_write("written");
    off_t from = (off_t)((uint64_t)ftello(out->file) - n_bytes);
    while (n_bytes > 0) {
        const size_t wanted = n_bytes < sizeof chunk ? (size_t)n_bytes : sizeof chunk;
        const ssize_t n = pread(fileno(out->file), chunk, wanted, from);
        if (n <= 0 || fwrite(chunk, 1, (size_t)n, out->file) != (size_t)n)
            return complain_write("written");
        from += n;
        n_bytes -= (uint64_t)n;
    }
    return NIB_EXIT_OK;
}

/* ---- scoring -------------------------------------------------------------------------------- */

static int write_logits(struct output *out, const struct nib_context *context, size_t n_rows,
                        uint32_t n_vocab)
{
    for (size_t i = 0; i < n_rows; i++) {
        if (fwrite(nib_logits(context, i), sizeof(float), n_vocab, out->file) != n_vocab)
            return complain_write("written");
    }
    return NIB_EXIT_OK;
}

static int score_sequence(struct output *out, struct nib_context *context, const int32_t *ids,
                          size_t n_ids, const bool *wants_logits, uint32_t n_vocab)
{
    const size_t n_rows = nib_context_info(context)->n_logits;
    nib_sequence_truncate(context, 0, 0);
    for (size_t done = 0; done < n_ids;) {
        const size_t n = n_ids - done < n_rows ? n_ids - done : n_rows;
        const struct nib_batch batch = {
            .n_tokens = n, .ids = ids + done, .wants_logits = wants_logits};
        struct nib_error err;
        if (nib_evaluate(context, &batch, &err) != NIB_OK)
            return nib_complain_error(&err);
        if (nib_interrupt_seen())
            return NIB_EXIT_INTERRUPT;
        const int exit_code = write_logits(out, context, n, n_vocab);
        if (exit_code != NIB_EXIT_OK)
            return exit_code;
        done += n;
    }
    return NIB_EXIT_OK;
}

static int encode(struct nib_context *context, const struct nib_lists *sources, size_t i)
{
    struct nib_error err;
    const struct nib_batch batch = {.n_tokens = sources->starts[i + 1] - sources->starts[i],
                                    .ids = sources->ids + sources->starts[i]};
    return nib_encode_sources(context, &batch, &err) == NIB_OK ? NIB_EXIT_OK
                                                               : nib_complain_error(&err);
}

/* What the encoder made of every source, behind all logits. */
static int write_encoded(struct output *out, struct nib_context *context,
                         const struct nib_lists *sources, uint32_t n_embd)
{
    for (size_t i = 0; i < sources->n_lists; i++) {
        const int exit_code = encode(context, sources, i);
        if (exit_code != NIB_EXIT_OK)
            return exit_code;
        const float *row;
        for (size_t r = 0; (row = nib_encoder_output(context, r)) != NULL; r++)
            if (fwrite(row, sizeof(float), n_embd, out->file) != n_embd)
                return complain_write("written");
    }
    return NIB_EXIT_OK;
}

/* The context of a sequence of n_ids.  Where positions depend on the size of the context, each has
 * one of its own: its result is then the same whatever is scored beside it. */
static int prepare_context(struct nib_context **context, const struct nib_model *model,
                           size_t n_ids)
{
    const struct nib_context_info info = *nib_context_info(*context);
    if (!nib_model_info(model)->scales_by_context || nib_settings.n_ctx || info.n_ctx == n_ids)
        return NIB_EXIT_OK;
    nib_interrupt_catch(NULL);
    nib_context_free(*context);
    const int exit_code =
        nib_settings_create_context(context, model, (uint32_t)n_ids, 1, info.n_logits);
    if (exit_code == NIB_EXIT_OK)
        nib_interrupt_catch(*context);
    else
        *context = NULL;
    return exit_code;
}

static int score_all(struct output *out, struct nib_context **context,
                     const struct nib_model *model, const struct nib_lists *lists,
                     const struct nib_lists *sources)
{
    const struct nib_model_info *info = nib_model_info(model);
    const size_t n_rows = nib_context_info(*context)->n_logits;
    bool *wants_logits = nib_grow(NULL, n_rows, sizeof *wants_logits);
    memset(wants_logits, true, n_rows * sizeof *wants_logits);
    struct nib_progress progress;
    nib_progress_start(&progress, "scoring");
    int exit_code = write_header(out, lists, sources, info);
    for (size_t i = 0; i < lists->n_lists && exit_code == NIB_EXIT_OK; i++) {
        const size_t n_ids = lists->starts[i + 1] - lists->starts[i];
        exit_code = prepare_context(context, model, n_ids);
        if (exit_code == NIB_EXIT_OK && sources)
            exit_code = encode(*context, sources, i);
        if (exit_code == NIB_EXIT_OK)
            exit_code = score_sequence(out, *context, lists->ids + lists->starts[i], n_ids,
                                       wants_logits, info->n_vocab);
        nib_progress_update(&progress, lists->starts[i + 1], lists->starts[lists->n_lists]);
    }
    nib_progress_end(&progress);
    free(wants_logits);
    if (exit_code == NIB_EXIT_OK && have_equal_lengths(lists))
        exit_code = repeat_data(out, (uint64_t)lists->starts[lists->n_lists] * info->n_vocab *
                                         sizeof(float));
    if (exit_code == NIB_EXIT_OK && sources)
        exit_code = write_encoded(out, *context, sources, info->n_embd);
    return exit_code == NIB_EXIT_OK ? output_commit(out) : exit_code;
}

static size_t longest_list(const struct nib_lists *lists)
{
    size_t longest = 0;
    for (size_t i = 0; i < lists->n_lists; i++) {
        const size_t length = lists->starts[i + 1] - lists->starts[i];
        longest = length > longest ? length : longest;
    }
    return longest;
}

/* Rows of logits a call may ask for: a chunk of -b tokens, at most 1 GiB of them. */
static uint32_t choose_rows(size_t longest, uint32_t n_vocab)
{
    const uint64_t affordable = ((uint64_t)1 << 30) / ((uint64_t)n_vocab * sizeof(float));
    uint64_t n_rows =
        longest < (uint64_t)nib_settings.n_batch ? longest : (uint64_t)nib_settings.n_batch;
    if (n_rows > affordable)
        n_rows = affordable;
    return n_rows ? (uint32_t)n_rows : 1;
}

static int score(const struct nib_model *model, const struct nib_lists *lists,
                 const struct nib_lists *sources)
{
    const struct nib_model_info *info = nib_model_info(model);
    const size_t longest = longest_list(lists);
    const uint64_t limit = nib_settings.n_ctx ? (uint64_t)nib_settings.n_ctx : info->n_ctx_train;
    if (longest > limit)
        return nib_complain(
            NIB_EXIT_RUNTIME,
            "%s: a sequence of %zu tokens is longer than the context of %llu; split "
            "it or set a larger context with -c",
            args.ids_file, longest, (unsigned long long)limit);
    struct nib_context *context;
    struct output out = {0};
    const uint32_t n_ctx = nib_settings.n_ctx ? (uint32_t)nib_settings.n_ctx : (uint32_t)longest;
    int exit_code =
        nib_settings_create_context(&context, model, n_ctx, 1, choose_rows(longest, info->n_vocab));
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    nib_interrupt_catch(context);
    exit_code = output_open(&out);
    if (exit_code == NIB_EXIT_OK)
        exit_code = score_all(&out, &context, model, lists, sources);
    output_free(&out);
    nib_interrupt_catch(NULL);
    nib_context_free(context);
    return exit_code;
}

/* What is decoded from each of the sources. */
static int score_decoded(const struct nib_model *model, const struct nib_lists *sources)
{
    struct nib_lists lists;
    if (!args.decoder_ids_file)
        return nib_complain(NIB_EXIT_USAGE,
                            "this model has an encoder: give what is decoded from the sequences "
                            "with --decoder-ids FILE, each beginning with %d",
                            (int)nib_model_info(model)->decoder_start_id);
    int exit_code =
        nib_read_ids(args.decoder_ids_file, nib_model_info(model)->n_vocab, false, &lists);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    exit_code =
        lists.n_lists == sources->n_lists
            ? score(model, &lists, sources)
            : nib_complain(NIB_EXIT_USAGE,
                           "%s has %zu sequences and %s %zu; give one to decode for each",
                           args.ids_file, sources->n_lists, args.decoder_ids_file, lists.n_lists);
    nib_lists_free(&lists);
    return exit_code;
}

static int check_texts(void)
{
    if (args.logits_file)
        return nib_complain(NIB_EXIT_USAGE, "give one of --logprobs and --logits");
    if (args.decoder_ids_file && !args.ids_file)
        return nib_complain(NIB_EXIT_USAGE, "--decoder-ids goes with sources as --ids; of text, "
                                            "write source, tab, target");
    if (!!args.ids_file + !!args.text + !!args.texts_file > 1)
        return nib_complain(NIB_EXIT_USAGE, "more than one input; give one of -p, -f and --ids");
    if (!args.ids_file && !args.text && !args.texts_file) {
        if (nib_is_terminal(stdin))
            return nib_complain(NIB_EXIT_USAGE, "no text; give -p TEXT, -f FILE or --ids FILE, or "
                                                "pipe lines in");
        args.texts_file = "-";
    }
    return args.text ? nib_check_argument("the text", args.text) : NIB_EXIT_OK;
}

static int open_model(struct nib_model **model)
{
    const int exit_code = nib_settings_open_model(model);
    if (exit_code != NIB_EXIT_OK || !args.decoder_ids_file || nib_model_info(*model)->has_encoder)
        return exit_code;
    nib_model_close(*model);
    return nib_complain(NIB_EXIT_USAGE,
                        "--decoder-ids is for models with an encoder; leave it out");
}

static int run_texts(void)
{
    struct nib_model *model;
    int exit_code = check_texts();
    if (exit_code == NIB_EXIT_OK)
        exit_code = open_model(&model);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    exit_code =
        nib_score_lines(model, &(struct nib_score_lines){.text = args.text,
                                                         .texts_file = args.texts_file,
                                                         .ids_file = args.ids_file,
                                                         .decoder_ids_file = args.decoder_ids_file,
                                                         .n_top = (size_t)args.n_top,
                                                         .n_parallel = (size_t)args.n_parallel});
    nib_model_close(model);
    return exit_code;
}

static int run(void)
{
    struct nib_model *model;
    struct nib_lists lists;
    if (args.wants_logprobs)
        return run_texts();
    if (args.text || args.texts_file || args.n_top > 0)
        return nib_complain(NIB_EXIT_USAGE, "-p, -f and --top-logprobs need --logprobs; add it");
    if (!args.ids_file || !args.logits_file)
        return nib_complain(NIB_EXIT_USAGE,
                            "give the sequences with --ids FILE and the result with --logits "
                            "OUT.safetensors, or --logprobs");
    int exit_code = open_model(&model);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    const struct nib_model_info *info = nib_model_info(model);
    exit_code = nib_read_ids(args.ids_file, info->n_source_vocab, false, &lists);
    if (exit_code == NIB_EXIT_OK) {
        exit_code = info->has_encoder ? score_decoded(model, &lists) : score(model, &lists, NULL);
        nib_lists_free(&lists);
    }
    nib_model_close(model);
    return exit_code;
}

const struct nib_command nib_command_score = {
    .name = "score",
    .summary = "logits of every position of given sequences, or log-probabilities of texts",
    .usage = "MODEL.gguf --ids FILE --logits OUT.safetensors | MODEL.gguf --logprobs [-p TEXT | -f "
             "FILE | --ids FILE]",
    .tables = tables,
    .positional = &nib_settings.model,
    .run = run,
};
