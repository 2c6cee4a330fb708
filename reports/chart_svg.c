/* A chart to a gnuplot script, and gnuplot's SVG to one that fits into a page. */
#define _GNU_SOURCE
#include "reports/chart.h"
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 480, PLOT_HEIGHT = 330, KEY_LINE = 19, BAR_HEIGHT = 40, TWO_COLUMNS = 18, STRAIGHT_TICKS = 8 };

/* ---- The script ---- */

/* Text as the script may hold it, between single quotes and in data lines: what could end a string, run a
 * command or become markup is replaced. */
static void print_plain(FILE *file, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        putc(isalnum(*c) || *c >= 0x80 || strchr(" _.,:+-=/()%[]*^", *c) ? *c : '?', file);
}

static void print_quoted(FILE *file, const char *before, const char *text, const char *after)
{
    fprintf(file, "%s'", before);
    print_plain(file, text);
    fprintf(file, "'%s", after);
}

static size_t key_lines(const ffl_chart *c)
{
    size_t longest = 0;
    for (size_t s = 0; s < c->count; s++)
        longest = strlen(c->series[s].name) > longest ? strlen(c->series[s].name) : longest;
    return longest <= TWO_COLUMNS ? (c->count + 1) / 2 : c->count;
}

/* A little room on both sides; the text of many ticks stands aslant. */
static void print_ticks(FILE *file, const ffl_chart *c)
{
    double low = c->ticks[0].at, high = low;
    for (size_t t = 0; t < c->tick_count; t++) {
        low = fmin(low, c->ticks[t].at);
        high = fmax(high, c->ticks[t].at);
        print_quoted(file, t ? ", " : "set xtics (", c->ticks[t].name, "");
        fprintf(file, " %.9g", c->ticks[t].at);
    }
    fprintf(file, ") %s noenhanced\n", c->tick_count > STRAIGHT_TICKS ? "rotate by -40" : "");
    if (c->log_x)
        fprintf(file, "set xrange [%.9g:%.9g]\n", low / 1.4, high * 1.4);
    else
        fprintf(file, "set xrange [%.9g:%.9g]\n", low - 0.5, high + 0.5);
}

/* The name of a bar stands above it: beside it, long names would leave no room on a phone. */
static void print_bar_frame(FILE *file, const ffl_chart *c)
{
    fprintf(file,
            "set yrange [%zu.6:-0.7]\nset xrange [0:*]\nset style fill solid 1\nunset ytics\nset lmargin 2\n",
            c->tick_count - 1);
    for (size_t t = 0; t < c->tick_count; t++) {
        print_quoted(file, "set label ", c->ticks[t].name, "");
        fprintf(file, " at graph 0, first %.9g left offset 0.3,0 font ',12' front noenhanced\n",
                c->ticks[t].at - 0.28);
    }
}

static void print_frame(FILE *file, const ffl_chart *c, const char *name)
{
    const size_t lines = key_lines(c), plot = c->bars ? 90 + BAR_HEIGHT * c->tick_count : PLOT_HEIGHT;
    fprintf(file,
            "set encoding utf8\n"
            "set term svg size %d,%zu name '%s' font 'sans-serif,14' dynamic\n"
            "set datafile separator '\\t'\n"
            "set border 3 lc rgb '#020001'\nset tics out nomirror textcolor rgb 'black'\n"
            "set grid %s lt 1 lw 0.5 lc rgb '#020001'\n"
            "set key bmargin left Left reverse maxcols %d maxrows %zu samplen 2 noenhanced\n"
            "set tmargin 2\nset rmargin %d\n",
            WIDTH, plot + KEY_LINE * lines, name, c->bars ? "xtics" : "ytics", lines < c->count ? 2 : 1,
            lines, c->level_count ? 7 : 4);
    print_quoted(file, "set label ", c->y_label, " at graph 0, graph 1 left offset 0,0.9 noenhanced\n");
    print_quoted(file, "set xlabel ", c->x_label, " offset 0,0.5 noenhanced\n");
    if (c->log_x)
        fputs("set logscale x\n", file);
    if (c->log_y)
        fputs("set logscale y\nset format y '%g'\n", file);
    if (c->zero_y)
        fputs("set yrange [0:*]\n", file);
    if (c->bars)
        print_bar_frame(file, c);
    else if (c->tick_count)
        print_ticks(file, c);
}

static void print_levels(FILE *file, const ffl_chart *c)
{
    for (size_t l = 0; l < c->level_count; l++) {
        fprintf(file,
                "set arrow from graph 0, first %.9g to graph 1, first %.9g nohead dt 2 lc rgb '#020001'\n",
                c->levels[l].y, c->levels[l].y);
        print_quoted(file, "set label ", c->levels[l].name, "");
        fprintf(file, " at graph 1, first %.9g left offset 0.4,0 font ',12' noenhanced\n", c->levels[l].y);
    }
}

static void print_data(FILE *file, const ffl_chart *c)
{
    for (size_t s = 0; s < c->count; s++) {
        fprintf(file, "$s%zu << END_OF_SERIES\n", s);
        for (size_t i = 0; i < c->series[s].count; i++) {
            const ffl_point *p = &c->series[s].point[i];
            fprintf(file, "%.9g\t%.9g\t%.9g\t%.9g\t", p->x, p->y, p->low, p->high);
            print_plain(file, p->label);
            fputc('\n', file);
        }
        fputs("END_OF_SERIES\n", file);
    }
}

/* Colour, dash and symbol tell the series apart, each by itself. */
static void print_series(FILE *file, const ffl_chart *c, size_t s)
{
    static const int symbols[FFL_SERIES_MAX] = {7, 5, 9, 13, 11, 6, 4, 8};
    const int symbol = symbols[s];
    char colour[32];
    snprintf(colour, sizeof colour, "lc rgb '#0100%02zx'", s + 1);
    if (c->bars) {
        fprintf(file, "$s%zu using (($3+$4)/2):2:3:4:($2):($2+0.44) with boxxyerror %s", s, colour);
        print_quoted(file, " title ", c->series[s].name, " noenhanced");
        fprintf(file,
                ", $s%zu using (($3+$4)/2):($2+0.22):5 with labels hypertext point pt 7 ps 0.4 lc rgb "
                "'black' notitle",
                s);
        return;
    }
    if (c->series[s].line)
        fprintf(file, "$s%zu using 1:2 with linespoints lw 2 dt %zu pt %d ps 0.9 %s", s, s % 5 + 1, symbol,
                colour);
    else
        fprintf(file, "$s%zu using 1:2 with points pt %d ps 0.9 %s", s, symbol, colour);
    print_quoted(file, " title ", c->series[s].name, " noenhanced");
    fprintf(file, ", $s%zu using 1:2:3:4 with yerrorbars pt 0 ps 0.01 lw 1 %s notitle", s, colour);
    fprintf(file, ", $s%zu using 1:2:5 with labels hypertext point pt %d ps 1 %s notitle", s, symbol, colour);
}

static void print_script(FILE *file, const ffl_chart *c, const char *name)
{
    print_frame(file, c, name);
    print_levels(file, c);
    print_data(file, c);
    fputs("plot ", file);
    if (c->diagonal)
        fputs("x with lines dt 2 lc rgb '#020001' notitle, ", file);
    for (size_t s = 0; s < c->count; s++) {
        fputs(s ? ", " : "", file);
        print_series(file, c, s);
    }
    fputc('\n', file);
}

/* ---- The drawing ---- */

typedef struct change {
    const char *from, *to;
} change;

/* The page defines the colours, and holds several drawings, whose ids must differ. */
static const change changes[] = {
    {"rgb(  1,   0,   1)", "var(--c1)"},
    {"rgb(  1,   0,   2)", "var(--c2)"},
    {"rgb(  1,   0,   3)", "var(--c3)"},
    {"rgb(  1,   0,   4)", "var(--c4)"},
    {"rgb(  1,   0,   5)", "var(--c5)"},
    {"rgb(  1,   0,   6)", "var(--c6)"},
    {"rgb(  1,   0,   7)", "var(--c7)"},
    {"rgb(  1,   0,   8)", "var(--c8)"},
    {"rgb(  2,   0,   1)", "var(--grid)"},
    {"rgb(0,0,0)", "currentColor"},
    {"rgb(  0,   0,   0)", "currentColor"},
    {"color=\"black\"", "color=\"currentColor\""},
    {"color=\"#FFFFFF\"", "color=\"currentColor\""},
    {"\"black\"", "\"currentColor\""},
    {"'black'", "'currentColor'"},
    {" xlink:href=", " href="},
    {" xmlns:xlink=\"http://www.w3.org/1999/xlink\"", ""},
    {" id=\"gnuplot_canvas\"", ""},
    {"color='white'", "visibility='hidden'"}, /* what error bars wipe out below their points */
};

/* Elements that are left out: titles would show as a second text under the pointer. NULL: not one of them. */
static const char *end_of_dropped(const char *at)
{
    static const char *const elements[][2] = {
        {"<title>", "</title>"}, {"<desc>", "</desc>"}, {"<filter", "</filter>"}};
    for (size_t e = 0; e < sizeof elements / sizeof *elements; e++) {
        const char *end =
            strncmp(at, elements[e][0], strlen(elements[e][0])) == 0 ? strstr(at, elements[e][1]) : NULL;
        if (end)
            return end + strlen(elements[e][1]);
    }
    return NULL;
}

static void print_changed(FILE *file, const char *at, const char *name)
{
    const char *end;
    while (*at) {
        size_t c = 0;
        while (c < sizeof changes / sizeof *changes &&
               strncmp(at, changes[c].from, strlen(changes[c].from)) != 0)
            c++;
        if (c < sizeof changes / sizeof *changes) {
            fputs(changes[c].to, file);
            at += strlen(changes[c].from);
        } else if (strncmp(at, "gpPt", 4) == 0 || strncmp(at, "gpDot", 5) == 0) {
            fprintf(file, "%s-", name);
            putc(*at++, file);
        } else if ((end = end_of_dropped(at))) {
            at = end;
        } else {
            putc(*at++, file);
        }
    }
}

ffl_status ffl_chart_svg(const ffl_chart *chart, const char *name, char **out)
{
    char *script = NULL, *drawing = NULL;
    size_t length = 0, size = 0;
    FILE *file = open_memstream(&script, &length);
    if (!file)
        return ffl_fail(FFL_NO_MEMORY, "no memory for a chart");
    print_script(file, chart, name);
    if (fclose(file) != 0) {
        free(script);
        return ffl_fail(FFL_NO_MEMORY, "no memory for a chart");
    }
    ffl_status status = ffl_gnuplot(script, length, &drawing);
    free(script);
    FFL_TRY(status);
    const char *svg = strstr(drawing, "<svg");
    file = svg ? open_memstream(out, &size) : NULL;
    if (file)
        print_changed(file, svg, name);
    else
        status = ffl_fail(FFL_IO, "gnuplot drew nothing");
    if (file && fclose(file) != 0)
        status = ffl_fail(FFL_NO_MEMORY, "no memory for a chart");
    free(drawing);
    return status;
}
