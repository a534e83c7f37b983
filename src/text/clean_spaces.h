/*
 * The clean-up that some published tokenizers do after decoding (clean_up_tokenization_spaces of
 * transformers): "how are you ?" becomes "how are you?".  It loses blanks that were in the text, so
 * it is done on request only.
 */
#ifndef NIB_CLEAN_SPACES_H
#define NIB_CLEAN_SPACES_H

#include "common.h"

/*
 * Take out, in place, the blank before each of . ? ! , then both blanks of " ' ", then the blank
 * before 's 'm 're 've.  Gives the new length.
 */
size_t nib_clean_spaces(char *text, size_t n);

#endif
