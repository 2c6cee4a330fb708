#define _GNU_SOURCE
#include "harness/peers/interpreter.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, NEEDS_SIZE = 512, ANSWERS_MAX = 8, WORDS_MAX = 16 };

static const double patience_s = 10;

typedef struct answer {
    char needs[NEEDS_SIZE]; /* separated by spaces */
    char path[PATH_SIZE];   /* "" when there is none */
    char why[NEEDS_SIZE + 128];
} answer;

static double now_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Ended well, in time? */
static bool succeeded(pid_t pid)
{
    const double until = now_seconds() + patience_s;
    int status = 0;
    pid_t ended;
    while ((ended = waitpid(pid, &status, WNOHANG)) == 0 && now_seconds() < until)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    if (ended == 0) {
        kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    return ended > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* What a script that stands for an interpreter (a version manager's) costs at every start is saved by naming
 * what it starts. */
static void resolve(int from, char path[PATH_SIZE])
{
    char real[PATH_SIZE];
    const ssize_t got = read(from, real, sizeof real - 1);
    real[got > 0 ? got : 0] = '\0';
    if (*real == '/' && access(real, X_OK) == 0)
        strcpy(path, real);
}

/* path: replaced by the interpreter's own. */
static bool has_modules(char path[PATH_SIZE], char *const *needs)
{
    static const char script[] = "import importlib.util as u, sys\n"
                                 "sys.stdout.write(sys.executable)\n"
                                 "sys.exit(any(u.find_spec(m) is None for m in sys.argv[1:]))";
    const char *argv[WORDS_MAX + 4] = {path, "-c", script};
    int told[2];
    size_t count = 3;
    if (pipe2(told, O_CLOEXEC) != 0)
        return false;
    for (size_t i = 0; needs[i] && i < WORDS_MAX; i++)
        argv[count++] = needs[i];
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDWR, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_RDWR, 0);
    posix_spawn_file_actions_adddup2(&actions, told[1], STDOUT_FILENO);
    pid_t pid;
    const int error = posix_spawnp(&pid, path, &actions, NULL, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(told[1]);
    const bool has = !error && succeeded(pid);
    if (has)
        resolve(told[0], path);
    close(told[0]);
    return has;
}

/* The next folder of PATH with a python3; false behind the last one. */
static bool next_python(const char **path, char out[PATH_SIZE])
{
    while (**path) {
        const size_t length = strcspn(*path, ":");
        const int used = snprintf(out, PATH_SIZE, "%.*s/python3", (int)length, *path);
        *path += length + ((*path)[length] == ':');
        if (length && used < PATH_SIZE && access(out, X_OK) == 0)
            return true;
    }
    return false;
}

static void search(answer *a, char *const *needs)
{
    const char *own = getenv("FFLAB_PYTHON"), *path = getenv("PATH");
    bool found = false;
    if (own && *own) {
        snprintf(a->path, sizeof a->path, "%s", own);
        snprintf(a->why, sizeof a->why, "FFLAB_PYTHON=%.80s has no %s", own, a->needs);
        found = has_modules(a->path, needs);
    } else {
        path = path ? path : "";
        snprintf(a->why, sizeof a->why, "no python3 on PATH has %s; FFLAB_PYTHON names another one",
                 a->needs);
        while (!found && next_python(&path, a->path))
            found = has_modules(a->path, needs);
        if (!found) {
            strcpy(a->path, "/usr/bin/python3");
            found = access(a->path, X_OK) == 0 && has_modules(a->path, needs);
        }
    }
    if (!found)
        a->path[0] = '\0';
}

const char *ffl_interpreter_find(char *const *needs, const char **why)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static answer answers[ANSWERS_MAX];
    static size_t count;
    char wanted[NEEDS_SIZE] = "";
    for (size_t i = 0; needs[i]; i++) {
        const size_t used = strlen(wanted);
        snprintf(wanted + used, sizeof wanted - used, "%s%s", i ? " " : "", needs[i]);
    }
    if (!*wanted)
        strcpy(wanted, "a Python 3"); /* of any modules; runs at all */
    pthread_mutex_lock(&lock);
    size_t at = 0;
    while (at < count && strcmp(answers[at].needs, wanted) != 0)
        at++;
    if (at == ANSWERS_MAX)
        at--; /* asked again each time: rare, and right */
    if (at == count || strcmp(answers[at].needs, wanted) != 0) {
        answers[at] = (answer){0};
        strcpy(answers[at].needs, wanted);
        search(&answers[at], needs);
        count = at == count ? count + 1 : count;
    }
    pthread_mutex_unlock(&lock);
    *why = answers[at].why;
    return *answers[at].path ? answers[at].path : NULL;
}
