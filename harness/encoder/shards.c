#include "harness/encoder/shards.h"
#include "harness/files/file.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SHARDS_MAX = 1000, INDEX_BYTES_MAX = 64 << 20 };

static ffl_status join(const char *folder, const char *name, char *out, size_t size)
{
    return snprintf(out, size, "%s/%s", folder, name) < (int)size
               ? FFL_OK
               : ffl_fail(FFL_BAD_INPUT, "the path '%.40s…' is too long", folder);
}

static ffl_status open_file(const char *folder, const char *name, ffl_shards *out)
{
    ffl_safetensors **files = realloc(out->files, (out->file_count + 1) * sizeof *files);
    out->files = files ? files : out->files;
    char(*paths)[512] = realloc(out->paths, (out->file_count + 1) * sizeof *paths);
    out->paths = paths ? paths : out->paths;
    if (!files || !paths)
        return ffl_fail(FFL_NO_MEMORY, "%s: no memory", folder);
    FFL_TRY(join(folder, name, paths[out->file_count], sizeof *paths));
    FFL_TRY(ffl_safetensors_open(paths[out->file_count], &files[out->file_count]));
    out->file_count++;
    return FFL_OK;
}

/* A plain name in the same folder: an index must not reach elsewhere. */
static bool plain(const char *name)
{
    return name && *name && *name != '.' && !strchr(name, '/') && strlen(name) < 200;
}

static ffl_status open_shards(const char *folder, const char *path, const json_t *map, ffl_shards *out)
{
    const char *tensor;
    json_t *value;
    if (json_object_size(map) == 0)
        return ffl_fail(FFL_BAD_INPUT, "%s: no weight_map, or an empty one", path);
    void *at = json_object_iter((json_t *)map);
    for (; at; at = json_object_iter_next((json_t *)map, at)) {
        tensor = json_object_iter_key(at);
        value = json_object_iter_value(at);
        const char *name = json_string_value(value);
        size_t known = 0;
        if (!plain(name))
            return ffl_fail(FFL_BAD_INPUT, "%s: weight_map: %.80s: '%.80s' is no file name", path, tensor,
                            name ? name : "");
        while (known < out->file_count && strcmp(strrchr(out->paths[known], '/') + 1, name) != 0)
            known++;
        if (known == SHARDS_MAX)
            return ffl_fail(FFL_BAD_INPUT, "%s: more than %d shards", path, SHARDS_MAX);
        if (known == out->file_count)
            FFL_TRY(open_file(folder, name, out));
        if (!ffl_safetensors_find(out->files[known], tensor))
            return ffl_fail(FFL_BAD_INPUT, "%s: weight_map: %s holds no tensor %.80s", path, name, tensor);
    }
    return FFL_OK;
}

static ffl_status open_index(const char *folder, const char *path, ffl_shards *out)
{
    int descriptor;
    size_t bytes;
    json_error_t error;
    FFL_TRY(ffl_file_open(path, &descriptor, &bytes));
    json_t *json = bytes > INDEX_BYTES_MAX ? NULL : json_loadfd(descriptor, JSON_REJECT_DUPLICATES, &error);
    close(descriptor);
    if (!json)
        return ffl_fail(FFL_BAD_INPUT, "%s: %s", path, bytes > INDEX_BYTES_MAX ? "too long" : error.text);
    const ffl_status status = open_shards(folder, path, json_object_get(json, "weight_map"), out);
    json_decref(json);
    return status;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const ffl_shard_tensor *)a)->tensor->name, ((const ffl_shard_tensor *)b)->tensor->name);
}

static ffl_status collect(ffl_shards *out)
{
    size_t all = 0;
    for (size_t f = 0; f < out->file_count; f++)
        all += ffl_safetensors_count(out->files[f]);
    out->tensors = calloc(all + 1, sizeof *out->tensors);
    if (!out->tensors)
        return ffl_fail(FFL_NO_MEMORY, "%s: no memory for %zu tensors", out->paths[0], all);
    for (size_t f = 0; f < out->file_count; f++)
        for (size_t i = 0; i < ffl_safetensors_count(out->files[f]); i++)
            out->tensors[out->count++] = (ffl_shard_tensor){ffl_safetensors_at(out->files[f], i), f, false};
    qsort(out->tensors, out->count, sizeof *out->tensors, by_name);
    for (size_t i = 1; i < out->count; i++)
        if (by_name(&out->tensors[i - 1], &out->tensors[i]) == 0)
            return ffl_fail(FFL_BAD_INPUT, "%s: %s is in %s, too", out->paths[out->tensors[i].file],
                            out->tensors[i].tensor->name, out->paths[out->tensors[i - 1].file]);
    return FFL_OK;
}

static ffl_status open_all(const char *folder, ffl_shards *out)
{
    char whole[512], index[512];
    FFL_TRY(join(folder, "model.safetensors", whole, sizeof whole));
    FFL_TRY(join(folder, "model.safetensors.index.json", index, sizeof index));
    if (access(whole, F_OK) != 0 && access(index, F_OK) == 0)
        FFL_TRY(open_index(folder, index, out));
    else
        FFL_TRY(open_file(folder, "model.safetensors", out));
    return collect(out);
}

ffl_status ffl_shards_open(const char *folder, ffl_shards *out)
{
    *out = (ffl_shards){0};
    const ffl_status status = open_all(folder, out);
    if (status != FFL_OK)
        ffl_shards_close(out);
    return status;
}

ffl_shard_tensor *ffl_shards_find(ffl_shards *shards, const char *name)
{
    size_t low = 0, high = shards->count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        const int order = strcmp(name, shards->tensors[middle].tensor->name);
        if (order == 0)
            return &shards->tensors[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

void ffl_shards_close(ffl_shards *shards)
{
    for (size_t i = 0; shards->files && i < shards->file_count; i++)
        ffl_safetensors_close(shards->files[i]);
    free(shards->files);
    free(shards->paths);
    free(shards->tensors);
    *shards = (ffl_shards){0};
}
