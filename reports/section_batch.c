/* Speed against batch, for the shape that most cases were timed on: times, and what they make of the ratio.
 */
#include "reports/format.h"
#include "reports/sections_with_charts.h"
#include <math.h>
#include <string.h>

static bool same_layer(const ffl_row *a, const ffl_row *b)
{
    const ffl_record *x = &a->record, *y = &b->record;
    return a->machine == b->machine && strcmp(x->place, y->place) == 0 && x->trees == y->trees &&
           x->depth == y->depth && x->width_in == y->width_in && x->width_out == y->width_out &&
           strcmp(x->activation, y->activation) == 0;
}

static bool has_ratio(const ffl_report *r, size_t i)
{
    return ffl_row_is_fff(r->races[i]) && ffl_row_is_uniform(r->races[i]) &&
           isfinite(r->duels[i].speedup.ratio);
}

/* Drawn first: the class that the others are held against. */
static bool is_f32(const ffl_row *row)
{
    return strcmp(row->record.clazz, "f32") == 0;
}

static size_t cases_of(const ffl_report *r, const ffl_row *layer)
{
    size_t count = 0;
    for (size_t i = 0; i < r->race_count; i++)
        count += has_ratio(r, i) && same_layer(r->races[i], layer);
    return count;
}

const ffl_row *ffl_main_layer(const ffl_report *r)
{
    const ffl_row *best = NULL;
    for (size_t i = 0; i < r->race_count; i++)
        if (has_ratio(r, i) && (!best || cases_of(r, r->races[i]) > cases_of(r, best)))
            best = r->races[i];
    return best;
}

static void tick_of(ffl_chart *chart, const ffl_record *r)
{
    char name[32];
    snprintf(name, sizeof name, "%lld", (long long)r->batch);
    ffl_chart_tick(chart, (double)r->batch, name);
}

/* ---- The ratio ---- */

static ffl_status add_ratio(ffl_chart *chart, const ffl_row *race, const ffl_duel *d)
{
    char name[64], fff[FFL_CELL], dense[FFL_CELL];
    const ffl_record *r = &race->record;
    snprintf(name, sizeof name, "%s %s", r->clazz, r->cache);
    if (r->threads > 1)
        snprintf(name, sizeof name, "%s %s, %lld threads", r->clazz, r->cache, (long long)r->threads);
    ffl_series *series = ffl_chart_series(chart, name, true);
    if (!series)
        return FFL_OK;
    ffl_format_ns(ffl_row_token_ns(d->fff), fff);
    ffl_format_ns(ffl_row_token_ns(d->dense), dense);
    ffl_point p = {
        .x = (double)r->batch, .y = d->speedup.ratio, .low = d->speedup.low, .high = d->speedup.high};
    snprintf(p.label, sizeof p.label, "batch %lld, %s: %.3gx [%.3g, %.3g] = %s %s / %s %s",
             (long long)r->batch, name, d->speedup.ratio, d->speedup.low, d->speedup.high,
             d->dense->record.variant, dense, d->fff->record.variant, fff);
    tick_of(chart, r);
    return ffl_chart_add(chart, series, &p);
}

ffl_status ffl_headline_chart(const ffl_report *r, FILE *file)
{
    const ffl_row *layer = ffl_main_layer(r);
    char shape[FFL_CELL];
    if (!layer || cases_of(r, layer) < 3)
        return FFL_OK;
    ffl_chart chart = {.log_x = true, .log_y = true, .x_label = "batch"};
    ffl_format_shape(layer, shape);
    snprintf(chart.title, sizeof chart.title,
             "%.20s: fastest FFF over the fastest dense layer of as many neurons", shape);
    snprintf(chart.y_label, sizeof chart.y_label, "times as fast");
    ffl_status status = FFL_OK;
    for (int f32 = 1; f32 >= 0; f32--)
        for (size_t i = 0; i < r->race_count && status == FFL_OK; i++)
            if (has_ratio(r, i) && same_layer(r->races[i], layer) && is_f32(r->races[i]) == f32)
                status = add_ratio(&chart, r->races[i], &r->duels[i]);
    if (layer->record.trees == 1 && layer->record.depth == 11 && layer->record.width_in == 768) {
        ffl_chart_level(&chart, 341, "341x");
        ffl_chart_level(&chart, 78, "78x");
        ffl_chart_level(&chart, 40, "40x");
        const size_t used = strlen(chart.title);
        snprintf(chart.title + used, sizeof chart.title - used,
                 ". Dashed: 341x, the limit by arithmetic; published, 78x on a CPU and 40x in PyTorch");
    }
    if (status == FFL_OK)
        status = ffl_figure_add(r->figures, file, &chart);
    ffl_chart_free(&chart);
    return status;
}

/* ---- The times ---- */

static ffl_status add_time(ffl_chart *chart, const char *name, const ffl_row *row)
{
    double low, high;
    char time[FFL_CELL];
    ffl_series *series = ffl_chart_series(chart, name, true);
    if (!series || !row)
        return FFL_OK;
    ffl_row_token_interval(row, &low, &high);
    ffl_format_ns(ffl_row_token_ns(row), time);
    ffl_point p = {.x = (double)row->record.batch,
                   .y = ffl_row_token_ns(row) / 1e3,
                   .low = low / 1e3,
                   .high = high / 1e3};
    snprintf(p.cell, sizeof p.cell, "%.40s%s", time, ffl_row_is_reduced(row) ? "\\*" : "");
    snprintf(p.label, sizeof p.label, "batch %lld: %s, %s per token [%.4g, %.4g] µs",
             (long long)row->record.batch, row->record.variant, time, low / 1e3, high / 1e3);
    tick_of(chart, &row->record);
    return ffl_chart_add(chart, series, &p);
}

static ffl_status add_duel(ffl_chart *chart, const ffl_duel *d)
{
    char name[64];
    snprintf(name, sizeof name, "%s FFF", d->fff->record.clazz);
    FFL_TRY(add_time(chart, name, d->fff));
    snprintf(name, sizeof name, "%s dense", d->fff->record.clazz);
    return add_time(chart, name, d->dense);
}

static bool same_chart(const ffl_row *a, const ffl_row *b)
{
    return a->record.threads == b->record.threads && strcmp(a->record.cache, b->record.cache) == 0;
}

static ffl_status draw(const ffl_report *r, const ffl_row *layer, size_t first, FILE *file)
{
    const ffl_record *f = &r->races[first]->record;
    ffl_chart chart = {.log_x = true, .log_y = true, .x_label = "batch", .y_label = "µs per token"};
    char shape[FFL_CELL];
    ffl_status status = FFL_OK;
    ffl_format_shape(layer, shape);
    snprintf(chart.title, sizeof chart.title,
             "%.20s, %s, %lld thread%s: time per token of the fastest of each", shape, f->cache,
             (long long)f->threads, f->threads == 1 ? "" : "s");
    for (int f32 = 1; f32 >= 0; f32--)
        for (size_t i = first; i < r->race_count && status == FFL_OK; i++)
            if (has_ratio(r, i) && same_layer(r->races[i], layer) &&
                same_chart(r->races[i], r->races[first]) && is_f32(r->races[i]) == f32)
                status = add_duel(&chart, &r->duels[i]);
    if (status == FFL_OK && chart.tick_count > 1) {
        status = ffl_figure_add(r->figures, file, &chart);
        ffl_chart_table(&chart, "Batch", file);
    }
    ffl_chart_free(&chart);
    return status;
}

ffl_status ffl_section_batch(const ffl_report *r, FILE *file)
{
    const ffl_row *layer = ffl_main_layer(r);
    ffl_status status = FFL_OK;
    if (!layer || cases_of(r, layer) < 2)
        return FFL_OK;
    fputs(
        "## Speed against batch\n\nFor the shape with the most timed cases. A dense layer reads its weights "
        "once per batch, so its time per token\nfalls until arithmetic binds; a tree's does not, as long as "
        "its tokens share few rows.\n\n",
        file);
    for (size_t i = 0; i < r->race_count && status == FFL_OK; i++) {
        bool first = has_ratio(r, i) && same_layer(r->races[i], layer);
        for (size_t k = 0; k < i && first; k++)
            first =
                !(has_ratio(r, k) && same_layer(r->races[k], layer) && same_chart(r->races[k], r->races[i]));
        if (first)
            status = draw(r, layer, i, file);
    }
    return status;
}
