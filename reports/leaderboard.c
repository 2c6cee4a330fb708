#define _GNU_SOURCE
#include "reports/leaderboard.h"
#include "reports/format.h"
#include "reports/sections_with_charts.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct entry {
    const ffl_row *race;
    const ffl_duel *duel;
} entry;

/* f32 first, then the other classes; hot before cold; batches ascending. */
static int by_place(const void *a, const void *b)
{
    const ffl_row *x = ((const entry *)a)->race, *y = ((const entry *)b)->race;
    const int f32 = (strcmp(y->record.clazz, "f32") == 0) - (strcmp(x->record.clazz, "f32") == 0);
    return f32 ? f32 : ffl_compare_settings(x, y);
}

static bool belongs(const ffl_report *r, size_t i, const ffl_row *layer)
{
    const ffl_record *x = &r->races[i]->record, *y = &layer->record;
    return ffl_row_is_fff(r->races[i]) && ffl_row_is_uniform(r->races[i]) &&
           isfinite(r->duels[i].speedup.ratio) && r->races[i]->machine == layer->machine &&
           strcmp(x->place, y->place) == 0 && x->trees == y->trees && x->depth == y->depth &&
           x->width_in == y->width_in && x->width_out == y->width_out &&
           strcmp(x->activation, y->activation) == 0;
}

static void print_entry(const entry *e, FILE *file)
{
    const ffl_record *r = &e->race->record;
    char fff[FFL_CELL], dense[FFL_CELL], ratio[FFL_CELL];
    ffl_format_ns(ffl_row_token_ns(e->duel->fff), fff);
    ffl_format_ns(ffl_row_token_ns(e->duel->dense), dense);
    ffl_format_speedup(e->duel->speedup, ratio);
    fputs("| ", file);
    ffl_print_text(file, r->clazz);
    fprintf(file, " | %lld, ", (long long)r->batch);
    ffl_print_text(file, r->cache);
    if (r->threads > 1)
        fprintf(file, ", %lld threads", (long long)r->threads);
    fputs(" | `", file);
    ffl_print_text(file, e->duel->fff->record.variant);
    fprintf(file, "` | %s | `", fff);
    ffl_print_text(file, e->duel->dense->record.variant);
    fprintf(file, "` | %s | **%s** |\n", dense, ratio);
}

static ffl_status write_table(const ffl_report *r, FILE *file)
{
    const ffl_row *layer = ffl_main_layer(r);
    if (!layer)
        return ffl_fail(FFL_BAD_INPUT,
                        "no leaderboard: no case has an FFF and a dense row that may be ranked");
    entry *field = calloc(r->race_count, sizeof *field);
    size_t count = 0;
    if (!field)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the leaderboard");
    for (size_t i = 0; i < r->race_count; i++)
        if (belongs(r, i, layer))
            field[count++] = (entry){r->races[i], &r->duels[i]};
    qsort(field, count, sizeof *field, by_place);
    fprintf(file,
            "\n| Class | Batch, cache | Fastest FFF | per token | Fastest dense, N = %lld | per token | "
            "Speed-up |\n"
            "|---|---|---|--:|---|--:|--:|\n",
            (long long)layer->record.neurons);
    for (size_t i = 0; i < count; i++)
        print_entry(&field[i], file);
    fputc('\n', file);
    free(field);
    return FFL_OK;
}

ffl_status ffl_leaderboard_write(const ffl_rows *rows, FILE *file)
{
    ffl_report report;
    FFL_TRY(ffl_report_open(rows, NULL, &report));
    const ffl_status status = write_table(&report, file);
    ffl_report_close(&report);
    FFL_TRY(status);
    if (fflush(file) != 0 || ferror(file))
        return ffl_fail(FFL_IO, "the leaderboard could not be written: %s", strerror(errno));
    return FFL_OK;
}

/* The line that starts with `mark`, NULL without one. */
static const char *find_line(const char *text, const char *mark)
{
    for (const char *at = text; (at = strstr(at, mark)); at++)
        if (at == text || at[-1] == '\n')
            return at;
    return NULL;
}

ffl_status ffl_leaderboard_put(const char *text, const char *table, char **out)
{
    static const char first[] = "<!-- leaderboard", last[] = "<!-- end of leaderboard -->";
    const char *begin = find_line(text, first), *end = find_line(text, last);
    const char *from = begin ? strchr(begin, '\n') : NULL;
    if (!begin || !end || !from || end <= from)
        return ffl_fail(FFL_BAD_INPUT, "no line that starts with \"%s\" with a line \"%s\" after it", first,
                        last);
    if (find_line(from, first))
        return ffl_fail(FFL_BAD_INPUT, "more than one line starts with \"%s\"", first);
    if (asprintf(out, "%.*s%s%s", (int)(from + 1 - text), text, table, end) < 0)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the leaderboard");
    return FFL_OK;
}
