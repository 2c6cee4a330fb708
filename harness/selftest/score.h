/*
 * The last complete self-test of this machine, kept in the cache folder: what `check` and `report` say about
 * the verifier behind their verdicts.
 */
#ifndef FFL_HARNESS_SCORE_H
#define FFL_HARNESS_SCORE_H

#include "harness/selftest/drive.h"
#include <jansson.h>

/* "64/64 mutants caught, 0/14 false alarms" */
void ffl_score_words(const ffl_score *score, char *out, size_t size);

/* Failing to keep it is harmless. */
void ffl_score_store(const ffl_score *score);

/* caught, mutants, false_alarms, honest, commit, date; a new reference, NULL when none was run. */
json_t *ffl_score_load(void);

/* "verifier: 64/64 mutants caught, 0/14 false alarms (selftest of commit 1234, 2026-11-22)", or that none
 * ran. */
void ffl_score_line(char *out, size_t size);

#endif
