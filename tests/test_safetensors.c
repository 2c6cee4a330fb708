#include "files.h"
#include "harness/files/safetensors.h"
#include <math.h>
#include <stdint.h>

/* A file of header length, header text and `data_bytes` bytes 0, 1, 2, …; returns the path. */
static const char *safetensors_of(const char *header, size_t data_bytes)
{
    unsigned char bytes[4096] = {0};
    const size_t length = strlen(header);
    bytes[0] = (unsigned char)(length & 255);
    bytes[1] = (unsigned char)(length >> 8);
    memcpy(bytes + 8, header, length);
    for (size_t i = 0; i < data_bytes; i++)
        bytes[8 + length + i] = (unsigned char)i;
    return files_write("hostile.safetensors", bytes, 8 + length + data_bytes);
}

static void refused(const char *path, const char *expected)
{
    ffl_safetensors *file;
    cr_assert_eq(ffl_safetensors_open(path, &file), FFL_BAD_INPUT, "accepted: %s", expected);
    cr_assert_null(file);
    cr_assert(strstr(ffl_error(), path) == ffl_error(), "%s", ffl_error());
    cr_assert(strstr(ffl_error(), expected), "expected '%s' in: %s", expected, ffl_error());
    cr_assert_null(strchr(ffl_error(), '\n'));
}

#define TENSOR(name, dtype, shape, begin, end)                                                               \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}"

Test(safetensors, tensors_and_metadata_are_found)
{
    ffl_safetensors *file;
    const char *path = safetensors_of(
        "{\"__metadata__\":{\"depth\":\"3\"}," TENSOR("b", "F32", "[2,1]", "4", "12") "," TENSOR(
            "a", "I32", "[]", "0", "4") "," TENSOR("empty", "F32", "[0,7]", "4", "4") "}   ",
        12);
    cr_assert_eq(ffl_safetensors_open(path, &file), FFL_OK, "%s", ffl_error());
    const ffl_tensor *b = ffl_safetensors_find(file, "b");
    cr_assert_eq(ffl_safetensors_count(file), 3);
    cr_assert(b && b->dtype == FFL_DTYPE_F32 && b->dimensions == 2 && b->shape[0] == 2 && b->count == 2);
    cr_assert(b->bytes == 8 && b->data[0] == 4);
    cr_assert_eq(ffl_safetensors_find(file, "a")->dimensions, 0);
    cr_assert_null(ffl_safetensors_find(file, "c"));
    cr_assert_str_eq(ffl_safetensors_metadata(file, "depth"), "3");
    cr_assert_null(ffl_safetensors_metadata(file, "breadth"));
    float nothing[1];
    cr_assert_eq(ffl_tensor_to_float(ffl_safetensors_find(file, "empty"), nothing), FFL_OK);
    cr_assert_eq(ffl_tensor_to_float(ffl_safetensors_find(file, "a"), nothing), FFL_BAD_INPUT);
    ffl_safetensors_close(file);
    files_remove();
}

Test(safetensors, halves_and_doubles_become_floats)
{
    static const uint16_t half[] = {0x3C00, 0xC100, 0x7BFF, 0x0001, 0x83FF, 0x8000, 0x7C00, 0x0400};
    static const float half_values[] = {1, -2.5f, 65504, 0x1p-24f, -0x3FFp-24f, -0.0f, INFINITY, 0x1p-14f};
    static const uint16_t bf16[] = {0x3F80, 0xC020, 0x7F7F, 0x0001};
    static const float bf16_values[] = {1, -2.5f, 0x1.FEp127f, 0x1p-133f};
    static const double doubles[] = {1.0 / 3, 1e300};
    float out[8];
    ffl_tensor t = {.dtype = FFL_DTYPE_F16, .count = 8, .data = (const unsigned char *)half};
    cr_assert_eq(ffl_tensor_to_float(&t, out), FFL_OK);
    cr_assert_eq(memcmp(out, half_values, sizeof half_values), 0);
    t = (ffl_tensor){.dtype = FFL_DTYPE_BF16, .count = 4, .data = (const unsigned char *)bf16};
    cr_assert_eq(ffl_tensor_to_float(&t, out), FFL_OK);
    cr_assert_eq(memcmp(out, bf16_values, sizeof bf16_values), 0);
    t = (ffl_tensor){.dtype = FFL_DTYPE_F64, .count = 2, .data = (const unsigned char *)doubles};
    cr_assert_eq(ffl_tensor_to_float(&t, out), FFL_OK);
    cr_assert(out[0] == 1.0f / 3 && isinf(out[1]));
}

Test(safetensors, hostile_headers_are_refused_with_the_reason)
{
    static const struct {
        const char *header;
        size_t data_bytes;
        const char *expected;
    } cases[] = {
        {"{" TENSOR("a", "F32", "[2]", "0", "8") "}", 7, "truncated"},
        {"{" TENSOR("a", "F32", "[2]", "0", "8") "}", 9, "belong to no tensor"},
        {"{" TENSOR("a", "F32", "[2]", "4", "12") "}", 12, "hole"},
        {"{" TENSOR("a", "F32", "[1]", "0", "4") "," TENSOR("b", "F32", "[1]", "8", "12") "}", 12, "hole"},
        {"{" TENSOR("a", "F32", "[2]", "0", "8") "," TENSOR("b", "F32", "[2]", "4", "12") "}", 12,
         "overlaps"},
        {"{" TENSOR("a", "F32", "[2]", "0", "8") "," TENSOR("b", "F32", "[2]", "0", "8") "}", 8, "overlaps"},
        {"{" TENSOR("a", "F32", "[1]", "0", "4") "," TENSOR("a", "F32", "[1]", "4", "8") "}", 8, "uplicate"},
        {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "uplicate"},
        {"{" TENSOR("a", "F32", "[3]", "0", "8") "}", 8, "do not hold"},
        {"{" TENSOR("a", "F64", "[2]", "0", "8") "}", 8, "do not hold"},
        {"{" TENSOR("a", "F32", "[4294967296,4294967296]", "0", "8") "}", 8, "overflows"},
        {"{" TENSOR("a", "F32", "[4611686018427387904]", "0", "0") "}", 0, "do not hold"},
        {"{" TENSOR("a", "F32", "[99999999999999999999]", "0", "8") "}", 8, "too big"},
        {"{" TENSOR("a", "F32", "[-2]", "0", "8") "}", 8, "no size"},
        {"{" TENSOR("a", "F32", "[2.0]", "0", "8") "}", 8, "no size"},
        {"{" TENSOR("a", "F32", "2", "0", "8") "}", 8, "no list"},
        {"{" TENSOR("a", "F32", "[1,1,1,1,1,1,1,1,2]", "0", "8") "}", 8, "at most 8"},
        {"{" TENSOR("a", "F32", "[2]", "8", "0") "}", 8, "begin <= end"},
        {"{" TENSOR("a", "F32", "[2]", "-8", "0") "}", 8, "begin <= end"},
        {"{" TENSOR("a", "F32", "[2]", "0", "9223372036854775807") "}", 8, "truncated"},
        {"{" TENSOR("a", "F31", "[2]", "0", "8") "}", 8, "F31"},
        {"{\"a\":{\"dtype\":4,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "unknown dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "exactly"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"more\":1}}", 8, "exactly"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}", 8, "begin <= end"},
        {"{\"a\":7}", 0, "exactly"},
        {"{" TENSOR("", "F32", "[2]", "0", "8") "}", 8, "empty"},
        {"{" TENSOR("a\\nb", "F32", "[2]", "0", "8") "}", 8, "not printable"},
        {"{\"a\\u0000b\":1}", 0, "header"},
        {"{\"__metadata__\":3}", 0, "no object"},
        {"{\"__metadata__\":{\"depth\":3}}", 0, "printable string"},
        {"[]", 0, "no JSON object"},
        {"{\"a\":", 0, "header"},
        {"{} {}", 0, "header"},
        {"\xff\xfe", 0, "header"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        refused(safetensors_of(cases[c].header, cases[c].data_bytes), cases[c].expected);

    /* Nesting without end must not exhaust the stack. */
    char deep[4001];
    memset(deep, '[', 4000);
    deep[4000] = '\0';
    refused(safetensors_of(deep, 0), "header");
    files_remove();
}

Test(safetensors, hostile_files_are_refused_with_the_reason)
{
    static const unsigned char absurd[][10] = {
        {0, 0, 0, 0, 0, 0, 0, 0x80, '{', '}'},                      /* 2^63 */
        {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, '{', '}'}, /* 2^64 - 1 */
        {0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, '{', '}'}, /* plus 8 it wraps to 0 */
        {3, 0, 0, 0, 0, 0, 0, 0, '{', '}'},
    };
    for (size_t i = 0; i < 4; i++)
        refused(files_write("a.safetensors", absurd[i], 10), "truncated");
    refused(files_write("a.safetensors", "", 0), "no safetensors file");
    refused(files_write("a.safetensors", absurd[0], 7), "no safetensors file");
    refused(files_write("a.safetensors", "\0\0\0\0\0\0\0\0{}", 10), "header");
    refused(files_write("a.safetensors", "PK\3\4this is no such file", 20), "no safetensors file");
    refused(files_folder(), "directory");
    refused(files_path("absent.safetensors"), "No such file");

    /* A header of 100 MB and a byte, in a sparse file that really has them. */
    const uint64_t length = (100u << 20) + 1;
    const char *path = files_write("large.safetensors", &length, sizeof length);
    cr_assert_eq(truncate(path, 8 + (off_t)length), 0);
    refused(path, "at most");
    files_remove();
}

/* Cut short between opening and use, where a mapping would end in SIGBUS; and while it is read. */
Test(safetensors, a_file_that_shrinks_while_in_use_keeps_its_values)
{
    ffl_safetensors *file;
    float values[1000] = {0};
    static char header[] = "{" TENSOR("a", "F32", "[2000]", "0", "8000") "}";
    static unsigned char bytes[8 + sizeof header - 1 + 8000];
    const float one = 1;
    bytes[0] = sizeof header - 1;
    memcpy(bytes + 8, header, sizeof header - 1);
    memcpy(bytes + sizeof bytes - sizeof one, &one, sizeof one);
    const char *path = files_write("shrinks.safetensors", bytes, sizeof bytes);
    cr_assert_eq(ffl_safetensors_open(path, &file), FFL_OK, "%s", ffl_error());
    cr_assert_eq(truncate(path, 100), 0);
    const ffl_tensor *a = ffl_safetensors_find(file, "a");
    memcpy(values, a->data + 4000, sizeof values);
    cr_assert(values[0] == 0 && values[999] == 1);
    ffl_safetensors_close(file);
    refused(path, "truncated: its data ends at byte 8000");
    cr_assert_eq(truncate(path, 40), 0);
    refused(path, "truncated: header of");
    cr_assert_eq(truncate(path, 5), 0);
    refused(path, "no safetensors file");
    cr_assert_eq(truncate(path, 0), 0);
    refused(path, "no safetensors file");
    files_remove();
}
