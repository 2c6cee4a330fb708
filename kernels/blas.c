#define _GNU_SOURCE
#include "kernels/blas.h"
#include "kernels/cpu.h"
#include "kernels/memory_left.h"
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_MAX = 5 };

/* File names to try, the one of the distributions first. */
static const char *const file_names[FFL_LIBRARY_COUNT][NAMES_MAX] = {
    [FFL_OPENBLAS] = {"libopenblas.so.0", "libopenblasp.so.0", "libopenblaso.so.0", "libopenblas.so"},
    [FFL_BLIS] = {"libblis.so.4", "libblis.so.5", "libblis-mt.so", "libblis.so"},
};

typedef struct provider {
    ffl_blas blas;
    bool tried, open;
    char reason[600]; /* why it cannot be had */
} provider;

/* What OpenBLAS asks for per thread, and once more: 128 MB in 0.3.21. */
enum { OPENBLAS_BUFFER = 129 << 20 };

static provider providers[FFL_LIBRARY_COUNT];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char cblas_path[4096];

void ffl_blas_set_path(const char *path)
{
    /* Without a slash dlopen searches the library path; this is a file that the user named. */
    snprintf(cblas_path, sizeof cblas_path, "%s%s", strchr(path, '/') ? "" : "./", path);
}

/* ---- What the library says about itself. By symbol, not by name: a CBLAS may be one of these too. ---- */

/* dlsym's object pointer as a function pointer, which C cannot cast. */
static void (*symbol(void *handle, const char *name))(void)
{
    void (*function)(void) = NULL;
    void *address = dlsym(handle, name);
    memcpy(&function, &address, sizeof address);
    return function;
}

static void describe_openblas(ffl_blas *blas, void *handle)
{
    char *(*config)(void) = (char *(*)(void))symbol(handle, "openblas_get_config");
    char *(*core_name)(void) = (char *(*)(void))symbol(handle, "openblas_get_corename");
    if (config)
        snprintf(blas->version, sizeof blas->version, "%s", config());
    if (core_name)
        snprintf(blas->family, sizeof blas->family, "%s", core_name());
    blas->set_threads = (void (*)(int))symbol(handle, "openblas_set_num_threads");
}

static void describe_blis(ffl_blas *blas, void *handle)
{
    const char *(*version)(void) = (const char *(*)(void))symbol(handle, "bli_info_get_version_str");
    int (*query)(void) = (int (*)(void))symbol(handle, "bli_arch_query_id");
    blas->family_name = (const char *(*)(int))symbol(handle, "bli_arch_string");
    if (version)
        snprintf(blas->version, sizeof blas->version, "BLIS %s", version());
    if (query && blas->family_name)
        snprintf(blas->family, sizeof blas->family, "%s", blas->family_name(query()));
    blas->set_threads_wide = (void (*)(int64_t))symbol(handle, "bli_thread_set_num_threads");
}

static void describe_mkl(ffl_blas *blas, void *handle)
{
    void (*version)(char *, int) = (void (*)(char *, int))symbol(handle, "mkl_get_version_string");
    if (version) {
        version(blas->version, (int)sizeof blas->version);
        blas->version[sizeof blas->version - 1] = '\0';
        blas->version[strcspn(blas->version, "\n")] = '\0';
    }
    blas->set_threads = (void (*)(int))symbol(handle, "MKL_Set_Num_Threads");
}

static void describe(ffl_blas *blas, void *handle)
{
    if (dlsym(handle, "openblas_get_config"))
        describe_openblas(blas, handle);
    else if (dlsym(handle, "bli_thread_set_num_threads"))
        describe_blis(blas, handle);
    else
        describe_mkl(blas, handle);
    const struct link_map *map = NULL;
    if (dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 && map) {
        char *real = realpath(map->l_name, NULL);
        snprintf(blas->path, sizeof blas->path, "%s", real ? real : map->l_name);
        free(real);
    }
}

/* ---- Opening ---- */

static bool load_functions(ffl_blas *blas, void *handle, const char **missing)
{
#define LOAD(field, name)                                                                                    \
    if (!(blas->field = (__typeof__(blas->field))symbol(handle, name))) {                                    \
        *missing = name;                                                                                     \
        return false;                                                                                        \
    }
    LOAD(sdot, "cblas_sdot")
    LOAD(saxpy, "cblas_saxpy")
    LOAD(sgemv, "cblas_sgemv")
    LOAD(sger, "cblas_sger")
    LOAD(sgemm, "cblas_sgemm")
#undef LOAD
    blas->sgemv_batch_strided =
        (__typeof__(blas->sgemv_batch_strided))symbol(handle, "cblas_sgemv_batch_strided");
    return true;
}

/* A name is no proof: [1 2; 3 4]·[5 6; 7 8] + C. */
static bool multiplies(const ffl_blas *blas)
{
    const float a[] = {1, 2, 3, 4}, b[] = {5, 6, 7, 8};
    float c[] = {1, 1, 1, 1};
    blas->sgemm(FFL_ROW_MAJOR, FFL_NO_TRANS, FFL_NO_TRANS, 2, 2, 2, 1.0f, a, 2, b, 2, 1.0f, c, 2);
    return c[0] == 20 && c[1] == 23 && c[2] == 44 && c[3] == 51;
}

/* Two vectors times one matrix, its stride 0: not every library may allow that. */
static bool multiplies_batched(const ffl_blas *blas)
{
    const float a[] = {1, 2, 3, 4}, x[] = {5, 6, 7, 8};
    float y[] = {1, 1, 1, 1};
    blas->sgemv_batch_strided(FFL_ROW_MAJOR, FFL_NO_TRANS, 2, 2, 1.0f, a, 2, 0, x, 1, 2, 1.0f, y, 1, 2, 2);
    return y[0] == 18 && y[1] == 40 && y[2] == 24 && y[3] == 54;
}

/* The object that serves `name` through this handle: itself, or one that it is linked against. */
static const void *object_of(void *handle, const char *name)
{
    Dl_info info;
    void *address = dlsym(handle, name);
    return address && dladdr(address, &info) ? info.dli_fbase : NULL;
}

static const char *const telling[] = {"cblas_sgemm", "openblas_set_num_threads", "bli_thread_set_num_threads",
                                      "MKL_Set_Num_Threads"};
enum { TELLING_COUNT = sizeof telling / sizeof *telling };
static const void *objects[FFL_LIBRARY_COUNT][TELLING_COUNT];

/* Two providers in one object would share thread settings and be one measurement under two names. */
static const provider *same_object(ffl_library library)
{
    for (int other = 0; other < FFL_LIBRARY_COUNT; other++)
        for (int mine = 0; mine < TELLING_COUNT && other != (int)library && providers[other].open; mine++)
            for (int theirs = 0; theirs < TELLING_COUNT; theirs++)
                if (objects[library][mine] && objects[library][mine] == objects[other][theirs])
                    return &providers[other];
    return NULL;
}

static void *open_file(ffl_library library, char *reason, size_t size)
{
    if (library == FFL_CBLAS) {
        void *handle = dlopen(cblas_path, RTLD_NOW | RTLD_LOCAL);
        if (!handle)
            snprintf(reason, size, "--blas-library %s", dlerror());
        return handle;
    }
    reason[0] = '\0';
    for (int i = 0; i < NAMES_MAX && file_names[library][i]; i++) {
        void *handle = dlopen(file_names[library][i], RTLD_NOW | RTLD_LOCAL);
        if (handle)
            return handle;
        if (i == 0) /* the later names are only fallbacks: their absence explains nothing */
            snprintf(reason, size, "%s: %s", ffl_library_name(library), dlerror());
    }
    return NULL;
}

static bool enabled(ffl_library library)
{
    return library == FFL_OPENBLAS ? FFL_WITH_OPENBLAS : library == FFL_BLIS ? FFL_WITH_BLIS : true;
}

static bool open_provider(ffl_library library, provider *p)
{
    char name[400];
    snprintf(name, sizeof name, "%s%.380s", library == FFL_CBLAS ? "--blas-library " : "",
             library == FFL_CBLAS ? cblas_path : ffl_library_name(library));
    if (!enabled(library)) {
        snprintf(p->reason, sizeof p->reason, "%.400s: left out of this build (-D%.20s=disabled)", name,
                 name);
        return false;
    }
    if (library == FFL_CBLAS && !cblas_path[0]) {
        snprintf(p->reason, sizeof p->reason, "no further CBLAS was given (--blas-library FILE.so)");
        return false;
    }
    /* A global cblas_sgemm, linked or preloaded, would capture the internal calls of what is opened here. */
    Dl_info info;
    void *global = dlsym(RTLD_DEFAULT, "cblas_sgemm");
    if (global) {
        snprintf(p->reason, sizeof p->reason, "%.400s: a BLAS is linked or preloaded into this process (%s)",
                 name, dladdr(global, &info) ? info.dli_fname : "unknown file");
        return false;
    }
    /* Each of its threads waits for its buffer for ever, even when the program is to end. */
    const size_t buffers = ((size_t)ffl_machine_host()->cpus + 1) * OPENBLAS_BUFFER;
    if (library == FFL_OPENBLAS && ffl_address_space_left() < buffers) {
        snprintf(p->reason, sizeof p->reason, "%.400s: takes %zu MB, and ulimit -v leaves %zu MB", name,
                 buffers >> 20, ffl_address_space_left() >> 20);
        return false;
    }
    void *handle = open_file(library, p->reason, sizeof p->reason);
    if (!handle)
        return false;
    const char *missing = NULL;
    if (!load_functions(&p->blas, handle, &missing)) {
        snprintf(p->reason, sizeof p->reason, "%.400s: not a CBLAS library: it has no %s", name, missing);
        return false; /* stays mapped: unloading a library that started threads is not safe */
    }
    for (int i = 0; i < TELLING_COUNT; i++)
        objects[library][i] = object_of(handle, telling[i]);
    const provider *twin = same_object(library);
    if (twin) {
        snprintf(p->reason, sizeof p->reason,
                 "%.400s: is the library already open as %s (%s); name another one", name,
                 ffl_library_name(twin->blas.library), twin->blas.path);
        return false;
    }
    /* Multiplied before it is asked anything: with BLIS_ARCH_TYPE set, BLIS 0.9 aborts in
     * bli_arch_query_id unless a first call has initialised it. */
    if (!multiplies(&p->blas)) {
        snprintf(p->reason, sizeof p->reason,
                 "%.400s: cblas_sgemm multiplies two 2x2 matrices wrongly (64-bit integers?)", name);
        return false;
    }
    if (p->blas.sgemv_batch_strided && !multiplies_batched(&p->blas))
        p->blas.sgemv_batch_strided = NULL;
    describe(&p->blas, handle);
    ffl_blas_use(&p->blas, 1);
    return true;
}

static void open_once(ffl_library library)
{
    provider *p = &providers[library];
    if (p->tried)
        return;
    p->tried = true;
    p->blas.library = library;
    p->open = open_provider(library, p);
}

ffl_blas *ffl_blas_open(ffl_library library)
{
    provider *p = &providers[library];
    pthread_mutex_lock(&lock);
    if (library == FFL_CBLAS && cblas_path[0]) { /* it must be neither of the others: know them first */
        open_once(FFL_OPENBLAS);
        open_once(FFL_BLIS);
    }
    open_once(library);
    pthread_mutex_unlock(&lock);
    if (p->open)
        return &p->blas;
    ffl_fail(FFL_UNSUPPORTED, "%s", p->reason);
    return NULL;
}

/* ---- What the variants share ---- */

bool ffl_blas_supports(const ffl_layer *shape, size_t tokens, const char **why)
{
    *why = "a size exceeds the library's 32-bit integers";
    return shape->width_in <= INT32_MAX && shape->width_out <= INT32_MAX && shape->neurons <= INT32_MAX &&
           tokens <= INT32_MAX;
}

ffl_status ffl_blas_prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)layer;
    (void)machine;
    plan->state = ffl_blas_open(plan->variant->library);
    return plan->state ? FFL_OK : FFL_UNSUPPORTED;
}
