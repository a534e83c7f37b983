/* Names: each tensor of the files by the family's rules, sorted to where it goes.  See
 * hf_tensors.h. */
#include "hf_tensors.h"
#include "hf_rules.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- memory ---------------------------------------------------------------------------------- */

void *nib_hf_alloc(struct nib_hf_memory *memory, size_t n_bytes)
{
    if (memory->n == memory->cap) {
        const size_t cap = 2 * memory->cap + 64;
        void **grown = realloc(memory->blocks, cap * sizeof(*grown));
        if (!grown)
            return NULL;
        memory->blocks = grown;
        memory->cap = cap;
    }
    void *block = calloc(1, n_bytes ? n_bytes : 1);
    if (block)
        memory->blocks[memory->n++] = block;
    return block;
}

void nib_hf_memory_free(struct nib_hf_memory *memory)
{
    for (size_t i = 0; i < memory->n; i++)
        free(memory->blocks[i]);
    free(memory->blocks);
    *memory = (struct nib_hf_memory){0};
}

/* ---- one name -------------------------------------------------------------------------------- */

/* The number at *at, without leading zeros; false, and nothing moves, if there is none. */
static bool take_number(const char **at, uint32_t *out)
{
    const char *c = *at;
    uint32_t number = 0;
    if (*c < '0' || *c > '9')
        return false;
    if (*c == '0' && c[1] >= '0' && c[1] <= '9')
        return false;
    for (; *c >= '0' && *c <= '9'; c++) {
        if (number > 99999999)
            return false;
        number = 10 * number + (uint32_t)(*c - '0');
    }
    *at = c;
    *out = number;
    return true;
}

/* What follows the pattern in a name, or NULL if that does not begin with it. */
static const char *match(const char *pattern, const char *name, struct nib_hf_piece *piece)
{
    piece->layer = -1;
    piece->part = 0;
    for (; *pattern; pattern++) {
        uint32_t number;
        if (*pattern != '#' && *pattern != '@') {
            if (*pattern != *name++)
                return NULL;
        } else if (!take_number(&name, &number)) {
            return NULL;
        } else if (*pattern == '#') {
            piece->layer = number;
        } else {
            piece->part = number;
        }
    }
    return name;
}

/* May a name end in this after a rule's pattern?  Fused experts are parameters, no modules. */
static bool is_suffix(const struct nib_hf_rule *rule, const char *rest)
{
    if (strcmp(rest, ".weight") == 0 || (strcmp(rest, ".bias") == 0))
        return true;
    return *rest == '\0' && rule->how >= NIB_HF_FLAT_BIAS;
}

static void name_piece(struct nib_hf_piece *piece, const char *rest)
{
    const char *to = piece->rule->to;
    const char *number = strchr(to, '#');
    if (piece->rule->how == NIB_HF_FLAT_BIAS)
        rest = ".bias";
    else if (*rest == '\0')
        rest = ".weight";
    if (number)
        snprintf(piece->name, sizeof(piece->name), "%.*s%" PRId64 "%s%s", (int)(number - to), to,
                 piece->layer, number + 1, rest);
    else
        snprintf(piece->name, sizeof(piece->name), "%s%s", to, rest);
}

struct finder {
    const struct nib_hf_config *config;
    struct nib_hf_piece *pieces; /* room for two of every tensor */
    size_t n;
    const char *shared; /* the source of both stacks' embedding; NULL: each has its own */
    bool has_head;
    struct nib_error *err;
};

/* Copies of the embedding; the head where it is the embedding. */
static bool is_left_out(struct finder *f, const struct nib_hf_piece *piece)
{
    const char *to = piece->rule->to;
    if (!to)
        return true;
    if (piece->rule->how == NIB_HF_HEAD && strcmp(piece->name, "output.weight") == 0) {
        f->has_head = true;
        return f->config->is_tied && !(f->config->family->flags & NIB_HF_OWN_HEAD);
    }
    if (!(f->config->family->flags & NIB_HF_TWO_STACKS))
        return false;
    if (!f->shared)
        return strcmp(to, "token_embd") == 0;
    return strcmp(to, "enc.token_embd") == 0 || strcmp(to, "dec.token_embd") == 0;
}

/* Layers beyond those of the configuration would be left out silently. */
static enum nib_status check_layer(const struct finder *f, const struct nib_hf_piece *piece)
{
    const bool is_decoder = strncmp(piece->name, "dec.", 4) == 0;
    const uint32_t n = is_decoder ? f->config->n_decoder_layers : f->config->n_layers;
    if (piece->layer < (int64_t)n)
        return NIB_OK;
    return nib_fail(f->err, NIB_ERROR_FILE,
                    "%s: tensor %.128s is of layer %" PRId64
                    ", but by config.json there are %" PRIu32
                    " layers: the files do not belong together; download all of them again",
                    piece->path, piece->source->name, piece->layer, n);
}

static enum nib_status fail_unknown(const struct finder *f, const char *path, const char *name)
{
    if (nib_hf_is_quantised(name))
        return nib_fail(f->err, NIB_ERROR_FILE,
                        "%s: tensor %.128s belongs to weights that are quantised already, which "
                        "nibble does not read yet; use the model that they were made from, or a "
                        "GGUF file of it",
                        path, name);
    return nib_fail(f->err, NIB_ERROR_FILE,
                    "%s: tensor %.128s is not known of models of the family %s, so that running "
                    "the rest would give wrong results; use another version of this model, or a "
                    "GGUF file of it",
                    path, name, f->config->family->model_type);
}

static const char *without_prefix(const struct finder *f, const char *name)
{
    for (const char *const *prefix = f->config->family->prefixes; *prefix; prefix++)
        if (strncmp(name, *prefix, strlen(*prefix)) == 0)
            return name + strlen(*prefix);
    return name;
}

static enum nib_status find_pieces(struct finder *f, const char *path,
                                   const struct nib_safetensors_tensor *source)
{
    static const struct nib_hf_rule embedding = {"", "token_embd", NIB_HF_PLAIN};
    const char *name = without_prefix(f, source->name);
    if (f->shared && strcmp(name, f->shared) == 0) {
        struct nib_hf_piece *piece = &f->pieces[f->n++];
        *piece =
            (struct nib_hf_piece){.layer = -1, .rule = &embedding, .source = source, .path = path};
        name_piece(piece, ".weight");
        return NIB_OK;
    }
    bool is_known = nib_hf_is_ignored(source->name);
    for (const struct nib_hf_rule *const *table = f->config->family->rules; *table && !is_known;
         table++)
        for (const struct nib_hf_rule *rule = *table; rule->from; rule++) {
            struct nib_hf_piece piece = {.rule = rule, .source = source, .path = path};
            const char *rest = match(rule->from, name, &piece);
            if (!rest || !is_suffix(rule, rest))
                continue;
            is_known = true;
            if (rule->to)
                name_piece(&piece, rest);
            if (!is_left_out(f, &piece)) {
                const enum nib_status status = check_layer(f, &piece);
                if (status != NIB_OK)
                    return status;
                f->pieces[f->n++] = piece;
            }
            if (rule->how != NIB_HF_EXPERTS_1ST)
                break;
        }
    return is_known ? NIB_OK : fail_unknown(f, path, source->name);
}

/* ---- all names ------------------------------------------------------------------------------- */

static int compare_pieces(const void *a, const void *b)
{
    const struct nib_hf_piece *x = a, *y = b;
    if (x->layer != y->layer)
        return x->layer < y->layer ? -1 : 1;
    const int order = strcmp(x->name, y->name);
    if (order != 0)
        return order;
    return x->part < y->part ? -1 : x->part > y->part;
}

static bool has_parts(const struct nib_hf_piece *piece)
{
    return piece->rule->how == NIB_HF_EXPERT || piece->rule->how == NIB_HF_STACKED;
}

static enum nib_status build(struct nib_hf_tensors *tensors, const struct finder *f)
{
    for (size_t i = 0, n; i < f->n; i += n) {
        const struct nib_hf_piece *first = &f->pieces[i];
        n = 1;
        while (i + n < f->n && strcmp(first->name, first[n].name) == 0)
            n++;
        for (size_t k = 1; k < n; k++)
            if (!has_parts(first) || first[k].rule != first->rule ||
                first[k].part == first[k - 1].part)
                return nib_fail(f->err, NIB_ERROR_FILE,
                                "%s: tensors %.128s and %.128s are the same part of the model; "
                                "get the files again from their publisher",
                                first[k].path, first[k - 1].source->name, first[k].source->name);
        const enum nib_status status =
            nib_hf_view(&tensors->all[tensors->n], &tensors->memory, first, n, f->config, f->err);
        if (status != NIB_OK)
            return status;
        tensors->n++;
    }
    return NIB_OK;
}

/* A vector of numbers that are computed, or that config.json has. */
static enum nib_status add_floats(struct nib_hf_tensors *tensors, const char *name,
                                  const float *values, size_t n, struct nib_error *err)
{
    if (!values || n == 0)
        return NIB_OK;
    const size_t n_bytes = n * sizeof(*values);
    struct nib_gguf_tensor *t = &tensors->all[tensors->n];
    *t = (struct nib_gguf_tensor){
        .name = name,
        .type = NIB_TYPE_F32,
        .n_dims = 1,
        .dims = {n, 1, 1, 1},
        .n_bytes = n_bytes,
    };
    uint8_t *copy = nib_hf_view_copy(t, &tensors->memory);
    if (!copy)
        return nib_fail_memory(err, n_bytes, "factors of positions");
    memcpy(copy, values, n_bytes);
    tensors->n++;
    return NIB_OK;
}

static enum nib_status add_positions(struct nib_hf_tensors *tensors,
                                     const struct nib_hf_config *config, struct nib_error *err)
{
    const size_t n = config->n_rot / 2;
    enum nib_status status = add_floats(tensors, "rope_freqs.weight", config->rope_freqs, n, err);
    if (status == NIB_OK)
        status = add_floats(tensors, "rope_factors_long.weight", config->rope_long, n, err);
    if (status == NIB_OK)
        status = add_floats(tensors, "rope_factors_short.weight", config->rope_short, n, err);
    return status;
}

static bool has_tensor(const struct finder *f, const struct nib_hf_weights *weights,
                       const char *name)
{
    for (size_t k = 0; k < weights->n_files; k++)
        for (size_t i = 0; i < nib_safetensors_count(weights->files[k]); i++) {
            const char *full = nib_safetensors_tensor(weights->files[k], i)->name;
            if (strcmp(without_prefix(f, full), name) == 0)
                return true;
        }
    return false;
}

/* Those who write files leave out all but one of several names for the same matrix.  Of models that
 * tie nothing stacks that have tables use them, and "shared" is only there. */
static const char *find_shared(const struct finder *f, const struct nib_hf_weights *weights)
{
    static const char *const stacks[] = {"encoder.embed_tokens.weight",
                                         "decoder.embed_tokens.weight"};
    if (!(f->config->family->flags & NIB_HF_TWO_STACKS))
        return NULL;
    const bool is_there[] = {has_tensor(f, weights, stacks[0]), has_tensor(f, weights, stacks[1])};
    const bool is_tied = f->config->is_tied || (f->config->family->flags & NIB_HF_OWN_HEAD);
    if ((is_tied || !is_there[0] || !is_there[1]) && has_tensor(f, weights, "shared.weight"))
        return "shared.weight";
    if (is_there[0] != is_there[1])
        return stacks[is_there[1]];
    return !is_there[0] && f->config->is_tied ? "lm_head.weight" : NULL;
}

static enum nib_status find_all(struct finder *f, const struct nib_hf_weights *weights)
{
    enum nib_status status = NIB_OK;
    f->shared = find_shared(f, weights);
    for (size_t k = 0; k < weights->n_files; k++) {
        const struct nib_safetensors *file = weights->files[k];
        for (size_t i = 0; i < nib_safetensors_count(file) && status == NIB_OK; i++)
            status = find_pieces(f, nib_safetensors_path(file), nib_safetensors_tensor(file, i));
    }
    if (status == NIB_OK && !f->has_head && !f->config->is_tied)
        status = nib_fail(f->err, NIB_ERROR_FILE,
                          "%s: by config.json (tie_word_embeddings) the output has a matrix of its "
                          "own, but no file has one; get the complete folder again from its "
                          "publisher",
                          f->config->path);
    qsort(f->pieces, f->n, sizeof(*f->pieces), compare_pieces);
    return status;
}

static enum nib_status add_sinusoids(struct nib_hf_tensors *tensors, const struct finder *f,
                                     uint64_t n_weight_bytes)
{
    static const char *const names[] = {"dec.position_embd.weight", "enc.position_embd.weight"};
    const char *missing[2];
    size_t n_missing = 0;
    for (size_t k = 0; k < 2; k++) {
        bool is_there = f->config->family->sines == NIB_HF_NO_SINES;
        for (size_t i = 0; i < f->n && !is_there; i++)
            is_there = strcmp(f->pieces[i].name, names[k]) == 0;
        if (!is_there)
            missing[n_missing++] = names[k];
    }
    return nib_hf_sinusoids_add(tensors, f->config, missing, n_missing, n_weight_bytes, f->err);
}

static uint64_t n_bytes_of(const struct nib_hf_weights *weights)
{
    uint64_t n = 0;
    for (size_t k = 0; k < weights->n_files; k++)
        for (size_t i = 0; i < nib_safetensors_count(weights->files[k]); i++)
            n += nib_safetensors_tensor(weights->files[k], i)->n_bytes;
    return n;
}

enum nib_status nib_hf_tensors_find(struct nib_hf_tensors *tensors,
                                    const struct nib_hf_weights *weights,
                                    const struct nib_hf_config *config, struct nib_error *err)
{
    struct finder finder = {.config = config, .err = err};
    const size_t n = 2 * weights->n_tensors + 3; /* 3: what is of positions */
    *tensors = (struct nib_hf_tensors){0};
    tensors->all = calloc(n, sizeof(*tensors->all));
    finder.pieces = calloc(n, sizeof(*finder.pieces));
    enum nib_status status = tensors->all && finder.pieces
                                 ? NIB_OK
                                 : nib_fail_memory(err, n * sizeof(*finder.pieces), "tensors");
    if (status == NIB_OK)
        status = find_all(&finder, weights);
    if (status == NIB_OK)
        status = add_positions(tensors, config, err);
    if (status == NIB_OK)
        status = add_sinusoids(tensors, &finder, n_bytes_of(weights));
    if (status == NIB_OK)
        status = build(tensors, &finder);
    free(finder.pieces);
    return status;
}

void nib_hf_tensors_free(struct nib_hf_tensors *tensors)
{
    free(tensors->all);
    nib_hf_memory_free(&tensors->memory);
}
