/*
 * The loop made visible: nibble run --trace.  Each choice of a token is shown with what went in,
 * the best candidates, what the stages of the chain left, and the random number; each shift of the
 * context; each step of a beam search with its hypotheses.  As text, or as JSON, one object a line.
 */
#ifndef NIB_TRACE_H
#define NIB_TRACE_H

#include "shift_settings.h"
#include "token_texts.h"

enum nib_trace_format { NIB_TRACE_OFF, NIB_TRACE_TEXT, NIB_TRACE_JSON };

struct nib_trace {
    enum nib_trace_format format;
    size_t n_candidates; /* to show */
    struct nib_token_texts texts;
};

void nib_trace_create(struct nib_trace *out, enum nib_trace_format format, size_t n_candidates,
                      const struct nib_model *model);
void nib_trace_free(struct nib_trace *trace);

struct nib_trace_step {
    size_t step; /* from 0 */
    size_t sequence;
    const int32_t *input; /* ids evaluated for this sequence in this step; decoder-only: the prompt,
                             then the latest token */
    size_t n_input, position; /* of the first of them in the sequence */
    size_t n_rows;            /* rows of logits that the evaluation gave, all sequences together */
    const float *logits;      /* the row of this sequence, [n_vocab] */
    const struct nib_sampler *sampler; /* made with wants_report */
    struct nib_choice choice;
};

/* These return false when standard output is gone. */
bool nib_trace_choice(struct nib_trace *trace, const struct nib_trace_step *step);

/* Before step `step`. */
bool nib_trace_shift(struct nib_trace *trace, size_t step, size_t sequence,
                     const struct nib_shift *shift);

bool nib_trace_hypotheses(struct nib_trace *trace, size_t step, size_t sequence,
                          const struct nib_hypothesis *hypotheses, size_t n);

#endif
