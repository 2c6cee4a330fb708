#include "harness/bench/stolen.h"
#include "reports/format.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PROCESSORS = 1024 }; /* those of this process are among them */

/* A /proc/stat of processors that are all alike. */
static ffl_ticks read_all(long user, long idle, long steal)
{
    char name[] = "/tmp/fflab-stolen-XXXXXX";
    const int handle = mkstemp(name);
    cr_assert(handle >= 0);
    FILE *file = fdopen(handle, "w");
    fputs("cpu  9 9 9 9 9 9 9 9 9 9\n", file);
    for (int cpu = 0; cpu < PROCESSORS; cpu++)
        fprintf(file, "cpu%d %ld 0 0 %ld 0 0 0 %ld 0 0\n", cpu, user, idle, steal);
    fputs("intr 5 5 5 5 5 5 5 5 5 5\nctxt 7\n", file);
    fclose(file);
    const ffl_ticks ticks = ffl_ticks_read(name);
    unlink(name);
    return ticks;
}

static double share_of(long user, long idle, long steal)
{
    return ffl_stolen_share(read_all(1000, 500, 100), read_all(1000 + user, 500 + idle, 100 + steal));
}

Test(stolen, the_share_is_that_of_the_ticks_between)
{
    cr_assert_float_eq(share_of(600, 250, 150), 0.15, 1e-12);
    cr_assert_float_eq(share_of(1000, 0, 0), 0, 0);
    cr_assert_float_eq(share_of(0, 0, 1000), 1, 0);
}

Test(stolen, what_is_not_known_is_no_number)
{
    cr_assert(isnan(ffl_ticks_read("/nowhere/stat").all));
    cr_assert(isnan(ffl_stolen_share(ffl_ticks_read("/nowhere/stat"), read_all(1000, 0, 10))));
    cr_assert(isnan(share_of(0, 0, 0)), "no time went by");
    cr_assert(isnan(share_of(1000, 0, -1)), "ticks that run backwards");
}

Test(stolen, this_system_tells)
{
    cr_assert_gt(ffl_ticks_read(FFL_TICKS_FILE).all, 0);
}

Test(stolen, much_of_it_is_a_flag)
{
    static const struct {
        double stolen;
        const char *flags;
    } cases[] = {
        {NAN, "WEAK"}, {0, "WEAK"}, {0.049, "WEAK"}, {0.05, "WEAK STOLEN 5 %"}, {0.124, "WEAK STOLEN 12 %"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ffl_row row = {0};
        char flags[FFL_CELL];
        row.record.weak = true;
        row.record.stolen = cases[i].stolen;
        ffl_format_flags(&row, flags);
        cr_assert_str_eq(flags, cases[i].flags);
    }
}
