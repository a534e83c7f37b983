/* What a file says about itself, copied into one block of text and two tables. */
#include "gguf.h"
#include "model.h"

#include <stdlib.h>

/* Values are shown to people: arrays and long strings are cut. */
enum { MAX_VALUE = 256 };

/* Without `data` it only counts. */
struct text {
    char *data;
    size_t n;
};

static const char *put(struct text *text, struct nib_str s)
{
    char *copy = text->data ? text->data + text->n : NULL;
    if (copy) {
        memcpy(copy, s.data, s.len);
        copy[s.len] = '\0';
    }
    text->n += s.len + 1;
    return copy;
}

/* A string of the file, which a zero byte would end; NULL if there is none. */
static const char *put_key(struct text *text, const struct nib_gguf *gguf, const char *key)
{
    struct nib_str value;
    if (!nib_gguf_string(gguf, key, &value))
        return NULL;
    return put(text, value);
}

static void collect(struct nib_model *m, const struct nib_gguf *gguf, struct text *text)
{
    m->info.name = put_key(text, gguf, "general.name");
    if (!m->info.name)
        m->info.name = "";
    m->info.chat_template = put_key(text, gguf, "tokenizer.chat_template");
    m->info.packed_from = put_key(text, gguf, "nibble.pack.source");
    for (size_t i = 0; i < m->n_texts; i++) {
        char value[MAX_VALUE];
        nib_gguf_value_text(gguf, i, value, sizeof(value));
        m->texts[i].key = put(text, nib_str_from(nib_gguf_key(gguf, i)));
        m->texts[i].value = put(text, nib_str_from(value));
    }
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct nib_gguf_tensor *t = nib_gguf_tensor(gguf, i);
        m->tensors[i] = (struct nib_tensor_info){
            .name = put(text, nib_str_from(t->name)),
            .type = nib_type_info(t->type)->name,
            .n_dims = t->n_dims,
            .dims = {t->dims[0], t->dims[1], t->dims[2], t->dims[3]},
            .n_file_bytes = t->n_bytes,
        };
    }
}

enum nib_status nib_facts_from_gguf(struct nib_model *model, const struct nib_gguf *gguf,
                                    struct nib_error *err)
{
    model->n_texts = nib_gguf_key_count(gguf);
    model->n_tensors = nib_gguf_tensor_count(gguf);
    model->texts = calloc(model->n_texts + 1, sizeof(*model->texts));
    model->tensors = calloc(model->n_tensors + 1, sizeof(*model->tensors));
    if (!model->texts || !model->tensors)
        return nib_fail_memory(err, model->n_texts * sizeof(*model->texts), "a list of keys");
    struct text text = {0};
    collect(model, gguf, &text);
    text.data = model->text = malloc(text.n + 1);
    if (!text.data)
        return nib_fail_memory(err, text.n + 1, "the metadata");
    text.n = 0;
    collect(model, gguf, &text);
    return NIB_OK;
}

void nib_facts_free(struct nib_model *model)
{
    free(model->text);
    free(model->texts);
    free(model->tensors);
}
