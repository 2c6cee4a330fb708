/* real:FILE: somebody's trained layer, with the inputs stored beside it or normal ones. */
#include "harness/check/fixtures.h"
#include "harness/files/layer_file.h"
#include "harness/workload/random.h"
#include "kernels/memory.h"
#include <string.h>

enum { TOKENS_WITHOUT_INPUTS = 64 };

ffl_status ffl_fixture_real(const ffl_fixture_request *request, ffl_fixture *out)
{
    const char *path = request->name + strlen("real:");
    const ffl_layer *shape = &request->shape;
    const ffl_layer_request wanted = {.operation = shape->operation,
                                      .activation = shape->activation,
                                      .trees = shape->operation == FFL_FFF ? shape->trees : 0,
                                      .levels = shape->levels,
                                      .experts = shape->experts,
                                      .expert_width = shape->expert_width,
                                      .chosen = shape->chosen};
    float *stored = NULL;
    size_t stored_tokens = 0;
    FFL_TRY(ffl_layer_file_read(path, &wanted, &out->weights));
    const size_t width = out->weights.layer.width_in;
    ffl_status status = ffl_layer_file_inputs(path, width, &stored, &stored_tokens);
    if (status != FFL_OK)
        goto fail;
    out->tokens = request->tokens ? request->tokens : stored ? stored_tokens : TOKENS_WITHOUT_INPUTS;
    out->x = ffl_alloc_array(out->tokens * width, sizeof *out->x);
    if (!out->x) {
        status = FFL_NO_MEMORY;
        goto fail;
    }
    ffl_random random = ffl_random_new(request->seed, FFL_STREAM_X);
    for (size_t i = 0; i < out->tokens * width; i++)
        out->x[i] = stored ? stored[i % (stored_tokens * width)] : (float)ffl_random_normal(&random);
fail:
    ffl_free(stored);
    if (status != FFL_OK)
        ffl_fixture_free(out);
    return status;
}
