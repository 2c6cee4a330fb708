/*
 * The journal of a results folder: DIR/journal.jsonl, append-only, one JSON line per finished case
 * (reports/record.h). Opening it changes nothing; the first write adds a line of kind "run" with the
 * circumstances. A truncated last line (a killed run) is tolerated and closed off, never rewritten.
 */
#ifndef FFL_HARNESS_JOURNAL_H
#define FFL_HARNESS_JOURNAL_H

#include "harness/cli.h"
#include "reports/record.h"

typedef struct ffl_journal ffl_journal;

/*
 * The folder that options ask for: --out DIR; otherwise results/<UTC time>/ under the build folder, and with
 * --resume the newest one there. With --resume the keys already present are remembered.
 */
ffl_status ffl_journal_open(const ffl_options *options, ffl_journal **out);

const char *ffl_journal_dir(const ffl_journal *journal);

/* --resume and a finished line with this key exists. */
bool ffl_journal_has(const ffl_journal *journal, const char *key);

/* Appends; fills run and date. Kept in memory until the next flush. */
ffl_status ffl_journal_write(ffl_journal *journal, ffl_record *record);

/* Writes what is pending to the disk: at the end of every group. FFL_IO names the file (disk full, …). */
ffl_status ffl_journal_flush(ffl_journal *journal);

/* Flushes and frees. NULL is allowed. */
ffl_status ffl_journal_close(ffl_journal *journal);

#endif
