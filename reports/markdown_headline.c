/* The answer first: the fastest FFF against the fastest dense, beside what was published. */
#include "reports/duel.h"
#include "reports/encoder.h"
#include "reports/format.h"
#include "reports/grid.h"
#include "reports/markdown.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* All neurons against those on the paths; 4095 / 12 = 341 for 1x11. */
static double arithmetic_limit(const ffl_row *race, int64_t neurons)
{
    const ffl_record *r = &race->record;
    return (double)neurons / ((double)r->trees * ((double)r->depth + 1));
}

/* Clearly so: with the whole interval. */
static bool is_above_limit(const ffl_row *race, const ffl_duel *d)
{
    return d->speedup.low > arithmetic_limit(race, d->neurons);
}

static void print_side(const ffl_row *row, bool roofs, FILE *file)
{
    char time[FFL_CELL] = "–", roof[FFL_CELL];
    if (row) {
        ffl_format_token(row, time);
        fputc('`', file);
        ffl_print_text(file, row->record.variant);
        fputc('`', file);
    } else {
        fputs("none qualifies", file);
    }
    ffl_format_roof(row, roof);
    fprintf(file, " | %s | %s%s", time, roofs ? roof : "", roofs ? " | " : "");
}

static void print_duel(const ffl_rows *rows, const ffl_row *race, const ffl_duel *d, bool roofs, FILE *file)
{
    char shape[FFL_CELL], speedup[FFL_CELL], limit[FFL_CELL], fff[FFL_CELL] = "–", dense[FFL_CELL] = "–";
    ffl_format_shape(race, shape);
    ffl_format_speedup(d->speedup, speedup);
    ffl_format_ratio(arithmetic_limit(race, d->neurons), limit);
    if (d->fff)
        ffl_format_source(rows, d->fff, fff);
    if (d->dense)
        ffl_format_source(rows, d->dense, dense);
    fprintf(file, "| %s / %lld | ", shape, (long long)d->neurons);
    ffl_print_setting(file, race);
    fputs(" | ", file);
    print_side(d->fff, roofs, file);
    print_side(d->dense, roofs, file);
    fprintf(file, "**%s**%s | %s | %s, %s |\n", speedup, is_above_limit(race, d) ? " †" : "", limit, fff,
            dense);
}

/* "between 1.2x (batch 16384) and 18x (batch 1)" over the duels of equal size on one machine. */
static void print_sentence(const ffl_rows *rows, const ffl_row *const *races, size_t count, FILE *file)
{
    const ffl_row *lowest = NULL, *highest = NULL;
    ffl_speedup low = {0}, high = {0};
    for (size_t i = 0; i < count; i++) {
        if (!ffl_row_is_fff(races[i]))
            continue;
        const ffl_duel d = ffl_duel_of(rows, races[i], races[i]->record.neurons);
        if (!isfinite(d.speedup.ratio) || d.speedup.reduced)
            continue;
        if (!lowest || d.speedup.ratio < low.ratio)
            lowest = races[i], low = d.speedup;
        if (!highest || d.speedup.ratio > high.ratio)
            highest = races[i], high = d.speedup;
    }
    if (!lowest) {
        fputs(
            "**No speed-up can be stated:** no case has both an FFF and a dense row of as many neurons that\n"
            "passed verification, ran the full batch and is not HANDICAPPED. What ran is listed below.\n\n",
            file);
        return;
    }
    char ratio[FFL_CELL], shape[FFL_CELL];
    ffl_format_speedup(high, ratio);
    ffl_format_shape(highest, shape);
    fprintf(file,
            "The fastest FFF is at best **%s** as fast as the fastest dense layer of as many neurons\n(%s, ",
            ratio, shape);
    ffl_print_setting(file, highest);
    ffl_format_speedup(low, ratio);
    ffl_format_shape(lowest, shape);
    fprintf(file, "), at worst **%s** (%s, ", ratio, shape);
    ffl_print_setting(file, lowest);
    fputs(").\nBrackets: from the far ends of both 95 % intervals.\n\n", file);
}

static void print_published(FILE *file)
{
    fputs("Published, for comparison (arXiv:2311.10770, H=768, 1x11 against 4095 dense neurons, B=16384; its "
          "CPU\n"
          "figures with oneMKL):\n\n"
          "| Claim | Speed-up |\n|---|--:|\n"
          "| CPU, best FFF against the fastest dense baseline | 78x |\n"
          "| CPU, level 1 FFF against the fastest dense baseline | 48x |\n"
          "| PyTorch, batched FFF against batched dense | 40x |\n"
          "| Limit by arithmetic, 4095 / 12 | 341x |\n\n",
          file);
}

/* What the table below it says beyond its times. */
typedef struct duels_told {
    bool above, reduced;
} duels_told;

static void tell_duel(const ffl_rows *rows, const ffl_row *race, int64_t neurons, bool roofs,
                      duels_told *told, FILE *file)
{
    const ffl_duel d = ffl_duel_of(rows, race, neurons);
    print_duel(rows, race, &d, roofs, file);
    told->above |= is_above_limit(race, &d);
    told->reduced |= d.speedup.reduced;
}

static void print_head(bool roofs, FILE *file)
{
    const char *const name = roofs ? " of its roof |" : "", *const rule = roofs ? "--:|" : "";
    fprintf(
        file,
        "| FFF / dense N | Case | Fastest FFF | per token |%s Fastest dense | per token |%s Speed-up | Limit "
        "| Lines |\n|---|---|---|--:|%s---|--:|%s--:|--:|---|\n",
        name, name, rule, rule);
}

void ffl_markdown_headline(const ffl_rows *rows, const ffl_row *const *races, size_t count, FILE *file)
{
    const bool roofs = ffl_any_roof(rows->value, rows->count);
    const ffl_row *before = NULL;
    duels_told told = {0};
    print_sentence(rows, races, count, file);
    ffl_grids_print(rows, races, count, FFL_GRID_MARKDOWN, file);
    for (size_t i = 0; i < count; i++) {
        int64_t sizes[FFL_SIZES_MAX];
        if (!ffl_row_is_fff(races[i]))
            continue;
        if (ffl_print_machine(rows, races[i], before, file))
            print_head(roofs, file);
        before = races[i];
        tell_duel(rows, races[i], races[i]->record.neurons, roofs, &told, file);
        const size_t others = ffl_other_sizes(rows, races[i], sizes);
        for (size_t s = 0; s < others; s++)
            tell_duel(rows, races[i], sizes[s], roofs, &told, file);
    }
    if (before)
        fputc('\n', file);
    if (before && roofs)
        fputs("Of its roof: the least time that a call can take by the measured roof that binds it, over the "
              "time "
              "that it took.\n\n",
              file);
    if (told.reduced)
        fputs("\\* No full batch on one side: a call would take too long, so its time per token at a smaller "
              "batch stands\n"
              "in. `--full` measures it.\n\n",
              file);
    if (told.above)
        fputs("† Above the limit that arithmetic sets: the dense layer waits for memory that the few rows on "
              "a path do\n"
              "not need, or the machine was disturbed. This part of the speed-up is no saving of work.\n\n",
              file);
    print_published(file);
}

ffl_status ffl_headline_print(const ffl_rows *rows, FILE *file)
{
    const ffl_row **races;
    size_t count;
    bool any = false, reduced = false;
    FFL_TRY(ffl_races(rows, &races, &count));
    for (size_t i = 0; i < count; i++) {
        if (!ffl_row_is_fff(races[i]))
            continue;
        const ffl_duel d = ffl_duel_of(rows, races[i], races[i]->record.neurons);
        char shape[FFL_CELL], speedup[FFL_CELL], fff[FFL_CELL], dense[FFL_CELL];
        if (!isfinite(d.speedup.ratio))
            continue;
        if (!any)
            fputs("Fastest FFF against the fastest dense layer of as many neurons, per token:\n", file);
        any = true;
        reduced |= d.speedup.reduced;
        double fff_ns = ffl_row_token_ns(d.fff), dense_ns = ffl_row_token_ns(d.dense);
        ffl_format_shape(races[i], shape);
        ffl_format_speedup(d.speedup, speedup);
        ffl_format_ns(fff_ns, fff);
        ffl_format_ns(dense_ns, dense);
        char *escape = strchr(speedup, '\\'); /* of Markdown, before the * */
        if (escape)
            memmove(escape, escape + 1, strlen(escape));
        fprintf(file, "  %s %-4s batch %-6lld %-13s %lld thr.  %-22s  %s %s, %s %s\n", shape,
                races[i]->record.clazz, (long long)races[i]->record.batch, races[i]->record.cache,
                (long long)races[i]->record.threads, speedup, d.fff->record.variant, fff,
                d.dense->record.variant, dense);
    }
    if (reduced)
        fputs("  * against a reduced batch: a full call would take too long\n", file);
    if (!any && (rows->count || !rows->pass_count))
        fputs("No speed-up can be stated: no case has both an FFF and a dense row that may be ranked.\n",
              file);
    ffl_encoder_headline_print(rows, file);
    free(races);
    return FFL_OK;
}
