#include "harness/encoder/arithmetic.h"

void ffl_encoder_arithmetic(const ffl_encoder_config *c, size_t sequence, size_t neurons, bool head,
                            double flops[FFL_PART_COUNT])
{
    const double h = (double)c->width, e = (double)c->embedding_width, layers = (double)c->layers;
    flops[FFL_PART_EMBEDDING] = c->embedding_width != c->width ? 2 * e * h : 0;
    flops[FFL_PART_NORM] = 0;
    flops[FFL_PART_QKV] = layers * 6 * h * h;
    flops[FFL_PART_ATTENTION] = layers * 4 * (double)sequence * h;
    flops[FFL_PART_PROJECTION] = layers * 2 * h * h;
    flops[FFL_PART_FEEDFORWARD] = layers * 4 * h * (double)neurons;
    flops[FFL_PART_LOGITS] = head ? 2 * e * (double)c->vocabulary + (c->head_transform ? 2 * h * e : 0) : 0;
}
