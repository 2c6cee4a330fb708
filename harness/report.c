/* `fflab report`: journals to readable results. Runs no kernel. */
#define _GNU_SOURCE
#include "harness/report.h"
#include "harness/commands.h"
#include "harness/results.h"
#include "reports/csv.h"
#include "reports/encoder.h"
#include "reports/gbench_json.h"
#include "reports/html.h"
#include "reports/ladder.h"
#include "reports/leaderboard.h"
#include "reports/markdown.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef ffl_status (*writer)(const ffl_rows *rows, FILE *file);

/* Under another name first: a full disk or Ctrl-C leaves the old file or none, never half of one. */
static ffl_status write_file(const ffl_rows *rows, const char *dir, const char *name, writer write)
{
    char path[FFL_PATH_MAX], draft[FFL_PATH_MAX];
    FFL_TRY(ffl_results_path(dir, name, path));
    char draft_name[64];
    snprintf(draft_name, sizeof draft_name, "%s.part", name);
    FFL_TRY(ffl_results_path(dir, draft_name, draft));
    FILE *file = fopen(draft, "w");
    if (!file)
        return ffl_fail(FFL_IO, "%s: %s", draft, strerror(errno));
    ffl_status status = write(rows, file);
    if (status == FFL_IO)
        ffl_fail(FFL_IO, "%s: %s", draft, ffl_error());
    if (fclose(file) != 0 && status == FFL_OK)
        status = ffl_fail(FFL_IO, "%s: %s", draft, strerror(errno));
    if (status == FFL_OK && rename(draft, path) != 0)
        status = ffl_fail(FFL_IO, "%s: %s", path, strerror(errno));
    if (status != FFL_OK)
        remove(draft);
    return status;
}

static ffl_status write_all(const ffl_rows *rows, const char *dir)
{
    FFL_TRY(ffl_results_create(dir));
    FFL_TRY(write_file(rows, dir, "results.csv", ffl_csv_write));
    FFL_TRY(write_file(rows, dir, "benchmark.json", ffl_gbench_json_write));
    if (rows->pass_count) {
        FFL_TRY(write_file(rows, dir, "encoder.csv", ffl_encoder_csv_write));
        FFL_TRY(write_file(rows, dir, "encoder.md", ffl_encoder_write));
    }
    if (ffl_ladder_worthwhile(rows))
        FFL_TRY(write_file(rows, dir, "ladder.md", ffl_ladder_write));
    FFL_TRY(write_file(rows, dir, "report.md", ffl_markdown_write));
    return write_file(rows, dir, "report.html", ffl_html_write);
}

ffl_status ffl_report_make(const char *const *runs, size_t count, const char *dir)
{
    ffl_rows rows;
    FFL_TRY(ffl_rows_read(runs, count, &rows));
    ffl_status status = write_all(&rows, dir);
    if (status == FFL_OK)
        status = ffl_headline_print(&rows, stdout);
    if (status == FFL_OK) {
        for (size_t n = 0; n < rows.note_count; n++)
            printf("note: %s\n", rows.notes[n]);
        printf("report: %s/report.md and report.html\n", dir);
    }
    ffl_rows_free(&rows);
    return status;
}

/* ---- The leaderboard of a README ---- */

static ffl_status read_text(const char *path, char **out)
{
    size_t size;
    char block[65536];
    FILE *in = fopen(path, "r"), *text = in ? open_memstream(out, &size) : NULL;
    if (!text) {
        const int error = errno;
        if (in)
            fclose(in);
        return ffl_fail(FFL_BAD_INPUT, "--readme %s: %s", path, strerror(error));
    }
    for (size_t got; (got = fread(block, 1, sizeof block, in)) > 0;)
        fwrite(block, 1, got, text);
    const bool bad = ferror(in);
    fclose(in);
    if (fclose(text) != 0 || bad) {
        free(*out);
        return ffl_fail(FFL_BAD_INPUT, "--readme %s: it cannot be read", path);
    }
    return FFL_OK;
}

/* As with every file here: the old text or the new one, never half of it. */
static ffl_status replace_text(const char *path, const char *text)
{
    char draft[FFL_PATH_MAX];
    if (snprintf(draft, sizeof draft, "%s.part", path) >= (int)sizeof draft)
        return ffl_fail(FFL_BAD_INPUT, "--readme %s: the path is too long", path);
    FILE *file = fopen(draft, "w");
    const bool written = file && fputs(text, file) >= 0;
    if (!file || fclose(file) != 0 || !written || rename(draft, path) != 0) {
        const int error = errno;
        remove(draft);
        return ffl_fail(FFL_IO, "--readme %s: %s", path, strerror(error));
    }
    return FFL_OK;
}

static ffl_status make_table(const char *const *runs, size_t count, char **out)
{
    ffl_rows rows;
    size_t size;
    FFL_TRY(ffl_rows_read(runs, count, &rows));
    FILE *file = open_memstream(out, &size);
    ffl_status status =
        file ? ffl_leaderboard_write(&rows, file) : ffl_fail(FFL_NO_MEMORY, "no memory for the leaderboard");
    if (file && fclose(file) != 0 && status == FFL_OK)
        status = ffl_fail(FFL_NO_MEMORY, "no memory for the leaderboard");
    ffl_rows_free(&rows);
    if (status != FFL_OK && file)
        free(*out);
    return status;
}

static ffl_status put_leaderboard(const char *const *runs, size_t count, const char *path)
{
    char *table, *text, *changed;
    FFL_TRY(make_table(runs, count, &table));
    ffl_status status = read_text(path, &text);
    if (status == FFL_OK) {
        status = ffl_leaderboard_put(text, table, &changed);
        if (status != FFL_OK)
            ffl_fail(status, "--readme %s: %s", path, ffl_error());
        free(text);
    }
    free(table);
    FFL_TRY(status);
    status = replace_text(path, changed);
    free(changed);
    return status;
}

/* ---- For programs ---- */

static ffl_status print_rows(const ffl_rows *rows, const ffl_row *value, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        json_t *line = ffl_record_to_json(&value[i].record);
        if (line) {
            json_object_set_new(line, "file", json_string(rows->files[value[i].file]));
            json_object_set_new(line, "line", json_integer((json_int_t)value[i].line));
        }
        const bool written = line && json_dumpf(line, stdout, JSON_COMPACT | JSON_REAL_PRECISION(12)) == 0;
        json_decref(line);
        if (!written || putchar('\n') == EOF)
            return ffl_fail(FFL_IO, "the lines could not be written");
    }
    return FFL_OK;
}

/* Every line that is used, with all that it leaves out. */
static ffl_status print_lines(const char *const *runs, size_t count)
{
    ffl_rows rows;
    FFL_TRY(ffl_rows_read(runs, count, &rows));
    ffl_status status = print_rows(&rows, rows.runs, rows.run_count);
    if (status == FFL_OK)
        status = print_rows(&rows, rows.roofs, rows.roof_count);
    if (status == FFL_OK)
        status = print_rows(&rows, rows.value, rows.count);
    if (status == FFL_OK)
        status = print_rows(&rows, rows.published, rows.published_count);
    if (status == FFL_OK)
        status = print_rows(&rows, rows.passes, rows.pass_count);
    for (size_t n = 0; n < rows.note_count; n++)
        fprintf(stderr, "fflab: %s\n", rows.notes[n]);
    ffl_rows_free(&rows);
    return status;
}

/* The folder of a run: itself, or where its journal lies. */
static void folder_of(const char *run, char out[FFL_PATH_MAX])
{
    struct stat info;
    snprintf(out, FFL_PATH_MAX, "%s", run);
    if (stat(run, &info) == 0 && S_ISDIR(info.st_mode))
        return;
    char *slash = strrchr(out, '/');
    if (slash)
        *slash = '\0';
    else
        strcpy(out, ".");
}

static ffl_status run(const ffl_options *options, int *exit_code)
{
    char newest[FFL_PATH_MAX], dir[FFL_PATH_MAX];
    const char *const only[] = {newest};
    const char *const *runs = options->words;
    size_t count = options->word_count;
    if (count == 0) {
        FFL_TRY(ffl_results_newest(newest));
        runs = only;
        count = 1;
    }
    *exit_code = FFL_EXIT_GOOD;
    if (ffl_option_given(options, FFL_OPT_README))
        return put_leaderboard(runs, count, options->value[FFL_OPT_README]);
    if (ffl_option_given(options, FFL_OPT_JSON))
        return print_lines(runs, count);
    if (ffl_option_given(options, FFL_OPT_OUT))
        FFL_TRY(ffl_results_dir(options, dir));
    else if (count == 1)
        folder_of(runs[0], dir);
    else
        return ffl_fail(FFL_BAD_INPUT, "several runs: say with --out DIR where their report goes");
    return ffl_report_make(runs, count, dir);
}

static const ffl_option report_options[] = {FFL_OPT_OUT, FFL_OPT_README, FFL_OPT_JSON, FFL_OPT_COUNT};

const ffl_command ffl_command_report = {
    .name = "report",
    .summary = "read the journals of finished runs and write their report",
    .usage = "[RUN…] [--out DIR]",
    .help =
        "A RUN is a results folder or a journal (.jsonl); without one it is the newest results folder. "
        "Several\n"
        "are merged: shards of one study, or runs on several machines (never compared with each other); of "
        "a\n"
        "case that was run again the latest line counts. Writes report.html (one page that needs nothing "
        "beside "
        "it;\n"
        "its charts need gnuplot), report.md, results.csv and benchmark.json (Google Benchmark's format, for "
        "its\n"
        "compare.py) beside the journal or into DIR; ladder.md where the steps from naive to best were "
        "timed;\n"
        "encoder.md and encoder.csv of whole encoder passes. Runs no kernel. --json writes no report but "
        "every\n"
        "line of the journals to standard output, with all fields that it leaves out.\n\n"
        "Examples:\n"
        "  fflab report\n"
        "  fflab report shard1 shard2 shard3 --out merged\n"
        "  fflab report reports/results/*/*.jsonl --out all\n"
        "  fflab report --json | jq 'select(.line == 17)'\n"
        "  fflab report reports/results/NAME/DATE.jsonl --readme README.md    its leaderboard, between the "
        "marks there\n",
    .options = report_options,
    .words_max = 10000,
    .run = run,
};
