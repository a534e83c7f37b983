/* A model file with weights of other types, tensor by tensor: nib_quantize() of nibble.h. */
#include "decode.h"
#include "encode.h"
#include "gguf_writer.h"
#include "hf_folder.h"
#include "os.h"
#include "packed_file.h"
#include "quantize_plan.h"
#include "quantize_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Of a tensor's new bytes that are in memory at once, per thread; at least 16 rows are. */
enum { SLAB_BYTES = 1 << 20 };

struct task {
    struct nib_gguf *gguf;
    const struct nib_mix *mix;
    struct nib_quantize_params params;
    struct nib_quantize_choice *choices; /* [tensors] */
    struct nib_quantize_result result;
    struct nib_quantizer *quantizer;
    struct nib_gguf_writer *writer;
    uint8_t *slab;
    size_t slab_cap;
    uint64_t n_done;
};

void nib_quantize_params_init(struct nib_quantize_params *params)
{
    *params = (struct nib_quantize_params){.type = "Q4_K_M"};
}

const char *nib_quantize_type(size_t i)
{
    const struct nib_mix *mix = nib_mix_at(i);
    return mix ? mix->name : NULL;
}

/* ---- the plan -------------------------------------------------------------------------------- */

static enum nib_status fail_mix(const char *name, struct nib_error *err)
{
    char list[256] = "";
    size_t n = 0;
    const struct nib_mix *mix;
    for (size_t i = 0; (mix = nib_mix_at(i)) != NULL && n < sizeof(list); i++)
        n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", n ? ", " : "", mix->name);
    return nib_fail(err, NIB_ERROR_ARGUMENT, "unknown type \"%.64s\"; there are %s",
                    name ? name : "", list);
}

static enum nib_status check_whole(const struct nib_gguf *gguf, struct nib_error *err)
{
    int64_t n_parts = 0;
    if (nib_packed_is(gguf))
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "%s: is a packed model; quantise the one that it was packed from",
                        nib_gguf_path(gguf));
    if (nib_gguf_int(gguf, "split.count", &n_parts) && n_parts > 1)
        return nib_fail(err, NIB_ERROR_FILE,
                        "%s: is one of the %" PRId64 " files of a split model; merge them first",
                        nib_gguf_path(gguf), n_parts);
    return NIB_OK;
}

/* Before any work is done. */
static enum nib_status check_tensor(const struct task *task, const struct nib_gguf_tensor *tensor,
                                    enum nib_type type, struct nib_error *err)
{
    const char *name = nib_type_info(tensor->type)->name;
    if (type == tensor->type)
        return NIB_OK;
    if (!nib_can_decode(tensor->type))
        return nib_fail(err, NIB_ERROR_FILE,
                        "%s: tensor %s: type %s cannot be converted; quantise from an F16, BF16 or "
                        "F32 file of this model",
                        nib_gguf_path(task->gguf), tensor->name, name);
    if (!nib_type_is_float(tensor->type) && !task->params.allow_requantize)
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "%s: tensor %s is quantised already (%s), and once more would lose more; "
                        "quantise from an F16, BF16 or F32 file, or allow it (--allow-requantize)",
                        nib_gguf_path(task->gguf), tensor->name, name);
    return NIB_OK;
}

static void report(struct task *task, const struct nib_gguf_tensor *tensor,
                   const struct nib_quantize_choice *choice)
{
    struct nib_quantize_tensor info = {
        .name = tensor->name,
        .from = nib_type_info(tensor->type)->name,
        .to = nib_type_info(choice->type)->name,
        .n_dims = tensor->n_dims,
        .n_bytes_from = tensor->n_bytes,
        .n_bytes_to = nib_gguf_tensor_bytes(tensor, choice->type),
    };
    memcpy(info.dims, tensor->dims, sizeof(info.dims));
    if (choice->wanted != choice->type) {
        info.wanted = nib_type_info(choice->wanted)->name;
        task->result.n_fallbacks++;
    }
    task->result.n_tensors++;
    task->result.n_weights += tensor->dims[0] * tensor->dims[1] * tensor->dims[2] * tensor->dims[3];
    task->result.n_bytes_from += info.n_bytes_from;
    task->result.n_bytes_to += info.n_bytes_to;
    if (task->params.on_tensor)
        task->params.on_tensor(task->params.data, &info);
}

static enum nib_status make_plan(struct task *task, struct nib_error *err)
{
    const size_t n = nib_gguf_tensor_count(task->gguf);
    task->choices = calloc(n ? n : 1, sizeof(*task->choices));
    if (!task->choices)
        return nib_fail_memory(err, n * sizeof(*task->choices), "the types of tensors");
    enum nib_status status =
        nib_quantize_plan(task->choices, task->gguf, task->mix, &task->params, err);
    for (size_t i = 0; i < n && status == NIB_OK; i++)
        status = check_tensor(task, nib_gguf_tensor(task->gguf, i), task->choices[i].type, err);
    for (size_t i = 0; i < n && status == NIB_OK; i++)
        report(task, nib_gguf_tensor(task->gguf, i), &task->choices[i]);
    return status;
}

/* ---- the work -------------------------------------------------------------------------------- */

static enum nib_status advance(struct task *task, size_t n_bytes, struct nib_error *err)
{
    task->n_done += n_bytes;
    if (task->params.progress &&
        !task->params.progress(task->params.data, task->n_done, task->result.n_bytes_to))
        return nib_fail(err, NIB_ERROR_CANCELLED, "quantising was stopped; nothing was written");
    return NIB_OK;
}

static enum nib_status copy_tensor(struct task *task, const struct nib_gguf_tensor *tensor,
                                   struct nib_error *err)
{
    enum nib_status status = NIB_OK;
    for (size_t at = 0; at < tensor->n_bytes && status == NIB_OK; at += SLAB_BYTES) {
        const size_t n = tensor->n_bytes - at < SLAB_BYTES ? tensor->n_bytes - at : SLAB_BYTES;
        status = nib_gguf_writer_write(task->writer, tensor->data + at, n, err);
        if (status == NIB_OK)
            status = advance(task, n, err);
    }
    return status;
}

static bool grow_slab(struct task *task, size_t n_bytes)
{
    if (n_bytes <= task->slab_cap)
        return true;
    free(task->slab);
    task->slab = malloc(n_bytes);
    task->slab_cap = task->slab ? n_bytes : 0;
    return task->slab;
}

static enum nib_status convert_tensor(struct task *task, const struct nib_gguf_tensor *tensor,
                                      enum nib_type type, struct nib_error *err)
{
    const uint64_t n_rows = tensor->dims[1] * tensor->dims[2] * tensor->dims[3];
    if (n_rows == 0 || tensor->dims[0] == 0)
        return NIB_OK;
    const uint64_t n_row = nib_gguf_tensor_bytes(tensor, type) / n_rows;
    const uint64_t room = (uint64_t)SLAB_BYTES * (uint64_t)nib_quantizer_threads(task->quantizer);
    uint64_t step = room / n_row / NIB_GROUP * NIB_GROUP;
    if (step < NIB_GROUP)
        step = NIB_GROUP;
    if (step > n_rows)
        step = n_rows;
    if (step * n_row > SIZE_MAX || !grow_slab(task, (size_t)(step * n_row)))
        return nib_fail_memory(err, step * n_row, "rows of a tensor");

    enum nib_status status = NIB_OK;
    for (uint64_t row = 0; row < n_rows && status == NIB_OK; row += step) {
        const uint64_t end = n_rows - row < step ? n_rows : row + step;
        const size_t n = (size_t)((end - row) * n_row);
        status = nib_quantize_rows(task->quantizer, tensor, type, row, end, task->slab, err);
        if (status == NIB_OK)
            status = nib_gguf_writer_write(task->writer, task->slab, n, err);
        if (status == NIB_OK)
            status = advance(task, n, err);
    }
    return status;
}

static enum nib_status write_tensor(struct task *task, size_t i, struct nib_error *err)
{
    const struct nib_gguf_tensor *tensor = nib_gguf_tensor(task->gguf, i);
    const enum nib_type type = task->choices[i].type;
    enum nib_status status = type == tensor->type && !tensor->view
                                 ? copy_tensor(task, tensor, err)
                                 : convert_tensor(task, tensor, type, err);
    if (status == NIB_OK)
        status = nib_gguf_writer_end_tensor(task->writer, err);
    if (!tensor->view)
        nib_os_forget(tensor->data, tensor->n_bytes);
    else if (!tensor->view->is_copy)
        for (uint64_t k = 0; k < tensor->dims[2]; k++)
            nib_os_forget(tensor->view->slices[k], tensor->n_bytes / tensor->dims[2]);
    return status;
}

static enum nib_status write_file(struct task *task, const char *output, struct nib_error *err)
{
    const struct nib_gguf_u32 changes[] = {
        {"general.file_type", task->mix->file_type},
        {"general.quantization_version", 2}, /* of the types' layouts */
    };
    const size_t n = nib_gguf_tensor_count(task->gguf);
    enum nib_status status = nib_quantizer_create(&task->quantizer, task->params.n_threads, err);
    if (status == NIB_OK)
        status = nib_gguf_writer_open(&task->writer, output, err);
    if (status != NIB_OK)
        return status;
    nib_gguf_writer_copy_metadata(task->writer, task->gguf, changes, NIB_COUNT(changes));
    for (size_t i = 0; i < n; i++)
        nib_gguf_writer_add_tensor(task->writer, nib_gguf_tensor(task->gguf, i),
                                   task->choices[i].type);
    status = nib_gguf_writer_begin_data(task->writer, err);
    for (size_t i = 0; i < n && status == NIB_OK; i++)
        status = write_tensor(task, i, err);
    if (status == NIB_OK)
        status = nib_gguf_writer_commit(task->writer, err);
    else
        nib_gguf_writer_abort(task->writer);
    return status;
}

enum nib_status nib_quantize(const char *input, const char *output,
                             const struct nib_quantize_params *params,
                             struct nib_quantize_result *result, struct nib_error *err)
{
    struct task task = {.params = *params};
    if (result)
        *result = (struct nib_quantize_result){0};
    task.mix = params->type ? nib_mix_find(params->type) : NULL;
    if (!task.mix)
        return fail_mix(params->type, err);
    if (!params->is_dry_run && nib_os_is_same_file(input, output))
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "%s: is input and output both; give the output another name", input);

    enum nib_status status = nib_hf_is_folder(input) ? nib_hf_open(&task.gguf, input, err)
                                                     : nib_gguf_open(&task.gguf, input, err);
    if (status == NIB_OK)
        status = check_whole(task.gguf, err);
    if (status == NIB_OK)
        status = make_plan(&task, err);
    if (status == NIB_OK && !params->is_dry_run)
        status = write_file(&task, output, err);
    if (status == NIB_OK && result)
        *result = task.result;
    nib_quantizer_free(task.quantizer);
    nib_gguf_close(task.gguf);
    free(task.choices);
    free(task.slab);
    return status;
}
