/* The steps of pre-tokenization, see hf_pretokenizer.h. */
#include "hf_pretokenizer.h"

#include "hf_json.h"
#include "hf_regex.h"
#include "subword.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_STEPS (3 * NIB_HF_MAX_PARTS) /* ByteLevel makes up to three */

/* GPT-2's words. */
#define WORDS                                                                                      \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" NIB_REGEX_SPACE "\\p{L}\\p{N}]+"            \
    "|[" NIB_REGEX_SPACE "]+(?![^" NIB_REGEX_SPACE "])|[" NIB_REGEX_SPACE "]+"
/* Rust's \w has the joiners besides. */
#define RUST_WORD NIB_REGEX_WORD "\\x{200C}\\x{200D}"

enum scheme { ALWAYS, FIRST, NEVER };

struct step;

/* Append what becomes of one split of in->splits to out->splits; text is appended to out->text. */
typedef enum nib_status apply_fn(const struct step *step, struct nib_hf_work *work,
                                 const struct nib_hf_splits *in, const struct nib_hf_split *split,
                                 struct nib_hf_splits *out, struct nib_error *err);

struct step {
    apply_fn *apply;
    bool rewrites; /* the text too; else splits point into the same */
    struct nib_hf_pattern *pattern;
    enum nib_hf_behavior behavior;
    bool inverts;
    nib_hf_class_fn *is_match;
    uint32_t character; /* the delimiter; Metaspace's replacement */
    enum scheme scheme;
    size_t length;
};

struct nib_hf_pretokenizer {
    size_t n_steps;
    struct step steps[MAX_STEPS];
};

static struct nib_str str_of(const struct nib_hf_splits *splits)
{
    return (struct nib_str){splits->text.data, splits->text.n};
}

/* ---- splitting ------------------------------------------------------------------------------ */

static enum nib_status apply_class(const struct step *step, struct nib_hf_work *work,
                                   const struct nib_hf_splits *in, const struct nib_hf_split *split,
                                   struct nib_hf_splits *out, struct nib_error *err)
{
    (void)work;
    struct nib_hf_splitter s = {.behavior = step->behavior, .out = out, .from = split};
    return nib_hf_split_by_class(&s, str_of(in), step->is_match, step->character, err);
}

static enum nib_status apply_pattern(const struct step *step, struct nib_hf_work *work,
                                     const struct nib_hf_splits *in,
                                     const struct nib_hf_split *split, struct nib_hf_splits *out,
                                     struct nib_error *err)
{
    struct nib_hf_splitter s = {
        .behavior = step->behavior, .inverts = step->inverts, .out = out, .from = split};
    return nib_hf_split_by_pattern(&s, work, str_of(in), step->pattern, err);
}

static enum nib_status apply_fixed_length(const struct step *step, struct nib_hf_work *work,
                                          const struct nib_hf_splits *in,
                                          const struct nib_hf_split *split,
                                          struct nib_hf_splits *out, struct nib_error *err)
{
    (void)work;
    const struct nib_str text = str_of(in);
    enum nib_status status = NIB_OK;
    for (size_t i = split->start, start = i; i < split->end && status == NIB_OK; start = i) {
        for (size_t n = 0; n < step->length && i < split->end; n++)
            (void)nib_hf_next(text, &i);
        status = nib_hf_push_slice(out, split, start, i, err);
    }
    return status;
}

static bool is_space(uint32_t c, uint32_t unused)
{
    (void)unused;
    return nib_hf_is_space(c);
}

static bool is_number(uint32_t c, uint32_t unused)
{
    (void)unused;
    return nib_hf_is_number(c);
}

static bool is_punctuation(uint32_t c, uint32_t unused)
{
    (void)unused;
    return nib_hf_is_punctuation(c);
}

static bool is_character(uint32_t c, uint32_t wanted)
{
    return c == wanted;
}

/* ---- rewriting ------------------------------------------------------------------------------ */

static enum nib_status apply_letters(const struct step *step, struct nib_hf_work *work,
                                     const struct nib_hf_splits *in,
                                     const struct nib_hf_split *split, struct nib_hf_splits *out,
                                     struct nib_error *err)
{
    (void)step;
    struct nib_hf_split made = {
        .start = out->text.n, .is_at_origin = split->is_at_origin, .id = -1};
    for (size_t i = split->start; i < split->end; i++) {
        char letter[3];
        nib_letter_from_byte(letter, (uint8_t)in->text.data[i]);
        const enum nib_status status =
            nib_hf_append(work, &out->text, letter, letter[1] == 0 ? 1 : 2, err);
        if (status != NIB_OK)
            return status;
        if (i - split->start < split->n_origin)
            made.n_origin = out->text.n - made.start;
    }
    made.end = out->text.n;
    return nib_hf_push_split(out, &made, err);
}

static enum nib_status apply_add_space(const struct step *step, struct nib_hf_work *work,
                                       const struct nib_hf_splits *in,
                                       const struct nib_hf_split *split, struct nib_hf_splits *out,
                                       struct nib_error *err)
{
    (void)step;
    struct nib_hf_split made = *split;
    enum nib_status status = NIB_OK;
    made.start = out->text.n;
    if (in->text.data[split->start] != ' ') {
        status = nib_hf_append(work, &out->text, " ", 1, err);
        made.n_origin += made.n_origin > 0;
    }
    if (status == NIB_OK)
        status = nib_hf_append(work, &out->text, in->text.data + split->start,
                               split->end - split->start, err);
    made.end = out->text.n;
    return status == NIB_OK ? nib_hf_push_split(out, &made, err) : status;
}

/* Blanks become the replacement, and one more goes in front. */
static enum nib_status apply_metaspace(const struct step *step, struct nib_hf_work *work,
                                       const struct nib_hf_splits *in,
                                       const struct nib_hf_split *split, struct nib_hf_splits *out,
                                       struct nib_error *err)
{
    char mark[4];
    const size_t n_mark = nib_hf_put(mark, step->character);
    struct nib_hf_split made = {
        .start = out->text.n, .is_at_origin = split->is_at_origin, .id = -1};
    size_t first_end = split->start;
    const uint32_t first = nib_hf_next(str_of(in), &first_end);
    enum nib_status status = NIB_OK;
    if (first != ' ' && first != step->character &&
        (step->scheme == ALWAYS || (step->scheme == FIRST && split->is_at_origin))) {
        status = nib_hf_append(work, &out->text, mark, n_mark, err);
        made.n_origin = split->n_origin > 0 ? n_mark : 0;
    }
    for (size_t i = split->start; i < split->end && status == NIB_OK; i++) {
        const char c = in->text.data[i];
        status = c == ' ' ? nib_hf_append(work, &out->text, mark, n_mark, err)
                          : nib_hf_append(work, &out->text, &c, 1, err);
        if (i - split->start < split->n_origin)
            made.n_origin = out->text.n - made.start;
    }
    made.end = out->text.n;
    return status == NIB_OK ? nib_hf_push_split(out, &made, err) : status;
}

/* ---- running -------------------------------------------------------------------------------- */

/* An added token keeps its id; its text is not needed any more. */
static enum nib_status apply_step(const struct step *step, struct nib_hf_work *work,
                                  struct nib_error *err)
{
    const struct nib_hf_splits *in = &work->splits;
    struct nib_hf_splits *out = &work->other_splits;
    out->n = 0;
    out->text.n = 0;
    for (size_t i = 0; i < in->n; i++) {
        const enum nib_status status = in->data[i].id >= 0
                                           ? nib_hf_push_split(out, &in->data[i], err)
                                           : step->apply(step, work, in, &in->data[i], out, err);
        if (status != NIB_OK)
            return status;
    }
    return NIB_OK;
}

enum nib_status nib_hf_pretokenize(const struct nib_hf_pretokenizer *p, struct nib_hf_work *work,
                                   struct nib_error *err)
{
    for (size_t i = 0; p != NULL && i < p->n_steps; i++) {
        const enum nib_status status = apply_step(&p->steps[i], work, err);
        if (status != NIB_OK)
            return status;
        struct nib_hf_splits swapped = work->splits;
        work->splits = work->other_splits;
        if (!p->steps[i].rewrites) { /* the text stays with its splits */
            const struct nib_buffer text = swapped.text;
            swapped.text = work->splits.text;
            work->splits.text = text;
        }
        work->other_splits = swapped;
    }
    return NIB_OK;
}

/* ---- reading -------------------------------------------------------------------------------- */

static struct step *add(struct nib_hf_pretokenizer *p, apply_fn *apply)
{
    assert(p->n_steps < MAX_STEPS);
    struct step *step = &p->steps[p->n_steps++];
    step->apply = apply;
    return step;
}

static void add_class(struct nib_hf_pretokenizer *p, nib_hf_class_fn *is_match,
                      enum nib_hf_behavior behavior)
{
    struct step *step = add(p, apply_class);
    step->is_match = is_match;
    step->behavior = behavior;
}

static enum nib_status add_matches(struct nib_hf_pretokenizer *p, struct nib_str pattern,
                                   struct nib_error *err)
{
    struct step *step = add(p, apply_pattern);
    step->behavior = NIB_HF_REMOVED;
    step->inverts = true;
    return nib_hf_pattern_create_raw(&step->pattern, pattern, err);
}

static enum nib_status read_behavior(enum nib_hf_behavior *out, const struct nib_hf_part *part,
                                     enum nib_hf_need need, struct nib_error *err)
{
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous"};
    struct nib_str name = NIB_STR("Isolated");
    const enum nib_status status = nib_hf_part_string(part, "behavior", need, &name, err);
    if (status != NIB_OK)
        return status;
    for (size_t i = 0; i < NIB_COUNT(names); i++)
        if (nib_str_equal(name, nib_str_from(names[i]))) {
            *out = (enum nib_hf_behavior)i;
            return NIB_OK;
        }
    return nib_hf_part_wrong(part, "behavior",
                             "Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous",
                             err);
}

static enum nib_status read_byte_level(struct nib_hf_pretokenizer *p,
                                       const struct nib_hf_part *part, struct nib_error *err)
{
    bool adds_space = false, trims, uses_regex = true;
    enum nib_status status =
        nib_hf_part_bool(part, "add_prefix_space", NIB_HF_REQUIRED, &adds_space, err);
    if (status == NIB_OK)
        status = nib_hf_part_bool(part, "trim_offsets", NIB_HF_REQUIRED, &trims, err);
    if (status == NIB_OK)
        status = nib_hf_part_bool(part, "use_regex", NIB_HF_OPTIONAL, &uses_regex, err);
    if (status != NIB_OK)
        return status;
    if (adds_space)
        add(p, apply_add_space)->rewrites = true;
    if (uses_regex) {
        struct step *step = add(p, apply_pattern);
        step->behavior = NIB_HF_ISOLATED;
        status = nib_hf_pattern_create_raw(&step->pattern, NIB_STR(WORDS), err);
        if (status != NIB_OK)
            return status;
    }
    add(p, apply_letters)->rewrites = true;
    return NIB_OK;
}

static enum nib_status read_metaspace(struct nib_hf_pretokenizer *p, const struct nib_hf_part *part,
                                      struct nib_error *err)
{
    static const char *const names[] = {"always", "first", "never"};
    struct step *step = add(p, apply_metaspace);
    struct nib_str name = NIB_STR("always");
    bool adds_space = true, splits = true;
    step->rewrites = true;
    enum nib_status status = nib_hf_part_character(part, "replacement", &step->character, err);
    if (status == NIB_OK)
        status = nib_hf_part_string(part, "prepend_scheme", NIB_HF_OPTIONAL, &name, err);
    if (status == NIB_OK)
        status = nib_hf_part_bool(part, "add_prefix_space", NIB_HF_OPTIONAL, &adds_space, err);
    if (status == NIB_OK)
        status = nib_hf_part_bool(part, "split", NIB_HF_OPTIONAL, &splits, err);
    if (status != NIB_OK)
        return status;
    size_t i = 0;
    while (i < NIB_COUNT(names) && !nib_str_equal(name, nib_str_from(names[i])))
        i++;
    if (i == NIB_COUNT(names) || (!adds_space && i != NEVER))
        return nib_hf_part_wrong(part, "prepend_scheme",
                                 "always, first or never, and never where add_prefix_space is "
                                 "false",
                                 err);
    step->scheme = (enum scheme)i;
    if (splits) {
        const uint32_t replacement = step->character;
        add_class(p, is_character, NIB_HF_MERGED_WITH_NEXT);
        p->steps[p->n_steps - 1].character = replacement;
    }
    return NIB_OK;
}

static enum nib_status read_split(struct nib_hf_pretokenizer *p, const struct nib_hf_part *part,
                                  struct nib_error *err)
{
    struct step *step = add(p, apply_pattern);
    enum nib_status status = read_behavior(&step->behavior, part, NIB_HF_REQUIRED, err);
    if (status == NIB_OK)
        status = nib_hf_part_bool(part, "invert", NIB_HF_REQUIRED, &step->inverts, err);
    return status == NIB_OK ? nib_hf_part_pattern(part, "pattern", &step->pattern, err) : status;
}

static enum nib_status read_delimiter(struct nib_hf_pretokenizer *p, const struct nib_hf_part *part,
                                      struct nib_error *err)
{
    add_class(p, is_character, NIB_HF_REMOVED);
    return nib_hf_part_character(part, "delimiter", &p->steps[p->n_steps - 1].character, err);
}

static enum nib_status read_punctuation(struct nib_hf_pretokenizer *p,
                                        const struct nib_hf_part *part, struct nib_error *err)
{
    add_class(p, is_punctuation, NIB_HF_ISOLATED);
    return read_behavior(&p->steps[p->n_steps - 1].behavior, part, NIB_HF_OPTIONAL, err);
}

static enum nib_status read_digits(struct nib_hf_pretokenizer *p, const struct nib_hf_part *part,
                                   struct nib_error *err)
{
    bool is_individual = false;
    const enum nib_status status =
        nib_hf_part_bool(part, "individual_digits", NIB_HF_REQUIRED, &is_individual, err);
    add_class(p, is_number, is_individual ? NIB_HF_ISOLATED : NIB_HF_CONTIGUOUS);
    return status;
}

static enum nib_status read_fixed_length(struct nib_hf_pretokenizer *p,
                                         const struct nib_hf_part *part, struct nib_error *err)
{
    struct step *step = add(p, apply_fixed_length);
    step->length = 5;
    const enum nib_status status =
        nib_hf_part_number(part, "length", NIB_HF_OPTIONAL, &step->length, err);
    return status == NIB_OK && step->length == 0
               ? nib_hf_part_wrong(part, "length", "at least 1", err)
               : status;
}

static enum nib_status read_bert(struct nib_hf_pretokenizer *p, const struct nib_hf_part *part,
                                 struct nib_error *err)
{
    (void)part;
    (void)err;
    add_class(p, is_space, NIB_HF_REMOVED);
    add_class(p, is_punctuation, NIB_HF_ISOLATED);
    return NIB_OK;
}

static enum nib_status read_whitespace_split(struct nib_hf_pretokenizer *p,
                                             const struct nib_hf_part *part, struct nib_error *err)
{
    (void)part;
    (void)err;
    add_class(p, is_space, NIB_HF_REMOVED);
    return NIB_OK;
}

static enum nib_status read_whitespace(struct nib_hf_pretokenizer *p,
                                       const struct nib_hf_part *part, struct nib_error *err)
{
    (void)part;
    return add_matches(p, NIB_STR("[" RUST_WORD "]+|[^" RUST_WORD NIB_REGEX_SPACE "]+"), err);
}

/*
 * Runs of one script.  Hiragana, Katakana and the mark of long vowels count as Han; blanks, and
 * characters that Unicode 9 did not have, go with whatever they follow; those at the start are
 * dropped, as the tokenizers library does.
 */
static enum nib_status read_unicode_scripts(struct nib_hf_pretokenizer *p,
                                            const struct nib_hf_part *part, struct nib_error *err)
{
    static const char scripts[] =
        "Adlam Ahom AnatolianHieroglyphs Arabic Armenian Avestan Balinese Bamum BassaVah Batak "
        "Bengali Bhaiksuki Bopomofo Brahmi Braille Buginese Buhid CanadianAboriginal Carian "
        "CaucasianAlbanian Chakma Cham Cherokee Common Coptic Cuneiform Cypriot Cyrillic Deseret "
        "Devanagari Duployan EgyptianHieroglyphs Elbasan Ethiopic Georgian Glagolitic Gothic "
        "Grantha Greek Gujarati Gurmukhi Hangul Hanunoo Hatran Hebrew ImperialAramaic Inherited "
        "InscriptionalPahlavi InscriptionalParthian Javanese Kaithi Kannada KayahLi Kharoshthi "
        "Khmer Khojki Khudawadi Lao Latin Lepcha Limbu LinearA LinearB Lisu Lycian Lydian Mahajani "
        "Malayalam Mandaic Manichaean Marchen MeeteiMayek MendeKikakui MeroiticCursive "
        "MeroiticHieroglyphs Miao Modi Mongolian Mro Multani Myanmar Nabataean NewTaiLue Newa Nko "
        "Ogham OlChiki OldHungarian OldItalic OldNorthArabian OldPermic OldPersian OldSouthArabian "
        "OldTurkic Oriya Osage Osmanya PahawhHmong Palmyrene PauCinHau PhagsPa Phoenician "
        "PsalterPahlavi Rejang Runic Samaritan Saurashtra Sharada Shavian Siddham SignWriting "
        "Sinhala SoraSompeng Sundanese SylotiNagri Syriac Tagalog Tagbanwa TaiLe TaiTham TaiViet "
        "Takri Tamil Tangut Telugu Thaana Thai Tibetan Tifinagh Tirhuta Ugaritic Vai WarangCiti "
        "Yi ";
    static const char any[] = " \\p{sc:Unknown}";
    static const char han[] = "\\p{sc:Han}\\p{sc:Hiragana}\\p{sc:Katakana}\\x{30FC}";
    struct nib_buffer pattern = {0};
    bool is_fine =
        nib_buffer_append(&pattern, "[", 1) && nib_buffer_append(&pattern, han, sizeof(han) - 1) &&
        nib_buffer_append(&pattern, "][", 2) && nib_buffer_append(&pattern, han, sizeof(han) - 1) &&
        nib_buffer_append(&pattern, any, sizeof(any) - 1) && nib_buffer_append(&pattern, "]*", 2);
    (void)part;
    for (const char *name = scripts, *end; *name != 0 && is_fine; name = end + 1) {
        end = strchr(name, ' ');
        char one[256];
        const int len = (int)(end - name);
        const bool is_common = len == 6 && memcmp(name, "Common", 6) == 0;
        const int n = snprintf(one, sizeof(one), "|(?%s)\\p{sc:%.*s}(?:(?%s)[\\p{sc:%.*s}%s])*",
                               is_common ? "![ \\x{30FC}]" : ":", len, name,
                               is_common ? "!\\x{30FC}" : ":", len, name, any);
        is_fine = nib_buffer_append(&pattern, one, (size_t)n);
    }
    const enum nib_status status =
        is_fine ? add_matches(p, (struct nib_str){pattern.data, pattern.n}, err)
                : nib_fail_memory(err, pattern.n, "the tokenizer");
    free(pattern.data);
    return status;
}

static enum nib_status read_part(void *data, const struct nib_hf_part *part, struct nib_error *err)
{
    static const struct {
        const char *type;
        enum nib_status (*read)(struct nib_hf_pretokenizer *p, const struct nib_hf_part *part,
                                struct nib_error *err);
    } table[] = {
        {"BertPreTokenizer", read_bert},
        {"ByteLevel", read_byte_level},
        {"CharDelimiterSplit", read_delimiter},
        {"Delimiter", read_delimiter},
        {"Digits", read_digits},
        {"FixedLength", read_fixed_length},
        {"Metaspace", read_metaspace},
        {"Punctuation", read_punctuation},
        {"Split", read_split},
        {"UnicodeScripts", read_unicode_scripts},
        {"Whitespace", read_whitespace},
        {"WhitespaceSplit", read_whitespace_split},
    };
    for (size_t i = 0; i < NIB_COUNT(table); i++)
        if (strcmp(part->type, table[i].type) == 0)
            return table[i].read(data, part, err);
    return nib_hf_part_unknown(part,
                               "BertPreTokenizer, ByteLevel, CharDelimiterSplit, Digits, "
                               "FixedLength, Metaspace, Punctuation, Sequence, Split, "
                               "UnicodeScripts, Whitespace, WhitespaceSplit",
                               err);
}

enum nib_status nib_hf_pretokenizer_create(struct nib_hf_pretokenizer **out, yyjson_val *json,
                                           const char *path, struct nib_error *err)
{
    *out = NULL;
    if (json == NULL || yyjson_is_null(json))
        return NIB_OK;
    struct nib_hf_pretokenizer *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return nib_fail_memory(err, sizeof(*p), "the tokenizer");
    const enum nib_status status =
        nib_hf_read_parts(json, "pre-tokenizer", "pretokenizers", path, read_part, p, err);
    if (status != NIB_OK) {
        nib_hf_pretokenizer_free(p);
        return status;
    }
    *out = p;
    return NIB_OK;
}

void nib_hf_pretokenizer_free(struct nib_hf_pretokenizer *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < p->n_steps; i++)
        nib_hf_pattern_free(p->steps[i].pattern);
    free(p);
}
