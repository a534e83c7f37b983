/* The commands that nibble.c knows, one a file. */
#ifndef NIB_COMMANDS_H
#define NIB_COMMANDS_H

#include "options.h"

extern const struct nib_command nib_command_run, nib_command_chat, nib_command_inspect,
    nib_command_tokenize, nib_command_score, nib_command_quantize, nib_command_pack,
    nib_command_bench;

#endif
