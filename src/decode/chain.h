/*
 * The order of the stages that may be chosen.  The names of nib_sampler_params.samplers are those
 * of llama.cpp and Hugging Face.
 */
#ifndef NIB_CHAIN_H
#define NIB_CHAIN_H

#include "filters.h"

/* A stage is a filter (enum nib_filter), or one of these. */
enum {
    NIB_STAGE_PENALTIES = NIB_FILTER_COUNT,
    NIB_STAGE_DRY,
    NIB_STAGE_COUNT,
};

struct nib_chain {
    size_t n;
    uint8_t stages[NIB_STAGE_COUNT];
};

/* The stages that `names` lists, else the usual ones; mirostat, if used, is one of them. */
enum nib_status nib_chain_parse(struct nib_chain *out, const char *names, bool uses_mirostat,
                                struct nib_error *err);

const char *nib_stage_name(size_t stage); /* "top-k" */

#endif
