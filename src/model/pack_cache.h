/*
 * Packed forms of models that were opened before, in a folder of the user's:
 *
 *     FOLDER/NAME-HASH.gguf      the model NAME whose identity has that hash
 *
 * The identity is what makes a packed form the right one: the source's path, the size and time of
 * its files, and the type of the weights asked for.  It stands in the file as nibble.pack.source
 * and is compared in full.  A file gets its name when it is complete, so that processes that read
 * and write at once never see parts; a file removed while it is mapped stays for who has it.
 */
#ifndef NIB_PACK_CACHE_H
#define NIB_PACK_CACHE_H

#include "model.h"

/* nib_model_open() with params->cache.  After the first time the packed form is written by a thread
 * of its own, which nib_pack_keeper_end() waits for. */
enum nib_status nib_pack_cache_open(struct nib_model **out, const char *path,
                                    const struct nib_model_params *params, struct nib_error *err);
void nib_pack_keeper_end(struct nib_pack_keeper *keeper); /* NULL is fine */

#endif
