#define _GNU_SOURCE
#include "reports/samples_text.h"
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LETTERS = 26 };

/* Above what a double holds exactly there are no durations (record.c). */
static const json_int_t most = (json_int_t)1 << 53;

static json_int_t item(const json_t *pairs, size_t i, size_t which)
{
    return json_integer_value(json_array_get(json_array_get(pairs, i), which));
}

/* The largest power of ten that divides all durations. */
static json_int_t unit_of(const json_t *pairs)
{
    json_int_t unit = 1;
    for (bool divides = true; divides && unit < most / 10;) {
        bool positive = false;
        for (size_t i = 0; i < json_array_size(pairs) && divides; i++) {
            divides = item(pairs, i, 0) % (10 * unit) == 0;
            positive |= item(pairs, i, 0) > 0;
        }
        if (divides && !positive)
            break;
        unit *= divides ? 10 : 1;
    }
    return unit;
}

char *ffl_samples_pack(const json_t *pairs)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    const json_int_t unit = unit_of(pairs);
    json_int_t before = 0;
    fprintf(out, "%lld:", (long long)unit);
    for (size_t i = 0; i < json_array_size(pairs); i++) {
        const json_int_t ns = item(pairs, i, 0), count = item(pairs, i, 1);
        if (ns - before != unit)
            fprintf(out, "%lld", (long long)((ns - before) / unit));
        if (count <= LETTERS)
            fputc('a' + (int)count - 1, out);
        else
            fprintf(out, "(%lld)", (long long)count);
        before = ns;
    }
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* A number without sign; false when there is none, or one that no duration has. */
static bool take_number(const char **at, json_int_t *out)
{
    if (!isdigit((unsigned char)**at))
        return false;
    for (*out = 0; isdigit((unsigned char)**at); ++*at) {
        *out = 10 * *out + (**at - '0');
        if (*out > most)
            return false;
    }
    return true;
}

static bool take_count(const char **at, json_int_t *out)
{
    if (**at >= 'a' && **at <= 'z') {
        *out = *(*at)++ - 'a' + 1;
        return true;
    }
    if (**at != '(')
        return false;
    ++*at;
    return take_number(at, out) && *(*at)++ == ')';
}

ffl_status ffl_samples_unpack(const char *text, json_t **pairs)
{
    const char *at = text;
    json_int_t unit, ns = 0, step, count;
    bool good = take_number(&at, &unit) && unit > 0 && *at++ == ':';
    *pairs = json_array();
    while (good && *at) {
        step = 1;
        if (isdigit((unsigned char)*at))
            good = take_number(&at, &step);
        good = good && step <= (most - ns) / unit && take_count(&at, &count);
        if (!good)
            break;
        ns += step * unit;
        if (json_array_append_new(*pairs, json_pack("[I, I]", ns, count)) != 0) {
            json_decref(*pairs);
            return ffl_fail(FFL_NO_MEMORY, "no memory for samples");
        }
    }
    if (good)
        return FFL_OK;
    json_decref(*pairs);
    return ffl_fail(FFL_BAD_INPUT, "field \"samples\", character %zu: no step or count there",
                    (size_t)(at - text) + 1);
}
