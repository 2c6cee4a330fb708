/* The loops that stand in for Google Benchmark (harness/bench/gbench_none.c, compiled into this suite). */
#include "harness/bench/gbench.h"
#include <criterion/criterion.h>
#include <string.h>

typedef struct counted {
    size_t begun, calls, ended;
    size_t give_up_after; /* calls; 0: never */
    char name;
} counted;

static char order[64]; /* of the repetitions */

static bool begin(void *user)
{
    counted *c = user;
    c->begun++;
    order[strlen(order)] = c->name;
    return true;
}

static double call(void *user)
{
    counted *c = user;
    c->calls++;
    return c->give_up_after && c->calls == c->give_up_after ? -1 : 1e-6;
}

static bool end(void *user)
{
    ((counted *)user)->ended++;
    return true;
}

static ffl_gbench_case case_of(counted *c, size_t repetitions, size_t calls)
{
    return (ffl_gbench_case){.name = "a case",
                             .repetitions = repetitions,
                             .calls_per_repetition = calls,
                             .user = c,
                             .begin = begin,
                             .end = end,
                             .call = call};
}

Test(own_loop, every_repetition_has_its_calls)
{
    counted a = {.name = 'a'}, b = {.name = 'b'};
    const ffl_gbench_case cases[] = {case_of(&a, 5, 7), case_of(&b, 3, 2)};
    cr_assert_eq(ffl_gbench_run(cases, 2, false), FFL_OK);
    cr_assert(a.begun == 5 && a.calls == 35 && a.ended == 5);
    cr_assert(b.begun == 3 && b.calls == 6 && b.ended == 3);
    cr_assert_str_eq(order, "aaaaabbb");
    cr_assert_str_eq(ffl_gbench_version(), "own loop");
}

Test(own_loop, repetitions_are_mixed_when_asked)
{
    counted a = {.name = 'a'}, b = {.name = 'b'};
    const ffl_gbench_case cases[] = {case_of(&a, 12, 1), case_of(&b, 12, 1)};
    cr_assert_eq(ffl_gbench_run(cases, 2, true), FFL_OK);
    cr_assert(a.calls == 12 && b.calls == 12);
    cr_assert_null(strstr(order, "aaaaaaaaa"), "%s", order);
    size_t changes = 0;
    for (size_t i = 1; i < 24; i++)
        changes += order[i] != order[i - 1];
    cr_assert_gt(changes, 4, "%s", order);
}

Test(own_loop, a_case_that_gives_up_is_not_called_again)
{
    counted a = {.name = 'a', .give_up_after = 3}, b = {.name = 'b'};
    const ffl_gbench_case cases[] = {case_of(&a, 4, 2), case_of(&b, 4, 2)};
    cr_assert_eq(ffl_gbench_run(cases, 2, true), FFL_OK);
    cr_assert(a.begun == 2 && a.calls == 3 && a.ended == 1);
    cr_assert(b.calls == 8 && b.ended == 4);
}
