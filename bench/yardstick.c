#include "yardstick.h"

#include "os.h"
#include "parallel.h"
#include "peak.h"
#include "topology.h"

#include <hwloc.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    MB = 1 << 20,
    /* Not 2: caches do not forget the oldest first, so a part of the last round is still there. */
    COLD_CACHES = 8,
    WINDOWS = 16,    /* parts of the cold memory, read in turn */
    TEAM_READS = 16, /* the best of them counts */
    TEAM_CALLS = 20, /* and of these */
};

static struct nib_yard yard;
static struct nib_cpu_plan *plan;
static const struct nib_peak *best_peak; /* of the best level: its loads are the widest */

static double thread_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- peaks ----------------------------------------------------------------------------------- */

/* Part of the cold memory that one measurement reads.  The next reads the next part, and comes back
 * to the first when no cache holds it any more. */
struct window {
    size_t begin, n_bytes; /* of a thread's share */
};

static size_t share_bytes(int n_threads)
{
    return yard.cold_bytes / (size_t)n_threads / (WINDOWS * 4096) * (WINDOWS * 4096);
}

static struct window next_window(int n_threads)
{
    static size_t next;
    const size_t n_bytes = share_bytes(n_threads) / WINDOWS;
    return (struct window){next++ % WINDOWS * n_bytes, n_bytes};
}

static void read_window(void *data, int thread, int n_threads)
{
    const struct window *w = data;
    const size_t share = share_bytes(n_threads);
    best_peak->read(yard.cold + (size_t)thread * share + w->begin, w->n_bytes);
}

double nib_yard_bandwidth(bool is_team)
{
    if (!best_peak)
        return 0;
    const int n_threads = is_team ? yard.n_threads : 1;
    double best = 0;
    for (int i = 0; i < (is_team ? TEAM_READS : 1); i++) {
        struct window w = next_window(n_threads);
        const double start = is_team ? nib_os_seconds() : thread_seconds();
        if (is_team)
            nib_team_run(yard.team, read_window, &w);
        else
            read_window(&w, 0, 1);
        const double seconds = (is_team ? nib_os_seconds() : thread_seconds()) - start;
        best = fmax(best, (double)w.n_bytes * n_threads / seconds);
    }
    return best;
}

double nib_yard_compute(const struct nib_peak_loop *loop)
{
    const double wanted = yard.is_tiny ? 5e-5 : 2e-3; /* seconds */
    const size_t n = yard.is_tiny ? 100 : 10000;
    size_t n_rounds = 0;
    double seconds;
    loop->run(n); /* wakes the widest units up */
    const double start = thread_seconds();
    do {
        loop->run(n);
        n_rounds += n;
        seconds = thread_seconds() - start;
    } while (seconds < wanted);
    return (double)n_rounds * loop->n_ops / seconds;
}

/* Operations/s and bytes/s; 0: no such limit. */
struct limits {
    double compute, memory;
};

static struct limits measure_limits(const struct nib_timed_work *work)
{
    struct limits l = {0};
    const struct nib_peak *peak = work->isa ? nib_peak_of(work->isa) : NULL;
    if (peak && work->kind == NIB_WORK_INTEGERS)
        l.compute = nib_yard_compute(nib_peak_integers(peak, work->code_bits));
    if (peak && work->kind == NIB_WORK_FLOATS)
        l.compute = nib_yard_compute(&peak->floats);
    if (work->is_team)
        l.compute *= yard.n_threads;
    if (work->is_cold)
        l.memory = nib_yard_bandwidth(work->is_team);
    return l;
}

/* A counter that is so much for each call: the mean of CPU time, or the best of the team's calls.
 */
static void report(struct nib_bench *b, const char *counter, double per_call, double best_seconds)
{
    if (best_seconds > 0)
        nib_bench_value(b, counter, per_call / best_seconds);
    else
        nib_bench_rate(b, counter, per_call);
}

/* Seconds of the fastest call, if that is less than `best` or `best` is 0. */
static double best_call(const struct nib_timed_work *work, double best)
{
    for (int i = 0; i < (yard.is_tiny ? 1 : TEAM_CALLS); i++) {
        const double start = nib_os_seconds();
        work->run(work->data);
        const double seconds = nib_os_seconds() - start;
        best = best == 0 || seconds < best ? seconds : best;
    }
    return best;
}

void nib_yard_time(struct nib_bench *b, const struct nib_timed_work *work)
{
    const struct limits before = measure_limits(work);
    double best = 0;
    while (nib_bench_next(b)) {
        if (work->is_team)
            best = best_call(work, best);
        else
            work->run(work->data);
    }
    const struct limits after = measure_limits(work);
    const double compute = fmax(before.compute, after.compute);
    const double memory = fmax(before.memory, after.memory);
    const double compute_share = compute > 0 ? 100 * work->n_ops / compute : 0;
    const double memory_share = memory > 0 ? 100 * work->n_bytes / memory : 0;
    report(b, "GB/s", 1e-9 * work->n_bytes, best);
    report(b, "GOPS", 1e-9 * work->n_ops, best);
    report(b, "memory%", memory_share, best);
    report(b, "compute%", compute_share, best);
    report(b, "peak%", fmax(compute_share, memory_share), best);
    nib_bench_value(b, "peak_GB/s", 1e-9 * memory);
    nib_bench_value(b, "peak_GOPS", 1e-9 * compute);
}

/* ---- the machine ----------------------------------------------------------------------------- */

static void find_caches(void)
{
    hwloc_topology_t topology;
    yard.l2_bytes = yard.last_cache_bytes = 1 * MB;
    if (hwloc_topology_init(&topology) != 0)
        return;
    if (hwloc_topology_load(topology) == 0) {
        hwloc_obj_t pu = hwloc_get_obj_by_type(topology, HWLOC_OBJ_PU, 0);
        for (hwloc_obj_t o = pu ? pu->parent : NULL; o; o = o->parent) {
            if (o->type == HWLOC_OBJ_L2CACHE)
                yard.l2_bytes = o->attr->cache.size;
            if (hwloc_obj_type_is_dcache(o->type) && o->attr->cache.size > yard.last_cache_bytes)
                yard.last_cache_bytes = o->attr->cache.size;
        }
    }
    hwloc_topology_destroy(topology);
}

/* A thread writes its share first, so that it is near. */
static void touch_share(void *data, int thread, int n_threads)
{
    (void)data;
    const size_t share = share_bytes(n_threads);
    memset(yard.cold + (size_t)thread * share, 1,
           thread == n_threads - 1 ? yard.cold_bytes - (size_t)thread * share : share);
}

static void describe(void)
{
    char text[256], name[64];
    nib_cpu_name(name);
    nib_bench_context("cpu", name);
    nib_bench_context("levels", yard.isa_list);
    snprintf(text, sizeof(text), "%d", yard.n_threads);
    nib_bench_context("cores", text);
    snprintf(text, sizeof(text), "L2 %.1f MB, last %.1f MB", (double)yard.l2_bytes / MB,
             (double)yard.last_cache_bytes / MB);
    nib_bench_context("caches_used", text);
    const struct nib_pages pages = nib_os_pages(yard.cold, yard.cold_bytes);
    if (pages.resident == 0)
        snprintf(text, sizeof(text), "unknown");
    else
        snprintf(text, sizeof(text), "%.0f of %.0f MB", (double)pages.huge / MB,
                 (double)yard.cold_bytes / MB);
    nib_bench_context("huge_pages", text);
}

const struct nib_yard *nib_yard_open(bool is_tiny)
{
    struct nib_error err;
    yard = (struct nib_yard){.is_tiny = is_tiny, .isa_list = nib_isa_list(nib_cpu_features())};
    best_peak = nib_peak_of(nib_isa_name(nib_cpu_features()));
    find_caches();
    yard.cold_bytes = yard.last_cache_bytes * COLD_CACHES;
    if (yard.cold_bytes > (size_t)1536 * MB)
        yard.cold_bytes = (size_t)1536 * MB;
    if (is_tiny)
        yard.cold_bytes = 2 * MB;
    if (nib_cpu_plan_create(&plan, 0, &err) != NIB_OK ||
        nib_team_create(&yard.team, plan, &err) != NIB_OK) {
        fprintf(stderr, "%s\n", err.message);
        nib_yard_close();
        return NULL;
    }
    yard.n_threads = nib_team_size(yard.team);
    yard.cold = nib_os_alloc(yard.cold_bytes);
    if (!yard.cold) {
        fprintf(stderr, "no memory for %zu MB of cold weights\n", yard.cold_bytes / MB);
        nib_yard_close();
        return NULL;
    }
    nib_team_run(yard.team, touch_share, NULL);
    if (nib_cpu_plan_is_bound(plan))
        nib_cpu_plan_bind(plan, 0);
    describe();
    return &yard;
}

void nib_yard_close(void)
{
    nib_os_free(yard.cold, yard.cold_bytes);
    nib_team_free(yard.team);
    nib_cpu_plan_free(plan);
    plan = NULL;
    yard = (struct nib_yard){0};
}

void nib_yard_each_isa(void (*fn)(const char *isa, unsigned features, void *data), void *data)
{
    static char names[16][16];
    int n = 0;
    for (const char *p = yard.isa_list; *p && n < 16; n++) {
        const size_t length = strcspn(p, " ");
        unsigned features;
        snprintf(names[n], sizeof(names[n]), "%.*s", (int)length, p);
        if (nib_isa_features(names[n], &features))
            fn(names[n], features, data);
        p += length + strspn(p + length, " ");
    }
}

/* ---- data ------------------------------------------------------------------------------------ */

bool nib_yard_claim(const char *content)
{
    static char held[64];
    if (strcmp(held, content) == 0)
        return false;
    snprintf(held, sizeof(held), "%s", content);
    return true;
}

uint32_t nib_yard_random(void)
{
    static uint32_t seed = 1;
    seed = seed * 1664525 + 1013904223;
    return seed >> 8;
}

float nib_yard_random_float(void)
{
    return ((float)nib_yard_random() - 0x1p23f) * 0x1p-23f;
}
