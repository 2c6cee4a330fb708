#define _GNU_SOURCE
#include "harness/encoder/shards.h"
#include "tests/fuzz/targets.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void write_shard(const char *name, const char *header)
{
    char path[256];
    const uint64_t length = strlen(header);
    static const char data[8];
    snprintf(path, sizeof path, "%s/%s", fuzz_folder(), name);
    FILE *file = fopen(path, "wb");
    fuzz_expect(file && fwrite(&length, sizeof length, 1, file) == 1 && fputs(header, file) >= 0 &&
                    fwrite(data, sizeof data, 1, file) == 1 && fclose(file) == 0,
                "a shard");
}

/* The folder, with "a" and "b" in one shard, "c" in another, and the index where the input is. */
static const char *make_folder(const char *index)
{
    static char path[256];
    if (!path[0]) {
        write_shard("one.safetensors", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                                       "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}");
        write_shard("two.safetensors", "{\"c\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[0,8]}}");
        snprintf(path, sizeof path, "%s/model.safetensors.index.json", fuzz_folder());
        fuzz_expect(symlink(index, path) == 0, "a link to the index");
    }
    return path;
}

ffl_status fuzz_index(const uint8_t *data, size_t size)
{
    const char *path = make_folder(fuzz_file(data, size));
    ffl_shards shards;
    const ffl_status status = ffl_shards_open(fuzz_folder(), &shards);
    fuzz_expect_named(status, fuzz_folder());
    fuzz_expect(path != NULL, "an index");
    if (status != FFL_OK)
        return status;
    fuzz_expect(shards.file_count <= 2 && shards.count <= 3, "nothing but what is in the folder");
    for (size_t i = 0; i < shards.count; i++)
        fuzz_expect(ffl_shards_find(&shards, shards.tensors[i].tensor->name) == &shards.tensors[i],
                    "what is there is found");
    ffl_shards_close(&shards);
    return FFL_OK;
}
