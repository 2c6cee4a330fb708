/*
 * One measurement or verdict = one struct = one JSON line of the journal. Everything that exports or
 * prints results reads this and nothing else; `reports` does not know who measured.
 *
 * A journal is a text file of such lines, append-only (journal_line.h: what they leave out). Lines of kind
 * "run" describe the circumstances (machine, versions, command) once; the others refer to them by `run`. NaN
 * means "not measured": the field is left out of the line. Empty strings are left out too.
 */
#ifndef FFL_REPORTS_RECORD_H
#define FFL_REPORTS_RECORD_H

#include "kernels/status.h"
#include "reports/date.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FFL_RECORD_SCHEMA = 1 };

/* Distinct durations and how often each occurred: all samples, their order dropped. */
typedef struct ffl_samples {
    double *ns;      /* ascending, distinct; one call, nanoseconds */
    uint64_t *count; /* of each */
    size_t distinct;
} ffl_samples;

typedef struct ffl_record {
    int64_t schema;
    char kind[12];            /* "run", "check", "bench", "encoder", "published", "roof" */
    char run[48];             /* identity of the invocation that wrote it */
    char key[640];            /* identity of the case: --resume skips keys that are there */
    char group[480];          /* bench: rows of one group were timed interleaved and may be compared */
    char command[1024];       /* repeats exactly this row */
    char date[FFL_DATE_SIZE]; /* UTC, ISO 8601 */

    /* the variant */
    char variant[64], operation[12], family[12], library[12], isa[16], clazz[8], place[8];
    char library_version[128], kernel_family[64]; /* of the BLAS really loaded */

    /* the case */
    char shape[32]; /* "1x11" or "dense" */
    int64_t trees, depth, neurons, width_in, width_out;
    char activation[16], fixture[160], routing[272], cache[16];
    int64_t batch;  /* asked for */
    int64_t tokens; /* per call; fewer than batch when a full call would take too long: never ranked with full
                       ones */
    int64_t threads;
    char cpus[64]; /* processors the measuring process was bound to, "" when to none */
    uint64_t seed;

    /* verification */
    char verdict[12]; /* PASSED, SUSPECT, FAILED, CRASHED, TIMEOUT, UNSUPPORTED, SKIPPED */
    char reason[512];
    bool weak, handicapped, implausible;
    json_t *ways; /* check --invariance and --properties, owned: {"outcomes": {way: "bitwise", …}, "promised":
                     [way, …]} */
    int64_t rows;                          /* judged */
    int64_t flips;                         /* rows that took another admissible path than the reference */
    double flip_margin;                    /* largest |z| / bound among the flipped decisions */
    double error_statistical, error_worst; /* largest error as a fraction of each bound */

    /* time, nanoseconds per call */
    int64_t calls;
    double median_ns, low_ns, high_ns; /* median and its 95 % interval */
    double min_ns, mean_ns, p99_ns;
    double ns_per_token;
    ffl_samples samples;
    /* device rows: `calls` samples of `burst` calls each, times as above per call, on the device */
    char form[8]; /* what ranks: "graph" (a burst launched as one graph) or "plain" (call by call) */
    int64_t burst;
    double plain_ns, graph_ns;  /* medians of both forms */
    double wall_ns;             /* one call alone, enqueued and waited for, on the host's clock: median */
    double enqueue_ns;          /* the host's part of a call */
    double sm_mhz, memory_mhz;  /* right after the timed calls */
    bool own_clock;             /* told by the program that did the work; wall_ns is then an exchange with it,
                                   per call */
    bool emulated;              /* the host played the device: never ranked, never reported */
    double stolen;              /* share of its processors' time that the hypervisor gave to others while the
                                   row's group was timed */
    double clock_ns;            /* least time between two readings of the clock: part of every sample */
    double pack_ns, pack_bytes; /* prepare, reported apart */

    /* work and roofs */
    double flops, dense_flops, bytes; /* per call: executed, of the dense layer it replaces, unique bytes */
    double roof_share;                /* of the binding measured roof; not measured until calibrated */
    char roof[40];                    /* that roof; on lines of kind "roof" the one they are about */

    /* routing, per tree as mean and maximum */
    double leaves_mean, leaves_max, entropy_mean, entropy_max, top1_mean, top1_max;
    double unique_weight_bytes;
    double forced_margin; /* smallest |z| / (‖x‖·‖w‖) on the paths; NaN when drawn as they come */

    /* kind "encoder": the model, and every pair of passes; what follows from them: reports/passes.h. There,
     * batch and tokens are the tokens of a pass, and the times are those of whole passes. */
    json_t *encoder; /* owned; NULL otherwise */

    /* kind "roof": what was measured (reports/roof.h) */
    json_t *measured; /* owned; NULL otherwise */

    /* kind "run": the machine and the build, written by the harness as an object */
    json_t *circumstances; /* owned; NULL otherwise */
} ffl_record;

/* All numbers "not measured", all strings empty, schema set. */
void ffl_record_init(ffl_record *record);
void ffl_record_free(ffl_record *record);

/* New reference, NULL without memory. */
json_t *ffl_record_to_json(const ffl_record *record);

/* FFL_BAD_INPUT names the field that has the wrong type or does not fit, or a schema that is not ours.
 * Unknown fields are ignored. On failure nothing is left to free. */
ffl_status ffl_record_from_json(const json_t *json, ffl_record *record);

/* Names of the fields in the order of the line, without samples_ns and circumstances; NULL past the end. */
const char *ffl_record_field(size_t i);

/* Sorts `count` durations into the distinct form, rounded to whole nanoseconds and four digits. */
ffl_status ffl_samples_from(const double *ns, size_t count, ffl_samples *out);
void ffl_samples_free(ffl_samples *samples);
uint64_t ffl_samples_total(const ffl_samples *samples);

/* The q-quantile, 0 <= q <= 1 (nearest rank); NaN of no samples. */
double ffl_samples_quantile(const ffl_samples *samples, double q);

/* Median with its distribution-free 95 % interval (order statistics; the extremes when n < 6). */
void ffl_samples_median(const ffl_samples *samples, double *median, double *low, double *high);

#endif
