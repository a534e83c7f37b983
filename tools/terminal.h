/*
 * What the commands say to people: exit codes, one-sentence complaints, notes, the progress bar,
 * standard output with its errors noticed, and Ctrl-C.
 */
#ifndef NIB_TERMINAL_H
#define NIB_TERMINAL_H

#include "nibble.h"

#include <stdio.h>

#ifdef __GNUC__
#define NIB_TOOL_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define NIB_TOOL_PRINTF(fmt, args)
#endif

enum nib_exit {
    NIB_EXIT_OK = 0,
    NIB_EXIT_RUNTIME = 1,
    NIB_EXIT_USAGE = 2,
    NIB_EXIT_FILE = 3, /* a model or input file is missing or bad */
    NIB_EXIT_MEMORY = 4,
    NIB_EXIT_CPU = 5,
    NIB_EXIT_INTERRUPT = 130,
};

enum nib_colour { NIB_COLOUR_AUTO, NIB_COLOUR_ALWAYS, NIB_COLOUR_NEVER };

/* Once, first: closed standard streams are made such that no file we open takes their place. */
void nib_terminal_init(void);
void nib_terminal_configure(enum nib_colour colour, bool is_quiet);

bool nib_is_quiet(void);
bool nib_is_terminal(FILE *stream);
bool nib_has_colour(FILE *stream);

/* "nibble: SENTENCE" on stderr, control characters escaped.  Returns `exit_code`. */
int nib_complain(enum nib_exit exit_code, const char *format, ...) NIB_TOOL_PRINTF(2, 3);
/* The same with the library's sentence and the exit code that its status maps to. */
int nib_complain_error(const struct nib_error *err);
enum nib_exit nib_exit_code(enum nib_status status);
/* A line on stderr, escaped too, dimmed on a terminal; nothing with --quiet. */
void nib_note(const char *format, ...) NIB_TOOL_PRINTF(1, 2);

/* Memory or the end of the program with exit code 4. */
void *nib_grow(void *memory, size_t count, size_t size);

/* Text to standard output at once; false when it could not be written. */
bool nib_print(const char *text, size_t n_bytes);
/* Flushes stdout: `exit_code`, or 1 with a complaint where output was lost. */
int nib_finish_output(int exit_code);
/* Text from anywhere, with control characters and what is no UTF-8 as \xNN. */
void nib_print_escaped(FILE *stream, const char *text, size_t n_bytes);

/* A bar on stderr once the work has taken a second, on a terminal only. */
struct nib_progress {
    const char *label;
    double started, drawn;
    bool is_drawn;
};

void nib_progress_start(struct nib_progress *progress, const char *label);
void nib_progress_update(void *progress, uint64_t done, uint64_t total); /* a nib_progress_fn */
void nib_progress_end(struct nib_progress *progress);

double nib_seconds(void); /* monotonic */

/* From now on Ctrl-C sets a flag and cancels `context` (may be NULL) instead of ending the program.
 */
void nib_interrupt_catch(struct nib_context *context);
bool nib_interrupt_seen(void);
/* Waits until standard input can be read; false if Ctrl-C came first. */
bool nib_wait_for_input(void);
void nib_interrupt_clear(void);

/* The file at `path` is removed should SIGTERM or SIGHUP end the program; NULL: no file.  The
 * string must last until the next call. */
void nib_unfinished(const char *path);

#endif
