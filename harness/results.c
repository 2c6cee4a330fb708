#define _GNU_SOURCE
#include "harness/results.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

ffl_status ffl_results_path(const char *dir, const char *name, char out[FFL_PATH_MAX])
{
    const int length = snprintf(out, FFL_PATH_MAX, "%s/%s", dir, name);
    if (length < 0 || length >= FFL_PATH_MAX)
        return ffl_fail(FFL_BAD_INPUT, "%.64s…: the path is too long", dir);
    return FFL_OK;
}

/* <build>/results when this program is <build>/<part>/fflab, otherwise the current folder's. */
static ffl_status find_base(char out[FFL_PATH_MAX])
{
    char exe[FFL_PATH_MAX], mark[FFL_PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (length > 0) {
        exe[length] = '\0';
        for (int up = 0; up < 2; up++) {
            char *slash = strrchr(exe, '/');
            if (slash)
                *slash = '\0';
        }
        FFL_TRY(ffl_results_path(exe, "meson-private", mark));
        if (exists(mark))
            return ffl_results_path(exe, "results", out);
    }
    strcpy(out, "fflab-results");
    return FFL_OK;
}

/* Chosen once: all lines of a problem file and all steps of a study share a folder. */
static ffl_status new_dir(char out[FFL_PATH_MAX])
{
    static char chosen[FFL_PATH_MAX];
    if (!chosen[0]) {
        char base[FFL_PATH_MAX], stamp[32], name[48];
        const time_t now = time(NULL);
        struct tm utc;
        FFL_TRY(find_base(base));
        strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", gmtime_r(&now, &utc));
        FFL_TRY(ffl_results_path(base, stamp, chosen));
        for (int n = 2; exists(chosen); n++) {
            snprintf(name, sizeof name, "%s-%d", stamp, n);
            FFL_TRY(ffl_results_path(base, name, chosen));
        }
    }
    strcpy(out, chosen);
    return FFL_OK;
}

ffl_status ffl_results_newest(char out[FFL_PATH_MAX])
{
    char base[FFL_PATH_MAX], newest[FFL_PATH_MAX] = "", candidate[FFL_PATH_MAX], journal[FFL_PATH_MAX];
    FFL_TRY(find_base(base));
    DIR *dir = opendir(base);
    for (const struct dirent *entry; dir && (entry = readdir(dir));) {
        if (strspn(entry->d_name, "0123456789") != 8 || strverscmp(entry->d_name, newest) <= 0)
            continue;
        if (ffl_results_path(base, entry->d_name, candidate) == FFL_OK &&
            ffl_results_path(candidate, FFL_JOURNAL_FILE, journal) == FFL_OK && exists(journal))
            strcpy(newest, entry->d_name);
    }
    if (dir)
        closedir(dir);
    if (!newest[0])
        return ffl_fail(FFL_BAD_INPUT, "%s: no results there yet", base);
    return ffl_results_path(base, newest, out);
}

ffl_status ffl_results_dir(const ffl_options *options, char out[FFL_PATH_MAX])
{
    const char *given = options->value[FFL_OPT_OUT];
    if (given) {
        if (strlen(given) >= FFL_PATH_MAX)
            return ffl_fail(FFL_BAD_INPUT, "--out %.64s…: the path is too long", given);
        strcpy(out, given);
        return FFL_OK;
    }
    if (ffl_option_given(options, FFL_OPT_RESUME) && ffl_results_newest(out) == FFL_OK)
        return FFL_OK;
    return new_dir(out);
}

ffl_status ffl_results_create(const char *dir)
{
    char path[FFL_PATH_MAX];
    struct stat info;
    snprintf(path, sizeof path, "%s", dir);
    for (char *slash = path + 1; slash;) {
        slash = strchr(slash, '/');
        if (slash)
            *slash = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            return ffl_fail(FFL_IO, "%s: cannot make this folder: %s", path, strerror(errno));
        if (slash)
            *slash++ = '/';
    }
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode))
        return ffl_fail(FFL_IO, "%s: not a folder", path);
    return FFL_OK;
}
