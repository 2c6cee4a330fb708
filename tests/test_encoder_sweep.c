/* `fflab encoder` over several points: lists, journal, budget, reduced models. Models of a few thousand
 * weights. */
#include "files.h"
#include "tests/run_program.h"
#include <jansson.h>
#include <math.h>

static run_result result;
static char folder[64];

/* A crammedBERT of width 16: "fff" layers of one tree of depth 3, or "mlp" of 15 neurons. */
static void write_config(int layers)
{
    char text[1024];
    snprintf(
        text, sizeof text,
        "{\"architectures\":[\"ScriptableLMForPreTraining\"],\"arch\":{\"architectures\":["
        "\"ScriptableCrammedBERT\"],\"num_transformer_layers\":%d,\"intermed_type\":\"fff\",\"hidden_size\":"
        "16,"
        "\"intermed_size\":1,\"intermed_depth\":3,\"norm\":\"LayerNorm\",\"norm_eps\":1e-12,\"norm_scheme\":"
        "\"pre\",\"nonlin\":\"GELU\",\"tie_weights\":true,\"decoder_bias\":false,\"embedding\":{\"vocab_"
        "size\":100,"
        "\"pos_embedding\":\"scaled-sinusoidal\",\"pad_token_id\":0,\"max_seq_length\":64,\"embedding_dim\":"
        "16,"
        "\"normalization\":true},\"attention\":{\"type\":\"self-attention\",\"causal_attention\":false,"
        "\"num_attention_heads\":2,\"qkv_bias\":false,\"rotary_embedding\":false,\"sequence_op\":"
        "\"torch-softmax\"},\"skip_head_transform\":true,\"use_bias\":false,\"final_norm\":true},\"model_"
        "type\":"
        "\"crammedBERT\"}",
        layers);
    char file[96];
    snprintf(file, sizeof file, "%s/c.json", folder);
    FILE *out = fopen(file, "w");
    cr_assert_not_null(out);
    fputs(text, out);
    fclose(out);
}

static void set_up(void)
{
    strcpy(folder, "/tmp/fflab-sweep-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    setenv("DIR", folder, 1);
    write_config(2);
}

static void tear_down(void)
{
    run_shell("rm -rf \"$DIR\"", &result);
}

TestSuite(encoder_sweep, .init = set_up, .fini = tear_down);

static void encoder(int code, const char *arguments)
{
    char line[1024];
    snprintf(line, sizeof line, "cd \"$DIR\" && \"$FFLAB\" encoder --config c.json %s", arguments);
    run_shell(line, &result);
    cr_assert_eq(result.exit_code, code, "%s: %d\n%s%s", arguments, result.exit_code, result.out, result.err);
}

static void expect(const char *text, const char *snippet)
{
    cr_assert_not_null(strstr(text, snippet), "missing: %s\nin:\n%s\n%s", snippet, text, result.err);
}

static int count_rows(const char *pattern)
{
    char line[256];
    run_result found;
    snprintf(line, sizeof line, "grep '\"kind\":\"encoder\"' \"$DIR/r/journal.jsonl\" | grep -c '%s'",
             pattern);
    run_shell(line, &found);
    return atoi(found.out);
}

Test(encoder_sweep, every_point_has_its_rows_and_resuming_adds_nothing)
{
    encoder(0, "--seq 4,8 --batch 1,2 --neurons 15,12 -v fff_naive --out r --json > all.json");
    char file[96];
    snprintf(file, sizeof file, "%s/all.json", folder);
    json_t *json = json_load_file(file, 0, NULL);
    cr_assert_eq(json_array_size(json), 8, "%s", result.out);
    const json_t *first = json_object_get(json_array_get(json, 0), "model"),
                 *last = json_object_get(json_array_get(json, 7), "model");
    cr_assert_eq(json_integer_value(json_object_get(first, "neurons_dense")), 12);
    cr_assert_eq(json_integer_value(json_object_get(first, "sequence")), 4); /* the smallest comes first */
    cr_assert_eq(json_integer_value(json_object_get(last, "batch")), 2);
    cr_assert_eq(json_integer_value(json_object_get(last, "sequence")), 8);
    cr_assert_eq(json_integer_value(json_object_get(last, "neurons_dense")), 15);
    json_decref(json);
    cr_assert_eq(count_rows("fff_naive"), 8);
    cr_assert_eq(count_rows("\"verdict\":\"PASSED\""), 16); /* each with its baseline */
    encoder(0, "--seq 4,8 --batch 1,2 --neurons 15,12 -v fff_naive --out r --resume");
    expect(result.out, "8 rows were in the journal already");
    cr_assert_eq(count_rows("fff_naive"), 8);
    encoder(0, "--seq 4,8 --batch 1,2 --neurons 15,12 -v fff_naive -v fff_blas1_openblas --out r --resume");
    cr_assert_eq(count_rows("\"variant\":\"fff_naive\""), 8);
}

Test(encoder_sweep, shards_part_the_points)
{
    encoder(0, "--seq 4,8 --batch 1,2 -v fff_naive --shard 1/2 --out r");
    cr_assert_eq(count_rows("\"variant\":\"fff_naive\""), 2);
    encoder(0, "--seq 4,8 --batch 1,2 -v fff_naive --shard 2/2 --out r");
    cr_assert_eq(count_rows("\"variant\":\"fff_naive\""), 4);
    run_shell("grep -o '\"key\":\"fff_naive[^\"]*\"' \"$DIR/r/journal.jsonl\" | sort -u | wc -l", &result);
    cr_assert_eq(atoi(result.out), 4, "%s", result.out);
}

Test(encoder_sweep, the_report_shows_every_point)
{
    encoder(0, "--seq 4,8 --batch 2 -v fff_naive --out r");
    expect(result.out, "kernel speed to model speed");
    expect(result.out, "/journal.jsonl");
    run_shell("cd \"$DIR\" && \"$FFLAB\" report r && cat r/report.md r/encoder.md && wc -l < r/encoder.csv",
              &result);
    cr_assert_eq(result.exit_code, 0, "%s%s", result.out, result.err);
    expect(result.out, "Whole encoder passes, fastest f32 tree");
    expect(result.out, "### `c.json`, 2 x 4 tokens");
    expect(result.out, "### `c.json`, 2 x 8 tokens");
    expect(result.out, "## Whole encoder passes");
    expect(result.out, "\n5\n");
}

/* Eight layers, a second: four of them run, and each counts twice. The last pass's own events are the proof.
 */
Test(encoder_sweep, left_out_layers_count_and_are_told)
{
    write_config(8);
    encoder(0, "--seq 8 --batch 2 --budget 1s -v fff_naive --out r --json --trace t.json");
    json_t *json = json_loads(result.out, 0, NULL);
    const json_t *row = json_array_get(json_object_get(json, "rows"), 1), *own, *event;
    const json_t *passes = json_object_get(json_object_get(row, "encoder"), "own_ns");
    cr_assert_eq(json_integer_value(json_object_get(json_object_get(json, "model"), "layers")), 8, "%s",
                 result.out);
    cr_assert_eq(json_integer_value(json_object_get(json_object_get(json, "model"), "layers_timed")), 4);
    cr_assert_gt(json_array_size(passes), 0);
    double told = 0, ran = 0;
    size_t i;
    own = json_array_get(passes, json_array_size(passes) - 1);
    for (i = 0; i < json_array_size(own); i++)
        told += json_number_value(json_array_get(own, i));
    json_array_foreach(json_object_get(row, "events"), i, event)
    {
        const bool in_layer = json_integer_value(json_array_get(event, 1)) >= 0;
        ran += 1e3 * json_number_value(json_array_get(event, 3)) * (in_layer ? 2 : 1);
    }
    cr_assert(fabs(told - ran) < 1e-4 * told + 20, "%g told, %g ran", told, ran);
    json_decref(json);
    run_shell("cd \"$DIR\" && \"$FFLAB\" report r > /dev/null && cat r/encoder.md", &result);
    expect(result.out, "4 of 8 layers ran, for all");
    encoder(0, "--seq 8 --batch 2 --full -v fff_naive --out full");
    cr_assert_null(strstr(result.out, "reduced:"), "%s", result.out);
}

Test(encoder_sweep, best_takes_the_journal_of_bench)
{
    run_shell("cd \"$DIR\" && \"$FFLAB\" bench --tree 1x3 --width 16 --batch 16 -v fff_naive -v "
              "fff_blas1_openblas -v "
              "fff_auto --cache hot --out r",
              &result);
    if (result.exit_code == 5 || strstr(result.err, "matches no variant"))
        cr_skip("no Google Benchmark, or no OpenBLAS");
    cr_assert_eq(result.exit_code, 0, "%s%s", result.out, result.err);
    encoder(0, "--seq 8 --batch 2 --best 2 --out r");
    cr_assert_eq(count_rows("\"variant\":\"fff_"), 2);
    cr_assert_eq(count_rows("fff_auto"), 0);
}

Test(encoder_sweep, bad_input_is_one_line_and_leaves_nothing)
{
    static const char *const bad[][2] = {
        {"--seq 4,0", "--seq 0"},
        {"--seq 4,65", "the position table takes 64"},
        {"--batch 1,x", "--batch x"},
        {"--neurons 16", "--neurons 16: the trees of this encoder have 15"},
        {"--best 3", "--best 3: no journal"},
        {"--best 0 -v fff_naive", "--best 0"},
        {"--shard 3/2", "--shard 3/2"},
        {"--budget soon", "--budget soon"},
        {"--seq 4,8 --trace t.json", "--trace t.json: of one model and size"},
        {"--seq 4,8 --dump d -v fff_naive", "--dump d: of one model and size"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char line[256];
        snprintf(line, sizeof line, "%s --out r", bad[i][0]);
        encoder(1, line);
        expect(result.err, bad[i][1]);
        cr_assert_eq(strchr(result.err, '\n'), result.err + strlen(result.err) - 1, "%s", result.err);
        run_shell("test ! -e \"$DIR/r\"", &result);
        cr_assert_eq(result.exit_code, 0, "%s left a folder", bad[i][0]);
    }
}
