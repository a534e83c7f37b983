/* The operating system: POSIX, with what Linux alone has behind #ifdef.  See os.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os.h"
#include "cgroup.h"
#include "checked.h"
#include "smaps.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#endif

enum { HUGE_PAGE = 2 * 1024 * 1024 };

/* ---- mapped files -------------------------------------------------------------------------- */

static enum nib_status fail_open(struct nib_error *err, const char *path, int error)
{
    switch (error) {
    case ENOENT:
        return nib_fail(err, NIB_ERROR_IO, "%s: there is no such file; check the path", path);
    case EACCES:
    case EPERM:
        return nib_fail(err, NIB_ERROR_IO, "%s: this user may not open it; check its permissions",
                        path);
    default:
        return nib_fail(err, NIB_ERROR_IO, "%s: cannot be opened: %s", path, strerror(error));
    }
}

static enum nib_status check_regular(const struct stat *info, const char *path,
                                     struct nib_error *err)
{
    if (S_ISREG(info->st_mode))
        return NIB_OK;
    if (S_ISDIR(info->st_mode))
        return nib_fail(err, NIB_ERROR_IO, "%s: is a directory; give the path of a file in it",
                        path);
    return nib_fail(err, NIB_ERROR_IO,
                    "%s: is a device, pipe or socket; give the path of a regular file", path);
}

enum nib_status nib_os_map(struct nib_mapping *out, const char *path, struct nib_error *err)
{
    *out = (struct nib_mapping){0};

    /* O_NONBLOCK: opening a FIFO without a writer returns at once. */
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return errno == ENXIO ? check_regular(&(struct stat){.st_mode = S_IFSOCK}, path, err)
                              : fail_open(err, path, errno);

    enum nib_status status = NIB_OK;
    struct stat info;
    if (fstat(fd, &info) != 0)
        status = fail_open(err, path, errno);
    else
        status = check_regular(&info, path, err);
    if (status == NIB_OK && info.st_size <= 0)
        status = nib_fail(err, NIB_ERROR_FILE, "%s: the file is empty; download it again", path);
    if (status == NIB_OK && (uint64_t)info.st_size > SIZE_MAX)
        status = nib_fail(err, NIB_ERROR_MEMORY, "%s: %lld bytes are more than this system maps",
                          path, (long long)info.st_size);
    if (status == NIB_OK) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            status = nib_fail(err, NIB_ERROR_IO, "%s: its %lld bytes cannot be mapped: %s", path,
                              (long long)info.st_size, strerror(errno));
        else
            *out = (struct nib_mapping){data, (size_t)info.st_size};
    }
    close(fd);
    return status;
}

void nib_os_unmap(struct nib_mapping *mapping)
{
    if (mapping->data)
        munmap((void *)(uintptr_t)mapping->data, mapping->n_bytes);
    *mapping = (struct nib_mapping){0};
}

bool nib_os_is_file(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

bool nib_os_is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

char *nib_os_real_path(const char *path)
{
    return realpath(path, NULL);
}

bool nib_os_is_same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

void nib_os_forget(const void *data, size_t n_bytes)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t begin = ((uintptr_t)data + page - 1) & ~(page - 1);
    const uintptr_t end = ((uintptr_t)data + n_bytes) & ~(page - 1);
    if (begin < end)
        madvise((void *)begin, end - begin, MADV_DONTNEED);
}

void nib_os_expect(const void *data, size_t n_bytes)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t begin = (uintptr_t)data & ~(page - 1);
    const uintptr_t end = ((uintptr_t)data + n_bytes + page - 1) & ~(page - 1);
#ifdef MADV_HUGEPAGE
    madvise((void *)begin, end - begin, MADV_HUGEPAGE);
#endif
    madvise((void *)begin, end - begin, MADV_WILLNEED);
}

/* ---- memory -------------------------------------------------------------------------------- */

/* What an allocation of n_bytes takes; large ones end at a huge page too.  0 if that overflows. */
static size_t rounded_size(size_t n_bytes)
{
    if (n_bytes < HUGE_PAGE)
        return n_bytes ? n_bytes : 1;
    uint64_t rounded;
    if (!nib_checked_align(n_bytes, HUGE_PAGE, &rounded) || rounded > SIZE_MAX - HUGE_PAGE)
        return 0;
    return (size_t)rounded;
}

static uint8_t *map_anonymous(size_t n_bytes)
{
    void *memory = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void *nib_os_alloc(size_t n_bytes)
{
    const size_t size = rounded_size(n_bytes);
    if (size == 0)
        return NULL;
    if (size < HUGE_PAGE)
        return map_anonymous(size);

    /* mmap() aligns to small pages: take one huge page more and give back both ends. */
    uint8_t *memory = map_anonymous(size + HUGE_PAGE);
    if (!memory)
        return NULL;
    const size_t head = (HUGE_PAGE - (uintptr_t)memory % HUGE_PAGE) % HUGE_PAGE;
    if (head > 0)
        munmap(memory, head);
    munmap(memory + head + size, HUGE_PAGE - head);
#ifdef MADV_HUGEPAGE
    madvise(memory + head, size, MADV_HUGEPAGE);
#endif
    return memory + head;
}

void nib_os_free(void *memory, size_t n_bytes)
{
    if (memory)
        munmap(memory, rounded_size(n_bytes));
}

struct nib_pages nib_os_pages(const void *memory, size_t n_bytes)
{
    return nib_smaps_pages("", memory, n_bytes);
}

uint64_t nib_os_memory_available(void)
{
    uint64_t free_bytes = nib_meminfo_available("");
#ifdef _SC_AVPHYS_PAGES
    if (free_bytes == UINT64_MAX) {
        const long n_pages = sysconf(_SC_AVPHYS_PAGES);
        if (n_pages > 0)
            free_bytes = (uint64_t)n_pages * (uint64_t)sysconf(_SC_PAGESIZE);
    }
#endif
    const uint64_t allowed = nib_cgroup_memory_available("");
    return free_bytes < allowed ? free_bytes : allowed;
}

/* ---- time and threads ---------------------------------------------------------------------- */

int nib_os_cpu_quota(void)
{
    return nib_cgroup_cpu_quota("");
}

double nib_os_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void nib_os_yield(void)
{
    sched_yield();
}

void nib_os_wait(_Atomic uint32_t *word, uint32_t value)
{
#ifdef __linux__
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
#else
    if (atomic_load(word) == value)
        nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
#endif
}

void nib_os_wake(_Atomic uint32_t *word)
{
#ifdef __linux__
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
#else
    (void)word;
#endif
}

/* ---- writing files ------------------------------------------------------------------------- */

struct nib_file_writer {
    int fd;
    char *path;      /* links resolved, so that a link stays one */
    char *temporary; /* path + ".tmp-PID-N" */
    size_t n_held;
    uint8_t held[64 * 1024];
};

static void free_writer(struct nib_file_writer *writer)
{
    if (writer->fd >= 0)
        close(writer->fd);
    free(writer->path);
    free(writer->temporary);
    free(writer);
}

static enum nib_status fail_write(struct nib_error *err, const struct nib_file_writer *writer,
                                  int error)
{
    return nib_fail(err, NIB_ERROR_IO, "%s: cannot be written: %s%s", writer->path, strerror(error),
                    error == ENOSPC || error == EDQUOT ? "; free some space and try again" : "");
}

/* Permissions are those of any new file: 0666 less the umask. */
static int create_temporary(struct nib_file_writer *writer)
{
    static _Atomic unsigned counter;
    const size_t cap = strlen(writer->path) + 40;
    writer->temporary = malloc(cap);
    if (!writer->temporary)
        return ENOMEM;
    for (int i = 0; i < 100; i++) {
        snprintf(writer->temporary, cap, "%s.tmp-%ld-%u", writer->path, (long)getpid(),
                 atomic_fetch_add(&counter, 1));
        writer->fd = open(writer->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (writer->fd >= 0)
            return 0;
        if (errno != EEXIST)
            break;
    }
    return errno;
}

enum nib_status nib_file_writer_open(struct nib_file_writer **out, const char *path,
                                     struct nib_error *err)
{
    *out = NULL;
    if (path[0] == '\0')
        return nib_fail(err, NIB_ERROR_IO, "the name of the file to write is empty; give a path");
    struct stat info;
    if (stat(path, &info) == 0) {
        const enum nib_status status = check_regular(&info, path, err);
        if (status != NIB_OK)
            return status;
    }

    struct nib_file_writer *writer = malloc(sizeof(*writer));
    if (!writer)
        return nib_fail_memory(err, sizeof(*writer), "a file writer");
    writer->fd = -1;
    writer->n_held = 0;
    writer->temporary = NULL;
    writer->path = realpath(path, NULL);
    if (!writer->path)
        writer->path = strdup(path);
    const int error = writer->path ? create_temporary(writer) : ENOMEM;
    if (error != 0) {
        nib_fail(err, NIB_ERROR_IO,
                 "%s: cannot be created: %s; check that its folder exists and may "
                 "be written",
                 path, strerror(error));
        free_writer(writer);
        return NIB_ERROR_IO;
    }
    *out = writer;
    return NIB_OK;
}

/* All of it; 0 or errno. */
static int write_all(int fd, const uint8_t *data, size_t n_bytes)
{
    while (n_bytes > 0) {
        const ssize_t n = write(fd, data, n_bytes < (1u << 30) ? n_bytes : (1u << 30));
        if (n < 0 && errno != EINTR)
            return errno;
        if (n > 0) {
            data += n;
            n_bytes -= (size_t)n;
        }
    }
    return 0;
}

static int flush_held(struct nib_file_writer *writer)
{
    const size_t n = writer->n_held;
    writer->n_held = 0;
    return write_all(writer->fd, writer->held, n);
}

enum nib_status nib_file_writer_write(struct nib_file_writer *writer, const void *data,
                                      size_t n_bytes, struct nib_error *err)
{
    int error = 0;
    if (n_bytes > sizeof(writer->held) - writer->n_held)
        error = flush_held(writer);
    if (error == 0 && n_bytes > sizeof(writer->held)) {
        error = write_all(writer->fd, data, n_bytes);
    } else if (error == 0 && n_bytes > 0) {
        memcpy(writer->held + writer->n_held, data, n_bytes);
        writer->n_held += n_bytes;
    }
    return error == 0 ? NIB_OK : fail_write(err, writer, error);
}

/* Some file systems cannot sync a folder; the file is complete under its name all the same. */
static void sync_folder_of(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash)
        slash[slash == path] = '\0';
    const int fd = open(slash ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

enum nib_status nib_file_writer_commit(struct nib_file_writer *writer, struct nib_error *err)
{
    int error = flush_held(writer);
    if (error == 0 && fsync(writer->fd) != 0)
        error = errno;
    const int fd = writer->fd;
    writer->fd = -1;
    if (close(fd) != 0 && error == 0)
        error = errno;
    if (error == 0 && rename(writer->temporary, writer->path) != 0)
        error = errno;
    if (error != 0) {
        const enum nib_status status = fail_write(err, writer, error);
        nib_file_writer_abort(writer);
        return status;
    }
    sync_folder_of(writer->path);
    free_writer(writer);
    return NIB_OK;
}

void nib_file_writer_abort(struct nib_file_writer *writer)
{
    if (!writer)
        return;
    unlink(writer->temporary);
    free_writer(writer);
}
