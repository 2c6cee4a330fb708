/*
 * The roofline: what rows do per second against how much arithmetic they have per byte, under the roofs that
 * were measured on their machine. How far below them a row stands says what is left.
 */
#include "reports/format.h"
#include "reports/roof.h"
#include "reports/sections_with_charts.h"
#include <math.h>
#include <string.h>

/* Rows of the main layer in f32, hot, full batches: their points can share one picture. */
static bool belongs(const ffl_row *row, const ffl_row *layer)
{
    const ffl_record *x = &row->record, *y = &layer->record;
    return ffl_row_ranks(row) && row->machine == layer->machine && strcmp(x->place, y->place) == 0 &&
           strcmp(x->clazz, "f32") == 0 && strcmp(x->cache, "hot") == 0 && x->threads == y->threads &&
           x->width_in == y->width_in && x->neurons == y->neurons && ffl_row_is_uniform(row) &&
           x->flops > 0 && x->bytes > 0;
}

static ffl_status add_row(ffl_chart *chart, const ffl_row *row)
{
    const ffl_record *r = &row->record;
    ffl_series *series = ffl_chart_series(chart,
                                          ffl_row_is_fff(row)     ? "FFF"
                                          : ffl_row_is_dense(row) ? "dense"
                                                                  : "leaf FFF, MoE",
                                          false);
    ffl_point p = {.x = r->flops / r->bytes,
                   .y = r->flops / r->median_ns,
                   .low = r->flops / r->high_ns,
                   .high = r->flops / r->low_ns};
    snprintf(p.label, sizeof p.label, "%s, batch %lld: %.3g GFLOP/s, %.3g FLOP per byte, %.3g GB/s",
             r->variant, (long long)r->batch, p.y, p.x, r->bytes / r->median_ns);
    return series ? ffl_chart_add(chart, series, &p) : FFL_OK;
}

static void print_row(const ffl_rows *rows, const ffl_row *row, FILE *file)
{
    const ffl_record *r = &row->record;
    char line[FFL_CELL], share[FFL_CELL];
    ffl_format_source(rows, row, line);
    fputs("| `", file);
    ffl_print_text(file, r->variant);
    fprintf(file, "` | %lld | %.3g | %.3g | %.3g | ", (long long)r->batch, r->flops / r->bytes,
            r->flops / r->median_ns, r->bytes / r->median_ns);
    ffl_format_roof(row, share);
    fprintf(file, "%s | %s |\n", share, line);
}

/* ---- Roofs ---- */

enum { ROOFS_MAX = 6 }; /* beside the two series of rows */

/* The roofs that f32 rows of the layer stand under: the fastest arithmetic, then reading from each level. */
static size_t roofs_of(const ffl_rows *rows, const ffl_row *layer, ffl_roof out[ROOFS_MAX])
{
    size_t count = 1;
    out[0] = (ffl_roof){.value = 0};
    for (size_t i = 0; i < rows->roof_count; i++) {
        ffl_roof roof;
        if (rows->roofs[i].machine != layer->machine ||
            ffl_roof_from_record(&rows->roofs[i].record, &roof) != FFL_OK ||
            strcmp(roof.place, layer->record.place) != 0 || roof.threads != layer->record.threads)
            continue;
        const bool arithmetic =
            strncmp(roof.name, "fma_f32_", 8) == 0 || strcmp(roof.name, "matmul_f32") == 0;
        if (arithmetic && roof.value > out[0].value)
            out[0] = roof;
        else if (strncmp(roof.name, "read_", 5) == 0 && count < ROOFS_MAX)
            out[count++] = roof;
    }
    return out[0].value > 0 ? count : 0;
}

/* GFLOP/s at so many FLOP per byte: up to where arithmetic binds. */
static ffl_status add_roof_point(ffl_chart *chart, ffl_series *series, const ffl_roof *roof, double x,
                                 double y)
{
    ffl_point p = {.x = x, .y = y, .low = NAN, .high = NAN};
    snprintf(p.label, sizeof p.label, "measured roof %.39s: %.4g %.11s", roof->name, roof->value, roof->unit);
    return ffl_chart_add(chart, series, &p);
}

/* The slope of a bandwidth, or the flat top; from the leftmost to the rightmost row. */
static ffl_status add_roof(ffl_chart *chart, const ffl_roof *roof, const ffl_roof *top, double left,
                           double right)
{
    char name[96];
    const bool flat = roof == top;
    const double bend = flat ? left : top->value / roof->value;
    snprintf(name, sizeof name, "%.39s: %.3g %.11s", roof->name, roof->value, roof->unit);
    ffl_series *series = ffl_chart_series(chart, name, true);
    if (!series)
        return FFL_OK;
    FFL_TRY(add_roof_point(chart, series, roof, flat ? left : fmin(left, bend / 2),
                           flat ? top->value : fmin(left, bend / 2) * roof->value));
    return add_roof_point(chart, series, roof, flat ? right : bend, top->value);
}

static ffl_status add_roofs(ffl_chart *chart, const ffl_rows *rows, const ffl_row *layer)
{
    ffl_roof roofs[ROOFS_MAX];
    const size_t count = roofs_of(rows, layer, roofs);
    double left = INFINITY, right = 0;
    for (size_t s = 0; s < chart->count; s++)
        for (size_t i = 0; i < chart->series[s].count; i++) {
            left = fmin(left, chart->series[s].point[i].x);
            right = fmax(right, chart->series[s].point[i].x);
        }
    for (size_t k = 0; k < count; k++)
        FFL_TRY(add_roof(chart, &roofs[k], &roofs[0], left, right));
    return FFL_OK;
}

ffl_status ffl_section_roofline(const ffl_report *r, FILE *file)
{
    const ffl_row *layer = ffl_main_layer(r);
    ffl_chart chart = {.log_x = true,
                       .log_y = true,
                       .x_label = "FLOP per byte of weights, inputs and outputs touched",
                       .y_label = "GFLOP/s executed"};
    ffl_status status = FFL_OK;
    ffl_roof roofs[ROOFS_MAX];
    const bool calibrated = layer && roofs_of(r->rows, layer, roofs) > 0;
    char shape[FFL_CELL];
    for (size_t i = 0; layer && i < r->rows->count && status == FFL_OK; i++)
        if (belongs(&r->rows->value[i], layer))
            status = add_row(&chart, &r->rows->value[i]);
    if (chart.count && status == FFL_OK) {
        ffl_format_shape(layer, shape);
        snprintf(chart.title, sizeof chart.title,
                 "%.20s and dense, f32, hot: arithmetic done per second and per byte", shape);
        fprintf(file,
                "## Roofline\n\nEvery ranked row of this shape, all batches. Bytes are unique ones: a row "
                "that is used "
                "by many tokens counts once, so points right\nof the bend are bound by arithmetic and points "
                "left of it "
                "by how fast bytes come.%s\n\n",
                calibrated
                    ? ""
                    : " **The machine's roofs were not measured in these runs**, so there are points but no "
                      "roofs, and no share of one.");
        status = add_roofs(&chart, r->rows, layer);
        if (status == FFL_OK)
            status = ffl_figure_add(r->figures, file, &chart);
        fputs("| Variant | Batch | FLOP/byte | GFLOP/s | GB/s | of its roof | Line "
              "|\n|---|--:|--:|--:|--:|--:|---|\n",
              file);
        for (size_t i = 0; i < r->rows->count; i++)
            if (belongs(&r->rows->value[i], layer))
                print_row(r->rows, &r->rows->value[i], file);
        fputc('\n', file);
    }
    ffl_chart_free(&chart);
    return status;
}
