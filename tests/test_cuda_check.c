/*
 * The check command on a device. On the emulated one, variants broken on purpose (cuda_plugin.cu) are
 * rejected for the right reason and honest ones, also those with 16-bit rows, accepted. Without any device,
 * variants are skipped and say why.
 */
#include "kernels/device.h"
#include "tests/run_program.h"
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SMALL "--tree 2x3 --width 37 --width-out 19 --batch 1,7"

static json_t *check_json(const char *arguments, int exit_code)
{
    static run_result r;
    char path[] = "/tmp/fflab-check-XXXXXX", command[4096];
    close(mkstemp(path));
    snprintf(command, sizeof command, "$FFLAB check %s --shrink 0 --json > %s", arguments, path);
    run_shell(command, &r);
    cr_assert_eq(r.exit_code, exit_code, "%s: exit code %d; %s", command, r.exit_code, r.err);
    json_error_t error;
    json_t *document = json_load_file(path, 0, &error);
    remove(path);
    cr_assert(document, "%s: %s; %s", command, error.text, r.err);
    return document;
}

static const char *text(const json_t *row, const char *field)
{
    const char *value = json_string_value(json_object_get(row, field));
    return value ? value : "";
}

static size_t count(const json_t *document, const char *variant, const char *verdict, const char *reason)
{
    size_t i, rows = 0;
    const json_t *row;
    json_array_foreach(json_object_get(document, "results"), i, row) rows +=
        (!*variant || strcmp(text(row, "variant"), variant) == 0) &&
        strcmp(text(row, "verdict"), verdict) == 0 && strstr(text(row, "reason"), reason);
    return rows;
}

static bool emulated(void)
{
    return getenv("FFLAB_CUDA_PLUGIN") != NULL;
}

Test(cuda_check, broken_variants_are_rejected_for_the_right_reason)
{
    static const struct {
        const char *variant, *reason;
    } expected[] = {
        {"after", "wrote byte 4 past the end of y"},
        {"after_bf16", "wrote byte 2 past the end of y"},
        {"before", "wrote 1 bytes before y"},
        {"before_bf16", "wrote 1 bytes before y"},
        {"padding", "wrote the padding of y: row 0, "},
        {"padding_bf16", "wrote the padding of y: row 0, "},
        {"input", "changed x at byte 0"},
        {"weights", "changed w_out at byte "},
        {"scratch", "wrote byte 0 past the end of scratch"},
        {"trusts", "nan"},
        {"leaves", "row 0 element 18"},
        {"leaves_bf16", "row 0 element 18"},
        {"reads_padding", "got nan"},
        {"wrong_child", "row"},
        {"launch", "cudaGetLastError(): invalid configuration argument (cudaErrorInvalidConfiguration)"},
    };
    if (!emulated())
        cr_skip("only the emulated device may be written all over");
    json_t *document = check_json("--plugin $FFLAB_CUDA_PLUGIN -v 'fff_cuda_*' " SMALL " --seed 25", 2);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        char name[64];
        snprintf(name, sizeof name, "fff_cuda_%s", expected[i].variant);
        cr_expect(count(document, name, "FAILED", expected[i].reason) > 0, "%s: none FAILED with '%s'", name,
                  expected[i].reason);
    }
    static const char *const honest[] = {"fff_cuda_plain", "fff_cuda_plain_bf16", "fff_cuda_plain_f16"};
    for (size_t i = 0; i < 3; i++) {
        cr_expect(count(document, honest[i], "PASSED", "") > 5, "%s", honest[i]);
        cr_expect(count(document, honest[i], "FAILED", "") == 0, "%s", honest[i]);
    }
    json_decref(document);
}

/* Capsules of device variants: as small as those of host variants, and any variant can be tried on them. */
Test(cuda_check, failures_are_reduced_saved_and_repeated, .timeout = 120)
{
    static const struct {
        const char *variant, *shape, *found, *line;
    } cases[] = {
        {"weights", "to 1x0, width 1 to 1, 1 row in", "FAILED; ", "changed w_out at byte "},
        {"padding_bf16", "to 1x0, width 1 to 1, 2 rows in", "FAILED; ", "wrote the padding of y: row 0, "},
        {"leaves_bf16", "to 1x0, width 1 to 1, 1 row in", "FAILED; ", "row 0 element 0: got "},
        {"wrong_child", "to 1x1, width 1 to 1, 1 row in", "FAILED; ", "as if it went right, where z = 0 ± 0"},
        {"far", "to 1x0, width 1 to 1, 1 row in", "CRASHED; ", "died of signal 11"},
    };
    static run_result r;
    char folder[] = "/tmp/fflab-check-XXXXXX";
    if (!emulated())
        cr_skip("only the emulated device may be written all over");
    cr_assert(mkdtemp(folder));
    setenv("DIR", folder, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setenv("NAME", cases[i].variant, 1);
        run_shell("$FFLAB check --plugin $FFLAB_CUDA_PLUGIN -v fff_cuda_$NAME " SMALL
                  " --fixture ties --seed 25 --shrink 60s --out $DIR/$NAME",
                  &r);
        cr_expect_eq(r.exit_code, 2, "%s%s", r.out, r.err);
        cr_expect(strstr(r.out, cases[i].shape), "%s: %s", cases[i].variant, r.out);
        run_shell(
            "$FFLAB replay --plugin $FFLAB_CUDA_PLUGIN $DIR/$NAME/capsules/fff_cuda_$NAME-*.safetensors", &r);
        cr_expect_eq(r.exit_code, 2, "%s%s", r.out, r.err);
        cr_expect(strstr(r.out, cases[i].found) && strstr(r.out, cases[i].line), "%s: %s", cases[i].variant,
                  r.out);
        run_shell("$FFLAB replay -v fff_naive -v fff_naive_cuda $DIR/$NAME/capsules/*.safetensors", &r);
        cr_expect_eq(r.exit_code, 0, "%s%s", r.out, r.err);
        cr_expect(strstr(r.out, "fff_naive: PASSED") && strstr(r.out, "fff_naive_cuda: PASSED"), "%s", r.out);
    }
    run_shell("rm -r $DIR", &r);
}

/* Odd widths, padding, odd starts and every kind of data, in each storage type. */
Test(cuda_check, honest_variants_pass_the_default_design)
{
    if (!emulated())
        cr_skip("the plugin is built for the emulated device");
    json_t *document = check_json("--plugin $FFLAB_CUDA_PLUGIN -v 'fff_cuda_plain*' --shard 2/6", 0);
    cr_assert(count(document, "fff_cuda_plain_bf16", "PASSED", "") > 3);
    cr_assert_eq(count(document, "", "FAILED", ""), 0);
    json_decref(document);
}

static void experts_pass(const char *arguments, size_t cases)
{
    json_t *document = check_json(arguments, 0);
    cr_expect_eq(count(document, "", "PASSED", ""), cases, "%s: %zu instead of %zu passed", arguments,
                 count(document, "", "PASSED", ""), cases);
    json_decref(document);
}

/* Experts narrow and wide, few pairs and many, tiles of 32 rows and of 128, equal gates. */
Test(cuda_check, leaf_trees_and_mixtures_pass_on_the_emulated_device, .timeout = 120)
{
    if (!emulated())
        cr_skip("the emulated device alone is known to be there");
    experts_pass(
        "-v fff_leaf_grouped_cuda -v moe_grouped_cuda --leaf 3x4,2x40 --moe 100x3:3,5x40:1 --width 37 "
        "--width-out 19 --batch 3,70 --fixture exact,special",
        16);
    experts_pass("-v fff_leaf_grouped_cuda -v moe_grouped_cuda --leaf 1x132 --moe 2x132:1,130x4:2 --width 36 "
                 "--width-out 132 --batch 300 --fixture random",
                 3);
}

/* Batches on both sides of every decision: the same bits. */
Test(cuda_check, rows_of_leaf_trees_and_mixtures_do_not_depend_on_the_batch, .timeout = 120)
{
    if (!emulated())
        cr_skip("the emulated device alone is known to be there");
    experts_pass("--invariance -v fff_leaf_grouped_cuda --leaf 2x5,1x34 --width 8 --width-out 19 --batch 80",
                 2);
    experts_pass("--invariance -v moe_grouped_cuda --moe 130x2:1 --width 8 --width-out 19 --batch 300", 1);
}

Test(cuda_check, a_variant_of_this_build_runs_or_says_why_not)
{
    static run_result r;
    const char *why;
    const bool device = ffl_device_available(&why);
    run_shell("$FFLAB list -v fff_naive_cuda --json", &r);
    if (!strstr(r.out, "fff_naive_cuda"))
        cr_skip("this build has no CUDA");
    json_t *document = check_json("-v fff_naive_cuda " SMALL, device ? 0 : 5);
    cr_assert(count(document, "fff_naive_cuda", device ? "PASSED" : "SKIPPED", device ? "" : why) > 0);
    json_decref(document);
}
