/* The typed readers of cli.h. */
#include "harness/cli.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A decimal number that is the whole of `text`; false otherwise. strtoull alone would take "-1" and " 7x". */
static bool read_number(const char *text, size_t length, unsigned long long *out)
{
    char digits[24];
    if (length == 0 || length >= sizeof digits || strspn(text, "0123456789") < length)
        return false;
    memcpy(digits, text, length);
    digits[length] = '\0';
    errno = 0;
    *out = strtoull(digits, NULL, 10);
    return errno == 0;
}

static ffl_status read_size(const char *option, const char *text, size_t length, size_t min, size_t max, size_t *out)
{
    unsigned long long value;
    if (!read_number(text, length, &value) || value < min || value > max)
        return ffl_fail(FFL_BAD_INPUT, "%s %.*s: expected a whole number from %zu to %zu", option, (int)length,
                        text, min, max);
    *out = (size_t)value;
    return FFL_OK;
}

ffl_status ffl_option_size(const ffl_options *options, ffl_option option, size_t min, size_t max, size_t fallback,
                           size_t *out)
{
    const char *text = options->value[option];
    *out = fallback;
    return text ? read_size(ffl_option_name(option), text, strlen(text), min, max, out) : FFL_OK;
}

ffl_status ffl_option_seed(const ffl_options *options, uint64_t fallback, uint64_t *out)
{
    const char *text = options->value[FFL_OPT_SEED];
    unsigned long long value = fallback;
    if (text && !read_number(text, strlen(text), &value))
        return ffl_fail(FFL_BAD_INPUT, "--seed %s: expected a whole number from 0 to 2^64 - 1", text);
    *out = value;
    return FFL_OK;
}

ffl_status ffl_option_duration(const ffl_options *options, ffl_option option, double fallback, double *out)
{
    const char *text = options->value[option];
    *out = fallback;
    if (!text)
        return FFL_OK;
    char *end;
    const double value = strtod(text, &end);
    double unit = 1;
    if (*end == 'm')
        unit = 60;
    else if (*end == 'h')
        unit = 3600;
    /* strtod alone would take " 7", "0x10", "1e3" and "nan". */
    if (end == text || strspn(text, "0123456789.") != (size_t)(end - text) ||
        (*end && (strchr("smh", *end) == NULL || end[1])) || !(value > 0) || value > 1e6)
        return ffl_fail(FFL_BAD_INPUT, "%s %s: expected a time such as 90s, 20m or 2h", ffl_option_name(option),
                        text);
    *out = value * unit;
    return FFL_OK;
}

ffl_status ffl_option_words(const ffl_options *options, ffl_option option, const char *fallback, ffl_word_list *out)
{
    const char *text = options->value[option] ? options->value[option] : fallback;
    out->count = 0;
    if (strlen(text) >= sizeof out->buffer)
        return ffl_fail(FFL_BAD_INPUT, "%s: the list is longer than %zu characters", ffl_option_name(option),
                        sizeof out->buffer - 1);
    strcpy(out->buffer, text);
    char *item = out->buffer;
    while (item) {
        char *comma = strchr(item, ',');
        if (comma)
            *comma = '\0';
        if (!*item)
            return ffl_fail(FFL_BAD_INPUT, "%s %s: an empty item in the list", ffl_option_name(option), text);
        if (out->count == FFL_LIST_MAX)
            return ffl_fail(FFL_BAD_INPUT, "%s: more than %d items", ffl_option_name(option), FFL_LIST_MAX);
        out->value[out->count++] = item;
        item = comma ? comma + 1 : NULL;
    }
    return FFL_OK;
}

ffl_status ffl_option_share(const ffl_options *options, ffl_option option, const char *prefix, double fallback,
                            double *out)
{
    const char *text = options->value[option];
    *out = fallback;
    if (!text)
        return FFL_OK;
    const size_t skip = strncmp(text, prefix, strlen(prefix)) == 0 ? strlen(prefix) : 0;
    char *end = NULL;
    const double percent = text[skip] >= '0' && text[skip] <= '9' ? strtod(text + skip, &end) : 0;
    if ((*prefix && !skip) || !end || strcmp(end, "%") != 0 || !(percent > 0 && percent < 1000))
        return ffl_fail(FFL_BAD_INPUT, "%s %s: expected %sP%%, such as %s3%%", ffl_option_name(option), text, prefix,
                        prefix);
    *out = percent / 100;
    return FFL_OK;
}


ffl_status ffl_option_size_list(const ffl_options *options, ffl_option option, size_t min, size_t max,
                                const char *fallback, ffl_size_list *out)
{
    ffl_word_list words;
    FFL_TRY(ffl_option_words(options, option, fallback, &words));
    out->count = words.count;
    for (size_t i = 0; i < words.count; i++)
        FFL_TRY(read_size(ffl_option_name(option), words.value[i], strlen(words.value[i]), min, max, &out->value[i]));
    return FFL_OK;
}

static ffl_status read_tree(const char *text, ffl_tree_list *out)
{
    const char *x = strchr(text, 'x');
    const char *dots = x ? strstr(x, "..") : NULL;
    unsigned long long trees, from, to;
    if (!x || !read_number(text, (size_t)(x - text), &trees) ||
        !read_number(x + 1, dots ? (size_t)(dots - x - 1) : strlen(x + 1), &from))
        goto bad;
    to = from;
    if (dots && !read_number(dots + 2, strlen(dots + 2), &to))
        goto bad;
    if (trees < 1 || trees > 1000000 || from > to || to > FFL_DEPTH_MAX)
        return ffl_fail(FFL_BAD_INPUT, "--tree %s: 1 to 1000000 trees of depth 0 to %d, depths ascending", text,
                        FFL_DEPTH_MAX);
    for (unsigned long long depth = from; depth <= to; depth++) {
        if (out->count == FFL_LIST_MAX)
            return ffl_fail(FFL_BAD_INPUT, "--tree: more than %d shapes", FFL_LIST_MAX);
        out->value[out->count].trees = (size_t)trees;
        out->value[out->count++].levels = ffl_levels_from_depth((size_t)depth);
    }
    return FFL_OK;
bad:
    return ffl_fail(FFL_BAD_INPUT, "--tree %s: expected trees x depth, such as 1x11 or 1x3..11", text);
}

ffl_status ffl_option_trees(const ffl_options *options, const char *fallback, ffl_tree_list *out)
{
    ffl_word_list words;
    out->count = 0;
    FFL_TRY(ffl_option_words(options, FFL_OPT_TREE, fallback, &words));
    for (size_t i = 0; i < words.count; i++)
        FFL_TRY(read_tree(words.value[i], out));
    return FFL_OK;
}

static ffl_status read_experts(ffl_option option, const char *text, ffl_expert_list *out)
{
    const bool mixture = option == FFL_OPT_MOE;
    const char *x = strchr(text, 'x'), *colon = mixture && x ? strchr(x, ':') : NULL;
    unsigned long long count, width, chosen = 1;
    if (!x || !read_number(text, (size_t)(x - text), &count) ||
        !read_number(x + 1, colon ? (size_t)(colon - x - 1) : strlen(x + 1), &width) ||
        (colon && !read_number(colon + 1, strlen(colon + 1), &chosen)))
        return ffl_fail(FFL_BAD_INPUT, "%s %s: expected %s", ffl_option_name(option), text,
                        mixture ? "experts x neurons : experts per token, such as 512x8:1"
                                : "decisions x neurons of a leaf, such as 9x8");
    if (out->count == FFL_LIST_MAX)
        return ffl_fail(FFL_BAD_INPUT, "%s: more than %d shapes", ffl_option_name(option), FFL_LIST_MAX);
    out->value[out->count].count = (size_t)count;
    out->value[out->count].width = (size_t)width;
    out->value[out->count++].chosen = (size_t)chosen;
    return FFL_OK;
}

ffl_status ffl_option_experts(const ffl_options *options, ffl_option option, const char *fallback,
                              ffl_expert_list *out)
{
    ffl_word_list words;
    out->count = 0;
    FFL_TRY(ffl_option_words(options, option, fallback, &words));
    for (size_t i = 0; i < words.count; i++)
        FFL_TRY(read_experts(option, words.value[i], out));
    return FFL_OK;
}

ffl_status ffl_option_choice(const ffl_options *options, ffl_option option, const char *const *names,
                             size_t fallback, size_t *out)
{
    const char *text = options->value[option];
    *out = fallback;
    if (!text)
        return FFL_OK;
    char all[256] = "";
    for (size_t i = 0; names[i]; i++) {
        if (strcmp(names[i], text) == 0) {
            *out = i;
            return FFL_OK;
        }
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? ", " : "", names[i]);
    }
    return ffl_fail(FFL_BAD_INPUT, "%s %s: expected one of %s", ffl_option_name(option), text, all);
}

ffl_status ffl_option_shard(const ffl_options *options, size_t *index, size_t *count)
{
    const char *text = options->value[FFL_OPT_SHARD];
    *index = *count = 1;
    if (!text)
        return FFL_OK;
    const char *slash = strchr(text, '/');
    unsigned long long i, n;
    if (!slash || !read_number(text, (size_t)(slash - text), &i) || !read_number(slash + 1, strlen(slash + 1), &n) ||
        i < 1 || i > n || n > 100000)
        return ffl_fail(FFL_BAD_INPUT, "--shard %s: expected i/n with 1 <= i <= n", text);
    *index = (size_t)i;
    *count = (size_t)n;
    return FFL_OK;
}
