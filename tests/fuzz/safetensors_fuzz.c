/* libFuzzer: the safetensors reader on any bytes.  What is read covers the file without gaps. */
#include "safetensors_reader.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct nib_safetensors *file;
    struct nib_error err = {0};
    if (n_bytes == 0) /* nib_os_map() refuses empty files */
        return 0;
    if (nib_safetensors_open_memory(&file, data, n_bytes, "fuzz.safetensors", &err) != NIB_OK) {
        if (file || err.message[0] == '\0')
            abort();
        return 0;
    }
    size_t n_data = 0;
    for (size_t i = 0; i < nib_safetensors_count(file); i++) {
        const struct nib_safetensors_tensor *t = nib_safetensors_tensor(file, i);
        if (t->name[0] == '\0' || t->n_dims > NIB_SAFETENSORS_MAX_DIMS || t->data < data ||
            t->data + t->n_bytes > data + n_bytes)
            abort();
        n_data += t->n_bytes;
        if (t->n_bytes > 0) {
            volatile uint8_t sum = (uint8_t)(t->data[0] + t->data[t->n_bytes - 1]);
            (void)sum;
        }
    }
    uint64_t n_header;
    memcpy(&n_header, data, sizeof(n_header));
    if (8 + n_header + n_data != n_bytes)
        abort();
    nib_safetensors_close(file);
    return 0;
}
