#include "harness/files/npy_header.h"
#include <string.h>

typedef struct reader {
    const char *path, *at;
} reader;

static ffl_status bad(const reader *r, const char *field, const char *why)
{
    return ffl_fail(FFL_BAD_INPUT, "%s: header: %s: %s", r->path, field, why);
}

static void skip_space(reader *r)
{
    r->at += strspn(r->at, " \t\n");
}

/* Takes one punctuation mark, if it is next. */
static bool take(reader *r, char mark)
{
    skip_space(r);
    if (*r->at != mark)
        return false;
    r->at++;
    return true;
}

static bool take_word(reader *r, const char *word)
{
    const size_t length = strlen(word);
    skip_space(r);
    if (strncmp(r->at, word, length) != 0)
        return false;
    r->at += length;
    return true;
}

/* A string in either quote. */
static ffl_status read_string(reader *r, const char *field, char *out, size_t size)
{
    skip_space(r);
    const char quote = *r->at;
    if (quote != '\'' && quote != '"')
        return bad(r, field, "expected a quoted string");
    const char *end = strchr(r->at + 1, quote);
    const size_t length = end ? (size_t)(end - r->at - 1) : 0;
    if (!end || length >= size || memchr(r->at, '\\', length + 1))
        return bad(r, field, "a string without end, too long, or with escapes");
    for (size_t i = 1; i <= length; i++)
        if ((unsigned char)r->at[i] < ' ')
            return bad(r, field, "a control character in a string");
    memcpy(out, r->at + 1, length);
    out[length] = '\0';
    r->at = end + 1;
    return FFL_OK;
}

static ffl_status read_size(reader *r, size_t *out)
{
    skip_space(r);
    if (*r->at == '-')
        return bad(r, "shape", "a negative number");
    if (*r->at < '0' || *r->at > '9')
        return bad(r, "shape", "expected a tuple of whole numbers");
    *out = 0;
    while (*r->at >= '0' && *r->at <= '9')
        if (__builtin_mul_overflow(*out, (size_t)10, out) ||
            __builtin_add_overflow(*out, (size_t)(*r->at++ - '0'), out))
            return bad(r, "shape", "a number above 2^64");
    return FFL_OK;
}

/* "()", "(3,)", "(3, 4)"; "(3)" is no tuple. */
static ffl_status read_shape(reader *r, ffl_npy_header *out)
{
    bool comma = true;
    if (!take(r, '('))
        return bad(r, "shape", "expected a tuple");
    out->dimensions = 0;
    while (!take(r, ')')) {
        if (!comma || out->dimensions == FFL_NPY_DIMENSIONS_MAX)
            return bad(r, "shape", comma ? "more than 8 dimensions" : "expected ',' or ')'");
        FFL_TRY(read_size(r, &out->shape[out->dimensions++]));
        comma = take(r, ',');
    }
    if (out->dimensions == 1 && !comma)
        return bad(r, "shape", "one number in parentheses is no tuple");
    return FFL_OK;
}

static ffl_status read_value(reader *r, const char *key, unsigned bit, ffl_npy_header *out)
{
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    if (bit == 1) {
        skip_space(r);
        if (*r->at == '[')
            return bad(r, keys[0], "a structured type; expected a plain one such as '<f4'");
        return read_string(r, keys[0], out->descriptor, sizeof out->descriptor);
    }
    if (bit == 4)
        return read_shape(r, out);
    out->fortran_order = take_word(r, "True");
    if (!out->fortran_order && !take_word(r, "False"))
        return bad(r, key, "expected True or False");
    return FFL_OK;
}

static unsigned bit_of(const char *key)
{
    return strcmp(key, "descr") == 0           ? 1
           : strcmp(key, "fortran_order") == 0 ? 2
           : strcmp(key, "shape") == 0         ? 4
                                               : 0;
}

ffl_status ffl_npy_header_parse(const char *path, const char *text, ffl_npy_header *out)
{
    reader r = {path, text};
    unsigned seen = 0;
    bool comma = true;
    *out = (ffl_npy_header){0};
    if (!take(&r, '{'))
        return bad(&r, "text", "expected a dict literal");
    while (!take(&r, '}')) {
        char key[32];
        if (!comma)
            return bad(&r, "text", "expected ',' or '}'");
        FFL_TRY(read_string(&r, "key", key, sizeof key));
        const unsigned bit = bit_of(key);
        if (!bit || (seen & bit))
            return bad(&r, key, bit ? "given twice" : "an unknown key");
        if (!take(&r, ':'))
            return bad(&r, key, "expected ':'");
        seen |= bit;
        FFL_TRY(read_value(&r, key, bit, out));
        comma = take(&r, ',');
    }
    skip_space(&r);
    if (*r.at)
        return bad(&r, "text", "something follows the dict");
    if (seen != 7)
        return bad(&r, "text", "descr, fortran_order and shape must all be given");
    return FFL_OK;
}
