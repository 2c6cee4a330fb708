/*
 * What stands after -- on the command line: flags of Google Benchmark. A run is spread over worker processes
 * and its loops have a fixed number of calls, so the flags are read here and carried out by `bench`, with the
 * meaning that Google Benchmark gives them. Any other flag is an error.
 */
#ifndef FFL_HARNESS_FLAGS_H
#define FFL_HARNESS_FLAGS_H

#include "harness/cli.h"
#include <regex.h>

typedef struct ffl_flags {
    double min_time;    /* seconds per repetition; 0: bench decides */
    size_t repetitions; /* 0: bench decides */
    bool interleave;    /* repetitions of a group in random order; true unless switched off */
    bool filtered, negated;
    regex_t filter;  /* POSIX extended, on names as ffl_group_row_name writes them; "-REGEX" keeps the rest */
    const char *out; /* file for Google Benchmark's JSON, NULL without one */
} ffl_flags;

/* FFL_BAD_INPUT names the flag and its value. On success to be freed. */
ffl_status ffl_flags_parse(const ffl_options *options, ffl_flags *out);
void ffl_flags_free(ffl_flags *flags);

/* True when a row of that name is to run. */
bool ffl_flags_select(const ffl_flags *flags, const char *name);

#endif
