/* Log-probabilities of ids: of one, and of the most probable ones. */
#include "logits.h"

#include <math.h>

double nib_logprob(const float *logits, size_t n_vocab, int32_t id)
{
    const int32_t best = nib_argmax(logits, n_vocab);
    return best < 0 || !(logits[id] > -INFINITY) ? -INFINITY
                                                 : nib_log_softmax(logits, n_vocab, best, id);
}

size_t nib_top_logprobs(const float *logits, size_t n_vocab, size_t n, struct nib_id_logprob *out)
{
    size_t n_out = 0; /* sorted; logprob holds the logit until the end */
    for (size_t i = 0; i < n_vocab && n > 0; i++) {
        const double logit = logits[i];
        if (!(logit > -INFINITY) || (n_out == n && logit <= out[n - 1].logprob))
            continue;
        size_t at = n_out < n ? n_out++ : n - 1;
        for (; at > 0 && out[at - 1].logprob < logit; at--)
            out[at] = out[at - 1];
        out[at] = (struct nib_id_logprob){(int32_t)i, logit};
    }
    if (n_out == 0)
        return 0;
    const int32_t best = out[0].id;
    const double shift = nib_log_softmax(logits, n_vocab, best, best) - (double)logits[best];
    for (size_t i = 0; i < n_out; i++)
        out[i].logprob += shift;
    return n_out;
}
