/* The leaderboard in a README: made of a run, put between its marks, and the one in ours is that of the run
 * it names. */
#define _GNU_SOURCE
#include "reports/leaderboard.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static char *out;

static void tear_down(void)
{
    free(out);
}

TestSuite(leaderboard, .fini = tear_down);

Test(leaderboard, the_table_replaces_what_was_between_the_marks)
{
    cr_assert_eq(ffl_leaderboard_put("a\n<!-- leaderboard of x -->\nold\n<!-- end of leaderboard -->\nb\n",
                                     "new\n", &out),
                 FFL_OK, "%s", ffl_error());
    cr_assert_str_eq(out, "a\n<!-- leaderboard of x -->\nnew\n<!-- end of leaderboard -->\nb\n");
}

Test(leaderboard, missing_doubled_and_disordered_marks_are_refused)
{
    static const char *const bad[] = {
        "nothing",
        "<!-- leaderboard -->\nno end\n",
        "<!-- end of leaderboard -->\n<!-- leaderboard -->\n",
        "text <!-- leaderboard -->\n<!-- end of leaderboard -->\n", /* not at the start of its line */
        "<!-- leaderboard a -->\n<!-- leaderboard b -->\n<!-- end of leaderboard -->\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert_eq(ffl_leaderboard_put(bad[i], "new\n", &out), FFL_BAD_INPUT, "%zu", i);
        cr_assert_not_null(strstr(ffl_error(), "<!-- leaderboard"));
    }
}

static void read_file(const char *path, char **text)
{
    size_t size = 0;
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    cr_assert_gt(getdelim(text, &size, '\0', file), 0);
    fclose(file);
}

static char *table_of(const char *journal)
{
    ffl_rows rows;
    char *table;
    size_t size;
    cr_assert_eq(ffl_rows_read(&journal, 1, &rows), FFL_OK, "%s", ffl_error());
    FILE *file = open_memstream(&table, &size);
    cr_assert_eq(ffl_leaderboard_write(&rows, file), FFL_OK, "%s", ffl_error());
    fclose(file);
    ffl_rows_free(&rows);
    return table;
}

Test(leaderboard, the_readme_has_the_numbers_of_the_committed_run_it_names)
{
    char path[4096], journal[4096], run[1024], *readme = NULL;
    snprintf(path, sizeof path, "%s/README.md", getenv("SOURCE"));
    read_file(path, &readme);
    const char *mark = strstr(readme, "<!-- leaderboard of ");
    cr_assert_not_null(mark);
    cr_assert_eq(sscanf(mark, "<!-- leaderboard of %1000[^, ]", run), 1);
    snprintf(journal, sizeof journal, "%s/%s", getenv("SOURCE"), run);
    char *table = table_of(journal);
    cr_assert_not_null(strstr(table, "| f32 | 1, hot | `fff_"));
    cr_assert_eq(ffl_leaderboard_put(readme, table, &out), FFL_OK, "%s", ffl_error());
    cr_assert_str_eq(out, readme, "not of that run; make it so: fflab report %s --readme README.md", run);
    free(table);
    free(readme);
}
