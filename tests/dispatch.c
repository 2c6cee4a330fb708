#include "tests/dispatch.h"
#include "harness/registry.h"
#include "kernels/memory.h"
#include "tests/files.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

const ffl_variant *self;
ffl_layer tree;
const ffl_variant *kernel[3];

void set_up(void)
{
    size_t count = 0;
    setenv("FFLAB_TUNING", "none", 1);
    self = ffl_registry_find("fff_auto");
    cr_assert_not_null(self);
    cr_assert_eq(ffl_layer_fff(WIDTH, WIDTH, 1, LEVELS, &tree), FFL_OK);
    for (size_t i = 0; i < ffl_registry_count() && count < 3; i++)
        if (ffl_auto_may_use(self, ffl_registry_at(i), &tree, 1) &&
            ffl_auto_may_use(self, ffl_registry_at(i), &tree, TOKENS))
            kernel[count++] = ffl_registry_at(i);
    if (count < 3)
        cr_skip_test("only %zu conditional kernels run here", count);
}

void tear_down(void)
{
    files_path("x"); /* makes the folder, so that there is one to remove */
    files_remove();
}

ffl_tuned_cell tuned_cell(size_t batch, const char *routing, double shared, const double ns[3])
{
    ffl_tuned_cell c = {.shape = tree,
                        .clazz = FFL_F32,
                        .batch = batch,
                        .threads = 1,
                        .shared = shared,
                        .times = ffl_alloc_array(3, sizeof *c.times),
                        .count = 3};
    strcpy(c.routing, routing);
    for (size_t i = 0; i < 3; i++)
        c.times[i] = (ffl_tuned_time){kernel[i], ns[i]};
    return c;
}

ffl_tuned_table example_table(void)
{
    static const double few[] = {10, 20, 20}, spread[] = {40, 10, 20}, single[] = {40, 20, 10};
    ffl_tuned_table table = {.cells = ffl_alloc_array(3, sizeof *table.cells), .count = 3};
    table.cells[0] = tuned_cell(TOKENS, "single", 1, single);
    table.cells[1] = tuned_cell(1, "uniform", 0, few);
    table.cells[2] = tuned_cell(TOKENS, "uniform", 0, spread);
    return table;
}

const char *write_example(void)
{
    ffl_tuned_table table = example_table();
    const char *path = files_path("table.json");
    cr_assert_eq(ffl_tuned_write(path, &table), FFL_OK, "%s", ffl_error());
    ffl_tuned_free(&table);
    return path;
}
