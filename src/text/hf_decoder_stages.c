/* What each decoder does, see hf_decoder_stages.h. */
#include "hf_decoder_stages.h"

#include "hf_regex.h"
#include "subword.h"
#include "utf8.h"

#include <stdlib.h>

static struct nib_str str_of(const struct nib_buffer *buffer)
{
    return (struct nib_str){buffer->data == NULL ? "" : buffer->data, buffer->n};
}

/* For stages that need a token whole. */
static void keep_piece(struct nib_hf_stage_state *s, struct nib_str piece)
{
    nib_hf_keep(s, &s->token, piece);
}

/* Append `text` with `from` replaced by `to`. */
static void append_replaced(struct nib_hf_stage_state *s, struct nib_buffer *out,
                            struct nib_str text, struct nib_str from, struct nib_str to)
{
    size_t i = 0;
    if (from.len == 0) { /* around each character */
        while (i < text.len) {
            const size_t start = i;
            (void)nib_hf_next(text, &i);
            nib_hf_keep(s, out, to);
            nib_hf_keep(s, out, (struct nib_str){text.data + start, i - start});
        }
        nib_hf_keep(s, out, to);
        return;
    }
    for (size_t k = 0; k + from.len <= text.len;) {
        if (memcmp(text.data + k, from.data, from.len) != 0) {
            k++;
            continue;
        }
        nib_hf_keep(s, out, (struct nib_str){text.data + i, k - i});
        nib_hf_keep(s, out, to);
        i = k += from.len;
    }
    nib_hf_keep(s, out, (struct nib_str){text.data + i, text.len - i});
}

/* ---- no decoder: tokens joined with blanks -------------------------------------------------- */

static void join_piece(struct nib_hf_stage_state *s, struct nib_str piece)
{
    if (!s->is_in_token && s->n_tokens++ > 0)
        nib_hf_emit_piece(s, NIB_STR(" "));
    s->is_in_token = true;
    nib_hf_emit_piece(s, piece);
}

static void join_end_token(struct nib_hf_stage_state *s)
{
    if (!s->is_in_token && s->n_tokens++ > 0)
        nib_hf_emit_piece(s, NIB_STR(" "));
    s->is_in_token = false;
}

const struct nib_hf_stage_kind nib_hf_stage_join = {
    .type = "", .piece = join_piece, .end_token = join_end_token};

/* ---- Fuse ----------------------------------------------------------------------------------- */

static void fuse_end_token(struct nib_hf_stage_state *s)
{
    (void)s;
}

/* ---- ByteLevel: letters to bytes, the bytes of all tokens to text --------------------------- */

/* Give on what of the held bytes is decided. */
static void give_text(struct nib_hf_stage_state *s, bool is_end)
{
    size_t i = 0, from = 0;
    while (i < s->held.n) {
        const int len = nib_utf8_scan(s->held.data + i, s->held.n - i);
        if (len > 0) {
            i += (size_t)len;
            continue;
        }
        if (len == 0 && !is_end)
            break;
        nib_hf_emit_piece(s, (struct nib_str){s->held.data + from, i - from});
        nib_hf_emit_piece(s, NIB_STR(NIB_REPLACEMENT));
        i = from = len == 0 ? s->held.n : i + (size_t)-len;
    }
    if (i > from)
        nib_hf_emit_piece(s, (struct nib_str){s->held.data + from, i - from});
    if (i < s->held.n)
        memmove(s->held.data, s->held.data + i, s->held.n - i);
    s->held.n -= i;
}

static void byte_level_end_token(struct nib_hf_stage_state *s)
{
    const struct nib_str token = str_of(&s->token);
    const size_t n_before = s->held.n;
    nib_hf_keep(s, &s->held, token); /* room; there are not more bytes than that */
    if (s->status == NIB_OK && token.len > 0)
        s->held.n = n_before + nib_piece_from_letters(s->held.data + n_before, token);
    s->token.n = 0;
    give_text(s, false);
}

static void byte_level_end(struct nib_hf_stage_state *s)
{
    give_text(s, true);
    nib_hf_emit_end(s);
}

/* ---- ByteFallback: "<0xE2>" ... to text ----------------------------------------------------- */

/* Bytes that follow each other are text, or U+FFFD each, which their end decides. */
static void give_bytes(struct nib_hf_stage_state *s)
{
    const struct nib_str bytes = str_of(&s->held);
    if (bytes.len == 0)
        return;
    if (nib_utf8_valid_prefix(bytes) == bytes.len)
        nib_hf_emit_token(s, bytes);
    else
        for (size_t i = 0; i < bytes.len; i++)
            nib_hf_emit_token(s, NIB_STR(NIB_REPLACEMENT));
    s->held.n = 0;
}

static void byte_fallback_end_token(struct nib_hf_stage_state *s)
{
    const int byte = nib_byte_token_value(str_of(&s->token));
    if (byte >= 0) {
        const char c = (char)byte;
        nib_hf_keep(s, &s->held, (struct nib_str){&c, 1});
    } else {
        give_bytes(s);
        nib_hf_emit_token(s, str_of(&s->token));
    }
    s->token.n = 0;
}

/* ---- Metaspace ------------------------------------------------------------------------------ */

static enum nib_status metaspace_read(struct nib_hf_stage *stage, const struct nib_hf_part *part,
                                      struct nib_error *err)
{
    struct nib_str scheme = NIB_STR("always");
    bool adds_space = true;
    enum nib_status status = nib_hf_part_character(part, "replacement", &stage->character, err);
    if (status == NIB_OK)
        status = nib_hf_part_string(part, "prepend_scheme", NIB_HF_OPTIONAL, &scheme, err);
    if (status == NIB_OK)
        status = nib_hf_part_bool(part, "add_prefix_space", NIB_HF_OPTIONAL, &adds_space, err);
    stage->prepends = !nib_str_equal(scheme, NIB_STR("never"));
    if (status == NIB_OK && !adds_space && stage->prepends)
        status =
            nib_hf_part_wrong(part, "prepend_scheme", "never where add_prefix_space is false", err);
    if (status == NIB_OK && stage->prepends && !nib_str_equal(scheme, NIB_STR("always")) &&
        !nib_str_equal(scheme, NIB_STR("first")))
        status = nib_hf_part_wrong(part, "prepend_scheme", "always, first or never", err);
    return status;
}

static void metaspace_piece(struct nib_hf_stage_state *s, struct nib_str piece)
{
    size_t from = 0;
    for (size_t i = 0; i < piece.len;) {
        const size_t start = i;
        if (nib_hf_next(piece, &i) != s->stage->character)
            continue;
        nib_hf_emit_piece(s, (struct nib_str){piece.data + from, start - from});
        if (s->n_tokens > 0 || !s->stage->prepends)
            nib_hf_emit_piece(s, NIB_STR(" "));
        from = i;
    }
    nib_hf_emit_piece(s, (struct nib_str){piece.data + from, piece.len - from});
}

static void metaspace_end_token(struct nib_hf_stage_state *s)
{
    s->n_tokens++;
    nib_hf_emit_end(s);
}

/* ---- Strip ---------------------------------------------------------------------------------- */

static enum nib_status strip_read(struct nib_hf_stage *stage, const struct nib_hf_part *part,
                                  struct nib_error *err)
{
    enum nib_status status = nib_hf_part_character(part, "content", &stage->character, err);
    if (status == NIB_OK)
        status = nib_hf_part_number(part, "start", NIB_HF_REQUIRED, &stage->start, err);
    return status == NIB_OK ? nib_hf_part_number(part, "stop", NIB_HF_REQUIRED, &stage->stop, err)
                            : status;
}

static void emit_run(struct nib_hf_stage_state *s, size_t n)
{
    char bytes[4];
    const size_t len = nib_hf_put(bytes, s->stage->character);
    for (; n > 0; n--)
        nib_hf_emit_piece(s, (struct nib_str){bytes, len});
}

/* Up to `start` of the character at the start of a token are dropped; of a run of it the last
 * `stop` wait for what follows. */
static void strip_piece(struct nib_hf_stage_state *s, struct nib_str piece)
{
    for (size_t i = 0; i < piece.len;) {
        const size_t start = i;
        if (nib_hf_next(piece, &i) == s->stage->character) {
            if (!s->is_in_token && s->n_start < s->stage->start)
                s->n_start++;
            else if (s->n_run < s->stage->stop)
                s->n_run++;
            else
                emit_run(s, 1);
            s->is_in_token = s->is_in_token || s->n_start == s->stage->start;
            continue;
        }
        emit_run(s, s->n_run);
        s->n_run = 0;
        s->is_in_token = true;
        nib_hf_emit_piece(s, (struct nib_str){piece.data + start, i - start});
    }
}

static void strip_end_token(struct nib_hf_stage_state *s)
{
    s->n_start = s->n_run = 0;
    s->is_in_token = false;
    nib_hf_emit_end(s);
}

/* ---- Replace -------------------------------------------------------------------------------- */

static enum nib_status replace_read(struct nib_hf_stage *stage, const struct nib_hf_part *part,
                                    struct nib_error *err)
{
    struct nib_str content;
    enum nib_status status = nib_hf_part_string(part, "content", NIB_HF_REQUIRED, &content, err);
    if (status == NIB_OK)
        status = nib_hf_copy(&stage->text, content, err);
    return status == NIB_OK ? nib_hf_part_pattern(part, "pattern", &stage->pattern, err) : status;
}

static void replace_end_token(struct nib_hf_stage_state *s)
{
    struct nib_hf_matches m = {.text = str_of(&s->token)};
    bool is_found = true;
    size_t from = 0;
    while (s->status == NIB_OK) {
        s->status = nib_hf_pattern_next(s->stage->pattern, s->work, &m, &is_found, s->err);
        if (s->status != NIB_OK || !is_found)
            break;
        nib_hf_emit_piece(s, (struct nib_str){m.text.data + from, m.start - from});
        nib_hf_emit_piece(s, s->stage->text);
        from = m.end;
    }
    nib_hf_emit_piece(s, (struct nib_str){m.text.data + from, m.text.len - from});
    nib_hf_emit_end(s);
    s->token.n = 0;
}

/* ---- WordPiece ------------------------------------------------------------------------------ */

/* Replacements one after the other, from `held` to `held` by way of `token`. */
static void clean_held(struct nib_hf_stage_state *s)
{
    static const struct {
        struct nib_str from, to;
    } rules[] = {
        {{" .", 2}, {".", 1}},     {{" ?", 2}, {"?", 1}},           {{" !", 2}, {"!", 1}},
        {{" ,", 2}, {",", 1}},     {{" ' ", 3}, {"'", 1}},          {{" n't", 4}, {"n't", 3}},
        {{" 'm", 3}, {"'m", 2}},   {{" do not", 7}, {" don't", 6}}, {{" 's", 3}, {"'s", 2}},
        {{" 've", 4}, {"'ve", 3}}, {{" 're", 4}, {"'re", 3}},
    };
    for (size_t i = 0; i < NIB_COUNT(rules); i++) {
        s->token.n = 0;
        append_replaced(s, &s->token, str_of(&s->held), rules[i].from, rules[i].to);
        const struct nib_buffer swapped = s->held;
        s->held = s->token;
        s->token = swapped;
    }
    s->token.n = 0;
}

static enum nib_status wordpiece_read(struct nib_hf_stage *stage, const struct nib_hf_part *part,
                                      struct nib_error *err)
{
    struct nib_str prefix;
    enum nib_status status = nib_hf_part_string(part, "prefix", NIB_HF_REQUIRED, &prefix, err);
    if (status == NIB_OK)
        status = nib_hf_copy(&stage->text, prefix, err);
    return status == NIB_OK
               ? nib_hf_part_bool(part, "cleanup", NIB_HF_REQUIRED, &stage->cleans, err)
               : status;
}

static void wordpiece_end_token(struct nib_hf_stage_state *s)
{
    struct nib_str token = str_of(&s->token);
    const struct nib_str prefix = s->stage->text;
    s->held.n = 0;
    if (s->n_tokens++ > 0) {
        if (token.len >= prefix.len &&
            (prefix.len == 0 || memcmp(token.data, prefix.data, prefix.len) == 0)) {
            token.data += prefix.len;
            token.len -= prefix.len;
        } else {
            nib_hf_keep(s, &s->held, NIB_STR(" "));
        }
    }
    nib_hf_keep(s, &s->held, token);
    s->token.n = 0;
    if (s->stage->cleans)
        clean_held(s);
    nib_hf_emit_token(s, str_of(&s->held));
    s->held.n = 0;
}

/* ---- BPEDecoder: the suffix is a blank, but not at the end ---------------------------------- */

static enum nib_status bpe_read(struct nib_hf_stage *stage, const struct nib_hf_part *part,
                                struct nib_error *err)
{
    struct nib_str suffix;
    const enum nib_status status =
        nib_hf_part_string(part, "suffix", NIB_HF_REQUIRED, &suffix, err);
    return status == NIB_OK ? nib_hf_copy(&stage->text, suffix, err) : status;
}

/* The token before is no longer the last one, or is. */
static void give_held(struct nib_hf_stage_state *s, struct nib_str replacement)
{
    if (!s->has_held)
        return;
    struct nib_buffer made = {0};
    append_replaced(s, &made, str_of(&s->held), s->stage->text, replacement);
    nib_hf_emit_token(s, str_of(&made));
    free(made.data);
    s->has_held = false;
}

static void bpe_end_token(struct nib_hf_stage_state *s)
{
    give_held(s, NIB_STR(" "));
    s->held.n = 0;
    nib_hf_keep(s, &s->held, str_of(&s->token));
    s->has_held = true;
    s->token.n = 0;
}

static void bpe_end(struct nib_hf_stage_state *s)
{
    give_held(s, NIB_STR(""));
}

/* ---- CTC ------------------------------------------------------------------------------------ */

static enum nib_status ctc_read(struct nib_hf_stage *stage, const struct nib_hf_part *part,
                                struct nib_error *err)
{
    struct nib_str pad, delimiter;
    enum nib_status status = nib_hf_part_string(part, "pad_token", NIB_HF_REQUIRED, &pad, err);
    if (status == NIB_OK)
        status = nib_hf_part_string(part, "word_delimiter_token", NIB_HF_REQUIRED, &delimiter, err);
    if (status == NIB_OK)
        status = nib_hf_copy(&stage->text, pad, err);
    if (status == NIB_OK)
        status = nib_hf_copy(&stage->other_text, delimiter, err);
    return status == NIB_OK
               ? nib_hf_part_bool(part, "cleanup", NIB_HF_REQUIRED, &stage->cleans, err)
               : status;
}

/* A token that is the one before once more counts once. */
static void ctc_end_token(struct nib_hf_stage_state *s)
{
    struct nib_buffer last = s->held;
    const bool is_repeated = s->has_held && nib_str_equal(str_of(&last), str_of(&s->token));
    if (is_repeated) {
        s->token.n = 0;
        return;
    }
    struct nib_buffer made = {0};
    s->held = (struct nib_buffer){0};
    append_replaced(s, &s->held, str_of(&s->token), s->stage->text, NIB_STR(""));
    const struct nib_buffer token = s->token;
    s->token = (struct nib_buffer){0};
    if (s->stage->cleans) {
        clean_held(s);
        append_replaced(s, &made, str_of(&s->held), s->stage->other_text, NIB_STR(" "));
    }
    const struct nib_str out = s->stage->cleans ? str_of(&made) : str_of(&s->held);
    if (out.len > 0)
        nib_hf_emit_token(s, out);
    free(made.data);
    free(s->held.data);
    free(s->token.data);
    s->held = token; /* to compare with */
    s->token = last;
    s->token.n = 0;
    s->has_held = true;
}

const struct nib_hf_stage_kind nib_hf_stage_kinds[] = {
    {"BPEDecoder", bpe_read, keep_piece, bpe_end_token, bpe_end},
    {"ByteFallback", NULL, keep_piece, byte_fallback_end_token, give_bytes},
    {"ByteLevel", NULL, keep_piece, byte_level_end_token, byte_level_end},
    {"CTC", ctc_read, keep_piece, ctc_end_token, NULL},
    {"Fuse", NULL, nib_hf_emit_piece, fuse_end_token, nib_hf_emit_end},
    {"Metaspace", metaspace_read, metaspace_piece, metaspace_end_token, NULL},
    {"Replace", replace_read, keep_piece, replace_end_token, NULL},
    {"Strip", strip_read, strip_piece, strip_end_token, NULL},
    {"WordPiece", wordpiece_read, keep_piece, wordpiece_end_token, NULL},
};

const size_t nib_hf_n_stage_kinds = NIB_COUNT(nib_hf_stage_kinds);
