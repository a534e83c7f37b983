/*
 * Options of a command: tables of rows that say how an option is written, what it takes and where
 * it goes.  Every option can also be given as NIBBLE_<NAME> in the environment (--ctx-size is
 * NIBBLE_CTX_SIZE); the command line wins.  Numbers are read whole, without regard to the locale.
 */
#ifndef NIB_OPTIONS_H
#define NIB_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum nib_option_kind {
    NIB_OPTION_ON,     /* bool: becomes true */
    NIB_OPTION_OFF,    /* bool: becomes false */
    NIB_OPTION_TEXT,   /* const char * */
    NIB_OPTION_INT,    /* int64_t in min..max */
    NIB_OPTION_NUMBER, /* double in min..max */
    NIB_OPTION_CHOICE, /* int: index of the word in choices */
    NIB_OPTION_MODE,   /* int: 1 + that; alone the first word; 0 where it is not given */
    NIB_OPTION_LIST,   /* struct nib_int_list, each in min..max */
    NIB_OPTION_WORDS,  /* struct nib_words: may be given again and again */
};

struct nib_int_list {
    size_t n;
    int64_t values[16];
};

struct nib_words {
    size_t n;
    const char *values[64];
};

struct nib_option {
    const char *short_name; /* "-c", or NULL */
    const char *name;       /* "--ctx-size"; NULL ends a table */
    const char *alias;      /* a second long name, or NULL */
    const char *value_name; /* "N" */
    const char *help;
    enum nib_option_kind kind;
    void *value;
    double min, max;
    bool has_auto; /* integers: "auto" and -1 stand for 0 */
    const char *const *choices;
};

struct nib_command {
    const char *name, *summary, *usage;
    const struct nib_option *const *tables; /* ends in NULL */
    const char **positional;                /* where the first argument without a dash goes */
    const char **more_positionals[3];       /* and those after it, all needed; ends in NULL */
    int (*run)(void);
};

enum nib_options_result { NIB_OPTIONS_READ, NIB_OPTIONS_HELPED, NIB_OPTIONS_WRONG };

/* Environment, then arguments.  Complains about what is wrong; prints the help where it is asked
 * for. */
enum nib_options_result nib_options_read(const struct nib_command *command, int argc, char **argv);

/* Was it among the arguments?  What the environment sets is for all commands, needed or not. */
bool nib_option_is_given(const struct nib_option *option);

#endif
