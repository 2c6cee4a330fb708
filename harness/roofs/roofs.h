/*
 * The roofs of this machine: measured by `fflab calibrate`, kept in the cache folder, and what every timed
 * row is held against. How, and why so: README.md.
 */
#ifndef FFL_HARNESS_ROOFS_H
#define FFL_HARNESS_ROOFS_H

#include "harness/journal.h"
#include "kernels/variant.h"
#include "reports/roof.h"
#include <stddef.h>

typedef struct ffl_roofs {
    ffl_roof *value;
    size_t count;
} ffl_roofs;

/* Adds a copy, in place of one of the same name, place and threads. FFL_NO_MEMORY. */
ffl_status ffl_roofs_put(ffl_roofs *roofs, const ffl_roof *roof);

/* NULL when it was not measured. */
const ffl_roof *ffl_roofs_find(const ffl_roofs *roofs, const char *place, const char *name, int64_t threads);

void ffl_roofs_free(ffl_roofs *roofs);

/* ---- Kept between runs (roofs_file.c) ---- */

/* What was measured here with this build. None is no error: empty. A file that cannot be read, is broken, of
 * another build or another processor counts as none; of several GPUs those of the present one are taken. */
ffl_status ffl_roofs_load(ffl_roofs *out);

/* Adds to what is there for this machine. *path: where; FFL_IO when it cannot be written. */
ffl_status ffl_roofs_store(const ffl_roofs *roofs, char *path, size_t size);

/* Whether all that `fflab calibrate` with these options would measure was measured here within `seconds`
 * until now; FFL_BAD_INPUT names an option that calibrate refuses (calibrate.c). */
ffl_status ffl_roofs_are_fresh(const ffl_options *options, double seconds, bool *fresh);

/* A journal line each. */
ffl_status ffl_roofs_journal(const ffl_roofs *roofs, ffl_journal *journal);

/* ---- What binds a call (binding.c) ---- */

/* A roof is the best that we saw a loop do, not the best that can be done; README.md says how these were
 * chosen. */
#define FFL_ROOF_TOLERANCE_HOST 1.05
#define FFL_ROOF_TOLERANCE_CUDA 1.25

/* What one call cannot avoid. */
typedef struct ffl_roof_load {
    ffl_place place;
    ffl_type type; /* of the weights: what products may be made of */
    ffl_isa isa;   /* the widest that is allowed */
    int threads;
    double flops;      /* executed */
    double read_bytes; /* distinct ones read: weights and inputs */
    double cold_bytes; /* of these, such as no cache held when the call began */
    size_t caches[3];  /* bytes of each level, of all threads together; 0: unknown */
} ffl_roof_load;

/* The load of a row: its declared work, less what it writes. */
ffl_roof_load ffl_roof_load_of(const ffl_variant *variant, const ffl_record *record);

/* The roof that takes such a call the longest, and that least time in nanoseconds. NULL when no roof that
 * applies was measured. */
const ffl_roof *ffl_roof_binding(const ffl_roofs *roofs, const ffl_roof_load *load, double *least_ns);

/* Sets roof and roof_share of a timed row and, above the tolerance, implausible with its reason. A row that
 * exceeds the roof of the instruction set that it names is held against the fastest one of this machine. */
void ffl_roofs_judge(const ffl_roofs *roofs, const ffl_variant *variant, ffl_record *record);

/*
 * The same, but a row that looks implausible has its roof measured again for a second, and raised if that was
 * too low: the machine may have been slow when it was calibrated. True when `roofs` has changed.
 */
bool ffl_roofs_confirm(ffl_roofs *roofs, const ffl_variant *variant, ffl_record *record);

/* ---- Measuring ---- */

typedef struct ffl_roof_wish {
    const int *threads; /* numbers of threads, each measured apart */
    size_t thread_count;
    double seconds;   /* for all, at least three rounds */
    const char *only; /* the name of one roof; NULL: all */
} ffl_roof_wish;

/* Adds to `out`. FFL_INTERRUPTED after Ctrl-C, FFL_NO_MEMORY. The process is bound to processors as `bench`
 * binds its workers, and afterwards again to those it started with. */
ffl_status ffl_roofs_measure_host(const ffl_roof_wish *wish, ffl_roofs *out);

/* The GPU's, about ten seconds. *why: NULL, or why there is none to be measured; that is no error. FFL_DEVICE
 * and FFL_NO_MEMORY when it fails. */
ffl_status ffl_roofs_measure_device(ffl_roofs *out, const char **why);

#endif
