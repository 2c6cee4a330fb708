#define _GNU_SOURCE
#include "harness/files/npy.h"
#include "harness/files/file.h"
#include "harness/files/npy_header.h"
#include "kernels/memory.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Numpy's own headers take 128 bytes; nothing that fits here needs more than a few hundred. */
enum { HEADER_MAX = 65536 };

static const char *const type_names[] = {"float32", "float64", "int32", "int64"};
static const char *const descriptors[] = {"<f4", "<f8", "<i4", "<i8"};
static const size_t type_bytes[] = {4, 8, 4, 8};

static ffl_status read_all(const char *path, int descriptor, void *out, size_t bytes)
{
    unsigned char *to = out;
    while (bytes) {
        const ssize_t got = read(descriptor, to, bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return ffl_fail(FFL_IO, "%s: reading failed: %s", path, strerror(errno));
        if (got == 0)
            return ffl_fail(FFL_BAD_INPUT, "%s: ended while it was read", path);
        to += got;
        bytes -= (size_t)got;
    }
    return FFL_OK;
}

/* Reads magic, version and header text; *data_at is where the elements start. */
static ffl_status read_header(const char *path, int descriptor, size_t file_bytes, char *text,
                              size_t *data_at)
{
    unsigned char start[12];
    size_t length = 0;
    if (file_bytes < 10)
        return ffl_fail(FFL_BAD_INPUT, "%s: %zu bytes are no .npy file", path, file_bytes);
    FFL_TRY(read_all(path, descriptor, start, 10));
    if (memcmp(start, "\x93NUMPY", 6) != 0)
        return ffl_fail(FFL_BAD_INPUT, "%s: not an .npy file: it does not start with \\x93NUMPY", path);
    if ((start[6] != 1 && start[6] != 2) || start[7] != 0)
        return ffl_fail(FFL_BAD_INPUT, "%s: .npy format %d.%d; 1.0 and 2.0 are read", path, start[6],
                        start[7]);
    *data_at = 10;
    length = start[8] | (size_t)start[9] << 8;
    if (start[6] == 2) {
        if (file_bytes < 12)
            return ffl_fail(FFL_BAD_INPUT, "%s: truncated in the header", path);
        FFL_TRY(read_all(path, descriptor, start + 10, 2));
        *data_at = 12;
        length |= (size_t)start[10] << 16 | (size_t)start[11] << 24;
    }
    if (length > file_bytes - *data_at)
        return ffl_fail(FFL_BAD_INPUT, "%s: truncated: a header of %zu bytes in a file of %zu", path, length,
                        file_bytes);
    if (length > HEADER_MAX)
        return ffl_fail(FFL_BAD_INPUT, "%s: a header of %zu bytes; at most %d are read", path, length,
                        HEADER_MAX);
    FFL_TRY(read_all(path, descriptor, text, length));
    text[length] = '\0';
    if (strlen(text) != length)
        return ffl_fail(FFL_BAD_INPUT, "%s: header: a zero byte in the text", path);
    *data_at += length;
    return FFL_OK;
}

static ffl_status find_type(const char *path, const char *descriptor, ffl_npy_type *out)
{
    for (size_t i = 0; i < sizeof descriptors / sizeof *descriptors; i++) {
        if (strcmp(descriptor, descriptors[i]) == 0) {
            *out = (ffl_npy_type)i;
            return FFL_OK;
        }
    }
    const char *why = descriptor[0] == '>'      ? "is big-endian"
                      : strchr(descriptor, 'O') ? "holds Python objects"
                                                : "is another type";
    return ffl_fail(FFL_BAD_INPUT,
                    "%s: descr '%s' %s; expected float32, float64, int32 or int64, little-endian", path,
                    descriptor, why);
}

/* The elements must fill the rest of the file exactly. */
static ffl_status check_size(const char *path, const ffl_npy *npy, size_t available)
{
    size_t bytes;
    if (__builtin_mul_overflow(npy->count, type_bytes[npy->type], &bytes))
        return ffl_fail(FFL_BAD_INPUT, "%s: shape: the number of elements overflows", path);
    if (bytes != available)
        return ffl_fail(FFL_BAD_INPUT, "%s: %s: the shape asks for %zu bytes of elements, the file holds %zu",
                        path, bytes > available ? "truncated" : "too long", bytes, available);
    return FFL_OK;
}

static ffl_status read_open(const char *path, int descriptor, size_t file_bytes, ffl_npy *out)
{
    char text[HEADER_MAX + 1];
    size_t data_at = 0;
    ffl_npy_header header;
    FFL_TRY(read_header(path, descriptor, file_bytes, text, &data_at));
    FFL_TRY(ffl_npy_header_parse(path, text, &header));
    FFL_TRY(find_type(path, header.descriptor, &out->type));
    if (header.fortran_order)
        return ffl_fail(FFL_BAD_INPUT, "%s: fortran_order is True; save it with numpy.ascontiguousarray",
                        path);
    out->dimensions = header.dimensions;
    out->count = 1;
    for (size_t i = 0; i < header.dimensions; i++) {
        out->shape[i] = header.shape[i];
        if (__builtin_mul_overflow(out->count, header.shape[i], &out->count))
            return ffl_fail(FFL_BAD_INPUT, "%s: shape: the number of elements overflows", path);
    }
    FFL_TRY(check_size(path, out, file_bytes - data_at));
    out->data = ffl_alloc_rows(out->count, type_bytes[out->type]);
    if (!out->data)
        return ffl_fail(FFL_NO_MEMORY, "%s: %s", path, ffl_error());
    return read_all(path, descriptor, out->data, out->count * type_bytes[out->type]);
}

ffl_status ffl_npy_read(const char *path, ffl_npy *out)
{
    int descriptor;
    size_t file_bytes;
    *out = (ffl_npy){0};
    FFL_TRY(ffl_file_open(path, &descriptor, &file_bytes));
    const ffl_status status = read_open(path, descriptor, file_bytes, out);
    close(descriptor);
    if (status != FFL_OK)
        ffl_npy_free(out);
    return status;
}

ffl_status ffl_npy_read_as(const char *path, const char *what, ffl_npy_type type, size_t dimensions,
                           ffl_npy *out)
{
    const ffl_status status = ffl_npy_read(path, out);
    if (status != FFL_OK)
        return ffl_fail(status, "%s %s", what, ffl_error());
    if (out->type == type && out->dimensions == dimensions)
        return FFL_OK;
    const ffl_npy found = *out;
    ffl_npy_free(out);
    return ffl_fail(FFL_BAD_INPUT, "%s %s: %s with %zu dimensions; expected %s with %zu", what, path,
                    type_names[found.type], found.dimensions, type_names[type], dimensions);
}

ffl_status ffl_npy_write(const char *path, ffl_npy_type type, size_t dimensions, const size_t *shape,
                         const void *data)
{
    char header[512];
    size_t count = 1;
    int length = snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': (",
                          descriptors[type]);
    for (size_t i = 0; i < dimensions; i++) {
        count *= shape[i];
        length += snprintf(header + length, sizeof header - (size_t)length, "%zu,%s", shape[i],
                           i + 1 < dimensions ? " " : "");
    }
    length += snprintf(header + length, sizeof header - (size_t)length, "), }");
    /* As numpy does: the elements start at a multiple of 64 and the header ends in a newline. */
    while ((10 + length + 1) % 64)
        header[length++] = ' ';
    header[length++] = '\n';
    const unsigned char start[10] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (unsigned char)(length & 255), (unsigned char)(length >> 8)};
    ffl_new_file file;
    FFL_TRY(ffl_file_begin(path, &file));
    fwrite(start, 1, sizeof start, file.stream);
    fwrite(header, 1, (size_t)length, file.stream);
    fwrite(data, type_bytes[type], count, file.stream);
    return ffl_file_commit(&file);
}

void ffl_npy_free(ffl_npy *npy)
{
    ffl_free(npy->data);
    *npy = (ffl_npy){0};
}
