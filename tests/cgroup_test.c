/* Limits of cgroups: copies of the system's files, as bare systems and containers have them. */
#define _GNU_SOURCE
#include "cgroup.h"
#include "scratch_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static struct scratch_dir root;

static int setup(void **state)
{
    (void)state;
    scratch_dir_create(&root);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scratch_dir_remove(&root);
    return 0;
}

static void put(const char *name, const char *text)
{
    scratch_write(&root, name, text);
}

static int quota(void)
{
    return nib_cgroup_cpu_quota(root.path);
}

static uint64_t memory(void)
{
    return nib_cgroup_memory_available(root.path);
}

#define V2_MOUNT "25 22 0:22 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"

/* A process in /a/b of version 2. */
static void put_v2(void)
{
    put("proc/self/cgroup", "0::/a/b\n");
    put("proc/self/mountinfo", "22 1 0:20 / /sys rw shared:7 - sysfs sysfs rw\n" V2_MOUNT);
}

static void test_without_files_there_are_no_limits(void **state)
{
    (void)state;
    assert_int_equal(quota(), 0);
    assert_true(memory() == UINT64_MAX);
    assert_true(nib_meminfo_available(root.path) == UINT64_MAX);
    put_v2();
    assert_int_equal(quota(), 0);
    assert_true(memory() == UINT64_MAX);
}

static void test_v2_quota_is_rounded_down_and_at_least_one(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int n;
    } cases[] = {{"max 100000\n", 0},
                 {"200000 100000\n", 2},
                 {"250000 100000\n", 2},
                 {"299999 100000\n", 2},
                 {"50000 100000\n", 1},
                 {"1000 100000\n", 1},
                 {"1600000 100000", 16},
                 {"100000 50000\n", 2},
                 {"0 100000\n", 0},
                 {"100000 0\n", 0},
                 {"100000\n", 0},
                 {"\n", 0},
                 {"", 0},
                 {"-1 100000\n", 0},
                 {"12x 100000\n", 0},
                 {"99999999999999999999 1\n", 2147483647}};
    put_v2();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        put("sys/fs/cgroup/a/b/cpu.max", cases[i].text);
        assert_int_equal(quota(), cases[i].n);
    }
}

static void test_v2_quota_is_the_least_of_all_ancestors(void **state)
{
    (void)state;
    put_v2();
    put("sys/fs/cgroup/a/b/cpu.max", "800000 100000\n");
    put("sys/fs/cgroup/a/cpu.max", "300000 100000\n");
    assert_int_equal(quota(), 3);
    put("sys/fs/cgroup/cpu.max", "200000 100000\n");
    assert_int_equal(quota(), 2);
    put("sys/fs/cpu.max", "100000 100000\n");          /* above the mount: no group */
    put("sys/fs/cgroup/c/cpu.max", "100000 100000\n"); /* not an ancestor */
    assert_int_equal(quota(), 2);
    put("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    assert_int_equal(quota(), 2);
}

static void test_v1_quota_is_found_under_its_controller(void **state)
{
    (void)state;
    put("proc/self/cgroup", "9:cpuset:/x\n4:cpu,cpuacct:/user/me\n2:memory:/user\n");
    put("proc/self/mountinfo",
        "30 25 0:26 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
        "31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n");
    assert_int_equal(quota(), 0);
    put("sys/fs/cgroup/cpuset/x/cpu.cfs_quota_us", "100000\n");
    put("sys/fs/cgroup/cpuset/x/cpu.cfs_period_us", "100000\n");
    assert_int_equal(quota(), 0);
    put("sys/fs/cgroup/cpu,cpuacct/user/me/cpu.cfs_quota_us", "-1\n");
    put("sys/fs/cgroup/cpu,cpuacct/user/me/cpu.cfs_period_us", "100000\n");
    assert_int_equal(quota(), 0);
    put("sys/fs/cgroup/cpu,cpuacct/user/cpu.cfs_quota_us", "350000\n");
    put("sys/fs/cgroup/cpu,cpuacct/user/cpu.cfs_period_us", "100000\n");
    assert_int_equal(quota(), 3);
    put("sys/fs/cgroup/cpu,cpuacct/user/me/cpu.cfs_quota_us", "100000\n");
    assert_int_equal(quota(), 1);
}

static void test_a_container_sees_its_group_as_the_mounts_root(void **state)
{
    (void)state;
    put("proc/self/cgroup", "4:cpu,cpuacct:/docker/abc/inner\n");
    put("proc/self/mountinfo",
        "31 25 0:27 /docker/abc /sys/fs/cgroup/cpu ro master:9 - cgroup cgroup rw,cpu,cpuacct\n");
    put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "400000\n");
    put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    assert_int_equal(quota(), 4);
    put("sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us", "200000\n");
    put("sys/fs/cgroup/cpu/inner/cpu.cfs_period_us", "100000\n");
    assert_int_equal(quota(), 2);
    put("proc/self/cgroup", "4:cpu,cpuacct:/docker/abcdef\n"); /* not below the mount's root */
    assert_int_equal(quota(), 4);
    put("proc/self/cgroup", "4:cpu,cpuacct:/docker/abc\n");
    assert_int_equal(quota(), 4);
}

static void test_groups_outside_of_a_namespace_use_the_mount_point(void **state)
{
    (void)state;
    put("proc/self/cgroup", "0::/../other\n");
    put("proc/self/mountinfo", V2_MOUNT);
    put("sys/fs/cgroup/cpu.max", "500000 100000\n");
    put("sys/fs/other/cpu.max", "100000 100000\n");
    assert_int_equal(quota(), 5);
    put("proc/self/cgroup", "0::/\n");
    assert_int_equal(quota(), 5);
}

static void test_both_versions_side_by_side_give_the_least(void **state)
{
    (void)state;
    put("proc/self/cgroup", "1:cpu:/a\n2:name=systemd:/\n0::/b\n");
    put("proc/self/mountinfo", "31 25 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
                               "32 25 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    put("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "600000\n");
    put("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
    assert_int_equal(quota(), 6);
    put("sys/fs/cgroup/unified/b/cpu.max", "400000 100000\n");
    assert_int_equal(quota(), 4);
}

static void test_mount_points_may_hold_blanks_and_be_the_root(void **state)
{
    (void)state;
    put("proc/self/cgroup", "0::/a\n");
    put("proc/self/mountinfo", "25 22 0:22 / /odd\\040place rw - cgroup2 none rw\n");
    put("odd place/a/cpu.max", "300000 100000\n");
    assert_int_equal(quota(), 3);
    put("proc/self/mountinfo", "25 22 0:22 / / rw - cgroup2 none rw\n");
    put("cpu.max", "700000 100000\n");
    assert_int_equal(quota(), 7);
}

static void test_broken_lists_are_no_limits(void **state)
{
    (void)state;
    static const char *const mounts[] = {"",
                                         "\n\n",
                                         "25 22 - cgroup2 none rw\n",
                                         "25 22 0:22 / /sys/fs/cgroup rw cgroup2 none rw\n",
                                         "25 22 0:22 / /sys/fs/cgroup rw - cgroup2\n",
                                         " - \n",
                                         " -  - - -\n"};
    put("sys/fs/cgroup/a/b/cpu.max", "300000 100000\n");
    put("proc/self/cgroup", "0::/a/b\n");
    for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
        put("proc/self/mountinfo", mounts[i]);
        assert_int_equal(quota(), 0);
    }
    put("proc/self/mountinfo", V2_MOUNT);
    assert_int_equal(quota(), 3);
    static const char *const groups[] = {"", "\n", "0:\n", "0\n", ":::\n", "5:cpuset:/a/b\n"};
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        put("proc/self/cgroup", groups[i]);
        assert_int_equal(quota(), 0);
    }
}

static void test_v2_memory_is_the_least_left_with_cached_pages_free(void **state)
{
    (void)state;
    put_v2();
    put("sys/fs/cgroup/a/b/memory.max", "max\n");
    put("sys/fs/cgroup/a/b/memory.current", "5000\n");
    assert_true(memory() == UINT64_MAX);
    put("sys/fs/cgroup/a/memory.max", "100000\n");
    assert_true(memory() == UINT64_MAX); /* no usage known */
    put("sys/fs/cgroup/a/memory.current", "40000\n");
    assert_int_equal(memory(), 60000);
    put("sys/fs/cgroup/a/memory.stat",
        "anon 1\nfile 9\ninactive_file 3000\nactive_file 2000\nworkingset_activate_file 7\n");
    assert_int_equal(memory(), 65000);
    put("sys/fs/cgroup/a/b/memory.max", "6000\n");
    assert_int_equal(memory(), 1000);
    put("sys/fs/cgroup/a/b/memory.current", "9000\n");
    assert_int_equal(memory(), 0);
}

static void test_v1_memory_is_found(void **state)
{
    (void)state;
    put("proc/self/cgroup", "4:memory:/job\n");
    put("proc/self/mountinfo",
        "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n");
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("sys/fs/cgroup/memory/memory.usage_in_bytes", "5000\n");
    put("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "80000\n");
    put("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "30000\n");
    put("sys/fs/cgroup/memory/job/memory.stat",
        "inactive_file 1\nactive_file 1\ntotal_inactive_file 700\ntotal_active_file 300\n");
    assert_int_equal(memory(), 51000);
}

static void test_meminfo_is_read_in_bytes(void **state)
{
    (void)state;
    put("proc/meminfo", "MemTotal:       32000 kB\nMemFree:  100 kB\nMemAvailable:   24000 kB\n");
    assert_int_equal(nib_meminfo_available(root.path), 24000 * 1024);
    put("proc/meminfo", "MemTotal:       32000 kB\n");
    assert_true(nib_meminfo_available(root.path) == UINT64_MAX);
    put("proc/meminfo", "MemAvailable:");
    assert_true(nib_meminfo_available(root.path) == UINT64_MAX);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_without_files_there_are_no_limits),
        TEST(test_v2_quota_is_rounded_down_and_at_least_one),
        TEST(test_v2_quota_is_the_least_of_all_ancestors),
        TEST(test_v1_quota_is_found_under_its_controller),
        TEST(test_a_container_sees_its_group_as_the_mounts_root),
        TEST(test_groups_outside_of_a_namespace_use_the_mount_point),
        TEST(test_both_versions_side_by_side_give_the_least),
        TEST(test_mount_points_may_hold_blanks_and_be_the_root),
        TEST(test_broken_lists_are_no_limits),
        TEST(test_v2_memory_is_the_least_left_with_cached_pages_free),
        TEST(test_v1_memory_is_found),
        TEST(test_meminfo_is_read_in_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
