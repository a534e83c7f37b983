/* GGUF's tokenizer.ggml.model "gpt2": byte-level BPE on the words of tokenizer.ggml.pre. */
#include "encoder.h"
#include "gguf.h"
#include "utf8.h"

#include <stdlib.h>

#define KEY_MERGES "tokenizer.ggml.merges"

struct words {
    struct nib_bpe *bpe;
    struct nib_pretokenizer *pretokenizer;
};

static void words_free(void *encoder)
{
    struct words *words = encoder;
    if (words == NULL)
        return;
    nib_pretokenizer_free(words->pretokenizer);
    nib_bpe_free(words->bpe);
    free(words);
}

/* "Ġt he": the blank that separates is the first one after the first byte. */
static void split_merge(struct nib_bpe_merge *merge, struct nib_str text)
{
    const char *blank = text.len < 3 ? NULL : memchr(text.data + 1, ' ', text.len - 1);
    const size_t n = blank == NULL ? text.len : (size_t)(blank - text.data);
    merge->left = (struct nib_str){text.data, n};
    merge->right = blank == NULL ? NIB_STR("") : (struct nib_str){blank + 1, text.len - n - 1};
}

enum nib_status nib_gguf_create_bpe(struct nib_bpe **out, const struct nib_vocabulary *vocabulary,
                                    const struct nib_bpe_options *options,
                                    const struct nib_gguf *gguf, struct nib_error *err)
{
    *out = NULL;
    size_t n;
    if (!nib_gguf_strings(gguf, KEY_MERGES, &n) || n > NIB_MAX_MERGES)
        return nib_fail(
            err, NIB_ERROR_FILE,
            "%s: %s is missing, too long, or not an array of strings; the file is damaged "
            "or was made by an old converter, convert it again",
            nib_gguf_path(gguf), KEY_MERGES);
    struct nib_str *texts = malloc(n * sizeof(*texts) + 1);
    struct nib_bpe_merge *merges = malloc(n * sizeof(*merges) + 1);
    enum nib_status status;
    if (texts == NULL || merges == NULL) {
        status = nib_fail_memory(err, n * (sizeof(*texts) + sizeof(*merges)),
                                 "the merges of the tokenizer");
    } else {
        nib_gguf_copy_strings(gguf, KEY_MERGES, texts);
        for (size_t i = 0; i < n; i++)
            split_merge(&merges[i], texts[i]);
        status = nib_bpe_create(out, vocabulary, options, merges, n, err);
    }
    free(texts);
    free(merges);
    return status;
}

static enum nib_status words_create(void **out, struct nib_encoder_traits *traits,
                                    const struct nib_vocabulary *vocabulary,
                                    const struct nib_gguf *gguf, struct nib_error *err)
{
    *out = NULL;
    struct words *words = calloc(1, sizeof(*words));
    if (words == NULL)
        return nib_fail_memory(err, sizeof(*words), "the tokenizer");
    struct nib_str name = NIB_STR("(none)");
    (void)nib_gguf_string(gguf, "tokenizer.ggml.pre", &name);
    enum nib_status status =
        nib_pretokenizer_create(&words->pretokenizer, name, nib_gguf_path(gguf), err);
    if (status == NIB_OK) {
        const struct nib_bpe_options options = {
            .path = nib_gguf_path(gguf),
            .is_byte_level = true,
            .takes_whole_words = nib_pretokenizer_traits(words->pretokenizer)->takes_whole_words,
            .unk_id = -1};
        status = nib_gguf_create_bpe(&words->bpe, vocabulary, &options, gguf, err);
    }
    if (status != NIB_OK) {
        words_free(words);
        return status;
    }
    const struct nib_pretokenizer_traits *pre = nib_pretokenizer_traits(words->pretokenizer);
    *traits = (struct nib_encoder_traits){
        .pre_tokenizer = pre->name, .adds_bos = pre->adds_bos, .cleans_spaces = pre->cleans_spaces};
    *out = words;
    return NIB_OK;
}

struct job {
    const struct nib_bpe *bpe;
    struct nib_scratch *scratch;
};

static enum nib_status encode_word(void *data, struct nib_str word, struct nib_error *err)
{
    const struct job *job = data;
    return nib_bpe_encode(job->bpe, job->scratch, word, err);
}

static enum nib_status words_encode(const void *encoder, struct nib_scratch *scratch,
                                    struct nib_str text, bool with_space_prefix,
                                    struct nib_error *err)
{
    (void)with_space_prefix; /* not a thing of this kind */
    const struct words *words = encoder;
    struct job job = {.bpe = words->bpe, .scratch = scratch};
    while (text.len > 0) {
        const struct nib_str valid = {text.data, nib_utf8_valid_prefix(text)};
        const struct nib_str rest = {text.data + valid.len, text.len - valid.len};
        const struct nib_str invalid = {rest.data, nib_utf8_invalid_prefix(rest)};
        enum nib_status status = nib_pretokenizer_split(words->pretokenizer, &scratch->split, valid,
                                                        encode_word, &job, err);
        if (status == NIB_OK)
            status = nib_bpe_encode_invalid(words->bpe, scratch, invalid, err);
        if (status != NIB_OK)
            return status;
        text = (struct nib_str){rest.data + invalid.len, rest.len - invalid.len};
    }
    return NIB_OK;
}

const struct nib_encoder_kind nib_encoder_bpe = {
    .model = "gpt2",
    .name = "bpe",
    .default_bos_id = -1,
    .default_eos_id = -1,
    .default_unk_id = -1,
    .piece = nib_piece_from_letters,
    .create = words_create,
    .free = words_free,
    .encode = words_encode,
};
