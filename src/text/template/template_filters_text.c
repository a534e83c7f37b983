/* Filters on text. */
#include "template_ops.h"
#include "template_string.h"
#include "template_text.h"

/* str(v), as most of these filters begin. */
static const struct string *text_of(struct render *r, struct value v)
{
    const struct value text = nib_tpl_str(r, v);
    return text.kind == V_ERROR ? NULL : text.u.s;
}

static struct value change_case(struct render *r, struct value v, enum text_case to)
{
    const struct string *s = text_of(r, v);
    return s ? nib_tpl_convert_case(r, s, to) : NIB_TPL_ERROR;
}

static struct value filter_upper(struct render *r, struct value v, const struct args *args)
{
    (void)args;
    return change_case(r, v, CASE_UPPER);
}

static struct value filter_lower(struct render *r, struct value v, const struct args *args)
{
    (void)args;
    return change_case(r, v, CASE_LOWER);
}

static struct value filter_capitalize(struct render *r, struct value v, const struct args *args)
{
    (void)args;
    return change_case(r, v, CASE_CAPITAL);
}

static struct value filter_title(struct render *r, struct value v, const struct args *args)
{
    (void)args;
    return change_case(r, v, CASE_WORDS);
}

static struct value filter_trim(struct render *r, struct value v, const struct args *args)
{
    const struct string *s = text_of(r, v);
    const struct value chars = args->items[0];
    if (!s)
        return NIB_TPL_ERROR;
    if (chars.kind != V_MISSING && chars.kind != V_NONE && chars.kind != V_STRING)
        return nib_tpl_fail(r, "trim: chars must be a string");
    return nib_tpl_strip(r, s, chars.kind == V_STRING ? chars.u.s : NULL, STRIP_LEFT | STRIP_RIGHT);
}

static struct value filter_replace(struct render *r, struct value v, const struct args *args)
{
    const struct string *s = text_of(r, v), *old = text_of(r, args->items[0]),
                        *new = text_of(r, args->items[1]);
    int64_t count = -1;
    const struct value limit = args->items[2];
    if (limit.kind != V_MISSING && limit.kind != V_NONE &&
        !nib_tpl_to_int(r, limit, "count", &count))
        return NIB_TPL_ERROR;
    return s && old && new ? nib_tpl_replace(r, s, old, new, count) : NIB_TPL_ERROR;
}

static struct value filter_center(struct render *r, struct value v, const struct args *args)
{
    const struct string *s = text_of(r, v);
    int64_t width = 80;
    if (!s ||
        (args->items[0].kind != V_MISSING && !nib_tpl_to_int(r, args->items[0], "width", &width)))
        return NIB_TPL_ERROR;
    return nib_tpl_pad(r, s, width, ' ', PAD_CENTER);
}

static struct value filter_indent(struct render *r, struct value v, const struct args *args)
{
    if (v.kind == V_UNDEFINED)
        return nib_tpl_undefined_error(r, v);
    if (v.kind != V_STRING)
        return nib_tpl_fail(r, "indent: expected a string, not '%s'", nib_tpl_type_name(v));
    const struct value width = args->items[0];
    const bool first = nib_tpl_truth(args->items[1]), blank = nib_tpl_truth(args->items[2]);
    int64_t n = 4;
    if (width.kind != V_MISSING && width.kind != V_STRING && !nib_tpl_to_int(r, width, "width", &n))
        return NIB_TPL_ERROR;
    size_t mark = r->out.len;
    nib_tpl_put_repeated(r, ' ', n > 0 ? (size_t)n : 0);
    const struct value indent = width.kind == V_STRING ? width : nib_tpl_take(r, mark);
    r->out.len = mark;

    /* A newline at the end stays, as an empty last line would. */
    static const struct string newline = {.data = "\n", .len = 1, .n_chars = 1};
    const struct value text = nib_tpl_concat(r, v.u.s, &newline);
    const struct list *lines =
        text.kind == V_ERROR ? NULL : nib_tpl_split_lines(r, text.u.s, false);
    for (size_t i = 0; lines && i < lines->n && !r->failed; i++) {
        if (i > 0)
            nib_tpl_put(r, "\n", 1);
        const bool has_text = lines->items[i].u.s->len > 0;
        if (i == 0 ? first : blank || has_text)
            nib_tpl_put_str(r, indent);
        nib_tpl_put_str(r, lines->items[i]);
    }
    return nib_tpl_take(r, mark);
}

static struct value filter_truncate(struct render *r, struct value v, const struct args *args)
{
    int64_t length = 255, leeway = 5;
    const struct value end = args->items[2];
    const struct string dots = {.data = "...", .len = 3, .n_chars = 3};
    if ((args->items[0].kind != V_MISSING &&
         !nib_tpl_to_int(r, args->items[0], "length", &length)) ||
        (args->items[3].kind != V_MISSING && args->items[3].kind != V_NONE &&
         !nib_tpl_to_int(r, args->items[3], "leeway", &leeway)))
        return NIB_TPL_ERROR;
    if (end.kind != V_MISSING && end.kind != V_STRING)
        return nib_tpl_fail(r, "truncate: the end must be a string");
    const struct string *tail = end.kind == V_STRING ? end.u.s : &dots;
    if (length < (int64_t)tail->n_chars || leeway < 0)
        return nib_tpl_fail(r, "truncate: the length must be at least that of the end");
    const int64_t n_chars = nib_tpl_length(v);
    if (n_chars >= 0 && (length > INT32_MAX || leeway > INT32_MAX || n_chars <= length + leeway))
        return v;
    if (v.kind != V_STRING)
        return nib_tpl_fail(r, "truncate: expected a string, not '%s'", nib_tpl_type_name(v));
    const struct string *s = v.u.s;
    size_t len = nib_tpl_char_offset(s->data, s->len, (size_t)length - tail->n_chars);
    const char *blank =
        nib_tpl_truth(args->items[1]) ? NULL : nib_tpl_find_last(s->data, len, " ", 1);
    if (blank)
        len = (size_t)(blank - s->data);
    const size_t mark = r->out.len;
    nib_tpl_put(r, s->data, len);
    nib_tpl_put(r, tail->data, tail->len);
    return nib_tpl_take(r, mark);
}

static struct value filter_wordcount(struct render *r, struct value v, const struct args *args)
{
    (void)args;
    const struct string *s = text_of(r, v);
    if (!s)
        return NIB_TPL_ERROR;
    int64_t n_words = 0;
    bool is_inside = false;
    const char *p = s->data, *end = s->data + s->len;
    for (size_t n; p < end; p += n) {
        const bool is_word = nib_tpl_is_word(nib_tpl_decode(p, end, &n));
        n_words += is_word && !is_inside;
        is_inside = is_word;
    }
    return nib_tpl_int(n_words);
}

/* ---- wordwrap ------------------------------------------------------------------------------- */

struct wrap {
    struct render *r;
    size_t width; /* in characters */
    bool break_long, on_hyphens;
    const struct string *newline;
    size_t column; /* of the line so far, in characters */
    bool is_first; /* nothing of this paragraph was written yet */
};

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_letter_at(const char *p, const char *begin, const char *end)
{
    size_t n;
    return p >= begin && p < end && nib_tpl_is_alpha(nib_tpl_decode(p, end, &n));
}

/* Where the chunk at p ends: blanks, a word, or a part of a word with its hyphen. */
static const char *chunk_end(const struct wrap *w, const char *p, const char *end)
{
    const char *begin = p;
    if (is_blank(*p)) {
        while (p < end && is_blank(*p))
            p++;
        return p;
    }
    for (; p < end && !is_blank(*p); p++) {
        if (!w->on_hyphens || *p != '-' || p == begin)
            continue;
        const char *a = nib_tpl_previous_char(begin, p);
        const char *b = a > begin ? nib_tpl_previous_char(begin, a) : NULL;
        const bool is_behind =
            b && is_letter_at(a, begin, end) &&
            (is_letter_at(b, begin, end) ||
             (*b == '-' && b > begin && is_letter_at(nib_tpl_previous_char(begin, b), begin, end)));
        size_t n = 1;
        if (p + 1 < end)
            nib_tpl_decode(p + 1, end, &n);
        const char *next = p + 1 + n;
        next += next < end && *next == '-';
        if (is_behind && is_letter_at(p + 1, begin, end) && is_letter_at(next, begin, end))
            return p + 1;
    }
    return p;
}

static void wrap_break(struct wrap *w)
{
    nib_tpl_put(w->r, w->newline->data, w->newline->len);
    w->column = 0;
}

/* A word that may be longer than a line; `blanks` are those in front of it. */
static void wrap_word(struct wrap *w, struct nib_str blanks, struct nib_str word)
{
    size_t n = nib_tpl_count_chars(word.data, word.len);
    size_t n_blanks =
        w->column == 0 && !w->is_first ? 0 : nib_tpl_count_chars(blanks.data, blanks.len);
    const bool fits = w->column + n_blanks + n <= w->width;
    if (!fits && (w->column > 0) && !(n > w->width && w->break_long)) {
        wrap_break(w);
        n_blanks = 0;
    }
    if (n_blanks && w->column + n_blanks < w->width) {
        nib_tpl_put(w->r, blanks.data, blanks.len);
        w->column += n_blanks;
    } else if (n_blanks && w->column > 0 && !fits) {
        wrap_break(w);
    }
    while (w->break_long && w->column + n > w->width && !w->r->failed) {
        const size_t room = w->width > w->column ? w->width - w->column : 1;
        const size_t len = nib_tpl_char_offset(word.data, word.len, room);
        nib_tpl_put(w->r, word.data, len);
        word = (struct nib_str){word.data + len, word.len - len};
        n -= room;
        wrap_break(w);
    }
    nib_tpl_put(w->r, word.data, word.len);
    w->column += n;
    w->is_first = false;
}

static void wrap_paragraph(struct wrap *w, const struct string *s)
{
    const char *p = s->data, *end = s->data + s->len;
    struct nib_str blanks = {p, 0};
    w->column = 0;
    w->is_first = true;
    while (p < end && !w->r->failed) {
        const char *next = chunk_end(w, p, end);
        const struct nib_str chunk = {p, (size_t)(next - p)};
        if (is_blank(*p)) {
            blanks = chunk;
        } else {
            wrap_word(w, blanks, chunk);
            blanks = (struct nib_str){next, 0};
        }
        p = next;
    }
}

static struct value filter_wordwrap(struct render *r, struct value v, const struct args *args)
{
    static const struct string newline = {.data = "\n", .len = 1, .n_chars = 1};
    const struct value *a = args->items;
    struct wrap w = {.r = r, .newline = a[2].kind == V_STRING ? a[2].u.s : &newline};
    int64_t width = 79;
    if (v.kind != V_STRING)
        return nib_tpl_fail(r, "wordwrap: expected a string, not '%s'", nib_tpl_type_name(v));
    if (a[0].kind != V_MISSING && !nib_tpl_to_int(r, a[0], "width", &width))
        return NIB_TPL_ERROR;
    if (width < 1)
        return nib_tpl_fail(r, "wordwrap: the width must be at least 1");
    w.width = (size_t)width;
    w.break_long = a[1].kind == V_MISSING || nib_tpl_truth(a[1]);
    w.on_hyphens = a[3].kind == V_MISSING || nib_tpl_truth(a[3]);
    const struct list *lines = nib_tpl_split_lines(r, v.u.s, false);
    const size_t mark = r->out.len;
    for (size_t i = 0; lines && i < lines->n && !r->failed; i++) {
        if (i)
            nib_tpl_put(r, w.newline->data, w.newline->len);
        wrap_paragraph(&w, lines->items[i].u.s);
    }
    return nib_tpl_take(r, mark);
}

/* ---- URLs and HTML -------------------------------------------------------------------------- */

static void put_url(struct render *r, const struct string *s, bool is_query)
{
    static const char hex[] = "0123456789ABCDEF";
    nib_tpl_charge_bytes(r, s->len);
    for (size_t i = 0; i < s->len && !r->failed; i++) {
        const unsigned char c = (unsigned char)s->data[i];
        const bool is_plain = (c < 0x80 && nib_tpl_is_alpha(c)) || (c >= '0' && c <= '9') ||
                              (c && strchr("_.-~", c)) || (c == '/' && !is_query);
        if (is_plain) {
            nib_tpl_put(r, &s->data[i], 1);
        } else if (c == ' ' && is_query) {
            nib_tpl_put(r, "+", 1);
        } else {
            const char escape[3] = {'%', hex[c >> 4], hex[c & 15]};
            nib_tpl_put(r, escape, 3);
        }
    }
}

/* A string, or the pairs of a mapping or list as a query. */
static struct value filter_urlencode(struct render *r, struct value v, const struct args *args)
{
    (void)args;
    const size_t mark = r->out.len;
    if (v.kind == V_STRING || !nib_tpl_is_iterable(v)) {
        const struct string *s = text_of(r, v);
        if (!s)
            return NIB_TPL_ERROR;
        put_url(r, s, false);
        return nib_tpl_take(r, mark);
    }
    struct view view = {VIEW_ITEMS, v.u.dict};
    const struct value pairs =
        v.kind == V_DICT ? (struct value){.kind = V_VIEW, .u.view = &view} : v;
    const struct list *items = nib_tpl_items(r, pairs);
    for (size_t i = 0; items && i < items->n && !r->failed; i++) {
        const struct list *pair = nib_tpl_items(r, items->items[i]);
        if (!pair || pair->n != 2)
            return nib_tpl_fail(r, "urlencode: expected pairs");
        const struct string *key = text_of(r, pair->items[0]), *value = text_of(r, pair->items[1]);
        if (!key || !value)
            return NIB_TPL_ERROR;
        if (i)
            nib_tpl_put(r, "&", 1);
        put_url(r, key, true);
        nib_tpl_put(r, "=", 1);
        put_url(r, value, true);
    }
    return nib_tpl_take(r, mark);
}

/* One of the entities that escape() writes, or a number; gives its length, 0 for none. */
static size_t entity(struct nib_str s, int32_t *c)
{
    static const struct {
        const char *text;
        char c;
    } names[] = {{"&amp;", '&'},  {"&lt;", '<'},  {"&gt;", '>'},   {"&quot;", '"'},
                 {"&#39;", '\''}, {"&#34;", '"'}, {"&apos;", '\''}};
    for (size_t i = 0; i < NIB_COUNT(names); i++) {
        const size_t n = strlen(names[i].text);
        if (s.len >= n && memcmp(s.data, names[i].text, n) == 0) {
            *c = names[i].c;
            return n;
        }
    }
    return 0;
}

/* Text without comments and tags, runs of blanks as one, entities as what they stand for. */
static struct value filter_striptags(struct render *r, struct value v, const struct args *args)
{
    (void)args;
    const struct string *s = text_of(r, v);
    const size_t mark = r->out.len;
    if (!s)
        return NIB_TPL_ERROR;
    const char *p = s->data, *end = s->data + s->len;
    bool has_gap = false;
    while (p < end && !r->failed) {
        const bool is_comment = end - p >= 4 && memcmp(p, "<!--", 4) == 0;
        const char *close = NULL;
        if (is_comment)
            close = nib_tpl_find(p, (size_t)(end - p), "-->", 3);
        else if (*p == '<')
            close = memchr(p, '>', (size_t)(end - p));
        if (close) {
            p = close + (is_comment ? 3 : 1);
            continue;
        }
        size_t n;
        int32_t c = nib_tpl_decode(p, end, &n);
        if (nib_tpl_is_space(c)) {
            has_gap = true;
            p += n;
            continue;
        }
        if (has_gap && r->out.len > mark)
            nib_tpl_put(r, " ", 1);
        has_gap = false;
        const size_t n_entity = c == '&' ? entity((struct nib_str){p, (size_t)(end - p)}, &c) : 0;
        nib_tpl_put_char(r, c);
        p += n_entity ? n_entity : n;
    }
    return nib_tpl_take(r, mark);
}

const struct function nib_tpl_text_filters[] = {
    {"upper", filter_upper, .n_required = 0},
    {"lower", filter_lower, .n_required = 0},
    {"capitalize", filter_capitalize, .n_required = 0},
    {"title", filter_title, .n_required = 0},
    {"trim", filter_trim, .params = {"chars"}},
    {"replace", filter_replace, 2, .params = {"old", "new", "count"}},
    {"center", filter_center, .params = {"width"}},
    {"indent", filter_indent, .params = {"width", "first", "blank"}},
    {"truncate", filter_truncate, .params = {"length", "killwords", "end", "leeway"}},
    {"wordcount", filter_wordcount, .n_required = 0},
    {"wordwrap", filter_wordwrap,
     .params = {"width", "break_long_words", "wrapstring", "break_on_hyphens"}},
    {"urlencode", filter_urlencode, .n_required = 0},
    {"striptags", filter_striptags, .n_required = 0},
    {0},
};
