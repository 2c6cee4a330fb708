/* `fflab replay`: a capsule again, on the variant that failed or on others. */
#include "harness/check/attempt.h"
#include "harness/check/capsule.h"
#include "harness/check/shrink.h"
#include "harness/commands.h"
#include "harness/registry.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static const double default_timeout = 60;

typedef struct replay {
    const ffl_options *options;
    const char *path;
    ffl_capsule capsule;
    double timeout_s;
    json_t *results; /* --json */
    size_t tried, bad, passed;
} replay;

static bool wanted(const replay *r, const ffl_variant *variant)
{
    if (variant->operation != r->capsule.fixture.weights.layer.operation)
        return false;
    if (r->options->list_count[FFL_OPT_VARIANT] == 0)
        return strcmp(variant->name, r->capsule.variant) == 0;
    return ffl_option_selects(r->options, variant);
}

static void print_lines(const char *text)
{
    while (*text) {
        const size_t length = strcspn(text, "\n");
        printf("  %.*s\n", (int)length, text);
        text += length + (text[length] == '\n');
    }
}

static ffl_status tell(replay *r, const ffl_variant *variant, const ffl_attempt *attempt)
{
    const ffl_judgement *j = &attempt->judgement;
    if (r->results) {
        json_t *line = json_pack("{s:s, s:s, s:s, s:s, s:b}", "variant", variant->name, "verdict",
                                 ffl_verdict_name(j->verdict), "reason", j->reason, "explanation",
                                 attempt->explanation, "weak", j->weak);
        if (line && j->located) {
            json_object_set_new(line, "row", json_integer((json_int_t)j->row));
            json_object_set_new(line, "element", json_integer((json_int_t)j->element));
        }
        return line && json_array_append_new(r->results, line) == 0
                   ? FFL_OK
                   : ffl_fail(FFL_NO_MEMORY, "no memory for the results");
    }
    printf("%s: %s%s%s%s\n", variant->name, ffl_verdict_name(j->verdict), j->weak ? " (WEAK)" : "",
           j->reason[0] ? "; " : "", j->reason);
    print_lines(attempt->explanation);
    fflush(stdout);
    return FFL_OK;
}

static ffl_status try_one(replay *r, const ffl_variant *variant)
{
    const char *why = "";
    /* As in check: a device may be there next time. */
    const bool device = variant->place == FFL_CUDA;
    ffl_attempt attempt = {.judgement = {.verdict = device ? FFL_SKIPPED : FFL_UNSUPPORTED_HERE}};
    r->tried++;
    if (ffl_variant_available(variant, &why))
        FFL_TRY(ffl_attempt_run(r->options, r->path, variant->name, r->timeout_s,
                                ffl_option_given(r->options, FFL_OPT_IN_PROCESS), &attempt));
    else
        snprintf(attempt.judgement.reason, sizeof attempt.judgement.reason, "%s", why);
    r->passed += attempt.judgement.verdict == FFL_PASSED;
    r->bad += attempt.judgement.verdict >= FFL_SUSPECT && attempt.judgement.verdict <= FFL_TIMEOUT;
    return tell(r, variant, &attempt);
}

static ffl_status try_all(replay *r)
{
    char words[96];
    ffl_capsule_words(&r->capsule, words, sizeof words);
    if (!r->results)
        printf("%s: %s, %zu per call, %d thread%s; %s, reduced from %s\n", r->path, words, r->capsule.batch,
               r->capsule.threads, r->capsule.threads == 1 ? "" : "s", r->capsule.variant, r->capsule.origin);
    fflush(stdout);
    for (size_t i = 0; i < ffl_registry_count(); i++)
        if (wanted(r, ffl_registry_at(i)))
            FFL_TRY(try_one(r, ffl_registry_at(i)));
    if (r->tried)
        return FFL_OK;
    if (r->options->list_count[FFL_OPT_VARIANT])
        return ffl_fail(FFL_BAD_INPUT, "-v %s: no such variant computes what %s holds (%s)",
                        r->options->list[FFL_OPT_VARIANT][0], r->path,
                        ffl_operation_names[r->capsule.fixture.weights.layer.operation]);
    return ffl_fail(FFL_BAD_INPUT,
                    "%s: its variant %s is not here; load it with --plugin, or name another with -v", r->path,
                    r->capsule.variant);
}

static ffl_status run(const ffl_options *options, int *exit_code)
{
    replay r = {.options = options, .path = options->words[0]};
    FFL_TRY(ffl_option_duration(options, FFL_OPT_TIMEOUT, default_timeout, &r.timeout_s));
    FFL_TRY(ffl_capsule_read(r.path, &r.capsule));
    if (ffl_option_given(options, FFL_OPT_JSON))
        r.results = json_array();
    const ffl_status status = try_all(&r);
    if (r.results && status == FFL_OK) {
        json_t *document = json_pack("{s:s, s:s, s:s, s:O}", "file", r.path, "variant", r.capsule.variant,
                                     "origin", r.capsule.origin, "results", r.results);
        json_dumpf(document, stdout, JSON_INDENT(1));
        putchar('\n');
        json_decref(document);
    }
    json_decref(r.results);
    ffl_capsule_free(&r.capsule);
    *exit_code = r.bad ? FFL_EXIT_FAILED : r.passed ? FFL_EXIT_GOOD : FFL_EXIT_NOTHING_RAN;
    return status;
}

static const ffl_option replay_options[] = {
    FFL_OPT_VARIANT,    FFL_OPT_EXCLUDE, FFL_OPT_PLUGIN, FFL_OPT_PROCESS,       FFL_OPT_JSON,
    FFL_OPT_IN_PROCESS, FFL_OPT_TIMEOUT, FFL_OPT_BLAS_LIBRARY, FFL_OPT_KEEP_BLAS_ENVIRONMENT,
    FFL_OPT_COUNT,
};

const ffl_command ffl_command_replay = {
    .name = "replay",
    .summary = "repeat and explain a failure that check saved",
    .usage = "FILE [-v NAME] [--plugin FILE.so] [--in-process]",
    .help =
        "FILE is a capsule: weights and inputs of one failing call, reduced, and how the layer was called.\n"
        "The variant runs on it as check ran it. Printed are the verdict, and for a wrong row: the element,\n"
        "what came out, what might have come out along each admissible path, and the first wrong node where\n"
        "that can be told. -v tries other variants on the same data. --in-process serves debuggers.\n\n"
        "Exit code 0 when it passes now, 2 when it still fails.\n\n"
        "Examples:\n"
        "  fflab replay build/results/20261122-120000/capsules/fff_mine-0f3a5c71.safetensors\n"
        "  fflab replay capsule.safetensors --plugin ./fff_mine.so --in-process\n"
        "  fflab replay capsule.safetensors -v 'fff_*'\n",
    .options = replay_options,
    .words_min = 1,
    .words_max = 1,
    .run = run,
};
