/* The steps of normalisation, see hf_normalizer.h. */
#include "hf_normalizer.h"

#include "charsmap.h"
#include "hf_json.h"
#include "hf_regex.h"
#include "subword.h"

#include <stdlib.h>
#include <utf8proc.h>

#define MAX_STEPS (5 * NIB_HF_MAX_PARTS) /* BertNormalizer makes up to five */

struct step;

typedef enum nib_status apply_fn(const struct step *step, struct nib_hf_work *work,
                                 const struct nib_hf_text *in, struct nib_hf_text *out,
                                 struct nib_error *err);
/* What a character becomes: up to 3. */
typedef size_t map_fn(uint32_t character, uint32_t out[3]);

struct step {
    apply_fn *apply;
    map_fn *map;
    enum nib_hf_form form;
    bool strips_left, strips_right;
    struct nib_str text; /* of Prepend and Replace; owned */
    struct nib_hf_pattern *pattern;
    struct nib_charsmap *charsmap;
};

struct nib_hf_normalizer {
    size_t n_steps;
    struct step steps[MAX_STEPS];
};

static struct nib_str str_of(const struct nib_hf_text *text)
{
    return (struct nib_str){text->bytes.data == NULL ? "" : text->bytes.data, text->bytes.n};
}

/* ---- characters one by one ------------------------------------------------------------------ */

static enum nib_status apply_map(const struct step *step, struct nib_hf_work *work,
                                 const struct nib_hf_text *in, struct nib_hf_text *out,
                                 struct nib_error *err)
{
    for (size_t i = 0; i < in->bytes.n;) {
        const bool is_origin = i < in->n_origin;
        uint32_t made[3];
        const size_t n = step->map(nib_hf_next(str_of(in), &i), made);
        for (size_t k = 0; k < n; k++) {
            char bytes[4];
            const size_t len = nib_hf_put(bytes, made[k]);
            const enum nib_status status = nib_hf_append(work, &out->bytes, bytes, len, err);
            if (status != NIB_OK)
                return status;
        }
        if (is_origin)
            out->n_origin = out->bytes.n;
    }
    return NIB_OK;
}

static size_t map_lower(uint32_t c, uint32_t out[3])
{
    return nib_hf_lower(c, out);
}

static size_t map_nmt(uint32_t c, uint32_t out[3])
{
    out[0] = c;
    if ((c >= 0x01 && c <= 0x08) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F ||
        c == 0x8F || c == 0x9F)
        return 0;
    if (c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 ||
        (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF ||
        c == 0xFFFD)
        out[0] = ' ';
    return 1;
}

static size_t map_clean(uint32_t c, uint32_t out[3])
{
    out[0] = c;
    if (c == '\t' || c == '\n' || c == '\r') {
        out[0] = ' ';
        return 1;
    }
    if (c == 0 || c == 0xFFFD || nib_hf_is_other(c))
        return 0;
    out[0] = nib_hf_is_space(c) ? ' ' : c;
    return 1;
}

static size_t map_chinese(uint32_t c, uint32_t out[3])
{
    const bool is_chinese = (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
                            (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
                            (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
                            (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
    out[0] = is_chinese ? ' ' : c;
    out[1] = c;
    out[2] = ' ';
    return is_chinese ? 3 : 1;
}

static size_t map_without_nonspacing(uint32_t c, uint32_t out[3])
{
    out[0] = c;
    return nib_hf_is_nonspacing(c) ? 0 : 1;
}

static size_t map_without_marks(uint32_t c, uint32_t out[3])
{
    out[0] = c;
    return nib_hf_is_mark(c) ? 0 : 1;
}

/* ---- the text as a whole -------------------------------------------------------------------- */

static enum nib_status apply_form(const struct step *step, struct nib_hf_work *work,
                                  const struct nib_hf_text *in, struct nib_hf_text *out,
                                  struct nib_error *err)
{
    return nib_hf_unicode_form(step->form, work, in, out, err);
}

static enum nib_status apply_strip(const struct step *step, struct nib_hf_work *work,
                                   const struct nib_hf_text *in, struct nib_hf_text *out,
                                   struct nib_error *err)
{
    const struct nib_str text = str_of(in);
    size_t start = 0, end = text.len;
    for (size_t i = 0; step->strips_left && i < text.len; start = i)
        if (!nib_hf_is_space(nib_hf_next(text, &i)))
            break;
    for (size_t i = end; step->strips_right && i > start; end = i)
        if (!nib_hf_is_space(nib_hf_previous(text, &i)))
            break;
    out->n_origin = in->n_origin > start ? in->n_origin - start : 0;
    if (out->n_origin > end - start)
        out->n_origin = end - start;
    return nib_hf_append(work, &out->bytes, text.data + start, end - start, err);
}

static enum nib_status apply_prepend(const struct step *step, struct nib_hf_work *work,
                                     const struct nib_hf_text *in, struct nib_hf_text *out,
                                     struct nib_error *err)
{
    enum nib_status status = NIB_OK;
    out->n_origin = in->n_origin;
    if (in->bytes.n > 0) {
        status = nib_hf_append(work, &out->bytes, step->text.data, step->text.len, err);
        out->n_origin += in->n_origin > 0 ? step->text.len : 0;
    }
    return status != NIB_OK ? status
                            : nib_hf_append(work, &out->bytes, in->bytes.data, in->bytes.n, err);
}

static enum nib_status append_part(struct nib_hf_work *work, const struct nib_hf_text *in,
                                   size_t start, size_t end, struct nib_hf_text *out,
                                   struct nib_error *err)
{
    const size_t n_before = out->bytes.n;
    if (start < in->n_origin)
        out->n_origin = n_before + (in->n_origin < end ? in->n_origin : end) - start;
    return nib_hf_append(work, &out->bytes, in->bytes.data + start, end - start, err);
}

static enum nib_status apply_replace(const struct step *step, struct nib_hf_work *work,
                                     const struct nib_hf_text *in, struct nib_hf_text *out,
                                     struct nib_error *err)
{
    struct nib_hf_matches m = {.text = str_of(in)};
    for (size_t from = 0;; from = m.end) {
        bool is_found;
        enum nib_status status = nib_hf_pattern_next(step->pattern, work, &m, &is_found, err);
        if (status == NIB_OK)
            status = append_part(work, in, from, is_found ? m.start : in->bytes.n, out, err);
        if (status != NIB_OK || !is_found)
            return status;
        status = nib_hf_append(work, &out->bytes, step->text.data, step->text.len, err);
        if (status != NIB_OK)
            return status;
        if (m.end <= in->n_origin)
            out->n_origin = out->bytes.n;
    }
}

/* Where the grapheme that begins at `start` ends. */
static size_t grapheme_end(struct nib_str text, size_t start)
{
    size_t i = start;
    utf8proc_int32_t state = 0;
    uint32_t last = nib_hf_next(text, &i);
    while (i < text.len) {
        size_t next_end = i;
        const uint32_t next = nib_hf_next(text, &next_end);
        if (last < 0x80 && next < 0x80
                ? !(last == '\r' && next == '\n')
                : utf8proc_grapheme_break_stateful((int32_t)last, (int32_t)next, &state))
            break;
        last = next;
        i = next_end;
    }
    return i;
}

/* Graphemes of less than six bytes are looked up whole (the shortest start that the map has stands
 * for all of it), longer ones character by character: so the tokenizers library has it. */
static enum nib_status apply_charsmap(const struct step *step, struct nib_hf_work *work,
                                      const struct nib_hf_text *in, struct nib_hf_text *out,
                                      struct nib_error *err)
{
    const struct nib_str text = str_of(in);
    for (size_t start = 0, whole_end = 0, end; start < text.len; start = end) {
        struct nib_str replacement;
        const bool is_new = start >= whole_end;
        if (is_new)
            whole_end = grapheme_end(text, start);
        end = whole_end;
        bool is_replaced =
            is_new && end - start < 6 &&
            nib_charsmap_shortest(step->charsmap, (struct nib_str){text.data + start, end - start},
                                  &replacement) > 0;
        if (!is_replaced) {
            end = start;
            (void)nib_hf_next(text, &end);
            is_replaced = nib_charsmap_shortest(step->charsmap,
                                                (struct nib_str){text.data + start, end - start},
                                                &replacement) > 0;
        }
        if (!is_replaced)
            replacement = (struct nib_str){text.data + start, end - start};
        /* What is taken away at the very start leaves its place to what follows. */
        const bool is_origin = start < in->n_origin || out->bytes.n == 0;
        const enum nib_status status =
            nib_hf_append(work, &out->bytes, replacement.data, replacement.len, err);
        if (status != NIB_OK)
            return status;
        if (is_origin && in->n_origin > 0)
            out->n_origin = out->bytes.n;
    }
    return NIB_OK;
}

static enum nib_status apply_byte_level(const struct step *step, struct nib_hf_work *work,
                                        const struct nib_hf_text *in, struct nib_hf_text *out,
                                        struct nib_error *err)
{
    (void)step;
    for (size_t i = 0; i < in->bytes.n; i++) {
        char letter[3];
        nib_letter_from_byte(letter, (uint8_t)in->bytes.data[i]);
        const enum nib_status status =
            nib_hf_append(work, &out->bytes, letter, letter[1] == 0 ? 1 : 2, err);
        if (status != NIB_OK)
            return status;
        if (i < in->n_origin)
            out->n_origin = out->bytes.n;
    }
    return NIB_OK;
}

enum nib_status nib_hf_normalize(const struct nib_hf_normalizer *normalizer,
                                 struct nib_hf_work *work, struct nib_error *err)
{
    for (size_t i = 0; normalizer != NULL && i < normalizer->n_steps; i++) {
        const struct step *step = &normalizer->steps[i];
        work->other_text.bytes.n = 0;
        work->other_text.n_origin = 0;
        const enum nib_status status = step->apply(step, work, &work->text, &work->other_text, err);
        if (status != NIB_OK)
            return status;
        const struct nib_hf_text swapped = work->text;
        work->text = work->other_text;
        work->other_text = swapped;
    }
    return NIB_OK;
}

/* ---- reading -------------------------------------------------------------------------------- */

static struct step *add(struct nib_hf_normalizer *normalizer, apply_fn *apply)
{
    assert(normalizer->n_steps < MAX_STEPS);
    struct step *step = &normalizer->steps[normalizer->n_steps++];
    step->apply = apply;
    return step;
}

static void add_map(struct nib_hf_normalizer *normalizer, map_fn *map)
{
    add(normalizer, apply_map)->map = map;
}

static enum nib_status read_bert(struct nib_hf_normalizer *n, const struct nib_hf_part *part,
                                 struct nib_error *err)
{
    bool cleans, handles_chinese, lowers;
    enum nib_status status = nib_hf_part_bool(part, "clean_text", NIB_HF_REQUIRED, &cleans, err);
    if (status == NIB_OK)
        status =
            nib_hf_part_bool(part, "handle_chinese_chars", NIB_HF_REQUIRED, &handles_chinese, err);
    if (status == NIB_OK)
        status = nib_hf_part_bool(part, "lowercase", NIB_HF_REQUIRED, &lowers, err);
    bool strips_accents = status == NIB_OK && lowers;
    if (status == NIB_OK)
        status = nib_hf_part_bool(part, "strip_accents", NIB_HF_OPTIONAL, &strips_accents, err);
    if (status != NIB_OK)
        return status;
    if (cleans)
        add_map(n, map_clean);
    if (handles_chinese)
        add_map(n, map_chinese);
    if (strips_accents) {
        add(n, apply_form)->form = NIB_HF_NFD;
        add_map(n, map_without_nonspacing);
    }
    if (lowers)
        add_map(n, map_lower);
    return NIB_OK;
}

static enum nib_status read_strip(struct nib_hf_normalizer *n, const struct nib_hf_part *part,
                                  struct nib_error *err)
{
    struct step *step = add(n, apply_strip);
    enum nib_status status =
        nib_hf_part_bool(part, "strip_left", NIB_HF_REQUIRED, &step->strips_left, err);
    return status != NIB_OK
               ? status
               : nib_hf_part_bool(part, "strip_right", NIB_HF_REQUIRED, &step->strips_right, err);
}

static enum nib_status read_text(struct step *step, const struct nib_hf_part *part, const char *key,
                                 struct nib_error *err)
{
    struct nib_str text;
    const enum nib_status status = nib_hf_part_string(part, key, NIB_HF_REQUIRED, &text, err);
    return status != NIB_OK ? status : nib_hf_copy(&step->text, text, err);
}

static enum nib_status read_prepend(struct nib_hf_normalizer *n, const struct nib_hf_part *part,
                                    struct nib_error *err)
{
    return read_text(add(n, apply_prepend), part, "prepend", err);
}

static enum nib_status read_replace(struct nib_hf_normalizer *n, const struct nib_hf_part *part,
                                    struct nib_error *err)
{
    struct step *step = add(n, apply_replace);
    const enum nib_status status = read_text(step, part, "content", err);
    return status != NIB_OK ? status : nib_hf_part_pattern(part, "pattern", &step->pattern, err);
}

static enum nib_status read_precompiled(struct nib_hf_normalizer *n, const struct nib_hf_part *part,
                                        struct nib_error *err)
{
    struct step *step = add(n, apply_charsmap);
    struct nib_str base64;
    uint8_t *blob = NULL;
    size_t n_bytes;
    enum nib_status status =
        nib_hf_part_string(part, "precompiled_charsmap", NIB_HF_REQUIRED, &base64, err);
    if (status == NIB_OK && !nib_hf_base64(base64, &blob, &n_bytes))
        status = nib_hf_part_wrong(part, "precompiled_charsmap", "bytes in base64", err);
    if (status == NIB_OK)
        status = nib_charsmap_create(&step->charsmap, blob, n_bytes, part->path, err);
    free(blob);
    return status;
}

static enum nib_status read_part(void *data, const struct nib_hf_part *part, struct nib_error *err)
{
    static const struct {
        const char *type;
        enum nib_status (*read)(struct nib_hf_normalizer *n, const struct nib_hf_part *part,
                                struct nib_error *err);
        apply_fn *apply; /* where there is nothing to read */
        map_fn *map;
        enum nib_hf_form form;
    } table[] = {
        {"BertNormalizer", read_bert, NULL, NULL, 0},
        {"Bert", read_bert, NULL, NULL, 0},
        {"ByteLevel", NULL, apply_byte_level, NULL, 0},
        {"Lowercase", NULL, apply_map, map_lower, 0},
        {"NFC", NULL, apply_form, NULL, NIB_HF_NFC},
        {"NFD", NULL, apply_form, NULL, NIB_HF_NFD},
        {"NFKC", NULL, apply_form, NULL, NIB_HF_NFKC},
        {"NFKD", NULL, apply_form, NULL, NIB_HF_NFKD},
        {"Nmt", NULL, apply_map, map_nmt, 0},
        {"Precompiled", read_precompiled, NULL, NULL, 0},
        {"Prepend", read_prepend, NULL, NULL, 0},
        {"Replace", read_replace, NULL, NULL, 0},
        {"Strip", read_strip, NULL, NULL, 0},
        {"StripAccents", NULL, apply_map, map_without_marks, 0},
    };
    struct nib_hf_normalizer *n = data;
    for (size_t i = 0; i < NIB_COUNT(table); i++) {
        if (strcmp(part->type, table[i].type) != 0)
            continue;
        if (table[i].read != NULL)
            return table[i].read(n, part, err);
        struct step *step = add(n, table[i].apply);
        step->map = table[i].map;
        step->form = table[i].form;
        return NIB_OK;
    }
    return nib_hf_part_unknown(part,
                               "BertNormalizer, ByteLevel, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, "
                               "Precompiled, Prepend, Replace, Sequence, Strip, StripAccents",
                               err);
}

enum nib_status nib_hf_normalizer_create(struct nib_hf_normalizer **out, yyjson_val *json,
                                         const char *path, struct nib_error *err)
{
    *out = NULL;
    if (json == NULL || yyjson_is_null(json))
        return NIB_OK;
    struct nib_hf_normalizer *n = calloc(1, sizeof(*n));
    if (n == NULL)
        return nib_fail_memory(err, sizeof(*n), "the tokenizer");
    const enum nib_status status =
        nib_hf_read_parts(json, "normalizer", "normalizers", path, read_part, n, err);
    if (status != NIB_OK) {
        nib_hf_normalizer_free(n);
        return status;
    }
    *out = n;
    return NIB_OK;
}

void nib_hf_normalizer_free(struct nib_hf_normalizer *n)
{
    if (n == NULL)
        return;
    for (size_t i = 0; i < n->n_steps; i++) {
        free((char *)(uintptr_t)n->steps[i].text.data);
        nib_hf_pattern_free(n->steps[i].pattern);
        nib_charsmap_free(n->steps[i].charsmap);
    }
    free(n);
}
