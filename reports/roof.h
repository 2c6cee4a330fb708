/*
 * A measured roof: what a machine can do at most, with so many threads. One line of kind "roof" in a journal.
 */
#ifndef FFL_REPORTS_ROOF_H
#define FFL_REPORTS_ROOF_H

#include "reports/record.h"

typedef struct ffl_roof {
    char name[40]; /* "fma_f32_avx512", "read_l1", "copy_dram", "gather_row_3k_l3": README.md has them all */
    char place[8]; /* "host" or "cuda" */
    char device[128]; /* the GPU; "" on the host */
    char unit[12];    /* "GFLOP/s", "GOP/s", "GB/s", "GHz" */
    char date[FFL_DATE_SIZE];    /* when it was measured: UTC, ISO 8601 */
    int64_t threads;
    double value;  /* the best of all rounds: a roof is a maximum */
    double median; /* of all rounds: far below, and the machine was disturbed */
    double bytes;  /* of memory gone over; NaN for arithmetic */
    int64_t rounds;
} ffl_roof;

/* The object `measured` with all but name, place and threads. New reference, NULL without memory. */
json_t *ffl_roof_measured(const ffl_roof *roof);

/* Fills a record of kind "roof"; its measured object is the record's. FFL_NO_MEMORY. */
ffl_status ffl_roof_to_record(const ffl_roof *roof, ffl_record *out);

/* FFL_BAD_INPUT names the field that is missing or makes no sense. */
ffl_status ffl_roof_from_record(const ffl_record *record, ffl_roof *out);

#endif
