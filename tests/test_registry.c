#include "harness/registry.h"
#include "kernels/memory.h"
#include <criterion/criterion.h>

Test(registry, names_are_unique_and_rows_complete)
{
    cr_assert_gt(ffl_registry_count(), 0);
    for (size_t i = 0; i < ffl_registry_count(); i++) {
        const ffl_variant *v = ffl_registry_at(i);
        cr_assert_eq(ffl_registry_find(v->name), v, "%s is defined twice", v->name);
        cr_assert(v->prepare && v->run && v->summary && v->source, "%s is incomplete", v->name);
        cr_assert(v->contract.over_read_bytes <= FFL_OVER_READ_MAX, "%s reads too far", v->name);
        ffl_operation operation;
        cr_assert(ffl_registry_name_valid(v->name, &operation), "%s is no name", v->name);
        cr_assert_eq(operation, v->operation, "%s: the name does not say the operation", v->name);
    }
}
