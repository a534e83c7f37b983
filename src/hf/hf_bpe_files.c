/*
 * vocab.json and merges.txt of byte-level BPE, as GPT-2, OPT, BART, GPT-J and Qwen2 have them, as
 * the tokenizer.json that transformers makes of them.
 */
#include "hf_vocab_files.h"
#include "json_reader.h"
#include "os.h"

#include <stdlib.h>

enum { MAX_MERGES = 4 << 20 };

/* The pattern of Qwen2; the others' is ByteLevel's own. */
static const char qwen2_pattern[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
                                    "\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
                                    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

enum template { NO_TEMPLATE, BEGIN, BEGIN_AND_END }; /* what stands around a text */

/* Tokenizer classes by their names without "Fast"; model_type where no class is named. */
static const struct kind {
    const char *class, *model_type;
    const char *bos, *eos; /* where no file names them */
    enum template template;
    bool is_qwen2;
} kinds[] = {
    {"GPT2Tokenizer", "gpt2", "<|endoftext|>", "<|endoftext|>", NO_TEMPLATE, false},
    {"GPT2Tokenizer", "opt", "</s>", "</s>", BEGIN, false},
    {"GPT2Tokenizer", "gptj", "<|endoftext|>", "<|endoftext|>", NO_TEMPLATE, false},
    {"CodeGenTokenizer", "phi", "<|endoftext|>", "<|endoftext|>", NO_TEMPLATE, false},
    {"BartTokenizer", "bart", "<s>", "</s>", BEGIN_AND_END, false},
    {"RobertaTokenizer", "roberta", "<s>", "</s>", BEGIN_AND_END, false},
    {"Qwen2Tokenizer", "qwen2", NULL, "<|endoftext|>", NO_TEMPLATE, true},
};

struct maker {
    const struct nib_hf_vocab_source *source;
    const struct kind *kind;
    yyjson_mut_doc *doc;
    yyjson_mut_val *vocab;
    yyjson_mut_val *added; /* added_tokens */
    struct nib_mapping merges;
};

/* ---- which kind ------------------------------------------------------------------------------ */

static const struct kind *find_kind(const struct nib_hf_vocab_source *s)
{
    const char *class = yyjson_get_str(yyjson_obj_get(s->settings, "tokenizer_class"));
    const char *type = s->config->family->model_type;
    const struct kind *found = NULL;
    for (size_t i = 0; i < NIB_COUNT(kinds); i++) {
        const size_t n = strlen(kinds[i].class);
        const bool is_type = strcmp(type, kinds[i].model_type) == 0;
        if (class ? strncmp(class, kinds[i].class, n) == 0 &&
                        (class[n] == '\0' || strcmp(class + n, "Fast") == 0)
                  : is_type)
            found = found && !is_type ? found : &kinds[i];
    }
    return found;
}

static enum nib_status fail_kind(const struct nib_hf_vocab_source *s)
{
    const char *class = yyjson_get_str(yyjson_obj_get(s->settings, "tokenizer_class"));
    return nib_fail(s->err, NIB_ERROR_FILE,
                    "%s: vocab.json and merges.txt are of a tokenizer that is not known (%.64s); "
                    "put its tokenizer.json beside them (save_pretrained of transformers makes it)",
                    s->folder, class ? class : "tokenizer_config.json does not name its class");
}

/* ---- tokens ---------------------------------------------------------------------------------- */

static int64_t find_id(const struct maker *m, struct nib_str name)
{
    yyjson_mut_val *id = yyjson_mut_obj_getn(m->vocab, name.data, name.len);
    return yyjson_mut_is_int(id) ? yyjson_mut_get_sint(id) : -1;
}

static struct nib_str role_name(const struct maker *m, const char *role, const char *absent)
{
    const struct nib_str name = nib_hf_token_name(nib_hf_setting(m->source, role));
    return name.data || !absent ? name : nib_str_from(absent);
}

static void add_token(struct maker *m, struct nib_str name, int64_t id, bool is_mask)
{
    yyjson_mut_val *token = yyjson_mut_arr_add_obj(m->doc, m->added);
    yyjson_mut_obj_add_int(m->doc, token, "id", id);
    yyjson_mut_obj_add_strncpy(m->doc, token, "content", name.data, name.len);
    yyjson_mut_obj_add_bool(m->doc, token, "single_word", false);
    yyjson_mut_obj_add_bool(m->doc, token, "lstrip", is_mask);
    yyjson_mut_obj_add_bool(m->doc, token, "rstrip", false);
    yyjson_mut_obj_add_bool(m->doc, token, "normalized", false);
    yyjson_mut_obj_add_bool(m->doc, token, "special", true);
}

/* Those with a role, behind the vocabulary where they are not in it; tokens that
 * tokenizer_config.json adds are read from there. */
static void add_tokens(struct maker *m)
{
    static const char *const roles[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
    const bool is_bart = m->kind->template == BEGIN_AND_END;
    for (size_t i = 0; i < NIB_COUNT(roles); i++) {
        const char *const of_bart[] = {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"};
        const char *absent = is_bart ? of_bart[i] : i == 0 ? m->kind->bos : m->kind->eos;
        const struct nib_str name = role_name(m, roles[i], i < 2 || is_bart ? absent : NULL);
        int64_t id = name.data ? find_id(m, name) : -1;
        if (id < 0 && name.len > 0 && i < 2) {
            id = (int64_t)yyjson_mut_obj_size(m->vocab);
            yyjson_mut_obj_add(m->vocab, yyjson_mut_strncpy(m->doc, name.data, name.len),
                               yyjson_mut_sint(m->doc, id));
        }
        bool is_there = false;
        size_t k, n;
        yyjson_mut_val *token;
        yyjson_mut_arr_foreach(m->added, k, n, token)
        {
            is_there |= yyjson_mut_get_int(yyjson_mut_obj_get(token, "id")) == id;
        }
        if (id >= 0 && !is_there)
            add_token(m, name, id, is_bart && i == 6);
    }
}

/* ---- the parts ------------------------------------------------------------------------------- */

static yyjson_mut_val *byte_level(struct maker *m, bool adds_space, bool uses_regex)
{
    yyjson_mut_val *part = yyjson_mut_obj(m->doc);
    yyjson_mut_obj_add_str(m->doc, part, "type", "ByteLevel");
    yyjson_mut_obj_add_bool(m->doc, part, "add_prefix_space", adds_space);
    yyjson_mut_obj_add_bool(m->doc, part, "trim_offsets", false);
    yyjson_mut_obj_add_bool(m->doc, part, "use_regex", uses_regex);
    return part;
}

static yyjson_mut_val *make_pretokenizer(struct maker *m)
{
    const bool adds_space = yyjson_is_true(yyjson_obj_get(m->source->settings, "add_prefix_space"));
    if (!m->kind->is_qwen2)
        return byte_level(m, adds_space, true);
    yyjson_mut_val *all = yyjson_mut_obj(m->doc), *split = yyjson_mut_obj(m->doc);
    yyjson_mut_obj_add_str(m->doc, all, "type", "Sequence");
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(m->doc, all, "pretokenizers");
    yyjson_mut_obj_add_str(m->doc, split, "type", "Split");
    yyjson_mut_val *pattern = yyjson_mut_obj_add_obj(m->doc, split, "pattern");
    yyjson_mut_obj_add_str(m->doc, pattern, "Regex", qwen2_pattern);
    yyjson_mut_obj_add_str(m->doc, split, "behavior", "Isolated");
    yyjson_mut_obj_add_bool(m->doc, split, "invert", false);
    yyjson_mut_arr_append(list, split);
    yyjson_mut_arr_append(list, byte_level(m, adds_space, false));
    return all;
}

static void add_special_part(struct maker *m, yyjson_mut_val *single, yyjson_mut_val *tokens,
                             struct nib_str name)
{
    yyjson_mut_val *part = yyjson_mut_arr_add_obj(m->doc, single);
    yyjson_mut_val *special = yyjson_mut_obj_add_obj(m->doc, part, "SpecialToken");
    yyjson_mut_obj_add_strncpy(m->doc, special, "id", name.data, name.len);
    yyjson_mut_obj_add_int(m->doc, special, "type_id", 0);
    yyjson_mut_val *key = yyjson_mut_strncpy(m->doc, name.data, name.len);
    yyjson_mut_val *token = yyjson_mut_obj(m->doc);
    yyjson_mut_obj_add(tokens, key, token);
    yyjson_mut_obj_add_strncpy(m->doc, token, "id", name.data, name.len);
    yyjson_mut_arr_add_int(m->doc, yyjson_mut_obj_add_arr(m->doc, token, "ids"), find_id(m, name));
    yyjson_mut_arr_add_strncpy(m->doc, yyjson_mut_obj_add_arr(m->doc, token, "tokens"), name.data,
                               name.len);
}

/* NULL: nothing stands around a text. */
static yyjson_mut_val *make_template(struct maker *m)
{
    const bool is_bart = m->kind->template == BEGIN_AND_END;
    const struct nib_str begin = role_name(m, is_bart ? "cls_token" : "bos_token", m->kind->bos);
    const struct nib_str end = role_name(m, is_bart ? "sep_token" : "eos_token", m->kind->eos);
    yyjson_val *adds = yyjson_obj_get(m->source->settings, "add_bos_token");
    const bool has_begin =
        begin.data && find_id(m, begin) >= 0 &&
        (yyjson_is_bool(adds) ? yyjson_get_bool(adds) : m->kind->template != NO_TEMPLATE);
    const bool has_end = is_bart && end.data && find_id(m, end) >= 0;
    if (!has_begin && !has_end)
        return NULL;
    yyjson_mut_val *all = yyjson_mut_obj(m->doc), *tokens = yyjson_mut_obj(m->doc);
    yyjson_mut_obj_add_str(m->doc, all, "type", "TemplateProcessing");
    yyjson_mut_val *single = yyjson_mut_obj_add_arr(m->doc, all, "single");
    if (has_begin)
        add_special_part(m, single, tokens, begin);
    yyjson_mut_val *text =
        yyjson_mut_obj_add_obj(m->doc, yyjson_mut_arr_add_obj(m->doc, single), "Sequence");
    yyjson_mut_obj_add_str(m->doc, text, "id", "A");
    yyjson_mut_obj_add_int(m->doc, text, "type_id", 0);
    if (has_end && !(has_begin && nib_str_equal(begin, end)))
        add_special_part(m, single, tokens, end);
    yyjson_mut_obj_add_arr(m->doc, all, "pair");
    yyjson_mut_obj_add_val(m->doc, all, "special_tokens", tokens);
    return all;
}

/* Lines "a b", behind a first one that may say which version it is. */
static enum nib_status add_merges(struct maker *m, yyjson_mut_val *list)
{
    const char *at = (const char *)m->merges.data, *end = at + m->merges.n_bytes;
    size_t n = 0;
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((line_end ? line_end : end) - at);
        const bool is_comment = n == 0 && len >= 8 && memcmp(at, "#version", 8) == 0;
        const char *line = at;
        at += len + (line_end != NULL);
        while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == ' '))
            len--;
        if (len == 0 || is_comment)
            continue;
        if (++n > MAX_MERGES || !yyjson_mut_arr_add_strncpy(m->doc, list, line, len))
            return nib_fail(m->source->err, NIB_ERROR_FILE,
                            "%s/merges.txt: has more than %d merges, or more than memory; get the "
                            "file again from its publisher",
                            m->source->folder, MAX_MERGES);
    }
    return NIB_OK;
}

static enum nib_status make_json(struct maker *m)
{
    yyjson_mut_doc *d = m->doc;
    yyjson_mut_val *root = yyjson_mut_obj(d), *model = yyjson_mut_obj(d);
    yyjson_mut_doc_set_root(d, root);
    yyjson_mut_obj_add_str(d, root, "version", "1.0");
    m->added = yyjson_mut_obj_add_arr(d, root, "added_tokens");
    add_tokens(m);
    if (m->kind->is_qwen2)
        yyjson_mut_obj_add_str(d, yyjson_mut_obj_add_obj(d, root, "normalizer"), "type", "NFC");
    yyjson_mut_obj_add_val(d, root, "pre_tokenizer", make_pretokenizer(m));
    yyjson_mut_val *template = make_template(m);
    if (template)
        yyjson_mut_obj_add_val(d, root, "post_processor", template);
    yyjson_mut_obj_add_val(d, root, "decoder", byte_level(m, false, true));
    yyjson_mut_obj_add_val(d, root, "model", model);
    yyjson_mut_obj_add_str(d, model, "type", "BPE");
    yyjson_mut_obj_add_val(d, model, "vocab", m->vocab);
    const enum nib_status status = add_merges(m, yyjson_mut_obj_add_arr(d, model, "merges"));
    if (status != NIB_OK)
        return status;
    struct nib_str text = {0};
    char *json = yyjson_mut_write(d, YYJSON_WRITE_ALLOW_INVALID_UNICODE, &text.len);
    if (!json)
        return nib_fail_memory(m->source->err, m->merges.n_bytes, "a tokenizer");
    text.data = json;
    nib_gguf_put_string(m->source->image, "tokenizer.huggingface.json", text);
    free(json);
    return NIB_OK;
}

enum nib_status nib_hf_put_bpe(const struct nib_hf_vocab_source *source)
{
    static const struct nib_json_limits limits = {256 << 20, 8 << 20, 4};
    char vocab[NIB_HF_MAX_PATH], merges[NIB_HF_MAX_PATH];
    struct maker m = {.source = source, .kind = find_kind(source)};
    if (!nib_hf_find_file(source->folder, "vocab.json", vocab) ||
        !nib_hf_find_file(source->folder, "merges.txt", merges))
        return NIB_OK;
    if (!m.kind)
        return fail_kind(source);
    yyjson_doc *doc = NULL;
    enum nib_status status = nib_json_open(&doc, vocab, &limits, source->err);
    if (status == NIB_OK)
        status = nib_os_map(&m.merges, merges, source->err);
    if (status != NIB_OK) {
        yyjson_doc_free(doc);
        return status;
    }
    m.doc = yyjson_mut_doc_new(NULL);
    m.vocab = m.doc ? yyjson_val_mut_copy(m.doc, yyjson_doc_get_root(doc)) : NULL;
    status =
        m.vocab ? make_json(&m) : nib_fail_memory(source->err, m.merges.n_bytes, "a tokenizer");
    yyjson_mut_doc_free(m.doc);
    yyjson_doc_free(doc);
    nib_os_unmap(&m.merges);
    return status;
}
