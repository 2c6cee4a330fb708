#include "harness/check/tally.h"
#include "harness/check/cases.h"
#include "harness/check/check_record.h"
#include "harness/check/shrink.h"
#include "harness/check/ways_table.h"
#include "harness/selftest/score.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More lines of the same verdict and variant are counted, not printed; journal and --json hold all. */
enum { LINES_PER_VERDICT = 3 };

typedef struct row {
    const ffl_variant *variant;
    size_t expected, added;
    size_t verdicts[FFL_VERDICT_COUNT], weak;
    size_t judged_rows, flips;
    double error, flip_margin; /* largest */
    bool handicapped;
    ffl_check_case worst_case; /* of the gravest bad verdict, the cheapest */
    ffl_judgement worst;
    ffl_way_outcomes outcomes; /* worst over its cases */
} row;

struct ffl_tally {
    const ffl_options *options;
    ffl_journal *journal;
    ffl_progress *progress;
    json_t *results, *capsules; /* --json */
    row *rows;
    size_t row_count;
    size_t losses; /* workers that died between two cases */
};

ffl_status ffl_tally_new(const ffl_options *options, ffl_journal *journal, ffl_tally **out)
{
    ffl_tally *t = calloc(1, sizeof *t);
    *out = t;
    if (!t)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the check's results");
    *t = (ffl_tally){.options = options, .journal = journal};
    if (ffl_option_given(options, FFL_OPT_JSON))
        t->results = json_array(), t->capsules = json_array();
    return FFL_OK;
}

void ffl_tally_watch(ffl_tally *tally, ffl_progress *progress)
{
    tally->progress = progress;
}

void ffl_tally_free(ffl_tally *tally)
{
    if (!tally)
        return;
    json_decref(tally->results);
    json_decref(tally->capsules);
    free(tally->rows);
    free(tally);
}

ffl_status ffl_tally_expect(ffl_tally *t, const ffl_variant *variant, size_t cases)
{
    row *grown = realloc(t->rows, (t->row_count + 1) * sizeof *grown);
    if (!grown)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the check's results");
    t->rows = grown;
    t->rows[t->row_count++] = (row){.variant = variant, .expected = cases, .error = NAN, .flip_margin = NAN};
    return FFL_OK;
}

static row *row_of(ffl_tally *t, const ffl_variant *variant)
{
    for (size_t i = 0; i < t->row_count; i++)
        if (t->rows[i].variant == variant)
            return &t->rows[i];
    return NULL;
}

/* ---- Lines ---- */

static bool is_bad(ffl_verdict verdict)
{
    return verdict >= FFL_SUSPECT && verdict <= FFL_TIMEOUT;
}

static void print_finding(const ffl_tally *t, const row *r, const ffl_record *record, const ffl_judgement *j)
{
    const size_t same = j->verdict == FFL_PASSED ? r->weak : r->verdicts[j->verdict];
    const size_t limit = is_bad(j->verdict) ? LINES_PER_VERDICT : 1;
    if (t->results || (j->verdict == FFL_PASSED && !j->weak) || same > limit)
        return;
    ffl_progress_clear(t->progress);
    printf("  %s %s: %s; repeat: %s\n", j->verdict == FFL_PASSED ? "WEAK" : record->verdict, record->variant,
           record->reason, record->command);
    if (same == limit && r->expected > limit)
        printf("  … further %s cases of %s are counted, not printed; --json and --out hold them all\n",
               j->verdict == FFL_PASSED ? "WEAK" : record->verdict, record->variant);
}

static ffl_verdict gravest(const row *r)
{
    for (int verdict = FFL_TIMEOUT; verdict >= FFL_SUSPECT; verdict--)
        if (r->verdicts[verdict])
            return (ffl_verdict)verdict;
    if (r->verdicts[FFL_PASSED])
        return FFL_PASSED;
    return r->verdicts[FFL_UNSUPPORTED_HERE] ? FFL_UNSUPPORTED_HERE : FFL_SKIPPED;
}

static void print_row(const ffl_tally *t, const row *r)
{
    char command[512], cases[128] = "";
    ffl_check_command(t->options, r->variant, NULL, command, sizeof command);
    for (int verdict = 0; verdict < FFL_VERDICT_COUNT; verdict++)
        if (r->verdicts[verdict])
            snprintf(cases + strlen(cases), sizeof cases - strlen(cases), "%s%zu %s", *cases ? ", " : "",
                     r->verdicts[verdict], ffl_verdict_name((ffl_verdict)verdict));
    printf("%-28s %-11s %s; %zu rows", r->variant->name, ffl_verdict_name(gravest(r)), cases, r->judged_rows);
    if (isfinite(r->error))
        printf(", worst error %.2f of its bound", r->error);
    if (r->flips)
        printf(", %zu flips up to %.2f of their bound", r->flips, r->flip_margin);
    ffl_ways_print_others(&r->outcomes);
    printf("%s%s  %s\n", r->weak ? "; WEAK" : "", r->handicapped ? "; HANDICAPPED" : "", command);
    fflush(stdout);
}

/* ---- Adding ---- */

static void count(row *r, const ffl_judgement *j)
{
    r->added++;
    r->verdicts[j->verdict]++;
    r->weak += j->weak;
    r->judged_rows += j->rows;
    r->flips += j->flips;
    r->error = fmax(r->error, j->error_statistical);
    r->flip_margin = fmax(r->flip_margin, j->flip_margin);
    ffl_way_outcomes_merge(&r->outcomes, &j->outcomes);
}

static double work_of(const ffl_check_case *c)
{
    return (double)ffl_layer_bytes(&c->shape) * (double)(c->batch + 1);
}

static void remember_bad(row *r, const ffl_check_case *item, const ffl_judgement *j)
{
    if (!is_bad(j->verdict) || !item || ffl_case_of_ways(item) || j->verdict < r->worst.verdict ||
        (j->verdict == r->worst.verdict && work_of(item) >= work_of(&r->worst_case)))
        return;
    r->worst = *j;
    r->worst_case = *item;
}

size_t ffl_tally_variants(const ffl_tally *tally)
{
    return tally->row_count;
}

bool ffl_tally_bad(const ffl_tally *tally, size_t i, const ffl_variant **variant, ffl_check_case *item,
                   ffl_judgement *judgement)
{
    if (i >= tally->row_count || !is_bad(tally->rows[i].worst.verdict))
        return false;
    *variant = tally->rows[i].variant;
    *item = tally->rows[i].worst_case;
    *judgement = tally->rows[i].worst;
    return true;
}

ffl_status ffl_tally_add(ffl_tally *t, const ffl_variant *variant, const ffl_check_case *item,
                         const ffl_judgement *j)
{
    row *r = row_of(t, variant);
    if (!r)
        return ffl_fail(FFL_INTERNAL, "an unexpected result of %s", variant->name);
    ffl_record record;
    ffl_check_record(t->options, variant, item, j, &record);
    count(r, j);
    remember_bad(r, item, j);
    r->handicapped |= record.handicapped;
    ffl_status status = t->journal ? ffl_journal_write(t->journal, &record) : FFL_OK;
    if (t->results && json_array_append_new(t->results, ffl_record_to_json(&record)) != 0 && status == FFL_OK)
        status = ffl_fail(FFL_NO_MEMORY, "no memory for the check's results");
    print_finding(t, r, &record, j);
    ffl_record_free(&record);
    if (r->added == r->expected && !t->results) {
        ffl_progress_clear(t->progress);
        print_row(t, r);
    }
    return status;
}

/* ---- Capsules ---- */

/* Every line of a text that has several, indented. */
static void print_indented(const char *text)
{
    while (*text) {
        const size_t length = strcspn(text, "\n");
        printf("    %.*s\n", (int)length, text);
        text += length + (text[length] == '\n');
    }
}

static void print_capsule(const ffl_tally *t, const ffl_variant *variant, const ffl_shrunk *s)
{
    char command[4608] = "./fflab replay";
    ffl_progress_clear(t->progress);
    if (!s->repeated) {
        printf("  %s: %s did not fail again in %zu attempts on the same data: no capsule\n", variant->name,
               s->before, s->attempts);
        return;
    }
    ffl_option_words_of_origin(t->options, command, sizeof command);
    ffl_append_word(command, sizeof command, s->path);
    printf("  %s %s: reduced from %s to %s%s in %zu attempts, %.1f s; %zu bytes; repeat: %s\n",
           ffl_verdict_name(s->last.judgement.verdict), variant->name, s->before, s->after,
           s->finished ? "" : " (time up: --shrink)", s->attempts, s->seconds, s->bytes, command);
    print_indented(*s->last.explanation ? s->last.explanation : s->last.judgement.reason);
}

ffl_status ffl_tally_add_capsule(ffl_tally *t, const ffl_variant *variant, const ffl_shrunk *s)
{
    if (!t->results) {
        print_capsule(t, variant, s);
        return FFL_OK;
    }
    const ffl_judgement *j = &s->last.judgement;
    json_t *line = json_pack(
        "{s:s, s:b, s:b, s:s, s:I, s:s, s:s, s:I, s:f, s:s, s:s, s:s}", "variant", variant->name, "repeated",
        s->repeated, "finished", s->finished, "file", s->path, "bytes", (json_int_t)s->bytes, "from",
        s->before, "to", s->after, "attempts", (json_int_t)s->attempts, "seconds", s->seconds, "verdict",
        ffl_verdict_name(j->verdict), "reason", j->reason, "explanation", s->last.explanation);
    return line && json_array_append_new(t->capsules, line) == 0
               ? FFL_OK
               : ffl_fail(FFL_NO_MEMORY, "no memory for the check's results");
}

/* ---- Workers that died between two cases ---- */

ffl_status ffl_tally_add_loss(ffl_tally *t, const char *message)
{
    t->losses++;
    if (t->results)
        return FFL_OK;
    ffl_progress_clear(t->progress);
    printf("  a worker %s between two cases: a variant that it tried before left a thread running or memory "
           "broken; to find it, check fewer at a time (-v)\n",
           message);
    return FFL_OK;
}

/* ---- The end ---- */

typedef struct totals {
    size_t variants, cases, verdicts[FFL_VERDICT_COUNT], weak, handicapped;
} totals;

static totals add_up(const ffl_tally *t)
{
    totals all = {.variants = t->row_count};
    for (size_t i = 0; i < t->row_count; i++) {
        const row *r = &t->rows[i];
        all.cases += r->added;
        all.weak += r->weak;
        all.handicapped += r->handicapped;
        for (int verdict = 0; verdict < FFL_VERDICT_COUNT; verdict++)
            all.verdicts[verdict] += r->verdicts[verdict];
    }
    return all;
}

int ffl_tally_exit_code(const ffl_tally *tally)
{
    const totals all = add_up(tally);
    const size_t bad = all.verdicts[FFL_SUSPECT] + all.verdicts[FFL_FAILED] + all.verdicts[FFL_CRASHED] +
                       all.verdicts[FFL_TIMEOUT];
    if (bad || tally->losses)
        return FFL_EXIT_FAILED;
    if (all.verdicts[FFL_PASSED] == 0)
        return FFL_EXIT_NOTHING_RAN;
    return ffl_option_given(tally->options, FFL_OPT_STRICT) && (all.weak || all.handicapped) ? FFL_EXIT_STRICT
                                                                                             : FFL_EXIT_GOOD;
}

static void print_ways(const ffl_tally *t)
{
    ffl_ways_row *rows = calloc(t->row_count + 1, sizeof *rows);
    for (size_t i = 0; rows && i < t->row_count; i++)
        rows[i] = (ffl_ways_row){.variant = t->rows[i].variant, .outcomes = &t->rows[i].outcomes};
    if (rows)
        ffl_ways_print(rows, t->row_count);
    free(rows);
}

void ffl_tally_finish(ffl_tally *t, double seconds)
{
    const totals all = add_up(t);
    ffl_progress_clear(t->progress);
    if (t->results) {
        char verifier[256];
        ffl_score_line(verifier, sizeof verifier);
        json_t *document =
            json_pack("{s:O, s:O, s:s, s:{s:I, s:I, s:I, s:I, s:f}}", "results", t->results, "capsules",
                      t->capsules, "verifier", verifier, "summary", "variants", (json_int_t)all.variants,
                      "cases", (json_int_t)all.cases, "passed", (json_int_t)all.verdicts[FFL_PASSED],
                      "workers lost", (json_int_t)t->losses, "seconds", seconds);
        json_dumpf(document, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
        putchar('\n');
        json_decref(document);
        return;
    }
    print_ways(t);
    printf("%zu variants, %zu cases:", all.variants, all.cases);
    for (int verdict = 0; verdict < FFL_VERDICT_COUNT; verdict++)
        if (all.verdicts[verdict] || verdict == FFL_PASSED)
            printf(" %zu %s", all.verdicts[verdict], ffl_verdict_name((ffl_verdict)verdict));
    if (all.weak)
        printf(", %zu of them WEAK", all.weak);
    if (all.handicapped)
        printf(", %zu variants HANDICAPPED", all.handicapped);
    printf("; %.1f s\n", seconds);
}
