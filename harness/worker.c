#define _GNU_SOURCE
#include "harness/worker.h"
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

enum { ANSWER_FD = 3, PARALLEL_MAX = 64, NO_JOB = -1, EXIT_SECONDS = 10 };

struct ffl_answer {
    FILE *stream;                     /* in a worker */
    const ffl_job_listener *listener; /* in process */
    size_t index;
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
    ffl_answer answer = {.stream = fdopen(ANSWER_FD, "w")};
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
                                              ? json_pack("{s:b}", "done", 1)
                                              : json_pack("{s:b, s:i, s:s}", "done", 1, "status", (int)handled,
                                                          "error", ffl_error()));
    }
    free(line);
    *exit_code = FFL_EXIT_GOOD;
    return status;
}

static const ffl_option worker_options[] = {FFL_OPT_PLUGIN, FFL_OPT_BLAS_LIBRARY, FFL_OPT_KEEP_BLAS_ENVIRONMENT,
                                            FFL_OPT_COUNT};

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
    pid_t pid;
    int to, from;     /* pipes */
    long job;         /* index being worked on, NO_JOB when idle */
    double deadline;  /* of the next answer */
    char *text;       /* what came, up to the last newline not yet seen */
    size_t used, capacity;
} worker;

static double now_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static ffl_status spawn_worker(const char *kind, const ffl_options *shared, worker *w)
{
    const char *argv[3 + 2 * FFL_LIST_MAX + 8];
    size_t argc = 0;
    argv[argc++] = "fflab";
    argv[argc++] = "worker";
    argv[argc++] = kind;
    const size_t plugins = shared ? shared->list_count[FFL_OPT_PLUGIN] : 0;
    for (size_t i = 0; i < plugins && i < FFL_LIST_MAX; i++) {
        argv[argc++] = "--plugin";
        argv[argc++] = shared->list[FFL_OPT_PLUGIN][i];
    }
    if (shared && ffl_option_given(shared, FFL_OPT_BLAS_LIBRARY)) {
        argv[argc++] = "--blas-library";
        argv[argc++] = shared->value[FFL_OPT_BLAS_LIBRARY];
    }
    if (shared && ffl_option_given(shared, FFL_OPT_KEEP_BLAS_ENVIRONMENT))
        argv[argc++] = "--keep-blas-environment";
    argv[argc] = NULL;

    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) != 0)
        return ffl_fail(FFL_IO, "no pipe for a worker: %s", strerror(errno));
    if (pipe2(out, O_CLOEXEC) != 0) {
        close(in[0]);
        close(in[1]);
        return ffl_fail(FFL_IO, "no pipe for a worker: %s", strerror(errno));
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    /* dup2 onto itself would keep O_CLOEXEC; pipes opened by a program with 0..2 open start at 3. */
    int answers = out[1];
    if (answers == ANSWER_FD)
        answers = fcntl(out[1], F_DUPFD_CLOEXEC, ANSWER_FD + 1);
    int requests = in[0];
    if (requests == ANSWER_FD)
        requests = fcntl(in[0], F_DUPFD_CLOEXEC, ANSWER_FD + 1);
    posix_spawn_file_actions_adddup2(&actions, requests, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, answers, ANSWER_FD);
    /* What a kernel prints must not end up among the results. */
    posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    /* The terminal's Ctrl-C reaches the whole group, but only the parent decides when a worker ends. Blocked
     * rather than ignored: a mask holds from the first instruction and across a re-execution. */
    posix_spawnattr_t attributes;
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGINT);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &mask);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    const int error =
        posix_spawn(&w->pid, "/proc/self/exe", &actions, &attributes, (char *const *)argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (answers != out[1])
        close(answers);
    if (requests != in[0])
        close(requests);
    close(in[0]);
    close(out[1]);
    if (error) {
        close(in[1]);
        close(out[0]);
        return ffl_fail(FFL_IO, "a worker could not be started: %s", strerror(error));
    }
    w->to = in[1];
    w->from = out[0];
    w->job = NO_JOB;
    w->used = 0;
    return FFL_OK;
}

/* Waits for a worker that is over or about to be, and says how it ended. One that hangs on its way out (in a
 * library's destructor, or after closing its answer pipe) is killed. */
static void reap(worker *w, char *message, size_t size)
{
    close(w->to);
    close(w->from);
    int status = 0;
    pid_t ended;
    const double limit = now_seconds() + EXIT_SECONDS;
    while ((ended = waitpid(w->pid, &status, WNOHANG)) == 0 && now_seconds() < limit)
        nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
    if (ended == 0) {
        kill(w->pid, SIGKILL);
        while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    if (WIFSIGNALED(status))
        snprintf(message, size, "died of signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(message, size, "ended with exit code %d", WEXITSTATUS(status));
    w->pid = 0;
    w->used = 0;
}

/* *sent stays false when the worker is gone already. */
static ffl_status give_job(worker *w, const ffl_job *job, size_t index, bool *sent)
{
    char *text = json_dumps(job->request, JSON_COMPACT);
    if (!text)
        return ffl_fail(FFL_INTERNAL, "a job could not be encoded");
    const size_t length = strlen(text) + 1;
    text[length - 1] = '\n'; /* replaces the terminator: write needs none */
    size_t done = 0;
    while (done < length) {
        const ssize_t n = write(w->to, text + done, length - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    free(text);
    *sent = done == length;
    w->job = (long)index;
    w->deadline = now_seconds() + job->timeout_s;
    return FFL_OK;
}

/* Gives the job to this worker, or, when that one died after its last job, to a new one: what killed it must
 * not be blamed on a job that never began. */
static ffl_status hand_over(const char *kind, const ffl_options *shared, worker *w, const ffl_job *job, size_t index)
{
    char message[128] = "";
    for (int attempt = 0; attempt < 2; attempt++) {
        bool sent = false;
        if (w->pid == 0)
            FFL_TRY(spawn_worker(kind, shared, w));
        FFL_TRY(give_job(w, job, index, &sent));
        if (sent)
            return FFL_OK;
        reap(w, message, sizeof message);
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
    if (w->capacity - w->used < 65536) {
        char *grown = realloc(w->text, w->capacity + 65536 + w->capacity / 2);
        if (!grown)
            return ffl_fail(FFL_NO_MEMORY, "no memory for a worker's answer");
        w->text = grown;
        w->capacity += 65536 + w->capacity / 2;
    }
    const ssize_t n = read(w->from, w->text + w->used, w->capacity - w->used);
    if (n < 0 && errno == EINTR)
        return FFL_OK;
    if (n <= 0) {
        *gone = true;
        return FFL_OK;
    }
    w->used += (size_t)n;
    char *start = w->text, *newline;
    while (w->job != NO_JOB && (newline = memchr(start, '\n', w->used - (size_t)(start - w->text)))) {
        *newline = '\0';
        w->deadline = now_seconds() + jobs[w->job].timeout_s;
        FFL_TRY(take_line(w, start, listener));
        start = newline + 1;
    }
    w->used -= (size_t)(start - w->text);
    memmove(w->text, start, w->used);
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
        polls[i] = (struct pollfd){.fd = workers[i].job == NO_JOB ? -1 : workers[i].from, .events = POLLIN};
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
                reap(w, message, sizeof message);
                FFL_TRY(end_job(w, FFL_JOB_CRASHED, message, listener));
            }
        } else if (now_seconds() > w->deadline) {
            kill(w->pid, SIGKILL);
            const double limit = jobs[w->job].timeout_s;
            reap(w, message, sizeof message);
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
        if (workers[i].pid > 0) {
            if (status != FFL_OK)
                kill(workers[i].pid, SIGKILL);
            reap(&workers[i], message, sizeof message);
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
