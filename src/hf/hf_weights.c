/*
 * See hf_weights.h.  Names of files come from the index, which anyone may have written: only plain
 * names are taken, and links only within the folder or, as the hub's cache has them, from
 * snapshots/REVISION/ to blobs/ beside snapshots/.
 */
#include "hf_weights.h"
#include "json_reader.h"
#include "os.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_PATH = 4096, MAX_SHARDS = 10000 };

static const struct nib_json_limits index_limits = {256 << 20, 4 << 20, 8};

/* ---- paths ----------------------------------------------------------------------------------- */

static enum nib_status join(char out[MAX_PATH], const char *folder, const char *name,
                            struct nib_error *err)
{
    if (snprintf(out, MAX_PATH, "%s/%s", folder, name) < MAX_PATH)
        return NIB_OK;
    return nib_fail(err, NIB_ERROR_ARGUMENT, "%.100s...: the path is longer than %d bytes", folder,
                    MAX_PATH);
}

static bool has_file(const char *folder, const char *name)
{
    char path[MAX_PATH];
    return join(path, folder, name, NULL) == NIB_OK && nib_os_is_file(path);
}

/* The length of a path without its last n parts; 0 if it has no more. */
static size_t without_parts(const char *path, int n)
{
    size_t len = strlen(path);
    for (; n > 0 && len > 0; n--)
        while (len > 0 && path[--len] != '/')
            ;
    return len;
}

static bool is_within(const char *file, const char *folder)
{
    const size_t n = strlen(folder);
    if (strncmp(file, folder, n) == 0 && file[n] == '/')
        return true;
    /* FOLDER = REPOSITORY/snapshots/REVISION, the file is in REPOSITORY/blobs. */
    const size_t n_parent = without_parts(folder, 1), n_repository = without_parts(folder, 2);
    return n_parent - n_repository == strlen("/snapshots") &&
           strncmp(folder + n_repository, "/snapshots", n_parent - n_repository) == 0 &&
           strncmp(file, folder, n_repository) == 0 &&
           strncmp(file + n_repository, "/blobs/", strlen("/blobs/")) == 0;
}

static enum nib_status check_link(const char *folder, const char *path, struct nib_error *err)
{
    char *real_folder = nib_os_real_path(folder), *real = nib_os_real_path(path);
    enum nib_status status = NIB_OK;
    if (real && real_folder && !is_within(real, real_folder))
        status = nib_fail(err, NIB_ERROR_FILE,
                          "%s: leads out of the folder, to %s; move or copy that file into the "
                          "folder if you trust it",
                          path, real);
    free(real_folder);
    free(real);
    return status; /* what has no real path fails when it is opened */
}

static enum nib_status open_file(struct nib_hf_weights *w, const char *folder, const char *name,
                                 struct nib_error *err)
{
    char path[MAX_PATH];
    enum nib_status status = join(path, folder, name, err);
    if (status == NIB_OK)
        status = check_link(folder, path, err);
    if (status == NIB_OK)
        status = nib_safetensors_open(&w->files[w->n_files], path, err);
    if (status == NIB_OK)
        w->n_tensors += nib_safetensors_count(w->files[w->n_files++]);
    return status;
}

/* ---- the index ------------------------------------------------------------------------------- */

struct place {
    const char *name, *file;
};

struct index {
    const char *path;
    struct place *places; /* by name */
    size_t n;
    struct nib_error *err;
};

static int compare_places(const void *a, const void *b)
{
    return strcmp(((const struct place *)a)->name, ((const struct place *)b)->name);
}

static int compare_files(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_plain_name(const char *name)
{
    static const char end[] = ".safetensors";
    const size_t n = strlen(name), n_end = sizeof(end) - 1;
    return n > n_end && n < 256 && !strpbrk(name, "/\\") && name[0] != '.' &&
           strcmp(name + n - n_end, end) == 0;
}

static enum nib_status read_map(struct index *index, yyjson_val *map)
{
    const size_t n_all = yyjson_obj_size(map);
    if (n_all == 0)
        return nib_fail(index->err, NIB_ERROR_FILE,
                        "%s: weight_map is missing or empty; get the file again from its publisher",
                        index->path);
    enum nib_status status = nib_json_check_keys(map, index->path, "weight_map", index->err);
    if (status != NIB_OK)
        return status;
    index->places = malloc(n_all * sizeof(*index->places));
    if (!index->places)
        return nib_fail_memory(index->err, n_all * sizeof(*index->places), "an index of weights");
    size_t i, n;
    yyjson_val *key, *value;
    yyjson_obj_foreach(map, i, n, key, value)
    {
        const char *file = yyjson_get_str(value);
        if (!file || strlen(file) != yyjson_get_len(value) || !is_plain_name(file))
            return nib_fail(index->err, NIB_ERROR_FILE,
                            "%s: tensor %.128s is said to be in \"%.128s\", expected the name of a "
                            ".safetensors file beside the index; get the file again from its "
                            "publisher",
                            index->path, yyjson_get_str(key), file ? file : "");
        index->places[index->n++] = (struct place){yyjson_get_str(key), file};
    }
    qsort(index->places, index->n, sizeof(*index->places), compare_places);
    return NIB_OK;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* All tensors of a file must be there by the index. */
static enum nib_status check_file(const struct index *index, const struct nib_safetensors *file)
{
    const char *path = nib_safetensors_path(file);
    for (size_t i = 0; i < nib_safetensors_count(file); i++) {
        const struct place wanted = {.name = nib_safetensors_tensor(file, i)->name};
        const struct place *found =
            bsearch(&wanted, index->places, index->n, sizeof(wanted), compare_places);
        if (!found)
            return nib_fail(index->err, NIB_ERROR_FILE,
                            "%s: tensor %.128s is not in the index, %s: the files do not belong "
                            "together; download all of them again",
                            path, wanted.name, index->path);
        if (strcmp(found->file, base_name(path)) != 0)
            return nib_fail(index->err, NIB_ERROR_FILE,
                            "%s: tensor %.128s is here, but by the index it is in %s: the files do "
                            "not belong together; download all of them again",
                            path, wanted.name, found->file);
    }
    return NIB_OK;
}

static int compare_name_with_tensor(const void *name, const void *tensor)
{
    return strcmp(name, (*(const struct nib_safetensors_tensor *const *)tensor)->name);
}

static int compare_tensor_names(const void *a, const void *b)
{
    return strcmp((*(const struct nib_safetensors_tensor *const *)a)->name,
                  (*(const struct nib_safetensors_tensor *const *)b)->name);
}

/* Each tensor that a file has is in the index, once; so if there are as many, all are there. */
static enum nib_status check_complete(const struct index *index, const struct nib_hf_weights *w)
{
    if (w->n_tensors == index->n)
        return NIB_OK;
    const struct nib_safetensors_tensor **all = malloc((w->n_tensors + 1) * sizeof(*all));
    if (!all)
        return nib_fail_memory(index->err, w->n_tensors * sizeof(*all), "an index of weights");
    size_t n = 0;
    for (size_t f = 0; f < w->n_files; f++)
        for (size_t i = 0; i < nib_safetensors_count(w->files[f]); i++)
            all[n++] = nib_safetensors_tensor(w->files[f], i);
    qsort(all, n, sizeof(*all), compare_tensor_names);
    enum nib_status status = NIB_OK;
    for (size_t i = 0; i < index->n && status == NIB_OK; i++)
        if (!bsearch(index->places[i].name, all, n, sizeof(*all), compare_name_with_tensor))
            status = nib_fail(index->err, NIB_ERROR_FILE,
                              "%s: tensor %.128s should be in %s, but is not: the files do not "
                              "belong together; download all of them again",
                              index->path, index->places[i].name, index->places[i].file);
    free(all);
    return status;
}

/* The files by name, each once; *n of them, at the front of the array. */
static const char **list_files(const struct index *index, size_t *n)
{
    const char **files = malloc(index->n * sizeof(*files));
    if (!files)
        return NULL;
    for (size_t i = 0; i < index->n; i++)
        files[i] = index->places[i].file;
    qsort(files, index->n, sizeof(*files), compare_files);
    *n = 0;
    for (size_t i = 0; i < index->n; i++)
        if (i == 0 || strcmp(files[i], files[*n - 1]) != 0)
            files[(*n)++] = files[i];
    return files;
}

static enum nib_status open_shards(struct nib_hf_weights *w, const char *folder,
                                   const struct index *index)
{
    size_t n;
    const char **files = list_files(index, &n);
    if (!files)
        return nib_fail_memory(index->err, index->n * sizeof(*files), "an index of weights");
    enum nib_status status = NIB_OK;
    if (n > MAX_SHARDS)
        status = nib_fail(index->err, NIB_ERROR_FILE,
                          "%s: names %zu files, at most %d are allowed; get the file again from "
                          "its publisher",
                          index->path, n, MAX_SHARDS);
    else if (!(w->files = calloc(n, sizeof(struct nib_safetensors *))))
        status =
            nib_fail_memory(index->err, n * sizeof(struct nib_safetensors *), "a list of files");
    for (size_t i = 0; i < n && status == NIB_OK; i++) {
        status = open_file(w, folder, files[i], index->err);
        if (status == NIB_OK)
            status = check_file(index, w->files[i]);
    }
    if (status == NIB_OK)
        status = check_complete(index, w);
    free(files);
    return status;
}

static enum nib_status open_indexed(struct nib_hf_weights *w, const char *folder, const char *name,
                                    struct nib_error *err)
{
    char path[MAX_PATH];
    yyjson_doc *doc = NULL;
    struct index index = {.path = path, .err = err};
    enum nib_status status = join(path, folder, name, err);
    if (status == NIB_OK)
        status = nib_json_open(&doc, path, &index_limits, err);
    if (status == NIB_OK)
        status = nib_json_check_keys(yyjson_doc_get_root(doc), path, "the index", err);
    if (status == NIB_OK)
        status = read_map(&index, yyjson_obj_get(yyjson_doc_get_root(doc), "weight_map"));
    if (status == NIB_OK)
        status = open_shards(w, folder, &index);
    free(index.places);
    yyjson_doc_free(doc);
    return status;
}

/* ---- what there is --------------------------------------------------------------------------- */

static enum nib_status fail_missing(const char *folder, struct nib_error *err)
{
    static const char *const pickles[] = {"pytorch_model.bin", "pytorch_model.bin.index.json",
                                          "model.ckpt.index", "tf_model.h5", "flax_model.msgpack"};
    for (size_t i = 0; i < NIB_COUNT(pickles); i++)
        if (has_file(folder, pickles[i]))
            return nib_fail(err, NIB_ERROR_FILE,
                            "%s: its weights are in %s, a format that %s; get a version of this "
                            "model with model.safetensors, or save it as that (save_pretrained of "
                            "transformers)",
                            folder, pickles[i],
                            i < 2 ? "can run any program when it is opened"
                                  : "nibble does not read");
    return nib_fail(err, NIB_ERROR_FILE,
                    "%s: has neither model.safetensors nor model.safetensors.index.json; name the "
                    "folder of a complete model, or a GGUF file",
                    folder);
}

enum nib_status nib_hf_weights_open(struct nib_hf_weights *weights, const char *folder,
                                    struct nib_error *err)
{
    static const char file[] = "model.safetensors", index[] = "model.safetensors.index.json";
    *weights = (struct nib_hf_weights){0};
    if (has_file(folder, file)) {
        weights->files = calloc(1, sizeof(struct nib_safetensors *));
        if (!weights->files)
            return nib_fail_memory(err, sizeof(struct nib_safetensors *), "a list of files");
        return open_file(weights, folder, file, err);
    }
    return has_file(folder, index) ? open_indexed(weights, folder, index, err)
                                   : fail_missing(folder, err);
}

void nib_hf_weights_free(struct nib_hf_weights *weights)
{
    for (size_t i = 0; i < weights->n_files; i++)
        nib_safetensors_close(weights->files[i]);
    free(weights->files);
}
