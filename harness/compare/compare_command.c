/* `fflab compare`: is it faster now, and how sure is that? */
#include "harness/commands.h"
#include "harness/compare/compare_builds.h"
#include "reports/comparison.h"
#include <stdio.h>

static const double default_margin = 0.02;

static ffl_status read_margin(const ffl_options *options, double *out)
{
    return ffl_option_share(options, FFL_OPT_MARGIN, "", default_margin, out);
}

/* Of two builds, or of two journals: the other's words mean nothing. */
static ffl_status check_words(const ffl_options *options)
{
    const bool builds = ffl_option_given(options, FFL_OPT_AGAINST);
    if (builds && options->word_count)
        return ffl_fail(FFL_BAD_INPUT, "--against %s: takes no journals ('%s')",
                        options->value[FFL_OPT_AGAINST], options->words[0]);
    if (!builds && options->word_count != 2)
        return ffl_fail(FFL_BAD_INPUT, "something is missing; usage: fflab compare BASE NEW, or "
                                       "fflab compare --against BUILD_DIR");
    for (int o = 0; !builds && o < FFL_OPT_COUNT; o++)
        if (ffl_option_given(options, (ffl_option)o) && o != FFL_OPT_MARGIN && o != FFL_OPT_FAIL_ON &&
            o != FFL_OPT_MARKDOWN && o != FFL_OPT_JSON)
            return ffl_fail(FFL_BAD_INPUT, "%s: only with --against; the journals say what was timed",
                            ffl_option_name((ffl_option)o));
    return FFL_OK;
}

static ffl_status validate(const ffl_options *options)
{
    double share;
    FFL_TRY(check_words(options));
    FFL_TRY(read_margin(options, &share));
    FFL_TRY(ffl_option_share(options, FFL_OPT_FAIL_ON, "slower=", 0, &share));
    return ffl_option_given(options, FFL_OPT_AGAINST) ? ffl_compare_builds_check(options) : FFL_OK;
}

static ffl_status compare_journals(const ffl_options *options, double margin, ffl_comparison *out)
{
    ffl_rows base, now;
    FFL_TRY(ffl_rows_read(&options->words[0], 1, &base));
    ffl_status status = ffl_rows_read(&options->words[1], 1, &now);
    if (status == FFL_OK) {
        status = ffl_comparison_of_journals(&base, &now, margin, out);
        ffl_rows_free(&now);
    }
    ffl_rows_free(&base);
    return status;
}

static ffl_status print(const ffl_options *options, const ffl_comparison *c)
{
    if (ffl_option_given(options, FFL_OPT_JSON)) {
        json_t *json = ffl_comparison_to_json(c);
        if (!json)
            return ffl_fail(FFL_NO_MEMORY, "no memory for a comparison");
        json_dumpf(json, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
        putchar('\n');
        json_decref(json);
    } else if (ffl_option_given(options, FFL_OPT_MARKDOWN)) {
        ffl_comparison_print_markdown(c, stdout);
    } else {
        ffl_comparison_print(c, stdout);
    }
    return FFL_OK;
}

static ffl_status run(const ffl_options *options, int *exit_code)
{
    ffl_comparison c;
    double margin, threshold;
    size_t failed = 0;
    FFL_TRY(read_margin(options, &margin));
    FFL_TRY(ffl_option_share(options, FFL_OPT_FAIL_ON, "slower=", 0, &threshold));
    if (ffl_option_given(options, FFL_OPT_AGAINST))
        FFL_TRY(ffl_compare_builds(options, margin, &c, &failed));
    else
        FFL_TRY(compare_journals(options, margin, &c));
    const ffl_status status = print(options, &c);
    if (failed)
        *exit_code = FFL_EXIT_FAILED;
    else if (threshold > 0 && ffl_comparison_slower(&c, threshold))
        *exit_code = FFL_EXIT_REGRESSION;
    else
        *exit_code = c.count ? FFL_EXIT_GOOD : FFL_EXIT_NOTHING_RAN;
    ffl_comparison_free(&c);
    return status;
}

static const ffl_option compare_options[] = {
    FFL_OPTIONS_OF_ROWS, FFL_OPT_AGAINST, FFL_OPT_PAIRS,   FFL_OPT_MARGIN,       FFL_OPT_FAIL_ON,
    FFL_OPT_MARKDOWN,    FFL_OPT_JSON,    FFL_OPT_PLUGIN,  FFL_OPT_PRESET,       FFL_OPT_ROUTING,
    FFL_OPT_CACHE,       FFL_OPT_CPUS,    FFL_OPT_TIMEOUT, FFL_OPT_BLAS_LIBRARY, FFL_OPT_COUNT};

const ffl_command ffl_command_compare = {
    .name = "compare",
    .summary = "is it faster or slower than before, and how sure is that?",
    .usage = "BASE NEW | --against BUILD_DIR [OPTIONS]",
    .help =
        "Says of each row FASTER, SLOWER, SAME (the whole interval lies within the margin) or AMBIGUOUS, "
        "with the\n"
        "change in time and its interval.\n\n"
        "--against BUILD_DIR is the way to know: this program (NEW) and BUILD_DIR/harness/fflab (BASE) time "
        "the same\n"
        "rows in turns, some milliseconds each, on the same processor; whatever the machine does meets both. "
        "The\n"
        "rows are chosen as in `bench`, and verified on both sides.\n\n"
        "BASE NEW are results folders or journals (.jsonl) of two runs. The machine may have changed its "
        "speed in\n"
        "between; intervals allow for what the rows beside it moved, and more rows are AMBIGUOUS.\n"
        "Rows of a GPU are compared so alone, by their times on the device; never in turns.\n\n"
        "Exit codes: 3 with --fail-on slower=3% when a row's whole interval is above 3 %; 2 when a row "
        "failed its\n"
        "verification or crashed; otherwise 0. How it works, and how often it errs: reports/README.md.\n\n"
        "Examples:\n"
        "  git worktree add ../base main && meson setup ../base/build ../base && ninja -C ../base/build "
        "harness/fflab\n"
        "  fflab compare --against ../base/build -v fff_mine --batch 1,128 --fail-on slower=3%\n"
        "  fflab compare --against ../base/build -v 'fff_*' --batch 16 --markdown > comment.md\n"
        "  fflab compare results/monday results/today\n",
    .options = compare_options,
    .words_max = 2,
    .validate = validate,
    .run = run,
};
