#include "harness/encoder/layers_table.h"
#include "harness/encoder/pass_clock.h"
#include <math.h>
#include <stdbool.h>
#include <stdio.h>

/* The parts that a layer has. */
static const ffl_part inside[] = {FFL_PART_NORM, FFL_PART_QKV, FFL_PART_ATTENTION, FFL_PART_PROJECTION,
                                  FFL_PART_FEEDFORWARD};
enum { INSIDE = sizeof inside / sizeof *inside, VISITS_SHOWN = 8 };

static double real(const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* A number, or a dash where there is none. */
static void print_number(int width, int digits, double value)
{
    if (isfinite(value))
        printf(" %*.*f", width, digits, value);
    else
        printf(" %*s", width, "-");
}

static int part_width(size_t part)
{
    return part == FFL_PART_FEEDFORWARD ? 11 : 10;
}

static const json_t *part_of(const json_t *json, size_t part)
{
    return json_object_get(json_object_get(json, "parts"), ffl_part_name((ffl_part)part));
}

/* ---- All layers together ---- */

static void print_rate(const json_t *row, const char *unit, const char *key)
{
    printf(" %-7s", unit);
    for (size_t p = 0; p < FFL_PART_COUNT; p++)
        print_number(part_width(p), 1, real(part_of(row, p), key) / 1e9);
    putchar('\n');
}

void ffl_print_rates(const json_t *rows)
{
    size_t i;
    const json_t *row;
    bool first = true;
    json_array_foreach((json_t *)rows, i, row)
    {
        if (!json_object_get(row, "parts"))
            continue;
        if (first) {
            printf(
                "\nrates of the parts, from their shapes (what counts: harness/encoder/README.md)\n  %-39s",
                "variant");
            for (size_t p = 0; p < FFL_PART_COUNT; p++)
                printf(" %*s", part_width(p), ffl_part_name((ffl_part)p));
            putchar('\n');
        }
        first = false;
        printf("  %-31s", json_string_value(json_object_get(row, "variant")));
        print_rate(row, "GFLOP/s", "flops_per_s");
        printf("  %-31s", "");
        print_rate(row, "GB/s", "bytes_per_s");
    }
}

/* ---- Layer by layer ---- */

static void print_layer_name(const json_t *layer)
{
    const long long i = (long long)json_integer_value(json_object_get(layer, "layer"));
    if (i < 0)
        printf("  %-5s", "rest");
    else
        printf("  %-5lld", i);
}

static void print_layer_times(const json_t *row, const json_t *layers)
{
    size_t i;
    const json_t *layer;
    printf("\n%s: ms of each part and layer, median of %lld passes, and its share of the pass;\n"
           "rest: before and behind the layers\n"
           "  layer",
           json_string_value(json_object_get(row, "variant")),
           (long long)json_integer_value(json_object_get(row, "passes")));
    for (size_t p = 0; p < INSIDE; p++)
        printf(" %11s     %%", ffl_part_name(inside[p]));
    puts("       all     %");
    json_array_foreach((json_t *)layers, i, layer)
    {
        print_layer_name(layer);
        for (size_t p = 0; p < INSIDE; p++) {
            const json_t *part = part_of(layer, inside[p]);
            print_number(11, 3, real(part, "ns") / 1e6);
            print_number(5, 1, 100 * real(part, "share"));
        }
        printf(" %9.2f %5.1f\n", real(layer, "ns") / 1e6, 100 * real(layer, "share"));
    }
}

static void print_layer_rates(const json_t *layers)
{
    size_t i;
    const json_t *layer;
    fputs("  layer", stdout);
    for (size_t p = 0; p < INSIDE; p++)
        printf(" %19s", ffl_part_name(inside[p]));
    fputs("\n       ", stdout);
    for (size_t p = 0; p < INSIDE; p++)
        printf(" %11s %7s", "GFLOP/s", "GB/s");
    putchar('\n');
    json_array_foreach((json_t *)layers, i, layer)
    {
        print_layer_name(layer);
        for (size_t p = 0; p < INSIDE; p++) {
            print_number(11, 1, real(part_of(layer, inside[p]), "flops_per_s") / 1e9);
            print_number(7, 1, real(part_of(layer, inside[p]), "bytes_per_s") / 1e9);
        }
        putchar('\n');
    }
}

/* min / mean / max over the trees; of a single tree one number. */
static void print_extent(const json_t *routing, const char *key, double scale, int digits)
{
    const json_t *e = json_object_get(routing, key);
    char text[64];
    const double min = scale * real(e, "min"), mean = scale * real(e, "mean"), max = scale * real(e, "max");
    if (max > min)
        snprintf(text, sizeof text, "%.*f/%.*f/%.*f", digits, min, digits, mean, digits, max);
    else
        snprintf(text, sizeof text, "%.*f", digits, max);
    printf(" %17s", text);
}

/* Leaves visited 0, 1, 2-3, … times; the last column holds all that are visited more often, too. */
static void print_by_visits(const json_t *routing)
{
    const json_t *counts = json_object_get(routing, "by_visits");
    for (size_t m = 0; m < VISITS_SHOWN; m++) {
        long long leaves = (long long)json_integer_value(json_array_get(counts, m));
        for (size_t more = m + 1; m + 1 == VISITS_SHOWN && more < json_array_size(counts); more++)
            leaves += (long long)json_integer_value(json_array_get(counts, more));
        printf(" %6lld", leaves);
    }
}

static void print_layer_routing(const json_t *layers)
{
    size_t i;
    const json_t *layer;
    const json_t *first = json_object_get(json_array_get(layers, 0), "routing");
    if (!first)
        return;
    printf("  routing; over the trees: min/mean/max; leaves of %lld; how many leaves have so many visits\n"
           "  layer %17s %17s %17s",
           (long long)json_integer_value(json_object_get(first, "leaves_of")), "leaves", "entropy, bits",
           "top-1, %");
    for (size_t m = 0; m < VISITS_SHOWN; m++) {
        char text[16];
        const unsigned from = m ? 1u << (m - 1) : 0;
        snprintf(text, sizeof text,
                 m + 1 == VISITS_SHOWN ? "%u+"
                 : m < 2               ? "%u"
                                       : "%u-%u",
                 from, 2 * from - 1);
        printf(" %6s", text);
    }
    putchar('\n');
    json_array_foreach((json_t *)layers, i, layer)
    {
        const json_t *routing = json_object_get(layer, "routing");
        if (!routing)
            continue;
        print_layer_name(layer);
        print_extent(routing, "leaves", 1, 0);
        print_extent(routing, "entropy_bits", 1, 2);
        print_extent(routing, "top1", 100, 1);
        print_by_visits(routing);
        putchar('\n');
    }
}

void ffl_print_layers(const json_t *rows)
{
    size_t i;
    const json_t *row;
    json_array_foreach((json_t *)rows, i, row)
    {
        const json_t *layers = json_object_get(row, "layers");
        if (!layers)
            continue;
        print_layer_times(row, layers);
        print_layer_rates(layers);
        print_layer_routing(layers);
    }
}
