/* What a time on the GPU leaves out: the other form of the calls, and the host's part. */
#include "reports/format.h"
#include "reports/markdown.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool belongs(const ffl_row *row)
{
    return ffl_row_has_time(row) && strcmp(row->record.place, "cuda") == 0 && row->record.form[0];
}

static int by_place(const void *a, const void *b)
{
    const ffl_row *x = *(const ffl_row *const *)a, *y = *(const ffl_row *const *)b;
    const int setting = ffl_compare_settings(x, y);
    if (setting)
        return setting;
    const double tx = ffl_row_token_ns(x), ty = ffl_row_token_ns(y);
    return tx != ty ? (tx > ty) - (tx < ty) : (x > y) - (x < y); /* NOLINT: the same number, or not */
}

static void print_time(double ns, FILE *file)
{
    char cell[FFL_CELL];
    ffl_format_ns(ns, cell);
    fprintf(file, " %s |", cell);
}

static void print_row(const ffl_rows *rows, const ffl_row *row, FILE *file)
{
    const ffl_record *r = &row->record;
    const double rest = r->wall_ns - r->median_ns; /* negative by noise alone */
    char cell[FFL_CELL];
    ffl_format_shape(row, cell);
    fputs("| `", file);
    ffl_print_text(file, r->variant);
    fprintf(file, "` | %s | %lld | %s | %s | %s, %lld calls |", cell, (long long)r->batch, r->clazz, r->cache,
            r->form, (long long)r->burst);
    print_time(r->median_ns, file);
    print_time(r->plain_ns, file);
    print_time(r->graph_ns, file);
    print_time(r->wall_ns, file);
    print_time(rest > 0 ? rest : NAN, file);
    print_time(r->enqueue_ns, file);
    if (r->sm_mhz > 0)
        fprintf(file, " %.0f / %.0f |", r->sm_mhz, r->memory_mhz);
    else
        fputs(" – |", file);
    ffl_format_source(rows, row, cell);
    fprintf(file, " %s |\n", cell);
}

void ffl_markdown_device(const ffl_rows *rows, FILE *file)
{
    const ffl_row **field = calloc(rows->count + 1, sizeof *field);
    size_t count = 0;
    for (size_t i = 0; field && i < rows->count; i++)
        if (belongs(&rows->value[i]))
            field[count++] = &rows->value[i];
    if (count) {
        qsort(field, count, sizeof *field, by_place);
        fputs("## On the GPU\n\n"
              "Per call. What ranks is the device's own time between two events around many calls: of calls "
              "launched "
              "as one\n"
              "graph up to 256 tokens per call, otherwise of plain ones. \"Alone\" is one call enqueued and "
              "waited for, "
              "on the\n"
              "host's clock; \"launch and wait\" is what that adds to the device's time; \"enqueue\" the "
              "host's part of "
              "a plain\n"
              "call. Clocks (SM and memory, MHz) are read right after the timed calls.\n\n"
              "| variant | shape | batch | class | cache | ranked form | device | plain | graph | alone | "
              "launch and "
              "wait | enqueue | "
              "clocks | line |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
              file);
        for (size_t i = 0; i < count; i++)
            print_row(rows, field[i], file);
        fputc('\n', file);
    }
    free(field);
}
