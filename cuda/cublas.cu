/* kernels/cublas.h: finds and opens the library. */
#if __has_include(<cublasLt.h>)
#include "cuda/cublas.cuh"
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *const names[] = {"libcublasLt.so.13", "libcublasLt.so.12"};
static const char *const folders[] = {"", FFL_CUDA_TOOLKIT "/lib64/", "/usr/local/cuda/lib64/"};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static ffl_cublas library;
static ffl_cublas_functions functions;
static char reason[700];

/* True when the file could be opened and has all functions. */
static bool try_file(const char *path)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        if (!reason[0])
            snprintf(reason, sizeof reason, "cublas: %.600s", dlerror());
        return false;
    }
#define FIND(name)                                                                                           \
    functions.name = (decltype(functions.name))dlsym(handle, #name);                                         \
    if (!functions.name) {                                                                                   \
        snprintf(reason, sizeof reason, "cublas: %.400s has no " #name, path);                               \
        dlclose(handle);                                                                                     \
        return false;                                                                                        \
    }
    FFL_CUBLAS_FUNCTIONS(FIND)
#undef FIND
    Dl_info info;
    const bool known = dladdr((void *)functions.cublasLtMatmul, &info) && info.dli_fname;
    snprintf(library.path, sizeof library.path, "%s", known ? info.dli_fname : path);
    return true;
}

static bool is_folder(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static bool find(void)
{
    const char *given = getenv("FFLAB_CUBLAS");
    char path[600];
    if (given && given[0] && !is_folder(given)) {
        /* With a slash: a file that the user names is not searched for. */
        snprintf(path, sizeof path, "%s%.590s", strchr(given, '/') ? "" : "./", given);
        return try_file(path);
    }
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        if (given && given[0]) {
            snprintf(path, sizeof path, "%.500s/%s", given, names[n]);
            if (try_file(path))
                return true;
            continue;
        }
        for (size_t f = 0; f < sizeof folders / sizeof *folders; f++) {
            snprintf(path, sizeof path, "%s%s", folders[f], names[n]);
            if (try_file(path))
                return true;
        }
    }
    return false;
}

static void open_once(void)
{
    if (!find()) {
        library.path[0] = '\0';
        return;
    }
    reason[0] = '\0';
    const size_t v = functions.cublasLtGetVersion();
    snprintf(library.version, sizeof library.version, "cuBLASLt %zu.%zu.%zu", v / 10000, v / 100 % 100,
             v % 100);
}

const ffl_cublas *ffl_cublas_open(void)
{
    pthread_once(&once, open_once);
    if (library.path[0])
        return &library;
    ffl_fail(FFL_UNSUPPORTED, "%s%s", reason,
             getenv("FFLAB_CUBLAS") ? " (FFLAB_CUBLAS)" : "; FFLAB_CUBLAS=FOLDER names another place");
    return NULL;
}

const ffl_cublas_functions *ffl_cublas_table(void)
{
    return ffl_cublas_open() ? &functions : NULL;
}

#else
#include "kernels/cublas.h"

const ffl_cublas *ffl_cublas_open(void)
{
    ffl_fail(FFL_UNSUPPORTED, "cublas: the toolkit that built this program had no cublasLt.h");
    return nullptr;
}
#endif
