/*
 * Process variants: rows of the table whose work another program does (README.md has manifest and protocol).
 * Programs are kept in this process and serve one prepared instance at a time; the next one of the same
 * command and number of threads gets the same program.
 */
#ifndef FFL_HARNESS_PEERS_H
#define FFL_HARNESS_PEERS_H

#include "kernels/variant.h"

/* Adds the variants of a manifest (--process). FFL_BAD_INPUT names the file and what is wrong with it. */
ffl_status ffl_peers_load(const char *path);

/* Adds those that come with the lab: share/fflab/process beside the program's folder, or variants/process of
 * the source tree. FFL_OK when there is no such folder. */
ffl_status ffl_peers_load_shipped(void);

/* Did it come with the lab? Such rows join only where -v names them: ffl_peers_named. */
bool ffl_peers_shipped(const ffl_variant *variant);

/* Does the glob spell out the word behind ff_ or fff_ in the variant's name: "ff_torch*", "*torch*"? */
bool ffl_peers_named(const ffl_variant *variant, const char *glob);

/* What the program of a prepared plan said of itself: "PyTorch 2.4.0", "1 graph compiled"; "" where nothing.
 */
const char *ffl_peers_version(const ffl_plan *plan);
const char *ffl_peers_notes(const ffl_plan *plan);

#endif
