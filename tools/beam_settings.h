/* The options of beam search, and the parameters that are made of them and of those of sampling. */
#ifndef NIB_BEAM_SETTINGS_H
#define NIB_BEAM_SETTINGS_H

#include "nibble.h"
#include "options.h"

extern const struct nib_option nib_options_beams[];

void nib_settings_init_beams(void); /* the library's defaults; before options are read */

/* Was --beams given? */
bool nib_settings_wants_beams(void);

/* Complains about options that do not go together; before the model is opened. */
int nib_settings_check_beams(void);

/* What the options ask for, but for max_new.  What `out` points to stays until the program ends.
 * Complains when it fails and returns an exit code. */
int nib_settings_beam_params(struct nib_beam_params *out, const struct nib_model *model);

#endif
