/*
 * The roofline: what rows do per second against how much arithmetic they have per byte. A row of the fastest
 * shape-and-class cannot stand above the roofs of its machine; how far below it stands says what is left.
 */
#include "reports/format.h"
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
    ffl_series *series = ffl_chart_series(chart, ffl_row_is_fff(row) ? "FFF" : "dense", false);
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
    char line[FFL_CELL];
    ffl_format_source(rows, row, line);
    fputs("| `", file);
    ffl_print_text(file, r->variant);
    fprintf(file, "` | %lld | %.3g | %.3g | %.3g | ", (long long)r->batch, r->flops / r->bytes,
            r->flops / r->median_ns, r->bytes / r->median_ns);
    if (isfinite(r->roof_share))
        fprintf(file, "%.0f %%", 100 * r->roof_share);
    else
        fputs("–", file);
    fprintf(file, " | %s |\n", line);
}

ffl_status ffl_section_roofline(const ffl_report *r, FILE *file)
{
    const ffl_row *layer = ffl_main_layer(r);
    ffl_chart chart = {.log_x = true,
                       .log_y = true,
                       .x_label = "FLOP per byte of weights, inputs and outputs touched",
                       .y_label = "GFLOP/s executed"};
    ffl_status status = FFL_OK;
    bool calibrated = false;
    char shape[FFL_CELL];
    for (size_t i = 0; layer && i < r->rows->count && status == FFL_OK; i++)
        if (belongs(&r->rows->value[i], layer)) {
            calibrated |= isfinite(r->rows->value[i].record.roof_share);
            status = add_row(&chart, &r->rows->value[i]);
        }
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
