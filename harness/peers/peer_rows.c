/* The rows that manifests add to the table of variants. */
#define _GNU_SOURCE
#include "harness/peers/peer_rows.h"
#include "harness/build_info.h"
#include "harness/peers/interpreter.h"
#include "harness/peers/peer_instance.h"
#include "harness/peers/peers.h"
#include "harness/registry.h"
#include <dirent.h>
#include <fnmatch.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROWS_MAX = 200, FILES_MAX = 64 };

/* Kept until the process ends, as plugins are. */
static struct row {
    ffl_peer_manifest *manifest;
    bool shipped;
} rows[ROWS_MAX];
static size_t row_count;

static const struct row *row_of(const ffl_variant *variant)
{
    for (size_t i = 0; i < row_count; i++)
        if (&rows[i].manifest->variant == variant)
            return &rows[i];
    return NULL;
}

const ffl_peer_manifest *ffl_peer_manifest_of(const ffl_variant *variant)
{
    const struct row *row = row_of(variant);
    return row ? row->manifest : NULL;
}

static bool available(const ffl_variant *variant, const char **why)
{
    const ffl_peer_manifest *m = ffl_peer_manifest_of(variant);
    return strcmp(m->command[0], "{python}") != 0 || ffl_interpreter_find(m->needs, why);
}

static ffl_status add(const char *path, ffl_peer_manifest *m, bool shipped)
{
    m->variant.prepare = ffl_peer_prepare;
    m->variant.run = ffl_peer_run;
    m->variant.run_calls = ffl_peer_run_calls;
    m->variant.release = ffl_peer_release;
    m->variant.available = available;
    FFL_TRY(ffl_registry_check(path, &m->variant));
    if (row_count == ROWS_MAX)
        return ffl_fail(FFL_BAD_INPUT, "%s: more than %d process variants", path, ROWS_MAX);
    FFL_TRY(ffl_registry_add(&m->variant));
    rows[row_count++] = (struct row){m, shipped};
    return FFL_OK;
}

static ffl_status load(const char *path, bool shipped)
{
    ffl_peer_manifest **all;
    size_t count;
    FFL_TRY(ffl_peer_manifests_read(path, &all, &count));
    ffl_status status = FFL_OK;
    for (size_t i = 0; i < count; i++) {
        const ffl_status added = status == FFL_OK ? add(path, all[i], shipped) : status;
        if (added != FFL_OK)
            ffl_peer_manifest_free(all[i]);
        status = added;
    }
    free(all);
    return status;
}

ffl_status ffl_peers_load(const char *path)
{
    const ffl_status status = load(path, false);
    char why[1024];
    snprintf(why, sizeof why, "%s", ffl_error());
    return status == FFL_OK ? FFL_OK : ffl_fail(status, "--process %s", why);
}

/* ---- What comes with the lab ---- */

static int is_manifest(const struct dirent *entry)
{
    return fnmatch("*.json", entry->d_name, 0) == 0;
}

static ffl_status load_folder(const char *folder, bool *found)
{
    struct dirent **files;
    const int count = scandir(folder, &files, is_manifest, alphasort);
    ffl_status status = FFL_OK;
    *found = count > 0;
    for (int i = 0; i < count; i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", folder, files[i]->d_name);
        if (status == FFL_OK && i < FILES_MAX)
            status = load(path, true);
        free(files[i]);
    }
    if (count >= 0)
        free(files);
    return status;
}

ffl_status ffl_peers_load_shipped(void)
{
    char program[PATH_MAX], installed[PATH_MAX + 64];
    bool found = false;
    const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length > 0) {
        program[length] = '\0';
        snprintf(installed, sizeof installed, "%s/../share/fflab/process", dirname(program));
        FFL_TRY(load_folder(installed, &found));
    }
    return found ? FFL_OK : load_folder(FFL_SOURCE_ROOT "/variants/process", &found);
}

bool ffl_peers_shipped(const ffl_variant *variant)
{
    const struct row *row = row_of(variant);
    return row && row->shipped;
}

bool ffl_peers_named(const ffl_variant *variant, const char *glob)
{
    const char *word = variant->name + strlen(ffl_operation_names[variant->operation]) + 1;
    char own[64];
    snprintf(own, sizeof own, "%.*s", (int)strcspn(word, "_"), word);
    return strstr(glob, own) && fnmatch(glob, variant->name, 0) == 0;
}
