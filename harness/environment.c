#define _GNU_SOURCE
#include "harness/environment.h"
#include "harness/blas_cache.h"
#include "harness/blas_probe.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char guard[] = "FFLAB_BLAS";
static const char *const prefixes[] = {"OPENBLAS_", "GOTO", "BLIS_", "OMP_", "GOMP_", "KMP_", "MKL_", "DNNL_", "ONEDNN_"};
static const char *const quiet[][2] = {{"OPENBLAS_THREAD_TIMEOUT", "4"}, {"GOMP_SPINCOUNT", "0"}};

/* What is in the guard: {"overridden": [...], "openblas": {...}, "blis": {...}, "cblas": {...}}. */
static json_t *known;

/* ---- The user's variables ---- */

static bool concerns_blas(const char *variable)
{
    /* Names a threading library and cannot slow anything down by itself; without it oneMKL may not load. */
    if (strncmp(variable, "MKL_THREADING_LAYER=", 20) == 0)
        return false;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strncmp(variable, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

/* Removes them and returns them as an array of "NAME=value". */
static json_t *remove_variables(void)
{
    json_t *removed = json_array();
    for (char **e = environ; *e; e++)
        if (concerns_blas(*e) && strchr(*e, '='))
            json_array_append_new(removed, json_string(*e)); /* NULL, and skipped, when it is not UTF-8 */
    char *end;
    for (char **e = environ; *e;) {
        if (concerns_blas(*e) && (end = strchr(*e, '='))) {
            char *name = strndup(*e, (size_t)(end - *e));
            if (!name || unsetenv(name) != 0) /* unsetenv moves the rest down */
                e++;
            free(name);
        } else {
            e++;
        }
    }
    return removed;
}

static void put_variables(const json_t *removed)
{
    for (size_t i = 0; i < json_array_size(removed); i++) {
        const char *text = json_string_value(json_array_get(removed, i));
        const char *equals = strchr(text, '=');
        char *name = strndup(text, (size_t)(equals - text));
        if (name)
            setenv(name, equals + 1, 1);
        free(name);
    }
}

/* Those that do not already say what is set now. */
static json_t *overridden(const json_t *removed)
{
    json_t *changed = json_array();
    for (size_t i = 0; i < json_array_size(removed); i++) {
        const char *text = json_string_value(json_array_get(removed, i));
        const char *equals = strchr(text, '=');
        char *name = strndup(text, (size_t)(equals - text));
        const char *now = name ? getenv(name) : NULL;
        if (!now || strcmp(now, equals + 1) != 0)
            json_array_append_new(changed, json_string(text));
        free(name);
    }
    return changed;
}

/* ---- Finding the best families ---- */

static const char *provider_path(const ffl_options *options, ffl_library library)
{
    return library == FFL_CBLAS ? options->value[FFL_OPT_BLAS_LIBRARY] : NULL;
}

static bool wanted(const ffl_options *options, ffl_library library)
{
    return library != FFL_CBLAS || provider_path(options, library);
}

static ffl_status find_families(const ffl_options *options)
{
    for (int library = FFL_OPENBLAS; library <= FFL_CBLAS; library++) {
        const char *path = provider_path(options, (ffl_library)library);
        if (!wanted(options, (ffl_library)library))
            continue;
        json_t *entry = ffl_blas_cache_find((ffl_library)library, path);
        if (!entry) {
            FFL_TRY(ffl_blas_probe((ffl_library)library, path, &entry));
            ffl_blas_cache_store((ffl_library)library, path, entry);
        }
        json_object_set_new(known, ffl_library_name((ffl_library)library), entry);
    }
    return FFL_OK;
}

/* Measures the providers from `first` on as the environment now is, again where the first try was slow. */
static ffl_status measure_in_use(const ffl_options *options, ffl_library first)
{
    for (int library = (int)first; library <= FFL_CBLAS; library++) {
        json_t *entry = json_object_get(known, ffl_library_name((ffl_library)library));
        const char *best = json_string_value(json_object_get(entry, "best"));
        if (!best)
            continue;
        const double top = json_real_value(json_object_get(json_object_get(entry, "rates"), best));
        double rate = 0;
        for (int round = 0; round < 3 && !(rate >= 0.9 * top); round++) {
            double again = 0;
            FFL_TRY(ffl_blas_probe_here((ffl_library)library, provider_path(options, (ffl_library)library), 2,
                                        &again));
            rate = again > rate ? again : rate;
        }
        json_object_set_new(entry, "in_use", json_real(rate));
    }
    return FFL_OK;
}

/* The first provider that has a say decides: --blas-library only where the distribution's is missing. */
static void set_variables(void)
{
    for (size_t i = 0; i < sizeof quiet / sizeof *quiet; i++)
        setenv(quiet[i][0], quiet[i][1], 1);
    for (int library = FFL_OPENBLAS; library <= FFL_CBLAS; library++) {
        const json_t *entry = json_object_get(known, ffl_library_name((ffl_library)library));
        const char *variable = json_string_value(json_object_get(entry, "variable"));
        const char *setting = json_string_value(json_object_get(entry, "setting"));
        if (variable && *variable && setting && *setting)
            setenv(variable, setting, 0);
    }
}

static ffl_status set_guard(void)
{
    char *text = json_dumps(known, JSON_COMPACT | JSON_REAL_PRECISION(6));
    const int failed = !text || setenv(guard, text, 1) != 0;
    free(text);
    return failed ? ffl_fail(FFL_NO_MEMORY, "no memory for the environment") : FFL_OK;
}

/* ---- Entering ---- */

static ffl_status prepare_environment(const ffl_options *options, bool keep)
{
    json_t *removed = remove_variables();
    for (size_t i = 0; i < sizeof quiet / sizeof *quiet; i++)
        setenv(quiet[i][0], quiet[i][1], 1);
    setenv(guard, "{}", 1); /* the workers that measure must not measure */
    ffl_status status = find_families(options);
    if (status == FFL_OK && keep) {
        json_decref(remove_variables());
        put_variables(removed);
        status = measure_in_use(options, FFL_OPENBLAS);
    } else if (status == FFL_OK) {
        set_variables();
        json_object_set_new(known, "overridden", overridden(removed));
        /* A CBLAS of the same make as one of the others shares its variable, but perhaps not its answer. */
        status = measure_in_use(options, FFL_CBLAS);
    }
    json_decref(removed);
    return status == FFL_OK ? set_guard() : status;
}

ffl_status ffl_environment_enter(char **argv, const ffl_options *options)
{
    const char *inherited = getenv(guard);
    json_decref(known);
    known = inherited ? json_loads(inherited, 0, NULL) : NULL;
    if (json_is_object(known))
        return FFL_OK;
    json_decref(known);
    known = json_object();
    if (!ffl_command_takes(options->command, FFL_OPT_KEEP_BLAS_ENVIRONMENT))
        return FFL_OK;
    const bool keep = ffl_option_given(options, FFL_OPT_KEEP_BLAS_ENVIRONMENT);
    FFL_TRY(prepare_environment(options, keep));
    if (keep)
        return FFL_OK; /* libraries were opened in workers only: this process has read nothing yet */
    execv("/proc/self/exe", argv);
    return ffl_fail(FFL_IO, "the program could not be started again: %s", strerror(errno));
}

/* ---- Questions ---- */

/* The rate of what the provider runs, 0 when unknown. */
static double rate_in_use(const json_t *entry, const ffl_blas *blas)
{
    const json_t *in_use = json_object_get(entry, "in_use");
    return json_real_value(in_use ? in_use : json_object_get(json_object_get(entry, "rates"), blas->family));
}

static double best_rate(const json_t *entry, const char **best)
{
    *best = json_string_value(json_object_get(entry, "best"));
    return *best ? json_real_value(json_object_get(json_object_get(entry, "rates"), *best)) : 0;
}

bool ffl_blas_handicapped(const ffl_blas *blas, const char **why)
{
    static _Thread_local char reason[512];
    const json_t *entry = json_object_get(known, ffl_library_name(blas->library));
    const char *best;
    const double top = best_rate(entry, &best), rate = rate_in_use(entry, blas);
    *why = reason;
    reason[0] = '\0';
    if (!best || rate >= 0.9 * top)
        return false;
    if (rate > 0)
        snprintf(reason, sizeof reason, "%s runs '%s' kernels at %.1f GFLOP/s; its '%s' kernels reach %.1f",
                 ffl_library_name(blas->library), blas->family, rate, best, top);
    else
        snprintf(reason, sizeof reason,
                 "%s runs '%s' kernels, which were not measured; its '%s' kernels reach %.1f",
                 ffl_library_name(blas->library), blas->family, best, top);
    return true;
}

const char *ffl_environment_overridden(void)
{
    static _Thread_local char text[1024];
    const json_t *list = json_object_get(known, "overridden");
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < json_array_size(list) && used < sizeof text; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i ? " " : "",
                                 json_string_value(json_array_get(list, i)));
    return text;
}

json_t *ffl_environment_providers(void)
{
    json_t *list = json_array();
    for (int library = FFL_OPENBLAS; library <= FFL_CBLAS; library++) {
        const ffl_blas *blas = ffl_blas_open((ffl_library)library);
        if (!blas)
            continue;
        const json_t *entry = json_object_get(known, ffl_library_name(blas->library));
        const char *best, *why;
        const double top = best_rate(entry, &best);
        const bool slow = ffl_blas_handicapped(blas, &why);
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:f, s:s, s:f, s:b, s:s}", "library",
                                              ffl_library_name(blas->library), "path", blas->path, "version",
                                              blas->version, "family", blas->family, "gflops",
                                              rate_in_use(entry, blas), "best_family", best ? best : "",
                                              "best_gflops", top, "handicapped", slow, "reason", why));
    }
    return list;
}
