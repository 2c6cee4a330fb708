/*
 * Tree weights packed as records: a node's row of w_in and its row of w_out side by side, since whoever reads
 * the one reads the other. Hardware prefetchers run a kilobyte and more past the end of a row of w_in, within
 * its page: here that is the start of a row that is needed. One pass over the weights to pack.
 */
#ifndef FFL_KERNELS_SIMD_RECORDS_H
#define FFL_KERNELS_SIMD_RECORDS_H

#include "kernels/layer.h"
#include "kernels/memory.h"
#include <string.h>

/* Where row i of each matrix begins: the layer's own arrays, or records. Strides in floats. */
typedef struct ffl_tree_rows {
    const float *in, *out;
    size_t in_stride, out_stride;
} ffl_tree_rows;

static inline ffl_tree_rows ffl_tree_rows_of(const ffl_layer *l)
{
    return (ffl_tree_rows){l->w_in, l->w_out, l->width_in, l->width_out};
}

/* Floats from one record to the next, both rows rounded up to cache lines. */
static inline size_t ffl_record_stride(const ffl_layer *l)
{
    return (l->width_in + 15) / 16 * 16 + (l->width_out + 15) / 16 * 16;
}

static inline size_t ffl_records_bytes(const ffl_layer *l)
{
    return l->neurons * ffl_record_stride(l) * sizeof(float);
}

/* FFL_NO_MEMORY when memory lacks; otherwise the caller frees *memory (ffl_free) after the last use of *rows.
 */
static inline ffl_status ffl_records_pack(const ffl_layer *l, float **memory, ffl_tree_rows *rows)
{
    const size_t stride = ffl_record_stride(l), out_at = (l->width_in + 15) / 16 * 16;
    float *record = ffl_alloc_array(l->neurons, stride * sizeof *record);
    if (!record)
        return FFL_NO_MEMORY;
    *memory = record;
    *rows = (ffl_tree_rows){record, record + out_at, stride, stride};
    for (size_t i = 0; i < l->neurons; i++, record += stride) {
        memcpy(record, l->w_in + i * l->width_in, l->width_in * sizeof *record);
        memcpy(record + out_at, l->w_out + i * l->width_out, l->width_out * sizeof *record);
    }
    return FFL_OK;
}

#endif
