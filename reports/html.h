/*
 * The report as one self-contained page: no network, light and dark by the reader's choice, readable on a
 * phone, printable, and complete without JavaScript.
 *
 * Sections are written once, as Markdown (sections.h); here that becomes HTML. The converter lets no tag
 * through: every character of a section that is not one of the few marks it knows is escaped, so nothing in
 * a journal can become markup.
 */
#ifndef FFL_REPORTS_HTML_H
#define FFL_REPORTS_HTML_H

#include "reports/sections.h"
#include <stdio.h>

/* The whole page. FFL_IO when it could not be written. */
ffl_status ffl_html_write(const ffl_rows *rows, FILE *file);

/* Text between tags and inside quoted attributes. Control characters become spaces. */
void ffl_html_escape(FILE *file, const char *text, size_t length);

/*
 * One paragraph, cell or heading: `code`, **strong**, *emphasis*, <br>, &lt;, and \ before a mark. Marks
 * without a partner stand for themselves.
 */
void ffl_html_inline(FILE *file, const char *text, size_t length);

/*
 * A section: headings, paragraphs, lists, tables and figures, `fold`ed as sections.h says. Every table has a
 * caption: the paragraph before it when that ends with a colon or is all bold, otherwise the heading. `id`
 * leads the anchors of the headings inside.
 */
void ffl_html_section(FILE *file, const char *id, const char *markdown, ffl_fold fold,
                      const ffl_figures *figures);

#endif
