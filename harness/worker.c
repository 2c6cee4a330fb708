#define _GNU_SOURCE
#include "harness/worker.h"
#include "harness/process.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PARALLEL_MAX = 64, NO_JOB = -1 };

struct ffl_answer {
    FILE *stream;                     /* in a worker */
    const ffl_job_listener *listener; /* in process */
    size_t index;
    bool last;
};

/* ---- Ctrl-C ---- */

static volatile sig_atomic_t interrupted;

/* The first asks for an orderly end; a user who insists gets out at once. */
static void on_signal(int number)
{
    (void)number;
    if (++interrupted > 2)
        _exit(FFL_EXIT_INTERRUPTED);
}

bool ffl_interrupted(void)
{
    return interrupted != 0;
}

void ffl_interrupt_install(void)
{
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: poll and waits wake up */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* a dead worker or a closed pager shows as EPIPE */
}

/* ---- In the worker ---- */

ffl_status ffl_answer_send(ffl_answer *answer, json_t *line)
{
    if (!line)
        return ffl_fail(FFL_INTERNAL, "an answer could not be encoded");
    ffl_status status = FFL_OK;
    if (answer->listener)
        status = answer->listener->answer(answer->listener->user, answer->index, line);
    else if (json_dumpf(line, answer->stream, JSON_COMPACT | JSON_REAL_PRECISION(12)) != 0 ||
             putc('\n', answer->stream) == EOF || fflush(answer->stream) != 0)
        status = ffl_fail(FFL_IO, "the answer pipe is closed");
    json_decref(line);
    return status;
}

void ffl_answer_last(ffl_answer *answer)
{
    answer->last = true;
}

static const ffl_worker_kind *find_kind(const char *name)
{
    for (const ffl_worker_kind *kind = ffl_worker_kinds; kind->name; kind++)
        if (strcmp(kind->name, name) == 0)
            return kind;
    return NULL;
}

static ffl_status serve(const ffl_options *options, int *exit_code)
{
    const ffl_worker_kind *kind = find_kind(options->words[0]);
    if (!kind)
        return ffl_fail(FFL_BAD_INPUT, "worker %s: no such kind of job", options->words[0]);
    /* A worker whose parent is gone must not go on computing, and a crash is reported, not dumped: a core
     * file of several gigabytes per broken kernel helps nobody (--in-process serves debuggers). */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    ffl_answer answer = {.stream = fdopen(FFL_ANSWER_FD, "w")};
    if (!answer.stream)
        return ffl_fail(FFL_BAD_INPUT, "worker: started by hand; it serves other fflab commands");
    char *line = NULL;
    size_t capacity = 0;
    ffl_status status = FFL_OK;
    while (status == FFL_OK && getline(&line, &capacity, stdin) > 0) {
        json_t *request = json_loads(line, 0, NULL);
        if (!request) {
            status = ffl_fail(FFL_BAD_INPUT, "worker: a job that is not JSON");
            break;
        }
        const ffl_status handled = kind->handle(request, &answer);
        json_decref(request);
        status = ffl_answer_send(&answer, handled == FFL_OK
                                              ? json_pack("{s:b, s:b}", "done", 1, "last", answer.last)
                                              : json_pack("{s:b, s:i, s:s}", "done", 1, "status",
                                                          (int)handled, "error", ffl_error()));
        if (answer.last)
            _exit(FFL_EXIT_GOOD); /* what is left running may not outlive a destructor */
    }
    free(line);
    *exit_code = FFL_EXIT_GOOD;
    return status;
}

static const ffl_option worker_options[] = {FFL_OPT_PLUGIN, FFL_OPT_PROCESS, FFL_OPT_BLAS_LIBRARY,
                                            FFL_OPT_KEEP_BLAS_ENVIRONMENT, FFL_OPT_COUNT};

const ffl_command ffl_command_worker = {
    .name = "worker",
    .summary = "serve jobs of another fflab process (not for use by hand)",
    .usage = "KIND",
    .help = "Reads jobs as JSON lines on standard input and answers on file descriptor 3.\n",
    .options = worker_options,
    .words_min = 1,
    .words_max = 1,
    .run = serve,
};

/* ---- In the parent ---- */

typedef struct worker {
    ffl_process process;
    long job;        /* index being worked on, NO_JOB when idle */
    bool used, over; /* it has served a job; it will serve no more */
    double deadline; /* of the next answer */
    char *text;      /* what came, up to the last newline not yet seen */
    size_t length, capacity;
} worker;

static double now_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static ffl_status spawn_worker(const char *kind, const ffl_options *shared, worker *w)
{
    w->job = NO_JOB;
    w->length = 0;
    w->used = w->over = false;
    return ffl_process_start("/proc/self/exe", kind, shared, &w->process);
}

static ffl_status give_job(worker *w, const ffl_job *job, size_t index, bool *sent)
{
    FFL_TRY(ffl_process_send(&w->process, job->request, sent));
    w->job = (long)index;
    w->used = true;
    w->deadline = now_seconds() + job->timeout_s;
    return FFL_OK;
}

/* Gives the job to this worker, or, when that one is over or died after its last job, to a new one: what
 * killed it must not be blamed on a job that never began. */
static ffl_status hand_over(const char *kind, const ffl_options *shared, worker *w, const ffl_job *job,
                            size_t index)
{
    char message[128] = "";
    if (w->process.pid && (w->over || (w->used && job->fresh)))
        ffl_process_end(&w->process, message, sizeof message);
    for (int attempt = 0; attempt < 2; attempt++) {
        bool sent = false;
        if (w->process.pid == 0)
            FFL_TRY(spawn_worker(kind, shared, w));
        FFL_TRY(give_job(w, job, index, &sent));
        if (sent)
            return FFL_OK;
        ffl_process_end(&w->process, message, sizeof message);
        w->job = NO_JOB;
    }
    return ffl_fail(FFL_IO, "a worker took no job: it %s", message);
}

/* Handles one complete answer line; the worker is idle (NO_JOB) when it ended the job. */
static ffl_status take_line(worker *w, const char *line, const ffl_job_listener *listener)
{
    json_t *answer = json_loads(line, 0, NULL);
    if (!answer)
        return ffl_fail(FFL_INTERNAL, "a worker answered something that is not JSON: %.200s", line);
    ffl_status status;
    const size_t index = (size_t)w->job;
    if (json_is_true(json_object_get(answer, "done"))) {
        w->job = NO_JOB;
        w->over = json_is_true(json_object_get(answer, "last"));
        const json_t *error = json_object_get(answer, "error");
        if (error)
            status = ffl_fail((ffl_status)json_integer_value(json_object_get(answer, "status")), "%s",
                              json_string_value(error));
        else
            status = listener->end(listener->user, index, FFL_JOB_DONE, "");
    } else {
        status = listener->answer(listener->user, index, answer);
    }
    json_decref(answer);
    return status;
}

/* Reads what came. *gone: the pipe ended. */
static ffl_status take_answers(worker *w, const ffl_job *jobs, const ffl_job_listener *listener, bool *gone)
{
    *gone = false;
    if (w->capacity - w->length < 65536) {
        char *grown = realloc(w->text, w->capacity + 65536 + w->capacity / 2);
        if (!grown)
            return ffl_fail(FFL_NO_MEMORY, "no memory for a worker's answer");
        w->text = grown;
        w->capacity += 65536 + w->capacity / 2;
    }
    const ssize_t n = read(w->process.from, w->text + w->length, w->capacity - w->length);
    if (n < 0 && errno == EINTR)
        return FFL_OK;
    if (n <= 0) {
        *gone = true;
        return FFL_OK;
    }
    w->length += (size_t)n;
    char *start = w->text, *newline;
    while (w->job != NO_JOB && (newline = memchr(start, '\n', w->length - (size_t)(start - w->text)))) {
        *newline = '\0';
        w->deadline = now_seconds() + jobs[w->job].timeout_s;
        FFL_TRY(take_line(w, start, listener));
        start = newline + 1;
    }
    w->length -= (size_t)(start - w->text);
    memmove(w->text, start, w->length);
    return FFL_OK;
}

static ffl_status end_job(worker *w, ffl_job_end end, const char *message, const ffl_job_listener *listener)
{
    const long job = w->job;
    w->job = NO_JOB;
    return job == NO_JOB ? FFL_OK : listener->end(listener->user, (size_t)job, end, message);
}

static ffl_status wait_for_workers(worker *workers, size_t count, const ffl_job *jobs,
                                   const ffl_job_listener *listener)
{
    struct pollfd polls[PARALLEL_MAX];
    double wait = 3600;
    const double now = now_seconds();
    for (size_t i = 0; i < count; i++) {
        polls[i] =
            (struct pollfd){.fd = workers[i].job == NO_JOB ? -1 : workers[i].process.from, .events = POLLIN};
        if (workers[i].job != NO_JOB && workers[i].deadline - now < wait)
            wait = workers[i].deadline - now;
    }
    poll(polls, count, wait < 0 ? 0 : (int)(wait * 1e3) + 1);
    for (size_t i = 0; i < count; i++) {
        worker *w = &workers[i];
        char message[128];
        if (w->job == NO_JOB)
            continue;
        if (polls[i].revents) {
            bool gone;
            FFL_TRY(take_answers(w, jobs, listener, &gone));
            if (gone) {
                ffl_process_end(&w->process, message, sizeof message);
                FFL_TRY(end_job(w, FFL_JOB_CRASHED, message, listener));
            }
        } else if (now_seconds() > w->deadline) {
            kill(w->process.pid, SIGKILL);
            const double limit = jobs[w->job].timeout_s;
            ffl_process_end(&w->process, message, sizeof message);
            snprintf(message, sizeof message, "no answer for %.0f s", limit);
            FFL_TRY(end_job(w, FFL_JOB_TIMEOUT, message, listener));
        }
    }
    return FFL_OK;
}

static ffl_status run_spawned(const char *kind, const ffl_options *shared, const ffl_job *jobs, size_t count,
                              size_t parallel, const ffl_job_listener *listener)
{
    worker workers[PARALLEL_MAX] = {0};
    if (parallel > PARALLEL_MAX)
        parallel = PARALLEL_MAX;
    if (parallel > count)
        parallel = count;
    for (size_t i = 0; i < parallel; i++)
        workers[i].job = NO_JOB;
    size_t next = 0;
    ffl_status status = FFL_OK;
    for (;;) {
        size_t busy = 0;
        for (size_t i = 0; i < parallel && status == FFL_OK; i++) {
            if (workers[i].job == NO_JOB && next < count) {
                if (listener->start)
                    listener->start(listener->user, next);
                status = hand_over(kind, shared, &workers[i], &jobs[next], next);
                next++;
            }
            busy += workers[i].job != NO_JOB;
        }
        if (status != FFL_OK || busy == 0)
            break;
        if (!interrupted)
            status = wait_for_workers(workers, parallel, jobs, listener);
        if (interrupted && status == FFL_OK)
            status = ffl_fail(FFL_INTERRUPTED, "interrupted");
        if (status != FFL_OK)
            break;
    }
    char message[128];
    for (size_t i = 0; i < parallel; i++) {
        if (workers[i].process.pid > 0) {
            if (status != FFL_OK)
                kill(workers[i].process.pid, SIGKILL);
            ffl_process_end(&workers[i].process, message, sizeof message);
        }
        free(workers[i].text);
    }
    return status;
}

static ffl_status run_in_process(const char *kind, const ffl_job *jobs, size_t count,
                                 const ffl_job_listener *listener)
{
    for (size_t i = 0; i < count; i++) {
        ffl_answer answer = {.listener = listener, .index = i};
        if (listener->start)
            listener->start(listener->user, i);
        FFL_TRY(find_kind(kind)->handle(jobs[i].request, &answer));
        FFL_TRY(listener->end(listener->user, i, FFL_JOB_DONE, ""));
        if (interrupted)
            return ffl_fail(FFL_INTERRUPTED, "interrupted");
    }
    return FFL_OK;
}

ffl_status ffl_jobs_run(const char *kind, const ffl_options *shared, const ffl_job *jobs, size_t count,
                        size_t parallel, const ffl_job_listener *listener)
{
    if (!find_kind(kind))
        return ffl_fail(FFL_INTERNAL, "no worker kind '%s'", kind);
    return parallel == 0 ? run_in_process(kind, jobs, count, listener)
                         : run_spawned(kind, shared, jobs, count, parallel, listener);
}
