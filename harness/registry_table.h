/* The arrays that the variant files define, one pointer each, NULL-terminated. Only registry.c reads it. */
#ifndef FFL_HARNESS_REGISTRY_TABLE_H
#define FFL_HARNESS_REGISTRY_TABLE_H

#include "kernels/variant.h"

extern const ffl_variant *const ffl_registry_table[];

#endif
