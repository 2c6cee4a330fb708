/*
 * What a check found: one record per variant and case, one line per variant, the exit code. Lines of verdicts
 * that are not PASSED appear as soon as they are known, a variant's line when its last case is in.
 */
#ifndef FFL_HARNESS_TALLY_H
#define FFL_HARNESS_TALLY_H

#include "harness/check/trial.h"
#include "harness/cli.h"
#include "harness/journal.h"
#include "harness/progress.h"

typedef struct ffl_tally ffl_tally;

/* journal may be NULL; both must outlive the tally. */
ffl_status ffl_tally_new(const ffl_options *options, ffl_journal *journal, ffl_tally **out);

/* The line to clear before something is printed. */
void ffl_tally_watch(ffl_tally *tally, ffl_progress *progress);

/* So many cases of this variant will be added. Call it for all variants first. */
ffl_status ffl_tally_expect(ffl_tally *tally, const ffl_variant *variant, size_t cases);

/* The finding of one case; item = NULL: a variant that cannot run here at all. */
ffl_status ffl_tally_add(ffl_tally *tally, const ffl_variant *variant, const ffl_check_case *item,
                         const ffl_judgement *judgement);

/* Of the i-th variant, the cheapest case of its gravest bad verdict; false when it has none, or there is no
 * i. */
bool ffl_tally_bad(const ffl_tally *tally, size_t i, const ffl_variant **variant, ffl_check_case *item,
                   ffl_judgement *judgement);
size_t ffl_tally_variants(const ffl_tally *tally);

/* What a failing case was reduced to: a line, or for the JSON document. */
struct ffl_shrunk;
ffl_status ffl_tally_add_capsule(ffl_tally *tally, const ffl_variant *variant,
                                 const struct ffl_shrunk *shrunk);

/* A worker ended (`message` says how) between two cases: the work of a variant that nobody can name. */
ffl_status ffl_tally_add_loss(ffl_tally *tally, const char *message);

/* Prints the last line, or the JSON document. */
void ffl_tally_finish(ffl_tally *tally, double seconds);

int ffl_tally_exit_code(const ffl_tally *tally);
void ffl_tally_free(ffl_tally *tally);

#endif
