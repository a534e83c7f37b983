/*
 * nibble run: continues a prompt, or a batch of prompts given as ids.
 */
#include "commands.h"
#include "generate.h"
#include "settings.h"
#include "trace.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static struct {
    const char *prompt, *prompt_file, *ids_file;
    int64_t n_predict, n_parallel;
    bool ignores_end, is_chat;
    int format, trace;  /* enum nib_trace_format */
    int64_t n_logprobs; /* -1: not asked for */
} args = {.n_predict = -1, .n_parallel = 16, .n_logprobs = -1};

static const struct nib_option options[] = {
    {"-p", "--prompt", NULL, "TEXT", "what to continue", NIB_OPTION_TEXT, &args.prompt, 0, 0, false,
     NULL},
    {"-f", "--file", NULL, "FILE", "read the prompt from here; - is standard input",
     NIB_OPTION_TEXT, &args.prompt_file, 0, 0, false, NULL},
    {NULL, "--ids", NULL, "FILE", "continue sequences of ids, JSON [[ids], [ids], ...]",
     NIB_OPTION_TEXT, &args.ids_file, 0, 0, false, NULL},
    {"-np", "--parallel", NULL, "N", "sequences of --ids computed at once", NIB_OPTION_INT,
     &args.n_parallel, 1, 256, false, NULL},
    {"-n", "--predict", "--n-predict", "N",
     "stop after N tokens; -1: at the end token or when the context is full", NIB_OPTION_INT,
     &args.n_predict, -1, INT_MAX, false, NULL},
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
    nib_options_sampling,
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
    nib_settings.wants_report = args.trace != NIB_TRACE_OFF;
    return args.prompt ? nib_check_argument("the prompt", args.prompt) : NIB_EXIT_OK;
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
    return exit_code;
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
    if (nib_chat_format(model, texts->template_source.data, messages + first, 2 - first, true,
                        &text, &err) != NIB_OK)
        return nib_complain_error(&err);
    prompt->n_bytes = 0;
    nib_buffer_add(prompt, text, strlen(text));
    nib_free(text);
    return NIB_EXIT_OK;
}

static int read_prompt(const struct nib_model *model, const struct nib_chat_texts *texts,
                       struct nib_lists *out)
{
    struct nib_buffer prompt;
    int32_t *ids = NULL;
    size_t n_ids = 0;
    struct nib_error err;
    int exit_code = read_prompt_text(&prompt);
    /* -p "" begins from nothing on purpose; no text on standard input is a mishap. */
    if (exit_code == NIB_EXIT_OK && prompt.n_bytes == 0 && !args.prompt)
        exit_code = nib_complain(NIB_EXIT_USAGE, "the prompt is empty; give some text");
    if (exit_code == NIB_EXIT_OK && args.is_chat)
        exit_code = apply_template(model, texts, &prompt);
    if (exit_code != NIB_EXIT_OK)
        goto done;
    const unsigned flags = args.is_chat ? NIB_PARSE_SPECIAL : NIB_ADD_SPECIAL | NIB_PARSE_SPECIAL;
    if (nib_tokenize(model, prompt.data, prompt.n_bytes, flags, &ids, &n_ids, &err) != NIB_OK) {
        exit_code = nib_complain_error(&err);
        goto done;
    }
    if (n_ids == 0) {
        exit_code = args.is_chat
                        ? nib_complain(NIB_EXIT_FILE, "the chat template makes no text of "
                                                      "the prompt; use another template")
                        : nib_complain(NIB_EXIT_USAGE, "the prompt is empty; give some text");
        goto done;
    }
    *out = (struct nib_lists){
        .n_lists = 1,
        .ids = nib_grow(NULL, n_ids, sizeof *out->ids),
        .starts = nib_grow(NULL, 2, sizeof *out->starts),
    };
    memcpy(out->ids, ids, n_ids * sizeof *ids);
    out->starts[0] = 0;
    out->starts[1] = n_ids;
done:
    nib_free(ids);
    nib_buffer_free(&prompt);
    return exit_code;
}

/* ---- results -------------------------------------------------------------------------------- */

/* With --logprobs: the tokens' texts, and the best ids of every step. */
static void add_logprobs(const struct nib_model *model, const struct nib_answer *answer,
                         yyjson_mut_doc *doc, yyjson_mut_val *root)
{
    struct nib_token_texts texts;
    nib_token_texts_create(&texts, model);
    nib_json_add_ids(doc, root, &texts, answer->ids, answer->n_ids);
    yyjson_mut_val *steps = yyjson_mut_obj_add_arr(doc, root, "top_logprobs");
    const size_t n_top = (size_t)args.n_logprobs;
    for (size_t i = 0; i < answer->n_ids; i++) {
        size_t n = 0;
        while (n < n_top && answer->top[i * n_top + n].id >= 0)
            n++;
        yyjson_mut_arr_append(steps, nib_json_logprobs(doc, &texts, answer->top + i * n_top, n));
    }
    nib_token_texts_free(&texts);
}

static int print_json(const struct nib_model *model, const struct nib_answer *answer)
{
    struct nib_buffer text = {0};
    struct nib_error err;
    if (nib_text_of(model, answer->ids, answer->n_ids, &text, &err) != NIB_OK)
        return nib_complain_error(&err);

    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    if (args.n_logprobs >= 0)
        add_logprobs(model, answer, doc, root);
    else
        yyjson_mut_obj_add_val(doc, root, "ids",
                               yyjson_mut_arr_with_sint32(doc, answer->ids, answer->n_ids));
    if (*nib_model_info(model)->tokenizer)
        yyjson_mut_obj_add_strncpy(doc, root, "text", text.data ? text.data : "", text.n_bytes);
    yyjson_mut_val *logprobs = yyjson_mut_obj_add_arr(doc, root, "logprobs");
    double score = 0;
    for (size_t i = 0; i < answer->n_ids; i++) {
        yyjson_mut_arr_append(logprobs, nib_json_number(doc, answer->logprobs[i]));
        score += answer->logprobs[i];
    }
    yyjson_mut_obj_add_val(doc, root, "score", nib_json_number(doc, score));
    yyjson_mut_obj_add_str(doc, root, "finish_reason", answer->has_ended ? "stop" : "length");
    nib_buffer_free(&text);
    return nib_json_print_line(doc);
}

static int print_text(const struct nib_model *model, const struct nib_answer *answer)
{
    struct nib_buffer text = {0};
    struct nib_error err;
    if (nib_text_of(model, answer->ids, answer->n_ids, &text, &err) != NIB_OK)
        return nib_complain_error(&err);
    nib_buffer_add(&text, "\n", 1);
    const bool is_written = nib_print(text.data, text.n_bytes);
    nib_buffer_free(&text);
    return is_written ? NIB_EXIT_OK : NIB_EXIT_RUNTIME;
}

static bool print_token(void *stream, int32_t id)
{
    const char *piece = nib_text_stream_push(stream, id);
    return !*piece || nib_print(piece, strlen(piece));
}

/* ---- running -------------------------------------------------------------------------------- */

/* Answers are computed n_parallel at a time, in one context that is emptied between. */
struct job {
    const struct nib_model *model;
    struct nib_context *context;
    const struct nib_lists *prompts;
    struct nib_text_stream *stream; /* a single answer is printed as it comes, else NULL */
    struct nib_trace trace;
};

static int make_answers(const struct job *job, size_t first, size_t n, struct nib_answer *answers)
{
    for (size_t i = 0; i < n; i++) {
        const size_t list = first + i;
        answers[i] = (struct nib_answer){
            .prompt = job->prompts->ids + job->prompts->starts[list],
            .n_prompt = job->prompts->starts[list + 1] - job->prompts->starts[list],
        };
        const int exit_code = nib_settings_create_sampler(
            &answers[i].sampler, job->model, (uint32_t)list,
            args.format == NIB_FORMAT_JSON || args.trace != NIB_TRACE_OFF);
        if (exit_code != NIB_EXIT_OK)
            return exit_code;
        struct nib_error err;
        if (nib_sampler_add_prompt(answers[i].sampler, answers[i].prompt, answers[i].n_prompt,
                                   &err) != NIB_OK)
            return nib_complain_error(&err);
    }
    return NIB_EXIT_OK;
}

static int print_answers(const struct job *job, const struct nib_answer *answers, size_t n)
{
    int exit_code = NIB_EXIT_OK;
    for (size_t i = 0; i < n && exit_code == NIB_EXIT_OK; i++)
        exit_code = args.format == NIB_FORMAT_JSON ? print_json(job->model, &answers[i])
                                                   : print_text(job->model, &answers[i]);
    return exit_code;
}

static int finish_stream(const struct job *job)
{
    const char *rest = nib_text_stream_end(job->stream);
    return nib_print(rest, strlen(rest)) && nib_print("\n", 1) ? NIB_EXIT_OK : NIB_EXIT_RUNTIME;
}

static void note_full_context(const struct job *job, const struct nib_answer *answers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (answers[i].has_no_room) {
            nib_note("stopped: the context of %u tokens is full; -c N sets its size",
                     nib_context_info(job->context)->n_ctx);
            return;
        }
    }
}

static int run_answers(struct job *job, size_t first, size_t n, struct nib_answer *answers)
{
    int exit_code = make_answers(job, first, n, answers);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    for (uint32_t i = 0; i < nib_context_info(job->context)->n_sequences; i++)
        nib_sequence_truncate(job->context, i, 0);

    const struct nib_generation generation = {
        .model = job->model,
        .context = job->context,
        .n_predict = args.n_predict,
        .ignores_end = args.ignores_end,
        .n_top = args.n_logprobs > 0 ? (size_t)args.n_logprobs : 0,
        .trace = args.trace == NIB_TRACE_OFF ? NULL : &job->trace,
        .first = first,
        .on_token = job->stream ? print_token : NULL,
        .data = job->stream,
    };
    struct nib_timing timing;
    struct nib_error err;
    const enum nib_status status = nib_generate(&generation, answers, n, &timing, &err);
    if (job->stream)
        exit_code = finish_stream(job);
    else if (status == NIB_OK)
        exit_code = print_answers(job, answers, n);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    if (status != NIB_OK)
        return nib_complain_error(&err);
    note_full_context(job, answers, n);
    nib_note_timing(job->model, job->context, &timing);
    return NIB_EXIT_OK;
}

/* Where positions depend on the size of the context, each prompt has one as large as it needs: its
 * answer is then the same whatever is run beside it. */
static bool has_own_contexts(const struct nib_model *model)
{
    return nib_model_info(model)->scales_by_context && nib_settings.n_ctx == 0 &&
           args.n_predict >= 0;
}

static int fit_context(struct job *job, size_t list)
{
    const uint32_t n_ctx_train = nib_model_info(job->model)->n_ctx_train;
    const uint64_t needed =
        job->prompts->starts[list + 1] - job->prompts->starts[list] + (uint64_t)args.n_predict;
    const uint32_t n_ctx = needed < n_ctx_train ? (uint32_t)needed : n_ctx_train;
    if (!has_own_contexts(job->model) || nib_context_info(job->context)->n_ctx == n_ctx)
        return NIB_EXIT_OK;
    nib_interrupt_catch(NULL);
    nib_context_free(job->context);
    job->context = NULL;
    const int exit_code = nib_settings_create_context(&job->context, job->model, n_ctx, 1, 1);
    if (exit_code == NIB_EXIT_OK)
        nib_interrupt_catch(job->context);
    return exit_code;
}

static int run_all(struct job *job)
{
    const size_t n_sequences = nib_context_info(job->context)->n_sequences;
    int exit_code = NIB_EXIT_OK;
    for (size_t first = 0; first < job->prompts->n_lists && exit_code == NIB_EXIT_OK;
         first += n_sequences) {
        struct nib_answer answers[256] = {0};
        const size_t left = job->prompts->n_lists - first;
        const size_t n = left < n_sequences ? left : n_sequences;
        exit_code = fit_context(job, first);
        if (exit_code == NIB_EXIT_OK)
            exit_code = run_answers(job, first, n, answers);
        for (size_t i = 0; i < n; i++) {
            nib_sampler_free(answers[i].sampler);
            nib_answer_free(&answers[i]);
        }
    }
    return exit_code;
}

/* -c, else what the longest prompt and -n need, at most the model's length; 0 asks for the latter.
 */
static int choose_context_length(const struct nib_model *model, const struct nib_lists *prompts,
                                 uint32_t *n_ctx)
{
    const uint32_t n_ctx_train = nib_model_info(model)->n_ctx_train;
    size_t longest = 0, which = 0;
    for (size_t i = 0; i < prompts->n_lists; i++) {
        const size_t length = prompts->starts[i + 1] - prompts->starts[i];
        if (length > longest) {
            longest = length;
            which = i;
        }
    }
    const uint64_t limit = nib_settings.n_ctx ? (uint64_t)nib_settings.n_ctx : n_ctx_train;
    if (longest > limit) {
        char name[32] = "the prompt";
        if (args.ids_file)
            snprintf(name, sizeof name, "sequence %zu", which);
        return nib_complain(NIB_EXIT_RUNTIME,
                            "%s has %zu tokens, more than the context's %llu; shorten it or set a "
                            "larger context with -c",
                            name, longest, (unsigned long long)limit);
    }
    const uint64_t needed = args.n_predict < 0 ? limit : longest + (uint64_t)args.n_predict;
    *n_ctx = (uint32_t)nib_settings.n_ctx;
    if (*n_ctx == 0 && needed < limit)
        *n_ctx = (uint32_t)needed;
    return NIB_EXIT_OK;
}

static int run_prompts(const struct nib_model *model, const struct nib_lists *prompts)
{
    struct job job = {.model = model, .prompts = prompts};
    struct nib_error err;
    uint32_t n_ctx = 0;
    int exit_code = choose_context_length(model, prompts, &n_ctx);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    const uint64_t most = has_own_contexts(model) ? 1 : (uint64_t)args.n_parallel;
    const uint32_t n_sequences = (uint32_t)(prompts->n_lists < most ? prompts->n_lists : most);
    exit_code = nib_settings_create_context(&job.context, model, n_ctx, n_sequences, n_sequences);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    enum { SHOWN = 5 };
    nib_trace_create(&job.trace, (enum nib_trace_format)args.trace,
                     args.n_logprobs >= 0 ? (size_t)args.n_logprobs : SHOWN, model);
    if (!args.ids_file && args.format == NIB_FORMAT_TEXT && args.trace == NIB_TRACE_OFF &&
        nib_text_stream_create(&job.stream, model, &err) != NIB_OK)
        exit_code = nib_complain_error(&err);
    if (exit_code == NIB_EXIT_OK) {
        nib_interrupt_catch(job.context);
        exit_code = run_all(&job);
        nib_interrupt_catch(NULL);
    }
    nib_trace_free(&job.trace);
    nib_text_stream_free(job.stream);
    nib_context_free(job.context);
    return exit_code;
}

static int run(void)
{
    struct nib_model *model = NULL;
    struct nib_chat_texts texts = {0};
    struct nib_lists prompts = {0};
    int exit_code = check_arguments();
    if (exit_code == NIB_EXIT_OK)
        exit_code = nib_settings_read_chat(&texts);
    if (exit_code == NIB_EXIT_OK)
        exit_code = nib_settings_open_model(&model);
    if (exit_code == NIB_EXIT_OK)
        exit_code = args.ids_file ? nib_read_ids(args.ids_file, nib_model_info(model)->n_vocab,
                                                 false, &prompts)
                                  : read_prompt(model, &texts, &prompts);
    if (exit_code == NIB_EXIT_OK)
        exit_code = run_prompts(model, &prompts);
    nib_lists_free(&prompts);
    nib_chat_texts_free(&texts);
    nib_model_close(model);
    return exit_code;
}

const struct nib_command nib_command_run = {
    .name = "run",
    .summary = "continue a prompt; the text goes to standard output",
    .usage = "MODEL.gguf [-p TEXT | -f FILE | --ids FILE] [options]",
    .tables = tables,
    .positional = &nib_settings.model,
    .run = run,
};
