/*
 * What tokens are for: begin and end of text, end of an answer, white space around them.  Much of
 * this is not in the files but known by the names of tokens; the lists follow llama.cpp, whose
 * files we read.
 */
#include "vocabulary.h"

#include "gguf.h"

#include <stdlib.h>

/* Tokens that end an answer.  Control tokens, whatever type the file gives them. */
static const char *const end_names[] = {
    "<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>",
    "<|calls|>", "<end_of_turn>", "<|endoftext|>", "</s>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]",
    "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>",
    "<｜end▁of▁sentence｜>", "[e~[",
    /* fill-in-the-middle: padding, next repository, next file */
    "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]", "<|fim_repo|>", "<|repo_name|>",
    "<fim-repo>", "<REPO>", "<reponame>", "<|file_sep|>"};

/* Control tokens, whatever type the file gives them, that do not end anything. */
static const char *const control_names[] = {
    "<|fim_prefix|>", "<fim-prefix>",    "<fim_prefix>",    "<｜fim▁begin｜>", "<PRE>",
    "▁<PRE>",         "<|code_prefix|>", "<|prefix|>",      "<|fim_suffix|>",  "<fim-suffix>",
    "<fim_suffix>",   "<｜fim▁hole｜>",  "<SUF>",           "▁<SUF>",          "<|code_suffix|>",
    "<|suffix|>",     "<|fim_middle|>",  "<fim-middle>",    "<fim_middle>",    "<｜fim▁end｜>",
    "<MID>",          "▁<MID>",          "<|code_middle|>", "<|middle|>"};

/* Names from the lists above that mean something else where other tokens are there too. */
static const struct {
    const char *name;
    const char *others[2];
    enum nib_token_type type;
} exceptions[] = {
    {"<|end|>", {"<|return|>", "<|call|>"}, NIB_TOKEN_USER_DEFINED}, /* ends one channel only */
    {"<|end|>", {"<|flush|>", "<|calls|>"}, NIB_TOKEN_USER_DEFINED},
    {"</s>", {"<|tool_response>", "<|tool_response>"}, NIB_TOKEN_NORMAL}, /* HTML */
    {"</s>", {"<|plamo:eos|>", "<|plamo:eos|>"}, NIB_TOKEN_NORMAL},
};

/* The ids that a file may name; `end`: the token ends an answer. */
static const struct {
    const char *key;
    size_t offset; /* of the field in struct nib_vocabulary; 0: none */
    bool is_end;
    bool is_of_bert; /* only where tokenizer.ggml.model is "bert" */
} id_keys[] = {
    {"tokenizer.ggml.cls_token_id", offsetof(struct nib_vocabulary, bos_id), false, true},
    /* spelled so */
    {"tokenizer.ggml.seperator_token_id", offsetof(struct nib_vocabulary, eos_id), false, true},
    {"tokenizer.ggml.bos_token_id", offsetof(struct nib_vocabulary, bos_id), false, false},
    {"tokenizer.ggml.eos_token_id", offsetof(struct nib_vocabulary, eos_id), true, false},
    {"tokenizer.ggml.unknown_token_id", offsetof(struct nib_vocabulary, unk_id), false, false},
    {"tokenizer.ggml.eot_token_id", 0, true, false},
    {"tokenizer.ggml.eom_token_id", 0, true, false},
    {"tokenizer.ggml.seperator_token_id", 0, false, false},
    {"tokenizer.ggml.padding_token_id", 0, false, false},
    {"tokenizer.ggml.mask_token_id", 0, false, false},
    {"tokenizer.ggml.fim_pad_token_id", 0, true, false},
    {"tokenizer.ggml.fim_rep_token_id", 0, true, false},
    {"tokenizer.ggml.fim_sep_token_id", 0, true, false},
};

static int32_t find_name(const struct nib_vocabulary *v, const char *name)
{
    return nib_vocabulary_find(v, name, strlen(name));
}

static enum nib_status read_ids(struct nib_vocabulary *v, const struct nib_gguf *gguf,
                                struct nib_error *err)
{
    const int64_t n = (int64_t)v->n_tokens;
    struct nib_str model = NIB_STR("");
    (void)nib_gguf_string(gguf, "tokenizer.ggml.model", &model);
    for (size_t i = 0; i < NIB_COUNT(id_keys); i++) {
        const char *key = id_keys[i].key;
        int32_t *field =
            id_keys[i].offset == 0 ? NULL : (int32_t *)(void *)((char *)v + id_keys[i].offset);
        int64_t id = -1;
        if (id_keys[i].is_of_bert && !nib_str_equal(model, NIB_STR("bert")))
            continue;
        if (nib_gguf_has(gguf, key)) {
            if (!nib_gguf_int(gguf, key, &id) || id < 0 || id >= n)
                return nib_fail(err, NIB_ERROR_FILE,
                                "%s: %s is no id of the vocabulary, expected 0 .. %zu; the file is "
                                "damaged or was converted wrongly, get it again",
                                nib_gguf_path(gguf), key, v->n_tokens - 1);
            if (field != NULL)
                *field = (int32_t)id;
        } else if (field != NULL) {
            if (*field >= n)
                *field = -1;
            id = *field;
        }
        if (id >= 0 && id_keys[i].is_end)
            v->flags[id] |= NIB_TOKEN_IS_END;
    }
    return NIB_OK;
}

static void apply_names(struct nib_vocabulary *v)
{
    for (size_t i = 0; i < NIB_COUNT(end_names) + NIB_COUNT(control_names); i++) {
        const bool is_end = i < NIB_COUNT(end_names);
        const int32_t id =
            find_name(v, is_end ? end_names[i] : control_names[i - NIB_COUNT(end_names)]);
        if (id < 0)
            continue;
        v->type[id] = NIB_TOKEN_CONTROL;
        if (is_end)
            v->flags[id] |= NIB_TOKEN_IS_END;
    }
    for (size_t i = 0; i < NIB_COUNT(exceptions); i++) {
        const int32_t id = find_name(v, exceptions[i].name);
        if (id < 0 || find_name(v, exceptions[i].others[0]) < 0 ||
            find_name(v, exceptions[i].others[1]) < 0)
            continue;
        v->type[id] = (uint8_t)exceptions[i].type;
        v->flags[id] &= (uint8_t)~NIB_TOKEN_IS_END;
    }
}

bool nib_name_ends_answer(struct nib_str name, nib_has_name_fn *has, const void *data)
{
    bool is_end = false;
    for (size_t i = 0; i < NIB_COUNT(end_names); i++)
        is_end = is_end || nib_str_equal(name, nib_str_from(end_names[i]));
    for (size_t i = 0; i < NIB_COUNT(exceptions) && is_end; i++)
        if (nib_str_equal(name, nib_str_from(exceptions[i].name)) &&
            has(data, nib_str_from(exceptions[i].others[0])) &&
            has(data, nib_str_from(exceptions[i].others[1])))
            is_end = false;
    return is_end;
}

/* Does the string value of `key` hold `word`, upper and lower case alike? */
static bool value_holds(const struct nib_gguf *gguf, const char *key, const char *word)
{
    struct nib_str value;
    if (!nib_gguf_string(gguf, key, &value))
        return false;
    const size_t n = strlen(word);
    for (size_t i = 0; i + n <= value.len; i++) {
        size_t j = 0;
        while (j < n && (value.data[i + j] == word[j] ||
                         (word[j] >= 'a' && word[j] <= 'z' && value.data[i + j] == word[j] - 32)))
            j++;
        if (j == n)
            return true;
    }
    return false;
}

/* GGUF has no key for it; in Phi 3 every special token but three swallows what blanks follow. */
static void assign_stripping(struct nib_vocabulary *v, const struct nib_gguf *gguf)
{
    if (!value_holds(gguf, "general.name", "phi-3") && !value_holds(gguf, "general.name", "phi3"))
        return;
    for (size_t i = 0; i < v->n_tokens; i++)
        if (nib_token_is_special(v, (int32_t)i))
            v->flags[i] |= NIB_TOKEN_RSTRIP;
    static const char *const plain[] = {"<unk>", "<s>", "<|endoftext|>"};
    for (size_t i = 0; i < NIB_COUNT(plain); i++) {
        const int32_t id = find_name(v, plain[i]);
        if (id >= 0)
            v->flags[id] &= (uint8_t)~NIB_TOKEN_RSTRIP;
    }
}

enum nib_status nib_vocabulary_assign_roles(struct nib_vocabulary *v, const struct nib_gguf *gguf,
                                            struct nib_error *err)
{
    const enum nib_status status = read_ids(v, gguf, err);
    if (status != NIB_OK)
        return status;
    apply_names(v);
    assign_stripping(v, gguf);
    return NIB_OK;
}
