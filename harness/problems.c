#define _GNU_SOURCE
#include "harness/problems.h"
#include "harness/registry.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINES_MAX = 10000 };

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
    return validate(&p->options);
}

static ffl_status read_lines(const ffl_options *base, problem_list *list)
{
    const char *path = base->value[FFL_OPT_PROBLEMS];
    FILE *file = fopen(path, "r");
    if (!file)
        return ffl_fail(FFL_BAD_INPUT, "--problems %s: %s", path, strerror(errno));
    char *line = NULL;
    size_t capacity = 0, number = 0;
    ssize_t length;
    ffl_status status = FFL_OK;
    errno = 0;
    while (status == FFL_OK && (length = getline(&line, &capacity, file)) >= 0) {
        number++;
        status = strlen(line) == (size_t)length ? add_line(list, base, line)
                                                : ffl_fail(FFL_BAD_INPUT, "a zero byte; is it a text file?");
        if (status == FFL_BAD_INPUT)
            ffl_fail(status, "--problems %s, line %zu: %s", path, number, ffl_error());
    }
    if (status == FFL_OK && ferror(file))
        status = ffl_fail(FFL_BAD_INPUT, "--problems %s: %s", path, strerror(errno));
    if (status == FFL_OK && list->count == 0)
        status = ffl_fail(FFL_BAD_INPUT, "--problems %s: no problem in it", path);
    free(line);
    fclose(file);
    return status;
}

/* A failed check outranks everything; "nothing ran" holds only if it holds for all. */
static int graver(int a, int b)
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
        *exit_code = graver(*exit_code, code);
    }
    for (size_t i = 0; i < list.count; i++) {
        ffl_options_free(&list.items[i].options);
        free(list.items[i].text);
    }
    free(list.items);
    return status;
}
