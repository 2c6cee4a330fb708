/* Where the time of a pass goes: rounds, the counting rule, and what `fflab encoder` tells of both. */
#include "files.h"
#include "harness/encoder/layer_times.h"
#include "harness/encoder/part_work.h"
#include "harness/files/npy.h"
#include "tests/run_program.h"
#include <jansson.h>
#include <math.h>

static run_result result;

#define TREES                                                                                                \
    "--checkpoint \"$FFLAB_FIXTURES/encoder_fff_h64_l3_d5_p2\" --tokens "                                    \
    "\"$FFLAB_FIXTURES/encoder_fff_h64_l3_d5_p2/input_ids.npy\" "

static int encoder(const char *arguments)
{
    char line[2048];
    snprintf(line, sizeof line, "cd %s && \"$FFLAB\" encoder %s", files_folder(), arguments);
    run_shell(line, &result);
    return result.exit_code;
}

static void expect(double got, double want, const char *what)
{
    cr_assert(fabs(got - want) <= 1e-9 * fabs(want), "%s: %.17g, expected %.17g", what, got, want);
}

/* ---- Times ---- */

Test(encoder_profile, medians_are_per_layer_and_part)
{
    ffl_layer_times times;
    cr_assert_eq(ffl_layer_times_new(2, 1.5, &times), FFL_OK);
    for (size_t r = 0; r < 3; r++) {
        const double t = (double[]){1, 100, 10}[r];
        const ffl_encoder_event events[] = {{FFL_PART_EMBEDDING, SIZE_MAX, 0, 5},
                                            {FFL_PART_NORM, 0, 0, t},
                                            {FFL_PART_NORM, 0, 0, t},
                                            {FFL_PART_QKV, 0, 0, 7},
                                            {FFL_PART_NORM, 1, 0, 3 * t},
                                            {FFL_PART_NORM, SIZE_MAX, 0, 2},
                                            {FFL_PART_LOGITS, SIZE_MAX, 0, 40 - t}};
        ffl_layer_times_add(&times, events, sizeof events / sizeof *events);
    }
    expect(ffl_layer_times_ns(&times, 0, FFL_PART_NORM), 20, "norms of layer 0");
    expect(ffl_layer_times_ns(&times, 1, FFL_PART_NORM), 30, "norms of layer 1");
    expect(ffl_layer_times_ns(&times, 2, FFL_PART_NORM), 2, "the norm behind the layers");
    expect(ffl_layer_times_ns(&times, 0, FFL_ALL), 27, "layer 0");
    expect(ffl_layer_times_ns(&times, FFL_ALL, FFL_PART_NORM), 1.5 * 50 + 2, "all norms, of three layers");
    expect(ffl_layer_times_ns(&times, 1, FFL_PART_QKV), 0, "nothing");
    expect(ffl_layer_times_ns(&times, FFL_ALL, FFL_PART_LOGITS), 30, "logits");
    expect(ffl_layer_times_ns(&times, FFL_ALL, FFL_ALL), 47 + 1.5 * 7 + 6.5 * 10, "pass");
    ffl_layer_times_free(&times);
}

/* ---- The counting rule ---- */

enum { B = 2, S = 3, P = B * S, H = 8, HEADS = 2, V = 50, E = 4 };

static ffl_encoder_weights small(bool pre_norm)
{
    return (ffl_encoder_weights){.config = {.layers = 2,
                                            .width = H,
                                            .heads = HEADS,
                                            .vocabulary = V,
                                            .embedding_width = H,
                                            .pre_norm = pre_norm,
                                            .final_norm = pre_norm,
                                            .token_types = pre_norm ? 0 : 2,
                                            .qkv_bias = !pre_norm,
                                            .projection_bias = !pre_norm},
                                 .has_head = true};
}

static void expect_work(const ffl_encoder_weights *w, ffl_part part, size_t layer, double flops, double bytes)
{
    static const int32_t ids[P] = {7, 7, 9, 7, 0, 49};
    static const unsigned char mask[P] = {1, 1, 1, 1, 1, 0};
    const ffl_encoder_input input = {.batch = B, .sequence = S, .ids = ids, .mask = mask};
    size_t words;
    cr_assert_eq(ffl_distinct_words(&w->config, &input, &words), FFL_OK);
    cr_assert_eq(words, 4);
    const ffl_work got = ffl_part_work(w, &input, words, part, layer, FFL_F32);
    expect(got.flops, flops, ffl_part_name(part));
    expect(got.bytes, bytes, ffl_part_name(part));
}

Test(encoder_profile, work_of_a_pre_norm_layer_is_counted_by_hand)
{
    const ffl_encoder_weights w = small(true);
    const double n = P * H;
    expect_work(&w, FFL_PART_QKV, 0, 2 * P * H * 24, 4 * (P * H + P * 24 + H * 24));
    expect_work(&w, FFL_PART_PROJECTION, 1, 2 * P * H * H, 4 * (2 * P * H + H * H));
    /* q·kᵀ and the sum of v, 2PSH each; 5 per score; one division per output. Reads q, k, v and the mask. */
    expect_work(&w, FFL_PART_ATTENTION, 0, 4 * P * S * H + 5 * P * S * HEADS + n, 4 * (4 * n + P));
    /* norm1 has nothing to add yet; norm2 adds the projection and keeps the sum. */
    expect_work(&w, FFL_PART_NORM, 0, 7 * n + 8 * n, 4 * ((2 * n + 16) + (4 * n + 16)));
    expect_work(&w, FFL_PART_NORM, 1, 16 * n, 4 * 2 * (4 * n + 16));
    expect_work(&w, FFL_PART_NORM, SIZE_MAX, 8 * n, 4 * (3 * n + 16)); /* in place */
    /* 4 words, 3 positions; one addition; a norm in place. */
    expect_work(&w, FFL_PART_EMBEDDING, SIZE_MAX, n + 7 * n, 4 * (7 * H + n + 2 * n + 16));
    expect_work(&w, FFL_PART_LOGITS, SIZE_MAX, 2 * P * H * V, 4 * (P * H + P * V + H * V));
    expect_work(&w, FFL_PART_LOGITS, 0, 0, 0);
    expect_work(&w, FFL_PART_QKV, SIZE_MAX, 0, 0);
}

Test(encoder_profile, work_of_a_post_norm_layer_is_counted_by_hand)
{
    ffl_encoder_weights w = small(false);
    const double n = P * H;
    expect_work(&w, FFL_PART_ATTENTION, 1, 4 * P * S * H + 5 * P * S * HEADS + 4 * n, 4 * (4 * n + 24 + P));
    /* Both norms add and keep the sum; the first adds the projection's bias, too. */
    expect_work(&w, FFL_PART_NORM, 0, 9 * n + 8 * n, 4 * ((4 * n + 24) + (4 * n + 16)));
    expect_work(&w, FFL_PART_NORM, SIZE_MAX, 0, 0);
    expect_work(&w, FFL_PART_EMBEDDING, SIZE_MAX, 2 * n + 7 * n, 4 * (8 * H + n + 2 * n + 16));
    w.config.embedding_width = E;
    w.config.head_transform = w.config.logits_bias = true;
    const double m = P * E;
    expect_work(&w, FFL_PART_EMBEDDING, SIZE_MAX, 9 * m + 2 * P * E * H + n,
                4 * (8 * E + m + (2 * m + 8) + (m + n + E * H) + H));
    expect_work(&w, FFL_PART_LOGITS, SIZE_MAX, 2 * P * E * V + P * V + 2 * P * H * E + m + m + 7 * m,
                4 * ((m + P * V + E * V) + V + (n + m + H * E) + E + 2 * m + (2 * m + 8)));
    w.has_head = false;
    expect_work(&w, FFL_PART_LOGITS, SIZE_MAX, 0, 0);
}

Test(encoder_profile, trees_are_credited_with_their_paths_and_types_with_their_bytes)
{
    ffl_layer tree, dense;
    cr_assert_eq(ffl_layer_fff(H, 10, 3, 4, &tree), FFL_OK);
    dense = ffl_layer_dense(&tree, tree.neurons);
    const ffl_work paths = ffl_feedforward_work(&tree, FFL_F32, FFL_F32, P, 1000);
    const ffl_work all = ffl_feedforward_work(&dense, FFL_BF16, FFL_F32, P, 1000);
    const ffl_work bytes = ffl_feedforward_work(&dense, FFL_INT8, FFL_F32, P, 1000);
    expect(paths.flops, 2 * P * 12 * 18, "3 trees of 4 levels");
    expect(paths.bytes, 1000 + 4 * P * 18, "f32");
    expect(all.flops, 2 * P * 45 * 18, "45 neurons");
    expect(all.bytes, 500 + 4 * P * 18, "bf16");
    expect(bytes.bytes, 250 + 4 * P * 18, "int8");
}

/* ---- The command ---- */

static double real(const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);
    cr_assert(json_is_number(value), "%s is no number", key);
    return json_number_value(value);
}

/* A part's rates follow from its work and time. */
static void check_part(const json_t *part, double pass)
{
    const double ns = real(part, "ns");
    cr_assert(ns > 0 && real(part, "flops") > 0 && real(part, "bytes") > 0);
    expect(real(part, "share"), ns / pass, "share");
    expect(real(part, "flops_per_s"), 1e9 * real(part, "flops") / ns, "flops_per_s");
    expect(real(part, "bytes_per_s"), 1e9 * real(part, "bytes") / ns, "bytes_per_s");
}

static void check_row(const json_t *row, size_t neurons)
{
    const json_t *layers = json_object_get(row, "layers"), *parts = json_object_get(row, "parts"), *part;
    const double pass = real(row, "pass_ns");
    const char *name;
    double flops = 0;
    cr_assert_eq(json_array_size(layers), 4);
    json_object_foreach((json_t *)parts, name, part)
    {
        check_part(part, pass);
        cr_assert(fabs(real(part, "ns") - real(json_object_get(row, "parts_ns"), name)) <= 1, "%s", name);
    }
    cr_assert_eq(json_object_size(parts), FFL_PART_COUNT);
    for (size_t i = 0; i < 4; i++) {
        const json_t *layer = json_array_get(layers, i), *inside = json_object_get(layer, "parts");
        cr_assert_eq(json_integer_value(json_object_get(layer, "layer")), i < 3 ? (json_int_t)i : -1);
        cr_assert_eq(json_object_size(inside), i < 3 ? 5 : 3); /* embedding, norm, logits */
        json_object_foreach((json_t *)inside, name, part)
        {
            check_part(part, pass);
        }
        if (i < 3)
            flops += real(json_object_get(inside, "feedforward"), "flops");
    }
    expect(flops, 3 * 2.0 * 64 * (double)neurons * 128, "FLOP of three layers");
    expect(flops, real(json_object_get(parts, "feedforward"), "flops"), "the sum over the layers");
}

/* Leaves, entropy and share of the most frequent leaf, again, from the visits of one tree. */
static void check_tree(const json_t *routing, size_t tree, size_t tokens, size_t seen[8])
{
    const json_t *visits = json_array_get(json_object_get(routing, "visits"), tree);
    const json_t *trees = json_object_get(routing, "trees");
    double leaves = 0, entropy = 0, most = 0, sum = 0;
    cr_assert_eq(json_array_size(visits), 32);
    for (size_t i = 0; i < 32; i++) {
        const double v = (double)json_integer_value(json_array_get(visits, i));
        const double share = v / (double)tokens;
        sum += v;
        leaves += v > 0;
        entropy -= v > 0 ? share * log2(share) : 0;
        most = fmax(most, share);
        seen[v > 0 ? 1 + ilogb(v) : 0]++;
    }
    expect(sum, (double)tokens, "each token ends in one leaf");
    expect(json_number_value(json_array_get(json_object_get(trees, "leaves"), tree)), leaves, "leaves");
    expect(json_number_value(json_array_get(json_object_get(trees, "entropy_bits"), tree)), entropy, "bits");
    expect(json_number_value(json_array_get(json_object_get(trees, "top1"), tree)), most, "top 1");
}

/* The leaves that the published module's tokens reached. */
static void check_published(const ffl_npy *paths, const json_t *routing, size_t layer, size_t tree)
{
    const json_t *visits = json_array_get(json_object_get(routing, "visits"), tree);
    size_t leaves[32] = {0};
    for (size_t t = 0; t < 64; t++)
        leaves[((const int32_t *)paths->data)[((layer * 64 + t) * 2 + tree) * 6 + 5] - 31]++;
    for (size_t i = 0; i < 32; i++)
        cr_assert_eq(json_integer_value(json_array_get(visits, i)), (json_int_t)leaves[i],
                     "layer %zu, tree %zu, leaf %zu", layer, tree, i);
}

static void check_extent(const json_t *routing, const char *key)
{
    const json_t *each = json_object_get(json_object_get(routing, "trees"), key);
    const json_t *extent = json_object_get(routing, key);
    const double a = json_number_value(json_array_get(each, 0)),
                 b = json_number_value(json_array_get(each, 1));
    cr_assert_eq(json_array_size(each), 2);
    expect(real(extent, "min"), fmin(a, b), key);
    expect(real(extent, "mean"), (a + b) / 2, key);
    expect(real(extent, "max"), fmax(a, b), key);
}

Test(encoder_profile, json_tells_every_layer_part_and_tree)
{
    cr_assert_eq(encoder(TREES "--json -v fff_naive"), 0, "%s%s", result.out, result.err);
    json_t *json = json_loads(result.out, 0, NULL);
    cr_assert_not_null(json, "%s", result.out);
    const json_t *rows = json_object_get(json, "rows"), *dense = json_array_get(rows, 0);
    const json_t *row = json_array_get(rows, 1);
    ffl_npy paths;
    cr_assert_eq(ffl_npy_read_as(files_fixture("encoder_fff_h64_l3_d5_p2", "paths.npy"), "paths", FFL_NPY_I32,
                                 4, &paths),
                 FFL_OK);
    check_row(dense, 2 * 63);
    cr_assert_null(json_object_get(json_array_get(json_object_get(dense, "layers"), 0), "routing"));
    check_row(row, 2 * 6);
    for (size_t l = 0; l < 3; l++) {
        const json_t *routing = json_object_get(json_array_get(json_object_get(row, "layers"), l), "routing");
        size_t seen[8] = {0};
        cr_assert_eq(json_integer_value(json_object_get(routing, "leaves_of")), 32);
        for (size_t tree = 0; tree < 2; tree++) {
            check_tree(routing, tree, 64, seen);
            check_published(&paths, routing, l, tree);
        }
        const json_t *by_visits = json_object_get(routing, "by_visits");
        for (size_t m = 0; m < 8; m++)
            cr_assert_eq(json_integer_value(json_array_get(by_visits, m)), (json_int_t)seen[m]);
        check_extent(routing, "leaves");
        check_extent(routing, "entropy_bits");
        check_extent(routing, "top1");
    }
    ffl_npy_free(&paths);
    json_decref(json);
    files_remove();
}

static void lines_fit(char *text)
{
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        cr_assert_leq(strlen(line), 120, "%s", line);
}

Test(encoder_profile, tables_of_parts_and_layers_fit_the_terminal)
{
    cr_assert_eq(encoder(TREES "-v fff_naive --layers"), 0, "%s%s", result.out, result.err);
    char *rates = strstr(result.out, "rates of the parts");
    char *layers = strstr(result.out, "\nfff_naive: ms of each part and layer");
    cr_assert(rates && layers && layers > rates, "%s", result.out);
    cr_assert(strstr(rates, "GFLOP/s") && strstr(rates, "GB/s"), "%s", rates);
    cr_assert(strstr(layers, "\n  2 ") && strstr(layers, "\n  rest "), "%s", layers);
    cr_assert(strstr(layers, "leaves of 32"), "%s", layers);
    lines_fit(layers);
    *strstr(rates, "\nkernel speed") = '\0';
    lines_fit(rates);
    cr_assert_eq(encoder(TREES "-v fff_naive"), 0);
    cr_assert_null(strstr(result.out, "ms of each part and layer"));
    files_remove();
}

/* ---- Counters ---- */

Test(encoder_profile, counters_are_counted_part_by_part_or_named_as_missing)
{
    cr_assert_eq(encoder(TREES "-v fff_naive --counters --json"), 0, "%s%s", result.out, result.err);
    json_t *json = json_loads(result.out, 0, NULL);
    cr_assert_not_null(json, "%s", result.out);
    const json_t *names = json_object_get(json_object_get(json, "model"), "counters");
    const json_t *available = json_object_get(names, "available");
    const json_t *counts = json_object_get(json_array_get(json_object_get(json, "rows"), 1), "counters");
    const json_t *parts = json_object_get(counts, "parts");
    size_t i;
    json_t *event, *reason;
    const char *name;
    cr_assert_eq(json_object_size(parts), FFL_PART_COUNT);
    json_array_foreach((json_t *)available, i, event)
    {
        double sum = 0;
        for (size_t p = 0; p < FFL_PART_COUNT; p++)
            sum += real(json_object_get(parts, ffl_part_name((ffl_part)p)), json_string_value(event));
        /* Some of CPU time is spent in every pass, and more than in most parts in the feedforward layers. */
        if (strcmp(json_string_value(event), "CPU ns") == 0)
            cr_assert(sum > 0 && real(json_object_get(parts, "feedforward"), "CPU ns") > 0.01 * sum);
        cr_assert_geq(sum, 0);
    }
    json_object_foreach(json_object_get(names, "missing"), name, reason)
    {
        cr_assert_gt(strlen(json_string_value(reason)), 0);
        cr_assert_null(json_object_get(json_object_get(parts, "norm"), name));
    }
    cr_assert_gt(json_array_size(available) + json_object_size(json_object_get(names, "missing")), 0);
    const size_t missing = json_object_size(json_object_get(names, "missing"));
    json_decref(json);
    cr_assert_eq(encoder(TREES "-v fff_naive --counters"), 0, "%s%s", result.out, result.err);
    char *line = strstr(result.out, "\nnot available here: ");
    cr_assert_eq(line != NULL, missing > 0, "%s", result.out);
    files_remove();
}

Test(encoder_profile, the_clock_files_counts_under_their_part)
{
    enum { PAGES = 256, PAGE = 4096 };
    ffl_events events;
    ffl_pass_clock clock;
    ffl_events_open(&events);
    size_t faults = 0;
    while (faults < events.count && strcmp(events.value[faults].name, "page faults") != 0)
        faults++;
    if (faults == events.count || events.value[faults].descriptor < 0)
        cr_skip_test("no page fault events here");
    cr_assert_eq(ffl_pass_clock_new(1, 1, 1, &clock), FFL_OK);
    clock.counters = &events;
    ffl_pass_clock_clear(&clock);
    double start = ffl_pass_clock_ns();
    ffl_pass_clock_count(&clock, FFL_PART_NORM, &start);
    volatile char *fresh = aligned_alloc(PAGE, PAGES * PAGE);
    for (size_t i = 0; i < PAGES; i++)
        fresh[i * PAGE] = 1;
    ffl_pass_clock_count(&clock, FFL_PART_QKV, &start);
    ffl_pass_clock_count(&clock, FFL_PART_ATTENTION, &start);
    cr_assert_gt(clock.counts[FFL_PART_QKV][faults], clock.counts[FFL_PART_NORM][faults]);
    cr_assert_gt(clock.counts[FFL_PART_QKV][faults], clock.counts[FFL_PART_ATTENTION][faults]);
    ffl_pass_clock_clear(&clock);
    cr_assert_eq(clock.counts[FFL_PART_QKV][faults], 0);
    free((void *)fresh);
    ffl_pass_clock_free(&clock);
    ffl_events_close(&events);
}
