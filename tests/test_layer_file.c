#include "files.h"
#include "harness/files/layer_file.h"
#include "harness/files/npy.h"
#include "kernels/memory.h"
#include "kernels/reference.h"
#include <math.h>

static const ffl_layer_request as_tree = {.operation = FFL_FFF}, as_dense = {.operation = FFL_FF};

/* What the published module computed: outputs to 1e-6 of their scale, paths exactly. */
Test(layer_file, fixtures_agree_with_the_reference)
{
    for (size_t f = 0; f < FILES_FIXTURES; f++) {
        char name[64];
        ffl_weights w;
        ffl_npy y, path, x_npy;
        float *x;
        size_t tokens;
        snprintf(name, sizeof name, "%s.safetensors", files_fixtures[f]);
        const char *weights = files_fixture(files_fixtures[f], name);
        cr_assert_eq(ffl_layer_file_read(weights, &as_tree, &w), FFL_OK, "%s", ffl_error());
        const ffl_layer *l = &w.layer;
        cr_assert_eq(ffl_layer_file_inputs(weights, l->width_in, &x, &tokens), FFL_OK);
        cr_assert_eq(ffl_npy_read_as(files_fixture(files_fixtures[f], "y.npy"), "y", FFL_NPY_F64, 2, &y),
                     FFL_OK);
        cr_assert_eq(ffl_npy_read_as(files_fixture(files_fixtures[f], "x.npy"), "x", FFL_NPY_F32, 2, &x_npy),
                     FFL_OK);
        cr_assert_eq(
            ffl_npy_read_as(files_fixture(files_fixtures[f], "path.npy"), "path", FFL_NPY_I32, 3, &path),
            FFL_OK);
        cr_assert(x && tokens == y.shape[0] && l->width_out == y.shape[1] && tokens == path.shape[0] &&
                  l->trees == path.shape[1] && l->levels == path.shape[2]);
        cr_assert_eq(x_npy.count, tokens * l->width_in);
        cr_assert_eq(memcmp(x, x_npy.data, x_npy.count * sizeof *x), 0);

        double *got = ffl_alloc_array(y.count, sizeof *got), scale = 0;
        int32_t *visited = ffl_alloc_array(path.count, sizeof *visited);
        cr_assert_eq(ffl_reference(l, x, l->width_in, tokens, got, NULL, visited), FFL_OK);
        for (size_t i = 0; i < y.count; i++)
            scale = fmax(scale, fabs(((const double *)y.data)[i]));
        for (size_t i = 0; i < y.count; i++) {
            const double error = fabs(got[i] - ((const double *)y.data)[i]);
            cr_assert(error <= 1e-6 * scale, "%s: element %zu is off by %g", files_fixtures[f], i, error);
        }
        cr_assert_eq(memcmp(visited, path.data, path.count * sizeof *visited), 0);
        ffl_free(got), ffl_free(visited), ffl_free(x);
        ffl_npy_free(&y), ffl_npy_free(&path), ffl_npy_free(&x_npy);
        ffl_weights_free(&w);
    }
}

static ffl_weights random_weights(ffl_operation operation, size_t width_in, size_t width_out)
{
    ffl_layer shape;
    ffl_weights w;
    if (operation == FFL_FFF)
        ffl_layer_fff(width_in, width_out, 2, 3, &shape);
    else
        ffl_layer_ff(width_in, width_out, 14, &shape);
    cr_assert_eq(ffl_weights_new(&shape, operation == FFL_FF, &w), FFL_OK);
    ffl_weights_randomise(&w, 3);
    return w;
}

Test(layer_file, what_is_written_is_read_back)
{
    for (int operation = FFL_FF; operation <= FFL_FFF; operation++) {
        ffl_weights w = random_weights((ffl_operation)operation, 5, 40), back;
        const ffl_layer_request request = {.operation = (ffl_operation)operation, .activation = FFL_RELU};
        const float x[10] = {1, 2, 3, 4, 5, 6, 7, 8, 9, NAN};
        const double y[80] = {0.25};
        float *rows;
        size_t tokens;
        const char *path = files_path("layer.safetensors");
        w.layer.activation = FFL_RELU;
        cr_assert_eq(ffl_layer_file_write(path, &w.layer, x, 2, y), FFL_OK, "%s", ffl_error());
        cr_assert_eq(ffl_layer_file_read(path, &request, &back), FFL_OK, "%s", ffl_error());
        cr_assert(back.layer.trees == w.layer.trees && back.layer.levels == w.layer.levels &&
                  back.layer.activation == FFL_RELU && back.layer.operation == w.layer.operation);
        cr_assert_eq(memcmp(back.w_in, w.w_in, 14 * 5 * sizeof(float)), 0);
        cr_assert_eq(memcmp(back.b_in, w.b_in, 14 * sizeof(float)), 0);
        cr_assert_eq(memcmp(back.w_out, w.w_out, 14 * 40 * sizeof(float)), 0);
        if (operation == FFL_FF)
            cr_assert_eq(memcmp(back.b_out, w.b_out, 40 * sizeof(float)), 0);
        cr_assert_eq(ffl_layer_file_inputs(path, 5, &rows, &tokens), FFL_OK);
        cr_assert(tokens == 2 && memcmp(rows, x, sizeof x) == 0);
        ffl_free(rows);
        cr_assert_eq(ffl_layer_file_inputs(path, 6, &rows, &tokens), FFL_BAD_INPUT);
        cr_assert_eq(ffl_layer_file_write(path, &w.layer, NULL, 0, NULL), FFL_OK);
        cr_assert_eq(ffl_layer_file_inputs(path, 5, &rows, &tokens), FFL_OK);
        cr_assert_null(rows);
        ffl_weights_free(&w), ffl_weights_free(&back);
    }
    files_remove();
}

Test(layer_file, several_layers_share_a_file)
{
    ffl_weights w[2] = {random_weights(FFL_FFF, 5, 40), random_weights(FFL_FFF, 5, 40)}, back;
    const float x[2][10] = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, {-1, -2, -3, -4, -5, -6, -7, -8, -9, -10}};
    const double y[80] = {0.5};
    ffl_layer_entry entries[2];
    ffl_layer shape;
    float *rows;
    size_t tokens;
    for (size_t i = 0; i < 2; i++) {
        w[i].w_in[7] = 100 + (float)i;
        w[i].layer.activation = FFL_RELU;
        entries[i] = (ffl_layer_entry){.layer = w[i].layer, .x = x[i], .y = i ? y : NULL};
        snprintf(entries[i].prefix, sizeof entries[i].prefix, "layers.%zu", 11 * i);
    }
    const char *path = files_path("layers.safetensors");
    cr_assert_eq(ffl_layer_file_write_all(path, entries, 2, 2), FFL_OK, "%s", ffl_error());
    for (size_t i = 0; i < 2; i++) {
        char named[600];
        ffl_layer_request request = as_tree;
        snprintf(named, sizeof named, "%s:layers.%zu", path, 11 * i);
        /* The activation is the file's; who evaluates another one is told. */
        request.activation = FFL_GELU;
        cr_assert_eq(ffl_layer_file_shape(named, &request, &shape), FFL_OK, "%s", ffl_error());
        cr_assert(shape.activation == FFL_RELU && shape.trees == 2 && shape.neurons == 14);
        cr_assert_eq(ffl_layer_file_read(named, &request, &back), FFL_BAD_INPUT);
        cr_assert(strstr(ffl_error(), "give --activation relu"), "%s", ffl_error());
        request.activation = FFL_RELU;
        cr_assert_eq(ffl_layer_file_read(named, &request, &back), FFL_OK, "%s", ffl_error());
        cr_assert_eq(memcmp(back.w_in, w[i].w_in, 14 * 5 * sizeof(float)), 0);
        cr_assert_eq(memcmp(back.w_out, w[i].w_out, 14 * 40 * sizeof(float)), 0);
        cr_assert_eq(ffl_layer_file_inputs(named, 5, &rows, &tokens), FFL_OK, "%s", ffl_error());
        cr_assert(tokens == 2 && memcmp(rows, x[i], sizeof x[i]) == 0);
        ffl_free(rows), ffl_weights_free(&back), ffl_weights_free(&w[i]);
    }
    files_remove();
}

Test(layer_file, the_tree_comes_from_metadata_or_request)
{
    ffl_weights w = random_weights(FFL_FFF, 5, 4), back;
    ffl_layer_request request = as_tree;
    const char *path = files_path("layer.safetensors");
    ffl_layer_file_write(path, &w.layer, NULL, 0, NULL);
    request.trees = 14, request.levels = 1;
    cr_assert_eq(ffl_layer_file_read(path, &request, &back), FFL_OK, "%s", ffl_error());
    cr_assert(back.layer.trees == 14 && back.layer.levels == 1);
    ffl_weights_free(&back);
    request.trees = 1, request.levels = 4;
    cr_assert_eq(ffl_layer_file_read(path, &request, &back), FFL_BAD_INPUT);
    cr_assert(strstr(ffl_error(), "14 neurons, but 1x3 takes 15 (--tree)"), "%s", ffl_error());
    cr_assert_eq(ffl_layer_file_read(path, &as_dense, &back), FFL_OK);
    cr_assert(back.layer.operation == FFL_FF && back.layer.neurons == 14);
    ffl_weights_free(&back);
    ffl_weights_free(&w);

    /* A dense file has no tree, and its output bias belongs to no tree. */
    w = random_weights(FFL_FF, 5, 4);
    ffl_layer_file_write(path, &w.layer, NULL, 0, NULL);
    cr_assert_eq(ffl_layer_file_read(path, &as_tree, &back), FFL_BAD_INPUT);
    cr_assert(strstr(ffl_error(), "--tree TxD"), "%s", ffl_error());
    request.trees = 2, request.levels = 3;
    cr_assert_eq(ffl_layer_file_read(path, &request, &back), FFL_BAD_INPUT);
    cr_assert(strstr(ffl_error(), "no output bias"), "%s", ffl_error());
    ffl_weights_free(&w);
    files_remove();
}

/* A file of three or four tensors of zeros, whose entries the caller writes; data_bytes of 0, or of 0xff. */
static const char *file_of(const char *entries, size_t data_bytes, int byte)
{
    unsigned char bytes[4096];
    const uint64_t length = strlen(entries) + 2;
    memcpy(bytes, &length, 8);
    snprintf((char *)bytes + 8, sizeof bytes - 8, "{%s}", entries);
    memset(bytes + 8 + length, byte, data_bytes);
    return files_write("odd.safetensors", bytes, 8 + (size_t)length + data_bytes);
}

#define ENTRY(name, dtype, shape, offsets)                                                                   \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define IN ENTRY("linear_in.weight", "F32", "[3,2]", "[0,24]")
#define OUT ENTRY("linear_out.weight", "F32", "[1,3]", "[24,36]")
#define META(depth, trees) "\"__metadata__\":{\"depth\":\"" depth "\",\"parallel_trees\":\"" trees "\"},"

Test(layer_file, misfits_are_refused_with_the_reason)
{
    static const struct {
        const char *entries;
        size_t data_bytes;
        int byte;
        const char *expected;
    } cases[] = {
        {META("1", "1") IN "," OUT, 36, 0, NULL},
        {META("1", "1") IN "," OUT, 36, 0xff, "linear_in.weight: element 0 is"},
        {META("2", "1") IN "," OUT, 36, 0, "3 neurons, but 1x2 takes 7"},
        {META("21", "1") IN "," OUT, 36, 0, "depth is '21'"},
        {META("-1", "1") IN "," OUT, 36, 0, "depth is '-1'"},
        {META("1", "") IN "," OUT, 36, 0, "parallel_trees is ''"},
        {META("1", "0") IN "," OUT, 36, 0, "0 trees"},
        {META("1", "99999999999") IN "," OUT, 36, 0, "parallel_trees is '99999999999'"},
        {IN "," OUT, 36, 0, "names no depth"},
        {IN, 24, 0, "linear_out.weight is not"},
        {ENTRY("other.weight", "F32", "[1]", "[0,4]"), 4, 0, "no tensor linear_in.weight or dense_in.weight"},
        {ENTRY("layers.3.ffn.linear_in.weight", "F32", "[1]", "[0,4]"), 4, 0, "FILE:layers.3.ffn"},
        {IN "," ENTRY("linear_out.weight", "F32", "[3,1]", "[24,36]"), 36, 0, "expected [width, 3]"},
        {IN "," ENTRY("linear_out.weight", "F32", "[3]", "[24,36]"), 36, 0, "expected [width, 3]"},
        {ENTRY("linear_in.weight", "F32", "[6]", "[0,24]") "," OUT, 36, 0, "1 dimensions"},
        {IN "," OUT "," ENTRY("linear_in.bias", "F32", "[2]", "[36,44]"), 44, 0, "expected [3]"},
        {META("1", "1") ENTRY("linear_in.weight", "I32", "[3,2]", "[0,24]") "," OUT, 36, 0, "expected F32"},
        {ENTRY("linear_in.weight", "F32", "[0,2]", "[0,0]") "," ENTRY("linear_out.weight", "F32", "[1,0]",
                                                                      "[0,0]"),
         0, 0, "0 neurons"},
        {ENTRY("linear_in.weight", "F32", "[3,0]", "[0,0]") "," ENTRY("linear_out.weight", "F32", "[1,3]",
                                                                      "[0,12]"),
         12, 0, "width 0"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        ffl_weights w;
        const char *path = file_of(cases[c].entries, cases[c].data_bytes, cases[c].byte);
        const ffl_status status = ffl_layer_file_read(path, &as_tree, &w);
        if (!cases[c].expected) {
            cr_assert_eq(status, FFL_OK, "%s", ffl_error());
            ffl_weights_free(&w);
            continue;
        }
        cr_assert_eq(status, FFL_BAD_INPUT, "accepted: %s", cases[c].entries);
        cr_assert(strstr(ffl_error(), path) == ffl_error() && strstr(ffl_error(), cases[c].expected),
                  "expected '%s' in: %s", cases[c].expected, ffl_error());
    }
    files_remove();
}

Test(layer_file, a_layer_of_a_checkpoint_is_named_after_a_colon)
{
    ffl_weights w;
    char named[600];
    const char *path = file_of(ENTRY("a.1.ffn.dense_in.weight", "BF16", "[3,2]", "[0,12]") "," ENTRY(
                                   "a.1.ffn.dense_out.weight", "F16", "[5,3]", "[12,42]"),
                               42, 0);
    snprintf(named, sizeof named, "%s:a.1.ffn", path);
    cr_assert_eq(ffl_layer_file_read(named, &as_dense, &w), FFL_OK, "%s", ffl_error());
    cr_assert(w.layer.neurons == 3 && w.layer.width_in == 2 && w.layer.width_out == 5 &&
              w.layer.b_in[2] == 0);
    ffl_weights_free(&w);
    snprintf(named, sizeof named, "%s:a.2.ffn", path);
    cr_assert_eq(ffl_layer_file_read(named, &as_dense, &w), FFL_BAD_INPUT);
    cr_assert(strstr(ffl_error(), "FILE:a.1.ffn"), "%s", ffl_error());
    cr_assert_eq(ffl_layer_file_read(path, &as_dense, &w), FFL_BAD_INPUT);
    files_remove();
}
