/*
 * One row of a group in the worker: prepared, tried on a few tokens and judged, given a number of calls,
 * timed by Google Benchmark call by call, and judged again on what the timed calls wrote.
 */
#ifndef FFL_HARNESS_TIMED_H
#define FFL_HARNESS_TIMED_H

#include "harness/bench/gbench.h"
#include "harness/bench/sample.h"
#include "harness/bench/stage.h"
#include "harness/instance.h"

/* A row on the device: harness/bench/device_calls.h. */
typedef struct ffl_device_calls {
    struct ffl_device_ring *ring;
    void **graphs; /* of a burst of calls each, one after the other a round of the inputs; NULL when there are
                      none */
    size_t graph_count;
    bool graph_ranks;
    char not_captured[256]; /* why there are none */
} ffl_device_calls;

typedef struct ffl_timed {
    const ffl_group *group;
    const ffl_group_row *what;
    ffl_stage *stage;
    ffl_layer layer;
    ffl_instance instance;
    bool live; /* prepared, and right so far: to be timed */
    ffl_record record;
    /* Called before each repetition and every few seconds of a long one: says who is at work. */
    void (*announce)(void *user, const struct ffl_timed *row);
    void *user;
    double announced_ns;

    size_t tokens; /* per call; below group->batch when a full call would take too long */
    ffl_ring ring;
    size_t position; /* input row of the next timed call */
    size_t warm_position;
    double call_seconds;       /* estimated */
    size_t burst;              /* calls per sample: 1 but for rows on a device or with a clock of their own */
    double exchange_seconds;   /* own clock: what one more exchange takes beside its calls */
    double *wall_ns;           /* own clock: of every sample, per call */
    size_t repetitions, calls; /* samples per repetition */
    size_t repetition;
    double *ns; /* of every timed call, or per call of a burst */
    size_t timed;
    ffl_device_calls device;
    ffl_sample sample; /* of the timed calls */
} ffl_timed;

/* Fills the record and prepares the variant. A row that cannot run has its verdict afterwards and is not
 * live; a status other than FFL_OK is about the whole group. */
ffl_status ffl_timed_open(ffl_timed *row, const ffl_group *group, const ffl_group_row *what,
                          ffl_stage *stage);

/* Runs a few tokens, judges them, estimates a call, and plans the calls. Scratch must be there. */
ffl_status ffl_timed_try(ffl_timed *row);

/* So many calls in so many repetitions instead of what ffl_timed_try planned; none has run yet, or all have.
 */
ffl_status ffl_timed_plan_calls(ffl_timed *row, size_t repetitions, size_t calls);

/* The case for Google Benchmark; `row` and `name` must outlive it. */
ffl_gbench_case ffl_timed_case(ffl_timed *row, const char *name);

/* Puts the samples into the record. */
ffl_status ffl_timed_finish(ffl_timed *row);

void ffl_timed_close(ffl_timed *row);

#endif
