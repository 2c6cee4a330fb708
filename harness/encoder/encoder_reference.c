#include "harness/encoder/encoder_reference.h"
#include "harness/workload/parallel.h"
#include "kernels/gelu.h"
#include "kernels/memory.h"
#include "kernels/reference.h"
#include <math.h>
#include <stdatomic.h>

/* ---- Parts ---- */

typedef struct product {
    const double *x;
    const ffl_linear *linear;
    size_t inputs, tokens, outputs;
    double *y;
} product;

static void product_rows(void *user, size_t begin, size_t end)
{
    const product *p = user;
    for (size_t o = begin; o < end; o++) {
        const float *w = p->linear->weight + o * p->inputs;
        for (size_t t = 0; t < p->tokens; t++) {
            const double *x = p->x + t * p->inputs;
            double sum[8] = {0};
            size_t i = 0;
            for (; i + 8 <= p->inputs; i += 8)
                for (size_t k = 0; k < 8; k++)
                    sum[k] += x[i + k] * (double)w[i + k];
            for (; i < p->inputs; i++)
                sum[0] += x[i] * (double)w[i];
            p->y[t * p->outputs + o] = ((sum[0] + sum[1]) + (sum[2] + sum[3])) +
                                       ((sum[4] + sum[5]) + (sum[6] + sum[7])) +
                                       (p->linear->bias ? (double)p->linear->bias[o] : 0);
        }
    }
}

/* y = x·weightᵀ + bias; y must not be x. */
static void multiply(const double *x, size_t inputs, size_t tokens, const ffl_linear *linear, size_t outputs,
                     double *y)
{
    product p = {x, linear, inputs, tokens, outputs, y};
    ffl_parallel_rows(outputs, product_rows, &p);
}

/* y may be x. */
static void normalise(const double *x, size_t tokens, size_t width, const ffl_norm *norm, double eps,
                      double *y)
{
    for (size_t t = 0; t < tokens; t++, x += width, y += width) {
        double mean = 0, variance = 0;
        for (size_t i = 0; i < width; i++)
            mean += x[i] / (double)width;
        for (size_t i = 0; i < width; i++)
            variance += (x[i] - mean) * (x[i] - mean) / (double)width;
        for (size_t i = 0; i < width; i++)
            y[i] = (x[i] - mean) / sqrt(variance + eps) * (double)norm->weight[i] + (double)norm->bias[i];
    }
}

typedef struct attending {
    const ffl_encoder_input *input;
    size_t heads, width;
    double scale;
    const double *qkv;
    double *out, *scores; /* [tokens][sequence] */
} attending;

static void attend_rows(void *user, size_t begin, size_t end)
{
    const attending *a = user;
    const size_t d = a->width / a->heads, ld = 3 * a->width, sequence = a->input->sequence;
    for (size_t t = begin; t < end; t++) {
        const size_t first = t / sequence * sequence;
        double *scores = a->scores + t * sequence;
        for (size_t column = 0; column < a->width; column += d) {
            double top = -INFINITY, sum = 0;
            for (size_t j = 0; j < sequence; j++) {
                const double *q = a->qkv + t * ld + column,
                             *k = a->qkv + (first + j) * ld + a->width + column;
                scores[j] = 0;
                for (size_t i = 0; i < d; i++)
                    scores[j] += q[i] * k[i];
                scores[j] =
                    scores[j] * a->scale + (a->input->mask && !a->input->mask[first + j] ? -10000.0 : 0.0);
                top = fmax(top, scores[j]);
            }
            for (size_t i = 0; i < d; i++)
                a->out[t * a->width + column + i] = 0;
            for (size_t j = 0; j < sequence; j++)
                sum += scores[j] = exp(scores[j] - top);
            for (size_t j = 0; j < sequence; j++)
                for (size_t i = 0; i < d; i++)
                    a->out[t * a->width + column + i] +=
                        scores[j] / sum * a->qkv[(first + j) * ld + 2 * a->width + column + i];
        }
    }
}

typedef struct feeding {
    const ffl_layer *layer;
    const float *x;
    double *y, *decisions;
    int32_t *paths;
    atomic_int failed;
} feeding;

static void feed_rows(void *user, size_t begin, size_t end)
{
    feeding *f = user;
    const ffl_layer *l = f->layer;
    const size_t visited = l->trees * l->levels;
    const float *x = f->x + begin * l->width_in;
    double *y = f->y + begin * l->width_out;
    const ffl_status status =
        l->operation == FFL_FFF
            ? ffl_reference_walk(l, x, l->width_in, end - begin, y, f->decisions + begin * visited,
                                 f->paths + begin * visited)
            : ffl_reference(l, x, l->width_in, end - begin, y, NULL, NULL);
    if (status != FFL_OK)
        f->failed = 1;
}

/* ---- The pass ---- */

/* Buffers of one pass; wide and scores also serve the head. */
typedef struct pass {
    const ffl_encoder_weights *weights;
    const ffl_encoder_input *input;
    ffl_operation operation;
    ffl_encoder_reference *out;
    double *state, *hidden, *mixed, *wide, *scores;
} pass;

static void embed(const pass *p)
{
    const ffl_encoder_weights *w = p->weights;
    const ffl_encoder_config *c = &w->config;
    const size_t e = c->embedding_width, sequence = p->input->sequence;
    double *x = e == c->width ? p->state : p->hidden;
    size_t seen = 0;
    for (size_t t = 0; t < p->out->tokens; t++) {
        const size_t s = t % sequence;
        seen = s ? seen : 0;
        const size_t row = ffl_encoder_position(c, p->input->ids + (t - s), s, &seen);
        const float *type = ffl_encoder_type_row(w, p->input, t);
        for (size_t i = 0; i < e; i++)
            x[t * e + i] = (double)w->words[(size_t)p->input->ids[t] * e + i] +
                           (double)w->positions[row * e + i] + (type ? (double)type[i] : 0);
    }
    normalise(x, p->out->tokens, e, &w->embedding_norm, c->norm_eps, x);
    if (e != c->width)
        multiply(x, e, p->out->tokens, &w->embedding_projection, c->width, p->state);
    for (size_t i = 0; i < p->out->tokens * c->width; i++)
        p->out->embedding[i] = p->state[i];
}

static ffl_status feed(const pass *p, size_t i, const double *x, double *y)
{
    const ffl_encoder_reference *r = p->out;
    const ffl_layer *layer = &ffl_encoder_weights_layer(p->weights, i)->feedforward.layer;
    const ffl_layer dense = ffl_encoder_dense_layer(p->weights, i);
    const size_t at = i * r->tokens * r->visited;
    float *rounded = r->feedforward + i * r->tokens * r->width;
    for (size_t k = 0; k < r->tokens * r->width; k++)
        rounded[k] = (float)x[k];
    feeding f = {.layer = p->operation == FFL_FF ? &dense : layer, .x = rounded, .y = y};
    f.paths = r->paths ? r->paths + at : NULL;
    f.decisions = r->decisions ? r->decisions + at : NULL;
    ffl_parallel_rows(r->tokens, feed_rows, &f);
    return f.failed ? FFL_NO_MEMORY : FFL_OK;
}

static ffl_status run_layer(const pass *p, size_t i)
{
    const ffl_encoder_config *c = &p->weights->config;
    const ffl_encoder_layer *l = ffl_encoder_weights_layer(p->weights, i);
    const size_t tokens = p->out->tokens, h = c->width, n = tokens * h;
    const double *x = p->state;
    if (c->pre_norm) {
        normalise(p->state, tokens, h, &l->norm1, c->norm_eps, p->hidden);
        x = p->hidden;
    }
    multiply(x, h, tokens, &l->qkv, 3 * h, p->wide);
    attending a = {p->input, c->heads, h, (double)l->scale, p->wide, p->mixed, p->scores};
    ffl_parallel_rows(tokens, attend_rows, &a);
    multiply(p->mixed, h, tokens, &l->projection, h, p->hidden);
    for (size_t k = 0; k < n; k++)
        p->state[k] += p->hidden[k];
    if (!c->pre_norm)
        normalise(p->state, tokens, h, &l->norm1, c->norm_eps, p->state);
    x = p->state;
    if (c->pre_norm) {
        normalise(p->state, tokens, h, &l->norm2, c->norm_eps, p->hidden);
        x = p->hidden;
    }
    FFL_TRY(feed(p, i, x, p->mixed));
    for (size_t k = 0; k < n; k++)
        p->state[k] += p->mixed[k];
    if (!c->pre_norm)
        normalise(p->state, tokens, h, &l->norm2, c->norm_eps, p->state);
    for (size_t k = 0; k < n; k++)
        p->out->state[i * n + k] = p->state[k];
    return FFL_OK;
}

static void finish(const pass *p)
{
    const ffl_encoder_weights *w = p->weights;
    const ffl_encoder_config *c = &w->config;
    ffl_encoder_reference *r = p->out;
    const double *x = r->output;
    if (c->final_norm)
        normalise(p->state, r->tokens, c->width, &w->final_norm, c->norm_eps, p->state);
    for (size_t k = 0; k < r->tokens * c->width; k++)
        r->output[k] = p->state[k];
    if (!r->logits)
        return;
    if (c->head_transform) {
        multiply(x, c->width, r->tokens, &w->transform, c->embedding_width, p->hidden);
        for (size_t k = 0; k < r->tokens * c->embedding_width; k++)
            p->hidden[k] = ffl_activate_double(ffl_encoder_head_activation(c), p->hidden[k]);
        normalise(p->hidden, r->tokens, c->embedding_width, &w->transform_norm, c->norm_eps, p->hidden);
        x = p->hidden;
    }
    multiply(x, c->embedding_width, r->tokens, &w->logits, c->vocabulary, r->logits);
}

static ffl_status run_all(pass *p)
{
    embed(p);
    for (size_t i = 0; i < p->weights->config.layers; i++)
        FFL_TRY(run_layer(p, i));
    finish(p);
    return FFL_OK;
}

static bool allocate(pass *p, bool logits)
{
    const ffl_encoder_config *c = &p->weights->config;
    ffl_encoder_reference *r = p->out;
    const size_t widest = c->width > c->embedding_width ? c->width : c->embedding_width;
    const size_t n = r->tokens * widest, visits = r->layers * r->tokens * r->visited;
    p->state = ffl_alloc_array(n, sizeof *p->state);
    p->hidden = ffl_alloc_array(n, sizeof *p->hidden);
    p->mixed = ffl_alloc_array(n, sizeof *p->mixed);
    p->wide = ffl_alloc_array(3 * n, sizeof *p->wide);
    p->scores = ffl_alloc_array(r->tokens * p->input->sequence, sizeof *p->scores);
    r->embedding = ffl_alloc_array(n, sizeof *r->embedding);
    r->output = ffl_alloc_array(n, sizeof *r->output);
    r->state = ffl_alloc_array(r->layers * n, sizeof *r->state);
    r->feedforward = ffl_alloc_array(r->layers * n, sizeof *r->feedforward);
    r->paths = visits ? ffl_alloc_array(visits, sizeof *r->paths) : NULL;
    r->decisions = visits ? ffl_alloc_array(visits, sizeof *r->decisions) : NULL;
    r->logits = logits ? ffl_alloc_array(r->tokens, c->vocabulary * sizeof *r->logits) : NULL;
    return p->state && p->hidden && p->mixed && p->wide && p->scores && r->embedding && r->output &&
           r->state && r->feedforward && (!visits || (r->paths && r->decisions)) && (!logits || r->logits);
}

ffl_status ffl_encoder_reference_run(const ffl_encoder_weights *weights, ffl_operation operation,
                                     const ffl_encoder_input *input, bool logits, ffl_encoder_reference *out)
{
    const ffl_encoder_config *c = &weights->config;
    *out = (ffl_encoder_reference){.tokens = input->batch * input->sequence,
                                   .width = c->width,
                                   .layers = c->layers,
                                   .visited = operation == FFL_FFF ? c->trees * c->levels : 0};
    pass p = {.weights = weights, .input = input, .operation = operation, .out = out};
    ffl_status status = allocate(&p, logits && weights->has_head) ? FFL_OK : FFL_NO_MEMORY;
    if (status == FFL_OK)
        status = run_all(&p);
    ffl_free(p.state);
    ffl_free(p.hidden);
    ffl_free(p.mixed);
    ffl_free(p.wide);
    ffl_free(p.scores);
    if (status != FFL_OK)
        ffl_encoder_reference_free(out);
    return status;
}

void ffl_encoder_reference_free(ffl_encoder_reference *r)
{
    ffl_free(r->embedding);
    ffl_free(r->state);
    ffl_free(r->output);
    ffl_free(r->feedforward);
    ffl_free(r->paths);
    ffl_free(r->decisions);
    ffl_free(r->logits);
    *r = (ffl_encoder_reference){0};
}
