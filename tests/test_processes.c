/*
 * Process variants: programs that do everything right or wrong (tests/peers/peer.py), manifests that are
 * refused, and the example of harness/peers/README.md as it stands there.
 */
#include "tests/run_program.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PEERS "--process $SOURCE/tests/peers/peers.json "
#define CHECK "$FFLAB check " PEERS "--fixture random --tree 1x2 --width 6 --shrink 0 --in-process "

/* Exit code 9 when $pid runs; one that nobody waited for does not. */
#define ENDS_IF_ALIVE "case $(sed 's/.*) //' /proc/$pid/stat 2>/dev/null) in [!Z]*) exit 9;; esac;"

static char folder[] = "/tmp/fflab-peers-XXXXXX";

static void expect(const char *script, int exit_code, const char *out, const char *err)
{
    static run_result r;
    static char line[8000];
    snprintf(line, sizeof line, "cd %s && export PEER_STARTS=$PWD/starts\n%s", folder, script);
    run_shell(line, &r);
    cr_assert_eq(r.exit_code, exit_code, "%s: exit code %d: %s%s", script, r.exit_code, r.out, r.err);
    cr_assert(strstr(r.out, out), "%s: no '%s' in: %s", script, out, r.out);
    cr_assert(strstr(r.err, err), "%s: no '%s' in: %s", script, err, r.err);
    if (exit_code == 1)
        cr_assert_eq(strchr(r.err, '\n'), r.err + strlen(r.err) - 1, "%s: more than one line: %s", script,
                     r.err);
}

static void enter(void)
{
    static run_result r;
    run_shell("python3 -c pass", &r);
    if (r.exit_code != 0)
        cr_skip_test("no python3 here");
    cr_assert(mkdtemp(folder));
}

static void leave(void)
{
    static run_result r;
    char line[64];
    snprintf(line, sizeof line, "rm -r %s", folder);
    run_shell(line, &r);
}

TestSuite(processes, .init = enter, .fini = leave, .timeout = 240);

/* ---- Right ones ---- */

Test(processes, a_program_joins_like_any_variant)
{
    expect("$FFLAB list " PEERS "-v fff_peer_right --json", 0, "\"library\": \"process\"", "");
    expect(CHECK
           "-v fff_peer_right -v ff_peer_right -v fff_peer_chatty --fixture random,ties,exact --batch 1,5",
           0, "18 PASSED", "");
    expect(
        CHECK
        "-v fff_peer_right --fixture special,collapsed --tree 3x1 --width-out 1 --batch 9 --activation relu",
        0, "2 PASSED", "");
    expect("$FFLAB check --invariance --properties --tree 1x2 --width 5 --batch 4 --threads 2 " PEERS
           "-v fff_peer_right",
           0, "2 PASSED", "");
    expect(CHECK "-v fff_peer_right --batch 2 --activation gelu_tanh", 5,
           "does not have the activation gelu_tanh", "");
}

#define EXPERTS "--leaf 3x2,0x3 --moe 6x2:2,5x1:1,3x2:3 --width 6 "
#define CHECK_EXPERTS "$FFLAB check " PEERS EXPERTS "--shrink 0 --in-process "

/* Gates travel, output biases of each expert do, and a file without gates is one leaf. */
Test(processes, leaf_trees_and_mixtures_join_like_any_variant)
{
    expect("$FFLAB list " PEERS "-v moe_peer_right -v fff_leaf_peer_right --json", 0,
           "\"operation\": \"fff_leaf\"", "");
    expect(CHECK_EXPERTS
           "-v moe_peer_right -v fff_leaf_peer_right --fixture random,ties,exact,margin,thrash --width-out 4 "
           "--batch 1,9 --strict",
           0, "50 PASSED; ", "");
    expect("$FFLAB bench " PEERS EXPERTS "-v fff_leaf_peer_right -v moe_peer_right -v moe_naive --tree 1x3 "
           "--batch 4 --budget 2s --json | grep -c '\"verdict\": \"PASSED\"'",
           0, "8\n", "");
}

Test(processes, one_program_serves_all_instances_and_leaves_with_the_lab)
{
    expect(CHECK "-v fff_peer_right -v ff_peer_right -v fff_peer_device --batch 1,2,3 >&2; wc -l < starts", 0,
           "1\n", "");
    expect("while read pid parent; do " ENDS_IF_ALIVE " done <starts; echo over", 0, "over\n", "");
    expect(CHECK "-v fff_peer_right --batch 2 >&2 & wait $!; ls /dev/shm /tmp | grep \"^fflab-peer-$!-\"; [ "
                 "$? = 1 ] && echo none",
           0, "none\n", "");
}

Test(processes, its_own_clock_is_what_bench_records)
{
    expect(
        "$FFLAB bench " PEERS
        "-v fff_peer_right -v fff_naive -v fff_peer_device --tree 1x2 --width 6 --batch "
        "2 --budget 2s --json >bench.json && python3 -c '\nimport json\n"
        "rows = {r[\"variant\"]: r for r in json.load(open(\"bench.json\"))[\"results\"]}\n"
        "own, native, device = (rows[n] for n in (\"fff_peer_right\", \"fff_naive\", \"fff_peer_device\"))\n"
        "assert own[\"own_clock\"] and \"own_clock\" not in native, rows\n"
        "assert own[\"group\"] == native[\"group\"] != device[\"group\"], rows\n"
        "assert own[\"burst\"] > 1 and own[\"wall_ns\"] > own[\"median_ns\"] > 0, own\n"
        "assert own[\"library_version\"] == \"peer 1\" and own[\"kernel_family\"] == \"1 threads\", own\n"
        "assert device[\"place\"] == \"cuda\" and device[\"verdict\"] == \"PASSED\", device\n"
        /* The device's time is said to be a hundredth of what passed, for the same work. */
        "assert device[\"median_ns\"] < 0.5 * own[\"median_ns\"], rows\n"
        "print(own[\"verdict\"], own[\"command\"])'",
        0, "PASSED ./fflab bench -v fff_peer_right --tree 1x2", "");
    expect("$FFLAB bench " PEERS "-v fff_peer_right --tree 1x2 --width 6 --batch 2 --budget 1s", 0,
           "by the clock of its program (peer 1, 1 threads); with the way there and back", "");
}

/* ---- Wrong ones ---- */

typedef struct failure {
    const char *variant, *says;
} failure;

/* All in one run: each must fail, and say so in its own line. */
static void expect_failures(const char *check, const failure *list, size_t count)
{
    static run_result r;
    static char line[4000];
    int used = snprintf(line, sizeof line, "%s--batch 3", check);
    for (size_t i = 0; i < count; i++)
        used += snprintf(line + used, sizeof line - (size_t)used, " -v %s", list[i].variant);
    run_shell(line, &r);
    cr_assert_eq(r.exit_code, 2, "exit code %d: %s", r.exit_code, r.err);
    for (size_t i = 0; i < count; i++) {
        char start[96];
        snprintf(start, sizeof start, "FAILED %s: ", list[i].variant);
        const char *found = strstr(r.out, start), *end = found ? strchr(found, '\n') : NULL;
        const char *says = found ? strstr(found, list[i].says) : NULL;
        cr_assert(says && says < end, "%s: no '%s' in: %s", list[i].variant, list[i].says, r.out);
    }
}

Test(processes, what_a_program_does_wrong_is_said_and_costs_its_case)
{
    static const failure list[] = {
        {"fff_peer_wrong", "times the worst-case bound"},
        {"fff_peer_crash",
         "the program died of signal 11 (Segmentation fault) in run; standard error: \"about to fall\""},
        {"fff_peer_exit",
         "the program ended with exit code 1 in prepare; standard error: \"no such package\""},
        {"fff_peer_hang", "the program gave no reply to run for 0.5 s"},
        {"fff_peer_garbage", "no JSON object on one line: \"Loading model... done\""},
        {"fff_peer_endless", "no JSON object on one line: \"yyyy"},
        {"fff_peer_twice", "more than one line"},
        {"fff_peer_not_ready", "neither ready nor unsupported"},
        {"fff_peer_error", "the program says: no more paper"},
        {"fff_peer_silent", "y.npy: No such file"},
        {"fff_peer_stale",
         "second call, rows reversed: run failed: the program's output: y.npy: No such file"},
        {"fff_peer_short", "the program's output is [2, 6], expected [3, 6]"},
        {"fff_peer_integers", "expected float32"},
        {"ff_peer_nothing", "standard error: \"./no_such_program: No such file"},
    };
    expect_failures(CHECK, list, sizeof list / sizeof *list);
}

Test(processes, a_wrong_choice_of_experts_is_named)
{
    static const failure list[] = {{"fff_leaf_peer_wrong_child", "it is what leaf "},
                                   {"moe_peer_wrong_expert", "it is what expert"},
                                   {"moe_peer_unweighted", "each with a share of 1"}};
    expect_failures(CHECK_EXPERTS "--fixture random ", list, sizeof list / sizeof *list);
}

Test(processes, times_that_cannot_be_are_refused)
{
    static const failure list[] = {
        {"fff_peer_lying", "the program says that it took 1000000"},
        {"fff_peer_lying_device", "the program says that it took 1000000"},
        {"fff_peer_negative", "\"ns\" has a time that is not above 0"},
        {"fff_peer_zero", "\"ns\" has a time that is not above 0"},
        {"fff_peer_words", "\"ns\" has a time that is not above 0"},
        {"fff_peer_few", "\"ns\" are not 1 numbers"},
        {"fff_peer_more", "more than \"ns\" and \"device_ns\""},
    };
    expect_failures(CHECK, list, sizeof list / sizeof *list);
}

Test(processes, what_it_does_not_take_is_unsupported)
{
    expect(CHECK "-v fff_peer_unsupported --batch 3", 5, "UNSUPPORTED fff_peer_unsupported: not on Sundays",
           "");
    expect("$FFLAB check --invariance --properties " PEERS
           "-v fff_peer_unsupported --tree 1x2 --width 6 --batch 3",
           5, "not on Sundays", "");
    expect("$FFLAB bench " PEERS "-v fff_peer_unsupported --tree 1x2 --width 6 --batch 3", 5,
           "not on Sundays", "");
    expect(CHECK "-v ff_peer_absent --batch 3", 5,
           "has no_such_module_anywhere; FFLAB_PYTHON names another one", "");
    expect("FFLAB_PYTHON=/bin/false " CHECK "-v ff_peer_right --batch 3", 5, "FFLAB_PYTHON=/bin/false has no",
           "");
}

Test(processes, the_next_case_gets_a_new_program)
{
    expect(CHECK "-v fff_peer_crash_of_three --batch 3,2,4", 2, "2 PASSED, 1 FAILED", "");
    expect("wc -l <starts", 0, "2\n", "");
}

Test(processes, timed_calls_are_checked_calls)
{
    expect("$FFLAB bench " PEERS "-v fff_peer_wrong_in_bursts --tree 1x2 --width 6 --batch 2 --budget 1s", 2,
           "FAILED", "");
    expect("$FFLAB bench " PEERS "-v fff_peer_lying --tree 1x2 --width 6 --batch 2 --budget 1s", 2,
           "FAILED: the program says that it took", "");
}

/* The worker is killed, and cannot say goodbye: the kernel ends its program, the next run removes its files.
 */
Test(processes, a_program_dies_with_its_worker)
{
    expect("$FFLAB check " PEERS
           "-v fff_peer_sleep --fixture random --tree 1x2 --width 6 --batch 2 --shrink 0 "
           "--timeout 6s", /* a busy machine takes seconds to start an interpreter */
           2, "TIMEOUT", "");
    expect("sleep 0.2; read pid parent <starts; " ENDS_IF_ALIVE " echo over", 0, "over\n", "");
    expect(CHECK
           "-v fff_peer_right --batch 2 >&2; read pid parent <starts; ls -d /dev/shm/fflab-peer-$parent-* && "
           "exit 9; echo none",
           0, "none\n", "");
}

/* ---- Manifests ---- */

static const char good[] = "{\"name\": \"fff_one\", \"summary\": \"s\", \"source\": \"o\", \"operation\": "
                           "\"fff\", \"family\": \"naive\", "
                           "\"contract\": {\"activation_error\": 4}, \"command\": [\"true\"]}";

static void expect_refusal(const char *edit, const char *says)
{
    char script[2000];
    snprintf(script, sizeof script, "echo '%s' | sed '%s' >m.json; $FFLAB list --process m.json -v fff_one",
             good, edit);
    expect(script, 1, "", says);
}

Test(processes, manifests_are_validated)
{
    char script[1000];
    snprintf(script, sizeof script, "echo '%s' >m.json; $FFLAB list --process m.json -v fff_one", good);
    expect(script, 0, "fff_one", "");
    expect_refusal("s/\"name\": \"fff_one\", //", "m.json: name: is missing");
    expect_refusal("s/fff_one/fff one/", "the name must be");
    expect_refusal("s/fff_one/ff_one/", "the name must be");
    expect_refusal("s/fff_one/fff_naive/", "a variant named");
    expect_refusal("s/fff_one/fff_leaf_one/", "'fff_leaf_one': the name must be");
    expect_refusal("s/fff_one/fff_one_moe/;s/\"fff\"/\"moe\"/", "'fff_one_moe': the name must be");
    expect_refusal("s/\"fff\"/\"fff_leaf\"/", "'fff_one': the name must be");
    expect_refusal("s/\"s\"/\"a\\\\nb\"/", "m.json: fff_one: summary: expected a text");
    expect_refusal("s/\"summary\"/\"sumary\"/", "m.json: fff_one: sumary: no such key");
    expect_refusal("s/\"naive\"/\"auto\"/", "family: expected one of naive, blas1");
    expect_refusal("s/\"fff\"/\"mlp\"/", "operation: expected one of ff, fff, fff_leaf, moe");
    expect_refusal("s/4}/-4}/", "activation_error: expected a number from 0");
    expect_refusal("s/4}/4, \"hidden\": \"f8\"}/", "hidden: expected one of f32, tf32");
    expect_refusal("s/4}/4, \"weights\": \"int8\"}/", "weight_scale: int8 weights");
    expect_refusal("s/4}/4, \"invariances\": [\"luck\"]}/", "invariances: expected a list");
    expect_refusal("s/\"activation_error\": 4//", "activation_error: is missing");
    expect_refusal("s/{\"activation_error\": 4}/3/", "contract: expected an object");
    expect_refusal("s/\\[\"true\"\\]/[]/", "command: expected a list of 1 to 32 words");
    expect_refusal("s/\\[\"true\"\\]/\"true\"/", "command: expected a list of 1 to 32 words");
    expect_refusal("s/\"command\"/\"timeout_s\": {\"run\": 0}, \"command\"/",
                   "run: expected a number from 0.1 to 3600");
    expect_refusal("s/\"command\"/\"place\": \"moon\", \"command\"/", "place: expected one of host, cuda");
    expect_refusal("s/\"command\"/\"activations\": [\"tanh\"], \"command\"/", "activations: expected a list");
    expect_refusal("s/\"command\"/\"arguments\": {\"a\": [1]}, \"command\"/", "arguments: expected numbers");
    expect_refusal("s/\"command\"/\"threaded\": 1, \"command\"/", "threaded: expected true or false");
    expect_refusal("s/^{/{{/", "m.json: line 1:");
    expect_refusal("s/^/[/;s/$/, 3]/", "m.json: variants: expected objects");
    expect_refusal("s/.*/[]/", "m.json: expected 1 to 128 variants");
    expect_refusal("s/.*/7/", "m.json: line 1:");
    expect_refusal("s/^\\(.*\\)$/[\\1, \\1]/", "a variant named");
    expect("$FFLAB list --process absent.json", 1, "", "--process absent.json: No such file");
    expect("$FFLAB list --process .", 1, "", "--process .: a directory");
}

/* ---- PyTorch ---- */

Test(processes, rows_of_the_lab_join_where_they_are_named)
{
    expect("$FFLAB list -v '*torch*' --json | grep -c '\"name\"'", 0, "64\n", "");
    expect("$FFLAB check -v 'ff*' --tree 1x2 --width 6 --batch 2 --fixture random --shrink 0 --json "
           ">all.json && ! grep torch all.json",
           0, "", "");
    expect("FFLAB_PYTHON=/bin/false $FFLAB check -v 'ff_torch_l*' --neurons 7 --width 6 --batch 2", 5,
           "UNSUPPORTED ff_torch_linear_bf16: FFLAB_PYTHON=/bin/false has no torch numpy", "");
    expect("FFLAB_PYTHON=/bin/false $FFLAB bench -v fff_torch_gather --tree 1x2 --width 6 --batch 2", 5,
           "has no torch numpy", "");
}

/* Loading it takes seconds: one run for everything. PyTorch 1 sums small batched products of bf16 in bf16. */
Test(processes, pytorch_computes_all_layers)
{
    static run_result r;
    run_shell("$FFLAB list -v ff_torch_linear | grep 'not here'", &r);
    if (r.exit_code == 0)
        cr_skip_test("no PyTorch here");
    expect("$FFLAB check --timeout 120s --shrink 0 --in-process -v '*torch*' -x '*_compiled*' -x '*_cuda' "
           "--tree 3x2 --leaf 3x2 --moe 6x2:2 --width 6 --width-out 4 --batch 5 --fixture exact "
           "| grep -E '18 PASSED;|14 PASSED 4 UNSUPPORTED;'",
           0, "18 variants, 18 cases", "");
}

/* ---- The example of the documentation ---- */

Test(processes, the_example_works)
{
    static run_result r;
    run_shell("python3 -c 'import numpy' || /usr/bin/python3 -c 'import numpy'", &r);
    if (r.exit_code != 0)
        cr_skip_test("no NumPy here");
    expect("awk '/^```python/ {on = 1; next} /^```/ {on = 0} on' $SOURCE/harness/peers/README.md >mine.py\n"
           "awk '/^```json/ {on = 1; next} /^```/ {on = 0} on' $SOURCE/harness/peers/README.md >mine.json\n"
           "$FFLAB check --process mine.json -v fff_mine --fixture random,ties --activation relu --tree "
           "1x4,2x2 --width 24 --batch "
           "1,33",
           0, "PASSED; ", "");
    expect(
        "$FFLAB bench --process mine.json -v fff_mine -v fff_naive --activation relu --tree 1x4 --width 24 "
        "--batch 16 --budget 1s",
        0, "by the clock of its program (NumPy", "");
}
