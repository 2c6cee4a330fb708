#include "harness/workload/recorded.h"
#include "harness/files/layer_file.h"
#include "harness/files/npy.h"
#include "kernels/memory.h"
#include <math.h>
#include <string.h>

bool ffl_recorded_is_layer(const char *file)
{
    static const char ending[] = ".safetensors";
    const char *last = NULL;
    for (const char *at = file; (at = strstr(at, ending)); at++)
        last = at + strlen(ending);
    return last && (*last == '\0' || *last == ':');
}

ffl_status ffl_recorded_shape(const char *file, ffl_layer *out)
{
    const ffl_layer_request request = {.operation = FFL_FFF};
    const ffl_status status = ffl_layer_file_shape(file, &request, out);
    return status == FFL_OK ? status : ffl_fail(status, "--routing recorded:%s", ffl_error());
}

static ffl_layer_request request_of(const ffl_layer *shape)
{
    return (ffl_layer_request){.operation = FFL_FFF,
                               .activation = shape->activation,
                               .trees = shape->trees,
                               .levels = shape->levels};
}

static ffl_status check_widths(const char *file, const ffl_layer *got, const ffl_layer *want)
{
    if (got->width_in == want->width_in && got->width_out == want->width_out)
        return FFL_OK;
    return ffl_fail(FFL_BAD_INPUT,
                    "--routing recorded:%s: widths %zu and %zu; --width and --width-out say %zu and %zu",
                    file, got->width_in, got->width_out, want->width_in, want->width_out);
}

ffl_status ffl_recorded_weights(const char *file, const ffl_layer *shape, ffl_weights *out)
{
    const ffl_layer_request request = request_of(shape);
    ffl_status status = ffl_layer_file_read(file, &request, out);
    if (status != FFL_OK)
        return ffl_fail(status, "--routing recorded:%s", ffl_error());
    status = check_widths(file, &out->layer, shape);
    if (status != FFL_OK)
        ffl_weights_free(out);
    return status;
}

static ffl_status copy_rows(const char *file, const float *rows, size_t count, size_t width, float *x,
                            size_t ldx, size_t tokens)
{
    for (size_t i = 0; i < count * width; i++)
        if (!isfinite(rows[i]))
            return ffl_fail(FFL_BAD_INPUT, "--routing recorded:%s: row %zu, element %zu is not finite", file,
                            i / width, i % width);
    for (size_t t = 0; t < tokens; t++)
        memcpy(x + t * ldx, rows + t % count * width, width * sizeof *x);
    return FFL_OK;
}

static ffl_status layer_inputs(const char *file, size_t width, float *x, size_t ldx, size_t tokens)
{
    float *rows;
    size_t count;
    ffl_status status = ffl_layer_file_inputs(file, width, &rows, &count);
    if (status != FFL_OK)
        return ffl_fail(status, "--routing recorded:%s", ffl_error());
    if (!rows)
        return ffl_fail(FFL_BAD_INPUT, "--routing recorded:%s: no inputs, that is no tensor x", file);
    status = copy_rows(file, rows, count, width, x, ldx, tokens);
    ffl_free(rows);
    return status;
}

ffl_status ffl_recorded_inputs(const char *file, size_t width, float *x, size_t ldx, size_t tokens)
{
    ffl_npy rows;
    if (ffl_recorded_is_layer(file))
        return layer_inputs(file, width, x, ldx, tokens);
    FFL_TRY(ffl_npy_read_as(file, "--routing recorded:", FFL_NPY_F32, 2, &rows));
    ffl_status status = FFL_OK;
    if (rows.shape[0] == 0 || rows.shape[1] != width)
        status = ffl_fail(FFL_BAD_INPUT, "--routing recorded:%s: [%zu, %zu]; expected rows of width %zu",
                          file, rows.shape[0], rows.shape[1], width);
    else
        status = copy_rows(file, rows.data, rows.shape[0], width, x, ldx, tokens);
    ffl_npy_free(&rows);
    return status;
}

ffl_status ffl_recorded_check(const char *file, const ffl_layer *shape)
{
    if (ffl_recorded_is_layer(file)) {
        ffl_weights weights;
        FFL_TRY(ffl_recorded_weights(file, shape, &weights));
        ffl_weights_free(&weights);
    }
    float *row = ffl_alloc_array(shape->width_in, sizeof *row);
    const ffl_status status =
        row ? ffl_recorded_inputs(file, shape->width_in, row, shape->width_in, 1) : FFL_NO_MEMORY;
    ffl_free(row);
    return status;
}
