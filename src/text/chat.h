/* A conversation as the text that its model was trained on. */
#ifndef NIB_CHAT_H
#define NIB_CHAT_H

#include "common.h"

/*
 * Render the chat template `source` with the messages and what templates expect besides them:
 * add_generation_prompt, bos_token and eos_token (left undefined where their data is NULL), and the
 * local time.  `more` is a JSON object of further variables, which win over those; or has no data.
 * Bytes that are not UTF-8 become U+FFFD.  *text is zero-terminated, to be released with
 * nib_free().
 */
enum nib_status nib_chat_render(struct nib_str source, const struct nib_chat_message *messages,
                                size_t n, bool add_generation_prompt, struct nib_str more,
                                struct nib_str bos_token, struct nib_str eos_token, char **text,
                                struct nib_error *err);

#endif
