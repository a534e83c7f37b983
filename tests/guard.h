/*
 * Buffers for kernel tests that end at an unreadable page, so that reading or writing past the end
 * faults; where the alignment leaves a gap before that page, and in front of the buffer, a pattern
 * is checked when the buffer is freed.
 */
#ifndef NIB_TEST_GUARD_H
#define NIB_TEST_GUARD_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GUARD_PATTERN = 0xa5 };

struct guard_span {
    uint8_t *begin, *end; /* of the readable pages */
};

static inline size_t guard_page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static inline struct guard_span guard_span(const void *p, size_t n_bytes, size_t align)
{
    const size_t page = guard_page();
    const size_t n = (n_bytes + align + page - 1) / page * page;
    const uintptr_t end = ((uintptr_t)p + n_bytes + page - 1) / page * page;
    return (struct guard_span){(uint8_t *)end - n, (uint8_t *)end};
}

/* Filled with the pattern; `align` is a power of two below the page size.  Exits without memory. */
static inline void *guard_alloc(size_t n_bytes, size_t align)
{
    const size_t page = guard_page();
    const size_t n = (n_bytes + align + page - 1) / page * page;
    uint8_t *const base =
        mmap(NULL, n + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED || mprotect(base + n, page, PROT_NONE) != 0)
        abort();
    memset(base, GUARD_PATTERN, n);
    return (void *)(((uintptr_t)(base + n) - n_bytes) & ~(uintptr_t)(align - 1));
}

/* The same arguments as for guard_alloc().  Returns whether nothing around the buffer changed. */
static inline int guard_free(void *p, size_t n_bytes, size_t align)
{
    const struct guard_span span = guard_span(p, n_bytes, align);
    int intact = 1;
    for (const uint8_t *at = span.begin; at < (uint8_t *)p; at++)
        intact &= *at == GUARD_PATTERN;
    for (const uint8_t *at = (uint8_t *)p + n_bytes; at < span.end; at++)
        intact &= *at == GUARD_PATTERN;
    munmap(span.begin, (size_t)(span.end - span.begin) + guard_page());
    return intact;
}

#endif
