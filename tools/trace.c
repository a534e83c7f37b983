/* See trace.h. */
#include "trace.h"
#include "terminal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void nib_trace_create(struct nib_trace *out, enum nib_trace_format format, size_t n_candidates,
                      const struct nib_model *model)
{
    *out = (struct nib_trace){.format = format, .n_candidates = n_candidates};
    if (format != NIB_TRACE_OFF)
        nib_token_texts_create(&out->texts, model);
}

void nib_trace_free(struct nib_trace *trace)
{
    nib_token_texts_free(&trace->texts);
}

/* The best ids of the row, and the one chosen if it is not among them; to be freed. */
static struct nib_id_logprob *candidates_of(const struct nib_trace *trace,
                                            const struct nib_trace_step *step, size_t *n)
{
    const size_t n_vocab = nib_model_info(trace->texts.model)->n_vocab;
    struct nib_id_logprob *list = nib_grow(NULL, trace->n_candidates + 1, sizeof *list);
    *n = nib_top_logprobs(step->logits, n_vocab, trace->n_candidates, list);
    for (size_t i = 0; i < *n; i++)
        if (list[i].id == step->choice.id)
            return list;
    list[(*n)++] = (struct nib_id_logprob){step->choice.id,
                                           nib_logprob(step->logits, n_vocab, step->choice.id)};
    return list;
}

/* ---- text ----------------------------------------------------------------------------------- */

static void print_token(struct nib_trace *trace, int32_t id)
{
    const char *text = nib_token_text(&trace->texts, id);
    printf("%d \"", id);
    nib_print_escaped(stdout, text, strlen(text));
    putchar('"');
}

/* The ends of a long list are enough to see where it stands. */
static void print_ids(struct nib_trace *trace, const int32_t *ids, size_t n)
{
    enum { HEAD = 3, TAIL = 8 };
    for (size_t i = 0; i < n; i++) {
        if (n > HEAD + TAIL + 1 && i == HEAD) {
            printf("  ... %zu more ...", n - HEAD - TAIL);
            i = n - TAIL;
        }
        printf("  ");
        print_token(trace, ids[i]);
    }
    putchar('\n');
}

static void print_stage(const struct nib_sampler_stage *stage)
{
    printf("  %-12s", stage->name);
    if (stage->value != 0)
        printf(" %-8.4g", stage->value);
    else
        printf(" %-8s", "");
    if (stage->n_after < stage->n_before)
        printf(" %zu -> %zu ids with %.4g of the probability", stage->n_before, stage->n_after,
               stage->mass);
    else
        printf(" all %zu ids left", stage->n_after);
    if (stage->n_changed > 0)
        printf(", %zu logits changed", stage->n_changed);
    if (stage->random >= 0)
        printf(", random number %.6f", stage->random);
    putchar('\n');
}

static bool print_choice(struct nib_trace *trace, const struct nib_trace_step *step)
{
    const struct nib_sampler_report *report = nib_sampler_report(step->sampler);
    size_t n;
    struct nib_id_logprob *candidates = candidates_of(trace, step, &n);
    printf("step %zu, sequence %zu, %zu id%s from position %zu on:", step->step, step->sequence,
           step->n_input, step->n_input == 1 ? "" : "s", step->position);
    print_ids(trace, step->input, step->n_input);
    printf("  logits [%zu, %u]; probability by the model, after the chain:\n", step->n_rows,
           nib_model_info(trace->texts.model)->n_vocab);
    for (size_t i = 0; i < n; i++) {
        const double p = nib_sampler_probability(step->sampler, candidates[i].id);
        printf("  %c %10.6f %10.6f  ", candidates[i].id == step->choice.id ? '*' : ' ',
               exp(candidates[i].logprob), p);
        print_token(trace, candidates[i].id);
        putchar('\n');
    }
    free(candidates);
    for (size_t i = 0; report && i < report->n_stages; i++)
        print_stage(&report->stages[i]);
    if (report && report->random >= 0)
        printf("  random number %.6f", report->random);
    else
        printf("  the largest logit");
    printf(" -> ");
    print_token(trace, step->choice.id);
    printf(", log-probability %.6f\n", step->choice.logprob);
    return nib_print("\n", 1);
}

static bool print_shift(size_t step, size_t sequence, const struct nib_shift *shift)
{
    char text[160];
    nib_shift_describe(shift, text, sizeof text);
    printf("step %zu, sequence %zu, %s\n", step, sequence, text);
    return nib_print("\n", 1);
}

static bool print_hypotheses(struct nib_trace *trace, size_t step, size_t sequence,
                             const struct nib_hypothesis *hypotheses, size_t n)
{
    printf("step %zu, sequence %zu, %zu hypotheses: score, sum of log-probabilities\n", step,
           sequence, n);
    for (size_t i = 0; i < n; i++) {
        printf("  %c %12.6f %12.6f", hypotheses[i].is_ended ? '.' : ' ', hypotheses[i].score,
               hypotheses[i].sum);
        print_ids(trace, hypotheses[i].ids, hypotheses[i].n_ids);
    }
    return nib_print("\n", 1);
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static yyjson_mut_doc *begin(yyjson_mut_val **root, size_t step, size_t sequence)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, *root);
    yyjson_mut_obj_add_uint(doc, *root, "step", step);
    yyjson_mut_obj_add_uint(doc, *root, "sequence", sequence);
    return doc;
}

static void add_stages(yyjson_mut_doc *doc, yyjson_mut_val *root,
                       const struct nib_sampler_report *report)
{
    yyjson_mut_val *chain = yyjson_mut_obj_add_arr(doc, root, "chain");
    for (size_t i = 0; report && i < report->n_stages; i++) {
        const struct nib_sampler_stage *s = &report->stages[i];
        yyjson_mut_val *entry = yyjson_mut_arr_add_obj(doc, chain);
        yyjson_mut_obj_add_str(doc, entry, "stage", s->name);
        yyjson_mut_obj_add_val(doc, entry, "value", nib_json_number(doc, s->value));
        yyjson_mut_obj_add_uint(doc, entry, "before", s->n_before);
        yyjson_mut_obj_add_uint(doc, entry, "after", s->n_after);
        yyjson_mut_obj_add_uint(doc, entry, "changed", s->n_changed);
        yyjson_mut_obj_add_real(doc, entry, "mass", s->mass);
        if (s->random >= 0)
            yyjson_mut_obj_add_real(doc, entry, "random", s->random);
    }
}

static bool write_choice(struct nib_trace *trace, const struct nib_trace_step *step)
{
    const struct nib_sampler_report *report = nib_sampler_report(step->sampler);
    size_t n;
    struct nib_id_logprob *candidates = candidates_of(trace, step, &n);
    yyjson_mut_val *root;
    yyjson_mut_doc *doc = begin(&root, step->step, step->sequence);
    yyjson_mut_val *input = yyjson_mut_obj_add_obj(doc, root, "input");
    yyjson_mut_obj_add_uint(doc, input, "position", step->position);
    nib_json_add_ids(doc, input, &trace->texts, step->input, step->n_input);
    yyjson_mut_val *shape = yyjson_mut_obj_add_arr(doc, root, "logits_shape");
    yyjson_mut_arr_add_uint(doc, shape, step->n_rows);
    yyjson_mut_arr_add_uint(doc, shape, nib_model_info(trace->texts.model)->n_vocab);
    yyjson_mut_val *list = nib_json_logprobs(doc, &trace->texts, candidates, n);
    for (size_t i = 0; i < n; i++)
        yyjson_mut_obj_add_real(doc, yyjson_mut_arr_get(list, i), "probability",
                                nib_sampler_probability(step->sampler, candidates[i].id));
    yyjson_mut_obj_add_val(doc, root, "candidates", list);
    free(candidates);
    add_stages(doc, root, report);
    yyjson_mut_obj_add_val(doc, root, "random",
                           report && report->random >= 0 ? yyjson_mut_real(doc, report->random)
                                                         : yyjson_mut_null(doc));
    yyjson_mut_val *choice = yyjson_mut_obj_add_obj(doc, root, "choice");
    yyjson_mut_obj_add_int(doc, choice, "id", step->choice.id);
    yyjson_mut_obj_add_strcpy(doc, choice, "token", nib_token_text(&trace->texts, step->choice.id));
    yyjson_mut_obj_add_val(doc, choice, "logprob", nib_json_number(doc, step->choice.logprob));
    return nib_json_print_line(doc) == NIB_EXIT_OK;
}

static bool write_shift(size_t step, size_t sequence, const struct nib_shift *shift)
{
    yyjson_mut_val *root;
    yyjson_mut_doc *doc = begin(&root, step, sequence);
    yyjson_mut_val *object = yyjson_mut_obj_add_obj(doc, root, "shift");
    yyjson_mut_obj_add_uint(doc, object, "length", shift->length);
    yyjson_mut_obj_add_uint(doc, object, "kept", shift->n_keep);
    yyjson_mut_obj_add_uint(doc, object, "forgotten", shift->n_discard);
    return nib_json_print_line(doc) == NIB_EXIT_OK;
}

static bool write_hypotheses(struct nib_trace *trace, size_t step, size_t sequence,
                             const struct nib_hypothesis *hypotheses, size_t n)
{
    yyjson_mut_val *root;
    yyjson_mut_doc *doc = begin(&root, step, sequence);
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, root, "hypotheses");
    for (size_t i = 0; i < n; i++) {
        yyjson_mut_val *entry = yyjson_mut_arr_add_obj(doc, list);
        nib_json_add_ids(doc, entry, &trace->texts, hypotheses[i].ids, hypotheses[i].n_ids);
        yyjson_mut_obj_add_val(doc, entry, "sum", nib_json_number(doc, hypotheses[i].sum));
        yyjson_mut_obj_add_val(doc, entry, "score", nib_json_number(doc, hypotheses[i].score));
        yyjson_mut_obj_add_bool(doc, entry, "ended", hypotheses[i].is_ended);
    }
    return nib_json_print_line(doc) == NIB_EXIT_OK;
}

/* ---- either --------------------------------------------------------------------------------- */

bool nib_trace_choice(struct nib_trace *trace, const struct nib_trace_step *step)
{
    return trace->format == NIB_TRACE_JSON ? write_choice(trace, step) : print_choice(trace, step);
}

bool nib_trace_shift(struct nib_trace *trace, size_t step, size_t sequence,
                     const struct nib_shift *shift)
{
    return trace->format == NIB_TRACE_JSON ? write_shift(step, sequence, shift)
                                           : print_shift(step, sequence, shift);
}

bool nib_trace_hypotheses(struct nib_trace *trace, size_t step, size_t sequence,
                          const struct nib_hypothesis *hypotheses, size_t n)
{
    return trace->format == NIB_TRACE_JSON ? write_hypotheses(trace, step, sequence, hypotheses, n)
                                           : print_hypotheses(trace, step, sequence, hypotheses, n);
}
