/* Whole passes: where their time goes, and how near they come to what their kernel allows. */
#include "reports/encoder.h"
#include "reports/sections_with_charts.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BARS = 10 };

static int by_pass(const void *a, const void *b)
{
    const double x = ((const ffl_pass_row *)a)->answer.whole.pass_ns.median,
                 y = ((const ffl_pass_row *)b)->answer.whole.pass_ns.median;
    return (x > y) - (x < y);
}

static size_t group_of(const ffl_rows *rows, const ffl_row *of, ffl_pass_row *out)
{
    size_t count = 0;
    for (size_t i = 0; i < rows->pass_count; i++)
        if (ffl_pass_same_group(&rows->passes[i], of) && ffl_pass_row_of(&rows->passes[i], &out[count]))
            count++;
    qsort(out, count, sizeof *out, by_pass);
    return count;
}

/* ---- Time per part ---- */

static ffl_status add_bar(ffl_chart *chart, size_t bar, const char *name, const ffl_pass_answer *a,
                          bool dense)
{
    double start = 0;
    ffl_chart_tick(chart, (double)bar, name);
    for (size_t p = 0; p < a->parts; p++) {
        const double ms = (dense ? a->dense_ns[p] : a->own_ns[p]).median / 1e6;
        ffl_series *series = ffl_chart_series(chart, a->name[p], false);
        ffl_point point = {.x = start + ms / 2, .y = (double)bar, .low = start, .high = start + ms};
        snprintf(point.label, sizeof point.label, "%.63s, %.40s: %.4g ms", name, a->name[p], ms);
        if (series)
            FFL_TRY(ffl_chart_add(chart, series, &point));
        start += ms;
    }
    return FFL_OK;
}

/* The dense pass, then the fastest variants; of the group that has the most. */
static ffl_status draw_parts(const ffl_report *r, const ffl_pass_row *group, size_t count, FILE *file)
{
    ffl_chart chart = {.bars = true, .x_label = "milliseconds per pass"};
    const ffl_pass_row *first = &group[0];
    snprintf(chart.title, sizeof chart.title,
             "%.60s, %lld x %lld tokens: time per part, the dense pass and the fastest ones", first->model,
             (long long)first->batch, (long long)first->sequence);
    char name[64];
    snprintf(name, sizeof name, "%.40s (dense)", first->baseline);
    ffl_status status = add_bar(&chart, 0, name, &first->answer, true);
    for (size_t i = 0, bar = 1; i < count && bar < BARS && status == FFL_OK; i++)
        if (strcmp(group[i].row->record.variant, first->baseline) != 0)
            status = add_bar(&chart, bar++, group[i].row->record.variant, &group[i].answer, false);
    if (status == FFL_OK)
        status = ffl_figure_add(r->figures, file, &chart);
    ffl_chart_free(&chart);
    return status;
}

/* ---- Measured against the ceiling ---- */

static ffl_status add_view(ffl_chart *chart, const char *name, const ffl_pass_row *p, const ffl_pass_view *v)
{
    ffl_series *series = ffl_chart_series(chart, name, false);
    ffl_point point = {
        .x = v->ceiling.median, .y = v->speed_up.median, .low = v->speed_up.low, .high = v->speed_up.high};
    snprintf(point.label, sizeof point.label, "%s, %lld x %lld tokens, %s: ceiling %.3gx, measured %.3gx",
             p->row->record.variant, (long long)p->batch, (long long)p->sequence, name, v->ceiling.median,
             v->speed_up.median);
    return ffl_chart_add(chart, series, &point);
}

static ffl_status draw_ceilings(const ffl_report *r, FILE *file)
{
    ffl_chart chart = {
        .diagonal = true,
        .x_label = "ceiling, times as fast as the dense pass",
        .y_label = "measured",
        .title =
            "Every timed pass: measured speed-up against what its kernel allows (on the line: all of it)"};
    ffl_status status = FFL_OK;
    for (size_t i = 0; i < r->rows->pass_count && status == FFL_OK; i++) {
        ffl_pass_row p;
        if (!ffl_pass_row_of(&r->rows->passes[i], &p))
            continue;
        status = add_view(&chart, "whole pass", &p, &p.answer.whole);
        if (status == FFL_OK)
            status = add_view(&chart, "without logits", &p, &p.answer.body);
    }
    if (status == FFL_OK)
        status = ffl_figure_add(r->figures, file, &chart);
    ffl_chart_free(&chart);
    return status;
}

ffl_status ffl_encoder_charts(const ffl_report *r, FILE *file)
{
    const size_t passes = r->rows->pass_count;
    if (!passes || !r->figures)
        return FFL_OK;
    ffl_pass_row *group = calloc(passes, sizeof *group), *best = calloc(passes, sizeof *best);
    size_t most = 0;
    for (size_t i = 0; group && best && i < passes; i++) {
        const size_t count = group_of(r->rows, &r->rows->passes[i], group);
        if (count > most) {
            memcpy(best, group, count * sizeof *group);
            most = count;
        }
    }
    ffl_status status = group && best ? FFL_OK : ffl_fail(FFL_NO_MEMORY, "no memory for the report");
    if (most > 1 && status == FFL_OK)
        status = draw_parts(r, best, most, file);
    if (status == FFL_OK)
        status = draw_ceilings(r, file);
    free(group);
    free(best);
    return status;
}
