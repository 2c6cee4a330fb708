#include "harness/files/npy.h"
#include "tests/fuzz/targets.h"
#include <stdio.h>
#include <string.h>

/* What was read, written and read again, is the same. */
static void expect_round_trip(const ffl_npy *first)
{
    static const size_t bytes[] = {4, 8, 4, 8};
    char path[256];
    ffl_npy again;
    snprintf(path, sizeof path, "%s/again.npy", fuzz_folder());
    fuzz_expect(ffl_npy_write(path, first->type, first->dimensions, first->shape, first->data) == FFL_OK,
                "what was read can be written");
    fuzz_expect(ffl_npy_read(path, &again) == FFL_OK, "what was written can be read");
    fuzz_expect(again.type == first->type && again.dimensions == first->dimensions &&
                    memcmp(again.shape, first->shape, first->dimensions * sizeof *first->shape) == 0 &&
                    memcmp(again.data, first->data, first->count * bytes[first->type]) == 0,
                "writing and reading change nothing");
    ffl_npy_free(&again);
}

ffl_status fuzz_npy(const uint8_t *data, size_t size)
{
    const char *path = fuzz_file(data, size);
    ffl_npy npy;
    const ffl_status status = ffl_npy_read(path, &npy);
    fuzz_expect_named(status, path);
    if (status != FFL_OK)
        return status;
    fuzz_expect(npy.dimensions <= FFL_NPY_DIMENSIONS_MAX, "dimensions fit");
    expect_round_trip(&npy);
    ffl_npy_free(&npy);
    return FFL_OK;
}
