/* The tokenizers of GGUF files, tokenizer.ggml.*: encoders, and special tokens around them. */
#include "gguf.h"
#include "special_tokens.h"
#include "text_codec.h"

#include <stdlib.h>

static const struct nib_encoder_kind *const kinds[] = {
    &nib_encoder_bpe, &nib_encoder_bpe_bars, &nib_encoder_sentencepiece, &nib_encoder_unigram,
    &nib_encoder_wordpiece};

struct gguf_codec {
    struct nib_tokenizer_info info;
    struct nib_vocabulary vocabulary;
    struct nib_special_finder special;
    const struct nib_encoder_kind *kind;
    void *encoder;
    struct nib_encoder_traits traits;
};

/* ---- making one ----------------------------------------------------------------------------- */

/* Some files say gpt2 and mean BPE on characters, which only the pre-tokenizer shows. */
static bool is_bpe_of_bars(const struct nib_gguf *gguf, struct nib_str model)
{
    struct nib_str pre = NIB_STR("");
    (void)nib_gguf_string(gguf, "tokenizer.ggml.pre", &pre);
    return nib_str_equal(model, NIB_STR("gpt2")) &&
           (nib_str_equal(pre, NIB_STR("gemma4")) || nib_str_equal(pre, NIB_STR("sarvam-moe")) ||
            nib_str_equal(pre, NIB_STR("granite-embed-multi-311m")));
}

static enum nib_status find_kind(struct gguf_codec *t, const struct nib_gguf *gguf,
                                 struct nib_error *err)
{
    struct nib_str model = NIB_STR("(none)");
    (void)nib_gguf_string(gguf, "tokenizer.ggml.model", &model);
    if (is_bpe_of_bars(gguf, model))
        model = nib_str_from(nib_encoder_bpe_bars.model);
    for (size_t i = 0; i < NIB_COUNT(kinds); i++)
        if (nib_str_equal(model, nib_str_from(kinds[i]->model)))
            t->kind = kinds[i];
    if (t->kind != NULL)
        return NIB_OK;
    return nib_fail(
        err, NIB_ERROR_FILE,
        "%s: the tokenizer '%.*s' (tokenizer.ggml.model) is not known, expected gpt2 "
        "(byte-level BPE), llama (SentencePiece BPE), t5 (Unigram) or bert (WordPiece); "
        "a newer nibble may know it",
        nib_gguf_path(gguf), (int)(model.len < 64 ? model.len : 64), model.data);
}

/* BOS and EOS as the file says, else as is usual for the kind. */
static enum nib_status read_additions(struct gguf_codec *t, const struct nib_gguf *gguf,
                                      struct nib_error *err)
{
    const struct nib_vocabulary *v = &t->vocabulary;
    bool adds_bos = t->traits.adds_bos && v->bos_id >= 0;
    bool adds_eos = t->traits.adds_eos && v->eos_id >= 0;
    (void)nib_gguf_bool(gguf, "tokenizer.ggml.add_bos_token", &adds_bos);
    (void)nib_gguf_bool(gguf, "tokenizer.ggml.add_eos_token", &adds_eos);
    if ((adds_bos && v->bos_id < 0) || (adds_eos && v->eos_id < 0))
        return nib_fail(err, NIB_ERROR_FILE,
                        "%s: tokenizer.ggml.add_%s_token is true but there is no "
                        "tokenizer.ggml.%s_token_id; the file was converted wrongly, get it again",
                        nib_gguf_path(gguf), adds_bos && v->bos_id < 0 ? "bos" : "eos",
                        adds_bos && v->bos_id < 0 ? "bos" : "eos");
    t->info = (struct nib_tokenizer_info){.kind = t->kind->name,
                                          .pre_tokenizer = t->traits.pre_tokenizer,
                                          .n_vocab = v->n_tokens,
                                          .bos_id = v->bos_id,
                                          .eos_id = v->eos_id,
                                          .unk_id = v->unk_id,
                                          .adds_bos = adds_bos,
                                          .adds_eos = adds_eos};
    return NIB_OK;
}

static enum nib_status load(struct gguf_codec *t, const struct nib_gguf *gguf,
                            struct nib_error *err)
{
    struct nib_vocabulary *v = &t->vocabulary;
    enum nib_status status = find_kind(t, gguf, err);
    if (status != NIB_OK)
        return status;
    v->bos_id = t->kind->default_bos_id;
    v->eos_id = t->kind->default_eos_id;
    v->unk_id = t->kind->default_unk_id;
    status = nib_vocabulary_load(v, gguf, err);
    if (status == NIB_OK)
        status = nib_vocabulary_assign_roles(v, gguf, err);
    if (status == NIB_OK)
        status = nib_vocabulary_make_pieces(v, t->kind->piece, err);
    if (status == NIB_OK)
        status = nib_special_finder_create(&t->special, v, nib_gguf_path(gguf), err);
    if (status == NIB_OK)
        status = t->kind->create(&t->encoder, &t->traits, v, gguf, err);
    if (status == NIB_OK)
        status = read_additions(t, gguf, err);
    return status;
}

static void codec_free(void *self)
{
    struct gguf_codec *t = self;
    if (t == NULL)
        return;
    if (t->encoder != NULL)
        t->kind->free(t->encoder);
    nib_special_finder_free(&t->special);
    nib_vocabulary_free(&t->vocabulary);
    free(t);
}

static enum nib_status codec_create(void **self, struct nib_tokenizer_info *info,
                                    const struct nib_gguf *gguf, struct nib_error *err)
{
    *self = NULL;
    struct gguf_codec *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return nib_fail_memory(err, sizeof(*t), "the tokenizer");
    const enum nib_status status = load(t, gguf, err);
    if (status != NIB_OK) {
        codec_free(t);
        return status;
    }
    *info = t->info;
    *self = t;
    return NIB_OK;
}

/* ---- looking things up ---------------------------------------------------------------------- */

static const char *codec_name(const void *self, int32_t id)
{
    return ((const struct gguf_codec *)self)->vocabulary.text[id].data;
}

static bool codec_is_end(const void *self, int32_t id)
{
    return (((const struct gguf_codec *)self)->vocabulary.flags[id] & NIB_TOKEN_IS_END) != 0;
}

static bool codec_cleans_spaces(const void *self)
{
    return ((const struct gguf_codec *)self)->traits.cleans_spaces;
}

/* ---- encoding ------------------------------------------------------------------------------- */

static enum nib_status push_id(struct nib_scratch *scratch, int32_t id, struct nib_error *err)
{
    return nib_ids_push(&scratch->ids, id)
               ? NIB_OK
               : nib_fail_memory(err, scratch->ids.n * sizeof(int32_t), "the ids of the text");
}

/* ASCII white space, what stripping tokens swallow. */
static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The text between special tokens, and these. */
static enum nib_status encode_parts(const struct gguf_codec *t, struct nib_scratch *scratch,
                                    struct nib_str text, bool parses_special, struct nib_error *err)
{
    enum nib_status status = NIB_OK;
    bool is_after_special = true; /* the start of a text counts as one */
    for (size_t from = 0; from < text.len && status == NIB_OK;) {
        struct nib_special_match match;
        const bool has_match = nib_special_find(&t->special, text, from, parses_special, &match);
        const size_t end = has_match ? match.start : text.len;
        if (end > from) {
            status =
                t->kind->encode(t->encoder, scratch, (struct nib_str){text.data + from, end - from},
                                is_after_special && t->traits.adds_space_prefix, err);
            is_after_special = false;
        }
        if (!has_match)
            break;
        if (status == NIB_OK)
            status = push_id(scratch, match.id, err);
        is_after_special = true;
        from = match.end;
        if ((t->vocabulary.flags[match.id] & NIB_TOKEN_RSTRIP) != 0)
            while (from < text.len && is_space(text.data[from]))
                from++;
    }
    return status;
}

static enum nib_status codec_encode(const void *self, struct nib_scratch *scratch,
                                    struct nib_str text, unsigned flags, struct nib_error *err)
{
    const struct gguf_codec *t = self;
    enum nib_status status = NIB_OK;
    const bool adds = (flags & NIB_ADD_SPECIAL) != 0;
    if (adds && t->info.adds_bos)
        status = push_id(scratch, t->info.bos_id, err);
    if (status == NIB_OK)
        status = encode_parts(t, scratch, text, (flags & NIB_PARSE_SPECIAL) != 0, err);
    if (status == NIB_OK && adds && t->info.adds_eos)
        status = push_id(scratch, t->info.eos_id, err);
    return status;
}

/* ---- decoding ------------------------------------------------------------------------------- */

struct decoding {
    const struct gguf_codec *codec;
    unsigned flags;
    bool is_after_special;
};

static enum nib_status decoding_create(void **out, const void *self, unsigned flags,
                                       struct nib_error *err)
{
    struct decoding *d = *out = malloc(sizeof(*d));
    if (d == NULL)
        return nib_fail_memory(err, sizeof(*d), "the text of ids");
    *d = (struct decoding){.codec = self, .flags = flags, .is_after_special = true};
    return NIB_OK;
}

/* A piece, without the blank that encoding put at the start and after special tokens; a stream may
 * begin anywhere and keeps it. */
static enum nib_status decoding_push(void *decoding, int32_t id, struct nib_buffer *text,
                                     struct nib_error *err)
{
    struct decoding *d = decoding;
    const struct nib_vocabulary *v = &d->codec->vocabulary;
    const bool is_special = nib_token_is_special(v, id);
    struct nib_str piece = v->piece[id];
    if (nib_token_is_silent(v, id) && (d->flags & NIB_PARSE_SPECIAL) == 0)
        piece = NIB_STR("");
    if (!is_special && d->is_after_special && d->codec->traits.adds_space_prefix &&
        (d->flags & NIB_DECODE_STREAM) == 0 && piece.len > 0 && piece.data[0] == ' ') {
        piece.data++;
        piece.len--;
    }
    d->is_after_special = is_special;
    return nib_buffer_append(text, piece.data, piece.len)
               ? NIB_OK
               : nib_fail_memory(err, text->n + piece.len, "the text of the ids");
}

static enum nib_status decoding_end(void *decoding, struct nib_buffer *text, struct nib_error *err)
{
    (void)text;
    (void)err;
    ((struct decoding *)decoding)->is_after_special = true;
    return NIB_OK;
}

const struct nib_codec nib_codec_gguf = {
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
