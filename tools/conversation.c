/* See conversation.h. */
#include "conversation.h"
#include "settings.h"
#include "shift_settings.h"
#include "terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void nib_conversation_init(struct nib_conversation *conversation, const struct nib_model *model,
                           struct nib_context *context, const char *template_source)
{
    *conversation = (struct nib_conversation){
        .model = model, .context = context, .template_source = template_source};
}

static void free_content(struct nib_chat_message *message)
{
    free((void *)(uintptr_t)message->content);
}

void nib_conversation_free(struct nib_conversation *conversation)
{
    for (size_t i = 0; i < conversation->n_messages; i++)
        free_content(&conversation->messages[i]);
    free(conversation->messages);
    free(conversation->all.ids);
    free(conversation->held.ids);
    nib_buffer_free(&conversation->text);
}

/* ---- messages ------------------------------------------------------------------------------- */

static void insert_message(struct nib_conversation *conversation, size_t at, const char *role,
                           const char *content, size_t n_bytes)
{
    char *copy = nib_grow(NULL, n_bytes + 1, 1);
    memcpy(copy, content, n_bytes);
    copy[n_bytes] = 0;
    conversation->messages = nib_grow(conversation->messages, conversation->n_messages + 1,
                                      sizeof *conversation->messages);
    memmove(conversation->messages + at + 1, conversation->messages + at,
            (conversation->n_messages - at) * sizeof *conversation->messages);
    conversation->messages[at] = (struct nib_chat_message){role, copy};
    conversation->n_messages++;
}

static void remove_message(struct nib_conversation *conversation, size_t at)
{
    free_content(&conversation->messages[at]);
    conversation->n_messages--;
    memmove(conversation->messages + at, conversation->messages + at + 1,
            (conversation->n_messages - at) * sizeof *conversation->messages);
}

static bool has_system(const struct nib_conversation *conversation)
{
    return conversation->n_messages > 0 && strcmp(conversation->messages[0].role, "system") == 0;
}

void nib_conversation_set_system(struct nib_conversation *conversation, const char *content)
{
    if (has_system(conversation))
        remove_message(conversation, 0);
    if (content)
        insert_message(conversation, 0, "system", content, strlen(content));
}

void nib_conversation_add(struct nib_conversation *conversation, const char *role,
                          const char *content, size_t n_bytes)
{
    insert_message(conversation, conversation->n_messages, role, content, n_bytes);
}

bool nib_conversation_remove_last(struct nib_conversation *conversation, const char *role)
{
    const size_t n = conversation->n_messages;
    if (n == 0 || strcmp(conversation->messages[n - 1].role, role) != 0)
        return false;
    remove_message(conversation, n - 1);
    return true;
}

void nib_conversation_clear(struct nib_conversation *conversation)
{
    const size_t n_kept = has_system(conversation);
    while (conversation->n_messages > n_kept)
        remove_message(conversation, conversation->n_messages - 1);
}

/* ---- ids ------------------------------------------------------------------------------------- */

static void add_ids(struct nib_ids *to, const int32_t *ids, size_t n)
{
    if (n == 0)
        return;
    to->ids = nib_grow(to->ids, to->n + n, sizeof *to->ids);
    memcpy(to->ids + to->n, ids, n * sizeof *ids);
    to->n += n;
}

static void forget_ids(struct nib_ids *from, size_t n_keep, size_t n)
{
    memmove(from->ids + n_keep, from->ids + n_keep + n, (from->n - n_keep - n) * sizeof *from->ids);
    from->n -= n;
}

/* ---- what the context holds ----------------------------------------------------------------- */

/* Is `id` a special token whose name `text` begins with?  A blank alone may print as nothing too.
 */
static bool is_special_at(const struct nib_model *model, int32_t id, const char *text)
{
    const char *name = nib_token_name(model, id);
    char *printed;
    size_t n_bytes;
    if (!name || strncmp(text, name, strlen(name)) != 0 ||
        nib_detokenize(model, &id, 1, 0, &printed, &n_bytes, NULL) != NIB_OK)
        return false;
    nib_free(printed);
    return n_bytes == 0;
}

/*
 * Ids of `text`; where it goes on from conversation->text, those of the rest alone, and the ids
 * held stay in front (*goes_on). A special token between old and new text makes sure that no token
 * could reach over the border.
 */
static enum nib_status tokenize_rest(struct nib_conversation *conversation, const char *text,
                                     int32_t **ids, size_t *n_ids, bool *goes_on,
                                     struct nib_error *err)
{
    const size_t n_bytes = strlen(text), n_held = conversation->text.n_bytes;
    *goes_on = false;
    if (n_held > 0 && n_bytes > n_held && memcmp(text, conversation->text.data, n_held) == 0) {
        const enum nib_status status =
            nib_tokenize(conversation->model, text + n_held, n_bytes - n_held, NIB_PARSE_SPECIAL,
                         ids, n_ids, err);
        if (status != NIB_OK)
            return status;
        if (*n_ids > 0 && is_special_at(conversation->model, (*ids)[0], text + n_held)) {
            *goes_on = true;
            return NIB_OK;
        }
        nib_free(*ids);
    }
    return nib_tokenize(conversation->model, text, n_bytes, NIB_PARSE_SPECIAL, ids, n_ids, err);
}

/* How many of the ids that the context holds begin `ids` as well. */
static size_t common_length(const struct nib_conversation *conversation, const int32_t *ids,
                            size_t n_ids)
{
    const size_t n_held = nib_sequence_length(conversation->context, 0);
    size_t n = 0;
    while (n < n_held && n < n_ids && conversation->held.ids[n] == ids[n])
        n++;
    return n;
}

/* Ids at the end of a prompt that are not to be forgotten: the message that is to be answered. */
static size_t count_new(const struct nib_conversation *conversation, size_t n_prompt)
{
    const struct nib_chat_message *last = &conversation->messages[conversation->n_messages - 1];
    int32_t *ids;
    size_t n;
    if (conversation->n_messages < 3 ||
        nib_tokenize(conversation->model, last->content, strlen(last->content), NIB_PARSE_SPECIAL,
                     &ids, &n, NULL) != NIB_OK)
        return n_prompt;
    nib_free(ids);
    return n;
}

/* Forget ids of the middle until there is room to answer; the last n_new stay. */
static void make_room(const struct nib_conversation *conversation, struct nib_ids *prompt,
                      size_t n_keep, size_t n_new)
{
    const uint32_t n_ctx = nib_context_info(conversation->context)->n_ctx;
    if (!nib_settings_wants_shift() || prompt->n < n_ctx || n_keep + n_new >= n_ctx)
        return;
    struct nib_shift shift = nib_shift_of(prompt->n, n_keep);
    const size_t least = prompt->n - n_ctx + 1, most = prompt->n - n_keep - n_new;
    if (shift.n_discard < least)
        shift.n_discard = least;
    if (shift.n_discard > most)
        shift.n_discard = most;
    forget_ids(prompt, n_keep, shift.n_discard);
    char text[160];
    nib_shift_describe(&shift, text, sizeof text);
    nib_note("%s", text);
}

static enum nib_status check_room(const struct nib_conversation *conversation, size_t n_ids,
                                  struct nib_error *err)
{
    const uint32_t n_ctx = nib_context_info(conversation->context)->n_ctx;
    if (n_ids < n_ctx)
        return NIB_OK;
    err->status = NIB_ERROR_CONTEXT;
    if (nib_settings_wants_shift())
        snprintf(err->message, sizeof err->message,
                 "the message and what is kept leave no room to answer in the context of %u "
                 "tokens; shorten it, or start again with a larger -c",
                 n_ctx);
    else
        snprintf(err->message, sizeof err->message,
                 "the conversation has %zu tokens and leaves no room to answer in the context of "
                 "%u; start a new one with /clear, or start again with a larger -c or with "
                 "--context-shift",
                 n_ids, n_ctx);
    return NIB_ERROR_CONTEXT;
}

/* What the context holds of the prompt stays. */
static void hold(struct nib_conversation *conversation, const struct nib_ids *prompt,
                 struct nib_answer *answer)
{
    /* The last one is evaluated in any case: its logits are needed. */
    size_t n_common = common_length(conversation, prompt->ids, prompt->n);
    n_common = n_common == prompt->n && prompt->n > 0 ? prompt->n - 1 : n_common;
    nib_sequence_truncate(conversation->context, 0, (uint32_t)n_common);
    free(conversation->held.ids);
    conversation->held = *prompt;
    answer->prompt = prompt->ids + n_common;
    answer->n_prompt = prompt->n - n_common;
}

/* `text` is the prompt, `ids` what is new in it, or all of it. */
static enum nib_status take_prompt(struct nib_conversation *conversation, const char *text,
                                   const int32_t *ids, size_t n_ids, bool goes_on,
                                   struct nib_answer *answer, struct nib_error *err)
{
    const size_t n_before = goes_on ? conversation->all.n : 0;
    const bool is_first = conversation->n_messages < 3; /* no answer yet */
    struct nib_ids prompt = {0};
    if (goes_on)
        add_ids(&prompt, conversation->held.ids, conversation->held.n);
    add_ids(&prompt, ids, n_ids);
    const size_t n_first = is_first ? prompt.n : conversation->n_first;
    const uint32_t n_keep =
        nib_settings_keep(conversation->model, prompt.ids, n_first < prompt.n ? n_first : prompt.n);
    make_room(conversation, &prompt, n_keep, goes_on ? n_ids : count_new(conversation, prompt.n));
    const enum nib_status status = check_room(conversation, prompt.n, err);
    if (status != NIB_OK) {
        free(prompt.ids);
        return status;
    }
    *answer = (struct nib_answer){.n_keep = n_keep};
    hold(conversation, &prompt, answer);
    conversation->n_first = n_first;
    conversation->all.n = n_before;
    add_ids(&conversation->all, ids, n_ids);
    conversation->text.n_bytes = 0;
    nib_buffer_add(&conversation->text, text, strlen(text));
    return NIB_OK;
}

enum nib_status nib_conversation_prepare(struct nib_conversation *conversation,
                                         struct nib_answer *answer, struct nib_error *err)
{
    char *text;
    int32_t *ids = NULL;
    size_t n_ids;
    bool goes_on;
    enum nib_status status = nib_chat_format_with(
        conversation->model, conversation->template_source, conversation->messages,
        conversation->n_messages, true, nib_settings.template_variables, &text, err);
    if (status != NIB_OK)
        return status;
    status = tokenize_rest(conversation, text, &ids, &n_ids, &goes_on, err);
    if (status == NIB_OK)
        status = take_prompt(conversation, text, ids, n_ids, goes_on, answer, err);
    nib_free(ids);
    nib_free(text);
    return status;
}

void nib_conversation_add_answer(struct nib_conversation *conversation,
                                 const struct nib_answer *answer, const char *text, size_t n_bytes)
{
    /* The template writes the end token itself. */
    const size_t n_new = answer->n_ids - answer->has_ended;
    nib_conversation_add(conversation, "assistant", text, n_bytes);
    nib_buffer_add(&conversation->text, text, n_bytes);
    add_ids(&conversation->all, answer->ids, n_new);
    add_ids(&conversation->held, answer->ids, n_new);
    if (answer->n_forgotten > 0)
        forget_ids(&conversation->held, answer->n_keep, answer->n_forgotten);
}
