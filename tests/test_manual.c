/*
 * The manual page and the shells' completions: complete, and accepted by who reads them. troff, zsh and fish
 * judge where they are installed.
 */
#include "harness/cli.h"
#include "tests/run_program.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static run_result result;

static bool have(const char *program)
{
    char command[64];
    snprintf(command, sizeof command, "command -v %s", program);
    run_shell(command, &result);
    return result.exit_code == 0;
}

static void expect(const char *command)
{
    run_shell(command, &result);
    cr_assert_eq(result.exit_code, 0, "%s\n%s%s", command, result.out, result.err);
    cr_assert_str_empty(result.err, "%s\n%s", command, result.err);
}

Test(manual, has_every_command_option_and_exit_code)
{
    char text[80];
    expect("\"$FFLAB\" man | sed 's/\\\\-/-/g'");
    for (const ffl_command *const *c = ffl_commands; *c; c++) {
        snprintf(text, sizeof text, ".SS %s\n", (*c)->name);
        cr_assert(strstr(result.out, text), "no section on %s", (*c)->name);
    }
    for (int o = 0; o < FFL_OPT_COUNT; o++) {
        bool taken = false;
        for (const ffl_command *const *c = ffl_commands; *c; c++)
            taken |= ffl_command_takes(*c, (ffl_option)o);
        snprintf(text, sizeof text, "\\fB%s\\fR", ffl_option_name((ffl_option)o));
        cr_assert(o == FFL_OPT_HELP || !taken || strstr(result.out, text), "nothing on %s",
                  ffl_option_name((ffl_option)o));
    }
    for (size_t i = 0; i < ffl_exit_code_count; i++) {
        snprintf(text, sizeof text, "\n.B %d\n", ffl_exit_codes[i].code);
        cr_assert(strstr(result.out, text), "nothing on exit code %d", ffl_exit_codes[i].code);
    }
}

Test(manual, troff_finds_nothing_wrong)
{
    if (!have("groff") || !have("preconv"))
        cr_skip("no groff here");
    expect("\"$FFLAB\" man | preconv -e utf-8 | groff -man -Tutf8 -ww -z");
    expect("\"$FFLAB\" man | preconv -e utf-8 | groff -man -Tutf8 | col -b");
    cr_assert(strstr(result.out, "--keep-blas-environment") || strlen(result.out) + 1 >= sizeof result.out);
    cr_assert(strstr(result.out, "COMMANDS"));
}

/* What bash would offer after these words and the beginning of one. */
static const char *completed(const char *words, const char *begun)
{
    char command[512];
    snprintf(command, sizeof command,
             "bash -c 'eval \"$(\"$FFLAB\" completion bash)\"; compopt() { :; }; COMP_WORDS=(%s \"%s\"); "
             "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _fflab; echo \" ${COMPREPLY[*]} \"'",
             words, begun);
    expect(command);
    return result.out;
}

Test(manual, bash_completes_commands_options_and_their_words)
{
    if (!have("bash"))
        cr_skip("no bash here");
    cr_assert(strstr(completed("./fflab", ""), " bench ") && strstr(result.out, " test "), "%s", result.out);
    cr_assert_str_eq(completed("fflab", "enc"), " encoder \n");
    cr_assert_str_eq(completed("fflab bench", "--rout"), " --routing \n");
    cr_assert_str_eq(completed("fflab bench --cache", "w"), " weights-cold \n");
    cr_assert(strstr(completed("fflab bench -v", "fff_nai"), " fff_naive "), "%s", result.out);
    cr_assert_null(strstr(result.out, " ff_naive "), "%s", result.out);
    cr_assert_str_eq(completed("fflab encoder --preset", "crammedbert-3"), " crammedbert-3072 \n");
    cr_assert_str_eq(completed("fflab list", "--rout"), "  \n", "an option that list does not take");
}

Test(manual, other_shells_accept_theirs)
{
    expect("\"$FFLAB\" completion zsh");
    cr_assert(strstr(result.out, "#compdef fflab") == result.out && strstr(result.out, "--routing["));
    expect("\"$FFLAB\" completion fish");
    cr_assert(strstr(result.out, "-l routing"));
    if (have("zsh"))
        expect("\"$FFLAB\" completion zsh | zsh -n");
    if (have("fish"))
        expect("\"$FFLAB\" completion fish | fish -n");
}

Test(manual, an_unknown_shell_is_refused)
{
    run_shell("\"$FFLAB\" completion tcsh", &result);
    cr_assert_eq(result.exit_code, FFL_EXIT_USAGE);
    cr_assert(strstr(result.err, "completion tcsh: expected bash, zsh or fish"), "%s", result.err);
}
