/* Merging of neighbours by key, see merge.h. */
#include "merge.h"

#include <stdlib.h>

bool nib_merge_reserve(struct nib_merge *merge, size_t n)
{
    if (n <= merge->capacity)
        return true;
    const size_t capacity = n < 256 ? 256 : n + n / 2;
    if (capacity > SIZE_MAX / sizeof(struct nib_symbol))
        return false;
    free(merge->symbols);
    merge->capacity = 0;
    merge->symbols = malloc(capacity * sizeof(struct nib_symbol));
    if (merge->symbols == NULL)
        return false;
    merge->capacity = capacity;
    return true;
}

void nib_merge_free(struct nib_merge *merge)
{
    free(merge->symbols);
    free(merge->heap);
    *merge = (struct nib_merge){0};
}

static bool heap_reserve(struct nib_merge *merge, size_t n)
{
    if (n <= merge->heap_capacity)
        return true;
    const size_t capacity = n < 256 ? 256 : n + n / 2;
    if (capacity > SIZE_MAX / sizeof(uint64_t))
        return false;
    uint64_t *heap = realloc(merge->heap, capacity * sizeof(uint64_t));
    if (heap == NULL)
        return false;
    merge->heap = heap;
    merge->heap_capacity = capacity;
    return true;
}

static void sift_down(uint64_t *heap, size_t n, size_t i)
{
    const uint64_t value = heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n)
            break;
        if (child + 1 < n && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= value)
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = value;
}

static void sift_up(uint64_t *heap, size_t i)
{
    const uint64_t value = heap[i];
    for (; i > 0 && heap[(i - 1) / 2] > value; i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = value;
}

static uint64_t heap_pop(struct nib_merge *merge)
{
    const uint64_t top = merge->heap[0];
    merge->heap[0] = merge->heap[--merge->n_heap];
    if (merge->n_heap > 1)
        sift_down(merge->heap, merge->n_heap, 0);
    return top;
}

/* Ask whether symbol i merges with its next; if so, its heap entry. */
static bool find_pair(struct nib_merge *merge, uint32_t i, nib_pair_fn *pair, const void *data,
                      uint64_t *entry)
{
    struct nib_symbol *left = &merge->symbols[i];
    left->pair_id = -1;
    if (left->next == NIB_NO_SYMBOL || !pair(data, left, &merge->symbols[left->next]))
        return false;
    *entry = (uint64_t)left->pair_key << 32 | i;
    return true;
}

static void push_pair(struct nib_merge *merge, uint32_t i, nib_pair_fn *pair, const void *data)
{
    uint64_t entry;
    if (i != NIB_NO_SYMBOL && find_pair(merge, i, pair, data, &entry)) {
        merge->heap[merge->n_heap] = entry;
        sift_up(merge->heap, merge->n_heap++);
    }
}

static void link_symbols(struct nib_merge *merge)
{
    const uint32_t n = (uint32_t)merge->n_symbols;
    for (uint32_t i = 0; i < n; i++) {
        merge->symbols[i].prev = i == 0 ? NIB_NO_SYMBOL : i - 1;
        merge->symbols[i].next = i + 1 == n ? NIB_NO_SYMBOL : i + 1;
    }
}

static void join_with_next(struct nib_merge *merge, struct nib_symbol *left, uint32_t left_index)
{
    struct nib_symbol *right = &merge->symbols[left->next];
    left->id = left->pair_id;
    left->end = right->end;
    left->next = right->next;
    right->pair_id = -1; /* whatever the heap still has of it is void */
    if (right->next != NIB_NO_SYMBOL)
        merge->symbols[right->next].prev = left_index;
}

bool nib_merge_run(struct nib_merge *merge, nib_pair_fn *pair, const void *data)
{
    assert(merge->n_symbols < NIB_NO_SYMBOL);
    link_symbols(merge);
    if (!heap_reserve(merge, merge->n_symbols + 2))
        return false;
    merge->n_heap = 0;
    for (uint32_t i = 0; i < merge->n_symbols; i++)
        merge->n_heap += find_pair(merge, i, pair, data, &merge->heap[merge->n_heap]);
    for (size_t i = merge->n_heap / 2; i-- > 0;)
        sift_down(merge->heap, merge->n_heap, i);

    while (merge->n_heap > 0) {
        const uint64_t entry = heap_pop(merge);
        const uint32_t i = (uint32_t)entry;
        struct nib_symbol *left = &merge->symbols[i];
        if (left->pair_id < 0 || left->pair_key != entry >> 32)
            continue; /* one of the two has become part of something else */
        join_with_next(merge, left, i);
        if (!heap_reserve(merge, merge->n_heap + 2))
            return false;
        push_pair(merge, left->prev, pair, data);
        push_pair(merge, i, pair, data);
    }
    return true;
}
