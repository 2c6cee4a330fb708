/*
 * The interface every implementation fills in: a constant struct, found by name in one table.
 *
 * Life of a variant, as the harness drives it:
 *
 *   supports(layer, tokens, &why)   does this shape fit? The only place that may decline one.
 *   prepare(layer, machine, plan)   may pack weights; its time and bytes are reported apart
 *   run(plan, exec, x, …, y, …)     any number of times; timed
 *   release(plan)                   frees what prepare made; may be absent
 *
 * To add one: `fflab new NAME`, or write variants/<stem>.c ending in FFL_VARIANTS(<stem>) and add its line
 * to variants/meson.build (GPU: cuda/). list, check, bench, tests and reports find it by themselves.
 */
#ifndef FFL_KERNELS_VARIANT_H
#define FFL_KERNELS_VARIANT_H

#include "kernels/cpu.h"
#include "kernels/layer.h"
#include "kernels/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Changes whenever a struct below or the values of one in layer.h change; a plugin built against another
 * number is refused. */
enum { FFL_ABI = 5 };

typedef enum ffl_place { FFL_HOST = 0, FFL_CUDA = 1 } ffl_place;

/* What the papers' "same level" compares: the dense and the conditional form of one family are a pair. */
typedef enum ffl_family {
    FFL_NAIVE = 0,
    FFL_BLAS1,
    FFL_BLAS2,
    FFL_BLAS3,
    FFL_SIMD,
    FFL_TENSOR,
    FFL_AUTO, /* chooses among the others (harness/auto): no level of its own, never a denominator */
    FFL_FAMILY_COUNT
} ffl_family;

/* The library a variant calls; each CBLAS is a provider of its own (kernels/blas.h). */
typedef enum ffl_library {
    FFL_NO_LIBRARY = 0,
    FFL_OPENBLAS,
    FFL_BLIS,
    FFL_CBLAS,  /* the one named by --blas-library */
    FFL_ONEDNN, /* no CBLAS: kernels/onednn.h */
    FFL_CUBLAS, /* of the device: kernels/cublas.h */
    FFL_PROCESS, /* a program of its own, spoken to through pipes: harness/peers */
    FFL_LIBRARY_COUNT
} ffl_library;

/*
 * int8 is fixed point with the largest magnitude / 127 as its step; int16, of inputs and activations, with a
 * power of two of at most the largest magnitude / 2^13.
 */
typedef enum ffl_type {
    FFL_F32 = 0,
    FFL_TF32,
    FFL_BF16,
    FFL_F16,
    FFL_INT8,
    FFL_INT16,
    FFL_TYPE_COUNT
} ffl_type;

typedef enum ffl_scale { FFL_SCALE_NONE = 0, FFL_SCALE_TENSOR, FFL_SCALE_ROW } ffl_scale;

/* Promises that check --invariance holds a variant to: the same bits … */
enum {
    FFL_SAME_RUN_TO_RUN = 1, /* … on every call, whatever other instances do meanwhile */
    FFL_SAME_THREADS = 2,    /* … with any number of threads */
    FFL_SAME_BATCH = 4,      /* … for a row, whatever its neighbours and its place in the batch */
    FFL_SAME_PLACE = 8,      /* … for any address and row stride of x and y */
    FFL_SAME_ALL = 15
};

/*
 * The numerics contract: how the result is computed, as data. The verifier derives its error bounds from
 * it; a variant never states its own tolerance. Rows are ranked by class = weights type. An activation error
 * of at most 16 u stands for rounding alone: from |z| = 16 on, where GELU is z or 0 in f32, there is none.
 */
typedef struct ffl_contract {
    ffl_type input;          /* x as multiplied */
    ffl_type weights;        /* w_in and w_out as multiplied */
    ffl_type logit;          /* z, or z without its bias, where it is stored before the activation */
    ffl_type hidden;         /* activation as fed to the second product */
    ffl_type accumulator;    /* sums of both products */
    ffl_type output;         /* y, or y without its bias, before it is widened to float */
    ffl_type storage;        /* of x and y in memory: FFL_F32; GPU variants may say FFL_BF16 or FFL_F16 */
    ffl_scale weight_scale;  /* int8 weights: granularity of the scale */
    bool reassociates;       /* sums in another order than by index (vectors, blocks, BLAS) */
    bool flushes_denormals;  /* may read or write denormals as zero */
    double activation_error; /* |act computed - act exact| <= activation_error · |z| */
    size_t over_read_bytes;  /* past the end of x or y it may read, never use; see memory.h */
    size_t alignment;        /* of x and y in bytes; 4 = any address of an element */
    unsigned invariances;    /* FFL_SAME_* */
} ffl_contract;

#define FFL_UNIT_F32 0x1p-24 /* unit roundoff of float */

/* Activation errors above are those of another formula, not of rounding: such rows are a class of their own.
 */
#define FFL_ACTIVATION_EXACT (512 * FFL_UNIT_F32)

/* f32 throughout; vector or library sums; exact GELU to 4u·|z|; same bits on every call. */
#define FFL_CONTRACT_F32 FFL_CONTRACT_F32_READS(0)

/* The same, with declared over-read. */
#define FFL_CONTRACT_F32_READS(bytes)                                                                        \
    {                                                                                                        \
        .input = FFL_F32, .weights = FFL_F32, .hidden = FFL_F32, .accumulator = FFL_F32, .output = FFL_F32,  \
        .reassociates = true, .activation_error = 4 * FFL_UNIT_F32, .over_read_bytes = (bytes),              \
        .alignment = 4, .invariances = FFL_SAME_RUN_TO_RUN                                                   \
    }

/* The same, for kernels that treat each row alone: also the same bits for any batch, thread count and place.
 */
#define FFL_CONTRACT_F32_ROWS                                                                                \
    {                                                                                                        \
        .input = FFL_F32, .weights = FFL_F32, .hidden = FFL_F32, .accumulator = FFL_F32, .output = FFL_F32,  \
        .reassociates = true, .activation_error = 4 * FFL_UNIT_F32, .alignment = 4,                          \
        .invariances = FFL_SAME_ALL                                                                          \
    }

struct ffl_variant;

/*
 * What prepare makes of one layer. The caller fills the first four fields, and keeps layer and weights
 * alive and unchanged until release; prepare fills the rest.
 */
typedef struct ffl_plan {
    const struct ffl_variant *variant;
    const ffl_layer *layer;
    size_t max_tokens; /* run is never called with more */
    int threads;       /* run is never called with more */

    void *state;          /* the variant's own */
    size_t scratch_bytes; /* scratch that run needs from exec, 64-byte aligned, contents unspecified */
    size_t packed_bytes;  /* memory taken by packed weights: reported */
} ffl_plan;

/* What the caller lends to one run. */
typedef struct ffl_exec {
    int threads;   /* use at most this many; variants without .threaded use one */
    void *scratch; /* at least plan->scratch_bytes; shared by all plans of a group, one run at a time */
    void *stream;  /* CUDA: the cudaStream_t to launch on */
} ffl_exec;

typedef struct ffl_variant {
    const char *name;    /* <layer>_<method>[_<isa|library>], unique; NULL ends an array */
    const char *summary; /* one line: the idea, not the name again */
    const char *source;  /* paper, equation or "this lab" */
    ffl_operation operation;
    ffl_place place;
    ffl_family family;
    ffl_isa isa;
    ffl_library library;
    bool threaded; /* uses exec->threads; otherwise it runs on one thread only */
    ffl_contract contract;

    /* False, with a reason in *why, when the shape (layer without weights) does not fit. Absent: all fit. */
    bool (*supports)(const ffl_layer *shape, size_t tokens, const char **why);

    /* Packs, or just remembers the layer. FFL_NO_MEMORY when memory lacks; nothing is left allocated. */
    ffl_status (*prepare)(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan);

    /*
     * Evaluates the layer on `tokens` rows (equations: kernels/layer.h).
     *
     *   x  [tokens][ldx] float, read only        y  [tokens][ldy] float, overwritten
     *
     * Row-major, ldx >= width_in, ldy >= width_out, at any 4-byte address (unless the contract says
     * otherwise), not overlapping; 1 <= tokens <= max_tokens; padding is neither read nor written. Every
     * element of y is written, nothing else. Allocates nothing, reads no clock, file or environment, keeps
     * no pointer to x or y. CUDA: x, y and weights are device pointers, the work is only enqueued, and x and
     * y are arrays of the contract's storage type in spite of their C type (ldx, ldy in elements), at any
     * address of an element.
     * Returns FFL_OK, or FFL_DEVICE when a GPU launch failed; y is then unspecified.
     */
    ffl_status (*run)(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens);

    void (*release)(ffl_plan *plan);

    /* Optional, FFF: nodes visited, and their logits, as run takes them; both [tokens][trees][levels]. CUDA:
     * both on the device; the work is only enqueued. */
    ffl_status (*trace)(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, size_t tokens,
                        int32_t *nodes, float *logits);

    /* Optional: FLOPs executed and unique bytes touched by one run; absent: derived from the operation. */
    void (*cost)(const ffl_plan *plan, size_t tokens, double *flops, double *bytes);

    /* Optional: can it run on this machine, beside what isa, library and place say? False, with a reason. */
    bool (*available)(const struct ffl_variant *variant, const char **why);

    /*
     * Library FFL_PROCESS alone: the work is done elsewhere, and what brings x there and y back is no part of
     * it. `calls` runs of `tokens` rows each, one after the other, the i-th on the rows from i·tokens on; ns[i]
     * is what it took by the clock of whoever did it. Such a variant is called with host rows whatever its
     * place, run is one such call without its time, and prepare may answer FFL_UNSUPPORTED.
     */
    ffl_status (*run_calls)(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                            size_t ldy, size_t tokens, size_t calls, double *ns);
} ffl_variant;

/* Defines the array of a variant file, ended by {0}; <stem> is the file's name without .c. */
#define FFL_VARIANTS(stem)                                                                                   \
    extern const ffl_variant ffl_variants_##stem[];                                                          \
    const ffl_variant ffl_variants_##stem[]

/* What a shared object given to --plugin exports, once: FFL_PLUGIN(<stem>); after its FFL_VARIANTS. */
typedef struct ffl_plugin {
    unsigned abi;        /* FFL_ABI */
    size_t variant_size; /* sizeof(ffl_variant) */
    const ffl_variant *variants;
} ffl_plugin;

#define FFL_PLUGIN(stem)                                                                                     \
    extern const ffl_plugin ffl_plugin_entry;                                                                \
    const ffl_plugin ffl_plugin_entry = {FFL_ABI, sizeof(ffl_variant), ffl_variants_##stem}

/* True when x, y and weights are device pointers: the variants of place FFL_CUDA but those of FFL_PROCESS. */
bool ffl_variant_on_device(const ffl_variant *variant);

/* A prepare for kernels that pack nothing: plan->state stays NULL, run reads plan->layer. */
ffl_status ffl_prepare_nothing(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan);

/* "naive", "blas1", …; "f32", "tf32", …; "openblas", …: as on the command line and in reports. */
const char *ffl_family_name(ffl_family family);
const char *ffl_type_name(ffl_type type);
const char *ffl_library_name(ffl_library library);

#ifdef __cplusplus
}
#endif
#endif
