/*
 * Programs between two instances: starting one may take seconds (an interpreter and its packages), so it
 * waits here for the next prepare of the same command, folder and number of threads.
 */
#ifndef FFL_HARNESS_POOL_H
#define FFL_HARNESS_POOL_H

#include "harness/peers/manifest.h"
#include "harness/peers/program.h"

/* An idle program, or a new one; on the calling thread's processors. To be given back or ended. */
ffl_status ffl_pool_take(const ffl_peer_manifest *manifest, int threads, ffl_program *out);

/* *program is empty afterwards. One that is over already is forgotten. */
void ffl_pool_give(const ffl_peer_manifest *manifest, ffl_program *program);

#endif
