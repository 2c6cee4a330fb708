/* Two runs that followed each other: what changed in the code, and what may only have changed around it. */
#include "reports/comparison.h"
#include "reports/speedup.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NEIGHBOURS_LEAST = 5 };

/* Virtual machines were seen in two modes up to 1.9 apart, for minutes: what a row without neighbours may
 * owe. */
static const double log_mode = 0.6931; /* of 2 */

static const ffl_row *find(const ffl_rows *rows, const ffl_row *like)
{
    for (size_t i = 0; i < rows->count; i++)
        if (strcmp(rows->value[i].record.kind, "bench") == 0 &&
            strcmp(rows->value[i].record.key, like->record.key) == 0 &&
            strcmp(rows->value[i].machine, like->machine) == 0)
            return &rows->value[i];
    return NULL;
}

/* ---- Rows ---- */

static ffl_status leave_out(ffl_comparison *c, const ffl_row *row, const char *why)
{
    return ffl_comparison_note(&c->left_out, &c->left_out_count, "%s: %s", row->record.key, why);
}

/* A launch costs another time in a graph than call by call: such times say nothing about each other. */
static ffl_status other_form(ffl_comparison *c, const ffl_row *base, const ffl_row *now)
{
    char why[80];
    snprintf(why, sizeof why, "timed %s in BASE, %s in NEW",
             strcmp(base->record.form, "graph") == 0 ? "as a graph" : "call by call",
             strcmp(now->record.form, "graph") == 0 ? "as a graph" : "call by call");
    return leave_out(c, now, why);
}

/* Cards change their clock with load and heat; where they did, a change in time may be that. */
static ffl_status note_clock(ffl_comparison *c, const ffl_record *base, const ffl_record *now)
{
    if (!(fabs(log(now->sm_mhz / base->sm_mhz)) > log1p(c->margin)))
        return FFL_OK;
    return ffl_comparison_note(&c->differences, &c->difference_count,
                               "clock of the card after %s: %.0f -> %.0f MHz", now->key, base->sm_mhz,
                               now->sm_mhz);
}

static ffl_status add_pair(ffl_comparison *c, const ffl_row *base, ffl_row *now)
{
    const ffl_record *b = &base->record, *n = &now->record;
    if (b->emulated || n->emulated)
        return leave_out(c, now, "on an emulated device, which has no times");
    if (!ffl_row_has_time(base) || !ffl_row_has_time(now))
        return leave_out(c, now, !ffl_row_has_time(base) ? "no time in BASE" : "no time in NEW");
    if (b->tokens != n->tokens)
        return leave_out(c, now, "calls of another number of tokens");
    if (b->samples.distinct == 0 || n->samples.distinct == 0)
        return leave_out(c, now, "without samples");
    if (strcmp(b->form, n->form) != 0)
        return other_form(c, base, now);
    FFL_TRY(note_clock(c, b, n));
    const ffl_effect effect = ffl_effect_of_runs(&b->samples, &n->samples);
    const double base_ns = ffl_row_token_ns(base), new_ns = ffl_row_token_ns(now);
    const size_t samples = (size_t)ffl_samples_total(&n->samples);
    ffl_compared *row;
    FFL_TRY(ffl_comparison_add(c, &now->record, &row));
    row->effect = effect;
    row->base_ns = base_ns;
    row->new_ns = new_ns;
    row->samples = samples;
    return FFL_OK;
}

static ffl_status add_rows(ffl_comparison *c, ffl_rows *base, ffl_rows *now)
{
    for (size_t i = 0; i < base->count; i++)
        if (strcmp(base->value[i].record.kind, "bench") == 0 && !find(now, &base->value[i]))
            FFL_TRY(leave_out(c, &base->value[i], "only in BASE"));
    for (size_t i = 0; i < now->count; i++) {
        ffl_row *row = &now->value[i];
        if (strcmp(row->record.kind, "bench") != 0)
            continue;
        const ffl_row *before = find(base, row);
        FFL_TRY(before ? add_pair(c, before, row) : leave_out(c, row, "only in NEW"));
    }
    return FFL_OK;
}

/* ---- What the machine may have done ---- */

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* What three in four of the other rows (of its group, or of all at its place: a card drifts apart from the
 * host) moved at most: the rest may have been changed on purpose. NAN when they are too few. */
static double drift_of(const ffl_comparison *c, size_t row, bool group, double *moved)
{
    size_t count = 0;
    for (size_t i = 0; i < c->count; i++)
        if (i != row && strcmp(c->value[i].row.place, c->value[row].row.place) == 0 &&
            (!group || strcmp(c->value[i].row.group, c->value[row].row.group) == 0))
            moved[count++] = fabs(log1p(c->value[i].effect.change));
    if (count < NEIGHBOURS_LEAST)
        return NAN;
    qsort(moved, count, sizeof *moved, ascending);
    return moved[(3 * count + 3) / 4 - 1];
}

static ffl_status allow_for_drift(ffl_comparison *c)
{
    double *moved = calloc(c->count + 1, sizeof *moved);
    ffl_effect *drifted = calloc(c->count + 1, sizeof *drifted);
    for (size_t i = 0; moved && drifted && i < c->count; i++) {
        ffl_compared *row = &c->value[i];
        double drift = drift_of(c, i, true, moved);
        if (isnan(drift))
            drift = drift_of(c, i, false, moved);
        const bool alone = isnan(drift);
        drifted[i] = ffl_effect_drifted(&row->effect, alone ? log_mode : drift);
        if (ffl_change_of(&row->effect, c->margin) == ffl_change_of(&drifted[i], c->margin))
            continue;
        if (alone)
            snprintf(row->reason, sizeof row->reason, "too few rows beside it to know what the machine did");
        else
            snprintf(row->reason, sizeof row->reason, "rows beside it moved by %.2g %%", 100 * expm1(drift));
    }
    const bool done = moved && drifted;
    for (size_t i = 0; done && i < c->count; i++)
        c->value[i].effect = drifted[i];
    free(moved);
    free(drifted);
    return done ? FFL_OK : ffl_fail(FFL_NO_MEMORY, "no memory for a comparison");
}

/* ---- Circumstances ---- */

static const ffl_row *run_of(const ffl_rows *rows, const char *run)
{
    for (size_t i = 0; i < rows->run_count; i++)
        if (strcmp(rows->runs[i].record.run, run) == 0)
            return &rows->runs[i];
    return NULL;
}

static void scalar(const json_t *value, char out[256])
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    snprintf(out, 256, "%s", text ? text : "nothing");
    free(text);
}

/* Measured rates differ from run to run, and say nothing. */
static bool is_measured(const json_t *value)
{
    return json_is_real(value);
}

static ffl_status differ(ffl_comparison *c, const char *path, const json_t *base, const json_t *now)
{
    char before[256], after[256], inner[512];
    if (is_measured(base) || is_measured(now) || (base && now && json_equal(base, now)))
        return FFL_OK;
    if (json_is_object(base) && json_is_object(now)) {
        const char *name;
        json_t *value;
        json_object_foreach((json_t *)now, name, value)
        {
            snprintf(inner, sizeof inner, "%s%s%.200s", path, *path ? "." : "", name);
            if (strcmp(name, "command") != 0 && strcmp(name, "verifier") != 0)
                FFL_TRY(differ(c, inner, json_object_get(base, name), value));
        }
        return FFL_OK;
    }
    if (json_is_array(base) && json_is_array(now) && json_array_size(base) == json_array_size(now)) {
        for (size_t i = 0; i < json_array_size(now); i++) {
            snprintf(inner, sizeof inner, "%.400s.%zu", path, i + 1);
            FFL_TRY(differ(c, inner, json_array_get(base, i), json_array_get(now, i)));
        }
        return FFL_OK;
    }
    scalar(base, before);
    scalar(now, after);
    return ffl_comparison_note(&c->differences, &c->difference_count, "%s: %s -> %s", path, before, after);
}

/* Of the runs that the first compared row is from. */
static ffl_status add_differences(ffl_comparison *c, const ffl_rows *base, const ffl_rows *now,
                                  const char *base_run, const char *now_run)
{
    const ffl_row *before = run_of(base, base_run), *after = run_of(now, now_run);
    return before && after ? differ(c, "", before->record.circumstances, after->record.circumstances)
                           : ffl_comparison_note(&c->differences, &c->difference_count,
                                                 "the line of kind run is missing");
}

static void describe(const ffl_rows *rows, char *out, size_t size)
{
    const char *commit = NULL;
    if (rows->run_count)
        commit = json_string_value(json_object_get(
            json_object_get(rows->runs[rows->run_count - 1].record.circumstances, "build"), "commit"));
    snprintf(out, size, "%.150s%s%.60s%s%s", rows->files[0], commit ? " (commit " : "", commit ? commit : "",
             commit ? ")" : "", rows->file_count > 1 ? " and more" : "");
}

/* Why nothing could be compared. */
static ffl_status nothing_common(const ffl_rows *base, const ffl_rows *now)
{
    if (base->count == 0 || now->count == 0) {
        const ffl_rows *empty = base->count == 0 ? base : now;
        if (empty->note_count)
            return ffl_fail(FFL_BAD_INPUT, "%s: no rows; %s", empty->files[0], empty->notes[0]);
        return ffl_fail(FFL_BAD_INPUT, "%s: no rows", empty->files[0]);
    }
    if (base->machine_count && now->machine_count && strcmp(base->machines[0], now->machines[0]) != 0)
        return ffl_fail(FFL_BAD_INPUT,
                        "%s is of the machine %s, %s of %s: rows of two machines are never compared",
                        base->files[0], base->machines[0], now->files[0], now->machines[0]);
    return ffl_fail(FFL_BAD_INPUT, "%s and %s have no timed row in common", base->files[0], now->files[0]);
}

static ffl_status compare(ffl_rows *base, ffl_rows *now, ffl_comparison *c)
{
    char base_run[sizeof((ffl_record *)0)->run] = "";
    FFL_TRY(add_rows(c, base, now));
    if (c->count == 0)
        return nothing_common(base, now);
    const ffl_row first = {.record = c->value[0].row, .machine = now->machine_count ? now->machines[0] : ""};
    for (size_t i = 0; i < base->count; i++)
        if (strcmp(base->value[i].record.key, first.record.key) == 0)
            strcpy(base_run, base->value[i].record.run);
    FFL_TRY(add_differences(c, base, now, base_run, first.record.run));
    FFL_TRY(allow_for_drift(c));
    ffl_comparison_judge(c);
    return FFL_OK;
}

ffl_status ffl_comparison_of_journals(ffl_rows *base, ffl_rows *now, double margin, ffl_comparison *out)
{
    *out = (ffl_comparison){.margin = margin};
    describe(base, out->base, sizeof out->base);
    describe(now, out->now, sizeof out->now);
    const ffl_status status = compare(base, now, out);
    if (status != FFL_OK)
        ffl_comparison_free(out);
    return status;
}
