#include "files.h"
#include "harness/encoder/config.h"

Test(encoder_config, presets_are_consistent_and_of_published_size)
{
    /* As the public models with their head for masked words count: without pooler, what is tied once. */
    static const struct {
        const char *name;
        size_t parameters;
    } published[] = {
        {"bert-base", 109514298}, {"bert-large", 335174458}, {"roberta-base", 124697433},
        {"distilbert", 66985530}, {"albert-base", 11221680},
    };
    ffl_encoder_config config;
    for (size_t i = 0; i < ffl_encoder_preset_count(); i++) {
        cr_assert(ffl_encoder_preset(ffl_encoder_preset_name(i), &config));
        cr_assert_eq(ffl_encoder_config_check(&config), FFL_OK, "%s: %s", ffl_encoder_preset_name(i),
                     ffl_error());
        const ffl_layer shape = ffl_encoder_layer_shape(&config);
        cr_assert_eq(shape.neurons, config.neurons);
        cr_assert_eq(ffl_encoder_longest(&config), 512, "%s", ffl_encoder_preset_name(i));
    }
    cr_assert_eq(ffl_encoder_preset_count(), 19);
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        cr_assert(ffl_encoder_preset(published[i].name, &config));
        cr_assert_eq(ffl_encoder_parameters(&config), published[i].parameters, "%s: %zu", published[i].name,
                     ffl_encoder_parameters(&config));
    }
    cr_assert(!ffl_encoder_preset("bert-huge", &config));
}

/* The published checkpoint holds 755,347,460 bytes of F32: the untied count with 16 stored norm_factors. */
Test(encoder_config, the_published_file_has_as_many_elements)
{
    ffl_encoder_config config;
    cr_assert(ffl_encoder_preset("ultrafastbert-1x11", &config));
    cr_assert_eq(4 * (ffl_encoder_parameters(&config) + config.vocabulary * config.width + config.layers),
                 755347460);
}

Test(encoder_config, the_fixture_is_read)
{
    ffl_encoder_config c;
    cr_assert_eq(ffl_encoder_config_read(files_fixture("encoder_fff_h64_l3_d5_p2", "config.json"), &c),
                 FFL_OK, "%s", ffl_error());
    cr_assert(c.family == FFL_CRAMMEDBERT && c.layers == 3 && c.width == 64 && c.heads == 4 &&
              c.vocabulary == 1000 && c.position_rows == 128 && c.positions == FFL_SINUSOIDAL && c.pre_norm &&
              c.final_norm && c.operation == FFL_FFF && c.trees == 2 && c.levels == 6 && c.neurons == 126 &&
              c.in_bias && !c.out_bias && !c.qkv_bias && !c.projection_bias && c.tied && !c.logits_bias &&
              !c.head_transform && c.norm_eps == 1e-12 && c.activation == FFL_GELU);
}

static ffl_status read_text(const char *text, ffl_encoder_config *out)
{
    return ffl_encoder_config_read(files_write("config.json", text, strlen(text)), out);
}

#define SIZES "\"vocab_size\":100,\"max_position_embeddings\":40,"
#define BERT_SIZES                                                                                           \
    SIZES "\"num_hidden_layers\":2,\"hidden_size\":12,\"num_attention_heads\":3,\"intermediate_size\":20"

Test(encoder_config, the_families_differ_where_they_should)
{
    ffl_encoder_config c;
    cr_assert_eq(read_text("{\"model_type\":\"bert\"," BERT_SIZES
                           ",\"layer_norm_eps\":1e-7,\"hidden_act\":\"relu\"}",
                           &c),
                 FFL_OK, "%s", ffl_error());
    cr_assert(!c.pre_norm && c.positions == FFL_LEARNED && c.position_offset == 0 && c.token_types == 2 &&
              c.norm_eps == 1e-7 && c.activation == FFL_RELU && c.head_transform && c.neurons == 20);
    cr_assert_eq(read_text("{\"model_type\":\"roberta\"," BERT_SIZES ",\"type_vocab_size\":1}", &c), FFL_OK);
    cr_assert(c.positions == FFL_LEARNED_SKIPPING_PADDING && c.position_offset == 2 && c.padding_id == 1 &&
              c.token_types == 1 && ffl_encoder_longest(&c) == 38);
    cr_assert_eq(read_text("{\"model_type\":\"distilbert\"," SIZES
                           "\"n_layers\":2,\"dim\":12,\"n_heads\":3,\"hidden_dim\":20}",
                           &c),
                 FFL_OK, "%s", ffl_error());
    cr_assert(c.family == FFL_DISTILBERT && c.token_types == 0 && c.norm_eps == 1e-12);
    cr_assert_eq(read_text("{\"model_type\":\"albert\"," BERT_SIZES
                           ",\"embedding_size\":5,\"hidden_act\":\"gelu\"}",
                           &c),
                 FFL_OK, "%s", ffl_error());
    cr_assert(c.shared_layers && c.embedding_width == 5 && c.width == 12 && c.activation == FFL_GELU);
    /* What the file does not say is the model's own default. */
    cr_assert_eq(read_text("{\"model_type\":\"albert\"," BERT_SIZES ",\"embedding_size\":5}", &c), FFL_OK);
    cr_assert_eq(c.activation, FFL_GELU_TANH);
    cr_assert_eq(read_text("{\"model_type\":\"roberta\"," BERT_SIZES ",\"hidden_act\":\"gelu_new\"}", &c),
                 FFL_OK);
    cr_assert(c.activation == FFL_GELU_TANH && ffl_encoder_head_activation(&c) == FFL_GELU);
    files_remove();
}

#define CRAMMED(type_, more_)                                                                                \
    "{\"arch\":{\"num_transformer_layers\":2,\"hidden_size\":12,\"intermed_type\":" type_                    \
    ",\"intermed_size\":3,\"embedding\":{\"vocab_size\":9,\"max_seq_length\":8},"                            \
    "\"attention\":{\"num_attention_heads\":3}" more_ "}}"

Test(encoder_config, refusals_name_file_key_and_value)
{
    static const char *const bad[][2] = {
        {"", "config.json: line 1"},
        {"[]", "no JSON object"},
        {"{}", "no model_type"},
        {"{\"model_type\":\"gpt2\"}", "model_type is \"gpt2\""},
        {"{\"model_type\":\"bert\",\"model_type\":\"bert\"}", "duplicate"},
        {"{\"model_type\":\"bert\"}", "no num_hidden_layers"},
        {"{\"model_type\":\"bert\"," BERT_SIZES ",\"hidden_act\":\"quick_gelu\"}",
         "hidden_act is \"quick_gelu\""},
        {"{\"model_type\":\"bert\"," BERT_SIZES ",\"hidden_act\":3}", "hidden_act is 3"},
        {"{\"model_type\":3}", "model_type is 3"},
        {"{\"model_type\":\"bert\",\"num_hidden_layers\":\"2\"}", "num_hidden_layers is \"2\""},
        {"{\"model_type\":\"bert\",\"num_hidden_layers\":2.5}", "num_hidden_layers is 2.5"},
        {"{\"model_type\":\"bert\",\"num_hidden_layers\":[2]}", "num_hidden_layers is [2]"},
        {"{\"model_type\":\"bert\",\"num_hidden_layers\":0}", "num_hidden_layers is 0"},
        {"{\"model_type\":\"bert\"," BERT_SIZES ",\"type_vocab_size\":-1}", "type_vocab_size is -1"},
        {"{\"model_type\":\"bert\"," BERT_SIZES ",\"layer_norm_eps\":2}", "layer_norm_eps is 2"},
        {"{\"model_type\":\"bert\"," BERT_SIZES ",\"tie_word_embeddings\":\"yes\"}",
         "tie_word_embeddings is \"yes\""},
        {"{\"model_type\":\"bert\"," BERT_SIZES ",\"position_embedding_type\":\"rotary\"}",
         "position_embedding_type is \"rotary\""},
        {"{\"arch\":{\"embedding\":[]}}", "arch.embedding is []"},
        {CRAMMED("3", ""), "arch.intermed_type is 3"},
        {CRAMMED("\"fff\"", ",\"intermed_depth\":\"2\""), "arch.intermed_depth is \"2\""},
        {"{\"model_type\":\"bert\"," BERT_SIZES ",\"layer_norm_eps\":\"0\"}", "layer_norm_eps is \"0\""},
        {"{\"model_type\":\"bert\"," BERT_SIZES ",\"is_decoder\":true}", "is_decoder is true"},
        {"{\"model_type\":\"bert\"," BERT_SIZES ",\"position_embedding_type\":\"relative_key\"}",
         "relative_key"},
        {"{\"model_type\":\"albert\"," BERT_SIZES ",\"embedding_size\":5,\"num_hidden_groups\":2}",
         "num_hidden_groups is 2"},
        {"{\"model_type\":\"roberta\"," BERT_SIZES ",\"pad_token_id\":39}", "40 positions"},
        {"{\"model_type\":\"bert\"," SIZES
         "\"num_hidden_layers\":2,\"hidden_size\":12,\"num_attention_heads\":5,\"intermediate_size\":20}",
         "5 heads do not divide the width 12"},
        {"{\"model_type\":\"bert\"," SIZES "\"num_hidden_layers\":-2}", "num_hidden_layers is -2"},
        {"{\"model_type\":\"bert\"," SIZES "\"num_hidden_layers\":99999999999999999999}", "config.json"},
        {"{\"arch\":3}", "arch is 3"},
        {CRAMMED("\"moe\"", ""), "arch.intermed_type is \"moe\""},
        {CRAMMED("\"fff\"", ""), "no arch.intermed_depth"},
        {CRAMMED("\"fff\"", ",\"intermed_depth\":21"), "arch.intermed_depth is 21"},
        {CRAMMED("\"ff\"", ",\"norm_scheme\":\"post\""), "arch.norm_scheme is \"post\""},
        {CRAMMED("\"ff\"", ",\"nonlin\":\"GELUglu\""), "arch.nonlin is \"GELUglu\""},
        {CRAMMED("\"ff\"", ",\"skip_head_transform\":false"), "arch.skip_head_transform is false"},
        {CRAMMED("\"ff\"", ",\"use_bias\":1"), "arch.use_bias is 1"},
    };
    ffl_encoder_config c;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert_eq(read_text(bad[i][0], &c), FFL_BAD_INPUT, "%s", bad[i][0]);
        cr_assert(strstr(ffl_error(), bad[i][1]) && strstr(ffl_error(), "config.json"), "%s: %s", bad[i][0],
                  ffl_error());
    }
    cr_assert_eq(read_text(CRAMMED("\"ff\"", ",\"use_bias\":true"), &c), FFL_OK, "%s", ffl_error());
    cr_assert(c.in_bias && c.out_bias && c.projection_bias && !c.qkv_bias && c.neurons == 3);
    files_remove();
}

Test(encoder_config, a_custom_architecture_in_one_word)
{
    ffl_encoder_config c;
    cr_assert_eq(ffl_encoder_custom("layers=3,width=24,heads=4,tree=2x5", &c), FFL_OK, "%s", ffl_error());
    cr_assert(c.family == FFL_CRAMMEDBERT && c.pre_norm && c.layers == 3 && c.width == 24 && c.heads == 4 &&
              c.operation == FFL_FFF && c.trees == 2 && c.levels == 6 && c.neurons == 126 && c.in_bias &&
              c.vocabulary == 32768 && c.positions == FFL_SINUSOIDAL && c.embedding_width == 24);
    cr_assert_eq(
        ffl_encoder_custom("norm=post,layers=1,width=24,heads=3,neurons=50,vocab=99,positions=7,types=3,"
                           "embedding=10,activation=relu",
                           &c),
        FFL_OK, "%s", ffl_error());
    cr_assert(c.family == FFL_BERT && !c.pre_norm && c.operation == FFL_FF && c.neurons == 50 && c.out_bias &&
              c.vocabulary == 99 && c.position_rows == 7 && c.token_types == 3 && c.embedding_width == 10 &&
              c.activation == FFL_RELU && c.head_transform);
    cr_assert_eq(ffl_encoder_custom("norm=post,layers=1,width=24,heads=3,tree=1x0", &c), FFL_OK, "%s",
                 ffl_error());
    cr_assert(c.operation == FFL_FFF && !c.out_bias && c.neurons == 1);
}

#define SOME "layers=3,width=24,heads=4,"

Test(encoder_config, a_custom_architecture_must_make_sense)
{
    static const char *const bad[][2] = {
        {"", "layers is missing"},
        {"width=24,heads=4,neurons=3", "layers is missing"},
        {"layers=3,width=24,neurons=3", "heads is missing"},
        {SOME "norm=pre", "give one of neurons (dense) and tree (conditional)"},
        {SOME "neurons=3,tree=1x2", "give one of neurons (dense) and tree (conditional)"},
        {SOME "neurons=0", "neurons=0"},
        {SOME "neurons=-3", "neurons=-3"},
        {SOME "neurons=3k", "neurons=3k"},
        {SOME "neurons=99999999999999999999", "neurons=99999999999999999999"},
        {SOME "neurons", "'neurons'; expected NAME=VALUE"},
        {SOME "neurons=3,layers=2", "layers is there twice"},
        {SOME "neurons=3,rotary=1", "no such part: rotary"},
        {SOME "neurons=3,norm=sandwich", "norm=sandwich"},
        {SOME "neurons=3,activation=swish", "activation=swish"},
        {SOME "tree=3", "tree=3"},
        {SOME "tree=1x21", "tree=1x21"},
        {SOME "tree=1x", "tree="},
        {SOME "tree=999999999x20", "too large to address"},
        {SOME "neurons=3,types=2", "types=2 needs norm=post"},
        {SOME "neurons=3,embedding=8", "embedding=8 needs norm=post"},
        {"layers=3,width=24,heads=5,neurons=3", "5 heads do not divide the width 24"},
        {"layers=1001,width=24,heads=4,neurons=3", "1001 layers"},
    };
    ffl_encoder_config c;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert_eq(ffl_encoder_custom(bad[i][0], &c), FFL_BAD_INPUT, "%s", bad[i][0]);
        cr_assert(strstr(ffl_error(), bad[i][1]), "%s: %s", bad[i][0], ffl_error());
    }
}
