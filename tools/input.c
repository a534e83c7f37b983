/* See input.h. */
#include "input.h"
#include "terminal.h"

#include <yyjson.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_INPUT_BYTES (256u << 20)

/* ---- buffers and UTF-8 ---------------------------------------------------------------------- */

void nib_buffer_add(struct nib_buffer *buffer, const char *text, size_t n_bytes)
{
    if (buffer->capacity - buffer->n_bytes <= n_bytes) {
        size_t capacity = buffer->capacity ? buffer->capacity : 64;
        while (capacity - buffer->n_bytes <= n_bytes)
            capacity *= 2;
        buffer->data = nib_grow(buffer->data, capacity, 1);
        buffer->capacity = capacity;
    }
    if (n_bytes > 0)
        memcpy(buffer->data + buffer->n_bytes, text, n_bytes);
    buffer->n_bytes += n_bytes;
    buffer->data[buffer->n_bytes] = 0;
}

void nib_buffer_free(struct nib_buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct nib_buffer){0};
}

/* Length of the UTF-8 sequence at `s`, 0 if there is none (table 3-7 of the Unicode standard). */
static size_t utf8_length(const unsigned char *s, size_t n_bytes)
{
    if (s[0] < 0x80)
        return 1;
    const size_t length = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || length > n_bytes)
        return 0;
    const unsigned char low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
    const unsigned char high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    }
    return length;
}

size_t nib_utf8_prefix(const char *text, size_t n_bytes)
{
    size_t i = 0;
    while (i < n_bytes) {
        const size_t length = utf8_length((const unsigned char *)text + i, n_bytes - i);
        if (length == 0)
            break;
        i += length;
    }
    return i;
}

void nib_buffer_add_clean(struct nib_buffer *buffer, const char *text, size_t n_bytes)
{
    for (;;) {
        const size_t good = nib_utf8_prefix(text, n_bytes);
        nib_buffer_add(buffer, text, good);
        if (good == n_bytes)
            return;
        nib_buffer_add(buffer, "\xef\xbf\xbd", 3);
        text += good + 1;
        n_bytes -= good + 1;
    }
}

int nib_check_argument(const char *what, const char *text)
{
    const size_t n_bytes = strlen(text), good = nib_utf8_prefix(text, n_bytes);
    if (good == n_bytes)
        return NIB_EXIT_OK;
    return nib_complain(NIB_EXIT_USAGE,
                        "%s is not UTF-8 from its byte %zu on; convert it, as with iconv -t UTF-8",
                        what, good);
}

/* ---- files ---------------------------------------------------------------------------------- */

static const char *shown_name(const char *path)
{
    return strcmp(path, "-") == 0 ? "standard input" : path;
}

static int read_stream(FILE *file, const char *path, struct nib_buffer *out)
{
    char chunk[65536];
    size_t n;
    while ((n = fread(chunk, 1, sizeof chunk, file)) > 0) {
        if (out->n_bytes + n > MAX_INPUT_BYTES)
            return nib_complain(NIB_EXIT_FILE, "%s: more than 256 MiB; split the input",
                                shown_name(path));
        nib_buffer_add(out, chunk, n);
    }
    if (ferror(file))
        return nib_complain(NIB_EXIT_FILE, "%s: cannot be read: %s; give a readable file",
                            shown_name(path), strerror(errno));
    nib_buffer_add(out, "", 0);
    return NIB_EXIT_OK;
}

int nib_read_input(const char *path, int kind, struct nib_buffer *out)
{
    const bool is_stdin = strcmp(path, "-") == 0;
    *out = (struct nib_buffer){0};
    FILE *file = is_stdin ? stdin : fopen(path, "rb");
    if (!file)
        return nib_complain(NIB_EXIT_FILE, "%s: cannot be opened: %s; check the path", path,
                            strerror(errno));
    int exit_code = read_stream(file, path, out);
    if (!is_stdin)
        fclose(file);
    if (exit_code == NIB_EXIT_OK && kind == NIB_INPUT_TEXT) {
        const size_t good = nib_utf8_prefix(out->data, out->n_bytes);
        if (good < out->n_bytes)
            exit_code = nib_complain(NIB_EXIT_FILE,
                                     "%s: byte %zu is not UTF-8; convert the text, as with iconv "
                                     "-t UTF-8",
                                     shown_name(path), good);
    }
    if (exit_code != NIB_EXIT_OK)
        nib_buffer_free(out);
    return exit_code;
}

/* Is the first character that is not blank a '[' that `inner` or ']' follows? */
static bool looks_like_json(const struct nib_buffer *input, char inner)
{
    static const char blanks[] = " \t\r\n";
    const char *c = input->data + strspn(input->data, blanks);
    if (*c++ != '[')
        return false;
    c += strspn(c, blanks);
    return *c == inner || *c == ']';
}

/* The list that is the document, NULL after a complaint. */
static yyjson_doc *parse_list(const struct nib_buffer *input, const char *path,
                              const char *expected, int *exit_code)
{
    yyjson_read_err err;
    yyjson_doc *doc = yyjson_read_opts(input->data, input->n_bytes, 0, NULL, &err);
    if (doc && yyjson_is_arr(yyjson_doc_get_root(doc)))
        return doc;
    if (doc)
        *exit_code = nib_complain(NIB_EXIT_FILE, "%s: not a JSON list; expected %s",
                                  shown_name(path), expected);
    else
        *exit_code = nib_complain(NIB_EXIT_FILE, "%s: bad JSON at byte %zu, %s; expected %s",
                                  shown_name(path), err.pos, err.msg, expected);
    yyjson_doc_free(doc);
    return NULL;
}

/* ---- lists of ids --------------------------------------------------------------------------- */

static void lists_begin(struct nib_lists *lists)
{
    /* Grown by doubling: the counts themselves say when they reach a power of two. */
    if ((lists->n_lists & (lists->n_lists + 1)) == 0)
        lists->starts = nib_grow(lists->starts, 2 * (lists->n_lists + 1), sizeof *lists->starts);
    if (lists->n_lists == 0)
        lists->starts[0] = 0;
    lists->starts[lists->n_lists + 1] = lists->starts[lists->n_lists];
    lists->n_lists++;
}

static void lists_add(struct nib_lists *lists, int32_t id)
{
    const size_t n = lists->starts[lists->n_lists];
    if ((n & (n - 1)) == 0)
        lists->ids = nib_grow(lists->ids, n ? 2 * n : 1, sizeof *lists->ids);
    lists->ids[n] = id;
    lists->starts[lists->n_lists]++;
}

static int complain_id(const char *path, const struct nib_lists *lists, uint32_t n_vocab)
{
    const size_t list = lists->n_lists - 1;
    return nib_complain(
        NIB_EXIT_FILE, "%s: list %zu, item %zu is not an id; expected whole numbers from 0 to %u",
        shown_name(path), list, lists->starts[list + 1] - lists->starts[list], n_vocab - 1);
}

static int parse_json_ids(const struct nib_buffer *input, const char *path, uint32_t n_vocab,
                          struct nib_lists *out)
{
    int exit_code = NIB_EXIT_OK;
    yyjson_doc *doc = parse_list(input, path, "[[ids], [ids], ...]", &exit_code);
    if (!doc)
        return exit_code;
    size_t i, j, n_lists, n_ids;
    yyjson_val *list, *id;
    yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n_lists, list)
    {
        if (!yyjson_is_arr(list)) {
            exit_code = nib_complain(NIB_EXIT_FILE,
                                     "%s: item %zu is not a list; expected [[ids], [ids], ...]",
                                     shown_name(path), i);
            goto done;
        }
        lists_begin(out);
        yyjson_arr_foreach(list, j, n_ids, id)
        {
            if (!yyjson_is_uint(id) || yyjson_get_uint(id) >= n_vocab) {
                exit_code = complain_id(path, out, n_vocab);
                goto done;
            }
            lists_add(out, (int32_t)yyjson_get_uint(id));
        }
    }
done:
    yyjson_doc_free(doc);
    return exit_code;
}

static int parse_line_ids(const struct nib_buffer *input, const char *path, uint32_t n_vocab,
                          struct nib_lists *out)
{
    const char *c = input->data;
    while (*c) {
        lists_begin(out);
        while (*(c += strspn(c, " \t\r,")) && *c != '\n') {
            char *end;
            const unsigned long long id = strtoull(c, &end, 10);
            if (*c < '0' || *c > '9' || id >= n_vocab || !strchr(" \t\r,\n", *end))
                return complain_id(path, out, n_vocab);
            lists_add(out, (int32_t)id);
            c = end;
        }
        c += *c == '\n';
    }
    if (c != input->data + input->n_bytes)
        return nib_complain(NIB_EXIT_FILE,
                            "%s: byte %zu is zero; expected lines of ids or a JSON "
                            "list of lists",
                            shown_name(path), (size_t)(c - input->data));
    return NIB_EXIT_OK;
}

static int check_lists(const struct nib_lists *lists, const char *path, bool may_be_empty)
{
    if (lists->n_lists == 0)
        return nib_complain(NIB_EXIT_FILE, "%s: no lists of ids; expected [[ids], [ids], ...]",
                            shown_name(path));
    for (size_t i = 0; i < lists->n_lists && !may_be_empty; i++) {
        if (lists->starts[i] == lists->starts[i + 1])
            return nib_complain(NIB_EXIT_FILE, "%s: list %zu is empty; give at least one id",
                                shown_name(path), i);
    }
    return NIB_EXIT_OK;
}

int nib_read_ids(const char *path, uint32_t n_vocab, bool may_be_empty, struct nib_lists *out)
{
    struct nib_buffer input;
    *out = (struct nib_lists){0};
    int exit_code = nib_read_input(path, NIB_INPUT_BYTES, &input);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    const char first = input.data[strspn(input.data, " \t\r\n")];
    if (first >= '0' && first <= '9')
        exit_code = parse_line_ids(&input, path, n_vocab, out);
    else
        exit_code = parse_json_ids(&input, path, n_vocab, out);
    if (exit_code == NIB_EXIT_OK)
        exit_code = check_lists(out, path, may_be_empty);
    nib_buffer_free(&input);
    if (exit_code != NIB_EXIT_OK)
        nib_lists_free(out);
    return exit_code;
}

void nib_lists_free(struct nib_lists *lists)
{
    free(lists->ids);
    free(lists->starts);
    *lists = (struct nib_lists){0};
}

/* ---- texts ---------------------------------------------------------------------------------- */

static void texts_add(struct nib_texts *texts, const char *text, size_t n_bytes)
{
    const size_t n = texts->n_texts;
    if ((n & (n - 1)) == 0)
        texts->texts = nib_grow(texts->texts, n ? 2 * n : 1, sizeof *texts->texts);
    texts->texts[n] = (struct nib_buffer){0};
    nib_buffer_add(&texts->texts[n], text, n_bytes);
    texts->n_texts++;
}

static int parse_json_texts(const struct nib_buffer *input, const char *path, struct nib_texts *out)
{
    int exit_code = NIB_EXIT_OK;
    yyjson_doc *doc = parse_list(input, path, "[\"text\", \"text\", ...]", &exit_code);
    if (!doc)
        return exit_code;
    size_t i, n_texts;
    yyjson_val *text;
    yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n_texts, text)
    {
        if (!yyjson_is_str(text)) {
            exit_code = nib_complain(NIB_EXIT_FILE,
                                     "%s: item %zu is not a string; expected [\"text\", ...]",
                                     shown_name(path), i);
            break;
        }
        texts_add(out, yyjson_get_str(text), yyjson_get_len(text));
    }
    yyjson_doc_free(doc);
    return exit_code;
}

void nib_split_lines(const char *text, size_t n_bytes, struct nib_texts *out)
{
    const char *c = text, *end = text + n_bytes;
    while (c < end) {
        const char *newline = memchr(c, '\n', (size_t)(end - c));
        const char *line_end = newline ? newline : end;
        texts_add(out, c, (size_t)(line_end - c));
        c = newline ? newline + 1 : end;
    }
}

int nib_read_texts(const char *path, struct nib_texts *out)
{
    struct nib_buffer input;
    *out = (struct nib_texts){0};
    int exit_code = nib_read_input(path, NIB_INPUT_TEXT, &input);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    if (looks_like_json(&input, '"'))
        exit_code = parse_json_texts(&input, path, out);
    else
        nib_split_lines(input.data, input.n_bytes, out);
    nib_buffer_free(&input);
    if (exit_code != NIB_EXIT_OK)
        nib_texts_free(out);
    return exit_code;
}

void nib_texts_free(struct nib_texts *texts)
{
    for (size_t i = 0; i < texts->n_texts; i++)
        nib_buffer_free(&texts->texts[i]);
    free(texts->texts);
    *texts = (struct nib_texts){0};
}
