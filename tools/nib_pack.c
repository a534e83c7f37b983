/*
 * nibble pack: a model as a file that loads at once.
 */
#include "commands.h"
#include "settings.h"

static const char *output;

static const struct nib_option *const tables[] = {nib_options_common, nib_options_threads, NULL};

struct run {
    struct nib_progress progress;
    bool has_input; /* the input could be read */
};

static bool on_progress(void *data, uint64_t done, uint64_t total)
{
    struct run *run = data;
    run->has_input = true;
    nib_progress_update(&run->progress, done, total);
    return !nib_interrupt_seen();
}

static int pack(void)
{
    struct nib_pack_params params;
    struct run run = {0};
    struct nib_error err;
    nib_pack_params_init(&params);
    params.type = nib_settings.type;
    params.n_threads = (int)nib_settings.n_threads;
    params.progress = on_progress;
    params.data = &run;

    nib_interrupt_catch(NULL);
    nib_progress_start(&run.progress, "packing");
    const enum nib_status status = nib_pack_model(nib_settings.model, output, &params, &err);
    nib_progress_end(&run.progress);
    if (status == NIB_ERROR_IO && !run.has_input)
        return nib_complain(NIB_EXIT_FILE, "%s", err.message);
    if (status != NIB_OK)
        return nib_complain_error(&err);
    if (nib_settings.is_verbose)
        nib_note("%s written in %.2f s", output, nib_seconds() - run.progress.started);
    return NIB_EXIT_OK;
}

const struct nib_command nib_command_pack = {
    .name = "pack",
    .summary = "write a model as a file that loads at once",
    .usage = "MODEL OUT.gguf [--type TYPE]",
    .tables = tables,
    .positional = &nib_settings.model,
    .more_positionals = {&output},
    .run = pack,
};
