#include "harness/problems.h"
#include "harness/worker.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINES_MAX = 10000, LINE_MAX_LENGTH = 4096 };

typedef struct problem {
    ffl_options options;
    char *text; /* options point into it */
} problem;

typedef struct problem_list {
    problem *items;
    size_t count;
} problem_list;

static ffl_status validate(const ffl_options *options)
{
    FFL_TRY(ffl_option_check_globs(options));
    return options->command->validate ? options->command->validate(options) : FFL_OK;
}

/* These are read once, before the first line. */
static ffl_status refuse_global_options(const ffl_options *base, const ffl_options *line)
{
    static const ffl_option global[] = {FFL_OPT_PROBLEMS, FFL_OPT_HELP, FFL_OPT_BLAS_LIBRARY,
                                        FFL_OPT_KEEP_BLAS_ENVIRONMENT};
    for (size_t i = 0; i < sizeof global / sizeof *global; i++)
        if (ffl_option_given(line, global[i]) && line->value[global[i]] != base->value[global[i]])
            return ffl_fail(FFL_BAD_INPUT, "%s belongs on the command line", ffl_option_name(global[i]));
    static const ffl_option origins[] = {FFL_OPT_PLUGIN, FFL_OPT_PROCESS};
    for (size_t i = 0; i < sizeof origins / sizeof *origins; i++)
        if (line->list_count[origins[i]] != base->list_count[origins[i]])
            return ffl_fail(FFL_BAD_INPUT, "%s belongs on the command line", ffl_option_name(origins[i]));
    return FFL_OK;
}

static ffl_status add_line(problem_list *list, const ffl_options *base, const char *line)
{
    if (line[strspn(line, " \t\r\n")] == '\0' || line[strspn(line, " \t")] == '#')
        return FFL_OK;
    if (list->count == LINES_MAX)
        return ffl_fail(FFL_BAD_INPUT, "more than %d problems", LINES_MAX);
    problem *grown = realloc(list->items, (list->count + 1) * sizeof *grown);
    if (!grown)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the problem list");
    list->items = grown;
    problem *p = &grown[list->count++];
    *p = (problem){.text = strdup(line)};
    if (!p->text)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the problem list");
    FFL_TRY(ffl_options_merge_line(base, p->text, &p->options));
    FFL_TRY(refuse_global_options(base, &p->options));
    return validate(&p->options);
}

/* One line of `file`, without its newline. *more: there was one. */
static ffl_status read_line(FILE *file, char *line, size_t size, bool *more)
{
    size_t length = 0;
    int c;
    while ((c = getc(file)) != EOF && c != '\n') {
        if (c == '\0')
            return ffl_fail(FFL_BAD_INPUT, "a zero byte; is it a text file?");
        if (length + 1 == size)
            return ffl_fail(FFL_BAD_INPUT, "longer than %zu characters", size - 1);
        line[length++] = (char)c;
    }
    line[length] = '\0';
    *more = c != EOF || length > 0;
    return ferror(file) ? ffl_fail(FFL_BAD_INPUT, "%s", strerror(errno)) : FFL_OK;
}

static ffl_status read_lines(const ffl_options *base, problem_list *list)
{
    const char *path = base->value[FFL_OPT_PROBLEMS];
    FILE *file = fopen(path, "r");
    if (!file)
        return ffl_fail(FFL_BAD_INPUT, "--problems %s: %s", path, strerror(errno));
    char line[LINE_MAX_LENGTH];
    size_t number = 0;
    bool more = true;
    ffl_status status = FFL_OK;
    while (status == FFL_OK && more) {
        number++;
        status = read_line(file, line, sizeof line, &more);
        if (status == FFL_OK && more)
            status = add_line(list, base, line);
        if (status == FFL_BAD_INPUT)
            ffl_fail(status, "--problems %s, line %zu: %s", path, number, ffl_error());
    }
    if (status == FFL_OK && list->count == 0)
        status = ffl_fail(FFL_BAD_INPUT, "--problems %s: no problem in it", path);
    fclose(file);
    return status;
}

int ffl_exit_graver(int a, int b)
{
    static const int order[] = {FFL_EXIT_NOTHING_RAN, FFL_EXIT_GOOD, FFL_EXIT_STRICT, FFL_EXIT_REGRESSION,
                                FFL_EXIT_USAGE, FFL_EXIT_FAILED};
    for (size_t i = sizeof order / sizeof *order; i-- > 0;)
        if (a == order[i] || b == order[i])
            return order[i];
    return a;
}

ffl_status ffl_problems_run(const ffl_options *options, int *exit_code)
{
    const ffl_command *command = options->command;
    if (!ffl_option_given(options, FFL_OPT_PROBLEMS)) {
        FFL_TRY(validate(options));
        return command->run(options, exit_code);
    }
    problem_list list = {0};
    ffl_status status = read_lines(options, &list);
    *exit_code = FFL_EXIT_NOTHING_RAN;
    for (size_t i = 0; i < list.count && status == FFL_OK; i++) {
        int code = FFL_EXIT_GOOD;
        status = command->run(&list.items[i].options, &code);
        if (status == FFL_OK && ffl_interrupted())
            status = ffl_fail(FFL_INTERRUPTED, "interrupted");
        *exit_code = ffl_exit_graver(*exit_code, code);
    }
    for (size_t i = 0; i < list.count; i++) {
        ffl_options_free(&list.items[i].options);
        free(list.items[i].text);
    }
    free(list.items);
    return status;
}
