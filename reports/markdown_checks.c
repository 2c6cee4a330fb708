/* Is it right? One line per variant over all its checks, then every case that did not pass. */
#include "reports/format.h"
#include "reports/markdown.h"
#include <math.h>
#include <string.h>

/* From worst to best; what a variant's line says is its gravest. */
static const char *const verdicts[] = {"CRASHED", "TIMEOUT",     "FAILED", "SUSPECT",
                                       "PASSED",  "UNSUPPORTED", "SKIPPED"};
enum { VERDICTS = sizeof verdicts / sizeof *verdicts, PASSED = 4, BAD = 4 };

typedef struct tally {
    size_t by_verdict[VERDICTS], weak;
    int64_t rows, flips;
    double error_statistical, error_worst, flip_margin;
} tally;

static size_t verdict_of(const ffl_row *row)
{
    size_t v = 0;
    while (v + 1 < VERDICTS && strcmp(verdicts[v], row->record.verdict) != 0)
        v++;
    return v;
}

static tally tally_of(const ffl_rows *rows, const char *kind, const char *variant)
{
    tally t = {.error_statistical = NAN, .error_worst = NAN, .flip_margin = NAN};
    for (size_t i = 0; i < rows->count; i++) {
        const ffl_record *r = &rows->value[i].record;
        if (strcmp(r->kind, kind) != 0 || strcmp(r->variant, variant) != 0 || r->emulated)
            continue;
        t.by_verdict[verdict_of(&rows->value[i])]++;
        t.weak += r->weak;
        t.rows += r->rows;
        t.flips += r->flips;
        t.error_statistical = fmax(t.error_statistical, r->error_statistical); /* fmax passes over NaN */
        t.error_worst = fmax(t.error_worst, r->error_worst);
        t.flip_margin = fmax(t.flip_margin, r->flip_margin);
    }
    return t;
}

static size_t judged(const tally *t)
{
    size_t count = 0;
    for (size_t v = 0; v <= PASSED; v++)
        count += t->by_verdict[v];
    return count;
}

static const char *gravest(const tally *check, const tally *bench)
{
    for (size_t v = 0; v < PASSED; v++)
        if (check->by_verdict[v] || bench->by_verdict[v])
            return verdicts[v];
    return verdicts[PASSED];
}

static void print_fraction(FILE *file, double fraction)
{
    if (isfinite(fraction))
        fprintf(file, "%.2g | ", fraction);
    else
        fputs("– | ", file);
}

static void print_variant(const ffl_rows *rows, const char *variant, FILE *file)
{
    const tally check = tally_of(rows, "check", variant), bench = tally_of(rows, "bench", variant);
    if (!judged(&check) && !judged(&bench))
        return; /* below, with the reason */
    fputs("| `", file);
    ffl_print_text(file, variant);
    fprintf(file, "` | %zu | %zu | %zu | %lld | %lld | ", judged(&check), check.by_verdict[PASSED],
            check.weak, (long long)check.rows, (long long)check.flips);
    print_fraction(file, check.flip_margin);
    print_fraction(file, check.error_statistical);
    print_fraction(file, check.error_worst);
    if (judged(&bench))
        fprintf(file, "%zu of %zu | ", bench.by_verdict[PASSED], judged(&bench));
    else
        fputs("– | ", file);
    fprintf(file, "%s |\n", gravest(&check, &bench));
}

static bool is_first(const ffl_rows *rows, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (strcmp(rows->value[k].record.variant, rows->value[i].record.variant) == 0)
            return false;
    return true;
}

static void print_failures(const ffl_rows *rows, FILE *file)
{
    bool any = false;
    for (size_t i = 0; i < rows->count; i++) {
        const ffl_record *r = &rows->value[i].record;
        char source[FFL_CELL];
        if (verdict_of(&rows->value[i]) >= BAD)
            continue;
        if (!any)
            fputs("Not passed:\n\n", file);
        any = true;
        ffl_format_source(rows, &rows->value[i], source);
        fprintf(file, "- **%s** `", verdicts[verdict_of(&rows->value[i])]);
        ffl_print_text(file, r->variant);
        fputs("` (", file);
        ffl_print_text(file, r->kind);
        fprintf(file, ", %s): ", source);
        ffl_print_text(file, r->reason[0] ? r->reason : "no reason given");
        fputs(". Repeat: `", file);
        ffl_print_text(file, r->command);
        fputs("`\n", file);
    }
    if (any)
        fputc('\n', file);
}

static bool is_same_absence(const ffl_row *a, const ffl_row *b)
{
    return verdict_of(a) == verdict_of(b) && strcmp(a->record.reason, b->record.reason) == 0;
}

/* One line for all rows that did not run for the reason of row `first`. */
static void print_absence(const ffl_rows *rows, size_t first, FILE *file)
{
    char source[FFL_CELL];
    const ffl_row *row = &rows->value[first];
    size_t cases = 0;
    fprintf(file, "- %s, ", verdicts[verdict_of(row)]);
    ffl_print_text(file, row->record.reason[0] ? row->record.reason : "no reason given");
    fputc(':', file);
    for (size_t i = first; i < rows->count; i++) {
        bool named = false;
        if (!is_same_absence(row, &rows->value[i]))
            continue;
        for (size_t k = first; k < i && !named; k++)
            named = is_same_absence(row, &rows->value[k]) &&
                    strcmp(rows->value[k].record.variant, rows->value[i].record.variant) == 0;
        if (!named) {
            fputs(cases ? ", `" : " `", file);
            ffl_print_text(file, rows->value[i].record.variant);
            fputc('`', file);
        }
        cases++;
    }
    ffl_format_source(rows, row, source);
    fprintf(file, " (%zu case%s, first %s)\n", cases, cases == 1 ? "" : "s", source);
}

/* What did not run, by reason. */
static void print_absences(const ffl_rows *rows, FILE *file)
{
    bool any = false;
    for (size_t i = 0; i < rows->count; i++) {
        bool told = verdict_of(&rows->value[i]) <= PASSED;
        for (size_t k = 0; k < i && !told; k++)
            told = is_same_absence(&rows->value[i], &rows->value[k]);
        if (told)
            continue;
        if (!any)
            fputs("Not run:\n\n", file);
        any = true;
        print_absence(rows, i, file);
    }
    if (any)
        fputc('\n', file);
}

/* "Of 60 checks 50 PASSED (2 WEAK), 10 UNSUPPORTED; 3 rows of 7000 flipped." */
static void print_statuses(const ffl_rows *rows, const char *kind, const char *name, FILE *file)
{
    size_t by_verdict[VERDICTS] = {0}, all = 0, weak = 0;
    int64_t judged_rows = 0, flips = 0;
    for (size_t i = 0; i < rows->count; i++) {
        const ffl_record *r = &rows->value[i].record;
        if (strcmp(r->kind, kind) != 0 || r->emulated)
            continue;
        by_verdict[verdict_of(&rows->value[i])]++;
        all++;
        weak += r->weak;
        judged_rows += r->rows;
        flips += r->flips;
    }
    if (!all)
        return;
    fprintf(file, "Of %zu %s:", all, name);
    bool any = false;
    for (size_t k = 0; k < VERDICTS; k++) {
        const size_t v = (PASSED + k) % VERDICTS; /* what passed first */
        if (by_verdict[v])
            fprintf(file, "%s %zu %s", any ? "," : "", by_verdict[v], verdicts[v]);
        any |= by_verdict[v] > 0;
        if (v == PASSED && weak)
            fprintf(file, " (%zu WEAK)", weak);
    }
    fprintf(file, "; of %lld rows judged %lld took another admissible branch.\n", (long long)judged_rows,
            (long long)flips);
}

/* How the verifier itself fared against planted bugs, as each run states it. */
static void print_scores(const ffl_rows *rows, FILE *file)
{
    const char *last = "";
    for (size_t i = 0; i < rows->run_count; i++) {
        const char *score =
            json_string_value(json_object_get(rows->runs[i].record.circumstances, "verifier"));
        if (!score || strcmp(score, last) == 0)
            continue;
        last = score;
        fputs("The ", file);
        ffl_print_text(file, score);
        fputs(".\n", file);
    }
}

void ffl_markdown_checks(const ffl_rows *rows, FILE *file)
{
    fputs(
        "## Verification\n\n"
        "Errors are the largest seen, as a fraction of the statistical and of the worst-case bound that the\n"
        "variant's numerics contract earns. A flip is a row that took the other branch where rounding leaves "
        "both\n"
        "open; its margin is |z| over the bound. Timed: verdicts on the outputs of the timed calls "
        "themselves.\n\n",
        file);
    print_statuses(rows, "check", "checks", file);
    print_statuses(rows, "bench", "timed cases", file);
    print_scores(rows, file);
    fputs("\n| Variant | Cases | Passed | Weak | Rows | Flips | Flip margin | Error / statistical | Error / "
          "worst | "
          "Timed | Verdict |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n",
          file);
    for (size_t i = 0; i < rows->count; i++)
        if (is_first(rows, i))
            print_variant(rows, rows->value[i].record.variant, file);
    fputc('\n', file);
    print_failures(rows, file);
    print_absences(rows, file);
}
