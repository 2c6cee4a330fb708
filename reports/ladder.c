#include "reports/ladder.h"
#include "reports/format.h"
#include <errno.h>
#include <math.h>
#include <string.h>

enum { BATCHES_MAX = 8 };

/* Hot, one thread, uniform or as drawn, of this ladder's shape. */
static bool is_of(const ffl_row *row, const ffl_ladder *ladder)
{
    char shape[FFL_CELL];
    const ffl_record *r = &row->record;
    if (!ffl_row_has_time(row) || r->threads != 1 || strcmp(r->cache, "hot") != 0 ||
        !ffl_row_is_uniform(row) || strcmp(r->clazz, ladder->clazz) != 0)
        return false;
    long long trees = 0, depth = 0;
    if (sscanf(ladder->shape, "%lldx%lld", &trees, &depth) != 2)
        return false;
    if (!ffl_row_is_fff(row))
        return r->neurons == trees * ((2ll << depth) - 1);
    ffl_format_shape(row, shape);
    return strcmp(shape, ladder->shape) == 0;
}

/* Rows of several machines do not stand side by side: the first machine with this ladder has the page. */
static const char *machine_of(const ffl_rows *rows, const ffl_ladder *ladder)
{
    for (size_t i = 0; i < rows->count; i++)
        for (const ffl_ladder_step *s = ladder->steps; s->variant; s++)
            if (is_of(&rows->value[i], ladder) && strcmp(rows->value[i].record.variant, s->variant) == 0)
                return rows->value[i].machine;
    return NULL;
}

static const ffl_row *row_of(const ffl_rows *rows, const ffl_ladder *ladder, const char *machine,
                             const char *variant, int64_t batch)
{
    const ffl_row *found = NULL;
    for (size_t i = 0; variant && i < rows->count; i++) {
        const ffl_row *row = &rows->value[i];
        if (row->record.batch == batch && row->machine == machine && is_of(row, ladder) &&
            strcmp(row->record.variant, variant) == 0)
            found = row; /* several runs: the latest */
    }
    return found;
}

static size_t batches_of(const ffl_rows *rows, const ffl_ladder *ladder, const char *machine,
                         int64_t out[BATCHES_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < rows->count; i++) {
        const int64_t batch = rows->value[i].record.batch;
        size_t at = 0;
        if (rows->value[i].machine != machine || !is_of(&rows->value[i], ladder))
            continue;
        while (at < count && out[at] < batch)
            at++;
        if ((at < count && out[at] == batch) || count == BATCHES_MAX)
            continue;
        memmove(out + at + 1, out + at, (count - at) * sizeof *out);
        out[at] = batch;
        count++;
    }
    return count;
}

static size_t steps_measured(const ffl_rows *rows, const ffl_ladder *ladder)
{
    const char *machine = machine_of(rows, ladder);
    int64_t batches[BATCHES_MAX];
    size_t found = 0;
    const size_t count = machine ? batches_of(rows, ladder, machine, batches) : 0;
    for (const ffl_ladder_step *s = ladder->steps; s->variant; s++)
        for (size_t b = 0; b < count; b++)
            if (row_of(rows, ladder, machine, s->variant, batches[b])) {
                found++;
                break;
            }
    return found;
}

bool ffl_ladder_worthwhile(const ffl_rows *rows)
{
    for (const ffl_ladder *l = ffl_ladders; l->title; l++)
        if (steps_measured(rows, l) >= 3)
            return true;
    return false;
}

static void print_step(const ffl_rows *rows, const ffl_ladder *ladder, const char *machine,
                       const ffl_ladder_step *step, const int64_t *batches, size_t count, FILE *file)
{
    char time[FFL_CELL], gain[FFL_CELL], roof[FFL_CELL], source[FFL_CELL];
    fprintf(file, "| `%s` | %s | %s |", step->variant, step->idea, step->predicted);
    for (size_t b = 0; b < count; b++) {
        const ffl_row *row = row_of(rows, ladder, machine, step->variant, batches[b]);
        const ffl_row *from = row_of(rows, ladder, machine, step->from, batches[b]);
        if (!row) {
            fputs(" – |", file);
            continue;
        }
        ffl_format_ns(ffl_row_token_ns(row), time);
        ffl_format_source(rows, row, source);
        fprintf(file, " %s%s", time, ffl_row_is_reduced(row) ? "\\*" : "");
        if (from) {
            ffl_format_ratio(ffl_row_token_ns(from) / ffl_row_token_ns(row), gain);
            fprintf(file, "<br>**%s**", gain);
        }
        ffl_format_roof(row, roof);
        if (isfinite(row->record.roof_share))
            fprintf(file, "<br>%s", roof);
        fprintf(file, "<br>%s |", source);
    }
    fputc('\n', file);
}

static void print_ladder(const ffl_rows *rows, const ffl_ladder *ladder, FILE *file)
{
    const char *machine = machine_of(rows, ladder);
    int64_t batches[BATCHES_MAX];
    const size_t count = batches_of(rows, ladder, machine, batches);
    fprintf(file, "## %s\n\n%s, %s, hot, one thread, uniform routing; on ", ladder->title, ladder->shape,
            ladder->clazz);
    ffl_print_text(file, machine);
    fputs(".\n\n| Variant | Idea | Predicted gain |", file);
    for (size_t b = 0; b < count; b++)
        fprintf(file, " B=%lld |", (long long)batches[b]);
    fputs("\n|---|---|---|", file);
    for (size_t b = 0; b < count; b++)
        fputs("--:|", file);
    fputc('\n', file);
    for (const ffl_ladder_step *s = ladder->steps; s->variant; s++)
        print_step(rows, ladder, machine, s, batches, count, file);
    fputs("\nGains are over:", file);
    for (const ffl_ladder_step *s = ladder->steps; s->variant; s++)
        if (s->from)
            fprintf(file, "%s `%s` over `%s`", s == ladder->steps + 1 ? "" : ",", s->variant, s->from);
    fputs(".\n\n", file);
}

ffl_status ffl_ladder_write(const ffl_rows *rows, FILE *file)
{
    fputs(
        "# The ladder: from naive to best\n\n"
        "Time per token, in bold the measured gain over the step that it improves on, and the journal line; "
        "between them, where\n"
        "the machine was calibrated, the measured roof that binds the row and the share of it that was "
        "reached. "
        "Predictions\n"
        "follow from bytes, loads and multiply-adds; some were written down when first measurements were "
        "known. Where\n"
        "they missed, the reason is in `kernels/NOTES.md`. A \\* marks a reduced batch. Written by `fflab "
        "report` from the\n"
        "journal of `fflab study`.\n\n",
        file);
    for (size_t f = 0; rows->file_count > 1 && f < rows->file_count; f++)
        fprintf(file, "%sJ%zu: %s%s", f ? ", " : "", f + 1, rows->files[f],
                f + 1 == rows->file_count ? "\n\n" : "");
    for (const ffl_ladder *l = ffl_ladders; l->title; l++)
        if (steps_measured(rows, l) >= 3)
            print_ladder(rows, l, file);
    if (fflush(file) != 0 || ferror(file))
        return ffl_fail(FFL_IO, "the ladder could not be written: %s", strerror(errno));
    return FFL_OK;
}
