/* The section on whole encoder passes: the overview, then a table per group, and what is missing to its
 * ceilings. */
#include "reports/encoder.h"
#include "reports/format.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Below this part of the ceiling a row is explained part by part. */
static const double enough = 0.95;

static const char *star(const ffl_pass_row *p)
{
    return p->layers_timed < p->layers ? "\\*" : "";
}

static void print_ratio(const ffl_spread *s, FILE *file)
{
    fprintf(file, "%.2f", s->median);
    if (isfinite(s->low))
        fprintf(file, " [%.2f, %.2f]", s->low, s->high);
}

static void print_percent(const ffl_spread *s, FILE *file)
{
    fprintf(file, "%.1f %%", 100 * s->median);
    if (isfinite(s->low))
        fprintf(file, " [%.1f, %.1f]", 100 * s->low, 100 * s->high);
}

static bool is_first_of_group(const ffl_rows *rows, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (ffl_pass_same_group(&rows->passes[k], &rows->passes[i]))
            return false;
    return true;
}

static void print_model(const ffl_pass_row *p, FILE *file)
{
    fputc('`', file);
    ffl_print_text(file, p->model);
    fprintf(file, "`%s", star(p));
}

/* ---- The overview ---- */

static void print_overview(const ffl_rows *rows, FILE *file)
{
    ffl_pass_row p;
    const ffl_row *before = NULL;
    for (size_t i = 0; i < rows->pass_count; i++) {
        if (!is_first_of_group(rows, i) || !ffl_pass_fastest(rows, &rows->passes[i], &p))
            continue;
        if (!before)
            fputs("The f32 tree of each group whose kernel is the fastest alone:\n\n", file);
        if (ffl_print_machine(rows, p.row, before, file))
            fputs("| Model | Tokens | Dense N | Threads | Variant | s | Ceiling | Measured | Measured / "
                  "ceiling | "
                  "Limit | Without logits: ceiling | Measured | Measured / ceiling | Limit |\n"
                  "|---|--:|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
                  file);
        before = p.row;
        const ffl_pass_answer *a = &p.answer;
        fputs("| ", file);
        print_model(&p, file);
        fprintf(file, " | %lld x %lld | %lld | %lld | `", (long long)p.batch, (long long)p.sequence,
                (long long)p.dense_neurons, (long long)p.row->record.threads);
        ffl_print_text(file, p.row->record.variant);
        fprintf(file, "` | %.1f | %.2f | **%.2f** | ", a->kernel_speed_up.median, a->whole.ceiling.median,
                a->whole.speed_up.median);
        print_percent(&a->whole.of_ceiling, file);
        fprintf(file, " | %.2f | %.2f | **%.2f** | ", a->whole.limit.median, a->body.ceiling.median,
                a->body.speed_up.median);
        print_percent(&a->body.of_ceiling, file);
        fprintf(file, " | %.2f |\n", a->body.limit.median);
    }
    if (before)
        fputc('\n', file);
}

/* ---- One group ---- */

typedef struct group {
    ffl_pass_row *value; /* the fastest pass first */
    size_t count, failed, left_out;
} group;

static int by_pass(const void *a, const void *b)
{
    const double x = ((const ffl_pass_row *)a)->answer.whole.pass_ns.median,
                 y = ((const ffl_pass_row *)b)->answer.whole.pass_ns.median;
    return (x > y) - (x < y);
}

static ffl_status collect(const ffl_rows *rows, const ffl_row *first, group *out)
{
    *out = (group){.value = calloc(rows->pass_count, sizeof *out->value)};
    if (!out->value)
        return ffl_fail(FFL_NO_MEMORY, "no memory for a table of %zu rows", rows->pass_count);
    for (size_t i = 0; i < rows->pass_count; i++) {
        const ffl_row *row = &rows->passes[i];
        const char *verdict = row->record.verdict;
        if (!ffl_pass_same_group(row, first))
            continue;
        if (ffl_pass_row_of(row, &out->value[out->count]))
            out->count++;
        else if (strcmp(verdict, "UNSUPPORTED") == 0 || strcmp(verdict, "SKIPPED") == 0)
            out->left_out++;
        else
            out->failed++;
    }
    qsort(out->value, out->count, sizeof *out->value, by_pass);
    return FFL_OK;
}

static void print_shares(const ffl_pass_row *p, FILE *file)
{
    const ffl_pass_answer *a = &p->answer;
    fprintf(file, "The feedforward layers are %.1f %% of the dense pass by time, %.1f %% without the logits",
            100 * a->whole.share.median, 100 * a->body.share.median);
    if (isfinite(a->whole_share) && isfinite(a->body_share))
        fprintf(file,
                "; by arithmetic %.1f %% and %.1f %%, so that no kernel gains more than %.2fx and %.2fx "
                "where all "
                "FLOPs cost the same",
                100 * a->whole_share, 100 * a->body_share, 1 / (1 - a->whole_share), 1 / (1 - a->body_share));
    fprintf(file, ". Dense layers in place take %.3f times their time alone.", a->dense_penalty);
    if (*star(p))
        fprintf(file, " \\* %lld of %lld layers ran, for all.", (long long)p->layers_timed,
                (long long)p->layers);
    fputs("\n\n", file);
}

static void print_answers(const ffl_rows *rows, const group *g, FILE *file)
{
    bool roofs = false;
    for (size_t i = 0; i < g->count; i++)
        roofs = roofs || ffl_any_roof(g->value[i].row, 1);
    fprintf(
        file,
        "| Variant | Pairs | Alone, ms | s | In place / alone |%s Ceiling | Measured | Measured / ceiling | "
        "Without logits: ceiling | Measured | Measured / ceiling | Line |\n"
        "|---|--:|--:|--:|--:|%s--:|--:|--:|--:|--:|--:|---|\n",
        roofs ? " In place, of its roof |" : "", roofs ? "--:|" : "");
    for (size_t i = 0; i < g->count; i++) {
        const ffl_pass_row *p = &g->value[i];
        const ffl_pass_answer *a = &p->answer;
        char source[FFL_CELL], roof[FFL_CELL];
        ffl_format_source(rows, p->row, source);
        fputs("| `", file);
        ffl_print_text(file, p->row->record.variant);
        fprintf(file, "`%s%s | %zu | %.2f | %.2f | %.2f | ", star(p),
                strcmp(p->row->record.variant, p->baseline) == 0 ? " (itself)" : "", a->pairs,
                a->alone_ns.median / 1e6, a->kernel_speed_up.median, a->context_penalty.median);
        ffl_format_roof(p->row, roof);
        fprintf(file, "%s%s%.2f | ", roofs ? roof : "", roofs ? " | " : "", a->whole.ceiling.median);
        print_ratio(&a->whole.speed_up, file);
        fputs(" | ", file);
        print_percent(&a->whole.of_ceiling, file);
        fprintf(file, " | %.2f | ", a->body.ceiling.median);
        print_ratio(&a->body.speed_up, file);
        fputs(" | ", file);
        print_percent(&a->body.of_ceiling, file);
        fprintf(file, " | %s |\n", source);
    }
    fputc('\n', file);
    if (roofs)
        fputs("In place, of its roof: the feedforward layers of the pass, each as a call of its own. The "
              "other parts "
              "have no\nshare: they read and write at once, and no measured roof is for their mix.\n\n",
              file);
}

static void print_part_names(const ffl_pass_answer *a, FILE *file)
{
    fputs("| Variant | Pass |", file);
    for (size_t p = 0; p < a->parts; p++) {
        fputc(' ', file);
        ffl_print_text(file, a->name[p]);
        fputs(" |", file);
    }
    fputs("\n|---|--:|", file);
    for (size_t p = 0; p < a->parts; p++)
        fputs("--:|", file);
    fputc('\n', file);
}

static void print_parts(const group *g, FILE *file)
{
    fputs("Milliseconds per pass:\n\n", file);
    print_part_names(&g->value[0].answer, file);
    for (size_t i = 0; i < g->count; i++) {
        const ffl_pass_answer *a = &g->value[i].answer;
        fputs("| `", file);
        ffl_print_text(file, g->value[i].row->record.variant);
        fprintf(file, "` | %.1f |", a->whole.pass_ns.median / 1e6);
        for (size_t p = 0; p < a->parts; p++)
            fprintf(file, " %.1f |", a->own_ns[p].median / 1e6);
        fputc('\n', file);
    }
    fputc('\n', file);
}

static void print_missing(const group *g, FILE *file)
{
    bool any = false;
    for (size_t i = 0; i < g->count; i++) {
        const ffl_pass_answer *a = &g->value[i].answer;
        if (!(a->whole.of_ceiling.median < enough))
            continue;
        if (!any) {
            fprintf(file,
                    "Below %.0f %% of the ceiling, part by part: milliseconds more than in the dense pass of "
                    "the same "
                    "pair; feedforward: more than alone.\n\n",
                    100 * enough);
            print_part_names(a, file);
        }
        any = true;
        fputs("| `", file);
        ffl_print_text(file, g->value[i].row->record.variant);
        fprintf(file, "` | %.1f |", a->whole.pass_ns.median / 1e6);
        for (size_t p = 0; p < a->parts; p++)
            fprintf(file, " %+.1f |", a->missing_ns[p].median / 1e6);
        fputc('\n', file);
    }
    if (any)
        fputc('\n', file);
}

static void print_failures(const ffl_rows *rows, const ffl_row *first, const group *g, FILE *file)
{
    for (size_t i = 0; g->failed && i < rows->pass_count; i++) {
        const ffl_record *r = &rows->passes[i].record;
        ffl_pass_row p;
        if (!ffl_pass_same_group(&rows->passes[i], first) || strcmp(r->verdict, "UNSUPPORTED") == 0 ||
            strcmp(r->verdict, "SKIPPED") == 0 || ffl_pass_row_of(&rows->passes[i], &p))
            continue;
        fputs("- `", file);
        ffl_print_text(file, r->variant);
        fputs("`: ", file);
        ffl_print_text(file, r->verdict);
        fputs(": ", file);
        ffl_print_text(file, *r->reason ? r->reason : "its times cannot be used");
        fputc('\n', file);
    }
    if (g->failed)
        fputc('\n', file);
    if (g->left_out)
        fprintf(file, "%zu variant%s did not run: not for this shape, or not in the time there was.\n\n",
                g->left_out, g->left_out == 1 ? "" : "s");
}

static ffl_status print_group(const ffl_rows *rows, const ffl_row *first, FILE *file)
{
    group g;
    FFL_TRY(collect(rows, first, &g));
    if (g.count) {
        const ffl_pass_row *p = &g.value[0];
        fputs("### ", file);
        print_model(p, file);
        ffl_print_on(file, rows, p->row);
        fprintf(file, ", %lld x %lld tokens, %lld thread%s, against `", (long long)p->batch,
                (long long)p->sequence, (long long)p->row->record.threads,
                p->row->record.threads == 1 ? "" : "s");
        ffl_print_text(file, p->baseline);
        fprintf(file, "` with %lld neurons\n\n", (long long)p->dense_neurons);
        print_shares(p, file);
        print_answers(rows, &g, file);
        print_parts(&g, file);
        print_missing(&g, file);
    } else if (g.failed) {
        fputs("### ", file);
        ffl_print_text(file, first->record.group);
        fputs("\n\n", file);
    }
    print_failures(rows, first, &g, file);
    free(g.value);
    return FFL_OK;
}

static void print_method(FILE *file)
{
    fputs("A dense pass and the variant's run one behind the other; every number is worked out within such a "
          "pair, "
          "and the\nmedian over the pairs is shown. *s*: how much faster the feedforward layers of all "
          "layers are alone, "
          "each with the\nweights as cold as the other layers leave them. f: the feedforward layers' share "
          "of the dense "
          "pass of the pair, by\ntime. *Ceiling*: 1 / ((1 - f) + f / s). *Limit*: 1 / (1 - f). Brackets: 95 "
          "% by order "
          "statistics; below 6 pairs\nthe extremes (94 % for 5, 75 % for 3). The dense variant against "
          "itself shows what "
          "the machine does to a pair.\n\n",
          file);
}

void ffl_encoder_overview(const ffl_rows *rows, FILE *file)
{
    if (rows->pass_count == 0)
        return;
    fputs("## Whole encoder passes: from kernel speed to model speed\n\n", file);
    print_method(file);
    print_overview(rows, file);
}

ffl_status ffl_encoder_groups(const ffl_rows *rows, FILE *file)
{
    for (size_t i = 0; i < rows->pass_count; i++)
        if (is_first_of_group(rows, i))
            FFL_TRY(print_group(rows, &rows->passes[i], file));
    return FFL_OK;
}

ffl_status ffl_encoder_write(const ffl_rows *rows, FILE *file)
{
    ffl_encoder_overview(rows, file);
    FFL_TRY(ffl_encoder_groups(rows, file));
    if (fflush(file) != 0 || ferror(file))
        return ffl_fail(FFL_IO, "the report could not be written: %s", strerror(errno));
    return FFL_OK;
}

void ffl_encoder_headline_print(const ffl_rows *rows, FILE *file)
{
    ffl_pass_row p;
    bool any = false, reduced = false;
    for (size_t i = 0; i < rows->pass_count; i++) {
        if (!is_first_of_group(rows, i) || !ffl_pass_fastest(rows, &rows->passes[i], &p))
            continue;
        if (!any)
            fputs(
                "Whole encoder passes, fastest f32 tree: speed-up, its ceiling, measured / ceiling; without "
                "logits:\n",
                file);
        any = true;
        const ffl_pass_answer *a = &p.answer;
        const bool part = p.layers_timed < p.layers;
        reduced |= part;
        char model[64];
        snprintf(model, sizeof model, "%.60s%s", p.model, part ? "*" : "");
        fprintf(file,
                "  %-20s %3lld x %-4lld against %-5lld %lld thr.  %5.2fx of %5.2fx, %5.1f %%;  %5.2fx of "
                "%5.2fx, %5.1f "
                "%%  %s\n",
                model, (long long)p.batch, (long long)p.sequence, (long long)p.dense_neurons,
                (long long)p.row->record.threads, a->whole.speed_up.median, a->whole.ceiling.median,
                100 * a->whole.of_ceiling.median, a->body.speed_up.median, a->body.ceiling.median,
                100 * a->body.of_ceiling.median, p.row->record.variant);
    }
    if (reduced)
        fputs("  * the first layers of the model ran, for all of them\n", file);
}
