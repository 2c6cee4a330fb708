/*
 * Where results live. One folder per run holds journal.jsonl and what `report` makes of it.
 *
 *   --out DIR       that folder
 *   nothing given   results/<UTC yyyymmdd-hhmmss>/ under the build folder of this program, or
 *                   ./fflab-results/<UTC>/ when it is installed; the same one for a whole invocation
 *   --resume alone  the newest folder there that holds a journal (a new one when none does)
 */
#ifndef FFL_HARNESS_RESULTS_H
#define FFL_HARNESS_RESULTS_H

#include "harness/cli.h"

enum { FFL_PATH_MAX = 4096 };

#define FFL_JOURNAL_FILE "journal.jsonl"

/* The folder that options ask for; nothing is created. FFL_BAD_INPUT when the path is too long. */
ffl_status ffl_results_dir(const ffl_options *options, char out[FFL_PATH_MAX]);

/* The newest folder with a journal under the default place. FFL_BAD_INPUT, naming the place, without one. */
ffl_status ffl_results_newest(char out[FFL_PATH_MAX]);

/* mkdir -p. FFL_IO names the folder that could not be made. */
ffl_status ffl_results_create(const char *dir);

/* DIR/NAME. FFL_BAD_INPUT when it is too long. */
ffl_status ffl_results_path(const char *dir, const char *name, char out[FFL_PATH_MAX]);

#endif
