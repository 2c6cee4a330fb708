#include "harness/check/attempt.h"
#include "harness/check/job.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct heard {
    ffl_attempt *attempt;
    char fault[192];
    bool answered;
} heard;

static ffl_status on_answer(void *user, size_t index, const json_t *line)
{
    (void)index;
    heard *h = user;
    ffl_judgement *j = &h->attempt->judgement;
    const char *declined = json_string_value(json_object_get(line, "declined"));
    const char *fault = json_string_value(json_object_get(line, "fault"));
    if (declined) {
        j->verdict = FFL_SKIPPED;
        snprintf(j->reason, sizeof j->reason, "%s", declined);
    } else if (fault) {
        snprintf(h->fault, sizeof h->fault, "%s", fault);
    } else if (json_object_get(line, "result")) {
        const char *explanation = json_string_value(json_object_get(line, "explanation"));
        FFL_TRY(ffl_judgement_from_json(line, j));
        snprintf(h->attempt->explanation, sizeof h->attempt->explanation, "%s",
                 explanation ? explanation : "");
    } else {
        return FFL_OK;
    }
    h->answered |= !fault;
    return FFL_OK;
}

static ffl_status on_end(void *user, size_t index, ffl_job_end end, const char *message)
{
    (void)index;
    heard *h = user;
    ffl_judgement *j = &h->attempt->judgement;
    if (end == FFL_JOB_DONE || h->answered)
        return FFL_OK;
    j->verdict = end == FFL_JOB_TIMEOUT ? FFL_TIMEOUT : FFL_CRASHED;
    snprintf(j->reason, sizeof j->reason, "%s%s%s", h->fault, *h->fault ? "; " : "",
             end == FFL_JOB_TIMEOUT ? "hung" : message);
    return FFL_OK;
}

ffl_status ffl_attempt_run(const ffl_options *options, const char *path, const char *variant,
                           double timeout_s, bool in_process, ffl_attempt *out)
{
    heard h = {.attempt = out};
    const ffl_job_listener listener = {.user = &h, .answer = on_answer, .end = on_end};
    json_t *request =
        json_pack("{s:s, s:[s], s:b}", "capsule", path, "variants", variant, "isolated", !in_process);
    *out = (ffl_attempt){.judgement = {.flip_margin = NAN, .error_statistical = NAN, .error_worst = NAN}};
    if (!request)
        return ffl_fail(FFL_NO_MEMORY, "no memory for an attempt on %s", path);
    const ffl_job job = {.request = request, .timeout_s = timeout_s};
    const ffl_status status = ffl_jobs_run("check", options, &job, 1, in_process ? 0 : 1, &listener);
    json_decref(request);
    return status;
}
