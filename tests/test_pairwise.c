#include "harness/check/cases.h"
#include "harness/check/pairwise.h"
#include <criterion/criterion.h>
#include <string.h>

static size_t covered(const ffl_axes *axes, const ffl_pairwise_row *rows, size_t count)
{
    size_t pairs = 0;
    for (size_t a = 0; a < axes->count; a++)
        for (size_t b = a + 1; b < axes->count; b++)
            for (size_t va = 0; va < axes->values[a]; va++)
                for (size_t vb = 0; vb < axes->values[b]; vb++)
                    for (size_t r = 0; r < count; r++)
                        if (rows[r].choice[a] == va && rows[r].choice[b] == vb) {
                            pairs++;
                            break;
                        }
    return pairs;
}

Test(pairwise, every_pair_occurs_in_few_rows)
{
    static const ffl_axes designs[] = {{.count = 1, .values = {5}},
                                       {.count = 2, .values = {3, 4}},
                                       {.count = 4, .values = {1, 2, 1, 3}},
                                       {.count = 9, .values = {7, 8, 6, 4, 11, 2, 2, 4, 4}},
                                       {.count = 12, .values = {2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2}}};
    static const size_t most[] = {0, 12, 6, 130, 14};
    static ffl_pairwise_row rows[400], again[400];
    for (size_t d = 0; d < sizeof designs / sizeof *designs; d++) {
        size_t count, count_again, pairs = 0;
        const ffl_axes *axes = &designs[d];
        cr_assert_eq(ffl_pairwise(axes, 3, rows, 400, &count), FFL_OK);
        for (size_t a = 0; a < axes->count; a++)
            for (size_t b = a + 1; b < axes->count; b++)
                pairs += axes->values[a] * axes->values[b];
        cr_assert_eq(covered(axes, rows, count), pairs);
        cr_assert_leq(count, most[d], "design %zu has %zu rows", d, count);
        cr_assert_eq(ffl_pairwise(axes, 3, again, 400, &count_again), FFL_OK);
        cr_assert_eq(count_again, count);
        cr_assert_eq(memcmp(rows, again, count * sizeof *rows), 0);
    }
    size_t count;
    cr_assert_eq(ffl_pairwise(&designs[3], 3, rows, 20, &count), FFL_INTERNAL);
}

/* The seed carries bias, padding and offsets: each value must really occur in the default design. */
Test(pairwise, the_default_design_reaches_every_layout)
{
    for (int operation = FFL_FF; operation < FFL_OPERATION_COUNT; operation++) {
        ffl_case_list list = {0};
        size_t bias[2] = {0}, padding[17] = {0}, offset[4] = {0}, threads[3] = {0};
        cr_assert_eq(ffl_cases_default((ffl_operation)operation, 1, &list), FFL_OK);
        for (size_t i = 0; i < list.count; i++) {
            const ffl_layout layout = ffl_layout_from_seed(list.items[i].seed);
            bias[layout.bias]++, padding[layout.padding_y]++, offset[layout.offset_x]++;
            threads[list.items[i].threads]++;
        }
        cr_assert(bias[0] && bias[1] && padding[0] && padding[1] && padding[5] && padding[16]);
        cr_assert(offset[0] && offset[1] && offset[2] && offset[3] && threads[1] && threads[2]);
        cr_assert_lt(list.count, 160);
        ffl_cases_free(&list);
    }
}

Test(pairwise, a_case_survives_the_way_to_a_worker)
{
    ffl_case_list list = {0};
    for (int operation = FFL_FF; operation < FFL_OPERATION_COUNT; operation++)
        cr_assert_eq(ffl_cases_default((ffl_operation)operation, 12345678901234567u, &list), FFL_OK);
    for (size_t i = 0; i < list.count; i++) {
        ffl_check_case back;
        json_t *json = ffl_case_to_json(&list.items[i]);
        char words[2][512];
        cr_assert_eq(ffl_case_from_json(json, &back), FFL_OK);
        ffl_case_words(&list.items[i], 1, words[0], sizeof words[0]);
        ffl_case_words(&back, 1, words[1], sizeof words[1]);
        cr_assert_str_eq(words[0], words[1]);
        cr_assert_eq(back.seed, list.items[i].seed);
        cr_assert_eq(back.shape.operation, list.items[i].shape.operation);
        json_decref(json);
    }
    ffl_cases_free(&list);
}
