/*
 * What else one could use: leaf trees, mixtures of experts and programs of others, beside the lab's dense
 * layers and trees of about as many neurons. A line is one function (the fastest of our kernels for it, or
 * one program); a cell is its time at one batch. A table holds the lines of one machine, place, class, number
 * of threads, widths, activation and cache state.
 */
#ifndef FFL_REPORTS_PEERS_H
#define FFL_REPORTS_PEERS_H

#include "reports/speedup.h"

enum { FFL_PEER_BATCHES = 12, FFL_PEER_LINES = 64 };

typedef struct ffl_peer_line {
    const ffl_row *row;                    /* one of its rows: names it */
    const ffl_row *best[FFL_PEER_BATCHES]; /* by batch; NULL: not timed */
    /* In rows of as many numbers as the layer is wide: all weights; what a token reads, and the gates for it.
     */
    double weights, active, gates;
} ffl_peer_line;

typedef struct ffl_peer_table {
    const ffl_rows *rows;
    const ffl_row *first;            /* a peer: names the table */
    int64_t batch[FFL_PEER_BATCHES]; /* ascending */
    size_t batch_count;
    ffl_peer_line lines[FFL_PEER_LINES]; /* dense layers, trees, leaf trees, mixtures; programs after ours */
    size_t line_count;
} ffl_peer_table;

/* Is it the first timed row, by journal, of a table with a leaf tree, a mixture or a program? */
bool ffl_peers_begin(const ffl_rows *rows, size_t index);

/* The table that `first` names; owns nothing. */
void ffl_peers_collect(const ffl_rows *rows, const ffl_row *first, ffl_peer_table *out);

/* About as many neurons as a leaf tree or mixture: of the nearest dense row that was timed in its group; 0:
 * none. */
int64_t ffl_peers_dense(const ffl_rows *rows, const ffl_row *row);

bool ffl_peer_is_program(const ffl_row *row);

/* The fastest row of an operation ("ff", …) at a batch, ours or with programs; NULL without any. */
const ffl_row *ffl_peers_fastest(const ffl_peer_table *table, const char *operation, bool programs,
                                 size_t batch);

/*
 * The lines that a chart of at most `most` shows, ascending; returns how many. Each function in turn gives
 * one, ours and programs'; of a function those that were timed at most batches, the fastest at the largest of
 * them, come first. Dense layers of ours, which differ by a few neurons only, give one.
 */
size_t ffl_peers_choose(const ffl_peer_table *table, size_t most, size_t *out);

/* "FF 4095", "leaf FFF 9x8", "FF 4095, ff_torch_linear". */
void ffl_peer_line_name(const ffl_peer_line *line, char *out, size_t size);

#endif
