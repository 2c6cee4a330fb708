/* Work on many rows by all processors this process may use. */
#ifndef FFL_HARNESS_PARALLEL_H
#define FFL_HARNESS_PARALLEL_H

#include <stddef.h>

/*
 * Calls body(user, begin, end) for ranges that together are 0 … count - 1, from several threads at once;
 * returns when all are done. The threads exist only during the call. Which rows fall into which range is
 * unspecified: a body must give the same result for any split.
 */
void ffl_parallel_rows(size_t count, void (*body)(void *user, size_t begin, size_t end), void *user);

#endif
