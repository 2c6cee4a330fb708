/* `fflab run`: one variant on a user's own weights and inputs. */
#include "harness/commands.h"
#include "harness/files/layer_file.h"
#include "harness/files/npy.h"
#include "harness/instance.h"
#include "harness/registry.h"
#include "harness/workload/shapes.h"
#include "kernels/memory.h"
#include <stdio.h>

/* Rows per call: bounds the scratch of variants that keep every neuron of every row. */
enum { ROWS_PER_CALL = 1024, THREADS_MAX = 1024 };

typedef struct rows {
    float *x; /* owned */
    size_t count;
} rows;

static ffl_status find_variant(const char *name, const ffl_variant **out)
{
    const char *why = "";
    *out = ffl_registry_find(name);
    if (!*out)
        return ffl_fail(FFL_BAD_INPUT, "no variant is called '%s'; `fflab list` shows all", name);
    if (!ffl_variant_available(*out, &why))
        return ffl_fail(FFL_BAD_INPUT, "%s cannot run here: %s", name, why);
    return FFL_OK;
}

/* --input, or else the inputs beside the weights. */
static ffl_status read_rows(const ffl_options *options, const ffl_layer *layer, rows *out)
{
    const char *weights = options->value[FFL_OPT_WEIGHTS], *input = options->value[FFL_OPT_INPUT];
    if (!input) {
        FFL_TRY(ffl_layer_file_inputs(weights, layer->width_in, &out->x, &out->count));
        return out->x ? FFL_OK
                      : ffl_fail(FFL_BAD_INPUT, "%s holds no inputs x; give them as --input X.npy", weights);
    }
    ffl_npy npy;
    FFL_TRY(ffl_npy_read_as(input, "--input", FFL_NPY_F32, 2, &npy));
    if (npy.shape[0] == 0 || npy.shape[1] != layer->width_in) {
        ffl_npy_free(&npy);
        return ffl_fail(FFL_BAD_INPUT,
                        "--input %s: [%zu, %zu]; expected at least one row of width %zu, as %s has", input,
                        npy.shape[0], npy.shape[1], layer->width_in, weights);
    }
    out->x = npy.data;
    out->count = npy.shape[0];
    return FFL_OK;
}

static ffl_status evaluate(const ffl_variant *variant, const ffl_layer *layer, int threads, const rows *in,
                           float *y)
{
    const size_t at_once = in->count < ROWS_PER_CALL ? in->count : ROWS_PER_CALL;
    const char *why = "";
    ffl_instance instance;
    ffl_status status = FFL_OK;
    if (!ffl_variant_supports(variant, layer, at_once, threads, &why)) {
        char name[48];
        ffl_shape_name(layer, name, sizeof name);
        return ffl_fail(FFL_BAD_INPUT,
                        "%s does not take %s at widths %zu and %zu, %zu rows, --threads %d: %s",
                        variant->name, name, layer->width_in, layer->width_out, at_once, threads, why);
    }
    FFL_TRY(ffl_instance_new(variant, layer, at_once, threads, &instance));
    for (size_t done = 0; done < in->count && status == FFL_OK; done += at_once) {
        const size_t tokens = in->count - done < at_once ? in->count - done : at_once;
        status = ffl_instance_run(&instance, in->x + done * layer->width_in, layer->width_in,
                                  y + done * layer->width_out, layer->width_out, tokens);
    }
    ffl_instance_free(&instance);
    return status;
}

static ffl_status apply(const ffl_options *options, const ffl_variant *variant, const ffl_layer *layer,
                        int threads)
{
    const char *output = options->value[FFL_OPT_OUTPUT];
    rows in = {0};
    FFL_TRY(read_rows(options, layer, &in));
    float *y = ffl_alloc_rows(in.count * layer->width_out, sizeof *y);
    ffl_status status = y ? evaluate(variant, layer, threads, &in, y) : FFL_NO_MEMORY;
    if (status == FFL_OK) {
        const size_t shape[] = {in.count, layer->width_out};
        status = ffl_npy_write(output, FFL_NPY_F32, 2, shape, y);
    }
    if (status == FFL_OK) {
        char name[48];
        ffl_shape_name(layer, name, sizeof name);
        printf("%s: %zu rows through %s, width %zu to %zu -> %s\n", variant->name, in.count, name,
               layer->width_in, layer->width_out, output);
    }
    ffl_free(y);
    ffl_free(in.x);
    return status;
}

static ffl_status run(const ffl_options *options, int *exit_code)
{
    const ffl_variant *variant;
    ffl_layer_request request;
    ffl_weights weights;
    size_t threads;
    *exit_code = FFL_EXIT_GOOD;
    if (!ffl_option_given(options, FFL_OPT_WEIGHTS) || !ffl_option_given(options, FFL_OPT_OUTPUT))
        return ffl_fail(FFL_BAD_INPUT, "run needs --weights FILE and --output Y.npy; see `fflab run --help`");
    FFL_TRY(find_variant(options->words[0], &variant));
    FFL_TRY(ffl_layer_request_read(options, variant->operation, &request));
    FFL_TRY(ffl_option_size(options, FFL_OPT_THREADS, 1, THREADS_MAX, 1, &threads));
    FFL_TRY(ffl_layer_file_read(options->value[FFL_OPT_WEIGHTS], &request, &weights));
    const ffl_status status = apply(options, variant, &weights.layer, (int)threads);
    ffl_weights_free(&weights);
    return status;
}

static const ffl_option run_options[] = {FFL_OPT_WEIGHTS,
                                         FFL_OPT_INPUT,
                                         FFL_OPT_OUTPUT,
                                         FFL_OPT_TREE,
                                         FFL_OPT_LEAF,
                                         FFL_OPT_MOE,
                                         FFL_OPT_ACTIVATION,
                                         FFL_OPT_THREADS,
                                         FFL_OPT_PLUGIN,
                                         FFL_OPT_PROCESS,
                                         FFL_OPT_BLAS_LIBRARY,
                                         FFL_OPT_KEEP_BLAS_ENVIRONMENT,
                                         FFL_OPT_COUNT};

const ffl_command ffl_command_run = {
    .name = "run",
    .summary = "apply one variant to your own weights and inputs",
    .usage = "VARIANT --weights FILE [--input X.npy] --output Y.npy [--tree TxD | --leaf DxW | --moe ExW:K]",
    .help = "Weights are a .safetensors file with linear_in.weight [N, width], linear_in.bias [N] (optional) "
            "and\n"
            "linear_out.weight [width out, N], or dense_in and dense_out likewise; F32, F64, F16 or BF16. "
            "One layer of\n"
            "a checkpoint is named after a colon. The tree is the file's metadata (depth, parallel_trees), "
            "or --tree;\n"
            "for fff_leaf and moe variants there are gate.weight and gate.bias besides, and --leaf or "
            "--moe.\n"
            "Inputs are float32 rows [tokens, width]; without --input, the weight file's own tensor x. The "
            "output is\n"
            "float32 [tokens, width out] and replaces Y.npy only when all went well.\n\n"
            "Examples:\n"
            "  fflab run fff_naive --weights layer.safetensors --input x.npy --output y.npy\n"
            "  fflab run fff_naive --weights model.safetensors:encoder.layers.3.ffn --tree 1x11 --input "
            "x.npy \\\n"
            "            --output y.npy\n"
            "  fflab run ff_naive --weights layer.safetensors --output y.npy --activation relu\n",
    .options = run_options,
    .words_min = 1,
    .words_max = 1,
    .run = run,
};
