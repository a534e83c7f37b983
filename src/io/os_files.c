/* Files and folders of the operating system.  See os.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

static int64_t nanoseconds(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static bool take_facts(const struct stat *info, struct nib_os_file *out)
{
    if (!S_ISREG(info->st_mode))
        return false;
#ifdef __APPLE__
    const struct timespec modified = info->st_mtimespec;
#else
    const struct timespec modified = info->st_mtim;
#endif
    *out =
        (struct nib_os_file){.n_bytes = (uint64_t)info->st_size, .modified = nanoseconds(modified)};
    return true;
}

bool nib_os_file_facts(const char *path, struct nib_os_file *out)
{
    struct stat info;
    return stat(path, &info) == 0 && take_facts(&info, out);
}

static int compare_names(const void *a, const void *b)
{
    const struct nib_os_file *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* False without memory. */
static bool add_file(struct nib_os_file **files, size_t *n, const struct nib_os_file *file,
                     const char *name)
{
    if ((*n & (*n - 1)) == 0) { /* room for the next power of two */
        struct nib_os_file *grown = realloc(*files, (*n > 0 ? 2 * *n : 1) * sizeof(*grown));
        if (!grown)
            return false;
        *files = grown;
    }
    char *copy = strdup(name);
    if (!copy)
        return false;
    (*files)[*n] = *file;
    (*files)[(*n)++].name = copy;
    return true;
}

bool nib_os_folder_files(const char *path, struct nib_os_file **out, size_t *n)
{
    *out = NULL;
    *n = 0;
    DIR *folder = opendir(path);
    if (!folder)
        return false;
    bool is_complete = true;
    const struct dirent *entry;
    while (is_complete && (entry = readdir(folder)) != NULL) {
        struct stat info;
        struct nib_os_file file;
        if (fstatat(dirfd(folder), entry->d_name, &info, 0) == 0 && take_facts(&info, &file))
            is_complete = add_file(out, n, &file, entry->d_name);
    }
    closedir(folder);
    if (*n > 0)
        qsort(*out, *n, sizeof(**out), compare_names);
    return is_complete;
}

void nib_os_files_free(struct nib_os_file *files, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(files[i].name);
    free(files);
}

bool nib_os_make_folders(const char *path)
{
    char *copy = strdup(path);
    if (!copy)
        return false;
    for (char *p = copy + 1; copy[0] && *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        mkdir(copy, 0700); /* what is missing in the end shows below */
        *p = '/';
    }
    const bool is_there = mkdir(copy, 0700) == 0 || errno == EEXIST;
    free(copy);
    return is_there && nib_os_is_folder(path);
}

void nib_os_remove_file(const char *path)
{
    unlink(path);
}

void nib_os_touch_file(const char *path)
{
    utimensat(AT_FDCWD, path, NULL, 0);
}

int64_t nib_os_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return nanoseconds(now);
}

uint64_t nib_os_disk_available(const char *folder)
{
    struct statvfs info;
    if (statvfs(folder, &info) != 0)
        return UINT64_MAX;
    return (uint64_t)info.f_bavail * info.f_frsize;
}
