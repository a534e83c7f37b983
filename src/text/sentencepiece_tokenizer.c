/*
 * SentencePiece's .model files run as the library sentencepiece runs them: normalise, cut at tokens
 * that the user defined, encode, and make one of unknown tokens that are neighbours.
 */
#include "charsmap.h"
#include "gguf.h"
#include "json_reader.h"
#include "sentencepiece_model.h"
#include "sp_normalize.h"
#include "special_tokens.h"
#include "text_codec.h"
#include "utf8.h"

#include <stdlib.h>

#define KEY_MODEL  "nibble.tokenizer.model"
#define KEY_CONFIG "nibble.tokenizer.config"
#define KEY_ENDS   "nibble.eos_token_ids"
#define BAR        NIB_STR("\xE2\x96\x81") /* ▁ */

struct sp_codec {
    struct nib_vocabulary vocabulary;
    struct nib_tokenizer_info info;
    enum nib_sp_kind kind;
    struct nib_sp_normalizer normalizer;
    struct nib_charsmap *charsmap;
    struct nib_trie user_defined;
    struct nib_special_finder special; /* for NIB_PARSE_SPECIAL */
    struct nib_sentencepiece *bpe;
    struct nib_unigram *unigram;
    bool falls_back_to_bytes;
    char *unk_surface;
    bool strips_first_bar, strips_all_first_bars;
    uint8_t *is_end; /* [n_tokens] */
};

/* ---- making one ----------------------------------------------------------------------------- */

static int32_t find_type(const struct nib_vocabulary *v, enum nib_token_type type)
{
    for (size_t i = 0; i < v->n_tokens; i++)
        if (v->type[i] == type)
            return (int32_t)i;
    return -1;
}

static int32_t find_control(const struct nib_vocabulary *v, struct nib_str piece)
{
    const int32_t id = nib_vocabulary_find(v, piece.data, piece.len);
    return id >= 0 && v->type[id] == NIB_TOKEN_CONTROL ? id : -1;
}

static enum nib_status make_user_defined(struct sp_codec *c, const char *path,
                                         struct nib_error *err)
{
    const struct nib_vocabulary *v = &c->vocabulary;
    struct nib_trie_entry *entries = malloc(v->n_tokens * sizeof(*entries));
    if (entries == NULL)
        return nib_fail_memory(err, v->n_tokens * sizeof(*entries), "the tokenizer");
    size_t n = 0;
    for (size_t i = 0; i < v->n_tokens; i++)
        if (v->type[i] == NIB_TOKEN_USER_DEFINED)
            entries[n++] = (struct nib_trie_entry){.text = v->text[i], .id = (int32_t)i};
    const enum nib_status status = nib_trie_create(&c->user_defined, entries, n, path, err);
    free(entries);
    return status;
}

static enum nib_status make_encoder(struct sp_codec *c, const struct nib_sp_model *m,
                                    const char *path, struct nib_error *err)
{
    if (m->kind == NIB_SP_BPE)
        return nib_sentencepiece_create(&c->bpe, &c->vocabulary, err);
    if (m->kind != NIB_SP_UNIGRAM)
        return NIB_OK;
    const struct nib_unigram_options options = {.path = path,
                                                .unk_id = c->vocabulary.unk_id,
                                                .falls_back_to_bytes = m->falls_back_to_bytes,
                                                .sums_in_float = true};
    return nib_unigram_create(&c->unigram, &c->vocabulary, &options, err);
}

static enum nib_status load_model(struct sp_codec *c, const struct nib_sp_model *m,
                                  const char *path, struct nib_error *err)
{
    struct nib_vocabulary *v = &c->vocabulary;
    const struct nib_token_list list = {.path = path,
                                        .n_tokens = m->n_pieces,
                                        .texts = m->pieces,
                                        .types = m->types,
                                        .scores = m->scores};
    enum nib_status status = nib_vocabulary_create(v, &list, err);
    if (status != NIB_OK)
        return status;
    v->unk_id = find_type(v, NIB_TOKEN_UNKNOWN);
    v->bos_id = find_control(v, m->bos_piece);
    v->eos_id = find_control(v, m->eos_piece);
    if (v->unk_id < 0)
        return nib_fail(err, NIB_ERROR_FILE,
                        "%s: the SentencePiece model has no piece of the type unknown, expected "
                        "one; the file is damaged, get it again",
                        path);
    if (m->charsmap.len > 0)
        status = nib_charsmap_create(&c->charsmap, (const uint8_t *)m->charsmap.data,
                                     m->charsmap.len, path, err);
    if (status == NIB_OK)
        status = make_user_defined(c, path, err);
    if (status == NIB_OK)
        status = nib_special_finder_create(&c->special, v, path, err);
    if (status == NIB_OK)
        status = make_encoder(c, m, path, err);
    c->kind = m->kind;
    c->falls_back_to_bytes = m->falls_back_to_bytes;
    c->normalizer = (struct nib_sp_normalizer){.map = c->charsmap,
                                               .kept = &c->user_defined,
                                               .adds_blank = m->adds_blank,
                                               .adds_blank_behind = m->has_blank_behind,
                                               .removes_extra_blanks = m->removes_extra_blanks,
                                               .writes_bars = m->writes_bars};
    c->strips_first_bar = m->adds_blank || m->removes_extra_blanks;
    c->strips_all_first_bars = m->removes_extra_blanks;
    c->unk_surface = malloc(m->unk_surface.len + 1);
    c->is_end = calloc(v->n_tokens, 1);
    if (status == NIB_OK && (c->unk_surface == NULL || c->is_end == NULL))
        return nib_fail_memory(err, v->n_tokens, "the tokenizer");
    if (status == NIB_OK) {
        memcpy(c->unk_surface, m->unk_surface.data, m->unk_surface.len);
        c->unk_surface[m->unk_surface.len] = 0;
    }
    return status;
}

/* ---- ids, and what is added ----------------------------------------------------------------- */

static enum nib_status wrong_id(const struct nib_gguf *gguf, const char *key, size_t n,
                                struct nib_error *err)
{
    return nib_fail(err, NIB_ERROR_FILE,
                    "%s: %s is no id of the vocabulary, expected 0 .. %zu; the files do not belong "
                    "together or are damaged, get them again",
                    nib_gguf_path(gguf), key, n - 1);
}

static enum nib_status read_id(int32_t *id, size_t n, const struct nib_gguf *gguf, const char *key,
                               struct nib_error *err)
{
    int64_t number;
    if (!nib_gguf_has(gguf, key))
        return NIB_OK;
    if (!nib_gguf_int(gguf, key, &number) || number < 0 || (size_t)number >= n)
        return wrong_id(gguf, key, n, err);
    *id = (int32_t)number;
    return NIB_OK;
}

static enum nib_status read_ends(struct sp_codec *c, const struct nib_gguf *gguf,
                                 struct nib_error *err)
{
    size_t n = 0;
    if (c->info.eos_id >= 0)
        c->is_end[c->info.eos_id] = 1;
    if (!nib_gguf_has(gguf, KEY_ENDS))
        return NIB_OK;
    if (!nib_gguf_ints(gguf, KEY_ENDS, &n))
        return wrong_id(gguf, KEY_ENDS, c->info.n_vocab, err);
    int64_t *ids = malloc((n + 1) * sizeof(*ids));
    if (ids == NULL)
        return nib_fail_memory(err, n * sizeof(*ids), "the ids that end an answer");
    nib_gguf_copy_ints(gguf, KEY_ENDS, ids);
    enum nib_status status = NIB_OK;
    for (size_t i = 0; i < n && status == NIB_OK; i++) {
        if (ids[i] < 0 || (size_t)ids[i] >= c->info.n_vocab)
            status = wrong_id(gguf, KEY_ENDS, c->info.n_vocab, err);
        else
            c->is_end[ids[i]] = 1;
    }
    free(ids);
    return status;
}

/* add_bos_token and add_eos_token, of the keys or the configuration; where they are missing, what
 * is usual for the class. */
static enum nib_status read_additions(struct sp_codec *c, const struct nib_gguf *gguf,
                                      struct nib_error *err)
{
    const struct nib_json_limits limits = {
        .n_bytes = (size_t)64 << 20, .n_values = (size_t)16 << 20, .depth = 64};
    struct nib_str text;
    yyjson_doc *doc = NULL;
    c->info.adds_bos = c->kind != NIB_SP_UNIGRAM;
    c->info.adds_eos = c->kind == NIB_SP_UNIGRAM;
    if (nib_gguf_string(gguf, KEY_CONFIG, &text)) {
        const enum nib_status status =
            nib_json_parse(&doc, text.data, text.len, &limits, nib_gguf_path(gguf), err);
        if (status != NIB_OK)
            return status;
        yyjson_val *root = yyjson_doc_get_root(doc);
        yyjson_val *bos = yyjson_obj_get(root, "add_bos_token");
        yyjson_val *eos = yyjson_obj_get(root, "add_eos_token");
        const char *class = yyjson_get_str(yyjson_obj_get(root, "tokenizer_class"));
        if (class != NULL && (strstr(class, "Llama") != NULL || strstr(class, "Gemma") != NULL)) {
            c->info.adds_bos = true;
            c->info.adds_eos = false;
        }
        c->info.adds_bos = yyjson_is_bool(bos) ? yyjson_get_bool(bos) : c->info.adds_bos;
        c->info.adds_eos = yyjson_is_bool(eos) ? yyjson_get_bool(eos) : c->info.adds_eos;
        yyjson_doc_free(doc);
    }
    (void)nib_gguf_bool(gguf, "tokenizer.ggml.add_bos_token", &c->info.adds_bos);
    (void)nib_gguf_bool(gguf, "tokenizer.ggml.add_eos_token", &c->info.adds_eos);
    c->info.adds_bos = c->info.adds_bos && c->info.bos_id >= 0;
    c->info.adds_eos = c->info.adds_eos && c->info.eos_id >= 0;
    return NIB_OK;
}

static enum nib_status load_roles(struct sp_codec *c, const struct nib_gguf *gguf,
                                  struct nib_error *err)
{
    static const char *const names[] = {"", "unigram", "sentencepiece", "word", "char"};
    struct nib_vocabulary *v = &c->vocabulary;
    enum nib_status status =
        read_id(&v->bos_id, v->n_tokens, gguf, "tokenizer.ggml.bos_token_id", err);
    if (status == NIB_OK)
        status = read_id(&v->eos_id, v->n_tokens, gguf, "tokenizer.ggml.eos_token_id", err);
    c->info = (struct nib_tokenizer_info){.kind = names[c->kind],
                                          .pre_tokenizer = "",
                                          .n_vocab = v->n_tokens,
                                          .bos_id = v->bos_id,
                                          .eos_id = v->eos_id,
                                          .unk_id = v->unk_id};
    if (status == NIB_OK)
        status = read_ends(c, gguf, err);
    return status == NIB_OK ? read_additions(c, gguf, err) : status;
}

static void codec_free(void *self)
{
    struct sp_codec *c = self;
    if (c == NULL)
        return;
    nib_sentencepiece_free(c->bpe);
    nib_unigram_free(c->unigram);
    nib_charsmap_free(c->charsmap);
    nib_trie_free(&c->user_defined);
    nib_special_finder_free(&c->special);
    nib_vocabulary_free(&c->vocabulary);
    free(c->unk_surface);
    free(c->is_end);
    free(c);
}

static enum nib_status codec_create(void **self, struct nib_tokenizer_info *info,
                                    const struct nib_gguf *gguf, struct nib_error *err)
{
    const char *path = nib_gguf_path(gguf);
    struct nib_str file;
    *self = NULL;
    if (!nib_gguf_bytes(gguf, KEY_MODEL, &file))
        return nib_fail(err, NIB_ERROR_FILE,
                        "%s: %s is not an array of bytes; the file is damaged, get it again", path,
                        KEY_MODEL);
    struct sp_codec *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return nib_fail_memory(err, sizeof(*c), "the tokenizer");
    struct nib_sp_model model;
    enum nib_status status = nib_sp_model_read(&model, file, path, err);
    if (status == NIB_OK)
        status = load_model(c, &model, path, err);
    nib_sp_model_free(&model);
    if (status == NIB_OK)
        status = load_roles(c, gguf, err);
    if (status != NIB_OK) {
        codec_free(c);
        return status;
    }
    *info = c->info;
    *self = c;
    return NIB_OK;
}

/* ---- encoding ------------------------------------------------------------------------------- */

/* A piece of the models of words and of characters, or an unknown one. */
static enum nib_status push_piece(const struct sp_codec *c, struct nib_scratch *scratch,
                                  struct nib_str piece, struct nib_error *err)
{
    const struct nib_vocabulary *v = &c->vocabulary;
    int32_t id = nib_vocabulary_find(v, piece.data, piece.len);
    bool is_fine = true;
    if (id >= 0 && nib_token_comes_of_text(v, id))
        return nib_ids_push(&scratch->ids, id) ? NIB_OK : nib_encode_no_memory(piece.len, err);
    if (!c->falls_back_to_bytes)
        return nib_ids_push(&scratch->ids, v->unk_id) ? NIB_OK
                                                      : nib_encode_no_memory(piece.len, err);
    for (size_t i = 0; i < piece.len && is_fine; i++) {
        id = nib_vocabulary_find_byte(v, (uint8_t)piece.data[i]);
        is_fine = nib_ids_push(&scratch->ids, id < 0 ? v->unk_id : id);
    }
    return is_fine ? NIB_OK : nib_encode_no_memory(piece.len, err);
}

static bool is_bar(struct nib_str text, size_t i)
{
    return text.len - i >= BAR.len && memcmp(text.data + i, BAR.data, BAR.len) == 0;
}

/* Words begin at a bar, or end with one. */
static enum nib_status encode_words(const struct sp_codec *c, struct nib_scratch *scratch,
                                    struct nib_str text, struct nib_error *err)
{
    enum nib_status status = NIB_OK;
    for (size_t i = 0, start = 0; i < text.len && status == NIB_OK;) {
        const bool bar = is_bar(text, i);
        const size_t next = i + (bar ? BAR.len : 1);
        const size_t cut = c->normalizer.adds_blank_behind         ? (bar ? next : 0)
                           : next < text.len && is_bar(text, next) ? next
                                                                   : 0;
        i = next;
        if (cut == 0 && i < text.len)
            continue;
        status = push_piece(c, scratch, (struct nib_str){text.data + start, i - start}, err);
        start = i;
    }
    return status;
}

static enum nib_status encode_characters(const struct sp_codec *c, struct nib_scratch *scratch,
                                         struct nib_str text, struct nib_error *err)
{
    enum nib_status status = NIB_OK;
    for (size_t i = 0, n; i < text.len && status == NIB_OK; i += n) {
        const struct nib_str rest = {text.data + i, text.len - i};
        n = nib_trie_longest(&c->user_defined, rest, NULL);
        const int len = nib_utf8_scan(rest.data, rest.len);
        n = n > 0 ? n : len > 0 ? (size_t)len : 1;
        status = push_piece(c, scratch, (struct nib_str){rest.data, n}, err);
    }
    return status;
}

/* BPE never merges what the user defined. */
static enum nib_status encode_bpe(const struct sp_codec *c, struct nib_scratch *scratch,
                                  struct nib_str text, struct nib_error *err)
{
    enum nib_status status = NIB_OK;
    size_t start = 0;
    for (size_t i = 0; i < text.len && status == NIB_OK;) {
        int32_t id;
        const size_t n =
            nib_trie_longest(&c->user_defined, (struct nib_str){text.data + i, text.len - i}, &id);
        if (n == 0) {
            i++;
            continue;
        }
        status = nib_sentencepiece_encode(c->bpe, scratch,
                                          (struct nib_str){text.data + start, i - start}, err);
        if (status == NIB_OK && !nib_ids_push(&scratch->ids, id))
            status = nib_encode_no_memory(text.len, err);
        start = i += n;
    }
    return status != NIB_OK
               ? status
               : nib_sentencepiece_encode(
                     c->bpe, scratch, (struct nib_str){text.data + start, text.len - start}, err);
}

/* Unknown tokens that are neighbours are one. */
static void merge_unknown(const struct sp_codec *c, struct nib_ids *ids, size_t from)
{
    size_t n = from;
    for (size_t i = from; i < ids->n; i++)
        if (i == from || ids->data[i] != c->vocabulary.unk_id || ids->data[i - 1] != ids->data[i])
            ids->data[n++] = ids->data[i];
    ids->n = n;
}

static enum nib_status encode_text(const struct sp_codec *c, struct nib_scratch *scratch,
                                   struct nib_str text, struct nib_error *err)
{
    const size_t n_before = scratch->ids.n;
    if (!nib_sp_normalize(&c->normalizer, &scratch->text, text))
        return nib_encode_no_memory(text.len, err);
    const struct nib_str normalized = {scratch->text.data, scratch->text.n};
    if (normalized.len == 0)
        return NIB_OK; /* there may be no data */
    const enum nib_status status =
        c->kind == NIB_SP_BPE       ? encode_bpe(c, scratch, normalized, err)
        : c->kind == NIB_SP_UNIGRAM ? nib_unigram_encode(c->unigram, scratch, normalized, err)
        : c->kind == NIB_SP_WORD    ? encode_words(c, scratch, normalized, err)
                                    : encode_characters(c, scratch, normalized, err);
    merge_unknown(c, &scratch->ids, n_before);
    return status;
}

/* The text between special tokens, and these. */
static enum nib_status encode_parts(const struct sp_codec *c, struct nib_scratch *scratch,
                                    struct nib_str text, struct nib_error *err)
{
    enum nib_status status = NIB_OK;
    size_t done = 0;
    for (size_t from = 0; status == NIB_OK;) {
        struct nib_special_match match;
        if (!nib_special_find(&c->special, text, from, true, &match))
            break;
        from = match.end;
        if (c->vocabulary.type[match.id] == NIB_TOKEN_USER_DEFINED)
            continue; /* found in what is normalised */
        if (match.start > done)
            status = encode_text(c, scratch, (struct nib_str){text.data + done, match.start - done},
                                 err);
        if (status == NIB_OK && !nib_ids_push(&scratch->ids, match.id))
            status = nib_encode_no_memory(text.len, err);
        done = match.end;
    }
    if (status == NIB_OK && done < text.len)
        status = encode_text(c, scratch, (struct nib_str){text.data + done, text.len - done}, err);
    return status;
}

static enum nib_status codec_encode(const void *self, struct nib_scratch *scratch,
                                    struct nib_str text, unsigned flags, struct nib_error *err)
{
    const struct sp_codec *c = self;
    const bool adds = (flags & NIB_ADD_SPECIAL) != 0;
    if (adds && c->info.adds_bos && !nib_ids_push(&scratch->ids, c->info.bos_id))
        return nib_encode_no_memory(text.len, err);
    enum nib_status status = (flags & NIB_PARSE_SPECIAL) != 0 ? encode_parts(c, scratch, text, err)
                                                              : encode_text(c, scratch, text, err);
    if (status == NIB_OK && adds && c->info.adds_eos &&
        !nib_ids_push(&scratch->ids, c->info.eos_id))
        status = nib_encode_no_memory(text.len, err);
    return status;
}

/* ---- decoding ------------------------------------------------------------------------------- */

struct decoding {
    const struct sp_codec *codec;
    bool keeps_special;
    bool is_at_start, has_seen_bar, has_text;
    char bytes[4]; /* of byte tokens: a character that has not ended */
    size_t n_bytes;
};

static enum nib_status decoding_create(void **out, const void *self, unsigned flags,
                                       struct nib_error *err)
{
    struct decoding *d = *out = calloc(1, sizeof(*d));
    if (d == NULL)
        return nib_fail_memory(err, sizeof(*d), "the text of ids");
    d->codec = self;
    d->keeps_special = (flags & NIB_PARSE_SPECIAL) != 0;
    d->is_at_start = true;
    return NIB_OK;
}

/* Each byte that is of no character, as pieces of a damaged file may have, becomes U+FFFD. */
static bool give(struct decoding *d, struct nib_buffer *text, struct nib_str bytes)
{
    d->has_text = d->has_text || bytes.len > 0;
    for (;;) {
        const size_t n = nib_utf8_valid_prefix(bytes);
        if (!nib_buffer_append(text, bytes.data, n))
            return false;
        if (n == bytes.len)
            return true;
        if (!nib_buffer_append(text, NIB_REPLACEMENT, 3))
            return false;
        bytes.data += n + 1;
        bytes.len -= n + 1;
    }
}

/* What of the bytes is decided; each that is of no character becomes U+FFFD. */
static bool give_bytes(struct decoding *d, struct nib_buffer *text, bool is_end)
{
    bool is_fine = true;
    while (d->n_bytes > 0 && is_fine) {
        const int len = nib_utf8_scan(d->bytes, d->n_bytes);
        if (len == 0 && !is_end)
            break;
        const size_t n = len > 0 ? (size_t)len : 1;
        is_fine = len > 0 ? give(d, text, (struct nib_str){d->bytes, n})
                          : give(d, text, NIB_STR(NIB_REPLACEMENT));
        memmove(d->bytes, d->bytes + n, d->n_bytes - n);
        d->n_bytes -= n;
    }
    return is_fine;
}

/* A piece with blanks for bars, the first one taken off at the start of the text. */
static bool give_piece(struct decoding *d, struct nib_buffer *text, struct nib_str piece)
{
    const struct sp_codec *c = d->codec;
    bool is_fine = true;
    if (d->is_at_start && c->strips_first_bar && is_bar(piece, 0)) {
        piece.data += BAR.len;
        piece.len -= BAR.len;
        d->has_seen_bar = !c->strips_all_first_bars;
    }
    for (size_t i = 0, start = 0; i < piece.len && is_fine;) {
        const bool bar = is_bar(piece, i);
        const size_t end = i;
        i += bar ? BAR.len : 1;
        if (!bar && i < piece.len)
            continue;
        is_fine = give(d, text, (struct nib_str){piece.data + start, (bar ? end : i) - start}) &&
                  (!bar || give(d, text, NIB_STR(" ")));
        start = i;
    }
    return is_fine;
}

static enum nib_status decoding_push(void *decoding, int32_t id, struct nib_buffer *text,
                                     struct nib_error *err)
{
    struct decoding *d = decoding;
    const struct nib_vocabulary *v = &d->codec->vocabulary;
    bool is_fine;
    if (v->type[id] == NIB_TOKEN_BYTE) {
        assert(d->n_bytes < sizeof(d->bytes));
        d->bytes[d->n_bytes++] = (char)nib_byte_token_value(v->text[id]);
        is_fine = give_bytes(d, text, false);
    } else {
        is_fine = give_bytes(d, text, true);
        if (d->has_seen_bar || d->has_text)
            d->is_at_start = false;
        d->has_seen_bar = false;
        if (v->type[id] == NIB_TOKEN_UNKNOWN)
            is_fine = is_fine && give(d, text, nib_str_from(d->codec->unk_surface));
        else if (v->type[id] != NIB_TOKEN_CONTROL)
            is_fine = is_fine && give_piece(d, text, v->text[id]);
        else if (d->keeps_special)
            is_fine = is_fine && give(d, text, v->text[id]);
    }
    return is_fine ? NIB_OK : nib_fail_memory(err, text->n + 64, "the text of the ids");
}

static enum nib_status decoding_end(void *decoding, struct nib_buffer *text, struct nib_error *err)
{
    struct decoding *d = decoding;
    const bool is_fine = give_bytes(d, text, true);
    d->is_at_start = true;
    d->has_seen_bar = d->has_text = false;
    return is_fine ? NIB_OK : nib_fail_memory(err, text->n + 3, "the text of the ids");
}

/* ---- looking things up ---------------------------------------------------------------------- */

static const char *codec_name(const void *self, int32_t id)
{
    return ((const struct sp_codec *)self)->vocabulary.text[id].data;
}

static bool codec_is_end(const void *self, int32_t id)
{
    return ((const struct sp_codec *)self)->is_end[id] != 0;
}

static bool codec_cleans_spaces(const void *self)
{
    (void)self;
    return false;
}

const struct nib_codec nib_codec_sp = {
    .create = codec_create,
    .free = codec_free,
    .encode = codec_encode,
    .decoding_create = decoding_create,
    .decoding_push = decoding_push,
    .decoding_end = decoding_end,
    .decoding_free = free,
    .name = codec_name,
    .is_end = codec_is_end,
    .cleans_spaces = codec_cleans_spaces,
};
