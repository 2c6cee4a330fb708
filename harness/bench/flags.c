#include "harness/bench/flags.h"
#include <stdlib.h>
#include <string.h>

static ffl_status take_seconds(const char *word, const char *value, ffl_flags *out)
{
    char *end;
    out->min_time = strtod(value, &end);
    if (end != value && strcmp(end, "s") == 0) /* newer releases ask for the unit */
        end++;
    if (end == value || *end || !(out->min_time > 0) || out->min_time > 1e5)
        return ffl_fail(FFL_BAD_INPUT, "%s: expected seconds above 0, such as 0.1", word);
    return FFL_OK;
}

static ffl_status take_repetitions(const char *word, const char *value, ffl_flags *out)
{
    char *end;
    const long count = strtol(value, &end, 10);
    if (end == value || *end || count < 1 || count > 1000000)
        return ffl_fail(FFL_BAD_INPUT, "%s: expected a whole number from 1 to 1000000", word);
    out->repetitions = (size_t)count;
    return FFL_OK;
}

static ffl_status take_filter(const char *word, const char *value, ffl_flags *out)
{
    if (out->filtered)
        return ffl_fail(FFL_BAD_INPUT, "%s: a second filter", word);
    out->negated = value[0] == '-';
    const int error = regcomp(&out->filter, value + out->negated, REG_EXTENDED | REG_NOSUB);
    if (error) {
        char text[128];
        regerror(error, &out->filter, text, sizeof text);
        return ffl_fail(FFL_BAD_INPUT, "%s: %s", word, text);
    }
    out->filtered = true;
    return FFL_OK;
}

static ffl_status take_interleave(const char *word, const char *value, ffl_flags *out)
{
    if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
        return ffl_fail(FFL_BAD_INPUT, "%s: expected true or false", word);
    out->interleave = value[0] == 't';
    return FFL_OK;
}

static ffl_status take_out(const char *word, const char *value, ffl_flags *out)
{
    if (!*value)
        return ffl_fail(FFL_BAD_INPUT, "%s: expected a file", word);
    out->out = value;
    return FFL_OK;
}

static ffl_status take_out_format(const char *word, const char *value, ffl_flags *out)
{
    (void)out;
    if (strcmp(value, "json") != 0)
        return ffl_fail(FFL_BAD_INPUT, "%s: only json is written", word);
    return FFL_OK;
}

static ffl_status take_flag(const char *word, ffl_flags *out)
{
    static const struct {
        const char *name;
        ffl_status (*take)(const char *word, const char *value, ffl_flags *out);
    } known[] = {
        {"--benchmark_min_time=", take_seconds}, {"--benchmark_repetitions=", take_repetitions},
        {"--benchmark_filter=", take_filter},    {"--benchmark_enable_random_interleaving=", take_interleave},
        {"--benchmark_out=", take_out},          {"--benchmark_out_format=", take_out_format},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const size_t length = strlen(known[i].name);
        if (strncmp(word, known[i].name, length) == 0)
            return known[i].take(word, word + length, out);
        if (strncmp(word, known[i].name, length - 1) == 0 && word[length - 1] == '\0')
            return ffl_fail(FFL_BAD_INPUT, "%s needs a value: %sVALUE", word, known[i].name);
    }
    return ffl_fail(
        FFL_BAD_INPUT,
        "%s: after -- come --benchmark_min_time, _repetitions, _filter, _enable_random_interleaving, "
        "_out and _out_format, each with =VALUE",
        word);
}

ffl_status ffl_flags_parse(const ffl_options *options, ffl_flags *out)
{
    *out = (ffl_flags){.interleave = true};
    for (size_t i = 0; i < options->pass_count; i++) {
        const ffl_status status = take_flag(options->pass[i], out);
        if (status != FFL_OK) {
            ffl_flags_free(out);
            return status;
        }
    }
    return FFL_OK;
}

void ffl_flags_free(ffl_flags *flags)
{
    if (flags->filtered)
        regfree(&flags->filter);
    *flags = (ffl_flags){0};
}

bool ffl_flags_select(const ffl_flags *flags, const char *name)
{
    return !flags->filtered || (regexec(&flags->filter, name, 0, NULL, 0) == 0) != flags->negated;
}
