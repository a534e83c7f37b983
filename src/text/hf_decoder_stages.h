/* The stages of decoding: one row of a table each (hf_decoder_stages.c); hf_decoder.c runs them. */
#ifndef NIB_HF_DECODER_STAGES_H
#define NIB_HF_DECODER_STAGES_H

#include "hf_json.h"
#include "hf_text.h"

struct nib_hf_stage_kind;
struct nib_hf_pattern;

/* What the file says of a stage. */
struct nib_hf_stage {
    const struct nib_hf_stage_kind *kind;
    struct nib_str text, other_text; /* owned */
    struct nib_hf_pattern *pattern;
    uint32_t character;
    size_t start, stop;
    bool cleans, prepends;
};

/* Where a sequence is in a stage; zeroed at its start. */
struct nib_hf_stage_state {
    const struct nib_hf_stage *stage;
    struct nib_hf_stage_state *next; /* NULL: what comes out is the text */
    struct nib_buffer *text;         /* of the last one */
    struct nib_hf_work *work;
    struct nib_buffer token; /* the token so far, where it is needed whole */
    struct nib_buffer held;  /* of tokens before */
    size_t n_tokens;         /* that have begun */
    size_t n_start, n_run;   /* Strip */
    bool is_in_token, has_held;
    enum nib_status status; /* the first failure; nothing is done after it */
    struct nib_error *err;
};

struct nib_hf_stage_kind {
    const char *type;
    enum nib_status (*read)(struct nib_hf_stage *stage, const struct nib_hf_part *part,
                            struct nib_error *err);                    /* NULL: nothing to read */
    void (*piece)(struct nib_hf_stage_state *s, struct nib_str piece); /* of the token */
    void (*end_token)(struct nib_hf_stage_state *s);
    void (*end)(struct nib_hf_stage_state *s); /* of the sequence; NULL: nothing to do */
};

extern const struct nib_hf_stage_kind nib_hf_stage_kinds[];
extern const size_t nib_hf_n_stage_kinds;
extern const struct nib_hf_stage_kind nib_hf_stage_join; /* where there is no decoder */

/* For the stages: on to the next one. */
void nib_hf_emit_piece(struct nib_hf_stage_state *s, struct nib_str piece);
void nib_hf_emit_end(struct nib_hf_stage_state *s);
void nib_hf_emit_token(struct nib_hf_stage_state *s, struct nib_str token);
void nib_hf_keep(struct nib_hf_stage_state *s, struct nib_buffer *buffer, struct nib_str bytes);

#endif
