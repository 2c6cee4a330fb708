/* Which rows are ranked against one another; see speedup.h. */
#include "reports/speedup.h"
#include <stdlib.h>
#include <string.h>

static bool same_shape(const ffl_record *a, const ffl_record *b)
{
    return a->trees == b->trees && a->depth == b->depth && a->neurons == b->neurons;
}

static bool competes(const ffl_row *row)
{
    return ffl_row_is_fff(row) || ffl_row_is_dense(row);
}

/* True when `other` stands for the race that `row` would name: earlier, FFF, or the uniform routing. */
static bool is_named_by(const ffl_row *row, const ffl_row *other)
{
    const ffl_record *r = &row->record, *o = &other->record;
    if (other == row || !ffl_row_ran(other) || !competes(other) || o->neurons != r->neurons ||
        !ffl_same_setting(row, other))
        return false;
    if (!ffl_row_is_fff(row))
        return ffl_row_is_fff(other) || other < row;
    if (!ffl_row_is_fff(other) || !same_shape(r, o))
        return false;
    if (strcmp(r->routing, o->routing) == 0)
        return other < row;
    return ffl_row_is_uniform(other);
}

static bool names_race(const ffl_rows *rows, const ffl_row *row)
{
    if (!ffl_row_ran(row) || !competes(row))
        return false;
    for (size_t i = row->alike_first; i < rows->count; i = ffl_rows_after(rows, i))
        if (is_named_by(row, &rows->value[i]))
            return false;
    return true;
}

static int by_setting(const void *a, const void *b)
{
    const ffl_row *x = *(const ffl_row *const *)a, *y = *(const ffl_row *const *)b;
    const int setting = ffl_compare_settings(x, y);
    if (setting)
        return setting;
    if (ffl_row_is_fff(x) != ffl_row_is_fff(y))
        return ffl_row_is_fff(y) - ffl_row_is_fff(x);
    if (x->record.trees != y->record.trees)
        return x->record.trees < y->record.trees ? -1 : 1;
    if (x->record.neurons != y->record.neurons)
        return x->record.neurons < y->record.neurons ? -1 : 1;
    return strcmp(x->record.routing, y->record.routing);
}

ffl_status ffl_races(const ffl_rows *rows, const ffl_row ***out, size_t *count)
{
    *count = 0;
    *out = calloc(rows->count + 1, sizeof **out);
    if (!*out)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the report");
    for (size_t i = 0; i < rows->count; i++)
        if (names_race(rows, &rows->value[i]))
            (*out)[(*count)++] = &rows->value[i];
    qsort(*out, *count, sizeof **out, by_setting);
    return FFL_OK;
}

bool ffl_in_race(const ffl_rows *rows, const ffl_row *row, const ffl_row *race)
{
    const ffl_record *r = &row->record;
    if (!ffl_row_ran(row) || !competes(row) || r->neurons != race->record.neurons ||
        !ffl_same_setting(row, race))
        return false;
    if (ffl_row_is_fff(row))
        return ffl_row_is_fff(race) && same_shape(r, &race->record) &&
               strcmp(r->routing, race->record.routing) == 0;
    return !ffl_is_stand_in(rows, row, race);
}

/* Timed in one group with a row of the race: meant to be compared with it. Old rows name no group. */
static bool is_beside(const ffl_rows *rows, const ffl_row *dense, const ffl_row *race)
{
    if (!dense->record.group[0] || !race->record.group[0])
        return true;
    for (size_t i = race->alike_first; i < rows->count; i = ffl_rows_after(rows, i))
        if (strcmp(rows->value[i].record.group, dense->record.group) == 0 &&
            ffl_row_is_fff(&rows->value[i]) && ffl_in_race(rows, &rows->value[i], race))
            return true;
    return false;
}

size_t ffl_other_sizes(const ffl_rows *rows, const ffl_row *row, int64_t out[FFL_SIZES_MAX])
{
    size_t count = 0;
    for (size_t i = row->alike_first; i < rows->count; i = ffl_rows_after(rows, i)) {
        const ffl_row *c = &rows->value[i];
        const int64_t neurons = c->record.neurons;
        if (!ffl_row_ran(c) || !ffl_row_is_dense(c) || neurons == row->record.neurons ||
            !ffl_same_setting(c, row) || !is_beside(rows, c, row))
            continue;
        size_t at = 0;
        while (at < count && out[at] < neurons)
            at++;
        if ((at < count && out[at] == neurons) || count == FFL_SIZES_MAX)
            continue;
        memmove(out + at + 1, out + at, (count - at) * sizeof *out);
        out[at] = neurons;
        count++;
    }
    return count;
}
