/*
 * Capsules: reduced by check, repeated by replay, refused when they are not what they say; what explains a
 * wrong row; and cases as files.
 */
#include "harness/check/capsule.h"
#include "harness/check/explain.h"
#include "harness/check/reduce.h"
#include "harness/files/layer_file.h"
#include "kernels/memory.h"
#include "kernels/reference.h"
#include "tests/files.h"
#include "tests/run_program.h"
#include <glob.h>
#include <math.h>
#include <sys/stat.h>

static run_result r;

/* Runs a line for sh, with D the test's folder. */
static void shell(const char *line)
{
    char command[2048];
    snprintf(command, sizeof command, "D=%s; B=\"--plugin $FFLAB_BROKEN\"; %s", files_folder(), line);
    run_shell(command, &r);
}

static void remove_all(void)
{
    shell("rm -rf $D");
}

/* The one capsule of a check in $D/out. */
static const char *capsule_of(const char *variant)
{
    static char path[512];
    char pattern[512];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/out/capsules/%s-*.safetensors", files_folder(), variant);
    cr_assert_eq(glob(pattern, 0, NULL, &found), 0, "no capsule of %s: %s%s", variant, r.out, r.err);
    cr_assert_eq(found.gl_pathc, 1);
    snprintf(path, sizeof path, "%s", found.gl_pathv[0]);
    globfree(&found);
    return path;
}

Test(replay, a_failure_is_reduced_saved_and_repeated, .timeout = 120)
{
    static const struct {
        const char *variant, *replay, *line;
        size_t rows;
    } cases[] = {
        {"fff_broken_last_element", "FAILED; ", "first wrong node: node 0 of tree 0, the only one", 1},
        {"fff_broken_previous_row", "FAILED; ", "row 1 element 0: got", 2},
        {"fff_broken_tie", "FAILED; ", "node 0 of tree 0: as if it went right, where z = 0", 1},
        {"fff_broken_over_read", "CRASHED; ", "read 0 bytes past the end of x", 1},
        {"fff_broken_scratch", "FAILED; ", "wrote outside its scratch", 1},
    };
    shell("$FFLAB check $B -v fff_broken_last_element -v fff_broken_previous_row -v fff_broken_tie -v "
          "fff_broken_over_read -v fff_broken_scratch --tree 2x2 --width 9 --batch 5 --fixture ties --shrink "
          "60s "
          "--out $D/out");
    cr_assert_eq(r.exit_code, 2, "%s%s", r.out, r.err);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[1024];
        struct stat info;
        ffl_capsule capsule;
        const char *path = capsule_of(cases[i].variant);
        cr_assert_eq(ffl_capsule_read(path, &capsule), FFL_OK, "%s", ffl_error());
        const ffl_layer *l = &capsule.fixture.weights.layer;
        cr_expect(capsule.fixture.tokens == cases[i].rows && l->width_in == 1 && l->width_out == 1 &&
                      l->trees == 1 && l->levels <= 2,
                  "%s: %zu rows, width %zu to %zu, %zu trees of %zu", cases[i].variant,
                  capsule.fixture.tokens, l->width_in, l->width_out, l->trees, l->levels);
        ffl_capsule_free(&capsule);
        cr_expect(stat(path, &info) == 0 && info.st_size < 2048, "%s: %zu bytes", path, (size_t)info.st_size);
        snprintf(line, sizeof line, "$FFLAB replay %s $B", path);
        shell(line);
        cr_expect_eq(r.exit_code, 2, "%s", r.err);
        cr_expect(strstr(r.out, cases[i].replay) && strstr(r.out, cases[i].line), "%s: %s", cases[i].variant,
                  r.out);
        snprintf(line, sizeof line, "$FFLAB replay %s $B -v fff_naive", path);
        shell(line);
        cr_expect_eq(r.exit_code, 0, "%s%s", r.out, r.err);
        cr_expect(strstr(r.out, "fff_naive: PASSED"), "%s", r.out);
    }
    remove_all();
}

Test(replay, shrinking_can_be_left_out, .timeout = 60)
{
    shell("$FFLAB check $B -v fff_broken_tie --tree 2x2 --width 9 --batch 5 --fixture ties --shrink 0 --out "
          "$D/out");
    cr_expect_eq(r.exit_code, 2);
    cr_expect(!strstr(r.out, "reduced"), "%s", r.out);
    shell("ls $D/out/capsules");
    cr_expect_neq(r.exit_code, 0);
    shell("$FFLAB check --shrink soon");
    cr_expect_eq(r.exit_code, 1);
    cr_expect(strstr(r.err, "--shrink soon: expected a time"), "%s", r.err);
    remove_all();
}

/* A capsule with one string of its metadata changed: the same length in the file, so that it stays whole. */
static void with_changed(const char *from, const char *to, const char *expect)
{
    ffl_capsule capsule = {
        .variant = "fff_naive", .batch = 1, .threads = 1, .origin = "here", .found = "FAILED"};
    ffl_layer shape;
    char line[1024];
    const char *path = files_path("capsule.safetensors");
    cr_assert_eq(ffl_layer_fff(2, 1, 1, 1, &shape), FFL_OK);
    cr_assert_eq(ffl_weights_new(&shape, false, &capsule.fixture.weights), FFL_OK);
    capsule.fixture.tokens = 1;
    capsule.fixture.x = ffl_alloc_array(2, sizeof(float));
    cr_assert_eq(ffl_capsule_write(path, &capsule), FFL_OK, "%s", ffl_error());
    ffl_capsule_free(&capsule);
    snprintf(line, sizeof line, "sed -i 's/%s/%s/' %s && $FFLAB replay %s", from, to, path, path);
    shell(line);
    cr_expect_eq(r.exit_code, expect ? 1 : 0, "%s%s", r.out, r.err);
    if (expect)
        cr_expect(strstr(r.err, expect) && strchr(r.err, '\n') == strrchr(r.err, '\n'), "%s -> %s: %s", from,
                  to, r.err);
}

Test(replay, hostile_capsules_are_refused_in_one_line, .timeout = 120)
{
    with_changed("here", "hree", NULL);
    with_changed("\"batch\":\"1\"", "\"batch\":\"9\"", "batch is '9'; expected 1 to 1");
    with_changed("\"batch\":\"1\"", "\"batch\":\"0\"", "batch is '0'; expected 1 to 1");
    with_changed("\"batch\":\"1\"", "\"bitch\":\"1\"", "batch is missing");
    with_changed("\"threads\":\"1\"", "\"threads\":\"-\"", "threads is '-'; expected 1 to 1024");
    with_changed("\"seed\":\"0\"", "\"seed\":\" \"", "seed is ' '");
    with_changed("\"padding_x\":\"0\"", "\"padding_x\":\"x\"", "padding_x is 'x'");
    with_changed("\"operation\":\"fff\"", "\"operation\":\"fqf\"", "operation is 'fqf'; expected ff, fff");
    with_changed("\"operation\":\"fff\"", "\"operation\":\"ff\" ", "its variant fff_naive is not here");
    with_changed("\"data\":\"general\"", "\"data\":\"generil\"", "data is 'generil'");
    with_changed("\"activation\":\"gelu\"", "\"activation\":\"gulu\"", "activation is 'gulu'");
    with_changed("\"depth\":\"0\"", "\"depth\":\"3\"", "linear_in.weight has 1 neurons, but 1x3 takes 15");
    with_changed("\"capsule\":\"1\"", "\"capsule\":\"2\"", "capsule is '2'; expected 1 to 1");
    with_changed("here", "he\\\\b", "an entry is no printable string");
    shell("$FFLAB replay $D/none.safetensors");
    cr_expect_eq(r.exit_code, 1);
    shell("$FFLAB replay");
    cr_expect_eq(r.exit_code, 1);
    remove_all();
}

static ffl_capsule tree_capsule(size_t trees, size_t levels, size_t tokens)
{
    ffl_layer shape;
    ffl_capsule c = {.batch = tokens, .threads = 1};
    cr_assert_eq(ffl_layer_fff(3, 2, trees, levels, &shape), FFL_OK);
    cr_assert_eq(ffl_weights_new(&shape, false, &c.fixture.weights), FFL_OK);
    ffl_weights_randomise(&c.fixture.weights, 7);
    c.fixture.tokens = tokens;
    c.fixture.x = ffl_alloc_array(tokens * 3, sizeof(float));
    for (size_t i = 0; i < tokens * 3; i++)
        c.fixture.x[i] = (float)i - 4;
    return c;
}

Test(replay, a_subtree_is_the_part_below_the_root)
{
    ffl_capsule whole = tree_capsule(2, 4, 1), part;
    for (size_t side = 0; side < 2; side++) {
        bool changed;
        /* Taking the left part away leaves the right one. */
        cr_assert_eq(ffl_capsule_reduce(&whole, FFL_AXIS_ROOTS, side, 1, &part, &changed), FFL_OK);
        cr_assert(changed && part.fixture.weights.layer.levels == 3);
        size_t from[7] = {side ? 1 : 2};
        for (size_t node = 1; node < 7; node++)
            from[node] = 2 * from[(node - 1) / 2] + 2 - node % 2;
        for (size_t tree = 0; tree < 2; tree++)
            for (size_t node = 0; node < 7; node++) {
                const float *w = whole.fixture.weights.w_in + (tree * 15 + from[node]) * 3;
                cr_expect_eq(memcmp(part.fixture.weights.w_in + (tree * 7 + node) * 3, w, 3 * sizeof *w), 0);
            }
        ffl_capsule_free(&part);
    }
    ffl_capsule_free(&whole);
}

Test(replay, what_is_left_claims_no_more_than_it_can)
{
    static const struct {
        ffl_axis axis;
        ffl_data left;
    } cases[] = {{FFL_AXIS_ROWS, FFL_DATA_EXACT},
                 {FFL_AXIS_TREES, FFL_DATA_EXACT},
                 {FFL_AXIS_WIDTH_IN, FFL_DATA_EXACT_LOGITS},
                 {FFL_AXIS_WIDTH_OUT, FFL_DATA_EXACT_LOGITS},
                 {FFL_AXIS_X, FFL_DATA_EXACT_LOGITS}};
    ffl_capsule whole = tree_capsule(2, 2, 3), part;
    whole.fixture.data = FFL_DATA_EXACT;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool changed;
        cr_assert_eq(ffl_capsule_reduce(&whole, cases[i].axis, 0, 1, &part, &changed), FFL_OK);
        cr_assert(changed);
        cr_expect_eq(part.fixture.data, cases[i].left, "axis %d", (int)cases[i].axis);
        ffl_capsule_free(&part);
        cr_assert_eq(ffl_capsule_reduce(&whole, cases[i].axis, 0, ffl_axis_size(&whole, cases[i].axis), &part,
                                        &changed),
                     FFL_OK);
        cr_expect_eq(changed, cases[i].axis == FFL_AXIS_X, "nothing would be left of axis %d",
                     (int)cases[i].axis);
        if (changed)
            ffl_capsule_free(&part);
    }
    ffl_capsule_free(&whole);
}

static void explain(const ffl_layer *l, const float *x, const float *got, const int32_t *trace, char *text,
                    size_t size)
{
    const ffl_contract f32 = FFL_CONTRACT_F32;
    const ffl_bad_row row = {.x = x, .got = got, .trace = trace};
    cr_assert_eq(ffl_explain_row(l, &f32, FFL_DATA_GENERAL, &row, text, size), FFL_OK);
}

Test(replay, explains_a_wrong_row)
{
    char text[2048];
    double y[2], logits[14];
    float got[2], x[3] = {1, -2, 0.5f};
    int32_t path[3];
    /* Dense: one activation is off. */
    ffl_capsule c = tree_capsule(2, 3, 1);
    ffl_layer dense = ffl_layer_dense(&c.fixture.weights.layer, 5);
    cr_assert_eq(ffl_reference(&dense, x, 3, 1, y, logits, NULL), FFL_OK);
    for (size_t j = 0; j < 2; j++)
        got[j] = (float)(y[j] + 0.25 * (double)dense.w_out[3 * 2 + j]);
    explain(&dense, x, got, NULL, text, sizeof text);
    cr_expect(strstr(text, "first wrong neuron: neuron 3: as if its activation were "), "%s", text);
    /* One tree: a wrong turn at the second node; by the values, and by the trace. */
    ffl_layer tree = ffl_layer_trees(&c.fixture.weights.layer, 1, 1);
    cr_assert_eq(ffl_reference_walk(&tree, x, 3, 1, y, logits, path), FFL_OK);
    const int32_t wrong[3] = {0, path[1], 4 * path[1] + 3 - path[2]};
    double g[2];
    for (size_t i = 0; i < 2; i++) {
        const float *w = tree.w_in + (size_t)(i ? wrong[2] : path[2]) * 3;
        const double z = ffl_reference_dot(x, w, 3) + (double)tree.b_in[i ? wrong[2] : path[2]];
        g[i] = 0.5 * z * erfc(-z / sqrt(2));
    }
    for (size_t j = 0; j < 2; j++)
        got[j] = (float)(y[j] - g[0] * (double)tree.w_out[path[2] * 2 + (int)j] +
                         g[1] * (double)tree.w_out[wrong[2] * 2 + (int)j]);
    char expect[64];
    snprintf(expect, sizeof expect, "node %d of tree 0: as if it went", (int)path[1]);
    explain(&tree, x, got, NULL, text, sizeof text);
    cr_expect(strstr(text, expect), "%s, not in: %s", expect, text);
    snprintf(expect, sizeof expect, "node %d of tree 0: its trace goes", (int)path[1]);
    explain(&tree, x, got, wrong, text, sizeof text);
    cr_expect(strstr(text, expect), "%s, not in: %s", expect, text);
    /* A logit of zero but for its rounding: both paths, each with its value. */
    c.fixture.weights.b_in[7] = (float)-ffl_reference_dot(x, tree.w_in, 3) + 1e-9f;
    explain(&tree, x, got, NULL, text, sizeof text);
    cr_expect(strstr(text, "; ") && strstr(text, " where tree 0 goes 0-"), "%s", text);
    ffl_capsule_free(&c);
}

Test(replay, a_case_is_written_as_files, .timeout = 60)
{
    shell(
        "$FFLAB export $D/case --fixture random --tree 2x3 --width 16 --width-out 5 --batch 4 --seed 9 && "
        "$FFLAB run fff_naive --weights $D/case/layer.safetensors --input $D/case/x.npy --output $D/y.npy && "
        "$FFLAB check --weights $D/case/layer.safetensors --input $D/case/x.npy --result $D/y.npy && "
        "ls $D/case && "
        "$FFLAB check -v fff_naive --fixture real:$D/case/layer.safetensors && "
        "$FFLAB export $D/dense --fixture exact --neurons 6 --batch 2 --width 8 && ls $D/dense");
    cr_expect_eq(r.exit_code, 0, "%s%s", r.out, r.err);
    cr_expect(strstr(r.out, "layer.safetensors\npath.npy\nx.npy\ny.npy\n"), "%s", r.out);
    cr_expect(strstr(r.out, "layer.safetensors\nx.npy\ny.npy\n"), "%s", r.out);
    shell("$FFLAB export $D/two --fixture random,ties --tree 1x3 --batch 4");
    cr_expect_eq(r.exit_code, 1);
    cr_expect(strstr(r.err, "export writes one case, these options name 2"), "%s", r.err);
    shell("$FFLAB export $D/none --tree 1x3 --batch 4");
    cr_expect_eq(r.exit_code, 1);
    cr_expect(strstr(r.err, "export needs --fixture NAME"), "%s", r.err);
    remove_all();
}
