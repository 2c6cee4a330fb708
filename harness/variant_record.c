#include "harness/variant_record.h"
#include "harness/registry.h"
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
