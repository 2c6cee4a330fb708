/* The program runs every BLAS with its best kernels, whatever the environment says, or says that it does not.
 */
#define _GNU_SOURCE
#include "kernels/blas.h"
#include "run_program.h"
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static run_result result;

/* Runs `<prefix> fflab list --json <suffix>`, which must succeed; returns the document. */
static json_t *list_json(const char *prefix, const char *suffix)
{
    char command[1024];
    snprintf(command, sizeof command, "%s $FFLAB list -v ff_naive --json %s", prefix, suffix);
    run_shell(command, &result);
    cr_assert_eq(result.exit_code, 0, "%s: exit code %d: %s", command, result.exit_code, result.err);
    json_t *document = json_loads(result.out, 0, NULL);
    cr_assert(json_is_array(json_object_get(document, "blas")), "%s", command);
    return document;
}

static const char *text(const json_t *provider, const char *key)
{
    const char *value = json_string_value(json_object_get(provider, key));
    cr_assert_not_null(value, "no %s", key);
    return value;
}

/* Settings that are slow on any CPU this lab runs on. */
static void slow_settings(char *out, size_t size)
{
    const ffl_blas *blis = ffl_blas_open(FFL_BLIS);
    int generic = 0;
    while (blis && blis->family_name && generic < 64 && strcmp(blis->family_name(generic), "generic") != 0)
        generic++;
#if defined(__x86_64__)
    snprintf(out, size, "OPENBLAS_CORETYPE=Prescott BLIS_ARCH_TYPE=%d", generic);
#else
    snprintf(out, size, "BLIS_ARCH_TYPE=%d", generic);
#endif
}

Test(environment, a_slow_family_is_overridden_and_the_best_one_runs)
{
    char slow[128];
    slow_settings(slow, sizeof slow);
    json_t *document = list_json(slow, "");
    const json_t *providers = json_object_get(document, "blas");
    for (size_t i = 0; i < json_array_size(providers); i++) {
        const json_t *p = json_array_get(providers, i);
        cr_assert(json_is_false(json_object_get(p, "handicapped")), "%s", text(p, "reason"));
        cr_assert_str_eq(text(p, "family"), text(p, "best_family"));
        cr_assert_gt(json_real_value(json_object_get(p, "gflops")), 0);
    }
    if (json_array_size(providers))
        cr_assert(strstr(text(document, "overridden"), "BLIS_ARCH_TYPE="), "%s",
                  text(document, "overridden"));
    json_decref(document);
}

Test(environment, a_slow_family_that_is_kept_is_flagged)
{
    char slow[128];
    slow_settings(slow, sizeof slow);
    json_t *document = list_json(slow, "--keep-blas-environment");
    const json_t *providers = json_object_get(document, "blas");
    for (size_t i = 0; i < json_array_size(providers); i++) {
        const json_t *p = json_array_get(providers, i);
        if (strcmp(text(p, "library"), "openblas") == 0 && !strstr(slow, "OPENBLAS"))
            continue;
        cr_assert(json_is_true(json_object_get(p, "handicapped")), "%s: %s is not slower than %s",
                  text(p, "library"), text(p, "family"), text(p, "best_family"));
        cr_assert(strstr(text(p, "reason"), text(p, "best_family")), "%s", text(p, "reason"));
    }
    cr_assert_str_eq(text(document, "overridden"), "");
    json_decref(document);
}

Test(environment, nothing_to_override_is_nothing_to_report)
{
    json_t *document = list_json("env -u OMP_NUM_THREADS OPENBLAS_THREAD_TIMEOUT=4", "");
    cr_assert_null(strstr(text(document, "overridden"), "TIMEOUT"), "%s", text(document, "overridden"));
    json_decref(document);
}

/* The first provider's rate. */
static double listed_rate(const char *prefix)
{
    json_t *document = list_json(prefix, "");
    const double rate =
        json_real_value(json_object_get(json_array_get(json_object_get(document, "blas"), 0), "gflops"));
    json_decref(document);
    return rate;
}

Test(environment, rates_come_from_the_cache_while_it_holds)
{
    if (!ffl_blas_open(FFL_OPENBLAS) && !ffl_blas_open(FFL_BLIS))
        cr_skip_test("no BLAS here");
    char folder[] = "/tmp/fflab-cache-XXXXXX", prefix[96], command[512];
    cr_assert_not_null(mkdtemp(folder));
    snprintf(prefix, sizeof prefix, "FFLAB_CACHE_DIR=%s", folder);
    listed_rate(prefix);
    /* A rate that no machine has shows where the next answer comes from. */
    snprintf(command, sizeof command, "sed -i -E 's/^( *\"[A-Za-z0-9]+\": )[0-9.]+/\\176543.0/' %s/*.json",
             folder);
    run_shell(command, &result);
    cr_assert_eq(result.exit_code, 0);
    cr_assert_eq(listed_rate(prefix), 76543.0);
    /* Another library file at the same place: measured again. */
    snprintf(command, sizeof command, "sed -i -E 's/(\"identity\": \")/\\10/' %s/*.json", folder);
    run_shell(command, &result);
    cr_assert_lt(listed_rate(prefix), 76543.0);
    /* Rubbish: measured again, and replaced. */
    snprintf(command, sizeof command, "printf '[1' > %s/blas-families.json", folder);
    run_shell(command, &result);
    cr_assert_gt(listed_rate(prefix), 0.0);
    snprintf(command, sizeof command, "grep -q rates %s/*.json && rm -r %s", folder, folder);
    run_shell(command, &result);
    cr_assert_eq(result.exit_code, 0, "nothing was written back");
}

Test(environment, a_cache_that_cannot_be_written_is_no_error)
{
    json_t *document = list_json("FFLAB_CACHE_DIR=/proc/nowhere", "");
    json_decref(document);
}

Test(environment, a_wrong_blas_library_is_one_line_and_exit_code_1)
{
    static const char *const wrong[][2] = {
        {"/nonexistent.so", "/nonexistent.so"},
        {"/etc/passwd", "/etc/passwd"},
        {"$(ls /lib*/*/libm.so.6 /lib*/libm.so.6 2>&- | head -1)", "cblas_"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char command[512];
        snprintf(command, sizeof command, "$FFLAB list --blas-library %s", wrong[i][0]);
        run_shell(command, &result);
        cr_assert_eq(result.exit_code, 1, "%s", wrong[i][0]);
        cr_assert(strstr(result.err, "--blas-library") && strstr(result.err, wrong[i][1]), "%s", result.err);
        cr_assert_eq(strchr(result.err, '\n'), result.err + strlen(result.err) - 1, "%s", result.err);
    }
}

Test(environment, the_program_links_no_blas_not_even_indirectly)
{
    run_shell("LD_TRACE_LOADED_OBJECTS=1 $FFLAB", &result); /* the loader lists what it would map */
    if (!strstr(result.out, "libc."))
        cr_skip_test("the loader does not list libraries here");
    static const char *const names[] = {"blas", "blis", "mkl", "lapack", "atlas"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        cr_assert_null(strstr(result.out, names[i]), "%s", result.out);
}
