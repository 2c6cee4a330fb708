#include "harness/check/ways_table.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* So few variants make columns, and the ways rows. */
enum { COLUMNS_MAX = 3, CELL = 8 };

static bool is_promised(const ffl_variant *variant, int way)
{
    return (variant->contract.invariances & ffl_way_promise((ffl_way)way)) != 0;
}

static void make_cell(const ffl_ways_row *row, int way, char out[CELL])
{
    static const char *const signs[] = {"-", "=", "~", "BROKEN"};
    const unsigned char outcome = row->outcomes->way[way];
    const bool star = outcome != FFL_NOT_TRIED && outcome != FFL_BROKEN && is_promised(row->variant, way);
    snprintf(out, CELL, "%s%s", signs[outcome], star ? "*" : "");
}

static bool was_tried(const ffl_ways_row *row, int first, int end)
{
    for (int way = first; way < end; way++)
        if (row->outcomes->way[way] != FFL_NOT_TRIED)
            return true;
    return false;
}

/* The wider of header and cell. */
static int width_of(const char *header)
{
    const int length = (int)strlen(header);
    return length < CELL - 2 ? CELL - 2 : length;
}

static void print_by_variant(const ffl_ways_row *rows, size_t count, int first, int end)
{
    char cell[CELL];
    printf("%-36s", "");
    for (int way = first; way < end; way++)
        printf(" %-*s", width_of(ffl_way_name((ffl_way)way)), ffl_way_name((ffl_way)way));
    putchar('\n');
    for (size_t i = 0; i < count; i++) {
        if (!was_tried(&rows[i], first, end))
            continue;
        printf("%-36s", rows[i].variant->name);
        for (int way = first; way < end; way++) {
            make_cell(&rows[i], way, cell);
            printf(" %-*s", width_of(ffl_way_name((ffl_way)way)), cell);
        }
        putchar('\n');
    }
}

static void print_by_way(const ffl_ways_row *rows, size_t count, int first, int end)
{
    char cell[CELL];
    printf("%-12s", "");
    for (size_t i = 0; i < count; i++)
        if (was_tried(&rows[i], first, end))
            printf(" %-*s", width_of(rows[i].variant->name), rows[i].variant->name);
    putchar('\n');
    for (int way = first; way < end; way++) {
        printf("%-12s", ffl_way_name((ffl_way)way));
        for (size_t i = 0; i < count; i++)
            if (was_tried(&rows[i], first, end)) {
                make_cell(&rows[i], way, cell);
                printf(" %-*s", width_of(rows[i].variant->name), cell);
            }
        printf(" %s\n", ffl_way_phrase((ffl_way)way));
    }
}

static void print_part(const ffl_ways_row *rows, size_t count, const char *title, int first, int end)
{
    size_t tried = 0;
    for (size_t i = 0; i < count; i++)
        tried += was_tried(&rows[i], first, end);
    if (tried == 0)
        return;
    printf("\n%s: = the same bits, ~ other bits within the bound, - not tried, * promised by the contract\n",
           title);
    if (tried <= COLUMNS_MAX)
        print_by_way(rows, count, first, end);
    else
        print_by_variant(rows, count, first, end);
    putchar('\n');
}

void ffl_ways_print(const ffl_ways_row *rows, size_t count)
{
    print_part(rows, count, "Invariances", 0, FFL_WAYS_INVARIANCE);
    print_part(rows, count, "Properties", FFL_WAYS_INVARIANCE, FFL_WAY_COUNT);
}

static void print_list(const ffl_way_outcomes *outcomes, ffl_way_outcome outcome, int end, const char *title)
{
    const char *between = title;
    for (int way = 0; way < end; way++)
        if (outcomes->way[way] == outcome) {
            printf("%s%s", between, ffl_way_name((ffl_way)way));
            between = ", ";
        }
}

void ffl_ways_print_others(const ffl_way_outcomes *outcomes)
{
    print_list(outcomes, FFL_WITHIN_BOUND, FFL_WAYS_INVARIANCE, "; other bits: ");
    print_list(outcomes, FFL_BROKEN, FFL_WAY_COUNT, "; broken: ");
}

json_t *ffl_ways_to_json(const ffl_variant *variant, const ffl_way_outcomes *outcomes)
{
    json_t *found = ffl_way_outcomes_to_json(outcomes);
    if (!found)
        return NULL;
    json_t *promised = json_array();
    for (int way = 0; way < FFL_WAY_COUNT; way++)
        if (outcomes->way[way] != FFL_NOT_TRIED && is_promised(variant, way))
            json_array_append_new(promised, json_string(ffl_way_name((ffl_way)way)));
    return json_pack("{s:o, s:o}", "outcomes", found, "promised", promised);
}
