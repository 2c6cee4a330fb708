/* Marks inside a line. Each mark is matched first and what is between is converted alone, so tags nest. */
#include "reports/html.h"
#include <ctype.h>
#include <string.h>

static const char *escape_of(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    default:
        return NULL;
    }
}

void ffl_html_escape(FILE *file, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (escape_of(text[i]))
            fputs(escape_of(text[i]), file);
        else
            putc(c < ' ' || c == 0x7f ? ' ' : c, file);
    }
}

static bool starts(const char *at, const char *end, const char *mark)
{
    const size_t length = strlen(mark);
    return (size_t)(end - at) >= length && memcmp(at, mark, length) == 0;
}

/* Where `mark` comes next, or NULL. */
static const char *find(const char *at, const char *end, const char *mark)
{
    for (; at < end; at++)
        if (starts(at, end, mark))
            return at;
    return NULL;
}

/* The asterisk that closes an emphasis opened before `at`: after a letter, and before none. */
static const char *find_emphasis_end(const char *at, const char *end)
{
    if (at == end || isspace((unsigned char)*at) || *at == '*')
        return NULL;
    for (const char *c = at + 1; c < end; c++)
        if (*c == '*' && c[-1] != '\\' && !isspace((unsigned char)c[-1]) &&
            (c + 1 == end || !isalnum((unsigned char)c[1])))
            return c;
    return NULL;
}

/* Verbatim but for what table cells cannot hold: "\|" and "&lt;". */
static void print_code(FILE *file, const char *at, const char *end)
{
    while (at < end) {
        if (starts(at, end, "\\|"))
            at++;
        if (starts(at, end, "&lt;")) {
            fputs("&lt;", file);
            at += 4;
        } else {
            ffl_html_escape(file, at++, 1);
        }
    }
}

/* Nothing, for marks around nothing. */
static void print_inside(FILE *file, const char *tag, const char *at, const char *end)
{
    if (at == end)
        return;
    fprintf(file, "<%s>", tag);
    if (*tag == 'c')
        print_code(file, at, end);
    else
        ffl_html_inline(file, at, (size_t)(end - at));
    fprintf(file, "</%s>", tag);
}

void ffl_html_inline(FILE *file, const char *text, size_t length)
{
    const char *const end = text + length;
    for (const char *at = text; at < end;) {
        const char *close = NULL;
        if (*at == '\\' && at + 1 < end && ispunct((unsigned char)at[1])) {
            ffl_html_escape(file, at + 1, 1);
            at += 2;
        } else if (*at == '`' && (close = find(at + 1, end, "`"))) {
            print_inside(file, "code", at + 1, close);
            at = close + 1;
        } else if (starts(at, end, "**") && (close = find(at + 2, end, "**"))) {
            print_inside(file, "strong", at + 2, close);
            at = close + 2;
        } else if (*at == '*' && (close = find_emphasis_end(at + 1, end))) {
            print_inside(file, "em", at + 1, close);
            at = close + 1;
        } else if (starts(at, end, "<br>")) {
            fputs("<br>", file);
            at += 4;
        } else if (starts(at, end, "&lt;")) {
            fputs("&lt;", file);
            at += 4;
        } else {
            ffl_html_escape(file, at++, 1);
        }
    }
}
