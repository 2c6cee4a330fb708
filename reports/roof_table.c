#include "reports/roof_table.h"
#include "reports/format.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS_MAX = 16 };

typedef struct table {
    const ffl_roof *roofs;
    size_t count;
    int64_t threads[COLUMNS_MAX]; /* one column each */
    size_t columns;
} table;

static table table_of(const ffl_roof *roofs, size_t count)
{
    table t = {.roofs = roofs, .count = count};
    for (size_t i = 0; i < count; i++) {
        size_t c = 0;
        while (c < t.columns && t.threads[c] != roofs[i].threads)
            c++;
        if (c == t.columns && c < COLUMNS_MAX)
            t.threads[t.columns++] = roofs[i].threads;
    }
    return t;
}

static bool same_line(const ffl_roof *a, const ffl_roof *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->place, b->place) == 0 &&
           strcmp(a->device, b->device) == 0;
}

static bool is_first_of_line(const table *t, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (same_line(&t->roofs[k], &t->roofs[i]))
            return false;
    return true;
}

/* "160 (155)", "–" when not measured with so many threads. */
static void format_cell(const table *t, size_t line, size_t column, char out[FFL_CELL])
{
    snprintf(out, FFL_CELL, "–");
    for (size_t i = 0; i < t->count; i++)
        if (same_line(&t->roofs[i], &t->roofs[line]) && t->roofs[i].threads == t->threads[column])
            snprintf(out, FFL_CELL, "%.4g (%.3g)", t->roofs[i].value, t->roofs[i].median);
}

static void format_name(const ffl_roof *roof, char out[FFL_CELL])
{
    snprintf(out, FFL_CELL, "%s%s", strcmp(roof->place, "cuda") == 0 ? "GPU " : "", roof->name);
}

static void format_set(const ffl_roof *roof, char out[FFL_CELL])
{
    out[0] = '\0';
    if (isfinite(roof->bytes))
        ffl_format_bytes(roof->bytes, out);
}

void ffl_roof_table_print(const ffl_roof *roofs, size_t count, FILE *file)
{
    const table t = table_of(roofs, count);
    char cell[FFL_CELL], heading[48];
    fprintf(file, "%-26s %-8s", "roof: best (median)", "");
    for (size_t c = 0; c < t.columns; c++) {
        snprintf(heading, sizeof heading, "%lld thread%s", (long long)t.threads[c],
                 t.threads[c] == 1 ? "" : "s");
        fprintf(file, " %17s", heading);
    }
    fprintf(file, " %10s\n", "memory");
    for (size_t i = 0; i < count; i++) {
        if (!is_first_of_line(&t, i))
            continue;
        format_name(&roofs[i], cell);
        fprintf(file, "%-26s %-8s", cell, roofs[i].unit);
        for (size_t c = 0; c < t.columns; c++) {
            format_cell(&t, i, c, cell);
            fprintf(file, " %*s", cell[0] == '\xe2' ? 19 : 17, cell);
        }
        format_set(&roofs[i], cell);
        fprintf(file, " %10s\n", cell);
    }
}

static void print_markdown(const ffl_roof *roofs, size_t count, FILE *file)
{
    const table t = table_of(roofs, count);
    char cell[FFL_CELL];
    fputs("Measured roofs (`fflab calibrate`), the best of all rounds and the median in brackets:\n\n| Roof "
          "| Unit |",
          file);
    for (size_t c = 0; c < t.columns; c++)
        fprintf(file, " %lld thread%s |", (long long)t.threads[c], t.threads[c] == 1 ? "" : "s");
    fputs(" Measured |\n|---|---|", file);
    for (size_t c = 0; c < t.columns; c++)
        fputs("--:|", file);
    fputs("---|\n", file);
    for (size_t i = 0; i < count; i++) {
        if (!is_first_of_line(&t, i))
            continue;
        format_name(&roofs[i], cell);
        fputs("| `", file);
        ffl_print_text(file, cell);
        fputs("` | ", file);
        ffl_print_text(file, roofs[i].unit);
        fputs(" |", file);
        for (size_t c = 0; c < t.columns; c++) {
            format_cell(&t, i, c, cell);
            fprintf(file, " %s |", cell);
        }
        fputc(' ', file);
        ffl_print_text(file, roofs[i].date);
        fputs(" |\n", file);
    }
    fputc('\n', file);
}

void ffl_markdown_roofs(const ffl_rows *rows, const char *machine, FILE *file)
{
    ffl_roof *roofs = calloc(rows->roof_count + 1, sizeof *roofs);
    size_t count = 0;
    for (size_t i = 0; roofs && i < rows->roof_count; i++)
        if (rows->roofs[i].machine == machine &&
            ffl_roof_from_record(&rows->roofs[i].record, &roofs[count]) == FFL_OK)
            count++;
    if (count)
        print_markdown(roofs, count, file);
    free(roofs);
}
