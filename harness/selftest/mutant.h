/*
 * Variants that are wrong on purpose, and honest ones that look odd: what `fflab selftest` holds the verifier
 * to. All of them share one correct walk (mutant_walk.c); a mutant replaces one step of it, or does something
 * before or after. Nothing here is in the table of variants: list, check and bench never see it.
 */
#ifndef FFL_HARNESS_MUTANT_H
#define FFL_HARNESS_MUTANT_H

#include "kernels/gelu.h"
#include "kernels/variant.h"

/* What a mutant keeps from call to call. */
typedef struct ffl_mutant_state {
    const struct ffl_mutant *mutant;
    size_t calls, tokens; /* before this call */
    float *x, *y;         /* [max_tokens][width] each, packed: for whoever remembers */
    const float *last_x;
    size_t remembered; /* rows in x and y */
    void *own;         /* freed with free */
} ffl_mutant_state;

/* One run, as the steps see it. */
typedef struct ffl_call {
    const ffl_plan *plan;
    const ffl_exec *exec;
    const ffl_layer *layer;
    ffl_mutant_state *state;
    const float *x;
    size_t ldx;
    float *y;
    size_t ldy, tokens;
} ffl_call;

/* One neuron of one token. */
typedef struct ffl_visit {
    const ffl_call *call;
    const ffl_layer *layer;
    const float *x; /* the token's input */
    size_t token, tree, level;
    size_t node; /* in heap order, FFF */
    size_t row;  /* of the weights */
} ffl_visit;

/* The steps of the walk; NULL: the correct one. */
typedef struct ffl_steps {
    bool (*before)(ffl_call *call);                  /* may change the call; false: nothing more to do */
    void (*clear)(const ffl_visit *visit, float *y); /* y = 0, FF: y = b_out */
    size_t (*levels)(const ffl_visit *visit);        /* neurons visited in a tree */
    size_t (*row)(const ffl_visit *visit);           /* of the weights, for tree and node */
    float (*logit)(const ffl_visit *visit, const float *w); /* bias included */
    float (*activate)(const ffl_visit *visit, float z);
    void (*add)(const ffl_visit *visit, float g, const float *w, float *y); /* y += g·w */
    size_t (*child)(const ffl_visit *visit, float z); /* 1 or 2: next node = 2·node + child */
    void (*finish)(const ffl_visit *visit, float *y); /* after the last neuron of a token */
    void (*after)(const ffl_call *call);
} ffl_steps;

typedef enum ffl_judge_of_mutant { FFL_BY_CHECK = 0, FFL_BY_BENCH } ffl_judge_of_mutant;

typedef struct ffl_mutant {
    ffl_variant variant;
    const char *family;     /* "published", "tree", …; "honest" must pass */
    ffl_judge_of_mutant by; /* which of the two must reject it; an honest one faces check */
    /* Patterns of fnmatch for "VERDICT reason"; one must match the rejection, or it is for the wrong reason.
     */
    const char *expect[3];
    const char *needs; /* NULL, or what it cannot do without: see ffl_mutant_runs */
    ffl_steps steps;
} ffl_mutant;

/* Families in order, each an array ended by a row without a name; the list ends with NULL. */
extern const ffl_mutant *const ffl_mutant_families[];
extern const ffl_mutant ffl_honest_mutants[], ffl_published_mutants[], ffl_tree_mutants[],
    ffl_numerics_mutants[], ffl_memory_mutants[], ffl_cheating_mutants[], ffl_timing_mutants[],
    ffl_environment_mutants[], ffl_experts_mutants[], ffl_honest_experts[];

bool ffl_mutant_honest(const ffl_mutant *mutant);

/* By name; NULL when there is none. */
const ffl_mutant *ffl_mutant_find(const char *name);

/* Can this machine and this build tell? False, with a reason in *why, where the fault cannot show. */
bool ffl_mutant_runs(const ffl_mutant *mutant, const char **why);

/* ---- The shared walk ---- */

ffl_status ffl_mutant_prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan);
ffl_status ffl_mutant_run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                          size_t ldy, size_t tokens);
void ffl_mutant_release(ffl_plan *plan);

/* The correct steps, for mutants that err only now and then. */
float ffl_step_logit(const ffl_visit *visit, const float *w);
float ffl_step_activate(const ffl_visit *visit, float z);
void ffl_step_add(const ffl_visit *visit, float g, const float *w, float *y);
size_t ffl_step_child(const ffl_visit *visit, float z);
size_t ffl_step_row(const ffl_visit *visit);
/* All rows of a call. */
void ffl_step_rows(const ffl_call *call, size_t first, size_t count);

/* A row of the table: operation, name, summary, family and, in the longer form, its contract. */
#define FFL_MUTANT(operation_, name_, summary_, family_)                                                     \
    FFL_MUTANT_AS(operation_, name_, summary_, family_, FFL_CONTRACT_F32)
#define FFL_MUTANT_AS(operation_, name_, summary_, family_, ...)                                             \
    .variant = {.name = name_,                                                                               \
                .summary = summary_,                                                                         \
                .source = "this lab",                                                                        \
                .operation = operation_,                                                                     \
                .contract = __VA_ARGS__,                                                                     \
                .prepare = ffl_mutant_prepare,                                                               \
                .run = ffl_mutant_run,                                                                       \
                .release = ffl_mutant_release},                                                              \
    .family = family_

#endif
