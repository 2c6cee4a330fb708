/*
 * The expensive question, asked only of FFF rows that do not match the reference path: does the row match
 * along another admissible path? And if not: which wrong walk does explain it?
 */
#ifndef FFL_HARNESS_MATCH_H
#define FFL_HARNESS_MATCH_H

#include "harness/check/combine.h"

typedef struct ffl_match {
    ffl_verdict verdict;
    bool weak;         /* could be neither confirmed nor excluded; then PASSED or SUSPECT */
    bool flipped;      /* matches, but not along the reference path */
    double margin;     /* of the flipped decisions, largest |z| / statistical bound */
    bool unbounded;    /* a sum on an admissible path may overflow: not judged after all */
    ffl_errors errors; /* along the path that matches */
    char reason[256];  /* "" or what there is to say beyond the numbers */
} ffl_match;

/*
 * walk: of this row. errors: along the reference path. trace [trees][levels] or NULL: what the kernel says
 * it visited, used where the combinations are too many to try.
 */
ffl_status ffl_match_row(ffl_walk *walk, const float *got, ffl_errors errors, const int32_t *trace,
                         ffl_match *out);

/* Is the row what comes out when the last level of every tree is left out? */
bool ffl_match_shortened(const ffl_walk *walk, const float *got);

/* Appends "; it matches …" when a walk with one wrong turn, a mirrored or a shortened one explains the row.
 */
ffl_status ffl_match_hint(ffl_walk *walk, const float *got, char *out, size_t size);

#endif
