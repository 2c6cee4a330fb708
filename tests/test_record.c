#include "reports/record.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static ffl_samples samples_of(const double *ns, size_t count)
{
    ffl_samples samples;
    cr_assert_eq(ffl_samples_from(ns, count, &samples), FFL_OK);
    return samples;
}

Test(samples, keep_every_duration_and_drop_only_the_order)
{
    static const double ns[] = {30, 10, 20.4, 19.6, 30, 30};
    ffl_samples s = samples_of(ns, 6);
    cr_assert_eq(s.distinct, 3);
    cr_assert_eq(s.ns[0], 10);
    cr_assert_eq(s.ns[1], 20);
    cr_assert_eq(s.ns[2], 30);
    cr_assert_eq(s.count[1], 2);
    cr_assert_eq(s.count[2], 3);
    cr_assert_eq(ffl_samples_total(&s), 6);
    ffl_samples_free(&s);
}

Test(samples, are_kept_to_four_digits_and_whole_nanoseconds)
{
    static const double ns[] = {0.6, 9999.4, 12344, 12346, 98765432};
    static const double kept[] = {1, 9999, 12340, 12350, 98770000};
    ffl_samples s = samples_of(ns, 5);
    for (size_t i = 0; i < 5; i++)
        cr_assert_eq(s.ns[i], kept[i], "%g became %g", ns[i], s.ns[i]);
    ffl_samples_free(&s);
}

/* Ranks from tables of the sign test's interval: n = 5 gives the extremes, n = 20 ranks 6 and 15,
 * n = 100 ranks 40 and 61 (counted from 1). The normal form may be one rank wider, never narrower. */
Test(samples, median_and_interval_have_the_known_ranks)
{
    static const struct {
        size_t n, low, high;
    } known[] = {{1, 1, 1}, {2, 1, 2}, {5, 1, 5}, {20, 6, 15}, {100, 40, 61}};
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        double ns[100], median, low, high;
        const size_t n = known[k].n;
        for (size_t i = 0; i < n; i++)
            ns[i] = (double)(n - i);
        ffl_samples s = samples_of(ns, n);
        ffl_samples_median(&s, &median, &low, &high);
        cr_assert_eq(median, (double)(n + 1) / 2, "n = %zu", n);
        cr_assert(low <= (double)known[k].low && low >= (double)known[k].low - 1, "n = %zu: low rank %g", n,
                  low);
        cr_assert(high >= (double)known[k].high && high <= (double)known[k].high + 1, "n = %zu: high rank %g",
                  n, high);
        ffl_samples_free(&s);
    }
    double median, low, high;
    ffl_samples none = {0};
    ffl_samples_median(&none, &median, &low, &high);
    cr_assert(isnan(median) && isnan(low) && isnan(high));
}

Test(samples, quantiles_are_nearest_ranks)
{
    double ns[200];
    for (size_t i = 0; i < 200; i++)
        ns[i] = (double)i + 1;
    ffl_samples s = samples_of(ns, 200);
    cr_assert_eq(ffl_samples_quantile(&s, 0), 1);
    cr_assert_eq(ffl_samples_quantile(&s, 0.5), 100);
    cr_assert_eq(ffl_samples_quantile(&s, 0.99), 198);
    cr_assert_eq(ffl_samples_quantile(&s, 1), 200);
    ffl_samples_free(&s);
    cr_assert(isnan(ffl_samples_quantile(&s, 0.5)));
}

Test(record, round_trip_keeps_every_field)
{
    static const double ns[] = {5, 5, 7};
    ffl_record r, back;
    ffl_record_init(&r);
    strcpy(r.kind, "bench"), strcpy(r.key, "k\"ey\n\\"), strcpy(r.variant, "fff_naive");
    strcpy(r.reason, "row 3, element 7: größer als 1e-7");
    r.seed = UINT64_MAX, r.tokens = 12, r.trees = 1, r.depth = 11, r.weak = true;
    r.median_ns = 1234.5, r.error_statistical = 0.25, r.flops = 1e15;
    r.samples = samples_of(ns, 3);
    json_t *json = ffl_record_to_json(&r);
    cr_assert_eq(ffl_record_from_json(json, &back), FFL_OK);
    json_t *again = ffl_record_to_json(&back);
    cr_assert(json_equal(json, again));
    cr_assert_eq(back.seed, UINT64_MAX);
    cr_assert_str_eq(back.key, r.key);
    cr_assert(back.weak && !back.handicapped);
    cr_assert_eq(back.samples.count[0], 2);
    cr_assert(isnan(back.pack_ns), "what was not measured is NaN, not 0");
    cr_assert_null(json_object_get(json, "pack_ns"));
    json_decref(json), json_decref(again);
    ffl_record_free(&r), ffl_record_free(&back);
}

Test(record, refuses_wrong_types_sizes_and_a_newer_schema_naming_the_field)
{
    static const char *const bad[][2] = {
        {"[]", "not a JSON object"},
        {"{\"variant\": 3}", "\"variant\""},
        {"{\"tokens\": \"many\"}", "\"tokens\""},
        {"{\"median_ns\": \"fast\"}", "\"median_ns\""},
        {"{\"weak\": 1}", "\"weak\""},
        {"{\"class\": \"a class name much too long\"}", "\"class\""},
        {"{\"samples_ns\": 3}", "\"samples_ns\""},
        {"{\"samples_ns\": [[5, 0]]}", "\"samples_ns\", item 0"},
        {"{\"samples_ns\": [[5, 1], [4, 1]]}", "\"samples_ns\", item 1"},
        {"{\"samples_ns\": [[-5, 1]]}", "\"samples_ns\", item 0: no time"},
        {"{\"samples_ns\": [[1e300, 1]]}", "\"samples_ns\", item 0: no time"},
        {"{\"samples_ns\": [[1, 9007199254740992], [2, 1]]}", "item 1: no time, or too many"},
        {"{\"trees\": -1}", "\"trees\""},
        {"{\"depth\": 9007199254740993}", "\"depth\""},
        {"{\"seed\": \"-5\"}", "\"seed\""},
        {"{\"seed\": \"7x\"}", "\"seed\""},
        {"{\"seed\": \"18446744073709551616\"}", "\"seed\""},
        {"{\"schema\": 99}", "newer fflab"},
        {"{\"schema\": 0}", "\"schema\" 0: they count from 1"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ffl_record r;
        json_t *json = json_loads(bad[i][0], 0, NULL);
        cr_assert_not_null(json);
        cr_assert_eq(ffl_record_from_json(json, &r), FFL_BAD_INPUT, "%s", bad[i][0]);
        cr_assert_not_null(strstr(ffl_error(), bad[i][1]), "%s: %s", bad[i][0], ffl_error());
        json_decref(json);
    }
}

Test(record, ignores_fields_it_does_not_know)
{
    ffl_record r;
    json_t *json = json_loads("{\"schema\": 1, \"kind\": \"check\", \"colour\": {\"of\": [1]}}", 0, NULL);
    cr_assert_eq(ffl_record_from_json(json, &r), FFL_OK);
    cr_assert_str_eq(r.kind, "check");
    json_decref(json);
    ffl_record_free(&r);
}

Test(record, dates_are_of_one_form)
{
    char text[FFL_DATE_SIZE];
    time_t when;
    ffl_date_write(1795385431, text);
    cr_assert_str_eq(text, "2026-11-22T22:10:31Z");
    cr_assert(ffl_date_read(text, &when));
    cr_assert_eq(when, 1795385431);
    cr_assert_not(ffl_date_read("2026-11-22T22:10:31", &when));
    cr_assert_not(ffl_date_read("2026-11-22T22:10:31Z and more", &when));
    cr_assert_not(ffl_date_read("", &when));
    ffl_date_write((time_t)INT64_MAX, text); /* no year holds it */
    cr_assert_str_eq(text, "");
}
