/* How fast a context's threads read memory: the yardstick of token generation. */
#include "context.h"
#include "os.h"
#include "parallel.h"

#include <stdatomic.h>

enum { REPEATS = 5, SHARE = 48 << 20 }; /* bytes per thread: more than its share of any cache */

struct stream {
    const uint64_t *data;
    size_t n_words;
    _Atomic uint64_t sum; /* keeps the reads alive */
};

static void read_share(void *data, int thread, int n_threads)
{
    struct stream *s = data;
    size_t begin, end;
    uint64_t sum[8] = {0};
    nib_share(s->n_words, 512, thread, n_threads, &begin, &end);
    for (size_t i = begin; i + 8 <= end; i += 8)
        for (size_t j = 0; j < 8; j++)
            sum[j] += s->data[i + j];
    for (size_t j = 1; j < 8; j++)
        sum[0] += sum[j];
    atomic_fetch_add(&s->sum, sum[0]);
}

static void touch_share(void *data, int thread, int n_threads)
{
    struct stream *s = data;
    size_t begin, end;
    nib_share(s->n_words, 512, thread, n_threads, &begin, &end);
    memset((uint64_t *)s->data + begin, 1, (end - begin) * sizeof(uint64_t));
}

double nib_measure_bandwidth(struct nib_context *context)
{
    struct nib_team *team = nib_context_team(context);
    const size_t n_bytes = (size_t)SHARE * (size_t)nib_team_size(team);
    struct stream stream = {.data = nib_os_alloc(n_bytes), .n_words = n_bytes / sizeof(uint64_t)};
    if (!stream.data)
        return 0;
    nib_team_run(team, touch_share, &stream);
    double best = 0;
    for (int i = 0; i < REPEATS; i++) {
        const double start = nib_os_seconds();
        nib_team_run(team, read_share, &stream);
        const double rate = (double)n_bytes / (nib_os_seconds() - start);
        best = rate > best ? rate : best;
    }
    nib_os_free((void *)stream.data, n_bytes);
    return best;
}
