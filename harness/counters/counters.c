/* `fflab counters`: what the processor counts while a variant runs. */
#include "harness/bench/clock.h"
#include "harness/bench/flags.h"
#include "harness/bench/groups.h"
#include "harness/bench/pin.h"
#include "harness/bench/timed.h"
#include "harness/commands.h"
#include "harness/counters/events.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of counted calls per row, after as long of uncounted ones. */
static const double seconds_per_row = 0.3;

typedef struct counts {
    double token[FFL_EVENTS_MAX]; /* per token */
    double ns;                    /* wall time per token */
    double tokens;
} counts;

/* Calls on successive input rows for a while; how many. */
static ffl_status run_calls(ffl_timed *row, size_t *calls)
{
    const ffl_layer *l = &row->layer;
    const ffl_ring ring = ffl_stage_ring(row->stage, row->tokens);
    const double until = ffl_clock_ns() + 1e9 * seconds_per_row;
    size_t position = 0;
    *calls = 0;
    do {
        FFL_TRY(ffl_instance_run(&row->instance, row->stage->x + position * l->width_in, l->width_in,
                                 row->stage->y_warm, l->width_out, row->tokens));
        position = (position + row->tokens) % ring.x_rows;
        ++*calls;
    } while (ffl_clock_ns() < until);
    return FFL_OK;
}

static ffl_status count_row(ffl_timed *row, const ffl_events *events, counts *out)
{
    ffl_reading before, after;
    size_t calls;
    FFL_TRY(run_calls(row, &calls));
    ffl_events_read(events, &before);
    const double start = ffl_clock_ns();
    FFL_TRY(run_calls(row, &calls));
    const double took = ffl_clock_ns() - start;
    ffl_events_read(events, &after);
    out->tokens = (double)calls * (double)row->tokens;
    out->ns = took / out->tokens;
    for (size_t i = 0; i < events->count; i++)
        out->token[i] = (after.value[i] - before.value[i]) / out->tokens;
    return FFL_OK;
}

static void print_heading(const ffl_group *g, const ffl_events *events)
{
    printf("\n%zux%zu, %zu -> %zu; %zu token%s per call; %s; hot; %s; %d thread%s; per token:\n",
           g->tree.trees, g->tree.levels - 1, g->tree.width_in, g->tree.width_out, g->batch,
           g->batch == 1 ? "" : "s", g->routing, ffl_type_name(g->clazz), g->threads,
           g->threads == 1 ? "" : "s");
    printf("  %-32s %6s %11s", "variant", "N", "wall ns");
    for (size_t i = 0; i < events->count; i++)
        if (events->value[i].descriptor >= 0)
            printf(" %13s", events->value[i].name);
    putchar('\n');
}

static void print_row(const ffl_timed *row, const ffl_events *events, const counts *c)
{
    printf("  %-32s %6zu %11.1f", row->what->variant->name, row->layer.neurons, c->ns);
    for (size_t i = 0; i < events->count; i++)
        if (events->value[i].descriptor >= 0)
            printf(" %13.4g", c->token[i]);
    putchar('\n');
    fflush(stdout);
}

static json_t *row_json(const ffl_group *g, const ffl_timed *row, const ffl_events *events, const counts *c)
{
    json_t *token = json_object();
    for (size_t i = 0; i < events->count; i++)
        if (isfinite(c->token[i]))
            json_object_set_new(token, events->value[i].name, json_real(c->token[i]));
    return json_pack("{s:s, s:I, s:I, s:I, s:s, s:f, s:f, s:o}", "variant", row->what->variant->name,
                     "neurons", (json_int_t)row->layer.neurons, "batch", (json_int_t)g->batch, "threads",
                     (json_int_t)g->threads, "routing", g->routing, "tokens", c->tokens, "wall_ns", c->ns,
                     "per_token", token);
}

typedef struct session {
    ffl_events events;
    json_t *rows; /* NULL for tables */
    size_t counted;
    bool failed;
} session;

/* One variant of a group: tried and judged on a few tokens, then counted. */
static ffl_status serve_row(session *s, ffl_stage *stage, const ffl_group *g, const ffl_group_row *what)
{
    ffl_timed row;
    counts c;
    FFL_TRY(ffl_timed_open(&row, g, what, stage));
    ffl_status status = FFL_OK;
    if (row.live)
        status = ffl_stage_scratch(stage, row.instance.plan.scratch_bytes);
    row.instance.exec.scratch = stage->scratch;
    if (row.live && status == FFL_OK)
        status = ffl_timed_try(&row);
    if (row.live && status == FFL_OK)
        status = count_row(&row, &s->events, &c);
    if (row.live && status == FFL_OK) {
        s->counted++;
        if (s->rows)
            json_array_append_new(s->rows, row_json(g, &row, &s->events, &c));
        else
            print_row(&row, &s->events, &c);
    } else if (status == FFL_OK && strcmp(row.record.verdict, "UNSUPPORTED") != 0) {
        fprintf(stderr, "fflab: counters: %s: %s: %s\n", what->variant->name, row.record.verdict,
                row.record.reason);
        s->failed = s->failed || strcmp(row.record.verdict, "SKIPPED") != 0;
    }
    ffl_timed_close(&row);
    return status;
}

static void print_missing(const ffl_events *events)
{
    for (size_t i = 0; i < events->count; i++)
        if (events->value[i].descriptor < 0)
            fprintf(stderr, "fflab: counters: %s: %s\n", events->value[i].name, events->value[i].reason);
    if (events->hardware == 0)
        fputs("fflab: counters: without hardware events `fflab inspect` shows what the inner loops cost on "
              "paper\n",
              stderr);
}

static ffl_status serve(session *s, const ffl_group_list *groups)
{
    ffl_stage stage = {0};
    ffl_status status = FFL_OK;
    for (size_t g = 0; g < groups->count && status == FFL_OK; g++) {
        if (groups->value[g].place != FFL_HOST)
            continue; /* the processor does not see what a device does */
        status = ffl_stage_set(&stage, &groups->value[g]);
        if (status == FFL_OK && !s->rows)
            print_heading(&groups->value[g], &s->events);
        for (size_t r = 0; r < groups->value[g].row_count && status == FFL_OK; r++)
            /* nor what another process does */
            if (groups->value[g].rows[r].variant->library != FFL_PROCESS)
                status = serve_row(s, &stage, &groups->value[g], &groups->value[g].rows[r]);
    }
    ffl_stage_free(&stage);
    return status;
}

static ffl_status run(const ffl_options *options, int *exit_code)
{
    session s = {.rows = ffl_option_given(options, FFL_OPT_JSON) ? json_array() : NULL};
    ffl_flags flags;
    ffl_group_list groups;
    FFL_TRY(ffl_flags_parse(options, &flags));
    ffl_status status = ffl_groups_from_options(options, &flags, &groups);
    ffl_flags_free(&flags);
    if (status != FFL_OK)
        return status;
    if (groups.count)
        status = ffl_pin(groups.value[0].cpus);
    ffl_events_open(&s.events); /* before any variant starts threads */
    print_missing(&s.events);
    for (size_t g = 0; status == FFL_OK && g < groups.count; g++)
        ffl_pin_team(groups.value[g].threads);
    if (status == FFL_OK && s.events.available)
        status = serve(&s, &groups);
    if (s.rows && status == FFL_OK) {
        json_t *document = json_pack("{s:O}", "results", s.rows);
        json_dumpf(document, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(8));
        putchar('\n');
        json_decref(document);
    }
    json_decref(s.rows);
    ffl_events_close(&s.events);
    ffl_groups_free(&groups);
    *exit_code = s.failed ? FFL_EXIT_FAILED : s.counted ? FFL_EXIT_GOOD : FFL_EXIT_NOTHING_RAN;
    return status;
}

static const ffl_option counters_options[] = {
    FFL_OPTIONS_OF_ROWS, FFL_OPT_PLUGIN, FFL_OPT_PRESET,       FFL_OPT_ROUTING,
    FFL_OPT_CPUS,        FFL_OPT_JSON,   FFL_OPT_BLAS_LIBRARY, FFL_OPT_KEEP_BLAS_ENVIRONMENT,
    FFL_OPT_COUNT};

const ffl_command ffl_command_counters = {
    .name = "counters",
    .summary = "cycles, cache misses and other events per token, through perf events",
    .usage = "[OPTIONS]",
    .help = "Runs each selected variant hot, in this process, for about 0.3 s after as long a warm-up, and "
            "prints what\n"
            "the processor and the kernel counted per token, all threads together. Each variant is judged on "
            "a few\n"
            "tokens first. Events that this machine does not offer are named with the reason (virtual "
            "machines often\n"
            "offer no hardware events); `fflab inspect` then shows the inner loops' cost on paper.\n\n"
            "Examples:\n"
            "  fflab counters -v fff_walk_fused_avx512 -v 'ff_tiled_*' --batch 128\n"
            "  fflab counters -v 'fff_*_avx512' --batch 1,1024 --routing uniform,single --json\n",
    .options = counters_options,
    .run = run,
};
