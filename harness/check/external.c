#include "harness/check/external.h"
#include "harness/check/job.h"
#include "harness/check/judge.h"
#include "harness/files/layer_file.h"
#include "harness/files/npy.h"
#include "harness/workload/shapes.h"
#include "kernels/memory.h"
#include <math.h>
#include <stdio.h>

typedef struct external {
    ffl_weights weights;
    float *x, *y; /* [tokens][width_in], [tokens][width_out] */
    size_t tokens;
    ffl_contract contract;
} external;

/*
 * What a kernel of that type usually does: everything it stores is of the type, sums are float. Whoever keeps
 * more gets a bound wider than needed, never a narrower one.
 */
static ffl_status read_contract(const ffl_options *options, ffl_contract *out)
{
    static const char *const names[] = {[FFL_F32] = "f32", [FFL_TF32] = "tf32", [FFL_BF16] = "bf16",
                                        [FFL_F16] = "f16", [FFL_INT8] = "int8", NULL};
    size_t type;
    FFL_TRY(ffl_option_choice(options, FFL_OPT_CONTRACT, names, FFL_F32, &type));
    *out = (ffl_contract)FFL_CONTRACT_F32;
    out->input = out->weights = out->hidden = (ffl_type)type;
    if (type == FFL_INT8)
        out->weight_scale = FFL_SCALE_ROW;
    else if (type != FFL_TF32)
        out->output = (ffl_type)type;
    return FFL_OK;
}

ffl_status ffl_external_validate(const ffl_options *options)
{
    ffl_contract contract;
    size_t activation;
    const bool result = ffl_option_given(options, FFL_OPT_RESULT);
    if (result && !ffl_option_given(options, FFL_OPT_WEIGHTS))
        return ffl_fail(FFL_BAD_INPUT, "--result %s needs --weights FILE, the layer it was computed with",
                        options->value[FFL_OPT_RESULT]);
    for (ffl_option o = FFL_OPT_INVARIANCE; result && o <= FFL_OPT_PROPERTIES; o++)
        if (ffl_option_given(options, o))
            return ffl_fail(FFL_BAD_INPUT, "%s calls variants: it says nothing about --result %s",
                            ffl_option_name(o), options->value[FFL_OPT_RESULT]);
    static const ffl_option need_result[] = {FFL_OPT_WEIGHTS, FFL_OPT_INPUT, FFL_OPT_CONTRACT};
    for (size_t i = 0; !result && i < sizeof need_result / sizeof *need_result; i++)
        if (ffl_option_given(options, need_result[i]))
            return ffl_fail(
                FFL_BAD_INPUT,
                "%s belongs to --result Y.npy; to check variants on a file use --fixture real:FILE",
                ffl_option_name(need_result[i]));
    FFL_TRY(ffl_option_choice(options, FFL_OPT_ACTIVATION, ffl_activation_names, FFL_GELU, &activation));
    return read_contract(options, &contract);
}

/* --leaf, --moe, or what the file says it is with experts; FFL_FFF otherwise. */
static ffl_status find_operation(const ffl_options *options, ffl_operation *out)
{
    bool known;
    *out = FFL_FFF_LEAF;
    if (ffl_option_given(options, FFL_OPT_LEAF))
        return FFL_OK;
    *out = FFL_MOE;
    if (ffl_option_given(options, FFL_OPT_MOE))
        return FFL_OK;
    FFL_TRY(ffl_layer_file_experts(options->value[FFL_OPT_WEIGHTS], out, &known));
    *out = known ? *out : FFL_FFF;
    return FFL_OK;
}

/* The tree of --tree or of the file; a file without one, or --neurons, is a dense layer. */
static ffl_status read_layer(const ffl_options *options, ffl_weights *out)
{
    ffl_operation operation;
    ffl_layer_request request;
    const char *path = options->value[FFL_OPT_WEIGHTS];
    FFL_TRY(find_operation(options, &operation));
    FFL_TRY(ffl_layer_request_read(options, operation, &request));
    if (operation != FFL_FFF || request.trees)
        return ffl_layer_file_read(path, &request, out);
    if (!ffl_option_given(options, FFL_OPT_NEURONS) && ffl_layer_file_read(path, &request, out) == FFL_OK)
        return FFL_OK;
    request.operation = FFL_FF;
    FFL_TRY(ffl_layer_file_read(path, &request, out));
    size_t neurons;
    const ffl_status status = ffl_option_size(options, FFL_OPT_NEURONS, out->layer.neurons,
                                              out->layer.neurons, out->layer.neurons, &neurons);
    if (status != FFL_OK)
        ffl_weights_free(out);
    return status;
}

/* Rows of a .npy file: [tokens, width]; tokens = 0: as many as it has. */
static ffl_status read_rows(const ffl_options *options, ffl_option option, size_t width, size_t *tokens,
                            float **out)
{
    ffl_npy npy;
    const char *path = options->value[option], *name = ffl_option_name(option);
    FFL_TRY(ffl_npy_read_as(path, name, FFL_NPY_F32, 2, &npy));
    const size_t rows = npy.shape[0], columns = npy.shape[1];
    if (rows == 0 || columns != width || (*tokens && rows != *tokens)) {
        ffl_npy_free(&npy);
        if (*tokens)
            return ffl_fail(FFL_BAD_INPUT, "%s %s: [%zu, %zu], expected [%zu, %zu]", name, path, rows,
                            columns, *tokens, width);
        return ffl_fail(FFL_BAD_INPUT, "%s %s: [%zu, %zu], expected at least one row of width %zu", name,
                        path, rows, columns, width);
    }
    *tokens = rows;
    *out = npy.data;
    return FFL_OK;
}

static ffl_status read_external(const ffl_options *options, external *e)
{
    FFL_TRY(read_contract(options, &e->contract));
    FFL_TRY(read_layer(options, &e->weights));
    const ffl_layer *l = &e->weights.layer;
    if (ffl_option_given(options, FFL_OPT_INPUT)) {
        FFL_TRY(read_rows(options, FFL_OPT_INPUT, l->width_in, &e->tokens, &e->x));
    } else {
        FFL_TRY(ffl_layer_file_inputs(options->value[FFL_OPT_WEIGHTS], l->width_in, &e->x, &e->tokens));
        if (!e->x)
            return ffl_fail(FFL_BAD_INPUT, "--weights %s holds no inputs x; give them as --input X.npy",
                            options->value[FFL_OPT_WEIGHTS]);
    }
    return read_rows(options, FFL_OPT_RESULT, l->width_out, &e->tokens, &e->y);
}

static void print(const ffl_options *options, const ffl_layer *layer, const ffl_judgement *j)
{
    const char *result = options->value[FFL_OPT_RESULT];
    const char *contract =
        ffl_option_given(options, FFL_OPT_CONTRACT) ? options->value[FFL_OPT_CONTRACT] : "f32";
    if (ffl_option_given(options, FFL_OPT_JSON)) {
        json_t *row = ffl_judgement_to_json(result, j);
        json_object_set_new(row, "verdict", json_string(ffl_verdict_name(j->verdict)));
        json_object_set_new(row, "contract", json_string(contract));
        json_t *document = json_pack("{s:[o]}", "results", row);
        json_dumpf(document, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
        putchar('\n');
        json_decref(document);
        return;
    }
    static const char *const words[] = {
        [FFL_FF] = "dense", [FFL_FFF] = "tree", [FFL_FFF_LEAF] = "leaf tree", [FFL_MOE] = "mixture"};
    char shape[64];
    ffl_shape_name(layer, shape, sizeof shape);
    printf("%s: %s%s as %s on %s %s; %zu rows, %zu flips", result, ffl_verdict_name(j->verdict),
           j->weak ? " (WEAK)" : "", contract, words[layer->operation], shape, j->rows, j->flips);
    if (isfinite(j->error_statistical))
        printf(", worst error %.3f of its bound", j->error_statistical);
    if (j->unbounded_rows)
        printf(", %zu rows without a bound", j->unbounded_rows);
    printf("%s%s\n", j->reason[0] ? "; " : "", j->reason);
}

ffl_status ffl_external_check(const ffl_options *options, int *exit_code)
{
    external e = {0};
    ffl_judge *judge = NULL;
    ffl_judgement judgement;
    ffl_status status = read_external(options, &e);
    const ffl_layer *l = &e.weights.layer;
    if (status == FFL_OK)
        status = ffl_judge_new(l, &e.contract, FFL_DATA_GENERAL, e.x, l->width_in, e.tokens, NULL, 0, &judge);
    if (status == FFL_OK)
        status = ffl_judge_rows(judge, e.y, l->width_out, NULL, &judgement);
    if (status == FFL_OK) {
        print(options, l, &judgement);
        *exit_code = judgement.verdict != FFL_PASSED                               ? FFL_EXIT_FAILED
                     : judgement.rows == 0                                         ? FFL_EXIT_NOTHING_RAN
                     : judgement.weak && ffl_option_given(options, FFL_OPT_STRICT) ? FFL_EXIT_STRICT
                                                                                   : FFL_EXIT_GOOD;
    }
    ffl_judge_free(judge);
    ffl_free(e.x);
    ffl_free(e.y);
    ffl_weights_free(&e.weights);
    return status;
}
