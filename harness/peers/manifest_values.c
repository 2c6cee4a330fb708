#include "harness/peers/manifest_values.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

ffl_status ffl_manifest_refuse(const ffl_manifest_place *at, const char *key, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return ffl_fail(FFL_BAD_INPUT, "%s: %s%s%s: %s", at->path, at->name, *at->name ? ": " : "", key, text);
}

ffl_status ffl_manifest_check_keys(const ffl_manifest_place *at, const char *const *known, size_t count)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)at->object, key, value)
    {
        bool found = false;
        for (size_t i = 0; i < count; i++)
            found = found || strcmp(key, known[i]) == 0;
        if (!found)
            return ffl_manifest_refuse(at, key, "no such key; harness/peers/README.md has them all");
    }
    return FFL_OK;
}

/* Printable, of one line: names and summaries go into tables. */
static bool is_plain(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 127)
            return false;
    return length > 0 && length <= FFL_MANIFEST_TEXT_MAX;
}

static ffl_status copy_text(const ffl_manifest_place *at, const char *key, const json_t *value, char **out)
{
    if (!json_is_string(value) || !is_plain(json_string_value(value), json_string_length(value)))
        return ffl_manifest_refuse(at, key, "expected a text of 1 to %d characters on one line",
                                   FFL_MANIFEST_TEXT_MAX);
    *out = strdup(json_string_value(value));
    return *out ? FFL_OK : ffl_fail(FFL_NO_MEMORY, "no memory for a manifest");
}

ffl_status ffl_manifest_text(const ffl_manifest_place *at, const char *key, char **out)
{
    const json_t *value = json_object_get(at->object, key);
    return value ? copy_text(at, key, value, out) : ffl_manifest_refuse(at, key, "is missing");
}

ffl_status ffl_manifest_flag(const ffl_manifest_place *at, const char *key, bool *out)
{
    const json_t *value = json_object_get(at->object, key);
    if (value && !json_is_boolean(value))
        return ffl_manifest_refuse(at, key, "expected true or false");
    *out = value ? json_is_true(value) : *out;
    return FFL_OK;
}

ffl_status ffl_manifest_number(const ffl_manifest_place *at, const char *key, double least, double most,
                               double *out)
{
    const json_t *value = json_object_get(at->object, key);
    if (!value)
        return FFL_OK;
    const double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= least && number <= most))
        return ffl_manifest_refuse(at, key, "expected a number from %g to %g", least, most);
    *out = number;
    return FFL_OK;
}

/* The index of a word in `names`; *out stays as it is when the key is not there. */
ffl_status ffl_manifest_word(const ffl_manifest_place *at, const char *key, const char *const *names,
                             size_t count, int *out)
{
    const json_t *value = json_object_get(at->object, key);
    char expected[256] = "";
    if (!value)
        return FFL_OK;
    for (size_t i = 0; i < count; i++) {
        const size_t used = strlen(expected);
        if (json_is_string(value) && strcmp(json_string_value(value), names[i]) == 0) {
            *out = (int)i;
            return FFL_OK;
        }
        snprintf(expected + used, sizeof expected - used, "%s%s", i ? ", " : "", names[i]);
    }
    return ffl_manifest_refuse(at, key, "expected one of %s", expected);
}

ffl_status ffl_manifest_list(const ffl_manifest_place *at, const char *key, bool needed, char **out,
                             size_t most)
{
    const json_t *list = json_object_get(at->object, key);
    const size_t count = json_array_size(list);
    if (!list && !needed)
        return FFL_OK;
    if (!json_is_array(list) || count == 0 || count > most)
        return ffl_manifest_refuse(at, key, "expected a list of 1 to %zu words", most);
    for (size_t i = 0; i < count; i++)
        FFL_TRY(copy_text(at, key, json_array_get(list, i), &out[i]));
    return FFL_OK;
}
