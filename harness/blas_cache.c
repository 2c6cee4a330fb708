#define _GNU_SOURCE
#include "harness/blas_cache.h"
#include "harness/cache_folder.h"
#include "kernels/cpu.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FORMAT = 1, PATH_SIZE = 4096 };

/* Identity of a file: a library that was replaced, or a link that points elsewhere, shows. */
static void file_identity(const char *path, char *out, size_t size)
{
    struct stat s;
    if (!path || !*path || stat(path, &s) != 0)
        snprintf(out, size, "none");
    else
        snprintf(out, size, "%llx:%llx:%lld.%09ld:%lld", (unsigned long long)s.st_dev,
                 (unsigned long long)s.st_ino, (long long)s.st_mtim.tv_sec, s.st_mtim.tv_nsec,
                 (long long)s.st_size);
}

static void cache_key(ffl_library library, const char *path, char *out, size_t size)
{
    const ffl_machine *machine = ffl_machine_host();
    const char *search = getenv("LD_LIBRARY_PATH");
    char found_by[96];
    file_identity(path ? path : "/etc/ld.so.cache", found_by, sizeof found_by);
    snprintf(out, size, "%d|%s|avx512=%d|%s|%.1000s|%s|%.1000s", FORMAT, machine->cpu,
             machine->isa[FFL_ISA_AVX512], ffl_library_name(library), path ? path : "", found_by,
             search ? search : "");
}

static bool plausible(const json_t *entry)
{
    const char *path = json_string_value(json_object_get(entry, "path"));
    const char *identity = json_string_value(json_object_get(entry, "identity"));
    char now[96];
    if (!path || !identity)
        return false;
    file_identity(path, now, sizeof now);
    if (strcmp(identity, now) != 0)
        return false;
    const json_t *rates = json_object_get(entry, "rates");
    const char *best = json_string_value(json_object_get(entry, "best"));
    return !*path || (best && json_real_value(json_object_get(rates, best)) > 0 &&
                      json_is_string(json_object_get(entry, "variable")) &&
                      json_is_string(json_object_get(entry, "setting")) &&
                      json_is_string(json_object_get(entry, "version")));
}

json_t *ffl_blas_cache_find(ffl_library library, const char *path)
{
    char file[PATH_SIZE], key[PATH_SIZE];
    ffl_cache_file("blas-families.json", true, file, sizeof file);
    cache_key(library, path, key, sizeof key);
    json_t *all = *file ? json_load_file(file, JSON_REJECT_DUPLICATES, NULL) : NULL;
    json_t *entry = json_object_get(all, key);
    entry = entry && plausible(entry) ? json_deep_copy(entry) : NULL;
    json_decref(all);
    return entry;
}

void ffl_blas_cache_store(ffl_library library, const char *path, const json_t *entry)
{
    char file[PATH_SIZE], temporary[PATH_SIZE + 32], key[PATH_SIZE], identity[96];
    ffl_cache_file("blas-families.json", true, file, sizeof file);
    if (!*file)
        return;
    cache_key(library, path, key, sizeof key);
    json_t *all = json_load_file(file, 0, NULL), *copy = json_deep_copy(entry);
    if (!json_is_object(all)) {
        json_decref(all);
        all = json_object();
    }
    file_identity(json_string_value(json_object_get(entry, "path")), identity, sizeof identity);
    json_object_set_new(copy, "identity", json_string(identity));
    json_object_set_new(all, key, copy);
    /* Two programs may write at once: each replaces the whole file, and what is lost is measured again. */
    snprintf(temporary, sizeof temporary, "%s.%ld", file, (long)getpid());
    if (json_dump_file(all, temporary, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) != 0 ||
        rename(temporary, file) != 0)
        unlink(temporary);
    json_decref(all);
}
