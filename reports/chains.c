/* Chains of rows that may be compared; see rows.h. */
#include "reports/rows.h"
#include <stdio.h>

/* Everything that ffl_same_setting compares, and the kind. */
static void name_setting(const ffl_row *row, char *out, size_t size)
{
    const ffl_record *r = &row->record;
    snprintf(out, size, "%s|%s|%s|%lld|%lld|%lld|%s|%s|%lld|%s", r->kind, r->place, r->clazz,
             (long long)r->threads, (long long)r->width_in, (long long)r->width_out, r->activation, r->cache,
             (long long)r->batch, row->machine);
}

ffl_status ffl_rows_chain(ffl_rows *rows)
{
    json_t *last = json_object(); /* of each chain so far */
    char name[640];
    if (!last)
        return ffl_fail(FFL_NO_MEMORY, "no memory for %zu rows", rows->count);
    for (size_t i = 0; i < rows->count; i++) {
        ffl_row *row = &rows->value[i];
        name_setting(row, name, sizeof name);
        const json_t *before = json_object_get(last, name);
        row->alike_first = i;
        row->alike_next = rows->count;
        if (before) {
            ffl_row *previous = &rows->value[json_integer_value(before)];
            previous->alike_next = i;
            row->alike_first = previous->alike_first;
        }
        if (json_object_set_new(last, name, json_integer((json_int_t)i)) != 0) {
            json_decref(last);
            return ffl_fail(FFL_NO_MEMORY, "no memory for %zu rows", rows->count);
        }
    }
    json_decref(last);
    return FFL_OK;
}

size_t ffl_rows_after(const ffl_rows *rows, size_t i)
{
    return rows->value[i].alike_next ? rows->value[i].alike_next : i + 1;
}
