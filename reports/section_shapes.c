/* What the shape does: depth at fixed width, and trees against depth. */
#include "reports/format.h"
#include "reports/sections_with_charts.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST = 3 };

/* Everything but the shape, and the batch where `batch` says so. */
static bool same_but_shape(const ffl_row *a, const ffl_row *b, bool batch)
{
    const ffl_record *x = &a->record, *y = &b->record;
    return a->machine == b->machine && strcmp(x->place, y->place) == 0 && strcmp(x->clazz, y->clazz) == 0 &&
           x->threads == y->threads && x->width_in == y->width_in && x->width_out == y->width_out &&
           strcmp(x->activation, y->activation) == 0 && strcmp(x->cache, y->cache) == 0 &&
           (!batch || x->batch == y->batch);
}

typedef struct member {
    const ffl_row *race;
    const ffl_duel *duel;
} member;

static bool has_ratio(const ffl_report *r, size_t i)
{
    return ffl_row_is_fff(r->races[i]) && ffl_row_is_uniform(r->races[i]) &&
           isfinite(r->duels[i].speedup.ratio);
}

static int by_depth(const void *a, const void *b)
{
    const ffl_record *x = &((const member *)a)->race->record, *y = &((const member *)b)->race->record;
    if (x->depth != y->depth)
        return x->depth < y->depth ? -1 : 1;
    if (x->trees != y->trees)
        return x->trees < y->trees ? -1 : 1;
    return (x->batch > y->batch) - (x->batch < y->batch);
}

/* The races that go together with race `first`, when it is the first of them: how many, into `out`. */
static size_t collect(const ffl_report *r, size_t first, bool one_tree, member *out)
{
    size_t count = 0;
    for (size_t i = 0; i < r->race_count; i++) {
        if (!has_ratio(r, i) || (one_tree && r->races[i]->record.trees != 1) ||
            !same_but_shape(r->races[i], r->races[first], one_tree))
            continue;
        if (i < first)
            return 0;
        out[count++] = (member){r->races[i], &r->duels[i]};
    }
    qsort(out, count, sizeof *out, by_depth);
    return count;
}

/* A section: what opens it, which races make a chart, and the chart with its table. */
typedef struct kind {
    bool one_tree; /* of one tree and batch; otherwise of all */
    const char *opening;
    bool (*worthwhile)(const member *m, size_t count);
    ffl_status (*draw)(const ffl_report *r, const member *m, size_t count, FILE *file);
} kind;

static ffl_status write_kind(const ffl_report *r, const kind *k, FILE *file)
{
    member *m = calloc(r->race_count + 1, sizeof *m);
    ffl_status status = m ? FFL_OK : ffl_fail(FFL_NO_MEMORY, "no memory for the report");
    bool any = false;
    for (size_t i = 0; m && i < r->race_count && status == FFL_OK; i++) {
        const bool first = has_ratio(r, i) && (!k->one_tree || r->races[i]->record.trees == 1);
        const size_t count = first ? collect(r, i, k->one_tree, m) : 0;
        if (!count || !k->worthwhile(m, count))
            continue;
        if (!any)
            fputs(k->opening, file);
        any = true;
        status = k->draw(r, m, count, file);
    }
    free(m);
    return status;
}

/* ---- Depth ---- */

/* The slope of log y over log x: y grows like x to this power. */
static double exponent(const member *m, size_t count, bool dense, bool levels)
{
    double sx = 0, sy = 0, sxx = 0, sxy = 0;
    for (size_t i = 0; i < count; i++) {
        const ffl_row *row = dense ? m[i].duel->dense : m[i].duel->fff;
        const double x = log(levels ? (double)(m[i].race->record.depth + 1)
                                    : (double)m[i].race->record.neurons),
                     y = log(ffl_row_token_ns(row));
        sx += x, sy += y, sxx += x * x, sxy += x * y;
    }
    const double n = (double)count;
    return (n * sxy - sx * sy) / (n * sxx - sx * sx);
}

static ffl_status add_time(ffl_chart *chart, const char *name, const ffl_row *row, const ffl_row *race)
{
    double low, high;
    char time[FFL_CELL], shape[FFL_CELL];
    ffl_series *series = ffl_chart_series(chart, name, true);
    ffl_row_token_interval(row, &low, &high);
    ffl_format_ns(ffl_row_token_ns(row), time);
    ffl_format_shape(race, shape);
    ffl_point p = {.x = (double)race->record.neurons,
                   .y = ffl_row_token_ns(row) / 1e3,
                   .low = low / 1e3,
                   .high = high / 1e3};
    snprintf(p.cell, sizeof p.cell, "%.40s%s", time, ffl_row_is_reduced(row) ? "\\*" : "");
    snprintf(p.label, sizeof p.label, "%.20s: %s, %.40s per token [%.4g, %.4g] µs", shape,
             row->record.variant, time, low / 1e3, high / 1e3);
    return ffl_chart_add(chart, series, &p);
}

static ffl_status draw_depth(const ffl_report *r, const member *m, size_t count, FILE *file)
{
    const ffl_record *f = &m[0].race->record;
    const double dense = exponent(m, count, true, false), fff = exponent(m, count, false, false),
                 level = exponent(m, count, false, true);
    ffl_chart chart = {.log_x = true, .log_y = true, .x_label = "neurons n", .y_label = "µs per token"};
    ffl_status status = FFL_OK;
    snprintf(chart.title, sizeof chart.title, "One tree, width %lld, batch %lld, %s, %s, %lld thread%s",
             (long long)f->width_in, (long long)f->batch, f->clazz, f->cache, (long long)f->threads,
             f->threads == 1 ? "" : "s");
    char fff_name[64], dense_name[64];
    snprintf(fff_name, sizeof fff_name, "fastest FFF: n^%.2f", fff);
    snprintf(dense_name, sizeof dense_name, "fastest dense: n^%.2f", dense);
    for (size_t i = 0; i < count && status == FFL_OK; i++) {
        char name[64];
        snprintf(name, sizeof name, "%lld", (long long)m[i].race->record.neurons);
        ffl_chart_tick(&chart, (double)m[i].race->record.neurons, name);
        status = add_time(&chart, fff_name, m[i].duel->fff, m[i].race);
        if (status == FFL_OK)
            status = add_time(&chart, dense_name, m[i].duel->dense, m[i].race);
    }
    if (status == FFL_OK) {
        status = ffl_figure_add(r->figures, file, &chart);
        ffl_chart_table(&chart, "Neurons", file);
        fprintf(
            file,
            "Fitted over %zu depths: the dense time grows like n^%.2f, the tree's like n^%.2f, or like the "
            "number of its levels to the power %.2f.\n\n",
            count, dense, fff, level);
    }
    ffl_chart_free(&chart);
    return status;
}

static bool is_curve(const member *m, size_t count)
{
    (void)m;
    return count >= LEAST;
}

ffl_status ffl_section_depth(const ffl_report *r, FILE *file)
{
    static const kind depth = {
        .one_tree = true,
        .opening =
            "## Speed against depth\n\nOne tree, twice as many neurons and one level more at each step. By "
            "arithmetic the dense layer takes time in\nproportion to n, the tree in proportion to its "
            "levels, log2(n + 1).\n\n",
        .worthwhile = is_curve,
        .draw = draw_depth};
    return write_kind(r, &depth, file);
}

/* ---- Trees against depth ---- */

static bool is_another_shape(const member *m, size_t i)
{
    return i == 0 || m[i].race->record.trees != m[i - 1].race->record.trees ||
           m[i].race->record.depth != m[i - 1].race->record.depth;
}

static bool is_family(const member *m, size_t count)
{
    size_t shapes = 0, forests = 0;
    for (size_t i = 0; i < count; i++) {
        shapes += is_another_shape(m, i);
        forests += is_another_shape(m, i) && m[i].race->record.trees > 1;
    }
    return shapes >= LEAST && forests >= 2;
}

static ffl_status add_ratio(ffl_chart *chart, const member *m, double at)
{
    char name[64], ratio[FFL_CELL], shape[FFL_CELL];
    snprintf(name, sizeof name, "B=%lld", (long long)m->race->record.batch);
    ffl_series *series = ffl_chart_series(chart, name, true);
    if (!series)
        return FFL_OK;
    const ffl_speedup *s = &m->duel->speedup;
    ffl_format_speedup(*s, ratio);
    ffl_format_shape(m->race, shape);
    ffl_point p = {.x = at, .y = s->ratio, .low = s->low, .high = s->high};
    snprintf(p.cell, sizeof p.cell, "%.60s", ratio);
    snprintf(p.label, sizeof p.label, "%.20s, %s: %.3gx [%.3g, %.3g], %s against %s", shape, name, s->ratio,
             s->low, s->high, m->duel->fff->record.variant, m->duel->dense->record.variant);
    return ffl_chart_add(chart, series, &p);
}

static ffl_status draw_trees(const ffl_report *r, const member *m, size_t count, FILE *file)
{
    const ffl_record *f = &m[0].race->record;
    ffl_chart chart = {.log_y = true, .x_label = "trees x depth", .y_label = "times as fast as dense"};
    ffl_status status = FFL_OK;
    snprintf(
        chart.title, sizeof chart.title,
        "Trees x depth, %s, %s, %lld thread%s: fastest FFF over the fastest dense layer of as many neurons",
        f->clazz, f->cache, (long long)f->threads, f->threads == 1 ? "" : "s");
    double at = -1;
    for (size_t i = 0; i < count && status == FFL_OK; i++) {
        char shape[FFL_CELL];
        at += is_another_shape(m, i);
        ffl_format_shape(m[i].race, shape);
        ffl_chart_tick(&chart, at, shape);
        status = add_ratio(&chart, &m[i], at);
    }
    ffl_chart_level(&chart, 1, "dense");
    if (status == FFL_OK) {
        status = ffl_figure_add(r->figures, file, &chart);
        ffl_chart_table(&chart, "Trees x depth", file);
    }
    ffl_chart_free(&chart);
    return status;
}

ffl_status ffl_section_trees(const ffl_report *r, FILE *file)
{
    static const kind trees = {
        .opening =
            "## Trees against depth\n\nAbout as many neurons in more and shallower trees. T trees of depth D "
            "evaluate T·(D + 1) neurons of T·(2^(D+1) - 1): many shallow\ntrees skip less, and pay for "
            "choosing.\n\n",
        .worthwhile = is_family,
        .draw = draw_trees};
    return write_kind(r, &trees, file);
}
