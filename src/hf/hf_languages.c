/*
 * Where models of many languages have the tokens of these, by the class of their tokenizer:
 *
 *     nibble.languages.source   "prefix": SOURCE text </s>, "suffix": text </s> SOURCE; absent:
 * none nibble.languages.target   "forced_bos": the first id behind the decoder's start,
 *                               "decoder_start": the decoder's start itself,
 *                               "source_prefix": TARGET text </s>, in the source
 *     nibble.languages.format   the token of a language: "%s", "__%s__", ">>%s<<"
 */
#include "hf_languages.h"

#include <string.h>

struct kind {
    const char *class; /* without "Fast" */
    const char *source, *target, *format;
};

static const struct kind kinds[] = {
    {"MBart50Tokenizer", "prefix", "forced_bos", "%s"},
    {"MBartTokenizer", "suffix", "decoder_start", "%s"},
    {"M2M100Tokenizer", "prefix", "forced_bos", "__%s__"},
    {"NllbTokenizer", "prefix", "forced_bos", "%s"},
};
static const struct kind old_nllb = {"NllbTokenizer", "suffix", "forced_bos", "%s"};
static const struct kind marian = {"MarianTokenizer", NULL, "source_prefix", ">>%s<<"};

static bool is_class(const char *name, const char *class)
{
    const size_t n = strlen(class);
    return strncmp(name, class, n) == 0 && (name[n] == '\0' || strcmp(name + n, "Fast") == 0);
}

/* Where tokenizer_config.json does not name its class: mBART-50 has two more rows per language that
 * it added, M2M-100 has a vocab.json. */
static const char *guess_class(const struct nib_hf_vocab_source *s)
{
    enum { N_VOCAB_MBART = 250027 };
    char path[NIB_HF_MAX_PATH];
    const char *type = s->config->family->model_type;
    if (strcmp(type, "mbart") == 0) {
        yyjson_val *n = nib_hf_find(s->config, "vocab_size");
        return yyjson_get_uint(n) > N_VOCAB_MBART ? "MBart50Tokenizer" : "MBartTokenizer";
    }
    if (strcmp(type, "m2m_100") == 0)
        return nib_hf_find_file(s->folder, "vocab.json", path) ? "M2M100Tokenizer"
                                                               : "NllbTokenizer";
    return type;
}

static const struct kind *find_kind(const struct nib_hf_vocab_source *s)
{
    const char *class = yyjson_get_str(yyjson_obj_get(s->settings, "tokenizer_class"));
    const char *type = s->config->family->model_type;
    if (strcmp(type, "marian") == 0)
        return &marian;
    if (strcmp(type, "mbart") != 0 && strcmp(type, "m2m_100") != 0)
        return NULL;
    bool is_known = false;
    for (size_t i = 0; class && i < NIB_COUNT(kinds); i++)
        is_known |= is_class(class, kinds[i].class);
    if (!is_known)
        class = guess_class(s);
    for (size_t i = 0; i < NIB_COUNT(kinds); i++)
        if (is_class(class, kinds[i].class))
            return i == 3 && yyjson_is_true(yyjson_obj_get(s->settings, "legacy_behaviour"))
                       ? &old_nllb
                       : &kinds[i];
    return NULL;
}

void nib_hf_put_languages(const struct nib_hf_vocab_source *source)
{
    const struct kind *kind = find_kind(source);
    if (!kind)
        return;
    if (kind->source)
        nib_gguf_put_string(source->image, "nibble.languages.source", nib_str_from(kind->source));
    nib_gguf_put_string(source->image, "nibble.languages.target", nib_str_from(kind->target));
    nib_gguf_put_string(source->image, "nibble.languages.format", nib_str_from(kind->format));
}
