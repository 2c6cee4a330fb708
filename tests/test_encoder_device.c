/* The pass wholly on the device, against a pass that others computed, against the host's reference, and
 * against itself: piece by piece, replayed, alone. On the emulated device where there is no other. */
#include "files.h"
#include "harness/encoder/encoder_reference.h"
#include "harness/encoder/verify.h"
#include "harness/files/npy.h"
#include "harness/registry.h"
#include "kernels/device.h"
#include "kernels/memory.h"
#include "tests/run_program.h"
#include <jansson.h>
#include <math.h>

static void need_device(void)
{
    const char *why;
    if (!ffl_device_available(&why))
        cr_skip("%s", why);
}

static const ffl_variant *variant(const char *name)
{
    const ffl_variant *v = ffl_registry_find(name);
    cr_assert_not_null(v, "%s", name);
    return v;
}

static double off(const float *got, const double *want, size_t count)
{
    double error = 0, scale = 0;
    for (size_t i = 0; i < count; i++) {
        const double e = fabs((double)got[i] - want[i]);
        error = !(e <= error) ? e : error;
        scale = fmax(scale, fabs(want[i]));
    }
    return error / scale;
}

typedef struct scene {
    ffl_encoder_weights weights;
    ffl_encoder_input input;
    int32_t ids[512], types[512];
    unsigned char mask[512];
} scene;

static scene s;

/* A small model, its second sequence padded. */
static void make_scene(const char *custom, size_t batch, size_t sequence, bool masked)
{
    ffl_encoder_config c;
    cr_assert_eq(ffl_encoder_custom(custom, &c), FFL_OK, "%s", ffl_error());
    cr_assert_eq(ffl_encoder_weights_seeded(&c, 1, &s.weights), FFL_OK, "%s", ffl_error());
    for (size_t i = 0; i < batch * sequence; i++) {
        s.ids[i] = (int32_t)(i * 37 % c.vocabulary);
        s.types[i] = c.token_types ? (int32_t)(i / 3 % c.token_types) : 0;
        s.mask[i] = i < sequence || i % sequence < sequence / 2 + 1;
    }
    s.input = (ffl_encoder_input){.batch = batch,
                                  .sequence = sequence,
                                  .ids = s.ids,
                                  .mask = masked ? s.mask : NULL,
                                  .types = c.token_types ? s.types : NULL};
}

Test(encoder_device, agrees_with_the_published_module)
{
    const char *name = "encoder_fff_h64_l3_d5_p2";
    static const struct {
        const char *variant;
        double tolerance;
    } cases[] = {{"fff_warp_cuda", 1e-5}, {"fff_naive_cuda", 1e-5}, {"fff_hybrid_bf16_cuda", 0.05}};
    ffl_npy output, ids;
    need_device();
    cr_assert_eq(ffl_encoder_weights_load(files_fixture(name, "."), &s.weights), FFL_OK, "%s", ffl_error());
    cr_assert_eq(ffl_npy_read_as(files_fixture(name, "input_ids.npy"), "ids", FFL_NPY_I64, 2, &ids), FFL_OK);
    cr_assert_eq(ffl_npy_read_as(files_fixture(name, "encoder.npy"), "y", FFL_NPY_F64, 3, &output), FFL_OK);
    for (size_t i = 0; i < ids.count; i++)
        s.ids[i] = (int32_t)((int64_t *)ids.data)[i];
    s.input = (ffl_encoder_input){.batch = ids.shape[0], .sequence = ids.shape[1], .ids = s.ids};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ffl_encoder *e;
        cr_assert_eq(
            ffl_encoder_new(&s.weights, variant(cases[i].variant), s.input.batch, s.input.sequence, 1, &e),
            FFL_OK, "%s", ffl_error());
        cr_assert_eq(ffl_encoder_run(e, &s.input, true), FFL_OK, "%s", ffl_error());
        const double error = off(ffl_encoder_state(e), output.data, output.count);
        cr_expect(error <= cases[i].tolerance, "%s: off by %g", cases[i].variant, error);
        ffl_encoder_free(e);
    }
    ffl_npy_free(&ids), ffl_npy_free(&output);
    ffl_encoder_weights_free(&s.weights);
}

/* Pre- and post-norm, narrow embeddings, token types, head transforms; with and without padding. */
Test(encoder_device, every_form_passes_its_verification)
{
    static const struct {
        const char *model, *variant;
    } cases[] = {
        {"layers=2,width=64,heads=4,tree=2x4,vocab=50,positions=90", "fff_warp_cuda"},
        {"layers=2,width=64,heads=4,tree=2x4,vocab=50,positions=90", "fff_warp_bf16_cuda"},
        {"layers=2,width=64,heads=1,neurons=96,vocab=51,positions=90,norm=post,types=2", "ff_cublas_cuda"},
        {"layers=2,width=64,heads=1,neurons=96,vocab=51,positions=90,norm=post,types=2", "ff_mma_bf16_cuda"},
        {"layers=2,width=48,heads=2,neurons=64,vocab=50,positions=90,norm=post,embedding=16",
         "ff_tiled_cuda"},
        {"layers=2,width=48,heads=2,neurons=64,vocab=50,positions=90,norm=post,embedding=16",
         "ff_cublaslt_bf16_cuda"},
    };
    need_device();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int masked = 0; masked < 2; masked++) {
            ffl_encoder_reference r;
            ffl_encoder_verdict verdict;
            ffl_encoder *e;
            make_scene(cases[i].model, 2, 70, masked);
            const ffl_encoder_input last = ffl_encoder_input_part(&s.input, 1, 1);
            const ffl_variant *v = variant(cases[i].variant);
            cr_assert_eq(ffl_encoder_reference_run(&s.weights, v->operation, &last, true, &r), FFL_OK);
            cr_assert_eq(ffl_encoder_new(&s.weights, v, 2, 70, 1, &e), FFL_OK, "%s", ffl_error());
            cr_assert_eq(ffl_encoder_storage(e), v->contract.storage);
            cr_assert_eq(ffl_encoder_verify(e, &s.weights, v, &s.input, 1, &r, NULL, NULL, NULL, &verdict),
                         FFL_OK, "%s", ffl_error());
            cr_expect_eq(verdict.verdict, FFL_PASSED, "%s, %s: %s", cases[i].model, v->name, verdict.reason);
            cr_expect(verdict.agreed + (v->contract.storage == FFL_BF16 ? 14 : 0) >= 70, "%zu of 70 words",
                      verdict.agreed);
            ffl_encoder_free(e);
            ffl_encoder_reference_free(&r);
            ffl_encoder_weights_free(&s.weights);
        }
}

/* A replayed pass leaves what the pass piece by piece left, bit for bit, and files all its times. */
Test(encoder_device, replays_are_the_same_pass)
{
    enum { COUNT = 2 * 20 * 64 };
    static float pieces[COUNT];
    const ffl_encoder_event *events;
    ffl_encoder *e;
    need_device();
    make_scene("layers=3,width=64,heads=4,tree=1x4,vocab=50,positions=40", 2, 20, false);
    cr_assert_eq(ffl_encoder_new(&s.weights, variant("fff_hybrid_cuda"), 2, 20, 1, &e), FFL_OK, "%s",
                 ffl_error());
    cr_assert_eq(ffl_encoder_embed(e, &s.input), FFL_OK);
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(ffl_encoder_layer_run(e, i), FFL_OK);
    cr_assert_eq(ffl_encoder_finish(e), FFL_OK, "%s", ffl_error());
    memcpy(pieces, ffl_encoder_state(e), sizeof pieces);
    for (int round = 0; round < 2; round++) {
        ffl_encoder_clear_times(e);
        cr_assert_eq(ffl_encoder_run(e, &s.input, true), FFL_OK, "%s", ffl_error());
        cr_assert_arr_eq(ffl_encoder_state(e), pieces, sizeof pieces);
        cr_assert_eq(ffl_encoder_events(e, &events), 1u + 3 * 6 + 1 + 1);
        double sum = 0;
        for (size_t p = 0; p < FFL_PART_COUNT; p++)
            sum += ffl_encoder_times(e)[p];
        cr_assert(sum > 0 && isfinite(sum));
    }
    cr_assert(events[0].part == FFL_PART_EMBEDDING && events[0].layer == SIZE_MAX);
    cr_assert(events[7].part == FFL_PART_NORM && events[7].layer == 1);
    cr_assert(events[20].part == FFL_PART_LOGITS && events[20].layer == SIZE_MAX);
    /* Padding is another graph; the first sequence has none. */
    s.input.mask = s.mask;
    cr_assert_eq(ffl_encoder_run(e, &s.input, true), FFL_OK);
    double changed = 0;
    for (size_t i = 0; i < COUNT; i++) {
        const double by = fabs((double)ffl_encoder_state(e)[i] - (double)pieces[i]);
        cr_assert(i >= COUNT / 2 || by <= 1e-5);
        changed = fmax(changed, by);
    }
    cr_assert(changed > 1e-3, "padding was attended to");
    s.input.mask = NULL;
    /* As is another shape. */
    const ffl_encoder_input one = ffl_encoder_input_part(&s.input, 0, 1);
    cr_assert_eq(ffl_encoder_run(e, &one, false), FFL_OK);
    for (size_t i = 0; i < COUNT / 2; i++)
        cr_assert(fabsf(ffl_encoder_state(e)[i] - pieces[i]) <= 1e-5f);
    ffl_encoder_free(e);
    ffl_encoder_weights_free(&s.weights);
}

/* The layers alone are timed on the rows given, and leave the pass's state alone. */
Test(encoder_device, layers_alone_touch_nothing)
{
    enum { COUNT = 20 * 64 };
    static float inputs[2 * COUNT], before[COUNT];
    double ns = -1;
    ffl_encoder *e;
    need_device();
    make_scene("layers=2,width=64,heads=4,tree=1x4,vocab=50,positions=40", 1, 20, false);
    cr_assert_eq(ffl_encoder_new(&s.weights, variant("fff_warp_bf16_cuda"), 1, 20, 1, &e), FFL_OK);
    cr_assert_eq(ffl_encoder_embed(e, &s.input), FFL_OK);
    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(ffl_encoder_layer_run(e, i), FFL_OK);
        memcpy(inputs + i * COUNT, ffl_encoder_feedforward_input(e), sizeof inputs / 2);
    }
    cr_assert_eq(ffl_encoder_run(e, &s.input, false), FFL_OK);
    memcpy(before, ffl_encoder_state(e), sizeof before);
    for (int round = 0; round < 2; round++) {
        cr_assert_eq(ffl_encoder_feedforward_alone(e, inputs, &ns), FFL_OK, "%s", ffl_error());
        cr_assert(ns > 0);
        cr_assert_arr_eq(ffl_encoder_state(e), before, sizeof before);
    }
    ffl_encoder_free(e);
    ffl_encoder_weights_free(&s.weights);
}

Test(encoder_device, declines_with_a_reason)
{
    ffl_encoder *e;
    need_device();
    make_scene("layers=1,width=24,heads=2,neurons=16,vocab=10,positions=8", 1, 4, false);
    cr_assert_eq(ffl_encoder_new(&s.weights, variant("ff_naive_cuda"), 1, 4, 1, &e), FFL_UNSUPPORTED);
    cr_assert(strstr(ffl_error(), "heads whose width"), "%s", ffl_error());
    ffl_encoder_weights_free(&s.weights);
    make_scene("layers=1,width=16,heads=1,neurons=16,vocab=10,positions=8", 1, 4, false);
    cr_assert_eq(ffl_encoder_new(&s.weights, variant("ff_cublaslt_f16_cuda"), 1, 4, 1, &e), FFL_UNSUPPORTED);
    cr_assert(strstr(ffl_error(), "f16"), "%s", ffl_error());
    ffl_encoder_weights_free(&s.weights);
}

/* ---- The command ---- */

#define TINY "--preset custom:layers=1,width=16,heads=2,tree=1x2,vocab=20,positions=8 --batch 1 --seq 4 "

static json_t *command(const char *environment, int exit_code)
{
    static run_result result;
    char line[1024];
    const char *folder = files_folder();
    snprintf(line, sizeof line,
             "cd %s && %s \"$FFLAB\" encoder " TINY "-v fff_warp_cuda -v fff_warp_bf16_cuda "
             "--json --budget 20s --out out",
             folder, environment);
    run_shell(line, &result);
    cr_assert_eq(result.exit_code, exit_code, "%s%s", result.out, result.err);
    json_t *answer = json_loads(result.out, 0, NULL);
    cr_assert_not_null(answer, "%s", result.out);
    return answer;
}

/* Each class against a dense variant of its own, all of them on the device. */
Test(encoder_device, passes_are_compared_within_their_side)
{
    size_t i;
    json_t *row;
    need_device();
    json_t *answer = command("FFL_EMULATED_BENCH=1", 0), *rows = json_object_get(answer, "rows");
    cr_assert_eq(json_array_size(rows), 4u, "two baselines, two trees");
    json_array_foreach(rows, i, row)
    {
        const ffl_variant *v = variant(json_string_value(json_object_get(row, "variant")));
        const json_t *encoder = json_object_get(row, "encoder");
        const ffl_variant *dense = variant(json_string_value(json_object_get(encoder, "baseline")));
        cr_expect_str_eq(json_string_value(json_object_get(row, "verdict")), "PASSED", "%s", v->name);
        cr_expect(dense->operation == FFL_FF && dense->place == FFL_CUDA, "%s", dense->name);
        cr_expect_eq(dense->contract.weights, v->contract.weights);
        cr_expect_eq(dense->contract.storage, v->contract.storage);
        cr_expect(json_array_size(json_object_get(encoder, "alone_ns")) >= 1);
    }
    json_decref(answer);
}

/* Where no pass can be timed there is a reason instead of a row of numbers, and the exit code says so. */
Test(encoder_device, without_a_card_rows_are_skipped)
{
    const char *why;
    size_t i;
    json_t *row;
    if (ffl_device_available(&why) && !ffl_device_emulated())
        cr_skip("there is a card");
    const bool emulated = ffl_device_available(&why);
    json_t *answer = command("env -u FFL_EMULATED_BENCH", 5), *rows = json_object_get(answer, "rows");
    cr_assert_eq(json_array_size(rows), 2u);
    json_array_foreach(rows, i, row)
    {
        cr_expect_str_eq(json_string_value(json_object_get(row, "verdict")), "SKIPPED");
        cr_expect(strstr(json_string_value(json_object_get(row, "reason")),
                         emulated ? "times mean nothing" : "CUDA"));
    }
    json_decref(answer);
}
