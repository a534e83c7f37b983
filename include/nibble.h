/*
 * nibble: transformer models on CPUs, from int8 and int4 weights.
 *
 * Rules that hold for every function here:
 *   - Who creates frees; freeing NULL is fine.  Memory the library hands out as `char **` or
 *     `int32_t **` is released with nib_free().
 *   - A function that can fail returns enum nib_status and, where `err` is not NULL, a sentence
 *     with the cause and the next step.  On failure the out parameters are set to NULL or 0.
 *     The library never prints, exits or aborts.
 *   - A model is read-only and may be shared by threads.  A context, a sampler and a text stream
 *     are used by one thread at a time.
 *   - Ids are int32_t and count from 0; text is UTF-8 and need not end in a zero byte where a
 *     length is passed.
 *   - For one model file, one input and one set of options, logits are equal bit for bit on every
 *     CPU, thread count, batch and chunking (docs/numerics.md).
 *
 * Example, a whole program in C or C++:
 *
 *     #include <nibble.h>
 *     #include <stdio.h>
 *     #include <string.h>
 *
 *     int main(int argc, char **argv)
 *     {
 *         const char *path = argc > 1 ? argv[1] : "model.gguf";
 *         const char *prompt = "The capital of France is";
 *         struct nib_model *model = NULL;
 *         struct nib_context *context = NULL;
 *         struct nib_text_stream *stream = NULL;
 *         int32_t *ids = NULL, next = 0;
 *         size_t n_ids = 0;
 *         struct nib_error err;
 *         bool ok = nib_model_open(&model, path, NULL, &err) == NIB_OK &&
 *                   nib_context_create(&context, model, NULL, &err) == NIB_OK &&
 *                   nib_text_stream_create(&stream, model, &err) == NIB_OK &&
 *                   nib_tokenize(model, prompt, strlen(prompt), NIB_ADD_SPECIAL, &ids, &n_ids,
 *                                &err) == NIB_OK;
 *
 *         struct nib_batch batch = {n_ids, ids, NULL, NULL};
 *         for (int i = 0; ok && i < 16; i++) {
 *             ok = nib_evaluate(context, &batch, &err) == NIB_OK;
 *             if (!ok)
 *                 break;
 *             next = nib_logits_best(context, 0);
 *             if (nib_token_is_end(model, next))
 *                 break;
 *             fputs(nib_text_stream_push(stream, next), stdout);
 *             batch.n_tokens = 1;
 *             batch.ids = &next;
 *         }
 *         if (ok)
 *             puts(nib_text_stream_end(stream));
 *         else
 *             fprintf(stderr, "%s\n", err.message);
 *         nib_free(ids);
 *         nib_text_stream_free(stream);
 *         nib_context_free(context);
 *         nib_model_close(model);
 *         return ok ? 0 : 1;
 *     }
 */
#ifndef NIBBLE_H
#define NIBBLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(NIB_SHARED) && defined(__GNUC__)
#define NIB_API __attribute__((visibility("default")))
#else
#define NIB_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define NIB_VERSION "0.1.0"

NIB_API const char *nib_version(void); /* of the library that is linked, "0.1.0" */
NIB_API void nib_free(void *memory);   /* what the library handed out */

/* ---- errors --------------------------------------------------------------------------------- */

enum nib_status {
    NIB_OK = 0,
    NIB_ERROR_ARGUMENT,  /* a parameter is out of its range */
    NIB_ERROR_FILE,      /* a file is malformed, truncated, or holds what nibble does not run */
    NIB_ERROR_IO,        /* the system refused: no such file, no permission, disk full */
    NIB_ERROR_MEMORY,    /* not enough memory */
    NIB_ERROR_CPU,       /* an instruction set was asked for that this CPU does not have */
    NIB_ERROR_CONTEXT,   /* more tokens than the context holds */
    NIB_ERROR_TEMPLATE,  /* the chat template is malformed, or refused the conversation */
    NIB_ERROR_NUMERIC,   /* a logit is not a number: the weights hold NaN or infinity */
    NIB_ERROR_CANCELLED, /* nib_context_cancel() was called, or a callback asked to stop */
};

struct nib_error {
    enum nib_status status;
    char message[508]; /* one sentence, UTF-8, control characters escaped */
};

/* ---- models --------------------------------------------------------------------------------- */

struct nib_model;

/* done of total units of work; called from the thread that called nib_model_open() */
typedef void nib_progress_fn(void *data, uint64_t done, uint64_t total);

struct nib_model_params {
    /* "scalar"; "avx2", "avxvnni", "avx512", "avx512vnni"; "neon", "dotprod", "i8mm"; NULL: the
     * environment's NIBBLE_ISA, else the best that this CPU has */
    const char *isa;
    /* What the weights become: "q4", "q5", "q6", "q8", "f16", "bf16", "f32", or a mix that
     * nib_quantize() knows.  NULL: as the file has them, those of a Hugging Face folder "q8".
     * Weights that are quantised already become floats where these are asked for, else stay. */
    const char *type;
    int n_threads;             /* for packing; 0: nib_machine_query()'s n_threads */
    nib_progress_fn *progress; /* may be NULL */
    void *progress_data;
    /* A folder, made if need be, that keeps packed forms of models: a model that was opened before
     * is mapped from there (nib_pack_model()).  What cannot be kept costs nothing but that.  NULL,
     * the default: none. */
    const char *cache;
    uint64_t cache_limit;   /* bytes of all that it keeps; the oldest go first; default 8 GiB */
    uint64_t cache_minimum; /* of a packed form to be worth keeping; default 256 MiB */
};

NIB_API void nib_model_params_init(struct nib_model_params *params);

/*
 * Open the GGUF file, or the Hugging Face folder (config.json, model.safetensors or its shards,
 * tokenizer.json or tokenizer.model), at `path` and pack its weights.  `params` may be NULL for the
 * defaults.  On success *out is to be released with nib_model_close(), after all contexts made from
 * it.  The file may be removed or changed once this returns.
 */
NIB_API enum nib_status nib_model_open(struct nib_model **out, const char *path,
                                       const struct nib_model_params *params,
                                       struct nib_error *err);
NIB_API void nib_model_close(struct nib_model *model);

struct nib_model_info {
    const char *family;        /* "llama" */
    const char *name;          /* what the file calls itself, "" if it does not */
    const char *isa;           /* instruction set in use: "avx512vnni" */
    const char *tokenizer;     /* "bpe", "sentencepiece" */
    const char *pre_tokenizer; /* "smollm", or "" where the kind has none */
    const char *chat_template; /* Jinja source, NULL if the file has none */
    uint32_t n_vocab, n_ctx_train, n_layers, n_embd, n_heads, n_kv_heads, d_head, n_ff;
    /* Ids that stand for something.  Those from here to n_vocab pad the matrices: they can be
     * evaluated and have logits, but are not to be chosen. */
    uint32_t n_tokens;
    uint64_t n_params;       /* weights, each counted once */
    uint64_t n_file_bytes;   /* tensor data in the file */
    uint64_t n_packed_bytes; /* the same in memory */
    uint64_t n_token_bytes;  /* weight bytes read to generate one token */
    int32_t bos_id, eos_id;  /* -1 if the model has none */
    uint32_t n_source_vocab; /* of what is encoded; else n_vocab */
    bool has_encoder; /* nib_encode_sources() comes first; sequences begin with decoder_start_id */
    int32_t decoder_start_id, forced_bos_id, forced_eos_id; /* the first id behind it, and the last
                                                               at the maximum length; or -1 */
    const int32_t *bad_ids;                                 /* [n_bad_ids] are never to be chosen */
    size_t n_bad_ids;
    bool adds_bos, adds_eos; /* by NIB_ADD_SPECIAL */
    const char *packed_from; /* a packed file: what it was made from; else NULL */
    const char *cache;       /* a sentence on what nib_model_params.cache did; NULL without one */
    /* Positions depend on nib_context_params.n_ctx (dynamic and long scaling): a text is computed
     * as by its reference in a context as long as the text. */
    bool scales_by_context;
};

/* Valid until the model is closed. */
NIB_API const struct nib_model_info *nib_model_info(const struct nib_model *model);

/* Memory that was asked for, what of it has been touched, and what of that the system has put on
 * huge pages; the last two are 0 where it does not tell. */
struct nib_memory_info {
    uint64_t n_bytes, n_resident_bytes, n_huge_bytes;
};

NIB_API void nib_model_memory(const struct nib_model *model,
                              struct nib_memory_info *out); /* the weights */

struct nib_tensor_info {
    const char *name; /* "blk.0.attn_q.weight" */
    const char *type; /* in the file: "Q4_1" */
    uint32_t n_dims;  /* 1..4 */
    uint64_t dims[4]; /* columns first, as GGUF has them */
    uint64_t n_file_bytes;
    uint64_t n_packed_bytes;
};

NIB_API size_t nib_model_tensor_count(const struct nib_model *model);
NIB_API void nib_model_tensor(const struct nib_model *model, size_t i, struct nib_tensor_info *out);

/* The file's i-th metadata key and its value as text (arrays cut short); false past the end.  The
 * strings are valid until the model is closed. */
NIB_API bool nib_model_metadata(const struct nib_model *model, size_t i, const char **key,
                                const char **value);

/* ---- text and ids --------------------------------------------------------------------------- */

enum {
    /* Add BOS and EOS as the model's file says. */
    NIB_ADD_SPECIAL = 1,
    /* Take "<|im_end|>" in the text for the special token, not for its letters. */
    NIB_PARSE_SPECIAL = 2,
    /* nib_detokenize(): take out blanks, as before "?", where the model's own tokenizer does
     * (clean_up_tokenization_spaces).  Loses such blanks of the text. */
    NIB_CLEAN_SPACES = 4,
};

/* Invalid UTF-8 in `text` becomes the model's byte tokens where it has them, else U+FFFD. */
NIB_API enum nib_status nib_tokenize(const struct nib_model *model, const char *text,
                                     size_t n_bytes, unsigned flags, int32_t **ids, size_t *n_ids,
                                     struct nib_error *err);

/* The bytes that `ids` stand for; zero-terminated, n_bytes does not count the zero.  Special tokens
 * print as their names with NIB_PARSE_SPECIAL, else not at all. */
NIB_API enum nib_status nib_detokenize(const struct nib_model *model, const int32_t *ids,
                                       size_t n_ids, unsigned flags, char **text, size_t *n_bytes,
                                       struct nib_error *err);

/* A token's own text, special or not, as stored in the vocabulary; NULL if there is no such id. */
NIB_API const char *nib_token_name(const struct nib_model *model, int32_t id);

/* Does this id end an answer (end of sequence, end of turn)? */
NIB_API bool nib_token_is_end(const struct nib_model *model, int32_t id);

/*
 * Streaming detokenisation: never half a character.  push() gives the text that `id` completed,
 * valid until the next call; end() gives what is left, incomplete bytes as U+FFFD.  Special tokens
 * give "".
 */
struct nib_text_stream;
NIB_API enum nib_status nib_text_stream_create(struct nib_text_stream **out,
                                               const struct nib_model *model,
                                               struct nib_error *err);
NIB_API const char *nib_text_stream_push(struct nib_text_stream *stream, int32_t id);
NIB_API const char *nib_text_stream_end(struct nib_text_stream *stream);
NIB_API void nib_text_stream_free(struct nib_text_stream *stream);

struct nib_chat_message {
    const char *role; /* "system", "user", "assistant", ... */
    const char *content;
};

/*
 * Render a conversation with the chat template `source`, or the model's own where it is NULL.  The
 * text is to be tokenized with NIB_PARSE_SPECIAL and without NIB_ADD_SPECIAL.
 */
NIB_API enum nib_status nib_chat_format(const struct nib_model *model, const char *source,
                                        const struct nib_chat_message *messages, size_t n_messages,
                                        bool add_generation_prompt, char **text,
                                        struct nib_error *err);

/*
 * The same with further variables of the template, a JSON object as transformers'
 * apply_chat_template takes them: {"tools": [...], "documents": [...], "enable_thinking": false}.
 * They win over the others: "messages" may stand in it too, where contents are more than texts.
 * NULL: none.
 */
NIB_API enum nib_status nib_chat_format_with(const struct nib_model *model, const char *source,
                                             const struct nib_chat_message *messages,
                                             size_t n_messages, bool add_generation_prompt,
                                             const char *variables, char **text,
                                             struct nib_error *err);

/* ---- contexts: the KV cache and the evaluation of tokens ------------------------------------ */

struct nib_context;

/* NIB_KV_Q8_0: int8 with a scale for each head of a position, turned so that a few large values do
 * not cost the others their precision. */
enum nib_kv_type { NIB_KV_F16, NIB_KV_F32, NIB_KV_Q8_0 };

struct nib_context_params {
    uint32_t n_ctx;   /* positions a sequence may have; 0: what the model was trained for */
    uint32_t n_batch; /* tokens computed at once, 1..4096; longer batches are cut; default 512 */
    uint32_t n_sequences; /* independent sequences; default 1 */
    uint32_t n_logits;    /* rows of logits one nib_evaluate() may ask for; default n_sequences */
    uint32_t n_sources;   /* of models with an encoder: texts to decode from; default n_sequences */
    uint32_t n_ctx_source; /* tokens a source may have; 0: what the model was trained for */
    int n_threads;         /* 0: nib_machine_query()'s n_threads */
    enum nib_kv_type type_k, type_v; /* what the cache holds; default NIB_KV_F16 */
    bool kv_cache; /* false: every evaluation recomputes its sequences from their first token */
};

/* Bytes that the cache of one sequence of n_ctx positions takes; 0 for types there are not. */
NIB_API uint64_t nib_kv_bytes(const struct nib_model *model, uint32_t n_ctx,
                              enum nib_kv_type type_k, enum nib_kv_type type_v);

NIB_API void nib_context_params_init(struct nib_context_params *params);
NIB_API enum nib_status nib_context_create(struct nib_context **out, const struct nib_model *model,
                                           const struct nib_context_params *params,
                                           struct nib_error *err);
NIB_API void nib_context_free(struct nib_context *context);

struct nib_context_info {
    uint32_t n_ctx, n_batch, n_sequences, n_logits;
    uint32_t n_sources, n_ctx_source; /* 0 without an encoder */
    int n_threads;
    uint64_t n_kv_bytes;      /* all sequences at full length */
    uint64_t n_scratch_bytes; /* everything else */
    const char *cpu_plan;     /* "2 threads: core 0, core 1", one line */
};

NIB_API const struct nib_context_info *nib_context_info(const struct nib_context *context);
NIB_API void nib_context_memory(const struct nib_context *context,
                                struct nib_memory_info *out); /* the KV cache, as it is now */

struct nib_batch {
    size_t n_tokens;
    const int32_t *ids;        /* [n_tokens] */
    const uint32_t *sequences; /* [n_tokens], or NULL: all of sequence 0 */
    const bool *wants_logits;  /* [n_tokens], or NULL: the last token of each sequence */
};

/*
 * Append tokens to their sequences, in order, and compute the logits that were asked for.  A
 * failure leaves every sequence as it was.
 */
NIB_API enum nib_status nib_evaluate(struct nib_context *context, const struct nib_batch *batch,
                                     struct nib_error *err);

/* Logits [n_vocab] of the i-th token of the last batch that wanted them; valid until the next call
 * of nib_evaluate(). */
NIB_API const float *nib_logits(const struct nib_context *context, size_t i);

/* The id of the largest of these logits below nib_model_info's n_tokens, the lowest such id, which
 * nib_argmax() would find more slowly; -1 if there is no i-th. */
NIB_API int32_t nib_logits_best(const struct nib_context *context, size_t i);

/* Tokens in a sequence, and forgetting all after the first `n`. */
NIB_API uint32_t nib_sequence_length(const struct nib_context *context, uint32_t sequence);
NIB_API void nib_sequence_truncate(struct nib_context *context, uint32_t sequence, uint32_t n);

/*
 * Context shift: forget n_discard tokens behind the first n_keep.  Those behind them move forward
 * and are computed anew, so that the sequence is, bit for bit, one that never had the others; its
 * source stays.  nib_logits() has none until the next nib_evaluate().  Wrong arguments leave the
 * sequence as it was; any other failure, as NIB_ERROR_CANCELLED, leaves its first n_keep tokens.
 */
NIB_API enum nib_status nib_sequence_shift(struct nib_context *context, uint32_t sequence,
                                           uint32_t n_keep, uint32_t n_discard,
                                           struct nib_error *err);

/* `to` becomes a copy of `from`; what both begin with is held once.  A source goes with it. */
NIB_API enum nib_status nib_sequence_fork(struct nib_context *context, uint32_t from, uint32_t to,
                                          struct nib_error *err);

/* Make `sequence` the beginning of `ids`, as far as the cache still holds it from any sequence;
 * returns how many tokens that is, fewer than n_ids.  The bits are those of computing it again. */
NIB_API uint32_t nib_sequence_reuse(struct nib_context *context, uint32_t sequence,
                                    const int32_t *ids, size_t n_ids);

/*
 * Models with an encoder: sources are encoded once, and sequences decode from them, sequence i from
 * source i until nib_sequence_set_source() says otherwise.  `batch` has whole sources (its
 * `sequences` are numbers of sources, its wants_logits is not looked at); what these sources held
 * is replaced, and sequences that decode from them begin anew.
 */
NIB_API enum nib_status nib_encode_sources(struct nib_context *context,
                                           const struct nib_batch *batch, struct nib_error *err);
NIB_API enum nib_status nib_sequence_set_source(struct nib_context *context, uint32_t sequence,
                                                uint32_t source, struct nib_error *err);

/* The encoder's output [n_embd] for the i-th token of the last source of the last
 * nib_encode_sources(), valid until the next one, without a KV cache until the next evaluation;
 * NULL if there is none. */
NIB_API const float *nib_encoder_output(const struct nib_context *context, size_t i);

/* Make a running nib_evaluate(), nib_encode_sources(), nib_sequence_shift() or nib_beam_search()
 * return NIB_ERROR_CANCELLED soon.  From any thread, signal handler or callback; a call while
 * nothing runs has no effect. */
NIB_API void nib_context_cancel(struct nib_context *context);

/* ---- choosing the next token ---------------------------------------------------------------- */

struct nib_sampler;

struct nib_id_list {
    const int32_t *ids;
    size_t n_ids;
};

struct nib_logit_bias {
    int32_t id;
    float bias; /* is added to the logit; -INFINITY: the id is never chosen */
};

/*
 * How the next id is chosen: logit_bias, bad_words and min_length always come first, then the
 * stages that `samplers` names, in its order, then the draw.  A number that says "off" takes its
 * stage out of the chain.  What the pointers point to is copied.
 */
struct nib_sampler_params {
    uint64_t seed;
    uint32_t sequence; /* tells parallel sequences with one seed apart */

    /* Names with ";" between, of llama.cpp or Hugging Face: penalties, dry, top_n_sigma, top_k,
     * typ_p, top_p, min_p, xtc, temperature, mirostat.  What is not named is off.  NULL: that
     * order; with mirostat the others but penalties, dry and temperature are off then. */
    const char *samplers;

    float temperature;       /* 0: greedy: penalties and DRY alone come before; default 0.8 */
    float dynatemp_range;    /* temperature +- this, by the entropy; 0: off, the default */
    float dynatemp_exponent; /* above 0; default 1 */
    int32_t top_k;           /* ids to keep; 0: off; default 40 */
    float top_p;             /* probability to keep, above 0; 1: off; default 0.95 */
    float min_p;             /* 0..1, share of the best one's probability; 0: off; default 0.05 */
    float typical_p;         /* probability to keep, above 0; 1: off, the default */
    float top_n_sigma;       /* standard deviations below the best logit; 0: off, the default */
    float xtc_probability;   /* 0..1, how often XTC cuts; 0: off, the default */
    float xtc_threshold;     /* 0..1, what it may cut; above 0.5 nothing; default 0.1 */

    float repeat_penalty;    /* over prompt and output: logits > 0 are divided by it, others
                                multiplied; 1: off, the default */
    int32_t repeat_last_n;   /* the penalties see this many latest ids; -1: all; default 64 */
    float frequency_penalty; /* over the output: times the count; default 0 */
    float presence_penalty;  /* over the output: once; default 0 */

    float dry_multiplier;       /* 0: off, the default; usually 0.8 */
    float dry_base;             /* at least 1; default 1.75 */
    int32_t dry_allowed_length; /* repetitions this long begin to cost; default 2 */
    int32_t dry_last_n;         /* DRY sees this many latest ids; -1: all, the default */
    const struct nib_id_list *dry_breakers; /* repetitions end here; see nib_dry_breakers() */
    size_t n_dry_breakers;

    int32_t mirostat;   /* 0: off, the default; 2: version 2 */
    float mirostat_tau; /* surprise to keep to, in bits; default 5 */
    float mirostat_eta; /* how fast it adapts, 0..1; default 0.1 */

    const struct nib_logit_bias *logit_bias;
    size_t n_logit_bias;
    const struct nib_id_list *bad_words; /* sequences that are never completed */
    size_t n_bad_words;
    const int32_t *end_ids; /* that are not chosen ... */
    size_t n_end_ids;
    uint32_t min_length; /* ... before this many others were; default 0 */

    bool wants_logprob; /* fill nib_choice.logprob */
    bool wants_report;  /* fill nib_sampler_report() */
    uint32_t n_tokens;  /* ids from here on are never chosen: nib_model_info's; 0: no limit */
};

struct nib_choice {
    int32_t id;
    double logprob; /* of the model's own distribution, before penalties and filters */
};

NIB_API void nib_sampler_params_init(struct nib_sampler_params *params);
NIB_API enum nib_status nib_sampler_create(struct nib_sampler **out,
                                           const struct nib_sampler_params *params, size_t n_vocab,
                                           struct nib_error *err);
NIB_API void nib_sampler_free(struct nib_sampler *sampler);

/* Ids that repeat_penalty, DRY and bad_words see but that were not generated. */
NIB_API enum nib_status nib_sampler_add_prompt(struct nib_sampler *sampler, const int32_t *ids,
                                               size_t n_ids, struct nib_error *err);

/* Choose from logits [n_vocab] and remember the choice.  The random numbers depend on (seed,
 * sequence, number of choices so far) alone. */
NIB_API enum nib_status nib_sampler_choose(struct nib_sampler *sampler, const float *logits,
                                           struct nib_choice *choice, struct nib_error *err);

/* The chain in its order with its values: "penalties(repeat 1.1, last 64) -> top-k 40 -> ...". */
NIB_API const char *nib_sampler_describe(const struct nib_sampler *sampler);

/* What the latest nib_sampler_choose() did; valid until the next one. */
struct nib_sampler_stage {
    const char *name;         /* "logit-bias", "top-k", ... */
    double value;             /* what it went by: top-k's k, mirostat's surprise of the moment */
    size_t n_before, n_after; /* ids that can be chosen */
    size_t n_changed;         /* ids whose logit got another value, above -infinity */
    double mass;              /* share of the probability before the stage that it left */
    double random;            /* the number it drew, in [0, 1); -1: none */
};

struct nib_sampler_report {
    size_t n_stages;
    const struct nib_sampler_stage *stages; /* those at work */
    double random;                          /* of the draw, in [0, 1); -1: greedy */
};

/* NULL without wants_report, and before the first choice. */
NIB_API const struct nib_sampler_report *nib_sampler_report(const struct nib_sampler *sampler);

/* The probability that the latest nib_sampler_choose() gave an id, at the end of the chain. */
NIB_API double nib_sampler_probability(const struct nib_sampler *sampler, int32_t id);

/*
 * For nib_sampler_params.dry_breakers: sequences of ids whose text has one of `texts` in it, as
 * "\n" or ":", wherever the model's tokens happen to begin and end.  *out is one block of memory.
 */
NIB_API enum nib_status nib_dry_breakers(const struct nib_model *model, const char *const *texts,
                                         size_t n_texts, struct nib_id_list **out, size_t *n_out,
                                         struct nib_error *err);

/* The logarithm of the probability of `id` in softmax(logits); -INFINITY where the logit is. */
NIB_API double nib_logprob(const float *logits, size_t n_vocab, int32_t id);

struct nib_id_logprob {
    int32_t id;
    double logprob;
};

/* The `n` most probable ids in out[n], best first, the lower id of equals first.  How many there
 * are: fewer than n where fewer ids have a probability. */
NIB_API size_t nib_top_logprobs(const float *logits, size_t n_vocab, size_t n,
                                struct nib_id_logprob *out);

/* The id of the largest logit, the lowest such id. */
NIB_API int32_t nib_argmax(const float *logits, size_t n_vocab);

/* ---- beam search ---------------------------------------------------------------------------- */

enum nib_beam_rule {
    /* transformers' search: sequences that end leave the beams for a list of the best n_beams. */
    NIB_BEAMS_HF,
    /* Sequences that end stay among the n_beams and compete with the others by score. */
    NIB_BEAMS_TEXTBOOK,
};

/* When the search of NIB_BEAMS_HF is over, besides at the maximum length. */
enum nib_early_stopping {
    NIB_STOP_WHEN_WORSE, /* n_beams have ended and the best that runs scores less than the worst */
    NIB_STOP_AT_ONCE,    /* n_beams have ended */
    NIB_STOP_NEVER,      /* as the first, by the best score that could still be reached */
};

struct nib_hypothesis {
    const int32_t *ids; /* [n_ids] generated: without the prefix, with the end */
    size_t n_ids;
    double sum; /* of log-probabilities */
    double score;
    bool is_ended;    /* by an end id, not by the maximum length */
    bool has_phrases; /* all that are forced */
};

/* Ids that an answer has in it, one after the other: one list of them, or any one of several. */
struct nib_beam_phrase {
    const struct nib_id_list *alternatives; /* none begins with another */
    size_t n_alternatives;
};

struct nib_beam_params {
    uint32_t n_beams; /* 1..256; default 4 */
    uint32_t n_best;  /* hypotheses to give, at most n_beams; default 1 */
    uint32_t max_new; /* ids that are generated at most, the end included; default 128 */
    enum nib_beam_rule rule;
    enum nib_early_stopping early_stopping;
    /* A score is the sum of log-probabilities / (number of generated ids)^length_penalty; default 1
     */
    double length_penalty;
    double repeat_penalty;    /* over all ids so far: log-probabilities are multiplied; 1: off */
    uint32_t no_repeat_ngram; /* n > 0: no n ids come twice in a row of the output or prefix */
    uint32_t min_new;         /* no end before this many other ids; default 0 */
    /* Beams in groups, which avoid what earlier groups take in a step: log-probability -
     * diversity_penalty for each of their beams that took the id (Vijayakumar et al. 2018).  Each
     * group stops by itself; the best of all are given. */
    uint32_t n_groups; /* divides n_beams; default 1 */
    double diversity_penalty;
    const int32_t *bad_ids; /* never chosen, beside the model's own */
    size_t n_bad_ids;
    /* At most 64, by NIB_BEAMS_HF, without groups: sequences do not end before all are generated,
     * in any order, sharing no id.  At the maximum length those that have all count; the others do
     * too where fewer than n_best of the beams have (Post and Vilar 2018; transformers). */
    const struct nib_beam_phrase *phrases;
    size_t n_phrases;
    bool ignores_end; /* end ids are ids as others */
    /* After each step, with all beams of `input`, best first; by NIB_BEAMS_HF those that go on,
     * then the list of those that have ended.  May be NULL. */
    void (*on_step)(void *data, size_t input, size_t step, const struct nib_hypothesis *beams,
                    size_t n_beams);
    void *data;
};

/* What to continue; the i-th uses sequences [i * n_beams, (i + 1) * n_beams) of the context, which
 * are emptied, and source i of a model with an encoder. */
struct nib_beam_input {
    const int32_t *prefix; /* not generated, not counted: a prompt, or start ids */
    size_t n_prefix;
    uint32_t max_new; /* 0: what the params say */
};

struct nib_beam_output {
    struct nib_hypothesis *best; /* [n_best], best first; fewer where fewer were found, none where
                                    every first id is banned */
    size_t n_best;
};

NIB_API void nib_beam_params_init(struct nib_beam_params *params);
/* New ids that every input must be allowed for the phrases to force, and the end if the model
 * forces it; 0 without phrases. */
NIB_API size_t nib_beam_least_new(const struct nib_model *model,
                                  const struct nib_beam_params *params);

/*
 * Search all inputs together; each finds what it would alone.  The context has n_inputs * n_beams
 * sequences and as many logits.  out[n_inputs] is to be released with nib_beam_outputs_free().
 */
NIB_API enum nib_status nib_beam_search(struct nib_context *context, const struct nib_model *model,
                                        const struct nib_beam_params *params,
                                        const struct nib_beam_input *inputs, size_t n_inputs,
                                        struct nib_beam_output *out, struct nib_error *err);
NIB_API void nib_beam_outputs_free(struct nib_beam_output *outputs, size_t n);

/* ---- quantising model files ----------------------------------------------------------------- */

struct nib_quantize_tensor {
    const char *name;
    const char *from, *to; /* "F16", "Q4_K" */
    const char *wanted;    /* the type of the mix, where the columns do not fit it; else NULL */
    uint32_t n_dims;
    uint64_t dims[4];
    uint64_t n_bytes_from, n_bytes_to;
};

struct nib_quantize_params {
    const char *type;                 /* a mix, as in nib_quantize_type(); "Q4_K_M" */
    const char *output_type;          /* of output.weight; NULL: by the mix */
    const char *token_embedding_type; /* NULL: by the mix */
    const char *const *tensor_types;  /* "PATTERN=TYPE": a regular expression for names; the first
                                         that matches wins */
    size_t n_tensor_types;
    bool is_pure;          /* one type for all matrices */
    bool allow_requantize; /* take weights that are quantised already; quality is lost twice */
    bool is_dry_run;       /* plan alone: `output` is not looked at */
    int n_threads;         /* 0: nib_machine_query()'s n_threads */
    /* Each may be NULL, and is called from the calling thread: every tensor, in the file's order,
     * before the work begins; then bytes written of all.  `progress` returns false to stop. */
    void (*on_tensor)(void *data, const struct nib_quantize_tensor *tensor);
    bool (*progress)(void *data, uint64_t done, uint64_t total);
    void *data;
};

struct nib_quantize_result {
    uint64_t n_weights, n_bytes_from, n_bytes_to; /* of all tensors */
    size_t n_tensors, n_fallbacks;                /* those with another type than `wanted` */
};

NIB_API void nib_quantize_params_init(struct nib_quantize_params *params);

/* The i-th name that `type` may have; NULL past the end. */
NIB_API const char *nib_quantize_type(size_t i);

/*
 * Write the model of the GGUF file `input` as the GGUF file `output` with weights of other types.
 * Metadata, vectors and norms stay as they are.  `output` gets its name when it is complete: until
 * then, and if this fails, what had the name keeps it.  The same input and params give the same
 * bytes on every machine and for any number of threads.  `result` may be NULL.
 */
NIB_API enum nib_status nib_quantize(const char *input, const char *output,
                                     const struct nib_quantize_params *params,
                                     struct nib_quantize_result *result, struct nib_error *err);

/* ---- packed files --------------------------------------------------------------------------- */

struct nib_pack_params {
    const char *type; /* as in nib_model_params */
    int n_threads;    /* 0: nib_machine_query()'s n_threads */
    /* May be NULL; is called from the calling thread, and returns false to stop. */
    bool (*progress)(void *data, uint64_t done, uint64_t total);
    void *data;
};

NIB_API void nib_pack_params_init(struct nib_pack_params *params);

/*
 * Write the model at `input`, any that nib_model_open() takes, as the packed file `output`: a GGUF
 * file whose weights lie as they are computed with, so that nib_model_open() maps them instead of
 * reading and packing them.  It names its source by SHA-256, and is for this version of nibble, on
 * any CPU.  `output` gets its name when it is complete.  While a model opened from a packed file is
 * in use, the file may be replaced or removed, but not be changed in place.  `params` may be NULL.
 */
NIB_API enum nib_status nib_pack_model(const char *input, const char *output,
                                       const struct nib_pack_params *params, struct nib_error *err);

/* ---- the machine ---------------------------------------------------------------------------- */

struct nib_machine_info {
    char cpu_name[64];
    const char *isa;      /* the best instruction set that this CPU and system have */
    const char *isa_list; /* all that can be asked for here, best last, by blanks */
    int n_cores;          /* physical cores this process may run on */
    int n_threads;        /* the default: min(n_cores, CPU quota of the container) */
};

NIB_API void nib_machine_query(struct nib_machine_info *out);

/* Bytes/s that the context's threads read from memory together; takes about 0.1 s. */
NIB_API double nib_measure_bandwidth(struct nib_context *context);

#ifdef __cplusplus
}
#endif

#endif
