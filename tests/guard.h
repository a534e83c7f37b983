/*
 * Buffers for kernel tests between two unreadable pages: one right behind the buffer, or with
 * GUARD_BELOW right in front of it, so that reading or writing past it faults.  What is left of the
 * pages on the other side holds a pattern that is checked when the buffer is freed.
 */
#ifndef NIB_TEST_GUARD_H
#define NIB_TEST_GUARD_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GUARD_PATTERN = 0xa5 };
enum guard_side { GUARD_ABOVE, GUARD_BELOW };

struct guard_span {
    uint8_t *begin, *end; /* of the readable pages */
};

static inline size_t guard_page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* A buffer begins in the first and ends in the last of its pages, on whatever side it lies. */
static inline struct guard_span guard_span(const void *p, size_t n_bytes)
{
    const uintptr_t mask = guard_page() - 1;
    const uintptr_t begin = (uintptr_t)p & ~mask, end = ((uintptr_t)p + n_bytes + mask) & ~mask;
    return (struct guard_span){(uint8_t *)begin, (uint8_t *)end};
}

/* Filled with the pattern; `align` is a power of two up to the page size.  Aborts without memory.
 */
static inline void *guard_alloc_side(size_t n_bytes, size_t align, enum guard_side side)
{
    const size_t page = guard_page();
    const size_t n = (n_bytes + page - 1) / page * page;
    uint8_t *const base = mmap(NULL, n + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        abort();
    uint8_t *const begin = base + page;
    if (n != 0 && mprotect(begin, n, PROT_READ | PROT_WRITE) != 0)
        abort();
    memset(begin, GUARD_PATTERN, n);
    const uintptr_t last = ((uintptr_t)(begin + n) - n_bytes) & ~(uintptr_t)(align - 1);
    return side == GUARD_BELOW ? begin : (void *)last;
}

static inline void *guard_alloc(size_t n_bytes, size_t align)
{
    return guard_alloc_side(n_bytes, align, GUARD_ABOVE);
}

/* The arguments of guard_alloc() and its result.  Returns whether nothing around the buffer
 * changed. */
static inline int guard_free(void *p, size_t n_bytes, size_t align)
{
    const struct guard_span span = guard_span(p, n_bytes);
    int intact = (uintptr_t)p % align == 0;
    for (const uint8_t *at = span.begin; at < (uint8_t *)p; at++)
        intact &= *at == GUARD_PATTERN;
    for (const uint8_t *at = (uint8_t *)p + n_bytes; at < span.end; at++)
        intact &= *at == GUARD_PATTERN;
    const size_t page = guard_page();
    munmap(span.begin - page, (size_t)(span.end - span.begin) + 2 * page);
    return intact;
}

#endif
