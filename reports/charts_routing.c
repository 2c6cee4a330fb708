/* Time against routing entropy. */
#include "reports/format.h"
#include "reports/sections_with_charts.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LINES = 6 };

/* The rows of the race's shape and setting, under any routing. */
static bool belongs(const ffl_row *row, const ffl_row *race)
{
    const ffl_record *x = &row->record, *y = &race->record;
    return ffl_row_has_time(row) && ffl_row_is_fff(row) && ffl_same_setting(row, race) &&
           x->trees == y->trees && x->depth == y->depth && isfinite(x->entropy_mean);
}

static bool has_other_routing(const ffl_rows *rows, const ffl_row *race)
{
    for (size_t i = race->alike_first; i < rows->count; i = ffl_rows_after(rows, i))
        if (belongs(&rows->value[i], race) &&
            strcmp(rows->value[i].record.routing, race->record.routing) != 0)
            return true;
    return false;
}

static int by_time(const void *a, const void *b)
{
    const double x = ffl_row_token_ns(*(const ffl_row *const *)a),
                 y = ffl_row_token_ns(*(const ffl_row *const *)b);
    return (x > y) - (x < y);
}

static int by_entropy(const void *a, const void *b)
{
    const double x = ((const ffl_point *)a)->x, y = ((const ffl_point *)b)->x;
    return (x > y) - (x < y);
}

/* All routings of one variant. */
static ffl_status add_variant(const ffl_rows *rows, const ffl_row *of, ffl_chart *chart)
{
    ffl_series *series = ffl_chart_series(chart, of->record.variant, true);
    for (size_t i = of->alike_first; series && i < rows->count; i = ffl_rows_after(rows, i)) {
        const ffl_row *row = &rows->value[i];
        const ffl_record *r = &row->record;
        double low, high;
        if (!belongs(row, of) || strcmp(r->variant, of->record.variant) != 0)
            continue;
        ffl_row_token_interval(row, &low, &high);
        ffl_point p = {
            .x = r->entropy_mean, .y = ffl_row_token_ns(row) / 1e3, .low = low / 1e3, .high = high / 1e3};
        snprintf(p.label, sizeof p.label, "%s, %.60s: %.3g bits, %.4g µs [%.4g, %.4g] per token", r->variant,
                 r->routing, p.x, p.y, p.low, p.high);
        FFL_TRY(ffl_chart_add(chart, series, &p));
    }
    if (series)
        qsort(series->point, series->count, sizeof *series->point, by_entropy);
    return FFL_OK;
}

static ffl_status draw(const ffl_report *r, const ffl_row *race, FILE *file)
{
    const ffl_rows *rows = r->rows;
    const ffl_row **field = calloc(rows->count + 1, sizeof *field);
    size_t count = 0;
    char shape[FFL_CELL];
    if (!field)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the report");
    for (size_t i = race->alike_first; i < rows->count; i = ffl_rows_after(rows, i))
        if (belongs(&rows->value[i], race) &&
            strcmp(rows->value[i].record.routing, race->record.routing) == 0)
            field[count++] = &rows->value[i];
    qsort(field, count, sizeof *field, by_time);
    ffl_chart chart = {.zero_y = true, .x_label = "entropy of the leaves, bits", .y_label = "µs per token"};
    ffl_format_shape(race, shape);
    snprintf(chart.title, sizeof chart.title, "%.20s, batch %lld, %s, %s: the %d fastest on %.40s routing",
             shape, (long long)race->record.batch, race->record.clazz, race->record.cache, LINES,
             race->record.routing);
    ffl_status status = FFL_OK;
    for (size_t i = 0; i < count && i < LINES && status == FFL_OK; i++)
        status = add_variant(rows, field[i], &chart);
    if (status == FFL_OK)
        status = ffl_figure_add(r->figures, file, &chart);
    ffl_chart_free(&chart);
    free(field);
    return status;
}

ffl_status ffl_routing_charts(const ffl_report *r, FILE *file)
{
    for (size_t i = 0; i < r->race_count && r->figures; i++)
        if (ffl_row_is_fff(r->races[i]) && has_other_routing(r->rows, r->races[i]))
            FFL_TRY(draw(r, r->races[i], file));
    return FFL_OK;
}
