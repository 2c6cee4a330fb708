#include "harness/check/checks.h"
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *summary;
} checks[FFL_CHECK_COUNT] = {
    [FFL_CHECK_OLD_VALUES] = {"old-values", "y holds plausible numbers before the first pass"},
    [FFL_CHECK_NAN_POISON] = {"nan-poison", "y holds NaN before the second pass"},
    [FFL_CHECK_FENCE_AFTER] = {"fence-after", "an unmapped page right after x, y and weights"},
    [FFL_CHECK_FENCE_BEFORE] = {"fence-before", "an unmapped page right before x and y, in the second pass"},
    [FFL_CHECK_CANARIES] = {"canaries", "what lies beside a buffer is as it was"},
    [FFL_CHECK_PADDING] = {"padding", "rows are padded, and the padding of y is as it was"},
    [FFL_CHECK_READ_ONLY] = {"read-only", "x and weights are read-only pages"},
    [FFL_CHECK_SCRATCH_POISON] = {"scratch-poison", "scratch holds NaN"},
    [FFL_CHECK_SCRATCH_GUARD] = {"scratch-guard", "what lies beside scratch is as it was"},
    [FFL_CHECK_MISALIGNMENT] = {"misalignment", "buffers at any float address"},
    [FFL_CHECK_SECOND_CALL] = {"second-call", "the same instance is called again, rows reversed"},
    [FFL_CHECK_SAME_ADDRESS] = {"same-address", "called again at the same address, with other rows"},
    [FFL_CHECK_PART_BATCH] = {"part-batch", "batches smaller than the plan's"},
    [FFL_CHECK_THREADS] = {"threads", "cases with more than one thread"},
    [FFL_CHECK_MANY_TOKENS] = {"many-tokens", "a case of 40 009 tokens"},
    [FFL_CHECK_FRESH_SEED] = {"fresh-seed", "cases that nobody can know beforehand"},
    [FFL_CHECK_RANDOM] = {"random", "the fixture of random data"},
    [FFL_CHECK_EXACT] = {"exact", "the fixture without rounding"},
    [FFL_CHECK_TIES] = {"ties", "the fixture of logits that are zero"},
    [FFL_CHECK_MARGIN] = {"margin", "the fixture of logits near their bound"},
    [FFL_CHECK_SPECIAL] = {"special", "the fixture of NaN, infinite, huge and denormal rows"},
    [FFL_CHECK_COLLAPSED] = {"collapsed", "the fixture where every token takes one path"},
    [FFL_CHECK_THRASH] = {"thrash", "the fixture that visits every leaf in turn"},
    [FFL_CHECK_STATISTICAL] = {"statistical", "the statistical bound, not the worst case alone"},
    [FFL_CHECK_OTHER_PATHS] = {"other-paths", "admissible paths beside the reference's"},
    [FFL_CHECK_FP_CONTROL] = {"fp-control", "rounding, flushing and exception masks are as they were"},
    [FFL_CHECK_X87_STACK] = {"x87-stack", "the x87 registers are left empty"},
    [FFL_CHECK_UPPER_VECTORS] = {"upper-vectors", "the upper halves of vector registers are left clear"},
    [FFL_CHECK_THREADS_LEFT] = {"threads-left", "no thread is left running"},
    [FFL_CHECK_AFFINITY] = {"affinity", "the processors allowed are as they were"},
    [FFL_CHECK_HEAP] = {"heap", "nothing is left allocated"},
    [FFL_CHECK_DESCRIPTORS] = {"descriptors", "no file is left open"},
    [FFL_CHECK_TIMED_LAST] = {"timed-last", "bench: what the last timed calls wrote"},
    [FFL_CHECK_TIMED_SAMPLE] = {"timed-sample", "bench: timed calls that nobody can foretell"},
    [FFL_CHECK_TRIED] = {"tried", "bench: a few tokens before anything is timed"},
};

static bool left_out[FFL_CHECK_COUNT];

const char *ffl_check_name(ffl_check check)
{
    return checks[check].name;
}

const char *ffl_check_summary(ffl_check check)
{
    return checks[check].summary;
}

bool ffl_check_on(ffl_check check)
{
    return !left_out[check];
}

static ffl_check find(const char *name)
{
    int check = 0;
    while (check < FFL_CHECK_COUNT && strcmp(checks[check].name, name) != 0)
        check++;
    return (ffl_check)check;
}

ffl_status ffl_check_leave_out(const char *name)
{
    const ffl_check check = find(name);
    if (check != FFL_CHECK_COUNT) {
        left_out[check] = true;
        return FFL_OK;
    }
    char all[1024] = "";
    for (int i = 0; i < FFL_CHECK_COUNT; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? ", " : "", checks[i].name);
    return ffl_fail(FFL_BAD_INPUT, "--without %s: expected some of %s, or each", name, all);
}

void ffl_check_restore_all(void)
{
    memset(left_out, 0, sizeof left_out);
}

ffl_check ffl_check_of_fixture(const char *fixture)
{
    const ffl_check check = find(fixture);
    return check >= FFL_CHECK_RANDOM && check <= FFL_CHECK_THRASH ? check : FFL_CHECK_COUNT;
}
