/* Every timed row: the ranking of each race, then the slowest calls at batch 1. */
#include "reports/format.h"
#include "reports/markdown.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Ranking rows first, by time; then those with a number that may not rank; then those without. */
static int by_rank(const void *a, const void *b)
{
    const ffl_row *x = *(const ffl_row *const *)a, *y = *(const ffl_row *const *)b;
    const int x_class = ffl_row_ranks(x) ? 0 : ffl_row_has_time(x) ? 1 : 2;
    const int y_class = ffl_row_ranks(y) ? 0 : ffl_row_has_time(y) ? 1 : 2;
    if (x_class != y_class)
        return x_class - y_class;
    const double x_ns = ffl_row_token_ns(x), y_ns = ffl_row_token_ns(y);
    if (x_class < 2 && x_ns != y_ns)
        return x_ns < y_ns ? -1 : 1;
    return strcmp(x->record.variant, y->record.variant);
}

/* The rows of a race in ranking order, into `out` of rows->count places. */
static size_t field_of(const ffl_rows *rows, const ffl_row *race, const ffl_row **out)
{
    size_t count = 0;
    for (size_t i = race->alike_first; i < rows->count; i = ffl_rows_after(rows, i))
        if (ffl_in_race(rows, &rows->value[i], race))
            out[count++] = &rows->value[i];
    qsort(out, count, sizeof *out, by_rank);
    return count;
}

static void print_remark(const ffl_row *row, FILE *file)
{
    char flags[FFL_CELL];
    bool alone = false;
    ffl_format_flags(row, flags);
    if (strcmp(row->record.verdict, "PASSED") != 0) {
        ffl_print_text(file, row->record.verdict);
        fputs(row->record.reason[0] ? ": " : "", file);
        ffl_print_text(file, row->record.reason);
    } else if (!ffl_row_has_time(row)) {
        fputs("no time", file);
    } else if (ffl_row_is_reduced(row)) {
        fprintf(file, "\\* %lld tokens per call", (long long)row->record.tokens);
    } else {
        alone = true;
    }
    fprintf(file, "%s%s", flags[0] && !alone ? "; " : "", flags);
}

static void print_row(const ffl_rows *rows, const ffl_row *row, size_t place, bool shares, FILE *file)
{
    char cell[FFL_CELL];
    const ffl_record *r = &row->record;
    if (place)
        fprintf(file, "| %zu | `", place);
    else
        fputs("| – | `", file);
    ffl_print_text(file, r->variant);
    fputs("` | ", file);
    ffl_format_provider(row, cell);
    ffl_print_text(file, cell);
    ffl_format_token(row, cell);
    fprintf(file, " | %s | ", cell);
    if (ffl_row_has_time(row) && isfinite(r->flops))
        fprintf(file, "%.3g | ", r->flops / r->median_ns); /* FLOP per ns = GFLOP/s */
    else
        fputs("– | ", file);
    if (shares) {
        ffl_format_roof(row, cell);
        fputs(cell, file);
        fputs(" | ", file);
    }
    const bool fff = ffl_row_is_fff(row);
    ffl_format_speedup(
        fff ? ffl_speedup_of(row, ffl_same_level(rows, row, r->neurons)) : (ffl_speedup){.ratio = NAN}, cell);
    fprintf(file, "%s | ", cell);
    const ffl_row *fastest = ffl_fastest(rows, row, "ff", r->neurons);
    if (fastest == row)
        ffl_format_ratio(1, cell); /* with itself there is no uncertainty */
    else
        ffl_format_speedup(ffl_speedup_of(row, fastest), cell);
    fprintf(file, "%s | ", cell);
    print_remark(row, file);
    ffl_format_source(rows, row, cell);
    fprintf(file, " | %s |\n", cell);
}

void ffl_markdown_ranking(const ffl_rows *rows, const ffl_row *const *races, size_t count, FILE *file)
{
    const ffl_row **field = calloc(rows->count + 1, sizeof *field);
    const bool shares = ffl_any_roof(rows->value, rows->count);
    if (!count || !field) {
        free(field);
        return;
    }
    fputs("## Ranking\n\nWhat passed at the full batch, fastest first; below it, without a place, what may "
          "not be "
          "ranked and why.\nGFLOP/s are those really executed.\n\n",
          file);
    if (shares)
        fputs("Of its roof: the least time that a call can take by the measured roof that binds it, over the "
              "time "
              "that it took.\nAbove 105 % (on a GPU 125 %) it is IMPLAUSIBLE.\n\n",
              file);
    for (size_t i = 0; i < count; i++) {
        char shape[FFL_CELL];
        ffl_format_shape(races[i], shape);
        fprintf(file, "### Ranking: %s%s, ", ffl_row_is_fff(races[i]) ? "" : "dense only, ", shape);
        ffl_print_setting(file, races[i]);
        if (ffl_row_is_fff(races[i]) && races[i]->record.routing[0]) {
            fputs(", routing ", file);
            ffl_print_text(file, races[i]->record.routing);
        }
        ffl_print_on(file, rows, races[i]);
        fprintf(
            file,
            "\n\n| # | Variant | Provider | per token | GFLOP/s |%s same level | fastest dense | Remark | "
            "Line |\n"
            "|--:|---|---|--:|--:|%s--:|--:|---|---|\n",
            shares ? " of its roof |" : "", shares ? "--:|" : "");
        const size_t rows_here = field_of(rows, races[i], field);
        for (size_t k = 0; k < rows_here; k++)
            print_row(rows, field[k], ffl_row_ranks(field[k]) ? k + 1 : 0, shares, file);
        fputc('\n', file);
    }
    free(field);
}

void ffl_markdown_tails(const ffl_rows *rows, const ffl_row *const *races, size_t count, FILE *file)
{
    const ffl_row **field = calloc(rows->count + 1, sizeof *field);
    const ffl_row *before = NULL;
    for (size_t i = 0; i < count && field; i++) {
        const size_t rows_here = races[i]->record.batch == 1 ? field_of(rows, races[i], field) : 0;
        for (size_t k = 0; k < rows_here; k++) {
            char shape[FFL_CELL], median[FFL_CELL], p99[FFL_CELL], source[FFL_CELL];
            if (!ffl_row_has_time(field[k]) || !isfinite(field[k]->record.p99_ns))
                continue;
            if (!before)
                fputs(
                    "## Slow calls at batch 1\n\nThe 99th percentile is what a single request may meet.\n\n",
                    file);
            if (ffl_print_machine(rows, field[k], before, file))
                fputs("| Variant | Shape | Cache | Threads | median | p99 | p99 / median | Line |\n"
                      "|---|---|---|--:|--:|--:|--:|---|\n",
                      file);
            before = field[k];
            ffl_format_shape(field[k], shape);
            ffl_format_ns(field[k]->record.median_ns, median);
            ffl_format_ns(field[k]->record.p99_ns, p99);
            ffl_format_source(rows, field[k], source);
            fputs("| `", file);
            ffl_print_text(file, field[k]->record.variant);
            fprintf(file, "` | %s | ", shape);
            ffl_print_text(file, field[k]->record.cache);
            fprintf(file, " | %lld | %s | %s | %.2f | %s |\n", (long long)field[k]->record.threads, median,
                    p99, field[k]->record.p99_ns / field[k]->record.median_ns, source);
        }
    }
    if (before)
        fputc('\n', file);
    free(field);
}
