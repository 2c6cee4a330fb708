/* The page: what a journal says is text, whatever it contains; what cannot be read is said, the rest shown.
 */
#define _GNU_SOURCE
#include "reports/html.h"
#include "reports/markdown.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[64];
static ffl_rows rows;
static char *rendered;

static void set_up(void)
{
    strcpy(path, "/tmp/fflab-html-XXXXXX");
    close(mkstemp(path));
}

static void tear_down(void)
{
    ffl_rows_free(&rows);
    free(rendered);
    remove(path);
}

TestSuite(html, .init = set_up, .fini = tear_down);

static void put(const char *text)
{
    FILE *file = fopen(path, "a");
    fputs(text, file);
    fclose(file);
}

static void put_run(const char *run, const char *cpu)
{
    char line[512];
    snprintf(
        line, sizeof line,
        "{\"schema\":1,\"kind\":\"run\",\"run\":\"%s\",\"key\":\"run/%s\",\"date\":\"2026-01-01T00:00:00Z\","
        "\"circumstances\":{\"machine\":{\"cpu\":\"%s\",\"cpus\":2},\"command\":\"fflab bench\"}}\n",
        run, run, cpu);
    put(line);
}

/* A timed row of a 1x11 layer; `variant` goes into JSON as it is. */
static void put_bench(const char *run, const char *variant, const char *operation, int batch, double token_ns,
                      const char *more)
{
    const bool fff = strcmp(operation, "fff") == 0;
    char line[1400];
    snprintf(
        line, sizeof line,
        "{\"schema\":1,\"kind\":\"bench\",\"run\":\"%s\",\"key\":\"%s "
        "b%d\",\"variant\":\"%s\",\"operation\":\"%s\","
        "\"family\":\"simd\",\"library\":\"none\",\"class\":\"f32\",\"place\":\"host\",\"trees\":%d,"
        "\"depth\":%d,"
        "\"neurons\":4095,\"width_in\":768,\"width_out\":768,\"activation\":\"gelu\",\"routing\":\"uniform\","
        "\"cache\":\"hot\",\"batch\":%d,\"tokens\":%d,\"threads\":1,\"verdict\":\"PASSED\",\"median_ns\":%."
        "1f,"
        "\"low_ns\":%.1f,\"high_ns\":%.1f,\"command\":\"fflab bench -v '%s'\"%s}\n",
        run, variant, batch, variant, operation, fff, fff ? 11 : 0, batch, batch, batch * token_ns,
        0.9 * batch * token_ns, 1.1 * batch * token_ns, variant, more);
    put(line);
}

static const char *render(ffl_status (*write)(const ffl_rows *, FILE *))
{
    size_t size;
    const char *paths[] = {path};
    ffl_rows_free(&rows);
    cr_assert_eq(ffl_rows_read(paths, 1, &rows), FFL_OK, "%s", ffl_error());
    free(rendered);
    FILE *file = open_memstream(&rendered, &size);
    cr_assert_eq(write(&rows, file), FFL_OK, "%s", ffl_error());
    fclose(file);
    return rendered;
}

static const char *page(void)
{
    return render(ffl_html_write);
}

static const char *section(const char *markdown, ffl_fold fold)
{
    size_t size;
    free(rendered);
    FILE *file = open_memstream(&rendered, &size);
    ffl_html_section(file, "s", markdown, fold, NULL);
    fclose(file);
    return rendered;
}

static void expect(const char *text, const char *snippet)
{
    cr_assert_not_null(strstr(text, snippet), "missing: %s\nin:\n%.6000s", snippet, text);
}

static size_t occurrences(const char *text, const char *snippet)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, snippet)); at++)
        count++;
    return count;
}

Test(html, marks_become_tags_and_everything_else_is_text)
{
    static const struct {
        const char *markdown, *html;
    } known[] = {
        {"a `b<c` **d** *e*", "a <code>b&lt;c</code> <strong>d</strong> <em>e</em>"},
        {"3 * 4 * 5", "3 * 4 * 5"},
        {"`-v '*cuda*'`", "<code>-v '*cuda*'</code>"},
        {"1\\* and \\|x\\|", "1* and |x|"},
        {"`a \\| b`", "<code>a | b</code>"},
        {"**a *b** c*", "<strong>a *b</strong> c*"},
        {"`open **and** no end", "`open <strong>and</strong> no end"},
        {"x<br>y &lt;z> & \"q\"", "x<br>y &lt;z&gt; &amp; &quot;q&quot;"},
        {"<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"},
        {"[x](javascript:y) ![z](http://w)", "[x](javascript:y) ![z](http://w)"},
        {"**** ``", " "},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t size;
        free(rendered);
        FILE *file = open_memstream(&rendered, &size);
        ffl_html_inline(file, known[i].markdown, strlen(known[i].markdown));
        fclose(file);
        cr_assert_str_eq(rendered, known[i].html, "%s: %s", known[i].markdown, rendered);
    }
}

Test(html, a_table_has_the_paragraph_before_it_as_caption_or_the_heading)
{
    const char *markdown = "## Title\n\nWhat it is:\n\n| a | b |\n|---|--:|\n| 1 \\| 2 | 3 |\n\nText.\n\n| | "
                           "|\n|---|---|\n| x | y |\n";
    const char *html = section(markdown, FFL_FOLD_NOTHING);
    expect(html, "<h2>Title</h2>\n<div class=\"scroll\" tabindex=\"0\"><table>\n<caption><span>What it "
                 "is</span></caption>\n"
                 "<thead><tr><th scope=\"col\">a</th><th scope=\"col\" class=\"n\">b</th></tr>\n</thead>\n"
                 "<tbody>\n<tr><td>1 | 2</td><td class=\"n\">3</td></tr>\n</tbody></table></div>\n");
    expect(html, "<p>Text.</p>\n<div class=\"scroll\" tabindex=\"0\"><table>\n<caption "
                 "class=\"sr\">Title</caption>\n<tbody>");
}

Test(html, parts_fold_and_what_is_opened_is_closed)
{
    const char *markdown = "## T\n\n### A\n\n- one\n  more\n- two\n\n### B\n\ntext\n";
    const char *html = section(markdown, FFL_FOLD_PARTS);
    expect(html, "<details id=\"s-1\" open><summary>A</summary>\n<ul>\n<li>one "
                 "more</li>\n<li>two</li>\n</ul>\n</details>\n"
                 "<details id=\"s-2\"><summary>B</summary>\n<p>text</p>\n</details>\n");
    html = section("## T\n\n| a |\n|---|\n| b |\n", FFL_FOLD_LISTS);
    cr_assert_eq(occurrences(html, "<details"), 1);
    cr_assert_eq(occurrences(html, "</details>"), 1);
}

Test(html, long_tables_fold_and_short_ones_do_not)
{
    char markdown[2048] = "## T\n\nWhat:\n\n| a |\n|---|\n";
    for (int i = 0; i < 59; i++)
        strcat(markdown, "| b |\n");
    cr_assert_eq(occurrences(section(markdown, FFL_FOLD_NOTHING), "<details"), 0);
    strcat(markdown, "| b |\n");
    const char *html = section(markdown, FFL_FOLD_NOTHING);
    expect(html, "<details><summary>Show the 60 rows</summary>\n<div class");
    expect(html, "</table></div>\n</details>\n");
    /* What is folded already is not folded again. */
    cr_assert_eq(occurrences(section(markdown, FFL_FOLD_LISTS), "<details"), 1);
}

Test(html, a_hostile_journal_adds_no_tag_and_no_handler)
{
    static const char evil[] = "<img src=x onerror=alert(1)>`**|</script>',alert('2'),'";
    put_run("r1", "<script>alert(1)</script>\\u0001figure 0");
    for (int batch = 8; batch <= 64; batch *= 8) {
        put_bench("r1", evil, "fff", batch, 100, "");
        put_bench("r1", "ff_b", "ff", batch, 1000, "");
    }
    put("{\"kind\":\"dance\\\"><script>alert(3)</script>\",\"key\":\"x\"}\n");
    const char *html = page();
    cr_assert_eq(occurrences(html, "<script"), 1); /* ours */
    cr_assert_eq(occurrences(html, "</script"), 1);
    cr_assert_eq(occurrences(html, "<img"), 0);
    cr_assert_eq(rows.count, 4);
    expect(html, "<code>&lt;img src=x onerror=alert(1)&gt;</code>**|&lt;/script&gt;");
    for (const char *at = html; (at = strstr(at, "showHypertext(evt,'")); at++) {
        const char *text = strchr(at, '\'') + 1, *end = strchr(text, '\'');
        cr_assert_eq(strncmp(end, "')\"", 3), 0, "%.200s", at); /* the text ends where the handler does */
    }
}

Test(html, numbers_are_those_of_the_markdown)
{
    put_run("r1", "Test CPU");
    put_bench("r1", "fff_a", "fff", 16, 100, "");
    put_bench("r1", "ff_b", "ff", 16, 500, "");
    const char *html = page();
    expect(html, "<strong>5.00x [4.09, 6.11]</strong>");
    expect(html, "<code>fff_a</code>");
    expect(html, "100 ns [90.0, 110]");
    expect(html, ">78x<");
    expect(render(ffl_markdown_write), "**5.00x [4.09, 6.11]**");
}

Test(html, broken_torn_and_newer_lines_are_named_and_the_rest_is_shown)
{
    put_run("r1", "Test CPU");
    put_bench("r1", "fff_a", "fff", 16, 100, ",\"from_the_future\":[1]");
    put_bench("r1", "ff_b", "ff", 16, 500, "");
    put("{\"schema\":7,\"kind\":\"bench\",\"key\":\"x\"}\n");
    put("{\"kind\":\"bench\",\"key\":\"x\",\"variant\":\"ff_wrong\",\"operation\":\"ff\",\"verdict\":"
        "\"FAILED\","
        "\"reason\":\"row 3 <- 4\"}\n");
    put("{\"kind\":\"bench\",\"key\":\"to");
    const char *html = page();
    expect(html, "2 journal lines could not be used");
    expect(html, ":4: written by a newer fflab (schema 7");
    expect(html, ":6: torn off");
    expect(html, "5.00x [4.09, 6.11]");
    expect(html, "Of 3 timed cases: 2 PASSED, 1 FAILED; of 0 rows judged 0 took");
    expect(html, "<strong>FAILED</strong> <code>ff_wrong</code>");
    expect(html, "row 3 &lt;- 4");
}

Test(html, machines_stay_apart_and_an_empty_journal_says_so)
{
    expect(page(), "No case is finished in these journals.");
    put_run("r1", "First CPU");
    put_run("r2", "Second CPU");
    put_bench("r1", "fff_a", "fff", 16, 100, "");
    put_bench("r2", "ff_b", "ff", 16, 500, "");
    const char *html = page();
    expect(html, "numbers of different machines are never compared");
    expect(html, "No speed-up can be stated");
}

/* A form that is wrong on purpose. */
static void put_published(const char *form, const char *verdict, double token_ns)
{
    char line[800];
    snprintf(
        line, sizeof line,
        "{\"kind\":\"published\",\"run\":\"r1\",\"key\":\"%s\",\"group\":\"g\",\"variant\":\"%s\","
        "\"operation\":\"fff\","
        "\"family\":\"blas1\",\"class\":\"f32\",\"place\":\"host\",\"trees\":1,\"depth\":11,\"neurons\":4095,"
        "\"width_in\":768,\"width_out\":768,\"activation\":\"gelu\",\"cache\":\"hot\",\"batch\":16,"
        "\"tokens\":16,"
        "\"threads\":1,\"verdict\":\"%s\",\"reason\":\"as published\",\"median_ns\":%.1f}\n",
        form, form, verdict, 16 * token_ns);
    put(line);
}

Test(html, claims_stand_beside_their_definitions_and_wrong_forms_are_never_ranked)
{
    put_run("r1", "Test CPU");
    put_bench("r1", "fff_a", "fff", 16, 100, "");
    put_bench("r1", "ff_b", "ff", 16, 500, "");
    expect(page(), "<code>fflab published --out DIR</code> adds them");
    put_published("level1_right", "PASSED", 80);
    put_published("level1_as_published", "FAILED", 1);
    const char *html = page();
    expect(html, "<td class=\"n\">78x</td><td class=\"n\"><strong>5.00x [4.09, 6.11]</strong>");
    expect(html, "<td class=\"n\">48x</td><td class=\"n\"><strong>not measured</strong>");
    expect(html, "<td><code>level1_as_published</code></td><td>as published</td><td class=\"n\">1.00 ns</td>"
                 "<td class=\"n\">80.0x</td>");
    cr_assert_eq(occurrences(html, "level1_as_published"), 1); /* in no other table */
    cr_assert_eq(ffl_fastest(&rows, &rows.value[0], "fff", 4095), &rows.value[0]);
}

static void put_roof(const char *name, double value, const char *unit)
{
    char line[512];
    snprintf(line, sizeof line,
             "{\"kind\":\"roof\",\"run\":\"r1\",\"key\":\"roof/"
             "%s\",\"roof\":\"%s\",\"place\":\"host\",\"threads\":1,\"measured\":"
             "{\"value\":%g,\"median\":%g,\"unit\":\"%s\",\"rounds\":9,\"date\":\"2026-01-01T00:00:00Z\"}}\n",
             name, name, value, value, unit);
    put(line);
}

Test(html, the_roofline_has_work_per_second_and_per_byte_and_says_what_is_missing)
{
    put_run("r1", "Test CPU");
    put_bench("r1", "ff_b", "ff", 16, 500, ",\"flops\":16000,\"bytes\":4000"); /* 2 GFLOP/s, 0.5 GB/s */
    put_bench("r1", "fff_a", "fff", 16, 100, ",\"flops\":1600,\"bytes\":6400");
    const char *html = page();
    expect(html, "<code>ff_b</code></td><td class=\"n\">16</td><td class=\"n\">4</td><td class=\"n\">2</td>"
                 "<td class=\"n\">0.5</td><td class=\"n\">–</td>");
    expect(html, "roofs were not measured in these runs");
    put_bench("r1", "fff_c", "fff", 16, 90,
              ",\"flops\":1600,\"bytes\":6400,\"roof_share\":0.25,\"roof\":\"read_l2\"");
    put_roof("fma_f32_avx512", 100, "GFLOP/s");
    put_roof("read_l2", 50, "GB/s");
    put_roof("copy_l2", 70, "GB/s");
    html = page();
    expect(html, "<td class=\"n\">25 % of <code>read_l2</code></td>");
    cr_assert_eq(occurrences(html, "roofs were not measured in"), 0);
    if (system("gnuplot --version >/dev/null 2>&1") == 0) {
        expect(html, "measured roof fma_f32_avx512: 100 GFLOP/s");
        expect(html, "measured roof read_l2: 50 GB/s");
        cr_assert_eq(occurrences(html, "measured roof copy_l2"), 0);
    }
}

static void put_batches(void)
{
    put_run("r1", "Test CPU");
    for (int batch = 1; batch <= 64; batch *= 8) {
        put_bench("r1", "fff_a", "fff", batch, 100, "");
        put_bench("r1", "ff_b", "ff", batch, 500 + batch, "");
    }
}

Test(html, without_gnuplot_the_tables_are_there_and_the_reason)
{
    put_batches();
    setenv("PATH", "/nonexistent", 1);
    const char *html = page();
    cr_assert_eq(occurrences(html, "<figure>"), 0);
    expect(html, "The charts are missing: gnuplot cannot be started");
    expect(html, "<td>64</td>");
}

Test(html, charts_are_inline_with_the_page_s_colours)
{
    if (system("gnuplot --version >/dev/null 2>&1") != 0)
        cr_skip("no gnuplot (Debian: gnuplot-nox)");
    put_batches();
    const char *html = page();
    cr_assert_eq(occurrences(html, "<figure>"), 2); /* ratio and times against batch */
    expect(html, "var(--c2)");
    expect(html, "showHypertext(evt,'batch 64: ff_b, 564 ns per token");
    cr_assert_eq(occurrences(html, "'black'") + occurrences(html, "\"black\"") + occurrences(html, "rgb("),
                 0);
    cr_assert_eq(occurrences(html, "href=\"http") + occurrences(html, "src="), 0);
}

Test(html, chained_rows_give_the_same_answers_as_all_rows)
{
    put_batches();
    put_run("r2", "Other CPU");
    put_bench("r2", "ff_b", "ff", 8, 1, "");
    page();
    for (size_t i = 0; i < rows.count; i++) {
        const ffl_row *chained = ffl_fastest(&rows, &rows.value[i], "ff", 4095);
        for (size_t k = 0; k < rows.count; k++)
            rows.value[k].alike_first = rows.value[k].alike_next = 0;
        cr_assert_eq(ffl_fastest(&rows, &rows.value[i], "ff", 4095), chained);
        cr_assert_not_null(chained);
        cr_assert_eq(ffl_rows_chain(&rows), FFL_OK);
    }
}
