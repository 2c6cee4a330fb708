/* What the options say about the layer of a file (layer_file.h). */
#include "harness/files/layer_file.h"

/* One tree, leaf tree or mixture: a file holds one layer. */
static ffl_status read_shape(const ffl_options *options, ffl_option option, ffl_layer_request *out)
{
    ffl_tree_list trees;
    ffl_expert_list experts;
    if (option == FFL_OPT_TREE)
        FFL_TRY(ffl_option_trees(options, "", &trees));
    else
        FFL_TRY(ffl_option_experts(options, option, "", &experts));
    if ((option == FFL_OPT_TREE ? trees.count : experts.count) > 1)
        return ffl_fail(FFL_BAD_INPUT, "%s %s: the weights are of one shape, expected one %s",
                        ffl_option_name(option), options->value[option],
                        option == FFL_OPT_TREE   ? "TxD"
                        : option == FFL_OPT_LEAF ? "DxW"
                                                 : "ExW:K");
    if (option == FFL_OPT_TREE) {
        out->trees = trees.value[0].trees;
        out->levels = trees.value[0].levels;
        return FFL_OK;
    }
    out->expert_width = experts.value[0].width;
    out->chosen = experts.value[0].chosen;
    if (option == FFL_OPT_LEAF)
        out->levels = experts.value[0].count;
    else
        out->experts = experts.value[0].count;
    return FFL_OK;
}

ffl_status ffl_layer_request_read(const ffl_options *options, ffl_operation operation, ffl_layer_request *out)
{
    size_t activation;
    const ffl_option option = operation == FFL_FFF_LEAF ? FFL_OPT_LEAF
                              : operation == FFL_MOE    ? FFL_OPT_MOE
                                                        : FFL_OPT_TREE;
    FFL_TRY(ffl_option_choice(options, FFL_OPT_ACTIVATION, ffl_activation_names, FFL_GELU, &activation));
    *out = (ffl_layer_request){.operation = operation, .activation = (ffl_activation)activation};
    return ffl_option_given(options, option) ? read_shape(options, option, out) : FFL_OK;
}
