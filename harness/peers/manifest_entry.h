/* One entry of a manifest: everything about it is validated here (manifest.h). */
#ifndef FFL_HARNESS_MANIFEST_ENTRY_H
#define FFL_HARNESS_MANIFEST_ENTRY_H

#include "harness/peers/manifest.h"

/* Fills in what the object says; `folder` is the caller's. After a failure *out may hold a part, to be freed.
 */
ffl_status ffl_manifest_entry(const char *path, const json_t *object, ffl_peer_manifest *out);

#endif
