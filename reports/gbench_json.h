/*
 * Google Benchmark's JSON, schema 1: its compare.py and whatever reads that format work unchanged. A case
 * with few samples appears as so many repetitions, one with many as its median and mean; a case that did not
 * pass carries error_occurred and error_message. Only real time is measured: cpu_time repeats it.
 */
#ifndef FFL_REPORTS_GBENCH_JSON_H
#define FFL_REPORTS_GBENCH_JSON_H

#include "reports/rows.h"
#include <stdio.h>

ffl_status ffl_gbench_json_write(const ffl_rows *rows, FILE *file);

#endif
