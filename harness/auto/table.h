/*
 * The tuning table: what `fflab tune` measured on this machine, which ff_auto and fff_auto choose by. A JSON
 * file (harness/tune/README.md), hostile until validated; one of another machine or other kernels is refused.
 *
 * The file in use is $FFLAB_TUNING, "none" for none; otherwise tuning.json in the cache folder.
 */
#ifndef FFL_HARNESS_AUTO_TABLE_H
#define FFL_HARNESS_AUTO_TABLE_H

#include "kernels/variant.h"
#include <jansson.h>

enum { FFL_TUNED_FORMAT = 1 };

typedef struct ffl_tuned_time {
    const ffl_variant *variant;
    double ns; /* per token */
} ffl_tuned_time;

/* Times of several variants on one shape, batch, routing and number of threads. */
typedef struct ffl_tuned_cell {
    ffl_layer shape; /* no weights */
    ffl_type clazz;
    size_t batch;
    int threads;
    char routing[64];
    double shared;         /* share of pairs of tokens that meet in one leaf; 0 for dense layers */
    ffl_tuned_time *times; /* at least one */
    size_t count;
} ffl_tuned_cell;

typedef struct ffl_tuned_table {
    ffl_tuned_cell *cells;
    size_t count;
} ffl_tuned_table;

/* Kernels that tuning is about: compiled in, on the host, no dispatcher, no library of the user's. */
bool ffl_tuned_kernel(const ffl_variant *variant);

/* FFL_IO when the file cannot be read; FFL_BAD_INPUT names the file and what is wrong with it, or that it is
 * of another machine or build. On success to be freed. */
ffl_status ffl_tuned_read(const char *path, ffl_tuned_table *out);
void ffl_tuned_free(ffl_tuned_table *table);

/* Replaces the file at once, with the identity of this machine and build. */
ffl_status ffl_tuned_write(const char *path, const ffl_tuned_table *table);

/* The path in use, "" for none. `make`: see ffl_cache_file. */
void ffl_tuned_path(bool make, char *out, size_t size);

/*
 * The table in use, read again when the file has changed; NULL when there is none that holds. It stays
 * locked against other threads until ffl_tuned_unlock, which is called in any case.
 */
const ffl_tuned_table *ffl_tuned_lock(void);
void ffl_tuned_unlock(void);

/* Why the file in use is not used; "" when it is, or when there is none and nobody asked for one. */
void ffl_tuned_note(char *out, size_t size);

#endif
