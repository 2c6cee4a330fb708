#include "harness/roofs/roofs.h"
#include <stdlib.h>
#include <string.h>

const ffl_roof *ffl_roofs_find(const ffl_roofs *roofs, const char *place, const char *name, int64_t threads)
{
    for (size_t i = 0; i < roofs->count; i++) {
        const ffl_roof *r = &roofs->value[i];
        if (r->threads == threads && strcmp(r->name, name) == 0 && strcmp(r->place, place) == 0)
            return r;
    }
    return NULL;
}

ffl_status ffl_roofs_put(ffl_roofs *roofs, const ffl_roof *roof)
{
    for (size_t i = 0; i < roofs->count; i++) {
        ffl_roof *r = &roofs->value[i];
        if (r->threads == roof->threads && strcmp(r->name, roof->name) == 0 &&
            strcmp(r->place, roof->place) == 0 && strcmp(r->device, roof->device) == 0) {
            *r = *roof;
            return FFL_OK;
        }
    }
    ffl_roof *grown = realloc(roofs->value, (roofs->count + 1) * sizeof *grown);
    if (!grown)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the roofs");
    roofs->value = grown;
    roofs->value[roofs->count++] = *roof;
    return FFL_OK;
}

void ffl_roofs_free(ffl_roofs *roofs)
{
    free(roofs->value);
    *roofs = (ffl_roofs){0};
}
