#define _GNU_SOURCE
#include "harness/files/safetensors.h"
#include "harness/files/file.h"
#include "kernels/memory_left.h"
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Layout: 8 bytes, length of the header, little-endian; the header, JSON; the tensors' bytes. */
enum { LENGTH_BYTES = 8, HEADER_MAX = 100 << 20 };

struct ffl_safetensors {
    void *mapping; /* anonymous: room for the whole file */
    size_t mapped_bytes;
    json_t *header; /* owns the names and the metadata strings */
    ffl_tensor *tensors;
    size_t count;
};

static const struct {
    const char *name;
    size_t bytes;
    ffl_dtype dtype;
} dtypes[] = {
    {"F32", 4, FFL_DTYPE_F32},   {"F64", 8, FFL_DTYPE_F64},       {"F16", 2, FFL_DTYPE_F16},
    {"BF16", 2, FFL_DTYPE_BF16}, {"BOOL", 1, FFL_DTYPE_OTHER},    {"U8", 1, FFL_DTYPE_OTHER},
    {"I8", 1, FFL_DTYPE_OTHER},  {"F8_E5M2", 1, FFL_DTYPE_OTHER}, {"F8_E4M3", 1, FFL_DTYPE_OTHER},
    {"I16", 2, FFL_DTYPE_OTHER}, {"U16", 2, FFL_DTYPE_OTHER},     {"I32", 4, FFL_DTYPE_OTHER},
    {"U32", 4, FFL_DTYPE_OTHER}, {"I64", 8, FFL_DTYPE_OTHER},     {"U64", 8, FFL_DTYPE_OTHER},
    {"C64", 8, FFL_DTYPE_OTHER},
};

/* A whole number that is not negative; jansson has refused what does not fit 64 bits. */
static bool read_size(const json_t *value, size_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *out = (size_t)json_integer_value(value);
    return true;
}

static ffl_status read_dtype(const char *path, const json_t *value, ffl_tensor *out, size_t *bytes)
{
    const char *name = json_is_string(value) ? json_string_value(value) : "";
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        if (strcmp(dtypes[i].name, name) == 0) {
            out->dtype = dtypes[i].dtype;
            *bytes = dtypes[i].bytes;
            return FFL_OK;
        }
    }
    return ffl_fail(FFL_BAD_INPUT, "%s: %s: unknown dtype '%.32s'", path, out->name, name);
}

static ffl_status read_shape(const char *path, const json_t *value, ffl_tensor *out)
{
    if (!json_is_array(value))
        return ffl_fail(FFL_BAD_INPUT, "%s: %s: shape is no list", path, out->name);
    if (json_array_size(value) > FFL_TENSOR_DIMENSIONS_MAX)
        return ffl_fail(FFL_BAD_INPUT, "%s: %s: shape has %zu dimensions, at most %d are read", path,
                        out->name, json_array_size(value), FFL_TENSOR_DIMENSIONS_MAX);
    out->dimensions = json_array_size(value);
    out->count = 1;
    for (size_t i = 0; i < out->dimensions; i++) {
        if (!read_size(json_array_get(value, i), &out->shape[i]))
            return ffl_fail(FFL_BAD_INPUT, "%s: %s: shape: entry %zu is no size", path, out->name, i);
        if (__builtin_mul_overflow(out->count, out->shape[i], &out->count))
            return ffl_fail(FFL_BAD_INPUT, "%s: %s: shape: the number of elements overflows", path,
                            out->name);
    }
    return FFL_OK;
}

/* Where the tensor lies in the `available` bytes after the header, and that its shape says the same. */
static ffl_status read_offsets(const char *path, const json_t *value, size_t element, size_t available,
                               const unsigned char *base, ffl_tensor *out)
{
    size_t begin, end, bytes;
    if (json_array_size(value) != 2 || !read_size(json_array_get(value, 0), &begin) ||
        !read_size(json_array_get(value, 1), &end) || begin > end)
        return ffl_fail(FFL_BAD_INPUT, "%s: %s: data_offsets must be [begin, end], begin <= end", path,
                        out->name);
    if (end > available)
        return ffl_fail(FFL_BAD_INPUT, "%s: %s: truncated: its data ends at byte %zu, the file holds %zu",
                        path, out->name, end, available);
    if (__builtin_mul_overflow(out->count, element, &bytes) || bytes != end - begin)
        return ffl_fail(FFL_BAD_INPUT, "%s: %s: %zu bytes of data do not hold the %zu elements of its shape",
                        path, out->name, end - begin, out->count);
    out->data = base + begin;
    out->bytes = bytes;
    return FFL_OK;
}

/* Names and metadata appear in error lines, and errors are one line. */
static bool printable(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 127)
            return false;
    return true;
}

static ffl_status read_tensor(const char *path, const char *name, const json_t *entry, size_t available,
                              const unsigned char *base, ffl_tensor *out)
{
    size_t element = 0;
    *out = (ffl_tensor){.name = name};
    if (!*name || strlen(name) > 255 || !printable(name))
        return ffl_fail(FFL_BAD_INPUT,
                        "%s: a tensor name that is empty, longer than 255 bytes or not printable", path);
    const json_t *dtype = json_object_get(entry, "dtype"), *shape = json_object_get(entry, "shape"),
                 *offsets = json_object_get(entry, "data_offsets");
    if (json_object_size(entry) != 3 || !dtype || !shape || !offsets)
        return ffl_fail(FFL_BAD_INPUT, "%s: %s: expected exactly dtype, shape and data_offsets", path, name);
    FFL_TRY(read_dtype(path, dtype, out, &element));
    FFL_TRY(read_shape(path, shape, out));
    return read_offsets(path, offsets, element, available, base, out);
}

static ffl_status check_metadata(const char *path, const json_t *metadata)
{
    const char *key;
    json_t *value;
    if (!json_is_object(metadata))
        return ffl_fail(FFL_BAD_INPUT, "%s: __metadata__ is no object", path);
    json_object_foreach(
        (json_t *)metadata, key,
        value) if (!json_is_string(value) || !printable(key) ||
                   !printable(json_string_value(
                       value))) return ffl_fail(FFL_BAD_INPUT,
                                                "%s: __metadata__: an entry is no printable string", path);
    return FFL_OK;
}

static int by_place(const void *a, const void *b)
{
    const ffl_tensor *const *l = a, *const *r = b;
    if ((*l)->data != (*r)->data)
        return (*l)->data < (*r)->data ? -1 : 1;
    return (*l)->bytes < (*r)->bytes ? -1 : (*l)->bytes > (*r)->bytes; /* empty tensors first */
}

/* The tensors must tile the data: bytes that two of them claim, or none does, can hide anything. */
static ffl_status check_tiling(const char *path, const ffl_safetensors *file, const unsigned char *base,
                               size_t available)
{
    const ffl_tensor **sorted = calloc(file->count + 1, sizeof *sorted);
    const unsigned char *at = base;
    ffl_status status = FFL_OK;
    if (!sorted)
        return ffl_fail(FFL_NO_MEMORY, "%s: no memory for %zu tensors", path, file->count);
    for (size_t i = 0; i < file->count; i++)
        sorted[i] = &file->tensors[i];
    qsort(sorted, file->count, sizeof(*sorted), by_place);
    for (size_t i = 0; i < file->count && status == FFL_OK; i++) {
        if (sorted[i]->data != at)
            status = ffl_fail(FFL_BAD_INPUT, "%s: %s: its data %s", path, sorted[i]->name,
                              sorted[i]->data < at ? "overlaps that of another tensor" : "follows a hole");
        at = sorted[i]->data + sorted[i]->bytes;
    }
    if (status == FFL_OK && at != base + available)
        status = ffl_fail(FFL_BAD_INPUT, "%s: %zu bytes at the end belong to no tensor", path,
                          (size_t)(base + available - at));
    free(sorted);
    return status;
}

static ffl_status read_tensors(const char *path, ffl_safetensors *file, const unsigned char *base,
                               size_t available)
{
    const char *name;
    json_t *entry;
    file->tensors = calloc(json_object_size(file->header) + 1, sizeof *file->tensors);
    if (!file->tensors)
        return ffl_fail(FFL_NO_MEMORY, "%s: no memory for %zu tensors", path, json_object_size(file->header));
    json_object_foreach(file->header, name, entry)
    {
        if (strcmp(name, "__metadata__") == 0)
            FFL_TRY(check_metadata(path, entry));
        else
            FFL_TRY(read_tensor(path, name, entry, available, base, &file->tensors[file->count++]));
    }
    return check_tiling(path, file, base, available);
}

static ffl_status read_bytes(const char *path, int descriptor, size_t from, size_t count, unsigned char *to)
{
    while (count > 0) {
        const ssize_t got = pread(descriptor, to, count, (off_t)from);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return ffl_fail(FFL_BAD_INPUT, "%s: %s", path, strerror(errno));
        if (got == 0)
            return ffl_fail(FFL_BAD_INPUT, "%s: became shorter while it was read: it ends at byte %zu", path,
                            from);
        from += (size_t)got, to += got, count -= (size_t)got;
    }
    return FFL_OK;
}

/* What is not yet read takes no memory: a file's claims are checked before its size costs anything. */
static ffl_status read_file(const char *path, int descriptor, ffl_safetensors *file)
{
    unsigned char *bytes = file->mapping;
    uint64_t length = 0;
    FFL_TRY(read_bytes(path, descriptor, 0, LENGTH_BYTES, bytes));
    for (size_t i = 0; i < LENGTH_BYTES; i++)
        length |= (uint64_t)bytes[i] << (8 * i);
    const size_t rest = file->mapped_bytes - LENGTH_BYTES;
    if (length > rest)
        return ffl_fail(FFL_BAD_INPUT,
                        "%s: no safetensors file, or truncated: header of %llu bytes in a file of %zu", path,
                        (unsigned long long)length, file->mapped_bytes);
    if (length > HEADER_MAX)
        return ffl_fail(FFL_BAD_INPUT, "%s: a header of %llu bytes; at most %d are read", path,
                        (unsigned long long)length, HEADER_MAX);
    FFL_TRY(read_bytes(path, descriptor, LENGTH_BYTES, (size_t)length, bytes + LENGTH_BYTES));
    json_error_t error;
    file->header =
        json_loadb((const char *)bytes + LENGTH_BYTES, (size_t)length, JSON_REJECT_DUPLICATES, &error);
    if (!file->header || !json_is_object(file->header))
        return ffl_fail(FFL_BAD_INPUT, "%s: header: %s", path,
                        !file->header && printable(error.text) ? error.text : "no JSON object");
    unsigned char *data = bytes + LENGTH_BYTES + length;
    FFL_TRY(read_tensors(path, file, data, rest - (size_t)length));
    if (rest > ffl_memory_left())
        return ffl_fail(FFL_BAD_INPUT, "%s: %.1f GB of tensors, and %.1f GB of memory are left", path,
                        (double)rest / 1e9, (double)ffl_memory_left() / 1e9);
    return read_bytes(path, descriptor, LENGTH_BYTES + (size_t)length, rest - (size_t)length, data);
}

ffl_status ffl_safetensors_open(const char *path, ffl_safetensors **out)
{
    int descriptor;
    size_t bytes;
    *out = NULL;
    FFL_TRY(ffl_file_open(path, &descriptor, &bytes));
    ffl_safetensors *file = calloc(1, sizeof *file);
    ffl_status status = FFL_OK;
    if (!file) {
        status = ffl_fail(FFL_NO_MEMORY, "%s: no memory", path);
    } else if (bytes <= LENGTH_BYTES) {
        status = ffl_fail(FFL_BAD_INPUT, "%s: %zu bytes are no safetensors file", path, bytes);
    } else {
        file->mapping =
            mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (file->mapping == MAP_FAILED) {
            file->mapping = NULL;
            status = ffl_fail(FFL_IO, "%s: %s", path, strerror(errno));
        }
        file->mapped_bytes = bytes;
    }
    if (status == FFL_OK)
        status = read_file(path, descriptor, file);
    close(descriptor);
    if (status == FFL_OK)
        *out = file;
    else
        ffl_safetensors_close(file);
    return status;
}

void ffl_safetensors_close(ffl_safetensors *file)
{
    if (!file)
        return;
    if (file->mapping)
        munmap(file->mapping, file->mapped_bytes);
    json_decref(file->header);
    free(file->tensors);
    free(file);
}

size_t ffl_safetensors_count(const ffl_safetensors *file)
{
    return file->count;
}

const ffl_tensor *ffl_safetensors_at(const ffl_safetensors *file, size_t i)
{
    return &file->tensors[i];
}

const ffl_tensor *ffl_safetensors_find(const ffl_safetensors *file, const char *name)
{
    for (size_t i = 0; i < file->count; i++)
        if (strcmp(file->tensors[i].name, name) == 0)
            return &file->tensors[i];
    return NULL;
}

const char *ffl_safetensors_metadata(const ffl_safetensors *file, const char *key)
{
    return json_string_value(json_object_get(json_object_get(file->header, "__metadata__"), key));
}
