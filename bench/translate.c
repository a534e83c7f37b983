/*
 * Translation speed: sources of random ids through a model with an encoder, so many new ids for
 * each; the end token is an id as others.  bench/race_translate.py runs it beside CTranslate2.
 *
 * usage: translate MODEL TYPE BEAMS BATCH SOURCE_IDS NEW_IDS THREADS REPEATS
 * prints new ids per second of each repeat: those of the answers, not of all beams
 */
#include <nibble.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct bench {
    struct nib_model *model;
    struct nib_context *context;
    uint32_t n_beams, n_batch, n_source, n_new;
    struct nib_batch sources;
    struct nib_error err;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void die(const char *message)
{
    fprintf(stderr, "%s\n", message);
    exit(1);
}

static void check(struct bench *b, enum nib_status status)
{
    if (status != NIB_OK)
        die(b->err.message);
}

static void open_model(struct bench *b, const char *path, const char *type, int n_threads)
{
    struct nib_model_params m;
    struct nib_context_params c;
    nib_model_params_init(&m);
    nib_context_params_init(&c);
    m.type = type;
    c.n_threads = n_threads;
    c.n_sources = b->n_batch;
    c.n_sequences = c.n_logits = b->n_batch * b->n_beams;
    c.n_ctx = b->n_new + 2;
    c.n_ctx_source = b->n_source;
    check(b, nib_model_open(&b->model, path, &m, &b->err));
    check(b, nib_context_create(&b->context, b->model, &c, &b->err));
}

static void make_sources(struct bench *b)
{
    const uint32_t n_vocab = nib_model_info(b->model)->n_source_vocab;
    const size_t n = (size_t)b->n_batch * b->n_source;
    int32_t *ids = malloc(n * sizeof(*ids));
    uint32_t *sequences = malloc(n * sizeof(*sequences));
    if (!ids || !sequences)
        die("out of memory");
    for (size_t i = 0; i < n; i++) {
        ids[i] = (int32_t)((i * 7919 + 13) % n_vocab);
        sequences[i] = (uint32_t)(i / b->n_source);
    }
    b->sources = (struct nib_batch){n, ids, sequences, NULL};
}

static void search(struct bench *b)
{
    struct nib_beam_params p;
    nib_beam_params_init(&p);
    p.n_beams = b->n_beams;
    p.max_new = b->n_new;
    p.ignores_end = true;
    const int32_t start = nib_model_info(b->model)->decoder_start_id;
    struct nib_beam_input *inputs = malloc(b->n_batch * sizeof(*inputs));
    struct nib_beam_output *outputs = malloc(b->n_batch * sizeof(*outputs));
    if (!inputs || !outputs)
        die("out of memory");
    for (uint32_t i = 0; i < b->n_batch; i++)
        inputs[i] = (struct nib_beam_input){&start, 1, 0};
    check(b, nib_beam_search(b->context, b->model, &p, inputs, b->n_batch, outputs, &b->err));
    nib_beam_outputs_free(outputs, b->n_batch);
    free(inputs);
    free(outputs);
}

static void greedy(struct bench *b)
{
    const struct nib_model_info *info = nib_model_info(b->model);
    int32_t *ids = malloc(b->n_batch * sizeof(*ids));
    uint32_t *sequences = malloc(b->n_batch * sizeof(*sequences));
    if (!ids || !sequences)
        die("out of memory");
    for (uint32_t i = 0; i < b->n_batch; i++) {
        ids[i] = info->decoder_start_id;
        sequences[i] = i;
    }
    for (uint32_t t = 0; t < b->n_new; t++) {
        const struct nib_batch batch = {b->n_batch, ids, sequences, NULL};
        check(b, nib_evaluate(b->context, &batch, &b->err));
        for (uint32_t i = 0; i < b->n_batch; i++)
            ids[i] = nib_logits_best(b->context, i);
    }
    free(ids);
    free(sequences);
}

int main(int argc, char **argv)
{
    struct bench b = {0};
    if (argc != 9)
        die("usage: translate MODEL TYPE BEAMS BATCH SOURCE_IDS NEW_IDS THREADS REPEATS");
    b.n_beams = (uint32_t)atoi(argv[3]);
    b.n_batch = (uint32_t)atoi(argv[4]);
    b.n_source = (uint32_t)atoi(argv[5]);
    b.n_new = (uint32_t)atoi(argv[6]);
    open_model(&b, argv[1], argv[2], atoi(argv[7]));
    make_sources(&b);
    for (int i = 0; i < atoi(argv[8]); i++) {
        const double begin = now();
        check(&b, nib_encode_sources(b.context, &b.sources, &b.err));
        if (b.n_beams > 1)
            search(&b);
        else
            greedy(&b);
        printf("%.1f\n", b.n_batch * b.n_new / (now() - begin));
    }
    nib_context_free(b.context);
    nib_model_close(b.model);
    free((int32_t *)b.sources.ids);
    free((uint32_t *)b.sources.sequences);
    return 0;
}
