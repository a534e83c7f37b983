/* Arithmetic, and numbers from text. */
#include "template_ops.h"
#include "template_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <yyjson.h>

/* ---- operators ------------------------------------------------------------------------------ */

static int64_t int_of(struct value v)
{
    return v.kind == V_BOOL ? v.u.b : v.u.i;
}

static double float_of(struct value v)
{
    return v.kind == V_FLOAT ? v.u.d : (double)int_of(v);
}

static const char *symbol(enum binary_op op)
{
    static const char *const symbols[] = {"+", "-", "*", "/", "//", "%", "**"};
    return symbols[op];
}

static struct value fail_operands(struct render *r, enum binary_op op, struct value a,
                                  struct value b)
{
    if (a.kind == V_UNDEFINED)
        return nib_tpl_undefined_error(r, a);
    if (b.kind == V_UNDEFINED)
        return nib_tpl_undefined_error(r, b);
    if (op == OP_ADD && (a.kind == V_STRING || a.kind == V_LIST || a.kind == V_TUPLE))
        return nib_tpl_fail(r, "can only concatenate %s (not '%s') to %s", nib_tpl_type_name(a),
                            nib_tpl_type_name(b), nib_tpl_type_name(a));
    return nib_tpl_fail(r, "unsupported operands for %s: '%s' and '%s'", symbol(op),
                        nib_tpl_type_name(a), nib_tpl_type_name(b));
}

static struct value fail_overflow(struct render *r)
{
    return nib_tpl_fail(r, "an integer grows beyond 64 bits");
}

static struct value fail_zero(struct render *r)
{
    return nib_tpl_fail(r, "division by zero");
}

/* Division that rounds down, as Python's does; b is not 0, and not -1. */
static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static struct value int_pow(struct render *r, int64_t base, int64_t exponent)
{
    int64_t result = 1;
    while (exponent > 0) {
        if ((exponent & 1) && __builtin_mul_overflow(result, base, &result))
            return fail_overflow(r);
        exponent >>= 1;
        if (exponent > 0 && __builtin_mul_overflow(base, base, &base))
            return fail_overflow(r);
    }
    return nib_tpl_int(result);
}

static struct value float_pow(struct render *r, double a, double b)
{
    if (a == 0 && b < 0)
        return fail_zero(r);
    const double d = pow(a, b);
    if ((isnan(d) && !isnan(a) && !isnan(b)) || (isinf(d) && !isinf(a) && !isinf(b)))
        return nib_tpl_fail(r, "the result of ** is not a real number or too large");
    return nib_tpl_float(d);
}

static struct value int_binary(struct render *r, enum binary_op op, int64_t a, int64_t b)
{
    int64_t result;
    if ((op == OP_DIV || op == OP_FLOORDIV || op == OP_MOD) && b == 0)
        return fail_zero(r);
    switch (op) {
    case OP_ADD:
        return __builtin_add_overflow(a, b, &result) ? fail_overflow(r) : nib_tpl_int(result);
    case OP_SUB:
        return __builtin_sub_overflow(a, b, &result) ? fail_overflow(r) : nib_tpl_int(result);
    case OP_MUL:
        return __builtin_mul_overflow(a, b, &result) ? fail_overflow(r) : nib_tpl_int(result);
    case OP_DIV:
        return nib_tpl_float((double)a / (double)b);
    case OP_FLOORDIV:
        if (b == -1)
            return int_binary(r, OP_SUB, 0, a);
        return nib_tpl_int(floor_div(a, b));
    case OP_MOD:
        return nib_tpl_int(b == -1 ? 0 : a - floor_div(a, b) * b);
    default:
        return b < 0 ? float_pow(r, (double)a, (double)b) : int_pow(r, a, b);
    }
}

static struct value float_binary(struct render *r, enum binary_op op, double a, double b)
{
    if ((op == OP_DIV || op == OP_FLOORDIV || op == OP_MOD) && b == 0)
        return fail_zero(r);
    double rest;
    switch (op) {
    case OP_ADD:
        return nib_tpl_float(a + b);
    case OP_SUB:
        return nib_tpl_float(a - b);
    case OP_MUL:
        return nib_tpl_float(a * b);
    case OP_DIV:
        return nib_tpl_float(a / b);
    case OP_FLOORDIV:
    case OP_MOD:
        rest = fmod(a, b);
        if (rest != 0 && (b < 0) != (rest < 0))
            rest += b;
        if (op == OP_MOD)
            return nib_tpl_float(rest != 0 ? rest : copysign(0, b));
        rest = (a - rest) / b;
        return nib_tpl_float(rest != 0 ? floor(rest + 0.5) : copysign(0, a / b));
    default:
        return float_pow(r, a, b);
    }
}

static struct value add_strings(struct render *r, struct value a, struct value b)
{
    const bool safe = a.safe || b.safe;
    if (safe) {
        a = nib_tpl_escape(r, a);
        b = nib_tpl_escape(r, b);
        if (r->failed)
            return NIB_TPL_ERROR;
    }
    struct value sum = nib_tpl_concat(r, a.u.s, b.u.s);
    sum.safe = safe;
    return sum;
}

static struct value add_lists(struct render *r, struct value a, struct value b)
{
    struct list *sum = nib_tpl_list_new(r, a.u.list->n + b.u.list->n);
    if (!sum)
        return NIB_TPL_ERROR;
    if (a.u.list->n)
        memcpy(sum->items, a.u.list->items, a.u.list->n * sizeof *sum->items);
    if (b.u.list->n)
        memcpy(sum->items + a.u.list->n, b.u.list->items, b.u.list->n * sizeof *sum->items);
    sum->n = a.u.list->n + b.u.list->n;
    return (struct value){.kind = a.kind, .u.list = sum};
}

static struct value repeat(struct render *r, struct value v, int64_t times)
{
    const size_t n = times > 0 ? (size_t)times : 0;
    if (v.kind == V_STRING) {
        const struct string *s = v.u.s;
        if (n > 0 && s->len > 0 && n > r->arena.max_bytes / s->len)
            return nib_tpl_fail(r, "a string repeated %zu times is too large", n);
        const size_t mark = r->out.len;
        for (size_t i = 0; s->len > 0 && i < n && !r->failed; i++)
            nib_tpl_put(r, s->data, s->len);
        struct value result = nib_tpl_take(r, mark);
        result.safe = v.safe;
        return result;
    }
    const struct list *list = v.u.list;
    if (n > 0 && list->n > 0 && n > r->arena.max_bytes / list->n)
        return nib_tpl_fail(r, "a list repeated %zu times is too large", n);
    struct list *result = nib_tpl_list_new(r, n * list->n);
    for (size_t i = 0; result && list->n > 0 && i < n; i++, result->n += list->n)
        memcpy(result->items + result->n, list->items, list->n * sizeof *list->items);
    return result ? (struct value){.kind = v.kind, .u.list = result} : NIB_TPL_ERROR;
}

static bool is_sequence(struct value v)
{
    return v.kind == V_STRING || v.kind == V_LIST || v.kind == V_TUPLE;
}

static bool is_int(struct value v)
{
    return v.kind == V_INT || v.kind == V_BOOL;
}

struct value nib_tpl_binary(struct render *r, enum binary_op op, struct value a, struct value b)
{
    if (a.kind == V_ERROR || b.kind == V_ERROR)
        return NIB_TPL_ERROR;
    if (is_int(a) && is_int(b))
        return int_binary(r, op, int_of(a), int_of(b));
    if (nib_tpl_is_number(a) && nib_tpl_is_number(b))
        return float_binary(r, op, float_of(a), float_of(b));
    if (op == OP_ADD && a.kind == V_STRING && b.kind == V_STRING)
        return add_strings(r, a, b);
    if (op == OP_ADD && a.kind == b.kind && (a.kind == V_LIST || a.kind == V_TUPLE))
        return add_lists(r, a, b);
    if (op == OP_MUL && is_sequence(a) && is_int(b))
        return repeat(r, a, int_of(b));
    if (op == OP_MUL && is_int(a) && is_sequence(b))
        return repeat(r, b, int_of(a));
    if (op == OP_MOD && a.kind == V_STRING)
        return nib_tpl_percent(r, a.u.s, b);
    return fail_operands(r, op, a, b);
}

struct value nib_tpl_negate(struct render *r, struct value v)
{
    if (is_int(v))
        return int_binary(r, OP_SUB, 0, int_of(v));
    if (v.kind == V_FLOAT)
        return nib_tpl_float(-v.u.d);
    if (v.kind == V_UNDEFINED)
        return nib_tpl_undefined_error(r, v);
    return nib_tpl_fail(r, "unsupported operand for unary -: '%s'", nib_tpl_type_name(v));
}

struct value nib_tpl_plus(struct render *r, struct value v)
{
    if (is_int(v))
        return nib_tpl_int(int_of(v));
    if (v.kind == V_FLOAT)
        return v;
    if (v.kind == V_UNDEFINED)
        return nib_tpl_undefined_error(r, v);
    return nib_tpl_fail(r, "unsupported operand for unary +: '%s'", nib_tpl_type_name(v));
}

/* ---- numbers from text ---------------------------------------------------------------------- */

static struct nib_str strip(struct nib_str s)
{
    size_t n;
    while (s.len > 0 && nib_tpl_is_space(nib_tpl_decode(s.data, s.data + s.len, &n))) {
        s.data += n;
        s.len -= n;
    }
    while (s.len > 0) {
        const char *p = nib_tpl_previous_char(s.data, s.data + s.len);
        if (!nib_tpl_is_space(nib_tpl_decode(p, s.data + s.len, &n)))
            break;
        s.len = (size_t)(p - s.data);
    }
    return s;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'z' ? c - 'a' + 10 : 99;
}

/* Skip "0x" and the like where the base allows it; gives the base. */
static int skip_prefix(struct nib_str *s, int base)
{
    if (s->len > 2 && s->data[0] == '0') {
        const char c = (char)(s->data[1] | 0x20);
        const int prefix = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 0;
        if (prefix && (base == 0 || base == prefix)) {
            s->data += 2;
            s->len -= 2;
            if (s->data[0] == '_' && s->len > 1) {
                s->data++;
                s->len--;
            }
            return prefix;
        }
    }
    if (base != 0)
        return base;
    /* "012" is neither decimal nor octal; zeros alone are fine. */
    for (size_t i = 0; s->len > 1 && s->data[0] == '0' && i < s->len; i++) {
        if (s->data[i] != '0' && s->data[i] != '_')
            return 0;
    }
    return 10;
}

/* A decimal beyond 64 bits, as "-" and its digits. */
static bool big_int(struct render *r, struct nib_str digits, bool is_negative, struct value *out)
{
    const size_t mark = r->out.len;
    if (is_negative)
        nib_tpl_put(r, "-", 1);
    bool is_leading = true;
    for (size_t i = 0; i < digits.len; i++) {
        is_leading &= digits.data[i] == '0' || digits.data[i] == '_';
        if (!is_leading && digits.data[i] != '_')
            nib_tpl_put(r, &digits.data[i], 1);
    }
    *out = nib_tpl_take(r, mark);
    if (out->kind == V_ERROR)
        return false;
    out->kind = V_BIG;
    return true;
}

bool nib_tpl_parse_int(struct render *r, struct nib_str text, int base, struct value *out)
{
    enum { MAX_DIGITS = 4300 }; /* as in Python */
    struct nib_str s = strip(text);
    const bool is_negative = s.len > 0 && s.data[0] == '-';
    if (s.len > 0 && (s.data[0] == '-' || s.data[0] == '+')) {
        s.data++;
        s.len--;
    }
    base = skip_prefix(&s, base);
    if (s.len == 0 || s.len > MAX_DIGITS || base == 0)
        return false;
    int64_t n = 0;
    bool is_big = false, after_digit = false;
    for (size_t i = 0; i < s.len; i++) {
        const int digit = digit_of(s.data[i]);
        if (s.data[i] == '_' && after_digit && i + 1 < s.len) {
            after_digit = false;
            continue;
        }
        if (digit >= base)
            return false;
        after_digit = true;
        is_big = is_big || __builtin_mul_overflow(n, (int64_t)base, &n) ||
                 __builtin_sub_overflow(n, (int64_t)digit, &n);
    }
    /* Counted down from 0, as the least int64 has no positive counterpart. */
    if (is_big || (!is_negative && n == INT64_MIN))
        return base == 10 && big_int(r, s, is_negative, out);
    *out = nib_tpl_int(is_negative ? n : -n);
    return true;
}

static bool is_word(struct nib_str s, const char *word)
{
    if (s.len != strlen(word))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if ((s.data[i] | 0x20) != word[i])
            return false;
    }
    return true;
}

/* Digits into out, without leading zeros (but one) and "_"; false: malformed. */
static bool copy_digits(struct nib_str *s, char *out, size_t *n)
{
    const size_t begin = *n;
    bool after_digit = false;
    while (s->len > 0) {
        const char c = s->data[0];
        if (c >= '0' && c <= '9') {
            out[(*n)++] = c;
            after_digit = true;
        } else if (c != '_' || !after_digit || s->len < 2 || s->data[1] < '0' || s->data[1] > '9') {
            break;
        }
        s->data++;
        s->len--;
    }
    return *n > begin;
}

/* Written as JSON has it, then read by the JSON library: that knows no locale. */
bool nib_tpl_parse_float(struct nib_str text, double *out)
{
    char json[1100];
    size_t n = 0;
    struct nib_str s = strip(text);
    if (s.len == 0 || s.len > 1000)
        return false;
    const bool is_negative = s.data[0] == '-';
    if (s.data[0] == '-' || s.data[0] == '+') {
        s.data++;
        s.len--;
    }
    if (is_word(s, "inf") || is_word(s, "infinity") || is_word(s, "nan")) {
        *out = is_word(s, "nan") ? NAN : is_negative ? -INFINITY : INFINITY;
        return true;
    }
    while (s.len > 1 && s.data[0] == '0' && s.data[1] >= '0' && s.data[1] <= '9') {
        s.data++;
        s.len--;
    }
    const bool has_whole = copy_digits(&s, json, &n);
    if (!has_whole)
        json[n++] = '0';
    json[n++] = '.';
    bool has_fraction = false;
    if (s.len > 0 && s.data[0] == '.') {
        s.data++;
        s.len--;
        has_fraction = copy_digits(&s, json, &n);
    }
    if (!has_fraction)
        json[n++] = '0';
    if (s.len > 1 && (s.data[0] | 0x20) == 'e') {
        json[n++] = 'e';
        s.data++;
        s.len--;
        if (s.data[0] == '-' || s.data[0] == '+') {
            json[n++] = s.data[0];
            s.data++;
            s.len--;
        }
        if (!copy_digits(&s, json, &n))
            return false;
    }
    json[n] = '\0';
    yyjson_val value;
    if (s.len > 0 || (!has_whole && !has_fraction) ||
        !yyjson_read_number(json, &value, YYJSON_READ_ALLOW_INF_AND_NAN, NULL, NULL))
        return false;
    *out = yyjson_get_num(&value);
    if (is_negative)
        *out = -*out;
    return true;
}

struct value nib_tpl_int_of_float(struct render *r, double d)
{
    if (isnan(d) || isinf(d))
        return nib_tpl_fail(r, "cannot convert %s to an integer", isnan(d) ? "nan" : "infinity");
    if (d >= 0x1p63 || d < -0x1p63)
        return fail_overflow(r);
    return nib_tpl_int((int64_t)d);
}

/* The C library rounds the exact binary value, halves to even, when it prints: so does Python. */
double nib_tpl_round(double d, int64_t places)
{
    char text[800];
    if (isnan(d) || isinf(d) || d == 0 || places > 323)
        return d;
    if (places >= 0) {
        snprintf(text, sizeof text, "%.*f", (int)places, d);
        return strtod(text, NULL);
    }
    snprintf(text, sizeof text, "%.17e", d);
    const int64_t digits = atoi(strchr(text, 'e') + 1) + places;
    if (places < -308 || digits < -1)
        return copysign(0, d);
    if (digits == -1) {
        const double unit = pow(10, (double)-places);
        return fabs(d) > unit / 2 ? copysign(unit, d) : copysign(0, d);
    }
    snprintf(text, sizeof text, "%.*e", (int)digits, d);
    return strtod(text, NULL);
}
