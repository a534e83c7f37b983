/* See kv_blocks.h. */
#include "kv_blocks.h"

#include <stdlib.h>

enum nib_status nib_kv_blocks_create(struct nib_kv_blocks *b, struct nib_kv_cache *cache,
                                     struct nib_error *err)
{
    const size_t n = cache->n_sequences * cache->n_segments;
    *b = (struct nib_kv_blocks){.cache = cache, .n_blocks = n};
    b->table = malloc(n * sizeof(*b->table));
    b->blocks = calloc(n, sizeof(*b->blocks));
    b->copies = malloc(cache->n_sequences * sizeof(*b->copies));
    if (!b->table || !b->blocks || !b->copies) {
        nib_kv_blocks_free(b);
        return nib_fail_memory(err, n * (sizeof(*b->table) + sizeof(*b->blocks)),
                               "the blocks of the KV cache");
    }
    for (size_t i = 0; i < n; i++)
        b->table[i] = NIB_NO_BLOCK;
    cache->blocks = b->table;
    return NIB_OK;
}

void nib_kv_blocks_free(struct nib_kv_blocks *b)
{
    free(b->table);
    free(b->blocks);
    free(b->copies);
    *b = (struct nib_kv_blocks){0};
}

static int32_t *entry(const struct nib_kv_blocks *b, size_t sequence, size_t segment)
{
    return &b->table[sequence * b->cache->n_segments + segment];
}

static void release(struct nib_kv_blocks *b, int32_t *block)
{
    if (*block != NIB_NO_BLOCK)
        b->blocks[*block].n_users--;
    *block = NIB_NO_BLOCK;
}

static void take(struct nib_kv_blocks *b, int32_t *to, int32_t block)
{
    release(b, to);
    *to = block;
    b->blocks[block].n_users++;
    b->blocks[block].last_used = ++b->clock;
}

/* A block that nobody uses: of unknown content if there is one, else the one unused for longest.
 * There are as many as all tables have entries: none is left if each entry has one of its own. */
static int32_t find_unused(const struct nib_kv_blocks *b)
{
    int32_t best = NIB_NO_BLOCK;
    for (size_t i = 0; i < b->n_blocks; i++) {
        if (b->blocks[i].n_users > 0)
            continue;
        if (!b->blocks[i].is_known)
            return (int32_t)i;
        if (best == NIB_NO_BLOCK || b->blocks[i].last_used < b->blocks[best].last_used)
            best = (int32_t)i;
    }
    return best;
}

static void copy_later(struct nib_kv_blocks *b, int32_t to, int32_t from, size_t n, size_t segment)
{
    b->copies[b->n_copies++] = (struct nib_kv_block_copy){to, from, (uint32_t)n, (uint32_t)segment};
}

static bool is_copied(const struct nib_kv_blocks *b, int32_t block)
{
    for (size_t i = 0; i < b->n_copies; i++)
        if (b->copies[i].from == block)
            return true;
    return false;
}

void nib_kv_blocks_copy(const struct nib_kv_blocks *b, int thread, int n_threads)
{
    const struct nib_kv_cache *c = b->cache;
    for (size_t i = 0; i < b->n_copies; i++) {
        const struct nib_kv_block_copy *copy = &b->copies[i];
        for (size_t layer = 0; layer < c->n_layers; layer++)
            for (size_t head = 0; head < c->n_heads; head++) {
                if (nib_kv_owner(c, copy->segment, head, n_threads) != thread)
                    continue;
                const size_t part = layer * c->n_heads + head;
                const size_t n_parts = c->n_layers * c->n_heads;
                nib_kv_copy(c, c->memory + ((size_t)copy->to * n_parts + part) * c->segment_bytes,
                            c->memory + ((size_t)copy->from * n_parts + part) * c->segment_bytes,
                            copy->n);
            }
    }
}

void nib_kv_blocks_reserve(struct nib_kv_blocks *b, size_t sequence, size_t begin, size_t end)
{
    for (size_t segment = begin / NIB_SEGMENT; segment * NIB_SEGMENT < end; segment++) {
        int32_t *block = entry(b, sequence, segment);
        const size_t first = segment * NIB_SEGMENT;
        if (*block != NIB_NO_BLOCK && b->blocks[*block].n_users == 1 && !b->blocks[*block].is_known)
            continue;
        const int32_t old = *block, fresh = find_unused(b);
        if (fresh == NIB_NO_BLOCK) { /* its own, whose content is not kept then */
            assert(old != NIB_NO_BLOCK && b->blocks[old].n_users == 1);
            b->blocks[old].is_known = false;
            continue;
        }
        if (is_copied(b, fresh)) { /* before it gets another content */
            nib_kv_blocks_copy(b, 0, 1);
            b->n_copies = 0;
        }
        b->blocks[fresh].is_known = false;
        if (old != NIB_NO_BLOCK && begin > first)
            copy_later(b, fresh, old, begin - first, segment);
        take(b, block, fresh);
    }
}

/* The last one first: the beginning, without which the rest cannot be found, is kept for longest.
 */
void nib_kv_blocks_truncate(struct nib_kv_blocks *b, size_t sequence, size_t n)
{
    const size_t first = (n + NIB_SEGMENT - 1) / NIB_SEGMENT;
    for (size_t s = b->cache->n_segments; s-- > first;) {
        int32_t *block = entry(b, sequence, s);
        if (*block != NIB_NO_BLOCK)
            b->blocks[*block].last_used = ++b->clock;
        release(b, block);
    }
}

void nib_kv_blocks_fork(struct nib_kv_blocks *b, size_t from, size_t to, size_t n)
{
    if (from == to) {
        nib_kv_blocks_truncate(b, to, n);
        return;
    }
    nib_kv_blocks_truncate(b, to, 0);
    for (size_t s = 0; s * NIB_SEGMENT < n; s++)
        take(b, entry(b, to, s), *entry(b, from, s));
}

/* ---- by content ------------------------------------------------------------------------------ */

static int32_t find_known(const struct nib_kv_blocks *b, uint64_t before, const int32_t *ids)
{
    for (size_t i = 0; i < b->n_blocks; i++) {
        const struct nib_kv_block *block = &b->blocks[i];
        if (block->is_known && block->before == before &&
            memcmp(block->ids, ids, sizeof(block->ids)) == 0)
            return (int32_t)i;
    }
    return NIB_NO_BLOCK;
}

void nib_kv_blocks_learn(struct nib_kv_blocks *b, size_t sequence, const int32_t *ids, size_t n)
{
    uint64_t before = 0;
    for (size_t s = 0; (s + 1) * NIB_SEGMENT <= n; s++, ids += NIB_SEGMENT) {
        int32_t *own = entry(b, sequence, s);
        const int32_t same = b->blocks[*own].is_known ? *own : find_known(b, before, ids);
        if (same != NIB_NO_BLOCK && same != *own)
            take(b, own, same);
        struct nib_kv_block *block = &b->blocks[*own];
        if (!block->is_known) {
            block->is_known = true;
            block->before = before;
            block->serial = ++b->serial;
            memcpy(block->ids, ids, sizeof(block->ids));
        }
        before = block->serial;
    }
}

size_t nib_kv_blocks_reuse(struct nib_kv_blocks *b, size_t sequence, const int32_t *ids, size_t n)
{
    uint64_t before = 0;
    size_t s = 0;
    nib_kv_blocks_truncate(b, sequence, 0);
    for (; (s + 1) * NIB_SEGMENT < n; s++) {
        const int32_t block = find_known(b, before, ids + s * NIB_SEGMENT);
        if (block == NIB_NO_BLOCK)
            break;
        take(b, entry(b, sequence, s), block);
        before = b->blocks[block].serial;
    }
    return s * NIB_SEGMENT;
}
