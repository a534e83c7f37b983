/*
 * Keys of families with an encoder and a decoder.  The plain names are the encoder's; what differs
 * in the decoder has names of its own: decoder_block_count, decoder.attention.head_count,
 * decoder.feed_forward_length.  What generate() of transformers begins and ends with is
 * hf_generation.c's.
 */
#include "hf_config.h"

#include <math.h>

/* ---- T5, mT5, UMT5 --------------------------------------------------------------------------- */

/*
 * T5 1.0 divides the decoder's output by sqrt(d_model), 1.1 does not, which tie_word_embeddings
 * told apart.  transformers 5 writes "true" there for all: it has scale_decoder_outputs for T5,
 * never scales in mT5, and in UMT5 as long as nothing says that embeddings are not tied.
 */
static bool scales_output(struct nib_hf_config *c)
{
    if (strcmp(c->family->model_type, "mt5") == 0)
        return false;
    return nib_hf_bool(c, NULL, "scale_decoder_outputs", c->is_tied);
}

void nib_hf_read_t5(struct nib_hf_config *c)
{
    c->n_decoder_layers = nib_hf_int(c, NULL, "num_decoder_layers", c->n_layers);
    nib_hf_put_int(c, "decoder_block_count", c->n_decoder_layers);
    nib_hf_put_int(c, "attention.relative_buckets_count",
                   nib_hf_int(c, NULL, "relative_attention_num_buckets", 32));
    nib_hf_put_int(c, "attention.relative_max_distance",
                   nib_hf_int(c, NULL, "relative_attention_max_distance", 128));
    nib_hf_put_float(c, "attention.scale", 1); /* q k^T as it is */
    nib_hf_put_float(c, "logit_scale", scales_output(c) && c->n_embd > 0 ? 1 / sqrt(c->n_embd) : 1);
    nib_hf_put_bool(c, "normalize_before", true);
}

/* ---- BART and those built like it ------------------------------------------------------------ */

static void read_bart(struct nib_hf_config *c, bool normalizes_before, bool scales_embedding)
{
    c->n_decoder_layers = nib_hf_int(c, NULL, "decoder_layers", c->n_layers);
    nib_hf_put_int(c, "decoder_block_count", c->n_decoder_layers);
    nib_hf_put_int(c, "decoder.attention.head_count",
                   nib_hf_int(c, NULL, "decoder_attention_heads", c->n_heads));
    nib_hf_put_int(c, "decoder.feed_forward_length",
                   nib_hf_int(c, NULL, "decoder_ffn_dim", NIB_HF_REQUIRED));
    nib_hf_put_bool(c, "normalize_before", normalizes_before);
    if (nib_hf_bool(c, NULL, "scale_embedding", scales_embedding))
        nib_hf_put_float(c, "embedding_scale", sqrt(c->n_embd));
}

/* bart, marian */
void nib_hf_read_bart(struct nib_hf_config *c)
{
    read_bart(c, false, false);
}

/* mbart, pegasus */
void nib_hf_read_mbart(struct nib_hf_config *c)
{
    read_bart(c, true, false);
}

void nib_hf_read_m2m100(struct nib_hf_config *c)
{
    read_bart(c, true, true);
    c->first_position = nib_hf_int(c, NULL, "pad_token_id", 1) + 1.0;
}

void nib_hf_read_transformer(struct nib_hf_config *c)
{
    read_bart(c, false, false);
    if (nib_hf_bool(c, NULL, "normalize_before", false))
        nib_hf_refuse(c, "normalize_before", nib_hf_find(c, "normalize_before"),
                      "but this family normalises after each part; use another model");
    const char *kind = nib_hf_string(c, NULL, "positional_encoding");
    if (kind && strcmp(kind, "sinusoidal_interleaved") != 0)
        nib_hf_refuse(c, "positional_encoding", nib_hf_find(c, "positional_encoding"),
                      "expected \"sinusoidal_interleaved\"; use another model");
}
