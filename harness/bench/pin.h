/* Binding this process to processors: --cpus, as taskset writes lists ("0", "0-3", "0,2"). */
#ifndef FFL_HARNESS_PIN_H
#define FFL_HARNESS_PIN_H

#include "kernels/status.h"
#include <stddef.h>

/* FFL_BAD_INPUT when the list cannot be read or names a processor that this process may not use. */
ffl_status ffl_pin_check(const char *list);

/* Binds all threads of this process, and those it starts later; "": to what the process started with. */
ffl_status ffl_pin(const char *list);

/*
 * Spreads the threads of our own kernels (kernels/team.h) over the processors of this process, one each: a
 * thread that is woken for some microseconds otherwise often lands on the waker's processor, and two take
 * longer than one. The calling thread stays free, since threads that libraries start later take after it.
 */
void ffl_pin_team(int threads);

/* The first processor that this process may use, as text; "" when that cannot be told. */
void ffl_pin_first(char *out, size_t size);

#endif
