/*
 * The program: finds the command, reads its options, runs it, and is the only place that prints an error
 * and chooses the exit code.
 */
#include "harness/auto/table.h"
#include "harness/cli.h"
#include "harness/commands.h"
#include "harness/environment.h"
#include "harness/peers/peers.h"
#include "harness/problems.h"
#include "harness/registry.h"
#include "harness/worker.h"
#include "kernels/blas.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const ffl_command *find_command(const char *name)
{
    if (strcmp(name, ffl_command_worker.name) == 0)
        return &ffl_command_worker;
    for (const ffl_command *const *c = ffl_commands; *c; c++)
        if (strcmp((*c)->name, name) == 0)
            return *c;
    return NULL;
}

/* What holds for every command: the libraries, plugins and programs that variants come from. */
static ffl_status prepare(const ffl_options *options)
{
    if (ffl_option_given(options, FFL_OPT_BLAS_LIBRARY)) {
        ffl_blas_set_path(options->value[FFL_OPT_BLAS_LIBRARY]);
        if (!ffl_blas_open(FFL_CBLAS))
            return FFL_BAD_INPUT;
    }
    for (size_t i = 0; i < options->list_count[FFL_OPT_PLUGIN]; i++)
        FFL_TRY(ffl_registry_load(options->list[FFL_OPT_PLUGIN][i]));
    for (size_t i = 0; i < options->list_count[FFL_OPT_PROCESS]; i++)
        FFL_TRY(ffl_peers_load(options->list[FFL_OPT_PROCESS][i]));
    FFL_TRY(ffl_peers_load_shipped());
    FFL_TRY(ffl_option_check_globs(options));
    return FFL_OK;
}

/* A stale tuning table is no error, but its owner should know. */
static void tell_stale_table(const ffl_command *command)
{
    char note[1024];
    if (command == &ffl_command_tune || command == &ffl_command_worker ||
        !ffl_command_takes(command, FFL_OPT_KEEP_BLAS_ENVIRONMENT))
        return; /* makes a new one, was told already, or runs no variant */
    ffl_tuned_note(note, sizeof note);
    if (*note)
        fprintf(stderr, "fflab: %s\n", note);
}

static ffl_status run(int argc, char **argv, int *exit_code)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        ffl_help_program();
        *exit_code = argc < 2 ? FFL_EXIT_USAGE : FFL_EXIT_GOOD;
        return FFL_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("fflab " FFL_VERSION);
        return FFL_OK;
    }
    const ffl_command *command = find_command(argv[1]);
    if (!command)
        return ffl_fail(FFL_BAD_INPUT, "unknown command '%s'; `fflab --help` lists them", argv[1]);
    ffl_options options;
    ffl_status status = ffl_options_parse(command, argc - 2, argv + 2, &options);
    if (status == FFL_OK && ffl_option_given(&options, FFL_OPT_HELP)) {
        ffl_help_command(command);
    } else if (status == FFL_OK) {
        status = ffl_environment_enter(argv, &options);
        if (status == FFL_OK)
            status = prepare(&options);
        if (status == FFL_OK) {
            tell_stale_table(command);
            status = ffl_problems_run(&options, exit_code);
        }
    }
    ffl_options_free(&options);
    return status;
}

/* With standard input or output closed, the next file opened would take its place: a journal that receives
 * what was meant for the terminal. Opened the wrong way round, so that using them still fails. */
static void hold_standard_files(void)
{
    for (int file = STDIN_FILENO; file <= STDERR_FILENO; file++)
        if (fcntl(file, F_GETFD) < 0)
            open("/dev/null", file == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

/* One line, whatever the file name or value in it contains. */
static void print_error(const char *message)
{
    fputs("fflab: ", stderr);
    for (const char *c = message; *c; c++)
        putc((unsigned char)*c < ' ' || *c == 127 ? '?' : *c, stderr);
    putc('\n', stderr);
}

int main(int argc, char **argv)
{
    int exit_code = FFL_EXIT_GOOD;
    hold_standard_files();
    ffl_interrupt_install();
    const ffl_status status = run(argc, argv, &exit_code);
    if (status == FFL_INTERRUPTED) {
        fprintf(stderr, "fflab: interrupted; what was finished is kept\n");
        return FFL_EXIT_INTERRUPTED;
    }
    if (status != FFL_OK) {
        fflush(stdout);
        print_error(ffl_error());
        return FFL_EXIT_USAGE;
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "fflab: standard output could not be written\n");
        return FFL_EXIT_USAGE;
    }
    return exit_code;
}
