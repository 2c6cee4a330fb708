/*
 * A look at a shared object before dlopen: the dynamic loader maps what the file's headers promise and dies
 * of a bus error when the file is shorter than that (a copy or a compilation still going on).
 */
#ifndef FFL_HARNESS_SHARED_OBJECT_H
#define FFL_HARNESS_SHARED_OBJECT_H

#include "kernels/status.h"

/* FFL_BAD_INPUT, without naming the file, when it cannot be read, is no ELF file of this machine, or is cut.
 */
ffl_status ffl_shared_object_check(const char *path);

#endif
