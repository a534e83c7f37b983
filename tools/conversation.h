/*
 * A conversation: its messages, and what of it the context already holds.
 *
 * Each turn the whole conversation is rendered with the chat template.  Where the text begins with
 * what the context holds (the latest prompt and the answer to it), only the rest is tokenized and
 * evaluated, and the answer keeps the ids that were generated: tokenizing its text could give
 * others. Where a template changes earlier text, all is tokenized and the ids in common are kept.
 *
 * With --context-shift ids are forgotten when there is no room: here to begin an answer, by
 * nib_generate() within one.
 */
#ifndef NIB_CONVERSATION_H
#define NIB_CONVERSATION_H

#include "generate.h"
#include "input.h"
#include "nibble.h"

struct nib_ids {
    int32_t *ids;
    size_t n;
};

struct nib_conversation {
    const struct nib_model *model;
    struct nib_context *context;
    const char *template_source; /* NULL: the model's own */

    struct nib_chat_message *messages; /* role is a literal, content owned */
    size_t n_messages;

    struct nib_buffer text; /* the latest prompt and answer */
    struct nib_ids all;     /* the same */
    struct nib_ids held;    /* and what shifts left of it; the context has the first of them, maybe
                               not all */
    size_t n_first;         /* ids of the first prompt */
};

void nib_conversation_init(struct nib_conversation *conversation, const struct nib_model *model,
                           struct nib_context *context, const char *template_source);
void nib_conversation_free(struct nib_conversation *conversation);

/* Sets, replaces or (NULL) removes the system message, which is the first. */
void nib_conversation_set_system(struct nib_conversation *conversation, const char *content);
void nib_conversation_add(struct nib_conversation *conversation, const char *role,
                          const char *content, size_t n_bytes);
/* Removes the last message if it is `role`'s. */
bool nib_conversation_remove_last(struct nib_conversation *conversation, const char *role);
/* Removes all messages but the system's. */
void nib_conversation_clear(struct nib_conversation *conversation);

/*
 * Make the context ready for the next answer: *answer gets the ids to evaluate (valid until
 * the next call) and how many shifts leave, conversation->all those of all.  NIB_ERROR_CONTEXT when
 * there is no room to answer.
 */
enum nib_status nib_conversation_prepare(struct nib_conversation *conversation,
                                         struct nib_answer *answer, struct nib_error *err);
/* Add the answer: its text as a message, its ids to what is held. */
void nib_conversation_add_answer(struct nib_conversation *conversation,
                                 const struct nib_answer *answer, const char *text, size_t n_bytes);

#endif
