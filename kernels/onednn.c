#define _GNU_SOURCE
#include "kernels/onednn.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static ffl_onednn library;
static char reason[400];
static pthread_once_t once = PTHREAD_ONCE_INIT;

void (*ffl_onednn_function(const ffl_onednn *from, const char *name))(void)
{
    void (*function)(void) = NULL;
    void *address = dlsym(from->handle, name);
    memcpy(&function, &address, sizeof address);
    return function;
}

/* Values of dnnl_cpu_isa_t; what is not listed is told as a number. */
static void tell_family(int isa)
{
    static const struct {
        int value;
        const char *name;
    } names[] = {{0x1, "sse41"},
                 {0x3, "avx"},
                 {0x7, "avx2"},
                 {0xf, "avx512_mic"},
                 {0x1f, "avx512_mic_4ops"},
                 {0x27, "avx512_core"},
                 {0x67, "avx512_core_vnni"},
                 {0xe7, "avx512_core_bf16"},
                 {0x3e7, "avx512_core_amx"}};
    snprintf(library.family, sizeof library.family, "isa %#x", (unsigned)isa);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].value == isa)
            snprintf(library.family, sizeof library.family, "%s", names[i].name);
}

static void open_once(void)
{
    void *handle = dlopen("libdnnl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        snprintf(reason, sizeof reason, "onednn: %.380s", dlerror());
        return;
    }
    library.handle = handle;
    typedef struct version { /* as dnnl_version_t begins */
        int major, minor, patch;
    } version;
    const version *(*tell)(void) = (const version *(*)(void))ffl_onednn_function(&library, "dnnl_version");
    int (*isa)(void) = (int (*)(void))ffl_onednn_function(&library, "dnnl_get_effective_cpu_isa");
    if (!tell || !isa || tell()->major != 2) {
        snprintf(reason, sizeof reason, "onednn: libdnnl.so.2 is not version 2 of oneDNN");
        library.handle = NULL; /* stays mapped: it may have started threads */
        return;
    }
    snprintf(library.version, sizeof library.version, "oneDNN %d.%d.%d", tell()->major, tell()->minor,
             tell()->patch);
    tell_family(isa());
}

const ffl_onednn *ffl_onednn_open(void)
{
    pthread_once(&once, open_once);
    if (library.handle)
        return &library;
    ffl_fail(FFL_UNSUPPORTED, "%s", reason);
    return NULL;
}
