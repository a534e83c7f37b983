/*
 * Lines from a person or from a pipe.  On a terminal they can be edited, and earlier ones come back
 * with the arrow keys, also those of earlier sessions.
 */
#ifndef NIB_LINE_READER_H
#define NIB_LINE_READER_H

#include "input.h"

struct nib_line_reader;

/* Interrupted: by Ctrl-C, on a terminal. */
enum nib_line { NIB_LINE_READ, NIB_LINE_END, NIB_LINE_INTERRUPTED };

/* NULL if there is no memory. */
struct nib_line_reader *nib_line_reader_create(bool is_interactive);
void nib_line_reader_free(struct nib_line_reader *reader);

/* The next line without its newline.  `prompt` is shown on a terminal only. */
enum nib_line nib_line_reader_next(struct nib_line_reader *reader, const char *prompt,
                                   struct nib_buffer *line);

#endif
