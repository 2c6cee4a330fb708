#define _GNU_SOURCE
#include "harness/process.h"
#include "harness/worker.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_SECONDS = 10 };

static double now_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

ffl_status ffl_process_start(const char *program, const char *kind, const ffl_options *shared,
                             ffl_process *process)
{
    const char *argv[3 + 2 * 2 * FFL_LIST_MAX + 8];
    size_t argc = 0;
    argv[argc++] = "fflab";
    argv[argc++] = "worker";
    argv[argc++] = kind;
    for (ffl_option o = FFL_OPT_PLUGIN; shared && o <= FFL_OPT_PROCESS; o++)
        for (size_t i = 0; i < shared->list_count[o] && i < FFL_LIST_MAX; i++) {
            argv[argc++] = ffl_option_name(o);
            argv[argc++] = shared->list[o][i];
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
    if (answers == FFL_ANSWER_FD)
        answers = fcntl(out[1], F_DUPFD_CLOEXEC, FFL_ANSWER_FD + 1);
    int requests = in[0];
    if (requests == FFL_ANSWER_FD)
        requests = fcntl(in[0], F_DUPFD_CLOEXEC, FFL_ANSWER_FD + 1);
    posix_spawn_file_actions_adddup2(&actions, requests, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, answers, FFL_ANSWER_FD);
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
        posix_spawn(&process->pid, program, &actions, &attributes, (char *const *)argv, environ);
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
        return ffl_fail(FFL_IO, "%s: a worker could not be started: %s", program, strerror(error));
    }
    process->to = in[1];
    process->from = out[0];
    process->used = 0;
    return FFL_OK;
}

void ffl_process_end(ffl_process *process, char *message, size_t size)
{
    close(process->to);
    close(process->from);
    int status = 0;
    pid_t ended;
    const double limit = now_seconds() + EXIT_SECONDS;
    while ((ended = waitpid(process->pid, &status, WNOHANG)) == 0 && now_seconds() < limit)
        nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
    if (ended == 0) {
        kill(process->pid, SIGKILL);
        while (waitpid(process->pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    if (WIFSIGNALED(status))
        snprintf(message, size, "died of signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(message, size, "ended with exit code %d", WEXITSTATUS(status));
    process->pid = 0;
}

ffl_status ffl_line_send(int to, const json_t *message, bool *sent)
{
    char *text = json_dumps(message, JSON_COMPACT);
    *sent = false;
    if (!text)
        return ffl_fail(FFL_INTERNAL, "a message could not be encoded");
    const size_t length = strlen(text) + 1;
    text[length - 1] = '\n'; /* replaces the terminator: write needs none */
    size_t done = 0;
    while (done < length) {
        const ssize_t n = write(to, text + done, length - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    free(text);
    *sent = done == length;
    return FFL_OK;
}

ffl_status ffl_process_send(ffl_process *process, const json_t *request, bool *sent)
{
    return ffl_line_send(process->to, request, sent);
}

/* One more line, without its newline; it is gone with the next call. NULL: the worker is gone, or late. */
static char *next_line(ffl_process *process, double deadline)
{
    char *newline;
    if (process->used) { /* the line handed out before */
        const size_t length = strlen(process->text) + 1;
        process->used -= length;
        memmove(process->text, process->text + length, process->used);
    }
    while (!(newline = memchr(process->text, '\n', process->used))) {
        const double left = deadline - now_seconds();
        struct pollfd ready = {.fd = process->from, .events = POLLIN};
        if (ffl_interrupted() || left <= 0 || process->used == sizeof process->text)
            break;
        if (poll(&ready, 1, (int)(left * 1e3) + 1) <= 0)
            continue;
        const ssize_t n =
            read(process->from, process->text + process->used, sizeof process->text - process->used);
        if (n == 0 || (n < 0 && errno != EINTR))
            break;
        process->used += n > 0 ? (size_t)n : 0;
    }
    if (newline)
        *newline = '\0';
    else
        process->used = 0;
    return newline ? process->text : NULL;
}

/* Why there was no answer; the worker is over afterwards. */
static ffl_status give_up(ffl_process *process, bool late, double timeout_s)
{
    char message[128];
    if (late)
        kill(process->pid, SIGKILL);
    ffl_process_end(process, message, sizeof message);
    if (ffl_interrupted())
        return ffl_fail(FFL_INTERRUPTED, "interrupted");
    return late ? ffl_fail(FFL_IO, "a worker gave no answer for %.0f s", timeout_s)
                : ffl_fail(FFL_IO, "a worker %s", message);
}

ffl_status ffl_process_ask(ffl_process *process, const json_t *request, double timeout_s, json_t **answer)
{
    bool sent;
    *answer = NULL;
    FFL_TRY(ffl_process_send(process, request, &sent));
    for (const double deadline = now_seconds() + timeout_s; sent;) {
        const char *text = next_line(process, deadline);
        json_t *line = text ? json_loads(text, 0, NULL) : NULL;
        if (!line)
            break;
        if (!json_is_true(json_object_get(line, "done"))) {
            json_decref(*answer);
            *answer = line;
            continue;
        }
        const json_t *error = json_object_get(line, "error");
        ffl_status status = FFL_OK;
        if (error)
            status = ffl_fail((ffl_status)json_integer_value(json_object_get(line, "status")), "%s",
                              json_string_value(error));
        else if (!*answer)
            status = ffl_fail(FFL_INTERNAL, "a worker had nothing to say");
        json_decref(line);
        if (status != FFL_OK) {
            json_decref(*answer);
            *answer = NULL;
        }
        return status;
    }
    json_decref(*answer);
    *answer = NULL;
    /* A worker that is gone has closed its pipe; one that still holds it is late. */
    struct pollfd ready = {.fd = process->from, .events = POLLIN};
    const bool gone = !sent || (poll(&ready, 1, 0) > 0 && (ready.revents & POLLHUP));
    return give_up(process, !gone, timeout_s);
}
