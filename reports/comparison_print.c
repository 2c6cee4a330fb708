/* Text, Markdown and JSON of a comparison. */
#include "reports/comparison.h"
#include "reports/format.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LEFT_OUT_SHOWN = 8 };

/* "+5.1 %", "+230 %"; "?" where there is no bound. */
static void percent(double change, char out[32])
{
    if (!isfinite(change) || !(change > -1))
        strcpy(out, "?");
    else
        snprintf(out, 32, "%+.*f %%", fabs(change) < 0.9995 ? 1 : 0, 100 * change);
}

static void interval(const ffl_effect *e, char out[80])
{
    char low[32], high[32];
    percent(e->low, low);
    percent(e->high, high);
    snprintf(out, 80, "[%s, %s]", low, high);
}

/* "fff_walk_avx512 1x11 batch 128, uniform, hot, 1 thread"; "…, on the GPU, as a graph". */
static void words(const ffl_compared *c, char *out, size_t size)
{
    const ffl_record *r = &c->row;
    const ffl_row row = {.record = *r};
    char shape[FFL_CELL];
    ffl_format_shape(&row, shape);
    const int used = snprintf(out, size, "%s %s batch %lld, %s, %s, ", r->variant, shape, (long long)r->batch,
                              r->routing, r->cache);
    if (used < 0 || (size_t)used >= size)
        return;
    if (strcmp(r->place, "cuda") == 0)
        snprintf(out + used, size - (size_t)used, "on the GPU, %s",
                 strcmp(r->form, "graph") == 0 ? "as a graph" : "call by call");
    else
        snprintf(out + used, size - (size_t)used, "%lld thread%s", (long long)r->threads,
                 r->threads == 1 ? "" : "s");
}

static void print_tally(const ffl_comparison *c, FILE *file)
{
    fprintf(file, "%zu row%s: ", c->count, c->count == 1 ? "" : "s");
    for (int change = 0; change < FFL_CHANGES; change++)
        fprintf(file, "%s%zu %s", change ? ", " : "", ffl_comparison_tally(c, (ffl_change)change),
                ffl_change_name((ffl_change)change));
    if (c->left_out_count)
        fprintf(file, "; %zu not compared", c->left_out_count);
}

static void print_method(const ffl_comparison *c, FILE *file)
{
    if (c->paired)
        fprintf(
            file,
            "%zu pairs of slices per row, both programs in turns; intervals hold together with %.0f %%; SAME "
            "within %.3g %%",
            c->count ? c->value[0].samples : 0, 100 * c->confidence, 100 * c->margin);
    else
        fprintf(
            file,
            "two runs, one after the other: intervals allow for what the machine did in between; SAME within "
            "%.3g %%",
            100 * c->margin);
}

static void print_left_out(const ffl_comparison *c, const char *bullet, FILE *file)
{
    for (size_t i = 0; i < c->left_out_count && i < LEFT_OUT_SHOWN; i++) {
        fputs(bullet, file);
        ffl_print_text(file, c->left_out[i]);
        putc('\n', file);
    }
    if (c->left_out_count > LEFT_OUT_SHOWN)
        fprintf(file, "%sand %zu more\n", bullet, c->left_out_count - LEFT_OUT_SHOWN);
}

void ffl_comparison_print(const ffl_comparison *c, FILE *file)
{
    fprintf(file, "BASE %s\nNEW  %s\n", c->base, c->now);
    for (size_t i = 0; i < c->difference_count; i++)
        fprintf(file, "  differs: %s\n", c->differences[i]);
    fprintf(file, "\n%-9s  %8s  %-20s  %9s  %9s  %s\n", "verdict", "change", "interval", "BASE", "NEW",
            "per token");
    for (size_t i = 0; i < c->count; i++) {
        const ffl_compared *v = &c->value[i];
        char change[32], range[80], base[FFL_CELL], now[FFL_CELL], name[640];
        percent(v->effect.change, change);
        interval(&v->effect, range);
        ffl_format_ns(v->base_ns, base);
        ffl_format_ns(v->new_ns, now);
        words(v, name, sizeof name);
        /* µ is two bytes and one column. */
        fprintf(file, "%-9s  %8s  %-20s  %*s  %*s  %s%s%s\n", ffl_change_name(v->change), change, range,
                strstr(base, "µ") ? 10 : 9, base, strstr(now, "µ") ? 10 : 9, now, name,
                *v->reason ? ": " : "", v->reason);
    }
    putc('\n', file);
    print_tally(c, file);
    putc('\n', file);
    print_left_out(c, "  ", file);
    print_method(c, file);
    putc('\n', file);
}

/* ---- Markdown ---- */

static void print_rows(const ffl_comparison *c, bool changed, FILE *file)
{
    fprintf(file, "| | Change | Interval | BASE | NEW | Row |\n|---|--:|---|--:|--:|---|\n");
    for (size_t i = 0; i < c->count; i++) {
        const ffl_compared *v = &c->value[i];
        if ((v->change == FFL_SLOWER || v->change == FFL_FASTER) != changed)
            continue;
        char change[32], range[80], base[FFL_CELL], now[FFL_CELL], name[640];
        percent(v->effect.change, change);
        interval(&v->effect, range);
        ffl_format_ns(v->base_ns, base);
        ffl_format_ns(v->new_ns, now);
        words(v, name, sizeof name);
        fprintf(file, "| %s%s%s | %s | %s | %s | %s | ", changed ? "**" : "", ffl_change_name(v->change),
                changed ? "**" : "", change, range, base, now);
        ffl_print_text(file, name);
        if (*v->reason)
            fputs(": ", file);
        ffl_print_text(file, v->reason);
        fputs(" |\n", file);
    }
}

void ffl_comparison_print_markdown(const ffl_comparison *c, FILE *file)
{
    const size_t changed = ffl_comparison_tally(c, FFL_SLOWER) + ffl_comparison_tally(c, FFL_FASTER);
    fputs("**fflab compare** ", file);
    print_tally(c, file);
    fputs("\n\nBASE ", file);
    ffl_print_text(file, c->base);
    fputs(", NEW ", file);
    ffl_print_text(file, c->now);
    fputs(". Time per token; ", file);
    print_method(c, file);
    fputs(".\n", file);
    if (changed) {
        putc('\n', file);
        print_rows(c, true, file);
    }
    if (changed < c->count) {
        fprintf(file, "\n<details><summary>%zu rows SAME or AMBIGUOUS</summary>\n\n", c->count - changed);
        print_rows(c, false, file);
        fputs("\n</details>\n", file);
    }
    if (c->difference_count + c->left_out_count)
        putc('\n', file);
    for (size_t i = 0; i < c->difference_count; i++) {
        fputs("- differs: ", file);
        ffl_print_text(file, c->differences[i]);
        putc('\n', file);
    }
    print_left_out(c, "- not compared: ", file);
}

/* ---- JSON ---- */

static json_t *bound(double value)
{
    return isfinite(value) && value > -1 ? json_real(value) : json_null();
}

static json_t *texts(char *const *list, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, json_string(list[i]));
    return array;
}

json_t *ffl_comparison_to_json(const ffl_comparison *c)
{
    json_t *rows = json_array(), *tally = json_object();
    for (size_t i = 0; i < c->count; i++) {
        const ffl_compared *v = &c->value[i];
        json_array_append_new(
            rows, json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:I, s:s}", "key", v->row.key,
                            "variant", v->row.variant, "verdict", ffl_change_name(v->change), "change",
                            bound(v->effect.change), "low", bound(v->effect.low), "high",
                            bound(v->effect.high), "base_ns_per_token", bound(v->base_ns), "new_ns_per_token",
                            bound(v->new_ns), "samples", (json_int_t)v->samples, "reason", v->reason));
    }
    for (int change = 0; change < FFL_CHANGES; change++)
        json_object_set_new(tally, ffl_change_name((ffl_change)change),
                            json_integer((json_int_t)ffl_comparison_tally(c, (ffl_change)change)));
    return json_pack("{s:s, s:s, s:b, s:f, s:o, s:o, s:o, s:o, s:o}", "base", c->base, "new", c->now,
                     "paired", c->paired, "margin", c->margin, "confidence",
                     c->paired ? json_real(c->confidence) : json_null(), "tally", tally, "rows", rows,
                     "differences", texts(c->differences, c->difference_count), "left_out",
                     texts(c->left_out, c->left_out_count));
}
