/* `fflab export`: one case of check as files, for kernels that are written elsewhere. */
#include "harness/check/cases.h"
#include "harness/check/fixtures.h"
#include "harness/commands.h"
#include "harness/files/layer_file.h"
#include "harness/files/npy.h"
#include "harness/results.h"
#include "harness/workload/shapes.h"
#include "kernels/memory.h"
#include "kernels/reference.h"
#include <stdio.h>

static ffl_status write_array(const char *dir, const char *name, ffl_npy_type type, size_t dimensions,
                              const size_t *shape, const void *data)
{
    char path[FFL_PATH_MAX];
    FFL_TRY(ffl_results_path(dir, name, path));
    return ffl_npy_write(path, type, dimensions, shape, data);
}

static ffl_status write_files(const char *dir, const ffl_fixture *fixture, const double *y,
                              const int32_t *path)
{
    const ffl_layer *l = &fixture->weights.layer;
    const size_t tokens = fixture->tokens;
    char file[FFL_PATH_MAX];
    FFL_TRY(ffl_results_create(dir));
    FFL_TRY(ffl_results_path(dir, "layer.safetensors", file));
    FFL_TRY(ffl_layer_file_write(file, l, fixture->x, tokens, y));
    FFL_TRY(write_array(dir, "x.npy", FFL_NPY_F32, 2, (const size_t[]){tokens, l->width_in}, fixture->x));
    FFL_TRY(write_array(dir, "y.npy", FFL_NPY_F64, 2, (const size_t[]){tokens, l->width_out}, y));
    if (path && l->operation == FFL_FFF)
        return write_array(dir, "path.npy", FFL_NPY_I32, 3, (const size_t[]){tokens, l->trees, l->levels},
                           path);
    return path ? write_array(dir, "chosen.npy", FFL_NPY_I32, 2, (const size_t[]){tokens, l->chosen}, path)
                : FFL_OK;
}

static ffl_status export_fixture(const char *dir, const ffl_fixture *fixture)
{
    const ffl_layer *l = &fixture->weights.layer;
    const bool tree = l->operation == FFL_FFF, experts = ffl_operation_has_experts(l->operation);
    const size_t visited = tree ? l->trees * l->levels : l->chosen;
    double *y = ffl_alloc_array(fixture->tokens * l->width_out, sizeof *y);
    int32_t *path = visited ? ffl_alloc_array(fixture->tokens * visited, sizeof *path) : NULL;
    ffl_status status = y && (path || !visited) ? FFL_OK : FFL_NO_MEMORY;
    if (status == FFL_OK && tree)
        status = ffl_reference_walk(l, fixture->x, l->width_in, fixture->tokens, y, NULL, path);
    else if (status == FFL_OK && experts)
        status = ffl_reference_experts(l, fixture->x, l->width_in, fixture->tokens, y, NULL, path, NULL);
    else if (status == FFL_OK)
        status = ffl_reference(l, fixture->x, l->width_in, fixture->tokens, y, NULL, NULL);
    if (status == FFL_OK)
        status = write_files(dir, fixture, y, path);
    ffl_free(y);
    ffl_free(path);
    return status;
}

/* The one case that the options name: a tree, or with --neurons, --leaf or --moe another layer. */
static ffl_status read_case(const ffl_options *options, ffl_check_case *out)
{
    ffl_case_list cases = {0};
    int operation = FFL_OPERATION_COUNT;
    for (int o = 0; o < FFL_OPERATION_COUNT && operation == FFL_OPERATION_COUNT; o++)
        if (o != FFL_FFF && ffl_option_given(options, ffl_shape_option((ffl_operation)o)))
            operation = o;
    if (operation == FFL_OPERATION_COUNT && ffl_option_given(options, FFL_OPT_TREE))
        operation = FFL_FFF;
    if (!ffl_option_given(options, FFL_OPT_FIXTURE) || !ffl_option_given(options, FFL_OPT_BATCH) ||
        operation == FFL_OPERATION_COUNT)
        return ffl_fail(FFL_BAD_INPUT,
                        "export needs --fixture NAME, --batch B, and --tree TxD, --neurons N, --leaf DxW or "
                        "--moe ExW:K; see `fflab export --help`");
    FFL_TRY(ffl_cases_from_options(options, (ffl_operation)operation, &cases));
    const size_t count = cases.count;
    if (count)
        *out = cases.items[0];
    ffl_cases_free(&cases);
    return count == 1 ? FFL_OK
                      : ffl_fail(FFL_BAD_INPUT, "export writes one case, these options name %zu", count);
}

static ffl_status validate(const ffl_options *options)
{
    ffl_check_case item;
    return read_case(options, &item);
}

static ffl_status run(const ffl_options *options, int *exit_code)
{
    ffl_check_case item;
    ffl_fixture fixture;
    char words[384], shape[48];
    *exit_code = FFL_EXIT_GOOD;
    FFL_TRY(read_case(options, &item));
    const ffl_fixture_request request = {.name = item.fixture,
                                         .shape = item.shape,
                                         .bias = ffl_layout_from_seed(item.seed).bias,
                                         .tokens = item.batch,
                                         .seed = item.seed};
    ffl_case_words(&item, item.threads, words, sizeof words);
    FFL_TRY(ffl_fixture_make(&request, &fixture));
    ffl_shape_name(&fixture.weights.layer, shape, sizeof shape);
    const ffl_status status = export_fixture(options->words[0], &fixture);
    if (status == FFL_OK)
        printf("%s: %s, width %zu to %zu, %zu rows: layer.safetensors, x.npy, y.npy%s; %s\n",
               options->words[0], shape, fixture.weights.layer.width_in, fixture.weights.layer.width_out,
               fixture.tokens,
               item.shape.operation == FFL_FFF                   ? ", path.npy"
               : ffl_operation_has_experts(item.shape.operation) ? ", chosen.npy"
                                                                 : "",
               words);
    ffl_fixture_free(&fixture);
    return status;
}

static const ffl_option export_options[] = {
    FFL_OPT_TREE,       FFL_OPT_NEURONS, FFL_OPT_LEAF,    FFL_OPT_MOE,  FFL_OPT_WIDTH, FFL_OPT_WIDTH_OUT,
    FFL_OPT_ACTIVATION, FFL_OPT_BATCH,   FFL_OPT_FIXTURE, FFL_OPT_SEED, FFL_OPT_COUNT,
};

const ffl_command ffl_command_export = {
    .name = "export",
    .summary = "write a case as files: weights, inputs, reference outputs, paths",
    .usage = "DIR --fixture NAME --tree TxD | --neurons N | --leaf DxW | --moe ExW:K --batch B [--width H] "
             "[--seed N]",
    .help =
        "The words are those at the end of check's lines, so any of its cases can be had. DIR gets\n"
        "layer.safetensors (weights, x, and y in double precision), x.npy, y.npy and, for a tree, path.npy\n"
        "(node numbers, [rows, trees, levels]), for a leaf tree or a mixture chosen.npy (experts, [rows, "
        "chosen]). What another program makes of them is judged by\n"
        "`fflab check --weights DIR/layer.safetensors --input DIR/x.npy --result Y.npy`.\n\n"
        "Examples:\n"
        "  fflab export case --fixture random --tree 1x11 --batch 128\n"
        "  fflab export case --fixture exact --moe 64x16:2 --width 256 --batch 33\n"
        "  fflab export case --fixture ties --neurons 4095 --width 768 --batch 17 --activation relu --seed "
        "5\n",
    .options = export_options,
    .words_min = 1,
    .words_max = 1,
    .validate = validate,
    .run = run,
};
