/* Methods of strings: cutting, searching, splitting, replacing, as Python has them, by code points.
 */
#include "template_ops.h"
#include "template_string.h"
#include "template_text.h"

/* ---- cutting off ---------------------------------------------------------------------------- */

static bool in_chars(const struct string *chars, const char *p, size_t n)
{
    return chars ? nib_tpl_find(chars->data, chars->len, p, n) != NULL
                 : nib_tpl_is_space(nib_tpl_decode(p, p + n, &n));
}

struct value nib_tpl_strip(struct render *r, const struct string *s, const struct string *chars,
                           enum strip_side side)
{
    const char *p = s->data, *end = s->data + s->len;
    if (chars)
        nib_tpl_charge(r, chars->len > 64 ? s->n_chars / 8 * (chars->len / 64) : 0);
    if (r->failed)
        return NIB_TPL_ERROR;
    for (size_t n; (side & STRIP_LEFT) && p < end; p += n) {
        nib_tpl_decode(p, end, &n);
        if (!in_chars(chars, p, n))
            break;
    }
    while ((side & STRIP_RIGHT) && p < end) {
        const char *last = nib_tpl_previous_char(p, end);
        if (!in_chars(chars, last, (size_t)(end - last)))
            break;
        end = last;
    }
    return nib_tpl_string_ref(r, p, (size_t)(end - p));
}

/* A string argument, or NULL for None and nothing; false: neither. */
static bool optional_string(struct render *r, struct value v, const struct string **out)
{
    *out = v.kind == V_STRING ? v.u.s : NULL;
    if (v.kind == V_STRING || v.kind == V_NONE || v.kind == V_MISSING)
        return true;
    nib_tpl_fail(r, "expected a string or none, not '%s'", nib_tpl_type_name(v));
    return false;
}

static bool string_arg(struct render *r, struct value v, const struct string **out)
{
    *out = v.u.s;
    if (v.kind == V_STRING)
        return nib_tpl_charge_bytes(r, v.u.s->len);
    nib_tpl_fail(r, "expected a string, not '%s'", nib_tpl_type_name(v));
    return false;
}

static struct value strip(struct render *r, struct value self, const struct args *args,
                          enum strip_side side)
{
    const struct string *chars;
    if (!optional_string(r, args->items[0], &chars))
        return NIB_TPL_ERROR;
    return nib_tpl_strip(r, self.u.s, chars, side);
}

static struct value str_strip(struct render *r, struct value self, const struct args *args)
{
    return strip(r, self, args, STRIP_LEFT | STRIP_RIGHT);
}

static struct value str_lstrip(struct render *r, struct value self, const struct args *args)
{
    return strip(r, self, args, STRIP_LEFT);
}

static struct value str_rstrip(struct render *r, struct value self, const struct args *args)
{
    return strip(r, self, args, STRIP_RIGHT);
}

static bool begins(struct nib_str s, const struct string *with)
{
    return s.len >= with->len && memcmp(s.data, with->data, with->len) == 0;
}

static bool ends(struct nib_str s, const struct string *with)
{
    return s.len >= with->len && memcmp(s.data + (s.len - with->len), with->data, with->len) == 0;
}

static struct value str_removeprefix(struct render *r, struct value self, const struct args *args)
{
    const struct string *s = self.u.s, *prefix;
    if (!string_arg(r, args->items[0], &prefix))
        return NIB_TPL_ERROR;
    if (!begins((struct nib_str){s->data, s->len}, prefix))
        return self;
    return nib_tpl_string_ref(r, s->data + prefix->len, s->len - prefix->len);
}

static struct value str_removesuffix(struct render *r, struct value self, const struct args *args)
{
    const struct string *s = self.u.s, *suffix;
    if (!string_arg(r, args->items[0], &suffix))
        return NIB_TPL_ERROR;
    if (!ends((struct nib_str){s->data, s->len}, suffix))
        return self;
    return nib_tpl_string_ref(r, s->data, s->len - suffix->len);
}

/* ---- searching ------------------------------------------------------------------------------ */

/* The part of the string that optional start and end (in characters) leave; false: nothing, not
 * even the empty string, can be found there, or failed. */
static bool part(struct render *r, const struct string *s, struct value start, struct value stop,
                 struct nib_str *out, size_t *first_char)
{
    const int64_t length = (int64_t)s->n_chars;
    int64_t bound[2] = {0, length};
    const struct value given[2] = {start, stop};
    for (int i = 0; i < 2; i++) {
        if (given[i].kind == V_MISSING || given[i].kind == V_NONE)
            continue;
        if (!nib_tpl_to_int(r, given[i], "a position in a string", &bound[i]))
            return false;
        if (bound[i] < 0)
            bound[i] = bound[i] < -length ? 0 : bound[i] + length;
    }
    if (bound[1] > length)
        bound[1] = length;
    if (bound[0] > bound[1])
        return false;
    const size_t from = nib_tpl_char_offset(s->data, s->len, (size_t)bound[0]);
    const size_t len =
        nib_tpl_char_offset(s->data + from, s->len - from, (size_t)(bound[1] - bound[0]));
    *out = (struct nib_str){s->data + from, len};
    *first_char = (size_t)bound[0];
    return true;
}

static struct value find(struct render *r, struct value self, const struct args *args, bool is_last,
                         bool must_be_there)
{
    const struct string *needle;
    struct nib_str in;
    size_t first;
    if (!string_arg(r, args->items[0], &needle))
        return NIB_TPL_ERROR;
    const char *p = NULL;
    if (part(r, self.u.s, args->items[1], args->items[2], &in, &first)) {
        if (needle->len == 0)
            p = is_last ? in.data + in.len : in.data;
        else
            p = (is_last ? nib_tpl_find_last : nib_tpl_find)(in.data, in.len, needle->data,
                                                             needle->len);
    }
    if (r->failed)
        return NIB_TPL_ERROR;
    if (p)
        return nib_tpl_int((int64_t)(first + nib_tpl_count_chars(in.data, (size_t)(p - in.data))));
    return must_be_there ? nib_tpl_fail(r, "substring not found") : nib_tpl_int(-1);
}

static struct value str_find(struct render *r, struct value self, const struct args *args)
{
    return find(r, self, args, false, false);
}

static struct value str_rfind(struct render *r, struct value self, const struct args *args)
{
    return find(r, self, args, true, false);
}

static struct value str_index(struct render *r, struct value self, const struct args *args)
{
    return find(r, self, args, false, true);
}

static struct value str_rindex(struct render *r, struct value self, const struct args *args)
{
    return find(r, self, args, true, true);
}

static struct value str_count(struct render *r, struct value self, const struct args *args)
{
    const struct string *needle;
    struct nib_str in;
    size_t first;
    if (!string_arg(r, args->items[0], &needle))
        return NIB_TPL_ERROR;
    if (!part(r, self.u.s, args->items[1], args->items[2], &in, &first))
        return r->failed ? NIB_TPL_ERROR : nib_tpl_int(0);
    if (needle->len == 0)
        return nib_tpl_int((int64_t)nib_tpl_count_chars(in.data, in.len) + 1);
    int64_t n = 0;
    const char *end = in.data + in.len;
    for (const char *p = in.data;
         (p = nib_tpl_find(p, (size_t)(end - p), needle->data, needle->len)); p += needle->len)
        n++;
    return nib_tpl_int(n);
}

/* startswith and endswith: one string or a tuple of them. */
static struct value has_end(struct render *r, struct value self, const struct args *args,
                            bool (*test)(struct nib_str s, const struct string *with))
{
    const struct value with = args->items[0];
    struct list one = {.items = (struct value *)&with, .n = 1};
    const struct list *all = with.kind == V_TUPLE ? with.u.list : &one;
    struct nib_str in;
    size_t first;
    const bool is_there = part(r, self.u.s, args->items[1], args->items[2], &in, &first);
    for (size_t i = 0; i < all->n; i++) {
        const struct string *s;
        if (!string_arg(r, all->items[i], &s))
            return NIB_TPL_ERROR;
        if (is_there && test(in, s))
            return nib_tpl_bool(true);
    }
    return r->failed ? NIB_TPL_ERROR : nib_tpl_bool(false);
}

static struct value str_startswith(struct render *r, struct value self, const struct args *args)
{
    return has_end(r, self, args, begins);
}

static struct value str_endswith(struct render *r, struct value self, const struct args *args)
{
    return has_end(r, self, args, ends);
}

/* ---- splitting and joining ------------------------------------------------------------------ */

static bool add_part(struct render *r, struct list *list, const char *begin, const char *end)
{
    return nib_tpl_list_add(r, list, nib_tpl_string_ref(r, begin, (size_t)(end - begin)));
}

static void split_at(struct render *r, struct list *list, const struct string *s,
                     const struct string *separator, int64_t max)
{
    const char *p = s->data, *end = s->data + s->len, *next;
    while (max-- != 0 &&
           (next = nib_tpl_find(p, (size_t)(end - p), separator->data, separator->len))) {
        if (!add_part(r, list, p, next))
            return;
        p = next + separator->len;
    }
    add_part(r, list, p, end);
}

static void split_blanks(struct render *r, struct list *list, const struct string *s, int64_t max)
{
    const char *p = s->data, *end = s->data + s->len;
    for (size_t n;;) {
        while (p < end && nib_tpl_is_space(nib_tpl_decode(p, end, &n)))
            p += n;
        if (p == end)
            return;
        const char *word = p;
        if (max-- == 0)
            p = end;
        while (p < end && !nib_tpl_is_space(nib_tpl_decode(p, end, &n)))
            p += n;
        if (!add_part(r, list, word, p))
            return;
    }
}

static void reverse(struct list *list)
{
    for (size_t i = 0; i < list->n / 2; i++) {
        const struct value v = list->items[i];
        list->items[i] = list->items[list->n - 1 - i];
        list->items[list->n - 1 - i] = v;
    }
}

static void rsplit_at(struct render *r, struct list *list, const struct string *s,
                      const struct string *separator, int64_t max)
{
    const char *begin = s->data, *end = s->data + s->len, *p;
    while (max-- != 0 &&
           (p = nib_tpl_find_last(begin, (size_t)(end - begin), separator->data, separator->len))) {
        /* Reading backwards costs this search its hash of the separator again. */
        if (!nib_tpl_charge_bytes(r, separator->len) || !add_part(r, list, p + separator->len, end))
            return;
        end = p;
    }
    add_part(r, list, begin, end);
}

static void rsplit_blanks(struct render *r, struct list *list, const struct string *s, int64_t max)
{
    const char *begin = s->data, *end = s->data + s->len, *p;
    size_t n;
    for (;;) {
        while (end > begin &&
               nib_tpl_is_space(nib_tpl_decode(p = nib_tpl_previous_char(begin, end), end, &n)))
            end = p;
        if (end == begin)
            return;
        const char *word = end;
        if (max-- == 0)
            word = begin;
        while (word > begin &&
               !nib_tpl_is_space(nib_tpl_decode(p = nib_tpl_previous_char(begin, word), end, &n)))
            word = p;
        if (!add_part(r, list, word, end))
            return;
        end = word;
    }
}

static struct value split(struct render *r, struct value self, const struct args *args,
                          bool is_reverse)
{
    const struct string *separator;
    int64_t max = -1;
    if (!optional_string(r, args->items[0], &separator) ||
        (args->items[1].kind != V_MISSING && !nib_tpl_to_int(r, args->items[1], "maxsplit", &max)))
        return NIB_TPL_ERROR;
    if (separator && separator->len == 0)
        return nib_tpl_fail(r, "split() needs a separator that is not empty");
    struct list *list = nib_tpl_list_new(r, 0);
    if (!list)
        return NIB_TPL_ERROR;
    if (is_reverse) {
        if (separator)
            rsplit_at(r, list, self.u.s, separator, max);
        else
            rsplit_blanks(r, list, self.u.s, max);
        reverse(list);
    } else if (separator) {
        split_at(r, list, self.u.s, separator, max);
    } else {
        split_blanks(r, list, self.u.s, max);
    }
    return r->failed ? NIB_TPL_ERROR : nib_tpl_list_value(list);
}

static struct value str_split(struct render *r, struct value self, const struct args *args)
{
    return split(r, self, args, false);
}

static struct value str_rsplit(struct render *r, struct value self, const struct args *args)
{
    return split(r, self, args, true);
}

struct list *nib_tpl_split_lines(struct render *r, const struct string *s, bool keep_ends)
{
    struct list *list = nib_tpl_list_new(r, 0);
    const char *p = s->data, *end = s->data + s->len;
    while (list && p < end) {
        const char *line = p, *line_end;
        size_t n = 0;
        while (p < end && !nib_tpl_is_line_end(nib_tpl_decode(p, end, &n)))
            p += n;
        line_end = p;
        if (p < end)
            p += *p == '\r' && p + 1 < end && p[1] == '\n' ? 2 : n;
        if (!add_part(r, list, line, keep_ends ? p : line_end))
            return NULL;
    }
    return list;
}

static struct value str_splitlines(struct render *r, struct value self, const struct args *args)
{
    return nib_tpl_list_value(nib_tpl_split_lines(r, self.u.s, nib_tpl_truth(args->items[0])));
}

static struct value partition(struct render *r, struct value self, const struct args *args,
                              bool is_last)
{
    const struct string *s = self.u.s, *separator;
    if (!string_arg(r, args->items[0], &separator))
        return NIB_TPL_ERROR;
    if (separator->len == 0)
        return nib_tpl_fail(r, "partition() needs a separator that is not empty");
    const char *p = (is_last ? nib_tpl_find_last : nib_tpl_find)(s->data, s->len, separator->data,
                                                                 separator->len);
    struct list *list = nib_tpl_list_new(r, 3);
    if (!list)
        return NIB_TPL_ERROR;
    const char *end = s->data + s->len;
    if (p) {
        add_part(r, list, s->data, p);
        add_part(r, list, p, p + separator->len);
        add_part(r, list, p + separator->len, end);
    } else {
        add_part(r, list, s->data, is_last ? s->data : end);
        add_part(r, list, end, end);
        add_part(r, list, is_last ? s->data : end, end);
    }
    return r->failed ? NIB_TPL_ERROR : nib_tpl_tuple_value(list);
}

static struct value str_partition(struct render *r, struct value self, const struct args *args)
{
    return partition(r, self, args, false);
}

static struct value str_rpartition(struct render *r, struct value self, const struct args *args)
{
    return partition(r, self, args, true);
}

static struct value str_join(struct render *r, struct value self, const struct args *args)
{
    const struct list *items = nib_tpl_items(r, args->items[0]);
    const size_t mark = r->out.len;
    for (size_t i = 0; items && i < items->n; i++) {
        if (items->items[i].kind != V_STRING)
            return nib_tpl_fail(r, "join() expects strings, item %zu is '%s'", i,
                                nib_tpl_type_name(items->items[i]));
        if (i)
            nib_tpl_put_str(r, self);
        nib_tpl_put_str(r, items->items[i]);
    }
    return nib_tpl_take(r, mark);
}

struct value nib_tpl_replace(struct render *r, const struct string *s, const struct string *old,
                             const struct string *new, int64_t count)
{
    const char *p = s->data, *end = s->data + s->len;
    const size_t mark = r->out.len;
    if (old->len == 0) {
        /* Before every character and at the end. */
        for (size_t n; count-- != 0 && !r->failed; p += n) {
            nib_tpl_put(r, new->data, new->len);
            if (p == end)
                break;
            nib_tpl_decode(p, end, &n);
            nib_tpl_put(r, p, n);
        }
        nib_tpl_put(r, p, (size_t)(end - p));
        return nib_tpl_take(r, mark);
    }
    for (const char *next; count-- != 0 && !r->failed &&
                           (next = nib_tpl_find(p, (size_t)(end - p), old->data, old->len));
         p = next + old->len) {
        nib_tpl_put(r, p, (size_t)(next - p));
        nib_tpl_put(r, new->data, new->len);
    }
    nib_tpl_put(r, p, (size_t)(end - p));
    return nib_tpl_take(r, mark);
}

static struct value str_replace(struct render *r, struct value self, const struct args *args)
{
    const struct string *old, *new;
    int64_t count = -1;
    if (!string_arg(r, args->items[0], &old) || !string_arg(r, args->items[1], &new) ||
        (args->items[2].kind != V_MISSING && !nib_tpl_to_int(r, args->items[2], "count", &count)))
        return NIB_TPL_ERROR;
    return nib_tpl_replace(r, self.u.s, old, new, count);
}

/* ---- all of them ---------------------------------------------------------------------------- */

static struct value str_format(struct render *r, struct value self, const struct args *args)
{
    return nib_tpl_format(r, self.u.s, args);
}

/* format(**mapping) */
static struct value str_format_map(struct render *r, struct value self, const struct args *args)
{
    if (args->items[0].kind != V_DICT)
        return nib_tpl_fail(r, "format_map() needs a mapping");
    const struct dict *dict = args->items[0].u.dict;
    struct args all = {.keywords = nib_tpl_alloc_array(r, dict->n + 1, sizeof *all.keywords)};
    for (size_t i = 0; all.keywords && i < dict->n; i++) {
        if (dict->entries[i].key.kind == V_STRING)
            all.keywords[all.n_keywords++] =
                (struct keyword){dict->entries[i].key.u.s, dict->entries[i].value};
    }
    return all.keywords ? nib_tpl_format(r, self.u.s, &all) : NIB_TPL_ERROR;
}

const struct function nib_tpl_string_methods[] = {
    {"format_map", str_format_map, 1, .params = {"-"}},
    {"strip", str_strip, .params = {"-"}},
    {"lstrip", str_lstrip, .params = {"-"}},
    {"rstrip", str_rstrip, .params = {"-"}},
    {"removeprefix", str_removeprefix, 1, .params = {"-"}},
    {"removesuffix", str_removesuffix, 1, .params = {"-"}},
    {"find", str_find, 1, .params = {"-", "-", "-"}},
    {"rfind", str_rfind, 1, .params = {"-", "-", "-"}},
    {"index", str_index, 1, .params = {"-", "-", "-"}},
    {"rindex", str_rindex, 1, .params = {"-", "-", "-"}},
    {"count", str_count, 1, .params = {"-", "-", "-"}},
    {"startswith", str_startswith, 1, .params = {"-", "-", "-"}},
    {"endswith", str_endswith, 1, .params = {"-", "-", "-"}},
    {"split", str_split, .params = {"sep", "maxsplit"}},
    {"rsplit", str_rsplit, .params = {"sep", "maxsplit"}},
    {"splitlines", str_splitlines, .params = {"keepends"}},
    {"partition", str_partition, 1, .params = {"-"}},
    {"rpartition", str_rpartition, 1, .params = {"-"}},
    {"join", str_join, 1, .params = {"-"}},
    {"replace", str_replace, 2, .params = {"-", "-", "-"}},
    {"format", str_format, .is_variadic = true},
    {0},
};
