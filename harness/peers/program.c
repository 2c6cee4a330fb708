#define _GNU_SOURCE
#include "harness/peers/program.h"
#include "harness/process.h"
#include "harness/worker.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1 << 16, ERRORS_MAX = 1 << 16, EXCERPT = 200, ENVIRONMENT_MAX = 4096 };

static const double quit_s = 1;

static double now_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- Starting ---- */

/* What this lab set for the libraries of its own process would handicap a program's. */
static bool is_ours(const char *entry)
{
    static const char *const names[] = {
        "OMP_NUM_THREADS=",  "OPENBLAS_NUM_THREADS=", "MKL_NUM_THREADS=",         "OPENBLAS_CORETYPE=",
        "OPENBLAS_L2_SIZE=", "BLIS_ARCH_TYPE=",       "OPENBLAS_THREAD_TIMEOUT=", "GOMP_SPINCOUNT="};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(entry, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

static void make_environment(int threads, char text[3][48], char *out[ENVIRONMENT_MAX])
{
    static const char *const names[] = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"};
    size_t count = 0;
    for (char **e = environ; *e && count < ENVIRONMENT_MAX - 4; e++)
        if (!is_ours(*e))
            out[count++] = *e;
    for (size_t i = 0; i < 3; i++) {
        snprintf(text[i], 48, "%s=%d", names[i], threads);
        out[count++] = text[i];
    }
    out[count] = NULL;
}

/* Nothing but system calls: the parent may have threads, whose locks nobody here would release. */
static _Noreturn void become(char *const *command, const char *folder, char **environment, int in, int out,
                             int errors, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setpgid(0, 0); /* Ctrl-C is the lab's to handle, and what the program starts ends with it */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent && dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
        dup2(errors, STDERR_FILENO) >= 0 && chdir(folder) == 0)
        execvpe(command[0], command, environment); /* searches PATH */
    dprintf(STDERR_FILENO, "%s: %s", command[0], strerror(errno));
    _exit(127);
}

ffl_status ffl_program_start(char *const *command, const char *folder, int threads, ffl_program *out)
{
    char text[3][48], *environment[ENVIRONMENT_MAX];
    int in[2] = {-1, -1}, from[2] = {-1, -1};
    const pid_t parent = getpid();
    *out = (ffl_program){.threads = threads, .to = -1, .from = -1};
    make_environment(threads, text, environment);
    out->errors = memfd_create("errors", MFD_CLOEXEC);
    out->text = malloc(out->capacity = LINE_MAX_BYTES);
    if (!out->text || out->errors < 0 || fcntl(out->errors, F_SETFL, O_APPEND | O_RDWR) != 0 ||
        pipe2(in, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0 || (out->pid = fork()) < 0) {
        const int error = errno;
        for (int i = 0; i < 2; i++) {
            close(in[i]);
            close(from[i]);
        }
        close(out->errors);
        free(out->text);
        *out = (ffl_program){0};
        return ffl_fail(FFL_IO, "%s cannot be started: %s", command[0], strerror(error));
    }
    if (out->pid == 0)
        become(command, folder, environment, in[0], from[1], out->errors, parent);
    setpgid(out->pid, out->pid); /* both do: whoever is first */
    close(in[0]);
    close(from[1]);
    out->to = in[1];
    out->from = from[0];
    return FFL_OK;
}

void ffl_program_bind(const ffl_program *program)
{
    cpu_set_t wanted;
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)program->pid);
    DIR *tasks = sched_getaffinity(0, sizeof wanted, &wanted) == 0 ? opendir(path) : NULL;
    for (const struct dirent *task; tasks && (task = readdir(tasks));)
        if (atoi(task->d_name) > 0)
            sched_setaffinity(atoi(task->d_name), sizeof wanted, &wanted); /* may have ended meanwhile */
    if (tasks)
        closedir(tasks);
}

/* ---- Ending ---- */

/* Its last line on standard error that is not empty, as one can print it; "" without one. */
static void last_words(const ffl_program *program, char out[EXCERPT])
{
    char tail[4096];
    out[0] = '\0';
    const off_t size = lseek(program->errors, 0, SEEK_END);
    const off_t from = size > (off_t)sizeof tail ? size - (off_t)sizeof tail : 0;
    const ssize_t got = size > 0 ? pread(program->errors, tail, sizeof tail, from) : 0;
    size_t end = got > 0 ? (size_t)got : 0;
    while (end && (unsigned char)tail[end - 1] <= ' ')
        end--;
    size_t start = end;
    while (start && tail[start - 1] != '\n')
        start--;
    if (end - start > EXCERPT - 1)
        start = end - (EXCERPT - 1);
    for (size_t i = start; i < end; i++) /* ASCII: half a character would be no UTF-8 */
        out[i - start] = tail[i] >= ' ' && tail[i] < 127 ? tail[i] : '?';
    out[end - start] = '\0';
}

static void release(ffl_program *program)
{
    close(program->to);
    close(program->from);
    close(program->errors);
    free(program->text);
    *program = (ffl_program){0};
}

/* Waits until then; false when it still runs. */
static bool wait_for_end(const ffl_program *program, double until, int *status)
{
    pid_t ended;
    while ((ended = waitpid(program->pid, status, WNOHANG)) == 0 && now_seconds() < until)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return ended != 0;
}

/* Kills what is left of it and its children. How it ended by itself, or "". */
static void bury(ffl_program *program, double patience_s, char *how, size_t size)
{
    int status = 0;
    const bool itself = wait_for_end(program, now_seconds() + patience_s, &status);
    kill(-program->pid, SIGKILL);
    if (!itself)
        while (waitpid(program->pid, &status, 0) < 0 && errno == EINTR)
            ;
    how[0] = '\0';
    if (itself && WIFSIGNALED(status))
        snprintf(how, size, "died of signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (itself)
        snprintf(how, size, "ended with exit code %d", WEXITSTATUS(status));
}

static ffl_status fail_with(ffl_program *program, const char *text)
{
    char words[EXCERPT];
    last_words(program, words);
    release(program);
    return ffl_fail(FFL_IO, "%s%s%s%s", text, *words ? "; standard error: \"" : "", words,
                    *words ? "\"" : "");
}

ffl_status ffl_program_fail(ffl_program *program, const char *format, ...)
{
    char text[512], how[128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    bury(program, 0, how, sizeof how);
    return fail_with(program, text);
}

void ffl_program_end(ffl_program *program)
{
    char how[128];
    if (!program || program->pid == 0)
        return;
    if (write(program->to, "{\"quit\": true}\n", 15) != 15)
        how[0] = '\0'; /* it is gone already */
    close(program->to);
    program->to = -1;
    bury(program, quit_s, how, sizeof how);
    release(program);
}

/* ---- Asking ---- */

/* It closed its end: says how it ended. */
static ffl_status gone(ffl_program *program, const char *doing)
{
    char how[128], text[256];
    bury(program, quit_s, how, sizeof how);
    snprintf(text, sizeof text, "the program %s in %s", *how ? how : "closed its standard output", doing);
    return fail_with(program, text);
}

/* Reads up to a newline. *late: nothing for so long; *closed: no more will come. */
static char *read_line(ffl_program *program, double timeout_s, bool *late, bool *closed)
{
    const double deadline = now_seconds() + timeout_s;
    char *newline;
    *late = *closed = false;
    while (!(newline = memchr(program->text, '\n', program->used)) && program->used < program->capacity) {
        const double left = deadline - now_seconds();
        struct pollfd ready = {.fd = program->from, .events = POLLIN};
        if (left <= 0 || ffl_interrupted()) {
            *late = true;
            return NULL;
        }
        if (poll(&ready, 1, (int)(left * 1e3) + 1) <= 0)
            continue;
        const ssize_t n =
            read(program->from, program->text + program->used, program->capacity - program->used);
        if (n == 0 || (n < 0 && errno != EINTR)) {
            *closed = true;
            return NULL;
        }
        program->used += n > 0 ? (size_t)n : 0;
    }
    if (newline)
        *newline = '\0';
    return newline ? program->text : NULL;
}

/* For a message: the beginning of what came instead of JSON. */
static void quote(const ffl_program *program, size_t length, char out[64])
{
    size_t i = 0;
    for (; i < length && i < 60; i++)
        out[i] = program->text[i] >= ' ' && program->text[i] < 127 ? program->text[i] : '?';
    out[i] = '\0';
}

ffl_status ffl_program_ask(ffl_program *program, const json_t *message, const char *doing, double timeout_s,
                           json_t **reply)
{
    bool sent, late, closed;
    char text[64];
    *reply = NULL;
    /* What it said of earlier calls is of no use any more, and may have been a lot. */
    if (lseek(program->errors, 0, SEEK_END) > ERRORS_MAX && ftruncate(program->errors, 0) != 0)
        return ffl_program_fail(program, "its standard error cannot be kept");
    FFL_TRY(ffl_line_send(program->to, message, &sent));
    if (!sent)
        return gone(program, doing);
    const char *line = read_line(program, timeout_s, &late, &closed);
    if (late && ffl_interrupted()) {
        ffl_program_end(program);
        return ffl_fail(FFL_INTERRUPTED, "interrupted");
    }
    if (late)
        return ffl_program_fail(program, "the program gave no reply to %s for %g s", doing, timeout_s);
    if (closed)
        return gone(program, doing);
    const size_t length = line ? strlen(line) + 1 : program->used;
    *reply = line ? json_loads(line, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (!json_is_object(*reply) || length < program->used) {
        quote(program, line ? length - 1 : length, text);
        const bool more = json_is_object(*reply);
        json_decref(*reply);
        *reply = NULL;
        return ffl_program_fail(program, "the program replied to %s with %s: \"%s\"", doing,
                                more ? "more than one line" : "what is no JSON object on one line", text);
    }
    program->used = 0;
    return FFL_OK;
}
