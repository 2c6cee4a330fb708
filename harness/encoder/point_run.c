#include "harness/encoder/point_run.h"
#include "harness/check/judge.h"
#include "harness/encoder/print.h"
#include "harness/worker.h"
#include <stdio.h>
#include <string.h>

static const char *word(const json_t *json, const char *key)
{
    const char *value = json_string_value(json_object_get(json, key));
    return value ? value : "";
}

static long long whole(const json_t *json, const char *key)
{
    return (long long)json_integer_value(json_object_get(json, key));
}

/* Each row is a result of its own: its baseline's passes are in it. So each goes to the disk when it is over. What
 * --resume finds there already is the baseline, measured again for the rows that were missing. */
static ffl_status write_journal(ffl_encoder_point_run *s, const json_t *row)
{
    ffl_record record;
    FFL_TRY(ffl_point_record(&s->point, row, &record));
    const bool there = ffl_journal_has(s->journal, record.key);
    ffl_status status = there ? FFL_OK : ffl_journal_write(s->journal, &record);
    ffl_record_free(&record);
    return status == FFL_OK ? ffl_journal_flush(s->journal) : status;
}

/* The model's making, its reference and its baseline count as one more row. */
static void show_progress(const ffl_encoder_point_run *s)
{
    char label[256];
    const json_t *name = s->at >= 0 ? json_array_get(s->variants, (size_t)s->at) : NULL;
    const double rows = (double)json_array_size(s->rows), all = (double)s->asked + 1;
    snprintf(label, sizeof label, "%zu x %zu, %s", s->point.batch, s->point.sequence,
             json_is_string(name) ? json_string_value(name) : "weights, reference, dense baseline");
    ffl_progress_show(s->progress, s->done + s->weight * (rows < all ? rows : all) / all, label);
}

static bool was_told(const ffl_encoder_point_run *s, const json_t *row)
{
    size_t i;
    json_t *other;
    json_array_foreach(s->rows, i, other)
    {
        if (strcmp(word(row, "variant"), word(other, "variant")) == 0)
            return true;
    }
    return false;
}

static ffl_status take_row(ffl_encoder_point_run *s, const json_t *row)
{
    const char *verdict = word(row, "verdict");
    const bool passed = strcmp(verdict, ffl_verdict_name(FFL_PASSED)) == 0;
    const bool left_out = strcmp(verdict, ffl_verdict_name(FFL_UNSUPPORTED_HERE)) == 0 ||
                          strcmp(verdict, ffl_verdict_name(FFL_SKIPPED)) == 0;
    const long long index = whole(row, "row");
    if (index >= 0)
        json_array_set_new(s->variants, (size_t)index, json_null());
    if (was_told(s, row)) /* a baseline, measured again after a crash */
        return FFL_OK;
    s->passed += passed;
    s->failed += !passed && !left_out;
    json_array_append(s->rows, (json_t *)row);
    if (s->table) {
        ffl_progress_clear(s->progress);
        ffl_encoder_print_row(row, s->point.repeat);
    }
    return s->journal ? write_journal(s, row) : FFL_OK;
}

static ffl_status answer(void *user, size_t index, const json_t *line)
{
    ffl_encoder_point_run *s = user;
    (void)index;
    json_t *model = json_object_get(line, "model");
    if (json_object_get(line, "at")) {
        const int at = (int)whole(line, "at");
        s->at = at >= 0 ? at : s->at;
        show_progress(s);
    } else if (model && !s->model) {
        s->model = json_incref(model);
        /* Should the worker crash, the next one measures as much of the model. */
        json_object_set(s->request, "layers_timed", json_object_get(model, "layers_timed"));
        if (s->table) {
            ffl_progress_clear(s->progress);
            ffl_encoder_print_model(model);
        }
    } else if (model) {
        if (s->table) {
            ffl_progress_clear(s->progress);
            ffl_encoder_print_side(model);
        }
    } else if (json_object_get(line, "row")) {
        return take_row(s, line);
    }
    return FFL_OK;
}

static ffl_status end(void *user, size_t index, ffl_job_end how, const char *message)
{
    ffl_encoder_point_run *s = user;
    (void)index;
    if (how == FFL_JOB_DONE) {
        s->crashes = 0;
        return FFL_OK;
    }
    const json_t *name = s->at >= 0 ? json_array_get(s->variants, (size_t)s->at) : NULL;
    if (!json_is_string(name))
        return ffl_fail(FFL_INTERNAL, "the worker %s before any variant ran", message);
    json_t *row =
        json_pack("{s:i, s:s, s:s, s:s}", "row", s->at, "variant", json_string_value(name), "verdict",
                  ffl_verdict_name(how == FFL_JOB_TIMEOUT ? FFL_TIMEOUT : FFL_CRASHED), "reason", message);
    const ffl_status status = row ? take_row(s, row) : FFL_NO_MEMORY;
    json_decref(row);
    s->crashes = 1;
    return status;
}

/* The variants that are left, in a worker; after a crash the next worker goes on behind the culprit. */
ffl_status ffl_encoder_point_go(const ffl_options *options, json_t *request, double timeout,
                                ffl_encoder_point_run *s)
{
    const ffl_job_listener listener = {.user = s, .answer = answer, .end = end};
    const size_t parallel = ffl_option_given(options, FFL_OPT_IN_PROCESS) ? 0 : 1;
    s->request = request;
    s->variants = json_object_get(request, "variants");
    s->asked = json_array_size(s->variants);
    s->rows = json_array();
    if (!s->rows)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the rows");
    do {
        const ffl_job job = {.request = request, .timeout_s = timeout};
        s->at = -1;
        FFL_TRY(ffl_jobs_run("encoder", options, &job, 1, parallel, &listener));
    } while (s->crashes);
    return FFL_OK;
}

void ffl_encoder_point_run_free(ffl_encoder_point_run *s)
{
    json_decref(s->model);
    json_decref(s->rows);
    *s = (ffl_encoder_point_run){.at = -1};
}
