/* Leaf trees and mixtures through the program: check, its capsules, replay, export, run and files. */
#include "tests/run_program.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static run_result r;

#define CHECK "$FFLAB check --plugin $FFLAB_BROKEN_EXPERTS --width 24 --width-out 7 --batch 1,9 --seed 25 "
#define LEAF "--leaf 3x4,0x2 "
#define MIXTURE "--moe 8x3:2,5x2:1,3x1:3 "

static void start(void)
{
    static char folder[] = "/tmp/fflab-experts-XXXXXX";
    cr_assert(mkdtemp(folder));
    setenv("D", folder, 1);
}

static void finish(void)
{
    run_shell("rm -r $D", &r);
}

static void expect(const char *command, int exit_code, const char *words)
{
    run_shell(command, &r);
    cr_expect_eq(r.exit_code, exit_code, "%s: %d: %s%s", command, r.exit_code, r.out, r.err);
    cr_expect(strstr(r.out, words) || strstr(r.err, words), "%s: no '%s' in: %s%s", command, words, r.out,
              r.err);
}

Test(check_experts, honest_ones_pass_and_broken_ones_are_explained, .timeout = 120)
{
    start();
    expect(CHECK LEAF MIXTURE "-v '*_honest' --strict --shrink 0", 0, "42 PASSED");
    expect(CHECK LEAF "-v fff_leaf_broken_tie --out $D/tie", 2, "it is what leaf ");
    expect("$FFLAB replay --plugin $FFLAB_BROKEN_EXPERTS $D/tie/capsules/*", 2,
           "wrong choice: it is what leaf");
    cr_expect(strstr(r.out, "leaf tree, width "), "%s", r.out);
    cr_expect(strstr(r.out, "admissible: "), "%s", r.out);
    expect("$FFLAB replay --plugin $FFLAB_BROKEN_EXPERTS -v fff_leaf_honest $D/tie/capsules/*", 0, "PASSED");
    expect(CHECK MIXTURE "-v moe_broken_tie --out $D/moe", 2, "it is what expert");
    expect("$FFLAB replay --plugin $FFLAB_BROKEN_EXPERTS $D/moe/capsules/*", 2,
           "wrong choice: it is what expert");
    expect(CHECK MIXTURE "-v moe_broken_shares --out $D/shares", 2, "each with a share of 1");
    expect("$FFLAB replay --plugin $FFLAB_BROKEN_EXPERTS $D/shares/capsules/*", 2, "mixture, width ");
    finish();
}

Test(check_experts, a_line_repeats_itself, .timeout = 120)
{
    expect(CHECK MIXTURE "-v moe_broken_shares --fixture random --shrink 0", 2,
           "--fixture random --moe 8x3:2 --width 24 --width-out 7 --batch ");
    expect(CHECK LEAF "-v fff_leaf_broken_neighbour --fixture thrash --shrink 0", 2,
           "--fixture thrash --leaf 3x4 --width 24 --width-out 7 --batch ");
}

Test(check_experts, files_serve_their_own_operation, .timeout = 120)
{
    start();
    expect("$FFLAB export $D/m --fixture random --moe 6x3:2 --width 20 --batch 5", 0,
           "6x3:2, width 20 to 20");
    expect("cd $D/m && ls", 0, "chosen.npy");
    expect("$FFLAB run moe_naive --weights $D/m/layer.safetensors --output $D/y.npy", 0,
           "5 rows through 6x3:2");
    expect("$FFLAB check --weights $D/m/layer.safetensors --result $D/y.npy", 0,
           "PASSED as f32 on mixture 6x3:2");
    expect("$FFLAB check --fixture real:$D/m/layer.safetensors -v '*_naive'", 0, "moe_naive");
    expect("$FFLAB check --fixture real:$D/m/layer.safetensors -v ff_naive", 1,
           "no selected variant computes");
    expect("$FFLAB run fff_naive --weights $D/m/layer.safetensors --output $D/y.npy", 1,
           "its layer is a moe");
    expect("$FFLAB run moe_naive --weights $D/m/layer.safetensors --moe 6x4:2 --output $D/y.npy", 1,
           "(--moe)");
    expect("$FFLAB export $D/l --fixture exact --leaf 2x3 --width 20 --batch 5", 0, "2x3, width 20 to 20");
    expect("$FFLAB run fff_leaf_naive --weights $D/l/layer.safetensors --output $D/y.npy", 0, "through 2x3");
    expect("$FFLAB check --weights $D/l/layer.safetensors --result $D/y.npy", 0, "on leaf tree 2x3");
    expect("$FFLAB check --weights $D/l/layer.safetensors --input $D/m/x.npy --result $D/y.npy", 2, "FAILED");
    finish();
}

Test(check_experts, properties_say_that_they_do_not_apply, .timeout = 120)
{
    expect("$FFLAB check --properties -v moe_naive -v fff_leaf_naive", 5, "gates add nothing to y");
    expect("$FFLAB check --invariance -v moe_naive -v fff_leaf_naive --leaf 3x4 --moe 8x3:2 --width 24 "
           "--batch 33 "
           "--threads 2",
           0, "2 PASSED");
}
