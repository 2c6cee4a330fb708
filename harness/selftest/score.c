#include "harness/selftest/score.h"
#include "harness/cache_folder.h"
#include "harness/commit.h"
#include "reports/date.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

void ffl_score_words(const ffl_score *score, char *out, size_t size)
{
    snprintf(out, size, "%zu/%zu mutants caught, %zu/%zu false alarms", score->caught, score->mutants,
             score->false_alarms, score->honest);
}

void ffl_score_store(const ffl_score *score)
{
    char path[4096], draft[4110], date[FFL_DATE_SIZE];
    ffl_cache_file("selftest.json", true, path, sizeof path);
    if (!*path)
        return;
    snprintf(draft, sizeof draft, "%s.part", path);
    ffl_date_write(time(NULL), date);
    json_t *json = json_pack("{s:I, s:I, s:I, s:I, s:s, s:s}", "caught", (json_int_t)score->caught, "mutants",
                             (json_int_t)score->mutants, "false_alarms", (json_int_t)score->false_alarms,
                             "honest", (json_int_t)score->honest, "commit", FFL_COMMIT, "date", date);
    if (json && json_dump_file(json, draft, JSON_INDENT(1)) == 0)
        rename(draft, path);
    json_decref(json);
}

json_t *ffl_score_load(void)
{
    char path[4096];
    json_int_t number;
    const char *commit, *date;
    ffl_cache_file("selftest.json", false, path, sizeof path);
    json_t *json = *path ? json_load_file(path, 0, NULL) : NULL;
    if (json &&
        json_unpack(json, "{s:I, s:I, s:I, s:I, s:s, s:s}", "caught", &number, "mutants", &number,
                    "false_alarms", &number, "honest", &number, "commit", &commit, "date", &date) == 0)
        return json;
    json_decref(json);
    return NULL;
}

static size_t number_of(const json_t *json, const char *name)
{
    return (size_t)json_integer_value(json_object_get(json, name));
}

void ffl_score_line(char *out, size_t size)
{
    json_t *json = ffl_score_load();
    if (!json) {
        snprintf(out, size, "verifier: selftest not run");
        return;
    }
    const ffl_score score = {.caught = number_of(json, "caught"),
                             .mutants = number_of(json, "mutants"),
                             .false_alarms = number_of(json, "false_alarms"),
                             .honest = number_of(json, "honest")};
    const char *commit = json_string_value(json_object_get(json, "commit"));
    char words[128];
    ffl_score_words(&score, words, sizeof words);
    snprintf(out, size, "verifier: %s (selftest of commit %.40s%s, %.10s)", words, commit,
             strcmp(commit, FFL_COMMIT) == 0 ? "" : ", not this one",
             json_string_value(json_object_get(json, "date")));
    json_decref(json);
}
