/* Converting the weights of one tensor on all threads. */
#ifndef NIB_QUANTIZE_ROWS_H
#define NIB_QUANTIZE_ROWS_H

#include "gguf.h"

struct nib_team;

struct nib_quantizer; /* a team of threads with memory for each */

enum nib_status nib_quantizer_create(struct nib_quantizer **out, int n_threads,
                                     struct nib_error *err);
void nib_quantizer_free(struct nib_quantizer *quantizer);
int nib_quantizer_threads(const struct nib_quantizer *quantizer);

/* Rows [begin, end) of a tensor, whose type can be decoded, as rows of `type`, which can be encoded
 * and fits the columns.  Fails, by the first such weight, where one is not finite or too large for
 * the type. */
enum nib_status nib_quantize_rows(struct nib_quantizer *quantizer,
                                  const struct nib_gguf_tensor *tensor, enum nib_type type,
                                  uint64_t begin, uint64_t end, uint8_t *out,
                                  struct nib_error *err);

#endif
