/* See hf_texts.h. */
#include "hf_texts.h"
#include "json_reader.h"
#include "os.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_PATH = 4096 };

struct reader {
    struct nib_gguf_image *image;
    const char *folder;
    const struct nib_hf_config *config;
    struct nib_error *err;
};

/* The path of a file of the folder; false if it is not there. */
static bool find_file(const struct reader *r, const char *name, char out[MAX_PATH])
{
    return snprintf(out, MAX_PATH, "%s/%s", r->folder, name) < MAX_PATH && nib_os_is_file(out);
}

/* A file as it is; no key where there is no such file. */
static enum nib_status put_file(const struct reader *r, const char *name, const char *key,
                                bool is_text)
{
    char path[MAX_PATH];
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
    char path[MAX_PATH];
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
    char path[MAX_PATH];
    bool is_there = false;
    if (find_file(r, "chat_template.jinja", path))
        return put_file(r, "chat_template.jinja", "tokenizer.chat_template", true);
    enum nib_status status = put_template_of(r, "chat_template.json", &is_there);
    if (status == NIB_OK && !is_there)
        status = put_template_of(r, "tokenizer_config.json", &is_there);
    return status;
}

/* ---- all ------------------------------------------------------------------------------------- */

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

/* The SentencePiece model whose ids are those of the model.  Those of mbart and pegasus are not:
 * what lies between is in tokenizer.json alone. */
static const char *model_name(const struct nib_hf_config *config)
{
    return strcmp(config->family->model_type, "t5") == 0 ? "spiece.model" : "tokenizer.model";
}

enum nib_status nib_hf_texts_read(struct nib_gguf_image *image, const char *folder,
                                  const struct nib_hf_config *config, struct nib_error *err)
{
    const struct reader r = {image, folder, config, err};
    char path[MAX_PATH];
    put_name(&r);
    enum nib_status status = put_file(&r, "tokenizer.json", "tokenizer.huggingface.json", true);
    if (status == NIB_OK)
        status = put_file(&r, "tokenizer_config.json", "nibble.tokenizer.config", true);
    if (status == NIB_OK && !find_file(&r, "tokenizer.json", path))
        status = put_file(&r, model_name(config), "nibble.tokenizer.model", false);
    return status == NIB_OK ? put_template(&r) : status;
}
