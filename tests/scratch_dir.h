/* A fresh folder for a test's files, gone after it. */
#ifndef SCRATCH_DIR_H
#define SCRATCH_DIR_H

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct scratch_dir {
    char path[256];
};

static inline void scratch_dir_create(struct scratch_dir *dir)
{
    const char *base = getenv("TMPDIR");
    snprintf(dir->path, sizeof(dir->path), "%s/nibble_test_XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(dir->path))
        abort();
}

static inline int scratch_remove_one(const char *path, const struct stat *info, int type,
                                     struct FTW *at)
{
    (void)info, (void)type, (void)at;
    return remove(path);
}

static inline void scratch_dir_remove(struct scratch_dir *dir)
{
    nftw(dir->path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline const char *scratch_path(const struct scratch_dir *dir, const char *name,
                                       char out[512])
{
    snprintf(out, 512, "%s/%s", dir->path, name);
    return out;
}

/* Write a text file below the folder, with the folders on its way. */
static inline void scratch_write(const struct scratch_dir *dir, const char *name, const char *text)
{
    char path[512];
    scratch_path(dir, name, path);
    for (char *slash = path + strlen(dir->path) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0)
        abort();
}

/* Entries in the folder. */
static inline int scratch_count(const struct scratch_dir *dir)
{
    int n = 0;
    DIR *d = opendir(dir->path);
    if (!d)
        abort();
    for (struct dirent *e = readdir(d); e; e = readdir(d))
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return n;
}

#endif
