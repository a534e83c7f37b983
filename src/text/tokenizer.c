/* The tokenizer as the rest of nibble sees it: encoders, and special tokens around them. */
#include "tokenizer.h"

#include "clean_spaces.h"
#include "encoder.h"
#include "gguf.h"
#include "special_tokens.h"

#include <stdlib.h>

static const struct nib_encoder_kind *const kinds[] = {
    &nib_encoder_bpe, &nib_encoder_bpe_bars, &nib_encoder_sentencepiece, &nib_encoder_unigram,
    &nib_encoder_wordpiece};

struct nib_tokenizer {
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

static enum nib_status find_kind(struct nib_tokenizer *t, const struct nib_gguf *gguf,
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
static enum nib_status read_additions(struct nib_tokenizer *t, const struct nib_gguf *gguf,
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

static enum nib_status load(struct nib_tokenizer *t, const struct nib_gguf *gguf,
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

enum nib_status nib_tokenizer_from_gguf(struct nib_tokenizer **out, const struct nib_gguf *gguf,
                                        struct nib_error *err)
{
    *out = NULL;
    struct nib_tokenizer *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return nib_fail_memory(err, sizeof(*t), "the tokenizer");
    const enum nib_status status = load(t, gguf, err);
    if (status != NIB_OK) {
        nib_tokenizer_free(t);
        return status;
    }
    *out = t;
    return NIB_OK;
}

void nib_tokenizer_free(struct nib_tokenizer *t)
{
    if (t == NULL)
        return;
    if (t->encoder != NULL)
        t->kind->free(t->encoder);
    nib_special_finder_free(&t->special);
    nib_vocabulary_free(&t->vocabulary);
    free(t);
}

/* ---- looking things up ---------------------------------------------------------------------- */

const struct nib_tokenizer_info *nib_tokenizer_info(const struct nib_tokenizer *t)
{
    return &t->info;
}

static bool has_id(const struct nib_tokenizer *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->vocabulary.n_tokens;
}

struct nib_str nib_tokenizer_piece(const struct nib_tokenizer *t, int32_t id, unsigned flags)
{
    if (!has_id(t, id) ||
        (nib_token_is_silent(&t->vocabulary, id) && (flags & NIB_PARSE_SPECIAL) == 0))
        return NIB_STR("");
    return t->vocabulary.piece[id];
}

size_t nib_tokenizer_max_piece_bytes(const struct nib_tokenizer *t)
{
    return t->vocabulary.max_piece_bytes;
}

const char *nib_tokenizer_name(const struct nib_tokenizer *t, int32_t id)
{
    return has_id(t, id) ? t->vocabulary.text[id].data : NULL;
}

bool nib_tokenizer_is_end(const struct nib_tokenizer *t, int32_t id)
{
    return has_id(t, id) && (t->vocabulary.flags[id] & NIB_TOKEN_IS_END) != 0;
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
static enum nib_status encode_parts(const struct nib_tokenizer *t, struct nib_scratch *scratch,
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

enum nib_status nib_tokenizer_encode(const struct nib_tokenizer *t, struct nib_str text,
                                     unsigned flags, int32_t **ids, size_t *n_ids,
                                     struct nib_error *err)
{
    *ids = NULL;
    *n_ids = 0;
    if (text.len > NIB_MAX_TEXT_BYTES)
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "the text has %zu bytes, expected at most %zu; pass it in parts", text.len,
                        NIB_MAX_TEXT_BYTES);
    struct nib_scratch scratch = {0};
    scratch.ids.capacity = text.len / 4 + 16;
    scratch.ids.data = malloc(scratch.ids.capacity * sizeof(int32_t));
    enum nib_status status = NIB_OK;
    if (scratch.ids.data == NULL)
        status =
            nib_fail_memory(err, scratch.ids.capacity * sizeof(int32_t), "the ids of the text");
    const bool adds = (flags & NIB_ADD_SPECIAL) != 0;
    if (status == NIB_OK && adds && t->info.adds_bos)
        status = push_id(&scratch, t->info.bos_id, err);
    if (status == NIB_OK)
        status = encode_parts(t, &scratch, text, (flags & NIB_PARSE_SPECIAL) != 0, err);
    if (status == NIB_OK && adds && t->info.adds_eos)
        status = push_id(&scratch, t->info.eos_id, err);
    if (status == NIB_OK) {
        *ids = scratch.ids.data;
        *n_ids = scratch.ids.n;
        scratch.ids.data = NULL;
    }
    nib_scratch_free(&scratch);
    return status;
}

/* ---- decoding ------------------------------------------------------------------------------- */

/* The pieces one after the other, without the blanks that encoding put at the start and after
 * special tokens.  `out` may be NULL; gives the number of bytes. */
static size_t join_pieces(const struct nib_tokenizer *t, const int32_t *ids, size_t n_ids,
                          unsigned flags, char *out)
{
    size_t n = 0;
    bool is_after_special = true;
    for (size_t i = 0; i < n_ids; i++) {
        struct nib_str piece = nib_tokenizer_piece(t, ids[i], flags);
        const bool is_special = nib_token_is_special(&t->vocabulary, ids[i]);
        if (!is_special && is_after_special && t->traits.adds_space_prefix && piece.len > 0 &&
            piece.data[0] == ' ') {
            piece.data++;
            piece.len--;
        }
        is_after_special = is_special;
        if (out != NULL && piece.len > 0)
            memcpy(out + n, piece.data, piece.len);
        n += piece.len;
    }
    return n;
}

enum nib_status nib_tokenizer_decode(const struct nib_tokenizer *t, const int32_t *ids,
                                     size_t n_ids, unsigned flags, char **text, size_t *n_bytes,
                                     struct nib_error *err)
{
    *text = NULL;
    *n_bytes = 0;
    for (size_t i = 0; i < n_ids; i++)
        if (!has_id(t, ids[i]))
            return nib_fail(
                err, NIB_ERROR_ARGUMENT,
                "id %d at position %zu is not in the vocabulary, expected 0 .. %zu; check "
                "that the ids belong to this model",
                (int)ids[i], i, t->vocabulary.n_tokens - 1);
    const size_t n = join_pieces(t, ids, n_ids, flags, NULL);
    char *out = malloc(n + 1);
    if (out == NULL)
        return nib_fail_memory(err, n + 1, "the text of the ids");
    join_pieces(t, ids, n_ids, flags, out);
    *n_bytes = n;
    if ((flags & NIB_CLEAN_SPACES) != 0 && t->traits.cleans_spaces)
        *n_bytes = nib_clean_spaces(out, n);
    out[*n_bytes] = 0;
    *text = out;
    return NIB_OK;
}
