/* Runs cut off by kill -9 or a full disk: what was finished is kept, --resume does the rest, and at the end
 * the journal has one line per case, the same cases as a run that nobody disturbed. */
#include "reports/journal_line.h"
#include "reports/lines.h"
#include "reports/record.h"
#include "tests/run_program.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[64];
static run_result result;

static void set_up(void)
{
    strcpy(dir, "/tmp/fflab-killed-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    setenv("DIR", dir, 1);
}

static void tear_down(void)
{
    run_shell("rm -rf \"$DIR\"", &result);
}

TestSuite(killed, .init = set_up, .fini = tear_down, .timeout = 280);

static void shell(int exit_code, const char *command)
{
    char line[4096];
    snprintf(line, sizeof line, "cd \"$DIR\" && %s", command);
    run_shell(line, &result);
    cr_assert_eq(result.exit_code, exit_code, "%s\nexit code %d instead of %d\n%s\n%s", command,
                 result.exit_code, exit_code, result.out, result.err);
}

/* Keys of the cases in a journal, and how many of its lines hold none. */
typedef struct keys {
    char (*key)[640];
    size_t count, broken;
} keys;

static int by_key(const void *a, const void *b)
{
    return strcmp(a, b);
}

static keys read_keys(const char *name)
{
    char path[128];
    ffl_lines lines;
    ffl_told told;
    ffl_record record;
    bool more = true;
    keys out = {0};
    snprintf(path, sizeof path, "%s/%s", dir, name);
    cr_assert_eq(ffl_lines_open(path, &lines), FFL_OK, "%s", ffl_error());
    cr_assert_eq(ffl_told_new(&told), FFL_OK);
    while (ffl_lines_next(&lines, &more) == FFL_OK && more) {
        if (ffl_line_read(&told, lines.text, lines.length, &record) != FFL_OK) {
            out.broken++;
            continue;
        }
        if (strcmp(record.kind, "run") != 0 && strcmp(record.kind, "variant") != 0) {
            out.key = realloc(out.key, (out.count + 1) * sizeof *out.key);
            strcpy(out.key[out.count++], record.key);
        }
        ffl_record_free(&record);
    }
    ffl_told_free(&told);
    ffl_lines_close(&lines);
    qsort(out.key, out.count, sizeof *out.key, by_key);
    return out;
}

/* Leaves the keys that begin so; of an encoder's rows the baseline is whatever was fastest that time. */
static void keep_prefix(keys *k, const char *prefix)
{
    size_t kept = 0;
    for (size_t i = 0; i < k->count; i++)
        if (strncmp(k->key[i], prefix, strlen(prefix)) == 0)
            memmove(k->key[kept++], k->key[i], sizeof *k->key);
    k->count = kept;
}

/* No case twice; and those that begin with `prefix` are those of the undisturbed run. */
static void expect_same_cases(const char *resumed, const char *undisturbed, const char *prefix)
{
    keys got = read_keys(resumed), all = read_keys(undisturbed);
    for (size_t i = 1; i < got.count; i++)
        cr_assert_neq(strcmp(got.key[i - 1], got.key[i]), 0, "%s is there twice", got.key[i]);
    keep_prefix(&got, prefix), keep_prefix(&all, prefix);
    cr_assert_eq(got.count, all.count, "%zu lines instead of %zu", got.count, all.count);
    for (size_t i = 0; i < all.count; i++)
        cr_assert_str_eq(got.key[i], all.key[i]);
    cr_assert_eq(all.broken, 0);
    free(got.key), free(all.key);
}

/* What was there when the run was cut off is there still, byte for byte. */
static void expect_kept(const char *before, const char *after)
{
    char command[256];
    snprintf(command, sizeof command, "head -c $(wc -c < %s) %s | cmp - %s", before, after, before);
    shell(0, command);
}

/* Runs `command` undisturbed; then again, killed once `lines` lines of that kind are there, and resumed. */
static void kill_and_resume(const char *command, const char *tail, const char *kind, size_t lines,
                            const char *prefix)
{
    char line[2048];
    snprintf(line, sizeof line, "\"$FFLAB\" %s --out all %s", command, tail);
    shell(0, line);
    snprintf(line, sizeof line,
             "{ \"$FFLAB\" %s --out cut %s & pid=$!\n"
             "until [ \"$(cat cut/journal.jsonl 2>/dev/null | grep -c '\"kind\":\"%s\"')\" -ge %zu ]\n"
             "do kill -0 $pid || exit 9; done\n"
             "kill -9 $pid; wait $pid; }",
             command, tail, kind, lines);
    shell(137, line);
    shell(0, "cp cut/journal.jsonl before.jsonl");
    keys kept = read_keys("before.jsonl"), all = read_keys("all/journal.jsonl");
    cr_assert(kept.count >= lines && kept.count < all.count, "killed too late: %zu of %zu lines", kept.count,
              all.count);
    free(kept.key), free(all.key);
    snprintf(line, sizeof line, "\"$FFLAB\" %s --out cut --resume %s", command, tail);
    shell(0, line);
    expect_kept("before.jsonl", "cut/journal.jsonl");
    expect_same_cases("cut/journal.jsonl", "all/journal.jsonl", prefix);
}

Test(killed, check)
{
    kill_and_resume(
        "check -v fff_naive -v ff_naive --fixture random,exact --tree 1x0..6 --width 48 --batch 63,64,65", "",
        "check", 20, "");
}

Test(killed, bench)
{
    kill_and_resume("bench -v fff_naive -v ff_naive --tree 1x2..5 --width 32 --batch 1,2,3",
                    "-- --benchmark_repetitions=3 --benchmark_min_time=0.001", "bench", 6, "");
}

Test(killed, encoder)
{
    shell(0, "cp \"$FFLAB_FIXTURES\"/encoder_fff_h64_l3_d5_p2/config.json c.json");
    kill_and_resume("encoder --config c.json --seq 4,5,6,7,8 --batch 1 -v fff_naive", "", "encoder", 1,
                    "fff_naive");
}

/* ---- A full disk ---- */

/* `script` in a file system of `kilobytes` kB at ./disk, which only it sees: what it wants to keep it copies
 * out. */
static void on_small_disk(int kilobytes, const char *script)
{
    char line[4096];
    shell(0, "mkdir disk");
    snprintf(line, sizeof line,
             "cd \"$DIR\" && unshare %s sh -c 'mount -t tmpfs -o size=%dk none disk || exit 77\n%s'",
             getuid() == 0 ? "-m" : "-rm", kilobytes, script);
    run_shell(line, &result);
    if (result.exit_code == 77 || strstr(result.err, "unshare"))
        cr_skip_test("no file system can be mounted here: %s", result.err);
    cr_assert_eq(result.exit_code, 0, "exit code %d\n%s\n%s", result.exit_code, result.out, result.err);
}

#define SMALL                                                                                                \
    "\"$FFLAB\" check -v fff_naive -v ff_naive --fixture random --tree 1x0..3 --width 4 --batch 1,2,3 "

Test(killed, a_full_disk_keeps_what_was_finished_and_resume_does_the_rest)
{
    on_small_disk(4, SMALL "--out disk/r 2>error; echo $? >code; cp disk/r/journal.jsonl before.jsonl\n"
                           "mount -o remount,size=1m disk\n" SMALL
                           "--out disk/r --resume && cp disk/r/journal.jsonl .");
    shell(0, "cat error; grep -x 1 code");
    cr_assert_not_null(
        strstr(result.out, "disk/r/journal.jsonl: No space left on device; the lines before are kept"), "%s",
        result.out);
    shell(0, SMALL "--out all");
    keys before = read_keys("before.jsonl"), all = read_keys("all/journal.jsonl");
    cr_assert(before.count > 0 && before.count < all.count, "%zu of %zu lines", before.count, all.count);
    free(before.key), free(all.key);
    expect_kept("before.jsonl", "journal.jsonl");
    expect_same_cases("journal.jsonl", "all/journal.jsonl", "");
}

/* 8 rows of one number do not fill a page: the disk is full before they come. */
#define RUN                                                                                                  \
    "\"$FFLAB\" run fff_naive --weights \"$FFLAB_FIXTURES\"/h1_d2_p1_b9/h1_d2_p1_b9.safetensors "            \
    "--input \"$FFLAB_FIXTURES\"/h1_d2_p1_b9/x.npy --output disk/y.npy"

Test(killed, a_full_disk_leaves_the_old_files_and_nothing_half_written)
{
    on_small_disk(256, SMALL "--out disk/r && \"$FFLAB\" report disk/r && " RUN "\n"
                             "cp disk/y.npy old.npy; cp disk/r/report.md old.md; ls -R disk >old\n"
                             "cat /dev/zero >disk/filler 2>/dev/null\n" RUN " 2>error; echo $? >code\n"
                             "\"$FFLAB\" report disk/r 2>>error; echo $? >>code\n"
                             "rm disk/filler; cp disk/y.npy disk/r/report.md .; ls -R disk >new; exit 0");
    shell(0, "cmp y.npy old.npy && cmp report.md old.md && cmp old new && test \"$(echo $(cat code))\" = \"1 "
             "1\" || "
             "{ cat error; exit 1; }");
    shell(0, "cat error");
    cr_assert_not_null(strstr(result.out, "disk/y.npy: writing failed: No space left on device"), "%s",
                       result.out);
    cr_assert_not_null(strstr(result.out, "No space left on device"), "%s", result.out);
}
