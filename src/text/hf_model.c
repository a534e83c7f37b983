/* Reading the model of a tokenizer.json, see hf_model.h. */
#include "hf_model.h"

#include "hf_json.h"

#include <math.h>
#include <stdlib.h>

enum kind { BPE, UNIGRAM, WORDPIECE, WORDLEVEL, KIND_COUNT };

static const struct {
    const char *type, *name;
} kinds[KIND_COUNT] = {
    {"BPE", "bpe"}, {"Unigram", "unigram"}, {"WordPiece", "wordpiece"}, {"WordLevel", "wordlevel"}};

/* Old files have no "type": the fields tell. */
static enum nib_status open_model(struct nib_hf_part *part, enum kind *kind, yyjson_val *json,
                                  const char *path, struct nib_error *err)
{
    *part = (struct nib_hf_part){.json = json, .path = path, .role = "model"};
    if (nib_hf_field(json, "type") == NULL && yyjson_is_obj(json)) {
        *kind = nib_hf_field(json, "merges") != NULL                     ? BPE
                : yyjson_is_arr(nib_hf_field(json, "vocab"))             ? UNIGRAM
                : nib_hf_field(json, "max_input_chars_per_word") != NULL ? WORDPIECE
                                                                         : WORDLEVEL;
        (void)strcpy(part->type, kinds[*kind].type);
        return NIB_OK;
    }
    const enum nib_status status = nib_hf_part_open(part, json, "model", path, err);
    if (status != NIB_OK)
        return status;
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (strcmp(part->type, kinds[i].type) == 0) {
            *kind = (enum kind)i;
            return NIB_OK;
        }
    return nib_hf_part_unknown(part, "BPE, Unigram, WordLevel, WordPiece", err);
}

/* ---- the vocabulary ------------------------------------------------------------------------- */

/* Both are to be freed even after a failure. */
struct token_arrays {
    struct nib_str *texts;
    float *scores;
    size_t n, n_known;
};

static enum nib_status too_many(const struct nib_hf_part *part, uint64_t n, struct nib_error *err)
{
    return nib_fail(err, NIB_ERROR_FILE,
                    "%s: the vocabulary has an id or a number of tokens of %llu, expected at most "
                    "%zu; the file is damaged, get it again",
                    part->path, (unsigned long long)n, NIB_MAX_TOKENS);
}

/* {"text": id, ...} */
static enum nib_status read_object(struct token_arrays *a, const struct nib_hf_part *part,
                                   yyjson_val *vocab, struct nib_error *err)
{
    size_t i, max;
    yyjson_val *key, *value;
    yyjson_obj_foreach(vocab, i, max, key, value)
    {
        if (!yyjson_is_uint(value))
            return nib_hf_part_wrong(part, "vocab", "an id from 0 on for every token", err);
        if (yyjson_get_uint(value) >= NIB_MAX_TOKENS)
            return too_many(part, yyjson_get_uint(value), err);
        if (yyjson_get_uint(value) >= a->n)
            a->n = (size_t)yyjson_get_uint(value) + 1;
    }
    a->texts = calloc(a->n + 1, sizeof(*a->texts));
    if (a->texts == NULL)
        return nib_fail_memory(err, a->n * sizeof(*a->texts), "the vocabulary");
    yyjson_obj_foreach(vocab, i, max, key, value)
    {
        struct nib_str *text = &a->texts[yyjson_get_uint(value)];
        if (text->data != NULL && !nib_str_equal(*text, nib_hf_string(key)))
            return nib_fail(err, NIB_ERROR_FILE,
                            "%s: two tokens of the vocabulary, '%.32s' and '%.32s', have the id "
                            "%llu, expected one; the file is damaged, get it again",
                            part->path, text->data, yyjson_get_str(key),
                            (unsigned long long)yyjson_get_uint(value));
        *text = nib_hf_string(key);
    }
    a->n_known = yyjson_obj_size(vocab);
    return NIB_OK;
}

/* [["text", score], ...] */
static enum nib_status read_array(struct token_arrays *a, const struct nib_hf_part *part,
                                  yyjson_val *vocab, struct nib_error *err)
{
    a->n = a->n_known = yyjson_arr_size(vocab);
    if (a->n > NIB_MAX_TOKENS)
        return too_many(part, a->n, err);
    a->texts = calloc(a->n + 1, sizeof(*a->texts));
    a->scores = calloc(a->n + 1, sizeof(*a->scores));
    if (a->texts == NULL || a->scores == NULL)
        return nib_fail_memory(err, a->n * (sizeof(*a->texts) + sizeof(*a->scores)),
                               "the vocabulary");
    size_t i, max;
    yyjson_val *entry;
    yyjson_arr_foreach(vocab, i, max, entry)
    {
        yyjson_val *text = yyjson_arr_get(entry, 0), *score = yyjson_arr_get(entry, 1);
        const double number = yyjson_get_num(score);
        if (yyjson_arr_size(entry) != 2 || !yyjson_is_str(text) || !yyjson_is_num(score) ||
            !(fabs(number) < 1e30))
            return nib_hf_part_wrong(part, "vocab", "an array of tokens with finite scores", err);
        a->texts[i] = nib_hf_string(text);
        a->scores[i] = (float)number;
    }
    return NIB_OK;
}

static enum nib_status read_unk(struct nib_hf_model *m, enum kind kind,
                                const struct nib_hf_part *part, struct nib_error *err)
{
    m->unk_id = -1;
    if (kind == UNIGRAM) {
        size_t id = SIZE_MAX;
        const enum nib_status status =
            nib_hf_part_number(part, "unk_id", NIB_HF_OPTIONAL, &id, err);
        if (status != NIB_OK || id == SIZE_MAX)
            return status;
        if (id >= m->vocabulary.n_tokens)
            return nib_hf_part_wrong(part, "unk_id", "an id of the vocabulary", err);
        m->unk_id = (int32_t)id;
        return NIB_OK;
    }
    struct nib_str unk = NIB_STR("");
    const enum nib_status status = nib_hf_part_string(
        part, "unk_token", kind == BPE ? NIB_HF_OPTIONAL : NIB_HF_REQUIRED, &unk, err);
    if (status == NIB_OK)
        m->unk_id = nib_vocabulary_find(&m->vocabulary, unk.data, unk.len);
    return status;
}

enum nib_status nib_hf_model_read(struct nib_hf_model *m, yyjson_val *json, const char *path,
                                  struct nib_error *err)
{
    *m = (struct nib_hf_model){.vocabulary = {.bos_id = -1, .eos_id = -1, .unk_id = -1}};
    struct nib_hf_part part;
    enum kind kind;
    enum nib_status status = open_model(&part, &kind, json, path, err);
    if (status != NIB_OK)
        return status;
    m->name = kinds[kind].name;
    struct token_arrays a = {0};
    yyjson_val *vocab = nib_hf_field(json, "vocab");
    if (kind == UNIGRAM ? !yyjson_is_arr(vocab) : !yyjson_is_obj(vocab))
        status = nib_hf_part_wrong(&part, "vocab", kind == UNIGRAM ? "an array" : "an object", err);
    else if (kind == UNIGRAM)
        status = read_array(&a, &part, vocab, err);
    else
        status = read_object(&a, &part, vocab, err);
    if (status == NIB_OK) {
        const struct nib_token_list list = {
            .path = path, .n_tokens = a.n, .texts = a.texts, .scores = a.scores};
        status = nib_vocabulary_create(&m->vocabulary, &list, err);
    }
    m->n_known = a.n_known;
    free(a.texts);
    free(a.scores);
    return status == NIB_OK ? read_unk(m, kind, &part, err) : status;
}

/* ---- what works on it ----------------------------------------------------------------------- */

/* "Ġt he", or ["Ġt", "he"]. */
static bool read_merge(yyjson_val *json, struct nib_bpe_merge *merge)
{
    if (yyjson_arr_size(json) == 2 && yyjson_is_str(yyjson_arr_get(json, 0)) &&
        yyjson_is_str(yyjson_arr_get(json, 1))) {
        merge->left = nib_hf_string(yyjson_arr_get(json, 0));
        merge->right = nib_hf_string(yyjson_arr_get(json, 1));
        return true;
    }
    const struct nib_str line = nib_hf_string(json);
    const char *blank = line.len == 0 ? NULL : memchr(line.data, ' ', line.len);
    if (blank == NULL)
        return false;
    const size_t n = (size_t)(blank - line.data);
    merge->left = (struct nib_str){line.data, n};
    merge->right = (struct nib_str){blank + 1, line.len - n - 1};
    return memchr(blank + 1, ' ', line.len - n - 1) == NULL;
}

static enum nib_status read_merges(struct nib_bpe_merge **out, size_t *n,
                                   const struct nib_hf_part *part, struct nib_error *err)
{
    yyjson_val *merges = nib_hf_field(part->json, "merges"), *merge;
    if (!yyjson_is_arr(merges))
        return nib_hf_part_wrong(part, "merges", "an array", err);
    *out = malloc((yyjson_arr_size(merges) + 1) * sizeof(**out));
    if (*out == NULL)
        return nib_fail_memory(err, yyjson_arr_size(merges) * sizeof(**out), "the merges");
    const bool has_arrays = yyjson_is_arr(yyjson_arr_get_first(merges));
    size_t i, max;
    yyjson_arr_foreach(merges, i, max, merge)
    {
        if (yyjson_is_str(merge) && yyjson_get_len(merge) >= 8 &&
            memcmp(yyjson_get_str(merge), "#version", 8) == 0)
            continue;
        if (yyjson_is_arr(merge) != has_arrays || !read_merge(merge, &(*out)[*n]))
            return nib_fail(err, NIB_ERROR_FILE,
                            "%s: merge %zu of the model BPE is not two tokens, expected [\"a\", "
                            "\"b\"] in all of them, or \"a b\" in all; the file is damaged, get it "
                            "again",
                            part->path, i);
        ++*n;
    }
    return NIB_OK;
}

static enum nib_status create_bpe(struct nib_hf_model *m, const struct nib_hf_part *part,
                                  struct nib_error *err)
{
    struct nib_bpe_options options = {.path = part->path, .unk_id = m->unk_id};
    enum nib_status status = nib_hf_part_string(part, "continuing_subword_prefix", NIB_HF_OPTIONAL,
                                                &options.continuing_prefix, err);
    if (status == NIB_OK)
        status = nib_hf_part_string(part, "end_of_word_suffix", NIB_HF_OPTIONAL,
                                    &options.end_suffix, err);
    if (status == NIB_OK)
        status = nib_hf_part_bool(part, "fuse_unk", NIB_HF_OPTIONAL, &options.fuses_unknown, err);
    if (status == NIB_OK)
        status = nib_hf_part_bool(part, "byte_fallback", NIB_HF_OPTIONAL,
                                  &options.falls_back_to_bytes, err);
    if (status == NIB_OK)
        status = nib_hf_part_bool(part, "ignore_merges", NIB_HF_OPTIONAL,
                                  &options.takes_whole_words, err);
    struct nib_bpe_merge *merges = NULL;
    size_t n = 0;
    if (status == NIB_OK)
        status = read_merges(&merges, &n, part, err);
    if (status == NIB_OK)
        status = nib_bpe_create(&m->bpe, &m->vocabulary, &options, merges, n, err);
    free(merges);
    return status;
}

static enum nib_status create_wordpiece(struct nib_hf_model *m, const struct nib_hf_part *part,
                                        struct nib_error *err)
{
    struct nib_wordpiece_options options = {.path = part->path, .unk_id = m->unk_id};
    enum nib_status status = nib_hf_part_string(part, "continuing_subword_prefix", NIB_HF_REQUIRED,
                                                &options.continuing_prefix, err);
    if (status == NIB_OK)
        status = nib_hf_part_number(part, "max_input_chars_per_word", NIB_HF_REQUIRED,
                                    &options.max_characters, err);
    return status == NIB_OK ? nib_wordpiece_create(&m->wordpiece, &m->vocabulary, &options, err)
                            : status;
}

enum nib_status nib_hf_model_create(struct nib_hf_model *m, yyjson_val *json, const char *path,
                                    struct nib_error *err)
{
    struct nib_hf_part part;
    enum kind kind;
    enum nib_status status = open_model(&part, &kind, json, path, err);
    if (status != NIB_OK || kind == WORDLEVEL)
        return status;
    if (kind == BPE)
        return create_bpe(m, &part, err);
    if (kind == WORDPIECE)
        return create_wordpiece(m, &part, err);
    struct nib_unigram_options options = {.path = path, .unk_id = m->unk_id};
    status = nib_hf_part_bool(&part, "byte_fallback", NIB_HF_OPTIONAL, &options.falls_back_to_bytes,
                              err);
    return status == NIB_OK ? nib_unigram_create(&m->unigram, &m->vocabulary, &options, err)
                            : status;
}

void nib_hf_model_free(struct nib_hf_model *m)
{
    nib_bpe_free(m->bpe);
    nib_unigram_free(m->unigram);
    nib_wordpiece_free(m->wordpiece);
    nib_vocabulary_free(&m->vocabulary);
}

/* ---- encoding ------------------------------------------------------------------------------- */

static enum nib_status encode_whole_word(const struct nib_hf_model *m, struct nib_scratch *scratch,
                                         struct nib_str word, struct nib_error *err)
{
    int32_t id = nib_vocabulary_find(&m->vocabulary, word.data, word.len);
    if (id < 0 || !nib_token_comes_of_text(&m->vocabulary, id))
        id = m->unk_id;
    if (id < 0)
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "the word '%.*s' is not in the vocabulary, which has no token for unknown "
                        "ones; use other words",
                        (int)(word.len < 64 ? word.len : 64), word.data);
    return nib_ids_push(&scratch->ids, id) ? NIB_OK : nib_encode_no_memory(word.len, err);
}

enum nib_status nib_hf_model_encode(const struct nib_hf_model *m, struct nib_scratch *scratch,
                                    struct nib_str word, struct nib_error *err)
{
    if (m->bpe != NULL)
        return nib_bpe_encode(m->bpe, scratch, word, err);
    if (m->unigram != NULL)
        return nib_unigram_encode(m->unigram, scratch, word, err);
    if (m->wordpiece != NULL)
        return nib_wordpiece_encode(m->wordpiece, scratch, word, err);
    return encode_whole_word(m, scratch, word, err);
}
