/*
 * The decoders of a tokenizer.json, as a chain that tokens go through one by one, so that a stream
 * and a whole sequence give the same text: a stage gives on what later tokens cannot change.
 *
 * Tokens become other tokens from stage to stage (ByteLevel and Fuse make one of all), so a stage
 * is told of the text of a token in pieces of whole characters, and of its end.
 */
#ifndef NIB_HF_DECODER_H
#define NIB_HF_DECODER_H

#include "scratch.h"

#include <yyjson.h>

struct nib_hf_decoder;
struct nib_hf_decoding; /* one sequence on its way */

/* `json` may be NULL or null: tokens are joined with blanks. */
enum nib_status nib_hf_decoder_create(struct nib_hf_decoder **out, yyjson_val *json,
                                      const char *path, struct nib_error *err);
void nib_hf_decoder_free(struct nib_hf_decoder *decoder);

enum nib_status nib_hf_decoding_create(struct nib_hf_decoding **out,
                                       const struct nib_hf_decoder *decoder, struct nib_error *err);
void nib_hf_decoding_free(struct nib_hf_decoding *decoding);

/* Append to `text` what the next token (valid UTF-8) settles, and in the end the rest.  After the
 * end a new sequence may begin. */
enum nib_status nib_hf_decoding_push(struct nib_hf_decoding *decoding, struct nib_str token,
                                     struct nib_buffer *text, struct nib_error *err);
enum nib_status nib_hf_decoding_end(struct nib_hf_decoding *decoding, struct nib_buffer *text,
                                    struct nib_error *err);

#endif
