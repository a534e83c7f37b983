/*
 * Reading and writing ModelProto, see sentencepiece_model.h.  A message is fields one after the
 * other: a key (number << 3 | wire type) and a value, which is a number of 1..10 bytes (type 0), 8
 * bytes (1), a length and so many bytes (2), or 4 bytes (5).  Fields that are not known are passed
 * over.
 */
#include "sentencepiece_model.h"
#include "scratch.h"

#include <math.h>
#include <stdlib.h>

struct field {
    uint32_t number;
    uint32_t wire; /* type */
    uint64_t value;
    struct nib_str bytes; /* of type 2 */
};

/* A number in 7-bit groups, the lowest first.  False: it does not end. */
static bool read_number(struct nib_str *message, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && message->len > 0; shift += 7) {
        const uint8_t byte = (uint8_t)*message->data++;
        message->len--;
        *value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool read_fixed(struct nib_str *message, size_t n, uint64_t *value)
{
    if (message->len < n)
        return false;
    *value = 0;
    for (size_t i = 0; i < n; i++)
        *value |= (uint64_t)(uint8_t)message->data[i] << 8 * i;
    message->data += n;
    message->len -= n;
    return true;
}

/* The field at the start of the message, which goes on behind it.  False: it is damaged. */
static bool read_field(struct nib_str *message, struct field *f)
{
    uint64_t key;
    *f = (struct field){0};
    if (!read_number(message, &key) || key >> 3 == 0 || key >> 3 > 0x1FFFFFFF)
        return false;
    f->number = (uint32_t)(key >> 3);
    f->wire = (uint32_t)(key & 7);
    switch (f->wire) {
    case 0:
        return read_number(message, &f->value);
    case 1:
        return read_fixed(message, 8, &f->value);
    case 5:
        return read_fixed(message, 4, &f->value);
    case 2:
        if (!read_number(message, &f->value) || f->value > message->len)
            return false;
        f->bytes = (struct nib_str){message->data, (size_t)f->value};
        message->data += f->bytes.len;
        message->len -= f->bytes.len;
        return true;
    default:
        return false;
    }
}

static bool is_field(const struct field *f, uint32_t number, uint32_t wire)
{
    return f->number == number && f->wire == wire;
}

/* ---- messages ------------------------------------------------------------------------------- */

static bool read_piece(struct nib_sp_model *m, struct nib_str message)
{
    const size_t i = m->n_pieces++;
    m->types[i] = NIB_TOKEN_NORMAL;
    while (message.len > 0) {
        struct field f;
        if (!read_field(&message, &f))
            return false;
        if (is_field(&f, 1, 2)) {
            m->pieces[i] = f.bytes;
        } else if (is_field(&f, 2, 5)) {
            const uint32_t bits = (uint32_t)f.value;
            memcpy(&m->scores[i], &bits, sizeof(bits));
        } else if (is_field(&f, 3, 0)) {
            if (f.value == NIB_TOKEN_UNDEFINED || f.value >= NIB_TOKEN_TYPE_COUNT)
                return false;
            m->types[i] = (uint8_t)f.value;
        }
    }
    return m->pieces[i].len > 0 && isfinite(m->scores[i]);
}

static bool read_trainer(struct nib_sp_model *m, struct nib_str message)
{
    while (message.len > 0) {
        struct field f;
        if (!read_field(&message, &f))
            return false;
        if (is_field(&f, 3, 0)) {
            if (f.value < NIB_SP_UNIGRAM || f.value > NIB_SP_CHAR)
                return false;
            m->kind = (enum nib_sp_kind)f.value;
        } else if (is_field(&f, 24, 0)) {
            m->has_blank_behind = f.value != 0;
        } else if (is_field(&f, 35, 0)) {
            m->falls_back_to_bytes = f.value != 0;
        } else if (is_field(&f, 44, 2)) {
            m->unk_surface = f.bytes;
        } else if (is_field(&f, 46, 2)) {
            m->bos_piece = f.bytes;
        } else if (is_field(&f, 47, 2)) {
            m->eos_piece = f.bytes;
        }
    }
    return true;
}

static bool read_normalizer(struct nib_sp_model *m, struct nib_str message)
{
    while (message.len > 0) {
        struct field f;
        if (!read_field(&message, &f))
            return false;
        if (is_field(&f, 2, 2))
            m->charsmap = f.bytes;
        else if (is_field(&f, 3, 0))
            m->adds_blank = f.value != 0;
        else if (is_field(&f, 4, 0))
            m->removes_extra_blanks = f.value != 0;
        else if (is_field(&f, 5, 0))
            m->writes_bars = f.value != 0;
    }
    return true;
}

static bool read_denormalizer(struct nib_sp_model *m, struct nib_str message)
{
    while (message.len > 0) {
        struct field f;
        if (!read_field(&message, &f))
            return false;
        if (is_field(&f, 2, 2) && f.bytes.len > 0)
            m->has_denormalizer = true;
    }
    return true;
}

static bool read_model(struct nib_sp_model *m, struct nib_str message)
{
    while (message.len > 0) {
        struct field f;
        if (!read_field(&message, &f) || (is_field(&f, 1, 2) && !read_piece(m, f.bytes)) ||
            (is_field(&f, 2, 2) && !read_trainer(m, f.bytes)) ||
            (is_field(&f, 3, 2) && !read_normalizer(m, f.bytes)) ||
            (is_field(&f, 5, 2) && !read_denormalizer(m, f.bytes)))
            return false;
    }
    return true;
}

/* Fields of the number 1 that are messages.  False: the file is damaged. */
static bool count_pieces(struct nib_str message, size_t *n)
{
    *n = 0;
    while (message.len > 0) {
        struct field f;
        if (!read_field(&message, &f))
            return false;
        *n += is_field(&f, 1, 2);
    }
    return true;
}

static enum nib_status damaged(struct nib_str file, const struct nib_sp_model *m, const char *path,
                               struct nib_error *err)
{
    return nib_fail(err, NIB_ERROR_FILE,
                    "%s: the SentencePiece model of %zu bytes is damaged after piece %zu, expected "
                    "a message ModelProto; get the file again",
                    path, file.len, m->n_pieces);
}

enum nib_status nib_sp_model_read(struct nib_sp_model *m, struct nib_str file, const char *path,
                                  struct nib_error *err)
{
    *m = (struct nib_sp_model){.kind = NIB_SP_UNIGRAM,
                               .adds_blank = true,
                               .removes_extra_blanks = true,
                               .writes_bars = true,
                               .unk_surface = NIB_STR(" \xE2\x81\x87 "),
                               .bos_piece = NIB_STR("<s>"),
                               .eos_piece = NIB_STR("</s>")};
    size_t n;
    if (file.len > NIB_MAX_SP_MODEL_BYTES || !count_pieces(file, &n))
        return damaged(file, m, path, err);
    if (n == 0 || n > NIB_MAX_TOKENS)
        return nib_fail(err, NIB_ERROR_FILE,
                        "%s: the SentencePiece model has %zu pieces, expected 1 to %zu; the file "
                        "is damaged, get it again",
                        path, n, NIB_MAX_TOKENS);
    m->pieces = calloc(n, sizeof(*m->pieces));
    m->scores = calloc(n, sizeof(*m->scores));
    m->types = calloc(n, sizeof(*m->types));
    if (m->pieces == NULL || m->scores == NULL || m->types == NULL)
        return nib_fail_memory(err, n * (sizeof(*m->pieces) + sizeof(*m->scores) + 1),
                               "the vocabulary");
    if (!read_model(m, file))
        return damaged(file, m, path, err);
    if (m->has_denormalizer)
        return nib_fail(err, NIB_ERROR_FILE,
                        "%s: the SentencePiece model has a map of characters for decoding "
                        "(denormalizer_spec), which is not supported; use its tokenizer.json",
                        path);
    return NIB_OK;
}

void nib_sp_model_free(struct nib_sp_model *m)
{
    free(m->pieces);
    free(m->scores);
    free(m->types);
}

/* ---- writing -------------------------------------------------------------------------------- */

enum { NUMBER = 0, BYTES = 2, FIXED32 = 5 };

static bool put_number(struct nib_buffer *out, uint64_t value)
{
    char bytes[10];
    size_t n = 0;
    do {
        bytes[n++] = (char)((value & 0x7F) | (value > 0x7F ? 0x80 : 0));
        value >>= 7;
    } while (value > 0);
    return nib_buffer_append(out, bytes, n);
}

static bool put_value(struct nib_buffer *out, uint32_t number, uint64_t value)
{
    return put_number(out, (uint64_t)number << 3 | NUMBER) && put_number(out, value);
}

static bool put_bytes(struct nib_buffer *out, uint32_t number, struct nib_str bytes)
{
    return put_number(out, (uint64_t)number << 3 | BYTES) && put_number(out, bytes.len) &&
           nib_buffer_append(out, bytes.data, bytes.len);
}

static bool put_piece(struct nib_buffer *out, const struct nib_sp_model *m, size_t i)
{
    uint32_t bits;
    memcpy(&bits, &m->scores[i], sizeof(bits));
    const char score[] = {(char)bits, (char)(bits >> 8), (char)(bits >> 16), (char)(bits >> 24)};
    return put_bytes(out, 1, m->pieces[i]) && put_number(out, 2 << 3 | FIXED32) &&
           nib_buffer_append(out, score, sizeof(score)) && put_value(out, 3, m->types[i]);
}

static bool put_trainer(struct nib_buffer *out, const struct nib_sp_model *m)
{
    return put_value(out, 3, m->kind) && put_value(out, 24, m->has_blank_behind) &&
           put_value(out, 35, m->falls_back_to_bytes) && put_bytes(out, 44, m->unk_surface) &&
           put_bytes(out, 46, m->bos_piece) && put_bytes(out, 47, m->eos_piece);
}

static bool put_normalizer(struct nib_buffer *out, const struct nib_sp_model *m)
{
    return put_bytes(out, 2, m->charsmap) && put_value(out, 3, m->adds_blank) &&
           put_value(out, 4, m->removes_extra_blanks) && put_value(out, 5, m->writes_bars);
}

/* A message within the message; `part` is empty again afterwards. */
static bool put_part(struct nib_buffer *out, uint32_t number, struct nib_buffer *part)
{
    const bool is_put = put_bytes(out, number, (struct nib_str){part->data, part->n});
    part->n = 0;
    return is_put;
}

bool nib_sp_model_write(struct nib_buffer *out, const struct nib_sp_model *m)
{
    struct nib_buffer part = {0};
    bool is_put = true;
    for (size_t i = 0; i < m->n_pieces && is_put; i++)
        is_put = put_piece(&part, m, i) && put_part(out, 1, &part);
    is_put = is_put && put_trainer(&part, m) && put_part(out, 2, &part) &&
             put_normalizer(&part, m) && put_part(out, 3, &part);
    free(part.data);
    return is_put;
}
