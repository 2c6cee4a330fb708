#include "harness/compare/sampling.h"
#include "harness/cache_folder.h"
#include "kernels/cpu.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

size_t ffl_sampling_pairs(void)
{
    char path[4096];
    const char *cpu;
    json_int_t pairs = 0;
    ffl_cache_file("timing.json", false, path, sizeof path);
    json_t *json = *path ? json_load_file(path, 0, NULL) : NULL;
    const bool fits = json && json_unpack(json, "{s:s, s:I}", "cpu", &cpu, "pairs", &pairs) == 0 &&
                      strcmp(cpu, ffl_machine_host()->cpu) == 0 && pairs > 0 && pairs <= FFL_PAIRS_MOST;
    json_decref(json);
    return fits ? (size_t)pairs : FFL_PAIRS_DEFAULT;
}

void ffl_sampling_store(size_t pairs)
{
    char path[4096], draft[4110];
    ffl_cache_file("timing.json", true, path, sizeof path);
    if (!*path)
        return;
    snprintf(draft, sizeof draft, "%s.part", path);
    json_t *json = json_pack("{s:s, s:I}", "cpu", ffl_machine_host()->cpu, "pairs", (json_int_t)pairs);
    if (json && json_dump_file(json, draft, JSON_INDENT(1)) == 0)
        rename(draft, path);
    json_decref(json);
}
