/*
 * A chart as data: what is drawn, not how. Text is for people; whatever of it comes from a journal is reduced
 * to harmless characters before the plotting program sees it.
 */
#ifndef FFL_REPORTS_CHART_H
#define FFL_REPORTS_CHART_H

#include "kernels/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { FFL_SERIES_MAX = 8, FFL_TICKS_MAX = 40, FFL_CHART_LEVELS = 6 };

typedef struct ffl_point {
    double x, y;
    double low, high; /* interval of y; of a bar the ends along x. NaN: none */
    char cell[64];    /* y as the table has it */
    char label[640];  /* exact values, shown under the pointer */
} ffl_point;

typedef struct ffl_series {
    char name[96];
    bool line;        /* joins the points */
    ffl_point *point; /* owned by the chart */
    size_t count;
} ffl_series;

typedef struct ffl_chart {
    char title[240]; /* the caption */
    char x_label[64], y_label[64];
    bool log_x, log_y;
    bool zero_y; /* y starts at 0 */
    bool bars;   /* horizontal, stacked: one series per part, y the number of the tick, low to high along x */
    bool diagonal; /* the line y = x */
    struct {
        double at;
        char name[64];
    } ticks[FFL_TICKS_MAX]; /* of x, of y for bars; none: chosen by the program */
    size_t tick_count;
    struct {
        double y;
        char name[64];
    } levels[FFL_CHART_LEVELS]; /* horizontal lines to compare with */
    size_t level_count;
    ffl_series series[FFL_SERIES_MAX];
    size_t count;
} ffl_chart;

/* The series of this name, made when new; NULL when there are FFL_SERIES_MAX others. */
ffl_series *ffl_chart_series(ffl_chart *chart, const char *name, bool line);

/* Copies the point; points that cannot be drawn (not finite, not positive on a logarithmic axis) are left
 * out. */
ffl_status ffl_chart_add(ffl_chart *chart, ffl_series *series, const ffl_point *point);

/* A tick at `at`, once. */
void ffl_chart_tick(ffl_chart *chart, double at, const char *name);
void ffl_chart_level(ffl_chart *chart, double y, const char *name);

/* The chart's numbers as a Markdown table: ticks (or points) down, series across. `corner` heads the first
 * column. */
void ffl_chart_table(const ffl_chart *chart, const char *corner, FILE *file);

/* Frees the points. */
void ffl_chart_free(ffl_chart *chart);

/*
 * SVG without a fixed colour: the text is currentColor, series are var(--c1) to var(--c8), lines behind the
 * data var(--grid). `name`: letters and digits, leads every id. The caller frees *out. FFL_UNSUPPORTED
 * without gnuplot, FFL_IO when it fails.
 */
ffl_status ffl_chart_svg(const ffl_chart *chart, const char *name, char **out);

/* Runs gnuplot on a script; *out is what it wrote, freed by the caller. FFL_UNSUPPORTED, FFL_IO as above. */
ffl_status ffl_gnuplot(const char *script, size_t length, char **out);

#endif
