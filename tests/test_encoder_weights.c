#include "files.h"
#include "harness/encoder/encoder_weights.h"
#include <math.h>

static char folder[512];

static const char *fixture_folder(const char *name)
{
    snprintf(folder, sizeof folder, "%s", files_fixture(name, "."));
    return folder;
}

Test(encoder_weights, the_fixture_is_mapped_and_rearranged)
{
    ffl_encoder_weights w;
    ffl_safetensors *file;
    cr_assert_eq(ffl_encoder_weights_load(fixture_folder("encoder_fff_h64_l3_d5_p2"), &w), FFL_OK, "%s",
                 ffl_error());
    cr_assert_eq(ffl_safetensors_open(files_fixture("encoder_fff_h64_l3_d5_p2", "model.safetensors"), &file),
                 FFL_OK);
    const float *stored = (const void *)ffl_safetensors_find(
                              file, "encoder.layers.1.attn.self_attention.query_key_value.weight")
                              ->data;
    const float *out =
        (const void *)ffl_safetensors_find(file, "encoder.layers.2.ffn.linear_out.weight")->data;
    cr_assert(w.has_head && w.logits.weight == w.words && !w.logits.bias && !w.types && w.final_norm.weight);
    cr_assert_eq(w.layer[1].scale, 0.25f);
    /* Head 2 of 4, width 16: its k begins at row 2·48 + 16 there and at row 64 + 32 here. */
    cr_assert_arr_eq(w.layer[1].qkv.weight + 96 * 64, stored + 112 * 64, 64 * sizeof *stored);
    cr_assert_eq(w.layer[2].feedforward.w_out[125 * 64 + 3], out[3 * 126 + 125]);
    ffl_safetensors_close(file);
    ffl_encoder_weights_free(&w);
}

Test(encoder_weights, every_family_is_read)
{
    ffl_encoder_weights w;
    cr_assert_eq(ffl_encoder_weights_load(fixture_folder("encoder_bert"), &w), FFL_OK, "%s", ffl_error());
    cr_assert(w.has_head && w.types && w.logits.weight == w.words && w.logits.bias && w.transform.weight);
    ffl_encoder_weights_free(&w);
    cr_assert_eq(ffl_encoder_weights_load(fixture_folder("encoder_roberta"), &w), FFL_OK, "%s", ffl_error());
    cr_assert(w.has_head && w.logits.weight != w.words);
    ffl_encoder_weights_free(&w);
    cr_assert_eq(ffl_encoder_weights_load(fixture_folder("encoder_distilbert"), &w), FFL_OK, "%s",
                 ffl_error());
    cr_assert(!w.has_head && !w.types && !w.logits.weight);
    ffl_encoder_weights_free(&w);
    cr_assert_eq(ffl_encoder_weights_load(fixture_folder("encoder_albert"), &w), FFL_OK, "%s", ffl_error());
    cr_assert(w.embedding_projection.bias && w.file_count == 2 &&
              ffl_encoder_weights_layer(&w, 2) == ffl_encoder_weights_layer(&w, 0));
    ffl_encoder_weights_free(&w);
}

Test(encoder_weights, seeded_ones_have_the_scale_of_trained_ones)
{
    static const char *const presets[] = {"albert-base", "distilbert"};
    for (size_t p = 0; p < 2; p++) {
        ffl_encoder_config c;
        ffl_encoder_weights a, b;
        double squares = 0;
        cr_assert(ffl_encoder_preset(presets[p], &c));
        c.layers = 2, c.vocabulary = 100, c.neurons = 64;
        cr_assert_eq(ffl_encoder_weights_seeded(&c, 3, &a), FFL_OK, "%s", ffl_error());
        cr_assert_eq(ffl_encoder_weights_seeded(&c, 3, &b), FFL_OK);
        for (size_t i = 0; i < c.width * c.width; i++)
            squares += pow((double)a.layer[0].qkv.weight[i], 2);
        cr_assert(fabs(squares / (double)c.width - 1) < 0.02);
        cr_assert_arr_eq(a.layer[0].qkv.weight, b.layer[0].qkv.weight, c.width * c.width * sizeof(float));
        cr_assert_arr_eq(a.layer[0].feedforward.w_in, b.layer[0].feedforward.w_in,
                         64 * c.width * sizeof(float));
        cr_assert_eq(a.logits.weight, a.words);
        if (!c.shared_layers)
            cr_assert_neq(a.layer[0].qkv.weight[0], a.layer[1].qkv.weight[0]);
        ffl_encoder_weights_free(&a);
        ffl_encoder_weights_free(&b);
    }
}

/* Copies a fixture, with one text replaced by another of equal length, into the test's folder. */
static void copy_changed(const char *fixture, const char *name, const char *from, const char *to)
{
    static char bytes[1 << 20];
    FILE *file = fopen(files_fixture(fixture, name), "rb");
    cr_assert_not_null(file);
    const size_t count = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    for (size_t i = 0; from && i + strlen(from) <= count; i++)
        if (memcmp(bytes + i, from, strlen(from)) == 0)
            memcpy(bytes + i, to, strlen(to));
    files_write(name, bytes, count);
}

Test(encoder_weights, what_is_missing_unknown_or_misshapen_is_listed)
{
    static const struct {
        const char *file, *from, *to, *message[3];
    } bad[] = {
        {"model.safetensors",
         "layer.1.output.dense.bias",
         "layer.1.output.dense.tias",
         {"1 missing: bert.encoder.layer.1.output.dense.bias",
          "1 unknown: bert.encoder.layer.1.output.dense.tias"}},
        {"config.json",
         "\"intermediate_size\": 40",
         "\"intermediate_size\": 48",
         {"6 misshapen: bert.encoder.layer.0.intermediate.dense.weight [40, 24], expected [48, 24]",
          "bert.encoder.layer.0.output.dense.weight [24, 40], expected [24, 48]", ", …"}},
        {"config.json",
         "\"num_hidden_layers\": 2",
         "\"num_hidden_layers\": 1",
         {"16 unknown: bert.encoder.layer.1.attention"}},
        {"config.json",
         "\"num_hidden_layers\": 2",
         "\"num_hidden_layers\": 3",
         {"16 missing: bert.encoder.layer.2.attention"}},
        {"config.json",
         "\"vocab_size\": 50",
         "\"vocab_size\": 51",
         {"word_embeddings.weight [50, 24], expected [51, 24]"}},
        {"config.json", "\"hidden_act\": \"gelu\"", "\"hidden_act\": \"silu\"", {"hidden_act is \"silu\""}},
    };
    ffl_encoder_weights w;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (size_t f = 0; f < 2; f++) {
            const char *name = f ? "model.safetensors" : "config.json";
            const bool changed = strcmp(name, bad[i].file) == 0;
            copy_changed("encoder_bert", name, changed ? bad[i].from : NULL, bad[i].to);
        }
        cr_assert_eq(ffl_encoder_weights_load(files_folder(), &w), FFL_BAD_INPUT, "%zu", i);
        for (size_t m = 0; m < 3 && bad[i].message[m]; m++)
            cr_assert(strstr(ffl_error(), bad[i].message[m]), "%zu: %s", i, ffl_error());
    }
    files_remove();
}

Test(encoder_weights, folders_that_are_no_checkpoint)
{
    ffl_encoder_weights w;
    cr_assert_eq(ffl_encoder_weights_load("/nonexistent", &w), FFL_BAD_INPUT);
    cr_assert(strstr(ffl_error(), "/nonexistent/config.json"));
    copy_changed("encoder_albert", "config.json", NULL, NULL);
    cr_assert_eq(ffl_encoder_weights_load(files_folder(), &w), FFL_BAD_INPUT);
    cr_assert(strstr(ffl_error(), "model.safetensors: No such file"), "%s", ffl_error());
    copy_changed("encoder_albert", "model.safetensors.index.json", NULL, NULL);
    copy_changed("encoder_albert", "model-00001-of-00002.safetensors", NULL, NULL);
    cr_assert_eq(ffl_encoder_weights_load(files_folder(), &w), FFL_BAD_INPUT);
    cr_assert(strstr(ffl_error(), "model-00002-of-00002.safetensors"), "%s", ffl_error());
    copy_changed("encoder_albert", "model.safetensors.index.json", "model-00002", "../el-00002");
    cr_assert_eq(ffl_encoder_weights_load(files_folder(), &w), FFL_BAD_INPUT);
    cr_assert(strstr(ffl_error(), "is no file name"), "%s", ffl_error());
    copy_changed("encoder_albert", "model.safetensors.index.json", "model-00002", "model-00001");
    cr_assert_eq(ffl_encoder_weights_load(files_folder(), &w), FFL_BAD_INPUT);
    cr_assert(strstr(ffl_error(), "holds no tensor"), "%s", ffl_error());
    files_remove();
}
