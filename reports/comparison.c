#include "reports/comparison.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

ffl_status ffl_comparison_add(ffl_comparison *c, ffl_record *record, ffl_compared **out)
{
    ffl_compared *grown = realloc(c->value, (c->count + 1) * sizeof *grown);
    if (!grown)
        return ffl_fail(FFL_NO_MEMORY, "no memory for %zu compared rows", c->count + 1);
    c->value = grown;
    *out = &c->value[c->count++];
    **out = (ffl_compared){.row = *record, .base_ns = NAN, .new_ns = NAN};
    ffl_record_init(record);
    return FFL_OK;
}

ffl_status ffl_comparison_note(char ***list, size_t *count, const char *format, ...)
{
    char text[1600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    char **grown = realloc(*list, (*count + 1) * sizeof *grown);
    if (!grown)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the notes of a comparison");
    *list = grown;
    if (!(grown[*count] = strdup(text)))
        return ffl_fail(FFL_NO_MEMORY, "no memory for the notes of a comparison");
    ++*count;
    return FFL_OK;
}

static int by_verdict(const void *a, const void *b)
{
    const ffl_compared *x = a, *y = b;
    if (x->change != y->change)
        return (int)x->change - (int)y->change;
    const double large = fabs(y->effect.change) - fabs(x->effect.change);
    return large > 0 ? 1 : large < 0 ? -1 : strcmp(x->row.key, y->row.key);
}

void ffl_comparison_judge(ffl_comparison *c)
{
    for (size_t i = 0; i < c->count; i++)
        c->value[i].change = ffl_change_of(&c->value[i].effect, c->margin);
    qsort(c->value, c->count, sizeof *c->value, by_verdict);
}

size_t ffl_comparison_tally(const ffl_comparison *c, ffl_change change)
{
    size_t count = 0;
    for (size_t i = 0; i < c->count; i++)
        count += c->value[i].change == change;
    return count;
}

size_t ffl_comparison_slower(const ffl_comparison *c, double share)
{
    size_t count = 0;
    for (size_t i = 0; i < c->count; i++)
        count += c->value[i].effect.low > share;
    return count;
}

static void free_texts(char **list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(list[i]);
    free(list);
}

void ffl_comparison_free(ffl_comparison *c)
{
    for (size_t i = 0; i < c->count; i++)
        ffl_record_free(&c->value[i].row);
    free(c->value);
    free_texts(c->differences, c->difference_count);
    free_texts(c->left_out, c->left_out_count);
    *c = (ffl_comparison){0};
}
