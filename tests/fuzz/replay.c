/*
 * fuzz_replay CORPUS: gives every file of CORPUS/TARGET to its target, one TAP line per target. A file named
 * good-… must be accepted, one named bad-… refused; what fuzzing found or kept only must not break a promise.
 */
#define _GNU_SOURCE
#include "tests/fuzz/targets.h"
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    fuzz_target *run;
} targets[] = {{"config", fuzz_config}, {"index", fuzz_index}, {"journal", fuzz_journal},
               {"layer", fuzz_layer},   {"npy", fuzz_npy},     {"problems", fuzz_problems}};
enum { TARGETS = sizeof targets / sizeof *targets };

static uint8_t *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    fuzz_expect(file && fseek(file, 0, SEEK_END) == 0, path);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = malloc(*size + 1);
    fuzz_expect(data && fread(data, 1, *size, file) == *size, path);
    fclose(file);
    return data;
}

/* The bytes get a block of exactly their size: reading past the end is then seen by AddressSanitizer. */
static bool replay(fuzz_target *run, const char *folder, const char *name)
{
    char path[4096];
    size_t size;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    uint8_t *data = read_file(path, &size);
    fprintf(stderr, "%s\n", path); /* shown when the target aborts */
    const ffl_status status = run(data, size);
    free(data);
    if ((strncmp(name, "good-", 5) == 0 && status != FFL_OK) ||
        (strncmp(name, "bad-", 4) == 0 && status == FFL_OK)) {
        printf("# %s: %s\n", path, status == FFL_OK ? "accepted" : ffl_error());
        return false;
    }
    return true;
}

static int is_input(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

int main(int argc, char **argv)
{
    printf("1..%d\n", TARGETS);
    for (size_t t = 0; t < TARGETS; t++) {
        char folder[2048];
        struct dirent **inputs = NULL;
        snprintf(folder, sizeof folder, "%s/%s", argc > 1 ? argv[1] : ".", targets[t].name);
        const int count = scandir(folder, &inputs, is_input, alphasort);
        bool good = count > 0;
        for (int i = 0; i < count; i++) {
            good = replay(targets[t].run, folder, inputs[i]->d_name) && good;
            free(inputs[i]);
        }
        free(inputs);
        printf("%s %zu - %s: %d inputs\n", good ? "ok" : "not ok", t + 1, targets[t].name, count);
        fflush(stdout);
    }
    return 0;
}
