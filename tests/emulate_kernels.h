/* Kernels that put the emulated device to the test (emulate_kernels.cu, test_emulate.c). */
#ifndef FFL_TESTS_EMULATE_KERNELS_H
#define FFL_TESTS_EMULATE_KERNELS_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One thread in 64 leaves before the barrier that the others wait at. */
void emulate_missing_thread(void);

/* Lanes exchange under masks that do not name each other. */
void emulate_wrong_mask(void);

/* A thread ends with a copy under way. */
void emulate_copy_left_behind(void);

/* How many of `threads` read what their neighbour has not yet written, with or without a barrier in between.
 */
int emulate_neighbours(int threads, bool barrier);

/* How many of 32 threads read stale shared memory after an asynchronous copy: with a wait, without, and with
 * a wait that leaves the newest group alone. */
typedef enum emulate_wait { EMULATE_WAIT, EMULATE_NO_WAIT, EMULATE_WAIT_BUT_ONE } emulate_wait;
int emulate_stale(emulate_wait wait);

/* One matrix instruction by the layout of cuda/mma.cuh: d [16][8] += a·b, a [16][k], b [k][8], row by row. */
void emulate_product_bf16(const float a[16][16], const float b[16][8], float d[16][8]);
void emulate_product_tf32(const float a[16][8], const float b[8][8], float d[16][8]);

/* Matrix m of four 8x8 ones of 16-bit values, as ffl_load_matrices hands it out: out[lane][m]. */
void emulate_load(const unsigned short in[4][8][8], bool transposed, unsigned out[32][4]);

/* What a counter says that a captured kernel adds to: after capture, after one launch, after two more. */
void emulate_graph(int seen[3]);

/* Writes `bytes` of shared memory of which a block has only 64; true when the launch was refused. */
bool emulate_refuses(unsigned grid, unsigned block, unsigned shared);

#ifdef __cplusplus
}
#endif
#endif
