#include "reports/grid.h"
#include "reports/duel.h"
#include "reports/format.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What tells two races apart, by parts; the title of a grid, its rows and its columns are one part each. */
enum { PLACE = 1, SHAPE = 2, BATCH = 4, CLASS = 8 };

enum { COLUMNS_MAX = 16 };

static bool same(const ffl_row *a, const ffl_row *b, int parts)
{
    const ffl_record *x = &a->record, *y = &b->record;
    if ((parts & PLACE) &&
        (a->machine != b->machine || strcmp(x->place, y->place) != 0 || x->width_in != y->width_in ||
         x->width_out != y->width_out || strcmp(x->activation, y->activation) != 0))
        return false;
    if ((parts & SHAPE) && (x->trees != y->trees || x->depth != y->depth))
        return false;
    if ((parts & BATCH) && x->batch != y->batch)
        return false;
    return !(parts & CLASS) ||
           (strcmp(x->clazz, y->clazz) == 0 && strcmp(x->cache, y->cache) == 0 && x->threads == y->threads);
}

static void label(const ffl_row *race, int part, char out[FFL_CELL])
{
    const ffl_record *r = &race->record;
    if (part == SHAPE)
        ffl_format_shape(race, out);
    else if (part == BATCH)
        snprintf(out, FFL_CELL, "B=%lld", (long long)r->batch);
    else
        snprintf(out, FFL_CELL, "%s %s, %lld thr.", r->clazz, r->cache, (long long)r->threads);
}

/* The first of `count` races that equals this one in these parts, or `count`. */
static size_t first_like(const ffl_row *const *races, size_t count, const ffl_row *race, int parts)
{
    for (size_t i = 0; i < count; i++)
        if (same(races[i], race, parts))
            return i;
    return count;
}

static void print_cell(const ffl_duel *duel, ffl_grid_style style, FILE *file)
{
    char ratio[FFL_CELL] = "–", time[FFL_CELL], cell[2 * FFL_CELL];
    snprintf(cell, sizeof cell, "–");
    if (duel && isfinite(duel->speedup.ratio)) {
        ffl_format_ratio(duel->speedup.ratio, ratio);
        ffl_format_ns(ffl_row_token_ns(duel->fff), time);
        snprintf(cell, sizeof cell, "%s%s (%s)", ratio, duel->speedup.reduced ? "*" : "", time);
    }
    if (style == FFL_GRID_MARKDOWN) {
        const char *star = strchr(cell, '*');
        fprintf(file, " %.*s%s%s |", star ? (int)(star - cell) : (int)strlen(cell), cell, star ? "\\" : "",
                star ? star : "");
        return;
    }
    /* "µ" and "–" take more bytes than columns. */
    int bytes = 0;
    for (const char *c = cell; *c; c++)
        bytes += (*c & 0xc0) == 0x80;
    fprintf(file, "  %*s", 20 + bytes, cell);
}

static void print_title(const ffl_rows *rows, const ffl_row *race, int title, ffl_grid_style style,
                        FILE *file)
{
    const ffl_record *r = &race->record;
    char what[FFL_CELL];
    label(race, title, what);
    fprintf(file,
            "%s%s: fastest FFF over the fastest dense layer of as many neurons (time per token of FFF), %lld "
            "-> %lld, %s%s",
            style == FFL_GRID_MARKDOWN ? "**" : "\n", what, (long long)r->width_in, (long long)r->width_out,
            r->activation[0] ? r->activation : "gelu", strcmp(r->place, "cuda") == 0 ? ", on the GPU" : "");
    ffl_print_on(file, rows, race);
    fputs(style == FFL_GRID_MARKDOWN ? "**\n\n" : "\n", file);
}

typedef struct grid {
    const ffl_rows *rows;
    const ffl_row **races; /* FFF races with a ratio */
    ffl_duel *duels;
    size_t count;
} grid;

/* Batches ascend, even where the first row has not timed the small ones. */
static void add_column(const ffl_row **columns, size_t count, const ffl_row *race, int across)
{
    for (; across == BATCH && count > 0 && columns[count - 1]->record.batch > race->record.batch; count--)
        columns[count] = columns[count - 1];
    columns[count] = race;
}

static void print_grid(const grid *g, const ffl_row *of, int title, int down, int across,
                       ffl_grid_style style, FILE *file)
{
    const ffl_row *columns[COLUMNS_MAX];
    size_t width = 0;
    char text[FFL_CELL];
    for (size_t i = 0; i < g->count; i++)
        if (same(g->races[i], of, PLACE | title) && width < COLUMNS_MAX &&
            first_like(columns, width, g->races[i], across) == width)
            add_column(columns, width++, g->races[i], across);
    print_title(g->rows, of, title, style, file);
    fputs(style == FFL_GRID_MARKDOWN ? "| |" : "          ", file);
    for (size_t c = 0; c < width; c++) {
        label(columns[c], across, text);
        fprintf(file, style == FFL_GRID_MARKDOWN ? " %s |" : "  %20s", text);
    }
    fputc('\n', file);
    if (style == FFL_GRID_MARKDOWN) {
        fputs("|---|", file);
        for (size_t c = 0; c < width; c++)
            fputs("--:|", file);
        fputc('\n', file);
    }
    for (size_t i = 0; i < g->count; i++) {
        const ffl_row *row = g->races[i];
        if (!same(row, of, PLACE | title) || first_like(g->races, i, row, PLACE | title | down) < i)
            continue;
        label(row, down, text);
        fprintf(file, style == FFL_GRID_MARKDOWN ? "| %s |" : "  %8s", text);
        for (size_t c = 0; c < width; c++) {
            size_t at = 0;
            while (at < g->count &&
                   !(same(g->races[at], row, PLACE | title | down) && same(g->races[at], columns[c], across)))
                at++;
            print_cell(at < g->count ? &g->duels[at] : NULL, style, file);
        }
        fputc('\n', file);
    }
    if (style == FFL_GRID_MARKDOWN)
        fputc('\n', file);
}

/* Different values of `part` among the races that share the title with `of`. */
static size_t distinct(const grid *g, const ffl_row *of, int title, int part)
{
    size_t found = 0;
    for (size_t i = 0; i < g->count; i++)
        found += same(g->races[i], of, PLACE | title) &&
                 first_like(g->races, i, g->races[i], PLACE | title | part) == i;
    return found;
}

static void print_all(const grid *g, int title, int down, int across, size_t least, ffl_grid_style style,
                      FILE *file)
{
    for (size_t i = 0; i < g->count; i++)
        if (first_like(g->races, i, g->races[i], PLACE | title) == i &&
            (distinct(g, g->races[i], title, down) >= least))
            print_grid(g, g->races[i], title, down, across, style, file);
}

/* Shapes, then batches, each with f32 first: that is the order of rows, and of columns where first met. */
static int by_shape(const void *a, const void *b)
{
    const ffl_record *x = &(*(const ffl_row *const *)a)->record, *y = &(*(const ffl_row *const *)b)->record;
    if (x->depth != y->depth)
        return x->depth < y->depth ? -1 : 1;
    if (x->trees != y->trees)
        return x->trees < y->trees ? -1 : 1;
    if (x->batch != y->batch)
        return x->batch < y->batch ? -1 : 1;
    const int f32 = (strcmp(y->clazz, "f32") == 0) - (strcmp(x->clazz, "f32") == 0);
    if (f32)
        return f32;
    return ffl_compare_settings(*(const ffl_row *const *)a, *(const ffl_row *const *)b);
}

void ffl_grids_print(const ffl_rows *rows, const ffl_row *const *races, size_t count, ffl_grid_style style,
                     FILE *file)
{
    grid g = {.rows = rows,
              .races = calloc(count + 1, sizeof *g.races),
              .duels = calloc(count + 1, sizeof *g.duels)};
    for (size_t i = 0; g.races && g.duels && i < count; i++)
        if (ffl_row_is_fff(races[i]) && ffl_row_is_uniform(races[i]) &&
            isfinite(ffl_duel_of(rows, races[i], races[i]->record.neurons).speedup.ratio))
            g.races[g.count++] = races[i];
    if (g.count > 1) {
        qsort(g.races, g.count, sizeof *g.races, by_shape);
        for (size_t i = 0; i < g.count; i++)
            g.duels[i] = ffl_duel_of(rows, g.races[i], g.races[i]->record.neurons);
        /* A shape with one batch in one class is told by the other kind of grid. */
        for (size_t i = 0; i < g.count; i++)
            if (first_like(g.races, i, g.races[i], PLACE | SHAPE) == i &&
                distinct(&g, g.races[i], SHAPE, BATCH | CLASS) > 1 &&
                (distinct(&g, g.races[i], CLASS, SHAPE) < 3 || distinct(&g, g.races[i], SHAPE, CLASS) > 1))
                print_grid(&g, g.races[i], SHAPE, BATCH, CLASS, style, file);
        print_all(&g, CLASS, SHAPE, BATCH, 3, style, file);
    }
    free(g.races);
    free(g.duels);
}
