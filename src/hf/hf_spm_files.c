/*
 * SentencePiece models whose ids are not, or not all, those of the language model: what lies
 * between is in vocab.json, or a rule of the family.  The model is written anew, with the pieces
 * where the language model has them: those that only the target side has are known for decoding,
 * and not used in text.
 */
#include "hf_vocab_files.h"
#include "json_reader.h"
#include "os.h"
#include "scratch.h"
#include "sentencepiece_model.h"

#include <stdio.h>
#include <stdlib.h>

enum { PEGASUS_OFFSET = 103, MAX_EXTRA_IDS = 10000 };

struct maker {
    const struct nib_hf_vocab_source *source;
    struct nib_mapping file;
    struct nib_sp_model model; /* of the file */
    struct nib_sp_model made;
    size_t n_text; /* pieces of `made` from here on are special tokens */
    yyjson_doc *vocab;
    char (*names)[32]; /* of pieces that no file has */
};

/* ---- pieces by text -------------------------------------------------------------------------- */

struct by_text {
    struct nib_str text;
    size_t i;
};

static int compare(const void *a, const void *b)
{
    const struct nib_str x = ((const struct by_text *)a)->text,
                         y = ((const struct by_text *)b)->text;
    const int order = memcmp(x.data, y.data, x.len < y.len ? x.len : y.len);
    return order != 0 ? order : (x.len > y.len) - (x.len < y.len);
}

static struct by_text *sort_pieces(const struct nib_sp_model *m)
{
    struct by_text *all = malloc(m->n_pieces * sizeof(*all));
    for (size_t i = 0; all && i < m->n_pieces; i++)
        all[i] = (struct by_text){m->pieces[i], i};
    if (all)
        qsort(all, m->n_pieces, sizeof(*all), compare);
    return all;
}

static bool has_ends(struct nib_str text, const char *begin, const char *end)
{
    const size_t n = strlen(begin), n_end = strlen(end);
    return text.len > n + n_end && memcmp(text.data, begin, n) == 0 &&
           memcmp(text.data + text.len - n_end, end, n_end) == 0;
}

/* "</s>", ">>fra<<" and "__fr__" are no text. */
static bool is_control(struct nib_str text)
{
    static const char *const names[] = {"<s>", "</s>", "<pad>", "<mask>"};
    for (size_t i = 0; i < NIB_COUNT(names); i++)
        if (nib_str_equal(text, nib_str_from(names[i])))
            return true;
    return has_ends(text, ">>", "<<") || has_ends(text, "__", "__") ||
           has_ends(text, "<extra_id_", ">");
}

/* Scores and types of the made pieces, from the model's of the same text. */
static enum nib_status take_pieces(struct maker *m)
{
    struct by_text *all = sort_pieces(&m->model);
    if (!all)
        return nib_fail_memory(m->source->err, m->model.n_pieces * sizeof(*all), "a vocabulary");
    for (size_t i = 0; i < m->made.n_pieces; i++) {
        const struct by_text wanted = {m->made.pieces[i], 0};
        const struct by_text *found =
            bsearch(&wanted, all, m->model.n_pieces, sizeof(*all), compare);
        if (nib_str_equal(wanted.text, NIB_STR("<unk>"))) {
            m->made.types[i] = NIB_TOKEN_UNKNOWN;
        } else if (i >= m->n_text || is_control(wanted.text)) {
            m->made.types[i] = NIB_TOKEN_CONTROL;
        } else if (found && m->model.types[found->i] != NIB_TOKEN_UNKNOWN) {
            m->made.types[i] = m->model.types[found->i];
            m->made.scores[i] = m->model.scores[found->i];
        } else {
            m->made.types[i] = NIB_TOKEN_UNUSED;
        }
    }
    free(all);
    return NIB_OK;
}

/* ---- which piece has which id ---------------------------------------------------------------- */

static enum nib_status make_room(struct maker *m, size_t n)
{
    m->made = m->model;
    m->made.n_pieces = m->n_text = n;
    m->made.eos_piece = NIB_STR("</s>");
    m->made.pieces = calloc(n, sizeof(*m->made.pieces));
    m->made.scores = calloc(n, sizeof(*m->made.scores));
    m->made.types = calloc(n, sizeof(*m->made.types));
    return m->made.pieces && m->made.scores && m->made.types
               ? NIB_OK
               : nib_fail_memory(m->source->err, n * sizeof(*m->made.pieces), "a vocabulary");
}

/* Special tokens stand behind the n others, in the order of their list. */
static void append_special(struct maker *m, size_t n, yyjson_val *vocab, yyjson_val *list)
{
    size_t i, n_list;
    yyjson_val *value;
    m->n_text = n;
    yyjson_arr_foreach(list, i, n_list, value)
    {
        const struct nib_str name = nib_hf_token_name(value);
        if (name.len > 0 && !yyjson_obj_getn(vocab, name.data, name.len))
            m->made.pieces[n++] = name;
    }
    m->made.n_pieces = n;
}

static enum nib_status read_vocab(struct maker *m, const char *path)
{
    static const struct nib_json_limits limits = {256 << 20, 8 << 20, 4};
    struct nib_error *err = m->source->err;
    enum nib_status status = nib_json_open(&m->vocab, path, &limits, err);
    if (status != NIB_OK)
        return status;
    yyjson_val *vocab = yyjson_doc_get_root(m->vocab), *key, *value;
    yyjson_val *list = nib_hf_setting(m->source, "additional_special_tokens");
    const size_t n = yyjson_obj_size(vocab);
    size_t i, n_all;
    status = make_room(m, n + yyjson_arr_size(list) + 1);
    if (status != NIB_OK)
        return status;
    yyjson_obj_foreach(vocab, i, n_all, key, value)
    {
        const uint64_t id = yyjson_is_uint(value) ? yyjson_get_uint(value) : UINT64_MAX;
        if (id >= n || m->made.pieces[id].len > 0 || yyjson_get_len(key) == 0)
            return nib_fail(err, NIB_ERROR_FILE,
                            "%s: the ids must be 0 to %zu, each once, with a text each; get the "
                            "file again from its publisher",
                            path, n - 1);
        m->made.pieces[id] = (struct nib_str){yyjson_get_str(key), yyjson_get_len(key)};
    }
    append_special(m, n, vocab, list);
    return NIB_OK;
}

/* As fairseq has it for mBART and NLLB: <s> <pad> </s> <unk>, the model's pieces behind its first
 * three, languages, <mask>. */
static enum nib_status number_fairseq(struct maker *m, yyjson_val *languages)
{
    static const char *const first[] = {"<s>", "<pad>", "</s>", "<unk>"};
    const size_t n_pieces = m->model.n_pieces > 3 ? m->model.n_pieces - 3 : 0;
    const enum nib_status status =
        make_room(m, NIB_COUNT(first) + n_pieces + yyjson_arr_size(languages) + 1);
    if (status != NIB_OK)
        return status;
    for (size_t i = 0; i < NIB_COUNT(first); i++)
        m->made.pieces[i] = nib_str_from(first[i]);
    for (size_t i = 0; i < n_pieces; i++)
        m->made.pieces[NIB_COUNT(first) + i] = m->model.pieces[3 + i];
    append_special(m, NIB_COUNT(first) + n_pieces, NULL, languages);
    m->made.pieces[m->made.n_pieces++] = NIB_STR("<mask>");
    return NIB_OK;
}

/* <pad> </s> <mask_1> <mask_2> <unk_2> ... <unk_102>, and the model's from <unk>, its third, on. */
static enum nib_status number_pegasus(struct maker *m)
{
    const size_t n_first = PEGASUS_OFFSET + 2;
    if (m->model.n_pieces <= 2)
        return nib_fail(m->source->err, NIB_ERROR_FILE,
                        "%s/spiece.model: has %zu pieces, expected more than 2; get the file again "
                        "from its publisher",
                        m->source->folder, m->model.n_pieces);
    const enum nib_status status = make_room(m, m->model.n_pieces + PEGASUS_OFFSET);
    m->names = calloc(n_first, sizeof(*m->names));
    if (status != NIB_OK || !m->names)
        return nib_fail_memory(m->source->err, n_first * sizeof(*m->names), "a vocabulary");
    for (size_t i = 0; i < n_first; i++) {
        if (i < 2)
            snprintf(m->names[i], sizeof(*m->names), "%s", i == 0 ? "<pad>" : "</s>");
        else
            snprintf(m->names[i], sizeof(*m->names), i < 4 ? "<mask_%zu>" : "<unk_%zu>",
                     i < 4 ? i - 1 : i - 2);
        m->made.pieces[i] = nib_str_from(m->names[i]);
    }
    for (size_t i = 2; i < m->model.n_pieces; i++)
        m->made.pieces[i + PEGASUS_OFFSET] = m->model.pieces[i];
    return NIB_OK;
}

/* The model's, and behind them <extra_id_99> ... <extra_id_0>. */
static enum nib_status number_t5(struct maker *m)
{
    yyjson_val *extra = yyjson_obj_get(m->source->settings, "extra_ids");
    const bool is_t5 = strcmp(m->source->config->family->model_type, "t5") == 0;
    const uint64_t n_rows = yyjson_get_uint(nib_hf_find(m->source->config, "vocab_size"));
    uint64_t n_extra = is_t5 && n_rows >= m->model.n_pieces + 100 ? 100 : 0;
    if (yyjson_is_uint(extra))
        n_extra = yyjson_get_uint(extra);
    if (n_extra > MAX_EXTRA_IDS)
        return nib_fail(m->source->err, NIB_ERROR_FILE,
                        "%s/tokenizer_config.json: extra_ids is %llu, expected at most %d; get the "
                        "file again from its publisher",
                        m->source->folder, (unsigned long long)n_extra, MAX_EXTRA_IDS);
    const size_t n = (size_t)n_extra;
    enum nib_status status = make_room(m, m->model.n_pieces + n);
    m->names = calloc(n + 1, sizeof(*m->names));
    if (status != NIB_OK || !m->names)
        return nib_fail_memory(m->source->err, n * sizeof(*m->names), "a vocabulary");
    for (size_t i = 0; i < m->model.n_pieces; i++)
        m->made.pieces[i] = m->model.pieces[i];
    for (size_t i = 0; i < n; i++) {
        snprintf(m->names[i], sizeof(*m->names), "<extra_id_%zu>", n - 1 - i);
        m->made.pieces[m->model.n_pieces + i] = nib_str_from(m->names[i]);
    }
    return NIB_OK;
}

/* ---- all ------------------------------------------------------------------------------------- */

static enum nib_status put_model(struct maker *m)
{
    struct nib_gguf_image *image = m->source->image;
    struct nib_buffer out = {0};
    enum nib_status status = take_pieces(m);
    if (status == NIB_OK && !nib_sp_model_write(&out, &m->made))
        status = nib_fail_memory(m->source->err, m->file.n_bytes, "a vocabulary");
    if (status == NIB_OK) {
        nib_gguf_put_array(image, "nibble.tokenizer.model", NIB_GGUF_U8, out.data, out.n);
        nib_gguf_put_bool(image, "tokenizer.ggml.add_bos_token", false);
        nib_gguf_put_bool(image, "tokenizer.ggml.add_eos_token", true);
    }
    free(out.data);
    return status;
}

/* vocab_path: "", a rule of the family. */
static enum nib_status number_pieces(struct maker *m, const char *vocab_path)
{
    const char *arch = m->source->config->family->arch;
    if (*vocab_path)
        return read_vocab(m, vocab_path);
    if (strcmp(arch, "t5") == 0)
        return number_t5(m);
    if (strcmp(arch, "pegasus") == 0)
        return number_pegasus(m);
    return number_fairseq(m, nib_hf_setting(m->source, "additional_special_tokens"));
}

static enum nib_status make(struct maker *m, const char *path, const char *vocab_path)
{
    struct nib_error *err = m->source->err;
    enum nib_status status = nib_os_map(&m->file, path, err);
    if (status != NIB_OK)
        return status;
    status = nib_sp_model_read(
        &m->model, (struct nib_str){(const char *)m->file.data, m->file.n_bytes}, path, err);
    if (status == NIB_OK)
        status = number_pieces(m, vocab_path);
    if (status == NIB_OK)
        status = put_model(m);
    if (m->made.pieces != m->model.pieces)
        nib_sp_model_free(&m->made);
    nib_sp_model_free(&m->model);
    yyjson_doc_free(m->vocab);
    free(m->names);
    nib_os_unmap(&m->file);
    return status;
}

/* Is what numbers the pieces there?  *vocab is the path of vocab.json, or "". */
static bool find_numbers(const struct nib_hf_vocab_source *s, char vocab[NIB_HF_MAX_PATH])
{
    char other[NIB_HF_MAX_PATH];
    const char *arch = s->config->family->arch;
    const bool has_vocab = nib_hf_find_file(s->folder, "vocab.json", vocab);
    if (strcmp(arch, "marian") == 0) /* else ids mean one thing in sources, another in targets */
        return has_vocab && !nib_hf_find_file(s->folder, "target_vocab.json", other);
    if (strcmp(arch, "m2m_100") == 0 && has_vocab)
        return true;
    *vocab = '\0';
    return strcmp(arch, "t5") == 0 || strcmp(arch, "pegasus") == 0 ||
           yyjson_arr_size(nib_hf_setting(s, "additional_special_tokens")) > 0;
}

enum nib_status nib_hf_put_spm(const struct nib_hf_vocab_source *source)
{
    static const char *const names[] = {"source.spm", "sentencepiece.bpe.model", "spiece.model"};
    char path[NIB_HF_MAX_PATH] = "", vocab[NIB_HF_MAX_PATH];
    struct maker m = {.source = source};
    bool is_there = false;
    for (size_t i = 0; i < NIB_COUNT(names) && !is_there; i++)
        is_there = nib_hf_find_file(source->folder, names[i], path);
    return is_there && find_numbers(source, vocab) ? make(&m, path, vocab) : NIB_OK;
}
