/*
 * `fflab completion SHELL`: what a shell needs to complete commands, options, the words that some options
 * take, and variants' names, made from the tables that --help reads. Names are those of this program: a
 * shell that asked for them at every key would wait.
 */
#include "harness/commands.h"
#include "harness/encoder/config.h"
#include "harness/registry.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of the script ./fflab in a checkout, not of the program. */
static const char *const launcher[][2] = {{"bundle", "a program for another machine of this kind"},
                                          {"inspect", "what the compiler made of the inner loops"},
                                          {"test", "build and run the test suites"}};
enum { LAUNCHER = sizeof launcher / sizeof *launcher };

/* ---- What options take ---- */

static const struct {
    ffl_option option;
    const char *words;
} choices[] = {
    {FFL_OPT_ACTIVATION, "gelu gelu_tanh relu"},
    {FFL_OPT_CLASS, "f32 tf32 bf16 f16 int8"},
    {FFL_OPT_CONTRACT, "f32 tf32 bf16 f16 int8"},
    {FFL_OPT_ROUTING, "uniform zipf: prototypes: single thrash recorded:"},
    {FFL_OPT_CACHE, "hot weights-cold all-cold"},
    {FFL_OPT_FAIL_ON, "slower="},
};

static void put_presets(void)
{
    for (size_t i = 0; i < ffl_encoder_preset_count(); i++)
        printf(" %s", ffl_encoder_preset_name(i));
}

static void put_variants(void)
{
    for (size_t i = 0; i < ffl_registry_count(); i++)
        printf(" %s", ffl_registry_at(i)->name);
}

static bool takes_variant(ffl_option option)
{
    return option == FFL_OPT_VARIANT || option == FFL_OPT_EXCLUDE;
}

/* The words that an option takes, each after a space; false when it takes other things. */
static bool put_words(ffl_option option)
{
    if (option == FFL_OPT_PRESET) {
        put_presets();
        return true;
    }
    if (takes_variant(option)) {
        put_variants();
        return true;
    }
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++)
        if (choices[i].option == option)
            return printf(" %s", choices[i].words) > 0;
    return false;
}

static bool takes_path(ffl_option option)
{
    const char *argument = ffl_option_argument(option);
    return argument && (strstr(argument, "FILE") || strstr(argument, "DIR") || strstr(argument, ".npy"));
}

/* ---- Quoting ---- */

/* Inside '…'; with `escape`, those characters get a backslash. */
static void put_quoted(const char *text, const char *escape)
{
    for (const char *c = text; *c; c++) {
        if (*c == '\'')
            fputs("'\\''", stdout);
        else if (strchr(escape, *c))
            printf("\\%c", *c);
        else
            putchar(*c);
    }
}

/* ---- bash ---- */

static void put_options(const ffl_command *command)
{
    for (int o = 0; o < FFL_OPT_COUNT; o++)
        if (ffl_command_takes(command, (ffl_option)o))
            printf(" %s", ffl_option_name((ffl_option)o));
    if (ffl_command_takes(command, FFL_OPT_VARIANT))
        printf(" -v -x");
}

static void put_command_names(void)
{
    for (const ffl_command *const *c = ffl_commands; *c; c++)
        printf(" %s", (*c)->name);
    for (size_t i = 0; i < LAUNCHER; i++)
        printf(" %s", launcher[i][0]);
}

static void bash(void)
{
    puts("# bash completion for fflab, written by `fflab completion bash`\n"
         "_fflab() {\n"
         "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words=''\n"
         "    COMPREPLY=()\n"
         "    if [ \"$COMP_CWORD\" = 1 ]; then");
    fputs("        words='", stdout);
    put_command_names();
    puts("'\n        COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n        return\n    fi\n    case "
         "$before in");
    for (int o = 0; o < FFL_OPT_COUNT; o++) {
        const ffl_option option = (ffl_option)o;
        const char *argument = ffl_option_argument(option);
        if (!argument)
            continue;
        printf("    %s%s) ", ffl_option_name(option),
               option == FFL_OPT_VARIANT   ? "|-v"
               : option == FFL_OPT_EXCLUDE ? "|-x"
                                           : "");
        fputs("words='", stdout);
        const bool known = put_words(option);
        puts(known ? "' ;;"
             : takes_path(option)
                 ? "'; compopt -o filenames; COMPREPLY=($(compgen -f -- \"$word\")); return ;;"
                 : "'; return ;;");
    }
    puts("    *)\n        case ${COMP_WORDS[1]} in");
    for (const ffl_command *const *c = ffl_commands; *c; c++) {
        printf("        %s) words='", (*c)->name);
        put_options(*c);
        puts("' ;;");
    }
    puts("        esac\n"
         "        case $word in -*) ;; *) compopt -o filenames; COMPREPLY=($(compgen -f -- \"$word\")); "
         "return ;; esac ;;\n"
         "    esac\n"
         "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
         "    case ${COMPREPLY[0]} in *[:=]) compopt -o nospace ;; esac\n"
         "}\n"
         "complete -F _fflab fflab ./fflab");
}

/* ---- zsh ---- */

static void zsh_option(ffl_option option)
{
    const char *argument = ffl_option_argument(option);
    if (takes_variant(option))
        printf("            '*'{%s,%s}'[", option == FFL_OPT_VARIANT ? "-v" : "-x", ffl_option_name(option));
    else
        printf("            '%s%s[", option == FFL_OPT_PLUGIN || option == FFL_OPT_PROCESS ? "*" : "", ffl_option_name(option));
    put_quoted(ffl_option_help(option), "[]:\\");
    putchar(']');
    if (argument) {
        putchar(':');
        put_quoted(argument, ":\\");
        fputs(takes_path(option) ? ":_files" : ":(", stdout);
        if (!takes_path(option)) {
            put_words(option);
            putchar(')');
        }
    }
    puts("' \\");
}

static void zsh(void)
{
    puts("#compdef fflab\n# zsh completion for fflab, written by `fflab completion zsh`\n"
         "_fflab() {\n    local -a commands\n    commands=(");
    for (const ffl_command *const *c = ffl_commands; *c; c++) {
        printf("        '%s:", (*c)->name);
        put_quoted((*c)->summary, "\\");
        puts("'");
    }
    for (size_t i = 0; i < LAUNCHER; i++)
        printf("        '%s:%s'\n", launcher[i][0], launcher[i][1]);
    puts(
        "    )\n    if (( CURRENT == 2 )); then\n        _describe command commands\n        return\n    fi\n"
        "    local command=$words[2]\n    shift words\n    (( CURRENT-- ))\n    case $command in");
    for (const ffl_command *const *c = ffl_commands; *c; c++) {
        printf("    %s)\n        _arguments \\\n", (*c)->name);
        for (int o = 0; o < FFL_OPT_COUNT; o++)
            if (ffl_command_takes(*c, (ffl_option)o))
                zsh_option((ffl_option)o);
        puts("            '*:file:_files' ;;");
    }
    puts("    *) _files ;;\n    esac\n}\ncompdef _fflab fflab ./fflab");
}

/* ---- fish ---- */

static void fish_option(const ffl_command *command, ffl_option option)
{
    const char *argument = ffl_option_argument(option);
    printf("complete -c fflab -n '__fish_seen_subcommand_from %s' -l %s", command->name,
           ffl_option_name(option) + 2);
    if (takes_variant(option))
        printf(" -s %c", option == FFL_OPT_VARIANT ? 'v' : 'x');
    if (argument && takes_path(option)) {
        fputs(" -rF", stdout);
    } else if (argument) {
        fputs(" -xa '", stdout);
        put_words(option);
        putchar('\'');
    }
    fputs(" -d '", stdout);
    for (const char *c = ffl_option_help(option); *c; c++) /* fish escapes a quote with a backslash */
        printf(*c == '\'' || *c == '\\' ? "\\%c" : "%c", *c);
    puts("'");
}

static void fish_command(const char *name, const char *summary)
{
    printf("complete -c fflab -n __fish_use_subcommand -fa %s -d '", name);
    for (const char *c = summary; *c; c++)
        printf(*c == '\'' || *c == '\\' ? "\\%c" : "%c", *c);
    puts("'");
}

static void fish(void)
{
    puts("# fish completion for fflab, written by `fflab completion fish`");
    for (const ffl_command *const *c = ffl_commands; *c; c++)
        fish_command((*c)->name, (*c)->summary);
    for (size_t i = 0; i < LAUNCHER; i++)
        fish_command(launcher[i][0], launcher[i][1]);
    for (const ffl_command *const *c = ffl_commands; *c; c++)
        for (int o = 0; o < FFL_OPT_COUNT; o++)
            if (ffl_command_takes(*c, (ffl_option)o))
                fish_option(*c, (ffl_option)o);
}

/* ---- The command ---- */

static ffl_status run(const ffl_options *options, int *exit_code)
{
    static const struct {
        const char *name;
        void (*write)(void);
    } shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++)
        if (strcmp(options->words[0], shells[i].name) == 0) {
            shells[i].write();
            *exit_code = FFL_EXIT_GOOD;
            return FFL_OK;
        }
    return ffl_fail(FFL_BAD_INPUT, "completion %s: expected bash, zsh or fish", options->words[0]);
}

static const ffl_option completion_options[] = {FFL_OPT_COUNT};

const ffl_command ffl_command_completion = {
    .name = "completion",
    .summary = "what bash, zsh or fish needs to complete commands and options",
    .usage = "bash|zsh|fish",
    .help = "Writes it to standard output; `meson install` installs all three. Works for `fflab` and "
            "`./fflab`.\n\n"
            "Examples:\n"
            "  eval \"$(./fflab completion bash)\"\n"
            "  fflab completion zsh > ~/.zfunc/_fflab\n"
            "  fflab completion fish > ~/.config/fish/completions/fflab.fish\n",
    .options = completion_options,
    .words_min = 1,
    .words_max = 1,
    .run = run,
};
