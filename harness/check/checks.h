/*
 * The single checks that a verdict is made of, by name, so that each can be left out and its worth measured:
 * `fflab selftest --without NAME`. Everything is on in every other command.
 */
#ifndef FFL_HARNESS_CHECKS_H
#define FFL_HARNESS_CHECKS_H

#include "kernels/status.h"
#include <stdbool.h>

typedef enum ffl_check {
    FFL_CHECK_OLD_VALUES = 0, /* y holds plausible numbers before the first pass */
    FFL_CHECK_NAN_POISON,     /* y holds NaN before the second */
    FFL_CHECK_FENCE_AFTER,    /* an unmapped page right after x, y and weights */
    FFL_CHECK_FENCE_BEFORE,   /* … and right before them, in the second pass */
    FFL_CHECK_CANARIES,       /* what lies beside a buffer is as it was */
    FFL_CHECK_PADDING,        /* rows are padded, and the padding of y is as it was */
    FFL_CHECK_READ_ONLY,      /* x and weights are read-only pages */
    FFL_CHECK_SCRATCH_POISON, /* scratch holds NaN */
    FFL_CHECK_SCRATCH_GUARD,  /* what lies beside it is as it was */
    FFL_CHECK_MISALIGNMENT,   /* buffers at any float address */
    FFL_CHECK_SECOND_CALL,    /* the same instance is called again, rows reversed */
    FFL_CHECK_SAME_ADDRESS,   /* … and again at the same address, with other rows */
    FFL_CHECK_PART_BATCH,     /* batches smaller than the plan's */
    FFL_CHECK_THREADS,        /* cases with more than one thread */
    FFL_CHECK_MANY_TOKENS,    /* a case of 40 009 tokens */
    FFL_CHECK_FRESH_SEED,     /* cases that nobody can know beforehand */
    FFL_CHECK_RANDOM,         /* the fixtures */
    FFL_CHECK_EXACT,
    FFL_CHECK_TIES,
    FFL_CHECK_MARGIN,
    FFL_CHECK_SPECIAL,
    FFL_CHECK_COLLAPSED,
    FFL_CHECK_THRASH,
    FFL_CHECK_STATISTICAL,   /* the statistical bound; without it the worst case alone */
    FFL_CHECK_OTHER_PATHS,   /* admissible paths; without them the reference's alone */
    FFL_CHECK_FP_CONTROL,    /* rounding, flushing and exception masks are as they were */
    FFL_CHECK_X87_STACK,     /* the x87 registers are empty */
    FFL_CHECK_UPPER_VECTORS, /* the upper halves of vector registers are clear */
    FFL_CHECK_THREADS_LEFT,  /* no thread is left running */
    FFL_CHECK_AFFINITY,      /* the processors allowed are as they were */
    FFL_CHECK_HEAP,          /* nothing is left allocated */
    FFL_CHECK_DESCRIPTORS,   /* no file is left open */
    FFL_CHECK_TIMED_LAST,    /* bench: what the last timed calls wrote */
    FFL_CHECK_TIMED_SAMPLE,  /* bench: what some timed calls wrote that nobody can foretell */
    FFL_CHECK_TRIED,         /* bench: a few tokens before anything is timed */
    FFL_CHECK_COUNT
} ffl_check;

/* "old-values", …, and one line of what it is. */
const char *ffl_check_name(ffl_check check);
const char *ffl_check_summary(ffl_check check);

/* Is it part of verdicts in this process? */
bool ffl_check_on(ffl_check check);

/* Leaves one out, from now on; FFL_BAD_INPUT, listing the names, when there is none of that name. */
ffl_status ffl_check_leave_out(const char *name);
void ffl_check_restore_all(void);

/* The fixture's check; FFL_CHECK_COUNT for real:FILE. */
ffl_check ffl_check_of_fixture(const char *fixture);

#endif
