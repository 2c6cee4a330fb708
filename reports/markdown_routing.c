/* What the speed depends on beside the kernel: the tokens' paths, and packing. */
#include "reports/format.h"
#include "reports/markdown.h"
#include "reports/sections_with_charts.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool same_but_routing(const ffl_row *a, const ffl_row *b)
{
    const ffl_record *x = &a->record, *y = &b->record;
    return ffl_row_ran(b) && ffl_row_is_fff(b) && ffl_same_setting(a, b) && x->trees == y->trees &&
           x->depth == y->depth && strcmp(x->variant, y->variant) == 0;
}

/* The same variant and case under uniform routing, NULL when `row` has no other routing beside it. */
static const ffl_row *uniform_of(const ffl_rows *rows, const ffl_row *row)
{
    for (size_t i = row->alike_first; i < rows->count; i = ffl_rows_after(rows, i))
        if (same_but_routing(row, &rows->value[i]) && ffl_row_is_uniform(&rows->value[i]))
            return &rows->value[i];
    return NULL;
}

static bool has_other_routing(const ffl_rows *rows, const ffl_row *row)
{
    for (size_t i = row->alike_first; i < rows->count; i = ffl_rows_after(rows, i))
        if (same_but_routing(row, &rows->value[i]) &&
            strcmp(rows->value[i].record.routing, row->record.routing) != 0)
            return true;
    return false;
}

static int by_variant(const void *a, const void *b)
{
    const ffl_row *x = *(const ffl_row *const *)a, *y = *(const ffl_row *const *)b;
    const int setting = ffl_compare_settings(x, y);
    if (setting)
        return setting;
    const int variant = strcmp(x->record.variant, y->record.variant);
    return variant ? variant : (x > y) - (x < y);
}

static void print_number(double value, const char *format, FILE *file)
{
    if (isfinite(value))
        fprintf(file, format, value);
    else
        fputs("–", file);
    fputs(" | ", file);
}

static void print_routing(const ffl_rows *rows, const ffl_row *row, FILE *file)
{
    const ffl_record *r = &row->record;
    const ffl_row *uniform = uniform_of(rows, row);
    char cell[FFL_CELL];
    ffl_format_shape(row, cell);
    fputs("| `", file);
    ffl_print_text(file, r->variant);
    fprintf(file, "` | %s | %lld | ", cell, (long long)r->batch);
    ffl_print_text(file, r->cache);
    fputs(" | ", file);
    ffl_print_text(file, r->routing);
    fputs(" | ", file);
    print_number(r->leaves_mean, "%.4g", file);
    print_number(r->entropy_mean, "%.3g", file);
    print_number(100 * r->top1_mean, "%.3g %%", file);
    ffl_format_bytes(r->unique_weight_bytes, cell);
    fprintf(file, "%s | ", cell);
    ffl_format_token(row, cell);
    fputs(ffl_row_has_time(row) ? cell : r->verdict, file);
    ffl_format_ratio(uniform && ffl_row_has_time(uniform) && ffl_row_has_time(row)
                         ? ffl_row_token_ns(uniform) / ffl_row_token_ns(row)
                         : NAN,
                     cell);
    fprintf(file, " | %s | ", cell);
    ffl_format_speedup(ffl_speedup_of(row, ffl_fastest(rows, row, "ff", r->neurons)), cell);
    fprintf(file, "%s | ", cell);
    ffl_format_source(rows, row, cell);
    fprintf(file, "%s |\n", cell);
}

ffl_status ffl_markdown_routing(const ffl_report *report, FILE *file)
{
    const ffl_rows *rows = report->rows;
    const ffl_row **list = calloc(rows->count + 1, sizeof *list);
    ffl_status status = list ? FFL_OK : ffl_fail(FFL_NO_MEMORY, "no memory for the report");
    size_t count = 0;
    for (size_t i = 0; i < rows->count && list; i++) {
        const ffl_row *row = &rows->value[i];
        if (ffl_row_ran(row) && ffl_row_is_fff(row) && has_other_routing(rows, row))
            list[count++] = row;
    }
    if (count) {
        qsort(list, count, sizeof *list, by_variant);
        fputs("## Routing\n\nThe same kernel on the same shape, tokens taking other paths. Leaves, entropy "
              "(bits) and "
              "the share of the\nmost frequent leaf are means over the trees; weight bytes are those that "
              "any token "
              "touches.\n\n",
              file);
        status = ffl_routing_charts(report, file);
        fputs("| Variant | Shape | Batch | Cache | Routing | Leaves | Entropy | Top 1 | Weights touched | "
              "per token | "
              "against uniform | fastest dense | Line |\n"
              "|---|---|--:|---|---|--:|--:|--:|--:|--:|--:|--:|---|\n",
              file);
        for (size_t i = 0; i < count; i++)
            print_routing(rows, list[i], file);
        fputc('\n', file);
    }
    free(list);
    return status;
}

/* Calls after which packing has paid for itself against the fastest dense variant. */
static void print_break_even(const ffl_rows *rows, const ffl_row *row, FILE *file)
{
    const ffl_row *dense = ffl_fastest(rows, row, "ff", row->record.neurons);
    const double saved = dense && ffl_row_has_time(row) && !ffl_row_is_reduced(row)
                             ? dense->record.median_ns - row->record.median_ns
                             : NAN;
    if (dense == row || isnan(saved))
        fputs("–", file);
    else if (saved <= 0)
        fputs("never", file);
    else
        fprintf(file, "%.0f", ceil(row->record.pack_ns / saved));
}

void ffl_markdown_packing(const ffl_rows *rows, FILE *file)
{
    bool any = false;
    for (size_t i = 0; i < rows->count; i++) {
        const ffl_row *row = &rows->value[i];
        const ffl_record *r = &row->record;
        char shape[FFL_CELL], time[FFL_CELL], bytes[FFL_CELL], source[FFL_CELL];
        if (strcmp(r->kind, "bench") != 0 || !(r->pack_bytes > 0) || !isfinite(r->pack_ns) ||
            (ffl_row_is_fff(row) && !ffl_row_is_uniform(row)))
            continue;
        if (!any)
            fputs("## Packing\n\nWhat `prepare` costs before the first call, for variants that copy weights, "
                  "and after "
                  "how many calls\nthat has paid for itself against the fastest dense variant.\n\n"
                  "| Variant | Shape | Batch | Cache | prepare | packed weights | break-even calls | Line |\n"
                  "|---|---|--:|---|--:|--:|--:|---|\n",
                  file);
        any = true;
        ffl_format_shape(row, shape);
        ffl_format_ns(r->pack_ns, time);
        ffl_format_bytes(r->pack_bytes, bytes);
        ffl_format_source(rows, row, source);
        fputs("| `", file);
        ffl_print_text(file, r->variant);
        fprintf(file, "` | %s | %lld | ", shape, (long long)r->batch);
        ffl_print_text(file, r->cache);
        fprintf(file, " | %s | %s | ", time, bytes);
        print_break_even(rows, row, file);
        fprintf(file, " | %s |\n", source);
    }
    if (any)
        fputc('\n', file);
}

void ffl_markdown_repeat(const ffl_rows *rows, FILE *file)
{
    bool any = false;
    for (size_t i = 0; i < rows->count; i++) {
        const ffl_row *row = &rows->value[i];
        char source[FFL_CELL];
        if (!ffl_row_ran(row) || !row->record.command[0])
            continue;
        if (!any)
            fputs("## How to repeat\n\nEach command repeats one row; `fflab check` repeats the verification. "
                  "The "
                  "commands of checks stand in\ntheir journal lines.\n\n| Line | Command |\n|---|---|\n",
                  file);
        any = true;
        ffl_format_source(rows, row, source);
        fprintf(file, "| %s | `", source);
        ffl_print_text(file, row->record.command);
        fputs("` |\n", file);
    }
    if (any)
        fputc('\n', file);
}
