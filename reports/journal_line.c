#define _GNU_SOURCE
#include "reports/journal_line.h"
#include "reports/line_rules.h"
#include "reports/samples_text.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCHEMA_FULL = 1, SCHEMA_SHORT = 2 };

ffl_status ffl_told_new(ffl_told *out)
{
    out->runs = json_object();
    return out->runs ? FFL_OK : ffl_fail(FFL_NO_MEMORY, "no memory for a journal");
}

void ffl_told_free(ffl_told *told)
{
    json_decref(told->runs);
    told->runs = NULL;
}

static const char *text_of(const json_t *line, const char *field)
{
    const char *text = json_string_value(json_object_get(line, field));
    return text ? text : "";
}

static bool is_short_kind(const char *kind)
{
    return strcmp(kind, "check") == 0 || strcmp(kind, "bench") == 0;
}

/* ---- What lines tell those below them ---- */

static ffl_status no_memory(void)
{
    return ffl_fail(FFL_NO_MEMORY, "no memory for a journal line");
}

/* A later line of the same run gives its date anew: each step of a study has one. */
static ffl_status tell_run(ffl_told *told, const json_t *line)
{
    const char *name = text_of(line, "run");
    json_t *run = json_object_get(told->runs, name);
    if (!run) {
        run = json_pack("{s:{}, s:{}}", "variants", "roofs");
        if (json_object_set_new(told->runs, name, run) != 0)
            return no_memory();
    }
    return json_object_set_new(run, "date", json_string(text_of(line, "date"))) == 0 ? FFL_OK : no_memory();
}

/* `line`: of kind "variant", or of a row of one. */
static ffl_status tell_variant(json_t *run, const json_t *line)
{
    json_t *facts = json_object();
    for (size_t i = 0; ffl_line_facts[i]; i++)
        if (json_object_get(line, ffl_line_facts[i]))
            json_object_set(facts, ffl_line_facts[i], json_object_get(line, ffl_line_facts[i]));
    return json_object_set_new(json_object_get(run, "variants"), text_of(line, "variant"), facts) == 0
               ? FFL_OK
               : no_memory();
}

/* What rules may look at beside the line; NULL when nothing was told. */
static json_t *facts_for(const json_t *run, const json_t *line)
{
    json_t *facts = json_object_get(json_object_get(run, "variants"), text_of(line, "variant"));
    if (facts)
        json_object_set(facts, "date", json_object_get(run, "date"));
    return facts;
}

/* ---- Writing ---- */

/* Four digits, as samples have; the median lies between two of them, and what a token takes follows from it.
 * Whole numbers stay exact, and lose their ".0". */
static void shorten_reals(json_t *line)
{
    const char *field;
    json_t *value;
    void *next;
    char digits[32];
    json_object_foreach_safe(line, next, field, value)
    {
        const double real = json_real_value(value);
        if (!json_is_real(value) || fabs(real) >= 0x1p53)
            continue;
        snprintf(digits, sizeof digits, "%.4g", real);
        const bool exact =
            real == floor(real) || strcmp(field, "median_ns") == 0 || strcmp(field, "ns_per_token") == 0;
        const double kept = exact ? real : atof(digits);
        json_object_set_new(line, field,
                            kept == floor(kept) ? json_integer((json_int_t)kept) : json_real(kept));
    }
}

/* The tree that the group of another row is about: "1x11" of "1x11/width:768…". */
static void add_tree(json_t *line)
{
    const char *group = text_of(line, "group");
    const size_t length = strspn(group, "0123456789x");
    if (strcmp(text_of(line, "operation"), "fff") != 0 && length && group[length] == '/')
        json_object_set_new(line, FFL_LINE_TREE, json_stringn(group, length));
}

static const ffl_line_rule *rule_for(const char *field)
{
    const ffl_line_rule *rule = ffl_line_rules;
    while (strcmp(rule->field, field) != 0)
        rule++;
    return rule;
}

/* What the command has beyond what follows: " --plugin ./mine.so". */
static void add_words(const json_t *facts, json_t *line)
{
    json_t *plain = rule_for("command")->follow(facts, line, NULL);
    const char *base = json_string_value(plain), *all = text_of(line, "command");
    const size_t length = base ? strlen(base) : 0;
    if (length && strncmp(all, base, length) == 0 && all[length] == ' ')
        json_object_set_new(line, FFL_LINE_WORDS, json_string(all + length));
    json_decref(plain);
}

/* Text keeps 12 digits of a real. */
static bool is_same(const json_t *a, const json_t *b)
{
    const double x = json_number_value(a), y = json_number_value(b);
    return json_equal(a, b) || (json_is_number(a) && json_is_number(b) && fabs(x - y) <= 1e-11 * fabs(x));
}

/* Leaves out what follows; where something else would follow than nothing, null says that nothing is there.
 */
static void leave_out(const json_t *facts, const json_t *full, json_t *line)
{
    for (const ffl_line_rule *rule = ffl_line_rules; rule->field; rule++) {
        const json_t *value = json_object_get(full, rule->field);
        json_t *follows = rule->follow(facts, full, rule->of);
        if (value && follows && is_same(value, follows))
            json_object_del(line, rule->field);
        else if (!value && follows)
            json_object_set_new(line, rule->field, json_null());
        json_decref(follows);
    }
}

static void rename_field(json_t *line, const char *from, const char *to)
{
    json_t *value = json_object_get(line, from);
    if (value && json_object_set(line, to, value) == 0)
        json_object_del(line, from);
}

static void pack_samples(json_t *line)
{
    char *packed = ffl_samples_pack(json_object_get(line, "samples_ns"));
    if (packed && json_object_set_new(line, FFL_LINE_SAMPLES, json_string(packed)) == 0)
        json_object_del(line, "samples_ns");
    free(packed);
}

/* Reference to a short line; NULL without memory. `full` gets the fields that only lines have, too. */
static json_t *shorten(const json_t *facts, json_t *full)
{
    shorten_reals(full);
    json_object_set_new(full, "schema", json_integer(SCHEMA_SHORT));
    const json_int_t seconds = ffl_line_seconds(text_of(facts, "date"), text_of(full, "date"));
    if (seconds)
        json_object_set_new(full, FFL_LINE_AT, json_integer(seconds));
    add_tree(full);
    add_words(facts, full);
    json_t *line = json_copy(full);
    if (line)
        leave_out(facts, full, line);
    if (line && json_object_get(line, "samples_ns"))
        pack_samples(line);
    for (size_t i = 0; line && ffl_line_names[i][0]; i++)
        rename_field(line, ffl_line_names[i][0], ffl_line_names[i][1]);
    return line;
}

static json_t *variant_line(const char *run, const char *variant, const json_t *facts)
{
    json_t *line = json_pack("{s:i, s:s, s:s, s:s}", "schema", SCHEMA_SHORT, "kind", "variant", "run", run,
                             "variant", variant);
    for (size_t i = 0; line && ffl_line_facts[i]; i++)
        if (json_object_get(facts, ffl_line_facts[i]))
            json_object_set(line, ffl_line_facts[i], json_object_get(facts, ffl_line_facts[i]));
    return line;
}

static bool put_line(FILE *out, const json_t *line)
{
    return line && json_dumpf(line, out, JSON_COMPACT | JSON_REAL_PRECISION(12)) == 0 && fputc('\n', out) > 0;
}

/* Takes `full` over. */
static ffl_status write_short(json_t *run, json_t *full, FILE *out)
{
    bool written = true;
    if (!facts_for(run, full)) {
        FFL_TRY(tell_variant(run, full));
        json_t *line = variant_line(text_of(full, "run"), text_of(full, "variant"), facts_for(run, full));
        written = put_line(out, line);
        json_decref(line);
    }
    json_t *line = shorten(facts_for(run, full), full);
    written = written && put_line(out, line);
    json_decref(line);
    return written ? FFL_OK : no_memory();
}

/* The same but for the date of the line; if not, it is told now. */
static bool was_told(const json_t *run, json_t *full)
{
    json_t *roofs = json_object_get(run, "roofs"), *line = json_copy(full);
    json_object_del(line, "date");
    const bool same = line && json_equal(json_object_get(roofs, text_of(full, "key")), line);
    json_object_set(roofs, text_of(full, "key"), line);
    json_decref(line);
    return same;
}

ffl_status ffl_line_write(ffl_told *told, const ffl_record *record, char **text)
{
    size_t size;
    ffl_status status = FFL_OK;
    json_t *full = ffl_record_to_json(record), *run = json_object_get(told->runs, record->run);
    FILE *out = full ? open_memstream(text, &size) : NULL;
    if (!out) {
        json_decref(full);
        return no_memory();
    }
    if (run && record->variant[0] && is_short_kind(record->kind))
        status = write_short(run, full, out);
    else if (!(run && strcmp(record->kind, "roof") == 0 && was_told(run, full)) && !put_line(out, full))
        status = no_memory();
    if (status == FFL_OK && strcmp(record->kind, "run") == 0)
        status = tell_run(told, full);
    json_decref(full);
    if (fclose(out) != 0 && status == FFL_OK)
        status = no_memory();
    if (status != FFL_OK)
        free(*text);
    return status;
}

/* ---- Reading ---- */

static ffl_status lengthen(const json_t *run, json_t *line)
{
    const json_t *facts = facts_for(run, line);
    if (!facts)
        return ffl_fail(FFL_BAD_INPUT, "the line of kind \"%s\" that it refers to is missing above it",
                        run ? "variant" : "run");
    for (size_t i = 0; ffl_line_names[i][0]; i++)
        rename_field(line, ffl_line_names[i][1], ffl_line_names[i][0]);
    const json_t *samples = json_object_get(line, FFL_LINE_SAMPLES);
    if (samples) {
        json_t *pairs;
        FFL_TRY(ffl_samples_unpack(json_is_string(samples) ? json_string_value(samples) : "", &pairs));
        json_object_set_new(line, "samples_ns", pairs);
    }
    for (const ffl_line_rule *rule = ffl_line_rules; rule->field; rule++) {
        const json_t *value = json_object_get(line, rule->field);
        if (json_is_null(value)) {
            json_object_del(line, rule->field);
        } else if (!value) {
            json_t *follows = rule->follow(facts, line, rule->of);
            if (follows)
                json_object_set_new(line, rule->field, follows);
        }
    }
    return FFL_OK;
}

static ffl_status read_json(ffl_told *told, json_t *line, ffl_record *record)
{
    const json_t *schema = json_object_get(line, "schema");
    json_t *run = json_object_get(told->runs, text_of(line, "run"));
    if (json_is_integer(schema) && json_integer_value(schema) == SCHEMA_SHORT) {
        if (strcmp(text_of(line, "kind"), "variant") == 0)
            FFL_TRY(run ? tell_variant(run, line)
                        : ffl_fail(FFL_BAD_INPUT,
                                   "the line of kind \"run\" that it refers to is missing above it"));
        else
            FFL_TRY(lengthen(run, line));
        json_object_set_new(line, "schema", json_integer(SCHEMA_FULL));
    }
    FFL_TRY(ffl_record_from_json(line, record));
    const ffl_status status = strcmp(record->kind, "run") == 0 ? tell_run(told, line) : FFL_OK;
    if (status != FFL_OK)
        ffl_record_free(record);
    return status;
}

ffl_status ffl_line_read(ffl_told *told, const char *text, size_t length, ffl_record *record)
{
    json_error_t error;
    json_t *line = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    if (!line)
        return ffl_fail(FFL_BAD_INPUT, "not JSON: %s", error.text);
    const ffl_status status = read_json(told, line, record);
    json_decref(line);
    return status;
}
