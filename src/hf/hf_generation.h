/* Ids that texts begin and end with, of generation_config.json and config.json. */
#ifndef NIB_HF_GENERATION_H
#define NIB_HF_GENERATION_H

#include "hf_config.h"

/* Into the image: nibble.eos_token_ids; of families with two stacks also
 * ARCH.decoder_start_token_id, tokenizer.ggml.{bos,eos,padding}_token_id,
 * nibble.{forced_bos,forced_eos}_token_id and nibble.bad_token_ids. */
enum nib_status nib_hf_generation_read(struct nib_gguf_image *image, const char *folder,
                                       const struct nib_hf_config *config, struct nib_error *err);

#endif
