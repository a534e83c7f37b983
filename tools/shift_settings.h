/*
 * Context shift: its options, and what is forgotten when a context is full.
 */
#ifndef NIB_SHIFT_SETTINGS_H
#define NIB_SHIFT_SETTINGS_H

#include "nibble.h"
#include "options.h"

extern const struct nib_option nib_options_shift[];

int nib_settings_check_shift(void);
bool nib_settings_wants_shift(void);

/* Ids at the beginning of a sequence that shifts leave: of its prompt (with an encoder: of what
 * answers begin with, which is always kept). */
uint32_t nib_settings_keep(const struct nib_model *model, const int32_t *prompt, size_t n_prompt);

struct nib_shift {
    size_t length; /* of the sequence before */
    size_t n_keep, n_discard;
};

/* Half of what is not kept is forgotten, at least one id; none where all is kept. */
struct nib_shift nib_shift_of(size_t length, size_t n_keep);

/* "context full: forgot 1024 of 2048 ids, kept the first 4" */
void nib_shift_describe(const struct nib_shift *shift, char *out, size_t size);

#endif
