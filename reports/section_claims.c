/* What was published, what the same definition gives here, and why they differ. */
#include "reports/format.h"
#include "reports/sections_with_charts.h"
#include <math.h>
#include <string.h>

/* The papers' layer at the largest batch that was timed; fewest threads, cache hot. NULL without any. */
static const ffl_row *papers_race(const ffl_report *r, const char *place)
{
    const ffl_row *best = NULL;
    for (size_t i = 0; i < r->race_count; i++) {
        const ffl_record *c = &r->races[i]->record;
        if (!ffl_row_is_fff(r->races[i]) || c->trees != 1 || c->depth != 11 || c->width_in != 768 ||
            strcmp(c->clazz, "f32") != 0 || strcmp(c->cache, "hot") != 0 || strcmp(c->place, place) != 0 ||
            !isfinite(r->duels[i].speedup.ratio))
            continue;
        if (!best || c->batch > best->record.batch ||
            (c->batch == best->record.batch && c->threads < best->record.threads))
            best = r->races[i];
    }
    return best;
}

/* The fastest timed FFF row of a family in the race; full batches before reduced ones. */
static const ffl_row *best_of_family(const ffl_rows *rows, const ffl_row *race, const char *family)
{
    const ffl_row *best = NULL;
    for (size_t i = race->alike_first; i < rows->count; i = ffl_rows_after(rows, i)) {
        const ffl_row *c = &rows->value[i];
        if (!ffl_in_race(rows, c, race) || !ffl_row_is_fff(c) || !ffl_row_has_time(c) ||
            c->record.handicapped || strcmp(c->record.family, family) != 0)
            continue;
        if (!best || ffl_row_is_reduced(c) < ffl_row_is_reduced(best) ||
            (ffl_row_is_reduced(c) == ffl_row_is_reduced(best) &&
             ffl_row_token_ns(c) < ffl_row_token_ns(best)))
            best = c;
    }
    return best;
}

typedef enum against { FASTEST, SAME_LEVEL } against;

typedef struct claim {
    const char *text, *published;
    const char *place, *family; /* family NULL: the fastest of all */
    against against;
    const char *why;
} claim;

static const claim claims[] = {
    {"best FFF over the fastest dense, CPU, B=16384", "78x", "host", NULL, FASTEST,
     "Published with memory that was never written, and dense layers that took page faults in their "
     "temporaries"},
    {"level 1 FFF over the fastest dense, CPU", "48x", "host", "blas1", FASTEST,
     "Published code reads OUT where W_out is meant, so half of the weights were never fetched"},
    {"level 2 over level 2, CPU", "255x", "host", "blas2", SAME_LEVEL,
     "A dense layer at level 2 fetches all its weights anew for each token: the weakest form to be held "
     "against. Every "
     "row of the batch was row 0, without activation"},
    {"batched FFF over batched dense, PyTorch", "40x", "host", "blas2", SAME_LEVEL,
     "Batched dense multiplies each token with the weights apart, 19 to 25 times slower than `nn.Linear`; "
     "level 2 is "
     "that form here. Against `nn.Linear` little of it is left: `fflab study peers` measures that"},
    {"naive over naive, CUDA", "118x", "cuda", "naive", SAME_LEVEL, "One thread per row on both sides"},
    {"best FFF over the fastest native dense, CUDA", "3.15x", "cuda", NULL, FASTEST,
     "A fused dense layer uses the GPU well"},
};

static void print_claim(const ffl_report *r, const claim *c, FILE *file)
{
    const ffl_row *race = papers_race(r, c->place), *fff = NULL, *dense = NULL;
    char measured[FFL_CELL] = "not measured", fastest[FFL_CELL] = "–", line[FFL_CELL] = "–";
    if (race && c->family)
        fff = best_of_family(r->rows, race, c->family);
    else if (race)
        fff = ffl_duel_of(r->rows, race, race->record.neurons).fff;
    if (fff) {
        const ffl_row *best = ffl_duel_of(r->rows, race, race->record.neurons).dense;
        dense = c->against == SAME_LEVEL ? ffl_same_level(r->rows, fff, race->record.neurons) : best;
        ffl_format_speedup(ffl_speedup_of(fff, dense), measured);
        ffl_format_speedup(ffl_speedup_of(fff, best), fastest);
        ffl_format_source(r->rows, fff, line);
    }
    fprintf(file, "| %s | %s | **%s**", c->text, c->published, measured);
    if (fff && dense) {
        fputs("<br>`", file);
        ffl_print_text(file, fff->record.variant);
        fputs("`<br>over `", file);
        ffl_print_text(file, dense->record.variant);
        fprintf(file, "`, B=%lld", (long long)fff->record.batch);
    }
    fprintf(file, " | %s | %s. | %s |\n", fastest, c->why, line);
}

/* ---- The forms as published ---- */

static const ffl_row *form_named(const ffl_rows *rows, const ffl_row *like, const char *variant)
{
    for (size_t i = 0; i < rows->published_count; i++)
        if (strcmp(rows->published[i].record.variant, variant) == 0 &&
            strcmp(rows->published[i].record.group, like->record.group) == 0 &&
            rows->published[i].machine == like->machine)
            return &rows->published[i];
    return NULL;
}

static void print_form(const ffl_rows *rows, const ffl_row *form, FILE *file)
{
    char time[FFL_CELL], gain[FFL_CELL], over[FFL_CELL], line[FFL_CELL];
    const bool dense = strcmp(form->record.operation, "ff") == 0;
    const ffl_row *right = form_named(rows, form, dense ? "dense_right" : "level1_right"),
                  *baseline = form_named(rows, form, "dense_right");
    const double ns = ffl_row_token_ns(form);
    ffl_format_ns(ns, time);
    ffl_format_ratio(right ? ffl_row_token_ns(right) / ns : NAN, gain);
    ffl_format_ratio(baseline ? ffl_row_token_ns(baseline) / ns : NAN, over);
    ffl_format_source(rows, form, line);
    fputs("| `", file);
    ffl_print_text(file, form->record.variant);
    fputs("` | ", file);
    ffl_print_text(file, form->record.reason);
    fprintf(file, " | %s | %s | %s | ", time, gain, over);
    ffl_print_text(file, form->record.verdict);
    fprintf(file, " | %s |\n", line);
}

static void print_forms(const ffl_report *r, FILE *file)
{
    const ffl_rows *rows = r->rows;
    if (!rows->published_count) {
        fputs("The forms as published were not timed in these runs; `fflab published --out DIR` adds them in "
              "half a "
              "minute.\n\n",
              file);
        return;
    }
    fputs("What the published mistakes are worth, each by itself and together: the same loop over a BLAS's "
          "level 1, with "
          "and\nwithout them. \"Faster than right\" is a gain that saves nothing. What is marked wrong "
          "differs from the "
          "reference, and takes\nno part in any ranking:\n\n"
          "| Form | What it is | per token | faster than right | level 3 dense over it | Verdict | Line |\n"
          "|---|---|--:|--:|--:|---|---|\n",
          file);
    for (size_t i = 0; i < rows->published_count; i++)
        print_form(rows, &rows->published[i], file);
    fputc('\n', file);
}

ffl_status ffl_section_claims(const ffl_report *r, FILE *file)
{
    const bool papers = papers_race(r, "host") || papers_race(r, "cuda");
    if (!papers && !r->rows->published_count)
        return FFL_OK;
    fputs("## Claims\n\n", file);
    if (papers) {
        fputs("Published for H=768, 1x11 (arXiv:2311.10770 and its code), and the same definition measured "
              "here with "
              "written\nmemory, verified outputs and uniform routing:\n\n"
              "| Claim | Published | Measured, same definition | Over the fastest dense | Why they differ | "
              "Line |\n"
              "|---|--:|--:|--:|---|---|\n",
              file);
        for (size_t c = 0; c < sizeof claims / sizeof *claims; c++)
            print_claim(r, &claims[c], file);
        fputs("| fewer neurons: 4095 / 12, the limit by arithmetic | 341x | | | A dense layer that waits for "
              "memory can be "
              "beaten by more: 25 MB of weights against the rows of one path. | |\n\n",
              file);
    }
    print_forms(r, file);
    return FFL_OK;
}
