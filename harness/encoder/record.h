/*
 * --record FILE.safetensors: what the feedforward layers of one variant with trees were given in its verified
 * pass, each with the layer's weights, in the form that `bench --routing recorded:FILE` (recorded.h) and
 * `check --fixture real:FILE` read: one layer under bare names, or all, each as FILE.safetensors:layers.N.
 */
#ifndef FFL_HARNESS_ENCODER_RECORD_H
#define FFL_HARNESS_ENCODER_RECORD_H

#include "harness/cli.h"
#include "harness/encoder/encoder.h"
#include <jansson.h>

/*
 * Adds "record" (a path or "") and "record_layer" (-1: all) to a request whose "variants" are known.
 * FFL_BAD_INPUT names option and value: no such layer, a variant without trees or more than one, a name that
 * bench would not take for a layer, a file that cannot be written.
 */
ffl_status ffl_record_request(const ffl_options *options, const ffl_encoder_config *config, json_t *request);

/* Writes what the request asks for, if anything. inputs [layers][tokens][width]: of all layers that ran. */
ffl_status ffl_record_write(const json_t *request, const ffl_encoder *encoder, size_t layers,
                            const float *inputs, size_t tokens);

/* The command that replays it, in one line on standard output. */
void ffl_record_print(const json_t *request);

#endif
