/* Quality against speed: published GLUE averages beside the tokens per second that were measured here. */
#include "reports/encoder.h"
#include "reports/format.h"
#include "reports/sections_with_charts.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct model {
    const char *name;   /* as published */
    double glue;        /* average without CoLA, cited */
    const char *prefix; /* of the model in the journal */
    int64_t dense;      /* the dense pass beside it, with so many neurons; 0: the conditional pass itself */
    const char *how;
} model;

/* As quoted by reviews of arXiv:2311.10770. The lab has no GLUE of its own: quality is cited, speed measured.
 */
static const model models[] = {
    {"crammedBERT-3072", 83.6, "ultrafastbert", 3072,
     "the dense pass of that architecture with 3072 neurons"},
    {"UltraFastBERT-1x11-long", 83.0, "ultrafastbert-1x11", 0, "the fastest conditional pass"},
    {"BERT-base", 83.0, "bert-base", 3072, "the dense pass of bert-base"},
};

typedef struct speed {
    double tokens_per_s;
    int64_t batch, sequence;
    const char *variant;
} speed;

/* The fastest pass of the model over all sizes; tokens_per_s 0 when none was timed. */
static speed fastest_pass(const ffl_rows *rows, const model *m)
{
    speed best = {0};
    for (size_t i = 0; i < rows->pass_count; i++) {
        ffl_pass_row p;
        if (!ffl_pass_row_of(&rows->passes[i], &p) || strncmp(p.model, m->prefix, strlen(m->prefix)) != 0 ||
            (m->dense ? p.dense_neurons != m->dense : strcmp(p.row->record.operation, "fff") != 0))
            continue;
        const double ns = (m->dense ? p.answer.whole.dense_ns : p.answer.whole.pass_ns).median,
                     rate = 1e9 * (double)(p.batch * p.sequence) / ns;
        if (rate > best.tokens_per_s)
            best = (speed){rate, p.batch, p.sequence, m->dense ? p.baseline : p.row->record.variant};
    }
    return best;
}

static ffl_status add_point(ffl_chart *chart, const model *m, const speed *s)
{
    ffl_series *series = ffl_chart_series(chart, m->name, false);
    ffl_point p = {.x = s->tokens_per_s, .y = m->glue, .low = NAN, .high = NAN};
    snprintf(p.label, sizeof p.label, "%s: GLUE %.1f (published), %.4g tokens/s (%.63s, %lld x %lld)",
             m->name, m->glue, s->tokens_per_s, s->variant, (long long)s->batch, (long long)s->sequence);
    return series ? ffl_chart_add(chart, series, &p) : FFL_OK;
}

static void print_speed(const speed *s, FILE *file)
{
    fprintf(file, "%.4g | `", s->tokens_per_s);
    ffl_print_text(file, s->variant);
    fprintf(file, "` | %lld x %lld", (long long)s->batch, (long long)s->sequence);
}

ffl_status ffl_encoder_quality(const ffl_report *r, FILE *file)
{
    ffl_chart chart = {.x_label = "tokens per second, measured",
                       .y_label = "GLUE average without CoLA, published",
                       .title = "Quality (cited) against the speed of whole passes (measured)"};
    ffl_status status = FFL_OK;
    if (!r->rows->pass_count)
        return FFL_OK;
    for (size_t m = 0; m < sizeof models / sizeof *models && status == FFL_OK; m++) {
        const speed s = fastest_pass(r->rows, &models[m]);
        if (s.tokens_per_s > 0)
            status = add_point(&chart, &models[m], &s);
    }
    if (status == FFL_OK)
        status = ffl_figure_add(r->figures, file, &chart);
    ffl_chart_free(&chart);
    FFL_TRY(status);
    fputs("Quality against speed; GLUE averages without CoLA as published, not measured here:\n\n"
          "| Model | GLUE | tokens/s | Pass | Batch x tokens | What was timed |\n|---|--:|--:|---|---|---|\n",
          file);
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        const speed s = fastest_pass(r->rows, &models[m]);
        fprintf(file, "| %s | %.1f | ", models[m].name, models[m].glue);
        if (s.tokens_per_s > 0)
            print_speed(&s, file);
        else
            fputs("not measured | – | –", file);
        fprintf(file, " | %s |\n", models[m].how);
    }
    fputc('\n', file);
    return FFL_OK;
}
