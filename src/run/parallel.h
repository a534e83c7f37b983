/*
 * The team of threads: the only file that knows OpenMP.  A team runs a function on all of its
 * threads at once; inside it the threads meet at barriers.  nib_team_run() is called from one
 * thread at a time and not from inside a team.
 */
#ifndef NIB_PARALLEL_H
#define NIB_PARALLEL_H

#include "common.h"

struct nib_cpu_plan;
struct nib_team;

/*
 * Threads are bound as the plan says, on first use.  The caller's own thread is thread 0; it is
 * bound while a run lasts and has its own binding back when it ends (about 4 us in all), so that
 * neither threads made between two runs nor other plans inherit one core.  A team of one thread
 * binds nothing. The plan must outlive the team.
 */
enum nib_status nib_team_create(struct nib_team **out, const struct nib_cpu_plan *plan,
                                struct nib_error *err);
void nib_team_free(struct nib_team *team);
int nib_team_size(const struct nib_team *team);

typedef void nib_team_fn(void *data, int thread, int n_threads);

/* Call fn(data, 0..n-1, n) on all threads and wait for them.  n is nib_team_size(), or fewer if the
 * system gave fewer threads: work is split by n. */
void nib_team_run(struct nib_team *team, nib_team_fn *fn, void *data);

/* Wait until all threads of the running team are here; a full memory barrier.  Spins for a bounded
 * time (not at all where threads share cores or a quota), then yields, then sleeps.  All threads
 * pass the same number of barriers in a run. */
void nib_team_barrier(struct nib_team *team, int thread);

/*
 * Call fn(data, cpu) for each processor of OpenMP's places.  There are none unless the user asked
 * for them (OMP_PROC_BIND, OMP_PLACES); then the runtime has bound the first thread to one place
 * before main(), and its affinity mask no longer shows what the process may use.
 */
void nib_openmp_each_cpu(void (*fn)(void *data, unsigned cpu), void *data);

/* Thread's share of [0, n): contiguous, sizes differ by at most one unit; `unit` divides every
 * border but the last. */
static inline void nib_share(size_t n, size_t unit, int thread, int n_threads, size_t *begin,
                             size_t *end)
{
    const size_t n_units = (n + unit - 1) / unit;
    const size_t first = n_units * (size_t)thread / (size_t)n_threads;
    const size_t last = n_units * ((size_t)thread + 1) / (size_t)n_threads;
    *begin = first * unit < n ? first * unit : n;
    *end = last * unit < n ? last * unit : n;
}

#endif
