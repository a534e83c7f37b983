/*
 * Choosing a token from the logits of small and large vocabularies.  Logits are those of an
 * unsure model: roughly normal, so that many are near the best.
 */
#include "yardstick.h"

#include "nibble.h"

#include <stdio.h>
#include <stdlib.h>

struct sampling_case {
    struct nib_sampler_params params;
    size_t n_vocab;
};

struct sampling {
    struct nib_sampler *sampler;
    const float *logits;
};

static void choose(void *data)
{
    const struct sampling *s = data;
    struct nib_choice choice;
    nib_sampler_choose(s->sampler, s->logits, &choice, NULL);
}

static float *make_logits(size_t n)
{
    float *logits = malloc(n * sizeof(*logits));
    for (size_t i = 0; logits && i < n; i++) {
        logits[i] = 0;
        for (int j = 0; j < 8; j++)
            logits[i] += 1.5f * nib_yard_random_float();
    }
    return logits;
}

static void bench_sampling(struct nib_bench *b, const void *arg)
{
    const struct sampling_case *c = arg;
    struct nib_error err;
    float *logits = make_logits(c->n_vocab);
    struct sampling s = {.logits = logits};
    if (!logits)
        nib_bench_fail(b, "out of memory");
    else if (nib_sampler_create(&s.sampler, &c->params, c->n_vocab, &err) != NIB_OK)
        nib_bench_fail(b, err.message);
    else
        nib_yard_time(b, &(struct nib_timed_work){
                             .kind = NIB_WORK_OTHER,
                             .n_bytes = (double)c->n_vocab * sizeof(*logits),
                             .run = choose,
                             .data = &s,
                         });
    nib_sampler_free(s.sampler);
    free(logits);
}

static void register_case(const char *chain, const struct nib_sampler_params *params,
                          size_t n_vocab)
{
    const struct sampling_case c = {*params, n_vocab};
    char name[64];
    snprintf(name, sizeof(name), "sampling/%s/vocab:%zu", chain, n_vocab);
    nib_bench_register(name, NIB_BENCH_CPU, bench_sampling, &c, sizeof(c));
}

void nib_register_sampling(const struct nib_yard *yard)
{
    static const size_t sizes[] = {49152, 152000};
    struct nib_sampler_params greedy, top_k, full;
    nib_sampler_params_init(&greedy);
    greedy.temperature = 0;
    nib_sampler_params_init(&top_k);
    top_k.top_p = 1;
    top_k.min_p = 0;
    nib_sampler_params_init(&full);
    full.repeat_penalty = 1.1f;
    full.frequency_penalty = full.presence_penalty = 0.1f;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        const size_t n = yard->is_tiny ? sizes[i] / 64 : sizes[i];
        register_case("greedy", &greedy, n);
        register_case("top_k", &top_k, n);
        register_case("full", &full, n);
    }
}
