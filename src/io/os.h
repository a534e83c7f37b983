/* All that is asked of the operating system: os.c and os_files.c are the files to port.  (Threads
 * and topology are in run/parallel.c and run/topology.c.) */
#ifndef NIB_OS_H
#define NIB_OS_H

#include "common.h"

#include <stdatomic.h>

/* A whole regular file, mapped read-only and private.  Who cuts it short meanwhile ends the process
 * with SIGBUS: a mapping is held no longer than needed. */
struct nib_mapping {
    const uint8_t *data;
    size_t n_bytes;
};

/* Fails by name for a missing file, a directory, a device or FIFO (never blocks on one), an empty
 * file. */
enum nib_status nib_os_map(struct nib_mapping *out, const char *path, struct nib_error *err);
void nib_os_unmap(struct nib_mapping *mapping);

bool nib_os_is_file(const char *path);   /* a regular one; links are followed */
bool nib_os_is_folder(const char *path); /* the same */
/* The absolute path without links, to be freed; NULL if nothing is there, or no memory. */
char *nib_os_real_path(const char *path);

/* Do both paths lead to one file that is there? */
bool nib_os_is_same_file(const char *a, const char *b);

/* Tell the system that the pages of [data, data + n_bytes) inside a mapping are not needed again.
 */
void nib_os_forget(const void *data, size_t n_bytes);

/* Tell it that all of them are going to be: they are read in the largest pages that the system has
 * for files, and mapped where that can be had without waiting for a disk. */
void nib_os_expect(const void *data, size_t n_bytes);

/* Zeroed memory, 2 MB aligned and on huge pages where it is large enough and the system gives them;
 * not touched yet.  NULL if there is none. */
void *nib_os_alloc(size_t n_bytes);
void nib_os_free(void *memory, size_t n_bytes);

/* Bytes of [memory, memory + n_bytes) that have been touched, and those of them on huge pages;
 * zeros if the system does not tell.  Takes about a millisecond. */
struct nib_pages {
    uint64_t resident, huge;
};
struct nib_pages nib_os_pages(const void *memory, size_t n_bytes);

/* Bytes of memory this process may still take: the least of free memory and the cgroup's limits;
 * UINT64_MAX if the system does not tell. */
uint64_t nib_os_memory_available(void);

/* CPU quota of this process's cgroups (v1 and v2, all ancestors) in whole CPUs, rounded down and at
 * least 1; 0 where there is none. */
int nib_os_cpu_quota(void);

double nib_os_seconds(void); /* monotonic */

void nib_os_yield(void);

/* Sleep until nib_os_wake() is called or *word is no longer `value`; may return early. */
void nib_os_wait(_Atomic uint32_t *word, uint32_t value);
void nib_os_wake(_Atomic uint32_t *word); /* all sleepers */

/*
 * Write a file so that its name never holds a part of it: a temporary file beside it, synced and
 * renamed by commit().  abort() removes it.  Exactly one of both ends a writer.
 */
struct nib_file_writer;
enum nib_status nib_file_writer_open(struct nib_file_writer **out, const char *path,
                                     struct nib_error *err);
enum nib_status nib_file_writer_write(struct nib_file_writer *writer, const void *data,
                                      size_t n_bytes, struct nib_error *err);
enum nib_status nib_file_writer_commit(struct nib_file_writer *writer, struct nib_error *err);
void nib_file_writer_abort(struct nib_file_writer *writer);

/* ---- files and folders (os_files.c) ---------------------------------------------------------- */

struct nib_os_file {
    char *name; /* in its folder */
    uint64_t n_bytes;
    int64_t modified; /* nanoseconds since 1970 */
};

/* A regular file, links followed; without its name.  False if there is none. */
bool nib_os_file_facts(const char *path, struct nib_os_file *out);

/* The regular files right in a folder, links followed, in the order of their names; false if it
 * cannot be read.  *out is to be freed with nib_os_files_free() even then. */
bool nib_os_folder_files(const char *path, struct nib_os_file **out, size_t *n);
void nib_os_files_free(struct nib_os_file *files, size_t n);

bool nib_os_make_folders(const char *path); /* and those above it, for this user alone */
void nib_os_remove_file(const char *path);
void nib_os_touch_file(const char *path); /* it becomes modified now */
int64_t nib_os_now(void);                 /* nanoseconds since 1970 */

/* Bytes that this user may still write to the disk of a folder; UINT64_MAX if it does not tell. */
uint64_t nib_os_disk_available(const char *folder);

#endif
