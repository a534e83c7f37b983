/* See json_reader.h. */
#include "json_reader.h"
#include "os.h"

#include <stdlib.h>

/* ---- bounds ---------------------------------------------------------------------------------- */

struct extent {
    size_t n_values, depth;
};

/* What the text would make, whether or not it is sound. */
static struct extent measure(const char *text, size_t n_bytes)
{
    struct extent e = {.n_values = 1};
    size_t depth = 0;
    bool is_string = false;
    for (size_t i = 0; i < n_bytes; i++) {
        const char c = text[i];
        if (c == '"') {
            is_string = !is_string;
        } else if (is_string) {
            i += c == '\\';
        } else if (c == '{' || c == '[') {
            e.n_values++;
            if (++depth > e.depth)
                e.depth = depth;
        } else if (c == '}' || c == ']') {
            depth -= depth > 0;
        } else if (c == ',' || c == ':') {
            e.n_values++;
        }
    }
    return e;
}

enum nib_status nib_json_parse(yyjson_doc **out, const char *text, size_t n_bytes,
                               const struct nib_json_limits *limits, const char *path,
                               struct nib_error *err)
{
    *out = NULL;
    if (n_bytes > limits->n_bytes)
        return nib_fail(err, NIB_ERROR_FILE,
                        "%s: %zu bytes of JSON are more than the %zu allowed here; get the file "
                        "again from its publisher",
                        path, n_bytes, limits->n_bytes);
    const struct extent extent = measure(text, n_bytes);
    if (extent.depth > limits->depth)
        return nib_fail(err, NIB_ERROR_FILE,
                        "%s: its JSON is nested %zu deep, at most %zu are allowed; get the file "
                        "again from its publisher",
                        path, extent.depth, limits->depth);
    if (extent.n_values > limits->n_values)
        return nib_fail(err, NIB_ERROR_FILE,
                        "%s: its JSON has about %zu values, at most %zu are allowed; get the file "
                        "again from its publisher",
                        path, extent.n_values, limits->n_values);

    yyjson_read_err error;
    *out = yyjson_read_opts((char *)(uintptr_t)text, n_bytes, YYJSON_READ_ALLOW_INF_AND_NAN, NULL,
                            &error);
    if (*out)
        return NIB_OK;
    if (error.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        return nib_fail_memory(err, n_bytes, "a JSON text");
    return nib_fail(err, NIB_ERROR_FILE,
                    "%s: is no sound JSON: %s at byte %zu; the file is damaged: download it again",
                    path, error.msg, error.pos);
}

enum nib_status nib_json_open(yyjson_doc **out, const char *path,
                              const struct nib_json_limits *limits, struct nib_error *err)
{
    struct nib_mapping file;
    *out = NULL;
    enum nib_status status = nib_os_map(&file, path, err);
    if (status != NIB_OK)
        return status;
    status = nib_json_parse(out, (const char *)file.data, file.n_bytes, limits, path, err);
    nib_os_unmap(&file);
    return status;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static int compare_keys(const void *a, const void *b)
{
    return strcmp(yyjson_get_str(*(yyjson_val *const *)a), yyjson_get_str(*(yyjson_val *const *)b));
}

enum nib_status nib_json_check_keys(yyjson_val *object, const char *path, const char *where,
                                    struct nib_error *err)
{
    const size_t n = yyjson_obj_size(object);
    if (n == 0)
        return NIB_OK;
    yyjson_val **keys = malloc(n * sizeof(*keys));
    if (!keys)
        return nib_fail_memory(err, n * sizeof(*keys), "the keys of a JSON text");
    enum nib_status status = NIB_OK;
    size_t i, n_all;
    yyjson_val *key, *value;
    yyjson_obj_foreach(object, i, n_all, key, value)
    {
        keys[i] = key;
        if (status == NIB_OK && strlen(yyjson_get_str(key)) != yyjson_get_len(key))
            status =
                nib_fail(err, NIB_ERROR_FILE,
                         "%s: %s: the key \"%.64s\" holds a zero byte; get the file again from "
                         "its publisher",
                         path, where, yyjson_get_str(key));
    }
    qsort(keys, n, sizeof(*keys), compare_keys);
    for (i = 1; i < n && status == NIB_OK; i++)
        if (compare_keys(&keys[i - 1], &keys[i]) == 0)
            status = nib_fail(err, NIB_ERROR_FILE,
                              "%s: %s: the key \"%.64s\" is there twice; get the file again from "
                              "its publisher",
                              path, where, yyjson_get_str(keys[i]));
    free(keys);
    return status;
}
