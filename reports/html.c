/* The page's frame: head, contents, sections. */
#define _GNU_SOURCE
#include "reports/html.h"
#include "reports/page_text.h"
#include "reports/sections.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SECTIONS_MAX = 40 };

static const char title[] = "Dense against tree-conditional feedforward layers";

/* What the sections wrote, and room for the notes. */
typedef struct texts {
    char *section[SECTIONS_MAX], *notes;
} texts;

static void free_texts(texts *t)
{
    for (size_t s = 0; s < SECTIONS_MAX; s++)
        free(t->section[s]);
    free(t->notes);
}

static ffl_status write_section(const ffl_section *section, const ffl_report *report, char **out)
{
    size_t size;
    FILE *file = open_memstream(out, &size);
    if (!file)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the report");
    const ffl_status status = section->write(report, file);
    if (fclose(file) != 0)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the report");
    return status;
}

static ffl_status write_notes(const ffl_rows *rows, char **out)
{
    size_t size;
    FILE *file = open_memstream(out, &size);
    if (!file)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the report");
    ffl_notes_write(rows, file);
    return fclose(file) == 0 ? FFL_OK : ffl_fail(FFL_NO_MEMORY, "no memory for the report");
}

static ffl_status write_texts(const ffl_rows *rows, ffl_figures *figures, texts *t)
{
    ffl_report report;
    FFL_TRY(ffl_report_open(rows, figures, &report));
    ffl_status status = write_notes(rows, &t->notes);
    for (size_t s = 0; ffl_sections[s].id && s < SECTIONS_MAX && status == FFL_OK; s++)
        status = write_section(&ffl_sections[s], &report, &t->section[s]);
    ffl_report_close(&report);
    return status;
}

/* Nothing may be loaded from anywhere, whatever the page contains. */
static void print_head(FILE *file)
{
    fprintf(file,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
            "<meta name=\"color-scheme\" content=\"light dark\">\n"
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
            "'unsafe-inline'; script-src 'unsafe-inline'\">\n"
            "<title>%s</title>\n<style>\n%s</style>\n</head>\n<body>\n",
            title, FFL_PAGE_CSS);
}

static void print_contents(const texts *t, FILE *file)
{
    fputs("<nav aria-label=\"Contents\"><ul>\n", file);
    for (size_t s = 0; ffl_sections[s].id; s++)
        if (*t->section[s])
            fprintf(file, "<li><a href=\"#%s\">%s</a></li>\n", ffl_sections[s].id, ffl_sections[s].title);
    fputs("</ul></nav>\n", file);
}

static void print_page(const texts *t, const ffl_figures *figures, FILE *file)
{
    print_head(file);
    fprintf(file, "<header>\n<h1>%s</h1>\n", title);
    print_contents(t, file);
    fputs("</header>\n<main>\n", file);
    if (*t->notes) {
        fputs("<section class=\"notes\" id=\"notes\">\n", file);
        ffl_html_section(file, "notes", t->notes, FFL_FOLD_NOTHING, figures);
        fputs("</section>\n", file);
    }
    if (figures->why[0]) {
        fputs("<p class=\"notes\">The charts are missing: ", file);
        ffl_html_escape(file, figures->why, strlen(figures->why));
        fputs(" (Debian: gnuplot-nox). The tables hold every number.</p>\n", file);
    }
    for (size_t s = 0; ffl_sections[s].id; s++) {
        if (!*t->section[s])
            continue;
        fprintf(file, "<section id=\"%s\">\n", ffl_sections[s].id);
        ffl_html_section(file, ffl_sections[s].id, t->section[s], ffl_sections[s].fold, figures);
        fputs("</section>\n", file);
    }
    fprintf(file, "</main>\n<script>\n%s</script>\n</body>\n</html>\n", FFL_PAGE_JS);
}

ffl_status ffl_html_write(const ffl_rows *rows, FILE *file)
{
    ffl_figures figures = {0};
    texts t = {0};
    ffl_status status = write_texts(rows, &figures, &t);
    if (status == FFL_OK)
        print_page(&t, &figures, file);
    free_texts(&t);
    ffl_figures_free(&figures);
    FFL_TRY(status);
    if (fflush(file) != 0 || ferror(file))
        return ffl_fail(FFL_IO, "the page could not be written: %s", strerror(errno));
    return FFL_OK;
}
