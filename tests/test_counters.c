/* `fflab counters`: counts where the machine offers some, reasons where not. */
#include "harness/counters/events.h"
#include "tests/run_program.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static run_result result;

Test(counters, what_is_not_offered_has_a_reason_and_no_number)
{
    ffl_events events;
    ffl_reading reading;
    ffl_events_open(&events);
    ffl_events_read(&events, &reading);
    cr_assert_gt(events.count, 0);
    size_t available = 0;
    for (size_t i = 0; i < events.count; i++) {
        available += events.value[i].descriptor >= 0;
        cr_assert_eq(events.value[i].descriptor < 0, isnan(reading.value[i]), "%s", events.value[i].name);
        cr_assert_eq(events.value[i].descriptor < 0, events.value[i].reason != NULL, "%s",
                     events.value[i].name);
    }
    cr_assert_eq(available, events.available);
    ffl_events_close(&events);
}

Test(counters, page_faults_of_this_process_are_counted)
{
    enum { PAGES = 64, PAGE = 4096 };
    ffl_events events;
    ffl_reading before, after;
    ffl_events_open(&events);
    size_t faults = 0;
    while (faults < events.count && strcmp(events.value[faults].name, "page faults") != 0)
        faults++;
    if (faults == events.count || events.value[faults].descriptor < 0)
        cr_skip_test("no page fault events here: %s",
                     faults < events.count ? events.value[faults].reason : "not Linux");
    ffl_events_read(&events, &before);
    volatile char *fresh = aligned_alloc(PAGE, PAGES * PAGE);
    for (size_t i = 0; i < PAGES; i++)
        fresh[i * PAGE] = 1;
    ffl_events_read(&events, &after);
    cr_assert_gt(after.value[faults], before.value[faults]);
    free((void *)fresh);
    ffl_events_close(&events);
}

Test(counters, a_row_per_variant_or_the_reason)
{
    run_shell("$FFLAB counters -v fff_naive -v ff_naive --tree 1x3 --width 16 --batch 4 --json", &result);
    if (result.exit_code == 5) {
        cr_assert(strstr(result.err, "not permitted") || strstr(result.err, "not offered"), "%s", result.err);
        return;
    }
    cr_assert_eq(result.exit_code, 0, "%s", result.err);
    cr_assert(strstr(result.out, "\"variant\": \"fff_naive\"") &&
                  strstr(result.out, "\"variant\": \"ff_naive\""),
              "%s", result.out);
    cr_assert(strstr(result.out, "\"wall_ns\""), "%s", result.out);
}

Test(counters, bad_values_are_refused_by_name)
{
    run_shell("$FFLAB counters --batch 0", &result);
    cr_assert_eq(result.exit_code, 1);
    cr_assert(strstr(result.err, "--batch 0"), "%s", result.err);
}
