#include "harness/workload/shapes.h"
#include "tests/run_program.h"
#include <criterion/criterion.h>
#include <string.h>

static const ffl_option taken[] = {FFL_OPT_TREE,      FFL_OPT_NEURONS,    FFL_OPT_WIDTH,
                                   FFL_OPT_WIDTH_OUT, FFL_OPT_ACTIVATION, FFL_OPT_PRESET,
                                   FFL_OPT_LEAF,      FFL_OPT_MOE,        FFL_OPT_COUNT};
static const ffl_command command = {.name = "shapes", .options = taken};

/* Reads the shapes of one line of options. */
static ffl_status shapes(const char *line, ffl_shape_list *out)
{
    char text[256], *words[16];
    int count = 0;
    ffl_options options;
    strcpy(text, line);
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
        words[count++] = word;
    FFL_TRY(ffl_options_parse(&command, count, words, &options));
    const ffl_status status = ffl_shapes_from_options(&options, out);
    ffl_options_free(&options);
    return status;
}

Test(shapes, options_and_presets_mean_what_they_say)
{
    static const struct {
        const char *line;
        size_t count, width_in, width_out, trees, levels, dense[3];
    } cases[] = {
        {"", 1, 768, 768, 1, 12, {4095, 3072}},
        {"--preset paper", 1, 768, 768, 1, 12, {4095, 3072}},
        {"--preset ultrafastbert-3072x0", 1, 768, 768, 3072, 1, {3072}},
        {"--preset ultrafastbert-16x7", 1, 768, 768, 16, 8, {4080, 3072}},
        {"--preset crammedbert-3072", 1, 768, 768, 1, 12, {3072}},
        {"--preset bert-large", 1, 1024, 1024, 1, 12, {4096}},
        {"--preset crammedbert-4095", 1, 768, 768, 1, 12, {4095}},
        {"--tree 1x3..5", 3, 768, 768, 1, 4, {15}},
        {"--tree 4x2 --width 100 --width-out 7", 1, 100, 7, 4, 3, {28}},
        {"--width 64", 1, 64, 64, 1, 12, {4095}},
        {"--tree 2x3 --width 9 --neurons 5,30,5", 1, 9, 9, 2, 4, {5, 30}},
        {"--tree 1x0 --width 1", 1, 1, 1, 1, 1, {1}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        ffl_shape_list list;
        cr_assert_eq(shapes(cases[c].line, &list), FFL_OK, "%s: %s", cases[c].line, ffl_error());
        const ffl_layer *tree = &list.value[0].tree;
        cr_assert(list.count == cases[c].count && tree->width_in == cases[c].width_in &&
                      tree->width_out == cases[c].width_out && tree->trees == cases[c].trees &&
                      tree->levels == cases[c].levels,
                  "%s", cases[c].line);
        for (size_t d = 0; d < 3; d++)
            cr_assert_eq(d < list.value[0].dense_count ? list.value[0].dense[d].neurons : 0,
                         cases[c].dense[d], "%s", cases[c].line);
    }
}

Test(shapes, leaf_trees_and_mixtures_come_with_every_tree)
{
    static const struct {
        const char *line, *names[4];
    } cases[] = {
        {"", {"9x8", "512x8:1"}},
        {"--leaf 0x5,3x1 --moe 4x2:2,6x1", {"0x5", "3x1", "4x2:2", "6x1:1"}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        ffl_shape_list list;
        cr_assert_eq(shapes(cases[c].line, &list), FFL_OK, "%s: %s", cases[c].line, ffl_error());
        for (size_t p = 0; p < 4; p++) {
            char name[48] = "";
            if (p < list.value[0].peer_count)
                ffl_shape_name(&list.value[0].peers[p], name, sizeof name);
            cr_assert_str_eq(name, cases[c].names[p] ? cases[c].names[p] : "");
        }
    }
    static const char *const bad[] = {"--leaf 9",
                                      "--leaf 9x0",
                                      "--leaf 21x8",
                                      "--leaf 9x8:1",
                                      "--leaf x8",
                                      "--moe 8x2:0",
                                      "--moe 8x2:9",
                                      "--moe 0x2",
                                      "--moe 8x2:1:",
                                      "--moe 4000000000x1",
                                      "--moe 8x99999999999999999"};
    for (size_t b = 0; b < sizeof bad / sizeof *bad; b++) {
        ffl_shape_list list;
        cr_assert_eq(shapes(bad[b], &list), FFL_BAD_INPUT, "%s", bad[b]);
        cr_assert(strncmp(ffl_error(), bad[b], strcspn(bad[b], " ")) == 0, "%s: %s", bad[b], ffl_error());
        cr_assert(strstr(ffl_error(), strchr(bad[b], ' ') + 1), "%s: %s", bad[b], ffl_error());
    }
}

Test(shapes, activation_reaches_trees_and_dense_layers)
{
    ffl_shape_list list;
    cr_assert_eq(shapes("--activation relu", &list), FFL_OK);
    cr_assert_eq(list.value[0].tree.activation, FFL_RELU);
    cr_assert_eq(list.value[0].dense[0].activation, FFL_RELU);
}

Test(shapes, refusals_name_option_and_value)
{
    static const char *const bad[][2] = {
        {"--preset huge", "--preset huge"},
        {"--tree 1000000x20 --width 768", "--tree 1000000x20"},
        {"--tree 1x20 --width 1048576", "--tree 1x20"},
        {"--neurons 2000000000 --tree 1x0", "--neurons 2000000000"},
        {"--neurons 1,2,3,4,5,6,7,8,9", "--neurons 1,2,3"},
        {"--width 0", "--width 0"},
        {"--width 9999999", "--width 9999999"},
        {"--activation tanh", "--activation tanh"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ffl_shape_list list;
        cr_assert_eq(shapes(bad[i][0], &list), FFL_BAD_INPUT, "%s", bad[i][0]);
        cr_assert(strstr(ffl_error(), bad[i][1]), "%s: %s", bad[i][0], ffl_error());
    }
}

Test(shapes, names_are_those_of_the_command_line)
{
    ffl_layer shape;
    char name[32];
    ffl_layer_fff(8, 8, 16, 8, &shape);
    ffl_shape_name(&shape, name, sizeof name);
    cr_assert_str_eq(name, "16x7");
    ffl_layer_ff(8, 8, 4095, &shape);
    ffl_shape_name(&shape, name, sizeof name);
    cr_assert_str_eq(name, "4095");
}

Test(shapes, list_shows_the_presets)
{
    static run_result result;
    run_shell("\"$FFLAB\" list --preset all", &result);
    cr_assert_eq(result.exit_code, 0);
    cr_assert(strstr(result.out, "paper ") && strstr(result.out, "ultrafastbert-16x7 ") &&
              strstr(result.out, "large ") && strstr(result.out, "albert-base "));
    run_shell("\"$FFLAB\" list --preset paper", &result);
    cr_assert_eq(result.exit_code, 1);
    cr_assert(strstr(result.err, "--preset paper"));
}
