/*
 * Unicode's normalisation forms (UAX #15) in time n log n: utf8proc decomposes and composes
 * characters; marks are put in order here, as a text may be all marks.
 */
#include "hf_normalizer.h"

#include <stdlib.h>
#include <utf8proc.h>

/* A character and its class; order of sorting: class, then place. */
struct mark {
    int32_t character;
    uint32_t place;
    int32_t combining_class;
};

static int32_t class_of(int32_t c)
{
    return c < 0x300 ? 0 : utf8proc_get_property(c)->combining_class;
}

static enum nib_status reserve(struct nib_hf_work *work, size_t n, struct nib_error *err)
{
    if (n <= work->characters_capacity)
        return NIB_OK;
    const size_t capacity = n + n / 2 + 256;
    int32_t *characters = realloc(work->characters, capacity * sizeof(*characters));
    if (characters == NULL)
        return nib_fail_memory(err, capacity * sizeof(*characters), "normalising text");
    work->characters = characters;
    work->characters_capacity = capacity;
    return NIB_OK;
}

/*
 * Characters younger than the tables of the tokenizers library (Unicode 9), which leaves them as
 * they are.
 */
static bool is_too_young(uint32_t c)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {{0x32FF, 0x32FF},   {0xA7F2, 0xA7F4},   {0xAB69, 0xAB69},   {0x10781, 0x107BA},
                  {0x11938, 0x11938}, {0x1E030, 0x1E06D}, {0x1F16C, 0x1F16C}, {0x1FBF0, 0x1FBF9}};
    for (size_t i = 0; i < NIB_COUNT(ranges); i++)
        if (c >= ranges[i].first && c <= ranges[i].last)
            return true;
    return false;
}

/* Into work->characters; *n_origin of them come of the text's n_origin bytes. */
static enum nib_status decompose(enum nib_hf_form form, struct nib_hf_work *work,
                                 const struct nib_hf_text *in, size_t *n_out, size_t *n_origin,
                                 struct nib_error *err)
{
    const struct nib_str text = {in->bytes.data, in->bytes.n};
    const int options =
        UTF8PROC_DECOMPOSE | (form == NIB_HF_NFKC || form == NIB_HF_NFKD ? UTF8PROC_COMPAT : 0);
    size_t n = 0;
    *n_origin = 0;
    for (size_t i = 0; i < text.len;) {
        enum nib_status status = reserve(work, n + 32, err);
        if (status != NIB_OK)
            return status;
        const bool is_origin = i < in->n_origin;
        const uint32_t c = nib_hf_next(text, &i);
        if (c < 0x80 || (c >= 0x32FF && is_too_young(c))) {
            work->characters[n++] = (int32_t)c;
        } else {
            int boundary = 0;
            const utf8proc_ssize_t made =
                utf8proc_decompose_char((int32_t)c, work->characters + n, 32, options, &boundary);
            if (made < 0 || made > 32)
                return nib_fail(err, NIB_ERROR_ARGUMENT,
                                "utf8proc cannot decompose U+%04X (error %d); pass other text",
                                (unsigned)c, (int)made);
            n += (size_t)made;
        }
        if (is_origin)
            *n_origin = n;
    }
    *n_out = n;
    return NIB_OK;
}

static int compare_marks(const void *a, const void *b)
{
    const struct mark *x = a, *y = b;
    if (x->combining_class != y->combining_class)
        return x->combining_class < y->combining_class ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

static bool is_sorted(const int32_t *characters, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (class_of(characters[i]) < class_of(characters[i - 1]))
            return false;
    return true;
}

/* Put each run of marks in the order of their classes. */
static enum nib_status sort_marks(struct nib_hf_work *work, size_t n, struct nib_error *err)
{
    int32_t *c = work->characters;
    for (size_t i = 0, end; i < n; i = end) {
        end = i + 1;
        if (class_of(c[i]) == 0)
            continue;
        while (end < n && class_of(c[end]) != 0)
            end++;
        if (is_sorted(c + i, end - i))
            continue;
        struct mark *marks = malloc((end - i) * sizeof(*marks));
        if (marks == NULL)
            return nib_fail_memory(err, (end - i) * sizeof(*marks), "normalising text");
        for (size_t k = i; k < end; k++)
            marks[k - i] = (struct mark){c[k], (uint32_t)(k - i), class_of(c[k])};
        qsort(marks, end - i, sizeof(*marks), compare_marks);
        for (size_t k = i; k < end; k++)
            c[k] = marks[k - i].character;
        free(marks);
    }
    return NIB_OK;
}

enum nib_status nib_hf_unicode_form(enum nib_hf_form form, struct nib_hf_work *work,
                                    const struct nib_hf_text *in, struct nib_hf_text *out,
                                    struct nib_error *err)
{
    size_t n = 0, n_origin = 0;
    enum nib_status status = decompose(form, work, in, &n, &n_origin, err);
    if (status == NIB_OK)
        status = sort_marks(work, n, err);
    if (status != NIB_OK)
        return status;
    if (form == NIB_HF_NFC || form == NIB_HF_NFKC) {
        const utf8proc_ssize_t composed = utf8proc_normalize_utf32(
            work->characters, (utf8proc_ssize_t)n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        n = composed < 0 ? n : (size_t)composed;
    }
    out->n_origin = 0;
    for (size_t i = 0; i < n; i++) {
        char bytes[4];
        const size_t len = nib_hf_put(bytes, (uint32_t)work->characters[i]);
        status = nib_hf_append(work, &out->bytes, bytes, len, err);
        if (status != NIB_OK)
            return status;
        if (i < n_origin)
            out->n_origin = out->bytes.n;
    }
    return NIB_OK;
}

size_t nib_hf_lower(uint32_t character, uint32_t out[2])
{
    if (character < 0x80) {
        out[0] = character + (character >= 'A' && character <= 'Z' ? 32 : 0);
        return 1;
    }
    if (character == 0x130) { /* the only one that becomes two */
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    out[0] = (uint32_t)utf8proc_tolower((int32_t)character);
    return 1;
}

bool nib_hf_is_word(uint32_t c)
{
    if (c < 0x80)
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               c == '_';
    switch (utf8proc_category((int32_t)c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default: /* symbols that are letters in circles and squares, joiners */
        return (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
               (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189) || c == 0x200C ||
               c == 0x200D;
    }
}

bool nib_hf_base64(struct nib_str text, uint8_t **data, size_t *n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    int8_t value[256];
    memset(value, -1, sizeof(value));
    for (int i = 0; i < 64; i++)
        value[(uint8_t)digits[i]] = (int8_t)i;
    size_t len = text.len;
    while (len > 0 && text.len - len < 2 && text.data[len - 1] == '=')
        len--;
    *data = malloc(text.len / 4 * 3 + 3);
    *n = 0;
    if (*data == NULL || text.len % 4 != 0)
        return false;
    uint32_t bits = 0;
    for (size_t i = 0; i < len; i++) {
        const int v = value[(uint8_t)text.data[i]];
        if (v < 0)
            return false;
        bits = bits << 6 | (uint32_t)v;
        if (i % 4 == 1)
            (*data)[(*n)++] = (uint8_t)(bits >> 4);
        else if (i % 4 == 2)
            (*data)[(*n)++] = (uint8_t)(bits >> 2);
        else if (i % 4 == 3)
            (*data)[(*n)++] = (uint8_t)bits;
    }
    return true;
}
