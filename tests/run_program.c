#include "tests/run_program.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void keep(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "r");
    const size_t length = file ? fread(text, 1, size - 1, file) : 0;
    text[length] = '\0';
    if (file)
        fclose(file);
    remove(path);
}

void run_shell(const char *command, run_result *result)
{
    char out[] = "/tmp/fflab-test-XXXXXX", err[] = "/tmp/fflab-test-XXXXXX", line[8192];
    const int out_file = mkstemp(out), err_file = mkstemp(err);
    if (out_file < 0 || err_file < 0 ||
        snprintf(line, sizeof line, "{ %s\n} >%s 2>%s", command, out, err) >= (int)sizeof line)
        abort();
    close(out_file);
    close(err_file);
    const int status = system(line); /* NOLINT: the tests' own commands */
    result->exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    keep(out, result->out, sizeof result->out);
    keep(err, result->err, sizeof result->err);
}
