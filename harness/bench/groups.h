/*
 * The groups of a run. A group is one shape, batch, routing, cache state, class, place and number of threads;
 * its rows are variants on the tree and on the dense layers it is compared with, timed interleaved by one
 * worker. It is the unit of the journal, of --resume, of --shard and of loss.
 */
#ifndef FFL_HARNESS_GROUPS_H
#define FFL_HARNESS_GROUPS_H

#include "harness/bench/flags.h"
#include "harness/cli.h"
#include "harness/workload/routing.h"
#include "reports/record.h"
#include <jansson.h>

/* What the caches hold when a timed call begins (README.md). */
typedef enum ffl_cache_state {
    FFL_HOT,
    FFL_WEIGHTS_COLD, /* no weights; x and y */
    FFL_ALL_COLD,     /* nothing of the call */
    FFL_CACHE_STATES
} ffl_cache_state;

extern const char *const ffl_cache_state_names[FFL_CACHE_STATES];

typedef struct ffl_group_row {
    const ffl_variant *variant;
    ffl_layer
        shape;     /* the tree; or a dense layer, leaf tree or mixture whose neurons have the same weights */
    bool left_out; /* took the worker down: the rest of the group runs without it */
} ffl_group_row;

typedef struct ffl_group {
    ffl_layer tree;
    size_t batch;
    char routing[272];
    ffl_cache_state cache;
    ffl_type clazz;
    ffl_place place; /* host and device rows are never timed against each other */
    bool programs;   /* FFL_CUDA: rows whose programs drive the device themselves, with host rows from here */
    int threads;
    uint64_t seed;
    bool full;          /* no reduced batches */
    char cpus[64];      /* "" for no binding */
    double row_seconds; /* to spend on the timed calls of a row */
    double min_time;    /* seconds per repetition, 0: bench decides; as are */
    size_t repetitions; /* … the repetitions */
    bool interleave;
    double prune;    /* rows that take over so many times the fastest at first are not timed; 0: all are */
    char words[512]; /* further words of the repeat command */
    ffl_group_row *rows;
    size_t row_count;
} ffl_group;

typedef struct ffl_group_list {
    ffl_group *value;
    size_t count;
} ffl_group_list;

/* All groups that options and flags ask for, of this shard. FFL_BAD_INPUT names the option. */
ffl_status ffl_groups_from_options(const ffl_options *options, const ffl_flags *flags, ffl_group_list *out);
void ffl_groups_free(ffl_group_list *groups);

/* Are its rows called with device pointers, on the stage of this process's device? */
bool ffl_group_on_device(const ffl_group *group);

/* Frees what ffl_group_from_json allocated. */
void ffl_group_free(ffl_group *group);

/* Everything of a record that is known before anything ran: identity, variant, case. */
void ffl_group_record(const ffl_group *group, const ffl_group_row *row, ffl_record *out);

/* "fff_naive/neurons:4095/1x11/width:768:768/gelu/batch:16/uniform/hot/f32/threads:1/seed:1" (leaf trees and
 * mixtures: "leaf:9x8", "moe:512x8:1" in place of neurons): the key of the row, its name for Google
 * Benchmark, and what --benchmark_filter looks at. */
void ffl_group_row_name(const ffl_group *group, const ffl_group_row *row, char *out, size_t size);

/* To a worker and back. NULL without memory; FFL_INTERNAL for what ffl_group_to_json did not write. */
json_t *ffl_group_to_json(const ffl_group *group);
ffl_status ffl_group_from_json(const json_t *json, ffl_group *out);

#endif
