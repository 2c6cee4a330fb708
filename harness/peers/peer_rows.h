/* From a variant to its manifest: the rows are constant structs, so a table says which is whose. */
#ifndef FFL_HARNESS_PEER_ROWS_H
#define FFL_HARNESS_PEER_ROWS_H

#include "harness/peers/manifest.h"

/* NULL for a row of somebody else. */
const ffl_peer_manifest *ffl_peer_manifest_of(const ffl_variant *variant);

#endif
