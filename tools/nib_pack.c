/*
 * nibble pack: a model as a file that loads at once.
 */
#include "commands.h"
#include "settings.h"

static const char *output;

static const struct nib_option *const tables[] = {nib_options_common, nib_options_threads, NULL};

static int pack(void)
{
    struct nib_model_params params;
    struct nib_progress progress;
    struct nib_error err;
    nib_model_params_init(&params);
    params.isa = nib_settings.isa;
    params.type = nib_settings.type;
    params.n_threads = (int)nib_settings.n_threads;
    params.progress = nib_progress_update;
    params.progress_data = &progress;

    nib_progress_start(&progress, "packing");
    const enum nib_status status = nib_pack_model(nib_settings.model, output, &params, &err);
    nib_progress_end(&progress);
    if (status != NIB_OK)
        return nib_complain_error(&err);
    if (nib_settings.is_verbose)
        nib_note("%s written in %.2f s", output, nib_seconds() - progress.started);
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
