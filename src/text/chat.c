/* A conversation as JSON, through its chat template. */
#include "chat.h"
#include "json_reader.h"
#include "template.h"
#include "utf8.h"

#include <stdlib.h>
#include <time.h>

/* `text` with each broken part as one U+FFFD, in memory of the document; NULL: no memory. */
static yyjson_mut_val *valid_text(yyjson_mut_doc *doc, struct nib_str text)
{
    const size_t n_valid = nib_utf8_valid_prefix(text);
    if (n_valid == text.len)
        return yyjson_mut_strn(doc, text.data, text.len);
    const size_t n_mark = sizeof NIB_REPLACEMENT - 1;
    if (text.len > SIZE_MAX / n_mark)
        return NULL;
    char *copy = malloc(text.len * n_mark);
    if (!copy)
        return NULL;
    memcpy(copy, text.data, n_valid);
    size_t len = n_valid;
    for (size_t i = n_valid; i < text.len;) {
        int n = nib_utf8_scan(text.data + i, text.len - i);
        if (n > 0) {
            memcpy(copy + len, text.data + i, (size_t)n);
            len += (size_t)n;
        } else {
            memcpy(copy + len, NIB_REPLACEMENT, n_mark);
            len += n_mark;
            n = n < 0 ? -n : (int)(text.len - i); /* 0: the text ends within a character */
        }
        i += (size_t)n;
    }
    yyjson_mut_val *value = yyjson_mut_strncpy(doc, copy, len);
    free(copy);
    return value;
}

static bool add_text(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *key,
                     struct nib_str text)
{
    yyjson_mut_val *value = valid_text(doc, text);
    return value && yyjson_mut_obj_add(object, yyjson_mut_str(doc, key), value);
}

static bool add_messages(yyjson_mut_doc *doc, yyjson_mut_val *root,
                         const struct nib_chat_message *messages, size_t n)
{
    yyjson_mut_val *list = yyjson_mut_arr(doc);
    for (size_t i = 0; list && i < n; i++) {
        yyjson_mut_val *message = yyjson_mut_arr_add_obj(doc, list);
        if (!message || !add_text(doc, message, "role", nib_str_from(messages[i].role)) ||
            !add_text(doc, message, "content", nib_str_from(messages[i].content)))
            return false;
    }
    return list && yyjson_mut_obj_add(root, yyjson_mut_str(doc, "messages"), list);
}

/* Members of `more` into root, in place of those of the same name. */
static bool add_more(yyjson_mut_doc *doc, yyjson_mut_val *root, yyjson_val *more)
{
    size_t i, n;
    yyjson_val *key, *value;
    if (!more)
        return true;
    yyjson_obj_foreach(more, i, n, key, value)
    {
        yyjson_mut_val *name = yyjson_val_mut_copy(doc, key);
        yyjson_mut_val *copy = yyjson_val_mut_copy(doc, value);
        if (!name || !copy || !yyjson_mut_obj_put(root, name, copy))
            return false;
    }
    return true;
}

/* Deep enough for schemas of tools. */
static enum nib_status parse_more(yyjson_doc **out, struct nib_str more, struct nib_error *err)
{
    static const struct nib_json_limits limits = {16 << 20, 1 << 20, 64};
    *out = NULL;
    if (!more.data)
        return NIB_OK;
    enum nib_status status = nib_json_parse(out, more.data, more.len, &limits,
                                            "the variables of the chat template", err);
    if (status == NIB_OK && !yyjson_is_obj(yyjson_doc_get_root(*out)))
        status = nib_fail(err, NIB_ERROR_ARGUMENT,
                          "the variables of the chat template are no JSON object; give "
                          "{\"name\": value, ...}");
    return status;
}

/* The variables of the template; NULL: no memory. */
static char *variables(const struct nib_chat_message *messages, size_t n,
                       bool add_generation_prompt, yyjson_val *more, struct nib_str bos_token,
                       struct nib_str eos_token, size_t *len)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    if (!doc)
        return NULL;
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    const bool is_ok =
        root && add_messages(doc, root, messages, n) &&
        yyjson_mut_obj_add_bool(doc, root, "add_generation_prompt", add_generation_prompt) &&
        (!bos_token.data || add_text(doc, root, "bos_token", bos_token)) &&
        (!eos_token.data || add_text(doc, root, "eos_token", eos_token)) &&
        add_more(doc, root, more);
    char *json = is_ok ? yyjson_mut_write(doc, YYJSON_WRITE_NOFLAG, len) : NULL;
    yyjson_mut_doc_free(doc);
    return json;
}

/* The time on the wall, as if it were UTC: templates print it without a zone. */
static int64_t local_time(void)
{
    const time_t now = time(NULL);
    struct tm local;
    if (!localtime_r(&now, &local))
        return (int64_t)now;
    return (int64_t)now + local.tm_gmtoff;
}

enum nib_status nib_chat_render(struct nib_str source, const struct nib_chat_message *messages,
                                size_t n, bool add_generation_prompt, struct nib_str more,
                                struct nib_str bos_token, struct nib_str eos_token, char **text,
                                struct nib_error *err)
{
    struct nib_template *tpl = NULL;
    size_t n_json = 0, n_text;
    *text = NULL;
    for (size_t i = 0; i < n; i++) {
        if (!messages[i].role || !messages[i].content)
            return nib_fail(err, NIB_ERROR_ARGUMENT,
                            "message %zu has no %s; give every message a role and a content", i,
                            messages[i].role ? "content" : "role");
    }
    yyjson_doc *doc;
    char *json = NULL;
    enum nib_status status = parse_more(&doc, more, err);
    if (status == NIB_OK)
        status = nib_template_parse(&tpl, source, err);
    if (status == NIB_OK)
        json = variables(messages, n, add_generation_prompt, yyjson_doc_get_root(doc), bos_token,
                         eos_token, &n_json);
    if (json)
        status = nib_template_render(tpl, (struct nib_str){json, n_json}, local_time(), text,
                                     &n_text, err);
    else if (status == NIB_OK)
        status = nib_fail_memory(err, n * sizeof *messages, "a conversation");
    yyjson_doc_free(doc);
    free(json);
    nib_template_free(tpl);
    return status;
}
