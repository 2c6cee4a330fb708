#define _GNU_SOURCE
#include "harness/journal.h"
#include "harness/machine.h"
#include "harness/results.h"
#include "reports/date.h"
#include "reports/journal_line.h"
#include "reports/lines.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct ffl_journal {
    const ffl_options *options;
    char dir[FFL_PATH_MAX], path[FFL_PATH_MAX];
    int file; /* -1 until the first write */
    ffl_told told;
    json_t *done;  /* --resume: keys of finished lines, an object used as a set */
    char *pending; /* whole lines not yet on the disk */
    size_t length, capacity;
};

/* What this process said in the file that it closed last: the steps of a study go on in it. */
static struct {
    ffl_told told;
    dev_t device;
    ino_t file;
    off_t size;
} said;

/* Names this invocation in every line it writes: 50 bits drawn by lot, of a million runs no two alike. */
static const char *run_name(void)
{
    static char name[11];
    if (!name[0]) {
        uint64_t lot;
        struct timespec now;
        if (getrandom(&lot, sizeof lot, GRND_NONBLOCK) != sizeof lot) {
            clock_gettime(CLOCK_REALTIME, &now);
            lot = ((uint64_t)now.tv_sec << 20 ^ (uint64_t)now.tv_nsec) * 4194301u + (uint64_t)getpid();
        }
        for (size_t i = 0; i < sizeof name - 1; i++, lot >>= 5)
            name[i] = "abcdefghijkmnpqrstuvwxyz23456789"[lot & 31];
    }
    return name;
}

/* A skipped case is not done: resuming is the occasion to make up for it. */
static bool is_finished(const ffl_record *line)
{
    return strcmp(line->kind, "run") != 0 && line->verdict[0] && strcmp(line->verdict, "SKIPPED") != 0;
}

/* Lines that cannot be read are no obstacle: what they held is done again. Read as the report reads them:
 * what it cannot use must not count as done. */
static ffl_status read_done(ffl_journal *journal)
{
    ffl_lines lines;
    ffl_told told;
    bool more = true;
    if (access(journal->path, F_OK) != 0 && errno == ENOENT)
        return FFL_OK;
    FFL_TRY(ffl_lines_open(journal->path, &lines));
    ffl_status status = ffl_told_new(&told);
    while (status == FFL_OK && more) {
        ffl_record line;
        status = ffl_lines_next(&lines, &more);
        if (status != FFL_OK || !more || lines.too_long ||
            ffl_line_read(&told, lines.text, lines.length, &line) != FFL_OK)
            continue;
        if (line.key[0] && is_finished(&line) &&
            json_object_set_new(journal->done, line.key, json_true()) != 0)
            status = ffl_fail(FFL_NO_MEMORY, "%s: no memory for its keys", journal->path);
        ffl_record_free(&line);
    }
    ffl_told_free(&told);
    ffl_lines_close(&lines);
    return status;
}

ffl_status ffl_journal_open(const ffl_options *options, ffl_journal **out)
{
    ffl_journal *journal = calloc(1, sizeof *journal);
    *out = NULL;
    if (!journal || !(journal->done = json_object())) {
        free(journal);
        return ffl_fail(FFL_NO_MEMORY, "no memory for the journal");
    }
    journal->options = options;
    journal->file = -1;
    ffl_status status = ffl_results_dir(options, journal->dir);
    if (status == FFL_OK)
        status = ffl_results_path(journal->dir, FFL_JOURNAL_FILE, journal->path);
    if (status == FFL_OK && ffl_option_given(options, FFL_OPT_RESUME))
        status = read_done(journal);
    if (status != FFL_OK) {
        json_decref(journal->done);
        free(journal);
        return status;
    }
    *out = journal;
    return FFL_OK;
}

const char *ffl_journal_dir(const ffl_journal *journal)
{
    return journal->dir;
}

bool ffl_journal_has(const ffl_journal *journal, const char *key)
{
    return json_object_get(journal->done, key) != NULL;
}

static ffl_status append(ffl_journal *journal, const ffl_record *record)
{
    char *text;
    FFL_TRY(ffl_line_write(&journal->told, record, &text));
    const size_t length = strlen(text);
    if (journal->length + length > journal->capacity) {
        const size_t capacity = 2 * (journal->length + length);
        char *grown = realloc(journal->pending, capacity);
        if (!grown) {
            free(text);
            return ffl_fail(FFL_NO_MEMORY, "%s: no memory for a line of %zu bytes", journal->path, length);
        }
        journal->pending = grown;
        journal->capacity = capacity;
    }
    memcpy(journal->pending + journal->length, text, length);
    journal->length += length;
    free(text);
    return FFL_OK;
}

static ffl_status open_told(ffl_journal *journal)
{
    struct stat info;
    if (said.told.runs && fstat(journal->file, &info) == 0 && info.st_dev == said.device &&
        info.st_ino == said.file && info.st_size >= said.size) {
        journal->told = said.told;
        said.told = (ffl_told){0};
        return FFL_OK;
    }
    return ffl_told_new(&journal->told);
}

/* Unless its lines are all in the file, nobody can rely on them. */
static void keep_told(ffl_journal *journal, bool written)
{
    struct stat info;
    if (!written || journal->file < 0 || fstat(journal->file, &info) != 0) {
        ffl_told_free(&journal->told);
        return;
    }
    ffl_told_free(&said.told);
    said.told = journal->told;
    said.device = info.st_dev;
    said.file = info.st_ino;
    said.size = info.st_size;
}

/* The folder, the file and the line of kind "run" come with the first result, not before. */
static ffl_status start(ffl_journal *journal)
{
    FFL_TRY(ffl_results_create(journal->dir));
    journal->file = open(journal->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (journal->file < 0)
        return ffl_fail(FFL_IO, "%s: %s", journal->path, strerror(errno));
    FFL_TRY(open_told(journal));
    ffl_record run;
    ffl_record_init(&run);
    strcpy(run.kind, "run");
    snprintf(run.run, sizeof run.run, "%s", run_name());
    snprintf(run.key, sizeof run.key, "run/%s", run_name());
    ffl_date_write(time(NULL), run.date);
    run.circumstances = ffl_circumstances();
    if (run.circumstances && ffl_option_given(journal->options, FFL_OPT_SHARD))
        json_object_set_new(run.circumstances, "shard", json_string(journal->options->value[FFL_OPT_SHARD]));
    const ffl_status status = append(journal, &run);
    ffl_record_free(&run);
    return status;
}

ffl_status ffl_journal_write(ffl_journal *journal, ffl_record *record)
{
    if (journal->file < 0)
        FFL_TRY(start(journal));
    snprintf(record->run, sizeof record->run, "%s", run_name());
    ffl_date_write(time(NULL), record->date);
    return append(journal, record);
}

/* A run that was killed while writing leaves half a line; ours must not continue it. */
static ffl_status close_off_tail(const ffl_journal *journal)
{
    struct stat info;
    char last = '\n';
    if (fstat(journal->file, &info) != 0 ||
        (info.st_size > 0 && pread(journal->file, &last, 1, info.st_size - 1) != 1) ||
        (last != '\n' && write(journal->file, "\n", 1) != 1))
        return ffl_fail(FFL_IO, "%s: %s; the lines before are kept", journal->path, strerror(errno));
    return FFL_OK;
}

/* On failure keeps exactly the lines that did not reach the file whole, so that a later flush adds them. */
static ffl_status write_pending(ffl_journal *journal)
{
    size_t written = 0;
    FFL_TRY(close_off_tail(journal));
    while (written < journal->length) {
        const ssize_t n = write(journal->file, journal->pending + written, journal->length - written);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            const int reason = errno;
            const char *end = written ? memrchr(journal->pending, '\n', written) : NULL;
            const size_t whole = end ? (size_t)(end + 1 - journal->pending) : 0;
            journal->length -= whole;
            memmove(journal->pending, journal->pending + whole, journal->length);
            return ffl_fail(FFL_IO, "%s: %s; the lines before are kept", journal->path, strerror(reason));
        }
        written += (size_t)n;
    }
    journal->length = 0;
    return FFL_OK;
}

ffl_status ffl_journal_flush(ffl_journal *journal)
{
    if (journal->length == 0)
        return FFL_OK;
    /* Shards may share a folder: one writes at a time. A file system without locks still appends whole. */
    (void)flock(journal->file, LOCK_EX);
    ffl_status status = write_pending(journal);
    if (status == FFL_OK && fsync(journal->file) != 0 && errno != EINVAL && errno != ENOTSUP)
        status = ffl_fail(FFL_IO, "%s: %s", journal->path, strerror(errno));
    (void)flock(journal->file, LOCK_UN);
    return status;
}

ffl_status ffl_journal_close(ffl_journal *journal)
{
    if (!journal)
        return FFL_OK;
    ffl_status status = ffl_journal_flush(journal);
    keep_told(journal, status == FFL_OK);
    if (journal->file >= 0 && close(journal->file) != 0 && status == FFL_OK)
        status = ffl_fail(FFL_IO, "%s: %s", journal->path, strerror(errno));
    json_decref(journal->done);
    free(journal->pending);
    free(journal);
    return status;
}
