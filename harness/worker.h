/*
 * Isolation: work runs in spawned copies of this program, never in a fork (libgomp hangs in a forked child,
 * CUDA breaks). A crash or a hang costs one job, not the run.
 *
 * The parent sends a job as one JSON line on the worker's standard input; the worker answers with any
 * number of JSON lines on file descriptor 3 and ends each job with {"done": true}. A worker that dies is
 * replaced and the remaining jobs go on; so is one that says that a job was its last.
 */
#ifndef FFL_HARNESS_WORKER_H
#define FFL_HARNESS_WORKER_H

#include "harness/cli.h"
#include "kernels/status.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

typedef enum ffl_job_end {
    FFL_JOB_DONE = 0,
    FFL_JOB_CRASHED, /* the message says by which signal or exit code */
    FFL_JOB_TIMEOUT  /* killed after job.timeout_s */
} ffl_job_end;

typedef struct ffl_job {
    const json_t *request; /* object; owned by the caller */
    double timeout_s;      /* without any answer line */
    bool fresh;            /* in a process that has served no other job */
} ffl_job;

/* What the parent hears; both called from the parent's only thread. */
typedef struct ffl_job_listener {
    void *user;
    /* One answer line of job `index`. A failure status stops everything. */
    ffl_status (*answer)(void *user, size_t index, const json_t *line);
    /* The job is over; `message` is "" after FFL_JOB_DONE. */
    ffl_status (*end)(void *user, size_t index, ffl_job_end end, const char *message);
    /* The job was handed to a worker; optional. */
    void (*start)(void *user, size_t index);
} ffl_job_listener;

/*
 * Runs jobs of one kind (see ffl_worker_kinds), at most `parallel` at a time. `shared` holds the words that
 * every worker needs: --plugin, --process, --blas-library, --keep-blas-environment. In process (parallel = 0) jobs run
 * one by one in this process, without isolation.
 * Returns FFL_INTERRUPTED after Ctrl-C: workers are gone, ended jobs were reported.
 */
ffl_status ffl_jobs_run(const char *kind, const ffl_options *shared, const ffl_job *jobs, size_t count,
                        size_t parallel, const ffl_job_listener *listener);

/* ---- In the worker ---- */

/* Sends one answer line; a NULL or failing encode is FFL_INTERNAL. Takes the reference. */
typedef struct ffl_answer ffl_answer;
ffl_status ffl_answer_send(ffl_answer *answer, json_t *line);

/* This process is not fit for another job, and ends after the present one without tidying up. In process:
 * nothing. */
void ffl_answer_last(ffl_answer *answer);

typedef struct ffl_worker_kind {
    const char *name;
    ffl_status (*handle)(const json_t *request, ffl_answer *answer);
} ffl_worker_kind;

/* All kinds, ended by {NULL} (harness/commands.c). */
extern const ffl_worker_kind ffl_worker_kinds[];

/* `fflab worker KIND`: serves jobs until standard input ends. */
extern const ffl_command ffl_command_worker;

/* Set by SIGINT and SIGTERM; loops that can stop early look at it. */
bool ffl_interrupted(void);
void ffl_interrupt_install(void);

#endif
