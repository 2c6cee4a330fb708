/* `fflab bench`: times variants against each other, group by group. */
#include "harness/bench/conduct.h"
#include "harness/bench/table.h"
#include "harness/commands.h"
#include "harness/machine.h"
#include "harness/workload/recorded.h"
#include "reports/gbench_json.h"
#include "reports/grid.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double default_timeout = 300;

/* Dense rows are views of the recorded weights, too. */
static ffl_status check_neurons(const ffl_group *group, const char *file)
{
    for (size_t i = 0; i < group->row_count; i++)
        if (group->rows[i].shape.neurons > group->tree.neurons)
            return ffl_fail(FFL_BAD_INPUT,
                            "--routing recorded:%s: a layer of %zu neurons; --neurons %zu needs more", file,
                            group->tree.neurons, group->rows[i].shape.neurons);
    return FFL_OK;
}

/* A file of recorded inputs is read before anything runs; once per shape. */
static ffl_status check_recorded(const ffl_group *group, const ffl_group *before)
{
    ffl_routing routing;
    FFL_TRY(ffl_routing_parse(group->routing, &routing));
    if (routing.kind != FFL_RECORDED)
        return FFL_OK;
    if (ffl_recorded_is_layer(routing.file))
        FFL_TRY(check_neurons(group, routing.file));
    if (before && strcmp(group->routing, before->routing) == 0 &&
        memcmp(&group->tree, &before->tree, sizeof group->tree) == 0)
        return FFL_OK;
    return ffl_recorded_check(routing.file, &group->tree);
}

static ffl_status validate(const ffl_options *options)
{
    ffl_flags flags;
    ffl_group_list groups;
    double seconds;
    FFL_TRY(ffl_option_duration(options, FFL_OPT_BUDGET, 0, &seconds));
    FFL_TRY(ffl_option_duration(options, FFL_OPT_TIMEOUT, default_timeout, &seconds));
    FFL_TRY(ffl_flags_parse(options, &flags));
    ffl_status status = ffl_groups_from_options(options, &flags, &groups);
    ffl_flags_free(&flags);
    if (status != FFL_OK)
        return status;
    for (size_t g = 0; g < groups.count && status == FFL_OK; g++)
        status = check_recorded(&groups.value[g], g ? &groups.value[g - 1] : NULL);
    ffl_groups_free(&groups);
    return status;
}

/* --resume: a group whose every row is in the journal is done; any other runs whole, for its rows are
 * comparable only when they ran together. */
static size_t drop_finished(const ffl_journal *journal, ffl_group_list *groups)
{
    size_t kept = 0;
    const size_t before = groups->count;
    for (size_t g = 0; g < before; g++) {
        ffl_group *group = &groups->value[g];
        bool done = true;
        for (size_t i = 0; i < group->row_count && done; i++) {
            char key[768];
            ffl_group_row_name(group, &group->rows[i], key, sizeof key);
            done = ffl_journal_has(journal, key);
        }
        if (done)
            ffl_group_free(group);
        else
            groups->value[kept++] = *group;
    }
    groups->count = kept;
    return before - kept;
}

static void show(void *user, const ffl_group *group, const ffl_rows *all, size_t first, size_t count)
{
    (void)user;
    ffl_table_print(group, all, first, count);
}

/* Google Benchmark's JSON of this invocation, whatever number of workers it took. */
static ffl_status write_gbench_json(const char *path, ffl_rows *rows)
{
    ffl_row *run = calloc(1, sizeof *run);
    FILE *file = run ? fopen(path, "w") : NULL;
    if (!file) {
        free(run);
        return ffl_fail(FFL_IO, "--benchmark_out=%s: %s", path, strerror(errno));
    }
    ffl_record_init(&run->record);
    strcpy(run->record.kind, "run");
    run->record.circumstances = ffl_circumstances();
    run->machine = "";
    rows->runs = run;
    rows->run_count = 1;
    ffl_status status = ffl_gbench_json_write(rows, file);
    if (fclose(file) != 0 && status == FFL_OK)
        status = ffl_fail(FFL_IO, "--benchmark_out=%s: %s", path, strerror(errno));
    return status;
}

/* The answer in one table per shape: batches down, class, cache state and threads across. */
static ffl_status print_grids(const ffl_rows *rows)
{
    const ffl_row **races;
    size_t count;
    FFL_TRY(ffl_races(rows, &races, &count));
    ffl_grids_print(rows, races, count, FFL_GRID_TEXT, stdout);
    free(races);
    return FFL_OK;
}

static int exit_code_of(const ffl_options *options, const ffl_outcome *outcome, size_t resumed)
{
    if (outcome->failed)
        return FFL_EXIT_FAILED;
    if (outcome->timed == 0 && resumed == 0)
        return FFL_EXIT_NOTHING_RAN;
    if (outcome->questionable && ffl_option_given(options, FFL_OPT_STRICT))
        return FFL_EXIT_STRICT;
    return FFL_EXIT_GOOD;
}

static ffl_status run_groups(const ffl_options *options, const ffl_flags *flags, ffl_group_list *groups,
                             int *exit_code)
{
    const bool json = ffl_option_given(options, FFL_OPT_JSON);
    ffl_conduct conduct = {.options = options, .show = json ? NULL : show};
    ffl_outcome outcome;
    FFL_TRY(ffl_option_duration(options, FFL_OPT_BUDGET, 0, &conduct.budget));
    FFL_TRY(ffl_option_duration(options, FFL_OPT_TIMEOUT, default_timeout, &conduct.timeout));
    FFL_TRY(ffl_journal_open(options, &conduct.journal));
    const size_t resumed = drop_finished(conduct.journal, groups);
    ffl_status status = ffl_conduct_run(&conduct, groups, &outcome);
    /* An interrupted run hands over what it has, in every form that was asked for. */
    const bool keep = status == FFL_OK || status == FFL_INTERRUPTED;
    if (keep && flags->out) {
        const ffl_status written = write_gbench_json(flags->out, &outcome.all);
        status = status == FFL_OK ? written : status;
    }
    if (keep && json) {
        const ffl_status written = ffl_table_print_json(&outcome.all);
        status = status == FFL_OK ? written : status;
    } else if (keep) {
        if (resumed)
            printf("\n%zu group%s were in the journal already\n", resumed, resumed == 1 ? "" : "s");
        FFL_TRY(print_grids(&outcome.all));
        printf("\njournal: %s/journal.jsonl\n", ffl_journal_dir(conduct.journal));
    }
    *exit_code = exit_code_of(options, &outcome, resumed);
    ffl_outcome_free(&outcome);
    const ffl_status closed = ffl_journal_close(conduct.journal);
    return status == FFL_OK ? closed : status;
}

static ffl_status run(const ffl_options *options, int *exit_code)
{
    ffl_flags flags;
    ffl_group_list groups;
    FFL_TRY(ffl_flags_parse(options, &flags));
    ffl_status status = ffl_groups_from_options(options, &flags, &groups);
    if (status == FFL_OK) {
        status = run_groups(options, &flags, &groups, exit_code);
        ffl_groups_free(&groups);
    }
    ffl_flags_free(&flags);
    return status;
}

static const ffl_option bench_options[] = {FFL_OPTIONS_OF_ROWS,  FFL_OPTIONS_OF_JOBS,
                                           FFL_OPT_PLUGIN,       FFL_OPT_PROCESS,
                                           FFL_OPT_PRESET,       FFL_OPT_ROUTING,
                                           FFL_OPT_CACHE,        FFL_OPT_CPUS,
                                           FFL_OPT_SHARD,        FFL_OPT_FULL,
                                           FFL_OPT_STRICT,       FFL_OPT_PROBLEMS,
                                           FFL_OPT_BLAS_LIBRARY, FFL_OPT_KEEP_BLAS_ENVIRONMENT,
                                           FFL_OPT_LEAF,         FFL_OPT_MOE,
                                           FFL_OPT_COUNT};

const ffl_command ffl_command_bench = {
    .name = "bench",
    .summary = "time variants against each other and against dense",
    .usage = "[OPTIONS] [-- GOOGLE BENCHMARK FLAGS]",
    .help =
        "Times every selected variant on the tree and on the dense layers of as many neurons, group by "
        "group: one\n"
        "shape, batch, routing, cache state, class and number of threads each. Rows of a group run "
        "interleaved;\n"
        "what the timed calls wrote is verified, and what does not pass is not ranked. Two speed-ups are\n"
        "shown: against the dense variant of the same level (family and library), and against the fastest\n"
        "dense variant. How it measures: harness/bench/README.md.\n\n"
        "After -- come flags of Google Benchmark: --benchmark_min_time=SECONDS (of a repetition),\n"
        "--benchmark_repetitions=N, --benchmark_filter=REGEX, --benchmark_out=FILE.json,\n"
        "--benchmark_enable_random_interleaving=false.\n\n"
        "Examples:\n"
        "  fflab bench --batch 1,128\n"
        "  fflab bench --tree 1x11 -v '*blas3*' -v 'fff_*' --cache hot,weights-cold\n"
        "  fflab bench --routing uniform,zipf:1,single -v 'fff_*' --budget 2m --out results/routing\n"
        "  fflab bench --routing recorded:layer.safetensors     (from fflab encoder --record)\n"
        "  fflab bench --out results/routing --resume\n"
        "  fflab bench -v '*torch*' -v 'ff_tiled_*' -v fff_auto  PyTorch's forms: only where -v names them\n"
        "  fflab bench -- --benchmark_min_time=0.1 --benchmark_repetitions=5 --benchmark_out=out.json\n",
    .options = bench_options,
    .takes_pass = true,
    .validate = validate,
    .run = run,
};
