/* `fflab run`, driven as a user does: the built program, its files, its messages and exit codes. */
#include "files.h"
#include "harness/files/layer_file.h"
#include "harness/files/npy.h"
#include "harness/registry.h"
#include "harness/workload/random.h"
#include "kernels/memory.h"
#include "kernels/reference.h"
#include "tests/run_program.h"
#include <math.h>

/* Exit code of `fflab run ARGUMENTS`; what it printed, stdout then stderr, in `printed`. */
static int fflab_run(const char *arguments, char *printed, size_t size)
{
    static run_result result;
    char line[2048];
    snprintf(line, sizeof line, "\"$FFLAB\" run %s", arguments);
    run_shell(line, &result);
    snprintf(printed, size, "%.2000s%.2000s", result.out, result.err);
    return result.exit_code;
}

/* The outputs in Y.npy are those of the double reference, to 1e-5 of their scale. */
static void assert_output(const char *file, const ffl_layer *l, const float *x, size_t tokens)
{
    ffl_npy y;
    double *expected = ffl_alloc_array(tokens * l->width_out, sizeof *expected), scale = 0;
    cr_assert_eq(ffl_npy_read_as(file, "y", FFL_NPY_F32, 2, &y), FFL_OK, "%s", ffl_error());
    cr_assert(y.shape[0] == tokens && y.shape[1] == l->width_out);
    cr_assert_eq(ffl_reference(l, x, l->width_in, tokens, expected, NULL, NULL), FFL_OK);
    for (size_t i = 0; i < y.count; i++)
        scale = fmax(scale, fabs(expected[i]));
    for (size_t i = 0; i < y.count; i++)
        cr_assert(fabs((double)((float *)y.data)[i] - expected[i]) <= 1e-5 * scale, "%s: element %zu", file,
                  i);
    ffl_npy_free(&y);
    ffl_free(expected);
}

/* Both kinds of layer, the fixtures' own inputs and given ones. */
Test(run, fixtures_come_out_right)
{
    static const struct {
        const char *variant;
        ffl_operation operation;
    } variants[] = {{"fff_naive", FFL_FFF}, {"ff_naive", FFL_FF}};
    for (size_t f = 0; f < FILES_FIXTURES; f++) {
        char name[64], arguments[1024], printed[4096];
        snprintf(name, sizeof name, "%s.safetensors", files_fixtures[f]);
        const char *weights = files_fixture(files_fixtures[f], name);
        for (size_t v = 0; v < 2; v++) {
            const ffl_layer_request request = {.operation = variants[v].operation};
            ffl_weights w;
            float *x;
            size_t tokens;
            cr_assert_eq(ffl_layer_file_read(weights, &request, &w), FFL_OK);
            cr_assert_eq(ffl_layer_file_inputs(weights, w.layer.width_in, &x, &tokens), FFL_OK);
            snprintf(arguments, sizeof arguments, "%s --weights %s --output %s", variants[v].variant, weights,
                     files_path("y.npy"));
            cr_assert_eq(fflab_run(arguments, printed, sizeof printed), 0, "%s", printed);
            cr_assert(strstr(printed, variants[v].variant) && strstr(printed, " rows through "), "%s",
                      printed);
            assert_output(files_path("y.npy"), &w.layer, x, tokens);
            snprintf(arguments, sizeof arguments, "%s --weights %s --input %s --output %s --activation relu",
                     variants[v].variant, weights, files_fixture(files_fixtures[f], "x.npy"),
                     files_path("relu.npy"));
            cr_assert_eq(fflab_run(arguments, printed, sizeof printed), 0, "%s", printed);
            w.layer.activation = FFL_RELU;
            assert_output(files_path("relu.npy"), &w.layer, x, tokens);
            ffl_free(x);
            ffl_weights_free(&w);
        }
    }
    files_remove();
}

/* More rows than one call takes, and widths that differ. */
Test(run, any_number_of_rows)
{
    enum { ROWS = 2500, WIDTH = 6 };
    static float x[ROWS * WIDTH];
    char arguments[1024], printed[4096];
    ffl_layer shape;
    ffl_weights w;
    const size_t rows_shape[] = {ROWS, WIDTH};
    ffl_random random = ffl_random_new(4, 0);
    for (size_t i = 0; i < ROWS * WIDTH; i++)
        x[i] = (float)ffl_random_normal(&random);
    ffl_layer_fff(WIDTH, 9, 3, 4, &shape);
    cr_assert_eq(ffl_weights_new(&shape, false, &w), FFL_OK);
    ffl_weights_randomise(&w, 8);
    cr_assert_eq(ffl_layer_file_write(files_path("w.safetensors"), &w.layer, NULL, 0, NULL), FFL_OK);
    cr_assert_eq(ffl_npy_write(files_path("x.npy"), FFL_NPY_F32, 2, rows_shape, x), FFL_OK);
    snprintf(arguments, sizeof arguments, "fff_naive --weights %s --tree 3x3 --input %s --output %s",
             files_path("w.safetensors"), files_path("x.npy"), files_path("y.npy"));
    cr_assert_eq(fflab_run(arguments, printed, sizeof printed), 0, "%s", printed);
    cr_assert(strstr(printed, "2500 rows through 3x3, width 6 to 9"), "%s", printed);
    assert_output(files_path("y.npy"), &w.layer, x, ROWS);
    ffl_weights_free(&w);
    files_remove();
}

Test(run, bad_input_is_one_line_and_leaves_the_output_alone)
{
    static const struct {
        const char *arguments; /* W weights, X inputs, Y output, F the folder */
        const char *expected;
    } cases[] = {
        {"--weights W --output Y", "run"},
        {"fff_naive ff_naive --weights W --output Y", "run"},
        {"fff_naive --output Y", "--weights FILE and --output"},
        {"fff_naive --weights W", "--weights FILE and --output"},
        {"fff_nosuch --weights W --output Y", "'fff_nosuch'"},
        {"fff_naive --weights F/absent.safetensors --output Y", "absent.safetensors"},
        {"fff_naive --weights F --output Y", "directory"},
        {"fff_naive --weights X --output Y", "x.npy"},
        {"fff_naive --weights W --input W --output Y", "--input"},
        {"fff_naive --weights W --input F/absent.npy --output Y", "absent.npy"},
        {"fff_naive --weights W --input F/wide.npy --output Y", "expected at least one row of width 100"},
        {"fff_naive --weights W --input F/none.npy --output Y", "expected at least one row of width 100"},
        {"fff_naive --weights W --input F/double.npy --output Y", "float64"},
        {"fff_naive --weights W --tree 1x3 --output Y", "75 neurons, but 1x3 takes 15"},
        {"ff_naive --weights W --tree 1x3 --output Y", "75 neurons, but 1x3 takes 15"},
        {"fff_naive --weights W --tree 5x3,5x3 --output Y", "--tree 5x3,5x3"},
        {"fff_naive --weights W --tree 5 --output Y", "--tree 5"},
        {"fff_naive --weights W --activation tanh --output Y", "--activation tanh"},
        {"fff_naive --weights W --threads 0 --output Y", "--threads 0"},
        {"fff_naive --weights W --threads 2 --output Y", "--threads 2"},
        {"fff_naive --weights W --output F", "directory"},
        {"fff_naive --weights W --output F/no/folder/y.npy", "no/folder/y.npy"},
        {"fff_naive --weights F/bare.safetensors --output Y", "--input X.npy"},
    };
    static const double zeros[202];
    static const size_t wide[] = {2, 101}, none[] = {0, 100}, right[] = {1, 100};
    ffl_layer_request request = {.operation = FFL_FFF};
    ffl_weights w;
    char weights[512], inputs[512], printed[4096];
    snprintf(weights, sizeof weights, "%s", files_fixture("h100_d3_p5_b17", "h100_d3_p5_b17.safetensors"));
    snprintf(inputs, sizeof inputs, "%s", files_fixture("h100_d3_p5_b17", "x.npy"));
    ffl_npy_write(files_path("wide.npy"), FFL_NPY_F32, 2, wide, zeros);
    ffl_npy_write(files_path("none.npy"), FFL_NPY_F32, 2, none, zeros);
    ffl_npy_write(files_path("double.npy"), FFL_NPY_F64, 2, right, zeros);
    cr_assert_eq(ffl_layer_file_read(weights, &request, &w), FFL_OK);
    ffl_layer_file_write(files_path("bare.safetensors"), &w.layer, NULL, 0, NULL);
    ffl_weights_free(&w);
    files_write("y.npy", "old", 3);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char arguments[2048] = "";
        for (const char *a = cases[c].arguments; *a; a++) {
            const size_t used = strlen(arguments);
            /* A capital that stands alone, or before a slash, is a name to fill in. */
            const bool alone =
                (a == cases[c].arguments || a[-1] == ' ') && (!a[1] || a[1] == ' ' || a[1] == '/');
            const char *with = alone && *a == 'W'   ? weights
                               : alone && *a == 'X' ? inputs
                               : alone && *a == 'Y' ? files_path("y.npy")
                               : alone && *a == 'F' ? files_folder()
                                                    : NULL;
            snprintf(arguments + used, sizeof arguments - used, "%.*s", with ? 1024 : 1, with ? with : a);
        }
        cr_assert_eq(fflab_run(arguments, printed, sizeof printed), 1, "%s: %s", arguments, printed);
        cr_assert(strstr(printed, cases[c].expected), "%s: expected '%s' in: %s", arguments,
                  cases[c].expected, printed);
        cr_assert(strchr(printed, '\n') == printed + strlen(printed) - 1, "not one line: %s", printed);
        ffl_npy npy;
        cr_assert_eq(ffl_npy_read(files_path("y.npy"), &npy), FFL_BAD_INPUT);
    }
    cr_assert_eq(files_count(), 5);
    files_remove();
}
