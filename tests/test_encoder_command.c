/* `fflab encoder`, driven as a user does. */
#include "files.h"
#include "harness/encoder/verify.h"
#include "harness/files/npy.h"
#include "harness/registry.h"
#include "kernels/memory.h"
#include "tests/run_program.h"
#include <jansson.h>
#include <math.h>
#include <stdint.h>

static run_result result;

#define TREES "--checkpoint \"$FFLAB_FIXTURES/encoder_fff_h64_l3_d5_p2\" --tokens "
#define TREES_IDS TREES "\"$FFLAB_FIXTURES/encoder_fff_h64_l3_d5_p2/input_ids.npy\" "
#define BERT "--checkpoint \"$FFLAB_FIXTURES/encoder_bert\" "
#define BERT_IDS BERT "--tokens \"$FFLAB_FIXTURES/encoder_bert/input_ids.npy\" "

static int encoder(const char *arguments)
{
    char line[2048];
    const char *folder = files_folder();
    snprintf(line, sizeof line,
             "cd %s && \"$FFLAB\" encoder %s --out %s_results; code=$?; rm -rf %s_results; exit $code",
             folder, arguments, folder, folder);
    run_shell(line, &result);
    return result.exit_code;
}

static ffl_npy read_array(const char *path, ffl_npy_type type, size_t dimensions)
{
    ffl_npy npy;
    cr_assert_eq(ffl_npy_read_as(path, "array", type, dimensions, &npy), FFL_OK, "%s", ffl_error());
    return npy;
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

Test(encoder_command, dumps_the_published_pass)
{
    const char *name = "encoder_fff_h64_l3_d5_p2";
    cr_assert_eq(encoder(TREES_IDS "-v fff_naive --dump out"), 0, "%s%s", result.out, result.err);
    cr_assert(strstr(result.out, "PASSED") && strstr(result.out, "words 32/32"), "%s", result.out);
    ffl_npy got = read_array(files_path("out/encoder.npy"), FFL_NPY_F32, 3);
    ffl_npy want = read_array(files_fixture(name, "encoder.npy"), FFL_NPY_F64, 3);
    cr_assert(got.count == want.count && off(got.data, want.data, got.count) <= 1e-5);
    ffl_npy_free(&got), ffl_npy_free(&want);
    got = read_array(files_path("out/logits.npy"), FFL_NPY_F32, 3);
    want = read_array(files_fixture(name, "logits_first.npy"), FFL_NPY_F64, 3);
    cr_assert(got.shape[0] == 2 && got.shape[1] == 32 && got.shape[2] == 1000);
    cr_assert(off(got.data, want.data, 4000) <= 1e-5);
    ffl_npy_free(&got), ffl_npy_free(&want);
    got = read_array(files_path("out/paths.npy"), FFL_NPY_I32, 5);
    want = read_array(files_fixture(name, "paths.npy"), FFL_NPY_I32, 4);
    cr_assert_eq(got.count, want.count);
    for (size_t row = 0; row < 3 * 64; row++) { /* theirs: rows in order s·B + b */
        const size_t layer = row / 64, b = row % 64 / 32, s = row % 32;
        cr_assert_arr_eq((int32_t *)got.data + row * 12, (int32_t *)want.data + (layer * 64 + s * 2 + b) * 12,
                         12 * sizeof(int32_t));
    }
    ffl_npy_free(&got), ffl_npy_free(&want);
    got = read_array(files_path("out/layer_02.npy"), FFL_NPY_F32, 3);
    ffl_npy_free(&got);
    got = read_array(files_path("out/feedforward_01.npy"), FFL_NPY_F32, 2);
    cr_assert(got.shape[0] == 64 && got.shape[1] == 64);
    ffl_npy_free(&got);
    got = read_array(files_path("out/embedding.npy"), FFL_NPY_F32, 3);
    ffl_npy_free(&got);
    char line[1024];
    snprintf(line, sizeof line, "rm -r '%s/out'", files_folder());
    run_shell(line, &result);
    files_remove();
}

static double number(const json_t *json, const char *key)
{
    return json_number_value(json_object_get(json, key));
}

/* The row's pairs by hand, the first one: what is told must lie among the values of the pairs. */
static void expect_answer_of_pairs(const json_t *row)
{
    const json_t *encoder = json_object_get(row, "encoder"), *whole = json_object_get(row, "whole");
    const size_t pairs = json_array_size(json_object_get(encoder, "alone_ns"));
    double least = INFINITY, most = 0;
    cr_assert(pairs >= 3 && number(row, "passes") == (double)pairs);
    for (size_t i = 0; i < pairs; i++) {
        double dense = 0, own = 0;
        const json_t *d = json_array_get(json_object_get(encoder, "dense_ns"), i),
                     *v = json_array_get(json_object_get(encoder, "own_ns"), i);
        cr_assert(json_array_size(d) == FFL_PART_COUNT && json_array_size(v) == FFL_PART_COUNT);
        for (size_t p = 0; p < FFL_PART_COUNT; p++) {
            dense += json_number_value(json_array_get(d, p));
            own += json_number_value(json_array_get(v, p));
        }
        const double feedforward = json_number_value(json_array_get(d, FFL_PART_FEEDFORWARD)),
                     alone = json_number_value(json_array_get(json_object_get(encoder, "alone_ns"), i)),
                     of = (dense - feedforward + number(encoder, "dense_penalty") * alone) / own;
        least = fmin(least, of);
        most = fmax(most, of);
    }
    const double told = number(whole, "of_ceiling");
    cr_assert(least * 0.999999 <= told && told <= most * 1.000001, "%g not in [%g, %g]", told, least, most);
    cr_assert(number(whole, "share") > 0 && number(whole, "share") < 1 && number(row, "context_penalty") > 0);
}

Test(encoder_command, json_holds_the_model_and_every_row)
{
    cr_assert_eq(encoder(BERT_IDS "--mask \"$FFLAB_FIXTURES/encoder_bert/mask.npy\" --json -v ff_naive "
                                  "--trace t.json"),
                 0, "%s%s", result.out, result.err);
    json_t *json = json_loads(result.out, 0, NULL);
    cr_assert_not_null(json, "%s", result.out);
    const json_t *rows = json_object_get(json, "rows"), *row = json_array_get(rows, 1);
    cr_assert_eq(json_array_size(rows), 2); /* the baseline, too */
    cr_assert_str_eq(json_string_value(json_object_get(row, "variant")), "ff_naive");
    cr_assert_str_eq(json_string_value(json_object_get(row, "verdict")), "PASSED");
    cr_assert(json_number_value(json_object_get(row, "pass_error")) <= 1e-5);
    cr_assert_eq(json_object_size(json_object_get(row, "parts_ns")), FFL_PART_COUNT);
    expect_answer_of_pairs(row);
    cr_assert_str_eq(json_string_value(json_object_get(json_object_get(json, "model"), "family")), "BERT");
    json_decref(json);
    json = json_load_file(files_path("t.json"), JSON_REJECT_DUPLICATES, NULL);
    const json_t *events = json_object_get(json, "traceEvents");
    /* Two variants: a name, embedding, 2 layers of 6 stretches, final norm, logits each. */
    cr_assert_eq(json_array_size(events), 2 * (1 + 1 + 2 * 6 + 1 + 1), "%zu", json_array_size(events));
    row = json_array_get(events, 1);
    cr_assert(json_number_value(json_object_get(row, "ts")) == 0 &&
              json_number_value(json_object_get(row, "dur")) > 0);
    json_decref(json);
    files_remove();
}

Test(encoder_command, what_is_wrong_is_found)
{
    static const char *const broken[][2] = {
        {"fff_broken_last_level", "FAILED"}, {"fff_broken_tanh", "FAILED"},
        {"fff_broken_nan", "FAILED"},        {"fff_broken_adds", "FAILED"},
        {"fff_broken_refuses", "FAILED"},    {"fff_broken_crash", "CRASHED"},
    };
    char line[1024];
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        snprintf(line, sizeof line, TREES_IDS "--plugin \"$FFLAB_BROKEN\" -v %s -v fff_honest", broken[i][0]);
        cr_assert_eq(encoder(line), 2, "%s: %s%s", broken[i][0], result.out, result.err);
        char *row = strstr(result.out, broken[i][0]);
        cr_assert(row && strstr(row, broken[i][1]), "%s", result.out);
        cr_assert(strstr(result.out, "fff_honest ") && strstr(strstr(result.out, "fff_honest "), "PASSED"),
                  "%s", result.out);
    }
    files_remove();
}

static void write_arrays(void)
{
    static const int32_t zeros[18];
    static const float floats[18];
    const size_t batch[] = {2, 9}, none[] = {0, 9}, flat[] = {18}, wide[] = {2, 8};
    cr_assert_eq(ffl_npy_write(files_path("empty.npy"), FFL_NPY_I32, 2, none, zeros), FFL_OK);
    cr_assert_eq(ffl_npy_write(files_path("float.npy"), FFL_NPY_F32, 2, batch, floats), FFL_OK);
    cr_assert_eq(ffl_npy_write(files_path("flat.npy"), FFL_NPY_I32, 1, flat, zeros), FFL_OK);
    cr_assert_eq(ffl_npy_write(files_path("wide.npy"), FFL_NPY_I32, 2, wide, zeros), FFL_OK);
    cr_assert_eq(ffl_npy_write(files_path("short.npy"), FFL_NPY_I32, 2, batch, zeros), FFL_OK);
    cr_assert_eq(truncate(files_path("short.npy"), 150), 0);
}

Test(encoder_command, token_types_and_a_custom_architecture)
{
    cr_assert_eq(encoder(BERT_IDS "--token-types \"$FFLAB_FIXTURES/encoder_bert/token_types.npy\" --mask "
                                  "\"$FFLAB_FIXTURES/encoder_bert/mask.npy\" -v ff_naive --dump out"),
                 0, "%s%s", result.out, result.err);
    ffl_npy got = read_array(files_path("out/encoder.npy"), FFL_NPY_F32, 3);
    ffl_npy want = read_array(files_fixture("encoder_bert", "encoder.npy"), FFL_NPY_F64, 3);
    cr_assert(off(got.data, want.data, 9 * 24) <= 1e-5); /* the sequence without padding */
    ffl_npy_free(&got), ffl_npy_free(&want);
    cr_assert_eq(encoder(BERT_IDS "-v ff_naive --dump out"), 0);
    got = read_array(files_path("out/encoder.npy"), FFL_NPY_F32, 3);
    want = read_array(files_fixture("encoder_bert", "encoder.npy"), FFL_NPY_F64, 3);
    cr_assert(off(got.data, want.data, 9 * 24) > 1e-2); /* all of type 0 */
    ffl_npy_free(&got), ffl_npy_free(&want);
    cr_assert_eq(encoder("--preset custom:layers=2,width=24,heads=3,tree=2x3,vocab=60,activation=gelu_tanh "
                         "--seq 6 --batch 2 -v fff_naive"),
                 0, "%s%s", result.out, result.err);
    cr_assert(strstr(result.out, "2x3 neurons") && strstr(result.out, "PASSED"), "%s", result.out);
    char line[1024];
    snprintf(line, sizeof line, "rm -r '%s/out'", files_folder());
    run_shell(line, &result);
    files_remove();
}

Test(encoder_command, bad_input_is_one_line)
{
    static const char *const bad[][2] = {
        {"--preset bert-huge", "--preset bert-huge: expected one of ultrafastbert-3072x0"},
        {"--preset bert-base --checkpoint x", "one of --preset, --config and --checkpoint"},
        {"--preset bert-base --seq 513", "sequences of 513 tokens; the position table takes 512"},
        {"--preset bert-base --batch 0", "--batch 0"},
        {"--checkpoint /nonexistent", "/nonexistent/config.json"},
        {BERT "--tokens missing.npy", "--tokens missing.npy"},
        {BERT "--seq 13", "the position table takes 12"},
        {BERT "--positions 100", "--positions 100: a checkpoint brings its own table"},
        {TREES "\"$FFLAB_FIXTURES/encoder_fff_h64_l3_d5_p2/encoder.npy\"",
         "expected int32 or int64 of shape"},
        {BERT_IDS "--batch 3", "[2, 9]; expected 3 sequences"},
        {BERT "--tokens \"$FFLAB_FIXTURES/encoder_fff_h64_l3_d5_p2/input_ids.npy\"",
         "the vocabulary has 50 words"},
        {BERT_IDS "--mask \"$FFLAB_FIXTURES/encoder_fff_h64_l3_d5_p2/arg_max.npy\"", "--mask"},
        {BERT_IDS "--mask \"$FFLAB_FIXTURES/encoder_bert/input_ids.npy\"",
         "expected 1 (a token) or 0 (padding)"},
        {BERT "--tokens empty.npy", "0 sequences of 9 tokens: nothing to do"},
        {BERT "--tokens float.npy", "--tokens float.npy: expected int32 or int64 of shape"},
        {BERT "--tokens short.npy", "short.npy"},
        {BERT_IDS "--mask float.npy", "--mask float.npy: expected int32 or int64 of shape"},
        {BERT_IDS "--mask flat.npy", "--mask flat.npy: expected int32 or int64 of shape [batch, sequence]"},
        {BERT_IDS "--token-types flat.npy", "--token-types flat.npy: expected int32 or int64 of shape"},
        {BERT_IDS "--token-types wide.npy",
         "--token-types wide.npy: [2, 8]; expected 2 sequences of 9 tokens"},
        {BERT_IDS "--token-types \"$FFLAB_FIXTURES/encoder_bert/input_ids.npy\"", "the model has 2 types"},
        {BERT_IDS "--token-types missing.npy", "--token-types missing.npy"},
        {"--preset distilbert --batch 2 --seq 8 --token-types wide.npy", "the model has 0 types"},
        {"--preset custom:layers=2,width=8", "--preset custom:layers=2,width=8: heads is missing"},
        {"--preset custom:layers=2,width=8,heads=2,tree=1x3,positions=4 --seq 5",
         "the position table takes 4"},
        {BERT_IDS "--dump out", "name the one to write with -v"},
        {BERT_IDS "-v ff_naive --dump /proc/nowhere", "--dump /proc/nowhere"},
        {BERT_IDS "-v fff_nowhere", "-v fff_nowhere"},
        {BERT_IDS "--trace /proc/nowhere/t.json", "--trace /proc/nowhere/t.json"},
        {BERT_IDS "-x '*'", "leave no variant"},
        {"--config config.json", "arch.intermed_type is \"moe\""},
    };
    const char *moe = "{\"arch\":{\"num_transformer_layers\":2,\"hidden_size\":12,\"intermed_type\":\"moe\","
                      "\"intermed_size\":3,\"embedding\":{\"vocab_size\":9,\"max_seq_length\":8},"
                      "\"attention\":{\"num_attention_heads\":3}}}";
    files_write("config.json", moe, strlen(moe));
    write_arrays();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert_eq(encoder(bad[i][0]), 1, "%s: %s%s", bad[i][0], result.out, result.err);
        cr_assert(strstr(result.err, bad[i][1]), "%s: %s", bad[i][0], result.err);
        cr_assert_eq(strchr(result.err, '\n'), result.err + strlen(result.err) - 1, "%s", result.err);
        cr_assert_str_eq(result.out, "");
    }
    files_remove();
}

Test(encoder_command, trees_in_a_dense_encoder_are_unsupported)
{
    cr_assert_eq(encoder(BERT_IDS "-v fff_naive"), 0, "%s%s", result.out, result.err);
    cr_assert(strstr(result.out, "UNSUPPORTED: this encoder's layers are dense"), "%s", result.out);
    files_remove();
}
