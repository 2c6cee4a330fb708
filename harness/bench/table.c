#include "harness/bench/table.h"
#include "harness/check/judge.h"
#include "harness/registry.h"
#include "kernels/device.h"
#include "reports/format.h"
#include "reports/peers.h"
#include "reports/speedup.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has_verdict(const ffl_row *row, ffl_verdict verdict)
{
    return strcmp(row->record.verdict, ffl_verdict_name(verdict)) == 0;
}

/* "812 ns", "1.23 µs", "45.6 ms" and its interval in the same unit. */
static void format_time(const ffl_row *row, char out[FFL_CELL])
{
    static const struct {
        double ns;
        const char *name;
    } units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "µs"}, {1, "ns"}};
    const double ns = ffl_row_token_ns(row);
    double low, high;
    size_t u = 0;
    while (u < 3 && ns < units[u].ns)
        u++;
    ffl_row_token_interval(row, &low, &high);
    snprintf(out, FFL_CELL, "%.3g %s [%.3g, %.3g]%s", ns / units[u].ns, units[u].name, low / units[u].ns,
             high / units[u].ns, ffl_row_is_reduced(row) ? " *" : "");
}

/* What ranks by time, then other timed rows by time, then the rest. */
static int by_rank(const void *a, const void *b)
{
    const ffl_row *x = *(const ffl_row *const *)a, *y = *(const ffl_row *const *)b;
    const int class_x = ffl_row_has_time(x) ? 0 : 1, class_y = ffl_row_has_time(y) ? 0 : 1;
    if (class_x != class_y)
        return class_x - class_y;
    const double tx = ffl_row_token_ns(x), ty = ffl_row_token_ns(y);
    return (tx > ty) - (tx < ty);
}

static const ffl_row *fastest_dense(const ffl_rows *rows, const ffl_row *row)
{
    const bool peer = !ffl_row_is_fff(row) && !ffl_row_is_dense(row);
    return ffl_fastest(rows, row, "ff", peer ? ffl_peers_dense(rows, row) : row->record.neurons);
}

static void print_heading(const ffl_group *g, const ffl_row *row)
{
    const ffl_record *r = &row->record;
    char leaves[96] = "";
    printf("\n%zux%zu, %lld -> %lld, %s; %lld token%s per call; %s; %s; %s; %d thread%s%s%s\n", g->tree.trees,
           g->tree.levels - 1, (long long)r->width_in, (long long)r->width_out, r->activation,
           (long long)r->batch, r->batch == 1 ? "" : "s", r->routing, r->cache, ffl_type_name(g->clazz),
           g->threads, g->threads == 1 ? "" : "s", *g->cpus ? " on processor " : "", g->cpus);
    if (ffl_group_on_device(g))
        printf("device: %s\n", ffl_device_name());
    if (isfinite(r->leaves_mean)) {
        snprintf(leaves, sizeof leaves, "%.1f leaves per tree (most %.0f)", r->leaves_mean, r->leaves_max);
        printf("routing: %s, entropy %.2f bits, top-1 %.2f %%, %.3g MB of weights visited, %s\n", leaves,
               r->entropy_mean, 100 * r->top1_mean, 1e-6 * r->unique_weight_bytes,
               isfinite(r->forced_margin) ? "imposed" : "as-drawn");
    }
    printf("  %-32s %8s %-28s %-12s %-14s %s\n", "variant", "N", "time per token", "same level",
           "fastest dense", "verdict");
}

/* What a device row's time leaves out. */
static void print_around(const ffl_record *r)
{
    char device[FFL_CELL], plain[FFL_CELL], wall[FFL_CELL], launch[FFL_CELL], host[FFL_CELL];
    ffl_format_ns(r->median_ns, device);
    ffl_format_ns(r->plain_ns, plain);
    ffl_format_ns(r->wall_ns, wall);
    const double rest = r->wall_ns - r->median_ns; /* negative by noise alone */
    ffl_format_ns(rest > 0 ? rest : NAN, launch);
    ffl_format_ns(r->enqueue_ns, host);
    printf("  %-41s per call: %s on the device", "", device);
    if (strcmp(r->form, "graph") == 0)
        printf(" in a graph of %lld (%s without)", (long long)r->burst, plain);
    else
        printf(", %lld in a row", (long long)r->burst);
    printf("; one alone %s, launch and wait %s; host %s\n", wall, launch, host);
}

/* What a program's own clock leaves out. */
static void print_exchange(const ffl_record *r)
{
    char own[FFL_CELL], wall[FFL_CELL];
    ffl_format_ns(r->median_ns, own);
    ffl_format_ns(r->wall_ns, wall);
    printf("  %-41s per call: %s by the clock of its program (%s%s%s%s); with the way there and back %s\n",
           "", own, r->library_version, *r->library_version && *r->kernel_family ? ", " : "",
           r->kernel_family, *r->library_version || *r->kernel_family ? "" : "unnamed", wall);
}

/* Its neurons; of leaf trees and mixtures, which may have equally many, "9x8", "512x8:1". */
static void format_size(const ffl_row *row, char out[FFL_CELL])
{
    const char *shape = strchr(row->record.shape, ' ');
    if (ffl_row_is_fff(row) || ffl_row_is_dense(row) || !shape)
        snprintf(out, FFL_CELL, "%lld", (long long)row->record.neurons);
    else
        snprintf(out, FFL_CELL, "%s", shape + 1);
}

static void print_row(const ffl_rows *rows, const ffl_row *row)
{
    char token[FFL_CELL] = "-", same[FFL_CELL] = "-", best[FFL_CELL] = "-", flags[FFL_CELL];
    const ffl_record *r = &row->record;
    const ffl_variant *variant = ffl_registry_find(r->variant);
    char values[FFL_VALUES_SIZE] = "";
    if (variant)
        ffl_variant_values(variant, values);
    ffl_format_flags(row, flags);
    if (isfinite(r->median_ns))
        format_time(row, token);
    if (!ffl_row_is_dense(row) && ffl_row_has_time(row)) {
        const ffl_speedup level = ffl_speedup_of(row, ffl_same_level(rows, row, r->neurons));
        const ffl_speedup dense = ffl_speedup_of(row, fastest_dense(rows, row));
        if (isfinite(level.ratio))
            snprintf(same, sizeof same, "%.3gx%s", level.ratio, level.reduced ? "*" : "");
        if (isfinite(dense.ratio))
            snprintf(best, sizeof best, "%.3gx%s", dense.ratio, dense.reduced ? "*" : "");
    }
    /* UTF-8 "µ" takes two bytes and one column. */
    const int width = strstr(token, "µ") ? 29 : 28;
    char size[FFL_CELL];
    format_size(row, size);
    printf("  %-32s %8s %-*s %-12s %-14s %s%s%s", r->variant, size, width, token, same, best, r->verdict,
           *flags ? " " : "", flags);
    if (isfinite(r->roof_share))
        printf("  %.*f %% of %s", r->roof_share < 0.0995 ? 1 : 0, 100 * r->roof_share, r->roof);
    if (*values)
        printf("  %s", values);
    if (ffl_row_is_reduced(row) && r->tokens > 0)
        printf(" * %lld tokens per call, not ranked", (long long)r->tokens);
    if ((!has_verdict(row, FFL_PASSED) || *flags) && *r->reason)
        printf(": %s", r->reason);
    putchar('\n');
    if (isfinite(r->wall_ns))
        (r->own_clock ? print_exchange : print_around)(r);
}

/* It could not be timed here at all. */
static bool is_absent(const ffl_row *row)
{
    return has_verdict(row, FFL_UNSUPPORTED_HERE) ||
           (has_verdict(row, FFL_SKIPPED) && strcmp(row->record.place, "cuda") == 0);
}

/* True the first time a row of this variant and reason is met. */
static bool is_news(const ffl_rows *rows, const ffl_row *row)
{
    for (const ffl_row *r = rows->value; r < row; r++)
        if (is_absent(r) && strcmp(r->record.variant, row->record.variant) == 0 &&
            strcmp(r->record.reason, row->record.reason) == 0)
            return false;
    return true;
}

void ffl_table_print(const ffl_group *group, const ffl_rows *rows, size_t first, size_t count)
{
    const ffl_row **sorted = calloc(count + 1, sizeof *sorted);
    size_t shown = 0;
    bool failures = false;
    for (size_t i = 0; sorted && i < count; i++)
        if (!is_absent(&rows->value[first + i]))
            sorted[shown++] = &rows->value[first + i];
    if (sorted)
        qsort(sorted, shown, sizeof *sorted, by_rank);
    if (count && (shown || !ffl_group_on_device(group)))
        print_heading(group, &rows->value[first]);
    for (size_t i = 0; i < shown; i++) {
        print_row(rows, sorted[i]);
        failures = failures || !has_verdict(sorted[i], FFL_PASSED);
    }
    for (size_t i = 0; i < shown && failures; i++)
        if (!has_verdict(sorted[i], FFL_PASSED))
            printf("  again: %s\n", sorted[i]->record.command);
    for (size_t i = 0; i < count; i++) {
        const ffl_row *row = &rows->value[first + i];
        if (is_absent(row) && is_news(rows, row))
            printf("  not here: %s (%s)\n", row->record.variant, row->record.reason);
    }
    free(sorted);
    fflush(stdout);
}

static void set_speedup(json_t *json, const char *name, const char *against, const ffl_row *row,
                        const ffl_row *dense)
{
    char key[64];
    const ffl_speedup speedup = ffl_speedup_of(row, dense);
    if (!isfinite(speedup.ratio))
        return;
    json_object_set_new(json, name, json_real(speedup.ratio));
    snprintf(key, sizeof key, "%s_%s", name, against);
    json_object_set_new(json, key, json_string(dense->record.variant));
}

ffl_status ffl_table_print_json(const ffl_rows *rows)
{
    json_t *results = json_array();
    for (size_t i = 0; i < rows->count; i++) {
        const ffl_row *row = &rows->value[i];
        json_t *json = ffl_record_to_json(&row->record);
        if (json && !ffl_row_is_dense(row) && ffl_row_has_time(row)) {
            set_speedup(json, "speedup_same_level", "against", row,
                        ffl_same_level(rows, row, row->record.neurons));
            set_speedup(json, "speedup_fastest_dense", "against", row, fastest_dense(rows, row));
        }
        json_array_append_new(results, json);
    }
    json_t *document = json_pack("{s:o}", "results", results);
    const int failed = json_dumpf(document, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    json_decref(document);
    putchar('\n');
    return failed ? ffl_fail(FFL_NO_MEMORY, "the results could not be encoded") : FFL_OK;
}
