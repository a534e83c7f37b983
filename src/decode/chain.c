/* See chain.h. */
#include "chain.h"

#include <ctype.h>

/* As they are written with "_"; "-" and capitals are the same. */
static const struct {
    const char *name;
    uint8_t stage;
} names[] = {
    {"penalties", NIB_STAGE_PENALTIES},
    {"repetition_penalty", NIB_STAGE_PENALTIES},
    {"repeat_penalty", NIB_STAGE_PENALTIES},
    {"dry", NIB_STAGE_DRY},
    {"top_n_sigma", NIB_FILTER_TOP_N_SIGMA},
    {"top_nsigma", NIB_FILTER_TOP_N_SIGMA},
    {"top_k", NIB_FILTER_TOP_K},
    {"typ_p", NIB_FILTER_TYPICAL_P},
    {"typical_p", NIB_FILTER_TYPICAL_P},
    {"typical", NIB_FILTER_TYPICAL_P},
    {"typ", NIB_FILTER_TYPICAL_P},
    {"top_p", NIB_FILTER_TOP_P},
    {"nucleus", NIB_FILTER_TOP_P},
    {"min_p", NIB_FILTER_MIN_P},
    {"xtc", NIB_FILTER_XTC},
    {"temperature", NIB_FILTER_TEMPERATURE},
    {"temp", NIB_FILTER_TEMPERATURE},
    {"mirostat", NIB_FILTER_MIROSTAT},
};

static const uint8_t usual[] = {NIB_STAGE_PENALTIES, NIB_STAGE_DRY,        NIB_FILTER_TOP_N_SIGMA,
                                NIB_FILTER_TOP_K,    NIB_FILTER_TYPICAL_P, NIB_FILTER_TOP_P,
                                NIB_FILTER_MIN_P,    NIB_FILTER_XTC,       NIB_FILTER_TEMPERATURE};
static const uint8_t usual_mirostat[] = {NIB_STAGE_PENALTIES, NIB_STAGE_DRY, NIB_FILTER_TEMPERATURE,
                                         NIB_FILTER_MIROSTAT};

static bool is_name(const char *name, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (name[i] != (text[i] == '-' ? '_' : (char)tolower((unsigned char)text[i])))
            return false;
    return name[length] == 0;
}

static enum nib_status add(struct nib_chain *chain, const char *text, size_t length,
                           struct nib_error *err)
{
    const int shown = length < 40 ? (int)length : 40;
    for (size_t i = 0; i < NIB_COUNT(names); i++) {
        if (!is_name(names[i].name, text, length))
            continue;
        if (memchr(chain->stages, names[i].stage, chain->n))
            return nib_fail(err, NIB_ERROR_ARGUMENT,
                            "samplers: %.*s comes twice; name each stage once", shown, text);
        chain->stages[chain->n++] = names[i].stage;
        return NIB_OK;
    }
    return nib_fail(err, NIB_ERROR_ARGUMENT,
                    "samplers: there is no \"%.*s\"; expected names of penalties, dry, "
                    "top_n_sigma, top_k, typ_p, top_p, min_p, xtc, temperature, mirostat with "
                    "\";\" between",
                    shown, text);
}

enum nib_status nib_chain_parse(struct nib_chain *out, const char *text, bool uses_mirostat,
                                struct nib_error *err)
{
    *out = (struct nib_chain){0};
    if (!text) {
        out->n = uses_mirostat ? sizeof(usual_mirostat) : sizeof(usual);
        memcpy(out->stages, uses_mirostat ? usual_mirostat : usual, out->n);
        return NIB_OK;
    }
    while (*(text += strspn(text, "; ,\t\n"))) {
        const size_t length = strcspn(text, "; ,\t\n");
        const enum nib_status status = add(out, text, length, err);
        if (status != NIB_OK)
            return status;
        text += length;
    }
    if (uses_mirostat && !memchr(out->stages, NIB_FILTER_MIROSTAT, out->n))
        out->stages[out->n++] = NIB_FILTER_MIROSTAT;
    return NIB_OK;
}

const char *nib_stage_name(size_t stage)
{
    return stage == NIB_STAGE_PENALTIES ? "penalties"
           : stage == NIB_STAGE_DRY     ? "dry"
                                        : nib_filter_name((enum nib_filter)stage);
}
