/* See shift_settings.h. */
#include "shift_settings.h"
#include "terminal.h"

#include <limits.h>
#include <stdio.h>

static struct {
    bool shifts;
    int64_t n_keep; /* -1: the whole prompt */
} args;

const struct nib_option nib_options_shift[] = {
    {NULL, "--context-shift", NULL, NULL,
     "when the context is full, forget half of it and go on, without -n to the end token; what is "
     "left is computed anew",
     NIB_OPTION_ON, &args.shifts, 0, 0, false, NULL},
    {NULL, "--no-context-shift", NULL, NULL, "stop there, the default", NIB_OPTION_OFF,
     &args.shifts, 0, 0, false, NULL},
    {NULL, "--keep", NULL, "N",
     "of the prompt, what is never forgotten: N ids beside BOS, or with an encoder beside the "
     "start; -1: all",
     NIB_OPTION_INT, &args.n_keep, -1, INT_MAX, false, NULL},
    {0},
};

int nib_settings_check_shift(void)
{
    if (args.n_keep != 0 && !args.shifts)
        return nib_complain(NIB_EXIT_USAGE, "--keep is for --context-shift; add it");
    return NIB_EXIT_OK;
}

bool nib_settings_wants_shift(void)
{
    return args.shifts;
}

uint32_t nib_settings_keep(const struct nib_model *model, const int32_t *prompt, size_t n_prompt)
{
    const struct nib_model_info *info = nib_model_info(model);
    size_t n = n_prompt;
    if (args.n_keep >= 0 && !info->has_encoder)
        n = (size_t)args.n_keep + (n_prompt > 0 && prompt[0] == info->bos_id);
    return (uint32_t)(n < n_prompt ? n : n_prompt);
}

struct nib_shift nib_shift_of(size_t length, size_t n_keep)
{
    const size_t n = n_keep < length ? length - n_keep : 0;
    return (struct nib_shift){length, n_keep, n > 1 ? n / 2 : n};
}

void nib_shift_describe(const struct nib_shift *shift, char *out, size_t size)
{
    snprintf(out, size, "context full: forgot %zu of %zu ids, kept the first %zu", shift->n_discard,
             shift->length, shift->n_keep);
}
