/*
 * Which experts may a token have gone to? Leaf FFF: a gate within its bound opens both of its subtrees. MoE:
 * a set is open when gates within their bounds make it the top k. A row passes if it matches the outcome of
 * one open choice; otherwise: which wrong choice, or wrong share, explains it?
 */
#ifndef FFL_HARNESS_CHOICES_H
#define FFL_HARNESS_CHOICES_H

#include "harness/check/experts.h"
#include "harness/check/match.h"

/* More open choices than this are not tried: the row is WEAK, unless it lies where no choice reaches. */
enum { FFL_CHOICES_MAX = 4096 };

/* set [chosen]. margin: largest |z| / statistical bound among the decisions that differ from the reference's
 * (MoE: z of one gate minus another's, and the sum of their bounds); -1: the reference's choice itself. */
typedef ffl_status (*ffl_choice_visit)(void *to, const int32_t *set, double margin, bool *stop);

/* All choices that are open within the statistical or (worst) the worst-case bounds. */
ffl_status ffl_choices_each(ffl_experts *experts, bool worst, ffl_choice_visit visit, void *to,
                            bool *too_many);

/* False where not even a weighted mean of the open experts gives this row: what too many choices cannot
 * excuse. Leaf trees: always true. */
ffl_status ffl_choices_reach(ffl_experts *experts, bool worst, const float *got, bool *yes);

/* As ffl_match_row. errors: of the reference's choice. */
ffl_status ffl_choices_match(ffl_experts *experts, const float *got, ffl_errors errors, ffl_match *out);

/* Appends "; it is what …" when another choice, or other shares, explain the row. */
ffl_status ffl_choices_hint(ffl_experts *experts, const float *got, char *out, size_t size);

/* "leaf 3", "expert 5", "experts 1 and 4" */
void ffl_choice_name(const ffl_layer *layer, const int32_t *set, char *out, size_t size);

#endif
