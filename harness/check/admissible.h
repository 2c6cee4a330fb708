/*
 * Admissible paths: where a logit lies within its bound, either child may be taken. An alternative is one
 * tree's path other than the reference's; what it changes in the row's sums is additive over the trees, so
 * that any combination of alternatives is a sum of changes.
 */
#ifndef FFL_HARNESS_ADMISSIBLE_H
#define FFL_HARNESS_ADMISSIBLE_H

#include "harness/check/walk.h"

typedef enum ffl_openness {
    FFL_OPEN_STATISTICAL = 0, /* each deviating branch lies within its statistical bound */
    FFL_OPEN_WORST,           /* … or only within its worst-case bound */
    FFL_CLOSED                /* some branch contradicts its logit */
} ffl_openness;

typedef struct ffl_alternative {
    size_t tree;
    size_t level; /* of the last node shared with the reference path */
    ffl_openness openness;
    double margin;                  /* largest |z| / statistical bound among the deviating branches */
    ffl_node deviant;               /* the branch with that margin */
    ffl_node nodes[FFL_LEVELS_MAX]; /* the path; those after `level` differ from the reference */
    ffl_sums change;                /* of the row's sums: this path minus the reference's */
} ffl_alternative;

typedef struct ffl_alternatives {
    ffl_alternative *item; /* ordered by tree */
    size_t count, capacity;
    bool too_many;  /* the list is cut off */
    bool unbounded; /* some sum on an alternative may overflow */
} ffl_alternatives;

/* All alternatives of all trees, open within the statistical or (worst) the worst-case bounds. */
ffl_status ffl_alternatives_find(ffl_walk *walk, bool worst, ffl_alternatives *out);
void ffl_alternatives_free(ffl_alternatives *alternatives);

/*
 * The path that differs from the reference's sign by reversing the decisions of the levels whose bit is set
 * in `reversed`, counted along the new path. Writes levels node numbers.
 */
void ffl_path_reversed(const ffl_walk *walk, size_t tree, unsigned reversed, int32_t *path);

/*
 * Appends a given path of a tree; nothing when it equals the reference's. FFL_BAD_INPUT when it is no path
 * from the root to a leaf.
 */
ffl_status ffl_alternatives_add(const ffl_walk *walk, size_t tree, const int32_t *path,
                                ffl_alternatives *out);

/* Computes the changes, once all paths are known. May enlarge the walk's own sums (int8 hidden values). */
ffl_status ffl_alternatives_measure(ffl_walk *walk, ffl_alternatives *alternatives);

#endif
