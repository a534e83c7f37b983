/*
 * Which processors to use.  The only file that calls hwloc.  A plan holds one processor (PU) per physical
 * core this process may run on, the fastest kind of core first, cut to the CPU quota of the container.
 */
#ifndef NIB_TOPOLOGY_H
#define NIB_TOPOLOGY_H

#include "common.h"

struct nib_cpu_plan; /* immutable; may be shared */

/* `n_threads` 0: as many as there are cores, at most the quota.  More than there are cores is allowed:
 * then no thread is bound. */
enum nib_status nib_cpu_plan_create(struct nib_cpu_plan **out, int n_threads,
                                    struct nib_error *err);
void nib_cpu_plan_free(struct nib_cpu_plan *plan);

int nib_cpu_plan_threads(const struct nib_cpu_plan *plan);
int nib_cpu_plan_cores(const struct nib_cpu_plan *plan); /* physical cores allowed */
const char *nib_cpu_plan_text(const struct nib_cpu_plan *plan); /* one line for people */

/* Bind the calling thread to the plan's processor for thread `index`; a hint, may do nothing. */
void nib_cpu_plan_bind(const struct nib_cpu_plan *plan, int index);

/* The calling thread's binding, to be put back later. */
struct nib_cpu_binding;
struct nib_cpu_binding *nib_cpu_binding_save(const struct nib_cpu_plan *plan); /* NULL: cannot */
void nib_cpu_binding_restore(struct nib_cpu_binding *binding);                 /* and free; NULL is fine */

#endif
