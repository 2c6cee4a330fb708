#include "reports/sections.h"
#include "reports/encoder.h"
#include "reports/format.h"
#include "reports/markdown.h"
#include "reports/sections_with_charts.h"
#include <stdlib.h>

ffl_status ffl_report_open(const ffl_rows *rows, ffl_figures *figures, ffl_report *out)
{
    *out = (ffl_report){.rows = rows, .figures = figures};
    FFL_TRY(ffl_races(rows, &out->races, &out->race_count));
    out->duels = calloc(out->race_count + 1, sizeof *out->duels);
    if (!out->duels) {
        ffl_report_close(out);
        return ffl_fail(FFL_NO_MEMORY, "no memory for the report");
    }
    for (size_t i = 0; i < out->race_count; i++)
        if (ffl_row_is_fff(out->races[i]))
            out->duels[i] = ffl_duel_of(rows, out->races[i], out->races[i]->record.neurons);
    return FFL_OK;
}

void ffl_report_close(ffl_report *report)
{
    free(report->races);
    free(report->duels);
    *report = (ffl_report){0};
}

/* ---- Sections as the table wants them ---- */

static ffl_status headline(const ffl_report *r, FILE *file)
{
    if (!r->race_count)
        return FFL_OK;
    fputs("## Headline\n\n", file);
    FFL_TRY(ffl_headline_chart(r, file));
    ffl_markdown_headline(r->rows, r->races, r->race_count, file);
    return FFL_OK;
}

static ffl_status paper(const ffl_report *r, FILE *file)
{
    ffl_markdown_paper(r->rows, r->races, r->race_count, file);
    return FFL_OK;
}

static ffl_status routing(const ffl_report *r, FILE *file)
{
    return ffl_markdown_routing(r, file);
}

static ffl_status device(const ffl_report *r, FILE *file)
{
    ffl_markdown_device(r->rows, file);
    return FFL_OK;
}

static ffl_status packing(const ffl_report *r, FILE *file)
{
    ffl_markdown_packing(r->rows, file);
    return FFL_OK;
}

static ffl_status encoder(const ffl_report *r, FILE *file)
{
    ffl_encoder_overview(r->rows, file);
    FFL_TRY(ffl_encoder_charts(r, file));
    FFL_TRY(ffl_encoder_quality(r, file));
    return ffl_encoder_groups(r->rows, file);
}

static ffl_status checks(const ffl_report *r, FILE *file)
{
    if (r->rows->count)
        ffl_markdown_checks(r->rows, file);
    return FFL_OK;
}

static ffl_status ways(const ffl_report *r, FILE *file)
{
    ffl_markdown_ways(r->rows, file);
    return FFL_OK;
}

static ffl_status circumstances(const ffl_report *r, FILE *file)
{
    ffl_markdown_circumstances(r->rows, file);
    return FFL_OK;
}

static ffl_status ranking(const ffl_report *r, FILE *file)
{
    ffl_markdown_ranking(r->rows, r->races, r->race_count, file);
    return FFL_OK;
}

static ffl_status tails(const ffl_report *r, FILE *file)
{
    ffl_markdown_tails(r->rows, r->races, r->race_count, file);
    return FFL_OK;
}

static ffl_status repeat(const ffl_report *r, FILE *file)
{
    ffl_markdown_repeat(r->rows, file);
    return FFL_OK;
}

static ffl_status legend(const ffl_report *r, FILE *file)
{
    (void)r;
    ffl_markdown_legend(file);
    return FFL_OK;
}

const ffl_section ffl_sections[] = {
    {"headline", "Headline", headline, FFL_FOLD_NOTHING},
    {"paper", "The paper's table", paper, FFL_FOLD_PARTS},
    {"claims", "Claims", ffl_section_claims, FFL_FOLD_NOTHING},
    {"batch", "Speed against batch", ffl_section_batch, FFL_FOLD_NOTHING},
    {"depth", "Speed against depth", ffl_section_depth, FFL_FOLD_NOTHING},
    {"trees", "Trees against depth", ffl_section_trees, FFL_FOLD_NOTHING},
    {"peers", "Peers", ffl_section_peers, FFL_FOLD_NOTHING},
    {"routing", "Routing", routing, FFL_FOLD_LISTS},
    {"roofline", "Roofline", ffl_section_roofline, FFL_FOLD_LISTS},
    {"packing", "Packing", packing, FFL_FOLD_LISTS},
    {"gpu", "On the GPU", device, FFL_FOLD_LISTS},
    {"encoder", "Whole encoder passes", encoder, FFL_FOLD_PARTS},
    {"verification", "Verification", checks, FFL_FOLD_LISTS},
    {"invariances", "Invariances", ways, FFL_FOLD_LISTS},
    {"circumstances", "Where and how", circumstances, FFL_FOLD_PARTS},
    {"ranking", "Ranking", ranking, FFL_FOLD_PARTS},
    {"tails", "Slow calls at batch 1", tails, FFL_FOLD_LISTS},
    {"repeat", "How to repeat", repeat, FFL_FOLD_LISTS},
    {"legend", "Legend", legend, FFL_FOLD_NOTHING},
    {0},
};

void ffl_notes_write(const ffl_rows *rows, FILE *file)
{
    if (rows->note_count)
        fprintf(file, "**%zu journal line%s could not be used:**\n\n", rows->note_count,
                rows->note_count == 1 ? "" : "s");
    for (size_t n = 0; n < rows->note_count; n++) {
        fputs("- ", file);
        ffl_print_text(file, rows->notes[n]);
        fputc('\n', file);
    }
    if (rows->note_count)
        fputc('\n', file);
    if (rows->count == 0 && rows->pass_count == 0 && rows->published_count == 0)
        fputs("No case is finished in these journals.\n\n", file);
}
