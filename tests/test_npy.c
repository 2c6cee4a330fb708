#include "files.h"
#include "harness/files/npy.h"
#include <stdint.h>
#include <sys/stat.h>

/* Format 1.0 with this header text and `data_bytes` zero bytes; returns the path. */
static const char *npy_of(const char *header, size_t data_bytes)
{
    unsigned char bytes[1024] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0};
    const size_t length = strlen(header);
    bytes[8] = (unsigned char)(length & 255);
    bytes[9] = (unsigned char)(length >> 8);
    memcpy(bytes + 10, header, length);
    return files_write("hostile.npy", bytes, 10 + length + data_bytes);
}

static void refused(const char *path, const char *expected)
{
    ffl_npy npy;
    cr_assert_eq(ffl_npy_read(path, &npy), FFL_BAD_INPUT, "accepted: %s", expected);
    cr_assert_null(npy.data);
    cr_assert(strstr(ffl_error(), path) == ffl_error(), "%s", ffl_error());
    cr_assert(strstr(ffl_error(), expected), "expected '%s' in: %s", expected, ffl_error());
    cr_assert_null(strchr(ffl_error(), '\n'));
}

Test(npy, what_is_written_is_read_back)
{
    static const float f32[] = {1, -2.5f, 3e-40f, 4, 5, 6};
    static const double f64[] = {1e300, -0.1};
    static const int32_t i32[] = {-7};
    static const int64_t i64[] = {INT64_MIN, INT64_MAX, 0};
    static const struct {
        ffl_npy_type type;
        size_t dimensions, shape[3], count, bytes;
        const void *data;
    } cases[] = {
        {FFL_NPY_F32, 2, {2, 3}, 6, sizeof f32, f32}, {FFL_NPY_F32, 3, {1, 6, 1}, 6, sizeof f32, f32},
        {FFL_NPY_F64, 1, {2}, 2, sizeof f64, f64},    {FFL_NPY_I32, 0, {0}, 1, sizeof i32, i32},
        {FFL_NPY_I64, 2, {3, 1}, 3, sizeof i64, i64}, {FFL_NPY_F32, 2, {0, 5}, 0, 0, f32}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const char *path = files_path("round.npy");
        struct stat info;
        ffl_npy npy;
        cr_assert_eq(ffl_npy_write(path, cases[c].type, cases[c].dimensions, cases[c].shape, cases[c].data),
                     FFL_OK);
        cr_assert_eq(stat(path, &info), 0);
        cr_assert_eq(((size_t)info.st_size - cases[c].bytes) % 64, 0);
        cr_assert_eq(ffl_npy_read(path, &npy), FFL_OK, "%s", ffl_error());
        cr_assert(npy.type == cases[c].type && npy.dimensions == cases[c].dimensions &&
                  npy.count == cases[c].count);
        cr_assert_eq(memcmp(npy.shape, cases[c].shape, npy.dimensions * sizeof *npy.shape), 0);
        cr_assert_eq(memcmp(npy.data, cases[c].data, cases[c].bytes), 0);
        ffl_npy_free(&npy);
    }
    files_remove();
}

Test(npy, headers_that_numpy_may_write_are_read)
{
    static const char *const headers[] = {
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }   \n",
        "{'shape': (2, 1), 'fortran_order': False, 'descr': '<f4'}\n",
        "{\"descr\":\"<f4\",\"fortran_order\":False,\"shape\":(2,1,),}",
    };
    for (size_t i = 0; i < 3; i++) {
        ffl_npy npy;
        cr_assert_eq(ffl_npy_read_as(npy_of(headers[i], 8), "--input", FFL_NPY_F32, 2, &npy), FFL_OK, "%s",
                     ffl_error());
        cr_assert(npy.shape[0] == 2 && npy.shape[1] == 1);
        ffl_npy_free(&npy);
    }
    files_remove();
}

Test(npy, hostile_headers_are_refused_with_the_reason)
{
#define F4 "{'descr': '<f4', 'fortran_order': False, 'shape': "
    static const struct {
        const char *header;
        size_t data_bytes;
        const char *expected;
    } cases[] = {
        {F4 "(3,), }", 8, "truncated"},
        {F4 "(3,), }", 16, "too long"},
        {F4 "(4294967296, 4294967296), }", 8, "overflows"},
        {F4 "(4611686018427387904,), }", 8, "overflows"},
        {F4 "(99999999999999999999999,), }", 8, "above 2^64"},
        {F4 "(0, 18446744073709551615, 2), }", 8, "too long"},
        {F4 "(-1,), }", 8, "negative"},
        {F4 "(2), }", 8, "no tuple"},
        {F4 "(,), }", 8, "whole numbers"},
        {F4 "(1 2), }", 8, "expected ','"},
        {F4 "(2.0,), }", 8, "expected ','"},
        {F4 "(0x2,), }", 8, "expected ','"},
        {F4 "(2L,), }", 8, "expected ','"},
        {F4 "[2], }", 8, "expected a tuple"},
        {F4 "(1,1,1,1,1,1,1,1,2), }", 8, "more than 8"},
        {F4 "(2,", 8, "whole numbers"},
        {F4 "(2,), } x", 8, "follows the dict"},
        {F4 "(2,), 'shape': (2,), }", 8, "twice"},
        {F4 "(2,), 'extra': 1}", 8, "unknown key"},
        {"{'descr': '<f4', 'fortran_order': False}", 8, "must all be given"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (2,), }", 8, "fortran_order"},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (2,), }", 8, "True or False"},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }", 8, "big-endian"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", 8, "Python objects"},
        {"{'descr': '<f2', 'fortran_order': False, 'shape': (4,), }", 8, "another type"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", 8, "structured"},
        {"{'descr': '<f4\\n', 'fortran_order': False, 'shape': (2,), }", 8, "escapes"},
        {"{'descr': '<f4\n', 'fortran_order': False, 'shape': (2,), }", 8, "control character"},
        {"{descr: 2}", 8, "quoted string"},
        {"{'descr", 8, "without end"},
        {"[]", 8, "dict"},
        {"", 8, "dict"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        refused(npy_of(cases[c].header, cases[c].data_bytes), cases[c].expected);
    files_remove();
}

Test(npy, hostile_files_are_refused_with_the_reason)
{
    unsigned char magic[16] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, 255, 255, '{'};
    refused(files_write("a.npy", "", 0), "no .npy file");
    refused(files_write("a.npy", magic, 9), "no .npy file");
    refused(files_write("a.npy", "PK\3\4 this is a zip file", 20), "not an .npy file");
    refused(files_write("a.npy", magic, 16), "truncated");
    magic[6] = 3;
    refused(files_write("a.npy", magic, 16), "format 3.0");
    magic[6] = 2, magic[10] = magic[11] = 255;
    refused(files_write("a.npy", magic, 16), "truncated");
    refused(files_write("a.npy", magic, 11), "truncated");
    refused(files_folder(), "directory");
    refused(files_path("absent.npy"), "No such file");
    cr_assert_eq(mkfifo(files_path("pipe.npy"), 0600), 0);
    refused(files_path("pipe.npy"), "not a file");

    /* A header that is there, but absurd. */
    static unsigned char large[200000] = {0x93, 'N', 'U', 'M', 'P', 'Y', 2, 0, 0, 0, 2, 0};
    refused(files_write("a.npy", large, sizeof large), "at most 65536");
    large[10] = 1;
    refused(files_write("a.npy", large, sizeof large), "zero byte");
    files_remove();
}

Test(npy, another_type_or_number_of_dimensions_is_named)
{
    const double value = 1;
    const size_t shape[] = {1, 1};
    ffl_npy npy;
    ffl_npy_write(files_path("d.npy"), FFL_NPY_F64, 2, shape, &value);
    cr_assert_eq(ffl_npy_read_as(files_path("d.npy"), "--input", FFL_NPY_F32, 2, &npy), FFL_BAD_INPUT);
    cr_assert(strstr(ffl_error(), "--input") && strstr(ffl_error(), "float64"));
    cr_assert_eq(ffl_npy_read_as(files_path("d.npy"), "--input", FFL_NPY_F64, 3, &npy), FFL_BAD_INPUT);
    cr_assert(strstr(ffl_error(), "2 dimensions"));
    files_remove();
}

Test(npy, a_failed_write_leaves_the_old_file_and_nothing_else)
{
    const float value = 1;
    const size_t shape[] = {1};
    cr_assert_eq(ffl_npy_write(files_folder(), FFL_NPY_F32, 1, shape, &value), FFL_BAD_INPUT);
    cr_assert_eq(ffl_npy_write(files_path("no/such/folder.npy"), FFL_NPY_F32, 1, shape, &value),
                 FFL_BAD_INPUT);
    cr_assert(strstr(ffl_error(), "no/such/folder.npy"));
    cr_assert_eq(ffl_npy_write("/dev/full", FFL_NPY_F32, 1, shape, &value), FFL_BAD_INPUT);
    cr_assert_eq(files_count(), 0);

    /* A link is followed, not replaced. */
    struct stat info;
    files_write("target.npy", "old", 3);
    cr_assert_eq(symlink("target.npy", files_path("link.npy")), 0);
    cr_assert_eq(ffl_npy_write(files_path("link.npy"), FFL_NPY_F32, 1, shape, &value), FFL_OK);
    cr_assert_eq(lstat(files_path("link.npy"), &info), 0);
    cr_assert(S_ISLNK(info.st_mode));
    cr_assert_eq(stat(files_path("target.npy"), &info), 0);
    cr_assert_eq(info.st_size, 132);
    cr_assert_eq(files_count(), 2);
    files_remove();
}
