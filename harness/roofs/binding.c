/*
 * Which roof binds a call. Each roof gives a least time: the call cannot be shorter than its arithmetic at
 * the measured rate, nor than what must come from a level of memory at that level's bandwidth. The longest of
 * these binds, and least time / measured time is the share. Only what no kernel can avoid counts:
 *
 *   - every distinct byte of weights and inputs is read once, through the first level;
 *   - what exceeds the capacity of all caches up to a level must come from beyond that level, in every call;
 *   - bytes that were evicted before the call come from memory. Caches that other threads keep to themselves
 * may still hold their size of it.
 *
 * Bytes written are left out: stores run beside loads, in proportions that no one measured rate is for.
 */
#include "harness/device/storage.h"
#include "harness/roofs/roofs.h"
#include "kernels/device.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct search {
    const ffl_roofs *roofs;
    const ffl_roof_load *load;
    const ffl_roof *roof; /* so far */
    double least_ns;
} search;

/* Rates are in 1e9 per second: work / rate is nanoseconds. */
static void try_roof(search *s, const ffl_roof *roof, double work)
{
    if (roof && work / roof->value > s->least_ns) {
        s->roof = roof;
        s->least_ns = work / roof->value;
    }
}

static const ffl_roof *find(const search *s, const char *name)
{
    return ffl_roofs_find(s->roofs, s->load->place == FFL_CUDA ? "cuda" : "host", name, s->load->threads);
}

/* Narrow weights may be multiplied as they are or widened: the faster one is the roof. */
static bool may_multiply_as(ffl_type weights, ffl_type as)
{
    switch (weights) {
    case FFL_F32:
        return as == FFL_F32;
    case FFL_TF32:
        return as == FFL_F32 || as == FFL_TF32;
    case FFL_BF16:
    case FFL_F16:
        return as != FFL_INT8;
    default:
        return true;
    }
}

static const ffl_roof *faster(const ffl_roof *a, const ffl_roof *b)
{
    return !a || (b && b->value > a->value) ? b : a;
}

static const ffl_roof *arithmetic(const search *s)
{
    const ffl_roof *best = NULL;
    char name[40];
    for (int type = 0; type < FFL_TYPE_COUNT; type++) {
        if (!may_multiply_as(s->load->type, (ffl_type)type))
            continue;
        snprintf(name, sizeof name, "matmul_%s", ffl_type_name((ffl_type)type));
        if (s->load->place == FFL_CUDA)
            best = faster(best, find(s, name));
        for (int isa = 0; isa <= (int)s->load->isa && s->load->place == FFL_HOST; isa++) {
            snprintf(name, sizeof name, "fma_%s_%s", ffl_type_name((ffl_type)type),
                     ffl_isa_name((ffl_isa)isa));
            best = faster(best, find(s, name));
        }
    }
    return best;
}

/* A library without rates for all types would bind narrow products to the wide rate. */
static bool knows_type(const search *s)
{
    char name[40];
    snprintf(name, sizeof name, "matmul_%s", ffl_type_name(s->load->type));
    return s->load->place == FFL_HOST || find(s, name);
}

static void try_memory(search *s)
{
    static const char *const host[] = {"read_l1", "read_l2", "read_l3", "read_dram"};
    static const char *const cuda[] = {"read_l2", "read_dram"};
    const bool device = s->load->place == FFL_CUDA;
    const char *const *levels = device ? cuda : host;
    const size_t count = device ? 2 : 4;
    double held = 0; /* by the levels before */
    for (size_t i = 0; i < count; i++) {
        try_roof(s, find(s, levels[i]), s->load->read_bytes - held);
        if (i < 3 && s->load->caches[i] == 0)
            break; /* who knows how much it holds */
        held += i < 3 ? (double)s->load->caches[i] : 0;
    }
    try_roof(s, find(s, "read_dram"), s->load->cold_bytes);
}

const ffl_roof *ffl_roof_binding(const ffl_roofs *roofs, const ffl_roof_load *load, double *least_ns)
{
    search s = {.roofs = roofs, .load = load};
    if (knows_type(&s))
        try_roof(&s, arithmetic(&s), load->flops);
    try_memory(&s);
    *least_ns = s.least_ns;
    return s.roof;
}

static void set_caches(ffl_roof_load *load)
{
    const ffl_machine *m = ffl_machine_host();
    const ffl_device_info *d = load->place == FFL_CUDA ? ffl_device_describe() : NULL;
    const size_t threads = (size_t)load->threads;
    if (d) {
        load->caches[0] = d->l2_bytes;
    } else {
        load->caches[0] = threads * m->l1d_bytes;
        load->caches[1] = threads * m->l2_bytes;
        load->caches[2] = m->l3_bytes;
    }
}

ffl_roof_load ffl_roof_load_of(const ffl_variant *variant, const ffl_record *record)
{
    const double tokens = (double)record->tokens;
    const double element = (double)ffl_storage_size(variant->contract.storage);
    /* A library and a dispatcher choose for themselves. */
    const bool own = variant->library == FFL_NO_LIBRARY && variant->family != FFL_AUTO;
    ffl_roof_load load = {
        .place = variant->place,
        .type = variant->contract.weights,
        .isa = own ? variant->isa : FFL_ISA_COUNT - 1,
        .threads = (int)record->threads,
        .flops = record->flops,
        .read_bytes = record->bytes - tokens * (double)record->width_out * element,
    };
    set_caches(&load);
    const double private =
        load.threads > 1 && load.place == FFL_HOST ? (double)(load.caches[0] + load.caches[1]) : 0;
    if (strcmp(record->cache, "all-cold") == 0)
        load.cold_bytes = load.read_bytes - private;
    else if (strcmp(record->cache, "weights-cold") == 0)
        load.cold_bytes = load.read_bytes - tokens * (double)record->width_in * element - private;
    return load;
}

static double tolerance(const ffl_roof_load *load)
{
    return load->place == FFL_CUDA ? FFL_ROOF_TOLERANCE_CUDA : FFL_ROOF_TOLERANCE_HOST;
}

static const ffl_roof *judge(const ffl_roofs *roofs, const ffl_variant *variant, ffl_record *record)
{
    ffl_roof_load load = ffl_roof_load_of(variant, record);
    double least_ns = 0;
    if (!(record->median_ns > 0) || record->emulated || !isfinite(record->flops) || !isfinite(record->bytes))
        return NULL;
    const ffl_roof *roof = ffl_roof_binding(roofs, &load, &least_ns);
    if (roof && least_ns > tolerance(&load) * record->median_ns && load.isa < FFL_ISA_COUNT - 1) {
        load.isa = FFL_ISA_COUNT - 1;
        roof = ffl_roof_binding(roofs, &load, &least_ns);
    }
    if (!roof)
        return NULL;
    strcpy(record->roof, roof->name);
    record->roof_share = least_ns / record->median_ns;
    record->implausible = record->roof_share > tolerance(&load);
    return roof;
}

void ffl_roofs_judge(const ffl_roofs *roofs, const ffl_variant *variant, ffl_record *record)
{
    const ffl_roof *roof = judge(roofs, variant, record);
    if (roof && record->implausible)
        snprintf(record->reason, sizeof record->reason,
                 "%.0f %% of the measured roof %s, %.4g %s: it declares more work than it does, or does less",
                 100 * record->roof_share, roof->name, roof->value, roof->unit);
}

/* One that cannot be measured now stays as it is. */
static bool measure_again(ffl_roofs *roofs, const char *name, int threads)
{
    ffl_roofs again = {0};
    const ffl_roof_wish wish = {.threads = &threads, .thread_count = 1, .seconds = 1, .only = name};
    const bool measured = ffl_roofs_measure_host(&wish, &again) == FFL_OK;
    const ffl_roof *new = ffl_roofs_find(&again, "host", name, threads);
    const ffl_roof *old = ffl_roofs_find(roofs, "host", name, threads);
    const bool raised = measured && new &&old &&new->value > old->value &&ffl_roofs_put(roofs, new) == FFL_OK;
    ffl_roofs_free(&again);
    return raised;
}

bool ffl_roofs_confirm(ffl_roofs *roofs, const ffl_variant *variant, ffl_record *record)
{
    bool raised = false, again = variant->place == FFL_HOST;
    /* Where one roof was too low the next one may be, too. */
    for (int i = 0; i < 4 && again; i++) {
        again = judge(roofs, variant, record) && record->implausible &&
                measure_again(roofs, record->roof, (int)record->threads);
        raised = raised || again;
    }
    ffl_roofs_judge(roofs, variant, record);
    return raised;
}
