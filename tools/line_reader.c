/* See line_reader.h. */
#include "line_reader.h"
#include "terminal.h"

#include <histedit.h>
#include <langinfo.h>
#include <limits.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

struct nib_line_reader {
    EditLine *edit; /* NULL for a pipe */
    History *history;
    HistEvent event;
    const char *prompt;
    char history_path[PATH_MAX];
    char *line; /* of getline() */
    size_t line_capacity;
};

/* ---- history -------------------------------------------------------------------------------- */

static void make_parents(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
}

/* The place for state that the XDG Base Directory Specification names; "" if there is none. */
static void find_history_path(char *path, size_t size)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int n = -1;
    if (state && *state == '/')
        n = snprintf(path, size, "%s/nibble/history", state);
    else if (home && *home == '/')
        n = snprintf(path, size, "%s/.local/state/nibble/history", home);
    if (n < 0 || (size_t)n >= size)
        *path = 0;
}

static void open_history(struct nib_line_reader *reader)
{
    reader->history = history_init();
    if (!reader->history)
        return;
    history(reader->history, &reader->event, H_SETSIZE, 1000);
    history(reader->history, &reader->event, H_SETUNIQUE, 1);
    find_history_path(reader->history_path, sizeof reader->history_path);
    if (*reader->history_path)
        history(reader->history, &reader->event, H_LOAD, reader->history_path);
    el_set(reader->edit, EL_HIST, history, reader->history);
}

static void save_history(struct nib_line_reader *reader)
{
    if (!*reader->history_path)
        return;
    make_parents(reader->history_path);
    const mode_t mask = umask(077); /* what people type is theirs */
    history(reader->history, &reader->event, H_SAVE, reader->history_path);
    umask(mask);
}

/* ---- the terminal --------------------------------------------------------------------------- */

/* One character for libedit, whose own reader would begin again after Ctrl-C. */
static int read_character(EditLine *edit, wchar_t *out)
{
    (void)edit;
    mbstate_t state = {0};
    for (;;) {
        char byte;
        if (!nib_wait_for_input() || read(STDIN_FILENO, &byte, 1) <= 0)
            return 0;
        const size_t length = mbrtowc(out, &byte, 1, &state);
        if (length == (size_t)-1)
            state = (mbstate_t){0}; /* not a character: skipped */
        else if (length != (size_t)-2)
            return 1;
    }
}

static char *show_prompt(EditLine *edit)
{
    struct nib_line_reader *reader;
    el_get(edit, EL_CLIENTDATA, &reader);
    return (char *)(uintptr_t)reader->prompt;
}

static void open_editor(struct nib_line_reader *reader)
{
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        setlocale(LC_CTYPE, "C.UTF-8");
    reader->edit = el_init("nibble", stdin, stdout, stderr);
    if (!reader->edit)
        return;
    el_set(reader->edit, EL_CLIENTDATA, reader);
    el_set(reader->edit, EL_PROMPT, show_prompt);
    el_set(reader->edit, EL_EDITOR, "emacs");
    el_set(reader->edit, EL_GETCFN, read_character);
    open_history(reader);
    el_source(reader->edit, NULL);
}

static enum nib_line next_edited(struct nib_line_reader *reader, struct nib_buffer *line)
{
    int n = 0;
    const char *text = el_gets(reader->edit, &n);
    if (nib_interrupt_seen()) {
        nib_interrupt_clear();
        el_reset(reader->edit);
        fputc('\n', stdout);
        return NIB_LINE_INTERRUPTED;
    }
    if (!text || n <= 0)
        return NIB_LINE_END;
    size_t n_bytes = strlen(text);
    if (reader->history && n_bytes > 1)
        history(reader->history, &reader->event, H_ENTER, text);
    n_bytes -= n_bytes > 0 && text[n_bytes - 1] == '\n';
    nib_buffer_add(line, text, n_bytes);
    return NIB_LINE_READ;
}

static enum nib_line next_piped(struct nib_line_reader *reader, struct nib_buffer *line)
{
    const ssize_t n = getline(&reader->line, &reader->line_capacity, stdin);
    if (n < 0)
        return NIB_LINE_END;
    nib_buffer_add(line, reader->line, (size_t)n - (reader->line[n - 1] == '\n'));
    return NIB_LINE_READ;
}

/* ---- readers -------------------------------------------------------------------------------- */

struct nib_line_reader *nib_line_reader_create(bool is_interactive)
{
    struct nib_line_reader *reader = calloc(1, sizeof *reader);
    if (reader && is_interactive)
        open_editor(reader);
    return reader;
}

void nib_line_reader_free(struct nib_line_reader *reader)
{
    if (!reader)
        return;
    if (reader->edit)
        el_end(reader->edit);
    if (reader->history) {
        save_history(reader);
        history_end(reader->history);
    }
    free(reader->line);
    free(reader);
}

enum nib_line nib_line_reader_next(struct nib_line_reader *reader, const char *prompt,
                                   struct nib_buffer *line)
{
    line->n_bytes = 0;
    nib_buffer_add(line, "", 0);
    reader->prompt = prompt;
    return reader->edit ? next_edited(reader, line) : next_piped(reader, line);
}
