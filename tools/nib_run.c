/*
 * nibble run: continues a prompt, or a batch of prompts given as ids; with a model that has an
 * encoder: says what its decoder makes of sources, a line each.
 */
#include "beam_settings.h"
#include "commands.h"
#include "run_job.h"
#include "settings.h"
#include "shift_settings.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static struct {
    const char *prompt, *prompt_file, *ids_file, *decoder_ids_file;
    const char *source_language, *target_language;
    int64_t n_predict, n_parallel;
    bool ignores_end, is_chat;
    int format, trace;  /* enum nib_trace_format */
    int64_t n_logprobs; /* -1: not asked for */
} args = {.n_predict = -1, .n_parallel = 16, .n_logprobs = -1};

static const struct nib_option options[] = {
    {"-p", "--prompt", NULL, "TEXT", "what to continue; with an encoder: sources, a line each",
     NIB_OPTION_TEXT, &args.prompt, 0, 0, false, NULL},
    {"-f", "--file", NULL, "FILE", "read the prompt, or the lines, from here; - is standard input",
     NIB_OPTION_TEXT, &args.prompt_file, 0, 0, false, NULL},
    {NULL, "--ids", NULL, "FILE",
     "continue (with an encoder: read) sequences of ids, JSON [[ids], [ids], ...]", NIB_OPTION_TEXT,
     &args.ids_file, 0, 0, false, NULL},
    {NULL, "--decoder-ids", NULL, "FILE",
     "with an encoder: what answers begin with, the start id and all, a list a line or one for all",
     NIB_OPTION_TEXT, &args.decoder_ids_file, 0, 0, false, NULL},
    {NULL, "--src-lang", NULL, "CODE", "models of many languages: that of the text",
     NIB_OPTION_TEXT, &args.source_language, 0, 0, false, NULL},
    {NULL, "--tgt-lang", NULL, "CODE", "and that of the answer", NIB_OPTION_TEXT,
     &args.target_language, 0, 0, false, NULL},
    {"-np", "--parallel", NULL, "N", "lines, or sequences of --ids, computed at once",
     NIB_OPTION_INT, &args.n_parallel, 1, 256, false, NULL},
    {"-n", "--predict", "--n-predict", "N",
     "stop after N tokens; -1: at the end token or when the context is full (but see "
     "--context-shift), with an encoder at most twice the source and 64",
     NIB_OPTION_INT, &args.n_predict, -1, INT_MAX, false, NULL},
    {NULL, "--max-length", "--max-new-tokens", "N", "the same as -n", NIB_OPTION_INT,
     &args.n_predict, -1, INT_MAX, false, NULL},
    {NULL, "--ignore-eos", NULL, NULL, "go on after the end token", NIB_OPTION_ON,
     &args.ignores_end, 0, 0, false, NULL},
    {"-cnv", "--conversation", "--chat", NULL,
     "put the prompt into the model's chat template, once", NIB_OPTION_ON, &args.is_chat, 0, 0,
     false, NULL},
    {"-no-cnv", "--no-conversation", NULL, NULL, "take the prompt as it is", NIB_OPTION_OFF,
     &args.is_chat, 0, 0, false, NULL},
    {NULL, "--output", NULL, "FORMAT", "text, or json: one line a sequence", NIB_OPTION_CHOICE,
     &args.format, 0, 0, false, nib_choices_text_json},
    {NULL, "--logprobs", NULL, "N",
     "JSON output and traces show the N most probable tokens of every step", NIB_OPTION_INT,
     &args.n_logprobs, 0, 1000, false, NULL},
    {NULL, "--trace", NULL, "[FORMAT]",
     "show every step: what goes in, candidates, the chain, the choice; text, or json: a line each",
     NIB_OPTION_MODE, &args.trace, 0, 0, false, nib_choices_text_json},
    {0},
};

static const struct nib_option *const tables[] = {
    options,
    nib_options_chat,
    nib_options_common,
    nib_options_threads,
    nib_options_length,
    nib_options_context,
    nib_options_shift,
    nib_options_sampling,
    nib_options_beams,
    NULL,
};

/* ---- prompts -------------------------------------------------------------------------------- */

static int check_arguments(void)
{
    if (!!args.prompt + !!args.prompt_file + !!args.ids_file > 1)
        return nib_complain(NIB_EXIT_USAGE, "more than one prompt; give one of -p, -f and --ids");
    if (!args.prompt && !args.prompt_file && !args.ids_file) {
        if (nib_is_terminal(stdin))
            return nib_complain(NIB_EXIT_USAGE, "no prompt; give -p TEXT or -f FILE, pipe text in, "
                                                "or use nibble chat");
        args.prompt_file = "-";
    }
    if ((nib_settings.system || nib_settings.system_file || nib_settings.template_file) &&
        !args.is_chat)
        return nib_complain(NIB_EXIT_USAGE,
                            "-sys, -sysf and --chat-template-file need -cnv; add it");
    if (args.trace == NIB_TRACE_JSON)
        args.format = NIB_FORMAT_JSON; /* one kind of lines on standard output */
    if (args.n_logprobs >= 0 && args.format != NIB_FORMAT_JSON && !args.trace)
        return nib_complain(NIB_EXIT_USAGE, "--logprobs needs --output json or --trace; add one");
    if (nib_settings_wants_beams() && args.n_logprobs >= 0)
        return nib_complain(NIB_EXIT_USAGE, "--logprobs and --beams: beams have the sums of "
                                            "log-probabilities alone; leave one of them out");
    if (nib_settings_wants_beams() && args.n_predict == 0)
        return nib_complain(NIB_EXIT_USAGE, "-n 0 and --beams: beams need at least one token");
    if (nib_settings_wants_beams() && nib_settings_wants_shift())
        return nib_complain(NIB_EXIT_USAGE, "--context-shift and --beams: the beams of a search "
                                            "keep all of their past; leave one of them out");
    int exit_code = nib_settings_check_beams();
    if (exit_code == NIB_EXIT_OK)
        exit_code = nib_settings_check_shift();
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    nib_settings.wants_report = args.trace != NIB_TRACE_OFF;
    return args.prompt ? nib_check_argument("the prompt", args.prompt) : NIB_EXIT_OK;
}

/* A zero byte would end the text before its end. */
static int check_zeros(const struct nib_buffer *text, size_t line)
{
    if (text->n_bytes == 0 || !memchr(text->data, 0, text->n_bytes))
        return NIB_EXIT_OK;
    return nib_complain(NIB_EXIT_FILE, "text %zu has a zero byte; take it out, as with tr -d '\\0'",
                        line);
}

static int read_prompt_text(struct nib_buffer *out)
{
    *out = (struct nib_buffer){0};
    if (args.prompt) {
        nib_buffer_add(out, args.prompt, strlen(args.prompt));
        return NIB_EXIT_OK;
    }
    const int exit_code = nib_read_input(args.prompt_file, NIB_INPUT_TEXT, out);
    /* Editors and echo end text with a newline that nobody means. */
    if (exit_code == NIB_EXIT_OK && out->n_bytes > 0 && out->data[out->n_bytes - 1] == '\n')
        out->data[--out->n_bytes] = 0;
    return exit_code == NIB_EXIT_OK ? check_zeros(out, 1) : exit_code;
}

/* Replaces the prompt by the conversation that it begins. */
static int apply_template(const struct nib_model *model, const struct nib_chat_texts *texts,
                          struct nib_buffer *prompt)
{
    const struct nib_chat_message messages[] = {{"system", texts->system.data},
                                                {"user", prompt->data}};
    const size_t first = texts->system.data ? 0 : 1;
    char *text;
    struct nib_error err;
    if (nib_chat_format_with(model, texts->template_source.data, messages + first, 2 - first, true,
                             nib_settings.template_variables, &text, &err) != NIB_OK)
        return nib_complain_error(&err);
    prompt->n_bytes = 0;
    nib_buffer_add(prompt, text, strlen(text));
    nib_free(text);
    return NIB_EXIT_OK;
}

static int read_prompt(const struct nib_model *model, const struct nib_chat_texts *texts,
                       struct nib_run_lines *out)
{
    struct nib_buffer prompt;
    int exit_code = read_prompt_text(&prompt);
    /* -p "" begins from nothing on purpose; no text on standard input is a mishap. */
    if (exit_code == NIB_EXIT_OK && prompt.n_bytes == 0 && !args.prompt)
        exit_code = nib_complain(NIB_EXIT_USAGE, "the prompt is empty; give some text");
    if (exit_code == NIB_EXIT_OK && args.is_chat)
        exit_code = apply_template(model, texts, &prompt);
    if (exit_code == NIB_EXIT_OK)
        exit_code = nib_run_lines_from_prompt(out, model, &prompt, args.is_chat);
    nib_buffer_free(&prompt);
    return exit_code;
}

static int read_sources(const struct nib_model *model, const struct nib_languages *languages,
                        struct nib_run_lines *out)
{
    struct nib_texts texts = {0};
    int exit_code = NIB_EXIT_OK;
    if (args.prompt)
        nib_split_lines(args.prompt, strlen(args.prompt), &texts);
    else
        exit_code = nib_read_texts(args.prompt_file, &texts);
    if (exit_code == NIB_EXIT_OK && texts.n_texts == 0)
        exit_code = nib_complain(NIB_EXIT_USAGE, "no source to read; give some text");
    for (size_t i = 0; i < texts.n_texts && exit_code == NIB_EXIT_OK; i++)
        exit_code = check_zeros(&texts.texts[i], i + 1);
    if (exit_code == NIB_EXIT_OK)
        exit_code = nib_run_lines_from_sources(out, model, &texts, languages);
    nib_texts_free(&texts);
    return exit_code;
}

/* Of a model with an encoder. */
static int read_encoded(const struct nib_model *model, struct nib_run_lines *out)
{
    struct nib_languages languages;
    if (args.is_chat)
        return nib_complain(NIB_EXIT_USAGE, "-cnv: a model with an encoder has no conversations; "
                                            "leave it out");
    if (args.source_language && args.ids_file)
        return nib_complain(NIB_EXIT_USAGE,
                            "--src-lang is for text; with --ids its token is among the ids");
    if (args.target_language && args.decoder_ids_file)
        return nib_complain(NIB_EXIT_USAGE, "--tgt-lang and --decoder-ids both say what answers "
                                            "begin with; give one of them");
    int exit_code =
        nib_languages_find(&languages, model, args.source_language, args.target_language);
    if (exit_code == NIB_EXIT_OK && languages.target == NIB_LANGUAGE_SOURCE_PREFIX && args.ids_file)
        exit_code = nib_complain(NIB_EXIT_USAGE, "--tgt-lang: this model reads the language in its "
                                                 "source; with --ids it is among the ids");
    if (exit_code == NIB_EXIT_OK)
        exit_code = args.ids_file ? nib_run_lines_from_ids(out, model, args.ids_file)
                                  : read_sources(model, &languages, out);
    if (exit_code == NIB_EXIT_OK)
        exit_code = nib_run_lines_begin(out, model, &languages, args.decoder_ids_file);
    return exit_code;
}

static int read_lines(const struct nib_model *model, const struct nib_chat_texts *texts,
                      struct nib_run_lines *out)
{
    if (nib_model_info(model)->has_encoder)
        return read_encoded(model, out);
    if (args.decoder_ids_file || args.source_language || args.target_language)
        return nib_complain(NIB_EXIT_USAGE,
                            "--decoder-ids, --src-lang and --tgt-lang are for models "
                            "with an encoder; leave them out");
    return args.ids_file ? nib_run_lines_from_ids(out, model, args.ids_file)
                         : read_prompt(model, texts, out);
}

/* ---- running -------------------------------------------------------------------------------- */

/* What a prompt may have at most: -c, else the model's length. */
static uint32_t length_limit(const struct nib_model *model)
{
    return nib_settings.n_ctx ? (uint32_t)nib_settings.n_ctx : nib_model_info(model)->n_ctx_train;
}

/* What the longest line needs; 0 for the model's whole length. */
static uint32_t context_length(const struct nib_model *model, const struct nib_run_lines *lines)
{
    uint64_t needed = 1;
    for (size_t i = 0; i < lines->n_lines; i++) {
        const struct nib_line *line = &lines->lines[i];
        /* One more than is evaluated: what is full is then what was asked for. */
        const uint64_t n = (uint64_t)line->n_prefix + line->max_new;
        if (!line->error && !line->is_blank && n > needed)
            needed = n;
    }
    if (nib_settings.n_ctx)
        return (uint32_t)nib_settings.n_ctx;
    return needed < length_limit(model) ? (uint32_t)needed : 0;
}

static int run_lines(const struct nib_model *model, struct nib_run_lines *lines)
{
    enum { SHOWN = 5 };
    struct nib_run_output output;
    struct nib_trace trace;
    const bool is_json = args.format == NIB_FORMAT_JSON;
    int exit_code = NIB_EXIT_OK;
    struct nib_beam_params beams = {0};
    if (nib_settings_wants_beams())
        exit_code = nib_settings_beam_params(&beams, model);
    beams.ignores_end = args.ignores_end;
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    nib_run_lines_limit(lines, model,
                        &(struct nib_run_limits){.n_ctx = length_limit(model),
                                                 .n_predict = args.n_predict,
                                                 .n_forced = nib_beam_least_new(model, &beams),
                                                 .shifts = nib_settings_wants_shift()});
    nib_run_output_create(&output, model, is_json, args.n_logprobs);
    nib_trace_create(&trace, (enum nib_trace_format)args.trace,
                     args.n_logprobs >= 0 ? (size_t)args.n_logprobs : SHOWN, model);
    exit_code = nib_run_lines_answer(&(struct nib_run_job){
        .model = model,
        .lines = lines,
        .output = &output,
        .trace = args.trace == NIB_TRACE_OFF ? NULL : &trace,
        .beams = nib_settings_wants_beams() ? &beams : NULL,
        .n_ctx = context_length(model, lines),
        .n_parallel = (size_t)args.n_parallel,
        .ignores_end = args.ignores_end,
        .is_exact = args.n_predict >= 0,
        .streams = !args.ids_file && !is_json && args.trace == NIB_TRACE_OFF &&
                   !nib_model_info(model)->has_encoder && !nib_settings_wants_beams(),
    });
    nib_trace_free(&trace);
    nib_run_output_free(&output);
    if (exit_code == NIB_EXIT_OK && lines->n_failed > 0)
        exit_code = NIB_EXIT_RUNTIME; /* each has had its sentence */
    return exit_code;
}

static int run(void)
{
    struct nib_model *model = NULL;
    struct nib_chat_texts texts = {0};
    struct nib_run_lines lines = {0};
    int exit_code = check_arguments();
    if (exit_code == NIB_EXIT_OK)
        exit_code = nib_settings_read_chat(&texts);
    if (exit_code == NIB_EXIT_OK)
        exit_code = nib_settings_open_model(&model);
    if (exit_code == NIB_EXIT_OK)
        exit_code = read_lines(model, &texts, &lines);
    if (exit_code == NIB_EXIT_OK)
        exit_code = run_lines(model, &lines);
    nib_run_lines_free(&lines);
    nib_chat_texts_free(&texts);
    nib_model_close(model);
    return exit_code;
}

const struct nib_command nib_command_run = {
    .name = "run",
    .summary = "continue a prompt, or translate lines; the text goes to standard output",
    .usage = "MODEL [-p TEXT | -f FILE | --ids FILE] [options]",
    .tables = tables,
    .positional = &nib_settings.model,
    .run = run,
};
