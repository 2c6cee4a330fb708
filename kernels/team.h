/*
 * Threads for variants that treat rows alone: tokens are split into contiguous parts, one per thread, each
 * with scratch of its own. One file (team.c) knows OpenMP; without it a team has one member.
 *
 *     static void part(const ffl_plan *plan, void *scratch, const float *x, size_t ldx,
 *                      float *y, size_t ldy, size_t tokens) { … }
 *
 *     prepare:  ffl_team_scratch(plan, bytes per thread);
 *     run:      return ffl_team_rows(plan, exec, 32, part, x, ldx, y, ldy, tokens);
 *
 * A variant that splits something else than tokens (neurons, trees) calls ffl_team_run. No two parts share a
 * cache line of scratch; rows of y are shared at most at the seam of two parts.
 */
#ifndef FFL_KERNELS_TEAM_H
#define FFL_KERNELS_TEAM_H

#include "kernels/variant.h"

#ifdef __cplusplus
extern "C" {
#endif

/* False when built without OpenMP: every team then has one member. */
bool ffl_team_available(void);

/* Member `member` of `members`: which part of the work is its own follows from these two. */
typedef void ffl_team_member(void *work, int member, int members);

/*
 * Calls `member` once for each 0 <= member < members, on up to that many threads, and returns when all are
 * done. Members may run one after another when fewer threads can be had: they must not wait for each other.
 */
void ffl_team_run(int members, ffl_team_member *member, void *work);

/* Rows x .. x + tokens·ldx of one part; scratch is this thread's, 64-byte aligned, contents unspecified. */
typedef void ffl_team_part(const ffl_plan *plan, void *scratch, const float *x, size_t ldx, float *y,
                           size_t ldy, size_t tokens);

/* Sets plan->scratch_bytes so that each of plan->threads threads has `bytes`. */
void ffl_team_scratch(ffl_plan *plan, size_t bytes);

/* The share of member i; ffl_team_scratch must have been called in prepare. */
void *ffl_team_share(const ffl_plan *plan, const ffl_exec *exec, int member);

/*
 * A run that splits `tokens` over exec->threads threads, none with fewer than `grain` tokens: waking a thread
 * costs about 10 µs, so grain is the number of tokens that take several times as long. plan->max_tokens is
 * the most that one part gets.
 */
ffl_status ffl_team_rows(const ffl_plan *plan, const ffl_exec *exec, size_t grain, ffl_team_part *part,
                         const float *x, size_t ldx, float *y, size_t ldy, size_t tokens);

/* y of `trees` trees from the first-th on, for at most max_tokens tokens, without scratch. */
typedef void ffl_team_trees_part(const ffl_plan *plan, size_t first, size_t trees, const float *x, size_t ldx,
                                 float *y, size_t ldy, size_t tokens);

/*
 * A run for walks over trees: splits the tokens or, where these are few, the trees. Trees are always summed
 * in the same groups, which depend on the layer alone, and the groups in order: the bits depend on neither
 * threads nor batch. Layers of few rows per token are one group. prepare calls ffl_team_trees_scratch.
 */
void ffl_team_trees_scratch(ffl_plan *plan);
ffl_status ffl_team_trees(const ffl_plan *plan, const ffl_exec *exec, ffl_team_trees_part *part,
                          const float *x, size_t ldx, float *y, size_t ldy, size_t tokens);

#ifdef __cplusplus
}
#endif
#endif
