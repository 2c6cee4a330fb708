/* Tuning tables: there and back, and hostile ones, which are refused by name while the dispatcher goes on. */
#include "harness/auto/choice.h"
#include "tests/dispatch.h"
#include "tests/files.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

TestSuite(auto_table, .init = set_up, .fini = tear_down);

Test(auto_table, a_table_survives_its_file)
{
    ffl_tuned_table before = example_table(), after;
    cr_assert_eq(ffl_tuned_read(write_example(), &after), FFL_OK, "%s", ffl_error());
    cr_assert_eq(after.count, before.count);
    for (size_t i = 0; i < after.count; i++) {
        const ffl_tuned_cell *a = &before.cells[i], *b = &after.cells[i];
        cr_assert_eq(memcmp(&a->shape, &b->shape, sizeof a->shape), 0);
        cr_assert(a->clazz == b->clazz && a->batch == b->batch && a->threads == b->threads);
        cr_assert_str_eq(a->routing, b->routing);
        cr_assert_float_eq(a->shared, b->shared, 1e-9);
        cr_assert_eq(a->count, b->count);
        for (size_t k = 0; k < a->count; k++)
            cr_assert(a->times[k].variant == b->times[k].variant &&
                      fabs(a->times[k].ns - b->times[k].ns) < 1e-3);
    }
    ffl_tuned_free(&before);
    ffl_tuned_free(&after);
}

static json_t *first_cell(json_t *root)
{
    return json_array_get(json_object_get(root, "cells"), 0);
}

/* Ways to spoil a good table, and what the refusal must name. */
static void other_cpu(json_t *root)
{
    json_object_set_new(json_object_get(root, "machine"), "cpu", json_string("Z80"));
}
static void other_version(json_t *root)
{
    json_object_set_new(root, "version", json_string("9.9"));
}
static void other_format(json_t *root)
{
    json_object_set_new(root, "format", json_integer(99));
}
static void no_kernels(json_t *root)
{
    json_object_del(root, "kernels");
}
static void new_kernel(json_t *root)
{
    json_array_append_new(json_object_get(root, "kernels"), json_string("fff_x"));
}
static void no_cells(json_t *root)
{
    json_object_set_new(root, "cells", json_array());
}
static void cells_of_text(json_t *root)
{
    json_object_set_new(root, "cells", json_string("none"));
}
static void cell_of_text(json_t *root)
{
    json_array_set_new(json_object_get(root, "cells"), 0, json_string("x"));
}
static void huge_batch(json_t *root)
{
    json_object_set_new(first_cell(root), "batch", json_integer(INT64_MAX));
}
static void no_batch(json_t *root)
{
    json_object_set_new(first_cell(root), "batch", json_integer(0));
}
static void real_batch(json_t *root)
{
    json_object_set_new(first_cell(root), "batch", json_real(1.5));
}
static void negative_threads(json_t *root)
{
    json_object_set_new(first_cell(root), "threads", json_integer(-1));
}
static void deep(json_t *root)
{
    json_object_set_new(first_cell(root), "depth", json_integer(63));
}
static void huge_trees(json_t *root)
{
    json_object_set_new(first_cell(root), "trees", json_integer(1 << 30));
}
static void odd_operation(json_t *root)
{
    json_object_set_new(first_cell(root), "operation", json_string("gg"));
}
static void dense_times(json_t *root)
{
    json_object_set_new(first_cell(root), "operation", json_string("ff"));
}
static void odd_class(json_t *root)
{
    json_object_set_new(first_cell(root), "class", json_string("f31"));
}
static void int8_class(json_t *root)
{
    json_object_set_new(first_cell(root), "class", json_string("int8"));
}
static void large_share(json_t *root)
{
    json_object_set_new(first_cell(root), "shared", json_real(1.01));
}
static void long_routing(json_t *root)
{
    json_object_set_new(first_cell(root), "routing",
                        json_string("uniform-uniform-uniform-uniform-uniform-uniform-"
                                    "uniform-uniform-uniform-uniform-uniform"));
}
static void no_times(json_t *root)
{
    json_object_set_new(first_cell(root), "ns_per_token", json_object());
}
static json_t *times(json_t *root)
{
    return json_object_get(first_cell(root), "ns_per_token");
}
static void unknown_variant(json_t *root)
{
    json_object_set_new(times(root), "fff_unheard_of", json_real(1));
}
static void itself(json_t *root)
{
    json_object_set_new(times(root), "fff_auto", json_real(1));
}
static void no_time(json_t *root)
{
    json_object_set_new(times(root), kernel[0]->name, json_null());
}
static void zero_time(json_t *root)
{
    json_object_set_new(times(root), kernel[0]->name, json_integer(0));
}
static void negative_time(json_t *root)
{
    json_object_set_new(times(root), kernel[0]->name, json_real(-1));
}

static const struct {
    void (*spoil)(json_t *root);
    const char *says;
} hostile[] = {
    {other_cpu, "another machine (Z80)"},
    {other_version, "with fflab 9.9"},
    {other_format, "format"},
    {no_kernels, "missing"},
    {new_kernel, "other kernels"},
    {no_cells, "cells"},
    {cells_of_text, "cells"},
    {cell_of_text, "cell 0"},
    {huge_batch, "cell 0"},
    {no_batch, "cell 0"},
    {real_batch, "cell 0"},
    {negative_threads, "cell 0"},
    {deep, "cell 0"},
    {huge_trees, "cell 0"},
    {odd_operation, "cell 0"},
    {dense_times, "cell 0"},
    {odd_class, "cell 0"},
    {int8_class, "cell 0"},
    {large_share, "cell 0"},
    {long_routing, "cell 0"},
    {no_times, "cell 0"},
    {unknown_variant, "cell 0"},
    {itself, "cell 0"},
    {no_time, "cell 0"},
    {zero_time, "cell 0"},
    {negative_time, "cell 0"},
};

/* Refused by name, and the dispatcher goes on without it. */
static void expect_refused(const char *path, const char *says)
{
    ffl_tuned_table table;
    ffl_auto_choice choice;
    char note[1024];
    const ffl_status status = ffl_tuned_read(path, &table);
    cr_assert(status == FFL_BAD_INPUT || status == FFL_IO, "%s: read", says);
    cr_assert(strstr(ffl_error(), path) && strstr(ffl_error(), says), "%s: %s", says, ffl_error());
    cr_assert(table.cells == NULL && table.count == 0);
    setenv("FFLAB_TUNING", path, 1);
    cr_assert_null(ffl_tuned_lock());
    ffl_tuned_unlock();
    ffl_tuned_note(note, sizeof note);
    cr_assert(strstr(note, says) && strstr(note, "built-in rules"), "%s", note);
    cr_assert_eq(ffl_auto_choose(self, &tree, TOKENS, 1, NULL, &choice), FFL_OK);
    cr_assert_not(choice.tuned);
}

Test(auto_table, hostile_tables_are_refused_and_the_rules_go_on)
{
    char good[512];
    snprintf(good, sizeof good, "%s", write_example());
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        json_t *root = json_load_file(good, 0, NULL);
        char name[32];
        snprintf(name, sizeof name, "bad%zu.json", i);
        hostile[i].spoil(root);
        cr_assert_eq(json_dump_file(root, files_path(name), 0), 0);
        json_decref(root);
        expect_refused(files_path(name), hostile[i].says);
    }
}

Test(auto_table, files_that_are_no_table_are_refused)
{
    static char text[1 << 16];
    FILE *file = fopen(write_example(), "r");
    const size_t length = fread(text, 1, sizeof text, file);
    fclose(file);
    char path[512];
    snprintf(path, sizeof path, "%s", files_write("torn.json", text, length / 2));
    expect_refused(path, "line");
    snprintf(path, sizeof path, "%s", files_write("empty.json", "", 0));
    expect_refused(path, "line");
    snprintf(path, sizeof path, "%s", files_write("nan.json", "{\"format\": NaN}", 15));
    expect_refused(path, "line");
    snprintf(path, sizeof path, "%s", files_write("twice.json", "{\"format\": 1, \"format\": 1}", 26));
    expect_refused(path, "duplicate");
    snprintf(path, sizeof path, "%s", files_path("absent.json"));
    expect_refused(path, "No such file");
    snprintf(path, sizeof path, "%s", files_folder());
    expect_refused(path, "not a file");
}

Test(auto_table, a_changed_file_is_read_again)
{
    char path[512];
    snprintf(path, sizeof path, "%s", write_example());
    setenv("FFLAB_TUNING", path, 1);
    cr_assert_not_null(ffl_tuned_lock());
    ffl_tuned_unlock();
    cr_assert_eq(unlink(path), 0);
    cr_assert_null(ffl_tuned_lock());
    ffl_tuned_unlock();
}
