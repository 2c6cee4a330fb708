/*
 * Runs cases on variants through workers and feeds a tally. One job is one case with all its variants, so
 * data and reference are made once; after a crash the unfinished variants of the job are tried one by one. A
 * worker in which a variant left a thread running serves no other job; one that dies before it comes to a
 * variant is counted as a loss, and the job is done again in a new one. Cases of several threads are run
 * apart, fewer at a time: BLAS libraries spin at barriers and crawl when there are more threads than
 * processors.
 */
#ifndef FFL_HARNESS_SESSION_H
#define FFL_HARNESS_SESSION_H

#include "harness/check/cases.h"
#include "harness/check/tally.h"

typedef struct ffl_session {
    const ffl_options *options; /* --plugin and the like, for the workers */
    const ffl_variant **variants;
    size_t variant_count;
    const ffl_case_list *cases;
    ffl_tally *tally;
    ffl_journal *journal;   /* NULL: nothing is skipped as done */
    ffl_progress *progress; /* may be NULL */
    size_t parallel;        /* 0: in this process */
    double timeout_s;       /* of one variant on one case */
    double budget_s;        /* cases not begun by then are SKIPPED; 0: no limit */
} ffl_session;

/* Cases that a session will try on this variant: of its operation, and not in the journal. */
size_t ffl_session_cases(const ffl_session *session, const ffl_variant *variant);

/* Cases of this variant that the journal holds already. */
size_t ffl_session_finished(const ffl_session *session, const ffl_variant *variant);

ffl_status ffl_session_run(const ffl_session *session);

#endif
