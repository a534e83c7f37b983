/*
 * JSON from outside, read by yyjson within bounds: a scan before it sees how deep the text nests
 * and how many values it has, so that a document takes memory in proportion to what a caller
 * expects.  Numbers may be NaN and Infinity, which Python writes; who reads them checks.
 */
#ifndef NIB_JSON_READER_H
#define NIB_JSON_READER_H

#include "common.h"

#include <yyjson.h>

struct nib_json_limits {
    size_t n_bytes, n_values, depth;
};

/* `path` is for messages; *out is to be freed with yyjson_doc_free(). */
enum nib_status nib_json_parse(yyjson_doc **out, const char *text, size_t n_bytes,
                               const struct nib_json_limits *limits, const char *path,
                               struct nib_error *err);

enum nib_status nib_json_open(yyjson_doc **out, const char *path,
                              const struct nib_json_limits *limits, struct nib_error *err);

/* Fails where a key of the object is there twice, of which other readers may take either, or holds
 * a zero byte.  `where` says which object it is. */
enum nib_status nib_json_check_keys(yyjson_val *object, const char *path, const char *where,
                                    struct nib_error *err);

#endif
