/*
 * What the cgroups of this process allow, versions 1 and 2, of all ancestors the least
 * (https://docs.kernel.org/admin-guide/cgroup-v2.html).  `root` stands before every path that is
 * read:
 * "" for the running system, a folder with copies of its files in tests.  Systems without these
 * files have no limits.
 */
#ifndef NIB_CGROUP_H
#define NIB_CGROUP_H

#include <stdint.h>

/* CPU quota in whole CPUs, rounded down and at least 1; 0 where there is none. */
int nib_cgroup_cpu_quota(const char *root);

/* Bytes that may still be taken below the memory limits; UINT64_MAX where there are none.  Cached
 * file pages count as free: the kernel drops them before it refuses memory. */
uint64_t nib_cgroup_memory_available(const char *root);

/* MemAvailable of /proc/meminfo in bytes; UINT64_MAX if it is not there. */
uint64_t nib_meminfo_available(const char *root);

#endif
