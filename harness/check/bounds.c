#include "harness/check/bounds.h"
#include "harness/check/sums.h"
#include "kernels/gelu.h"
#include <math.h>

/* Roundings of sums, and single ones: times the root of the sum of their squared largest sizes (README.md).
 */
#define SUM_ROUNDINGS 8.0
#define ROUNDINGS 5.0
#define INT8_MAX_CODE 127.0
#define INT16_MIN_CODE 0x1p13
#define APPROXIMATE (64 * 0x1p-24) /* activation errors above are those of a formula, not of rounding */
#define GELU_SLOPE 1.13            /* |gelu'| <= 1.1290 */

static const struct {
    double roundoff; /* half the distance between neighbours, relative */
    double denormal; /* half the distance between denormals */
    double normal;   /* smallest normal number */
    double limit;    /* half the largest number */
} formats[FFL_TYPE_COUNT] = {
    [FFL_F32] = {0x1p-24, 0x1p-150, 0x1p-126, 0x1p127},
    [FFL_TF32] = {0x1p-11, 0x1p-137, 0x1p-126, 0x1p127},
    [FFL_BF16] = {0x1p-8, 0x1p-134, 0x1p-126, 0x1p127},
    [FFL_F16] = {0x1p-11, 0x1p-25, 0x1p-14, 0x1p15},
    [FFL_INT8] = {0, 0, 0, 0x1p127},
    [FFL_INT16] = {0, 0, 0, 0x1p127},
};

/* Rounding n times: n·u/(1 - n·u), and n·u where that has no meaning (README.md). */
static double gamma_of(double n, double u)
{
    return n * u < 0.5 ? n * u / (1 - n * u) : n * u;
}

/* A value that is stored in `type` after it was a float: float itself costs nothing. */
static double rounding(ffl_type type)
{
    return type == FFL_F32 ? 0 : formats[type].roundoff;
}

/* Fixed point: how many steps the largest magnitude has at least. */
static double codes_of(ffl_type type)
{
    return type == FFL_INT8 ? INT8_MAX_CODE : type == FFL_INT16 ? INT16_MIN_CODE : 0;
}

static double tiny(ffl_type type, bool flushes)
{
    if (flushes)
        return formats[codes_of(type) > 0 ? FFL_F32 : type].normal;
    return type == FFL_F32 ? 0 : formats[type].denormal;
}

static double tensor_step(const float *w, size_t count)
{
    double peak, absolute, squares;
    ffl_sum_norms(w, count, &peak, &absolute, &squares);
    return peak / INT8_MAX_CODE;
}

/* Neurons summed into an output; of experts those of all that are chosen. */
static size_t visited_of(const ffl_layer *layer)
{
    return layer->operation == FFL_FFF  ? layer->trees * layer->levels
           : layer->operation == FFL_FF ? layer->neurons
                                        : layer->chosen * layer->expert_width;
}

ffl_arithmetic ffl_arithmetic_new(const ffl_layer *layer, const ffl_contract *contract, ffl_data data)
{
    const bool flushes = contract->flushes_denormals;
    /* Integer sums are exact and become floats at the end: no worse than float sums. */
    const ffl_type sum = contract->accumulator == FFL_INT8 ? FFL_F32 : contract->accumulator;
    ffl_arithmetic a = {
        .layer = layer,
        .data = data,
        .input = rounding(contract->input),
        .weights = rounding(contract->weights),
        .logit = rounding(contract->logit),
        .hidden = rounding(contract->hidden),
        .output = rounding(contract->output),
        .input_tiny = tiny(contract->input, flushes),
        .weights_tiny = tiny(contract->weights, flushes),
        .logit_tiny = contract->logit == FFL_F32 ? 0 : tiny(contract->logit, flushes),
        .hidden_tiny = tiny(contract->hidden, flushes),
        .output_tiny = tiny(contract->output, flushes),
        .sum_tiny = flushes ? formats[sum].normal : formats[sum].denormal,
        .roundoff = formats[sum].roundoff,
        .input_codes = codes_of(contract->input),
        .int8_weights = contract->weights == FFL_INT8,
        .hidden_codes = codes_of(contract->hidden),
        .row_steps = contract->weights == FFL_INT8,
        .activation_error = layer->activation == FFL_RELU ? 0 : contract->activation_error,
        .slope = layer->activation == FFL_RELU ? 1 : GELU_SLOPE,
        .visited = visited_of(layer),
        .input_limit = formats[contract->input].limit,
        .weights_limit = formats[contract->weights].limit,
        .logit_limit = formats[contract->logit].limit,
        .hidden_limit = formats[contract->hidden].limit,
        .sum_limit = fmin(formats[sum].limit, formats[contract->output].limit),
        .plain = contract->input == FFL_F32 && contract->weights == FFL_F32 && !flushes,
    };
    a.shares = a.input > 0 || a.input_codes > 0 || a.hidden_codes > 0 || a.int8_weights ||
               a.activation_error > APPROXIMATE;
    a.gamma_in = gamma_of((double)layer->width_in + 1, a.roundoff);
    /* With several experts a term is also multiplied by its share, and the experts are added. */
    const size_t biases = layer->b_out ? (layer->chosen ? layer->chosen : 1) : 0;
    a.gamma_out = gamma_of((double)(a.visited + biases + (layer->chosen > 1 ? 2 : 0)), a.roundoff);
    if (a.int8_weights && contract->weight_scale == FFL_SCALE_TENSOR) {
        a.row_steps = false;
        a.tensor_step_in = tensor_step(layer->w_in, layer->neurons * layer->width_in);
        a.tensor_step_out = tensor_step(layer->w_out, layer->neurons * layer->width_out);
    }
    return a;
}

ffl_arithmetic ffl_arithmetic_gates(const ffl_arithmetic *arithmetic, const ffl_layer *gates)
{
    ffl_arithmetic a = *arithmetic;
    a.layer = gates;
    if (a.tensor_step_in > 0)
        a.tensor_step_in = tensor_step(gates->w_in, gates->neurons * gates->width_in);
    return a;
}

ffl_input ffl_input_new(const ffl_arithmetic *arithmetic, const float *x)
{
    ffl_input input = {.x = x};
    ffl_sum_norms(x, arithmetic->layer->width_in, &input.peak, &input.absolute, &input.squares);
    /* Only finite floats have a finite sum of magnitudes: NaN would be lost in the peak. */
    input.bounded =
        isfinite(input.absolute) && (!arithmetic->input || !(input.peak > arithmetic->input_limit));
    return input;
}

/* What rounding inputs and weights before the product does to a logit. */
typedef struct conversion {
    double worst, statistical, shared, underflow;
    double unit; /* what products are summed in: of the step where int8 weights meet float inputs */
    bool overflows;
} conversion;

void ffl_half_steps(const ffl_arithmetic *a, const ffl_input *input, double w_peak, double *x_half,
                    double *w_half)
{
    const double w_step = a->tensor_step_in > 0 ? a->tensor_step_in : w_peak / INT8_MAX_CODE;
    *x_half = a->input_codes > 0 ? 0.5 * input->peak / a->input_codes : 0;
    *w_half = a->int8_weights ? 0.5 * w_step : 0;
}

static conversion convert(const ffl_arithmetic *a, const ffl_input *input, const ffl_products *p)
{
    const double n = (double)a->layer->width_in;
    const double relative = a->input + a->weights + a->input * a->weights;
    double x_half, w_half;
    ffl_half_steps(a, input, p->w_peak, &x_half, &w_half);
    const double x_square = x_half * x_half, w_square = w_half * w_half;
    return (conversion){
        .worst = relative * p->absolute + x_half * (1 + a->weights) * p->w_absolute +
                 w_half * (1 + a->input) * input->absolute + x_half * w_half * n,
        .statistical =
            ROUNDINGS * sqrt((a->input * a->input + a->weights * a->weights) * p->squares +
                             x_square * p->w_squares + w_square * input->squares + x_square * w_square * n) +
            fabs(p->lost),
        .shared =
            ROUNDINGS * sqrt(a->input * a->input * p->squares + x_square * p->w_squares) + fabs(p->lost),
        .underflow =
            a->input_tiny * (p->w_absolute + n * a->weights_tiny) + a->weights_tiny * input->absolute,
        .unit = w_half > 0 && w_half < 0.5 && a->input_codes == 0 ? 2 * w_half : 1,
        .overflows = a->weights && p->w_peak > a->weights_limit,
    };
}

static double step_out(const ffl_arithmetic *a, size_t neuron)
{
    double peak, absolute, squares;
    if (!a->row_steps)
        return a->tensor_step_out;
    ffl_sum_norms(a->layer->w_out + neuron * a->layer->width_out, a->layer->width_out, &peak, &absolute,
                  &squares);
    return peak / INT8_MAX_CODE;
}

/* One rounding of z or of z - b, each at most `magnitude`: it has no sum to average out in. */
static void add_logit_rounding(const ffl_arithmetic *a, double magnitude, ffl_node *node)
{
    node->statistical += a->logit * (magnitude + node->statistical) + a->logit_tiny;
    node->worst += a->logit * (magnitude + node->worst) + a->logit_tiny;
}

void ffl_node_bound(const ffl_arithmetic *a, const ffl_input *input, const ffl_products *p, double bias,
                    ffl_node *node)
{
    const double n = (double)a->layer->width_in, z = node->z;
    /* Nothing but zeros is added: every arithmetic gets that right, and the tie rule decides. */
    if (p->absolute == 0 && bias == 0)
        return;
    conversion c = {.unit = 1};
    if (!a->plain)
        c = convert(a, input, p);
    const double underflow = c.underflow + (2 * n + 2) * a->sum_tiny;
    const double magnitude = p->absolute + c.worst + fabs(bias);
    node->worst = c.worst + a->gamma_in * magnitude + (1 + a->gamma_in) * underflow;
    node->statistical =
        SUM_ROUNDINGS * a->roundoff * sqrt(n) * (sqrt(p->squares) + fabs(z - bias) + fabs(bias)) +
        c.statistical + underflow;
    add_logit_rounding(a, fabs(z) + fabs(bias), node);
    if (a->data == FFL_DATA_EQUAL_PRODUCTS || node->statistical > node->worst)
        node->statistical = node->worst;
    node->shared = c.shared < node->statistical ? c.shared : node->statistical;
    node->overflows = c.overflows || !(magnitude < a->sum_limit * c.unit) || !(magnitude < a->logit_limit) ||
                      !(fabs(node->g) < a->hidden_limit);
}

ffl_node ffl_node_new(const ffl_arithmetic *a, const ffl_input *input, size_t neuron, double z)
{
    const ffl_layer *l = a->layer;
    const float *w = l->w_in + neuron * l->width_in;
    ffl_products p = {0};
    ffl_sum_products(input->x, w, l->width_in, &p.absolute, &p.squares);
    if (!a->plain)
        ffl_sum_norms(w, l->width_in, &p.w_peak, &p.w_absolute, &p.w_squares);
    double x_half, w_half;
    ffl_half_steps(a, input, p.w_peak, &x_half, &w_half);
    if (x_half > 0 || w_half > 0)
        p.lost = ffl_sum_small(input->x, w, l->width_in, x_half, w_half);
    ffl_node node = {.neuron = neuron, .z = z, .g = ffl_activate_double(l->activation, z)};
    node.step = step_out(a, neuron);
    ffl_node_bound(a, input, &p, (double)l->b_in[neuron], &node);
    return node;
}

bool ffl_node_open(const ffl_arithmetic *arithmetic, const ffl_node *node, bool worst)
{
    const double bound = worst ? node->worst : node->statistical;
    const bool exact = arithmetic->data == FFL_DATA_EXACT || arithmetic->data == FFL_DATA_EXACT_LOGITS;
    return !exact && bound > 0 && fabs(node->z) <= bound;
}

double ffl_node_hidden(const ffl_arithmetic *a, const ffl_node *node)
{
    return fabs(node->g) * (a->row_steps ? node->step : 1);
}

void ffl_sums_add(const ffl_arithmetic *a, const ffl_node *node, double hidden_peak, double sign,
                  ffl_sums *sums)
{
    const ffl_layer *l = a->layer;
    const float *w = l->w_out + node->neuron * l->width_out;
    const double g = fabs(node->g), z = fabs(node->z);
    double hidden_step = a->hidden_codes > 0 ? hidden_peak / a->hidden_codes : 0;
    if (a->row_steps) /* of g itself; a row of zeros adds nothing, whatever it is multiplied by */
        hidden_step = node->step > 0 ? hidden_step / node->step : 0;
    /* So are values flushed to zero. */
    const double hidden_tiny =
        a->hidden_codes > 0 && a->row_steps && node->step > 0 ? a->hidden_tiny / node->step : a->hidden_tiny;

    double error = a->slope * node->worst + a->activation_error * (z + node->worst);
    error += a->hidden * (g + error) + 0.5 * hidden_step + hidden_tiny;
    const double activation = a->activation_error * z, hidden = a->hidden * g, weights = a->weights * g;
    const double deviation = a->slope * node->statistical + hidden_tiny +
                             ROUNDINGS * sqrt(activation * activation + hidden * hidden + weights * weights +
                                              0.25 * hidden_step * hidden_step);
    const double gamma = a->gamma_out;
    const ffl_spread spread = {
        .value = node->g,
        .worst = (1 + gamma) * (1 + a->weights) * error + (gamma + a->weights + gamma * a->weights) * g,
        .deviation = deviation,
        .sign = sign,
    };
    ffl_sum_spread(&spread, w, l->width_out, sums->worst, sums->squares, sums->deviations);
    if (sums->y)
        ffl_sum_axpy(sign * node->g, w, l->width_out, sums->y);
    if (sums->shared) {
        /* What fixed point makes 0 errs by all of itself, and small activations have one sign. */
        const bool lost = 2 * g <= hidden_step;
        ffl_sum_axpy(sign * (a->slope * node->shared + activation + (lost ? g : 0)), w, l->width_out,
                     sums->shared);
        if (!lost && node->step > 0)
            ffl_sum_axpy_small(sign * g, 0.5 * node->step, w, l->width_out, sums->shared);
    }

    const double flat = ROUNDINGS * g * node->step;
    sums->flat_worst += sign * (1 + gamma) * (g + error) * (0.5 * node->step + a->weights_tiny);
    sums->flat_deviations += sign * (0.25 * flat * flat);
}

static double above_zero(double v)
{
    return v > 0 ? v : 0;
}

void ffl_sums_finish(const ffl_arithmetic *a, const ffl_sums *sums, const double *y, const float *bias,
                     size_t count, double *statistical, double *worst)
{
    const double k = (double)a->visited, sigmas = SUM_ROUNDINGS * a->roundoff * sqrt(k);
    const double underflow = (2 * k + 2) * a->sum_tiny + a->output_tiny;
    const bool equal_products = a->data == FFL_DATA_EQUAL_PRODUCTS;
    for (size_t j = 0; j < count; j++) {
        const double b = bias ? (double)bias[j] : 0;
        /* As of a logit: stored with its bias or before it. */
        const double rounded = a->output * (fabs(y[j]) + fabs(b)) + underflow;
        /* Differences of sums may fall a rounding below zero. */
        const double squares = above_zero(sums->squares[j]);
        const double deviations = above_zero(sums->deviations[j] + sums->flat_deviations);
        const double shared = sums->shared ? fabs(sums->shared[j]) : 0;
        const double s =
            sigmas * (sqrt(squares) + fabs(y[j] - b) + fabs(b)) + sqrt(deviations) + shared + rounded;
        const double w =
            (1 + a->output) * (sums->worst[j] + sums->flat_worst + a->gamma_out * fabs(b)) + rounded;
        worst[j] = w;
        statistical[j] = equal_products || s > w ? w : s;
    }
}

bool ffl_sums_overflow(const ffl_arithmetic *a, const ffl_sums *sums)
{
    const ffl_layer *l = a->layer;
    /* Σ|g·w| <= √K·‖g∘w‖₂ */
    const double k = (double)a->visited;
    bool overflow = false;
    for (size_t j = 0; j < l->width_out; j++) {
        const double magnitude = sqrt(k * sums->squares[j]) + (l->b_out ? fabs((double)l->b_out[j]) : 0);
        overflow |= !(magnitude + sums->worst[j] + sums->flat_worst < a->sum_limit);
    }
    return overflow;
}
