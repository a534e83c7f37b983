/*
 * Splits text into the words that byte-level BPE works on, by the pattern of the model's own
 * tokenizer, which a GGUF file names in tokenizer.ggml.pre.  The patterns run on PCRE2.
 */
#ifndef NIB_PRETOKENIZER_H
#define NIB_PRETOKENIZER_H

#include "common.h"

struct nib_pretokenizer;

struct nib_pretokenizer_traits {
    const char *name;
    bool adds_bos;          /* unless the file says otherwise */
    bool takes_whole_words; /* a word that is a token is that token, whatever the merges give */
    bool cleans_spaces;     /* see nib_clean_spaces() */
};

/* What matching works in: one thread's, zeroed at first. */
struct nib_split_scratch {
    void *match_data, *match_context;
};

/* Fails for a name that is not known; `path` is for the error. */
enum nib_status nib_pretokenizer_create(struct nib_pretokenizer **out, struct nib_str name,
                                        const char *path, struct nib_error *err);
void nib_pretokenizer_free(struct nib_pretokenizer *pretokenizer);
void nib_split_scratch_free(struct nib_split_scratch *scratch);

const struct nib_pretokenizer_traits *nib_pretokenizer_traits(
    const struct nib_pretokenizer *pretokenizer);

typedef enum nib_status nib_word_fn(void *data, struct nib_str word, struct nib_error *err);

/* Call `word` for the parts of `text`, valid UTF-8, in order; they cover all of it. */
enum nib_status nib_pretokenizer_split(const struct nib_pretokenizer *pretokenizer,
                                       struct nib_split_scratch *scratch, struct nib_str text,
                                       nib_word_fn *word, void *data, struct nib_error *err);

#endif
