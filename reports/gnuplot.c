/* gnuplot as a child process: script on its standard input, drawing from its standard output. */
#define _GNU_SOURCE
#include "reports/chart.h"
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

enum { TIMEOUT_MS = 20000, DRAWING_MAX = 16 << 20 };

/* An environment that names no screen: a gnuplot built for one would look for it. */
static char *const child_environment[] = {"GNUTERM=svg", "LC_ALL=C.UTF-8", NULL};

static ffl_status start(FILE *script, int output[2], pid_t *pid)
{
    char *const words[] = {"gnuplot", "--default-settings", "-", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fileno(script), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    const int error = posix_spawnp(pid, words[0], &actions, NULL, words, child_environment);
    posix_spawn_file_actions_destroy(&actions);
    if (error)
        return ffl_fail(FFL_UNSUPPORTED, "gnuplot cannot be started: %s", strerror(error));
    return FFL_OK;
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

/* All that comes, until it ends or takes too long. */
static ffl_status read_all(int input, FILE *into)
{
    const double end = now_ms() + TIMEOUT_MS;
    size_t total = 0;
    for (;;) {
        char block[65536];
        struct pollfd ready = {.fd = input, .events = POLLIN};
        const double left = end - now_ms();
        const int polled = left > 0 ? poll(&ready, 1, (int)left + 1) : 0;
        if (polled < 0 && errno == EINTR)
            continue;
        if (polled <= 0)
            return ffl_fail(FFL_IO, "gnuplot took longer than %d s", TIMEOUT_MS / 1000);
        const ssize_t got = read(input, block, sizeof block);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return FFL_OK;
        total += (size_t)got;
        if (total > DRAWING_MAX)
            return ffl_fail(FFL_IO, "gnuplot's drawing does not end");
        fwrite(block, 1, (size_t)got, into);
    }
}

/* Reads what the child draws and waits for it; a child that hangs is ended. */
static ffl_status finish(pid_t pid, int input, char **out)
{
    size_t size;
    int code = 0;
    FILE *into = open_memstream(out, &size);
    ffl_status status = into ? read_all(input, into) : ffl_fail(FFL_NO_MEMORY, "no memory for a chart");
    if (status != FFL_OK)
        kill(pid, SIGKILL);
    while (waitpid(pid, &code, 0) < 0 && errno == EINTR)
        continue;
    if (into && fclose(into) != 0 && status == FFL_OK)
        status = ffl_fail(FFL_NO_MEMORY, "no memory for a chart");
    if (status == FFL_OK && !(WIFEXITED(code) && WEXITSTATUS(code) == 0))
        status = ffl_fail(FFL_IO, "gnuplot failed (exit code %d)", WIFEXITED(code) ? WEXITSTATUS(code) : -1);
    if (status != FFL_OK && into)
        free(*out);
    return status;
}

ffl_status ffl_gnuplot(const char *script, size_t length, char **out)
{
    int output[2];
    pid_t pid;
    FILE *file = tmpfile();
    if (!file || fwrite(script, 1, length, file) != length || fflush(file) != 0 ||
        lseek(fileno(file), 0, SEEK_SET) != 0 || pipe2(output, O_CLOEXEC) != 0) {
        if (file)
            fclose(file);
        return ffl_fail(FFL_IO, "no place for a chart: %s", strerror(errno));
    }
    ffl_status status = start(file, output, &pid);
    close(output[1]);
    if (status == FFL_OK)
        status = finish(pid, output[0], out);
    close(output[0]);
    fclose(file);
    return status;
}
