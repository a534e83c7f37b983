/* The memory of encoding, see scratch.h. */
#include "scratch.h"

#include <stdlib.h>

void nib_scratch_free(struct nib_scratch *scratch)
{
    nib_merge_free(&scratch->merge);
    nib_split_scratch_free(&scratch->split);
    free(scratch->text.data);
    free(scratch->best);
    free(scratch->ids.data);
    *scratch = (struct nib_scratch){0};
}

bool nib_ids_push(struct nib_ids *ids, int32_t id)
{
    if (ids->n == ids->capacity) {
        const size_t capacity = ids->capacity < 64 ? 64 : ids->capacity + ids->capacity / 2;
        int32_t *data = realloc(ids->data, capacity * sizeof(*data));
        if (data == NULL)
            return false;
        ids->data = data;
        ids->capacity = capacity;
    }
    ids->data[ids->n++] = id;
    return true;
}

bool nib_buffer_append(struct nib_buffer *buffer, const char *bytes, size_t n)
{
    if (n > buffer->capacity - buffer->n) {
        if (n > SIZE_MAX / 4 || buffer->n > SIZE_MAX / 4)
            return false;
        const size_t capacity = (buffer->n + n) + (buffer->n + n) / 2 + 64;
        char *data = realloc(buffer->data, capacity);
        if (data == NULL)
            return false;
        buffer->data = data;
        buffer->capacity = capacity;
    }
    if (n > 0)
        memcpy(buffer->data + buffer->n, bytes, n);
    buffer->n += n;
    return true;
}

enum nib_status nib_encode_no_memory(size_t n, struct nib_error *err)
{
    return nib_fail_memory(err, n * sizeof(struct nib_symbol), "encoding text");
}
