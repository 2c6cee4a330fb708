#define _GNU_SOURCE
#include "harness/blas_probe.h"
#include "kernels/blas.h"
#include "kernels/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { SIZE = 384, CANDIDATES_MAX = 24, FAMILIES_MAX = 64, ROUNDS = 4, TIMEOUT_S = 20 };

/* ---- In the worker ---- */

/* Of this thread, which does all the work: other programs on a busy machine do not count. */
static double thread_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* GFLOP/s of the fastest of at least four products, more while 60 ms last. */
static double measure(const ffl_blas *blas, float *a, float *b, float *c)
{
    double best = 0, last = thread_seconds();
    const double end = last + 0.06;
    for (int i = 0; i < 4 || last < end; i++) {
        blas->sgemm(FFL_ROW_MAJOR, FFL_NO_TRANS, FFL_TRANS, SIZE, SIZE, SIZE, 1.0f, a, SIZE, b, SIZE, 0.0f, c,
                    SIZE);
        const double now = thread_seconds();
        const double rate = 2e-9 * SIZE * SIZE * SIZE / (now - last);
        if (i > 0 && rate > best) /* the first one maps buffers */
            best = rate;
        last = now;
    }
    return best;
}

static json_t *family_names(const ffl_blas *blas)
{
    json_t *names = json_array();
    for (int i = 0; blas->family_name && i < FAMILIES_MAX; i++) {
        const char *name = blas->family_name(i);
        if (!name)
            break;
        json_array_append_new(names, json_string(name));
        if (strcmp(name, "generic") == 0)
            break; /* the table ends here, and nothing else says so */
    }
    return names;
}

ffl_status ffl_blas_rate_job(const json_t *request, ffl_answer *answer)
{
    /* A family that this CPU cannot run ends here with a signal: an expected answer, no news and no core. */
    setrlimit(RLIMIT_CORE, &(struct rlimit){0});
    if (!freopen("/dev/null", "w", stderr))
        return ffl_fail(FFL_IO, "/dev/null cannot be opened");
    const char *path = json_string_value(json_object_get(request, "path"));
    if (path)
        ffl_blas_set_path(path);
    ffl_blas *blas = ffl_blas_open((ffl_library)json_integer_value(json_object_get(request, "library")));
    if (!blas)
        return ffl_answer_send(answer, json_pack("{s:s}", "path", ""));
    float *a = ffl_alloc_array(3 * SIZE * SIZE, sizeof *a);
    if (!a)
        return FFL_NO_MEMORY;
    for (size_t i = 0; i < (size_t)2 * SIZE * SIZE; i++)
        a[i] = (float)(i % 17) - 8.0f;
    const double rate = measure(blas, a, a + SIZE * SIZE, a + 2 * SIZE * SIZE);
    ffl_free(a);
    return ffl_answer_send(answer, json_pack("{s:s, s:s, s:s, s:f, s:o}", "path", blas->path, "version",
                                             blas->version, "family", blas->family, "gflops", rate,
                                             "families", family_names(blas)));
}

/* ---- In the parent ---- */

static ffl_status take_answer(void *user, size_t index, const json_t *line)
{
    json_t **answer = user;
    (void)index;
    json_decref(*answer);
    *answer = json_deep_copy(line);
    return FFL_OK;
}

static ffl_status end_of_job(void *user, size_t index, ffl_job_end end, const char *message)
{
    (void)user, (void)index, (void)end, (void)message; /* no answer says enough */
    return FFL_OK;
}

/* One worker, one measurement. *answer is NULL when the worker died or the library could not be had. */
static ffl_status probe_once(ffl_library library, const char *path, json_t **answer)
{
    *answer = NULL;
    json_t *request = json_pack("{s:i, s:s*}", "library", (int)library, "path", path);
    const ffl_job job = {.request = request, .timeout_s = TIMEOUT_S};
    const ffl_job_listener listener = {.user = answer, .answer = take_answer, .end = end_of_job};
    const ffl_status status = ffl_jobs_run("blas-rate", NULL, &job, 1, 1, &listener);
    json_decref(request);
    const char *found = json_string_value(json_object_get(*answer, "path"));
    if (status != FFL_OK || !found || !*found) {
        json_decref(*answer);
        *answer = NULL;
    }
    return status;
}

typedef struct candidate {
    char setting[24]; /* "" = the library's own choice */
    char family[64];  /* as it calls itself; "" until it answered */
    double gflops;
} candidate;

typedef struct candidate_list {
    const char *variable;
    candidate item[CANDIDATES_MAX];
    size_t count;
} candidate_list;

/* Families worth a trial: AVX2 and newer; the library's own choice comes first and covers the rest. */
#if defined(__x86_64__)
static const char *const openblas_families[] = {"SkylakeX",   "Haswell",        "Zen",
                                                "Cooperlake", "SapphireRapids", NULL};
static const char *const blis_families[] = {"skx", "haswell", "zen", "zen2", "zen3", "zen4", "zen5", NULL};
#else
static const char *const openblas_families[] = {"NEOVERSEN1", "NEOVERSEN2", "NEOVERSEV1", "ARMV8SVE",
                                                "CORTEXA57",  "A64FX",      "ARMV8",      NULL};
static const char *const blis_families[] = {"cortexa57", "thunderx2", "firestorm", "armsve", "a64fx", NULL};
#endif

static void add_candidate(candidate_list *list, const char *setting)
{
    if (list->count < CANDIDATES_MAX)
        snprintf(list->item[list->count++].setting, sizeof list->item->setting, "%s", setting);
}

/* `answer` of the library as it comes tells what it is and, for BLIS, how its families are numbered. */
static void list_candidates(const json_t *answer, candidate_list *list)
{
    const char *version = json_string_value(json_object_get(answer, "version"));
    const json_t *names = json_object_get(answer, "families");
    add_candidate(list, "");
    if (version && strncmp(version, "OpenBLAS", 8) == 0) {
        list->variable = "OPENBLAS_CORETYPE";
        for (size_t i = 0; openblas_families[i]; i++)
            add_candidate(list, openblas_families[i]);
    } else if (json_array_size(names) > 0) {
        list->variable = "BLIS_ARCH_TYPE";
        for (size_t i = 0; blis_families[i]; i++)
            for (size_t n = 0; n < json_array_size(names); n++)
                if (strcmp(json_string_value(json_array_get(names, n)), blis_families[i]) == 0) {
                    char number[24]; /* BLIS 0.9 reads a name as 0 */
                    snprintf(number, sizeof number, "%zu", n);
                    add_candidate(list, number);
                }
    }
}

static ffl_status measure_candidate(ffl_library library, const char *path, const char *variable, candidate *c)
{
    if (variable && c->setting[0])
        setenv(variable, c->setting, 1);
    json_t *answer;
    const ffl_status status = probe_once(library, path, &answer);
    if (variable)
        unsetenv(variable);
    if (answer) {
        const double rate = json_real_value(json_object_get(answer, "gflops"));
        snprintf(c->family, sizeof c->family, "%s", json_string_value(json_object_get(answer, "family")));
        c->gflops = rate > c->gflops ? rate : c->gflops;
    }
    json_decref(answer);
    return status;
}

/* Leaves one candidate per family that answered, with a setting that names it where there is one. */
static void merge_families(candidate_list *list)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        const candidate c = list->item[i];
        size_t same = 0;
        while (same < kept && strcmp(list->item[same].family, c.family) != 0)
            same++;
        if (c.gflops <= 0)
            continue;
        if (same == kept)
            list->item[kept++] = c;
        else if (list->item[same].setting[0] == '\0')
            memcpy(list->item[same].setting, c.setting, sizeof c.setting);
        if (c.gflops > list->item[same].gflops)
            list->item[same].gflops = c.gflops;
    }
    list->count = kept;
}

static double top_rate(const candidate_list *list)
{
    double top = 0;
    for (size_t i = 0; i < list->count; i++)
        top = list->item[i].gflops > top ? list->item[i].gflops : top;
    return top;
}

static json_t *result_json(const json_t *first, const candidate_list *list)
{
    json_t *rates = json_object();
    /* The library's own choice is item 0: not left for what noise made 3 % faster. */
    size_t best = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (list->item[i].gflops * 0.97 > list->item[best].gflops)
            best = i;
        json_object_set_new(rates, list->item[i].family, json_real(list->item[i].gflops));
    }
    return json_pack("{s:O, s:O, s:s, s:s, s:s, s:o}", "path", json_object_get(first, "path"), "version",
                     json_object_get(first, "version"), "best", list->item[best].family, "variable",
                     list->variable ? list->variable : "", "setting", list->item[best].setting, "rates",
                     rates);
}

ffl_status ffl_blas_probe(ffl_library library, const char *path, json_t **result)
{
    json_t *first;
    candidate_list list = {0};
    *result = NULL;
    FFL_TRY(probe_once(library, path, &first));
    if (!first) {
        *result = json_pack("{s:s}", "path", "");
        return FFL_OK;
    }
    list_candidates(first, &list);
    /* All once, so that hopeless ones cost one trial; then the contenders in turn, so that a busy moment of
     * the machine does not hit one of them alone. */
    ffl_status status = FFL_OK;
    for (size_t i = 0; i < list.count && status == FFL_OK; i++)
        status = measure_candidate(library, path, list.variable, &list.item[i]);
    merge_families(&list);
    for (int round = 1; round < ROUNDS; round++)
        for (size_t i = 0; i < list.count && list.count > 1 && status == FFL_OK; i++)
            if (list.item[i].gflops > 0.75 * top_rate(&list))
                status = measure_candidate(library, path, list.variable, &list.item[i]);
    if (status == FFL_OK)
        *result = list.count ? result_json(first, &list) : json_pack("{s:s}", "path", "");
    json_decref(first);
    return status;
}

ffl_status ffl_blas_probe_here(ffl_library library, const char *path, int rounds, double *gflops)
{
    candidate here = {0};
    for (int round = 0; round < rounds; round++)
        FFL_TRY(measure_candidate(library, path, NULL, &here));
    *gflops = here.gflops;
    return FFL_OK;
}
