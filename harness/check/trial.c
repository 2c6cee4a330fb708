#include "harness/check/trial.h"
#include "harness/check/checks.h"
#include "harness/check/explain.h"
#include "harness/check/fixtures.h"
#include "harness/check/guard.h"
#include "harness/check/judges.h"
#include "harness/check/passes.h"
#include "harness/registry.h"
#include "kernels/memory.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ROWS_OF_SINGLES = 3 };

struct ffl_trial {
    ffl_check_case check_case;
    ffl_fixture fixture;
    ffl_guarded_layer guarded; /* the fixture's */
    ffl_passes passes;
    float *bad;         /* [width_out]: the row that the judgement names, as it was then */
    int32_t *bad_trace; /* [trees][levels], and whether there is one */
    bool traced;
    ffl_judges judges;
};

ffl_layout ffl_layout_from_seed(uint64_t seed)
{
    static const size_t padding[] = {0, 1, 5, 16};
    ffl_layout layout = {.bias = seed % 4 != 0};
    seed /= 4;
    layout.padding_x = padding[seed % 4];
    seed /= 4;
    layout.padding_y = padding[seed % 4];
    seed /= 4;
    layout.offset_x = seed % 4;
    seed /= 4;
    layout.offset_y = seed % 4;
    return layout;
}

/* The layout without what a self-test leaves out. */
static ffl_layout reduced_layout(ffl_layout layout)
{
    if (!ffl_check_on(FFL_CHECK_PADDING))
        layout.padding_x = layout.padding_y = 0;
    if (!ffl_check_on(FFL_CHECK_MISALIGNMENT))
        layout.offset_x = layout.offset_y = 0;
    return layout;
}

/* ---- The data ---- */

static ffl_status make_fixture(const ffl_check_case *c, bool bias, ffl_fixture *out)
{
    const ffl_fixture_request request = {.name = c->fixture,
                                         .shape = c->shape,
                                         .bias = bias,
                                         /* One row alone would look right from any cache of results. */
                                         .tokens = c->batch == 1 ? ROWS_OF_SINGLES : c->batch,
                                         .seed = c->seed};
    return ffl_fixture_make(&request, out);
}

static ffl_status guard_data(ffl_trial *t, const ffl_layout *layout)
{
    const ffl_check_case *c = &t->check_case;
    const ffl_layer *l = &t->fixture.weights.layer;
    const size_t rows = t->fixture.tokens;
    t->check_case.batch = c->batch ? c->batch : rows;
    t->check_case.shape = *l;
    FFL_TRY(ffl_guarded_layer_new(l, &t->guarded));
    t->passes = (ffl_passes){.layer = &t->guarded.layer,
                             .x = t->fixture.x,
                             .rows = rows,
                             .batch = c->batch,
                             .seed = c->seed,
                             .layout = reduced_layout(*layout),
                             .got = ffl_alloc_array(rows * l->width_out, sizeof *t->passes.got)};
    t->bad = ffl_alloc_array(l->width_out, sizeof *t->bad);
    t->bad_trace = ffl_alloc_array(l->trees * l->levels + 1, sizeof *t->bad_trace);
    return t->passes.got && t->bad && t->bad_trace ? FFL_OK : FFL_NO_MEMORY;
}

ffl_status ffl_trial_new(const ffl_check_case *check_case, ffl_trial **out)
{
    const ffl_layout layout = ffl_layout_from_seed(check_case->seed);
    ffl_fixture fixture;
    *out = NULL;
    FFL_TRY(make_fixture(check_case, layout.bias, &fixture));
    return ffl_trial_new_on(check_case, &layout, &fixture, out);
}

ffl_status ffl_trial_new_on(const ffl_check_case *check_case, const ffl_layout *layout, ffl_fixture *fixture,
                            ffl_trial **out)
{
    *out = NULL;
    ffl_trial *t = ffl_alloc(sizeof *t);
    if (!t) {
        ffl_fixture_free(fixture);
        return FFL_NO_MEMORY;
    }
    t->check_case = *check_case;
    t->fixture = *fixture;
    *fixture = (ffl_fixture){0};
    const ffl_status status = guard_data(t, layout);
    if (status != FFL_OK)
        ffl_trial_free(t);
    else
        *out = t;
    return status;
}

const ffl_check_case *ffl_trial_case(const ffl_trial *trial)
{
    return &trial->check_case;
}

void ffl_trial_free(ffl_trial *trial)
{
    if (!trial)
        return;
    ffl_judges_free(&trial->judges);
    ffl_guarded_layer_free(&trial->guarded);
    ffl_fixture_free(&trial->fixture);
    ffl_free(trial->passes.got);
    ffl_free(trial->bad);
    ffl_free(trial->bad_trace);
    ffl_free(trial);
}

static ffl_status judge_for(ffl_trial *t, const ffl_contract *contract, const ffl_judge **out)
{
    const ffl_layer *l = &t->fixture.weights.layer;
    ffl_data data = ffl_fixture_data(&t->fixture, contract);
    if (data == FFL_DATA_GENERAL && !ffl_check_on(FFL_CHECK_STATISTICAL))
        data = FFL_DATA_EQUAL_PRODUCTS;
    return ffl_judges_get(&t->judges, l, contract, data, t->fixture.x, t->passes.rows, out);
}

/* ---- One variant ---- */

static void fail(ffl_judgement *out, ffl_verdict verdict, const char *pass, const char *why)
{
    char text[640];
    snprintf(text, sizeof text, "%s%s%s", pass, *pass ? ": " : "", why);
    out->verdict = verdict;
    memcpy(out->reason, text, sizeof out->reason - 1);
    out->reason[sizeof out->reason - 1] = '\0';
}

/* The graver verdict with its reason; the larger of all numbers (fmax passes over a NaN). */
static void merge(ffl_judgement *into, const ffl_judgement *from, const char *pass)
{
    if (from->verdict > into->verdict) {
        into->located = from->located;
        into->row = from->row;
        into->element = from->element;
    }
    if (from->verdict > into->verdict || (from->weak && !into->weak && into->verdict == FFL_PASSED))
        fail(into, from->verdict > into->verdict ? from->verdict : into->verdict, pass, from->reason);
    into->weak |= from->weak;
    into->rows = from->rows;
    into->unbounded_rows = from->unbounded_rows;
    into->suspect_rows += from->suspect_rows;
    into->failed_rows += from->failed_rows;
    into->flips = from->flips > into->flips ? from->flips : into->flips;
    into->flip_margin = fmax(into->flip_margin, from->flip_margin);
    into->error_statistical = fmax(into->error_statistical, from->error_statistical);
    into->error_worst = fmax(into->error_worst, from->error_worst);
}

/* The row that the judgement names: the next pass overwrites it. */
static void keep_row(ffl_trial *t, size_t row, const int32_t *trace)
{
    const ffl_layer *l = &t->guarded.layer;
    const size_t width = l->width_out, visited = l->trees * l->levels;
    memcpy(t->bad, t->passes.got + row * width, width * sizeof *t->bad);
    t->traced = trace != NULL;
    if (trace)
        memcpy(t->bad_trace, trace + row * visited, visited * sizeof *trace);
}

static ffl_status judge_passes(ffl_trial *t, const ffl_instance *instance, const ffl_judge *judge,
                               int32_t *trace, ffl_judgement *out)
{
    static const char *const names[] = {"first call", "second call, rows reversed",
                                        "again at the same address, other rows"};
    static const ffl_check checks[] = {FFL_CHECK_OLD_VALUES, FFL_CHECK_SECOND_CALL, FFL_CHECK_SAME_ADDRESS};
    for (int pass = FFL_FORWARDS; pass <= FFL_AGAIN; pass++) {
        ffl_judgement judgement;
        char why[256];
        bool fine;
        if (pass != FFL_FORWARDS && !ffl_check_on(checks[pass]))
            continue;
        FFL_TRY(ffl_passes_run(&t->passes, instance, (ffl_order)pass, &fine, why, sizeof why));
        if (!fine) {
            fail(out, FFL_FAILED, names[pass], why);
            out->located = false;
            return FFL_OK;
        }
        if (trace && !ffl_passes_trace(&t->passes, instance, (ffl_order)pass, trace))
            trace = NULL;
        FFL_TRY(ffl_judge_rows(judge, t->passes.got, t->guarded.layer.width_out, trace, &judgement));
        if (judgement.verdict > out->verdict && judgement.located)
            keep_row(t, judgement.row, trace);
        merge(out, &judgement, names[pass]);
    }
    return FFL_OK;
}

ffl_status ffl_trial_run(ffl_trial *t, const ffl_variant *variant, ffl_judgement *out)
{
    const char *why = "";
    const int threads = variant->threaded ? t->check_case.threads : 1;
    *out = (ffl_judgement){
        .verdict = FFL_PASSED, .flip_margin = NAN, .error_statistical = NAN, .error_worst = NAN};
    if (!ffl_variant_supports(variant, &t->check_case.shape, t->check_case.batch, threads, &why)) {
        fail(out, FFL_UNSUPPORTED_HERE, "", why);
        return FFL_OK;
    }
    const ffl_judge *judge;
    FFL_TRY(judge_for(t, &variant->contract, &judge));
    ffl_instance instance;
    const ffl_status prepared =
        ffl_instance_new(variant, &t->guarded.layer, t->check_case.batch, threads, &instance);
    if (prepared == FFL_UNSUPPORTED && variant->library == FFL_PROCESS) {
        fail(out, FFL_UNSUPPORTED_HERE, "", ffl_error());
        return FFL_OK;
    }
    if (prepared != FFL_OK) { /* otherwise supports alone may decline a shape */
        fail(out, prepared == FFL_NO_MEMORY ? FFL_SKIPPED : FFL_FAILED, "prepare failed", ffl_error());
        return FFL_OK;
    }
    const ffl_layer *l = &t->guarded.layer;
    int32_t *trace = l->trees > 1 && variant->trace
                         ? ffl_alloc_array(t->passes.rows * l->trees * l->levels, sizeof *trace)
                         : NULL;
    const ffl_status status = judge_passes(t, &instance, judge, trace, out);
    ffl_free(trace);
    ffl_instance_free(&instance);
    return status;
}

ffl_status ffl_trial_explain(const ffl_trial *t, const ffl_variant *variant, const ffl_judgement *judgement,
                             char *out, size_t size)
{
    const ffl_layer *l = &t->fixture.weights.layer;
    out[0] = '\0';
    if (!judgement->located)
        return FFL_OK;
    const ffl_bad_row row = {.x = t->fixture.x + judgement->row * l->width_in,
                             .got = t->bad,
                             .trace = t->traced ? t->bad_trace : NULL,
                             .row = judgement->row,
                             .element = judgement->element};
    return ffl_explain_row(l, &variant->contract, ffl_fixture_data(&t->fixture, &variant->contract), &row,
                           out, size);
}
