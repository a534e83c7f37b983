/* What nibble run writes of a line: its answer as text, or as a line of JSON. */
#ifndef NIB_RUN_OUTPUT_H
#define NIB_RUN_OUTPUT_H

#include "generate.h"
#include "run_lines.h"
#include "token_texts.h"

struct nib_run_output {
    const struct nib_model *model;
    struct nib_token_texts texts;
    bool is_json;
    int64_t n_logprobs; /* alternatives of each step, for JSON; -1: none */
};

void nib_run_output_create(struct nib_run_output *out, const struct nib_model *model, bool is_json,
                           int64_t n_logprobs);
void nib_run_output_free(struct nib_run_output *output);

/* These add what is written of the line with this number to *out; they complain when they fail and
 * return an exit code. */
int nib_run_write_answer(struct nib_run_output *output, const struct nib_line *line,
                         const struct nib_answer *answer, struct nib_buffer *out);
int nib_run_write_best(struct nib_run_output *output, const struct nib_line *line, size_t number,
                       const struct nib_beam_output *found, uint32_t n_best,
                       struct nib_buffer *out);
/* Of a line without text, or with an error. */
int nib_run_write_nothing(struct nib_run_output *output, const struct nib_line *line, size_t number,
                          struct nib_buffer *out);

#endif
