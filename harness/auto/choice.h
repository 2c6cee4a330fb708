/*
 * What a dispatcher decides before it runs: the few kernels it prepares, and which of them serves how many
 * tokens and which kind of routing. From the tuning table where one fits, otherwise from defaults.c.
 */
#ifndef FFL_HARNESS_AUTO_CHOICE_H
#define FFL_HARNESS_AUTO_CHOICE_H

#include "harness/auto/table.h"

enum { FFL_AUTO_KERNELS = 4, FFL_AUTO_RANGES = 16, FFL_AUTO_ROUTINGS = 8 };

/* Batches of at most `last` tokens, and more than those of the range before. */
typedef struct ffl_auto_range {
    size_t last;
    size_t blind;    /* kernel when the routing is not looked at: the one that is bad at none */
    size_t routings; /* how many are told apart; 0: looking would change nothing, or cost too much */
    struct {
        double shared; /* see ffl_tuned_cell; ascending */
        size_t kernel;
    } routing[FFL_AUTO_ROUTINGS];
} ffl_auto_range;

typedef struct ffl_auto_choice {
    bool tuned; /* by a table, not by the built-in rules */
    struct {
        const ffl_variant *variant;
        size_t max_tokens; /* it is never given more */
    } kernel[FFL_AUTO_KERNELS];
    size_t kernels;
    ffl_auto_range range[FFL_AUTO_RANGES]; /* the last one reaches max_tokens */
    size_t ranges;
} ffl_auto_choice;

/* True when `v` computes at least as exactly as `promised` and asks no more of memory. */
bool ffl_auto_contract_holds(const ffl_contract *v, const ffl_contract *promised);

/* Kernels that the dispatcher `self` may choose for this shape and at least these tokens, on this machine. */
bool ffl_auto_may_use(const ffl_variant *self, const ffl_variant *v, const ffl_layer *shape, size_t tokens);

/* `table` may be NULL. FFL_UNSUPPORTED when no kernel fits at all. */
ffl_status ffl_auto_choose(const ffl_variant *self, const ffl_layer *shape, size_t max_tokens, int threads,
                           const ffl_tuned_table *table, ffl_auto_choice *out);

/* The built-in rules: the same decision without any measurement. */
ffl_status ffl_auto_defaults(const ffl_variant *self, const ffl_layer *shape, size_t max_tokens, int threads,
                             ffl_auto_choice *out);

const ffl_auto_range *ffl_auto_range_of(const ffl_auto_choice *choice, size_t tokens);

/* Index of the kernel for these tokens; `shared` as observed, NaN for unknown. Always one that takes them. */
size_t ffl_auto_pick(const ffl_auto_choice *choice, const ffl_layer *shape, size_t tokens, double shared);

#endif
