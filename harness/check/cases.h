/* Which cases a check runs: the default design, or what the options ask for. */
#ifndef FFL_HARNESS_CASES_H
#define FFL_HARNESS_CASES_H

#include "harness/check/trial.h"
#include "harness/cli.h"
#include <jansson.h>

typedef struct ffl_case_list {
    ffl_check_case *items; /* owned: free with ffl_cases_free */
    size_t count, capacity;
} ffl_case_list;

/*
 * Appends the cases of one operation. With a shape option (--preset, --tree, --neurons, --leaf, --moe,
 * --width,
 * --width-out, --batch, --activation) the product of what is given; otherwise the default design. real:FILE
 * is read here, so its shape is known. FFL_BAD_INPUT names option and value; FFL_UNSUPPORTED when a file
 * lacks the tree.
 */
ffl_status ffl_cases_from_options(const ffl_options *options, ffl_operation operation, ffl_case_list *list);

/* Tokens of the case that looks for what goes wrong once in 10 000. */
enum { FFL_MANY_TOKENS = 40009 };

/* The default design: all pairs of fixture, shape, widths, batch, activation, threads and memory layout, and
 * the paper's layer. --seed N gives another one. */
ffl_status ffl_cases_default(ffl_operation operation, uint64_t seed, ffl_case_list *list);

/*
 * The cases of --invariance and --properties, as far as given: a few shapes, or the product of what shape
 * options give. --invariance: --batch is the largest batch (4096), --threads the most threads (the
 * processors, at least 2 and at most 8). --properties: 17 and 1.
 */
ffl_status ffl_cases_of_ways(const ffl_options *options, ffl_operation operation, ffl_case_list *list);

/* Is it one of these? Then it holds a variant against itself, and no trial repeats it. */
bool ffl_case_of_ways(const ffl_check_case *item);

/* A few more with seeds from the operating system; check adds them where no --seed is given. */
ffl_status ffl_cases_fresh(ffl_operation operation, ffl_case_list *list);

/* A shape by numbers: FF neurons; FFF trees, depth; leaf FFF depth, leaf width; MoE experts, expert width,
 * chosen. */
enum { FFL_CASE_SIZES = 3 };
ffl_status ffl_case_shape(ffl_operation operation, const size_t *size, size_t width_in, size_t width_out,
                          ffl_layer *out);

ffl_status ffl_cases_add(ffl_case_list *list, const ffl_check_case *item);
void ffl_cases_free(ffl_case_list *list);

/* The words of the command line that select exactly this case: "--fixture random --tree 1x11 …". */
void ffl_case_words(const ffl_check_case *item, int threads, char *out, size_t size);

/* To a worker and back. */
json_t *ffl_case_to_json(const ffl_check_case *item);
ffl_status ffl_case_from_json(const json_t *json, ffl_check_case *item);

#endif
