/* Files for tests: one temporary folder per test process, files of given bytes, the fixtures. */
#ifndef FFL_TESTS_FILES_H
#define FFL_TESTS_FILES_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The folder, made on the first call. Each Criterion test is a process of its own: call files_remove at its
 * end. */
static inline const char *files_folder(void)
{
    static char folder[] = "/tmp/fflab_test_XXXXXX";
    static int made;
    if (!made)
        cr_assert_not_null(mkdtemp(folder));
    made = 1;
    return folder;
}

/* Path of `name` inside the folder; valid until the fourth call after this one. */
static inline const char *files_path(const char *name)
{
    static char paths[4][512];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", files_folder(), name);
    return path;
}

static inline const char *files_write(const char *name, const void *bytes, size_t count)
{
    const char *path = files_path(name);
    FILE *file = fopen(path, "wb");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(bytes, 1, count, file), count);
    fclose(file);
    return path;
}

/* Entries of the folder, "." and ".." aside. */
static inline size_t files_count(void)
{
    DIR *folder = opendir(files_folder());
    size_t count = 0;
    while (readdir(folder))
        count++;
    closedir(folder);
    return count - 2;
}

static inline void files_remove(void)
{
    DIR *folder = opendir(files_folder());
    for (struct dirent *entry; (entry = readdir(folder));)
        unlink(files_path(entry->d_name));
    closedir(folder);
    cr_assert_eq(rmdir(files_folder()), 0);
}

/* A file of tests/fixtures; valid until the fourth call after this one. */
static inline const char *files_fixture(const char *fixture, const char *file)
{
    static char paths[4][512];
    static int next;
    char *path = paths[next++ % 4];
    cr_assert_not_null(getenv("FFLAB_FIXTURES"), "FFLAB_FIXTURES is not set: run `meson test`");
    snprintf(path, sizeof paths[0], "%s/%s/%s", getenv("FFLAB_FIXTURES"), fixture, file);
    return path;
}

static const char *const files_fixtures[] = {"h100_d3_p5_b17", "h1_d2_p1_b9", "h64_d0_p1_b5"};
enum { FILES_FIXTURES = sizeof files_fixtures / sizeof *files_fixtures };

#endif
