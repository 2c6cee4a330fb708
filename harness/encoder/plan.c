#include "harness/encoder/plan.h"
#include "harness/encoder/arithmetic.h"
#include "harness/encoder/projection.h"
#include "kernels/memory.h"

/* Of a variant's pass over the dense one, as a guess; and what attention's FLOPs cost more than a large
 * product's. */
static const double variant_share = 0.6, attention_cost = 4;

/* Seconds per row and per layer of the model that no pass explains: packing, judging; weights and the
 * reference. */
static const double row_seconds = 0.3, row_layer_seconds = 0.05, layer_seconds = 0.7;

static double dense_pass(const ffl_encoder_config *c, size_t batch, size_t sequence, size_t neurons,
                         size_t layers, double speed)
{
    double flops[FFL_PART_COUNT], all = 0;
    ffl_encoder_config part = *c;
    part.layers = layers;
    ffl_encoder_arithmetic(&part, sequence, neurons, true, flops);
    for (size_t p = 0; p < FFL_PART_COUNT; p++)
        all += (p == FFL_PART_ATTENTION ? attention_cost : 1) * flops[p];
    return (double)(batch * sequence) * all / speed;
}

/* One verified pass and some pairs per row; the dense side once more as a row of its own. */
static double cost(const ffl_encoder_config *c, size_t batch, size_t sequence, size_t neurons, size_t rows,
                   size_t layers, double speed)
{
    const double dense = dense_pass(c, batch, sequence, neurons, layers, speed), own = variant_share * dense;
    const double row =
        own + FFL_PLAN_PAIRS * (dense + own) + row_seconds + row_layer_seconds * (double)layers;
    return (double)rows * row + (1 + 2 * FFL_PLAN_PAIRS) * dense + layer_seconds * (double)layers;
}

size_t ffl_encoder_plan_layers(const ffl_encoder_config *c, size_t batch, size_t sequence, size_t neurons,
                               size_t rows, double seconds, double speed)
{
    size_t layers = c->layers;
    while (seconds > 0 && layers > FFL_PLAN_LAYERS_MIN &&
           cost(c, batch, sequence, neurons, rows, layers, speed) > seconds)
        layers--;
    return layers;
}

/* What a product needs: width x width times `tokens` rows. */
typedef struct product {
    size_t tokens, width;
    float *x, *w, *y;
    void *scratch;
} product;

static bool make_product(const ffl_projection *projection, int threads, product *p)
{
    p->x = ffl_alloc_rows(p->tokens * p->width, sizeof *p->x);
    p->w = ffl_alloc_rows(p->width * p->width, sizeof *p->w);
    p->y = ffl_alloc_rows(p->tokens * p->width, sizeof *p->y);
    p->scratch = ffl_alloc(ffl_projection_scratch(projection, p->tokens, p->width, threads) + 1);
    for (size_t i = 0; p->x && i < p->tokens * p->width; i++)
        p->x[i] = (float)(i % 17) - 8.0f;
    for (size_t i = 0; p->w && i < p->width * p->width; i++)
        p->w[i] = (float)(i % 13) - 6.0f;
    return p->x && p->w && p->y && p->scratch;
}

static double best_speed(const ffl_projection *projection, const ffl_packed_set *set, const product *p,
                         int threads)
{
    enum { ROUNDS = 3 };
    const double flops = 2 * (double)p->tokens * (double)p->width * (double)p->width;
    double best = 0;
    for (int round = 0; round < ROUNDS; round++) {
        const double start = ffl_pass_clock_ns();
        ffl_project(projection, set, p->x, p->width, p->tokens, p->w, NULL, p->width, p->y, p->scratch,
                    threads);
        const double took = 1e-9 * (ffl_pass_clock_ns() - start), speed = flops / (took > 0 ? took : 1e-9);
        best = speed > best ? speed : best;
    }
    return best;
}

static ffl_status measure_speed(size_t tokens, size_t width, int threads, double *speed)
{
    enum { TOKENS_MAX = 512 };
    ffl_projection projection;
    ffl_packed_set set = {0};
    FFL_TRY(ffl_projection_choose(tokens, width, threads, &projection));
    product p = {.tokens = tokens < TOKENS_MAX ? tokens : TOKENS_MAX, .width = width};
    ffl_status status = make_product(&projection, threads, &p)
                            ? ffl_packed_set_add(&set, &projection, p.w, width, width)
                            : FFL_NO_MEMORY;
    if (status == FFL_OK)
        *speed = best_speed(&projection, &set, &p, threads);
    ffl_packed_set_free(&set);
    ffl_free(p.x);
    ffl_free(p.w);
    ffl_free(p.y);
    ffl_free(p.scratch);
    return status;
}

ffl_status ffl_encoder_plan(const ffl_encoder_task *task, size_t rows, double seconds, int threads,
                            size_t *layers)
{
    const ffl_encoder_config *c = &task->weights.config;
    double speed;
    *layers = c->layers;
    if (!(seconds > 0) || c->layers <= FFL_PLAN_LAYERS_MIN || c->shared_layers)
        return FFL_OK;
    FFL_TRY(measure_speed(task->input.batch * task->input.sequence, c->width, threads, &speed));
    *layers = ffl_encoder_plan_layers(c, task->input.batch, task->input.sequence,
                                      ffl_encoder_dense_neurons(&task->weights), rows, seconds, speed);
    return FFL_OK;
}
