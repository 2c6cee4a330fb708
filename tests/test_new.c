/* `fflab new`: what it writes, where, and what it refuses, in a source tree of the test's own. */
#include "tests/run_program.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char folder[] = "/tmp/fflab-new-XXXXXX";

static void expect(const char *script, int exit_code, const char *out, const char *err)
{
    static run_result r;
    static char line[4000];
    snprintf(line, sizeof line, "cd %s/tree/variants && %s", folder, script);
    run_shell(line, &r);
    cr_assert_eq(r.exit_code, exit_code, "%s: exit code %d: %s", script, r.exit_code, r.err);
    cr_assert(strstr(r.out, out), "%s: no '%s' in: %s", script, out, r.out);
    cr_assert(strstr(r.err, err), "%s: no '%s' in: %s", script, err, r.err);
}

static void make_tree(void)
{
    static run_result r;
    char line[512];
    cr_assert(mkdtemp(folder));
    snprintf(line, sizeof line,
             "mkdir -p %s/tree/variants && cd %s/tree && cp -r $SOURCE/kernels . &&"
             " printf '%%s\\n' '# stem, isa, library' 'variant_files = [' \"  ['ff_b', 'base', 'blas'],\""
             " \"  ['fff_d', 'base', 'none'], # kept\" ']' 'after' > variants/meson.build",
             folder, folder);
    run_shell(line, &r);
    cr_assert_eq(r.exit_code, 0, "%s", r.err);
}

static void remove_tree(void)
{
    static run_result r;
    char line[64];
    snprintf(line, sizeof line, "rm -r %s", folder);
    run_shell(line, &r);
}

TestSuite(new, .init = make_tree, .fini = remove_tree);

Test(new, lines_go_where_they_sort)
{
    expect(
        "$FFLAB new fff_c_avx2 && $FFLAB new ff_a && $FFLAB new fff_e && $FFLAB new ff_c && cat meson.build",
        0,
        "# stem, isa, library\n"
        "variant_files = [\n"
        "  ['ff_a', 'base', 'none'],\n"
        "  ['ff_b', 'base', 'blas'],\n"
        "  ['ff_c', 'base', 'none'],\n"
        "  ['fff_c_avx2', 'avx2', 'none'],\n"
        "  ['fff_d', 'base', 'none'], # kept\n"
        "  ['fff_e', 'base', 'none'],\n"
        "]\n"
        "after\n",
        "");
    expect("ls", 0, "ff_a.c\nff_c.c\nfff_c_avx2.c\nfff_e.c\nmeson.build\n", "");
}

Test(new, what_it_writes_compiles_and_says_the_next_steps)
{
    expect("$FFLAB new fff_mine", 0, "./fflab check -v fff_mine", "");
    expect("$FFLAB new ff_mine_avx512", 0, "./fflab bench -v ff_mine_avx512", "");
    expect("for k in fff_mine ff_mine_avx512; do\n"
           "$CC -std=c17 -Wall -Wextra -Wshadow -Werror -I.. -c $k.c -o $k.o || exit 9; done",
           0, "", "");
    for (size_t i = 0; i < 2; i++) {
        static const char *const names[] = {"fff_leaf_mine", "moe_mine"};
        char script[256];
        snprintf(script, sizeof script,
                 "$FFLAB new %s && $CC -std=c17 -Wall -Wextra -Wshadow -Werror -I.. -c %s.c -o %s.o",
                 names[i], names[i], names[i]);
        expect(script, 0, i ? "mixture-of-experts kernel" : "leaf FFF kernel", "");
    }
    expect("grep -h 'operation =' fff_leaf_mine.c moe_mine.c", 0, "FFL_FFF_LEAF,\n     .operation = FFL_MOE,",
           "");
    expect("grep -h 'isa =' ff_mine_avx512.c fff_mine.c", 0,
           ".isa = FFL_ISA_AVX512,\n     .isa = FFL_ISA_BASE", "");
    expect("! cat fff_mine.c ff_mine_avx512.c fff_leaf_mine.c moe_mine.c | grep '@[A-Z]*@'", 0, "", "");
}

Test(new, a_refusal_leaves_everything_as_it_was)
{
    static const char *const cases[][2] = {
        {"mine", "a name is ff_"},
        {"ff_", "a name is ff_"},
        {"fff_Mine", "a name is ff_"},
        {"fff_mine.c", "a name is ff_"},
        {"fff_../x", "a name is ff_"},
        {"fff__x", "a name is ff_"},
        {"fff_a23456789012345678901234567890123456789012345", "at most 48"},
        {"fff_x_cuda", "cuda/"},
        {"ff_naive", "exists"},
        {"fff_d", "lists 'fff_d' already"},
        {"fff_there", "File exists"},
        {"fff_ok two", "one word too many"},
        {"''", "a name is ff_"},
    };
    expect("echo mine > fff_there.c; cp -r . ../../before", 0, "", "");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char script[256];
        snprintf(script, sizeof script, "$FFLAB new %s", cases[i][0]);
        expect(script, 1, "", cases[i][1]);
        expect("diff -r . ../../before", 0, "", "");
    }
    expect("$FFLAB new", 1, "", "something is missing");
    expect("echo 'no list' > meson.build; $FFLAB new fff_ok", 1, "", "no list");
    expect("ls", 0, "fff_there.c\nmeson.build\n", "");
    expect("$FFLAB new fff_ok --out /nowhere/at/all", 1, "", "--out /nowhere/at/all: No such file");
}
