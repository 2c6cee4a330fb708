/*
 * What others build on: the installed headers, library and pkg-config file, and shared objects given to
 * --plugin. Everything is installed into a folder of the test's own and used from there alone.
 */
#include "tests/run_program.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char folder[] = "/tmp/fflab-plugin-XXXXXX";

/* Runs a shell script in the folder; $DEST is where everything is installed. */
static void expect(const char *script, int exit_code, const char *out, const char *err)
{
    static run_result r;
    static char line[6000];
    snprintf(line, sizeof line,
             "cd %s && DEST=$PWD/dest$PREFIX &&"
             " export PKG_CONFIG_PATH=$(dirname \"$(find $DEST -name fflab.pc)\") &&\n%s",
             folder, script);
    run_shell(line, &r);
    cr_assert_eq(r.exit_code, exit_code, "%s: exit code %d: %s", script, r.exit_code, r.err);
    cr_assert(strstr(r.out, out), "%s: no '%s' in: %s", script, out, r.out);
    cr_assert(strstr(r.err, err), "%s: no '%s' in: %s", script, err, r.err);
    if (exit_code == 1)
        cr_assert_eq(strchr(r.err, '\n'), r.err + strlen(r.err) - 1, "%s: more than one line: %s", script,
                     r.err);
}

static void install(void)
{
    static run_result r;
    char line[256];
    cr_assert(mkdtemp(folder));
    snprintf(line, sizeof line,
             "D=%s/dest && meson install -C $BUILD --no-rebuild --quiet --destdir $D &&"
             " sed -i \"s|^prefix=.*|prefix=$D$PREFIX|\" $(find $D -name fflab.pc)",
             folder);
    run_shell(line, &r);
    cr_assert_eq(r.exit_code, 0, "%s", r.err);
}

static void clean(void)
{
    static run_result r;
    char line[64];
    snprintf(line, sizeof line, "rm -r %s", folder);
    run_shell(line, &r);
}

TestSuite(plugin, .init = install, .fini = clean);

Test(plugin, every_kernel_header_is_installed)
{
    expect("cd $SOURCE && for h in $(find kernels -name '*.h'); do\n"
           "cmp $h $DEST/include/fflab/$h >&2 || exit 3; done; echo all",
           0, "all", "");
}

Test(plugin, a_kernel_written_elsewhere_joins_the_lab)
{
    expect("$DEST/bin/fflab new fff_outside --out . && $DEST/bin/fflab new ff_outside "
           "--out .",
           0, "pkg-config --cflags fflab", "");
    expect("for k in fff_outside ff_outside; do\n"
           "$CC -O2 -Wall -Wextra -Werror -shared -fPIC $(pkg-config --cflags fflab) $k.c -o $k.so || exit "
           "9; done",
           0, "", "");
    expect("$DEST/bin/fflab list --plugin ./fff_outside.so -v fff_outside", 0, "tree walk per token", "");
    expect("$DEST/bin/fflab list --plugin fff_outside.so --plugin ff_outside.so -v '*_outside' "
           "--json |"
           " grep -c '\"available\": true'",
           0, "2", "");
    expect("$DEST/bin/fflab check --plugin ./fff_outside.so -v fff_outside", 0, "PASSED", "");
    expect("$FFLAB list --plugin ./fff_outside.so --plugin ./fff_outside.so", 1, "",
           "a variant named 'fff_outside' already exists");
}

/* A program that finds a variant in the table and runs it, with nothing but what pkg-config says. */
static const char user_program[] =
    "#include \"harness/instance.h\"\n"
    "#include \"harness/registry.h\"\n"
    "#include <stdio.h>\n"
    "int main(void)\n"
    "{\n"
    "    const float w_in[] = {2, 1, 1}, b_in[] = {0, 20, 20}, w_out[] = {1, 10, 100}, x = 1;\n"
    "    float y = -1;\n"
    "    ffl_layer layer;\n"
    "    ffl_instance instance;\n"
    "    if (ffl_layer_fff(1, 1, 1, ffl_levels_from_depth(1), &layer) != FFL_OK) return 1;\n"
    "    layer.w_in = w_in, layer.b_in = b_in, layer.w_out = w_out;\n"
    "    if (ffl_instance_new(ffl_registry_find(\"fff_naive\"), &layer, 1, 1, &instance) != FFL_OK) return "
    "2;\n"
    "    if (ffl_instance_run(&instance, &x, 1, &y, 1, 1) != FFL_OK) return 3;\n"
    "    ffl_instance_free(&instance);\n"
    "    printf(\"%.3f of %zu variants\\n\", (double)y, ffl_registry_count());\n"
    "    return 0;\n"
    "}\n";

Test(plugin, a_program_links_the_library)
{
    static char script[4000];
    /* gelu(2) + 100·gelu(21): right child, by hand */
    snprintf(script, sizeof script,
             "cat > user.c <<'END'\n%sEND\n"
             "$CC $TEST_FLAGS -o user user.c $(pkg-config --cflags --libs --static fflab) && ./user",
             user_program);
    expect(script, 0, "2101.95", "");
}

/* Builds bad.so from a plugin with one thing wrong. */
static void expect_refusal(const char *edit, const char *says)
{
    static char script[1000];
    snprintf(script, sizeof script,
             "rm -f fff_bad.c && $FFLAB new fff_bad --out . >/dev/null && sed -i \"%s\" fff_bad.c &&"
             " $CC -shared -fPIC -w $(pkg-config --cflags fflab) fff_bad.c -o bad.so && $FFLAB list --plugin "
             "./bad.so",
             edit);
    expect(script, 1, "", says);
}

Test(plugin, what_is_no_plugin_is_refused_in_one_line)
{
    expect_refusal(
        "s/^FFL_PLUGIN(fff_bad);/const ffl_plugin ffl_plugin_entry = {FFL_ABI + 1, sizeof(ffl_variant), "
        "ffl_variants_fff_bad};/",
        "--plugin ./bad.so: built against interface");
    expect_refusal(
        "s/^FFL_PLUGIN(fff_bad);/const ffl_plugin ffl_plugin_entry = {FFL_ABI, sizeof(ffl_variant) - 8, "
        "ffl_variants_fff_bad};/",
        "rebuild it");
    expect_refusal("s/^FFL_PLUGIN(fff_bad);//", "--plugin ./bad.so: no ffl_plugin_entry");
    expect_refusal("s/\\.name = \\\"fff_bad\\\"/.name = \\\"ff_naive\\\"/", "'ff_naive'");
    expect_refusal("s/\\.name = \\\"fff_bad\\\"/.name = \\\"fff_naive\\\"/",
                   "a variant named 'fff_naive' already exists");
    expect_refusal("s/\\.name = \\\"fff_bad\\\"/.name = \\\"fff bad\\\"/", "'fff bad': the name must be");
    expect_refusal("s/\\.run = run/.run = 0/", "lacks a summary, source, prepare or run");
    expect_refusal("s/\\.family = FFL_NAIVE/.family = 99/", "outside its enumeration");
    expect_refusal(
        "s/^FFL_PLUGIN/extern int no_such_function(void); int (*use)(void) = no_such_function;\\nFFL_PLUGIN/",
        "undefined symbol: no_such_function");
    expect("echo 'not a library' > text.so; $FFLAB list --plugin ./text.so", 1, "",
           "--plugin ./text.so: not a shared object");
    expect("$FFLAB list --plugin ./absent.so", 1, "", "No such file");
    expect("mkdir d && $FFLAB list --plugin ./d", 1, "", "--plugin ./d: not a file");
    expect("head -c 2000 bad.so > half.so; $FFLAB list --plugin ./half.so", 1, "",
           "--plugin ./half.so: the file is cut short at 2000 bytes");
    /* Every segment begins inside the file, the last one does not end there. */
    expect("end=$(readelf -lW bad.so | awk '$1 == \"LOAD\" { offset = $2; size = $5 } END { print offset, "
           "size }') &&"
           " head -c $((${end% *} + ${end#* } - 4)) bad.so > cut.so; $FFLAB list --plugin ./cut.so",
           1, "", "--plugin ./cut.so: the file is cut short at");
}
