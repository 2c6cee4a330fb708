/* The part of a record that says what ran: the same for every kind of line. */
#ifndef FFL_HARNESS_VARIANT_RECORD_H
#define FFL_HARNESS_VARIANT_RECORD_H

#include "kernels/variant.h"
#include "reports/record.h"

/* Fills variant, operation, family, library, isa, class, place and own_clock. */
void ffl_variant_record(const ffl_variant *variant, ffl_record *out);

#endif
