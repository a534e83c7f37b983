/* Texts, splits and characters, see hf_text.h. */
#include "hf_text.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <utf8proc.h>

void nib_hf_work_free(struct nib_hf_work *work)
{
    free(work->text.bytes.data);
    free(work->other_text.bytes.data);
    free(work->splits.text.data);
    free(work->splits.data);
    free(work->other_splits.text.data);
    free(work->other_splits.data);
    free(work->characters);
    free(work->bytes.data);
    pcre2_match_data_free(work->match_data);
    pcre2_match_context_free(work->match_context);
    *work = (struct nib_hf_work){0};
}

enum nib_status nib_hf_append(struct nib_hf_work *work, struct nib_buffer *out, const char *bytes,
                              size_t n, struct nib_error *err)
{
    if (n > work->max_bytes || out->n > work->max_bytes - n)
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "the tokenizer's normalizer or pre-tokenizer makes more than %zu bytes of "
                        "this text, the most for its length; the tokenizer.json is damaged, or "
                        "pass the text in parts",
                        work->max_bytes);
    return nib_buffer_append(out, bytes, n) ? NIB_OK : nib_encode_no_memory(out->n + n, err);
}

enum nib_status nib_hf_push_split(struct nib_hf_splits *out, const struct nib_hf_split *split,
                                  struct nib_error *err)
{
    if (split->start == split->end && split->id < 0)
        return NIB_OK;
    if (out->n == out->capacity) {
        const size_t capacity = out->capacity + out->capacity / 2 + 64;
        struct nib_hf_split *data = realloc(out->data, capacity * sizeof(*data));
        if (data == NULL)
            return nib_fail_memory(err, capacity * sizeof(*data), "splitting text");
        out->data = data;
        out->capacity = capacity;
    }
    out->data[out->n++] = *split;
    return NIB_OK;
}

enum nib_status nib_hf_push_slice(struct nib_hf_splits *out, const struct nib_hf_split *from,
                                  size_t start, size_t end, struct nib_error *err)
{
    const size_t skipped = start - from->start;
    const bool is_at_origin = from->is_at_origin && skipped < from->n_origin;
    const struct nib_hf_split slice = {.start = start,
                                       .end = end,
                                       .n_origin = is_at_origin ? from->n_origin - skipped : 0,
                                       .is_at_origin = is_at_origin,
                                       .id = -1};
    return nib_hf_push_split(out, &slice, err);
}

size_t nib_hf_put(char out[4], uint32_t character)
{
    return (size_t)utf8proc_encode_char((utf8proc_int32_t)character, (utf8proc_uint8_t *)out);
}

bool nib_hf_is_space(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

static utf8proc_category_t category(uint32_t c)
{
    return utf8proc_category((utf8proc_int32_t)c);
}

bool nib_hf_is_number(uint32_t c)
{
    if (c < 0x80)
        return c >= '0' && c <= '9';
    const utf8proc_category_t k = category(c);
    return k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_NO;
}

bool nib_hf_is_punctuation(uint32_t c)
{
    if (c < 0x80)
        return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
               (c >= '{' && c <= '~');
    const utf8proc_category_t k = category(c);
    return k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO;
}

bool nib_hf_is_mark(uint32_t c)
{
    const utf8proc_category_t k = category(c);
    return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_MC || k == UTF8PROC_CATEGORY_ME;
}

bool nib_hf_is_nonspacing(uint32_t c)
{
    return category(c) == UTF8PROC_CATEGORY_MN;
}

bool nib_hf_is_other(uint32_t c)
{
    const utf8proc_category_t k = category(c);
    if (c == 0x890 || c == 0x891 || c == 0x8E2 || c == 0x110CD || (c >= 0x13430 && c <= 0x1343F))
        return false; /* younger than the tables of the tokenizers library */
    return k == UTF8PROC_CATEGORY_CC || k == UTF8PROC_CATEGORY_CF || k == UTF8PROC_CATEGORY_CO ||
           k == UTF8PROC_CATEGORY_CS;
}
