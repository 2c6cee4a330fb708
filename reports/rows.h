/*
 * The rows of one or several journals, merged: the latest line of a case wins, on each machine apart. Every
 * row remembers the file and line it came from, so that every printed number can be traced.
 */
#ifndef FFL_REPORTS_ROWS_H
#define FFL_REPORTS_ROWS_H

#include "reports/record.h"

typedef struct ffl_row {
    ffl_record record;
    size_t file;         /* index into ffl_rows.files */
    size_t line;         /* from 1 */
    const char *machine; /* the same pointer for all rows of a machine; never NULL */
    /* Rows of one kind and setting (speedup.h) form a chain, in order, so that tables need not look at all
     * rows for each of their cells: index of its first row, and of the next one. 0: not chained. */
    size_t alike_first, alike_next;
} ffl_row;

typedef struct ffl_rows {
    ffl_row *value; /* kinds "check" and "bench", in the order first met */
    size_t count;
    ffl_row *passes; /* kind "encoder", likewise */
    size_t pass_count;
    ffl_row *published; /* kind "published": forms that are wrong on purpose, never among the others */
    size_t published_count;
    ffl_row *roofs; /* kind "roof", likewise */
    size_t roof_count;
    ffl_row *runs; /* kind "run" */
    size_t run_count;
    char **files; /* journals read, as named or found */
    size_t file_count;
    char **machines; /* "CPU model, 2 processors, 33 MiB L3" */
    size_t machine_count;
    char **notes; /* what could not be used: "FILE:LINE: reason", one line each */
    size_t note_count;
} ffl_rows;

/*
 * Each path is a journal or a folder: its journal.jsonl, or without one all its *.jsonl by name. A broken,
 * torn or newer line becomes a note and the rest is used. FFL_BAD_INPUT when a path cannot be read or holds
 * no journal; then nothing is left to free.
 */
ffl_status ffl_rows_read(const char *const *paths, size_t count, ffl_rows *out);
void ffl_rows_free(ffl_rows *rows);

/* Chains rows->value; done by ffl_rows_read. Rows that are not chained are found, too, only slower. */
ffl_status ffl_rows_chain(ffl_rows *rows);

/* The row to look at after row `i`: for (i = row->alike_first; i < rows->count; i = ffl_rows_after(rows, i))
 */
size_t ffl_rows_after(const ffl_rows *rows, size_t i);

/* The machine described by circumstances; `out` gets a line such as the ones in ffl_rows.machines. */
void ffl_machine_title(const json_t *circumstances, char *out, size_t size);

#endif
