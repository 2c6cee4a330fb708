#define _GNU_SOURCE
#include "harness/journal.h"
#include "harness/results.h"
#include "reports/csv.h"
#include "reports/encoder.h"
#include "reports/gbench_json.h"
#include "reports/journal_line.h"
#include "reports/ladder.h"
#include "reports/markdown.h"
#include "tests/fuzz/targets.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef ffl_status writer(const ffl_rows *rows, FILE *file);

static char *written(const ffl_rows *rows, writer *write)
{
    char *text = NULL;
    size_t length = 0;
    FILE *file = open_memstream(&text, &length);
    fuzz_expect(file && write(rows, file) == FFL_OK && fclose(file) == 0, "every journal has a report");
    return text;
}

static void expect_reports(const ffl_rows *rows)
{
    static writer *const texts[] = {ffl_csv_write,    ffl_encoder_csv_write, ffl_encoder_write,
                                    ffl_ladder_write, ffl_markdown_write,    ffl_headline_print};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free(written(rows, texts[i]));
    char *text = written(rows, ffl_gbench_json_write);
    json_t *json = json_loads(text, 0, NULL);
    fuzz_expect(json != NULL, "benchmark.json is JSON");
    json_decref(json);
    free(text);
}

/* A line that was read can be written, and read again. */
static void expect_round_trip(const ffl_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ffl_record again;
        json_t *json = ffl_record_to_json(&rows[i].record);
        fuzz_expect(json && ffl_record_from_json(json, &again) == FFL_OK, "a record survives its line");
        fuzz_expect(strcmp(again.key, rows[i].record.key) == 0, "and keeps its key");
        ffl_record_free(&again);
        json_decref(json);
    }
}

/* Reads what was written, every line of it; the record of the last one. */
static void read_again(ffl_told *told, const char *text, ffl_record *out)
{
    ffl_record_init(out);
    for (const char *end; (end = strchr(text, '\n')); text = end + 1) {
        ffl_record_free(out);
        fuzz_expect(ffl_line_read(told, text, (size_t)(end - text), out) == FFL_OK,
                    "a line that was written is read");
    }
}

/* The same as short lines: what was left out follows again. */
static void expect_lines(const ffl_rows *rows)
{
    ffl_told writing, reading;
    fuzz_expect(ffl_told_new(&writing) == FFL_OK && ffl_told_new(&reading) == FFL_OK, "memory");
    for (size_t i = 0; i < rows->run_count + rows->count; i++) {
        const ffl_record *record =
            i < rows->run_count ? &rows->runs[i].record : &rows->value[i - rows->run_count].record;
        ffl_record again;
        char *text, *twice;
        fuzz_expect(ffl_line_write(&writing, record, &text) == FFL_OK, "every record has a line");
        read_again(&reading, text, &again);
        fuzz_expect(strcmp(again.key, record->key) == 0 && strcmp(again.command, record->command) == 0 &&
                        strcmp(again.verdict, record->verdict) == 0 &&
                        strcmp(again.date, record->date) == 0 && again.neurons == record->neurons &&
                        again.tokens == record->tokens &&
                        ffl_samples_total(&again.samples) == ffl_samples_total(&record->samples),
                    "nothing is lost in a short line");
        fuzz_expect(ffl_line_write(&writing, &again, &twice) == FFL_OK, "every record has a line");
        const size_t length = strlen(twice), all = strlen(text);
        fuzz_expect(length <= all && strcmp(text + all - length, twice) == 0, "and it is the same again");
        ffl_record_free(&again);
        free(text), free(twice);
    }
    ffl_told_free(&writing), ffl_told_free(&reading);
}

static ffl_journal *open_journal(void)
{
    const ffl_options *options =
        &(ffl_options){.value = {[FFL_OPT_OUT] = fuzz_folder(), [FFL_OPT_RESUME] = ""}};
    static ffl_options kept;
    ffl_journal *journal;
    kept = *options;
    fuzz_expect(ffl_journal_open(&kept, &journal) == FFL_OK, "a journal opens, whatever its lines");
    return journal;
}

/* --resume goes on behind whatever is there: not a byte of it is lost, and what is added is found. */
static void expect_resumed(const char *file, const uint8_t *data, size_t size)
{
    static char path[256];
    if (!path[0]) {
        snprintf(path, sizeof path, "%s/" FFL_JOURNAL_FILE, fuzz_folder());
        fuzz_expect(symlink(file, path) == 0, "a link to the journal");
    }
    ffl_record record;
    ffl_record_init(&record);
    strcpy(record.kind, "check"), strcpy(record.key, "the next case"), strcpy(record.verdict, "PASSED");
    ffl_journal *journal = open_journal();
    fuzz_expect(ffl_journal_write(journal, &record) == FFL_OK && ffl_journal_close(journal) == FFL_OK,
                "the next case can be written");
    journal = open_journal();
    fuzz_expect(ffl_journal_has(journal, record.key), "the next case is found");
    ffl_journal_close(journal);
    ffl_record_free(&record);
    const int again = open(path, O_RDONLY | O_CLOEXEC);
    uint8_t *bytes = malloc(size + 1);
    fuzz_expect(again >= 0 && bytes && pread(again, bytes, size + 1, 0) == (ssize_t)size + 1 &&
                    memcmp(bytes, data, size) == 0,
                "what was there stays as it was");
    fuzz_expect(size == 0 || data[size - 1] == '\n' || bytes[size] == '\n', "a torn line is closed off");
    free(bytes);
    close(again);
}

ffl_status fuzz_journal(const uint8_t *data, size_t size)
{
    const char *path = fuzz_file(data, size);
    ffl_rows rows;
    const ffl_status status = ffl_rows_read(&path, 1, &rows);
    fuzz_expect(status == FFL_OK, "a journal is read, whatever its lines");
    const bool sound = rows.note_count == 0 && rows.count + rows.pass_count > 0;
    expect_round_trip(rows.value, rows.count);
    expect_round_trip(rows.passes, rows.pass_count);
    expect_lines(&rows);
    expect_reports(&rows);
    ffl_rows_free(&rows);
    expect_resumed(path, data, size);
    return sound ? FFL_OK : ffl_fail(FFL_BAD_INPUT, "%s: a line is not used, or there is none", path);
}
