/* The tables of `fflab encoder` about parts and layers, from the worker's rows (answers.h). All fit into 120
 * columns. Rows without times are passed over. */
#ifndef FFL_HARNESS_LAYERS_TABLE_H
#define FFL_HARNESS_LAYERS_TABLE_H

#include <jansson.h>

/* GFLOP/s and GB/s of every part, two lines per variant. */
void ffl_print_rates(const json_t *rows);

/* --layers: per variant and layer the parts' times, their rates, and where the trees' tokens went. */
void ffl_print_layers(const json_t *rows);

#endif
