/*
 * GGUF's tokenizer.ggml.model "gemma4": BPE by a list of merges on characters, blanks written "▁",
 * on lines.  Line feeds apart, the words are thus as long as the lines.
 */
#include "encoder.h"
#include "gguf.h"

#include <stdlib.h>

struct lines {
    struct nib_bpe *bpe;
    const struct nib_vocabulary *vocabulary;
};

static void lines_free(void *encoder)
{
    struct lines *lines = encoder;
    if (lines == NULL)
        return;
    nib_bpe_free(lines->bpe);
    free(lines);
}

static enum nib_status lines_create(void **out, struct nib_encoder_traits *traits,
                                    const struct nib_vocabulary *vocabulary,
                                    const struct nib_gguf *gguf, struct nib_error *err)
{
    *out = NULL;
    struct lines *lines = calloc(1, sizeof(*lines));
    if (lines == NULL)
        return nib_fail_memory(err, sizeof(*lines), "the tokenizer");
    lines->vocabulary = vocabulary;
    const struct nib_bpe_options options = {
        .path = nib_gguf_path(gguf), .falls_back_to_bytes = true, .unk_id = -1};
    const enum nib_status status =
        nib_gguf_create_bpe(&lines->bpe, vocabulary, &options, gguf, err);
    if (status != NIB_OK) {
        lines_free(lines);
        return status;
    }
    *traits = (struct nib_encoder_traits){.pre_tokenizer = "gemma4"};
    (void)nib_gguf_bool(gguf, "tokenizer.ggml.add_space_prefix", &traits->adds_space_prefix);
    *out = lines;
    return NIB_OK;
}

/* Line feeds are one token if there is one for as many. */
static enum nib_status encode_line_feeds(const struct lines *lines, struct nib_scratch *scratch,
                                         struct nib_str text, struct nib_error *err)
{
    const int32_t id = nib_vocabulary_find(lines->vocabulary, text.data, text.len);
    if (id < 0 || !nib_token_comes_of_text(lines->vocabulary, id))
        return nib_bpe_encode(lines->bpe, scratch, text, err);
    return nib_ids_push(&scratch->ids, id) ? NIB_OK : nib_encode_no_memory(text.len, err);
}

static enum nib_status lines_encode(const void *encoder, struct nib_scratch *scratch,
                                    struct nib_str text, bool with_space_prefix,
                                    struct nib_error *err)
{
    const struct lines *lines = encoder;
    if (!nib_bars_from_blanks(&scratch->text, text, with_space_prefix))
        return nib_encode_no_memory(text.len, err);
    const char *p = scratch->text.data, *const end = p + scratch->text.n;
    enum nib_status status = NIB_OK;
    while (p < end && status == NIB_OK) {
        const char *next = p;
        const bool is_feed = *p == '\n';
        while (next < end && (*next == '\n') == is_feed)
            next++;
        const struct nib_str part = {p, (size_t)(next - p)};
        status = is_feed ? encode_line_feeds(lines, scratch, part, err)
                         : nib_bpe_encode(lines->bpe, scratch, part, err);
        p = next;
    }
    return status;
}

const struct nib_encoder_kind nib_encoder_bpe_bars = {
    .model = "gemma4",
    .name = "bpe",
    .default_bos_id = -1,
    .default_eos_id = -1,
    .default_unk_id = -1,
    .piece = nib_piece_from_bars,
    .create = lines_create,
    .free = lines_free,
    .encode = lines_encode,
};
