/*
 * The answers to lines: some at a time, those of models with an encoder sorted by the length of
 * their sources, chosen token by token or searched with beams, and written in the order of the
 * lines.
 */
#ifndef NIB_RUN_JOB_H
#define NIB_RUN_JOB_H

#include "run_lines.h"
#include "run_output.h"
#include "trace.h"

struct nib_run_job {
    const struct nib_model *model;
    const struct nib_run_lines *lines; /* with their limits */
    struct nib_run_output *output;
    struct nib_trace *trace;             /* NULL: none */
    const struct nib_beam_params *beams; /* NULL: answers are chosen token by token */
    uint32_t n_ctx;                      /* 0: as nib_settings_create_context() has it */
    size_t n_parallel;                   /* lines at once */
    bool ignores_end;
    bool is_exact; /* lengths were asked for: to stop earlier in a full context is an error */
    bool streams;  /* the only line's text is printed as it comes */
};

/* Complains when something fails and returns an exit code. */
int nib_run_lines_answer(const struct nib_run_job *job);

#endif
