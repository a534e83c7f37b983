/* See terminal.h. */
#include "terminal.h"
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

static struct {
    enum nib_colour colour;
    bool is_quiet;
} policy;

void nib_terminal_init(void)
{
    /* Opened the wrong way round, so that using a closed stream still fails, but on its own number.
     */
    if (fcntl(STDIN_FILENO, F_GETFD) == -1)
        (void)!open("/dev/null", O_WRONLY);
    if (fcntl(STDOUT_FILENO, F_GETFD) == -1)
        (void)!open("/dev/null", O_RDONLY);
    if (fcntl(STDERR_FILENO, F_GETFD) == -1)
        (void)!open("/dev/null", O_WRONLY);
}

void nib_terminal_configure(enum nib_colour colour, bool is_quiet)
{
    policy.colour = colour;
    policy.is_quiet = is_quiet;
}

bool nib_is_quiet(void)
{
    return policy.is_quiet;
}

bool nib_is_terminal(FILE *stream)
{
    return isatty(fileno(stream));
}

bool nib_has_colour(FILE *stream)
{
    if (policy.colour != NIB_COLOUR_AUTO)
        return policy.colour == NIB_COLOUR_ALWAYS;
    const char *no_colour = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");
    return nib_is_terminal(stream) && (!no_colour || !*no_colour) && terminal &&
           strcmp(terminal, "dumb") != 0;
}

void nib_print_escaped(FILE *stream, const char *text, size_t n_bytes)
{
    size_t good = 0; /* text[i .. good) is UTF-8 */
    for (size_t i = 0; i < n_bytes; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (i >= good)
            good = i + nib_utf8_prefix(text + i, n_bytes - i);
        if (c == '\n')
            fputs("\\n", stream);
        else if (c < 0x20 || c == 0x7f || i == good)
            fprintf(stream, "\\x%02x", c);
        else if (c == 0xc2 && (unsigned char)text[i + 1] < 0xa0) /* the other control characters */
            fprintf(stream, "\\u%04x", (unsigned char)text[++i]);
        else
            fputc(c, stream);
    }
}

int nib_complain(enum nib_exit exit_code, const char *format, ...)
{
    char sentence[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);

    fputs("nibble: ", stderr);
    nib_print_escaped(stderr, sentence, strlen(sentence));
    fputc('\n', stderr);
    return (int)exit_code;
}

enum nib_exit nib_exit_code(enum nib_status status)
{
    switch (status) {
    case NIB_OK:
        return NIB_EXIT_OK;
    case NIB_ERROR_ARGUMENT:
        return NIB_EXIT_USAGE;
    case NIB_ERROR_FILE:
    case NIB_ERROR_TEMPLATE:
    case NIB_ERROR_NUMERIC:
        return NIB_EXIT_FILE;
    case NIB_ERROR_MEMORY:
        return NIB_EXIT_MEMORY;
    case NIB_ERROR_CPU:
        return NIB_EXIT_CPU;
    case NIB_ERROR_CANCELLED:
        return NIB_EXIT_INTERRUPT;
    case NIB_ERROR_IO:
    case NIB_ERROR_CONTEXT:
        break;
    }
    return NIB_EXIT_RUNTIME;
}

int nib_complain_error(const struct nib_error *err)
{
    /* Who pressed Ctrl-C knows why it stopped. */
    if (err->status == NIB_ERROR_CANCELLED)
        return NIB_EXIT_INTERRUPT;
    return nib_complain(nib_exit_code(err->status), "%s", err->message);
}

void nib_note(const char *format, ...)
{
    if (policy.is_quiet)
        return;
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);

    const bool is_dim = nib_has_colour(stderr);
    fputs(is_dim ? "\033[2m" : "", stderr);
    nib_print_escaped(stderr, line, strlen(line));
    fputs(is_dim ? "\033[0m\n" : "\n", stderr);
}

void *nib_grow(void *memory, size_t count, size_t size)
{
    void *grown = NULL;
    if (size == 0 || count <= SIZE_MAX / 2 / size)
        grown = realloc(memory, count && size ? count * size : 1);
    if (!grown)
        exit(nib_complain(NIB_EXIT_MEMORY,
                          "out of memory: could not get %zu x %zu bytes; free some "
                          "memory or give less input",
                          count, size));
    return grown;
}

static int output_errno; /* why the first write to stdout that failed did so */

static bool flush_output(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return true;
    if (!output_errno)
        output_errno = errno;
    return false;
}

bool nib_print(const char *text, size_t n_bytes)
{
    fwrite(text, 1, n_bytes, stdout);
    return flush_output();
}

int nib_finish_output(int exit_code)
{
    if (flush_output())
        return exit_code;
    const int failed =
        nib_complain(NIB_EXIT_RUNTIME,
                     "cannot write to standard output: %s; the result is incomplete, "
                     "send it where it can be written",
                     strerror(output_errno));
    return exit_code == NIB_EXIT_OK ? failed : exit_code;
}

/* ---- progress ------------------------------------------------------------------------------- */

double nib_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void nib_progress_start(struct nib_progress *progress, const char *label)
{
    *progress = (struct nib_progress){.label = label, .started = nib_seconds()};
}

void nib_progress_update(void *data, uint64_t done, uint64_t total)
{
    enum { WIDTH = 30 };
    struct nib_progress *progress = data;
    const double now = nib_seconds();
    if (policy.is_quiet || total == 0 || now - progress->started < 1.0 ||
        now - progress->drawn < 0.1 || !nib_is_terminal(stderr))
        return;
    const double share = done < total ? (double)done / (double)total : 1.0;
    const int filled = (int)(share * WIDTH);
    fprintf(stderr, "\r%s [%.*s%.*s] %3.0f %%", progress->label, filled,
            "##############################", WIDTH - filled, "------------------------------",
            100.0 * share);
    fflush(stderr);
    progress->drawn = now;
    progress->is_drawn = true;
}

void nib_progress_end(struct nib_progress *progress)
{
    if (progress->is_drawn)
        fputs("\r\033[K", stderr);
    progress->is_drawn = false;
}

/* ---- Ctrl-C --------------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;
static struct nib_context *volatile cancelled_context;

static void handle_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
    if (cancelled_context)
        nib_context_cancel(cancelled_context);
}

void nib_interrupt_catch(struct nib_context *context)
{
    cancelled_context = context;
    /* SA_RESTART, so that no output is lost in the middle of a write; pselect() returns anyway. */
    struct sigaction action = {.sa_handler = handle_interrupt, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

bool nib_interrupt_seen(void)
{
    return interrupted;
}

/* SIGINT is let through while waiting only, so that none can slip in between the look at the flag
 * and the wait. */
bool nib_wait_for_input(void)
{
    sigset_t interrupt, before;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    sigprocmask(SIG_BLOCK, &interrupt, &before);
    int n = -1;
    while (!interrupted && n < 0) {
        fd_set input;
        FD_ZERO(&input);
        FD_SET(STDIN_FILENO, &input);
        n = pselect(STDIN_FILENO + 1, &input, NULL, NULL, NULL, &before);
        if (n < 0 && errno != EINTR)
            break;
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return !interrupted;
}

void nib_interrupt_clear(void)
{
    interrupted = 0;
}

/* ---- files that are not done ---------------------------------------------------------------- */

static const char *volatile unfinished_file;

static void remove_unfinished(int signal_number)
{
    if (unfinished_file)
        unlink(unfinished_file);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

void nib_unfinished(const char *path)
{
    static const int signals[] = {SIGTERM, SIGHUP};
    unfinished_file = path;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        struct sigaction before;
        struct sigaction action = {.sa_handler = path ? remove_unfinished : SIG_DFL};
        sigemptyset(&action.sa_mask);
        /* nohup's SIG_IGN stays. */
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
    }
}
