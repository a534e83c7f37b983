/*
 * Models of many languages: where the token of the source's language and that of the target's go.
 * The model's metadata says it in nibble.languages.{source,target,format}.
 */
#ifndef NIB_LANGUAGES_H
#define NIB_LANGUAGES_H

#include "nibble.h"

enum nib_language_place {
    NIB_LANGUAGE_NOWHERE,       /* not asked for: the tokenizer adds what it adds */
    NIB_LANGUAGE_PREFIX,        /* LANGUAGE text </s> */
    NIB_LANGUAGE_SUFFIX,        /* text </s> LANGUAGE */
    NIB_LANGUAGE_FORCED_BOS,    /* the first id behind the decoder's start */
    NIB_LANGUAGE_DECODER_START, /* the decoder's start itself */
    NIB_LANGUAGE_SOURCE_PREFIX, /* of the target, before the source's text */
};

struct nib_languages {
    enum nib_language_place source, target;
    int32_t source_id, target_id;
};

/* What --src-lang and --tgt-lang (NULL: not given) mean for this model.  Complains about languages
 * that it does not have; returns an exit code. */
int nib_languages_find(struct nib_languages *out, const struct nib_model *model, const char *source,
                       const char *target);

#endif
