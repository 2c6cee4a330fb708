#include "harness/compare/compare_builds.h"
#include "harness/bench/groups.h"
#include "harness/check/judge.h"
#include "harness/commit.h"
#include "harness/compare/paired_slices.h"
#include "harness/compare/sampling.h"
#include "harness/progress.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double error_share = 0.05; /* chance that any interval of the table misses */
static const double row_seconds = 30, default_timeout = 300;

/* One group per row: nothing else runs beside it. */
static ffl_status split(ffl_group_list *groups, ffl_group_list *out)
{
    size_t rows = 0;
    for (size_t g = 0; g < groups->count; g++)
        rows += groups->value[g].row_count;
    *out = (ffl_group_list){.value = calloc(rows + 1, sizeof *out->value)};
    for (size_t g = 0; out->value && g < groups->count; g++)
        for (size_t i = 0; i < groups->value[g].row_count; i++) {
            ffl_group *one = &out->value[out->count++];
            *one = groups->value[g];
            one->row_count = 1;
            one->rows = malloc(sizeof *one->rows);
            if (!one->rows)
                return ffl_fail(FFL_NO_MEMORY, "no memory for the rows");
            *one->rows = groups->value[g].rows[i];
        }
    return out->value ? FFL_OK : ffl_fail(FFL_NO_MEMORY, "no memory for the rows");
}

static ffl_status read_rows(const ffl_options *options, ffl_group_list *out)
{
    static const ffl_flags flags = {.interleave = true};
    ffl_group_list groups;
    *out = (ffl_group_list){0};
    FFL_TRY(ffl_groups_from_options(options, &flags, &groups));
    ffl_status status = split(&groups, out);
    ffl_groups_free(&groups);
    if (status == FFL_OK && out->count == 0)
        status = ffl_fail(FFL_BAD_INPUT, "these options select no row");
    if (status != FFL_OK)
        ffl_groups_free(out);
    return status;
}

static ffl_status read_turns(const ffl_options *options, char program[4096], size_t rows, double *confidence,
                             ffl_turns *out)
{
    const char *dir = options->value[FFL_OPT_AGAINST];
    if (snprintf(program, 4096, "%s/harness/fflab", dir) >= 4096)
        return ffl_fail(FFL_BAD_INPUT, "--against %.100s…: too long", dir);
    if (access(program, X_OK) != 0)
        return ffl_fail(FFL_BAD_INPUT, "--against %s: %s: %s; is it a build folder?", dir, program,
                        strerror(errno));
    *out = (ffl_turns){.options = options,
                       .side = {{.program = program, .kind = "slices", .name = "BASE"},
                                {.program = "/proc/self/exe", .kind = "slices", .name = "NEW"}},
                       .sides = 2,
                       .seats = FFL_SEATS,
                       .row_seconds = row_seconds,
                       .slice_seconds = FFL_SLICE_SECONDS};
    *confidence = 1 - error_share / (double)(rows ? rows : 1);
    out->fewest = ffl_median_fewest(*confidence);
    FFL_TRY(ffl_option_size(options, FFL_OPT_PAIRS, 1, FFL_PAIRS_MOST, 0, &out->pairs));
    if (out->pairs && out->pairs < out->fewest)
        return ffl_fail(FFL_BAD_INPUT, "--pairs %zu: %zu rows need at least %zu", out->pairs, rows,
                        out->fewest);
    if (out->pairs == 0)
        out->pairs = ffl_median_as_sharp(ffl_sampling_pairs(), *confidence);
    out->pairs = out->pairs < out->fewest ? out->fewest : out->pairs;
    FFL_TRY(ffl_option_duration(options, FFL_OPT_TIMEOUT, default_timeout, &out->timeout_s));
    return ffl_option_seed(options, 1, &out->seed);
}

ffl_status ffl_compare_builds_check(const ffl_options *options)
{
    char program[4096];
    double confidence;
    ffl_turns turns;
    ffl_group_list rows;
    FFL_TRY(read_rows(options, &rows));
    const ffl_status status = read_turns(options, program, rows.count, &confidence, &turns);
    ffl_groups_free(&rows);
    return status;
}

/* ---- Rows ---- */

static bool is_failure(const char *verdict)
{
    return strcmp(verdict, ffl_verdict_name(FFL_UNSUPPORTED_HERE)) != 0 &&
           strcmp(verdict, ffl_verdict_name(FFL_SKIPPED)) != 0;
}

static ffl_status add_row(ffl_comparison *c, const ffl_group *group, const ffl_turns *turns, ffl_pairs *pairs,
                          size_t *failed)
{
    ffl_record record;
    ffl_compared *row;
    ffl_group_record(group, &group->rows[0], &record);
    if (strcmp(pairs->verdict, ffl_verdict_name(FFL_PASSED)) != 0) {
        *failed += is_failure(pairs->verdict);
        const ffl_status status = ffl_comparison_note(&c->left_out, &c->left_out_count, "%s: %s, %s",
                                                      record.key, pairs->verdict, pairs->reason);
        ffl_record_free(&record);
        return status;
    }
    FFL_TRY(ffl_comparison_add(c, &record, &row));
    row->effect = ffl_effect_of_pairs(pairs->log_ratio[FFL_NEW], pairs->count, c->confidence_of_row);
    row->base_ns = pairs->token_ns[FFL_BASE];
    row->new_ns = pairs->token_ns[FFL_NEW];
    row->samples = pairs->count;
    if (pairs->count < turns->pairs)
        snprintf(row->reason, sizeof row->reason, "%zu pairs of slow calls", pairs->count);
    return FFL_OK;
}

static ffl_status compare_row(const ffl_turns *turns, const ffl_group *group, ffl_comparison *c,
                              size_t *failed)
{
    ffl_pairs pairs;
    const bool program = group->rows[0].variant->library == FFL_PROCESS;
    if (group->place != FFL_HOST || program) {
        char key[768];
        ffl_group_row_name(group, &group->rows[0], key, sizeof key);
        return ffl_comparison_note(&c->left_out, &c->left_out_count, "%s: %s; compare journals", key,
                                   program ? "by another process" : "on a device");
    }
    FFL_TRY(ffl_pairs_run(turns, group, &pairs));
    const ffl_status status = add_row(c, group, turns, &pairs, failed);
    ffl_pairs_free(&pairs);
    return status;
}

/* Each row has an order of turns of its own. */
static ffl_status compare_rows(ffl_turns *turns, const ffl_group_list *rows, ffl_comparison *c,
                               size_t *failed)
{
    ffl_progress *progress = ffl_progress_new("comparing", (double)rows->count);
    ffl_status status = FFL_OK;
    const uint64_t seed = turns->seed;
    for (size_t i = 0; i < rows->count && status == FFL_OK; i++) {
        char key[768];
        ffl_group_row_name(&rows->value[i], rows->value[i].rows, key, sizeof key);
        ffl_progress_show(progress, (double)i, key);
        turns->seed = seed + i;
        status = compare_row(turns, &rows->value[i], c, failed);
    }
    ffl_progress_clear(progress);
    ffl_progress_free(progress);
    return status;
}

ffl_status ffl_compare_builds(const ffl_options *options, double margin, ffl_comparison *out, size_t *failed)
{
    char program[4096], commits[FFL_SIDES_MAX][64];
    ffl_turns turns;
    ffl_group_list rows;
    *failed = 0;
    *out = (ffl_comparison){.paired = true, .margin = margin, .confidence = 1 - error_share};
    FFL_TRY(read_rows(options, &rows));
    ffl_status status = read_turns(options, program, rows.count, &out->confidence_of_row, &turns);
    if (status == FFL_OK)
        status = ffl_turns_check(&turns, commits);
    if (status == FFL_OK) {
        snprintf(out->base, sizeof out->base, "%.160s (commit %.60s)", options->value[FFL_OPT_AGAINST],
                 commits[0]);
        snprintf(out->now, sizeof out->now, "this build (commit %.60s)", commits[1]);
        status = compare_rows(&turns, &rows, out, failed);
    }
    ffl_groups_free(&rows);
    if (status == FFL_OK)
        ffl_comparison_judge(out);
    else
        ffl_comparison_free(out);
    return status;
}
