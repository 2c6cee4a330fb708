#include "reports/chart.h"
#include "reports/format.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

ffl_series *ffl_chart_series(ffl_chart *chart, const char *name, bool line)
{
    for (size_t s = 0; s < chart->count; s++)
        if (strcmp(chart->series[s].name, name) == 0)
            return &chart->series[s];
    if (chart->count == FFL_SERIES_MAX)
        return NULL;
    ffl_series *series = &chart->series[chart->count++];
    *series = (ffl_series){.line = line};
    snprintf(series->name, sizeof series->name, "%s", name);
    return series;
}

static bool is_drawable(double value, bool logarithmic)
{
    return isfinite(value) && (!logarithmic || value > 0);
}

ffl_status ffl_chart_add(ffl_chart *chart, ffl_series *series, const ffl_point *point)
{
    const size_t n = series->count;
    if (!is_drawable(point->x, chart->log_x) || !is_drawable(point->y, chart->log_y))
        return FFL_OK;
    if ((n & (n - 1)) == 0) {
        ffl_point *grown = realloc(series->point, (n ? 2 * n : 1) * sizeof *grown);
        if (!grown)
            return ffl_fail(FFL_NO_MEMORY, "no memory for a chart of %zu points", n);
        series->point = grown;
    }
    ffl_point *p = &series->point[series->count++];
    *p = *point;
    if (!is_drawable(p->low, chart->log_y) || !is_drawable(p->high, chart->log_y))
        p->low = p->high = p->y;
    return FFL_OK;
}

void ffl_chart_tick(ffl_chart *chart, double at, const char *name)
{
    for (size_t t = 0; t < chart->tick_count; t++)
        if (chart->ticks[t].at == at) /* NOLINT: the same number, or not */
            return;
    if (chart->tick_count == FFL_TICKS_MAX)
        return;
    chart->ticks[chart->tick_count].at = at;
    snprintf(chart->ticks[chart->tick_count++].name, sizeof chart->ticks->name, "%s", name);
}

void ffl_chart_level(ffl_chart *chart, double y, const char *name)
{
    if (chart->level_count == FFL_CHART_LEVELS)
        return;
    chart->levels[chart->level_count].y = y;
    snprintf(chart->levels[chart->level_count++].name, sizeof chart->levels->name, "%s", name);
}

static const ffl_point *point_at(const ffl_series *series, double x)
{
    for (size_t i = 0; i < series->count; i++)
        if (series->point[i].x == x) /* NOLINT: the same number, or not */
            return &series->point[i];
    return NULL;
}

void ffl_chart_table(const ffl_chart *chart, const char *corner, FILE *file)
{
    fprintf(file, "%s:\n\n| %s |", chart->title, corner);
    for (size_t s = 0; s < chart->count; s++) {
        fputc(' ', file);
        ffl_print_text(file, chart->series[s].name);
        fputs(" |", file);
    }
    fputs("\n|---|", file);
    for (size_t s = 0; s < chart->count; s++)
        fputs("--:|", file);
    for (size_t t = 0; t < chart->tick_count; t++) {
        fputs("\n| ", file);
        ffl_print_text(file, chart->ticks[t].name);
        fputs(" |", file);
        for (size_t s = 0; s < chart->count; s++) {
            const ffl_point *p = point_at(&chart->series[s], chart->ticks[t].at);
            fprintf(file, " %s |", p ? p->cell : "–");
        }
    }
    fputs("\n\n", file);
}

void ffl_chart_free(ffl_chart *chart)
{
    for (size_t s = 0; s < chart->count; s++)
        free(chart->series[s].point);
    chart->count = 0;
}
