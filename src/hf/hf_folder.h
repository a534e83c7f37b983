/*
 * A model as Hugging Face publishes it, seen as GGUF: the keys, names and shapes that llama.cpp's
 * converter gives that family, with tensors that point into the mapped .safetensors files, through
 * views where their values lie in another order.  Nothing is converted or copied but what is small.
 *
 *     hf_config.c      config.json -> keys; hf_families.c: the families; hf_rope.c: rotary
 * positions; hf_two_stacks.c: encoder and decoder hf_weights.c     the files of weights, and their
 * index hf_tensors.c     names; hf_views.c: where the values lie; hf_sinusoids.c: positions
 *     hf_texts.c       tokenizer files, chat template; hf_bpe_files.c, hf_spm_files.c: tokenizers
 * of other files; hf_languages.c: where tokens of languages stand hf_generation.c  ids that texts
 * begin and end with
 */
#ifndef NIB_HF_FOLDER_H
#define NIB_HF_FOLDER_H

#include "gguf.h"

/* Is it a folder, or the config.json, the weights or their index in a folder with a config.json? */
bool nib_hf_is_folder(const char *path);

/* `path` as nib_hf_is_folder() takes it.  To be closed with nib_gguf_close(); nib_gguf_path() is
 * the folder. */
enum nib_status nib_hf_open(struct nib_gguf **out, const char *path, struct nib_error *err);

#endif
