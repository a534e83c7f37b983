/*
 * The team: one OpenMP region a run, and a barrier of its own, because the runtimes' barriers
 * either spin without bound or cost ten microseconds.  Without OpenMP a team has one thread.
 */
#include "parallel.h"

#include "os.h"
#include "topology.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#ifdef _OPENMP
#include <omp.h>
#endif

enum {
    CACHE_LINE = 64,
    SPINS_PER_CLOCK = 32, /* looks at the generation between two looks at the clock */
    YIELDS = 16,
};

/* A phase's imbalance is shorter; a core that the system took away is away for longer. */
static const double spin_seconds = 40e-6;

/*
 * The barrier counts arrivals; the last thread resets the count and starts the next generation. The
 * count is written by all, the generation read by all that wait: they keep to separate lines.
 * Sleepers are looked at by the last thread, which owns the count's line at that moment.
 */
struct nib_team {
    alignas(CACHE_LINE) _Atomic uint32_t n_arrived;
    _Atomic uint32_t n_sleepers;
    alignas(CACHE_LINE) _Atomic uint32_t generation;
    alignas(CACHE_LINE) _Atomic int n_running; /* threads of the present run */
    atomic_bool is_running;
    const struct nib_cpu_plan *plan;
    uint64_t id; /* never used twice, unlike addresses */
    int n_threads;
    bool may_spin;
};

/* Tells the processor that this is a spin loop: the one line that C has no portable word for. */
static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("isb" ::: "memory"); /* `yield` does nothing on most cores */
#endif
}

enum nib_status nib_team_create(struct nib_team **out, const struct nib_cpu_plan *plan,
                                struct nib_error *err)
{
    static _Atomic uint64_t last_id;
    struct nib_team *team = aligned_alloc(CACHE_LINE, sizeof(*team));
    *out = team;
    if (!team)
        return nib_fail_memory(err, sizeof(*team), "the thread team");
    memset(team, 0, sizeof(*team));
    team->plan = plan;
    team->id = atomic_fetch_add(&last_id, 1) + 1;
#ifdef _OPENMP
    team->n_threads = nib_cpu_plan_threads(plan);
#else
    team->n_threads = 1;
#endif
    team->may_spin = !nib_cpu_plan_is_crowded(plan);
    return NIB_OK;
}

void nib_team_free(struct nib_team *team)
{
    assert(!team || !atomic_load(&team->is_running));
    free(team);
}

int nib_team_size(const struct nib_team *team)
{
    return team->n_threads;
}

#ifdef _OPENMP
/* OpenMP keeps its threads between regions, and a caller's threads serve all of its teams. */
static void bind_worker(const struct nib_team *team, int thread)
{
    static _Thread_local uint64_t bound_for;
    static _Thread_local int bound_as;
    if (bound_for == team->id && bound_as == thread)
        return;
    bound_for = team->id;
    bound_as = thread;
    nib_cpu_plan_bind(team->plan, thread);
}

static void run_region(struct nib_team *team, nib_team_fn *fn, void *data)
{
    struct nib_cpu_binding *binding = NULL;
    if (nib_cpu_plan_is_bound(team->plan))
        binding = nib_cpu_binding_save(team->plan);
#pragma omp parallel num_threads(team->n_threads)
    {
        const int thread = omp_get_thread_num();
        const int n = omp_get_num_threads();
        if (thread > 0)
            bind_worker(team, thread);
        else if (binding)
            nib_cpu_plan_bind(team->plan, 0);
        /* Each thread sees its own store: a barrier may come before all have stored. */
        if (atomic_load_explicit(&team->n_running, memory_order_relaxed) != n)
            atomic_store_explicit(&team->n_running, n, memory_order_relaxed);
        fn(data, thread, n);
    }
    nib_cpu_binding_restore(binding);
}
#endif

void nib_team_run(struct nib_team *team, nib_team_fn *fn, void *data)
{
    const bool was_running = atomic_exchange(&team->is_running, true);
    assert(!was_running && "one nib_team_run() at a time, and none inside another");
    (void)was_running;
#ifdef _OPENMP
    if (team->n_threads > 1)
        run_region(team, fn, data);
    else
#endif
    {
        atomic_store_explicit(&team->n_running, 1, memory_order_relaxed);
        fn(data, 0, 1);
    }
    atomic_store(&team->is_running, false);
}

static bool has_moved_on(struct nib_team *team, uint32_t generation)
{
    return atomic_load_explicit(&team->generation, memory_order_acquire) != generation;
}

static bool spin(struct nib_team *team, uint32_t generation)
{
    double end = 0;
    do {
        for (int i = 0; i < SPINS_PER_CLOCK; i++) {
            if (has_moved_on(team, generation))
                return true;
            cpu_relax();
        }
        const double now = nib_os_seconds();
        if (end == 0)
            end = now + spin_seconds;
        else if (now >= end)
            return false;
    } while (true);
}

static bool yield(struct nib_team *team, uint32_t generation)
{
    for (int i = 0; i < YIELDS; i++) {
        if (has_moved_on(team, generation))
            return true;
        nib_os_yield();
    }
    return has_moved_on(team, generation);
}

/* Either the last thread sees this sleeper, or this thread sees the last thread's generation: both
 * sides write before they read, in one total order. */
static void sleep_until_moved(struct nib_team *team, uint32_t generation)
{
    atomic_fetch_add(&team->n_sleepers, 1);
    while (atomic_load(&team->generation) == generation)
        nib_os_wait(&team->generation, generation);
    atomic_fetch_sub(&team->n_sleepers, 1);
}

void nib_team_barrier(struct nib_team *team, int thread)
{
    (void)thread;
    const uint32_t n = (uint32_t)atomic_load_explicit(&team->n_running, memory_order_relaxed);
    if (n == 1)
        return;
    /* It cannot change before this thread has arrived. */
    const uint32_t generation = atomic_load_explicit(&team->generation, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&team->n_arrived, 1, memory_order_acq_rel) == n - 1) {
        atomic_store_explicit(&team->n_arrived, 0, memory_order_relaxed);
        atomic_store(&team->generation, generation + 1);
        if (atomic_load(&team->n_sleepers) > 0)
            nib_os_wake(&team->generation);
        return;
    }
    if ((team->may_spin && spin(team, generation)) || yield(team, generation))
        return;
    sleep_until_moved(team, generation);
}

void nib_openmp_each_cpu(void (*fn)(void *data, unsigned cpu), void *data)
{
#ifdef _OPENMP
    if (omp_get_proc_bind() == omp_proc_bind_false) /* libomp knows places even then */
        return;
    for (int place = 0; place < omp_get_num_places(); place++) {
        const int n = omp_get_place_num_procs(place);
        int *cpus = n > 0 ? malloc((size_t)n * sizeof(*cpus)) : NULL;
        if (cpus)
            omp_get_place_proc_ids(place, cpus);
        for (int i = 0; cpus && i < n; i++)
            fn(data, (unsigned)cpus[i]);
        free(cpus);
    }
#else
    (void)fn;
    (void)data;
#endif
}
