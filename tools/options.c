/* See options.h. */
#include "options.h"
#include "terminal.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- values --------------------------------------------------------------------------------- */

static bool parse_int(const char *text, int64_t *out)
{
    const char *digits = text + (*text == '-');
    if (!*digits || strspn(digits, "0123456789") != strlen(digits))
        return false;
    errno = 0;
    *out = strtoll(text, NULL, 10);
    return errno == 0;
}

/* The program never sets LC_NUMERIC, so strtod takes a point; the set of characters keeps out what
 * else it knows: nan, inf, hexadecimals, leading blanks. */
static bool parse_number(const char *text, double *out)
{
    char *end;
    if (!*text || strspn(text, "+-.0123456789eE") != strlen(text))
        return false;
    *out = strtod(text, &end);
    return !*end && isfinite(*out);
}

static bool is_in_range(const struct nib_option *option, double value)
{
    return value >= option->min && value <= option->max;
}

static bool set_int(const struct nib_option *option, const char *text, int64_t *out)
{
    int64_t value;
    if (option->has_auto && (strcmp(text, "auto") == 0 || strcmp(text, "-1") == 0))
        value = 0;
    else if (!parse_int(text, &value) || !is_in_range(option, (double)value))
        return false;
    *out = value;
    return true;
}

static bool set_list(const struct nib_option *option, const char *text, struct nib_int_list *out)
{
    struct nib_int_list list = {0};
    for (;;) {
        char item[32];
        const size_t length = strcspn(text, ",");
        if (length >= sizeof item || list.n == sizeof list.values / sizeof list.values[0])
            return false;
        memcpy(item, text, length);
        item[length] = 0;
        if (!set_int(option, item, &list.values[list.n++]))
            return false;
        if (!text[length])
            break;
        text += length + 1;
    }
    *out = list;
    return true;
}

static bool add_word(const char *text, struct nib_words *out)
{
    if (out->n == sizeof out->values / sizeof out->values[0])
        return false;
    out->values[out->n++] = text;
    return true;
}

static bool set_choice(const struct nib_option *option, const char *text, int *out)
{
    for (int i = 0; option->choices[i]; i++) {
        if (strcmp(text, option->choices[i]) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

static bool set_value(const struct nib_option *option, const char *text)
{
    double number;
    switch (option->kind) {
    case NIB_OPTION_TEXT:
        *(const char **)option->value = text;
        return true;
    case NIB_OPTION_INT:
        return set_int(option, text, option->value);
    case NIB_OPTION_LIST:
        return set_list(option, text, option->value);
    case NIB_OPTION_WORDS:
        return add_word(text, option->value);
    case NIB_OPTION_CHOICE:
        return set_choice(option, text, option->value);
    case NIB_OPTION_MODE:
        if (!set_choice(option, text, option->value))
            return false;
        ++*(int *)option->value;
        return true;
    case NIB_OPTION_NUMBER:
        if (!parse_number(text, &number) || !is_in_range(option, number))
            return false;
        *(double *)option->value = number;
        return true;
    case NIB_OPTION_ON:
    case NIB_OPTION_OFF:
        break;
    }
    return false;
}

static bool takes_value(const struct nib_option *option)
{
    return option->kind != NIB_OPTION_ON && option->kind != NIB_OPTION_OFF;
}

static void set_flag(const struct nib_option *option, bool is_set)
{
    *(bool *)option->value = (option->kind == NIB_OPTION_ON) == is_set;
}

/* "auto or a whole number from 1 to 1024" */
static void describe_values(const struct nib_option *option, char *out, size_t size)
{
    if (option->kind == NIB_OPTION_CHOICE || option->kind == NIB_OPTION_MODE) {
        size_t used = 0;
        for (int i = 0; option->choices[i] && used < size; i++)
            used += (size_t)snprintf(out + used, size - used, "%s%s",
                                     i == 0                   ? ""
                                     : option->choices[i + 1] ? ", "
                                                              : " or ",
                                     option->choices[i]);
        return;
    }
    if (option->kind == NIB_OPTION_WORDS) {
        snprintf(out, size, "it at most 64 times");
        return;
    }
    const bool is_whole = option->kind != NIB_OPTION_NUMBER;
    snprintf(out, size, "%s%s%s from %.10g to %.10g", option->has_auto ? "auto or " : "",
             is_whole ? "a whole number" : "a number",
             option->kind == NIB_OPTION_LIST ? " (or several with commas, at most 16)" : "",
             option->min, option->max);
}

/* ---- reading -------------------------------------------------------------------------------- */

static const struct nib_option *next_option(const struct nib_command *command, size_t *table,
                                            size_t *row)
{
    for (; command->tables[*table]; (*table)++, *row = 0) {
        const struct nib_option *option = &command->tables[*table][*row];
        if (option->name) {
            (*row)++;
            return option;
        }
    }
    return NULL;
}

static bool is_called(const struct nib_option *option, const char *name, size_t length)
{
    const char *const names[] = {option->short_name, option->name, option->alias};
    for (size_t i = 0; i < 3; i++) {
        if (names[i] && strlen(names[i]) == length && memcmp(names[i], name, length) == 0)
            return true;
    }
    return false;
}

static const struct nib_option *find_option(const struct nib_command *command, const char *name,
                                            size_t length)
{
    size_t table = 0, row = 0;
    const struct nib_option *option;
    while ((option = next_option(command, &table, &row)) != NULL) {
        if (is_called(option, name, length))
            return option;
    }
    return NULL;
}

static enum nib_options_result complain_value(const struct nib_command *command,
                                              const struct nib_option *option, const char *where,
                                              const char *separator, const char *text)
{
    char expected[160];
    describe_values(option, expected, sizeof expected);
    nib_complain(NIB_EXIT_USAGE, "%s%s%.100s: expected %s; see nibble %s --help", where, separator,
                 text, expected, command->name);
    return NIB_OPTIONS_WRONG;
}

static void environment_name(const struct nib_option *option, char *out, size_t size)
{
    size_t n = (size_t)snprintf(out, size, "NIBBLE_");
    for (const char *c = option->name + 2; *c && n + 1 < size; c++)
        out[n++] = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    out[n] = 0;
}

static enum nib_options_result read_environment(const struct nib_command *command)
{
    size_t table = 0, row = 0;
    const struct nib_option *option;
    while ((option = next_option(command, &table, &row)) != NULL) {
        char name[64];
        environment_name(option, name, sizeof name);
        const char *text = getenv(name);
        if (!text || !*text)
            continue;
        if (takes_value(option)) {
            if (!set_value(option, text))
                return complain_value(command, option, name, "=", text);
        } else if (strcmp(text, "1") == 0 || strcmp(text, "0") == 0) {
            set_flag(option, *text == '1');
        } else {
            nib_complain(NIB_EXIT_USAGE, "%s=%.100s: expected 1 or 0; see nibble %s --help", name,
                         text, command->name);
            return NIB_OPTIONS_WRONG;
        }
    }
    return NIB_OPTIONS_READ;
}

enum { MAX_GIVEN = 256 }; /* more than a command has options */
static const struct nib_option *given[MAX_GIVEN];
static size_t n_given;

bool nib_option_is_given(const struct nib_option *option)
{
    for (size_t i = 0; i < n_given; i++)
        if (given[i] == option)
            return true;
    return false;
}

/* One argument and, where it stands apart, its value.  *i is the last argument used. */
static enum nib_options_result read_option(const struct nib_command *command, int argc, char **argv,
                                           int *i)
{
    const char *argument = argv[*i];
    const char *equals = strncmp(argument, "--", 2) == 0 ? strchr(argument, '=') : NULL;
    const size_t length = equals ? (size_t)(equals - argument) : strlen(argument);
    const struct nib_option *option = find_option(command, argument, length);
    if (!option) {
        nib_complain(NIB_EXIT_USAGE, "unknown option %.*s; nibble %s --help lists what there is",
                     (int)(length < 100 ? length : 100), argument, command->name);
        return NIB_OPTIONS_WRONG;
    }
    if (!nib_option_is_given(option) && n_given < MAX_GIVEN)
        given[n_given++] = option;
    if (!takes_value(option)) {
        if (equals) {
            nib_complain(NIB_EXIT_USAGE, "%s takes no value; write it alone", option->name);
            return NIB_OPTIONS_WRONG;
        }
        set_flag(option, true);
        return NIB_OPTIONS_READ;
    }
    if (!equals && option->kind == NIB_OPTION_MODE) {
        int index;
        if (*i + 1 == argc || !set_choice(option, argv[*i + 1], &index)) {
            *(int *)option->value = 1;
            return NIB_OPTIONS_READ;
        }
    }
    if (!equals && *i + 1 == argc) {
        nib_complain(NIB_EXIT_USAGE, "%s needs a value: %s %s; see nibble %s --help", argument,
                     argument, option->value_name, command->name);
        return NIB_OPTIONS_WRONG;
    }
    const char *text = equals ? equals + 1 : argv[++*i];
    if (!set_value(option, text))
        return complain_value(command, option, equals ? option->name : argument, " ", text);
    return NIB_OPTIONS_READ;
}

static void print_help(const struct nib_command *command);

static const char **positional_place(const struct nib_command *command, size_t i)
{
    return i == 0 ? command->positional : command->more_positionals[i - 1];
}

enum nib_options_result nib_options_read(const struct nib_command *command, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help(command);
            return NIB_OPTIONS_HELPED;
        }
    }
    if (read_environment(command) != NIB_OPTIONS_READ)
        return NIB_OPTIONS_WRONG;

    const char *last = NULL; /* argument without a dash */
    size_t n_positionals = 0;
    bool is_options_over = false;
    for (int i = 0; i < argc; i++) {
        if (!is_options_over && strcmp(argv[i], "--") == 0) {
            is_options_over = true;
        } else if (!is_options_over && argv[i][0] == '-' && argv[i][1]) {
            if (read_option(command, argc, argv, &i) != NIB_OPTIONS_READ)
                return NIB_OPTIONS_WRONG;
        } else {
            const char **place = positional_place(command, n_positionals++);
            if (!place) {
                nib_complain(
                    NIB_EXIT_USAGE,
                    "unexpected argument %.100s after %.100s; put text with blanks in quotes",
                    argv[i], last);
                return NIB_OPTIONS_WRONG;
            }
            *place = last = argv[i];
        }
    }
    if (!*command->positional || !**command->positional) {
        nib_complain(NIB_EXIT_USAGE, "no model given; usage: nibble %s %s", command->name,
                     command->usage);
        return NIB_OPTIONS_WRONG;
    }
    for (size_t i = 0; command->more_positionals[i]; i++)
        if (!*command->more_positionals[i]) {
            nib_complain(NIB_EXIT_USAGE, "an argument is missing; usage: nibble %s %s",
                         command->name, command->usage);
            return NIB_OPTIONS_WRONG;
        }
    return NIB_OPTIONS_READ;
}

/* ---- help ----------------------------------------------------------------------------------- */

static void print_default(const struct nib_option *option)
{
    switch (option->kind) {
    case NIB_OPTION_INT: {
        const int64_t value = *(const int64_t *)option->value;
        if (!option->has_auto && is_in_range(option, (double)value))
            printf(" (default %lld)", (long long)value);
        else if (option->has_auto && value == 0)
            printf(" (default auto)");
        break;
    }
    case NIB_OPTION_NUMBER:
        if (is_in_range(option, *(const double *)option->value))
            printf(" (default %g)", *(const double *)option->value);
        break;
    case NIB_OPTION_CHOICE:
        printf(" (default %s)", option->choices[*(const int *)option->value]);
        break;
    default:
        break;
    }
}

static void print_help(const struct nib_command *command)
{
    printf("nibble %s: %s\n\nusage: nibble %s %s\n\n", command->name, command->summary,
           command->name, command->usage);
    size_t table = 0, row = 0;
    const struct nib_option *option;
    while ((option = next_option(command, &table, &row)) != NULL) {
        char names[80];
        snprintf(names, sizeof names, "%s%s%s%s%s%s%s",
                 option->short_name ? option->short_name : "", option->short_name ? ", " : "",
                 option->name, option->alias ? ", " : "", option->alias ? option->alias : "",
                 takes_value(option) ? " " : "", takes_value(option) ? option->value_name : "");
        printf("  %-32s %s", names, option->help);
        print_default(option);
        putchar('\n');
    }
    printf("  %-32s this text\n\n", "-h, --help");
    printf(
        "Every option can be set in the environment: --ctx-size 4096 is NIBBLE_CTX_SIZE=4096.\n");
}
