#define _GNU_SOURCE
#include "reports/figures.h"
#include "reports/html.h"
#include <stdlib.h>
#include <string.h>

static const char mark[] = "\x01"
                           "figure ";

static size_t points(const ffl_chart *chart)
{
    size_t count = 0;
    for (size_t s = 0; s < chart->count; s++)
        count += chart->series[s].count;
    return count;
}

static ffl_status grow(ffl_figures *f)
{
    char **svg = realloc(f->svg, (f->count + 1) * sizeof *svg);
    if (svg)
        f->svg = svg;
    char **title = realloc(f->title, (f->count + 1) * sizeof *title);
    if (title)
        f->title = title;
    return svg && title ? FFL_OK : ffl_fail(FFL_NO_MEMORY, "no memory for a chart");
}

ffl_status ffl_figure_add(ffl_figures *figures, FILE *file, const ffl_chart *chart)
{
    char name[24], *svg = NULL;
    if (!figures || points(chart) < 2 || figures->why[0])
        return FFL_OK;
    FFL_TRY(grow(figures));
    snprintf(name, sizeof name, "f%zu", figures->count + 1);
    const ffl_status status = ffl_chart_svg(chart, name, &svg);
    if (status == FFL_NO_MEMORY)
        return status;
    if (status != FFL_OK) {
        snprintf(figures->why, sizeof figures->why, "%s", ffl_error());
        return FFL_OK;
    }
    figures->svg[figures->count] = svg;
    figures->title[figures->count] = strdup(chart->title);
    if (!figures->title[figures->count]) {
        free(svg);
        return ffl_fail(FFL_NO_MEMORY, "no memory for a chart");
    }
    fprintf(file, "%s%zu\n\n", mark, figures->count++);
    return FFL_OK;
}

bool ffl_figure_mark(const char *line, size_t length, size_t *index)
{
    const size_t head = sizeof mark - 1;
    if (length <= head || memcmp(line, mark, head) != 0)
        return false;
    *index = 0;
    for (size_t i = head; i < length && line[i] >= '0' && line[i] <= '9' && *index < 100000; i++)
        *index = 10 * *index + (size_t)(line[i] - '0');
    return true;
}

void ffl_figure_print(const ffl_figures *figures, size_t index, FILE *file)
{
    if (!figures || index >= figures->count)
        return;
    fputs("<figure>\n<figcaption>", file);
    ffl_html_escape(file, figures->title[index], strlen(figures->title[index]));
    fprintf(file, "</figcaption>\n%s</figure>\n", figures->svg[index]);
}

void ffl_figures_free(ffl_figures *figures)
{
    for (size_t i = 0; i < figures->count; i++) {
        free(figures->svg[i]);
        free(figures->title[i]);
    }
    free(figures->svg);
    free(figures->title);
    *figures = (ffl_figures){0};
}
