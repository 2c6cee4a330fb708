/*
 * FLOPs of a dense pass per token, part by part: two per multiply-add of the matrix products, which are all
 * but a thousandth of the work. Norms, activations, softmax and the embedding's look-up count as nothing.
 *
 *     qkv          6·H²               feedforward    4·H·N      N: the neurons that the dense side evaluates
 *     attention    4·S·H              logits         2·E·V      (+ 2·H·E with a transform before it)
 *     projection   2·H²               embedding      2·E·H      where E differs from H
 *
 * times the layers, but for embedding and logits. S is the length of the sequence: padding is computed, too.
 */
#ifndef FFL_HARNESS_ENCODER_ARITHMETIC_H
#define FFL_HARNESS_ENCODER_ARITHMETIC_H

#include "harness/encoder/config.h"
#include "harness/encoder/pass_clock.h"

void ffl_encoder_arithmetic(const ffl_encoder_config *config, size_t sequence, size_t neurons, bool head,
                            double flops[FFL_PART_COUNT]);

#endif
