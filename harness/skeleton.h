/*
 * The text of a new variant: a working kernel and the comments a newcomer needs (harness/skeleton/).
 */
#ifndef FFL_HARNESS_SKELETON_H
#define FFL_HARNESS_SKELETON_H

#include "kernels/cpu.h"
#include "kernels/layer.h"
#include <stdbool.h>
#include <stdio.h>

typedef struct ffl_skeleton {
    const char *name;
    ffl_operation operation;
    ffl_isa isa;
    const char *check, *bench; /* the commands to try it with */
    bool plugin;               /* ends in FFL_PLUGIN */
} ffl_skeleton;

/* FFL_IO when `file` does not take it. */
ffl_status ffl_skeleton_write(const ffl_skeleton *skeleton, FILE *file);

#endif
