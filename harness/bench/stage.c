#include "harness/bench/stage.h"
#include "harness/bench/clock.h"
#include "harness/workload/random.h"
#include "harness/workload/recorded.h"
#include "kernels/memory.h"
#include <stdlib.h>
#include <string.h>

enum { RING_ROWS = 4096, OUTPUT_ROWS = 64, DENSE_ROWS = 128, STREAM_ROWS = 77 };

struct ffl_stage_judge {
    ffl_stage_judge *next;
    ffl_layer layer; /* the judge refers to it */
    ffl_contract contract;
    size_t first, count;
    ffl_judge *judge;
};

static size_t round_up(size_t value, size_t unit)
{
    return (value + unit - 1) / unit * unit;
}

/* At least two batches and 64 rows: what came before the last call is judged too. */
static size_t output_rows(size_t tokens)
{
    const size_t batches = (OUTPUT_ROWS + tokens - 1) / tokens;
    return tokens * (batches > 2 ? batches : 2);
}

static size_t input_rows(size_t tokens)
{
    return round_up(RING_ROWS, output_rows(tokens));
}

ffl_ring ffl_stage_ring(const ffl_stage *stage, size_t tokens)
{
    const size_t y_rows = output_rows(tokens);
    return (ffl_ring){.x_rows = stage->x_rows / y_rows * y_rows, .y_rows = y_rows};
}

static void forget_judges(ffl_stage *stage)
{
    while (stage->judges) {
        ffl_stage_judge *next = stage->judges->next;
        ffl_judge_free(stage->judges->judge);
        free(stage->judges);
        stage->judges = next;
    }
}

static void forget_inputs(ffl_stage *stage)
{
    forget_judges(stage);
    ffl_free(stage->x);
    stage->x = NULL;
    stage->x_rows = stage->unique_tokens = 0;
}

static size_t most_neurons(const ffl_group *group)
{
    size_t most = group->tree.neurons;
    for (size_t i = 0; i < group->row_count; i++)
        most = group->rows[i].shape.neurons > most ? group->rows[i].shape.neurons : most;
    return most;
}

static bool same_shape(const ffl_layer *a, const ffl_layer *b)
{
    return a->trees == b->trees && a->levels == b->levels && a->width_in == b->width_in &&
           a->width_out == b->width_out && a->activation == b->activation;
}

/* The file that brings weights with its inputs; "" where they are seeded. */
static ffl_status weights_of(const char *routing, char file[sizeof((ffl_routing *)0)->file])
{
    ffl_routing parsed = {0};
    if (*routing)
        FFL_TRY(ffl_routing_parse(routing, &parsed));
    strcpy(file, parsed.kind == FFL_RECORDED && ffl_recorded_is_layer(parsed.file) ? parsed.file : "");
    return FFL_OK;
}

/* Gates and output biases of the group's leaf trees and mixtures, of which each is a view: as many as any
 * needs. */
static ffl_status set_gates(ffl_stage *stage, const ffl_group *group)
{
    size_t experts = 0;
    for (size_t i = 0; i < group->row_count; i++)
        experts = group->rows[i].shape.experts > experts ? group->rows[i].shape.experts : experts;
    if (experts == 0 || (stage->gates.w_gate && stage->gates.layer.experts >= experts))
        return FFL_OK;
    forget_judges(stage);
    ffl_weights_free(&stage->gates);
    ffl_layer shape;
    FFL_TRY(ffl_layer_moe(group->tree.width_in, group->tree.width_out, experts, 1, 1, &shape));
    FFL_TRY(ffl_weights_new(&shape, true, &stage->gates));
    ffl_weights_randomise(&stage->gates, group->seed);
    return FFL_OK;
}

/* One set of weights serves the tree and every dense layer: they are views of its first rows. */
static ffl_status set_weights(ffl_stage *stage, const ffl_group *group)
{
    const size_t neurons = most_neurons(group);
    char file[sizeof((ffl_routing *)0)->file], before[sizeof file];
    FFL_TRY(weights_of(group->routing, file));
    FFL_TRY(weights_of(stage->made.routing, before));
    if (stage->weights.w_in && same_shape(&stage->made.tree, &group->tree) &&
        stage->made.seed == group->seed && stage->neurons >= neurons && strcmp(file, before) == 0)
        return FFL_OK;
    forget_inputs(stage);
    ffl_weights_free(&stage->weights);
    ffl_weights_free(&stage->gates);
    if (*file) {
        stage->neurons = group->tree.neurons;
        return ffl_recorded_weights(file, &group->tree, &stage->weights);
    }
    ffl_layer shape = group->tree;
    shape.neurons = neurons;
    FFL_TRY(ffl_weights_new(&shape, false, &stage->weights));
    ffl_weights_randomise(&stage->weights, group->seed);
    stage->neurons = neurons;
    return FFL_OK;
}

static ffl_status set_inputs(ffl_stage *stage, const ffl_group *group)
{
    const size_t rows = input_rows(group->batch);
    if (stage->x && stage->x_rows == rows && strcmp(stage->made.routing, group->routing) == 0)
        return FFL_OK;
    forget_inputs(stage);
    ffl_routing routing;
    FFL_TRY(ffl_routing_parse(group->routing, &routing));
    stage->x = ffl_alloc_rows(rows * group->tree.width_in, sizeof *stage->x);
    if (!stage->x)
        return FFL_NO_MEMORY;
    const ffl_layer tree = ffl_stage_layer(stage, &group->tree);
    FFL_TRY(ffl_routing_inputs(&tree, &routing, group->seed, stage->x, tree.width_in, rows, &stage->routing));
    stage->x_rows = rows;
    return FFL_OK;
}

static ffl_status grow(float **rows, size_t *have, size_t want, size_t width)
{
    if (*have >= want)
        return FFL_OK;
    ffl_free(*rows);
    *have = 0;
    *rows = ffl_alloc_rows(want * width, sizeof **rows);
    if (!*rows)
        return FFL_NO_MEMORY;
    *have = want;
    return FFL_OK;
}

static ffl_status set_outputs(ffl_stage *stage, const ffl_group *group)
{
    const size_t width = group->tree.width_out;
    if (stage->y && stage->made.tree.width_out != width) {
        stage->y_rows = stage->y_warm_rows = 0; /* grow frees and allocates anew */
    }
    FFL_TRY(grow(&stage->y, &stage->y_rows, output_rows(group->batch), width));
    return grow(&stage->y_warm, &stage->y_warm_rows, group->batch, width);
}

ffl_status ffl_stage_set(ffl_stage *stage, const ffl_group *group)
{
    ffl_status status = set_weights(stage, group);
    if (status == FFL_OK)
        status = set_gates(stage, group);
    if (status == FFL_OK)
        status = set_outputs(stage, group);
    if (status == FFL_OK) {
        stage->made.tree = group->tree;
        stage->made.seed = group->seed;
        status = set_inputs(stage, group);
        strcpy(stage->made.routing, group->routing);
    }
    if (status == FFL_OK && group->cache != FFL_HOT && !ffl_group_on_device(group) && !stage->eviction.buffer)
        status = ffl_eviction_new(&stage->eviction);
    if (status != FFL_OK)
        ffl_stage_free(stage); /* half made is worse than made again */
    else if (!(stage->clock_ns > 0))
        stage->clock_ns = ffl_clock_overhead_ns();
    return status;
}

ffl_layer ffl_stage_layer(const ffl_stage *stage, const ffl_layer *shape)
{
    ffl_layer layer = *shape;
    layer.w_in = stage->weights.w_in;
    layer.b_in = stage->weights.b_in;
    layer.w_out = stage->weights.w_out;
    if (ffl_operation_has_experts(shape->operation)) {
        layer.w_gate = stage->gates.w_gate;
        layer.b_gate = stage->gates.b_gate;
        layer.b_out = stage->gates.b_out;
    }
    return layer;
}

ffl_status ffl_stage_scratch(ffl_stage *stage, size_t bytes)
{
    if (stage->scratch_bytes >= bytes)
        return FFL_OK;
    ffl_free(stage->scratch);
    stage->scratch = NULL;
    stage->scratch_bytes = 0;
    stage->scratch = ffl_alloc(bytes);
    if (!stage->scratch)
        return FFL_NO_MEMORY;
    stage->scratch_bytes = bytes;
    return FFL_OK;
}

static ffl_status replace_damaged(void **buffer, size_t bytes, bool *intact)
{
    if (!*buffer || ffl_memory_intact(*buffer))
        return FFL_OK;
    *intact = false;
    *buffer = ffl_alloc_rows(bytes, 1);
    return *buffer ? FFL_OK : FFL_NO_MEMORY;
}

ffl_status ffl_stage_intact(ffl_stage *stage, bool *intact)
{
    const size_t row = stage->made.tree.width_out * sizeof *stage->y;
    void *y = stage->y, *y_warm = stage->y_warm;
    *intact = true;
    ffl_status status = replace_damaged(&y, stage->y_rows * row, intact);
    stage->y = y;
    if (status == FFL_OK)
        status = replace_damaged(&y_warm, stage->y_warm_rows * row, intact);
    stage->y_warm = y_warm;
    return status == FFL_OK ? replace_damaged(&stage->scratch, stage->scratch_bytes, intact) : status;
}

/* Equal as far as error bounds go; the rest of a contract is promises of another kind. */
static bool same_bounds(const ffl_contract *a, const ffl_contract *b)
{
    return a->input == b->input && a->weights == b->weights && a->logit == b->logit &&
           a->hidden == b->hidden && a->accumulator == b->accumulator && a->output == b->output &&
           a->weight_scale == b->weight_scale && a->reassociates == b->reassociates &&
           a->flushes_denormals == b->flushes_denormals && !(a->activation_error < b->activation_error) &&
           !(a->activation_error > b->activation_error);
}

/* First, last and seeded rows in between, ascending: one out of each of equal parts. Of experts all gates are
 * evaluated, and those neurons that are asked. */
static size_t choose_dense_rows(const ffl_layer *layer, uint64_t seed, size_t count, size_t rows[DENSE_ROWS])
{
    const size_t neurons =
        layer->gates ? layer->gates / 2 + layer->chosen * layer->expert_width : layer->neurons;
    const double products = (double)neurons * (double)(layer->width_in + layer->width_out);
    size_t most = products > 0 ? (size_t)(1.5e9 / products) : DENSE_ROWS;
    most = most > DENSE_ROWS ? DENSE_ROWS : most < 2 ? 2 : most;
    if (count <= most) {
        for (size_t i = 0; i < count; i++)
            rows[i] = i;
        return count;
    }
    ffl_random random = ffl_random_new(seed, STREAM_ROWS);
    const size_t between = count - 2, parts = most - 2;
    rows[0] = 0;
    for (size_t i = 0; i < parts; i++) {
        const size_t from = between * i / parts, to = between * (i + 1) / parts;
        rows[i + 1] = 1 + from + ffl_random_below(&random, to - from);
    }
    rows[most - 1] = count - 1;
    return most;
}

/* Widths and activation are the stage's. */
static bool same_neurons(const ffl_layer *a, const ffl_layer *b)
{
    return a->operation == b->operation && a->neurons == b->neurons && a->expert_width == b->expert_width &&
           a->chosen == b->chosen;
}

ffl_status ffl_stage_judge_of(ffl_stage *stage, const ffl_layer *layer, const ffl_contract *contract,
                              size_t first, size_t count, const ffl_judge **out)
{
    for (const ffl_stage_judge *j = stage->judges; j; j = j->next) {
        if (j->first == first && j->count == count && same_neurons(&j->layer, layer) &&
            same_bounds(&j->contract, contract)) {
            *out = j->judge;
            return FFL_OK;
        }
    }
    ffl_stage_judge *made = calloc(1, sizeof *made);
    if (!made)
        return ffl_fail(FFL_NO_MEMORY, "no memory for a judge");
    *made = (ffl_stage_judge){.layer = *layer, .contract = *contract, .first = first, .count = count};
    size_t rows[DENSE_ROWS], row_count = 0;
    if (layer->operation != FFL_FFF)
        row_count = choose_dense_rows(layer, stage->made.seed, count, rows);
    const float *x = stage->x + first * layer->width_in;
    const ffl_status status = ffl_judge_new(&made->layer, contract, FFL_DATA_GENERAL, x, layer->width_in,
                                            count, row_count ? rows : NULL, row_count, &made->judge);
    if (status != FFL_OK) {
        free(made);
        return status;
    }
    made->next = stage->judges;
    stage->judges = made;
    *out = made->judge;
    return FFL_OK;
}

ffl_status ffl_stage_unique_bytes(ffl_stage *stage, size_t tokens, double *bytes)
{
    if (stage->unique_tokens != tokens) {
        ffl_routing_report report;
        const ffl_layer tree = ffl_stage_layer(stage, &stage->made.tree);
        FFL_TRY(ffl_routing_measure(&tree, stage->x, tree.width_in, tokens, &report));
        stage->unique_bytes = report.unique_weight_bytes;
        stage->unique_tokens = tokens;
    }
    *bytes = stage->unique_bytes;
    return FFL_OK;
}

void ffl_stage_free(ffl_stage *stage)
{
    forget_inputs(stage);
    ffl_weights_free(&stage->weights);
    ffl_weights_free(&stage->gates);
    ffl_free(stage->y);
    ffl_free(stage->y_warm);
    ffl_free(stage->scratch);
    ffl_eviction_free(&stage->eviction);
    *stage = (ffl_stage){0};
}
