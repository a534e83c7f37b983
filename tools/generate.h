/*
 * Generation: tokens are evaluated, the next is chosen, until an end token or a limit.  One step
 * computes one token of every sequence that still runs.
 */
#ifndef NIB_GENERATE_H
#define NIB_GENERATE_H

#include "input.h"
#include "nibble.h"

struct nib_trace;

struct nib_answer {
    /* in: evaluated first, at least one id, after what the context holds of this sequence */
    const int32_t *prompt;
    size_t n_prompt;
    struct nib_sampler *sampler;
    int64_t max_new; /* ids to generate at most; -1: no limit */
    bool is_cut;     /* more were wanted, but that is what the context has room for */
    uint32_t n_keep; /* ids at the beginning of the sequence that shifts leave */
    size_t number;   /* for the trace and notes */

    /* out; to be released with nib_answer_free() */
    int32_t *ids; /* an end token that stopped it is the last of them */
    double *logprobs;
    struct nib_id_logprob *top; /* [n_ids * n_top]: the best ids of every step */
    size_t n_ids;
    bool has_ended;       /* by an end token */
    uint64_t n_forgotten; /* by shifts, behind the first n_keep */
    bool has_no_room;     /* the context is full */
};

struct nib_generation {
    const struct nib_model *model;
    struct nib_context *context;
    bool ignores_end;
    bool shifts;             /* a full context forgets, with a note, instead of ending the answer */
    bool has_many;           /* notes say which answer they are about */
    size_t n_top;            /* log-probabilities to keep beside that of the token chosen */
    struct nib_trace *trace; /* NULL: none */
    /* Called for every token chosen; false stops everything.  May be NULL. */
    bool (*on_token)(void *data, int32_t id);
    void *data;
};

struct nib_timing {
    size_t n_prompt, n_generated;
    size_t n_steps, n_decoded; /* evaluations of one token a sequence, and their tokens */
    double prompt_s, first_token_s, generation_s; /* generation: of the steps alone */
    size_t n_shifts, n_shifted;                   /* and tokens that they computed anew */
    double shift_s;
    uint64_t n_positions; /* of the KV cache, read by all steps together */
};

/* Sequence i of the context belongs to answers[i]; its source, where the model has an encoder, has
 * been encoded.  An answer of the maximum length ends with the id that the model forces there.
 * After Ctrl-C: NIB_ERROR_CANCELLED, with what was generated so far in place. */
enum nib_status nib_generate(const struct nib_generation *generation, struct nib_answer *answers,
                             size_t n_answers, struct nib_timing *timing, struct nib_error *err);
void nib_answer_free(struct nib_answer *answer);

/* The text of ids, whole characters only; of a model without a tokenizer, the ids with blanks
 * between. */
enum nib_status nib_text_of(const struct nib_model *model, const int32_t *ids, size_t n_ids,
                            struct nib_buffer *out, struct nib_error *err);

/* "prompt 17 tokens, 412.3 tokens/s | ..." as a note; measures the memory's bandwidth for it. */
void nib_note_timing(const struct nib_model *model, struct nib_context *context,
                     const struct nib_timing *timing);

#endif
