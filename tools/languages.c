/* See languages.h. */
#include "languages.h"
#include "input.h"
#include "terminal.h"

#include <string.h>

struct keys {
    const char *source, *target, *format; /* NULL: not there */
};

static const struct {
    const char *name;
    enum nib_language_place place;
} places[] = {
    {"prefix", NIB_LANGUAGE_PREFIX},
    {"suffix", NIB_LANGUAGE_SUFFIX},
    {"forced_bos", NIB_LANGUAGE_FORCED_BOS},
    {"decoder_start", NIB_LANGUAGE_DECODER_START},
    {"source_prefix", NIB_LANGUAGE_SOURCE_PREFIX},
};

static struct keys find_keys(const struct nib_model *model)
{
    struct keys keys = {0};
    const char *key, *value;
    for (size_t i = 0; nib_model_metadata(model, i, &key, &value); i++) {
        if (strcmp(key, "nibble.languages.source") == 0)
            keys.source = value;
        else if (strcmp(key, "nibble.languages.target") == 0)
            keys.target = value;
        else if (strcmp(key, "nibble.languages.format") == 0)
            keys.format = value;
    }
    if (keys.format && !strstr(keys.format, "%s"))
        keys.format = NULL;
    return keys;
}

static enum nib_language_place place_of(const char *name)
{
    for (size_t i = 0; name && i < sizeof places / sizeof places[0]; i++)
        if (strcmp(places[i].name, name) == 0)
            return places[i].place;
    return NIB_LANGUAGE_NOWHERE;
}

/* The text of the token of `code`: the format has one %s. */
static bool token_of(const char *format, const char *code, char *out, size_t size)
{
    const char *mark = strstr(format, "%s");
    const int n = snprintf(out, size, "%.*s%s%s", (int)(mark - format), format, code, mark + 2);
    return n > 0 && (size_t)n < size;
}

/* The tokens that other codes would have, for a complaint: "__af__, __am__, ..." */
static void list_tokens(const struct nib_model *model, const char *format, char *out, size_t size)
{
    enum { SHOWN = 6 };
    const char *mark = strstr(format, "%s");
    const size_t before = (size_t)(mark - format), after = strlen(mark + 2);
    const uint32_t n_tokens = nib_model_info(model)->n_tokens;
    size_t used = 0;
    int n = 0;
    *out = 0;
    for (uint32_t id = 0; id < n_tokens && before > 0 && n < SHOWN; id++) {
        const char *name = nib_token_name(model, (int32_t)id);
        const size_t length = name ? strlen(name) : 0;
        if (length <= before + after || strncmp(name, format, before) != 0 ||
            strcmp(name + length - after, mark + 2) != 0)
            continue;
        used += (size_t)snprintf(out + used, size - used, "%s%.*s", n++ ? ", " : "; it has ",
                                 (int)(length - before - after < 16 ? length - before - after : 16),
                                 name + before);
    }
    if (n == SHOWN)
        snprintf(out + used, size - used, ", ...");
}

static int find_token(const struct nib_model *model, const char *option, const char *format,
                      const char *code, int32_t *id)
{
    char token[128], others[256];
    const uint32_t n_tokens = nib_model_info(model)->n_tokens;
    const int exit_code = nib_check_argument(option, code);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    for (uint32_t i = 0; token_of(format, code, token, sizeof token) && i < n_tokens; i++) {
        const char *name = nib_token_name(model, (int32_t)i);
        if (name && strcmp(name, token) == 0) {
            *id = (int32_t)i;
            return NIB_EXIT_OK;
        }
    }
    list_tokens(model, format, others, sizeof others);
    return nib_complain(NIB_EXIT_USAGE,
                        "%s %.40s: the model has no token %.80s for this language%s; give a code "
                        "as the model's description lists them",
                        option, code, token_of(format, code, token, sizeof token) ? token : "",
                        others);
}

int nib_languages_find(struct nib_languages *out, const struct nib_model *model, const char *source,
                       const char *target)
{
    const struct keys keys = find_keys(model);
    *out = (struct nib_languages){.source_id = -1, .target_id = -1};
    int exit_code = NIB_EXIT_OK;
    if (source) {
        out->source = place_of(keys.source);
        exit_code = out->source == NIB_LANGUAGE_NOWHERE || !keys.format
                        ? nib_complain(NIB_EXIT_USAGE,
                                       "--src-lang: this model's sources name no language; leave "
                                       "it out")
                        : find_token(model, "--src-lang", keys.format, source, &out->source_id);
    }
    if (target && exit_code == NIB_EXIT_OK) {
        out->target = place_of(keys.target);
        exit_code = out->target == NIB_LANGUAGE_NOWHERE || !keys.format
                        ? nib_complain(NIB_EXIT_USAGE,
                                       "--tgt-lang: this model has no languages to choose from; "
                                       "leave it out")
                        : find_token(model, "--tgt-lang", keys.format, target, &out->target_id);
    }
    return exit_code;
}
