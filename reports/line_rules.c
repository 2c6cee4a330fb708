#include "reports/line_rules.h"
#include "reports/date.h"
#include "reports/record.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const char *const ffl_line_facts[] = {"operation", "family",          "library",       "isa", "class",
                                      "place",     "library_version", "kernel_family", NULL};

const char *const ffl_line_names[][2] = {
    {"error_statistical", "error"},
    {"error_worst", "worst"},
    {NULL, NULL},
};

static const char *text_of(const json_t *line, const char *field)
{
    const char *text = json_string_value(json_object_get(line, field));
    return text ? text : "";
}

static long long whole_of(const json_t *line, const char *field)
{
    return (long long)json_integer_value(json_object_get(line, field));
}

static bool is(const json_t *line, const char *field, const char *text)
{
    return strcmp(text_of(line, field), text) == 0;
}

/* A variant that cannot run here at all has a line without a case. */
static bool has_case(const json_t *line)
{
    return json_object_get(line, "batch");
}

/* ---- Simple ones ---- */

static json_t *fact(const json_t *facts, const json_t *line, const char *of)
{
    (void)line;
    return json_incref(json_object_get(facts, of));
}

static json_t *same(const json_t *facts, const json_t *line, const char *of)
{
    (void)facts;
    return json_incref(json_object_get(line, of));
}

static json_t *usual_text(const json_t *facts, const json_t *line, const char *of)
{
    (void)facts;
    return has_case(line) ? json_string(of) : NULL;
}

static json_t *usual_of_bench(const json_t *facts, const json_t *line, const char *of)
{
    return is(line, "kind", "bench") ? usual_text(facts, line, of) : NULL;
}

static json_t *usual_number(const json_t *facts, const json_t *line, const char *of)
{
    json_int_t value = 0;
    (void)facts;
    for (const char *digit = of; *digit; digit++)
        value = 10 * value + (*digit - '0');
    return has_case(line) ? json_integer(value) : NULL;
}

static json_t *seed(const json_t *facts, const json_t *line, const char *of)
{
    (void)facts, (void)of;
    return json_string(has_case(line) ? "1" : "0");
}

/* ---- The layer ---- */

static json_t *dense(const json_t *facts, const json_t *line, const char *of)
{
    (void)facts;
    return has_case(line) && is(line, "operation", "ff") ? json_string(of) : NULL;
}

static bool read_tree(const char *shape, long long *trees, long long *depth)
{
    int end = 0;
    return sscanf(shape, "%7lldx%2lld%n", trees, depth, &end) == 2 && shape[end] == '\0' && *trees > 0 &&
           *depth >= 0 && *depth < 32;
}

static json_t *tree_part(const json_t *facts, const json_t *line, const char *of)
{
    long long trees, depth;
    (void)facts;
    if (!is(line, "operation", "fff") || !read_tree(text_of(line, "shape"), &trees, &depth))
        return NULL;
    const long long value = *of == 't' ? trees : *of == 'd' ? depth : trees * ((2LL << depth) - 1);
    return value ? json_integer(value) : NULL; /* a 0 is left out of a full record, too */
}

static json_t *dense_work(const json_t *facts, const json_t *line, const char *of)
{
    return is(line, "operation", "ff") ? same(facts, line, of) : NULL;
}

static json_t *judged_rows(const json_t *facts, const json_t *line, const char *of)
{
    return is(line, "kind", "check") ? same(facts, line, of) : NULL;
}

/* ---- Times ---- */

/* A real as lines have it: whole where it is whole (journal_line.c). */
static json_t *time_of(double ns)
{
    return isnan(ns) ? NULL : ns == floor(ns) ? json_integer((json_int_t)ns) : json_real(ns);
}

static json_t *of_samples(const json_t *facts, const json_t *line, const char *of)
{
    ffl_record times;
    double median, low, high;
    json_t *samples = json_object_get(line, "samples_ns"), *object = json_object(), *value = NULL;
    (void)facts;
    if (!samples || json_object_set(object, "samples_ns", samples) != 0 ||
        ffl_record_from_json(object, &times) != FFL_OK) {
        json_decref(object);
        return NULL;
    }
    ffl_samples_median(&times.samples, &median, &low, &high);
    value = time_of(*of == 'l' ? low : *of == 'h' ? high : ffl_samples_quantile(&times.samples, 0));
    ffl_record_free(&times);
    json_decref(object);
    return value;
}

static json_t *per_token(const json_t *facts, const json_t *line, const char *of)
{
    const double ns = json_number_value(json_object_get(line, of)) / (double)whole_of(line, "tokens");
    (void)facts;
    return ns > 0 && ns < 1e15 ? time_of(ns) : NULL;
}

/* ---- Names ---- */

/* What a shape is called: "neurons" of dense layers, "tree", or the word in front of it ("leaf 9x8"), else
 * the operation's ("fff_leaf"). */
static void shape_words(const json_t *line, char option[16], char shape[48])
{
    const char *text = text_of(line, "shape"), *operation = text_of(line, "operation");
    const size_t word = strcspn(text, " ");
    if (is(line, "operation", "ff")) {
        strcpy(option, "neurons");
        snprintf(shape, 48, "%lld", whole_of(line, "neurons"));
    } else if (text[word]) {
        snprintf(option, 16, "%.*s", (int)word, text);
        snprintf(shape, 48, "%.47s", text + word + 1);
    } else {
        const char *last = strrchr(operation, '_');
        snprintf(option, 16, "%.15s", strcmp(operation, "fff") == 0 ? "tree" : last ? last + 1 : operation);
        snprintf(shape, 48, "%.47s", text);
    }
}

/* The words that repeat a case of check: harness/check/cases.h writes the same. */
static void check_words(const json_t *line, char *out, size_t size)
{
    const char *fixture = text_of(line, "fixture");
    const bool way = strcmp(fixture, "invariance") == 0 || strcmp(fixture, "properties") == 0;
    const bool file = strncmp(fixture, "real:", 5) == 0;
    char option[16], shape[48];
    shape_words(line, option, shape);
    /* Whatever the line holds, all of it fits. */
    int used = snprintf(out, size, way ? "--%s" : "--fixture %.200s", fixture);
    if (!file || !is(line, "operation", "ff"))
        used += snprintf(out + used, size - (size_t)used, " --%s %s", option, shape);
    if (!file)
        used += snprintf(out + used, size - (size_t)used, " --width %lld --width-out %lld",
                         whole_of(line, "width_in"), whole_of(line, "width_out"));
    snprintf(out + used, size - (size_t)used, " --batch %lld --activation %.20s --threads %lld --seed %.24s",
             whole_of(line, "batch"), text_of(line, "activation"), whole_of(line, "threads"),
             text_of(line, "seed"));
}

/* A group is about a tree; rows that are none name theirs. */
static const char *tree_of(const json_t *line)
{
    return is(line, "operation", "fff") ? text_of(line, "shape") : text_of(line, FFL_LINE_TREE);
}

/* As harness/bench/group_record.c writes it. */
static json_t *group(const json_t *facts, const json_t *line, const char *of)
{
    (void)facts, (void)of;
    if (!is(line, "kind", "bench"))
        return NULL;
    return json_sprintf("%s/width:%lld:%lld/%s/batch:%lld/%s/%s/%.*s/threads:%lld/seed:%s%s", tree_of(line),
                        whole_of(line, "width_in"), whole_of(line, "width_out"), text_of(line, "activation"),
                        whole_of(line, "batch"), text_of(line, "routing"), text_of(line, "cache"),
                        (int)strcspn(text_of(line, "class"), "~"), text_of(line, "class"),
                        whole_of(line, "threads"), text_of(line, "seed"),
                        is(line, "place", "cuda") ? "/cuda" : "");
}

static json_t *key(const json_t *facts, const json_t *line, const char *of)
{
    char words[512] = "", option[16], shape[48];
    (void)facts, (void)of;
    shape_words(line, option, shape);
    if (is(line, "kind", "bench") && strcmp(option, "tree") == 0)
        return json_sprintf("%s/neurons:%lld/%s", text_of(line, "variant"), whole_of(line, "neurons"),
                            text_of(line, "group"));
    if (is(line, "kind", "bench"))
        return json_sprintf("%s/%s:%s/%s", text_of(line, "variant"), option, shape, text_of(line, "group"));
    if (has_case(line))
        check_words(line, words, sizeof words);
    return json_sprintf("check %s %s", text_of(line, "variant"), words);
}

static json_t *command(const json_t *facts, const json_t *line, const char *of)
{
    char words[512] = "", other[80] = "", option[16], shape[48];
    (void)facts, (void)of;
    if (is(line, "kind", "bench")) {
        shape_words(line, option, shape);
        if (strcmp(option, "tree") != 0)
            snprintf(other, sizeof other, " --%s %s", option, shape);
        return json_sprintf("./fflab bench -v %s --tree %s%s --width %lld --width-out %lld --activation %s "
                            "--batch %lld --routing %s --cache %s --threads %lld --seed %s%s",
                            text_of(line, "variant"), tree_of(line), other, whole_of(line, "width_in"),
                            whole_of(line, "width_out"), text_of(line, "activation"), whole_of(line, "batch"),
                            text_of(line, "routing"), text_of(line, "cache"), whole_of(line, "threads"),
                            text_of(line, "seed"), text_of(line, FFL_LINE_WORDS));
    }
    if (has_case(line))
        check_words(line, words, sizeof words);
    return json_sprintf("./fflab check -v %s%s%s%s", text_of(line, "variant"), *words ? " " : "", words,
                        text_of(line, FFL_LINE_WORDS));
}

/* ---- Dates ---- */

json_t *ffl_line_date(const char *start, json_int_t seconds)
{
    time_t time;
    char text[FFL_DATE_SIZE];
    if (!ffl_date_read(start, &time) || seconds < -((json_int_t)1 << 32) || seconds > (json_int_t)1 << 32)
        return NULL;
    time += (time_t)seconds;
    ffl_date_write(time, text);
    return *text ? json_string(text) : NULL;
}

json_int_t ffl_line_seconds(const char *start, const char *end)
{
    time_t from, to;
    return ffl_date_read(start, &from) && ffl_date_read(end, &to) ? (json_int_t)(to - from) : 0;
}

static json_t *date(const json_t *facts, const json_t *line, const char *of)
{
    return ffl_line_date(text_of(facts, of), whole_of(line, FFL_LINE_AT));
}

const ffl_line_rule ffl_line_rules[] = {
    {"date", date, "date"}, /* of the run's line; journal_line.c puts it beside the facts */
    {"operation", fact, "operation"},
    {"family", fact, "family"},
    {"library", fact, "library"},
    {"isa", fact, "isa"},
    {"class", fact, "class"},
    {"place", fact, "place"},
    {"library_version", fact, "library_version"},
    {"kernel_family", fact, "kernel_family"},
    {"shape", dense, "dense"},
    {"trees", tree_part, "trees"},
    {"depth", tree_part, "depth"},
    {"neurons", tree_part, "neurons"},
    {"width_in", usual_number, "768"},
    {"width_out", same, "width_in"},
    {"activation", usual_text, "gelu"},
    {"routing", usual_of_bench, "uniform"},
    {"cache", usual_of_bench, "hot"},
    {"tokens", same, "batch"},
    {"threads", usual_number, "1"},
    {"seed", seed, NULL},
    {"verdict", usual_text, "PASSED"},
    {"rows", judged_rows, "batch"},
    {"dense_flops", dense_work, "flops"},
    {"leaves_max", same, "leaves_mean"},
    {"entropy_max", same, "entropy_mean"},
    {"top1_max", same, "top1_mean"},
    {"low_ns", of_samples, "low"},
    {"high_ns", of_samples, "high"},
    {"min_ns", of_samples, "min"},
    {"ns_per_token", per_token, "median_ns"},
    {"group", group, NULL},
    {"key", key, NULL},
    {"command", command, NULL},
    {0},
};
