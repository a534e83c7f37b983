/* What --src-lang and --tgt-lang mean for a model: keys nibble.languages.*, see hf_languages.c. */
#ifndef NIB_HF_LANGUAGES_H
#define NIB_HF_LANGUAGES_H

#include "hf_vocab_files.h"

void nib_hf_put_languages(const struct nib_hf_vocab_source *source);

#endif
