/* The team of threads: shares, barriers, bindings, idleness. */
#define _GNU_SOURCE
#include "parallel.h"

#include "os.h"
#include "topology.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

enum { MAX_THREADS = 8 };

static struct nib_team *team_of(struct nib_cpu_plan **plan, int n_threads, int quota)
{
    struct nib_team *team;
    assert_int_equal(nib_cpu_plan_create_with_quota(plan, n_threads, quota, NULL), NIB_OK);
    assert_int_equal(nib_team_create(&team, *plan, NULL), NIB_OK);
    return team;
}

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void test_shares_cover_the_range_once_and_evenly(void **state)
{
    (void)state;
    for (size_t unit = 1; unit <= 32; unit = unit * 2 + 1)
        for (size_t n = 0; n < 200; n++)
            for (int n_threads = 1; n_threads <= 9; n_threads++) {
                size_t next = 0, least = SIZE_MAX, most = 0;
                for (int thread = 0; thread < n_threads; thread++) {
                    size_t begin, end;
                    nib_share(n, unit, thread, n_threads, &begin, &end);
                    assert_int_equal(begin, next);
                    assert_true(end >= begin && (end % unit == 0 || end == n));
                    const size_t units = (end - begin + unit - 1) / unit;
                    least = units < least ? units : least;
                    most = units > most ? units : most;
                    next = end;
                }
                assert_int_equal(next, n);
                assert_true(most - least <= 1);
            }
}

/* Each thread writes its slot, meets the others, and must see all slots of the same phase. */
struct phases {
    struct nib_team *team;
    int n_phases;
    int slots[MAX_THREADS]; /* not atomic: the barrier orders them */
    _Atomic int n_wrong, n_calls;
};

static void run_phases(void *data, int thread, int n_threads)
{
    struct phases *p = data;
    atomic_fetch_add(&p->n_calls, 1);
    for (int phase = 1; phase <= p->n_phases; phase++) {
        p->slots[thread] = phase;
        nib_team_barrier(p->team, thread);
        for (int i = 0; i < n_threads; i++)
            if (p->slots[i] != phase)
                atomic_fetch_add(&p->n_wrong, 1);
        nib_team_barrier(p->team, thread);
    }
}

static void check_phases(struct nib_team *team, int n_phases, int n_runs)
{
    struct phases p = {.team = team, .n_phases = n_phases};
    for (int i = 0; i < n_runs; i++)
        nib_team_run(team, run_phases, &p);
    assert_int_equal(p.n_wrong, 0);
    assert_int_equal(p.n_calls, n_runs * nib_team_size(team));
}

static void test_barrier_holds_for_any_number_of_threads(void **state)
{
    (void)state;
    for (int n = 1; n <= 4; n++) {
        struct nib_cpu_plan *plan;
        struct nib_team *team = team_of(&plan, n, 0);
        check_phases(team, 12000, 1);
        check_phases(team, 3, 300);
        nib_team_free(team);
        nib_cpu_plan_free(plan);
    }
}

static void test_barrier_holds_where_nobody_spins(void **state)
{
    (void)state;
    struct nib_cpu_plan *plan;
    struct nib_team *team = team_of(&plan, 2, 1);
    assert_true(nib_cpu_plan_is_crowded(plan));
    check_phases(team, 10000, 1);
    nib_team_free(team);
    nib_cpu_plan_free(plan);
}

/* The last thread comes late, so that the others go to sleep. */
static void run_late(void *data, int thread, int n_threads)
{
    struct phases *p = data;
    for (int phase = 1; phase <= p->n_phases; phase++) {
        if (thread == phase % n_threads)
            sleep_ms(5);
        p->slots[thread] = phase;
        nib_team_barrier(p->team, thread);
        for (int i = 0; i < n_threads; i++)
            if (p->slots[i] != phase)
                atomic_fetch_add(&p->n_wrong, 1);
        nib_team_barrier(p->team, thread);
    }
}

static void test_barrier_sleeps_when_a_thread_is_late(void **state)
{
    (void)state;
    struct nib_cpu_plan *plan;
    struct nib_team *team = team_of(&plan, 3, 0);
    struct phases p = {.team = team, .n_phases = 40};
    nib_team_run(team, run_late, &p);
    sleep_ms(300); /* libomp's threads spin for 0.2 s before they sleep */
    const double wall = nib_os_seconds(), cpu = cpu_seconds();
    struct phases again = {.team = team, .n_phases = 40};
    nib_team_run(team, run_late, &again);
    const double used = (cpu_seconds() - cpu) / (nib_os_seconds() - wall);
    assert_int_equal(p.n_wrong + again.n_wrong, 0);
    assert_true(used < 0.5); /* three spinning threads would use two cores */
    nib_team_free(team);
    nib_cpu_plan_free(plan);
}

static void test_idle_team_burns_no_cpu(void **state)
{
    (void)state;
    struct nib_cpu_plan *plan;
    struct nib_team *team = team_of(&plan, 0, 0);
    check_phases(team, 100, 1);
    sleep_ms(400);
    const double cpu = cpu_seconds();
    sleep_ms(300);
    assert_true(cpu_seconds() - cpu < 0.03);
    nib_team_free(team);
    nib_cpu_plan_free(plan);
}

struct bindings {
    cpu_set_t sets[MAX_THREADS];
};

static void look_at_binding(void *data, int thread, int n_threads)
{
    (void)n_threads;
    struct bindings *b = data;
    sched_getaffinity(0, sizeof(b->sets[thread]), &b->sets[thread]);
}

static void test_threads_are_bound_and_the_callers_binding_comes_back(void **state)
{
    (void)state;
    struct nib_cpu_plan *plan, *wide_plan;
    struct nib_team *team = team_of(&plan, 2, 0);
    if (!nib_cpu_plan_is_bound(plan) || nib_team_size(team) < 2) {
        nib_team_free(team);
        nib_cpu_plan_free(plan);
        skip();
    }
    cpu_set_t before, after;
    struct bindings b;
    sched_getaffinity(0, sizeof(before), &before);
    nib_team_run(team, look_at_binding, &b);
    sched_getaffinity(0, sizeof(after), &after);
    assert_true(CPU_EQUAL(&before, &after));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(CPU_COUNT(&b.sets[i]), 1);
        assert_true(CPU_ISSET(nib_cpu_plan_cpu(plan, i), &b.sets[i]));
    }

    /* The same OpenMP threads in a team that does not bind are set free. */
    struct nib_team *wide = team_of(&wide_plan, nib_cpu_plan_cores(plan) + 1, 0);
    if (nib_team_size(wide) <= MAX_THREADS) {
        nib_team_run(wide, look_at_binding, &b);
        for (int i = 0; i < nib_team_size(wide); i++)
            assert_true(CPU_EQUAL(&before, &b.sets[i]));
        nib_team_run(team, look_at_binding, &b);
        assert_int_equal(CPU_COUNT(&b.sets[1]), 1);
    }
    nib_team_free(wide);
    nib_cpu_plan_free(wide_plan);
    nib_team_free(team);
    nib_cpu_plan_free(plan);
}

static void test_one_thread_binds_nothing(void **state)
{
    (void)state;
    struct nib_cpu_plan *plan;
    struct nib_team *team = team_of(&plan, 1, 0);
    cpu_set_t before;
    struct bindings b;
    sched_getaffinity(0, sizeof(before), &before);
    nib_team_run(team, look_at_binding, &b);
    assert_true(CPU_EQUAL(&before, &b.sets[0]));
    nib_team_free(team);
    nib_cpu_plan_free(plan);
}

static void *run_own_team(void *result)
{
    struct nib_cpu_plan *plan;
    struct nib_team *team;
    if (nib_cpu_plan_create(&plan, 2, NULL) != NIB_OK)
        return NULL;
    if (nib_team_create(&team, plan, NULL) == NIB_OK) {
        struct phases p = {.team = team, .n_phases = 50};
        for (int i = 0; i < 20; i++)
            nib_team_run(team, run_phases, &p);
        *(int *)result = p.n_wrong == 0 && p.n_calls == 20 * nib_team_size(team);
        nib_team_free(team);
    }
    nib_cpu_plan_free(plan);
    return NULL;
}

static void test_user_threads_run_teams_side_by_side(void **state)
{
    (void)state;
    pthread_t threads[3];
    int is_right[3] = {0};
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_own_team, &is_right[i]), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 3; i++)
        assert_true(is_right[i]);
}

static void *run_given_team(void *team)
{
    struct phases p = {.team = team, .n_phases = 100};
    nib_team_run(team, run_phases, &p);
    return p.n_wrong == 0 ? team : NULL;
}

static void test_a_team_serves_one_user_thread_after_another(void **state)
{
    (void)state;
    struct nib_cpu_plan *plan;
    struct nib_team *team = team_of(&plan, 2, 0);
    for (int i = 0; i < 10; i++) {
        pthread_t thread;
        void *result;
        check_phases(team, 10, 1);
        assert_int_equal(pthread_create(&thread, NULL, run_given_team, team), 0);
        pthread_join(thread, &result);
        assert_ptr_equal(result, team);
    }
    nib_team_free(team);
    nib_team_free(NULL);
    nib_cpu_plan_free(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares_cover_the_range_once_and_evenly),
        cmocka_unit_test(test_barrier_holds_for_any_number_of_threads),
        cmocka_unit_test(test_barrier_holds_where_nobody_spins),
        cmocka_unit_test(test_barrier_sleeps_when_a_thread_is_late),
        cmocka_unit_test(test_idle_team_burns_no_cpu),
        cmocka_unit_test(test_threads_are_bound_and_the_callers_binding_comes_back),
        cmocka_unit_test(test_one_thread_binds_nothing),
        cmocka_unit_test(test_user_threads_run_teams_side_by_side),
        cmocka_unit_test(test_a_team_serves_one_user_thread_after_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
