/* Lexer: text and tags with Jinja's whitespace control, and the tokens inside of tags. */
#include "template_lexer.h"
#include "template.h"
#include "template_text.h"
#include "utf8.h"

static const struct {
    const char *text;
    enum token_kind kind;
} operators[] = {
    /* longer ones first */
    {"//", T_FLOORDIV}, {"**", T_POW},   {"==", T_EQ},      {"!=", T_NE},      {">=", T_GE},
    {"<=", T_LE},       {"+", T_ADD},    {"-", T_SUB},      {"/", T_DIV},      {"*", T_MUL},
    {"%", T_MOD},       {"~", T_TILDE},  {"[", T_LBRACKET}, {"]", T_RBRACKET}, {"(", T_LPAREN},
    {")", T_RPAREN},    {"{", T_LBRACE}, {"}", T_RBRACE},   {">", T_GT},       {"<", T_LT},
    {"=", T_ASSIGN},    {".", T_DOT},    {":", T_COLON},    {"|", T_PIPE},     {",", T_COMMA},
    {";", T_SEMICOLON},
};

const char *nib_tpl_token_name(enum token_kind kind)
{
    switch (kind) {
    case T_END:
        return "end of template";
    case T_DATA:
        return "text";
    case T_VARIABLE_BEGIN:
        return "'{{'";
    case T_VARIABLE_END:
        return "'}}'";
    case T_BLOCK_BEGIN:
        return "'{%'";
    case T_BLOCK_END:
        return "'%}'";
    case T_NAME:
        return "a name";
    case T_STRING:
        return "a string";
    case T_INTEGER:
    case T_FLOAT:
        return "a number";
    default:
        for (size_t i = 0; i < NIB_COUNT(operators); i++) {
            if (operators[i].kind == kind)
                return operators[i].text;
        }
        return "?";
    }
}

enum nib_status nib_tpl_lexer_init(struct lexer *lexer, struct nib_str source, struct arena *arena,
                                   struct nib_error *err)
{
    if (source.len > NIB_TEMPLATE_MAX_SOURCE)
        return nib_fail(
            err, NIB_ERROR_TEMPLATE,
            "chat template: %zu bytes long, at most %d are accepted; use another template",
            source.len, NIB_TEMPLATE_MAX_SOURCE);
    const size_t invalid = nib_utf8_valid_prefix(source);
    if (invalid < source.len)
        return nib_fail(err, NIB_ERROR_TEMPLATE,
                        "chat template: byte %zu is not UTF-8; store the template as UTF-8",
                        invalid);
    char *copy = nib_tpl_arena_alloc(arena, source.len + 1);
    if (!copy)
        return nib_fail_memory(err, source.len, "a chat template");
    size_t n = 0;
    for (size_t i = 0; i < source.len; i++) {
        if (source.data[i] == '\r' && i + 1 < source.len && source.data[i + 1] == '\n')
            continue;
        copy[n++] = source.data[i] == '\r' ? '\n' : source.data[i];
    }
    if (n > 0 && copy[n - 1] == '\n')
        n--;
    copy[n] = '\0';
    *lexer = (struct lexer){
        .source = {copy, n},
        .line = 1,
        .at_line_start = true,
        .pending = T_END,
        .arena = arena,
        .err = err,
    };
    return NIB_OK;
}

static struct token fail(const struct lexer *l, const char *what)
{
    nib_fail(l->err, NIB_ERROR_TEMPLATE, "chat template, line %u: %s", l->line, what);
    return (struct token){.kind = T_ERROR, .line = l->line};
}

static char peek(const struct lexer *l, size_t ahead)
{
    return l->at + ahead < l->source.len ? l->source.data[l->at + ahead] : '\0';
}

static bool starts(const struct lexer *l, size_t at, const char *text)
{
    const size_t n = strlen(text);
    return l->source.len - at >= n && memcmp(l->source.data + at, text, n) == 0;
}

/* Go on to `at`, counting lines. */
static void advance(struct lexer *l, size_t at)
{
    for (size_t i = l->at; i < at; i++)
        l->line += l->source.data[i] == '\n';
    if (at > l->at)
        l->at_line_start = l->source.data[at - 1] == '\n';
    l->at = at;
}

static size_t skip_space(const struct lexer *l, size_t at)
{
    const char *end = l->source.data + l->source.len;
    for (size_t n; at < l->source.len; at += n) {
        if (!nib_tpl_is_space(nib_tpl_decode(l->source.data + at, end, &n)))
            break;
    }
    return at;
}

/* Length of text without the blanks at its end. */
static size_t strip_end(const char *text, size_t len)
{
    while (len > 0) {
        size_t n;
        const char *p = nib_tpl_previous_char(text, text + len);
        if (!nib_tpl_is_space(nib_tpl_decode(p, text + len, &n)))
            break;
        len = (size_t)(p - text);
    }
    return len;
}

/* "-" before a tag takes all blanks in front of it; lstrip_blocks those of its own line. */
static struct nib_str strip_before(struct nib_str text, char sign, bool is_block,
                                   bool at_line_start)
{
    const size_t stripped = strip_end(text.data, text.len);
    if (sign == '-')
        return (struct nib_str){text.data, stripped};
    if (sign == '+' || !is_block)
        return text;
    size_t line = text.len;
    while (line > 0 && text.data[line - 1] != '\n')
        line--;
    if ((line > 0 || at_line_start) && stripped <= line)
        text.len = line;
    return text;
}

/* Where a tag ends that closes with `close` at `at`: "-" eats blanks, trim_blocks one newline; 0:
 * it does not close there. */
static size_t tag_end(const struct lexer *l, size_t at, const char *close, bool trim)
{
    const char sign = at < l->source.len ? l->source.data[at] : '\0';
    if (sign == '-' && starts(l, at + 1, close))
        return skip_space(l, at + 1 + strlen(close));
    if (trim && sign == '+' && starts(l, at + 1, close))
        return at + 1 + strlen(close);
    if (!starts(l, at, close))
        return 0;
    at += strlen(close);
    return trim && at < l->source.len && l->source.data[at] == '\n' ? at + 1 : at;
}

/* {%- raw -%} at `at`: where it ends, or 0. */
static size_t raw_begin_end(const struct lexer *l, size_t at)
{
    at += 2;
    if (at < l->source.len && (l->source.data[at] == '-' || l->source.data[at] == '+'))
        at++;
    at = skip_space(l, at);
    if (!starts(l, at, "raw"))
        return 0;
    at = skip_space(l, at + 3);
    return tag_end(l, at, "%}", false);
}

/* {%- endraw -%} at `at`: where it ends, or 0. */
static size_t raw_end_end(const struct lexer *l, size_t at, char *sign)
{
    at += 2;
    *sign = at < l->source.len ? l->source.data[at] : '\0';
    if (*sign == '-' || *sign == '+')
        at++;
    at = skip_space(l, at);
    if (!starts(l, at, "endraw"))
        return 0;
    at = skip_space(l, at + 6);
    return tag_end(l, at, "%}", true);
}

static struct token raw_text(struct lexer *l, size_t begin_end)
{
    advance(l, begin_end);
    const unsigned line = l->line;
    const struct nib_str s = l->source;
    for (size_t p = l->at; p + 1 < s.len; p++) {
        char sign;
        size_t end = s.data[p] == '{' && s.data[p + 1] == '%' ? raw_end_end(l, p, &sign) : 0;
        if (end) {
            struct nib_str text = {s.data + l->at, p - l->at};
            text = strip_before(text, sign, true, l->at_line_start);
            advance(l, end);
            return (struct token){T_DATA, line, text};
        }
    }
    return fail(l, "{% raw %} is not closed; add {% endraw %}");
}

static bool skip_comment(struct lexer *l, size_t at)
{
    const size_t content = at;
    for (; at + 1 < l->source.len; at++) {
        if (l->source.data[at] != '#' || l->source.data[at + 1] != '}')
            continue;
        const bool has_sign =
            at > content && (l->source.data[at - 1] == '-' || l->source.data[at - 1] == '+');
        advance(l, tag_end(l, has_sign ? at - 1 : at, "#}", true));
        return true;
    }
    fail(l, "a comment {# is not closed; add #}");
    return false;
}

static size_t find_tag(const struct lexer *l)
{
    size_t p = l->at;
    while (p + 1 < l->source.len) {
        const char *brace = memchr(l->source.data + p, '{', l->source.len - 1 - p);
        if (!brace)
            break;
        p = (size_t)(brace - l->source.data);
        if (brace[1] == '{' || brace[1] == '%' || brace[1] == '#')
            return p;
        p++;
    }
    return l->source.len;
}

static struct token open_tag(struct lexer *l)
{
    const struct token token = {l->pending, l->line, {0}};
    l->state = l->pending == T_BLOCK_BEGIN ? IN_BLOCK : IN_VARIABLE;
    l->pending = T_END;
    return token;
}

/* Text up to the next tag, and past its "{%-"; comments and raw blocks are done with here. */
static struct token next_in_text(struct lexer *l)
{
    while (l->pending == T_END && l->at < l->source.len) {
        const size_t tag = find_tag(l);
        struct nib_str text = {l->source.data + l->at, tag - l->at};
        const unsigned line = l->line;
        if (tag == l->source.len) {
            advance(l, tag);
            return (struct token){T_DATA, line, text};
        }
        const char kind = l->source.data[tag + 1];
        const char sign = tag + 2 < l->source.len ? l->source.data[tag + 2] : '\0';
        text = strip_before(text, sign, kind != '{', l->at_line_start);
        const size_t raw = kind == '%' ? raw_begin_end(l, tag) : 0;
        const size_t inside = tag + 2 + (sign == '-' || sign == '+');
        if (raw) {
            /* The text before comes first; the raw block is found again then. */
            if (text.len > 0) {
                advance(l, tag);
                return (struct token){T_DATA, line, text};
            }
            return raw_text(l, raw);
        }
        if (kind == '#') {
            advance(l, inside);
            if (!skip_comment(l, inside))
                return (struct token){.kind = T_ERROR};
        } else {
            advance(l, inside);
            l->pending = kind == '%' ? T_BLOCK_BEGIN : T_VARIABLE_BEGIN;
        }
        if (text.len > 0)
            return (struct token){T_DATA, line, text};
    }
    if (l->pending != T_END)
        return open_tag(l);
    return (struct token){.kind = T_END, .line = l->line};
}

/* ---- inside of tags ------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_digit(char c, int base)
{
    const int digit = hex_digit(c);
    return digit >= 0 && digit < base;
}

/* Past digits with single "_" between them; `at` itself if there is none. */
static size_t skip_digits(const struct lexer *l, size_t at, int base)
{
    const struct nib_str s = l->source;
    while (at < s.len && is_digit(s.data[at], base)) {
        at++;
        if (at + 1 < s.len && s.data[at] == '_' && is_digit(s.data[at + 1], base))
            at++;
    }
    return at;
}

/* Past an integer in 0x, 0o or 0b; 0: it is none. */
static size_t skip_prefixed(const struct lexer *l)
{
    const char prefix = (char)(peek(l, 1) | 0x20);
    const int base = prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : 0;
    if (peek(l, 0) != '0' || base == 0)
        return 0;
    const size_t digits = l->at + 2 + (peek(l, 2) == '_');
    const size_t end = skip_digits(l, digits, base);
    return end > digits ? end : 0;
}

static struct token number(struct lexer *l)
{
    const size_t begin = l->at;
    const bool after_dot = begin > 0 && l->source.data[begin - 1] == '.';
    struct token token = {T_INTEGER, l->line, {l->source.data + begin, 0}};
    size_t end = skip_prefixed(l);
    if (end == 0) {
        end = skip_digits(l, begin, 10);
        size_t more = end;
        if (more + 1 < l->source.len && l->source.data[more] == '.' &&
            is_digit(l->source.data[more + 1], 10))
            more = skip_digits(l, more + 1, 10);
        if (more < l->source.len && (l->source.data[more] | 0x20) == 'e') {
            size_t exponent = more + 1;
            if (exponent < l->source.len &&
                (l->source.data[exponent] == '+' || l->source.data[exponent] == '-'))
                exponent++;
            if (skip_digits(l, exponent, 10) > exponent)
                more = skip_digits(l, exponent, 10);
        }
        if (more > end && !after_dot) {
            token.kind = T_FLOAT;
            end = more;
        } else if (l->source.data[begin] == '0') {
            /* "012" is no number: only zeros may follow a zero. */
            for (end = begin + 1; end < l->source.len; end++) {
                const bool is_gap = l->source.data[end] == '_' && end + 1 < l->source.len &&
                                    l->source.data[end + 1] == '0';
                if (l->source.data[end] != '0' && !is_gap)
                    break;
            }
        }
    }
    advance(l, end);
    token.text.len = end - begin;
    return token;
}

/* \x41, é, \101: n hexadecimal digits, or up to three octal ones. */
static bool numeric_escape(const char **p, const char *end, char **out)
{
    const char kind = **p;
    const int n = kind == 'x' ? 2 : kind == 'u' ? 4 : kind == 'U' ? 8 : 0;
    uint32_t code = 0;
    if (n == 0) {
        for (int i = 0; i < 3 && *p < end && **p >= '0' && **p <= '7'; i++, (*p)++)
            code = code * 8 + (uint32_t)(**p - '0');
    } else {
        (*p)++;
        for (int i = 0; i < n; i++, (*p)++) {
            if (*p == end || hex_digit(**p) < 0)
                return false;
            code = code << 4 | (uint32_t)hex_digit(**p);
        }
    }
    if (code > 0x10ffff)
        return false;
    *out += nib_tpl_encode((int32_t)code, *out);
    return true;
}

/* A string's text with its escapes replaced, as Python's unicode-escape does; never longer than the
 * source.  False: a malformed escape. */
static bool unescape(const char *p, const char *end, char *out, size_t *len)
{
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    char *q = out;
    while (p < end) {
        if (*p != '\\' || p + 1 == end) {
            *q++ = *p++;
            continue;
        }
        p++;
        const char *simple = *p ? strchr(from, *p) : NULL;
        if (simple) {
            *q++ = to[simple - from];
            p++;
        } else if (*p == '\n') {
            p++;
        } else if ((*p >= '0' && *p <= '7') || *p == 'x' || *p == 'u' || *p == 'U') {
            if (!numeric_escape(&p, end, &q))
                return false;
        } else if (*p == 'N') {
            return false;
        } else {
            *q++ = '\\';
        }
    }
    *len = (size_t)(q - out);
    return true;
}

static struct token string(struct lexer *l)
{
    const char *begin = l->source.data + l->at + 1, *end = l->source.data + l->source.len;
    const char *p = begin;
    bool has_escapes = false;
    while (p < end && *p != begin[-1]) {
        has_escapes |= *p == '\\';
        p += *p == '\\' && p + 1 < end ? 2 : 1;
    }
    if (p >= end)
        return fail(l, "a string is not closed");
    struct token token = {T_STRING, l->line, {begin, (size_t)(p - begin)}};
    if (has_escapes) {
        char *text = nib_tpl_arena_alloc(l->arena, token.text.len);
        if (!text)
            return fail(l, "the template is too large");
        if (!unescape(begin, p, text, &token.text.len))
            return fail(l, "a string has a malformed or unknown \\x, \\u, \\U or \\N escape");
        token.text.data = text;
    }
    advance(l, (size_t)(p - l->source.data) + 1);
    return token;
}

static struct token name(struct lexer *l)
{
    const char *begin = l->source.data + l->at, *end = l->source.data + l->source.len;
    const char *p = begin;
    for (size_t n; p < end; p += n) {
        if (!nib_tpl_is_word(nib_tpl_decode(p, end, &n)))
            break;
    }
    struct token token = {T_NAME, l->line, {begin, (size_t)(p - begin)}};
    if (token.text.len == 0)
        return fail(l, "a character that has no meaning inside of a tag");
    if (!nib_tpl_is_identifier(token.text))
        return fail(l, "a character that is not allowed in a name");
    advance(l, (size_t)(p - l->source.data));
    return token;
}

static bool balance(struct lexer *l, char c)
{
    const char close = c == '(' ? ')' : c == '[' ? ']' : '}';
    if (c == '(' || c == '[' || c == '{') {
        if (l->n_brackets == NIB_TPL_MAX_BRACKETS) {
            fail(l, "brackets are nested too deeply");
            return false;
        }
        l->brackets[l->n_brackets++] = close;
    } else if (c == ')' || c == ']' || c == '}') {
        if (l->n_brackets == 0 || l->brackets[l->n_brackets - 1] != c) {
            fail(l, "a closing bracket does not match the one that was opened");
            return false;
        }
        l->n_brackets--;
    }
    return true;
}

static struct token operator_or_name(struct lexer *l)
{
    for (size_t i = 0; i < NIB_COUNT(operators); i++) {
        if (starts(l, l->at, operators[i].text)) {
            struct token token = {operators[i].kind, l->line, nib_str_from(operators[i].text)};
            if (token.text.len == 1 && !balance(l, token.text.data[0]))
                return (struct token){.kind = T_ERROR};
            advance(l, l->at + token.text.len);
            return token;
        }
    }
    return name(l);
}

static struct token next_in_tag(struct lexer *l)
{
    for (;;) {
        const bool is_block = l->state == IN_BLOCK;
        const size_t end =
            l->n_brackets == 0 ? tag_end(l, l->at, is_block ? "%}" : "}}", is_block) : 0;
        if (end) {
            struct token token = {is_block ? T_BLOCK_END : T_VARIABLE_END, l->line, {0}};
            advance(l, end);
            l->state = IN_TEXT;
            return token;
        }
        const size_t next = skip_space(l, l->at);
        if (next == l->at)
            break;
        advance(l, next);
    }
    if (l->at == l->source.len)
        return (struct token){.kind = T_END, .line = l->line};
    const char c = peek(l, 0);
    if (c >= '0' && c <= '9')
        return number(l);
    if (c == '\'' || c == '"')
        return string(l);
    return operator_or_name(l);
}

struct token nib_tpl_next_token(struct lexer *l)
{
    return l->state == IN_TEXT ? next_in_text(l) : next_in_tag(l);
}
