#define _GNU_SOURCE
#include "harness/progress.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static const double REDRAW_SECONDS = 0.1, PLAIN_LINE_SECONDS = 5, GUESS_AFTER_SECONDS = 1;

struct ffl_progress {
    char what[64];
    double total;
    bool terminal;
    char note[FFL_PROGRESS_NOTES][512];
    size_t shown; /* lines of the terminal that are ours */
    double start, last;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

ffl_progress *ffl_progress_new(const char *what, double total)
{
    ffl_progress *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    snprintf(p->what, sizeof p->what, "%s", what);
    p->total = total;
    p->terminal = isatty(STDERR_FILENO);
    p->start = now_s();
    p->last = p->terminal ? 0 : p->start; /* a short run in a pipe prints nothing */
    return p;
}

/* "3 min 20 s left", "" while there is nothing to guess from. */
static void time_left(const ffl_progress *p, double done, double now, char *out, size_t size)
{
    const double elapsed = now - p->start;
    out[0] = '\0';
    if (elapsed < GUESS_AFTER_SECONDS || !(done > 0) || done > p->total)
        return;
    const long left = (long)(elapsed * (p->total - done) / done + 0.5);
    if (left < 60)
        snprintf(out, size, ", %ld s left", left);
    else if (left < 3600)
        snprintf(out, size, ", %ld min %ld s left", left / 60, left % 60);
    else
        snprintf(out, size, ", %ld h %ld min left", left / 3600, left / 60 % 60);
}

static int terminal_width(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

/* To the beginning of our first line, clearing from there on. */
static void go_back(ffl_progress *p)
{
    if (p->shown > 1)
        fprintf(stderr, "\033[%zuA", p->shown - 1);
    fputs("\r\033[J", stderr);
    p->shown = 0;
}

static void draw(ffl_progress *p, const char *line)
{
    const int width = terminal_width() - 1;
    go_back(p);
    fprintf(stderr, "%.*s", width, line);
    p->shown = 1;
    for (size_t i = 0; i < FFL_PROGRESS_NOTES; i++)
        if (p->note[i][0]) {
            fprintf(stderr, "\n%.*s", width, p->note[i]);
            p->shown++;
        }
}

void ffl_progress_show(ffl_progress *p, double done, const char *label)
{
    const double now = now_s();
    if (!p || now - p->last < (p->terminal ? REDRAW_SECONDS : PLAIN_LINE_SECONDS))
        return;
    char left[48], line[512];
    const double share = p->total > 0 ? done / p->total : 1;
    time_left(p, done, now, left, sizeof left);
    snprintf(line, sizeof line, "%s: %.0f %%%s: %s", p->what, 100 * (share < 1 ? share : 1), left, label);
    if (p->terminal)
        draw(p, line);
    else
        fprintf(stderr, "%s\n", line);
    fflush(stderr);
    p->last = now;
}

void ffl_progress_note(ffl_progress *p, size_t note, const char *text)
{
    if (p)
        snprintf(p->note[note], sizeof p->note[note], "%s", text);
}

void ffl_progress_clear(ffl_progress *p)
{
    if (!p || !p->shown)
        return;
    go_back(p);
    fflush(stderr);
    p->last = 0;
}

void ffl_progress_free(ffl_progress *p)
{
    ffl_progress_clear(p);
    free(p);
}
