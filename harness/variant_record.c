#include "harness/variant_record.h"
#include "harness/environment.h"
#include "harness/registry.h"
#include "harness/workload/shapes.h"
#include "kernels/blas.h"
#include "kernels/cublas.h"
#include "kernels/onednn.h"
#include <stdio.h>

#define SET(field, text) snprintf(out->field, sizeof out->field, "%s", text)

void ffl_variant_record(const ffl_variant *v, ffl_record *out)
{
    SET(variant, v->name);
    SET(operation, ffl_operation_names[v->operation]);
    SET(family, ffl_family_name(v->family));
    SET(library, ffl_library_name(v->library));
    SET(isa, ffl_isa_name(v->isa));
    SET(clazz, ffl_variant_class(v));
    SET(place, v->place == FFL_CUDA ? "cuda" : "host");
    out->own_clock = v->library == FFL_PROCESS;
}

void ffl_library_record(const ffl_variant *v, ffl_record *out)
{
    const ffl_onednn *onednn = v->library == FFL_ONEDNN ? ffl_onednn_open() : NULL;
    const ffl_cublas *cublas = v->library == FFL_CUBLAS ? ffl_cublas_open() : NULL;
    const bool opened = v->library >= FFL_OPENBLAS && v->library <= FFL_CBLAS;
    const ffl_blas *blas = opened ? ffl_blas_open(v->library) : NULL;
    const char *why;
    if (onednn) {
        SET(library_version, onednn->version);
        SET(kernel_family, onednn->family);
    }
    if (cublas)
        SET(library_version, cublas->version);
    if (!blas)
        return;
    SET(library_version, blas->version);
    SET(kernel_family, blas->family);
    out->handicapped = ffl_blas_handicapped(blas, &why);
    if (out->handicapped && !out->reason[0])
        SET(reason, why);
}

void ffl_shape_record(const ffl_layer *shape, ffl_record *out)
{
    const bool tree = shape->operation == FFL_FFF;
    char name[26];
    ffl_shape_name(shape, name, sizeof name);
    if (shape->operation == FFL_FF)
        SET(shape, "dense");
    else if (tree)
        SET(shape, name);
    else /* the option without its dashes */
        snprintf(out->shape, sizeof out->shape, "%s %s",
                 ffl_option_name(ffl_shape_option(shape->operation)) + 2, name);
    out->trees = tree ? (int64_t)shape->trees : 0;
    out->depth = tree ? (int64_t)shape->levels - 1 : 0;
    out->neurons = (int64_t)shape->neurons;
    out->width_in = (int64_t)shape->width_in;
    out->width_out = (int64_t)shape->width_out;
    SET(activation, ffl_activation_names[shape->activation]);
}
