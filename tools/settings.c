/* See settings.h. */
#include "settings.h"
#include "beam_settings.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct nib_settings nib_settings;

static const char *const colours[] = {"auto", "always", "never", NULL};
const char *const nib_choices_kv[] = {"f16", "f32", "q8_0", "int8", NULL};
const char *const nib_choices_text_json[] = {"text", "json", NULL};

#define MAX_INT32 2147483647.0

const struct nib_option nib_options_common[] = {
    {"-m", "--model", NULL, "FILE", "the model, also as the argument without a dash",
     NIB_OPTION_TEXT, &nib_settings.model, 0, 0, false, NULL},
    {NULL, "--isa", NULL, "NAME", "use no more than this instruction set (nibble --version lists)",
     NIB_OPTION_TEXT, &nib_settings.isa, 0, 0, false, NULL},
    {NULL, "--type", NULL, "TYPE",
     "what the weights become: q4, q5, q6, q8, f16, bf16, f32, or a mix as Q4_K_M; without it as "
     "the file has them, of a Hugging Face folder q8",
     NIB_OPTION_TEXT, &nib_settings.type, 0, 0, false, NULL},
    {NULL, "--color", NULL, "WHEN", "auto, always or never", NIB_OPTION_CHOICE,
     &nib_settings.colour, 0, 0, false, colours},
    {NULL, "--no-cache", NULL, NULL,
     "neither use nor keep packed forms of models in the folder of caches", NIB_OPTION_OFF,
     &nib_settings.uses_cache, 0, 0, false, NULL},
    {NULL, "--cache-limit", NULL, "MIB", "of all packed forms together; the oldest are removed",
     NIB_OPTION_INT, &nib_settings.cache_limit, 0, 1e9, false, NULL},
    {NULL, "--cache-minimum", NULL, "MIB", "smaller models are not kept", NIB_OPTION_INT,
     &nib_settings.cache_minimum, 0, 1e9, false, NULL},
    {"-q", "--quiet", NULL, NULL, "no timings, notes and bars", NIB_OPTION_ON,
     &nib_settings.is_quiet, 0, 0, false, NULL},
    {"-v", "--verbose", NULL, NULL, "say on stderr what was chosen", NIB_OPTION_ON,
     &nib_settings.is_verbose, 0, 0, false, NULL},
    {0},
};

const struct nib_option nib_options_threads[] = {
    {"-t", "--threads", NULL, "N", "threads; auto (or -1): the cores this process may use",
     NIB_OPTION_INT, &nib_settings.n_threads, 1, 1024, true, NULL},
    {0},
};

const struct nib_option nib_options_length[] = {
    {"-c", "--ctx-size", NULL, "N",
     "positions of a sequence; 0: as many as needed, at most the model's", NIB_OPTION_INT,
     &nib_settings.n_ctx, 0, MAX_INT32, false, NULL},
    {0},
};

const struct nib_option nib_options_context[] = {
    {"-b", "--batch-size", NULL, "N", "prompt tokens computed at once", NIB_OPTION_INT,
     &nib_settings.n_batch, 1, 4096, false, NULL},
    {"-ctk", "--cache-type-k", NULL, "TYPE",
     "what the cache of keys holds: f16, f32, or q8_0 (int8)", NIB_OPTION_CHOICE,
     &nib_settings.type_k, 0, 0, false, nib_choices_kv},
    {"-ctv", "--cache-type-v", NULL, "TYPE",
     "what the cache of values holds: f16, f32, or q8_0 (int8)", NIB_OPTION_CHOICE,
     &nib_settings.type_v, 0, 0, false, nib_choices_kv},
    {NULL, "--no-kv-cache", NULL, NULL, "recompute all positions for every token (slow)",
     NIB_OPTION_OFF, &nib_settings.kv_cache, 0, 0, false, NULL},
    {0},
};

const struct nib_option nib_options_chat[] = {
    {"-sys", "--system-prompt", NULL, "TEXT", "the system message", NIB_OPTION_TEXT,
     &nib_settings.system, 0, 0, false, NULL},
    {"-sysf", "--system-prompt-file", NULL, "FILE", "read the system message from here",
     NIB_OPTION_TEXT, &nib_settings.system_file, 0, 0, false, NULL},
    {NULL, "--chat-template", "--chat-template-file", "FILE",
     "a Jinja template instead of the model's own", NIB_OPTION_TEXT, &nib_settings.template_file, 0,
     0, false, NULL},
    {NULL, "--chat-template-kwargs", NULL, "JSON",
     "further variables of the template, as {\"enable_thinking\": false}, or \"tools\" and "
     "\"documents\"",
     NIB_OPTION_TEXT, &nib_settings.template_variables, 0, 0, false, NULL},
    {0},
};

void nib_settings_init(void)
{
    struct nib_context_params context;
    struct nib_model_params model;
    nib_model_params_init(&model);
    nib_context_params_init(&context);
    nib_settings = (struct nib_settings){
        .uses_cache = true,
        .cache_limit = (int64_t)(model.cache_limit >> 20),
        .cache_minimum = (int64_t)(model.cache_minimum >> 20),
        .n_batch = context.n_batch,
        .type_k = context.type_k,
        .type_v = context.type_v,
        .kv_cache = context.kv_cache,
    };
    nib_settings_init_sampling();
    nib_settings_init_beams();
}

/* $XDG_CACHE_HOME/nibble/packed, or below ~/.cache; NULL where there is no such folder. */
static const char *cache_folder(char *out, size_t size)
{
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n;
    if (!nib_settings.uses_cache)
        return NULL;
    if (base && base[0] == '/')
        n = snprintf(out, size, "%s/nibble/packed", base);
    else if (home && home[0] == '/')
        n = snprintf(out, size, "%s/.cache/nibble/packed", home);
    else
        return NULL;
    return n > 0 && (size_t)n < size ? out : NULL;
}

int nib_settings_open_model(struct nib_model **out)
{
    struct nib_model_params params;
    struct nib_error err;
    struct nib_progress progress;
    nib_model_params_init(&params);
    if (nib_settings.isa)
        params.isa = nib_settings.isa;
    params.type = nib_settings.type;
    params.n_threads = (int)nib_settings.n_threads;
    char cache[4096];
    params.cache = cache_folder(cache, sizeof cache);
    params.cache_limit = (uint64_t)nib_settings.cache_limit << 20;
    params.cache_minimum = (uint64_t)nib_settings.cache_minimum << 20;
    params.progress = nib_progress_update;
    params.progress_data = &progress;

    nib_progress_start(&progress, "loading");
    const enum nib_status status = nib_model_open(out, nib_settings.model, &params, &err);
    nib_progress_end(&progress);
    /* A model that is not there or cannot be read is a bad model file to whoever named it. */
    if (status == NIB_ERROR_IO)
        return nib_complain(NIB_EXIT_FILE, "%s", err.message);
    if (status != NIB_OK)
        return nib_complain_error(&err);
    if (nib_settings.is_verbose) {
        const struct nib_model_info *info = nib_model_info(*out);
        nib_note("model %s, %.1f M weights, %.1f MiB in memory, loaded in %.2f s, %s", info->family,
                 1e-6 * (double)info->n_params, (double)info->n_packed_bytes / 1048576.0,
                 nib_seconds() - progress.started, info->isa);
        if (info->cache)
            nib_note("%s", info->cache);
    }
    return NIB_EXIT_OK;
}

enum nib_kv_type nib_settings_kv_type(int choice)
{
    return choice > NIB_KV_Q8_0 ? NIB_KV_Q8_0 : (enum nib_kv_type)choice;
}

double nib_settings_position_bytes(const struct nib_model *model)
{
    enum { MANY = 4096 }; /* memory comes in blocks of positions */
    return (double)nib_kv_bytes(model, MANY, nib_settings_kv_type(nib_settings.type_k),
                                nib_settings_kv_type(nib_settings.type_v)) /
           MANY;
}

/* Positions that fit in half of this machine's memory, at most the model's. */
static uint32_t default_context_length(const struct nib_model *model, uint32_t n_sequences)
{
    const struct nib_model_info *info = nib_model_info(model);
    const double position_bytes = n_sequences * nib_settings_position_bytes(model);
    const double memory = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / 2;
    if (!nib_settings.kv_cache || memory <= 0 || position_bytes <= 0 ||
        memory / position_bytes >= info->n_ctx_train)
        return info->n_ctx_train;
    const uint32_t n_ctx = memory < position_bytes ? 1 : (uint32_t)(memory / position_bytes);
    nib_note("context cut from the model's %u positions to the %u that half of this machine's "
             "memory holds; -c N sets it",
             info->n_ctx_train, n_ctx);
    return n_ctx;
}

int nib_settings_create_context(struct nib_context **out, const struct nib_model *model,
                                uint32_t n_ctx, uint32_t n_sequences, uint32_t n_logits)
{
    return nib_settings_create_shaped(out, model,
                                      &(struct nib_context_shape){.n_ctx = n_ctx,
                                                                  .n_sequences = n_sequences,
                                                                  .n_logits = n_logits});
}

int nib_settings_create_shaped(struct nib_context **out, const struct nib_model *model,
                               const struct nib_context_shape *shape)
{
    struct nib_context_params params;
    struct nib_error err;
    nib_context_params_init(&params);
    params.n_ctx = shape->n_ctx ? shape->n_ctx : default_context_length(model, shape->n_sequences);
    params.n_batch = (uint32_t)nib_settings.n_batch;
    params.n_sequences = shape->n_sequences;
    params.n_logits = shape->n_logits;
    params.n_sources = shape->n_sources;
    params.n_ctx_source = shape->n_ctx_source;
    params.n_threads = (int)nib_settings.n_threads;
    params.type_k = nib_settings_kv_type(nib_settings.type_k);
    params.type_v = nib_settings_kv_type(nib_settings.type_v);
    params.kv_cache = nib_settings.kv_cache;
    if (nib_context_create(out, model, &params, &err) != NIB_OK)
        return nib_complain_error(&err);
    if (nib_settings.is_verbose) {
        const struct nib_context_info *info = nib_context_info(*out);
        nib_note("context %u positions x %u, KV cache %.1f MiB, scratch %.1f MiB, %s", info->n_ctx,
                 info->n_sequences, (double)info->n_kv_bytes / 1048576.0,
                 (double)info->n_scratch_bytes / 1048576.0, info->cpu_plan);
    }
    return NIB_EXIT_OK;
}

static int read_optional(const char *path, struct nib_buffer *out)
{
    return path ? nib_read_input(path, NIB_INPUT_TEXT, out) : NIB_EXIT_OK;
}

int nib_settings_read_chat(struct nib_chat_texts *out)
{
    *out = (struct nib_chat_texts){0};
    if (nib_settings.system && nib_settings.system_file)
        return nib_complain(NIB_EXIT_USAGE, "two system messages; give one of -sys and -sysf");
    int exit_code = read_optional(nib_settings.system_file, &out->system);
    if (exit_code == NIB_EXIT_OK && nib_settings.system) {
        exit_code = nib_check_argument("the system message", nib_settings.system);
        nib_buffer_add(&out->system, nib_settings.system, strlen(nib_settings.system));
    }
    if (exit_code == NIB_EXIT_OK)
        exit_code = read_optional(nib_settings.template_file, &out->template_source);
    if (exit_code != NIB_EXIT_OK)
        nib_chat_texts_free(out);
    return exit_code;
}

void nib_chat_texts_free(struct nib_chat_texts *texts)
{
    nib_buffer_free(&texts->system);
    nib_buffer_free(&texts->template_source);
}

double nib_settings_huge_percent(const struct nib_memory_info *memory)
{
    if (memory->n_resident_bytes == 0)
        return 0;
    return 100.0 * (double)memory->n_huge_bytes / (double)memory->n_resident_bytes;
}
