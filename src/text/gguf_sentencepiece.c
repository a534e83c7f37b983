/*
 * GGUF's tokenizer.ggml.model "llama", also Gemma's: SentencePiece's BPE on text whose blanks have
 * become "▁" (U+2581).
 */
#include "encoder.h"
#include "gguf.h"

#include <stdlib.h>

static enum nib_status sentencepiece_create(void **out, struct nib_encoder_traits *traits,
                                            const struct nib_vocabulary *vocabulary,
                                            const struct nib_gguf *gguf, struct nib_error *err)
{
    *out = NULL;
    if (vocabulary->score == NULL)
        return nib_fail(
            err, NIB_ERROR_FILE,
            "%s: tokenizer.ggml.scores is missing, which a tokenizer of the kind 'llama' "
            "needs; the file was converted wrongly, get it again",
            nib_gguf_path(gguf));
    struct nib_sentencepiece *sp;
    const enum nib_status status = nib_sentencepiece_create(&sp, vocabulary, err);
    if (status != NIB_OK)
        return status;
    *traits = (struct nib_encoder_traits){
        .pre_tokenizer = "", .adds_bos = true, .adds_space_prefix = true};
    (void)nib_gguf_bool(gguf, "tokenizer.ggml.add_space_prefix", &traits->adds_space_prefix);
    *out = sp;
    return NIB_OK;
}

static void sentencepiece_free(void *encoder)
{
    nib_sentencepiece_free(encoder);
}

static enum nib_status sentencepiece_encode(const void *encoder, struct nib_scratch *scratch,
                                            struct nib_str text, bool with_space_prefix,
                                            struct nib_error *err)
{
    if (!nib_bars_from_blanks(&scratch->text, text, with_space_prefix))
        return nib_encode_no_memory(text.len, err);
    return nib_sentencepiece_encode(encoder, scratch,
                                    (struct nib_str){scratch->text.data, scratch->text.n}, err);
}

const struct nib_encoder_kind nib_encoder_sentencepiece = {
    .model = "llama",
    .name = "sentencepiece",
    .default_bos_id = 1,
    .default_eos_id = 2,
    .default_unk_id = 0,
    .piece = nib_piece_from_bars,
    .create = sentencepiece_create,
    .free = sentencepiece_free,
    .encode = sentencepiece_encode,
};
