/* See hf_texts.h. */
#include "hf_texts.h"
#include "hf_languages.h"
#include "hf_vocab_files.h"
#include "json_reader.h"
#include "os.h"

#include <stdio.h>
#include <stdlib.h>

struct reader {
    struct nib_gguf_image *image;
    const char *folder;
    const struct nib_hf_config *config;
    struct nib_error *err;
};

bool nib_hf_find_file(const char *folder, const char *name, char out[NIB_HF_MAX_PATH])
{
    if (snprintf(out, NIB_HF_MAX_PATH, "%s/%s", folder, name) < NIB_HF_MAX_PATH &&
        nib_os_is_file(out))
        return true;
    out[0] = '\0';
    return false;
}

static bool find_file(const struct reader *r, const char *name, char out[NIB_HF_MAX_PATH])
{
    return nib_hf_find_file(r->folder, name, out);
}

/* A file as it is; no key where there is no such file. */
static enum nib_status put_file(const struct reader *r, const char *name, const char *key,
                                bool is_text)
{
    char path[NIB_HF_MAX_PATH];
    struct nib_mapping file;
    if (!find_file(r, name, path))
        return NIB_OK;
    const enum nib_status status = nib_os_map(&file, path, r->err);
    if (status != NIB_OK)
        return status;
    if (is_text)
        nib_gguf_put_string(r->image, key, (struct nib_str){(const char *)file.data, file.n_bytes});
    else
        nib_gguf_put_array(r->image, key, NIB_GGUF_U8, file.data, file.n_bytes);
    nib_os_unmap(&file);
    return NIB_OK;
}

/* ---- chat template --------------------------------------------------------------------------- */

/* A string, or a list of {name, template} of which "default" is taken. */
static struct nib_str choose_template(yyjson_val *value)
{
    yyjson_val *chosen = yyjson_is_str(value) ? value : NULL, *entry;
    size_t i, n;
    yyjson_arr_foreach(value, i, n, entry)
    {
        if (yyjson_equals_str(yyjson_obj_get(entry, "name"), "default"))
            chosen = yyjson_obj_get(entry, "template");
    }
    return (struct nib_str){yyjson_get_str(chosen), yyjson_get_len(chosen)};
}

/* The key of a JSON file; *is_there tells whether it was. */
static enum nib_status put_template_of(const struct reader *r, const char *name, bool *is_there)
{
    static const struct nib_json_limits limits = {64 << 20, 4 << 20, 64};
    char path[NIB_HF_MAX_PATH];
    yyjson_doc *doc;
    *is_there = false;
    if (!find_file(r, name, path))
        return NIB_OK;
    const enum nib_status status = nib_json_open(&doc, path, &limits, r->err);
    if (status != NIB_OK)
        return status;
    const struct nib_str text =
        choose_template(yyjson_obj_get(yyjson_doc_get_root(doc), "chat_template"));
    *is_there = text.data != NULL;
    if (text.data)
        nib_gguf_put_string(r->image, "tokenizer.chat_template", text);
    yyjson_doc_free(doc);
    return NIB_OK;
}

static enum nib_status put_template(const struct reader *r)
{
    char path[NIB_HF_MAX_PATH];
    bool is_there = false;
    if (find_file(r, "chat_template.jinja", path))
        return put_file(r, "chat_template.jinja", "tokenizer.chat_template", true);
    enum nib_status status = put_template_of(r, "chat_template.json", &is_there);
    if (status == NIB_OK && !is_there)
        status = put_template_of(r, "tokenizer_config.json", &is_there);
    return status;
}

/* ---- name ------------------------------------------------------------------------------------ */

/* The last part of the path; of the hub's cache, "models--OWNER--NAME/snapshots/REVISION", NAME. */
static void put_name(const struct reader *r)
{
    char *path = nib_os_real_path(r->folder);
    const char *name = path ? path : r->folder;
    char *snapshots = path ? strstr(path, "/snapshots/") : NULL;
    if (snapshots)
        *snapshots = '\0';
    if (strrchr(name, '/'))
        name = strrchr(name, '/') + 1;
    if (strncmp(name, "models--", 8) == 0)
        for (const char *dashes; (dashes = strstr(name, "--")) != NULL;)
            name = dashes + 2;
    nib_gguf_put_string(r->image, "general.name", nib_str_from(name));
    free(path);
}

/* ---- tokenizer ------------------------------------------------------------------------------- */

yyjson_val *nib_hf_setting(const struct nib_hf_vocab_source *source, const char *name)
{
    yyjson_val *value = yyjson_obj_get(source->special, name);
    if (!value || yyjson_is_null(value))
        value = yyjson_obj_get(source->settings, name);
    return yyjson_is_null(value) ? NULL : value;
}

struct nib_str nib_hf_token_name(yyjson_val *value)
{
    if (yyjson_is_obj(value))
        value = yyjson_obj_get(value, "content");
    return (struct nib_str){yyjson_get_str(value), yyjson_get_len(value)};
}

/* These families' SentencePiece models do not number what the language model does. */
static bool has_other_ids(const char *arch)
{
    static const char *const archs[] = {"marian", "m2m_100", "mbart", "pegasus", "t5"};
    for (size_t i = 0; i < NIB_COUNT(archs); i++)
        if (strcmp(arch, archs[i]) == 0)
            return true;
    return false;
}

static enum nib_status put_tokenizer(const struct reader *r, const struct nib_hf_vocab_source *s)
{
    char path[NIB_HF_MAX_PATH];
    if (find_file(r, "tokenizer.json", path))
        return put_file(r, "tokenizer.json", "tokenizer.huggingface.json", true);
    if (has_other_ids(r->config->family->arch))
        return nib_hf_put_spm(s);
    const size_t n_pairs = r->image->n_pairs;
    const enum nib_status status = nib_hf_put_bpe(s);
    if (status != NIB_OK || r->image->n_pairs > n_pairs)
        return status;
    return put_file(r, "tokenizer.model", "nibble.tokenizer.model", false);
}

static enum nib_status open_json(const struct reader *r, const char *name, yyjson_doc **doc)
{
    static const struct nib_json_limits limits = {64 << 20, 4 << 20, 64};
    char path[NIB_HF_MAX_PATH];
    return find_file(r, name, path) ? nib_json_open(doc, path, &limits, r->err) : NIB_OK;
}

static enum nib_status put_tokenizers(const struct reader *r)
{
    yyjson_doc *settings = NULL, *special = NULL;
    enum nib_status status = put_file(r, "tokenizer_config.json", "nibble.tokenizer.config", true);
    if (status == NIB_OK)
        status = open_json(r, "tokenizer_config.json", &settings);
    if (status == NIB_OK)
        status = open_json(r, "special_tokens_map.json", &special);
    if (status == NIB_OK) {
        const struct nib_hf_vocab_source source = {
            .image = r->image,
            .folder = r->folder,
            .config = r->config,
            .settings = yyjson_doc_get_root(settings),
            .special = yyjson_doc_get_root(special),
            .err = r->err,
        };
        status = put_tokenizer(r, &source);
        nib_hf_put_languages(&source);
    }
    yyjson_doc_free(settings);
    yyjson_doc_free(special);
    return status;
}

enum nib_status nib_hf_texts_read(struct nib_gguf_image *image, const char *folder,
                                  const struct nib_hf_config *config, struct nib_error *err)
{
    const struct reader r = {image, folder, config, err};
    put_name(&r);
    const enum nib_status status = put_tokenizers(&r);
    return status == NIB_OK ? put_template(&r) : status;
}
