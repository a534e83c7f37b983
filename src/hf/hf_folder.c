/* See hf_folder.h. */
#include "hf_folder.h"
#include "gguf_file.h"
#include "hf_generation.h"
#include "hf_tensors.h"
#include "hf_texts.h"
#include "os.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_PATH = 4096 };

/* All that an open one points to. */
struct folder {
    struct nib_hf_weights weights;
    struct nib_hf_tensors tensors;
    struct nib_gguf_image image;
};

static void free_folder(void *data)
{
    struct folder *folder = data;
    nib_hf_weights_free(&folder->weights);
    nib_hf_tensors_free(&folder->tensors);
    nib_gguf_image_free(&folder->image);
    free(folder);
}

/* ---- the path -------------------------------------------------------------------------------- */

/* The folder that a path means, without slashes at its end; false if it means none. */
static bool find_folder(const char *path, char out[MAX_PATH])
{
    static const char *const files[] = {"config.json", "model.safetensors",
                                        "model.safetensors.index.json"};
    size_t n = strlen(path);
    if (n == 0 || n >= MAX_PATH - 64)
        return false;
    memcpy(out, path, n + 1);
    if (!nib_os_is_folder(path)) {
        const char *slash = strrchr(path, '/');
        const char *name = slash ? slash + 1 : path;
        bool is_known = false;
        for (size_t i = 0; i < NIB_COUNT(files); i++)
            is_known = is_known || strcmp(name, files[i]) == 0;
        char config[MAX_PATH];
        snprintf(out, MAX_PATH, "%.*s", slash ? (int)(slash - path + (slash == path)) : 1,
                 slash ? path : ".");
        snprintf(config, sizeof(config), "%.4000s/config.json", out);
        if (!is_known || !nib_os_is_file(path) || !nib_os_is_file(config))
            return false;
    }
    for (n = strlen(out); n > 1 && out[n - 1] == '/'; n--)
        out[n - 1] = '\0';
    return true;
}

bool nib_hf_is_folder(const char *path)
{
    char folder[MAX_PATH];
    return find_folder(path, folder);
}

/* ---- opening --------------------------------------------------------------------------------- */

static enum nib_status check_config(const char *folder, const char *path, struct nib_error *err)
{
    if (nib_os_is_file(path))
        return NIB_OK;
    return nib_fail(err, NIB_ERROR_FILE,
                    "%s: is a folder without config.json; name the folder of a complete model as "
                    "Hugging Face publishes it, or a GGUF file",
                    folder);
}

static enum nib_status read_folder(struct folder *f, const char *folder, struct nib_error *err)
{
    char path[MAX_PATH];
    struct nib_hf_config config = {0};
    snprintf(path, sizeof(path), "%.4000s/config.json", folder);
    nib_gguf_image_begin(&f->image);
    enum nib_status status = check_config(folder, path, err);
    if (status == NIB_OK)
        status = nib_hf_config_open(&config, path, err);
    if (status == NIB_OK)
        status = nib_hf_weights_open(&f->weights, folder, err);
    if (status == NIB_OK)
        status = nib_hf_config_read(&config, &f->image);
    if (status == NIB_OK)
        status = nib_hf_texts_read(&f->image, folder, &config, err);
    if (status == NIB_OK)
        status = nib_hf_generation_read(&f->image, folder, &config, err);
    if (status == NIB_OK)
        status = nib_hf_tensors_find(&f->tensors, &f->weights, &config, err);
    if (status == NIB_OK)
        status = nib_gguf_image_end(&f->image, err);
    nib_hf_config_free(&config);
    return status;
}

enum nib_status nib_hf_open(struct nib_gguf **out, const char *path, struct nib_error *err)
{
    char folder[MAX_PATH];
    *out = NULL;
    if (!find_folder(path, folder))
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "%.200s: is no folder of a model as Hugging Face publishes it; check the "
                        "path",
                        path);
    struct nib_gguf *gguf = NULL;
    struct folder *f = calloc(1, sizeof(*f));
    if (!f)
        return nib_fail_memory(err, sizeof(*f), "a model folder");
    enum nib_status status = read_folder(f, folder, err);
    if (status == NIB_OK)
        status = nib_gguf_open_memory(&gguf, f->image.data, f->image.n_bytes, folder, err);
    if (status == NIB_OK)
        status = nib_gguf_attach(gguf, f->tensors.all, f->tensors.n, f, free_folder, err);
    if (status != NIB_OK) {
        nib_gguf_close(gguf);
        free_folder(f);
        return status;
    }
    *out = gguf;
    return NIB_OK;
}
