/* CPU plans for this machine and, through hwloc's HWLOC_SYNTHETIC and HWLOC_XMLFILE, for others. */
#define _GNU_SOURCE
#include "topology.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct nib_cpu_plan *plan_of(int n_threads, int quota)
{
    struct nib_cpu_plan *plan;
    struct nib_error err;
    const enum nib_status status = nib_cpu_plan_create_with_quota(&plan, n_threads, quota, &err);
    if (status != NIB_OK)
        fail_msg("%s", err.message);
    return plan;
}

static int two_sockets(void **state)
{
    (void)state;
    return setenv("HWLOC_SYNTHETIC", "pack:2 numa:1 l3:1 core:8 pu:2", 1);
}

static int use_xml(const char *name)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/topology/%s", NIB_TEST_DATA, name);
    return setenv("HWLOC_XMLFILE", path, 1);
}

static int hybrid(void **state)
{
    (void)state;
    return use_xml("hybrid.xml");
}

static int broken(void **state)
{
    (void)state;
    return use_xml("broken.xml");
}

static int this_machine(void **state)
{
    (void)state;
    return unsetenv("HWLOC_SYNTHETIC") | unsetenv("HWLOC_XMLFILE");
}

static int count_allowed_cpus(void)
{
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
    return CPU_COUNT(&set);
}

static void test_default_is_one_thread_per_core(void **state)
{
    (void)state;
    struct nib_cpu_plan *plan = plan_of(0, 0);
    const int n = nib_cpu_plan_cores(plan);
    assert_in_range(n, 1, count_allowed_cpus());
    assert_int_equal(nib_cpu_plan_threads(plan), n);
    assert_false(nib_cpu_plan_is_crowded(plan));
    assert_int_equal(nib_cpu_plan_is_bound(plan), n > 1);
    cpu_set_t set, chosen;
    sched_getaffinity(0, sizeof(set), &set);
    CPU_ZERO(&chosen);
    for (int i = 0; i < n; i++) {
        const int cpu = nib_cpu_plan_cpu(plan, i);
        assert_true(cpu >= 0 && CPU_ISSET(cpu, &set) && !CPU_ISSET(cpu, &chosen));
        CPU_SET(cpu, &chosen);
    }
    assert_int_equal(nib_cpu_plan_cpu(plan, n), -1);
    assert_int_equal(nib_cpu_plan_cpu(plan, -1), -1);
    nib_cpu_plan_free(plan);
}

static void test_create_takes_the_quota_from_the_system(void **state)
{
    (void)state;
    struct nib_cpu_plan *plan;
    assert_int_equal(nib_cpu_plan_create(&plan, 0, NULL), NIB_OK);
    assert_in_range(nib_cpu_plan_threads(plan), 1, nib_cpu_plan_cores(plan));
    nib_cpu_plan_free(plan);
}

static void test_affinity_mask_is_respected(void **state)
{
    (void)state;
    cpu_set_t before, one;
    sched_getaffinity(0, sizeof(before), &before);
    int last = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        last = CPU_ISSET(cpu, &before) ? cpu : last;
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    struct nib_cpu_plan *plan = plan_of(0, 0);
    assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
    assert_int_equal(nib_cpu_plan_cores(plan), 1);
    assert_int_equal(nib_cpu_plan_threads(plan), 1);
    assert_int_equal(nib_cpu_plan_cpu(plan, 0), last);
    nib_cpu_plan_free(plan);
}

static void test_binding_is_saved_and_restored(void **state)
{
    (void)state;
    struct nib_cpu_plan *plan = plan_of(0, 0);
    if (!nib_cpu_plan_is_bound(plan)) {
        nib_cpu_plan_free(plan);
        skip();
    }
    cpu_set_t before, during, after;
    sched_getaffinity(0, sizeof(before), &before);
    struct nib_cpu_binding *binding = nib_cpu_binding_save(plan);
    assert_non_null(binding);
    nib_cpu_plan_bind(plan, 1);
    sched_getaffinity(0, sizeof(during), &during);
    nib_cpu_binding_restore(binding);
    sched_getaffinity(0, sizeof(after), &after);
    assert_int_equal(CPU_COUNT(&during), 1);
    assert_true(CPU_ISSET(nib_cpu_plan_cpu(plan, 1), &during));
    assert_true(CPU_EQUAL(&before, &after));
    nib_cpu_binding_restore(NULL);
    nib_cpu_plan_free(plan);
}

static void test_more_threads_than_cores_are_crowded_and_unbound(void **state)
{
    (void)state;
    struct nib_cpu_plan *all = plan_of(0, 0);
    struct nib_cpu_plan *plan = plan_of(nib_cpu_plan_cores(all) + 1, 0);
    assert_int_equal(nib_cpu_plan_threads(plan), nib_cpu_plan_cores(all) + 1);
    assert_true(nib_cpu_plan_is_crowded(plan));
    assert_false(nib_cpu_plan_is_bound(plan));
    assert_non_null(strstr(nib_cpu_plan_text(plan), "not bound"));
    nib_cpu_plan_free(plan);
    nib_cpu_plan_free(all);
}

static void test_absurd_thread_counts_are_refused(void **state)
{
    (void)state;
    const int wrong[] = {-1, -2147483647, 100000, 2147483647};
    for (size_t i = 0; i < NIB_COUNT(wrong); i++) {
        struct nib_cpu_plan *plan = (void *)&plan;
        struct nib_error err;
        assert_int_equal(nib_cpu_plan_create(&plan, wrong[i], &err), NIB_ERROR_ARGUMENT);
        assert_null(plan);
        assert_non_null(strstr(err.message, "threads"));
    }
    nib_cpu_plan_free(NULL);
}

static void test_two_sockets_with_smt_give_one_pu_per_core(void **state)
{
    (void)state;
    struct nib_cpu_plan *plan = plan_of(0, 0);
    assert_int_equal(nib_cpu_plan_cores(plan), 16);
    assert_int_equal(nib_cpu_plan_threads(plan), 16);
    for (int i = 0; i < 16; i++)
        assert_int_equal(nib_cpu_plan_cpu(plan, i), 2 * i);
    assert_false(nib_cpu_plan_is_crowded(plan));
    nib_cpu_plan_free(plan);
}

static void test_another_machines_topology_binds_nothing(void **state)
{
    (void)state;
    struct nib_cpu_plan *plan = plan_of(4, 0);
    assert_false(nib_cpu_plan_is_bound(plan));
    assert_string_equal(nib_cpu_plan_text(plan), "4 threads on 16 cores: not bound");
    cpu_set_t before, after;
    sched_getaffinity(0, sizeof(before), &before);
    nib_cpu_plan_bind(plan, 3);
    assert_null(nib_cpu_binding_save(plan));
    sched_getaffinity(0, sizeof(after), &after);
    assert_true(CPU_EQUAL(&before, &after));
    nib_cpu_plan_free(plan);
}

static void test_quota_cuts_the_default(void **state)
{
    (void)state;
    struct nib_cpu_plan *plan = plan_of(0, 6);
    assert_int_equal(nib_cpu_plan_threads(plan), 6);
    assert_int_equal(nib_cpu_plan_cores(plan), 16);
    assert_false(nib_cpu_plan_is_crowded(plan));
    assert_string_equal(nib_cpu_plan_text(plan), "6 threads on 16 cores, CPU quota 6: not bound");
    nib_cpu_plan_free(plan);

    plan = plan_of(0, 100); /* more than there are cores */
    assert_int_equal(nib_cpu_plan_threads(plan), 16);
    nib_cpu_plan_free(plan);

    plan = plan_of(8, 6); /* the user's number goes, but nobody spins */
    assert_int_equal(nib_cpu_plan_threads(plan), 8);
    assert_true(nib_cpu_plan_is_crowded(plan));
    nib_cpu_plan_free(plan);
}

static void test_quota_below_the_cores_leaves_threads_unbound(void **state)
{
    (void)state;
    struct nib_cpu_plan *plan = plan_of(0, 1);
    assert_int_equal(nib_cpu_plan_threads(plan), 1);
    assert_false(nib_cpu_plan_is_bound(plan));
    nib_cpu_plan_free(plan);
}

/* CPUs 0, 2, 4, 6: slow cores of one PU; 8-9 and 10-11: fast cores of two. */
static void test_fast_cores_come_first(void **state)
{
    (void)state;
    const int expected[] = {8, 10, 0, 2, 4, 6};
    struct nib_cpu_plan *plan = plan_of(0, 0);
    assert_int_equal(nib_cpu_plan_cores(plan), 6);
    for (int i = 0; i < 6; i++)
        assert_int_equal(nib_cpu_plan_cpu(plan, i), expected[i]);
    nib_cpu_plan_free(plan);
}

static void test_without_hwloc_the_allowed_cpus_are_counted(void **state)
{
    (void)state;
    struct nib_cpu_plan *plan = plan_of(0, 0);
    assert_int_equal(nib_cpu_plan_threads(plan), count_allowed_cpus());
    assert_int_equal(nib_cpu_plan_cpu(plan, 0), -1);
    assert_false(nib_cpu_plan_is_bound(plan));
    nib_cpu_plan_bind(plan, 0);
    assert_null(nib_cpu_binding_save(plan));
    nib_cpu_plan_free(plan);
}

int main(void)
{
#define ON(machine, test) cmocka_unit_test_setup_teardown(test, machine, this_machine)
    const struct CMUnitTest tests[] = {
        ON(this_machine, test_default_is_one_thread_per_core),
        ON(this_machine, test_create_takes_the_quota_from_the_system),
        ON(this_machine, test_affinity_mask_is_respected),
        ON(this_machine, test_binding_is_saved_and_restored),
        ON(this_machine, test_more_threads_than_cores_are_crowded_and_unbound),
        ON(this_machine, test_absurd_thread_counts_are_refused),
        ON(two_sockets, test_two_sockets_with_smt_give_one_pu_per_core),
        ON(two_sockets, test_another_machines_topology_binds_nothing),
        ON(two_sockets, test_quota_cuts_the_default),
        ON(two_sockets, test_quota_below_the_cores_leaves_threads_unbound),
        ON(hybrid, test_fast_cores_come_first),
        ON(broken, test_without_hwloc_the_allowed_cpus_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
