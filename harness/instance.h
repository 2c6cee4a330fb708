/*
 * One prepared variant, ready to run: plan, scratch, thread setting, and for CUDA the device buffers. The
 * one place that knows how a variant is called; check, bench, run and the tests go through it.
 */
#ifndef FFL_HARNESS_INSTANCE_H
#define FFL_HARNESS_INSTANCE_H

#include "kernels/variant.h"

typedef struct ffl_instance {
    ffl_plan plan;
    ffl_exec exec;
    ffl_layer device_layer; /* CUDA: the layer with its weights on the device */
    double pack_ns;         /* time of prepare */
} ffl_instance;

/* Prepares. `layer` must outlive the instance. */
ffl_status ffl_instance_new(const ffl_variant *variant, const ffl_layer *layer, size_t max_tokens, int threads,
                            ffl_instance *out);

/* The same without scratch: the caller lends exec.scratch (plan.scratch_bytes; one buffer serves any number of
 * instances, one run at a time) and takes it back (NULL) before ffl_instance_free. Host variants only. */
ffl_status ffl_instance_prepare(const ffl_variant *variant, const ffl_layer *layer, size_t max_tokens, int threads,
                                ffl_instance *out);

/* Runs on host rows; for CUDA uploads x, runs, waits, downloads y. */
ffl_status ffl_instance_run(const ffl_instance *instance, const float *x, size_t ldx, float *y, size_t ldy,
                            size_t tokens);

/* Calls the variant's trace; FFL_UNSUPPORTED when it has none. */
ffl_status ffl_instance_trace(const ffl_instance *instance, const float *x, size_t ldx, size_t tokens,
                              int32_t *nodes, float *logits);

void ffl_instance_free(ffl_instance *instance);

#endif
