/*
 * nibble tokenize: texts to ids and back, one result a line.
 */
#include "commands.h"
#include "generate.h"
#include "settings.h"

#include <yyjson.h>

#include <stdlib.h>
#include <string.h>

static struct {
    const char *text, *input;
    bool uses_special, is_decoding;
    int format;
} args = {.uses_special = true, .format = NIB_FORMAT_JSON};

static const struct nib_option options[] = {
    {"-p", "--prompt", NULL, "TEXT", "the text to encode", NIB_OPTION_TEXT, &args.text, 0, 0, false,
     NULL},
    {"-f", "--input", "--file", "FILE",
     "a JSON list of strings, or lines of text; - is standard input", NIB_OPTION_TEXT, &args.input,
     0, 0, false, NULL},
    {NULL, "--decode", NULL, NULL,
     "ids to text: the input is a JSON list of lists, or lines of ids", NIB_OPTION_ON,
     &args.is_decoding, 0, 0, false, NULL},
    {NULL, "--no-special", NULL, NULL, "neither add nor parse (nor print) special tokens",
     NIB_OPTION_OFF, &args.uses_special, 0, 0, false, NULL},
    {NULL, "--output", NULL, "FORMAT", "json: one object a line; text: ids, or the text itself",
     NIB_OPTION_CHOICE, &args.format, 0, 0, false, nib_choices_text_json},
    {0},
};

static const struct nib_option *const tables[] = {options, nib_options_common, nib_options_threads,
                                                  NULL};

static int print_document(yyjson_mut_doc *doc)
{
    size_t n_bytes;
    char *line = yyjson_mut_write(doc, 0, &n_bytes);
    const bool is_written = line && nib_print(line, n_bytes) && nib_print("\n", 1);
    free(line);
    if (!line)
        return nib_complain(NIB_EXIT_MEMORY, "out of memory for a line of JSON; use --output text");
    return is_written ? NIB_EXIT_OK : NIB_EXIT_RUNTIME;
}

static int print_ids(const int32_t *ids, size_t n_ids)
{
    if (args.format == NIB_FORMAT_TEXT) {
        for (size_t i = 0; i < n_ids; i++)
            printf(i ? " %d" : "%d", ids[i]);
        return nib_print("\n", 1) ? NIB_EXIT_OK : NIB_EXIT_RUNTIME;
    }
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_val(doc, root, "ids", yyjson_mut_arr_with_sint32(doc, ids, n_ids));
    const int exit_code = print_document(doc);
    yyjson_mut_doc_free(doc);
    return exit_code;
}

static int encode_text(const struct nib_model *model, const struct nib_buffer *text)
{
    const unsigned flags = args.uses_special ? NIB_ADD_SPECIAL | NIB_PARSE_SPECIAL : 0;
    int32_t *ids;
    size_t n_ids;
    struct nib_error err;
    if (nib_tokenize(model, text->data, text->n_bytes, flags, &ids, &n_ids, &err) != NIB_OK)
        return nib_complain_error(&err);
    const int exit_code = print_ids(ids, n_ids);
    nib_free(ids);
    return exit_code;
}

static int print_text(const char *text, size_t n_bytes)
{
    if (args.format == NIB_FORMAT_TEXT)
        return nib_print(text, n_bytes) && nib_print("\n", 1) ? NIB_EXIT_OK : NIB_EXIT_RUNTIME;

    struct nib_buffer clean = {0}; /* JSON holds no bytes that are not UTF-8 */
    nib_buffer_add_clean(&clean, text, n_bytes);
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_strn(doc, root, "text", clean.data, clean.n_bytes);
    const int exit_code = print_document(doc);
    yyjson_mut_doc_free(doc);
    nib_buffer_free(&clean);
    return exit_code;
}

static int decode_ids(const struct nib_model *model, const int32_t *ids, size_t n_ids)
{
    char *text;
    size_t n_bytes;
    struct nib_error err;
    if (nib_detokenize(model, ids, n_ids, args.uses_special ? NIB_PARSE_SPECIAL : 0, &text,
                       &n_bytes, &err) != NIB_OK)
        return nib_complain_error(&err);
    const int exit_code = print_text(text, n_bytes);
    nib_free(text);
    return exit_code;
}

static int decode_all(const struct nib_model *model)
{
    struct nib_lists lists;
    int exit_code = nib_read_ids(args.input, nib_model_info(model)->n_tokens, true, &lists);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    for (size_t i = 0; i < lists.n_lists && exit_code == NIB_EXIT_OK; i++)
        exit_code =
            decode_ids(model, lists.ids + lists.starts[i], lists.starts[i + 1] - lists.starts[i]);
    nib_lists_free(&lists);
    return exit_code;
}

static int encode_all(const struct nib_model *model)
{
    if (args.text) {
        struct nib_buffer text = {0};
        nib_buffer_add(&text, args.text, strlen(args.text));
        const int exit_code = encode_text(model, &text);
        nib_buffer_free(&text);
        return exit_code;
    }
    struct nib_texts texts;
    int exit_code = nib_read_texts(args.input, &texts);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    for (size_t i = 0; i < texts.n_texts && exit_code == NIB_EXIT_OK; i++)
        exit_code = encode_text(model, &texts.texts[i]);
    nib_texts_free(&texts);
    return exit_code;
}

static int check_arguments(void)
{
    if (args.text && args.input)
        return nib_complain(NIB_EXIT_USAGE, "two inputs; give one of -p and --input");
    if (args.text && args.is_decoding)
        return nib_complain(NIB_EXIT_USAGE, "--decode takes ids; give them with --input FILE");
    if (!args.text && !args.input) {
        if (nib_is_terminal(stdin))
            return nib_complain(NIB_EXIT_USAGE,
                                "no input; give -p TEXT or --input FILE, or pipe text in");
        args.input = "-";
    }
    return args.text ? nib_check_argument("the text", args.text) : NIB_EXIT_OK;
}

static int run(void)
{
    struct nib_model *model;
    int exit_code = check_arguments();
    if (exit_code == NIB_EXIT_OK)
        exit_code = nib_settings_open_model(&model);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    exit_code = args.is_decoding ? decode_all(model) : encode_all(model);
    nib_model_close(model);
    return exit_code;
}

const struct nib_command nib_command_tokenize = {
    .name = "tokenize",
    .summary = "text to ids, and with --decode back",
    .usage = "MODEL.gguf [-p TEXT | --input FILE] [--decode] [--no-special]",
    .tables = tables,
    .positional = &nib_settings.model,
    .run = run,
};
