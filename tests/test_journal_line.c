/* Journal lines: short, and nothing lost. */
#include "reports/journal_line.h"
#include "reports/lines.h"
#include "reports/samples_text.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ffl_told writing, reading;

static void set_up(void)
{
    cr_assert_eq(ffl_told_new(&writing), FFL_OK);
    cr_assert_eq(ffl_told_new(&reading), FFL_OK);
}

static void tear_down(void)
{
    ffl_told_free(&writing), ffl_told_free(&reading);
}

TestSuite(line, .init = set_up, .fini = tear_down);

/* ---- Samples ---- */

static void expect_packed(const char *pairs, const char *packed)
{
    json_t *json = json_loads(pairs, 0, NULL), *back;
    char *text = ffl_samples_pack(json);
    cr_assert_str_eq(text, packed);
    cr_assert_eq(ffl_samples_unpack(text, &back), FFL_OK, "%s: %s", text, ffl_error());
    cr_assert(json_equal(json, back), "%s", text);
    free(text);
    json_decref(json), json_decref(back);
}

Test(line, samples_are_packed_as_described)
{
    expect_packed("[[1230, 1], [1250, 2], [1260, 40]]", "10:123a2b(40)");
    expect_packed("[[7, 26], [8, 27], [100, 1]]", "1:7z(27)92a");
    expect_packed("[[0, 1], [1, 1]]", "1:0aa");
    expect_packed("[[0, 3]]", "1:0c");
    expect_packed("[[9007199254740992, 9007199254740992]]", "1:9007199254740992(9007199254740992)");
}

Test(line, samples_that_cannot_be_are_refused)
{
    static const char *const bad[] = {"",
                                      "12",
                                      ":1a",
                                      "0:1a",
                                      "1:1",
                                      "1:a1",
                                      "1:1A",
                                      "1:1(3",
                                      "1:()",
                                      "1:1a ",
                                      "-1:1a",
                                      "1:1(9007199254740993)",
                                      "10:9007199254740992a",
                                      "99999999999999999999:1a"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *pairs;
        cr_assert_eq(ffl_samples_unpack(bad[i], &pairs), FFL_BAD_INPUT, "%s", bad[i]);
        cr_assert_not_null(strstr(ffl_error(), "field \"samples\", character "), "%s", ffl_error());
    }
}

/* ---- Records ---- */

static ffl_record record_of(const char *json)
{
    ffl_record record;
    json_t *parsed = json_loads(json, 0, NULL);
    cr_assert_not_null(parsed, "%s", json);
    cr_assert_eq(ffl_record_from_json(parsed, &record), FFL_OK, "%s", ffl_error());
    json_decref(parsed);
    return record;
}

/* The text that is written for it. */
static char *write_record(const char *json)
{
    ffl_record record = record_of(json);
    char *text;
    cr_assert_eq(ffl_line_write(&writing, &record, &text), FFL_OK, "%s", ffl_error());
    ffl_record_free(&record);
    return text;
}

/* Reads every line of a text; the last one's record. */
static ffl_record read_lines(const char *text)
{
    ffl_record record;
    ffl_record_init(&record);
    while (*text) {
        const size_t length = strcspn(text, "\n");
        cr_assert_eq(text[length], '\n');
        ffl_record_free(&record);
        cr_assert_eq(ffl_line_read(&reading, text, length, &record), FFL_OK, "%s\n%s", ffl_error(), text);
        text += length + 1;
    }
    return record;
}

/* Every field is there again; reals to the four digits that are kept. */
static void expect_same(const ffl_record *before, const ffl_record *after, size_t number, const char *text)
{
    json_t *a = ffl_record_to_json(before), *b = ffl_record_to_json(after), *value;
    const char *field;
    cr_assert_eq(json_object_size(a), json_object_size(b), "line %zu:\n%s", number, text);
    json_object_foreach(a, field, value)
    {
        const json_t *other = json_object_get(b, field);
        const double x = json_number_value(value), y = json_number_value(other);
        const bool near =
            json_is_real(value) && json_is_number(other) && x != floor(x) && fabs(x - y) <= 5.1e-4 * fabs(x);
        cr_assert(near || json_equal(value, other), "line %zu, field %s:\n%s", number, field, text);
    }
    json_decref(a), json_decref(b);
}

#define RUN "{\"kind\":\"run\",\"run\":\"r1\",\"key\":\"run/r1\",\"date\":\"2026-01-31T23:59:50Z\"}"
#define FACTS                                                                                                \
    "\"operation\":\"fff\",\"family\":\"simd\",\"library\":\"none\",\"isa\":\"avx2\",\"class\":\"bf16~\","   \
    "\"place\":\"host\""
#define HEAD(kind, variant)                                                                                  \
    "{\"kind\":\"" kind "\",\"run\":\"r1\",\"date\":\"2026-02-01T00:00:20Z\",\"variant\":\"" variant "\","
#define CASE                                                                                                 \
    ",\"shape\":\"2x3\",\"trees\":2,\"depth\":3,\"neurons\":30,\"width_in\":768,\"width_out\":768,"          \
    "\"activation\":\"gelu\",\"batch\":16,\"tokens\":16,\"threads\":1,\"seed\":\"1\",\"verdict\":\"PASSED\""
#define BENCH ",\"routing\":\"uniform\",\"cache\":\"hot\""
#define NAMES(tail, words)                                                                                   \
    ",\"key\":\"fff_x/neurons:30/2x3/width:768:768/gelu/batch:16/uniform/hot/bf16/threads:1/seed:1" tail     \
    "\",\"group\":\"2x3/width:768:768/gelu/batch:16/uniform/hot/bf16/threads:1/seed:1" tail                  \
    "\",\"command\":\"./fflab bench -v fff_x --tree 2x3 --width 768 --width-out 768 --activation gelu "      \
    "--batch 16 --routing uniform --cache hot --threads 1 --seed 1" words "\""
#define TIMES                                                                                                \
    ",\"median_ns\":12344.5,\"low_ns\":12340,\"high_ns\":12349,\"min_ns\":12340,\"ns_per_token\":771.53125," \
    "\"mean_ns\":12345.4,\"samples_ns\":[[12340,1],[12349,1]]"
#define VARIANT "{\"schema\":2,\"kind\":\"variant\",\"run\":\"r1\",\"variant\":\"fff_x\"," FACTS "}\n"

static void expect_line(const char *record, const char *line)
{
    char *text = write_record(record);
    cr_assert_str_eq(text, line);
    ffl_record before = record_of(record), after = read_lines(text);
    expect_same(&before, &after, 0, text);
    ffl_record_free(&before), ffl_record_free(&after);
    free(text);
}

/* The line of the run goes to both sides. */
static void begin(void)
{
    char *text = write_record(RUN);
    ffl_record run = read_lines(text);
    ffl_record_free(&run);
    free(text);
}

Test(line, a_row_says_only_what_does_not_follow)
{
    begin();
    expect_line(
        HEAD("bench", "fff_x") FACTS CASE BENCH NAMES("", "") TIMES "}", VARIANT
        "{\"schema\":2,\"kind\":\"bench\",\"run\":\"r1\",\"variant\":\"fff_x\",\"shape\":\"2x3\","
        "\"batch\":16,\"median_ns\":12344.5,\"mean_ns\":12350,\"at\":30,\"samples\":\"1:12340a9a\"}\n");
    expect_line(
        HEAD("check", "fff_x") FACTS CASE
        ",\"fixture\":\"ties\",\"rows\":16,\"error_worst\":0.5,"
        "\"key\":\"check fff_x --fixture ties --tree 2x3 --width 768 --width-out 768 --batch 16 "
        "--activation gelu --threads 1 --seed 1\",\"command\":\"./fflab check -v fff_x --fixture ties "
        "--tree 2x3 --width 768 --width-out 768 --batch 16 --activation gelu --threads 1 --seed 1 "
        "--plugin ./x.so\"}",
        "{\"schema\":2,\"kind\":\"check\",\"run\":\"r1\",\"variant\":\"fff_x\",\"shape\":\"2x3\","
        "\"fixture\":\"ties\",\"batch\":16,\"at\":30,\"words\":\" --plugin ./x.so\",\"worst\":0.5}\n");
}

/* What deviates is said, and what would follow but is not there is null. */
Test(line, what_does_not_follow_is_said)
{
    begin();
    expect_line(
        HEAD("bench", "fff_x") FACTS CASE BENCH NAMES("/full", " --full") "}", VARIANT
        "{\"schema\":2,\"kind\":\"bench\",\"run\":\"r1\",\"group\":\"2x3/width:768:768/gelu/batch:16/"
        "uniform/hot/bf16/threads:1/seed:1/full\",\"variant\":\"fff_x\",\"shape\":\"2x3\",\"batch\":16,"
        "\"at\":30,\"words\":\" --full\"}\n");
    expect_line(
        HEAD("check", "fff_x") "\"operation\":\"fff\",\"class\":\"f32\",\"batch\":4,\"seed\":\"0\"}",
        "{\"schema\":2,\"kind\":\"check\",\"run\":\"r1\",\"variant\":\"fff_x\",\"class\":\"f32\",\"batch\":4,"
        "\"seed\":\"0\",\"at\":30,\"family\":null,\"library\":null,\"isa\":null,\"place\":null,\"width_in\":"
        "null,"
        "\"activation\":null,\"tokens\":null,\"threads\":null,\"verdict\":null,\"rows\":null,"
        "\"key\":null,\"command\":null}\n");
    expect_line(HEAD("check", "fff_y") FACTS
                ",\"seed\":\"0\",\"verdict\":\"UNSUPPORTED\",\"key\":\"check fff_y \","
                "\"command\":\"./fflab check -v fff_y --invariance\"}",
                "{\"schema\":2,\"kind\":\"variant\",\"run\":\"r1\",\"variant\":\"fff_y\"," FACTS
                "}\n{\"schema\":2,\"kind\":\"check\",\"run\":\"r1\",\"variant\":\"fff_y\",\"verdict\":"
                "\"UNSUPPORTED\","
                "\"at\":30,\"words\":\" --invariance\"}\n");
}

/* Each writer refers to its own run, and lines of several may alternate. */
Test(line, two_runs_in_one_file_are_kept_apart)
{
    static const char *const lines[] = {
        "{\"kind\":\"run\",\"run\":\"a\",\"date\":\"2026-01-01T00:00:00Z\"}",
        "{\"kind\":\"run\",\"run\":\"b\",\"date\":\"2027-01-01T00:00:00Z\"}",
        "{\"schema\":2,\"kind\":\"variant\",\"run\":\"a\",\"variant\":\"v\",\"kernel_family\":\"Haswell\"}",
        "{\"schema\":2,\"kind\":\"variant\",\"run\":\"b\",\"variant\":\"v\",\"kernel_family\":\"SkylakeX\"}",
        "{\"schema\":2,\"kind\":\"bench\",\"run\":\"a\",\"variant\":\"v\",\"at\":1}",
        "{\"schema\":2,\"kind\":\"bench\",\"run\":\"b\",\"variant\":\"v\",\"at\":2}",
    };
    static const char *const family[] = {"Haswell", "SkylakeX"}, *const date[] = {"2026-01-01T00:00:01Z",
                                                                                  "2027-01-01T00:00:02Z"};
    for (size_t i = 0; i < 6; i++) {
        ffl_record record;
        cr_assert_eq(ffl_line_read(&reading, lines[i], strlen(lines[i]), &record), FFL_OK, "%s", ffl_error());
        if (i >= 4) {
            cr_assert_str_eq(record.kernel_family, family[i - 4]);
            cr_assert_str_eq(record.date, date[i - 4]);
        }
        ffl_record_free(&record);
    }
}

Test(line, lines_that_cannot_be_understood_say_why)
{
    static const char *const bad[][2] = {
        {"{\"schema\":2,\"kind\":\"bench\",\"run\":\"other\",\"variant\":\"fff_x\"}", "kind \"run\""},
        {"{\"schema\":2,\"kind\":\"variant\",\"run\":\"other\",\"variant\":\"fff_x\"}", "kind \"run\""},
        {"{\"schema\":2,\"kind\":\"bench\",\"run\":\"r1\",\"variant\":\"fff_z\"}", "kind \"variant\""},
        {"{\"schema\":2,\"kind\":\"bench\",\"run\":\"r1\",\"variant\":\"fff_x\",\"samples\":\"1:a1\"}",
         "\"samples\", character 5"},
        {"{\"schema\":2,\"kind\":\"bench\",\"run\":\"r1\",\"variant\":\"fff_x\",\"samples\":[[1,2]]}",
         "\"samples\""},
        {"{\"schema\":2,\"kind\":\"bench\",\"run\":\"r1\",\"variant\":\"fff_x\",\"shape\":7}", "\"shape\""},
        {"{\"schema\":2,\"kind\":\"bench\",\"run\":\"r1\",\"variant\":\"fff_x\",\"batch\":\"4\"}",
         "\"batch\""},
        {"{\"schema\":2,\"kind\":\"bench\",\"run\":\"r1\",\"variant\":\"fff_x\",\"batch\":1,\"shape\":"
         "\"9999999x31\"}",
         "\"neurons\""},
        {"{\"schema\":3,\"kind\":\"bench\",\"run\":\"r1\",\"variant\":\"fff_x\"}", "newer fflab (schema 3)"},
        {"[2]", "not a JSON object"},
        {"{\"schema\":2,\"kind\":\"be", "not JSON"},
    };
    begin();
    free(write_record(RUN));
    ffl_record ignored;
    cr_assert_eq(ffl_line_read(&reading, VARIANT, strlen(VARIANT) - 1, &ignored), FFL_OK, "%s", ffl_error());
    ffl_record_free(&ignored);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert_eq(ffl_line_read(&reading, bad[i][0], strlen(bad[i][0]), &ignored), FFL_BAD_INPUT, "%s",
                     bad[i][0]);
        cr_assert_not_null(strstr(ffl_error(), bad[i][1]), "%s: %s", bad[i][0], ffl_error());
    }
}

/* A row without a run, or of a kind that says everything itself, is written in full. */
Test(line, other_lines_stay_as_they_are)
{
    expect_line(HEAD("bench", "fff_x") "\"seed\":\"0\"}",
                "{\"schema\":1,\"kind\":\"bench\",\"run\":\"r1\",\"date\":\"2026-02-01T00:00:20Z\","
                "\"variant\":\"fff_x\","
                "\"seed\":\"0\"}\n");
    begin();
    expect_line(HEAD("encoder", "fff_x") "\"seed\":\"0\"}",
                "{\"schema\":1,\"kind\":\"encoder\",\"run\":\"r1\",\"date\":\"2026-02-01T00:00:20Z\","
                "\"variant\":\"fff_x\",\"seed\":\"0\"}\n");
}

/* Each step of a study tells the roofs that it knows. */
Test(line, a_roof_is_told_once_per_run_and_value)
{
    static const char roof[] =
        "{\"kind\":\"roof\",\"run\":\"%s\",\"key\":\"roof a\",\"date\":\"2026-02-0%dT00:00:00Z\","
        "\"roof\":\"read_l2\",\"measured\":{\"value\":%d.5}}";
    static const struct {
        const char *run;
        int day, value;
        bool told;
    } lines[] = {{"r1", 1, 100, true}, {"r1", 2, 100, false}, {"r1", 2, 101, true}, {"r0", 2, 101, true}};
    begin();
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char json[256];
        snprintf(json, sizeof json, roof, lines[i].run, lines[i].day, lines[i].value);
        char *text = write_record(json);
        cr_assert_eq(*text != '\0', lines[i].told, "line %zu: %s", i, text);
        free(text);
    }
}

/* ---- Published journals ---- */

/* Bytes of the journal as it would be written now. */
static size_t rewrite(const char *path)
{
    ffl_lines lines;
    ffl_told told;
    bool more = true;
    size_t bytes = 0;
    cr_assert_eq(ffl_lines_open(path, &lines), FFL_OK, "%s", ffl_error());
    cr_assert_eq(ffl_told_new(&told), FFL_OK);
    while (ffl_lines_next(&lines, &more) == FFL_OK && more) {
        ffl_record record;
        char *text;
        cr_assert_eq(ffl_line_read(&told, lines.text, lines.length, &record), FFL_OK, "%s:%zu: %s", path,
                     lines.number, ffl_error());
        cr_assert_eq(ffl_line_write(&writing, &record, &text), FFL_OK, "%s", ffl_error());
        const bool before = !*text; /* a roof, by an earlier step */
        cr_assert(!before || strcmp(record.kind, "roof") == 0);
        ffl_record again = read_lines(text);
        if (!before)
            expect_same(&record, &again, lines.number, text);
        bytes += strlen(text);
        free(text);
        ffl_record_free(&record), ffl_record_free(&again);
    }
    ffl_told_free(&told);
    ffl_lines_close(&lines);
    return bytes;
}

Test(line, published_journals_lose_nothing_but_length)
{
    static const struct {
        const char *name;
        size_t most; /* bytes, rewritten: of the first, which has full lines, a third */
    } journals[] = {
        {"2026-11-22-trees", 450000}, {"2026-11-22-paper", 3300000}, {"2026-11-22-peers", 1420000}};
    for (size_t i = 0; i < sizeof journals / sizeof *journals; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/reports/results/xeon-cascadelake-2cpu/%s.jsonl", getenv("SOURCE"),
                 journals[i].name);
        const size_t bytes = rewrite(path);
        cr_assert_leq(bytes, journals[i].most, "%s: %zu bytes", path, bytes);
    }
}
