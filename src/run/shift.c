/* Context shift: a sequence forgets tokens between its beginning and what came last. */
#include "context.h"

#include <stdlib.h>

static enum nib_status check(const struct nib_context *context, uint32_t sequence, uint32_t n_keep,
                             uint32_t n_discard, struct nib_error *err)
{
    const uint32_t n = context->info.n_sequences;
    if (sequence >= n)
        return nib_fail(err, NIB_ERROR_ARGUMENT, "sequence %u: the context has %u", sequence, n);
    const uint32_t length = context->lengths[sequence];
    if (n_keep > length || n_discard > length - n_keep)
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "sequence %u has %u tokens and cannot forget %u behind the first %u; keep "
                        "or forget fewer",
                        sequence, length, n_discard, n_keep);
    return NIB_OK;
}

/* Compute the n tokens that lie in the history behind the sequence's end; no logits. */
static enum nib_status compute_again(struct nib_context *context, uint32_t sequence, uint32_t n,
                                     struct nib_error *err)
{
    uint32_t *sequences = malloc(n * sizeof(*sequences));
    bool *wants = calloc(n, sizeof(*wants));
    enum nib_status status;
    if (sequences && wants) {
        for (uint32_t i = 0; i < n; i++)
            sequences[i] = sequence;
        const int32_t *ids = context->histories[sequence] + context->lengths[sequence];
        status = nib_evaluate(context, &(struct nib_batch){n, ids, sequences, wants}, err);
    } else {
        status = nib_fail_memory(err, n * (sizeof(*sequences) + sizeof(*wants)), "a shift");
    }
    free(sequences);
    free(wants);
    return status;
}

/*
 * Keys and values say how they were computed: what came before is in them from the second layer on,
 * their positions from the first.  So turning the keys to their new positions, as is usual, would
 * give other logits than the ids that are left.
 */
enum nib_status nib_sequence_shift(struct nib_context *context, uint32_t sequence, uint32_t n_keep,
                                   uint32_t n_discard, struct nib_error *err)
{
    const enum nib_status status = check(context, sequence, n_keep, n_discard, err);
    if (status != NIB_OK)
        return status;
    context->n_logits = 0;
    if (n_discard == 0)
        return NIB_OK;

    const uint32_t n_moved = context->lengths[sequence] - n_keep - n_discard;
    int32_t *rest = context->histories[sequence] + n_keep;
    nib_sequence_truncate(context, sequence, n_keep);
    memmove(rest, rest + n_discard, n_moved * sizeof(*rest));
    if (context->has_cache && n_moved > 0)
        return compute_again(context, sequence, n_moved, err);
    context->lengths[sequence] += n_moved; /* without a cache nothing else is held */
    return NIB_OK;
}
