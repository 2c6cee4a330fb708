/* `fflab calibrate`: measures the roofs of this machine and keeps them. */
#define _GNU_SOURCE
#include "harness/bench/device_stage.h"
#include "harness/commands.h"
#include "harness/journal.h"
#include "harness/roofs/roofs.h"
#include "kernels/cpu.h"
#include "kernels/team.h"
#include "reports/date.h"
#include "reports/roof_table.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

static const double default_budget = 30, budget_min = 0.1;

typedef struct settings {
    int threads[FFL_LIST_MAX];
    size_t count;
    double seconds;
} settings;

static ffl_status read_settings(const ffl_options *options, settings *out)
{
    const int cpus = ffl_machine_host()->cpus;
    ffl_size_list list;
    char all[32] = "1";
    if (cpus > 1 && ffl_team_available())
        snprintf(all, sizeof all, "1,%d", cpus);
    FFL_TRY(ffl_option_size_list(options, FFL_OPT_THREADS, 1, 4096, all, &list));
    FFL_TRY(ffl_option_duration(options, FFL_OPT_BUDGET, default_budget, &out->seconds));
    if (out->seconds < budget_min)
        return ffl_fail(FFL_BAD_INPUT, "--budget %s: a roof needs more time than that",
                        options->value[FFL_OPT_BUDGET]);
    out->count = list.count;
    for (size_t i = 0; i < list.count; i++) {
        if (list.value[i] > (size_t)cpus)
            return ffl_fail(FFL_BAD_INPUT, "--threads %zu: this process may use %d processor%s",
                            list.value[i], cpus, cpus == 1 ? "" : "s");
        if (list.value[i] > 1 && !ffl_team_available())
            return ffl_fail(FFL_BAD_INPUT, "--threads %zu: built without OpenMP, there is one thread",
                            list.value[i]);
        out->threads[i] = (int)list.value[i];
    }
    return FFL_OK;
}

static ffl_status validate(const ffl_options *options)
{
    settings s;
    return read_settings(options, &s);
}

/* Of each kind one roof stands for all: they are measured together. */
static bool has_since(const ffl_roofs *roofs, const char *place, int64_t threads, const char *since)
{
    for (size_t i = 0; i < roofs->count; i++)
        if (strcmp(roofs->value[i].place, place) == 0 && roofs->value[i].threads == threads &&
            strcmp(roofs->value[i].date, since) >= 0)
            return true;
    return false;
}

ffl_status ffl_roofs_are_fresh(const ffl_options *options, double seconds, bool *fresh)
{
    settings s;
    ffl_roofs roofs;
    char since[FFL_DATE_SIZE];
    const char *why;
    FFL_TRY(read_settings(options, &s));
    FFL_TRY(ffl_roofs_load(&roofs));
    ffl_date_write(time(NULL) - (time_t)seconds, since);
    *fresh = !ffl_device_timing(&why) || has_since(&roofs, "cuda", 1, since);
    for (size_t i = 0; i < s.count; i++)
        *fresh = *fresh && has_since(&roofs, "host", s.threads[i], since);
    ffl_roofs_free(&roofs);
    return FFL_OK;
}

static ffl_status measure(const settings *s, ffl_roofs *out)
{
    const ffl_roof_wish wish = {.threads = s->threads, .thread_count = s->count, .seconds = s->seconds};
    const char *why;
    FFL_TRY(ffl_roofs_measure_host(&wish, out));
    FFL_TRY(ffl_roofs_measure_device(out, &why));
    if (why)
        fprintf(stderr, "fflab: no roofs of a GPU: %s\n", why);
    return FFL_OK;
}

/* Roofs that are too low accuse honest rows: say so when it shows. */
static void warn_of_busy_machine(const ffl_roofs *roofs)
{
    for (size_t i = 0; i < roofs->count; i++) {
        const ffl_roof *many = &roofs->value[i];
        const ffl_roof *one = ffl_roofs_find(roofs, many->place, many->name, 1);
        if (one && strncmp(many->name, "fma_", 4) == 0 && many->threads > 1 &&
            many->value < 1.05 * one->value) {
            fprintf(
                stderr,
                "fflab: %lld threads were no faster than one (%s): other programs kept the processors busy; "
                "calibrate again when they are gone\n",
                (long long)many->threads, many->name);
            return;
        }
    }
}

static ffl_status print_json(const ffl_roofs *roofs)
{
    json_t *lines = json_array();
    for (size_t i = 0; i < roofs->count; i++) {
        ffl_record record;
        if (ffl_roof_to_record(&roofs->value[i], &record) == FFL_OK)
            json_array_append_new(lines, ffl_record_to_json(&record));
        ffl_record_free(&record);
    }
    json_t *document = json_pack("{s:o}", "roofs", lines);
    const int failed = json_dumpf(document, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    json_decref(document);
    putchar('\n');
    return failed ? ffl_fail(FFL_NO_MEMORY, "the roofs could not be encoded") : FFL_OK;
}

/* --out: a journal of them, for `report`. */
static ffl_status write_journal(const ffl_options *options, const ffl_roofs *roofs)
{
    ffl_journal *journal;
    if (!ffl_option_given(options, FFL_OPT_OUT))
        return FFL_OK;
    FFL_TRY(ffl_journal_open(options, &journal));
    ffl_status status = ffl_roofs_journal(roofs, journal);
    const ffl_status closed = ffl_journal_close(journal);
    return status == FFL_OK ? closed : status;
}

static ffl_status run(const ffl_options *options, int *exit_code)
{
    settings s;
    ffl_roofs roofs = {0};
    char path[4096] = "";
    FFL_TRY(read_settings(options, &s));
    ffl_status status = measure(&s, &roofs);
    if (status == FFL_OK) {
        warn_of_busy_machine(&roofs);
        const bool json = ffl_option_given(options, FFL_OPT_JSON);
        status = json ? print_json(&roofs) : FFL_OK;
        if (!json)
            ffl_roof_table_print(roofs.value, roofs.count, stdout);
        fflush(stdout);
        const ffl_status stored = ffl_roofs_store(&roofs, path, sizeof path);
        if (stored == FFL_OK && !json)
            printf("\nkept in %s; bench, study and report hold rows against them\n", path);
        status = status == FFL_OK ? stored : status;
    }
    if (status == FFL_OK)
        status = write_journal(options, &roofs);
    ffl_roofs_free(&roofs);
    *exit_code = FFL_EXIT_GOOD;
    return status;
}

static const ffl_option calibrate_options[] = {
    FFL_OPT_THREADS, FFL_OPT_BUDGET, FFL_OPT_OUT, FFL_OPT_JSON, FFL_OPT_COUNT,
};

const ffl_command ffl_command_calibrate = {
    .name = "calibrate",
    .summary = "measure what this machine can do at most",
    .usage = "[OPTIONS]",
    .help =
        "Measures the roofs of this machine with loops that do nothing else: multiply-adds in registers per\n"
        "instruction set and type, reading and copying in each level of cache and in memory, rows of 3 KB "
        "in\n"
        "random order; for one thread and for all processors, or as --threads says. On a GPU: matrix "
        "products,\n"
        "reading and copying. Each is the best of many short slices spread over --budget (30s).\n\n"
        "The roofs are kept in the cache folder. From then on every row of bench says what share of the "
        "roof\n"
        "that binds it reaches, and a row above it is IMPLAUSIBLE: not ranked, exit code 2. Calibrate on an "
        "idle\n"
        "machine; a median far below the best says that it was not. How, and why so: "
        "harness/roofs/README.md.\n\n"
        "Examples:\n"
        "  fflab calibrate\n"
        "  fflab calibrate --threads 1,4,16 --budget 60s\n"
        "  fflab calibrate --json > roofs.json\n"
        "  fflab calibrate --out results/roofs          (a journal; fflab report merges it)\n",
    .options = calibrate_options,
    .validate = validate,
    .run = run,
};
