/* nib_pack_model() of nibble.h: load, name the source by its hash, write. */
#include "hf_folder.h"
#include "os.h"
#include "packed_file.h"
#include "sha256.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_PATH = 4096, PIECE_BYTES = 4 * 1024 * 1024 };

/* ---- the source's name ----------------------------------------------------------------------- */

/* "sha256:HEX NAME", for a folder one for each file of weights.  Made by a thread of its own, as a
 * hash is a chain that one thread has to walk. */
struct naming {
    const char *path;
    char *text;
    size_t n_text;
    enum nib_status status;
    struct nib_error err;
    bool is_started;
    pthread_t thread;
};

static void add_name(struct naming *naming, const char *hex, const char *name)
{
    const size_t n = strlen(name) + 80;
    char *grown = realloc(naming->text, naming->n_text + n);
    if (!grown) {
        naming->status = nib_fail_memory(&naming->err, n, "the name of a model");
        return;
    }
    naming->text = grown;
    naming->n_text += (size_t)snprintf(grown + naming->n_text, n, "%ssha256:%s %s",
                                       naming->n_text > 0 ? ", " : "", hex, name);
}

static void name_file(struct naming *naming, const char *path, const char *name)
{
    struct nib_mapping file;
    struct nib_sha256 sha;
    char hex[65];
    naming->status = nib_os_map(&file, path, &naming->err);
    if (naming->status != NIB_OK)
        return;
    nib_sha256_begin(&sha);
    for (size_t at = 0; at < file.n_bytes; at += PIECE_BYTES) {
        const size_t n = file.n_bytes - at < PIECE_BYTES ? file.n_bytes - at : PIECE_BYTES;
        nib_sha256_add(&sha, file.data + at, n);
        nib_os_forget(file.data + at, n);
    }
    nib_sha256_end(&sha, hex);
    nib_os_unmap(&file);
    add_name(naming, hex, name);
}

static bool is_weights(const char *name)
{
    static const char end[] = ".safetensors";
    const size_t n = strlen(name);
    return n >= sizeof(end) - 1 && strcmp(name + n - (sizeof(end) - 1), end) == 0;
}

static void name_folder(struct naming *naming, const char *folder)
{
    struct nib_os_file *files;
    size_t n;
    nib_os_folder_files(folder, &files, &n);
    for (size_t i = 0; i < n && naming->status == NIB_OK; i++) {
        char path[MAX_PATH];
        if (!is_weights(files[i].name))
            continue;
        snprintf(path, sizeof(path), "%.3800s/%.255s", folder, files[i].name);
        name_file(naming, path, files[i].name);
    }
    nib_os_files_free(files, n);
}

static void *name_source(void *data)
{
    struct naming *naming = data;
    const char *path = naming->path, *slash = strrchr(path, '/');
    char folder[MAX_PATH];
    if (nib_os_is_folder(path)) {
        name_folder(naming, path);
    } else if (nib_hf_is_folder(path)) {
        snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path + 1) : 1,
                 slash ? path : ".");
        name_folder(naming, folder);
    } else {
        name_file(naming, path, slash ? slash + 1 : path);
    }
    return NULL;
}

static void start_naming(struct naming *naming)
{
    naming->is_started = pthread_create(&naming->thread, NULL, name_source, naming) == 0;
}

static void finish_naming(struct naming *naming)
{
    if (naming->is_started)
        pthread_join(naming->thread, NULL);
    naming->is_started = false;
}

/* ---- packing --------------------------------------------------------------------------------- */

struct packing {
    struct naming naming;
    const char *output;
    const struct nib_pack_params *params;
    uint64_t n_bytes; /* of the arena */
    bool is_stopped;
};

void nib_pack_params_init(struct nib_pack_params *params)
{
    *params = (struct nib_pack_params){0};
}

/* Packing is the first half of the work. */
static void report_packing(void *data, uint64_t done, uint64_t total)
{
    struct packing *packing = data;
    const struct nib_pack_params *params = packing->params;
    if (params->progress && !params->progress(params->data, done, 2 * total))
        packing->is_stopped = true;
}

/* Writing the second. */
static bool report_writing(void *data, uint64_t done)
{
    const struct packing *packing = data;
    const struct nib_pack_params *params = packing->params;
    const uint64_t n = packing->n_bytes;
    return !packing->is_stopped &&
           (!params->progress || params->progress(params->data, n + done, 2 * n));
}

static enum nib_status write_packed(struct nib_model *model, const struct nib_gguf *gguf,
                                    void *data, struct nib_error *err)
{
    struct packing *packing = data;
    struct naming *naming = &packing->naming;
    packing->n_bytes = model->arena_bytes;
    if (!naming->is_started)
        name_source(naming);
    finish_naming(naming);
    if (naming->status != NIB_OK)
        return nib_fail(err, naming->status, "%s", naming->err.message);
    const struct nib_packed_origin origin = {naming->text ? naming->text : "",
                                             packing->params->type};
    struct nib_gguf_writer *writer;
    const enum nib_status status =
        nib_packed_begin(&writer, packing->output, model, gguf, &origin, err);
    return status == NIB_OK ? nib_packed_write(writer, model, report_writing, packing, err)
                            : status;
}

enum nib_status nib_pack_model(const char *input, const char *output,
                               const struct nib_pack_params *params, struct nib_error *err)
{
    struct nib_pack_params defaults;
    struct nib_model_params load;
    nib_pack_params_init(&defaults);
    nib_model_params_init(&load);
    if (!params)
        params = &defaults;
    if (nib_os_is_same_file(input, output))
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "%s: is input and output both; give the output another name", input);
    struct packing packing = {.naming = {.path = input}, .output = output, .params = params};
    load.type = params->type;
    load.n_threads = params->n_threads;
    load.progress = report_packing;
    load.progress_data = &packing;
    struct nib_model *model;
    start_naming(&packing.naming);
    const enum nib_status status =
        nib_model_load(&model, input, &load, write_packed, &packing, err);
    finish_naming(&packing.naming);
    free(packing.naming.text);
    nib_model_close(model);
    return status;
}
