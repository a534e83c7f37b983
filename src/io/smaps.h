/*
 * What of this process's memory is really there, from /proc/self/smaps
 * (https://docs.kernel.org/filesystems/proc.html).  `root` as in cgroup.h.
 */
#ifndef NIB_SMAPS_H
#define NIB_SMAPS_H

#include "os.h"

/* Zeros where the file is not there.  Where the system has joined the range with its neighbours in
 * one mapping, it has its share of that by size. */
struct nib_pages nib_smaps_pages(const char *root, const void *memory, size_t n_bytes);

#endif
