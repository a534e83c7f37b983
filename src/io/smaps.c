/* Resident and huge pages of a range of addresses; see smaps.h. */
#include "smaps.h"

#include <stdio.h>
#include <stdlib.h>

/* The part of a mapping that lies in the range. */
struct mapping {
    uint64_t n_bytes, n_inside;
};

/* "7f0000000000-7f0000200000 rw-p ...", the first line of a mapping. */
static bool parse_header(const char *line, uint64_t begin, uint64_t end, struct mapping *out)
{
    char *rest;
    const uint64_t first = strtoull(line, &rest, 16);
    if (rest == line || *rest != '-')
        return false;
    const char *second = rest + 1;
    const uint64_t last = strtoull(second, &rest, 16);
    if (rest == second || *rest != ' ' || last <= first)
        return false;
    const uint64_t from = first > begin ? first : begin, to = last < end ? last : end;
    *out = (struct mapping){last - first, to > from ? to - from : 0};
    return true;
}

/* "AnonHugePages:     2048 kB": adds the range's share in bytes. */
static void add_field(const char *line, const char *name, const struct mapping *m, uint64_t *sum)
{
    const size_t length = strlen(name);
    if (m->n_inside == 0 || strncmp(line, name, length) != 0)
        return;
    const uint64_t kib = strtoull(line + length, NULL, 10);
    *sum += (uint64_t)((double)kib * 1024 * ((double)m->n_inside / (double)m->n_bytes));
}

struct nib_pages nib_smaps_pages(const char *root, const void *memory, size_t n_bytes)
{
    char text[4096];
    struct nib_pages pages = {0};
    struct mapping mapping = {0};
    snprintf(text, sizeof(text), "%s/proc/self/smaps", root);
    FILE *file = fopen(text, "re");
    if (!file)
        return pages;
    const uint64_t begin = (uintptr_t)memory;
    for (bool is_start = true; fgets(text, sizeof(text), file);) {
        if (is_start && !parse_header(text, begin, begin + n_bytes, &mapping)) {
            add_field(text, "Rss:", &mapping, &pages.resident);
            add_field(text, "AnonHugePages:", &mapping, &pages.huge);
            add_field(text, "FilePmdMapped:", &mapping, &pages.huge);
        }
        is_start = strchr(text, '\n') != NULL; /* the next piece is a line of its own */
    }
    fclose(file);
    return pages;
}
