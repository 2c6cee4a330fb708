#include "harness/workload/shapes.h"
#include "harness/encoder/config.h"
#include "harness/workload/recorded.h"
#include "harness/workload/routing.h"
#include <stdio.h>
#include <string.h>

enum {
    DENSE_MAX = sizeof((ffl_shape_case *)0)->dense / sizeof(ffl_layer),
    PEERS_MAX = sizeof((ffl_shape_case *)0)->peers / sizeof(ffl_layer),
    AS_THE_TREES = 0
};

typedef struct preset {
    const char *name;
    char tree[24];
    size_t width;
    size_t dense[DENSE_MAX], dense_count;
    const char *summary;
} preset;

static const preset presets[] = {
    {"paper",
     "1x11",
     768,
     {AS_THE_TREES, 3072},
     2,
     "arXiv:2311.10770: the tree of UltraFastBERT-1x11, against 4095 and 3072 neurons"},
    {"large",
     "1x15",
     12288,
     {49152},
     1,
     "width 12288, 49152 neurons against 1x15: 4.8 and 6.4 GB of weights"},
};

enum { PRESET_COUNT = sizeof presets / sizeof *presets };

/* The feedforward layers of an encoder's preset: its trees against as many neurons and against BERT-base's
 * 3072, or its dense layer against the tree of 1x11. */
static preset of_encoder(const char *name, const ffl_encoder_config *config)
{
    preset out = {
        .name = name, .tree = "1x11", .width = config->width, .dense = {config->neurons}, .dense_count = 1};
    if (config->operation == FFL_FFF) {
        snprintf(out.tree, sizeof out.tree, "%zux%zu", config->trees, config->levels - 1);
        out.dense[0] = AS_THE_TREES;
        out.dense[out.dense_count++] = 3072;
    }
    return out;
}

/* The layer that --routing recorded:FILE brings, when nothing else says which shape is meant. */
static ffl_status find_recorded(const ffl_options *options, ffl_layer *out, bool *found)
{
    static const ffl_option said[] = {FFL_OPT_TREE, FFL_OPT_WIDTH, FFL_OPT_WIDTH_OUT, FFL_OPT_PRESET};
    ffl_word_list words;
    *found = false;
    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        if (ffl_option_given(options, said[i]))
            return FFL_OK;
    FFL_TRY(ffl_option_words(options, FFL_OPT_ROUTING, "uniform", &words));
    for (size_t i = 0; i < words.count && !*found; i++) {
        ffl_routing routing;
        FFL_TRY(ffl_routing_parse(words.value[i], &routing));
        *found = routing.kind == FFL_RECORDED && ffl_recorded_is_layer(routing.file);
        if (*found)
            FFL_TRY(ffl_recorded_shape(routing.file, out));
    }
    return FFL_OK;
}

static preset of_recorded(const ffl_layer *layer)
{
    preset out = {.name = "recorded", .width = layer->width_in, .dense = {AS_THE_TREES}, .dense_count = 1};
    snprintf(out.tree, sizeof out.tree, "%zux%zu", layer->trees, layer->levels - 1);
    return out;
}

static ffl_status find_preset(const ffl_options *options, preset *out)
{
    const char *name = options->value[FFL_OPT_PRESET];
    char all[768] = "";
    ffl_encoder_config config;
    *out = presets[0];
    if (!name)
        return FFL_OK;
    if (ffl_encoder_preset(name, &config)) {
        *out = of_encoder(name, &config);
        return FFL_OK;
    }
    for (size_t i = 0; i < PRESET_COUNT; i++) {
        if (strcmp(presets[i].name, name) == 0) {
            *out = presets[i];
            return FFL_OK;
        }
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s, ", presets[i].name);
    }
    for (size_t i = 0; i < ffl_encoder_preset_count(); i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? ", " : "",
                 ffl_encoder_preset_name(i));
    return ffl_fail(FFL_BAD_INPUT, "--preset %s: expected one of %s", name, all);
}

void ffl_shape_name(const ffl_layer *shape, char *out, size_t size)
{
    if (shape->operation == FFL_FFF)
        snprintf(out, size, "%zux%zu", shape->trees, shape->levels - 1);
    else if (shape->operation == FFL_FFF_LEAF)
        snprintf(out, size, "%zux%zu", shape->levels, shape->expert_width);
    else if (shape->operation == FFL_MOE)
        snprintf(out, size, "%zux%zu:%zu", shape->experts, shape->expert_width, shape->chosen);
    else
        snprintf(out, size, "%zu", shape->neurons);
}

ffl_option ffl_shape_option(ffl_operation operation)
{
    static const ffl_option options[] = {[FFL_FF] = FFL_OPT_NEURONS,
                                         [FFL_FFF] = FFL_OPT_TREE,
                                         [FFL_FFF_LEAF] = FFL_OPT_LEAF,
                                         [FFL_MOE] = FFL_OPT_MOE};
    return options[operation];
}

/* The option that asked for this shape: what the user has to change. */
static const char *asked_by(const ffl_options *options, const ffl_layer *shape)
{
    const ffl_option own = ffl_shape_option(shape->operation);
    if (ffl_option_given(options, own) || ffl_operation_has_experts(shape->operation) ||
        !ffl_option_given(options, FFL_OPT_PRESET))
        return ffl_option_name(own);
    return ffl_option_name(FFL_OPT_PRESET);
}

/* Refuses weights that this machine cannot hold, before anything tries to. */
static ffl_status check_memory(const ffl_options *options, const ffl_layer *shape)
{
    const size_t memory = ffl_machine_host()->memory_bytes, bytes = ffl_layer_bytes(shape);
    char name[48];
    const char *option = asked_by(options, shape);
    if (memory == 0 || bytes <= memory)
        return FFL_OK;
    ffl_shape_name(shape, name, sizeof name);
    return ffl_fail(FFL_BAD_INPUT,
                    "%s %s: %s at widths %zu and %zu takes %.1f GB of weights, this machine has %.1f GB",
                    option, strcmp(option, "--preset") == 0 ? options->value[FFL_OPT_PRESET] : name, name,
                    shape->width_in, shape->width_out, (double)bytes / 1e9, (double)memory / 1e9);
}

/* An error of kernels/layer.h, with the option and value that led to it. */
static ffl_status named(const ffl_options *options, const ffl_layer *shape, ffl_status status)
{
    char name[48];
    ffl_shape_name(shape, name, sizeof name);
    return status == FFL_OK ? status
                            : ffl_fail(status, "%s %s: %s", asked_by(options, shape), name, ffl_error());
}

static ffl_status add_dense(const ffl_options *options, size_t neurons, ffl_shape_case *out)
{
    const ffl_layer *tree = &out->tree;
    ffl_layer *dense = &out->dense[out->dense_count];
    if (neurons == AS_THE_TREES)
        neurons = tree->neurons;
    for (size_t i = 0; i < out->dense_count; i++)
        if (out->dense[i].neurons == neurons)
            return FFL_OK;
    const ffl_status status = ffl_layer_ff(tree->width_in, tree->width_out, neurons, dense);
    dense->activation = tree->activation;
    FFL_TRY(named(options, dense, status));
    out->dense_count++;
    return check_memory(options, dense);
}

static ffl_status add_peers(const ffl_options *options, ffl_option option, const ffl_expert_list *list,
                            ffl_shape_case *out)
{
    const ffl_layer *tree = &out->tree;
    for (size_t i = 0; i < list->count; i++) {
        const size_t count = list->value[i].count, width = list->value[i].width;
        if (out->peer_count == PEERS_MAX)
            return ffl_fail(FFL_BAD_INPUT, "%s: more than %d leaf trees and mixtures together",
                            ffl_option_name(option), PEERS_MAX);
        ffl_layer *peer = &out->peers[out->peer_count];
        const ffl_status status =
            option == FFL_OPT_LEAF
                ? ffl_layer_leaf(tree->width_in, tree->width_out, count, width, peer)
                : ffl_layer_moe(tree->width_in, tree->width_out, count, width, list->value[i].chosen, peer);
        FFL_TRY(named(options, peer, status));
        peer->activation = tree->activation;
        out->peer_count++;
        FFL_TRY(check_memory(options, peer));
    }
    return FFL_OK;
}

static ffl_status read_dense(const ffl_options *options, const preset *from, ffl_size_list *out)
{
    if (ffl_option_given(options, FFL_OPT_NEURONS)) {
        FFL_TRY(ffl_option_size_list(options, FFL_OPT_NEURONS, 1, INT32_MAX, "", out));
        if (out->count > DENSE_MAX)
            return ffl_fail(FFL_BAD_INPUT, "--neurons %s: more than %d dense layers",
                            options->value[FFL_OPT_NEURONS], DENSE_MAX);
        return FFL_OK;
    }
    /* A preset's further dense layers belong to its own tree and width; other trees keep the comparator of
     * equal parameters. */
    const bool own = !ffl_option_given(options, FFL_OPT_TREE) && !ffl_option_given(options, FFL_OPT_WIDTH);
    out->count = own ? from->dense_count : 1;
    for (size_t i = 0; i < out->count; i++)
        out->value[i] = own ? from->dense[i] : AS_THE_TREES;
    return FFL_OK;
}

ffl_status ffl_shapes_from_options(const ffl_options *options, ffl_shape_list *out)
{
    enum { WIDTH_MAX = 1 << 20 };
    preset from;
    size_t width_in, width_out, activation;
    ffl_tree_list trees;
    ffl_size_list dense;
    ffl_expert_list leaves, mixtures;
    ffl_layer recorded;
    bool replayed;
    FFL_TRY(find_preset(options, &from));
    FFL_TRY(find_recorded(options, &recorded, &replayed));
    if (replayed)
        from = of_recorded(&recorded);
    FFL_TRY(ffl_option_size(options, FFL_OPT_WIDTH, 1, WIDTH_MAX, from.width, &width_in));
    FFL_TRY(ffl_option_size(options, FFL_OPT_WIDTH_OUT, 1, WIDTH_MAX,
                            replayed ? recorded.width_out : width_in, &width_out));
    FFL_TRY(ffl_option_choice(options, FFL_OPT_ACTIVATION, ffl_activation_names,
                              replayed ? recorded.activation : FFL_GELU, &activation));
    FFL_TRY(ffl_option_trees(options, from.tree, &trees));
    FFL_TRY(read_dense(options, &from, &dense));
    FFL_TRY(ffl_option_experts(options, FFL_OPT_LEAF, "9x8", &leaves));
    FFL_TRY(ffl_option_experts(options, FFL_OPT_MOE, "512x8:1", &mixtures));
    *out = (ffl_shape_list){.count = trees.count};
    for (size_t i = 0; i < trees.count; i++) {
        ffl_shape_case *to = &out->value[i];
        const ffl_status status =
            ffl_layer_fff(width_in, width_out, trees.value[i].trees, trees.value[i].levels, &to->tree);
        FFL_TRY(named(options, &to->tree, status));
        to->tree.activation = (ffl_activation)activation;
        FFL_TRY(check_memory(options, &to->tree));
        for (size_t d = 0; d < dense.count; d++)
            FFL_TRY(add_dense(options, dense.value[d], to));
        FFL_TRY(add_peers(options, FFL_OPT_LEAF, &leaves, to));
        FFL_TRY(add_peers(options, FFL_OPT_MOE, &mixtures, to));
    }
    return FFL_OK;
}

void ffl_presets_print(void)
{
    for (size_t i = 0; i < PRESET_COUNT; i++)
        printf("%-22s %s\n", presets[i].name, presets[i].summary);
    for (size_t i = 0; i < ffl_encoder_preset_count(); i++)
        printf("%-22s %s\n", ffl_encoder_preset_name(i), ffl_encoder_preset_summary(i));
}
