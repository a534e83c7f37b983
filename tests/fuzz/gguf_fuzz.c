/* libFuzzer: the GGUF reader on any bytes.  Build with -DNIB_FUZZ=ON under Clang; run as
 * gguf_fuzz CORPUS_FOLDER, where sound small files make good seeds. */
#include "gguf_file.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void read_value(const struct nib_gguf *gguf, const char *key)
{
    size_t n;
    int64_t integer;
    double real;
    bool flag;
    struct nib_str string;
    nib_gguf_int(gguf, key, &integer);
    nib_gguf_float(gguf, key, &real);
    nib_gguf_bool(gguf, key, &flag);
    if (nib_gguf_string(gguf, key, &string)) {
        char out[40];
        nib_escape(out, sizeof(out), string.data, string.len);
    }
    if (nib_gguf_strings(gguf, key, &n)) {
        struct nib_str *strings = malloc((n + 1) * sizeof(*strings));
        nib_gguf_copy_strings(gguf, key, strings);
        free(strings);
    }
    if (nib_gguf_ints(gguf, key, &n)) {
        int64_t *integers = malloc((n + 1) * sizeof(*integers));
        nib_gguf_copy_ints(gguf, key, integers);
        free(integers);
    }
    if (nib_gguf_floats(gguf, key, &n)) {
        float *reals = malloc((n + 1) * sizeof(*reals));
        nib_gguf_copy_floats(gguf, key, reals);
        free(reals);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct nib_gguf *gguf;
    struct nib_error err = {0};
    if (n_bytes == 0) /* nib_os_map() refuses empty files */
        return 0;
    if (nib_gguf_open_memory(&gguf, data, n_bytes, "fuzz.gguf", &err) != NIB_OK) {
        if (gguf || err.message[0] == '\0')
            abort();
        return 0;
    }
    for (size_t i = 0; i < nib_gguf_key_count(gguf); i++) {
        char text[100];
        nib_gguf_value_text(gguf, i, text, sizeof(text));
        read_value(gguf, nib_gguf_key(gguf, i));
    }
    for (size_t i = 0; i < nib_gguf_tensor_count(gguf); i++) {
        const struct nib_gguf_tensor *t = nib_gguf_tensor(gguf, i);
        if (nib_gguf_find(gguf, t->name) != t || t->n_bytes == 0)
            abort();
        volatile uint8_t sum = (uint8_t)(t->data[0] + t->data[t->n_bytes - 1]);
        (void)sum;
    }
    nib_gguf_close(gguf);
    return 0;
}
