/* See run_output.h. */
#include "run_output.h"
#include "terminal.h"

#include <stdlib.h>
#include <string.h>

void nib_run_output_create(struct nib_run_output *out, const struct nib_model *model, bool is_json,
                           int64_t n_logprobs)
{
    *out = (struct nib_run_output){.model = model, .is_json = is_json, .n_logprobs = n_logprobs};
    nib_token_texts_create(&out->texts, model);
}

void nib_run_output_free(struct nib_run_output *output)
{
    nib_token_texts_free(&output->texts);
}

/* ---- text ----------------------------------------------------------------------------------- */

/* What an encoder-decoder model says is a text of its own; what others say goes on from a prompt.
 */
static int add_text(const struct nib_run_output *output, const int32_t *ids, size_t n_ids,
                    struct nib_buffer *out)
{
    struct nib_error err;
    if (!nib_model_info(output->model)->has_encoder || !output->texts.stream)
        return nib_text_of(output->model, ids, n_ids, out, &err) == NIB_OK
                   ? NIB_EXIT_OK
                   : nib_complain_error(&err);
    char *text;
    size_t n_bytes;
    if (nib_detokenize(output->model, ids, n_ids, NIB_CLEAN_SPACES, &text, &n_bytes, &err) !=
        NIB_OK)
        return nib_complain_error(&err);
    nib_buffer_add_clean(out, text, n_bytes);
    nib_free(text);
    return NIB_EXIT_OK;
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static yyjson_mut_doc *begin(const struct nib_run_output *output, const struct nib_line *line,
                             yyjson_mut_val **root)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, *root);
    if (line->text)
        yyjson_mut_obj_add_str(doc, *root,
                               nib_model_info(output->model)->has_encoder ? "source" : "prompt",
                               line->text);
    return doc;
}

static int end(yyjson_mut_doc *doc, struct nib_buffer *out)
{
    size_t n_bytes;
    char *text = yyjson_mut_write(doc, 0, &n_bytes);
    yyjson_mut_doc_free(doc);
    if (!text)
        return nib_complain(NIB_EXIT_MEMORY, "out of memory for a line of JSON; use --output text");
    nib_buffer_add(out, text, n_bytes);
    nib_buffer_add(out, "\n", 1);
    free(text);
    return NIB_EXIT_OK;
}

/* "text", where there is a tokenizer. */
static int add_json_text(const struct nib_run_output *output, yyjson_mut_doc *doc,
                         yyjson_mut_val *object, const int32_t *ids, size_t n_ids)
{
    struct nib_buffer text = {0};
    if (!output->texts.stream)
        return NIB_EXIT_OK;
    const int exit_code = add_text(output, ids, n_ids, &text);
    yyjson_mut_obj_add_strncpy(doc, object, "text", text.data ? text.data : "", text.n_bytes);
    nib_buffer_free(&text);
    return exit_code;
}

/* With --logprobs: the tokens' texts, and the best ids of every step. */
static void add_logprobs(struct nib_run_output *output, const struct nib_answer *answer,
                         yyjson_mut_doc *doc, yyjson_mut_val *root)
{
    const size_t n_top = (size_t)output->n_logprobs;
    nib_json_add_ids(doc, root, &output->texts, answer->ids, answer->n_ids);
    yyjson_mut_val *steps = yyjson_mut_obj_add_arr(doc, root, "top_logprobs");
    for (size_t i = 0; i < answer->n_ids; i++) {
        size_t n = 0;
        while (n < n_top && answer->top[i * n_top + n].id >= 0)
            n++;
        yyjson_mut_arr_append(steps,
                              nib_json_logprobs(doc, &output->texts, answer->top + i * n_top, n));
    }
}

static int write_json(struct nib_run_output *output, const struct nib_line *line,
                      const struct nib_answer *answer, struct nib_buffer *out)
{
    yyjson_mut_val *root;
    yyjson_mut_doc *doc = begin(output, line, &root);
    if (output->n_logprobs >= 0)
        add_logprobs(output, answer, doc, root);
    else
        yyjson_mut_obj_add_val(doc, root, "ids",
                               yyjson_mut_arr_with_sint32(doc, answer->ids, answer->n_ids));
    const int exit_code = add_json_text(output, doc, root, answer->ids, answer->n_ids);
    yyjson_mut_val *logprobs = yyjson_mut_obj_add_arr(doc, root, "logprobs");
    double sum = 0;
    for (size_t i = 0; i < answer->n_ids; i++) {
        yyjson_mut_arr_append(logprobs, nib_json_number(doc, answer->logprobs[i]));
        sum += answer->logprobs[i];
    }
    yyjson_mut_obj_add_val(doc, root, "sum", nib_json_number(doc, sum));
    yyjson_mut_obj_add_val(doc, root, "score", nib_json_number(doc, sum));
    yyjson_mut_obj_add_bool(doc, root, "ended", answer->has_ended);
    yyjson_mut_obj_add_str(doc, root, "finish_reason", answer->has_ended ? "stop" : "length");
    if (answer->n_forgotten > 0)
        yyjson_mut_obj_add_uint(doc, root, "forgotten", answer->n_forgotten);
    const int written = end(doc, out);
    return exit_code == NIB_EXIT_OK ? written : exit_code;
}

static int add_hypothesis(const struct nib_run_output *output, yyjson_mut_doc *doc,
                          yyjson_mut_val *object, const struct nib_hypothesis *h)
{
    yyjson_mut_obj_add_val(doc, object, "ids", yyjson_mut_arr_with_sint32(doc, h->ids, h->n_ids));
    const int exit_code = add_json_text(output, doc, object, h->ids, h->n_ids);
    yyjson_mut_obj_add_val(doc, object, "sum", nib_json_number(doc, h->sum));
    yyjson_mut_obj_add_val(doc, object, "score", nib_json_number(doc, h->score));
    yyjson_mut_obj_add_bool(doc, object, "ended", h->is_ended);
    return exit_code;
}

static int write_best_json(const struct nib_run_output *output, const struct nib_line *line,
                           const struct nib_beam_output *found, uint32_t n_best,
                           struct nib_buffer *out)
{
    yyjson_mut_val *root;
    yyjson_mut_doc *doc = begin(output, line, &root);
    int exit_code = add_hypothesis(output, doc, root, &found->best[0]);
    yyjson_mut_val *list = n_best > 1 ? yyjson_mut_obj_add_arr(doc, root, "nbest") : NULL;
    for (size_t i = 0; list && i < found->n_best && exit_code == NIB_EXIT_OK; i++)
        exit_code = add_hypothesis(output, doc, yyjson_mut_arr_add_obj(doc, list), &found->best[i]);
    const int written = end(doc, out);
    return exit_code == NIB_EXIT_OK ? written : exit_code;
}

/* ---- lines ---------------------------------------------------------------------------------- */

int nib_run_write_answer(struct nib_run_output *output, const struct nib_line *line,
                         const struct nib_answer *answer, struct nib_buffer *out)
{
    if (output->is_json)
        return write_json(output, line, answer, out);
    const int exit_code = add_text(output, answer->ids, answer->n_ids, out);
    nib_buffer_add(out, "\n", 1);
    return exit_code;
}

/* Several for one line: each has the line's number and its score before it. */
int nib_run_write_best(struct nib_run_output *output, const struct nib_line *line, size_t number,
                       const struct nib_beam_output *found, uint32_t n_best, struct nib_buffer *out)
{
    if (output->is_json)
        return write_best_json(output, line, found, n_best, out);
    int exit_code = NIB_EXIT_OK;
    for (size_t i = 0; i < found->n_best && exit_code == NIB_EXIT_OK; i++) {
        char head[64];
        const int n = snprintf(head, sizeof head, "%zu\t%.6f\t", number, found->best[i].score);
        nib_buffer_add(out, head, n_best > 1 ? (size_t)n : 0);
        exit_code = add_text(output, found->best[i].ids, found->best[i].n_ids, out);
        nib_buffer_add(out, "\n", 1);
    }
    return exit_code;
}

int nib_run_write_nothing(struct nib_run_output *output, const struct nib_line *line, size_t number,
                          struct nib_buffer *out)
{
    if (!output->is_json) {
        nib_buffer_add(out, "\n", 1);
        return NIB_EXIT_OK;
    }
    yyjson_mut_val *root;
    yyjson_mut_doc *doc = begin(output, line, &root);
    if (line->error) {
        yyjson_mut_obj_add_uint(doc, root, "line", number);
        yyjson_mut_obj_add_str(doc, root, "error", line->error);
    } else {
        yyjson_mut_obj_add_arr(doc, root, "ids");
        yyjson_mut_obj_add_str(doc, root, "text", "");
    }
    return end(doc, out);
}
