/*
 * x or y on the device: rows in the storage type of a variant, in fenced memory, with canaries in the padding
 * between them. The bytes as they were uploaded are kept, to be compared with what is there afterwards.
 */
#ifndef FFL_HARNESS_DEVICE_ROWS_H
#define FFL_HARNESS_DEVICE_ROWS_H

#include "harness/device/fenced.h"
#include "kernels/variant.h"

typedef struct ffl_device_rows {
    ffl_fenced memory;
    ffl_type storage;
    size_t element;           /* bytes */
    size_t tokens, width, ld; /* elements; the last row ends at its width */
    unsigned char *image;     /* on the host */
} ffl_device_rows;

/* As ffl_fenced_new; `offset` bytes are a multiple of the element. */
ffl_status ffl_device_rows_new(const char *name, ffl_type storage, size_t tokens, size_t width, size_t ld,
                               size_t offset, ffl_device_rows *out);

/* Narrows host rows [tokens][ld_host] into the rows; the padding holds canaries. */
ffl_status ffl_device_rows_upload(ffl_device_rows *rows, const float *host, size_t ld_host);

/* Widens what the device has now, elements of the rows only, into `tokens` host rows from row `first` on. */
ffl_status ffl_device_rows_download(const ffl_device_rows *rows, size_t first, size_t tokens, float *host,
                                    size_t ld_host);

/* FFL_DEVICE, saying what was written where, when padding or fences changed. */
ffl_status ffl_device_rows_intact(const ffl_device_rows *rows);

/* The same for rows that nobody may write. */
ffl_status ffl_device_rows_unchanged(const ffl_device_rows *rows);

void ffl_device_rows_free(ffl_device_rows *rows);

#endif
