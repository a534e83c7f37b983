/*
 * What tests of opening models share: a draft is written to a folder and opened from there.  To be
 * included first, with _GNU_SOURCE for the folder.
 */
#ifndef MODEL_CHECK_H
#define MODEL_CHECK_H

#include "model.h"
#include "model_builder.h"
#include "scratch_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct scratch_dir dir;

static inline int set_up(void **state)
{
    (void)state;
    scratch_dir_create(&dir);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    scratch_dir_remove(&dir);
    return 0;
}

static inline enum nib_status open_draft(struct nib_model **out, const struct model_draft *d,
                                         const struct nib_model_params *params,
                                         struct nib_error *err)
{
    char path[512];
    scratch_path(&dir, "tiny.gguf", path);
    draft_write(d, path);
    *err = (struct nib_error){0};
    *out = (struct nib_model *)&dir;
    const enum nib_status status = nib_model_open(out, path, params, err);
    remove(path);
    return status;
}

static inline struct nib_model *open_good(const struct model_draft *d)
{
    struct nib_model *model;
    struct nib_error err;
    if (open_draft(&model, d, NULL, &err) != NIB_OK)
        fail_msg("%s", err.message);
    return model;
}

/* Refused as a file, with a sentence that names the file and has both words in it. */
static inline void expect_refusal(const struct model_draft *d, const char *word, const char *other)
{
    struct nib_model *model;
    struct nib_error err;
    const enum nib_status status = open_draft(&model, d, NULL, &err);
    if (status != NIB_ERROR_FILE)
        fail_msg("status %d instead of a refusal with '%s': %s", status, word, err.message);
    assert_int_equal(err.status, status);
    assert_null(model);
    assert_non_null(strstr(err.message, "tiny.gguf"));
    if (!strstr(err.message, word) || !strstr(err.message, other))
        fail_msg("'%s' and '%s' are not in: %s", word, other, err.message);
}

#endif
