/* Calls to the operating system: mapped files, memory, sleeping threads, files that are written
 * whole. */
#define _GNU_SOURCE
#include "os.h"
#include "scratch_dir.h"
#include "smaps.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <cmocka.h>

static struct scratch_dir scratch;
static char path[512];
static struct nib_error err;

static int setup(void **state)
{
    (void)state;
    scratch_dir_create(&scratch);
    scratch_path(&scratch, "file", path);
    err = (struct nib_error){0};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scratch_dir_remove(&scratch);
    return 0;
}

static void expect_content(const char *file, const char *text)
{
    struct nib_mapping map;
    if (nib_os_map(&map, file, &err) != NIB_OK)
        fail_msg("%s", err.message);
    assert_int_equal(map.n_bytes, strlen(text));
    assert_memory_equal(map.data, text, map.n_bytes);
    nib_os_unmap(&map);
}

/* ---- mapped files -------------------------------------------------------------------------- */

static void test_map_gives_the_bytes_also_after_forgetting_them(void **state)
{
    (void)state;
    scratch_write(&scratch, "file", "some bytes");
    expect_content(path, "some bytes");

    FILE *file = fopen(path, "w");
    for (int i = 0; i < 10000; i++)
        fputs("0123456789", file);
    fclose(file);
    struct nib_mapping map;
    assert_int_equal(nib_os_map(&map, path, &err), NIB_OK);
    assert_int_equal(map.n_bytes, 100000);
    nib_os_forget(map.data + 7, 99000);
    nib_os_forget(map.data + 7, 10); /* less than a page */
    for (size_t i = 0; i < map.n_bytes; i++)
        assert_int_equal(map.data[i], '0' + i % 10);
    nib_os_unmap(&map);
    assert_null(map.data);
    nib_os_unmap(&map);
}

static void expect_unmappable(const char *file, enum nib_status status, const char *piece)
{
    struct nib_mapping map;
    assert_int_equal(nib_os_map(&map, file, &err), status);
    assert_null(map.data);
    if (!strstr(err.message, file) || !strstr(err.message, piece))
        fail_msg("expected \"%s\" and \"%s\" in \"%s\"", file, piece, err.message);
}

static void test_map_refuses_by_name_what_is_no_regular_file(void **state)
{
    (void)state;
    expect_unmappable(path, NIB_ERROR_IO, "no such file");
    expect_unmappable(scratch.path, NIB_ERROR_IO, "is a directory");
    expect_unmappable("/dev/zero", NIB_ERROR_IO, "device");
    expect_unmappable("/dev/null", NIB_ERROR_IO, "device");
    scratch_write(&scratch, "file", "");
    expect_unmappable(path, NIB_ERROR_FILE, "empty");
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_unmappable(path, NIB_ERROR_IO, "pipe");
    if (geteuid() != 0) {
        unlink(path);
        scratch_write(&scratch, "file", "secret");
        chmod(path, 0);
        expect_unmappable(path, NIB_ERROR_IO, "permissions");
    }
}

/* ---- memory -------------------------------------------------------------------------------- */

static void test_memory_is_zeroed_aligned_and_given_back(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,      1, 4096, 5000, (2 << 20) - 1, 2 << 20, (2 << 20) + 1,
                                   9 << 20};
    for (size_t i = 0; i < NIB_COUNT(sizes); i++) {
        unsigned char *memory = nib_os_alloc(sizes[i]);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % (sizes[i] >= 2 << 20 ? 2 << 20 : 64), 0);
        for (size_t k = 0; k < sizes[i]; k += 509)
            assert_int_equal(memory[k], 0);
        memset(memory, 0xaa, sizes[i]);
        nib_os_free(memory, sizes[i]);
    }
    nib_os_free(NULL, 5);
    assert_null(nib_os_alloc(SIZE_MAX));
    assert_null(nib_os_alloc(SIZE_MAX - (4 << 20)));
    assert_null(nib_os_alloc(SIZE_MAX / 2));
}

static void test_touched_pages_are_counted(void **state)
{
    (void)state;
    enum { SIZE = 8 << 20 };
    unsigned char *memory = nib_os_alloc(SIZE);
    assert_non_null(memory);
    const struct nib_pages before = nib_os_pages(memory, SIZE);
    memset(memory, 1, SIZE / 2);
    const struct nib_pages after = nib_os_pages(memory, SIZE);
    nib_os_free(memory, SIZE);
    assert_true(before.huge <= before.resident && after.huge <= after.resident);
#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
    assert_true(before.resident == 0);
    assert_true(after.resident >= SIZE / 2 && after.resident <= SIZE);
#endif
}

/* Mappings inside of the range, across its ends and beside it; a path that looks like a field; a
 * line longer than any buffer. */
static void test_pages_of_a_range_are_found(void **state)
{
    (void)state;
    assert_int_equal(mkdir(scratch_path(&scratch, "proc", path), 0700), 0);
    assert_int_equal(mkdir(scratch_path(&scratch, "proc/self", path), 0700), 0);
    FILE *out = fopen(scratch_path(&scratch, "proc/self/smaps", path), "w");
    assert_non_null(out);
    fprintf(out, "1000-2000 rw-p 00000000 00:00 0 \nSize: 4 kB\nRss: 4 kB\nAnonHugePages: 4 kB\n"
                 "200000-600000 rw-p 00000000 00:00 0  [heap]\nSize: 4096 kB\nRss: 2048 kB\n"
                 "AnonHugePages: 1024 kB\nShmemPmdMapped: 64 kB\nFilePmdMapped: 1024 kB\n"
                 "600000-800000 r--p 00000000 fe:00 7 /");
    for (int i = 0; i < 5000; i++)
        fputc('a', out);
    fprintf(out, "\nRss: 16 kB\nAnonHugePages: 0 kB\n900000-901000 rw-p 00000000 00:00 0 \n"
                 "Rss: 4 kB\nAnonHugePages: 4 kB\nVmFlags: rd wr\n");
    fclose(out);
    struct nib_pages pages = nib_smaps_pages(scratch.path, (void *)0x200000, 0x600000);
    assert_int_equal(pages.resident, (2048 + 16) * 1024);
    assert_int_equal(pages.huge, 2048 * 1024);
    pages = nib_smaps_pages(scratch.path, (void *)0x400000, 0x200000); /* half of one */
    assert_int_equal(pages.resident, 1024 * 1024);
    assert_int_equal(pages.huge, 1024 * 1024);
    pages = nib_smaps_pages("/nowhere", (void *)0x400000, 0x200000);
    assert_int_equal(pages.resident + pages.huge, 0);
}

static long mapped_pages(void)
{
    long n = -1;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file && fscanf(file, "%ld", &n) != 1)
        n = -1;
    if (file)
        fclose(file);
    return n;
}

static void test_no_address_space_is_lost(void **state)
{
    (void)state;
    const long before = mapped_pages();
    for (int i = 0; i < 1000; i++) {
        const size_t n = (size_t)i * 4001;
        nib_os_free(nib_os_alloc(n), n);
    }
    /* Of half a million; an emulator keeps some pages of its own for every address it saw. */
    assert_in_range(mapped_pages(), 0, before + 10000);
}

static void test_machine_limits_are_plausible(void **state)
{
    (void)state;
    assert_true(nib_os_cpu_quota() >= 0);
    assert_true(nib_os_memory_available() > 1 << 20);
    const double begin = nib_os_seconds();
    nib_os_yield();
    assert_true(nib_os_seconds() >= begin);
}

/* ---- sleeping threads ---------------------------------------------------------------------- */

struct sleepers {
    _Atomic uint32_t word, awake;
};

static void *sleep_on_word(void *data)
{
    struct sleepers *s = data;
    while (atomic_load(&s->word) == 7)
        nib_os_wait(&s->word, 7);
    atomic_fetch_add(&s->awake, 1);
    return NULL;
}

static void test_wake_ends_all_waits(void **state)
{
    (void)state;
    struct sleepers s = {.word = 7};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sleep_on_word, &s), 0);
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    assert_int_equal(atomic_load(&s.awake), 0);
    atomic_store(&s.word, 8);
    nib_os_wake(&s.word);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&s.awake), 4);
    nib_os_wait(&s.word, 7); /* another value: returns at once */
}

/* ---- files that are written whole ---------------------------------------------------------- */

static struct nib_file_writer *open_writer(void)
{
    struct nib_file_writer *writer;
    if (nib_file_writer_open(&writer, path, &err) != NIB_OK)
        fail_msg("%s", err.message);
    return writer;
}

static void test_a_file_appears_whole_on_commit(void **state)
{
    (void)state;
    struct nib_file_writer *writer = open_writer();
    assert_int_equal(nib_file_writer_write(writer, "one ", 4, &err), NIB_OK);
    assert_int_equal(nib_file_writer_write(writer, NULL, 0, &err), NIB_OK);
    assert_int_equal(nib_file_writer_write(writer, "two", 3, &err), NIB_OK);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(nib_file_writer_commit(writer, &err), NIB_OK);
    expect_content(path, "one two");
    assert_int_equal(scratch_count(&scratch), 1);

    const mode_t mask = umask(022);
    umask(mask);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0666 & ~mask);
}

static void test_pieces_of_every_size_keep_their_order(void **state)
{
    (void)state;
    static unsigned char piece[200000];
    struct nib_file_writer *writer = open_writer();
    size_t total = 0;
    for (size_t n = 1; n < sizeof(piece); n = n * 3 + 1) {
        for (size_t i = 0; i < n; i++)
            piece[i] = (unsigned char)((total + i) * 31 >> 3);
        assert_int_equal(nib_file_writer_write(writer, piece, n, &err), NIB_OK);
        total += n;
    }
    assert_int_equal(nib_file_writer_commit(writer, &err), NIB_OK);
    struct nib_mapping map;
    assert_int_equal(nib_os_map(&map, path, &err), NIB_OK);
    assert_int_equal(map.n_bytes, total);
    for (size_t i = 0; i < total; i++)
        assert_int_equal(map.data[i], (unsigned char)(i * 31 >> 3));
    nib_os_unmap(&map);
}

static void test_abort_leaves_nothing_and_the_old_file_alone(void **state)
{
    (void)state;
    struct nib_file_writer *writer = open_writer();
    nib_file_writer_write(writer, "new", 3, &err);
    nib_file_writer_abort(writer);
    nib_file_writer_abort(NULL);
    assert_int_equal(scratch_count(&scratch), 0);

    scratch_write(&scratch, "file", "old");
    writer = open_writer();
    nib_file_writer_write(writer, "new", 3, &err);
    expect_content(path, "old");
    nib_file_writer_abort(writer);
    expect_content(path, "old");
    writer = open_writer();
    nib_file_writer_write(writer, "new", 3, &err);
    assert_int_equal(nib_file_writer_commit(writer, &err), NIB_OK);
    expect_content(path, "new");
    assert_int_equal(scratch_count(&scratch), 1);
}

static void test_two_writers_of_one_file_do_not_mix(void **state)
{
    (void)state;
    struct nib_file_writer *a = open_writer(), *b = open_writer();
    nib_file_writer_write(a, "aaaa", 4, &err);
    nib_file_writer_write(b, "bb", 2, &err);
    assert_int_equal(nib_file_writer_commit(b, &err), NIB_OK);
    assert_int_equal(nib_file_writer_commit(a, &err), NIB_OK);
    expect_content(path, "aaaa");
}

static void test_a_link_stays_one(void **state)
{
    (void)state;
    char link[512];
    scratch_path(&scratch, "link", link);
    scratch_write(&scratch, "file", "old");
    assert_int_equal(symlink("file", link), 0);
    struct nib_file_writer *writer;
    assert_int_equal(nib_file_writer_open(&writer, link, &err), NIB_OK);
    nib_file_writer_write(writer, "new", 3, &err);
    assert_int_equal(nib_file_writer_commit(writer, &err), NIB_OK);
    struct stat info;
    assert_int_equal(lstat(link, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    expect_content(path, "new");
}

static void test_a_name_without_a_folder_is_written_here(void **state)
{
    (void)state;
    char old[1024];
    assert_non_null(getcwd(old, sizeof(old)));
    assert_int_equal(chdir(scratch.path), 0);
    struct nib_file_writer *writer;
    assert_int_equal(nib_file_writer_open(&writer, "file", &err), NIB_OK);
    nib_file_writer_write(writer, "here", 4, &err);
    assert_int_equal(nib_file_writer_commit(writer, &err), NIB_OK);
    assert_int_equal(chdir(old), 0);
    expect_content(path, "here");
}

static void expect_unwritable(const char *file, const char *piece)
{
    struct nib_file_writer *writer;
    assert_int_equal(nib_file_writer_open(&writer, file, &err), NIB_ERROR_IO);
    assert_null(writer);
    if (!strstr(err.message, file) || !strstr(err.message, piece))
        fail_msg("expected \"%s\" and \"%s\" in \"%s\"", file, piece, err.message);
}

static void test_what_cannot_be_replaced_is_refused(void **state)
{
    (void)state;
    char inner[512];
    expect_unwritable(scratch.path, "is a directory");
    expect_unwritable("/dev/null", "device");
    expect_unwritable(scratch_path(&scratch, "no/such/folder", inner), "cannot be created");
    expect_unwritable("", "is empty");
    assert_int_equal(scratch_count(&scratch), 0);
}

static void test_a_failed_rename_leaves_nothing(void **state)
{
    (void)state;
    struct nib_file_writer *writer = open_writer();
    nib_file_writer_write(writer, "x", 1, &err);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(nib_file_writer_commit(writer, &err), NIB_ERROR_IO);
    assert_non_null(strstr(err.message, path));
    assert_int_equal(scratch_count(&scratch), 1);
}

/* The limit on the size of files stands for a full disk. */
static void test_a_full_disk_is_an_error_at_once_or_on_commit(void **state)
{
    (void)state;
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){1000, old.rlim_max});

    static const unsigned char piece[200000];
    struct nib_file_writer *writer = open_writer();
    const enum nib_status large = nib_file_writer_write(writer, piece, sizeof(piece), &err);
    nib_file_writer_abort(writer);
    writer = open_writer();
    const enum nib_status held = nib_file_writer_write(writer, piece, 2000, &err);
    const enum nib_status committed = nib_file_writer_commit(writer, &err);

    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(large, NIB_ERROR_IO);
    assert_int_equal(held, NIB_OK);
    assert_int_equal(committed, NIB_ERROR_IO);
    assert_non_null(strstr(err.message, "cannot be written"));
    assert_int_equal(scratch_count(&scratch), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_map_gives_the_bytes_also_after_forgetting_them),
        TEST(test_map_refuses_by_name_what_is_no_regular_file),
        TEST(test_memory_is_zeroed_aligned_and_given_back),
        TEST(test_touched_pages_are_counted),
        TEST(test_pages_of_a_range_are_found),
        TEST(test_no_address_space_is_lost),
        TEST(test_machine_limits_are_plausible),
        TEST(test_wake_ends_all_waits),
        TEST(test_a_file_appears_whole_on_commit),
        TEST(test_pieces_of_every_size_keep_their_order),
        TEST(test_abort_leaves_nothing_and_the_old_file_alone),
        TEST(test_two_writers_of_one_file_do_not_mix),
        TEST(test_a_link_stays_one),
        TEST(test_a_name_without_a_folder_is_written_here),
        TEST(test_what_cannot_be_replaced_is_refused),
        TEST(test_a_failed_rename_leaves_nothing),
        TEST(test_a_full_disk_is_an_error_at_once_or_on_commit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
