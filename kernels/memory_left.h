/*
 * How much memory is left. Linux hands out more than there is and ends processes later: what would be too
 * much has to be refused before it is touched.
 */
#ifndef FFL_KERNELS_MEMORY_LEFT_H
#define FFL_KERNELS_MEMORY_LEFT_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes that the machine can give without swapping, as the kernel estimates it now; SIZE_MAX when unknown. */
size_t ffl_memory_left(void);

/* Bytes that this process may still map (ulimit -v); SIZE_MAX without a limit. */
size_t ffl_address_space_left(void);

#ifdef __cplusplus
}
#endif

#endif
