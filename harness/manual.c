/* `fflab man`: the manual page, made from the tables that --help reads. */
#include "harness/build_info.h"
#include "harness/commands.h"
#include <stdio.h>
#include <string.h>

/* Text for troff: no requests, no escapes, and hyphens that stay hyphens when copied. */
static void put(const char *text)
{
    bool line_start = true;
    for (const char *c = text; *c; c++) {
        if (line_start && (*c == '.' || *c == '\''))
            fputs("\\&", stdout);
        if (*c == '\\')
            fputs("\\e", stdout);
        else if (*c == '-')
            fputs("\\-", stdout);
        else
            putchar(*c);
        line_start = *c == '\n';
    }
}

static void put_option(ffl_option option)
{
    const char *argument = ffl_option_argument(option);
    fputs(".TP\n\\fB", stdout);
    put(ffl_option_name(option));
    fputs("\\fR", stdout);
    if (argument) {
        fputs(" \\fI", stdout);
        put(argument);
        fputs("\\fR", stdout);
    }
    putchar('\n');
    put(ffl_option_help(option));
    putchar('\n');
}

static void put_command(const ffl_command *command)
{
    printf(".SS ");
    put(command->name);
    putchar('\n');
    put(command->summary);
    fputs("\n.PP\n.B fflab ", stdout);
    put(command->name);
    putchar(' ');
    put(command->usage);
    fputs("\n.PP\n.nf\n", stdout);
    put(command->help);
    fputs("\n.fi\n", stdout);
    for (int o = 0; o < FFL_OPT_COUNT; o++)
        if (o != FFL_OPT_HELP && ffl_command_takes(command, (ffl_option)o))
            put_option((ffl_option)o);
}

static ffl_status run(const ffl_options *options, int *exit_code)
{
    (void)options;
    puts(".TH FFLAB 1 \"\" \"fflab " FFL_BUILD_VERSION "\" \"User Commands\"\n.SH NAME\n"
         "fflab \\- verify and time feedforward kernels, dense and tree\\-conditional\n.SH SYNOPSIS\n"
         ".B fflab\n.I COMMAND\n[\\fIOPTIONS\\fR]\n.SH DESCRIPTION\n"
         "How fast can a feedforward layer that evaluates only a tree path be against the dense one, "
         "honestly?\n"
         "fflab holds many implementations of both, proves each one right against a double\\-precision\n"
         "reference, times it under stated circumstances, and writes the report.\n"
         "Every command explains itself with \\fB\\-\\-help\\fR.\n.SH COMMANDS");
    for (const ffl_command *const *c = ffl_commands; *c; c++)
        put_command(*c);
    puts(".SH EXIT STATUS");
    for (size_t i = 0; i < ffl_exit_code_count; i++) {
        printf(".TP\n.B %d\n", ffl_exit_codes[i].code);
        put(ffl_exit_codes[i].meaning);
        putchar('\n');
    }
    puts(
        ".SH ENVIRONMENT\n.TP\n.B FFLAB_CACHE_DIR\nwhere measured facts about this machine are kept\n"
        ".TP\n.B OPENBLAS_*, BLIS_*, OMP_*, MKL_*\nare set aside, because they can halve a library's speed;\n"
        ".B \\-\\-keep\\-blas\\-environment\nobeys them");
    *exit_code = FFL_EXIT_GOOD;
    return FFL_OK;
}

static const ffl_option no_options[] = {FFL_OPT_COUNT};

const ffl_command ffl_command_man = {
    .name = "man",
    .summary = "the manual page",
    .usage = "",
    .help = "Writes the page to standard output; `meson install` installs it.\n\n"
            "Examples:\n"
            "  fflab man | man -l -\n"
            "  fflab man > ~/.local/share/man/man1/fflab.1\n",
    .options = no_options,
    .run = run,
};
