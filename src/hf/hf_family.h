/* What is true of all models with one "model_type", as data: hf_families.c. */
#ifndef NIB_HF_FAMILY_H
#define NIB_HF_FAMILY_H

#include "common.h"

struct nib_hf_config;

/* ---- tensors --------------------------------------------------------------------------------- */

/* How the values of the GGUF's tensor lie in the source's, whose dimensions are rows first. */
enum nib_hf_how {
    NIB_HF_PLAIN,
    NIB_HF_HEAD,    /* plain; left out where the head is the embedding's matrix */
    NIB_HF_PAIRS_Q, /* rows of each head reordered for rotation of neighbours: (i, d/2 + i) ... */
    NIB_HF_PAIRS_K, /* ... -> (2i, 2i + 1); heads of the queries or of the keys */
    NIB_HF_TRANSPOSED,  /* [in, out]: Conv1D; a bias is plain */
    NIB_HF_GROUPED_QKV, /* for each key head its queries, key and value -> all q, all k, all v */
    NIB_HF_PLUS_ONE,    /* 1 is added: norms of Gemma */
    NIB_HF_SKIP_TWO,    /* without its first two rows: positions of OPT */
    NIB_HF_FLAT,        /* [1, n] -> [n] */
    NIB_HF_FLAT_BIAS,   /* the same, and it is named as a bias though the source's name is not */
    NIB_HF_EXPERT,      /* one of the experts that make a tensor of three dimensions */
    NIB_HF_EXPERTS,     /* all of them: [expert, out, in] */
    NIB_HF_EXPERTS_1ST, /* [expert, 2 out, in]: the first half of the rows of each ... */
    NIB_HF_EXPERTS_2ND, /* ... and the second */
    NIB_HF_STACKED,     /* one row of a matrix, numbered as experts are */
};

/* Names without ".weight" and ".bias"; # stands for a layer's number, @ for an expert's. */
struct nib_hf_rule {
    const char *from; /* ends a table: NULL */
    const char *to;   /* NULL: known, and not needed */
    enum nib_hf_how how;
};

/* ---- configuration --------------------------------------------------------------------------- */

enum {
    NIB_HF_RMS = 1,             /* RMSNorm; else LayerNorm */
    NIB_HF_ROPE = 2,            /* rotary positions */
    NIB_HF_TIED = 4,            /* what an absent tie_word_embeddings means */
    NIB_HF_FF_4X = 8,           /* the width of the feed-forward may be absent: 4 x hidden size */
    NIB_HF_EXPERTS_NORMED = 16, /* weights of the chosen experts add up to 1, whatever it says */
    NIB_HF_TWO_STACKS = 32,     /* encoder and decoder */
    NIB_HF_GELU_IS_TANH = 64,   /* "gelu" means the tanh form */
    NIB_HF_ROPE_IN_PART = 128,  /* partial_rotary_factor counts */
    NIB_HF_OWN_HEAD = 256,      /* a head that is there counts, whatever the configuration says */
};

/* Which layers' windows count where layer_types does not say. */
enum nib_hf_windows {
    NIB_HF_NO_WINDOW,
    NIB_HF_ALL_LAYERS,
    NIB_HF_IF_USED,       /* use_sliding_window; from max_window_layers on */
    NIB_HF_EVEN_IF_USED,  /* the same; every second one before max_window_layers */
    NIB_HF_ALL_IF_USED,   /* the same; all */
    NIB_HF_NAMED_IF_USED, /* the same; only those of layer_types */
    NIB_HF_EVERY_2ND,
    NIB_HF_ALL_BUT_6TH, /* or another period: sliding_window_pattern */
};

/* Positions that are computed, in the first and second half of a row or one beside the other. */
enum nib_hf_sines {
    NIB_HF_NO_SINES,
    NIB_HF_SINES_HALVES,
    NIB_HF_SINES_FAIRSEQ, /* with other frequencies, and not from position 0 on */
    NIB_HF_SINES_ALTERNATE,
};

struct nib_hf_family {
    const char *model_type;
    const char *arch; /* general.architecture */
    unsigned flags;
    enum nib_hf_windows windows;
    enum nib_hf_sines sines;
    const char *activation; /* where the file does not say; NULL: it must */
    /* What absent numbers are; 0: they must be there.  An absent number of key heads is that of
     * heads, an absent rope_theta 10000. */
    struct {
        double eps, context, heads, kv_heads, d_head, rope_base, rotary_part, window;
    } absent;
    /* Ids that the class has where both files say nothing; start: 0, other ids. */
    struct {
        uint32_t start, forced_eos;
        bool has_forced_eos;
    } ids;
    void (*extra)(struct nib_hf_config *config); /* more keys, or refusals; or NULL */
    const char *const *prefixes;                 /* of names, longest first, each may be absent */
    const struct nib_hf_rule *const *rules;      /* tables, ends with NULL */
};

const struct nib_hf_family *nib_hf_family_find(const char *model_type); /* or NULL */
/* "bloom, cohere, ..." for messages. */
void nib_hf_family_list(char *out, size_t cap);

#endif
