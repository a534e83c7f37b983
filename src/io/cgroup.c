/* Limits of cgroups, read from text files; see cgroup.h. */
#include "cgroup.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_FILE = 256 * 1024, /* of the files of /proc; what is longer is not looked at */
    MAX_PATH = 4096,
    MAX_GROUPS = 64, /* a process is in one group per hierarchy; there are a dozen controllers */
};

/* A whole small text file, zero-terminated; NULL if there is none. */
static char *read_text(const char *root, const char *path)
{
    char full[MAX_PATH];
    const int n = snprintf(full, sizeof(full), "%s%s", root, path);
    if (n < 0 || (size_t)n >= sizeof(full))
        return NULL;
    FILE *file = fopen(full, "re");
    if (!file)
        return NULL;
    char *text = malloc(MAX_FILE + 1);
    if (text)
        text[fread(text, 1, MAX_FILE, file)] = '\0';
    fclose(file);
    return text;
}

/* The first line of the file `name` in the folder `dir`. */
static bool read_line(const char *root, const char *dir, const char *name, char *line, size_t cap)
{
    char full[MAX_PATH];
    const int n = snprintf(full, sizeof(full), "%s%s/%s", root, dir, name);
    if (n < 0 || (size_t)n >= sizeof(full))
        return false;
    FILE *file = fopen(full, "re");
    if (!file)
        return false;
    const bool ok = fgets(line, (int)cap, file) != NULL;
    fclose(file);
    return ok;
}

/* Digits, then the end of the word.  "max", "-1" and everything else is no number. */
static bool parse_count(const char *text, uint64_t *out)
{
    if (*text < '0' || *text > '9')
        return false;
    char *end;
    const unsigned long long value = strtoull(text, &end, 10);
    if (*end != '\0' && *end != '\n' && *end != ' ')
        return false;
    *out = value;
    return true;
}

static bool read_count(const char *root, const char *dir, const char *name, uint64_t *out)
{
    char line[64];
    return read_line(root, dir, name, line, sizeof(line)) && parse_count(line, out);
}

/* Is `word` in the list "cpu,cpuacct"? */
static bool list_has(const char *list, const char *word)
{
    const size_t n = strlen(word);
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, word, n) == 0 && (at[n] == ',' || at[n] == '\0'))
            return true;
    return false;
}

/* ---- finding the folders of this process's groups ------------------------------------------ */

/* The group of this process in version 2 (controller NULL) or in the version 1 hierarchy of a
 * controller: a line "ID:CONTROLLERS:PATH" of /proc/self/cgroup. */
static bool find_group(const char *root, const char *controller, char path[MAX_PATH])
{
    char *text = read_text(root, "/proc/self/cgroup");
    bool found = false;
    char *save = NULL;
    for (char *line = text ? strtok_r(text, "\n", &save) : NULL; line && !found;
         line = strtok_r(NULL, "\n", &save)) {
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group || strlen(group + 1) >= MAX_PATH)
            continue;
        *group++ = '\0';
        controllers++;
        found = controller ? list_has(controllers, controller)
                           : controllers[0] == '\0' && strncmp(line, "0:", 2) == 0;
        if (found)
            strcpy(path, group);
    }
    free(text);
    return found;
}

/* mountinfo writes blanks and backslashes in paths as \040. */
static void unescape_octal(char *text)
{
    char *out = text;
    for (const char *in = text; *in; out++) {
        if (in[0] == '\\' && in[1] >= '0' && in[1] <= '3' && in[2] >= '0' && in[2] <= '7' &&
            in[3] >= '0' && in[3] <= '7') {
            *out = (char)((in[1] - '0') * 64 + (in[2] - '0') * 8 + (in[3] - '0'));
            in += 4;
        } else {
            *out = *in++;
        }
    }
    *out = '\0';
}

/* Split a line of mountinfo, "ID PARENT DEVICE ROOT POINT OPTIONS [TAGS...] - TYPE SOURCE OPTIONS".
 */
static bool parse_mount(char *line, const char *controller, char **mount_root, char **mount_point)
{
    char *tail = strstr(line, " - ");
    if (!tail)
        return false;
    *tail = '\0';
    char *save = NULL;
    char *type = strtok_r(tail + 3, " ", &save);
    strtok_r(NULL, " ", &save);
    char *options = strtok_r(NULL, " ", &save);
    if (!type || !options || strcmp(type, controller ? "cgroup" : "cgroup2") != 0 ||
        (controller && !list_has(options, controller)))
        return false;

    char *fields[5];
    save = NULL;
    for (int i = 0; i < 5; i++) {
        fields[i] = strtok_r(i == 0 ? line : NULL, " ", &save);
        if (!fields[i])
            return false;
    }
    *mount_root = fields[3];
    *mount_point = fields[4];
    unescape_octal(*mount_root);
    unescape_octal(*mount_point);
    return true;
}

/*
 * The folder of a group: the mount point, then what the group's path has beyond the root of the
 * mount. *n_mount is the length of the mount point.  A container may show only its own group,
 * mounted as the whole tree, or a path outside of what it sees ("/.."): then the mount point is the
 * nearest group.
 */
static bool find_folder(const char *root, const char *controller, char folder[MAX_PATH],
                        size_t *n_mount)
{
    char group[MAX_PATH];
    if (!find_group(root, controller, group))
        return false;

    char *text = read_text(root, "/proc/self/mountinfo");
    bool found = false;
    char *save = NULL;
    for (char *line = text ? strtok_r(text, "\n", &save) : NULL; line && !found;
         line = strtok_r(NULL, "\n", &save)) {
        char *mount_root, *mount_point;
        if (!parse_mount(line, controller, &mount_root, &mount_point))
            continue;
        const size_t n_root = strcmp(mount_root, "/") == 0 ? 0 : strlen(mount_root);
        const char *below = "";
        if (strncmp(group, mount_root, n_root) == 0 && group[n_root] == '/' &&
            !strstr(group, "/.."))
            below = group + n_root;
        if (strcmp(below, "/") == 0)
            below = "";
        *n_mount = strlen(mount_point);
        const int n = snprintf(folder, MAX_PATH, "%s%s", mount_point, below);
        found = n > 0 && n < MAX_PATH;
    }
    free(text);
    return found;
}

/* Call `visit` for the process's group and all of its ancestors up to the mount point. */
typedef void group_fn(const char *root, const char *folder, void *data);

static void for_each_group(const char *root, const char *controller, group_fn *visit, void *data)
{
    char folder[MAX_PATH];
    size_t n_mount;
    if (!find_folder(root, controller, folder, &n_mount))
        return;
    for (int i = 0; i < MAX_GROUPS; i++) {
        visit(root, folder, data);
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < n_mount || slash == folder)
            return;
        *slash = '\0';
    }
}

/* ---- CPU quota ----------------------------------------------------------------------------- */

static void take_cpu_quota(int *least, uint64_t quota, uint64_t period)
{
    if (quota == 0 || period == 0)
        return;
    uint64_t n = quota / period;
    n = n < 1 ? 1 : n > INT_MAX ? INT_MAX : n;
    if (*least == 0 || (int)n < *least)
        *least = (int)n;
}

/* cpu.max: "QUOTA PERIOD" in microseconds, QUOTA "max" for none. */
static void visit_cpu_v2(const char *root, const char *folder, void *data)
{
    char line[64];
    uint64_t quota, period;
    if (!read_line(root, folder, "cpu.max", line, sizeof(line)))
        return;
    const char *blank = strchr(line, ' ');
    if (blank && parse_count(line, &quota) && parse_count(blank + 1, &period))
        take_cpu_quota(data, quota, period);
}

/* cpu.cfs_quota_us is -1 for none. */
static void visit_cpu_v1(const char *root, const char *folder, void *data)
{
    uint64_t quota, period;
    if (read_count(root, folder, "cpu.cfs_quota_us", &quota) &&
        read_count(root, folder, "cpu.cfs_period_us", &period))
        take_cpu_quota(data, quota, period);
}

int nib_cgroup_cpu_quota(const char *root)
{
    int least = 0;
    for_each_group(root, NULL, visit_cpu_v2, &least);
    for_each_group(root, "cpu", visit_cpu_v1, &least);
    return least;
}

/* ---- memory -------------------------------------------------------------------------------- */

/* The number after `key` in a file of lines "KEY NUMBER"; 0 if it is not there. */
static uint64_t find_stat(const char *text, const char *key)
{
    const size_t n = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        uint64_t value;
        if (strncmp(line, key, n) == 0 && line[n] == ' ' && parse_count(line + n + 1, &value))
            return value;
    }
    return 0;
}

/* Version 1 counts a group alone and, as total_..., with its children. */
static uint64_t read_cached(const char *root, const char *folder, bool is_v1)
{
    char path[MAX_PATH];
    const int n = snprintf(path, sizeof(path), "%s/memory.stat", folder);
    char *text = n > 0 && (size_t)n < sizeof(path) ? read_text(root, path) : NULL;
    if (!text)
        return 0;
    const uint64_t cached =
        is_v1 ? find_stat(text, "total_active_file") + find_stat(text, "total_inactive_file")
              : find_stat(text, "active_file") + find_stat(text, "inactive_file");
    free(text);
    return cached;
}

static void visit_memory(const char *root, const char *folder, uint64_t *least, bool is_v1)
{
    uint64_t limit, used;
    if (!read_count(root, folder, is_v1 ? "memory.limit_in_bytes" : "memory.max", &limit) ||
        !read_count(root, folder, is_v1 ? "memory.usage_in_bytes" : "memory.current", &used))
        return;
    const uint64_t cached = read_cached(root, folder, is_v1);
    used = used > cached ? used - cached : 0;
    const uint64_t left = limit > used ? limit - used : 0;
    if (left < *least)
        *least = left;
}

static void visit_memory_v2(const char *root, const char *folder, void *data)
{
    visit_memory(root, folder, data, false);
}

static void visit_memory_v1(const char *root, const char *folder, void *data)
{
    visit_memory(root, folder, data, true);
}

uint64_t nib_cgroup_memory_available(const char *root)
{
    uint64_t least = UINT64_MAX;
    for_each_group(root, NULL, visit_memory_v2, &least);
    for_each_group(root, "memory", visit_memory_v1, &least);
    return least;
}

uint64_t nib_meminfo_available(const char *root)
{
    char *text = read_text(root, "/proc/meminfo");
    const char *line = text ? strstr(text, "MemAvailable:") : NULL;
    uint64_t kib = 0;
    const bool found = line && parse_count(line + strcspn(line, "0123456789"), &kib);
    free(text);
    return found && kib <= UINT64_MAX / 1024 ? kib * 1024 : UINT64_MAX;
}
