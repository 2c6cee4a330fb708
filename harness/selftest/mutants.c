#define _GNU_SOURCE
#include "harness/check/leaks.h"
#include "harness/selftest/mutant.h"
#include "kernels/team.h"
#include <sched.h>
#include <string.h>

const ffl_mutant *const ffl_mutant_families[] = {
    ffl_published_mutants,
    ffl_tree_mutants,
    ffl_numerics_mutants,
    ffl_memory_mutants,
    ffl_cheating_mutants,
    ffl_timing_mutants,
    ffl_environment_mutants,
    ffl_experts_mutants,
    ffl_honest_mutants,
    ffl_honest_experts,
    NULL,
};

bool ffl_mutant_honest(const ffl_mutant *mutant)
{
    return strcmp(mutant->family, "honest") == 0;
}

const ffl_mutant *ffl_mutant_find(const char *name)
{
    for (size_t f = 0; ffl_mutant_families[f]; f++)
        for (const ffl_mutant *m = ffl_mutant_families[f]; m->family; m++)
            if (strcmp(m->variant.name, name) == 0)
                return m;
    return NULL;
}

static bool is(const char *needs, const char *other)
{
    return strcmp(needs, other) == 0;
}

static bool two_processors(void)
{
    cpu_set_t allowed;
    return sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_COUNT(&allowed) > 1;
}

bool ffl_mutant_runs(const ffl_mutant *mutant, const char **why)
{
    const char *needs = mutant->needs ? mutant->needs : "";
    *why = "";
    if (is(needs, "threads") && !ffl_team_available())
        *why = "built without OpenMP: one thread races with nobody";
    else if (is(needs, "two processors") && !two_processors())
        *why = "there is but one processor to be bound to";
    else if (is(needs, "visible upper halves") && !ffl_leaks_upper_visible())
        *why = "this machine does not tell whether upper halves are in use";
    else if (is(needs, "visible heap") && !ffl_leaks_heap_visible())
        *why = "this allocator does not count what it gave";
    return !**why;
}
