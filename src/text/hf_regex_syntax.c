/*
 * From Oniguruma's regular expressions (its default syntax, as the tokenizers library uses it) to
 * PCRE2's.  What differs: \s, \w, \b, \h and \u; the names of properties; (?m), which lets the dot
 * match line ends; (?i) in the middle, which ends with its group; quantifiers of quantifiers, as in
 * a{2}+; and classes, which nest and intersect: [a-z&&[^b]].
 *
 * A class becomes a simple one where it is a union, else a group of simple ones.
 */
#include "hf_regex.h"
#include "utf8.h"

#include <stdlib.h>

#define MAX_DEPTH 100
#define NO_ATOM   SIZE_MAX
#define NOT_SPACE "\\S\\x{180E}" /* which is a blank to PCRE2 alone */
#define HEX       "0-9A-Fa-f"
#define ANY       "(?s:.)"
#define WORD      NIB_REGEX_WORD "\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}" /* with ² ³ ¹ ¼ ½ ¾ */
#define WORD_BORDER                                                                                \
    "(?<=[" WORD "])(?![" WORD "])|"                                                               \
    "(?<![" WORD "])(?=[" WORD "])"
#define NO_BORDER                                                                                  \
    "(?<=[" WORD "])(?=[" WORD "])|"                                                               \
    "(?<![" WORD "])(?![" WORD "])"

struct translation {
    struct nib_str source;
    size_t i;
    struct nib_buffer *out;
    const char *problem; /* NULL: none */
    bool has_memory;
    size_t atom; /* where the last atom begins in out; NO_ATOM: none */
    bool is_after_quantifier;
    struct {
        size_t start;
        unsigned n_options; /* groups that (?i) has opened and that end with this one */
    } groups[MAX_DEPTH + 1];
    size_t depth;
};

static void put(struct translation *t, struct nib_buffer *out, const char *bytes, size_t n)
{
    t->has_memory = t->has_memory && out->n + n <= 16 * NIB_MAX_PATTERN_BYTES &&
                    nib_buffer_append(out, bytes, n);
}

static void put_text(struct translation *t, struct nib_buffer *out, const char *text)
{
    put(t, out, text, strlen(text));
}

static int peek(const struct translation *t, size_t ahead)
{
    return t->i + ahead < t->source.len ? (unsigned char)t->source.data[t->i + ahead] : -1;
}

static bool follows(const struct translation *t, const char *text)
{
    const size_t n = strlen(text);
    return t->source.len - t->i >= n && memcmp(t->source.data + t->i, text, n) == 0;
}

static void copy(struct translation *t, struct nib_buffer *out, size_t n)
{
    if (n > t->source.len - t->i)
        n = t->source.len - t->i;
    put(t, out, t->source.data + t->i, n);
    t->i += n;
}

static size_t character_length(const struct translation *t)
{
    const int len = nib_utf8_scan(t->source.data + t->i, t->source.len - t->i);
    return len > 0 ? (size_t)len : 1;
}

/* ---- properties ----------------------------------------------------------------------------- */

/* Names without blanks, hyphens and underscores, in lower case; what they are within []. */
static const struct {
    const char *name, *ranges;
} properties[] = {
    {"any", "\\x{0}-\\x{10FFFF}"},
    {"assigned", "\\P{Cn}"},
    {"ascii", "\\x00-\\x7F"},
    {"alnum", "\\p{Alphabetic}\\p{Nd}"},
    {"alpha", "\\p{Alphabetic}"},
    {"blank", "\\p{Zs}\\t"},
    {"cntrl", "\\p{Cc}"},
    {"digit", "\\p{Nd}"},
    {"lower", "\\p{Lowercase}"},
    {"upper", "\\p{Uppercase}"},
    {"graph", "\\p{L}\\p{M}\\p{N}\\p{P}\\p{S}\\p{Cf}\\p{Co}"},
    {"print", "\\p{L}\\p{M}\\p{N}\\p{P}\\p{S}\\p{Cf}\\p{Co}\\p{Zs}"},
    {"punct", "\\p{P}"},
    {"space", NIB_REGEX_SPACE},
    {"word", WORD},
    {"xdigit", HEX},
    {"letter", "\\p{L}"},
    {"uppercaseletter", "\\p{Lu}"},
    {"lowercaseletter", "\\p{Ll}"},
    {"titlecaseletter", "\\p{Lt}"},
    {"casedletter", "\\p{L&}"},
    {"lc", "\\p{L&}"},
    {"modifierletter", "\\p{Lm}"},
    {"otherletter", "\\p{Lo}"},
    {"mark", "\\p{M}"},
    {"combiningmark", "\\p{M}"},
    {"nonspacingmark", "\\p{Mn}"},
    {"spacingmark", "\\p{Mc}"},
    {"enclosingmark", "\\p{Me}"},
    {"number", "\\p{N}"},
    {"decimalnumber", "\\p{Nd}"},
    {"letternumber", "\\p{Nl}"},
    {"othernumber", "\\p{No}"},
    {"punctuation", "\\p{P}"},
    {"connectorpunctuation", "\\p{Pc}"},
    {"dashpunctuation", "\\p{Pd}"},
    {"openpunctuation", "\\p{Ps}"},
    {"closepunctuation", "\\p{Pe}"},
    {"initialpunctuation", "\\p{Pi}"},
    {"finalpunctuation", "\\p{Pf}"},
    {"otherpunctuation", "\\p{Po}"},
    {"symbol", "\\p{S}"},
    {"mathsymbol", "\\p{Sm}"},
    {"currencysymbol", "\\p{Sc}"},
    {"modifiersymbol", "\\p{Sk}"},
    {"othersymbol", "\\p{So}"},
    {"separator", "\\p{Z}"},
    {"spaceseparator", "\\p{Zs}"},
    {"lineseparator", "\\p{Zl}"},
    {"paragraphseparator", "\\p{Zp}"},
    {"other", "\\p{C}"},
    {"control", "\\p{Cc}"},
    {"format", "\\p{Cf}"},
    {"surrogate", "\\p{Cs}"},
    {"privateuse", "\\p{Co}"},
    {"unassigned", "\\p{Cn}"},
    {"whitespace", NIB_REGEX_SPACE},
};

/* The ranges of a property: from the table, of a general category, of a script. */
static void put_property(struct translation *t, struct nib_buffer *out, struct nib_str name)
{
    char plain[64];
    size_t n = 0;
    for (size_t i = 0; i < name.len && n + 1 < sizeof(plain); i++) {
        const char c = name.data[i];
        if (c == ' ' || c == '-' || c == '_')
            continue;
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))) {
            t->problem = "the name of a property is not known";
            return;
        }
        plain[n++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    plain[n] = 0;
    for (size_t i = 0; i < NIB_COUNT(properties); i++)
        if (strcmp(plain, properties[i].name) == 0) {
            put_text(t, out, properties[i].ranges);
            return;
        }
    if (n <= 2) {
        const char category[2] = {(char)(plain[0] - (n > 0 ? 32 : 0)), plain[1]};
        put_text(t, out, "\\p{");
        put(t, out, category, n);
    } else {
        static const char *const binary[] = {
            "alphabetic", "uppercase",  "lowercase", "ideographic", "emoji",        "math",
            "idstart",    "idcontinue", "xidstart",  "xidcontinue", "asciihexdigit"};
        bool is_binary = false;
        for (size_t i = 0; i < NIB_COUNT(binary); i++)
            is_binary = is_binary || strcmp(plain, binary[i]) == 0;
        put_text(t, out, is_binary ? "\\p{" : "\\p{sc:");
        put_text(t, out, plain);
    }
    put_text(t, out, "}");
}

/* At "p{", "P{": reads all of it; the ranges go to `out`, *is_negated says whether to turn them. */
static void read_property(struct translation *t, struct nib_buffer *out, bool *is_negated)
{
    *is_negated = peek(t, 0) == 'P';
    t->i += 2;
    if (peek(t, 0) == '^') {
        *is_negated = !*is_negated;
        t->i++;
    }
    const size_t start = t->i;
    while (peek(t, 0) >= 0 && peek(t, 0) != '}')
        t->i++;
    if (peek(t, 0) < 0) {
        t->problem = "\\p{ has no end";
        return;
    }
    put_property(t, out, (struct nib_str){t->source.data + start, t->i - start});
    t->i++;
}

/* ---- classes -------------------------------------------------------------------------------- */

/* Ranges for within [], and whole expressions of one character each; the class is all of them. */
struct union_ {
    struct nib_buffer ranges, expressions;
};

static void free_union(struct union_ *u)
{
    free(u->ranges.data);
    free(u->expressions.data);
    *u = (struct union_){0};
}

static void put_expression(struct translation *t, struct union_ *u, const char *before,
                           const struct nib_buffer *inside, const char *after)
{
    if (u->expressions.n > 0)
        put_text(t, &u->expressions, "|");
    put_text(t, &u->expressions, before);
    put(t, &u->expressions, inside->data, inside->n);
    put_text(t, &u->expressions, after);
}

/* One expression for the union. */
static void close_union(struct translation *t, struct nib_buffer *out, const struct union_ *u)
{
    const bool has_both = u->ranges.n > 0 && u->expressions.n > 0;
    put_text(t, out, "(?:");
    if (u->ranges.n > 0) {
        put_text(t, out, "[");
        put(t, out, u->ranges.data, u->ranges.n);
        put_text(t, out, "]");
    }
    put_text(t, out, has_both ? "|" : "");
    put(t, out, u->expressions.data, u->expressions.n);
    put_text(t, out, u->ranges.n == 0 && u->expressions.n == 0 ? "(?!))" : ")");
}

/* An escape within a class.  True: it was one character, so that a range may follow. */
static bool read_class_escape(struct translation *t, struct union_ *u)
{
    static const struct {
        char letter;
        bool is_negated;
        const char *ranges;
    } sets[] = {{'s', false, NIB_REGEX_SPACE},
                {'S', false, NOT_SPACE},
                {'w', false, WORD},
                {'W', true, WORD},
                {'d', false, "\\p{Nd}"},
                {'D', false, "\\P{Nd}"},
                {'h', false, HEX},
                {'H', true, HEX}};
    const int c = peek(t, 1);
    for (size_t i = 0; i < NIB_COUNT(sets); i++) {
        if (c != sets[i].letter)
            continue;
        t->i += 2;
        if (!sets[i].is_negated) {
            put_text(t, &u->ranges, sets[i].ranges);
        } else {
            struct nib_buffer inside = {0};
            put_text(t, &inside, sets[i].ranges);
            put_expression(t, u, "[^", &inside, "]");
            free(inside.data);
        }
        return false;
    }
    if ((c == 'p' || c == 'P') && peek(t, 2) == '{') {
        struct nib_buffer inside = {0};
        bool is_negated;
        t->i++;
        read_property(t, &inside, &is_negated);
        if (is_negated)
            put_expression(t, u, "[^", &inside, "]");
        else
            put(t, &u->ranges, inside.data, inside.n);
        free(inside.data);
        return false;
    }
    if (c == 'u') {
        put_text(t, &u->ranges, "\\x{");
        t->i += 2;
        copy(t, &u->ranges, 4);
        put_text(t, &u->ranges, "}");
        return true;
    }
    if (c == 'x' && peek(t, 2) == '{') {
        while (peek(t, 0) >= 0 && peek(t, 0) != '}')
            copy(t, &u->ranges, 1);
        copy(t, &u->ranges, 1);
        return true;
    }
    copy(t, &u->ranges, 1);
    if (c >= 0)
        copy(t, &u->ranges, c == 'x' ? 3 : character_length(t));
    return true;
}

/* "[:alpha:]", "[:^alpha:]".  False: something else. */
static bool read_posix_class(struct translation *t, struct union_ *u)
{
    size_t end = t->i + 2;
    while (end < t->source.len && t->source.data[end] != ':' && t->source.data[end] != ']')
        end++;
    if (peek(t, 1) != ':' || end + 1 >= t->source.len || t->source.data[end] != ':' ||
        t->source.data[end + 1] != ']')
        return false;
    const bool is_negated = peek(t, 2) == '^';
    const size_t start = t->i + 2 + is_negated;
    struct nib_buffer inside = {0};
    const struct nib_str name = {t->source.data + start, end - start};
    put_property(t, &inside, name);
    if (nib_str_equal(name, NIB_STR("punct"))) /* but not \p{Punct} */
        put_text(t, &inside, "\\p{S}");
    if (is_negated)
        put_expression(t, u, "[^", &inside, "]");
    else
        put(t, &u->ranges, inside.data, inside.n);
    free(inside.data);
    t->i = end + 2;
    return true;
}

static void read_class(struct translation *t, struct union_ *out, size_t depth);

/* One of: a nested class, an escape, a character, a range. */
static void read_class_item(struct translation *t, struct union_ *u, size_t depth)
{
    bool may_begin_range;
    if (peek(t, 0) == '[') {
        if (!read_posix_class(t, u))
            read_class(t, u, depth + 1);
        may_begin_range = false;
    } else if (peek(t, 0) == '\\') {
        may_begin_range = read_class_escape(t, u);
    } else {
        const int c = peek(t, 0);
        if (c == '-' || c == '^' || c == ']')
            put_text(t, &u->ranges, "\\");
        may_begin_range = c != '-';
        copy(t, &u->ranges, character_length(t));
    }
    if (!may_begin_range || peek(t, 0) != '-' || peek(t, 1) < 0 || peek(t, 1) == ']' ||
        peek(t, 1) == '[')
        return;
    copy(t, &u->ranges, 1);
    if (peek(t, 0) == '\\') {
        if (!read_class_escape(t, u))
            t->problem = "a range of a class has no end";
    } else {
        copy(t, &u->ranges, character_length(t));
    }
}

/* At "[": all of the class becomes a part of the union `out`. */
static void read_class(struct translation *t, struct union_ *out, size_t depth)
{
    struct union_ u = {0};
    struct nib_buffer others = {0}; /* the terms before the last "&&", as looks ahead */
    if (depth > 16) {
        t->problem = "classes nest too deeply";
        return;
    }
    t->i++;
    const bool is_negated = peek(t, 0) == '^';
    t->i += is_negated;
    bool is_first = true;
    while (t->problem == NULL && t->has_memory && peek(t, 0) >= 0 &&
           (peek(t, 0) != ']' || is_first)) {
        is_first = false;
        if (!follows(t, "&&")) {
            read_class_item(t, &u, depth);
            continue;
        }
        put_text(t, &others, "(?=");
        close_union(t, &others, &u);
        put_text(t, &others, ")");
        free_union(&u);
        t->i += 2;
    }
    if (peek(t, 0) != ']')
        t->problem = t->problem != NULL ? t->problem : "a class has no end";
    t->i++;
    struct nib_buffer all = {0};
    if (others.n == 0 && u.expressions.n == 0 && !is_negated) {
        put(t, &out->ranges, u.ranges.data, u.ranges.n);
    } else if (others.n == 0 && u.expressions.n == 0) {
        put_expression(t, out, "[^", &u.ranges, "]");
    } else {
        put(t, &all, others.data, others.n);
        close_union(t, &all, &u);
        put_expression(t, out, is_negated ? "(?:(?!" : "(?:", &all, is_negated ? ")" ANY ")" : ")");
    }
    free(all.data);
    free(others.data);
    free_union(&u);
}

static void translate_class(struct translation *t)
{
    struct union_ u = {0};
    read_class(t, &u, 0);
    if (u.expressions.n > 0 && u.ranges.n == 0) { /* one expression, whole by itself */
        put(t, t->out, u.expressions.data, u.expressions.n);
    } else {
        put_text(t, t->out, "[");
        put(t, t->out, u.ranges.data, u.ranges.n);
        put_text(t, t->out, "]");
    }
    free_union(&u);
}

/* ---- the rest ------------------------------------------------------------------------------- */

static void translate_escape(struct translation *t)
{
    static const struct {
        char letter;
        const char *text;
    } table[] = {{'s', "[" NIB_REGEX_SPACE "]"},
                 {'S', "[" NOT_SPACE "]"},
                 {'w', "[" WORD "]"},
                 {'W', "[^" WORD "]"},
                 {'d', "\\p{Nd}"},
                 {'D', "\\P{Nd}"},
                 {'h', "[" HEX "]"},
                 {'H', "[^" HEX "]"},
                 {'b', "(?:" WORD_BORDER ")"},
                 {'B', "(?:" NO_BORDER ")"},
                 {'O', ANY}};
    const int c = peek(t, 1);
    for (size_t i = 0; i < NIB_COUNT(table); i++)
        if (c == table[i].letter) {
            put_text(t, t->out, table[i].text);
            t->i += 2;
            return;
        }
    if ((c == 'p' || c == 'P') && peek(t, 2) == '{') {
        struct nib_buffer inside = {0};
        bool is_negated;
        t->i++;
        read_property(t, &inside, &is_negated);
        put_text(t, t->out, is_negated ? "[^" : "[");
        put(t, t->out, inside.data, inside.n);
        put_text(t, t->out, "]");
        free(inside.data);
    } else if (c == 'u') {
        put_text(t, t->out, "\\x{");
        t->i += 2;
        copy(t, t->out, 4);
        put_text(t, t->out, "}");
    } else if (c == 'Q') { /* literal text, which may have anything in it */
        t->i += 2;
        while (peek(t, 0) >= 0 && !follows(t, "\\E")) {
            const unsigned c0 = (unsigned)peek(t, 0);
            const bool is_sign = c0 < 0x80 && !nib_hf_is_word(c0) && c0 > ' ';
            put_text(t, t->out, is_sign ? "\\" : "");
            copy(t, t->out, character_length(t));
        }
        t->i += peek(t, 0) >= 0 ? 2 : 0;
    } else {
        const bool has_braces = c == 'x' || c == 'k' || c == 'g';
        copy(t, t->out, 1);
        if (c >= 0)
            copy(t, t->out, character_length(t));
        const int open = peek(t, 0), close = open == '{' ? '}' : '>';
        if (has_braces && (open == '{' || open == '<')) {
            while (peek(t, 0) >= 0 && peek(t, 0) != close)
                copy(t, t->out, 1);
            copy(t, t->out, 1);
        }
    }
}

static void open_group(struct translation *t)
{
    if (t->depth == MAX_DEPTH) {
        t->problem = "groups nest too deeply";
        return;
    }
    t->depth++;
    t->groups[t->depth].start = t->out->n;
    t->groups[t->depth].n_options = 0;
}

static void close_group(struct translation *t)
{
    for (unsigned i = t->groups[t->depth].n_options; i > 0; i--)
        put_text(t, t->out, ")");
    t->atom = t->groups[t->depth].start;
    put_text(t, t->out, ")");
    t->i++;
    if (t->depth == 0)
        t->problem = "a ) has no (";
    else
        t->depth--;
}

/* "(?im-x" up to the ) or the :, with the options of PCRE2. */
static void translate_options(struct translation *t)
{
    size_t n = 2;
    while (peek(t, n) == 'i' || peek(t, n) == 'm' || peek(t, n) == 'x' || peek(t, n) == '-')
        n++;
    const bool is_group = peek(t, n) == ':';
    if (!is_group && peek(t, n) != ')') {
        t->problem = "an option of a group is not known, expected i, m and x";
        return;
    }
    if (is_group)
        open_group(t);
    put_text(t, t->out, "(?");
    for (size_t k = 2; k < n; k++) {
        const char option = (char)(peek(t, k) == 'm' ? 's' : peek(t, k));
        put(t, t->out, &option, 1);
    }
    put_text(t, t->out, ":");
    if (!is_group)
        t->groups[t->depth].n_options++;
    t->i += n + 1;
}

static void translate_group(struct translation *t)
{
    static const char *const heads[] = {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!"};
    t->is_after_quantifier = false;
    t->atom = NO_ATOM;
    if (follows(t, "(?#")) {
        while (peek(t, 0) >= 0 && peek(t, 0) != ')')
            t->i++;
        t->i++;
        return;
    }
    for (size_t k = 0; k < NIB_COUNT(heads); k++)
        if (follows(t, heads[k])) {
            open_group(t);
            copy(t, t->out, strlen(heads[k]));
            return;
        }
    if (follows(t, "(?<") || follows(t, "(?'")) {
        open_group(t);
        copy(t, t->out, 3);
    } else if (follows(t, "(?~") || follows(t, "(?(") || follows(t, "(?{") || follows(t, "(*")) {
        t->problem = "absence operators, conditions and callouts are not supported";
    } else if (follows(t, "(?")) {
        translate_options(t);
    } else {
        open_group(t);
        copy(t, t->out, 1);
    }
}

/* "{2}", "{2,}", "{,5}", "{2,5}": its length, 0: a literal {. */
static size_t interval_length(const struct translation *t)
{
    size_t n = 1, n_digits = 0;
    for (; peek(t, n) >= '0' && peek(t, n) <= '9'; n++)
        n_digits++;
    if (peek(t, n) == ',')
        for (n++; peek(t, n) >= '0' && peek(t, n) <= '9'; n++)
            n_digits++;
    return n_digits > 0 && peek(t, n) == '}' ? n + 1 : 0;
}

/* Make all of the last atom, quantifiers included, one group. */
static void wrap_atom(struct translation *t)
{
    put_text(t, t->out, "(?:)");
    if (!t->has_memory || t->atom == NO_ATOM)
        return;
    memmove(t->out->data + t->atom + 3, t->out->data + t->atom, t->out->n - 4 - t->atom);
    memcpy(t->out->data + t->atom, "(?:", 3);
    t->out->data[t->out->n - 1] = ')';
}

static void translate_quantifier(struct translation *t, size_t n_interval)
{
    if (t->is_after_quantifier)
        wrap_atom(t);
    t->is_after_quantifier = true;
    if (n_interval == 0) {
        copy(t, t->out, 1);
        if (peek(t, 0) == '?' || peek(t, 0) == '+')
            copy(t, t->out, 1);
        return;
    }
    const bool has_comma = memchr(t->source.data + t->i, ',', n_interval) != NULL;
    copy(t, t->out, 1);
    if (peek(t, 0) == ',')
        put_text(t, t->out, "0");
    copy(t, t->out, n_interval - 1);
    if (has_comma && peek(t, 0) == '?') /* after {2} it is a quantifier of its own */
        copy(t, t->out, 1);
}

static void translate_one(struct translation *t)
{
    const int c = peek(t, 0);
    const size_t n_interval = c == '{' ? interval_length(t) : 0;
    if (c == '*' || c == '+' || c == '?' || n_interval > 0) {
        translate_quantifier(t, n_interval);
        return;
    }
    if (c == '(') {
        translate_group(t);
        return;
    }
    t->is_after_quantifier = false;
    t->atom = t->out->n;
    if (c == ')') {
        close_group(t);
    } else if (c == '[') {
        translate_class(t);
    } else if (c == '\\') {
        translate_escape(t);
    } else if (c == '|') {
        t->atom = NO_ATOM;
        copy(t, t->out, 1);
    } else {
        if (c == '{' || c == '}')
            put_text(t, t->out, "\\");
        copy(t, t->out, character_length(t));
    }
}

enum nib_status nib_hf_regex_translate(struct nib_buffer *out, struct nib_str source,
                                       const char *path, const char *where, struct nib_error *err)
{
    struct translation t = {.source = source, .out = out, .has_memory = true, .atom = NO_ATOM};
    while (t.i < source.len && t.problem == NULL && t.has_memory)
        translate_one(&t);
    if (t.problem == NULL && t.depth > 0)
        t.problem = "a ( has no )";
    if (t.problem == NULL)
        for (unsigned i = t.groups[0].n_options; i > 0; i--)
            put_text(&t, out, ")");
    if (t.problem != NULL)
        return nib_fail(err, NIB_ERROR_FILE,
                        "%s: the pattern '%.*s' of %s cannot be used: %s, near byte %zu; the file "
                        "is damaged or needs a newer nibble",
                        path, (int)(source.len < 80 ? source.len : 80), source.data, where,
                        t.problem, t.i);
    return t.has_memory ? NIB_OK : nib_fail_memory(err, out->n, "a pattern");
}
