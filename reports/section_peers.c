/* The section of peers (peers.h): a chart, a table of times, and the kernels behind it. */
#include "reports/format.h"
#include "reports/peers.h"
#include "reports/sections_with_charts.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void print_cell(const ffl_peer_table *t, const ffl_peer_line *l, size_t batch, FILE *file)
{
    const ffl_row *row = l->best[batch], *dense = ffl_peers_fastest(t, "ff", true, batch);
    char time[FFL_CELL], flags[FFL_CELL], ratio[FFL_CELL];
    if (!row) {
        fputs(" – |", file);
        return;
    }
    ffl_format_ns(ffl_row_token_ns(row), time);
    ffl_format_flags(row, flags);
    fprintf(file, " %s%s%s%s", time, ffl_row_is_reduced(row) ? "\\*" : "", *flags ? " " : "", flags);
    if (dense && row != dense) {
        ffl_format_ratio(ffl_row_token_ns(dense) / ffl_row_token_ns(row), ratio);
        fprintf(file, " (%s%s)", ratio, ffl_row_is_reduced(dense) ? "\\*" : "");
    }
    fputs(" |", file);
}

static void print_heading(const ffl_peer_table *t, FILE *file)
{
    const ffl_record *r = &t->first->record;
    fprintf(file, "### Peers: %s, %s, %s, width %lld, %s, %lld thread%s\n\n", r->clazz, r->cache,
            strcmp(r->place, "cuda") == 0 ? "GPU" : "host", (long long)r->width_in, r->activation,
            (long long)r->threads, r->threads == 1 ? "" : "s");
}

static void print_table(const ffl_peer_table *t, FILE *file)
{
    fputs("| Layer | Weights | Active |", file);
    for (size_t b = 0; b < t->batch_count; b++)
        fprintf(file, " B=%lld |", (long long)t->batch[b]);
    fputs("\n|---|--:|--:|", file);
    for (size_t b = 0; b < t->batch_count; b++)
        fputs("--:|", file);
    fputc('\n', file);
    for (size_t i = 0; i < t->line_count; i++) {
        const ffl_peer_line *l = &t->lines[i];
        char name[160], gates[32] = "";
        ffl_peer_line_name(l, name, sizeof name);
        if (l->gates > 0)
            snprintf(gates, sizeof gates, " + %.0f gates", l->gates);
        fputs("| ", file);
        ffl_print_text(file, name);
        fprintf(file, " | %.0f | %.0f%s |", l->weights, l->active, gates);
        for (size_t b = 0; b < t->batch_count; b++)
            print_cell(t, l, b, file);
        fputc('\n', file);
    }
    fputs("\nTime per token, fastest kernel of each line; in brackets how many times as fast as the fastest "
          "dense row of "
          "that batch.\nWeights and what of them is active per token are counted in rows of as many numbers "
          "as the "
          "layer is wide; of gates only\nthose that are evaluated. `*`: a reduced batch.\n\n",
          file);
}

static void print_kernels(const ffl_peer_table *t, FILE *file)
{
    fputs("Kernels and journal lines:\n\n| Layer | Batch | Kernel | Per token | Experts asked | Verdict | "
          "Line |\n"
          "|---|--:|---|--:|--:|---|---|\n",
          file);
    for (size_t i = 0; i < t->line_count; i++)
        for (size_t b = 0; b < t->batch_count; b++) {
            const ffl_row *row = t->lines[i].best[b];
            char name[160], time[FFL_CELL], source[FFL_CELL];
            if (!row)
                continue;
            ffl_peer_line_name(&t->lines[i], name, sizeof name);
            ffl_format_token(row, time);
            ffl_format_source(t->rows, row, source);
            fputs("| ", file);
            ffl_print_text(file, name);
            fprintf(file, " | %lld | `", (long long)t->batch[b]);
            ffl_print_text(file, row->record.variant);
            fprintf(file, "` | %s | ", time);
            if (t->lines[i].gates > 0 && isfinite(row->record.leaves_mean))
                fprintf(file, "%.0f", row->record.leaves_mean);
            else
                fputs("–", file);
            fprintf(file, " | %s | %s |\n", row->record.verdict, source);
        }
    fputc('\n', file);
}

/* ---- arXiv:2308.14711 ---- */

/* The largest ratio of the fastest row of `slow` over the fastest of `fast`, operations, and where. */
static double largest(const ffl_peer_table *t, const char *slow, const char *fast, int64_t *batch)
{
    double most = 0;
    for (size_t b = 0; b < t->batch_count; b++) {
        const ffl_row *s = ffl_peers_fastest(t, slow, false, b), *f = ffl_peers_fastest(t, fast, false, b);
        const double ratio = s && f ? ffl_row_token_ns(s) / ffl_row_token_ns(f) : 0;
        if (ratio > most) {
            most = ratio;
            *batch = t->batch[b];
        }
    }
    return most;
}

static void print_claims(const ffl_peer_table *t, FILE *file)
{
    int64_t dense_batch = 0, mixture_batch = 0;
    const double dense = largest(t, "ff", "fff_leaf", &dense_batch),
                 mixture = largest(t, "moe", "fff_leaf", &mixture_batch);
    char ratio[FFL_CELL];
    if (!(dense > 0) && !(mixture > 0))
        return;
    fputs("arXiv:2308.14711 publishes leaf trees up to 220x as fast as FF and up to 6x as fast as MoE, of "
          "equal training "
          "width or\nequal leaf and expert width on its own hardware and code. Here, fastest kernel against "
          "fastest kernel, "
          "the most is",
          file);
    if (dense > 0) {
        ffl_format_ratio(dense, ratio);
        fprintf(file, " %s over FF (batch %lld)", ratio, (long long)dense_batch);
    }
    if (mixture > 0) {
        ffl_format_ratio(mixture, ratio);
        fprintf(file, "%s %s over the fastest mixture (batch %lld)", dense > 0 ? " and" : "", ratio,
                (long long)mixture_batch);
    }
    fputs(".\n\n", file);
}

/* ---- Chart ---- */

static ffl_status add_line(const ffl_peer_table *t, const ffl_peer_line *line, ffl_chart *chart)
{
    char name[160], time[FFL_CELL];
    ffl_peer_line_name(line, name, sizeof name);
    ffl_series *series = ffl_chart_series(chart, name, true);
    for (size_t b = 0; series && b < t->batch_count; b++) {
        const ffl_row *row = line->best[b];
        ffl_point p = {.x = (double)t->batch[b]};
        if (!row)
            continue;
        ffl_row_token_interval(row, &p.low, &p.high);
        p.y = ffl_row_token_ns(row) / 1e3;
        p.low /= 1e3;
        p.high /= 1e3;
        ffl_format_ns(ffl_row_token_ns(row), time);
        snprintf(p.label, sizeof p.label, "%.90s, batch %lld: %s, %.40s per token", name,
                 (long long)t->batch[b], row->record.variant, time);
        FFL_TRY(ffl_chart_add(chart, series, &p));
    }
    return FFL_OK;
}

static ffl_status draw(const ffl_report *r, const ffl_peer_table *t, FILE *file)
{
    ffl_chart chart = {.log_x = true, .log_y = true, .x_label = "batch", .y_label = "µs per token"};
    const ffl_record *f = &t->first->record;
    ffl_status status = FFL_OK;
    snprintf(chart.title, sizeof chart.title, "Peers of about as many neurons: %s, %s, %lld thread%s",
             f->clazz, f->cache, (long long)f->threads, f->threads == 1 ? "" : "s");
    for (size_t b = 0; b < t->batch_count; b++) {
        char name[32];
        snprintf(name, sizeof name, "%lld", (long long)t->batch[b]);
        ffl_chart_tick(&chart, (double)t->batch[b], name);
    }
    size_t shown[FFL_SERIES_MAX];
    const size_t count = ffl_peers_choose(t, FFL_SERIES_MAX, shown);
    for (size_t i = 0; i < count && status == FFL_OK; i++)
        status = add_line(t, &t->lines[shown[i]], &chart);
    if (status == FFL_OK)
        status = ffl_figure_add(r->figures, file, &chart);
    ffl_chart_free(&chart);
    return status;
}

/* ---- The section ---- */

static ffl_status write_table(const ffl_report *r, const ffl_row *first, FILE *file)
{
    ffl_peer_table *t = calloc(1, sizeof *t);
    if (!t)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the report");
    ffl_peers_collect(r->rows, first, t);
    print_heading(t, file);
    const ffl_status status = draw(r, t, file);
    print_table(t, file);
    print_claims(t, file);
    print_kernels(t, file);
    free(t);
    return status;
}

ffl_status ffl_section_peers(const ffl_report *r, FILE *file)
{
    bool any = false;
    ffl_status status = FFL_OK;
    for (size_t i = 0; i < r->rows->count && status == FFL_OK; i++) {
        if (!ffl_peers_begin(r->rows, i))
            continue;
        if (!any)
            fputs("## Peers\n\nFF, FFF, leaf FFF (arXiv:2308.14711) and mixtures of experts (MoE) compute "
                  "**different "
                  "functions**: none replaces\nanother without training, and equal speed is no equal "
                  "quality. What is "
                  "alike are the width and, about, the number of\nneurons. Programs of others run in a "
                  "process of their "
                  "own, report their own times, and are verified like every kernel.\n\n",
                  file);
        any = true;
        status = write_table(r, &r->rows->value[i], file);
    }
    return status;
}
