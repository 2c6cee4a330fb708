/* The paper's table: levels of implementation, dense against conditional, per provider. */
#include "reports/format.h"
#include "reports/markdown.h"
#include <stdlib.h>
#include <string.h>

typedef struct level {
    const char *family, *library;
} level;

static const char *const families[] = {"naive", "blas1", "blas2", "blas3", "simd", "tensor"};
static const char *const titles[] = {"naive", "level 1", "level 2", "level 3", "SIMD", "tensor cores"};
enum { FAMILIES = sizeof families / sizeof *families, LEVELS_MAX = 64 };

static bool is_at(const ffl_row *row, const level *at)
{
    return strcmp(row->record.family, at->family) == 0 && strcmp(row->record.library, at->library) == 0;
}

/* How much a row is worth in a cell: a full number before a reduced, a handicapped, and none at all. */
static int worth(const ffl_row *row)
{
    if (!ffl_row_has_time(row))
        return 1;
    return row->record.handicapped || row->record.implausible ? 2 : ffl_row_is_reduced(row) ? 3 : 4;
}

/* The row for a cell: the fastest of the worthiest; NULL when that level has none. */
static const ffl_row *best_at(const ffl_rows *rows, const ffl_row *race, const level *at, bool fff,
                              int64_t neurons)
{
    const ffl_row *best = NULL;
    for (size_t i = race->alike_first; i < rows->count; i = ffl_rows_after(rows, i)) {
        const ffl_row *c = &rows->value[i];
        const ffl_record *r = &c->record;
        if (!ffl_row_ran(c) || !(fff ? ffl_row_is_fff(c) : ffl_row_is_dense(c)) || r->neurons != neurons ||
            !is_at(c, at) || !ffl_same_setting(c, race) ||
            (fff ? !ffl_in_race(rows, c, race) : ffl_is_stand_in(rows, c, race)))
            continue;
        if (!best || worth(c) > worth(best) ||
            (worth(c) == worth(best) && ffl_row_token_ns(c) < ffl_row_token_ns(best)))
            best = c;
    }
    return best;
}

static void print_cell(const ffl_rows *rows, const ffl_row *row, FILE *file)
{
    char time[FFL_CELL], flags[FFL_CELL], source[FFL_CELL];
    if (!row) {
        fputs("– | ", file);
        return;
    }
    ffl_format_token(row, time);
    ffl_format_flags(row, flags);
    ffl_format_source(rows, row, source);
    if (ffl_row_has_time(row))
        fputs(time, file);
    else
        ffl_print_text(file, row->record.verdict);
    fprintf(file, "%s%s<br>`", flags[0] ? " " : "", flags);
    ffl_print_text(file, row->record.variant);
    fprintf(file, "`<br>%s | ", source);
}

static void print_level(const ffl_rows *rows, const ffl_row *race, const level *at, const char *title,
                        const int64_t *sizes, size_t size_count, FILE *file)
{
    const int64_t neurons = race->record.neurons;
    const ffl_row *fff = best_at(rows, race, at, true, neurons);
    const ffl_row *named = fff ? fff : best_at(rows, race, at, false, neurons);
    char cell[FFL_CELL] = "–";
    fprintf(file, "| %s | ", title);
    if (named)
        ffl_format_provider(named, cell);
    ffl_print_text(file, cell);
    fputs(" | ", file);
    print_cell(rows, best_at(rows, race, at, false, neurons), file);
    for (size_t s = 0; s < size_count; s++)
        print_cell(rows, best_at(rows, race, at, false, sizes[s]), file);
    print_cell(rows, fff, file);
    const ffl_row *against[] = {fff ? ffl_same_level(rows, fff, neurons) : NULL,
                                fff ? ffl_fastest(rows, fff, "ff", neurons) : NULL};
    for (size_t a = 0; a < 2; a++) {
        strcpy(cell, "–");
        if (fff)
            ffl_format_speedup(ffl_speedup_of(fff, against[a]), cell);
        fprintf(file, "%s |%s", cell, a ? "\n" : " ");
    }
}

/* Libraries that occur at a family in this setting, sorted. */
static size_t levels_of(const ffl_rows *rows, const ffl_row *race, const char *family, level out[LEVELS_MAX])
{
    size_t count = 0;
    for (size_t i = race->alike_first; i < rows->count; i = ffl_rows_after(rows, i)) {
        const ffl_record *r = &rows->value[i].record;
        if (!ffl_row_ran(&rows->value[i]) || strcmp(r->family, family) != 0 ||
            !ffl_same_setting(&rows->value[i], race))
            continue;
        size_t at = 0;
        while (at < count && strcmp(out[at].library, r->library) < 0)
            at++;
        if ((at < count && strcmp(out[at].library, r->library) == 0) || count == LEVELS_MAX)
            continue;
        memmove(out + at + 1, out + at, (count - at) * sizeof *out);
        out[at] = (level){family, r->library};
        count++;
    }
    return count;
}

static void print_table(const ffl_rows *rows, const ffl_row *race, FILE *file)
{
    int64_t sizes[FFL_SIZES_MAX];
    const size_t size_count = ffl_other_sizes(rows, race, sizes);
    char shape[FFL_CELL];
    ffl_format_shape(race, shape);
    fprintf(file, "### %s, ", shape);
    ffl_print_setting(file, race);
    ffl_print_on(file, rows, race);
    fprintf(file, "\n\n| Level | Provider | FF %lld | ", (long long)race->record.neurons);
    for (size_t s = 0; s < size_count; s++)
        fprintf(file, "FF %lld | ", (long long)sizes[s]);
    fprintf(file, "FFF %s | FFF: same level | FFF: fastest dense |\n|---|---|--:|", shape);
    for (size_t s = 0; s < size_count; s++)
        fputs("--:|", file);
    fputs("--:|--:|--:|\n", file);
    for (size_t f = 0; f < FAMILIES; f++) {
        level at[LEVELS_MAX];
        const size_t count = levels_of(rows, race, families[f], at);
        for (size_t l = 0; l < count; l++)
            print_level(rows, race, &at[l], titles[f], sizes, size_count, file);
    }
    fputc('\n', file);
}

void ffl_markdown_paper(const ffl_rows *rows, const ffl_row *const *races, size_t count, FILE *file)
{
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        if (!ffl_row_is_fff(races[i]))
            continue;
        if (!any)
            fputs("## The paper's table\n\n"
                  "Time per token of the fastest variant of each level and provider, and the two speed-ups "
                  "of the FFF\n"
                  "one: against the same level, and against the fastest dense variant of all with as many "
                  "neurons.\n\n",
                  file);
        any = true;
        print_table(rows, races[i], file);
    }
}
