/*
 * The charts of a page. A section that is written as Markdown draws a chart beside its table by leaving a
 * mark in the text; whoever makes HTML of the text puts the drawing there. In plain Markdown (NULL figures)
 * no chart is drawn and no mark is left.
 */
#ifndef FFL_REPORTS_FIGURES_H
#define FFL_REPORTS_FIGURES_H

#include "reports/chart.h"
#include <stdio.h>

typedef struct ffl_figures {
    char **svg; /* owned */
    char **title;
    size_t count;
    char why[256]; /* the first chart that could not be drawn: the reason; otherwise empty */
} ffl_figures;

/*
 * Draws the chart and writes its mark into `file`. Nothing for charts without two points. A chart that cannot
 * be drawn is no failure: figures->why says what is missing. FFL_NO_MEMORY only.
 */
ffl_status ffl_figure_add(ffl_figures *figures, FILE *file, const ffl_chart *chart);

/* Is this line a mark? No text of a journal can be one: a mark starts with a control character. */
bool ffl_figure_mark(const char *line, size_t length, size_t *index);

/* The drawing as HTML, with its caption; nothing when it does not exist. */
void ffl_figure_print(const ffl_figures *figures, size_t index, FILE *file);

void ffl_figures_free(ffl_figures *figures);

#endif
