/*
 * What the device rows of a group share: stream and events, the rings of inputs and outputs on the device,
 * once for each storage type in use, and what makes caches cold.
 *
 * Cold weights: before every call a fill of twice the level-2 cache replaces what it holds; the rows that the
 * call reads and writes are copied once, so that they are in the cache again. Neither is timed.
 */
#ifndef FFL_HARNESS_DEVICE_STAGE_H
#define FFL_HARNESS_DEVICE_STAGE_H

#include "harness/bench/stage.h"
#include "harness/device/device_rows.h"

typedef struct ffl_device_ring {
    ffl_device_rows x, y; /* rows without padding; not made: x.tokens is 0 */
} ffl_device_ring;

struct ffl_device_stage {
    void *stream, *start, *end; /* kernels/device.h; the two events lie around what is timed */
    ffl_device_ring ring[FFL_TYPE_COUNT];
    size_t y_rows;
    void *sweep; /* NULL in hot groups, as are */
    size_t sweep_bytes;
    double sweep_seconds; /* … of one fill */
    void *touched;        /* where rows are copied to */
};

/*
 * May times be taken at all? False, with a reason, without a device, and on the emulated one unless the
 * environment says FFL_EMULATED_BENCH=1 (tests: the whole way of a row; its times mean nothing).
 */
bool ffl_device_timing(const char **why);

/* For the group, once the stage has its inputs and outputs. */
ffl_status ffl_device_stage_new(const ffl_stage *stage, const ffl_group *group, ffl_device_stage *out);

/* The rings in a storage type, made when first asked for. */
ffl_status ffl_device_stage_ring(ffl_device_stage *device, const ffl_stage *stage, ffl_type storage,
                                 ffl_device_ring **out);

/* Fills for a third of a second: clocks that fell while the host was busy are up again. */
ffl_status ffl_device_stage_wake(const ffl_device_stage *device);

/* Enqueues what makes all of a call cold; nothing in a hot group. */
ffl_status ffl_device_stage_cool(const ffl_device_stage *device);

/* Enqueues what makes `bytes` of x and y warm again. Not for hot groups. */
ffl_status ffl_device_stage_touch(const ffl_device_stage *device, const void *x, size_t x_bytes,
                                  const void *y, size_t y_bytes);

void ffl_device_stage_free(ffl_device_stage *device);

#endif
