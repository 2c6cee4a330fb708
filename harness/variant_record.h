/* The parts of a record that say what ran: the same for every kind of line. */
#ifndef FFL_HARNESS_VARIANT_RECORD_H
#define FFL_HARNESS_VARIANT_RECORD_H

#include "kernels/variant.h"
#include "reports/record.h"

/* Fills variant, operation, family, library, isa, class, place and own_clock. */
void ffl_variant_record(const ffl_variant *variant, ffl_record *out);

/* Fills library_version and kernel_family with what the variant's library turned out to be, and handicapped;
 * the reason, too, unless there is one. Opens the library. */
void ffl_library_record(const ffl_variant *variant, ffl_record *out);

/* Fills shape ("1x11", "dense", "leaf 9x8", "moe 512x8:1"), trees, depth, neurons, widths and activation. */
void ffl_shape_record(const ffl_layer *shape, ffl_record *out);

#endif
