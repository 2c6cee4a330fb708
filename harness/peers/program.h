/*
 * A program that computes for a process variant: started, asked line by line, and ended. It may do anything:
 * die, hang, or answer nonsense; each is a failed call whose message says what it did, with its last word on
 * standard error.
 */
#ifndef FFL_HARNESS_PROGRAM_H
#define FFL_HARNESS_PROGRAM_H

#include "kernels/status.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct ffl_program {
    pid_t pid; /* of it and its process group; 0: over */
    int to, from, errors;
    int threads; /* that it was started for */
    char *text;  /* what came and was not handed out yet */
    size_t used, capacity;
} ffl_program;

/*
 * Starts command (ended by NULL; without a slash: by PATH) in `folder`. It inherits the environment but for
 * what this lab set for its own libraries, and has OMP_NUM_THREADS and the like set to `threads`; it dies
 * with the thread that starts it. FFL_IO when there is nothing to start.
 */
ffl_status ffl_program_start(char *const *command, const char *folder, int threads, ffl_program *out);

/* On the processors of the calling thread, all its threads. */
void ffl_program_bind(const ffl_program *program);

/*
 * Sends one line and waits for one: *reply is an object, a new reference. FFL_IO otherwise, and the program
 * is over; `doing` is for the message: "prepare".
 */
ffl_status ffl_program_ask(ffl_program *program, const json_t *message, const char *doing, double timeout_s,
                           json_t **reply);

/* Ends a program whose reply was wrong; the message gets what it said on standard error. Returns FFL_IO. */
ffl_status ffl_program_fail(ffl_program *program, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Asks it to quit, and kills it if it does not within a second. NULL and an ended program are allowed. */
void ffl_program_end(ffl_program *program);

#endif
