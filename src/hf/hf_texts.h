/* What a folder has for text: tokenizer and chat template. */
#ifndef NIB_HF_TEXTS_H
#define NIB_HF_TEXTS_H

#include "hf_config.h"

/* Into the image, as far as there are files:
 *     tokenizer.huggingface.json, nibble.tokenizer.config (strings: the files as they are),
 *     or nibble.tokenizer.model (bytes of a SentencePiece model), or what hf_vocab_files.h makes,
 *     nibble.languages.*, tokenizer.chat_template, general.name */
enum nib_status nib_hf_texts_read(struct nib_gguf_image *image, const char *folder,
                                  const struct nib_hf_config *config, struct nib_error *err);

#endif
