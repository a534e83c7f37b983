/* See token_texts.h. */
#include "token_texts.h"
#include "terminal.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void add(struct nib_token_texts *texts, const char *piece)
{
    nib_buffer_add(&texts->text, piece, strlen(piece));
}

static void decode(struct nib_token_texts *texts, int32_t id)
{
    texts->text.n_bytes = 0;
    if (texts->letter)
        add(texts, nib_text_stream_push(texts->stream, texts->before));
    add(texts, nib_text_stream_push(texts->stream, id));
    add(texts, nib_text_stream_end(texts->stream));
}

/* Decoders take the blank off a text's first token: a token that is one letter goes before.  Not
 * one of bytes, "<0x41>": bytes side by side are read together. */
static void find_before(struct nib_token_texts *texts)
{
    const int32_t n_tokens = (int32_t)nib_model_info(texts->model)->n_tokens;
    for (int32_t id = 0; id < n_tokens && !texts->letter; id++) {
        decode(texts, id);
        const char *name = nib_token_name(texts->model, id), *text = texts->text.data;
        if (texts->text.n_bytes == 1 && isalpha((unsigned char)*text) && name && *name != '<') {
            texts->before = id;
            texts->letter = *text;
        }
    }
}

void nib_token_texts_create(struct nib_token_texts *out, const struct nib_model *model)
{
    *out = (struct nib_token_texts){.model = model};
    if (nib_text_stream_create(&out->stream, model, NULL) == NIB_OK)
        find_before(out);
    else
        out->stream = NULL;
}

void nib_token_texts_free(struct nib_token_texts *texts)
{
    nib_text_stream_free(texts->stream);
    nib_buffer_free(&texts->text);
    *texts = (struct nib_token_texts){0};
}

const char *nib_token_text(struct nib_token_texts *texts, int32_t id)
{
    if (!texts->stream)
        return "";
    decode(texts, id);
    const size_t skipped = texts->letter && texts->text.data[0] == texts->letter;
    const char *name = nib_token_name(texts->model, id);
    if (texts->text.n_bytes <= skipped && name)
        nib_buffer_add_clean(&texts->text, name, strlen(name));
    return texts->text.data + skipped;
}

void nib_json_add_ids(yyjson_mut_doc *doc, yyjson_mut_val *object, struct nib_token_texts *texts,
                      const int32_t *ids, size_t n_ids)
{
    yyjson_mut_obj_add_val(doc, object, "ids", yyjson_mut_arr_with_sint32(doc, ids, n_ids));
    if (!texts->stream)
        return;
    yyjson_mut_val *tokens = yyjson_mut_obj_add_arr(doc, object, "tokens");
    for (size_t i = 0; i < n_ids; i++)
        yyjson_mut_arr_add_strcpy(doc, tokens, nib_token_text(texts, ids[i]));
}

yyjson_mut_val *nib_json_number(yyjson_mut_doc *doc, double value)
{
    return isfinite(value) ? yyjson_mut_real(doc, value) : yyjson_mut_null(doc);
}

yyjson_mut_val *nib_json_logprobs(yyjson_mut_doc *doc, struct nib_token_texts *texts,
                                  const struct nib_id_logprob *logprobs, size_t n)
{
    yyjson_mut_val *list = yyjson_mut_arr(doc);
    for (size_t i = 0; i < n; i++) {
        yyjson_mut_val *entry = yyjson_mut_arr_add_obj(doc, list);
        yyjson_mut_obj_add_int(doc, entry, "id", logprobs[i].id);
        if (texts->stream)
            yyjson_mut_obj_add_strcpy(doc, entry, "token", nib_token_text(texts, logprobs[i].id));
        yyjson_mut_obj_add_val(doc, entry, "logprob", nib_json_number(doc, logprobs[i].logprob));
    }
    return list;
}

int nib_json_print_line(yyjson_mut_doc *doc)
{
    size_t n_bytes;
    char *line = yyjson_mut_write(doc, 0, &n_bytes);
    const bool is_written = line && nib_print(line, n_bytes) && nib_print("\n", 1);
    free(line);
    yyjson_mut_doc_free(doc);
    if (!line)
        return nib_complain(NIB_EXIT_MEMORY, "out of memory for a line of JSON; use --output text");
    return is_written ? NIB_EXIT_OK : NIB_EXIT_RUNTIME;
}
