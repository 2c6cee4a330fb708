/* Fibers: stacks that hand control to each other on one thread of the host. */
#ifndef FFL_EMULATE_FIBERS_H
#define FFL_EMULATE_FIBERS_H

#include <stddef.h>

struct ffl_fiber;

/* A fiber that will call body(user) when it is first resumed. Ends the program when memory lacks. */
ffl_fiber *ffl_fiber_new();
void ffl_fiber_start(ffl_fiber *fiber, void (*body)(void *user), void *user);

/* Runs the fiber until it yields (true) or its body returns (false). Not from within a fiber. */
bool ffl_fiber_resume(ffl_fiber *fiber);

/* From within a fiber: back to who resumed it. */
void ffl_fiber_yield();

void ffl_fiber_free(ffl_fiber *fiber);

#endif
