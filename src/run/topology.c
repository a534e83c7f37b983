/*
 * The CPU plan, by hwloc.  The processors allowed are those of the caller's affinity mask (taskset,
 * cpuset cgroups), taken apart from the topology: hwloc's own restriction to them works only in a
 * certain order of its flags, and must not be applied to a topology of another machine
 * (HWLOC_SYNTHETIC, HWLOC_XMLFILE).
 */
#define _GNU_SOURCE /* sched_getaffinity */
#include "topology.h"

#include "os.h"
#include "parallel.h"

#include <hwloc.h>
#ifdef __linux__
#include <sched.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* OpenMP runtimes end the process when the system refuses a thread: ask for no absurd number. */
enum { MAX_THREADS_PER_CORE = 16, MAX_THREADS_ALWAYS = 64 };

struct core {
    unsigned cpu;   /* its lowest allowed PU */
    unsigned order; /* in the topology: neighbours share caches */
    int efficiency; /* hwloc's rank of its kind, higher is faster */
};

struct nib_cpu_plan {
    hwloc_topology_t topology; /* NULL: hwloc did not work, only the number of cores is known */
    hwloc_cpuset_t allowed;
    struct core *cores; /* [n_cores], best first; NULL without a topology */
    int n_cores;
    int n_threads;
    int quota; /* 0: none */
    bool is_bound;
    char text[256];
};

struct nib_cpu_binding {
    hwloc_topology_t topology; /* the plan's */
    hwloc_cpuset_t cpus;
};

/* Without /sys, hwloc's Linux part finds nothing and says so on stderr; its x86 part does the work.
 */
static void skip_linux_without_sysfs(hwloc_topology_t topology)
{
    if (!getenv("HWLOC_COMPONENTS") && access("/sys/devices/system/cpu", F_OK) != 0)
        hwloc_topology_set_components(topology, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "linux");
}

/* Cores and PUs are all that is asked of hwloc: the rest is left out, for speed. */
static bool load_topology(hwloc_topology_t *out)
{
    hwloc_topology_t topology;
    *out = NULL;
    if (hwloc_topology_init(&topology) != 0)
        return false;
    skip_linux_without_sysfs(topology);
    hwloc_topology_set_all_types_filter(topology, HWLOC_TYPE_FILTER_KEEP_NONE);
    hwloc_topology_set_type_filter(topology, HWLOC_OBJ_CORE, HWLOC_TYPE_FILTER_KEEP_ALL);
    if (hwloc_topology_load(topology) != 0 ||
        hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU) < 1) {
        hwloc_topology_destroy(topology);
        return false;
    }
    *out = topology;
    return true;
}

static void add_cpu(void *set, unsigned cpu)
{
    hwloc_bitmap_set(set, cpu);
}

/* What the calling thread may run on; on another machine's topology, all of it. */
static hwloc_cpuset_t find_allowed(hwloc_topology_t topology)
{
    hwloc_cpuset_t allowed = hwloc_bitmap_alloc();
    if (!allowed)
        return NULL;
    hwloc_const_cpuset_t all = hwloc_topology_get_allowed_cpuset(topology);
    if (hwloc_topology_is_thissystem(topology) &&
        hwloc_get_cpubind(topology, allowed, HWLOC_CPUBIND_THREAD) == 0) {
        nib_openmp_each_cpu(add_cpu, allowed);
        hwloc_bitmap_and(allowed, allowed, all);
    }
    if (hwloc_bitmap_iszero(allowed))
        hwloc_bitmap_copy(allowed, all);
    return allowed;
}

static int efficiency_of(hwloc_topology_t topology, unsigned cpu)
{
    int efficiency = 0;
    hwloc_cpuset_t set = hwloc_bitmap_alloc();
    if (set && hwloc_bitmap_only(set, cpu) == 0) {
        const int kind = hwloc_cpukinds_get_by_cpuset(topology, set, 0);
        if (kind >= 0)
            hwloc_cpukinds_get_info(topology, (unsigned)kind, NULL, &efficiency, NULL, NULL, 0);
    }
    hwloc_bitmap_free(set);
    return efficiency;
}

static int compare_cores(const void *left, const void *right)
{
    const struct core *a = left, *b = right;
    if (a->efficiency != b->efficiency)
        return a->efficiency > b->efficiency ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

static bool list_cores(struct nib_cpu_plan *plan)
{
    /* Some virtual machines show PUs and no cores: then those. */
    const int depth = hwloc_get_type_or_below_depth(plan->topology, HWLOC_OBJ_CORE);
    const unsigned n = hwloc_get_nbobjs_by_depth(plan->topology, depth);
    hwloc_cpuset_t set = hwloc_bitmap_alloc();
    plan->cores = calloc(n, sizeof(*plan->cores));
    if (!set || !plan->cores) {
        hwloc_bitmap_free(set);
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        hwloc_obj_t object = hwloc_get_obj_by_depth(plan->topology, depth, i);
        hwloc_bitmap_and(set, object->cpuset, plan->allowed);
        if (hwloc_bitmap_iszero(set))
            continue;
        const unsigned cpu = (unsigned)hwloc_bitmap_first(set);
        plan->cores[plan->n_cores++] =
            (struct core){.cpu = cpu, .order = i, .efficiency = efficiency_of(plan->topology, cpu)};
    }
    hwloc_bitmap_free(set);
    qsort(plan->cores, (size_t)plan->n_cores, sizeof(*plan->cores), compare_cores);
    return plan->n_cores > 0;
}

static int count_cpus_without_hwloc(void)
{
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
#endif
    return 1;
}

/* "2 threads: CPUs 0-1", "2 threads on 16 cores, CPU quota 2: not bound" */
static void write_text(struct nib_cpu_plan *plan)
{
    const char *threads = plan->n_threads == 1 ? "thread" : "threads";
    char quota[40] = "", list[160] = "";
    if (plan->quota > 0)
        snprintf(quota, sizeof(quota), ", CPU quota %d", plan->quota);
    hwloc_cpuset_t cpus = plan->is_bound ? hwloc_bitmap_alloc() : NULL;
    for (int i = 0; cpus && i < plan->n_threads; i++)
        hwloc_bitmap_set(cpus, plan->cores[i].cpu);
    if (cpus && hwloc_bitmap_list_snprintf(list, sizeof(list), cpus) < (int)sizeof(list))
        snprintf(plan->text, sizeof(plan->text), "%d %s: CPU%s %s%s", plan->n_threads, threads,
                 plan->n_threads == 1 ? "" : "s", list, quota);
    else
        snprintf(plan->text, sizeof(plan->text), "%d %s on %d core%s%s: %s", plan->n_threads,
                 threads, plan->n_cores, plan->n_cores == 1 ? "" : "s", quota,
                 plan->is_bound ? "bound one to a core" : "not bound");
    hwloc_bitmap_free(cpus);
}

static enum nib_status choose_threads(struct nib_cpu_plan *plan, int n_threads,
                                      struct nib_error *err)
{
    const int most = plan->n_cores * MAX_THREADS_PER_CORE > MAX_THREADS_ALWAYS
                         ? plan->n_cores * MAX_THREADS_PER_CORE
                         : MAX_THREADS_ALWAYS;
    if (n_threads < 0 || n_threads > most)
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "%d threads were asked for; this process may run on %d core%s and starts 1 "
                        "to %d threads: ask for that many, or for 0 to have the number chosen",
                        n_threads, plan->n_cores, plan->n_cores == 1 ? "" : "s", most);
    const bool is_cut = plan->quota > 0 && plan->quota < plan->n_cores;
    if (n_threads == 0)
        n_threads = is_cut ? plan->quota : plan->n_cores;
    plan->n_threads = n_threads;
    plan->is_bound = plan->topology && hwloc_topology_is_thissystem(plan->topology) &&
                     n_threads > 1 && n_threads <= plan->n_cores && !is_cut;
    return NIB_OK;
}

enum nib_status nib_cpu_plan_create_with_quota(struct nib_cpu_plan **out, int n_threads, int quota,
                                               struct nib_error *err)
{
    *out = NULL;
    struct nib_cpu_plan *plan = calloc(1, sizeof(*plan));
    if (!plan)
        return nib_fail_memory(err, sizeof(*plan), "the CPU plan");
    plan->quota = quota;
    enum nib_status status;
    if (load_topology(&plan->topology)) {
        plan->allowed = find_allowed(plan->topology);
        if (!plan->allowed || !list_cores(plan)) {
            status = nib_fail_memory(err, sizeof(*plan), "the list of CPU cores");
            goto fail;
        }
    } else {
        plan->n_cores = count_cpus_without_hwloc();
    }
    status = choose_threads(plan, n_threads, err);
    if (status != NIB_OK)
        goto fail;
    write_text(plan);
    *out = plan;
    return NIB_OK;
fail:
    nib_cpu_plan_free(plan);
    return status;
}

enum nib_status nib_cpu_plan_create(struct nib_cpu_plan **out, int n_threads, struct nib_error *err)
{
    return nib_cpu_plan_create_with_quota(out, n_threads, nib_os_cpu_quota(), err);
}

void nib_cpu_plan_free(struct nib_cpu_plan *plan)
{
    if (!plan)
        return;
    free(plan->cores);
    hwloc_bitmap_free(plan->allowed);
    if (plan->topology)
        hwloc_topology_destroy(plan->topology);
    free(plan);
}

int nib_cpu_plan_threads(const struct nib_cpu_plan *plan)
{
    return plan->n_threads;
}

int nib_cpu_plan_cores(const struct nib_cpu_plan *plan)
{
    return plan->n_cores;
}

const char *nib_cpu_plan_text(const struct nib_cpu_plan *plan)
{
    return plan->text;
}

int nib_cpu_plan_cpu(const struct nib_cpu_plan *plan, int index)
{
    const bool is_known = plan->cores && index >= 0 && index < plan->n_cores;
    return is_known ? (int)plan->cores[index].cpu : -1;
}

bool nib_cpu_plan_is_bound(const struct nib_cpu_plan *plan)
{
    return plan->is_bound;
}

bool nib_cpu_plan_is_crowded(const struct nib_cpu_plan *plan)
{
    return plan->n_threads > plan->n_cores || (plan->quota > 0 && plan->n_threads > plan->quota);
}

/* A refusal (a container may forbid it) costs speed only, so results are not looked at. */
void nib_cpu_plan_bind(const struct nib_cpu_plan *plan, int index)
{
    if (!plan->topology || !hwloc_topology_is_thissystem(plan->topology))
        return;
    if (!plan->is_bound) {
        hwloc_set_cpubind(plan->topology, plan->allowed, HWLOC_CPUBIND_THREAD);
        return;
    }
    assert(index >= 0 && index < plan->n_threads);
    hwloc_cpuset_t set = hwloc_bitmap_alloc();
    if (set && hwloc_bitmap_only(set, plan->cores[index].cpu) == 0)
        hwloc_set_cpubind(plan->topology, set, HWLOC_CPUBIND_THREAD);
    hwloc_bitmap_free(set);
}

struct nib_cpu_binding *nib_cpu_binding_save(const struct nib_cpu_plan *plan)
{
    if (!plan->topology || !hwloc_topology_is_thissystem(plan->topology))
        return NULL;
    struct nib_cpu_binding *binding = malloc(sizeof(*binding));
    if (!binding)
        return NULL;
    *binding = (struct nib_cpu_binding){plan->topology, hwloc_bitmap_alloc()};
    if (!binding->cpus ||
        hwloc_get_cpubind(plan->topology, binding->cpus, HWLOC_CPUBIND_THREAD) != 0) {
        hwloc_bitmap_free(binding->cpus);
        free(binding);
        return NULL;
    }
    return binding;
}

void nib_cpu_binding_restore(struct nib_cpu_binding *binding)
{
    if (!binding)
        return;
    hwloc_set_cpubind(binding->topology, binding->cpus, HWLOC_CPUBIND_THREAD);
    hwloc_bitmap_free(binding->cpus);
    free(binding);
}
