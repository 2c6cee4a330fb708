#include "harness/registry.h"
#include "harness/registry_table.h"
#include "harness/shared_object.h"
#include "kernels/blas.h"
#include "kernels/cublas.h"
#include "kernels/device.h"
#include "kernels/memory.h"
#include "kernels/onednn.h"
#include "kernels/team.h"
#include <dlfcn.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

enum { PLUGIN_VARIANTS_MAX = 256 };

static const ffl_variant *plugins[PLUGIN_VARIANTS_MAX];
static size_t plugin_count;

static size_t built_in_count(void)
{
    size_t count = 0;
    for (size_t f = 0; ffl_registry_table[f]; f++)
        for (const ffl_variant *v = ffl_registry_table[f]; v->name; v++)
            count++;
    return count;
}

bool ffl_registry_built_in(const ffl_variant *variant)
{
    for (size_t i = 0; i < plugin_count; i++)
        if (plugins[i] == variant)
            return false;
    return true;
}

size_t ffl_registry_count(void)
{
    return built_in_count() + plugin_count;
}

const ffl_variant *ffl_registry_at(size_t i)
{
    for (size_t f = 0; ffl_registry_table[f]; f++)
        for (const ffl_variant *v = ffl_registry_table[f]; v->name; v++)
            if (i-- == 0)
                return v;
    return i < plugin_count ? plugins[i] : NULL;
}

const ffl_variant *ffl_registry_find(const char *name)
{
    const size_t count = ffl_registry_count();
    for (size_t i = 0; i < count; i++)
        if (strcmp(ffl_registry_at(i)->name, name) == 0)
            return ffl_registry_at(i);
    return NULL;
}

bool ffl_registry_name_valid(const char *name, ffl_operation *operation)
{
    bool found = false;
    for (size_t i = 0; ffl_operation_names[i]; i++) { /* the last that fits: fff_leaf_ comes behind fff_ */
        const size_t stem = strlen(ffl_operation_names[i]);
        if (strncmp(name, ffl_operation_names[i], stem) == 0 && name[stem] == '_') {
            *operation = (ffl_operation)i;
            found = true;
        }
    }
    if (!found)
        return false;
    const size_t length = strlen(name);
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == length && name[length - 1] != '_' &&
           !strstr(name, "__");
}

ffl_status ffl_registry_check(const char *path, const ffl_variant *v)
{
    ffl_operation operation;
    if (!ffl_registry_name_valid(v->name, &operation) || operation != v->operation)
        return ffl_fail(FFL_BAD_INPUT,
                        "%s: variant '%s': the name must be ff_… for FF, fff_… for FFF, fff_leaf_… for leaf "
                        "FFF and moe_… for "
                        "mixtures of experts, in lowercase letters, digits and _",
                        path, v->name);
    if (!v->summary || !v->source || !v->prepare || !v->run)
        return ffl_fail(FFL_BAD_INPUT, "%s: variant '%s' lacks a summary, source, prepare or run", path,
                        v->name);
    if ((unsigned)v->operation >= FFL_OPERATION_COUNT || (unsigned)v->place > FFL_CUDA ||
        (unsigned)v->family >= FFL_FAMILY_COUNT || (unsigned)v->isa >= FFL_ISA_COUNT ||
        (unsigned)v->library >= FFL_LIBRARY_COUNT || (unsigned)v->contract.weights >= FFL_TYPE_COUNT ||
        (v->library == FFL_PROCESS) != (v->run_calls != NULL))
        return ffl_fail(FFL_BAD_INPUT, "%s: variant '%s' has a field outside its enumeration", path, v->name);
    if (v->contract.over_read_bytes > FFL_OVER_READ_MAX)
        return ffl_fail(FFL_BAD_INPUT,
                        "%s: variant '%s' reads %zu bytes past its rows; at most %d are kept readable", path,
                        v->name, v->contract.over_read_bytes, FFL_OVER_READ_MAX);
    if (ffl_registry_find(v->name))
        return ffl_fail(FFL_BAD_INPUT, "%s: a variant named '%s' already exists", path, v->name);
    return FFL_OK;
}

ffl_status ffl_registry_add(const ffl_variant *variant)
{
    if (plugin_count == PLUGIN_VARIANTS_MAX)
        return ffl_fail(FFL_BAD_INPUT, "%s: more than %d variants beside the built-in ones", variant->name,
                        PLUGIN_VARIANTS_MAX);
    plugins[plugin_count++] = variant;
    return FFL_OK;
}

ffl_status ffl_registry_load(const char *path)
{
    /* Without a slash dlopen searches the library path; a plugin is a file the user named. */
    char name[4096];
    snprintf(name, sizeof name, "%s%s", strchr(path, '/') ? "" : "./", path);
    if (ffl_shared_object_check(name) != FFL_OK)
        return ffl_fail(FFL_BAD_INPUT, "--plugin %s: %s", path, ffl_error());
    void *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return ffl_fail(FFL_BAD_INPUT, "--plugin %s: %s", path, dlerror());
    const ffl_plugin *plugin = dlsym(handle, "ffl_plugin_entry");
    if (!plugin)
        return ffl_fail(FFL_BAD_INPUT,
                        "--plugin %s: no ffl_plugin_entry; end the file with FFL_PLUGIN(stem);", path);
    if (plugin->abi != FFL_ABI || plugin->variant_size != sizeof(ffl_variant))
        return ffl_fail(
            FFL_BAD_INPUT,
            "--plugin %s: built against interface %u (%zu bytes), this fflab has %u (%zu bytes); rebuild it",
            path, plugin->abi, plugin->variant_size, (unsigned)FFL_ABI, sizeof(ffl_variant));
    for (const ffl_variant *v = plugin->variants; v->name; v++) {
        FFL_TRY(ffl_registry_check(path, v));
        if (plugin_count == PLUGIN_VARIANTS_MAX)
            return ffl_fail(FFL_BAD_INPUT, "--plugin %s: more than %d plugin variants", path,
                            PLUGIN_VARIANTS_MAX);
        plugins[plugin_count++] = v;
    }
    return FFL_OK; /* the handle stays open: the rows live in it */
}

/* The device first: without one there is no need to load the library. */
static bool device_variant_available(const ffl_variant *variant, const char **why)
{
    if (!ffl_device_available(why))
        return false;
    if (variant->library != FFL_CUBLAS || ffl_cublas_open())
        return true;
    *why = ffl_error();
    return false;
}

bool ffl_variant_available(const ffl_variant *variant, const char **why)
{
    static _Thread_local char reason[512];
    *why = reason;
    reason[0] = '\0';
    if (!ffl_machine_host()->isa[variant->isa]) {
        snprintf(reason, sizeof reason, "this CPU has no %s", ffl_isa_name(variant->isa));
        return false;
    }
    if (variant->available && !variant->available(variant, why))
        return false;
    if (variant->library == FFL_PROCESS)
        return true;
    if (variant->place == FFL_CUDA)
        return device_variant_available(variant, why);
    const bool blas = variant->library != FFL_NO_LIBRARY && variant->library != FFL_ONEDNN;
    if ((variant->library == FFL_ONEDNN && !ffl_onednn_open()) ||
        (blas && !ffl_blas_open(variant->library))) {
        snprintf(reason, sizeof reason, "%.500s", ffl_error());
        return false;
    }
    return true;
}

bool ffl_variant_supports(const ffl_variant *variant, const ffl_layer *shape, size_t tokens, int threads,
                          const char **why)
{
    if (variant->operation != shape->operation) {
        static const char *const reasons[] = {[FFL_FF] = "the layer is dense",
                                              [FFL_FFF] = "the layer is a tree",
                                              [FFL_FFF_LEAF] = "the layer is a tree with dense leaves",
                                              [FFL_MOE] = "the layer is a mixture of experts"};
        *why = reasons[shape->operation];
        return false;
    }
    if (!ffl_variant_available(variant, why))
        return false;
    if (threads > 1 && !variant->threaded && variant->place == FFL_HOST) {
        *why = "runs on one thread only";
        return false;
    }
    if (threads > 1 && variant->place == FFL_HOST && variant->library == FFL_NO_LIBRARY &&
        !ffl_team_available()) {
        *why = "built without OpenMP: our own kernels run on one thread";
        return false;
    }
    return !variant->supports || variant->supports(shape, tokens, why);
}

static bool matches_any(const char *name, const char *const *globs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fnmatch(globs[i], name, 0) == 0)
            return true;
    return false;
}

bool ffl_variant_selected(const ffl_variant *variant, const char *const *globs, size_t glob_count,
                          const char *const *excluded, size_t excluded_count)
{
    return (glob_count == 0 || matches_any(variant->name, globs, glob_count)) &&
           !matches_any(variant->name, excluded, excluded_count);
}

const char *ffl_variant_class(const ffl_variant *variant)
{
    static const char *const approximate[FFL_TYPE_COUNT] = {"f32~", "tf32~", "bf16~",
                                                            "f16~", "int8~", "int16~"};
    const ffl_contract *c = &variant->contract;
    return c->activation_error > FFL_ACTIVATION_EXACT ? approximate[c->weights] : ffl_type_name(c->weights);
}

void ffl_variant_values(const ffl_variant *variant, char out[FFL_VALUES_SIZE])
{
    const ffl_contract *c = &variant->contract;
    *out = '\0';
    if (c->weights != FFL_F32)
        snprintf(out, FFL_VALUES_SIZE, "x %s, %s%s%shidden %s", ffl_type_name(c->input),
                 c->logit == FFL_F32 ? "" : "z ", c->logit == FFL_F32 ? "" : ffl_type_name(c->logit),
                 c->logit == FFL_F32 ? "" : ", ", ffl_type_name(c->hidden));
}
