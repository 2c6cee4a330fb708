#include "harness/cli.h"
#include "harness/peers/peers.h"
#include "harness/registry.h"
#include <fnmatch.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct option_row {
    const char *name, *argument, *help;
} option_row;

static const option_row rows[FFL_OPT_COUNT] = {
    [FFL_OPT_VARIANT] = {"--variant", "GLOB", "only variants whose name matches (short: -v; repeatable)"},
    [FFL_OPT_EXCLUDE] = {"--exclude", "GLOB", "not these variants (short: -x; repeatable)"},
    [FFL_OPT_PLUGIN] = {"--plugin", "FILE.so", "load variants from a shared object (repeatable)"},
    [FFL_OPT_PROCESS] = {"--process", "FILE.json", "variants that programs of their own compute (repeatable)"},
    [FFL_OPT_TREE] = {"--tree", "TxD,…", "trees x depth (decisions): 1x11, a list, or a range 1x3..11"},
    [FFL_OPT_NEURONS] = {"--neurons", "N,…",
                         "neurons of the dense layer (default: as many as the trees have)"},
    [FFL_OPT_LEAF] = {"--leaf", "DxW,…", "trees with dense leaves: decisions x neurons of a leaf, such as 9x8"},
    [FFL_OPT_MOE] = {"--moe", "ExW:K,…", "mixtures of experts: experts x neurons of each : experts per token"},
    [FFL_OPT_WIDTH] = {"--width", "H", "elements of an input row"},
    [FFL_OPT_WIDTH_OUT] = {"--width-out", "H", "elements of an output row (default: as --width)"},
    [FFL_OPT_ACTIVATION] = {"--activation", "NAME", "gelu (exact, default), gelu_tanh or relu"},
    [FFL_OPT_PRESET] = {"--preset", "NAME", "a named shape; see `fflab list --preset all`"},
    [FFL_OPT_BATCH] = {"--batch", "B,…", "tokens per call"},
    [FFL_OPT_THREADS] = {"--threads", "N,…", "threads per call"},
    [FFL_OPT_CLASS] = {"--class", "TYPE,…", "only variants with these weights: f32, tf32, bf16, f16, int8"},
    [FFL_OPT_ROUTING] = {"--routing", "NAME,…",
                         "uniform, zipf:S, prototypes:K, single, thrash, recorded:FILE"},
    [FFL_OPT_CACHE] = {"--cache", "STATE,…", "hot, weights-cold, all-cold"},
    [FFL_OPT_FIXTURE] = {"--fixture", "NAME,…", "only these fixtures; real:FILE.safetensors is one too"},
    [FFL_OPT_CPUS] = {"--cpus", "LIST", "pin to these processors: 0, 0-3, 0,2"},
    [FFL_OPT_WEIGHTS] = {"--weights", "FILE", "a layer's weights, .safetensors"},
    [FFL_OPT_INPUT] = {"--input", "X.npy", "input rows, float32 [tokens, width]"},
    [FFL_OPT_OUTPUT] = {"--output", "Y.npy", "where the output rows go"},
    [FFL_OPT_RESULT] = {"--result", "Y.npy", "output rows computed elsewhere, to be judged"},
    [FFL_OPT_CONTRACT] = {"--contract", "TYPE", "how --result was computed: f32, tf32, bf16, f16, int8"},
    [FFL_OPT_INVARIANCE] = {"--invariance", NULL,
                            "what changes a variant's bits: threads, batch, neighbours, addresses, …"},
    [FFL_OPT_PROPERTIES] = {"--properties", NULL, "what follows from the equations without a reference"},
    [FFL_OPT_SEED] = {"--seed", "N", "of weights and inputs"},
    [FFL_OPT_BUDGET] = {"--budget", "TIME", "about how long it may take: 90s, 20m, 2h"},
    [FFL_OPT_OUT] = {"--out", "DIR", "where results go"},
    [FFL_OPT_JSON] = {"--json", NULL, "machine-readable output"},
    [FFL_OPT_RESUME] = {"--resume", NULL, "skip what the journal already holds"},
    [FFL_OPT_SHARD] = {"--shard", "i/n", "do the i-th of n parts"},
    [FFL_OPT_FULL] = {"--full", NULL, "every case at full size, however long it takes"},
    [FFL_OPT_STRICT] = {"--strict", NULL, "WEAK and HANDICAPPED rows fail (exit code 4)"},
    [FFL_OPT_IN_PROCESS] = {"--in-process", NULL, "no worker process: for debuggers and profilers"},
    [FFL_OPT_TIMEOUT] = {"--timeout", "TIME", "limit for one case before it counts as hung"},
    [FFL_OPT_PROBLEMS] = {"--problems", "FILE", "one case per line, in the words of this command line"},
    [FFL_OPT_CONFIG] = {"--config", "FILE.json", "an architecture; its weights are seeded"},
    [FFL_OPT_CHECKPOINT] = {"--checkpoint", "DIR", "config.json and model.safetensors (or its shards)"},
    [FFL_OPT_SEQ] = {"--seq", "S,…", "tokens per sequence"},
    [FFL_OPT_POSITIONS] = {"--positions", "N", "the longest sequence that seeded weights take"},
    [FFL_OPT_TOKENS] = {"--tokens", "IDS.npy", "token ids, int [batch, seq] (default: seeded, Zipf)"},
    [FFL_OPT_MASK] = {"--mask", "M.npy", "1: a token, 0: padding; int [batch, seq]"},
    [FFL_OPT_TOKEN_TYPES] = {"--token-types", "T.npy", "types of the tokens, int [batch, seq] (default: 0)"},
    [FFL_OPT_DUMP] = {"--dump", "DIR", "write what the one selected variant computed, as .npy files"},
    [FFL_OPT_TRACE] = {"--trace", "FILE.json",
                       "a timeline of one pass per variant, in Chrome's trace format"},
    [FFL_OPT_LAYERS] = {"--layers", NULL, "a table per variant: times, rates and routing of every layer"},
    [FFL_OPT_COUNTERS] = {"--counters", NULL, "perf events of every part, where this machine offers them"},
    [FFL_OPT_RECORD] = {"--record", "FILE.safetensors",
                        "layers with what they were given, for bench to replay"},
    [FFL_OPT_RECORD_LAYER] = {"--record-layer", "N", "only this one, from 0 (default: all)"},
    [FFL_OPT_BEST] = {"--best", "N", "also the N fastest trees that `bench` found, by the journal in --out"},
    [FFL_OPT_TABLE] = {"--table", "FILE", "the tuning table (default: in the cache folder)"},
    [FFL_OPT_REPORT] = {"--report", NULL, "measure the regret of ff_auto and fff_auto"},
    [FFL_OPT_SHRINK] = {"--shrink", "TIME", "how long failing cases may be reduced (default: 10s; 0: not at all)"},
    [FFL_OPT_README] = {"--readme", "FILE.md", "write the leaderboard between its marks in FILE.md, nothing else"},
    [FFL_OPT_WITHOUT] = {"--without", "CHECK,…", "leave out one check at a time: its name, a list, or each"},
    [FFL_OPT_CALIBRATE] = {"--calibrate", "LOGITS", "honest errors against the bounds, of so many logits per kernel"},
    [FFL_OPT_TIMING] = {"--timing", NULL, "is a comparison of times honest, and how many pairs does it take?"},
    [FFL_OPT_AGAINST] = {"--against", "BUILD_DIR", "time this build against that one, in turns"},
    [FFL_OPT_PAIRS] = {"--pairs", "N", "pairs of slices per row"},
    [FFL_OPT_MARGIN] = {"--margin", "P%", "changes up to this are none (default: 2%)"},
    [FFL_OPT_FAIL_ON] = {"--fail-on", "slower=P%", "exit code 3 when a row is slower by more, beyond doubt"},
    [FFL_OPT_MARKDOWN] = {"--markdown", NULL, "for a comment on a pull request"},
    [FFL_OPT_BLAS_LIBRARY] = {"--blas-library", "FILE.so",
                              "a further CBLAS (oneMKL, …): the *_cblas variants"},
    [FFL_OPT_KEEP_BLAS_ENVIRONMENT] =
        {"--keep-blas-environment", NULL,
         "obey OPENBLAS_CORETYPE and the like; slow kernels show as HANDICAPPED"},
    [FFL_OPT_HELP] = {"--help", NULL, "this text"},
};

const struct ffl_exit_meaning ffl_exit_codes[] = {
    {FFL_EXIT_GOOD, "good"},
    {FFL_EXIT_USAGE, "usage or bad input"},
    {FFL_EXIT_FAILED, "a check failed"},
    {FFL_EXIT_REGRESSION, "regression"},
    {FFL_EXIT_STRICT, "weak or handicapped under --strict"},
    {FFL_EXIT_NOTHING_RAN, "nothing ran"},
    {FFL_EXIT_INTERRUPTED, "interrupted"},
};
const size_t ffl_exit_code_count = sizeof ffl_exit_codes / sizeof *ffl_exit_codes;

const char *ffl_option_name(ffl_option option)
{
    return rows[option].name;
}

const char *ffl_option_argument(ffl_option option)
{
    return rows[option].argument;
}

const char *ffl_option_help(ffl_option option)
{
    return rows[option].help;
}

bool ffl_option_given(const ffl_options *options, ffl_option option)
{
    return options->value[option] != NULL;
}

bool ffl_command_takes(const ffl_command *command, ffl_option option)
{
    if (option == FFL_OPT_HELP)
        return true;
    for (const ffl_option *o = command->options; o && *o != FFL_OPT_COUNT; o++)
        if (*o == option)
            return true;
    return false;
}

/* The option that `word` (without "=value") names, FFL_OPT_COUNT when none does. */
static ffl_option find_option(const char *word, size_t length)
{
    if (length == 2 && word[0] == '-')
        return word[1] == 'v'   ? FFL_OPT_VARIANT
               : word[1] == 'x' ? FFL_OPT_EXCLUDE
               : word[1] == 'h' ? FFL_OPT_HELP
                                : FFL_OPT_COUNT;
    for (int o = 0; o < FFL_OPT_COUNT; o++)
        if (strlen(rows[o].name) == length && strncmp(rows[o].name, word, length) == 0)
            return (ffl_option)o;
    return FFL_OPT_COUNT;
}

static ffl_status append(const char ***items, size_t *count, const char *item)
{
    const char **grown = realloc(*items, (*count + 1) * sizeof *grown);
    if (!grown)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the command line");
    grown[(*count)++] = item;
    *items = grown;
    return FFL_OK;
}

static ffl_status take_option(ffl_options *out, const char *word, const char *next, bool *used_next)
{
    const size_t length = strcspn(word, "=");
    const char *equals = word[length] == '=' ? word + length + 1 : NULL;
    const ffl_option option = find_option(word, length);
    *used_next = false;
    if (option == FFL_OPT_COUNT)
        return ffl_fail(FFL_BAD_INPUT, "unknown option '%.*s'; see `fflab %s --help`", (int)length, word,
                        out->command->name);
    if (!ffl_command_takes(out->command, option))
        return ffl_fail(FFL_BAD_INPUT, "'%s' is not an option of `fflab %s`; see `fflab %s --help`",
                        rows[option].name, out->command->name, out->command->name);
    const char *value = "";
    if (rows[option].argument) {
        value = equals ? equals : next;
        *used_next = !equals;
        if (!value || !*value)
            return ffl_fail(FFL_BAD_INPUT, "%s needs a value: %s %s", rows[option].name, rows[option].name,
                            rows[option].argument);
    } else if (equals) {
        return ffl_fail(FFL_BAD_INPUT, "%s takes no value", rows[option].name);
    }
    out->value[option] = value;
    if (option < (ffl_option)FFL_OPTION_LISTS)
        return append(&out->list[option], &out->list_count[option], value);
    return FFL_OK;
}

/* Jobs, keys and journals are JSON: a file name in another encoding would be lost on the way. */
static ffl_status check_encoding(char **words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        json_t *text = json_string(words[i]);
        if (!text)
            return ffl_fail(FFL_BAD_INPUT, "'%s' is not UTF-8; rename the file, or link to it", words[i]);
        json_decref(text);
    }
    return FFL_OK;
}

/* Reads `count` words into `out`, on top of what is there already. */
static ffl_status take_words(ffl_options *out, char **words, size_t count)
{
    FFL_TRY(check_encoding(words, count));
    for (size_t i = 0; i < count; i++) {
        if (strcmp(words[i], "--") == 0) {
            if (!out->command->takes_pass)
                return ffl_fail(FFL_BAD_INPUT, "`fflab %s` takes nothing after --", out->command->name);
            for (i++; i < count; i++)
                FFL_TRY(append(&out->pass, &out->pass_count, words[i]));
        } else if (words[i][0] == '-' && words[i][1]) {
            bool used_next;
            FFL_TRY(take_option(out, words[i], i + 1 < count ? words[i + 1] : NULL, &used_next));
            i += used_next;
        } else {
            FFL_TRY(append(&out->words, &out->word_count, words[i]));
        }
    }
    return FFL_OK;
}

static ffl_status check_word_count(const ffl_options *out)
{
    const ffl_command *c = out->command;
    if (ffl_option_given(out, FFL_OPT_HELP))
        return FFL_OK;
    if (out->word_count > c->words_max)
        return ffl_fail(FFL_BAD_INPUT, "'%s' is one word too many; usage: fflab %s %s",
                        out->words[c->words_max], c->name, c->usage);
    if (out->word_count < c->words_min)
        return ffl_fail(FFL_BAD_INPUT, "something is missing; usage: fflab %s %s", c->name, c->usage);
    return FFL_OK;
}

ffl_status ffl_options_parse(const ffl_command *command, int argc, char **argv, ffl_options *out)
{
    *out = (ffl_options){.command = command};
    FFL_TRY(take_words(out, argv, (size_t)argc));
    return check_word_count(out);
}

ffl_status ffl_options_merge_line(const ffl_options *base, char *line, ffl_options *out)
{
    *out = *base;
    out->value[FFL_OPT_PROBLEMS] = NULL;
    out->words = out->pass = NULL;
    out->word_count = out->pass_count = 0;
    for (size_t k = 0; k < FFL_OPTION_LISTS; k++) { /* lists are copied: the line adds to them */
        out->list[k] = NULL;
        out->list_count[k] = 0;
        for (size_t i = 0; i < base->list_count[k]; i++)
            FFL_TRY(append(&out->list[k], &out->list_count[k], base->list[k][i]));
    }
    for (size_t i = 0; i < base->word_count; i++)
        FFL_TRY(append(&out->words, &out->word_count, base->words[i]));
    for (size_t i = 0; i < base->pass_count; i++)
        FFL_TRY(append(&out->pass, &out->pass_count, base->pass[i]));
    char *words[256];
    size_t count = 0;
    line[strcspn(line, "#")] = '\0';
    char *save = NULL;
    for (char *word = strtok_r(line, " \t\r\n", &save); word; word = strtok_r(NULL, " \t\r\n", &save)) {
        if (count == sizeof words / sizeof *words)
            return ffl_fail(FFL_BAD_INPUT, "more than %zu words on one line", count);
        words[count++] = word;
    }
    FFL_TRY(take_words(out, words, count));
    return check_word_count(out);
}

void ffl_options_free(ffl_options *options)
{
    for (size_t k = 0; k < FFL_OPTION_LISTS; k++)
        free(options->list[k]);
    free(options->words);
    free(options->pass);
    *options = (ffl_options){0};
}

static bool named_outright(const ffl_options *options, const char *name)
{
    for (size_t g = 0; g < options->list_count[FFL_OPT_VARIANT]; g++)
        if (strcmp(options->list[FFL_OPT_VARIANT][g], name) == 0)
            return true;
    return false;
}

/* Starting an interpreter per row takes seconds: who did not ask for them should not wait for them. */
static bool asked_for(const ffl_options *options, const ffl_variant *variant)
{
    for (size_t g = 0; g < options->list_count[FFL_OPT_VARIANT]; g++)
        if (ffl_peers_named(variant, options->list[FFL_OPT_VARIANT][g]))
            return true;
    return false;
}

bool ffl_option_selects(const ffl_options *options, const ffl_variant *variant)
{
    if (ffl_peers_shipped(variant) && !asked_for(options, variant))
        return false;
    /* Nobody asked for a further CBLAS: its rows would only say so, in every table. */
    if (variant->library == FFL_CBLAS && !ffl_option_given(options, FFL_OPT_BLAS_LIBRARY) &&
        !named_outright(options, variant->name))
        return false;
    return ffl_variant_selected(variant, options->list[FFL_OPT_VARIANT], options->list_count[FFL_OPT_VARIANT],
                                options->list[FFL_OPT_EXCLUDE], options->list_count[FFL_OPT_EXCLUDE]);
}

ffl_status ffl_option_check_globs(const ffl_options *options)
{
    const size_t count = ffl_registry_count();
    for (size_t g = 0; g < options->list_count[FFL_OPT_VARIANT]; g++) {
        const char *glob = options->list[FFL_OPT_VARIANT][g];
        bool matched = false;
        for (size_t i = 0; i < count && !matched; i++)
            matched = fnmatch(glob, ffl_registry_at(i)->name, 0) == 0;
        if (!matched)
            return ffl_fail(FFL_BAD_INPUT, "-v %s: no variant has such a name; `fflab list` shows all", glob);
    }
    return FFL_OK;
}

void ffl_help_program(void)
{
    puts("fflab - how fast can a feedforward layer that evaluates only a tree path be, honestly?\n\n"
         "Usage: fflab COMMAND [OPTIONS]\n\nCommands:");
    for (const ffl_command *const *c = ffl_commands; *c; c++)
        printf("  %-10s %s\n", (*c)->name, (*c)->summary);
    puts("\nExamples:\n"
         "  fflab study                              check and time everything, write a report\n"
         "  fflab check -v 'fff_*'                   verify the conditional variants\n"
         "  fflab bench --tree 1x11 --batch 1,128    time them against dense\n"
         "  fflab new fff_mine                       start a variant of your own\n\n"
         "`fflab COMMAND --help` explains one command. Exit codes:");
    for (size_t i = 0; i < ffl_exit_code_count; i++)
        printf("  %-3d %s\n", ffl_exit_codes[i].code, ffl_exit_codes[i].meaning);
}

void ffl_help_command(const ffl_command *command)
{
    printf("fflab %s - %s\n\nUsage: fflab %s %s\n\n%s\nOptions:\n", command->name, command->summary,
           command->name, command->usage, command->help);
    for (int o = 0; o < FFL_OPT_COUNT; o++) {
        if (!ffl_command_takes(command, (ffl_option)o))
            continue;
        char left[64];
        snprintf(left, sizeof left, "%s %s", rows[o].name, rows[o].argument ? rows[o].argument : "");
        /* UTF-8 "…" is three bytes and one column. */
        printf("  %-*s %s\n", strstr(left, "…") ? 28 : 26, left, rows[o].help);
    }
}
