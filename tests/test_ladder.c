/* The ladder page: gains over the step named, from rows of one machine, and steps that exist. */
#include "harness/registry.h"
#include "reports/ladder.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[64];
static ffl_rows rows;
static char *text;

static void put(const char *variant, int batch, double ns, const char *more)
{
    static int number;
    FILE *file = fopen(path, "a");
    const bool fff = strncmp(variant, "fff_", 4) == 0;
    fprintf(
        file,
        "{\"kind\":\"bench\",\"run\":\"r\",\"key\":\"%s "
        "%d #%d\",\"variant\":\"%s\",\"operation\":\"%s\",\"family\":\"simd\","
        "\"class\":\"f32\",\"place\":\"host\",\"trees\":%d,\"depth\":%d,\"neurons\":4095,\"width_in\":768,"
        "\"width_out\":768,\"activation\":\"gelu\",\"routing\":\"uniform\",\"cache\":\"hot\",\"batch\":%d,"
        "\"tokens\":%d,\"verdict\":\"PASSED\",\"median_ns\":%.1f%s}\n",
        variant, batch, ++number, variant, fff ? "fff" : "ff", fff, fff ? 11 : 0, batch, batch, batch * ns,
        *more ? more : ",\"threads\":1");
    fclose(file);
}

static void set_up(void)
{
    strcpy(path, "/tmp/fflab-ladder-XXXXXX");
    close(mkstemp(path));
}

static void tear_down(void)
{
    free(text);
    ffl_rows_free(&rows);
    remove(path);
}

TestSuite(ladder, .init = set_up, .fini = tear_down);

static void render(void)
{
    const char *paths[] = {path};
    size_t size;
    cr_assert_eq(ffl_rows_read(paths, 1, &rows), FFL_OK, "%s", ffl_error());
    FILE *file = open_memstream(&text, &size);
    cr_assert_eq(ffl_ladder_write(&rows, file), FFL_OK);
    fclose(file);
}

static void expect(const char *snippet)
{
    cr_assert_not_null(strstr(text, snippet), "missing: %s\nin:\n%s", snippet, text);
}

Test(ladder, gains_are_over_the_step_that_is_named)
{
    put("fff_naive", 16, 12000, "");
    put("fff_walk_c_avx2", 16, 6000, "");
    put("fff_walk_fused_avx512", 16, 3000, "");
    put("fff_walk_fused_avx512", 128, 2500, ",\"threads\":1,\"roof\":\"read_l3\",\"roof_share\":0.25");
    put("fff_naive", 16, 1, ",\"threads\":2"); /* another setting: not on the page */
    render();
    cr_assert_eq(rows.note_count, 0);
    cr_assert(ffl_ladder_worthwhile(&rows));
    expect("| B=16 | B=128 |");
    expect("| 12.0 µs<br>");
    expect(" 6.00 µs<br>**2.00x**<br>");
    expect(" 2.50 µs<br>25 % of `read_l3`<br>");
    expect(" – |\n"); /* fff_naive was not timed at 128 */
    cr_assert_null(strstr(text, " 1.00 ns"), "%s", text);
    cr_assert_null(strstr(text, "ff_naive` | plain C, one accumulator per neuron"), "%s", text);
}

Test(ladder, two_steps_make_no_ladder)
{
    put("fff_naive", 16, 12000, "");
    put("fff_walk_c_avx2", 16, 6000, "");
    put("fff_of_somebody_else", 16, 6000, "");
    render();
    cr_assert_not(ffl_ladder_worthwhile(&rows));
}

/* A variant that was renamed would vanish from the page without a word. */
Test(ladder, every_step_is_a_variant_and_improves_on_one_before_it)
{
    for (const ffl_ladder *l = ffl_ladders; l->title; l++)
        for (const ffl_ladder_step *s = l->steps; s->variant; s++) {
            bool known = !s->from;
            for (const ffl_ladder_step *before = l->steps; before < s; before++)
                known = known || strcmp(before->variant, s->from) == 0;
            cr_assert(known, "%s improves on %s, which does not come before it", s->variant, s->from);
            cr_assert_eq(s->from == NULL, s == l->steps, "%s", s->variant);
            const ffl_variant *v = ffl_registry_find(s->variant);
            /* Builds for other processors lack the SIMD rows, builds without a library its rows. */
            if (!v && (strstr(s->variant, "_avx") || strstr(s->variant, "_openblas") ||
                       strstr(s->variant, "_blis")))
                continue;
            cr_assert_not_null(v, "%s: no such variant", s->variant);
            cr_assert_str_eq(ffl_variant_class(v), l->clazz, "%s", s->variant);
        }
}
