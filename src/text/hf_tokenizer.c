/*
 * tokenizer.json as the tokenizers library (0.23) runs it: added tokens are cut out of the text,
 * what is left is normalised, cut at added tokens again, pre-tokenized, given to the model word by
 * word, and the post-processor's ids are put around it all.  The way back is the decoder's.
 */
#include "gguf.h"
#include "hf_added_tokens.h"
#include "hf_decoder.h"
#include "hf_json.h"
#include "hf_model.h"
#include "hf_normalizer.h"
#include "hf_postprocessor.h"
#include "hf_pretokenizer.h"
#include "json_reader.h"
#include "text_codec.h"
#include "utf8.h"

#include <stdio.h>
#include <stdlib.h>

#define KEY_JSON   "tokenizer.huggingface.json"
#define KEY_CONFIG "nibble.tokenizer.config"
#define KEY_ENDS   "nibble.eos_token_ids"

#define MAX_JSON_BYTES  ((size_t)256 << 20)
#define MAX_JSON_VALUES ((size_t)64 << 20)
#define MAX_JSON_DEPTH  64
#define MAX_GROWN_BYTES ((size_t)3 << 30) /* positions in words are 32 bits */
#define MAX_SEQUENCES   16                /* times that a template repeats the text */

struct hf_codec {
    struct nib_hf_model model;
    struct nib_hf_added_tokens added;
    struct nib_hf_normalizer *normalizer;
    struct nib_hf_pretokenizer *pretokenizer;
    struct nib_hf_decoder *decoder;
    struct nib_hf_template template;
    size_t n_vocab;
    uint8_t *is_end; /* [n_vocab] */
    char pre_tokenizer[48];
    bool cleans_spaces;
};

/* The texts while a codec is made of them. */
struct source {
    const struct nib_gguf *gguf;
    const char *path;
    yyjson_doc *json_doc, *config_doc;
    yyjson_val *json, *config; /* config: NULL if there is none */
};

/* ---- ids that the files name ---------------------------------------------------------------- */

static int32_t find_id(const struct hf_codec *c, struct nib_str name)
{
    const struct nib_hf_added_token *added = nib_hf_added_by_content(&c->added, name);
    return added != NULL ? added->id
                         : nib_vocabulary_find(&c->model.vocabulary, name.data, name.len);
}

/* "<s>", or {"content": "<s>", ...}. */
static struct nib_str config_token(const struct source *s, const char *key)
{
    yyjson_val *value = nib_hf_field(s->config, key);
    const struct nib_str name =
        nib_hf_string(yyjson_is_obj(value) ? nib_hf_field(value, "content") : value);
    return name.data == NULL ? NIB_STR("") : name;
}

static enum nib_status wrong_id(const struct source *s, const char *key, size_t n_vocab,
                                struct nib_error *err)
{
    return nib_fail(err, NIB_ERROR_FILE,
                    "%s: %s is no id of the vocabulary, expected 0 .. %zu; the files do not belong "
                    "together or are damaged, get them again",
                    s->path, key, n_vocab - 1);
}

/* By the key, else by the name in tokenizer_config.json; -1: neither. */
static enum nib_status read_id(int32_t *id, const struct hf_codec *c, const struct source *s,
                               const char *key, const char *config_key, struct nib_error *err)
{
    int64_t number = -1;
    if (!nib_gguf_has(s->gguf, key)) {
        *id = find_id(c, config_token(s, config_key));
        return NIB_OK;
    }
    if (!nib_gguf_int(s->gguf, key, &number) || number < 0 || (size_t)number >= c->n_vocab)
        return wrong_id(s, key, c->n_vocab, err);
    *id = (int32_t)number;
    return NIB_OK;
}

static bool has_name(const void *codec, struct nib_str name)
{
    return find_id(codec, name) >= 0;
}

static enum nib_status read_ends(struct hf_codec *c, const struct source *s, int32_t eos_id,
                                 struct nib_error *err)
{
    size_t n = 0;
    if (eos_id >= 0)
        c->is_end[eos_id] = 1;
    for (size_t i = 0; i < c->added.n; i++)
        if (c->added.data[i].is_special &&
            nib_name_ends_answer(c->added.data[i].content, has_name, c))
            c->is_end[c->added.data[i].id] = 1;
    if (!nib_gguf_has(s->gguf, KEY_ENDS))
        return NIB_OK;
    if (!nib_gguf_ints(s->gguf, KEY_ENDS, &n))
        return wrong_id(s, KEY_ENDS, c->n_vocab, err);
    int64_t *ids = malloc((n + 1) * sizeof(*ids));
    if (ids == NULL)
        return nib_fail_memory(err, n * sizeof(*ids), "the ids that end an answer");
    nib_gguf_copy_ints(s->gguf, KEY_ENDS, ids);
    enum nib_status status = NIB_OK;
    for (size_t i = 0; i < n && status == NIB_OK; i++) {
        if (ids[i] < 0 || (size_t)ids[i] >= c->n_vocab)
            status = wrong_id(s, KEY_ENDS, c->n_vocab, err);
        else
            c->is_end[ids[i]] = 1;
    }
    free(ids);
    return status;
}

/* add_bos_token and add_eos_token of tokenizer_config.json win over the template. */
static enum nib_status read_additions(struct hf_codec *c, const struct source *s, int32_t bos_id,
                                      int32_t eos_id, struct nib_error *err)
{
    yyjson_val *adds_bos = nib_hf_field(s->config, "add_bos_token");
    yyjson_val *adds_eos = nib_hf_field(s->config, "add_eos_token");
    enum nib_status status = NIB_OK;
    if (yyjson_is_bool(adds_bos) && bos_id >= 0)
        status = nib_hf_template_set_first(&c->template, bos_id, yyjson_get_bool(adds_bos), err);
    if (status == NIB_OK && yyjson_is_bool(adds_eos) && eos_id >= 0)
        status = nib_hf_template_set_last(&c->template, eos_id, yyjson_get_bool(adds_eos), err);
    return status;
}

static enum nib_status read_roles(struct hf_codec *c, struct nib_tokenizer_info *info,
                                  const struct source *s, struct nib_error *err)
{
    int32_t bos_id = -1, eos_id = -1;
    enum nib_status status =
        read_id(&bos_id, c, s, "tokenizer.ggml.bos_token_id", "bos_token", err);
    if (status == NIB_OK)
        status = read_id(&eos_id, c, s, "tokenizer.ggml.eos_token_id", "eos_token", err);
    if (status == NIB_OK)
        status = read_ends(c, s, eos_id, err);
    if (status == NIB_OK)
        status = read_additions(c, s, bos_id, eos_id, err);
    c->cleans_spaces = yyjson_is_true(nib_hf_field(s->config, "clean_up_tokenization_spaces"));
    *info = (struct nib_tokenizer_info){
        .kind = c->model.name,
        .pre_tokenizer = c->pre_tokenizer,
        .n_vocab = c->n_vocab,
        .bos_id = bos_id,
        .eos_id = eos_id,
        .unk_id = c->model.unk_id,
        .adds_bos = bos_id >= 0 && nib_hf_template_first(&c->template) == bos_id,
        .adds_eos = eos_id >= 0 && nib_hf_template_last(&c->template) == eos_id};
    return status;
}

/* ---- making one ----------------------------------------------------------------------------- */

static int32_t find_in_model(const void *model, struct nib_str text)
{
    return nib_vocabulary_find(&((const struct nib_hf_model *)model)->vocabulary, text.data,
                               text.len);
}

/* Special tokens are not made of text that only spells their names. */
static void protect_special(struct hf_codec *c)
{
    for (size_t i = 0; i < c->added.n; i++) {
        const struct nib_hf_added_token *token = &c->added.data[i];
        if (token->is_special && (size_t)token->id < c->model.vocabulary.n_tokens)
            c->model.vocabulary.type[token->id] = NIB_TOKEN_CONTROL;
    }
}

static enum nib_status load_tokens(struct hf_codec *c, const struct source *s,
                                   struct nib_error *err)
{
    yyjson_val *model = nib_hf_field(s->json, "model");
    enum nib_status status = nib_hf_model_read(&c->model, model, s->path, err);
    if (status != NIB_OK)
        return status;
    const struct nib_hf_added_source source = {.json = nib_hf_field(s->json, "added_tokens"),
                                               .more =
                                                   nib_hf_field(s->config, "added_tokens_decoder"),
                                               .find = find_in_model,
                                               .model = &c->model,
                                               .n_model = c->model.n_known,
                                               .normalizer = c->normalizer,
                                               .path = s->path};
    status = nib_hf_added_create(&c->added, &source, err);
    if (status != NIB_OK)
        return status;
    protect_special(c);
    c->n_vocab = c->model.vocabulary.n_tokens > c->added.n_ids ? c->model.vocabulary.n_tokens
                                                               : c->added.n_ids;
    c->is_end = calloc(c->n_vocab, 1);
    return c->is_end == NULL ? nib_fail_memory(err, c->n_vocab, "the tokenizer")
                             : nib_hf_model_create(&c->model, model, s->path, err);
}

static enum nib_status check_template(const struct hf_codec *c, const struct source *s,
                                      struct nib_error *err)
{
    size_t n = 0;
    for (size_t i = 0; i < c->template.with_special.n; i++)
        n += c->template.with_special.data[i] == NIB_HF_SEQUENCE;
    return n <= MAX_SEQUENCES
               ? NIB_OK
               : nib_fail(err, NIB_ERROR_FILE,
                          "%s: the post-processor repeats the text %zu times, expected at most %d; "
                          "the file is damaged, get it again",
                          s->path, n, MAX_SEQUENCES);
}

static enum nib_status load(struct hf_codec *c, struct nib_tokenizer_info *info,
                            const struct source *s, struct nib_error *err)
{
    yyjson_val *version = nib_hf_field(s->json, "version");
    if (!yyjson_is_obj(s->json) ||
        (version != NULL && !nib_str_equal(nib_hf_string(version), NIB_STR("1.0"))))
        return nib_fail(err, NIB_ERROR_FILE,
                        "%s: the tokenizer.json is no object of version 1.0; the file is damaged "
                        "or needs a newer nibble",
                        s->path);
    yyjson_val *pre = nib_hf_field(s->json, "pre_tokenizer");
    enum nib_status status =
        nib_hf_normalizer_create(&c->normalizer, nib_hf_field(s->json, "normalizer"), s->path, err);
    if (status == NIB_OK)
        status = nib_hf_pretokenizer_create(&c->pretokenizer, pre, s->path, err);
    if (status == NIB_OK)
        status = nib_hf_decoder_create(&c->decoder, nib_hf_field(s->json, "decoder"), s->path, err);
    if (status == NIB_OK)
        status = load_tokens(c, s, err);
    if (status == NIB_OK)
        status = nib_hf_template_create(&c->template, nib_hf_field(s->json, "post_processor"),
                                        c->n_vocab, s->path, err);
    if (status == NIB_OK)
        status = check_template(c, s, err);
    const char *name = yyjson_get_str(nib_hf_field(pre, "type"));
    (void)snprintf(c->pre_tokenizer, sizeof(c->pre_tokenizer), "%s", name == NULL ? "" : name);
    return status == NIB_OK ? read_roles(c, info, s, err) : status;
}

static void codec_free(void *self)
{
    struct hf_codec *c = self;
    if (c == NULL)
        return;
    nib_hf_model_free(&c->model);
    nib_hf_added_free(&c->added);
    nib_hf_normalizer_free(c->normalizer);
    nib_hf_pretokenizer_free(c->pretokenizer);
    nib_hf_decoder_free(c->decoder);
    nib_hf_template_free(&c->template);
    free(c->is_end);
    free(c);
}

static enum nib_status parse(yyjson_doc **doc, const struct source *s, const char *key,
                             struct nib_error *err)
{
    const struct nib_json_limits limits = {
        .n_bytes = MAX_JSON_BYTES, .n_values = MAX_JSON_VALUES, .depth = MAX_JSON_DEPTH};
    struct nib_str text;
    if (!nib_gguf_string(s->gguf, key, &text))
        return nib_fail(err, NIB_ERROR_FILE,
                        "%s: %s is not a string; the file is damaged, get it again", s->path, key);
    return nib_json_parse(doc, text.data, text.len, &limits, s->path, err);
}

static enum nib_status codec_create(void **self, struct nib_tokenizer_info *info,
                                    const struct nib_gguf *gguf, struct nib_error *err)
{
    struct source s = {.gguf = gguf, .path = nib_gguf_path(gguf)};
    *self = NULL;
    enum nib_status status = parse(&s.json_doc, &s, KEY_JSON, err);
    if (status == NIB_OK && nib_gguf_has(gguf, KEY_CONFIG))
        status = parse(&s.config_doc, &s, KEY_CONFIG, err);
    struct hf_codec *c = NULL;
    if (status == NIB_OK) {
        s.json = yyjson_doc_get_root(s.json_doc);
        s.config = yyjson_doc_get_root(s.config_doc);
        c = calloc(1, sizeof(*c));
        status =
            c == NULL ? nib_fail_memory(err, sizeof(*c), "the tokenizer") : load(c, info, &s, err);
    }
    yyjson_doc_free(s.json_doc);
    yyjson_doc_free(s.config_doc);
    if (status != NIB_OK) {
        codec_free(c);
        return status;
    }
    *self = c;
    return NIB_OK;
}

/* ---- encoding ------------------------------------------------------------------------------- */

/* Text with U+FFFD for what is none. */
static enum nib_status mend(struct nib_hf_work *work, struct nib_str *text, struct nib_error *err)
{
    if (nib_utf8_valid_prefix(*text) == text->len)
        return NIB_OK;
    work->bytes.n = 0;
    for (size_t i = 0, len; i < text->len; i += len) {
        const int scanned = nib_utf8_scan(text->data + i, text->len - i);
        len = scanned > 0 ? (size_t)scanned : scanned < 0 ? (size_t)-scanned : text->len - i;
        if (!(scanned > 0 ? nib_buffer_append(&work->bytes, text->data + i, len)
                          : nib_buffer_append(&work->bytes, NIB_REPLACEMENT, 3)))
            return nib_encode_no_memory(text->len, err);
    }
    *text = (struct nib_str){work->bytes.data, work->bytes.n};
    return NIB_OK;
}

/* A part between added tokens: normalise it and look for those that are found then. */
static enum nib_status add_normalized(const struct hf_codec *c, struct nib_hf_work *work,
                                      struct nib_str text, const struct nib_hf_split *split,
                                      bool parses_special, struct nib_error *err)
{
    struct nib_hf_splits *out = &work->splits;
    work->text.bytes.n = 0;
    work->text.n_origin = split->n_origin;
    enum nib_status status = nib_hf_append(work, &work->text.bytes, text.data + split->start,
                                           split->end - split->start, err);
    if (status == NIB_OK)
        status = nib_hf_normalize(c->normalizer, work, err);
    struct nib_hf_split whole = *split;
    whole.start = out->text.n;
    whole.n_origin = work->text.n_origin;
    if (status == NIB_OK)
        status = nib_hf_append(work, &out->text, work->text.bytes.data, work->text.bytes.n, err);
    whole.end = out->text.n;
    if (status != NIB_OK)
        return status;
    return nib_hf_added_split(&c->added, true, parses_special,
                              (struct nib_str){out->text.data, out->text.n}, &whole, out, err);
}

static enum nib_status split_text(const struct hf_codec *c, struct nib_hf_work *work,
                                  struct nib_str text, bool parses_special, struct nib_error *err)
{
    size_t first_end = 0;
    if (text.len > 0)
        (void)nib_hf_next(text, &first_end);
    const struct nib_hf_split whole = {
        .end = text.len, .n_origin = first_end, .is_at_origin = true, .id = -1};
    struct nib_hf_splits *raw = &work->other_splits;
    enum nib_status status =
        nib_hf_added_split(&c->added, false, parses_special, text, &whole, raw, err);
    for (size_t i = 0; i < raw->n && status == NIB_OK; i++)
        status = raw->data[i].id >= 0
                     ? nib_hf_push_split(&work->splits, &raw->data[i], err)
                     : add_normalized(c, work, text, &raw->data[i], parses_special, err);
    return status == NIB_OK ? nib_hf_pretokenize(c->pretokenizer, work, err) : status;
}

static enum nib_status encode_splits(const struct hf_codec *c, const struct nib_hf_work *work,
                                     struct nib_scratch *scratch, struct nib_error *err)
{
    const struct nib_hf_splits *splits = &work->splits;
    enum nib_status status = NIB_OK;
    for (size_t i = 0; i < splits->n && status == NIB_OK; i++) {
        const struct nib_hf_split *split = &splits->data[i];
        if (split->id < 0)
            status = nib_hf_model_encode(
                &c->model, scratch,
                (struct nib_str){splits->text.data + split->start, split->end - split->start}, err);
        else if (!nib_ids_push(&scratch->ids, split->id))
            status = nib_encode_no_memory(splits->n, err);
    }
    return status;
}

/* Put the ids from n_before on into the template. */
static enum nib_status fill_template(const struct nib_ids *template, struct nib_scratch *scratch,
                                     size_t n_before, struct nib_error *err)
{
    struct nib_ids *ids = &scratch->ids;
    if (template->n == 1 && template->data[0] == NIB_HF_SEQUENCE)
        return NIB_OK;
    const size_t n = ids->n - n_before;
    int32_t *sequence = malloc((n + 1) * sizeof(*sequence));
    bool is_fine = sequence != NULL;
    if (is_fine && n > 0)
        memcpy(sequence, ids->data + n_before, n * sizeof(*sequence));
    ids->n = n_before;
    for (size_t i = 0; i < template->n && is_fine; i++) {
        if (template->data[i] != NIB_HF_SEQUENCE)
            is_fine = nib_ids_push(ids, template->data[i]);
        else
            for (size_t k = 0; k < n && is_fine; k++)
                is_fine = nib_ids_push(ids, sequence[k]);
    }
    free(sequence);
    return is_fine ? NIB_OK : nib_encode_no_memory(n, err);
}

static enum nib_status codec_encode(const void *self, struct nib_scratch *scratch,
                                    struct nib_str text, unsigned flags, struct nib_error *err)
{
    const struct hf_codec *c = self;
    const size_t n_before = scratch->ids.n;
    struct nib_hf_work work = {0};
    enum nib_status status = mend(&work, &text, err);
    work.max_bytes =
        text.len < MAX_GROWN_BYTES / 128 ? ((size_t)1 << 20) + 64 * text.len : MAX_GROWN_BYTES;
    if (status == NIB_OK)
        status = split_text(c, &work, text, (flags & NIB_PARSE_SPECIAL) != 0, err);
    if (status == NIB_OK)
        status = encode_splits(c, &work, scratch, err);
    nib_hf_work_free(&work);
    const struct nib_ids *template =
        (flags & NIB_ADD_SPECIAL) != 0 ? &c->template.with_special : &c->template.without_special;
    return status == NIB_OK ? fill_template(template, scratch, n_before, err) : status;
}

/* ---- decoding ------------------------------------------------------------------------------- */

struct decoding {
    const struct hf_codec *codec;
    struct nib_hf_decoding *chain;
    bool keeps_special;
};

static void decoding_free(void *decoding)
{
    nib_hf_decoding_free(((struct decoding *)decoding)->chain);
    free(decoding);
}

static enum nib_status decoding_create(void **out, const void *self, unsigned flags,
                                       struct nib_error *err)
{
    const struct hf_codec *c = self;
    struct decoding *d = *out = calloc(1, sizeof(*d));
    if (d == NULL)
        return nib_fail_memory(err, sizeof(*d), "the text of ids");
    d->codec = c;
    d->keeps_special = (flags & NIB_PARSE_SPECIAL) != 0;
    const enum nib_status status = nib_hf_decoding_create(&d->chain, c->decoder, err);
    if (status != NIB_OK) {
        decoding_free(d);
        *out = NULL;
    }
    return status;
}

/* Is this text, of whatever token, that of a special one? */
static bool is_special_text(const struct hf_codec *c, struct nib_str text)
{
    const struct nib_hf_added_token *token = nib_hf_added_by_content(&c->added, text);
    return token != NULL && token->is_special;
}

static enum nib_status decoding_push(void *decoding, int32_t id, struct nib_buffer *text,
                                     struct nib_error *err)
{
    struct decoding *d = decoding;
    const struct hf_codec *c = d->codec;
    const struct nib_hf_added_token *added = nib_hf_added_by_id(&c->added, id);
    struct nib_str token = {0};
    if (added != NULL)
        token = added->is_normalized ? added->normalized : added->content;
    else if ((size_t)id < c->model.vocabulary.n_tokens)
        token = c->model.vocabulary.text[id];
    if (token.data == NULL || (token.len == 0 && added == NULL) ||
        (!d->keeps_special && is_special_text(c, token)))
        return NIB_OK;
    return nib_hf_decoding_push(d->chain, token, text, err);
}

static enum nib_status decoding_end(void *decoding, struct nib_buffer *text, struct nib_error *err)
{
    return nib_hf_decoding_end(((struct decoding *)decoding)->chain, text, err);
}

/* ---- looking things up ---------------------------------------------------------------------- */

static const char *codec_name(const void *self, int32_t id)
{
    const struct hf_codec *c = self;
    const struct nib_hf_added_token *added = nib_hf_added_by_id(&c->added, id);
    if (added != NULL)
        return added->content.data;
    return (size_t)id < c->model.vocabulary.n_tokens ? c->model.vocabulary.text[id].data : NULL;
}

static bool codec_is_end(const void *self, int32_t id)
{
    return ((const struct hf_codec *)self)->is_end[id] != 0;
}

static bool codec_cleans_spaces(const void *self)
{
    return ((const struct hf_codec *)self)->cleans_spaces;
}

const struct nib_codec nib_codec_hf = {
    .create = codec_create,
    .free = codec_free,
    .encode = codec_encode,
    .decoding_create = decoding_create,
    .decoding_push = decoding_push,
    .decoding_end = decoding_end,
    .decoding_free = decoding_free,
    .name = codec_name,
    .is_end = codec_is_end,
    .cleans_spaces = codec_cleans_spaces,
};
