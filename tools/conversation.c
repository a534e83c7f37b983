/* See conversation.h. */
#include "conversation.h"
#include "settings.h"
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
    free(conversation->ids);
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
 * Ids of `text`, which goes on where conversation->text ends: *n_kept of the ids held stay in
 * front. A special token between old and new text makes sure that no token could reach over the
 * border.
 */
static enum nib_status tokenize_rest(struct nib_conversation *conversation, const char *text,
                                     int32_t **ids, size_t *n_ids, size_t *n_kept,
                                     struct nib_error *err)
{
    const size_t n_bytes = strlen(text), n_held = conversation->text.n_bytes;
    *n_kept = 0;
    if (n_held > 0 && n_bytes > n_held && memcmp(text, conversation->text.data, n_held) == 0) {
        const enum nib_status status =
            nib_tokenize(conversation->model, text + n_held, n_bytes - n_held, NIB_PARSE_SPECIAL,
                         ids, n_ids, err);
        if (status != NIB_OK)
            return status;
        if (*n_ids > 0 && is_special_at(conversation->model, (*ids)[0], text + n_held)) {
            *n_kept = conversation->n_ids;
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
    while (n < n_held && n < n_ids && conversation->ids[n] == ids[n])
        n++;
    return n;
}

static enum nib_status check_room(const struct nib_conversation *conversation, size_t n_ids,
                                  struct nib_error *err)
{
    const uint32_t n_ctx = nib_context_info(conversation->context)->n_ctx;
    if (n_ids < n_ctx)
        return NIB_OK;
    err->status = NIB_ERROR_CONTEXT;
    snprintf(err->message, sizeof err->message,
             "the conversation has %zu tokens and leaves no room to answer in the context of %u; "
             "start a new one with /clear, or start again with a larger -c",
             n_ids, n_ctx);
    return NIB_ERROR_CONTEXT;
}

enum nib_status nib_conversation_prepare(struct nib_conversation *conversation,
                                         struct nib_answer *answer, struct nib_error *err)
{
    char *text;
    int32_t *ids;
    size_t n_new, n_kept;
    enum nib_status status = nib_chat_format_with(
        conversation->model, conversation->template_source, conversation->messages,
        conversation->n_messages, true, nib_settings.template_variables, &text, err);
    if (status != NIB_OK)
        return status;
    status = tokenize_rest(conversation, text, &ids, &n_new, &n_kept, err);
    if (status == NIB_OK)
        status = check_room(conversation, n_kept + n_new, err);
    else
        ids = NULL;
    if (status == NIB_OK) {
        const size_t n_ids = n_kept + n_new;
        int32_t *all = nib_grow(NULL, n_ids, sizeof *all);
        if (n_kept > 0)
            memcpy(all, conversation->ids, n_kept * sizeof *all);
        memcpy(all + n_kept, ids, n_new * sizeof *all);

        /* The last one is evaluated in any case: its logits are needed. */
        size_t n_common = common_length(conversation, all, n_ids);
        n_common = n_common == n_ids && n_ids > 0 ? n_ids - 1 : n_common;
        nib_sequence_truncate(conversation->context, 0, (uint32_t)n_common);
        free(conversation->ids);
        conversation->ids = all;
        conversation->n_ids = n_ids;
        conversation->text.n_bytes = 0;
        nib_buffer_add(&conversation->text, text, strlen(text));
        *answer = (struct nib_answer){.prompt = all + n_common, .n_prompt = n_ids - n_common};
    }
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
    if (n_new > 0) {
        conversation->ids =
            nib_grow(conversation->ids, conversation->n_ids + n_new, sizeof *conversation->ids);
        memcpy(conversation->ids + conversation->n_ids, answer->ids, n_new * sizeof *answer->ids);
        conversation->n_ids += n_new;
    }
}
