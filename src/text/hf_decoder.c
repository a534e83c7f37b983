/* Running the stages of decoding, see hf_decoder.h. */
#include "hf_decoder.h"

#include "hf_decoder_stages.h"
#include "hf_regex.h"

#include <stdlib.h>

struct nib_hf_decoder {
    size_t n_stages;
    struct nib_hf_stage stages[NIB_HF_MAX_PARTS];
};

struct nib_hf_decoding {
    struct nib_hf_work work;
    size_t n_stages;
    struct nib_hf_stage_state states[];
};

/* ---- from stage to stage -------------------------------------------------------------------- */

void nib_hf_keep(struct nib_hf_stage_state *s, struct nib_buffer *buffer, struct nib_str bytes)
{
    if (s->status == NIB_OK && !nib_buffer_append(buffer, bytes.data, bytes.len))
        s->status = nib_fail_memory(s->err, buffer->n + bytes.len, "the text of the ids");
}

void nib_hf_emit_piece(struct nib_hf_stage_state *s, struct nib_str piece)
{
    if (s->next == NULL)
        nib_hf_keep(s, s->text, piece);
    else if (s->status == NIB_OK)
        s->next->stage->kind->piece(s->next, piece);
}

void nib_hf_emit_end(struct nib_hf_stage_state *s)
{
    if (s->next != NULL && s->status == NIB_OK)
        s->next->stage->kind->end_token(s->next);
}

void nib_hf_emit_token(struct nib_hf_stage_state *s, struct nib_str token)
{
    nib_hf_emit_piece(s, token);
    nib_hf_emit_end(s);
}

/* The first failure of any stage. */
static enum nib_status result(const struct nib_hf_decoding *d)
{
    for (size_t i = 0; i < d->n_stages; i++)
        if (d->states[i].status != NIB_OK)
            return d->states[i].status;
    return NIB_OK;
}

static void prepare(struct nib_hf_decoding *d, struct nib_buffer *text, struct nib_error *err)
{
    d->work.cpu_limit_ns = 0;
    for (size_t i = 0; i < d->n_stages; i++) {
        d->states[i].text = text;
        d->states[i].err = err;
    }
}

enum nib_status nib_hf_decoding_push(struct nib_hf_decoding *d, struct nib_str token,
                                     struct nib_buffer *text, struct nib_error *err)
{
    prepare(d, text, err);
    d->states[0].stage->kind->piece(&d->states[0], token);
    d->states[0].stage->kind->end_token(&d->states[0]);
    return result(d);
}

static void restart(struct nib_hf_stage_state *s)
{
    s->token.n = s->held.n = 0;
    s->n_tokens = s->n_start = s->n_run = 0;
    s->is_in_token = s->has_held = false;
}

enum nib_status nib_hf_decoding_end(struct nib_hf_decoding *d, struct nib_buffer *text,
                                    struct nib_error *err)
{
    prepare(d, text, err);
    for (size_t i = 0; i < d->n_stages; i++) {
        if (d->states[i].stage->kind->end != NULL)
            d->states[i].stage->kind->end(&d->states[i]);
        restart(&d->states[i]);
    }
    return result(d);
}

enum nib_status nib_hf_decoding_create(struct nib_hf_decoding **out,
                                       const struct nib_hf_decoder *decoder, struct nib_error *err)
{
    const size_t n_bytes =
        sizeof(struct nib_hf_decoding) + decoder->n_stages * sizeof(struct nib_hf_stage_state);
    struct nib_hf_decoding *d = *out = calloc(1, n_bytes);
    if (d == NULL)
        return nib_fail_memory(err, n_bytes, "the text of ids");
    d->n_stages = decoder->n_stages;
    d->work.max_bytes = SIZE_MAX / 8;
    for (size_t i = 0; i < d->n_stages; i++) {
        d->states[i].stage = &decoder->stages[i];
        d->states[i].next = i + 1 < d->n_stages ? &d->states[i + 1] : NULL;
        d->states[i].work = &d->work;
    }
    return NIB_OK;
}

void nib_hf_decoding_free(struct nib_hf_decoding *d)
{
    if (d == NULL)
        return;
    for (size_t i = 0; i < d->n_stages; i++) {
        free(d->states[i].token.data);
        free(d->states[i].held.data);
    }
    nib_hf_work_free(&d->work);
    free(d);
}

/* ---- reading -------------------------------------------------------------------------------- */

static enum nib_status read_part(void *data, const struct nib_hf_part *part, struct nib_error *err)
{
    struct nib_hf_decoder *d = data;
    for (size_t i = 0; i < nib_hf_n_stage_kinds; i++) {
        const struct nib_hf_stage_kind *kind = &nib_hf_stage_kinds[i];
        if (strcmp(part->type, kind->type) != 0)
            continue;
        struct nib_hf_stage *stage = &d->stages[d->n_stages++];
        stage->kind = kind;
        return kind->read == NULL ? NIB_OK : kind->read(stage, part, err);
    }
    return nib_hf_part_unknown(part,
                               "BPEDecoder, ByteFallback, ByteLevel, CTC, Fuse, Metaspace, "
                               "Replace, Sequence, Strip, WordPiece",
                               err);
}

enum nib_status nib_hf_decoder_create(struct nib_hf_decoder **out, yyjson_val *json,
                                      const char *path, struct nib_error *err)
{
    enum nib_status status = NIB_OK;
    struct nib_hf_decoder *d = *out = calloc(1, sizeof(*d));
    if (d == NULL)
        return nib_fail_memory(err, sizeof(*d), "the tokenizer");
    if (json == NULL || yyjson_is_null(json))
        d->stages[d->n_stages++].kind = &nib_hf_stage_join;
    else
        status = nib_hf_read_parts(json, "decoder", "decoders", path, read_part, d, err);
    if (status == NIB_OK && d->n_stages == 0) { /* an empty Sequence changes nothing */
        for (size_t i = 0; i < nib_hf_n_stage_kinds; i++)
            if (strcmp(nib_hf_stage_kinds[i].type, "Fuse") == 0)
                d->stages[d->n_stages++].kind = &nib_hf_stage_kinds[i];
    }
    if (status != NIB_OK) {
        nib_hf_decoder_free(d);
        *out = NULL;
    }
    return status;
}

void nib_hf_decoder_free(struct nib_hf_decoder *d)
{
    if (d == NULL)
        return;
    for (size_t i = 0; i < d->n_stages; i++) {
        free((char *)(uintptr_t)d->stages[i].text.data);
        free((char *)(uintptr_t)d->stages[i].other_text.data);
        nib_hf_pattern_free(d->stages[i].pattern);
    }
    free(d);
}
