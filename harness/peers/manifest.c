#include "harness/peers/manifest.h"
#include "harness/files/file.h"
#include "harness/peers/manifest_entry.h"
#include "harness/peers/manifest_values.h"
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_MAX = 1 << 20, ENTRIES_MAX = 128 };

/* The entries as a new array, each with what it takes from "common". */
static ffl_status list_entries(const char *path, json_t *root, json_t **out)
{
    const ffl_manifest_place at = {path, "", root};
    static const char *const keys[] = {"common", "variants"};
    *out = NULL;
    if (json_is_array(root))
        *out = json_incref(root);
    else if (!json_is_object(root))
        return ffl_manifest_refuse(&at, "manifest", "expected an object or a list of objects");
    else if (!json_object_get(root, "variants"))
        *out = json_pack("[O]", root);
    if (*out)
        return FFL_OK;
    FFL_TRY(ffl_manifest_check_keys(&at, keys, 2));
    json_t *common = json_object_get(root, "common"), *variants = json_object_get(root, "variants"), *entry;
    size_t i;
    if (!json_is_array(variants) || (common && !json_is_object(common)))
        return ffl_manifest_refuse(&at, "variants", "expected a list, and \"common\" as an object");
    json_array_foreach(variants, i, entry)
    {
        if (!json_is_object(entry))
            return ffl_manifest_refuse(&at, "variants", "expected objects");
        if (common && json_object_update_missing(entry, common) != 0)
            return ffl_fail(FFL_NO_MEMORY, "no memory for a manifest");
    }
    *out = json_incref(variants);
    return FFL_OK;
}

static ffl_status load(const char *path, json_t **out)
{
    int descriptor;
    size_t bytes;
    json_error_t error;
    FFL_TRY(ffl_file_open(path, &descriptor, &bytes));
    *out = bytes <= FILE_MAX ? json_loadfd(descriptor, JSON_REJECT_DUPLICATES, &error) : NULL;
    close(descriptor);
    if (bytes > FILE_MAX)
        return ffl_fail(FFL_BAD_INPUT, "%s: %zu bytes are more than a manifest has", path, bytes);
    return *out ? FFL_OK : ffl_fail(FFL_BAD_INPUT, "%s: line %d: %s", path, error.line, error.text);
}

static ffl_status folder_of(const char *path, char out[PATH_MAX])
{
    char copy[PATH_MAX];
    if (!realpath(path, copy))
        return ffl_fail(FFL_BAD_INPUT, "%s: its folder cannot be found", path);
    snprintf(out, PATH_MAX, "%s", dirname(copy));
    return FFL_OK;
}

static ffl_status read_all(const char *path, const json_t *entries, ffl_peer_manifest **out, size_t *count)
{
    char folder[PATH_MAX];
    FFL_TRY(folder_of(path, folder));
    for (size_t i = 0; i < json_array_size(entries); i++) {
        ffl_peer_manifest *one = calloc(1, sizeof *one);
        if (!one)
            return ffl_fail(FFL_NO_MEMORY, "no memory for a manifest");
        out[(*count)++] = one;
        if (!(one->folder = strdup(folder)))
            return ffl_fail(FFL_NO_MEMORY, "no memory for a manifest");
        FFL_TRY(ffl_manifest_entry(path, json_array_get(entries, i), one));
    }
    return FFL_OK;
}

ffl_status ffl_peer_manifests_read(const char *path, ffl_peer_manifest ***out, size_t *count)
{
    json_t *root, *entries = NULL;
    *out = NULL;
    *count = 0;
    FFL_TRY(load(path, &root));
    ffl_status status = list_entries(path, root, &entries);
    const size_t entry_count = json_array_size(entries);
    if (status == FFL_OK && (entry_count == 0 || entry_count > ENTRIES_MAX))
        status = ffl_fail(FFL_BAD_INPUT, "%s: expected 1 to %d variants", path, ENTRIES_MAX);
    if (status == FFL_OK && !(*out = calloc(entry_count, sizeof **out)))
        status = ffl_fail(FFL_NO_MEMORY, "no memory for a manifest");
    if (status == FFL_OK)
        status = read_all(path, entries, *out, count);
    json_decref(entries);
    json_decref(root);
    if (status == FFL_OK)
        return FFL_OK;
    for (size_t i = 0; i < *count; i++)
        ffl_peer_manifest_free((*out)[i]);
    free(*out);
    *out = NULL;
    *count = 0;
    return status;
}

void ffl_peer_manifest_free(ffl_peer_manifest *m)
{
    if (!m)
        return;
    free(m->name);
    free(m->summary);
    free(m->source);
    free(m->folder);
    for (size_t i = 0; i <= FFL_PEER_WORDS_MAX; i++)
        free(m->command[i]);
    for (size_t i = 0; i <= FFL_PEER_NEEDS_MAX; i++)
        free(m->needs[i]);
    json_decref(m->arguments);
    free(m);
}
