/* The phrases that beam search is to force, from --force-words and --force-ids. */
#ifndef NIB_PHRASE_SETTINGS_H
#define NIB_PHRASE_SETTINGS_H

#include "nibble.h"
#include "options.h"

/* What `out` gets stays until the program ends.  Complains when it fails and returns an exit
 * code. */
int nib_settings_add_phrases(struct nib_beam_params *out, const struct nib_model *model,
                             const struct nib_words *words, const struct nib_words *ids);

#endif
