/*
 * Ids that texts begin and end with.  generation_config.json, where there is one, decides alone
 * what is forced and what is never chosen, as generate() of transformers has it; without it
 * config.json does, with the defaults of its class.
 */
#include "hf_generation.h"
#include "json_reader.h"
#include "os.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_PATH = 4096, MAX_IDS = 1024 };

struct reader {
    struct nib_gguf_image *image;
    const struct nib_hf_config *config;
    yyjson_val *generation; /* NULL: there is no such file */
    const char *path;       /* of it */
    struct nib_error *err;
};

/* What a key of either file is, and where that is; NULL: absent or null. */
static yyjson_val *find(const struct reader *r, const char *name, const char **path)
{
    yyjson_val *value = yyjson_obj_get(r->generation, name);
    *path = r->path;
    if (value && !yyjson_is_null(value))
        return value;
    *path = r->config->path;
    return nib_hf_find(r->config, name);
}

/* The same for keys of which generation_config.json decides alone. */
static yyjson_val *find_decided(const struct reader *r, const char *name, const char **path)
{
    if (!r->generation)
        return find(r, name, path);
    yyjson_val *value = yyjson_obj_get(r->generation, name);
    *path = r->path;
    return yyjson_is_null(value) ? NULL : value;
}

static enum nib_status fail(const struct reader *r, const char *path, const char *name,
                            const char *expected)
{
    return nib_fail(r->err, NIB_ERROR_FILE,
                    "%s: %s must be %s; get the file again from its publisher", path, name,
                    expected);
}

/* ---- one id ---------------------------------------------------------------------------------- */

static enum nib_status put_id(const struct reader *r, yyjson_val *value, const char *path,
                              const char *name, const char *key)
{
    if (yyjson_is_arr(value) && yyjson_arr_size(value) == 1)
        value = yyjson_arr_get_first(value);
    if (!yyjson_is_uint(value) || yyjson_get_uint(value) > INT32_MAX)
        return fail(r, path, name, "an id");
    nib_gguf_put_u32(r->image, key, (uint32_t)yyjson_get_uint(value));
    return NIB_OK;
}

/* A list of several ids names none that is the one. */
static enum nib_status put_role(const struct reader *r, const char *name, const char *key)
{
    const char *path;
    yyjson_val *value = find(r, name, &path);
    if (!value || (yyjson_is_arr(value) && yyjson_arr_size(value) != 1))
        return NIB_OK;
    return put_id(r, value, path, name, key);
}

/* `absent`: what the class of config.json has for it; -1: none. */
static enum nib_status put_forced(const struct reader *r, const char *name, const char *key,
                                  int32_t absent)
{
    const char *path;
    yyjson_val *value = find_decided(r, name, &path);
    if (value)
        return put_id(r, value, path, name, key);
    const bool is_null = yyjson_is_null(yyjson_obj_get(r->config->root, name));
    if (!r->generation && !is_null && absent >= 0)
        nib_gguf_put_u32(r->image, key, (uint32_t)absent);
    return NIB_OK;
}

/* Where it is nowhere, generate() takes the id that begins texts; T5's has none, and takes pad. */
static enum nib_status put_start(const struct reader *r)
{
    static const char *const names[] = {"decoder_start_token_id", "bos_token_id", "pad_token_id"};
    char key[96];
    snprintf(key, sizeof(key), "%s.decoder_start_token_id", r->config->family->arch);
    for (size_t i = 0; i < NIB_COUNT(names); i++) {
        const char *path;
        yyjson_val *value = find(r, names[i], &path);
        if (value)
            return put_id(r, value, path, names[i], key);
        if (i == 0 && r->config->family->ids.start > 0) {
            nib_gguf_put_u32(r->image, key, r->config->family->ids.start);
            return NIB_OK;
        }
    }
    return NIB_OK;
}

/* ---- several --------------------------------------------------------------------------------- */

static enum nib_status put_ends(const struct reader *r)
{
    int32_t list[MAX_IDS];
    size_t n = 0;
    const char *path;
    yyjson_val *ids = find(r, "eos_token_id", &path);
    if (!ids)
        return NIB_OK;
    yyjson_val *id = yyjson_is_arr(ids) ? yyjson_arr_get_first(ids) : ids;
    const size_t n_all = yyjson_is_arr(ids) ? yyjson_arr_size(ids) : 1;
    for (size_t i = 0; i < n_all; i++, id = unsafe_yyjson_get_next(id)) {
        if (!yyjson_is_uint(id) || yyjson_get_uint(id) > INT32_MAX || n == MAX_IDS)
            return nib_fail(r->err, NIB_ERROR_FILE,
                            "%s: eos_token_id must be an id or a list of at most %d of them; get "
                            "the file again from its publisher",
                            path, MAX_IDS);
        list[n++] = (int32_t)yyjson_get_uint(id);
    }
    if (n > 0)
        nib_gguf_put_array(r->image, "nibble.eos_token_ids", NIB_GGUF_I32, list, n);
    return NIB_OK;
}

/* Lists of one id each: the pad of Marian. */
static enum nib_status put_bad(const struct reader *r)
{
    int32_t list[MAX_IDS];
    size_t n = 0, i, n_all;
    const char *path;
    yyjson_val *lists = find_decided(r, "bad_words_ids", &path), *ids;
    if (!lists)
        return NIB_OK;
    yyjson_arr_foreach(lists, i, n_all, ids)
    {
        yyjson_val *id = yyjson_arr_get_first(ids);
        if (yyjson_arr_size(ids) != 1 || !yyjson_is_uint(id) || yyjson_get_uint(id) > INT32_MAX ||
            n == MAX_IDS)
            return nib_fail(r->err, NIB_ERROR_FILE,
                            "%s: bad_words_ids must be a list of at most %d lists of one id each, "
                            "words of several ids are not known here; take them out of the file",
                            path, MAX_IDS);
        list[n++] = (int32_t)yyjson_get_uint(id);
    }
    if (n > 0)
        nib_gguf_put_array(r->image, "nibble.bad_token_ids", NIB_GGUF_I32, list, n);
    return NIB_OK;
}

/* ---- all ------------------------------------------------------------------------------------- */

static enum nib_status put_decoder_ids(const struct reader *r)
{
    const struct nib_hf_family *f = r->config->family;
    enum nib_status status = put_start(r);
    if (status == NIB_OK)
        status = put_role(r, "bos_token_id", "tokenizer.ggml.bos_token_id");
    if (status == NIB_OK)
        status = put_role(r, "eos_token_id", "tokenizer.ggml.eos_token_id");
    if (status == NIB_OK)
        status = put_role(r, "pad_token_id", "tokenizer.ggml.padding_token_id");
    if (status == NIB_OK)
        status = put_forced(r, "forced_bos_token_id", "nibble.forced_bos_token_id", -1);
    if (status == NIB_OK)
        status = put_forced(r, "forced_eos_token_id", "nibble.forced_eos_token_id",
                            f->ids.has_forced_eos ? (int32_t)f->ids.forced_eos : -1);
    return status == NIB_OK ? put_bad(r) : status;
}

enum nib_status nib_hf_generation_read(struct nib_gguf_image *image, const char *folder,
                                       const struct nib_hf_config *config, struct nib_error *err)
{
    static const struct nib_json_limits limits = {1 << 24, 1 << 20, 32};
    char path[MAX_PATH];
    yyjson_doc *doc = NULL;
    enum nib_status status = NIB_OK;
    const bool is_there =
        snprintf(path, sizeof(path), "%s/generation_config.json", folder) < MAX_PATH &&
        nib_os_is_file(path);
    if (is_there)
        status = nib_json_open(&doc, path, &limits, err);
    if (status != NIB_OK)
        return status;
    const struct reader r = {image, config, is_there ? yyjson_doc_get_root(doc) : NULL, path, err};
    status = put_ends(&r);
    if (status == NIB_OK && (config->family->flags & NIB_HF_TWO_STACKS))
        status = put_decoder_ids(&r);
    yyjson_doc_free(doc);
    return status;
}
