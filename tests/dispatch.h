/*
 * A small tree, three kernels that fff_auto may choose for it, and a table that prefers each somewhere. For
 * the tests of the dispatchers.
 */
#ifndef FFL_TESTS_DISPATCH_H
#define FFL_TESTS_DISPATCH_H

#include "harness/auto/choice.h"

enum { WIDTH = 48, LEVELS = 7, TOKENS = 1024 };

extern const ffl_variant *self; /* fff_auto */
extern ffl_layer tree;
extern const ffl_variant *kernel[3];

/* Before and after each test; skips it where fewer than three kernels run. */
void set_up(void);
void tear_down(void);

/* Times of the three kernels, and a whole table: with one token the first kernel wins; with many the second
 * when they spread over the leaves, the third when they do not. */
ffl_tuned_cell tuned_cell(size_t batch, const char *routing, double shared, const double ns[3]);
ffl_tuned_table example_table(void);

/* Writes the example; the path is valid until the fourth call of files_path after this one. */
const char *write_example(void);

#endif
