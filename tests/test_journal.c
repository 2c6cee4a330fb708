#define _GNU_SOURCE
#include "harness/journal.h"
#include "harness/results.h"
#include "reports/rows.h"
#include <criterion/criterion.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64], path[256];
static ffl_options options;

static void set_up(void)
{
    strcpy(folder, "/tmp/fflab-journal-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/journal.jsonl", folder);
    options = (ffl_options){.value = {[FFL_OPT_OUT] = folder}};
}

static int remove_one(const char *name, const struct stat *info, int type, struct FTW *walk)
{
    (void)info, (void)type, (void)walk;
    return remove(name);
}

static void tear_down(void)
{
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

TestSuite(journal, .init = set_up, .fini = tear_down);

static ffl_journal *open_journal(void)
{
    ffl_journal *journal;
    cr_assert_eq(ffl_journal_open(&options, &journal), FFL_OK, "%s", ffl_error());
    return journal;
}

static ffl_status write_row(ffl_journal *journal, const char *key, const char *verdict)
{
    ffl_record r;
    ffl_record_init(&r);
    strcpy(r.kind, "check"), strcpy(r.key, key), strcpy(r.verdict, verdict);
    const ffl_status status = ffl_journal_write(journal, &r);
    ffl_record_free(&r);
    return status;
}

static void put_text(const char *text)
{
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
}

/* Line `number`, from 1, parsed, until the next call; NULL past the end or when it is no JSON. */
static json_t *line_at(size_t number)
{
    FILE *file = fopen(path, "r");
    char *text = NULL;
    size_t capacity = 0;
    static json_t *line;
    json_decref(line);
    line = NULL;
    for (size_t n = 1; file && getline(&text, &capacity, file) > 0; n++)
        if (n == number)
            line = json_loads(text, 0, NULL);
    free(text);
    if (file)
        fclose(file);
    return line;
}

static const char *text_at(size_t number, const char *field)
{
    const char *text = json_string_value(json_object_get(line_at(number), field));
    return text ? text : "";
}

Test(journal, opening_creates_nothing_and_the_first_row_brings_the_circumstances)
{
    char below[128];
    snprintf(below, sizeof below, "%s/a/b", folder);
    options.value[FFL_OPT_OUT] = below;
    cr_assert_eq(ffl_journal_close(open_journal()), FFL_OK);
    cr_assert_neq(access(below, F_OK), 0);
    ffl_journal *journal = open_journal();
    cr_assert_eq(write_row(journal, "one", "PASSED"), FFL_OK, "%s", ffl_error());
    cr_assert_eq(ffl_journal_close(journal), FFL_OK);
    snprintf(path, sizeof path, "%s/journal.jsonl", below);
    cr_assert_str_eq(text_at(1, "kind"), "run");
    const json_t *machine = json_object_get(json_object_get(line_at(1), "circumstances"), "machine");
    cr_assert_not_null(json_string_value(json_object_get(machine, "cpu")));
    cr_assert_str_eq(text_at(2, "key"), "one");
    char run[64];
    snprintf(run, sizeof run, "%s", text_at(1, "run"));
    cr_assert_str_eq(text_at(2, "run"), run);
    cr_assert_eq(strlen(text_at(2, "date")), strlen("2026-01-01T00:00:00Z"));
    cr_assert_null(line_at(3));
}

Test(journal, resume_knows_finished_rows_and_only_those)
{
    put_text("{\"kind\":\"check\",\"key\":\"done\",\"verdict\":\"FAILED\"}\n"
             "{\"kind\":\"check\",\"key\":\"skipped\",\"verdict\":\"SKIPPED\"}\n"
             "no JSON\n"
             "{\"kind\":\"bench\",\"key\":\"late\",\"verdict\":\"PASSED\",\"new_field\":[1]}\n"
             "{\"kind\":\"check\",\"key\":\"torn\",\"verdict\":\"PASS");
    ffl_journal *journal = open_journal();
    cr_assert_not(ffl_journal_has(journal, "done"), "without --resume everything is done again");
    ffl_journal_close(journal);
    options.value[FFL_OPT_RESUME] = "";
    journal = open_journal();
    cr_assert(ffl_journal_has(journal, "done"));
    cr_assert(ffl_journal_has(journal, "late"));
    cr_assert_not(ffl_journal_has(journal, "skipped"));
    cr_assert_not(ffl_journal_has(journal, "torn"));
    ffl_journal_close(journal);
}

Test(journal, what_the_report_cannot_use_is_not_done)
{
    put_text("{\"kind\":\"check\",\"key\":\"odd\",\"verdict\":\"PASSED\",\"trees\":\"one\"}\n"
             "{\"schema\":99,\"kind\":\"check\",\"key\":\"newer\",\"verdict\":\"PASSED\"}\n"
             "{\"kind\":\"check\",\"key\":\"two\",\"key\":\"three\",\"verdict\":\"PASSED\"}\n"
             "{\"kind\":\"check\",\"key\":\"sound\",\"verdict\":\"PASSED\"}\n");
    options.value[FFL_OPT_RESUME] = "";
    ffl_journal *journal = open_journal();
    cr_assert(ffl_journal_has(journal, "sound"));
    static const char *const again[] = {"odd", "newer", "two", "three"};
    for (size_t i = 0; i < sizeof again / sizeof *again; i++)
        cr_assert_not(ffl_journal_has(journal, again[i]), "%s", again[i]);
    ffl_journal_close(journal);
}

/* 65 MB of zeros, as a file system may leave them after a crash: a hole, so that it costs no space. */
Test(journal, a_line_without_end_hides_no_other)
{
    FILE *file = fopen(path, "w");
    cr_assert_eq(fseek(file, 65 << 20, SEEK_SET), 0);
    fputs("\n{\"kind\":\"check\",\"key\":\"behind\",\"verdict\":\"PASSED\"}\n", file);
    fclose(file);
    options.value[FFL_OPT_RESUME] = "";
    ffl_journal *journal = open_journal();
    cr_assert(ffl_journal_has(journal, "behind"));
    ffl_journal_close(journal);
    ffl_rows rows;
    const char *const paths[] = {path};
    cr_assert_eq(ffl_rows_read(paths, 1, &rows), FFL_OK, "%s", ffl_error());
    cr_assert_eq(rows.count, 1);
    cr_assert_eq(rows.note_count, 1);
    cr_assert_not_null(strstr(rows.notes[0], "journal.jsonl:1: too long"), "%s", rows.notes[0]);
    ffl_rows_free(&rows);
}

Test(journal, a_torn_last_line_is_closed_off_and_kept)
{
    put_text("{\"kind\":\"check\",\"key\":\"torn");
    ffl_journal *journal = open_journal();
    cr_assert_eq(write_row(journal, "after", "PASSED"), FFL_OK);
    cr_assert_eq(ffl_journal_flush(journal), FFL_OK);
    cr_assert_null(line_at(1));
    cr_assert_str_eq(text_at(2, "kind"), "run");
    cr_assert_str_eq(text_at(3, "key"), "after");
    cr_assert_eq(ffl_journal_close(journal), FFL_OK);
}

Test(journal, a_full_disk_is_named_and_costs_no_finished_row)
{
    ffl_journal *journal = open_journal();
    cr_assert_eq(write_row(journal, "before", "PASSED"), FFL_OK);
    cr_assert_eq(ffl_journal_flush(journal), FFL_OK);
    /* A limit on the file's size stops a write half-way, as a full disk does. */
    struct stat info;
    struct rlimit limit, tight;
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(stat(path, &info), 0);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    tight = limit;
    tight.rlim_cur = (rlim_t)info.st_size + 200;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &tight), 0);
    for (int i = 0; i < 10; i++) {
        char key[8];
        snprintf(key, sizeof key, "row%d", i);
        cr_assert_eq(write_row(journal, key, "PASSED"), FFL_OK);
    }
    const ffl_status full = ffl_journal_flush(journal);
    char message[256];
    snprintf(message, sizeof message, "%s", ffl_error());
    setrlimit(RLIMIT_FSIZE, &limit);
    cr_assert_eq(full, FFL_IO);
    cr_assert_not_null(strstr(message, path), "%s", message);
    cr_assert_str_eq(text_at(2, "key"), "before");
    cr_assert_str_eq(text_at(3, "key"), "row0", "the part that fits is kept");
    /* Space is back: the rest follows, and no row is there twice. */
    cr_assert_eq(ffl_journal_close(journal), FFL_OK, "%s", ffl_error());
    int seen[10] = {0};
    for (size_t n = 3; n < 20; n++)
        if (strncmp(text_at(n, "key"), "row", 3) == 0)
            seen[text_at(n, "key")[3] - '0']++;
    for (int i = 0; i < 10; i++)
        cr_assert_eq(seen[i], 1, "row%d is there %d times", i, seen[i]);
}

Test(journal, no_space_at_all_is_an_error_of_flush)
{
    cr_assert_eq(symlink("/dev/full", path), 0);
    ffl_journal *journal = open_journal();
    cr_assert_eq(write_row(journal, "one", "PASSED"), FFL_OK);
    cr_assert_eq(ffl_journal_flush(journal), FFL_IO);
    cr_assert_not_null(strstr(ffl_error(), "No space left"), "%s", ffl_error());
    cr_assert_eq(ffl_journal_close(journal), FFL_IO);
}

Test(journal, a_folder_that_cannot_be_is_named)
{
    put_text("");
    options.value[FFL_OPT_OUT] = path; /* a file */
    ffl_journal *journal = open_journal();
    cr_assert_eq(write_row(journal, "one", "PASSED"), FFL_IO);
    cr_assert_not_null(strstr(ffl_error(), path), "%s", ffl_error());
    ffl_journal_close(journal);
}

Test(journal, two_writers_share_a_folder)
{
    ffl_journal *a = open_journal(), *b = open_journal();
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(write_row(a, "a", "PASSED"), FFL_OK);
        cr_assert_eq(ffl_journal_flush(a), FFL_OK);
        cr_assert_eq(write_row(b, "b", "PASSED"), FFL_OK);
        cr_assert_eq(ffl_journal_flush(b), FFL_OK);
    }
    for (size_t n = 1; n <= 12; n++)
        cr_assert_not_null(line_at(n), "line %zu", n);
    ffl_journal_close(a), ffl_journal_close(b);
}
