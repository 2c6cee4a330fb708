/*
 * The command line: what is refused, in which words, and with which exit code. Options are read through a
 * command of the test's own, so that no kernel runs; the last tests start the program.
 */
#include "harness/cli.h"
#include "harness/problems.h"
#include "tests/run_program.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t runs;
static int next_exit_code;

static ffl_status count_run(const ffl_options *options, int *exit_code)
{
    (void)options;
    runs++;
    *exit_code = next_exit_code;
    next_exit_code = FFL_EXIT_GOOD;
    return FFL_OK;
}

static ffl_status validate_batch(const ffl_options *options)
{
    ffl_size_list batches;
    return ffl_option_size_list(options, FFL_OPT_BATCH, 1, 100, "1", &batches);
}

static const ffl_option taken[] = {FFL_OPT_VARIANT, FFL_OPT_EXCLUDE,  FFL_OPT_PLUGIN, FFL_OPT_TREE,
                                   FFL_OPT_BATCH,   FFL_OPT_SEED,     FFL_OPT_BUDGET, FFL_OPT_SHARD,
                                   FFL_OPT_JSON,    FFL_OPT_PROBLEMS, FFL_OPT_CLASS,  FFL_OPT_ACTIVATION,
                                   FFL_OPT_WIDTH,   FFL_OPT_COUNT};

static const ffl_command probe = {.name = "probe",
                                  .summary = "a command for this test",
                                  .usage = "WORD [OPTIONS]",
                                  .help = "",
                                  .options = taken,
                                  .words_min = 1,
                                  .words_max = 2,
                                  .takes_pass = true,
                                  .validate = validate_batch,
                                  .run = count_run};

/* Splits `line` at blanks and parses it. The words live until the next call. */
static ffl_status parse(const char *line, ffl_options *out)
{
    static char text[4096];
    static char *words[64];
    int count = 0;
    snprintf(text, sizeof text, "%s", line);
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
        words[count++] = word;
    return ffl_options_parse(&probe, count, words, out);
}

Test(cli, options_reach_their_place)
{
    ffl_options o;
    cr_assert_eq(
        parse("word -v a* --variant=b* -x c --batch=1,2 --json --seed 7 -- --benchmark_filter=x -v", &o),
        FFL_OK);
    cr_assert_eq(o.word_count, 1);
    cr_assert_str_eq(o.words[0], "word");
    cr_assert_eq(o.list_count[FFL_OPT_VARIANT], 2);
    cr_assert_str_eq(o.list[FFL_OPT_VARIANT][1], "b*");
    cr_assert_eq(o.list_count[FFL_OPT_EXCLUDE], 1);
    cr_assert_str_eq(o.value[FFL_OPT_BATCH], "1,2");
    cr_assert(ffl_option_given(&o, FFL_OPT_JSON));
    cr_assert_not(ffl_option_given(&o, FFL_OPT_SHARD));
    cr_assert_eq(o.pass_count, 2);
    cr_assert_str_eq(o.pass[1], "-v");
    ffl_options_free(&o);
}

Test(cli, a_bad_line_is_refused_by_name)
{
    static const char *const cases[][2] = {
        {"word --no-such", "unknown option '--no-such'"},
        {"word --no-such=3", "unknown option '--no-such'"},
        {"word -q", "unknown option '-q'"},
        {"word --batch", "--batch needs a value"},
        {"word --batch=", "--batch needs a value"},
        {"word --json=yes", "--json takes no value"},
        {"word --neurons 5", "'--neurons' is not an option of `fflab probe`"},
        {"one two three", "'three' is one word too many"},
        {"--json", "something is missing"},
        {"word -", "'-'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases - 1; i++) {
        ffl_options o;
        cr_assert_eq(parse(cases[i][0], &o), FFL_BAD_INPUT, "%s", cases[i][0]);
        cr_assert(strstr(ffl_error(), cases[i][1]), "%s: %s", cases[i][0], ffl_error());
        ffl_options_free(&o);
    }
}

/* Each reader gets values that must be refused; the message names option and value. */
Test(cli, bad_values_are_refused_by_option_and_value)
{
    static const char *const cases[] = {
        "--width 0",
        "--width -1",
        "--width +1",
        "--width 1.5",
        "--width 7x",
        "--width 1001",
        "--width 0x10",
        "--batch ,",
        "--batch 1,,2",
        "--batch 1,",
        "--batch ,1",
        "--batch 1,101",
        "--batch 1,-2",
        "--batch 99999999999999999999999",
        "--tree 1",
        "--tree x11",
        "--tree 1x",
        "--tree 0x3",
        "--tree 1x21",
        "--tree 1x5..3",
        "--tree 1x3..",
        "--tree 1x..3",
        "--tree 1x3..21",
        "--tree 1x3...5",
        "--tree 1x11,",
        "--tree -1x3",
        "--tree 1x-3",
        "--tree 1x0..20,1x0..20,1x0..20,2x0..20",
        "--tree 18446744073709551617x3",
        "--seed -1",
        "--seed 18446744073709551616",
        "--seed one",
        "--budget 0",
        "--budget -5s",
        "--budget 5d",
        "--budget 5mm",
        "--budget nan",
        "--budget inf",
        "--budget 0x10",
        "--budget 1e3",
        "--budget m",
        "--budget 1.2.3s",
        "--shard 0/2",
        "--shard 3/2",
        "--shard 1/0",
        "--shard 1",
        "--shard /",
        "--shard 1/2/3",
        "--shard -1/2",
        "--shard 1/100001",
        "--activation tanh",
        "--activation GELU",
        "--class ,",
        "--class f32,,bf16",
        "--class f32,",
    };
    static const char *const activations[] = {"gelu", "relu", NULL};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[256];
        ffl_options o;
        size_t size, index, count;
        uint64_t seed;
        double seconds;
        ffl_size_list sizes;
        ffl_tree_list trees;
        ffl_word_list words;
        snprintf(line, sizeof line, "word %s", cases[i]);
        cr_assert_eq(parse(line, &o), FFL_OK, "%s", cases[i]);
        ffl_status status = FFL_OK;
        status |= ffl_option_size(&o, FFL_OPT_WIDTH, 1, 1000, 5, &size);
        status |= ffl_option_size_list(&o, FFL_OPT_BATCH, 1, 100, "1", &sizes);
        status |= ffl_option_trees(&o, "1x11", &trees);
        status |= ffl_option_words(&o, FFL_OPT_CLASS, "f32", &words);
        status |= ffl_option_seed(&o, 1, &seed);
        status |= ffl_option_duration(&o, FFL_OPT_BUDGET, 60, &seconds);
        status |= ffl_option_shard(&o, &index, &count);
        status |= ffl_option_choice(&o, FFL_OPT_ACTIVATION, activations, 0, &size);
        cr_assert_eq(status, FFL_BAD_INPUT, "%s", cases[i]);
        const size_t length = strcspn(cases[i], " ");
        cr_assert_eq(strncmp(ffl_error(), cases[i], length), 0, "%s: %s", cases[i], ffl_error());
        ffl_options_free(&o);
    }
}

Test(cli, good_values_are_read_and_absent_ones_fall_back)
{
    ffl_options o;
    size_t size, index, count;
    uint64_t seed;
    double seconds;
    ffl_size_list sizes;
    ffl_tree_list trees;
    cr_assert_eq(parse("word --width 768 --batch 1,16,100 --tree 1x3..5,16x7 --seed 18446744073709551615 "
                       "--budget 1.5m --shard 2/3",
                       &o),
                 FFL_OK);
    cr_assert_eq(ffl_option_size(&o, FFL_OPT_WIDTH, 1, 1000, 5, &size), FFL_OK);
    cr_assert_eq(size, 768);
    cr_assert_eq(ffl_option_size_list(&o, FFL_OPT_BATCH, 1, 100, "1", &sizes), FFL_OK);
    cr_assert(sizes.count == 3 && sizes.value[0] == 1 && sizes.value[1] == 16 && sizes.value[2] == 100);
    cr_assert_eq(ffl_option_trees(&o, "1x11", &trees), FFL_OK);
    cr_assert_eq(trees.count, 4);
    cr_assert(trees.value[0].levels == 4 && trees.value[2].levels == 6,
              "depth counts decisions, levels neurons");
    cr_assert(trees.value[3].trees == 16 && trees.value[3].levels == 8);
    cr_assert_eq(ffl_option_seed(&o, 1, &seed), FFL_OK);
    cr_assert_eq(seed, UINT64_MAX);
    cr_assert_eq(ffl_option_duration(&o, FFL_OPT_BUDGET, 60, &seconds), FFL_OK);
    cr_assert_eq(seconds, 90.0);
    cr_assert_eq(ffl_option_shard(&o, &index, &count), FFL_OK);
    cr_assert(index == 2 && count == 3);
    ffl_options_free(&o);

    cr_assert_eq(parse("word", &o), FFL_OK);
    cr_assert_eq(ffl_option_size(&o, FFL_OPT_WIDTH, 1, 1000, 5, &size), FFL_OK);
    cr_assert_eq(size, 5);
    cr_assert_eq(ffl_option_trees(&o, "2x10", &trees), FFL_OK);
    cr_assert(trees.count == 1 && trees.value[0].trees == 2 && trees.value[0].levels == 11);
    cr_assert_eq(ffl_option_shard(&o, &index, &count), FFL_OK);
    cr_assert(index == 1 && count == 1);
    ffl_options_free(&o);
}

/* ---- Problem files ---- */

static ffl_status run_problems(const char *text, size_t length, int *exit_code)
{
    char path[] = "/tmp/fflab-problems-XXXXXX", line[256];
    const int file = mkstemp(path);
    cr_assert(file >= 0 && write(file, text, length) == (ssize_t)length);
    close(file);
    ffl_options o;
    snprintf(line, sizeof line, "word --problems %s", path);
    cr_assert_eq(parse(line, &o), FFL_OK);
    runs = 0;
    *exit_code = -1;
    const ffl_status status = ffl_problems_run(&o, exit_code);
    ffl_options_free(&o);
    unlink(path);
    return status;
}

Test(problems, every_line_runs_and_the_gravest_exit_code_wins)
{
    static const char text[] = "# three cases\n--batch 1\n\n  --batch 2 --tree 1x3 # small\n--batch 3";
    int exit_code;
    cr_assert_eq(run_problems(text, sizeof text - 1, &exit_code), FFL_OK, "%s", ffl_error());
    cr_assert_eq(runs, 3);
    cr_assert_eq(exit_code, FFL_EXIT_GOOD);
    next_exit_code = FFL_EXIT_FAILED; /* of the first line only */
    cr_assert_eq(run_problems(text, sizeof text - 1, &exit_code), FFL_OK);
    cr_assert_eq(exit_code, FFL_EXIT_FAILED);
    next_exit_code = FFL_EXIT_NOTHING_RAN;
    cr_assert_eq(run_problems(text, sizeof text - 1, &exit_code), FFL_OK);
    cr_assert_eq(exit_code, FFL_EXIT_GOOD);
}

Test(problems, a_bad_line_is_named_and_nothing_runs)
{
    static const struct {
        const char *text;
        size_t length;
        const char *says;
    } cases[] = {
        {"--batch 1\n--batch 0\n", 20, "line 2: --batch 0"},
        {"--batch 1\n\n# x\n--no-such\n", 25, "line 4: unknown option '--no-such'"},
        {"--batch\n", 8, "line 1: --batch needs a value"},
        {"one two three\n", 14, "line 1: 'two' is one word too many"},
        {"--problems other\n", 17, "line 1: --problems belongs on the command line"},
        {"--plugin x.so\n", 14, "line 1: --plugin belongs on the command line"},
        {"--help\n", 7, "line 1: --help belongs on the command line"},
        {"-v no_such_variant\n", 19, "line 1: -v no_such_variant"},
        {"--batch 1\n--ba\0tch 1\n", 21, "line 2: a zero byte"},
        {"", 0, "no problem in it"},
        {"# nothing\n\n", 11, "no problem in it"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int exit_code;
        cr_assert_eq(run_problems(cases[i].text, cases[i].length, &exit_code), FFL_BAD_INPUT, "case %zu", i);
        cr_assert_eq(runs, 0, "case %zu", i);
        cr_assert(strstr(ffl_error(), cases[i].says), "case %zu: %s", i, ffl_error());
    }
    static char endless[10000];
    memset(endless, 'x', sizeof endless);
    int exit_code;
    cr_assert_eq(run_problems(endless, sizeof endless, &exit_code), FFL_BAD_INPUT);
    cr_assert(strstr(ffl_error(), "line 1: longer than"), "%s", ffl_error());
}

Test(problems, a_file_that_cannot_be_read_is_named)
{
    ffl_options o;
    int exit_code;
    cr_assert_eq(parse("word --problems /nowhere/problems", &o), FFL_OK);
    cr_assert_eq(ffl_problems_run(&o, &exit_code), FFL_BAD_INPUT);
    cr_assert(strstr(ffl_error(), "--problems /nowhere/problems: No such file"), "%s", ffl_error());
    ffl_options_free(&o);
    cr_assert_eq(parse("word --problems /tmp", &o), FFL_OK);
    cr_assert_eq(ffl_problems_run(&o, &exit_code), FFL_BAD_INPUT);
    cr_assert(strstr(ffl_error(), "Is a directory"), "%s", ffl_error());
    ffl_options_free(&o);
}

/* ---- The program ---- */

static void expect(const char *command, int exit_code, const char *out, const char *err)
{
    static run_result r;
    run_shell(command, &r);
    cr_assert_eq(r.exit_code, exit_code, "%s: exit code %d: %s", command, r.exit_code, r.err);
    cr_assert(strstr(r.out, out), "%s: no '%s' in: %s", command, out, r.out);
    cr_assert(strstr(r.err, err), "%s: no '%s' in: %s", command, err, r.err);
    if (exit_code == FFL_EXIT_USAGE && *err)
        cr_assert_eq(strchr(r.err, '\n'), r.err + strlen(r.err) - 1, "%s: more than one line: %s", command,
                     r.err);
}

Test(program, every_command_explains_itself_with_examples)
{
    expect("$FFLAB --help", 0, "Examples:", "");
    expect("$FFLAB", 1, "Usage: fflab COMMAND", "");
    for (const ffl_command *const *c = ffl_commands; *c; c++) {
        char line[128];
        snprintf(line, sizeof line, "$FFLAB %s --help", (*c)->name);
        expect(line, 0, "Examples:", "");
        snprintf(line, sizeof line, "$FFLAB %s -h | head -n 1", (*c)->name);
        expect(line, 0, (*c)->summary, "");
        snprintf(line, sizeof line, "$FFLAB %s --no-such-option", (*c)->name);
        expect(line, 1, "", "unknown option '--no-such-option'");
    }
}

Test(program, bad_input_is_one_line_and_exit_code_1)
{
    expect("$FFLAB no-such-command", 1, "", "unknown command 'no-such-command'");
    expect("$FFLAB list stray", 1, "", "'stray' is one word too many");
    expect("$FFLAB list -v 'no_such_*'", 1, "", "-v no_such_*: no variant has such a name");
    expect("$FFLAB list --variant", 1, "", "--variant needs a value");
    expect("$FFLAB list \"$(printf 'two\\nlines')\"", 1, "", "'two?lines'");
    expect("$FFLAB worker no-such-kind </dev/null", 1, "", "no-such-kind");
}

Test(program, list_answers)
{
    expect("$FFLAB list -v fff_naive", 0, "fff_naive", "");
    expect("$FFLAB list -v fff_naive --json", 0, "\"contract\"", "");
    expect("$FFLAB list -v fff_naive -x '*'", 5, "", "");
    expect("$FFLAB --version", 0, "fflab ", "");
    expect("$FFLAB list >&-", 1, "", "standard output could not be written");
}

/* Interrupted as soon as one group of many is in the journal. */
Test(program, control_c_keeps_finished_rows_and_exits_130)
{
    expect("d=$(mktemp -d) && { $FFLAB bench -v fff_naive --width 64 --tree 1x5 --out $d --batch"
           " 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30 >&2 & } &&"
           " until grep -q '\"kind\":\"bench\"' $d/journal.jsonl 2>/dev/null; do kill -0 $! || exit 9; sleep "
           "0.05; done; kill -INT "
           "$!; wait $!;"
           " code=$?; tail -n 1 $d/journal.jsonl | tail -c 2; wc -l <$d/journal.jsonl; rm -r $d; exit $code",
           130, "}\n", "interrupted");
}
