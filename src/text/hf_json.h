/* Reading the parts of a tokenizer.json: fields with their types, errors that name the part. */
#ifndef NIB_HF_JSON_H
#define NIB_HF_JSON_H

#include "common.h"

#include <yyjson.h>

/* Normalizers, pre-tokenizers, decoders, post-processors: each at most so many in all. */
#define NIB_HF_MAX_PARTS ((size_t)256)

/* One object of the file. */
struct nib_hf_part {
    yyjson_val *json;
    const char *path; /* the file */
    const char *role; /* "normalizer", ... */
    char type[48];    /* its "type", made printable */
};

/* The value of a key, the last one if it is there twice; NULL: not there. */
yyjson_val *nib_hf_field(yyjson_val *object, const char *key);

/* Begin with an object that has a "type"; fails where it is none. */
enum nib_status nib_hf_part_open(struct nib_hf_part *part, yyjson_val *json, const char *role,
                                 const char *path, struct nib_error *err);

/* "X: the normalizer Foo is not known ..." */
enum nib_status nib_hf_part_unknown(const struct nib_hf_part *part, const char *expected,
                                    struct nib_error *err);
/* "X: the normalizer Foo: `key` is missing or not EXPECTED ..." */
enum nib_status nib_hf_part_wrong(const struct nib_hf_part *part, const char *key,
                                  const char *expected, struct nib_error *err);

/* Where a field may be missing or null, *value keeps what it has. */
enum nib_hf_need { NIB_HF_REQUIRED, NIB_HF_OPTIONAL };

enum nib_status nib_hf_part_bool(const struct nib_hf_part *part, const char *key,
                                 enum nib_hf_need need, bool *value, struct nib_error *err);
enum nib_status nib_hf_part_string(const struct nib_hf_part *part, const char *key,
                                   enum nib_hf_need need, struct nib_str *value,
                                   struct nib_error *err);
/* 0 .. INT32_MAX */
enum nib_status nib_hf_part_number(const struct nib_hf_part *part, const char *key,
                                   enum nib_hf_need need, size_t *value, struct nib_error *err);
/* A string of one character. */
enum nib_status nib_hf_part_character(const struct nib_hf_part *part, const char *key,
                                      uint32_t *value, struct nib_error *err);

/* A pattern: {"String": ...} or {"Regex": ...} at the key. */
struct nib_hf_pattern;
enum nib_status nib_hf_part_pattern(const struct nib_hf_part *part, const char *key,
                                    struct nib_hf_pattern **out, struct nib_error *err);

/* Data NULL: it is no string. */
static inline struct nib_str nib_hf_string(yyjson_val *value)
{
    return (struct nib_str){yyjson_get_str(value),
                            yyjson_is_str(value) ? yyjson_get_len(value) : 0};
}

/* A copy that free() releases. */
enum nib_status nib_hf_copy(struct nib_str *out, struct nib_str text, struct nib_error *err);

/*
 * Parts in parts: call `read` for this object, or where its type is Sequence for each element of
 * the array at `key`, in order, and so on.  NIB_HF_MAX_PARTS in all.
 */
typedef enum nib_status nib_hf_read_fn(void *data, const struct nib_hf_part *part,
                                       struct nib_error *err);
enum nib_status nib_hf_read_parts(yyjson_val *json, const char *role, const char *key,
                                  const char *path, nib_hf_read_fn *read, void *data,
                                  struct nib_error *err);

#endif
