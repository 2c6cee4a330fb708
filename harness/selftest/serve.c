#include "harness/selftest/serve.h"
#include "harness/bench/group.h"
#include "harness/check/cases.h"
#include "harness/check/checks.h"
#include "harness/check/job.h"
#include "harness/check/leaks.h"
#include "harness/registry.h"
#include "harness/selftest/drive.h"
#include <string.h>

/* For the jobs of bench, which look variants up by name; in a worker only. */
static ffl_status register_mutants(void)
{
    static bool done;
    for (size_t f = 0; !done && ffl_mutant_families[f]; f++)
        for (const ffl_mutant *m = ffl_mutant_families[f]; m->family; m++)
            FFL_TRY(ffl_registry_add(&m->variant));
    done = true;
    return FFL_OK;
}

static ffl_status leave_out(const json_t *request)
{
    const char *name = json_string_value(json_object_get(request, "without"));
    ffl_check_restore_all();
    return name ? ffl_check_leave_out(name) : FFL_OK;
}

/* One mutant on one case; *over: it was rejected for the right reason. */
static ffl_status try_one(ffl_trial *trial, const char *name, size_t index, ffl_answer *answer, bool *over)
{
    const ffl_mutant *mutant = ffl_mutant_find(name);
    ffl_judgement judgement;
    if (!mutant)
        return ffl_fail(FFL_INTERNAL, "the worker has no mutant '%s'", name);
    FFL_TRY(ffl_answer_send(answer, json_pack("{s:I, s:s}", "at", (json_int_t)index, "mutant", name)));
    FFL_TRY(ffl_trial_run(trial, &mutant->variant, &judgement));
    json_t *line = ffl_judgement_to_json(name, &judgement);
    json_object_set_new(line, "case", json_integer((json_int_t)index));
    *over = ffl_mutant_expects(mutant, judgement.verdict, judgement.reason);
    return ffl_answer_send(answer, line);
}

static ffl_status try_case(const json_t *mutants, const json_t *json, size_t index, ffl_answer *answer,
                           bool *over)
{
    ffl_check_case item;
    ffl_trial *trial;
    FFL_TRY(ffl_case_from_json(json, &item));
    ffl_status status = ffl_trial_new(&item, &trial);
    if (status == FFL_UNSUPPORTED)
        return FFL_OK; /* such data cannot be made for the shape */
    FFL_TRY(status);
    for (size_t i = 0; i < json_array_size(mutants) && status == FFL_OK; i++)
        status = try_one(trial, json_string_value(json_array_get(mutants, i)), index, answer, over);
    ffl_trial_free(trial);
    return status;
}

ffl_status ffl_selftest_serve(const json_t *request, ffl_answer *answer)
{
    const json_t *mutants = json_object_get(request, "mutants"), *cases = json_object_get(request, "cases");
    FFL_TRY(leave_out(request));
    if (json_object_get(request, "group")) {
        FFL_TRY(register_mutants());
        return ffl_bench_serve(json_object_get(request, "group"), answer);
    }
    ffl_check_watch_faults(answer);
    const size_t threads = ffl_leaks_threads();
    for (size_t i = 0; i < json_array_size(cases); i++) {
        bool over = false;
        FFL_TRY(try_case(mutants, json_array_get(cases, i), i, answer, &over));
        if (over && json_array_size(mutants) == 1)
            break;
    }
    if (ffl_leaks_threads() > threads)
        ffl_answer_last(answer); /* what a mutant left running is not the next one's */
    return FFL_OK;
}
