/* Lines of Markdown to blocks of HTML; see html.h for what is known. */
#include "reports/html.h"
#include <ctype.h>
#include <string.h>

typedef struct span {
    const char *at;
    size_t length;
} span;

typedef struct writer {
    FILE *file;
    const char *id;
    ffl_fold fold;
    bool in_list, in_details;
    span heading;   /* the last one */
    span paragraph; /* not written yet: it may be the caption of a table */
    bool ended;     /* the paragraph, by an empty line */
    size_t headings;
} writer;

static bool starts(span line, const char *mark)
{
    return line.length >= strlen(mark) && memcmp(line.at, mark, strlen(mark)) == 0;
}

static span after(span line, size_t skip)
{
    return (span){line.at + skip, line.length - skip};
}

static span trim(span s)
{
    while (s.length && isspace((unsigned char)*s.at))
        s = after(s, 1);
    while (s.length && isspace((unsigned char)s.at[s.length - 1]))
        s.length--;
    return s;
}

static void print(writer *w, span s)
{
    ffl_html_inline(w->file, s.at, s.length);
}

static void close_paragraph(writer *w)
{
    if (w->paragraph.length) {
        fputs("<p>", w->file);
        print(w, trim(w->paragraph));
        fputs("</p>\n", w->file);
    }
    w->paragraph.length = 0;
}

/* What leads to a table: a paragraph that ends with a colon, or is bold. */
static bool is_bold(span p)
{
    return p.length > 4 && memcmp(p.at, "**", 2) == 0 && memcmp(p.at + p.length - 2, "**", 2) == 0;
}

static bool is_caption(span p)
{
    p = trim(p);
    return p.length && (p.at[p.length - 1] == ':' || is_bold(p));
}

static void close_list(writer *w)
{
    if (w->in_list)
        fputs("</li>\n</ul>\n", w->file);
    w->in_list = false;
}

static void close_details(writer *w)
{
    if (w->in_details)
        fputs("</details>\n", w->file);
    w->in_details = false;
}

static void open_details(writer *w)
{
    if (w->fold == FFL_FOLD_LISTS && !w->in_details) {
        fputs("<details><summary>Show the list</summary>\n", w->file);
        w->in_details = true;
    }
}

/* "## " is the section's own heading; what is below it stands in `id`-1, `id`-2, … */
static void heading(writer *w, span line)
{
    size_t level = 0;
    close_paragraph(w);
    close_list(w);
    while (level < line.length && line.at[level] == '#')
        level++;
    w->heading = trim(after(line, level));
    if (level <= 2) {
        fprintf(w->file, "<h%zu>", level);
        print(w, w->heading);
        fprintf(w->file, "</h%zu>\n", level);
        return;
    }
    close_details(w);
    w->headings++;
    const bool folded = w->fold != FFL_FOLD_NOTHING;
    fprintf(w->file, folded ? "<details id=\"%s-%zu\"%s><summary>" : "<h3 id=\"%s-%zu\"%s>", w->id,
            w->headings, w->fold == FFL_FOLD_PARTS && w->headings == 1 ? " open" : "");
    print(w, w->heading);
    fputs(folded ? "</summary>\n" : "</h3>\n", w->file);
    w->in_details = folded;
}

/* ---- Tables ---- */

enum { COLUMNS_MAX = 64 };

/* The next cell of "| a | b |"; a bar after a backslash is text. False at the end. */
static bool next_cell(span *line, span *cell)
{
    if (line->length < 2)
        return false;
    size_t end = 1;
    while (end < line->length && !(line->at[end] == '|' && line->at[end - 1] != '\\'))
        end++;
    *cell = trim((span){line->at + 1, end - 1});
    *line = after(*line, end);
    return true;
}

static bool has_text(span line)
{
    for (size_t i = 0; i < line.length; i++)
        if (line.at[i] != '|' && !isspace((unsigned char)line.at[i]))
            return true;
    return false;
}

static void print_row(writer *w, span line, const char *tag, const bool *right)
{
    span cell;
    fputs("<tr>", w->file);
    for (size_t c = 0; next_cell(&line, &cell); c++) {
        fprintf(w->file, "<%s%s%s>", tag, *tag == 't' && tag[1] == 'h' ? " scope=\"col\"" : "",
                c < COLUMNS_MAX && right[c] ? " class=\"n\"" : "");
        print(w, cell);
        fprintf(w->file, "</%s>", tag);
    }
    fputs("</tr>\n", w->file);
}

/* Without a paragraph that leads to it, the heading, for those who cannot see it. */
static void print_caption(writer *w)
{
    const span p = trim(w->paragraph);
    if (is_caption(p)) {
        fputs("<caption><span>", w->file);
        print(w, is_bold(p) ? (span){p.at + 2, p.length - 4} : (span){p.at, p.length - 1});
        fputs("</span>", w->file);
        w->paragraph.length = 0;
    } else {
        fputs("<caption class=\"sr\">", w->file);
        print(w, w->heading);
    }
    fputs("</caption>\n", w->file);
}

static span next_line(const char **text)
{
    const char *at = *text, *end = strchr(at, '\n');
    const size_t length = end ? (size_t)(end - at) : strlen(at);
    *text = at + length + (end != NULL);
    return (span){at, length};
}

/* What more than this is, a reader asks for. */
enum { ROWS_SHOWN = 60 };

static size_t count_rows(const char *text)
{
    size_t count = 0;
    for (; *text == '|'; count++)
        next_line(&text);
    return count;
}

/* `line` is the header row; the rows that follow are taken off `text`. */
static void table(writer *w, span line, const char **text)
{
    bool right[COLUMNS_MAX] = {false};
    span cell;
    close_list(w);
    if (!is_caption(w->paragraph))
        close_paragraph(w);
    open_details(w);
    const size_t rows = count_rows(*text);
    const bool folded = !w->in_details && rows > ROWS_SHOWN;
    if (folded)
        fprintf(w->file, "<details><summary>Show the %zu rows</summary>\n", rows - 1);
    fputs("<div class=\"scroll\" tabindex=\"0\"><table>\n", w->file);
    print_caption(w);
    const char *rest = *text;
    span form = next_line(&rest);
    if (starts(form, "|-") || starts(form, "|:")) {
        *text = rest;
        for (size_t c = 0; next_cell(&form, &cell) && c < COLUMNS_MAX; c++)
            right[c] = cell.length && cell.at[cell.length - 1] == ':';
    }
    if (has_text(line)) {
        fputs("<thead>", w->file);
        print_row(w, line, "th", right);
        fputs("</thead>\n", w->file);
    }
    const bool any = **text == '|';
    if (any)
        fputs("<tbody>\n", w->file);
    while (**text == '|')
        print_row(w, next_line(text), "td", right);
    fputs(any ? "</tbody></table></div>\n" : "</table></div>\n", w->file);
    if (folded)
        fputs("</details>\n", w->file);
}

/* ---- Lines ---- */

static void item(writer *w, span line)
{
    close_paragraph(w);
    open_details(w);
    fputs(w->in_list ? "</li>\n<li>" : "<ul>\n<li>", w->file);
    w->in_list = true;
    print(w, trim(after(line, 2)));
}

static void text_line(writer *w, span line)
{
    if (w->ended)
        close_paragraph(w);
    w->ended = false;
    if (w->in_list) {
        fputc(' ', w->file);
        print(w, trim(line));
    } else if (w->paragraph.length) {
        w->paragraph.length = (size_t)(line.at + line.length - w->paragraph.at);
    } else {
        w->paragraph = line;
    }
}

void ffl_html_section(FILE *file, const char *id, const char *markdown, ffl_fold fold,
                      const ffl_figures *figures)
{
    writer w = {.file = file, .id = id, .fold = fold};
    const char *text = markdown;
    while (*text) {
        const span line = next_line(&text);
        size_t figure;
        if (!trim(line).length) {
            w.ended = true;
            close_list(&w);
        } else if (*line.at == '#') {
            heading(&w, line);
        } else if (*line.at == '|') {
            table(&w, line, &text);
        } else if (starts(line, "- ")) {
            item(&w, line);
        } else if (ffl_figure_mark(line.at, line.length, &figure)) {
            close_paragraph(&w);
            ffl_figure_print(figures, figure, file);
        } else {
            text_line(&w, line);
        }
    }
    close_paragraph(&w);
    close_list(&w);
    close_details(&w);
}
