/* What other files of src/run need of a context. */
#ifndef NIB_CONTEXT_H
#define NIB_CONTEXT_H

#include "common.h"

struct nib_team;

struct nib_team *nib_context_team(struct nib_context *context);

#endif
