/* What a variant's bits depend on, and which equations it keeps: from checks that hold variants against
 * themselves. */
#include "reports/format.h"
#include "reports/markdown.h"
#include <string.h>

enum { WAYS_MAX = 32, NOT_TRIED = -1 };

/* From best to worst. */
static const char *const outcomes[] = {"bitwise", "within bound", "broken"};
static const char *const signs[] = {"=", "~", "**broken**"};
enum { OUTCOMES = sizeof outcomes / sizeof *outcomes, BROKEN = 2 };

static bool is_of(const ffl_row *row, const char *fixture)
{
    return strcmp(row->record.kind, "check") == 0 && row->record.ways && !row->record.emulated &&
           strcmp(row->record.fixture, fixture) == 0;
}

/* Names of the ways that any such row knows, in the order first met; they live as long as the rows. */
static size_t find_ways(const ffl_rows *rows, const char *fixture, const char *names[WAYS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < rows->count; i++) {
        if (!is_of(&rows->value[i], fixture))
            continue;
        const char *way;
        json_t *value;
        json_object_foreach(json_object_get(rows->value[i].record.ways, "outcomes"), way, value)
        {
            size_t known = 0;
            while (known < count && strcmp(names[known], way) != 0)
                known++;
            if (known == count && count < WAYS_MAX)
                names[count++] = way;
        }
    }
    return count;
}

static int outcome_of(const ffl_row *row, const char *way)
{
    const char *text = json_string_value(json_object_get(json_object_get(row->record.ways, "outcomes"), way));
    for (int o = 0; text && o < OUTCOMES; o++)
        if (strcmp(text, outcomes[o]) == 0)
            return o;
    return NOT_TRIED;
}

static bool is_promised(const ffl_row *row, const char *way)
{
    size_t i;
    const json_t *name;
    json_array_foreach(json_object_get(row->record.ways, "promised"), i,
                       name) if (json_is_string(name) &&
                                 strcmp(json_string_value(name), way) == 0) return true;
    return false;
}

/* Worst over the variant's rows. */
static void print_cell(const ffl_rows *rows, const char *fixture, const char *variant, const char *way,
                       FILE *file)
{
    int worst = NOT_TRIED;
    bool promised = false;
    for (size_t i = 0; i < rows->count; i++) {
        const ffl_row *row = &rows->value[i];
        if (!is_of(row, fixture) || strcmp(row->record.variant, variant) != 0)
            continue;
        const int outcome = outcome_of(row, way);
        worst = outcome > worst ? outcome : worst;
        promised |= is_promised(row, way);
    }
    fprintf(file, " %s%s |", worst == NOT_TRIED ? "–" : signs[worst],
            promised && worst != BROKEN && worst != NOT_TRIED ? "\\*" : "");
}

static bool is_first(const ffl_rows *rows, const char *fixture, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (is_of(&rows->value[k], fixture) &&
            strcmp(rows->value[k].record.variant, rows->value[i].record.variant) == 0)
            return false;
    return true;
}

static void print_table(const ffl_rows *rows, const char *fixture, const char *title, FILE *file)
{
    const char *ways[WAYS_MAX];
    const size_t count = find_ways(rows, fixture, ways);
    if (!count)
        return;
    fprintf(file, "%s\n\n| Variant |", title);
    for (size_t w = 0; w < count; w++) {
        fputc(' ', file);
        ffl_print_text(file, ways[w]);
        fputs(" |", file);
    }
    fputs("\n|---|", file);
    for (size_t w = 0; w < count; w++)
        fputs("---|", file);
    fputc('\n', file);
    for (size_t i = 0; i < rows->count; i++) {
        if (!is_of(&rows->value[i], fixture) || !is_first(rows, fixture, i))
            continue;
        fputs("| `", file);
        ffl_print_text(file, rows->value[i].record.variant);
        fputs("` |", file);
        for (size_t w = 0; w < count; w++)
            print_cell(rows, fixture, rows->value[i].record.variant, ways[w], file);
        fputc('\n', file);
    }
    fputc('\n', file);
}

void ffl_markdown_ways(const ffl_rows *rows, FILE *file)
{
    bool any = false;
    for (size_t i = 0; i < rows->count && !any; i++)
        any = is_of(&rows->value[i], "invariance") || is_of(&rows->value[i], "properties");
    if (!any)
        return;
    fputs("## Invariances\n\n"
          "`=` the same bits, `~` other bits and every result within its bound, `–` not tried, `*` promised "
          "by the\n"
          "variant's contract: a promise that is not kept is a FAILED row above.\n\n",
          file);
    print_table(rows, "invariance", "What the bits of a row's output depend on:", file);
    print_table(rows, "properties", "What follows from the equations, without a reference:", file);
}
