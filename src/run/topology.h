/*
 * Which processors to use.  The only file that calls hwloc.  A plan holds one processor (PU) per
 * physical core this process may run on, the fastest kind of core first, cut to the CPU quota of
 * the container.
 */
#ifndef NIB_TOPOLOGY_H
#define NIB_TOPOLOGY_H

#include "common.h"

struct nib_cpu_plan; /* immutable; may be shared */

/*
 * `n_threads` 0: as many as there are cores, at most the quota.  Threads are bound one to a core,
 * except where that could only hurt: one thread; more threads than cores; or a quota below the
 * number of cores, as then other processes share the cores and only the system knows which of them
 * are free.
 */
enum nib_status nib_cpu_plan_create(struct nib_cpu_plan **out, int n_threads,
                                    struct nib_error *err);
void nib_cpu_plan_free(struct nib_cpu_plan *plan);

/* The same with a given quota in CPUs, 0: none.  For tests. */
enum nib_status nib_cpu_plan_create_with_quota(struct nib_cpu_plan **out, int n_threads, int quota,
                                               struct nib_error *err);

int nib_cpu_plan_threads(const struct nib_cpu_plan *plan);
int nib_cpu_plan_cores(const struct nib_cpu_plan *plan);        /* physical cores allowed */
const char *nib_cpu_plan_text(const struct nib_cpu_plan *plan); /* one line for people */

/* The system's number of the processor chosen on the index-th best core; -1 if there is none or it
 * is not known. */
int nib_cpu_plan_cpu(const struct nib_cpu_plan *plan, int index);

/* Each thread has a core of its own and is bound to it. */
bool nib_cpu_plan_is_bound(const struct nib_cpu_plan *plan);

/* There are fewer cores, or less quota, than threads: a thread that spins takes time from the
 * others. */
bool nib_cpu_plan_is_crowded(const struct nib_cpu_plan *plan);

/* Bind the calling thread to the plan's processor for thread `index`, or to all allowed ones where
 * the plan does not bind; a hint, may do nothing. */
void nib_cpu_plan_bind(const struct nib_cpu_plan *plan, int index);

/* The calling thread's binding, to be put back later. */
struct nib_cpu_binding;
struct nib_cpu_binding *nib_cpu_binding_save(const struct nib_cpu_plan *plan); /* NULL: cannot */
void nib_cpu_binding_restore(struct nib_cpu_binding *binding); /* and free; NULL is fine */

#endif
