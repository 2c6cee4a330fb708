/*
 * Variants that are wrong on purpose, each in one way, on top of one shared correct walk: what the check must
 * reject (test_check.c). The first is right and must pass.
 */
#include "kernels/gelu.h"
#include "kernels/memory.h"
#include "kernels/variant.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef enum mode {
    HONEST,
    TIE,          /* right child when z == 0 */
    SIGN_BIT,     /* right child unless the sign bit is set: +0 goes right */
    LAST_LEVEL,   /* dropped */
    MIRROR,       /* of one token: left and right swapped */
    KEEPS_ROW,    /* the last row of y keeps what was there */
    PREVIOUS_ROW, /* row 0 of y is that of the call before */
    CACHED,       /* the first call's rows, for ever */
    TANH,         /* approximate GELU */
    WRITES_NAN,   /* one element */
    ADDS,         /* y is not cleared first */
    NO_BIAS,      /* forgotten */
    LAST_ELEMENT, /* of the dot product forgotten */
    OVER_READ,    /* one float past x */
    UNDER_READ,   /* one float before x */
    OVER_WRITE,   /* one float past y */
    PADDING,      /* one float after a row that is not the last */
    WRITES_X,     /* in place */
    WRITES_WEIGHTS,
    SCRATCH,        /* one byte past it */
    ALL_TOKENS,     /* as many rows as the plan allows, not as many as asked for */
    TRUSTS_SCRATCH, /* expects zeros in it */
    REFUSES,        /* run returns a failure */
    CRASH,
    HANG,
    LATE_CRASH, /* a thread of its own that ends the process when others are at work */
    ONCE_LATE   /* the same, once in a process, and it says that it has threads */
} mode;

enum { MIRRORED_TOKEN = 2 };

typedef struct state {
    mode mode;
    float *kept; /* [max_tokens][width_out] */
    bool called;
} state;

static size_t child(mode m, float z, size_t token)
{
    bool right = z > 0;
    if (m == TIE)
        right = z >= 0;
    if (m == SIGN_BIT)
        right = !signbit(z);
    return right != (m == MIRROR && token == MIRRORED_TOKEN) ? 2 : 1;
}

static void walk(const ffl_layer *l, mode m, size_t token, const float *x, float *y)
{
    const size_t levels = m == LAST_LEVEL && l->levels > 1 ? l->levels - 1 : l->levels;
    const size_t width = m == LAST_ELEMENT ? l->width_in - 1 : l->width_in;
    for (size_t j = 0; m != ADDS && j < l->width_out; j++)
        y[j] = 0;
    for (size_t tree = 0; tree < l->trees; tree++) {
        size_t node = 0;
        for (size_t level = 0; level < levels; level++) {
            const size_t row = tree * l->nodes + node;
            float z = m == NO_BIAS ? 0 : l->b_in[row];
            for (size_t i = 0; i < width; i++)
                z += x[i] * l->w_in[row * l->width_in + i];
            const float g =
                m == TANH && l->activation == FFL_GELU ? ffl_gelu_tanh(z) : ffl_activate(l->activation, z);
            for (size_t j = 0; j < l->width_out; j++)
                y[j] += g * l->w_out[row * l->width_out + j];
            node = 2 * node + child(m, z, token);
        }
    }
}

static void *crash_later(void *argument)
{
    (void)argument;
    nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
    abort();
}

static void leave_thread(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, crash_later, NULL) == 0)
        pthread_detach(thread);
}

/* What goes wrong beside the arithmetic. */
static ffl_status misbehave(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                            size_t ldy, size_t tokens)
{
    const ffl_layer *l = plan->layer;
    const state *s = plan->state;
    const float *x_end = x + (tokens - 1) * ldx + l->width_in;
    float *y_end = y + (tokens - 1) * ldy + l->width_out;
    switch (s->mode) {
    case WRITES_NAN:
        y[(tokens - 1) * ldy] = NAN;
        break;
    case OVER_READ:
        y[0] += 0 * *(volatile const float *)x_end;
        break;
    case UNDER_READ:
        y[0] += 0 * *(volatile const float *)(x - 1);
        break;
    case OVER_WRITE:
        *(volatile float *)y_end = 0;
        break;
    case PADDING:
        if (tokens > 1 && ldy > l->width_out)
            y[l->width_out] = 0;
        break;
    case WRITES_X:
        ((volatile float *)x)[0] = 1;
        break;
    case WRITES_WEIGHTS:
        ((volatile float *)l->b_in)[0] = 1;
        break;
    case SCRATCH:
        ((volatile char *)exec->scratch)[plan->scratch_bytes] = 1;
        break;
    case TRUSTS_SCRATCH:
        y[0] += *(const float *)exec->scratch;
        break;
    case REFUSES:
        return ffl_fail(FFL_DEVICE, "the device is on fire");
    case CRASH:
        abort();
    case HANG:
        for (;;)
            pause();
    case LATE_CRASH:
        leave_thread();
        break;
    case ONCE_LATE: {
        static bool left;
        if (!left)
            leave_thread();
        left = true;
        break;
    }
    default:
        break;
    }
    return FFL_OK;
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const ffl_layer *l = plan->layer;
    state *s = plan->state;
    const size_t width = l->width_out, rows = s->mode == ALL_TOKENS ? plan->max_tokens : tokens;
    for (size_t t = 0; t < rows; t++) {
        if (s->mode == KEEPS_ROW && t == tokens - 1)
            continue;
        walk(l, s->mode, t, x + t * ldx, y + t * ldy);
        if (s->called && (s->mode == CACHED || (s->mode == PREVIOUS_ROW && t == 0)))
            memcpy(y + t * ldy, s->kept + t * width, width * sizeof *y);
        else
            memcpy(s->kept + t * width, y + t * ldy, width * sizeof *y);
    }
    s->called = true;
    return misbehave(plan, exec, x, ldx, y, ldy, tokens);
}

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan);

static void release(ffl_plan *plan)
{
    state *s = plan->state;
    ffl_free(s->kept);
    free(s);
}

#define BROKEN(name_, summary_)                                                                              \
    {                                                                                                        \
        .name = "fff_" name_, .source = "this lab's tests", .summary = summary_, .operation = FFL_FFF,       \
        .contract = FFL_CONTRACT_F32, .prepare = prepare, .run = run, .release = release                     \
    }

FFL_VARIANTS(broken_variants) = {
    [HONEST] = BROKEN("honest", "right"),
    [TIE] = BROKEN("broken_tie", "a tie goes right"),
    [SIGN_BIT] = BROKEN("broken_sign_bit", "+0 goes right"),
    [LAST_LEVEL] = BROKEN("broken_last_level", "drops the last level"),
    [MIRROR] = BROKEN("broken_mirror", "mirrors the path of one token"),
    [KEEPS_ROW] = BROKEN("broken_keeps_row", "leaves one row as it was"),
    [PREVIOUS_ROW] = BROKEN("broken_previous_row", "one row of the call before"),
    [CACHED] = BROKEN("broken_cached", "returns the first call's rows for ever"),
    [TANH] = BROKEN("broken_tanh", "approximates GELU"),
    [WRITES_NAN] = BROKEN("broken_nan", "writes a NaN"),
    [ADDS] = BROKEN("broken_adds", "adds to y"),
    [NO_BIAS] = BROKEN("broken_no_bias", "forgets the bias"),
    [LAST_ELEMENT] = BROKEN("broken_last_element", "forgets the last input"),
    [OVER_READ] = BROKEN("broken_over_read", "reads past x"),
    [UNDER_READ] = BROKEN("broken_under_read", "reads before x"),
    [OVER_WRITE] = BROKEN("broken_over_write", "writes past y"),
    [PADDING] = BROKEN("broken_padding", "writes the padding of y"),
    [WRITES_X] = BROKEN("broken_writes_x", "writes x"),
    [WRITES_WEIGHTS] = BROKEN("broken_writes_weights", "writes b_in"),
    [SCRATCH] = BROKEN("broken_scratch", "writes past its scratch"),
    [ALL_TOKENS] = BROKEN("broken_all_tokens", "takes the batch from the plan"),
    [TRUSTS_SCRATCH] = BROKEN("broken_trusts_scratch", "expects zeros in its scratch"),
    [REFUSES] = BROKEN("broken_refuses", "fails in run"),
    [CRASH] = BROKEN("broken_crash", "crashes"),
    [HANG] = BROKEN("broken_hang", "hangs"),
    [LATE_CRASH] = BROKEN("late_crash", "leaves a thread that crashes later"),
    [ONCE_LATE] = {.name = "fff_late_once",
                   .source = "this lab's tests",
                   .summary = "leaves a thread that crashes later, once in a process",
                   .operation = FFL_FFF,
                   .threaded = true,
                   .contract = FFL_CONTRACT_F32,
                   .prepare = prepare,
                   .run = run,
                   .release = release},
    {0},
};

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    state *s = calloc(1, sizeof *s);
    if (!s || !(s->kept = ffl_alloc_array(plan->max_tokens * layer->width_out, sizeof *s->kept))) {
        free(s);
        return FFL_NO_MEMORY;
    }
    s->mode = (mode)(plan->variant - ffl_variants_broken_variants);
    plan->state = s;
    plan->scratch_bytes = 64;
    return FFL_OK;
}

FFL_PLUGIN(broken_variants);
