#include "harness/tune/regret.h"
#include "harness/auto/choice.h"
#include "harness/registry.h"
#include "harness/tune/derive.h"
#include "reports/format.h"
#include "reports/speedup.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double target_mean = 0.05, target_worst = 0.15;

static bool is_dispatcher(const ffl_row *row)
{
    return strcmp(row->record.family, "auto") == 0;
}

/* Timed interleaved, on the same layer. */
static bool same_cell(const ffl_record *a, const ffl_record *b)
{
    return strcmp(a->group, b->group) == 0 && strcmp(a->run, b->run) == 0 &&
           strcmp(a->operation, b->operation) == 0 && a->neurons == b->neurons;
}

static const ffl_row *best_beside(const ffl_rows *rows, const ffl_row *dispatcher)
{
    const ffl_row *best = NULL;
    for (size_t i = 0; i < rows->count; i++) {
        const ffl_row *c = &rows->value[i];
        if (!is_dispatcher(c) && ffl_row_ranks(c) && same_cell(&c->record, &dispatcher->record) &&
            (!best || ffl_row_token_ns(c) < ffl_row_token_ns(best)))
            best = c;
    }
    return best;
}

/* What the dispatcher decides for this row, by the table in use. */
static const char *picked_by(const ffl_record *r)
{
    const ffl_variant *self = ffl_registry_find(r->variant);
    ffl_auto_choice choice;
    ffl_layer shape;
    if (!self)
        return "";
    const ffl_status made =
        self->operation == FFL_FFF
            ? ffl_layer_fff((size_t)r->width_in, (size_t)r->width_out, (size_t)r->trees,
                            ffl_levels_from_depth((size_t)r->depth), &shape)
            : ffl_layer_ff((size_t)r->width_in, (size_t)r->width_out, (size_t)r->neurons, &shape);
    ffl_status status = made;
    if (made == FFL_OK) {
        status = ffl_auto_choose(self, &shape, (size_t)r->batch, (int)r->threads, ffl_tuned_lock(), &choice);
        ffl_tuned_unlock();
    }
    if (status != FFL_OK)
        return "";
    return choice.kernel[ffl_auto_pick(&choice, &shape, (size_t)r->batch, ffl_derive_shared(r))]
        .variant->name;
}

ffl_status ffl_regret_cells(const ffl_rows *rows, ffl_regret **out, size_t *count)
{
    *count = 0;
    *out = calloc(rows->count + 1, sizeof **out);
    if (!*out)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the report");
    for (size_t i = 0; i < rows->count; i++) {
        const ffl_row *row = &rows->value[i];
        const ffl_row *best = is_dispatcher(row) && ffl_row_ranks(row) ? best_beside(rows, row) : NULL;
        if (best)
            (*out)[(*count)++] = (ffl_regret){.dispatcher = row,
                                              .best = best,
                                              .regret = ffl_row_token_ns(row) / ffl_row_token_ns(best) - 1,
                                              .picked = picked_by(&row->record)};
    }
    return FFL_OK;
}

/* ---- Sums ---- */

typedef struct sum {
    double mean, worst;
    const ffl_regret *at;
    size_t count;
} sum;

static bool ran_the_best(const ffl_regret *cell)
{
    return strcmp(cell->picked, cell->best->record.variant) == 0;
}

static sum add_up(const ffl_regret *cells, size_t count, bool only_the_best)
{
    sum s = {.worst = -INFINITY};
    for (size_t i = 0; i < count; i++) {
        if (only_the_best && !ran_the_best(&cells[i]))
            continue;
        s.mean += cells[i].regret > 0 ? cells[i].regret : 0; /* faster than itself: noise */
        s.count++;
        if (cells[i].regret > s.worst) {
            s.worst = cells[i].regret;
            s.at = &cells[i];
        }
    }
    s.mean = s.count ? s.mean / (double)s.count : 0;
    s.worst = s.count ? s.worst : 0;
    return s;
}

/* ---- Printing ---- */

static void print_cell(const ffl_regret *c)
{
    const ffl_record *r = &c->dispatcher->record;
    char layer[48];
    if (strcmp(r->operation, "fff") == 0)
        snprintf(layer, sizeof layer, "%.32s", r->shape);
    else
        snprintf(layer, sizeof layer, "dense %lld", (long long)r->neurons);
    printf("%-11s %-5s %6lld %3lld  %-13s %10.4g %10.4g %7.1f %%  %s%s%s\n", layer, r->clazz,
           (long long)r->batch, (long long)r->threads, r->routing, ffl_row_token_ns(c->best),
           ffl_row_token_ns(c->dispatcher), 100 * c->regret, c->best->record.variant,
           ran_the_best(c) ? "" : "; ran ", ran_the_best(c) ? "" : c->picked);
}

static void print_sum(const char *what, sum s)
{
    printf("%s: mean %.1f %%, worst %.1f %%, over %zu cell%s\n", what, 100 * s.mean, 100 * s.worst, s.count,
           s.count == 1 ? "" : "s");
}

void ffl_regret_print(const ffl_regret *cells, size_t count)
{
    const sum all = add_up(cells, count, false);
    printf("%-11s %-5s %6s %3s  %-13s %10s %10s %9s  %s\n", "layer", "class", "batch", "thr", "routing",
           "best ns", "auto ns", "regret", "best variant");
    for (size_t i = 0; i < count; i++)
        print_cell(&cells[i]);
    putchar('\n');
    print_sum("regret", all);
    printf("targets: mean <= %.0f %% %s, worst <= %.0f %% %s\n", 100 * target_mean,
           all.mean <= target_mean ? "met" : "missed", 100 * target_worst,
           all.worst <= target_worst ? "met" : "missed");
    print_sum("of that noise, as where the dispatcher ran the best variant itself",
              add_up(cells, count, true));
}

void ffl_regret_print_json(const ffl_regret *cells, size_t count)
{
    const sum all = add_up(cells, count, false), noise = add_up(cells, count, true);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s, s:s, s:f, s:f, s:f}", "group", cells[i].dispatcher->record.group,
                            "dispatcher", cells[i].dispatcher->record.variant, "best",
                            cells[i].best->record.variant, "picked", cells[i].picked, "ns_per_token",
                            ffl_row_token_ns(cells[i].dispatcher), "best_ns_per_token",
                            ffl_row_token_ns(cells[i].best), "regret", cells[i].regret));
    json_t *document = json_pack("{s:f, s:f, s:f, s:f, s:o}", "mean", all.mean, "worst", all.worst,
                                 "noise_mean", noise.mean, "noise_worst", noise.worst, "cells", list);
    json_dumpf(document, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(document);
}
