/* See pack_cache.h. */
#include "pack_cache.h"
#include "hf_folder.h"
#include "os.h"
#include "packed_file.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_PATH = 4096, MAX_STEM = 80, HASH_DIGITS = 16 };

/* ---- identity -------------------------------------------------------------------------------- */

struct place {
    const struct nib_model_params *params;
    char *identity;
    size_t n_identity;
    char file[MAX_PATH];
    char reason[NIB_COUNT(((struct nib_error *)0)->message)]; /* why nothing was found there */
};

NIB_PRINTF(2, 3) static bool add(struct place *place, const char *format, ...)
{
    char line[MAX_PATH + 64];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    char *grown = n >= 0 && (size_t)n < sizeof(line)
                      ? realloc(place->identity, place->n_identity + (size_t)n + 1)
                      : NULL;
    if (!grown)
        return false;
    memcpy(grown + place->n_identity, line, (size_t)n + 1);
    place->identity = grown;
    place->n_identity += (size_t)n;
    return true;
}

static bool add_file(struct place *place, const char *name, const struct nib_os_file *file)
{
    return add(place, ", %s %" PRIu64 " bytes of %" PRId64, name, file->n_bytes, file->modified);
}

static bool add_files(struct place *place, const char *folder)
{
    struct nib_os_file *files;
    size_t n;
    bool is_complete = nib_os_folder_files(folder, &files, &n);
    for (size_t i = 0; i < n && is_complete; i++)
        is_complete = add_file(place, files[i].name, &files[i]);
    nib_os_files_free(files, n);
    return is_complete;
}

/* "/models/a.gguf, q8, 491400064 bytes of 1790000000000000000"; of a folder each of its files. */
static bool make_identity(struct place *place, char *real)
{
    const char *type = place->params->type;
    struct nib_os_file file;
    if (!add(place, "%s, %s", real, type ? type : "its own types"))
        return false;
    if (nib_os_is_folder(real))
        return add_files(place, real);
    if (nib_hf_is_folder(real)) {
        *strrchr(real, '/') = '\0';
        return add_files(place, *real ? real : "/");
    }
    return nib_os_file_facts(real, &file) && add_file(place, "", &file);
}

/* FNV-1a */
static uint64_t hash(const char *text)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (; *text; text++)
        h = (h ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    return h;
}

/* Letters of the model's name that any file system takes. */
static void copy_stem(char out[MAX_STEM], const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t n = 0;
    for (const char *p = slash ? slash + 1 : path; *p && n + 1 < MAX_STEM; p++) {
        const bool is_plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                              (*p >= '0' && *p <= '9') || (*p == '.' && n > 0);
        out[n++] = is_plain ? *p : '-';
    }
    out[n] = '\0';
    if (n > 5 && strcmp(out + n - 5, ".gguf") == 0)
        out[n - 5] = '\0';
}

/* False where the model has no place in the cache: it is not there, or memory is short. */
static bool find_place(struct place *place, const char *path)
{
    char stem[MAX_STEM];
    char *real = nib_os_real_path(path);
    if (!real)
        return false;
    copy_stem(stem, real);
    const bool has_identity = make_identity(place, real);
    free(real);
    const char *folder = place->params->cache;
    if (!has_identity || strlen(folder) > MAX_PATH - MAX_STEM - 64)
        return false;
    snprintf(place->file, sizeof(place->file), "%s/%s-%016" PRIx64 ".gguf", folder, stem,
             hash(place->identity));
    return true;
}

/* ---- making room ----------------------------------------------------------------------------- */

static bool has_end(const char *name, size_t n)
{
    static const char end[] = ".gguf";
    const size_t n_end = sizeof(end) - 1;
    if (n < HASH_DIGITS + 1 + n_end || memcmp(name + n - n_end, end, n_end) != 0)
        return false;
    const char *digits = name + n - n_end - HASH_DIGITS;
    for (size_t i = 0; i < HASH_DIGITS; i++)
        if (!((digits[i] >= '0' && digits[i] <= '9') || (digits[i] >= 'a' && digits[i] <= 'f')))
            return false;
    return digits[-1] == '-';
}

/* One of ours; nothing else is ever removed. */
static bool is_kept(const char *name)
{
    return has_end(name, strlen(name));
}

/* What a writer left that did not come to its end: nobody has added to it for an hour. */
static bool is_left(const struct nib_os_file *file)
{
    const char *end = strstr(file->name, ".gguf.tmp-");
    return end && has_end(file->name, (size_t)(end - file->name) + 5) &&
           nib_os_now() - file->modified > INT64_C(3600) * 1000000000;
}

static void remove_from(const char *folder, const char *name)
{
    char path[MAX_PATH];
    snprintf(path, sizeof(path), "%.3800s/%.255s", folder, name);
    nib_os_remove_file(path);
}

/* Remove the oldest until those that are left have at most `limit` bytes.  Others may do the same
 * at the same time. */
static void make_room(const char *folder, uint64_t limit)
{
    struct nib_os_file *files;
    size_t n;
    uint64_t n_bytes = 0;
    nib_os_folder_files(folder, &files, &n);
    for (size_t i = 0; i < n; i++) {
        if (is_left(&files[i]))
            remove_from(folder, files[i].name);
        if (is_kept(files[i].name))
            n_bytes += files[i].n_bytes;
        else
            files[i].n_bytes = 0; /* not to be removed */
    }
    while (n_bytes > limit) {
        struct nib_os_file *oldest = NULL;
        for (size_t i = 0; i < n; i++)
            if (files[i].n_bytes > 0 && (!oldest || files[i].modified < oldest->modified))
                oldest = &files[i];
        if (!oldest)
            break;
        remove_from(folder, oldest->name);
        n_bytes -= oldest->n_bytes;
        oldest->n_bytes = 0;
    }
    nib_os_files_free(files, n);
}

/* ---- keeping --------------------------------------------------------------------------------- */

struct nib_pack_keeper {
    pthread_t thread;
    struct nib_gguf_writer *writer;
    const struct nib_model *model;
};

/* A failure costs the cache alone: there is nobody to tell. */
static void *keep(void *data)
{
    struct nib_pack_keeper *keeper = data;
    nib_packed_write(keeper->writer, keeper->model, NULL, NULL, NULL);
    return NULL;
}

void nib_pack_keeper_end(struct nib_pack_keeper *keeper)
{
    if (!keeper)
        return;
    pthread_join(keeper->thread, NULL);
    free(keeper);
}

static enum nib_status start_keeper(struct nib_model *model, const struct nib_gguf *gguf,
                                    const struct place *place, struct nib_error *err)
{
    const struct nib_packed_origin origin = {place->identity, place->params->type};
    struct nib_pack_keeper *keeper = calloc(1, sizeof(*keeper));
    if (!keeper)
        return nib_fail_memory(err, sizeof(*keeper), "the cache");
    keeper->model = model;
    const enum nib_status status =
        nib_packed_begin(&keeper->writer, place->file, model, gguf, &origin, err);
    if (status != NIB_OK) {
        free(keeper);
        return status;
    }
    if (pthread_create(&keeper->thread, NULL, keep, keeper) != 0) {
        keep(keeper); /* then now */
        free(keeper);
        return NIB_OK;
    }
    model->keeper = keeper;
    return NIB_OK;
}

static enum nib_status check_worth(const struct nib_model *model, const struct place *place,
                                   struct nib_error *err)
{
    enum { HEAD = 32 << 20 }; /* keys, and where the arena begins: about */
    const struct nib_model_params *params = place->params;
    const uint64_t n_bytes = model->arena_bytes + (uint64_t)HEAD;
    const double mib = (double)model->arena_bytes / 1048576;
    if (model->arena_bytes < params->cache_minimum)
        return nib_fail(err, NIB_ERROR_ARGUMENT, "its %.1f MiB load as fast without a cache", mib);
    if (n_bytes > params->cache_limit)
        return nib_fail(err, NIB_ERROR_ARGUMENT, "its %.1f MiB are more than the limit, %.1f MiB",
                        mib, (double)params->cache_limit / 1048576);
    if (!nib_os_make_folders(params->cache))
        return nib_fail(err, NIB_ERROR_IO, "the folder %.200s cannot be made", params->cache);
    make_room(params->cache, params->cache_limit - n_bytes);
    if (n_bytes > nib_os_disk_available(params->cache))
        return nib_fail(err, NIB_ERROR_IO, "the disk of %.200s is full", params->cache);
    return NIB_OK;
}

NIB_PRINTF(2, 3) static void note(struct nib_model *model, const char *format, ...)
{
    char text[MAX_PATH + 600];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    free(model->cache_note);
    model->info.cache = model->cache_note = strdup(text);
}

/* ---- opening --------------------------------------------------------------------------------- */

/* A file of the cache that is in order, but of another model. */
static enum nib_status check_identity(struct nib_model *model, const struct nib_gguf *gguf,
                                      void *data, struct nib_error *err)
{
    const struct place *place = data;
    (void)gguf;
    if (model->info.packed_from && strcmp(model->info.packed_from, place->identity) == 0)
        return NIB_OK;
    return nib_fail(err, NIB_ERROR_FILE, "%s: is of another model", place->file);
}

static enum nib_status open_kept(struct nib_model **out, struct place *place)
{
    struct nib_model_params params = *place->params;
    struct nib_error err;
    const enum nib_status status =
        nib_model_load(out, place->file, &params, check_identity, place, &err);
    if (status != NIB_OK) {
        snprintf(place->reason, sizeof(place->reason), "%s", err.message);
        return status;
    }
    nib_os_touch_file(place->file);
    note(*out, "mapped from %s", place->file);
    return NIB_OK;
}

static enum nib_status keep_loaded(struct nib_model *model, const struct nib_gguf *gguf, void *data,
                                   struct nib_error *err)
{
    const struct place *place = data;
    struct nib_error why;
    (void)err;
    if (nib_packed_is(gguf))
        return NIB_OK;
    enum nib_status status = check_worth(model, place, &why);
    if (status == NIB_OK)
        status = start_keeper(model, gguf, place, &why);
    if (status != NIB_OK)
        note(model, "not kept in the cache: %s", why.message);
    else if (place->reason[0])
        note(model, "to be kept as %s, where something could not be used: %s", place->file,
             place->reason);
    else
        note(model, "to be kept as %s", place->file);
    return NIB_OK;
}

enum nib_status nib_pack_cache_open(struct nib_model **out, const char *path,
                                    const struct nib_model_params *params, struct nib_error *err)
{
    struct place place = {.params = params};
    const bool has_place = find_place(&place, path);
    const bool is_there = has_place && nib_os_is_file(place.file);
    enum nib_status status = NIB_OK;
    if (!is_there || open_kept(out, &place) != NIB_OK)
        status = nib_model_load(out, path, params, has_place ? keep_loaded : NULL, &place, err);
    free(place.identity);
    return status;
}
