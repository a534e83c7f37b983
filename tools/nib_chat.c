/*
 * nibble chat: a conversation.  On a terminal with line editing; as a filter, where every line of
 * standard input is a message and its answer a result.
 */
#include "commands.h"
#include "conversation.h"
#include "generate.h"
#include "line_reader.h"
#include "settings.h"
#include "shift_settings.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static struct {
    int64_t n_predict;
} args = {.n_predict = -1};

static const struct nib_option options[] = {
    {"-n", "--predict", "--n-predict", "N",
     "stop an answer after N tokens; -1: at the end token or when the context is full (but see "
     "--context-shift)",
     NIB_OPTION_INT, &args.n_predict, -1, INT_MAX, false, NULL},
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
    NULL,
};

struct chat {
    struct nib_conversation conversation;
    struct nib_line_reader *reader;
    struct nib_text_stream *stream;
    struct nib_buffer answer_text;
    uint32_t n_turns; /* makes the random numbers of turns differ, also when one is done again */
    bool is_interactive;
};

enum turn { TURN_GOES_ON, TURN_ENDS };

/* ---- answers -------------------------------------------------------------------------------- */

static bool print_piece(struct chat *chat, const char *piece)
{
    const size_t n_bytes = strlen(piece);
    nib_buffer_add(&chat->answer_text, piece, n_bytes);
    return n_bytes == 0 || nib_print(piece, n_bytes);
}

static bool print_token(void *data, int32_t id)
{
    struct chat *chat = data;
    return print_piece(chat, nib_text_stream_push(chat->stream, id));
}

static enum nib_status generate_answer(struct chat *chat, struct nib_answer *answer,
                                       struct nib_timing *timing, struct nib_error *err)
{
    const struct nib_conversation *conversation = &chat->conversation;
    const enum nib_status status =
        nib_sampler_add_prompt(answer->sampler, conversation->all.ids, conversation->all.n, err);
    if (status != NIB_OK)
        return status;
    const struct nib_generation generation = {
        .model = conversation->model,
        .context = conversation->context,
        .shifts = nib_settings_wants_shift(),
        .on_token = print_token,
        .data = chat,
    };
    return nib_generate(&generation, answer, 1, timing, err);
}

static void note_turn(const struct chat *chat, const struct nib_timing *timing)
{
    const struct nib_conversation *conversation = &chat->conversation;
    if (!chat->is_interactive && !nib_settings.is_verbose)
        return;
    nib_note_timing(conversation->model, conversation->context, timing);
    if (nib_settings.is_verbose)
        nib_note("context %u of %u tokens, %zu of them evaluated for this answer",
                 nib_sequence_length(conversation->context, 0),
                 nib_context_info(conversation->context)->n_ctx,
                 timing->n_prompt + timing->n_decoded);
}

static int complain_full(const struct chat *chat)
{
    return nib_complain(NIB_EXIT_RUNTIME,
                        "the answer is cut because the context of %u tokens is full; start a new "
                        "conversation with /clear, or start again with a larger -c or with "
                        "--context-shift",
                        nib_context_info(chat->conversation.context)->n_ctx);
}

/* What was said becomes part of the conversation, also where it was cut. */
static int keep_answer(struct chat *chat, const struct nib_answer *answer,
                       const struct nib_timing *timing)
{
    if (answer->n_ids == 0)
        return NIB_EXIT_OK;
    nib_conversation_add_answer(&chat->conversation, answer, chat->answer_text.data,
                                chat->answer_text.n_bytes);
    note_turn(chat, timing);
    return answer->has_no_room ? complain_full(chat) : NIB_EXIT_OK;
}

/* Answers the conversation, whose last message is the user's.  Ctrl-C leaves what was said so far.
 */
static int answer_conversation(struct chat *chat)
{
    struct nib_conversation *conversation = &chat->conversation;
    struct nib_answer answer = {0};
    struct nib_timing timing;
    struct nib_error err;
    if (nib_conversation_prepare(conversation, &answer, &err) != NIB_OK)
        return nib_complain_error(&err);
    answer.max_new = args.n_predict;
    int exit_code =
        nib_settings_create_sampler(&answer.sampler, conversation->model, chat->n_turns++, false);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;

    chat->answer_text.n_bytes = 0;
    nib_buffer_add(&chat->answer_text, "", 0);
    const enum nib_status status = generate_answer(chat, &answer, &timing, &err);
    const bool is_printed = print_piece(chat, nib_text_stream_end(chat->stream));
    if (!nib_print("\n", 1) || !is_printed)
        exit_code = NIB_EXIT_RUNTIME;
    else if (status != NIB_OK && status != NIB_ERROR_CANCELLED)
        exit_code = nib_complain_error(&err);
    else
        exit_code = keep_answer(chat, &answer, &timing);
    nib_interrupt_clear();
    nib_sampler_free(answer.sampler);
    nib_answer_free(&answer);
    return exit_code;
}

/* A person can go on after an error, without the message that led to it; a script learns of it. */
static int answer_or_recover(struct chat *chat)
{
    const int exit_code = answer_conversation(chat);
    if (chat->is_interactive)
        nib_conversation_remove_last(&chat->conversation, "user");
    return chat->is_interactive && !ferror(stdout) ? NIB_EXIT_OK : exit_code;
}

/* ---- commands ------------------------------------------------------------------------------- */

static const char help_text[] =
    "/clear          forget the conversation (the system message stays)\n"
    "/regen          answer the last message again\n"
    "/system TEXT    set the system message; without TEXT remove it\n"
    "/help           this text\n"
    "/exit           leave, as Ctrl-D does; Ctrl-C stops an answer\n"
    "\"\"\"             begins and ends a message of several lines";

static int regenerate(struct chat *chat)
{
    if (!nib_conversation_remove_last(&chat->conversation, "assistant")) {
        nib_complain(NIB_EXIT_RUNTIME, "no answer to do again; say something first");
        return NIB_EXIT_OK;
    }
    return answer_or_recover(chat);
}

static int run_command(struct chat *chat, const char *line, enum turn *turn)
{
    if (strcmp(line, "/exit") == 0 || strcmp(line, "/quit") == 0 || strcmp(line, "/bye") == 0) {
        *turn = TURN_ENDS;
    } else if (strcmp(line, "/clear") == 0) {
        nib_conversation_clear(&chat->conversation);
    } else if (strcmp(line, "/regen") == 0) {
        return regenerate(chat);
    } else if (strcmp(line, "/system") == 0) {
        nib_conversation_set_system(&chat->conversation, NULL);
    } else if (strncmp(line, "/system ", 8) == 0) {
        nib_conversation_set_system(&chat->conversation, line + 8);
    } else if (strcmp(line, "/help") == 0) {
        fprintf(stderr, "%s\n", help_text);
    } else {
        nib_complain(NIB_EXIT_RUNTIME, "unknown command %.60s; /help lists what there is", line);
    }
    return NIB_EXIT_OK;
}

/* ---- the loop ------------------------------------------------------------------------------- */

/* Lines up to the one that ends in """, added to what followed the opening marks. */
static enum nib_line read_block(struct chat *chat, struct nib_buffer *line)
{
    struct nib_buffer next = {0}, block = {0};
    enum nib_line result = NIB_LINE_READ;
    nib_buffer_add(&block, line->data + 3, line->n_bytes - 3);
    for (;;) {
        if (block.n_bytes >= 3 && memcmp(block.data + block.n_bytes - 3, "\"\"\"", 3) == 0) {
            block.n_bytes -= 3;
            break;
        }
        result = nib_line_reader_next(chat->reader, "... ", &next);
        if (result != NIB_LINE_READ)
            break;
        if (block.n_bytes > 0)
            nib_buffer_add(&block, "\n", 1);
        nib_buffer_add(&block, next.data, next.n_bytes);
    }
    line->n_bytes = 0;
    nib_buffer_add(line, block.data, block.n_bytes);
    nib_buffer_free(&block);
    nib_buffer_free(&next);
    /* The end of the input ends the message too; the next read tells that there is no more. */
    return result == NIB_LINE_END ? NIB_LINE_READ : result;
}

static int say(struct chat *chat, const struct nib_buffer *message)
{
    const size_t good = nib_utf8_prefix(message->data, message->n_bytes);
    if (good < message->n_bytes) {
        const int exit_code =
            nib_complain(NIB_EXIT_FILE,
                         "the message is not UTF-8 from its byte %zu on; convert it, as with iconv "
                         "-t UTF-8",
                         good);
        return chat->is_interactive ? NIB_EXIT_OK : exit_code;
    }
    nib_conversation_add(&chat->conversation, "user", message->data, message->n_bytes);
    return answer_or_recover(chat);
}

static int take_turn(struct chat *chat, struct nib_buffer *line, enum turn *turn)
{
    switch (nib_line_reader_next(chat->reader, ">>> ", line)) {
    case NIB_LINE_END:
        *turn = TURN_ENDS;
        return NIB_EXIT_OK;
    case NIB_LINE_INTERRUPTED:
        nib_note("Ctrl-D or /exit to leave");
        return NIB_EXIT_OK;
    case NIB_LINE_READ:
        break;
    }
    if (line->n_bytes == 0)
        return NIB_EXIT_OK;
    if (*line->data == '/')
        return run_command(chat, line->data, turn);
    if (strncmp(line->data, "\"\"\"", 3) == 0 && read_block(chat, line) != NIB_LINE_READ)
        return NIB_EXIT_OK;
    return say(chat, line);
}

static int converse(struct chat *chat)
{
    struct nib_buffer line = {0};
    enum turn turn = TURN_GOES_ON;
    int exit_code = NIB_EXIT_OK;
    if (chat->is_interactive)
        nib_note("%s, %s, context of %u tokens; /help lists commands",
                 nib_model_info(chat->conversation.model)->name,
                 nib_model_info(chat->conversation.model)->isa,
                 nib_context_info(chat->conversation.context)->n_ctx);
    while (exit_code == NIB_EXIT_OK && turn == TURN_GOES_ON)
        exit_code = take_turn(chat, &line, &turn);
    if (chat->is_interactive && turn == TURN_ENDS)
        nib_print("\n", 1);
    nib_buffer_free(&line);
    return exit_code;
}

/* ---- setting up ----------------------------------------------------------------------------- */

static int chat_with(const struct nib_model *model, struct nib_context *context,
                     const struct nib_chat_texts *texts)
{
    struct chat chat = {.is_interactive = nib_is_terminal(stdin) && nib_is_terminal(stdout)};
    struct nib_error err;
    nib_conversation_init(&chat.conversation, model, context, texts->template_source.data);
    nib_conversation_set_system(&chat.conversation, texts->system.data);
    chat.reader = nib_line_reader_create(chat.is_interactive);
    int exit_code = NIB_EXIT_OK;
    if (!chat.reader)
        exit_code = nib_complain(NIB_EXIT_MEMORY, "out of memory at the start; close something");
    else if (nib_text_stream_create(&chat.stream, model, &err) != NIB_OK)
        exit_code = nib_complain_error(&err);
    /* Ctrl-C ends a filter, as it does others. */
    if (exit_code == NIB_EXIT_OK && chat.is_interactive)
        nib_interrupt_catch(context);
    if (exit_code == NIB_EXIT_OK)
        exit_code = converse(&chat);
    nib_interrupt_catch(NULL);
    nib_line_reader_free(chat.reader);
    nib_text_stream_free(chat.stream);
    nib_conversation_free(&chat.conversation);
    nib_buffer_free(&chat.answer_text);
    return exit_code;
}

/* A model that cannot chat says so before anyone has typed. */
static int check_template(const struct nib_model *model, const char *template_source)
{
    const struct nib_chat_message message = {"user", "Hello"};
    struct nib_error err;
    char *text;
    if (nib_chat_format_with(model, template_source, &message, 1, true,
                             nib_settings.template_variables, &text, &err) != NIB_OK)
        return nib_complain_error(&err);
    nib_free(text);
    return NIB_EXIT_OK;
}

static int run(void)
{
    struct nib_chat_texts texts = {0};
    struct nib_model *model = NULL;
    struct nib_context *context;
    int exit_code = nib_settings_check_shift();
    if (exit_code == NIB_EXIT_OK)
        exit_code = nib_settings_read_chat(&texts);
    if (exit_code == NIB_EXIT_OK)
        exit_code = nib_settings_open_model(&model);
    if (exit_code == NIB_EXIT_OK && nib_model_info(model)->has_encoder)
        exit_code =
            nib_complain(NIB_EXIT_USAGE, "a model with an encoder has no conversations; use "
                                         "nibble run");
    if (exit_code == NIB_EXIT_OK)
        exit_code = check_template(model, texts.template_source.data);
    if (exit_code == NIB_EXIT_OK)
        exit_code =
            nib_settings_create_context(&context, model, (uint32_t)nib_settings.n_ctx, 1, 1);
    if (exit_code == NIB_EXIT_OK) {
        exit_code = chat_with(model, context, &texts);
        nib_context_free(context);
    }
    nib_model_close(model);
    nib_chat_texts_free(&texts);
    return exit_code;
}

const struct nib_command nib_command_chat = {
    .name = "chat",
    .summary = "talk with a model",
    .usage = "MODEL.gguf [-sys TEXT] [options]",
    .tables = tables,
    .positional = &nib_settings.model,
    .run = run,
};
