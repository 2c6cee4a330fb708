/* What `fflab encoder` shows on standard output: tables of the worker's answers (serve.h). */
#ifndef FFL_HARNESS_ENCODER_PRINT_H
#define FFL_HARNESS_ENCODER_PRINT_H

#include <jansson.h>

/* The model, and the head of the table. */
void ffl_encoder_print_model(const json_t *model);

/* The next baseline of the same model: what follows is held against it. */
void ffl_encoder_print_side(const json_t *model);

/* One line per row as it comes; `repeat` is the command without -v. */
void ffl_encoder_print_row(const json_t *row, const char *repeat);

/* Kernel speed to model speed, of every row that was timed. */
void ffl_encoder_print_answers(const json_t *rows);

#endif
