/*
 * One prepared variant, ready to run: plan, scratch, thread setting, and for CUDA the device buffers. The
 * one place that knows how a variant is called; check, bench, run and the tests go through it.
 */
#ifndef FFL_HARNESS_INSTANCE_H
#define FFL_HARNESS_INSTANCE_H

#include "harness/device/device_rows.h"
#include "kernels/variant.h"

enum { FFL_LAYER_ARRAYS = 6 }; /* w_in, b_in, w_out, b_out, w_gate, b_gate */

typedef struct ffl_instance {
    ffl_plan plan;
    ffl_exec exec;
    const ffl_layer *host_layer;                   /* as given */
    ffl_layer device_layer;                        /* CUDA: the layer with its weights on the device */
    ffl_fenced weights[FFL_LAYER_ARRAYS], scratch; /* CUDA: theirs, and what exec.scratch points to */
    double pack_ns;                                /* time of prepare */
} ffl_instance;

/* Where x and y lie on the device: their end at a multiple of 256 bytes, or their start so many elements past
 * one (rounded up to the alignment of the contract). */
typedef struct ffl_device_place {
    bool ends_flush;
    size_t offset_x, offset_y;
} ffl_device_place;

/* Prepares. `layer` must outlive the instance. */
ffl_status ffl_instance_new(const ffl_variant *variant, const ffl_layer *layer, size_t max_tokens,
                            int threads, ffl_instance *out);

/* The same without scratch: the caller lends exec.scratch (plan.scratch_bytes; one buffer serves any number
 * of instances, one run at a time) and takes it back (NULL) before ffl_instance_free. Host variants only. */
ffl_status ffl_instance_prepare(const ffl_variant *variant, const ffl_layer *layer, size_t max_tokens,
                                int threads, ffl_instance *out);

/*
 * Runs on host rows. CUDA: narrows x and y to the variant's storage type, uploads them into fenced memory,
 * runs, waits, and widens y. Padding and elements that the variant leaves alone keep what the caller had
 * there (in the storage type). FFL_DEVICE with CUDA's words, or with what was written beside y ("wrote the
 * padding of y: …").
 */
ffl_status ffl_instance_run(const ffl_instance *instance, const float *x, size_t ldx, float *y, size_t ldy,
                            size_t tokens);

/* The same for CUDA variants, with x and y where `place` says. */
ffl_status ffl_instance_run_placed(const ffl_instance *instance, const ffl_device_place *place,
                                   const float *x, size_t ldx, float *y, size_t ldy, size_t tokens);

/* CUDA: FFL_DEVICE, naming it, when a weight or the surroundings of weights or scratch have changed. Compares
 * all bytes with the host's layer. Host variants: FFL_OK, for memory.h knows. */
ffl_status ffl_instance_intact(const ffl_instance *instance);

/* Fills the scratch with ones: NaN in every float type. */
ffl_status ffl_instance_poison_scratch(const ffl_instance *instance);

/* Calls the variant's trace; FFL_UNSUPPORTED when it has none. */
ffl_status ffl_instance_trace(const ffl_instance *instance, const float *x, size_t ldx, size_t tokens,
                              int32_t *nodes, float *logits);

void ffl_instance_free(ffl_instance *instance);

#endif
