/* Parts of the worker's answers (serve.h). */
#ifndef FFL_HARNESS_ENCODER_ANSWERS_H
#define FFL_HARNESS_ENCODER_ANSWERS_H

#include "harness/encoder/serve_session.h"

/* null where it is no number */
json_t *ffl_json_number(double value);

/*
 * Adds to a row where the time of its passes went:
 *   "parts": {"norm": {"ns", "share", "flops", "bytes", "flops_per_s", "bytes_per_s"}, …}    (part_work.h)
 *   "layers": [{"layer": i, "ns", "share", "parts": as above, "routing": of trees}, …]
 * The last layer is -1: what lies before and behind the layers. Where only the first layers ran (plan.h)
 * there are only those; "parts" counts each of them as often as all need.
 */
ffl_status ffl_serve_profile(const ffl_serve_session *s, const ffl_variant *variant, const ffl_encoder *e,
                             const ffl_layer_times *times, json_t *row);

/*
 * How `tokens` rows of x spread over the leaves of the trees of one layer:
 *   "leaves_of"   leaves per tree
 *   "leaves", "entropy_bits", "top1"   {"min", "mean", "max"} over the trees
 *   "by_visits"   how many leaves, of all trees, were visited 0 times, 1, 2 to 3, 4 to 7, …
 * and with `detail` "trees": {"leaves": […], "entropy_bits": […], "top1": […]}, and "visits": of each tree's
 * leaves from left to right. *weight_bytes: of the f32 rows of weights that any token visits.
 */
ffl_status ffl_layer_routing_json(const ffl_layer *layer, const float *x, size_t tokens, bool detail,
                                  double *weight_bytes, json_t **out);

#endif
