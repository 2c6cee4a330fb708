/* The section of peers from a synthetic journal: what stands in which line, and against what. */
#define _GNU_SOURCE
#include "reports/chart.h"
#include "reports/peers.h"
#include "reports/sections_with_charts.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[64];
static ffl_rows rows;
static ffl_report report;
static char *rendered;

static void set_up(void)
{
    strcpy(path, "/tmp/fflab-peers-XXXXXX");
    close(mkstemp(path));
}

static void tear_down(void)
{
    ffl_report_close(&report);
    ffl_rows_free(&rows);
    free(rendered);
    remove(path);
}

TestSuite(peers, .init = set_up, .fini = tear_down);

typedef struct row {
    const char *variant, *operation, *library, *shape;
    int trees, depth, neurons, batch, tokens;
    double us; /* per token */
    const char *verdict;
} row;

static void put(const row *r, const char *cache)
{
    FILE *file = fopen(path, "a");
    const double ns = 1e3 * r->us * r->tokens;
    fprintf(
        file,
        "{\"schema\":1,\"kind\":\"bench\",\"run\":\"r1\",\"key\":\"%s %s %s b%d\",\"variant\":\"%s\","
        "\"operation\":\"%s\",\"family\":\"simd\",\"library\":\"%s\",\"class\":\"f32\",\"place\":\"host\","
        "\"shape\":\"%s\",\"trees\":%d,\"depth\":%d,\"neurons\":%d,\"width_in\":768,\"width_out\":768,"
        "\"activation\":\"gelu\",\"routing\":\"uniform\",\"cache\":\"%s\",\"batch\":%d,\"tokens\":%d,"
        "\"threads\":1,\"verdict\":\"%s\",\"median_ns\":%.1f,\"low_ns\":%.1f,\"high_ns\":%.1f,"
        "\"leaves_mean\":77,\"command\":\"fflab bench\"}\n",
        r->variant, r->shape, cache, r->batch, r->variant, r->operation, r->library, r->shape, r->trees,
        r->depth, r->neurons, cache, r->batch, r->tokens, r->verdict, ns, 0.9 * ns, 1.1 * ns);
    fclose(file);
}

static const char *render(void)
{
    size_t size;
    const char *paths[] = {path};
    cr_assert_eq(ffl_rows_read(paths, 1, &rows), FFL_OK, "%s", ffl_error());
    cr_assert_eq(ffl_report_open(&rows, NULL, &report), FFL_OK);
    FILE *file = open_memstream(&rendered, &size);
    cr_assert_eq(ffl_section_peers(&report, file), FFL_OK);
    fclose(file);
    return rendered;
}

static void expect(const char *text, const char *snippet)
{
    cr_assert_not_null(strstr(text, snippet), "missing: %s\nin:\n%s", snippet, text);
}

static void expect_not(const char *text, const char *snippet)
{
    cr_assert_null(strstr(text, snippet), "not expected: %s\nin:\n%s", snippet, text);
}

static const row dense = {"ff_ours", "ff", "none", "dense", 0, 0, 4095, 16, 16, 100, "PASSED"};
static const row tree = {"fff_ours", "fff", "none", "1x11", 1, 11, 4095, 16, 16, 5, "PASSED"};
static const row leaf = {"fff_leaf_ours", "fff_leaf", "none", "leaf 9x8", 0, 0, 4096, 16, 16, 4, "PASSED"};
static const row mixture = {"moe_ours", "moe", "none", "moe 512x8:2", 0, 0, 4096, 16, 16, 20, "PASSED"};
static const row program = {"ff_linear", "ff", "process", "dense", 0, 0, 4095, 16, 16, 50, "PASSED"};

static const row leaf_program = {"fff_leaf_gather", "fff_leaf", "process", "leaf 9x8", 0, 0, 4096, 16, 16, 1,
                                 "PASSED"};

static row with(row r, const char *variant, int batch, int tokens, double us)
{
    r.variant = variant;
    r.batch = batch;
    r.tokens = tokens;
    r.us = us;
    return r;
}

Test(peers, every_function_has_a_line_and_every_program)
{
    const row rows_of[] = {mixture,
                           leaf,
                           with(leaf, "fff_leaf_slow", 16, 16, 9),
                           dense,
                           with(dense, "ff_slow", 16, 16, 400),
                           program,
                           leaf_program,
                           with(leaf_program, "fff_leaf_loop", 128, 128, 1),
                           tree,
                           with(leaf, "fff_leaf_ours", 128, 128, 2),
                           with(dense, "ff_ours", 128, 64, 90)};
    for (size_t i = 0; i < sizeof rows_of / sizeof *rows_of; i++)
        put(&rows_of[i], "hot");
    const char *text = render();
    expect(text, "## Peers\n");
    expect(text, "### Peers: f32, hot, host, width 768, gelu, 1 thread\n");
    expect(text, "| Layer | Weights | Active | B=16 | B=128 |\n");
    /* The fastest dense row, at B=16 the program's, divides. */
    expect(text, "| FF 4095 | 8190 | 4095 | 100 µs (0.50x) | 90.0 µs\\* |\n");
    expect(text, "| FF 4095, ff_linear | 8190 | 4095 | 50.0 µs | – |\n");
    expect(text, "| FFF 1x11 | 8190 | 12 | 5.00 µs (10.0x) | – |\n");
    expect(text, "| leaf FFF 9x8 | 9215 | 8 + 9 gates | 4.00 µs (12.5x) | 2.00 µs (45.0x\\*) |\n");
    expect(text, "| MoE 512x8:2 | 9216 | 16 + 512 gates | 20.0 µs (2.50x) | – |\n");
    /* Each program has a line, behind ours of that function. */
    expect(
        text,
        "2.00 µs (45.0x\\*) |\n| leaf FFF 9x8, fff_leaf_gather | 9215 | 8 + 9 gates | 1.00 µs (50.0x) | – |\n"
        "| leaf FFF 9x8, fff_leaf_loop | 9215 | 8 + 9 gates | – | 1.00 µs (90.0x\\*) |\n| MoE");
    cr_assert_lt(strstr(text, "| FF 4095 |"), strstr(text, "| FF 4095, ff_linear |"));
    cr_assert_lt(strstr(text, "| FFF 1x11 |"), strstr(text, "| leaf FFF 9x8 |"));
    expect(text, "| leaf FFF 9x8 | 16 | `fff_leaf_ours` | 4.00 µs [3.60, 4.40] | 77 | PASSED |");
    expect(text, "| FFF 1x11 | 16 | `fff_ours` | 5.00 µs [4.50, 5.50] | – | PASSED |");
    /* Of ours, not of programs: 90 / 2, and 20 / 4. */
    expect(text, "is 45.0x over FF (batch 128) and 5.00x over the fastest mixture (batch 16).");
}

/* The names of the lines that a chart of so many shows, with commas. */
static const char *chosen(size_t most)
{
    static char names[1024];
    const char *paths[] = {path};
    size_t at[FFL_SERIES_MAX];
    ffl_rows_free(&rows);
    cr_assert_eq(ffl_rows_read(paths, 1, &rows), FFL_OK, "%s", ffl_error());
    ffl_peer_table *t = calloc(1, sizeof *t);
    ffl_peers_collect(&rows, &rows.value[0], t);
    const size_t count = ffl_peers_choose(t, most, at);
    names[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        char name[160];
        ffl_peer_line_name(&t->lines[at[i]], name, sizeof name);
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? "; " : "", name);
    }
    free(t);
    return names;
}

Test(peers, a_chart_shows_each_function_before_a_second_line_of_any)
{
    row deep = with(tree, "fff_deep", 128, 128, 3), wide = with(dense, "ff_wide", 128, 128, 80);
    deep.trees = 2;
    deep.depth = 10;
    deep.neurons = 4094;
    deep.shape = "2x10";
    wide.neurons = 4094;
    const row rows_of[] = {mixture,
                           leaf,
                           dense,
                           wide,
                           program,
                           leaf_program,
                           tree,
                           deep,
                           with(deep, "fff_deep", 16, 16, 6),
                           with(leaf, "fff_leaf_ours", 128, 128, 2)};
    for (size_t i = 0; i < sizeof rows_of / sizeof *rows_of; i++)
        put(&rows_of[i], "hot");
    /* 2x10 has two batches, 1x11 one. A second dense layer never comes. */
    cr_assert_str_eq(chosen(5),
                     "FF 4094; FF 4095, ff_linear; FFF 2x10; leaf FFF 9x8; leaf FFF 9x8, fff_leaf_gather");
    cr_assert_str_eq(chosen(8), "FF 4094; FF 4095, ff_linear; FFF 1x11; FFF 2x10; leaf FFF 9x8; "
                                "leaf FFF 9x8, fff_leaf_gather; MoE 512x8:2");
}

Test(peers, other_sizes_failures_and_settings_stay_out)
{
    row small = with(dense, "ff_small", 16, 16, 1), wrong = with(leaf, "fff_leaf_wrong", 16, 16, 1),
        unasked = with(dense, "ff_unasked", 1024, 1024, 1), drawn = tree;
    small.neurons = 3072;
    wrong.verdict = "FAILED";
    drawn.variant = "fff_zero";
    drawn.trees = 8;
    drawn.depth = 8;
    drawn.neurons = 4088;
    drawn.shape = "8x8";
    const row rows_of[] = {small, leaf, wrong, unasked, dense, drawn};
    for (size_t i = 0; i < sizeof rows_of / sizeof *rows_of; i++)
        put(&rows_of[i], "hot");
    put(&mixture, "weights-cold");
    const char *text = render();
    expect_not(text, "3072");
    expect_not(text, "fff_leaf_wrong");
    expect_not(text, "B=1024");
    expect(text, "| FFF 8x8 | 8176 | 72 | 5.00 µs (20.0x) |\n");
    /* Another cache state is another table, without the rows of the first. */
    const char *cold = strstr(text, "### Peers: f32, weights-cold");
    cr_assert_not_null(cold);
    expect_not(cold, "leaf FFF 9x8");
    expect(cold, "| MoE 512x8:2 | 9216 | 16 + 512 gates | 20.0 µs |\n");
}

Test(peers, without_any_there_is_no_section)
{
    put(&dense, "hot");
    put(&tree, "hot");
    cr_assert_str_eq(render(), "");
}
