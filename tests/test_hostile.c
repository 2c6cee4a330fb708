/* Files and circumstances that are against us, met by the program as a user runs it: one clear line, exit
 * code 1, and no finished row lost. What hostile bytes do to the readers themselves is in tests/fuzz. */
#include "tests/run_program.h"
#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[64];
static run_result result;

/* w.safetensors, x.npy: a layer and its inputs; c: a checkpoint's folder. */
static void set_up(void)
{
    strcpy(dir, "/tmp/fflab-hostile-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    setenv("DIR", dir, 1);
    run_shell("cd \"$DIR\" && cp \"$FFLAB_FIXTURES\"/h1_d2_p1_b9/h1_d2_p1_b9.safetensors w.safetensors && "
              "cp \"$FFLAB_FIXTURES\"/h1_d2_p1_b9/x.npy . && cp -r \"$FFLAB_FIXTURES\"/encoder_bert c && "
              "chmod -R u+w .",
              &result);
    cr_assert_eq(result.exit_code, 0, "%s", result.err);
}

static void tear_down(void)
{
    run_shell("chmod -R u+rwx \"$DIR\"; rm -rf \"$DIR\"", &result);
}

TestSuite(hostile, .init = set_up, .fini = tear_down, .timeout = 240);

static void shell(int exit_code, const char *command)
{
    char line[4096];
    snprintf(line, sizeof line, "cd \"$DIR\" && %s", command);
    run_shell(line, &result);
    cr_assert_eq(result.exit_code, exit_code, "%s\nexit code %d instead of %d\n%s\n%s", command,
                 result.exit_code, exit_code, result.out, result.err);
}

/* Exit code 1 and one line, which names `what` and says `why`. */
static void refused(const char *command, const char *what, const char *why)
{
    char line[4096];
    snprintf(line, sizeof line, "timeout -k 5 60 \"$FFLAB\" %s", command);
    shell(1, line);
    cr_assert(strncmp(result.err, "fflab: ", 7) == 0 && strchr(result.err, '\n') == strrchr(result.err, '\n'),
              "%s: one line, not:\n%s", command, result.err);
    cr_assert(strstr(result.err, what) && strstr(result.err, why), "%s: names %s, says %s, not:\n%s", command,
              what, why, result.err);
}

#define RUN "run fff_naive --weights w.safetensors --input x.npy --output y.npy"

/* ---- What is no file, or not for us ---- */

/* Every place a file is read from, with NAME where its name goes. */
static const char *const readers[] = {
    "run fff_naive --weights NAME --input x.npy --output y.npy",
    "run fff_naive --weights w.safetensors --input NAME --output y.npy",
    "check --weights w.safetensors --input x.npy --result NAME",
    "check -v fff_naive --fixture real:NAME",
    "bench -v fff_naive --tree 1x2 --width 1 --routing recorded:NAME",
    "encoder --config NAME",
};
enum { READERS = sizeof readers / sizeof *readers };

static void every_reader_refuses(const char *name, const char *why)
{
    for (size_t i = 0; i < READERS; i++) {
        char command[512];
        const char *at = strstr(readers[i], "NAME");
        snprintf(command, sizeof command, "%.*s%s%s", (int)(at - readers[i]), readers[i], name, at + 4);
        refused(command, name, why);
    }
}

Test(hostile, folders_pipes_and_broken_links_are_no_files)
{
    shell(0, "mkdir folder && mkfifo pipe && ln -s nowhere dangling && ln -s circle circle");
    every_reader_refuses("folder", "a directory");
    every_reader_refuses("pipe", "expected a regular file");
    every_reader_refuses("dangling", "No such file");
    every_reader_refuses("circle", "symbolic links");
    refused("check --problems folder", "folder", "directory");
    refused("report dangling", "dangling", "No such file");
    shell(0, "mkdir -p r/journal.jsonl");
    refused("report r", "r/journal.jsonl", "directory");
    refused("check -v fff_naive --tree 1x1 --width 2 --batch 1 --out r --resume", "r/journal.jsonl",
            "directory");
    refused("check -v fff_naive --tree 1x1 --width 2 --batch 1 --out w.safetensors", "w.safetensors",
            "not a folder");
    shell(0, "rm c/model.safetensors && mkdir c/model.safetensors");
    refused("encoder --checkpoint c", "c/model.safetensors", "a directory");
    refused("run fff_naive --weights w.safetensors --input x.npy --output folder", "folder", "a directory");
}

Test(hostile, links_are_followed_and_stay_links)
{
    shell(
        0,
        "ln -s w.safetensors w && ln -s x.npy x && mkdir there && ln -s there/y.npy y && : > there/y.npy && "
        "\"$FFLAB\" run fff_naive --weights w --input x --output y && test -h y && test -s there/y.npy");
    shell(0, "mkdir real && ln -s real r && : > real/kept && ln -s kept real/journal.jsonl && "
             "\"$FFLAB\" check -v fff_naive --tree 1x1 --width 2 --batch 1 --out r && test -s real/kept && "
             "test -h real/journal.jsonl");
}

/* Root may read everything: then the program runs as nobody, where that can reach it. */
static const char *unprivileged(void)
{
    if (getuid() != 0)
        return "";
    shell(0, "chmod 755 . && chmod a+r w.safetensors x.npy && mkdir -p cache && "
             "{ cp \"$FFLAB_CACHE_DIR\"/* cache; chmod -R a+rwX cache; }");
    run_shell("setpriv --reuid 65534 --regid 65534 --clear-groups \"$FFLAB\" --version", &result);
    return result.exit_code == 0 ? "setpriv --reuid 65534 --regid 65534 --clear-groups" : NULL;
}

Test(hostile, what_may_not_be_read_or_written_is_named)
{
    char cache[96];
    const char *as = unprivileged();
    if (!as)
        cr_skip_test("nobody cannot reach the program, and root may read everything");
    setenv("AS", as, 1);
    snprintf(cache, sizeof cache, "%s/cache", dir); /* what is measured once about the machine */
    setenv("FFLAB_CACHE_DIR", cache, 1);
    shell(0, "chmod a-r w.safetensors");
    shell(1, "$AS \"$FFLAB\" " RUN);
    cr_assert_not_null(strstr(result.err, "w.safetensors: Permission denied"), "%s", result.err);
    shell(0, "chmod a+r w.safetensors && mkdir -m 555 closed");
    shell(1, "$AS \"$FFLAB\" run fff_naive --weights w.safetensors --input x.npy --output closed/y.npy");
    cr_assert_not_null(strstr(result.err, "closed/y.npy: cannot be written: Permission denied"), "%s",
                       result.err);
    shell(1, "$AS \"$FFLAB\" check -v fff_naive --tree 1x1 --width 2 --batch 1 --out closed/r");
    cr_assert_not_null(strstr(result.err, "closed/r: cannot make this folder: Permission denied"), "%s",
                       result.err);
    shell(0, "mkdir -m 777 r && echo '{}' > r/journal.jsonl && chmod 444 r/journal.jsonl");
    shell(1, "$AS \"$FFLAB\" check -v fff_naive --tree 1x1 --width 2 --batch 1 --out r");
    cr_assert_not_null(strstr(result.err, "r/journal.jsonl: Permission denied"), "%s", result.err);
}

Test(hostile, a_name_that_is_no_utf_8_is_refused)
{
    shell(0, "cp w.safetensors \"$(printf 'w\\377.safetensors')\"");
    refused("check -v fff_naive --fixture \"real:$(printf 'w\\377.safetensors')\" --out r",
            "w\377.safetensors", "not UTF-8");
    shell(1, "test -e r");
}

/* ---- Files larger than memory ---- */

/* A header for far more than any machine has, and a hole behind it. */
static bool make_holes(void)
{
    run_shell(
        "cd \"$DIR\" && python3 - <<'END'\n"
        "import json, struct\n"
        "n = 2**39\n"
        "text = json.dumps({'linear_in.weight': {'dtype': 'F32', 'shape': [n, 1], 'data_offsets': [0, "
        "4*n]},\n"
        "  'linear_out.weight': {'dtype': 'F32', 'shape': [1, n], 'data_offsets': [4*n, 8*n]}}).encode()\n"
        "with open('big.safetensors', 'wb') as f:\n"
        "    f.write(struct.pack('<Q', len(text)) + text)\n"
        "    f.truncate(8 + len(text) + 8*n)\n"
        "text = (\"{'descr': '<f4', 'fortran_order': False, 'shape': (%d, 1), }\\n\" % n).encode()\n"
        "with open('big.npy', 'wb') as f:\n"
        "    f.write(b'\\x93NUMPY\\x01\\x00' + struct.pack('<H', len(text)) + text)\n"
        "    f.truncate(10 + len(text) + 4*n)\n"
        "open('big', 'wb').truncate(4*n)\n"
        "END",
        &result);
    return result.exit_code == 0;
}

Test(hostile, files_larger_than_memory_are_refused_before_they_are_read)
{
    if (!make_holes())
        cr_skip_test("no files of 4 TB with holes here, or no python3: %s", result.err);
    refused("run ff_naive --weights big.safetensors --input x.npy --output y.npy", "big.safetensors",
            "memory are left");
    refused("run fff_naive --weights w.safetensors --input big.npy --output y.npy", "big.npy",
            "could not be had");
    refused("check -v fff_naive --problems big", "big, line 1", "zero byte");
    refused("report big", "big", "memory are left");
    shell(0, "mkdir r && mv big r/journal.jsonl");
    refused("check -v fff_naive --tree 1x1 --width 2 --batch 1 --out r --resume", "r/journal.jsonl",
            "memory are left");
    shell(0, "rm c/config.json && ln ../$(basename \"$DIR\")/r/journal.jsonl c/config.json");
    refused("encoder --checkpoint c", "c/config.json", "takes at most");
    shell(0, "cp \"$FFLAB_FIXTURES\"/encoder_bert/config.json c/new && mv c/new c/config.json && "
             "rm c/model.safetensors && mv r/journal.jsonl c/model.safetensors.index.json");
    refused("encoder --checkpoint c", "model.safetensors.index.json", "too long");
}

/* ---- No memory ---- */

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

/* With less and less address space: done, or an error that says what there was no memory for; never a crash.
 */
Test(hostile, a_limit_on_memory_gives_a_clear_error)
{
#ifdef __SANITIZE_ADDRESS__
    cr_skip_test("AddressSanitizer itself takes terabytes of address space");
#endif
    static const char *const commands[] = {
        "check --in-process -v fff_naive --fixture random --tree 1x12 --width 512 --batch 2",
        "check -v fff_naive -v 'ff_blas3_openblas' --fixture random --tree 1x6 --width 64 --batch 2",
        "encoder --preset ultrafastbert-1x11 --seq 4 --batch 1 -v fff_naive",
        RUN,
    };
    int failed = 0;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        for (size_t megabytes = 40; megabytes <= 160; megabytes += 60) {
            char line[512];
            snprintf(line, sizeof line,
                     "cd \"$DIR\" && (ulimit -v %zu && exec timeout -k 5 60 \"$FFLAB\" %s)", megabytes << 10,
                     commands[i]);
            run_shell(line, &result);
            cr_assert(result.exit_code <= 5, "%s with %zu MB: exit code %d\n%s", commands[i], megabytes,
                      result.exit_code, result.err);
            if (result.exit_code == 1) {
                cr_assert(strstr(result.err, "memory"), "%s with %zu MB:\n%s", commands[i], megabytes,
                          result.err);
                failed++;
            }
        }
    cr_assert_gt(failed, 0, "the limits were too generous to show anything");
}
