/*
 * Accesses that no result shows: beside the buffers, to what is read-only, to what was never written. Reads
 * and writes go through volatile pointers, so that a compiler cannot drop them.
 */
#include "harness/selftest/mutant.h"
#include "kernels/team.h"
#include <string.h>
#include <time.h>

static const float *end_of_x(const ffl_call *c)
{
    return c->x + (c->tokens - 1) * c->ldx + c->layer->width_in;
}

static float *end_of_y(const ffl_call *c)
{
    return c->y + (c->tokens - 1) * c->ldy + c->layer->width_out;
}

static void read_past_x(const ffl_call *c)
{
    (void)*(volatile const float *)end_of_x(c);
}

static void read_before_x(const ffl_call *c)
{
    (void)*(volatile const float *)(c->x - 1);
}

static void read_past_w_in(const ffl_call *c)
{
    (void)*(volatile const float *)(c->layer->w_in + c->layer->neurons * c->layer->width_in);
}

static void read_before_y(const ffl_call *c)
{
    (void)*(volatile const float *)(c->y - 1);
}

/* What is read beside x and used shows as a NaN even inside the page. */
static void use_past_row(const ffl_call *c)
{
    if (c->tokens > 1 && c->ldx > c->layer->width_in)
        c->y[0] += 0 * *(volatile const float *)(c->x + c->layer->width_in);
}

static void write_past_y(const ffl_call *c)
{
    *(volatile float *)end_of_y(c) = 0;
}

static void write_before_y(const ffl_call *c)
{
    *(volatile float *)(c->y - 1) = 0;
}

static void write_padding(const ffl_call *c)
{
    if (c->tokens > 1 && c->ldy > c->layer->width_out)
        c->y[c->layer->width_out] = 0;
}

/* Put back before anybody looks; another thread would have seen it. */
static void borrow_x(const ffl_call *c)
{
    volatile float *x = (volatile float *)c->x;
    const float kept = x[0];
    x[0] = 0;
    x[0] = kept;
}

static void write_bias(const ffl_call *c)
{
    ((volatile float *)c->layer->b_in)[0] = 1;
}

static void write_past_scratch(const ffl_call *c)
{
    ((volatile char *)c->exec->scratch)[c->plan->scratch_bytes] = 1;
}

static void trust_scratch(const ffl_call *c)
{
    c->y[0] += *(const float *)c->exec->scratch;
}

/* What the last call left there. */
static void add_old_output(const ffl_visit *v, float *y)
{
    y[0] += 1e-3f * v->call->state->y[0];
}

static bool save_old_output(ffl_call *c)
{
    c->state->y[0] = c->y[0];
    return true;
}

static bool dense_x(ffl_call *c)
{
    c->ldx = c->layer->width_in;
    return true;
}

static bool dense_y(ffl_call *c)
{
    c->ldy = c->layer->width_out;
    return true;
}

static const float *rounded_down(const float *pointer)
{
    return (const float *)((uintptr_t)pointer & ~(uintptr_t)15);
}

/* Aligned loads where any address may come. */
static bool align_x(ffl_call *c)
{
    c->x = rounded_down(c->x);
    return true;
}

/* The rows past a multiple of 4 have a loop of their own; it wants them aligned. */
static float aligned_tail(const ffl_visit *v, const float *w)
{
    ffl_visit tail = *v;
    if (v->token >= v->call->tokens / 4 * 4)
        tail.x = rounded_down(v->x);
    return ffl_step_logit(&tail, w);
}

static bool all_tokens(ffl_call *c)
{
    c->tokens = c->plan->max_tokens;
    return true;
}

/* Blocks of 8 rows; how many are left over after them is counted once, for the largest batch. */
static bool rest_of_the_plan(ffl_call *c)
{
    const size_t blocks = c->tokens / 8 * 8, rest = c->plan->max_tokens % 8;
    c->tokens = rest < c->tokens - blocks ? blocks + rest : c->tokens;
    return true;
}

static bool last_row_stays(ffl_call *c)
{
    c->tokens--;
    return true;
}

/* ---- Threads ---- */

/* All members share the place for one row of x. */
static void race_part(const ffl_plan *plan, void *scratch, const float *x, size_t ldx, float *y, size_t ldy,
                      size_t tokens)
{
    ffl_mutant_state *s = plan->state;
    ffl_call c = {.plan = plan, .layer = plan->layer, .state = s, .x = s->x, .y = y, .ldy = ldy, .tokens = 1};
    (void)scratch;
    for (size_t t = 0; t < tokens; t++, c.y += ldy) {
        memcpy(s->x, x + t * ldx, plan->layer->width_in * sizeof *x);
        nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
        ffl_step_rows(&c, 0, 1);
    }
}

static bool race(ffl_call *c)
{
    if (c->exec->threads < 2)
        return true;
    ffl_team_rows(c->plan, c->exec, 1, race_part, c->x, c->ldx, c->y, c->ldy, c->tokens);
    return false;
}

/* The seam of two parts belongs to nobody. */
static void seam_part(const ffl_plan *plan, void *scratch, const float *x, size_t ldx, float *y, size_t ldy,
                      size_t tokens)
{
    (void)scratch;
    const ffl_call c = {.plan = plan,
                        .layer = plan->layer,
                        .state = plan->state,
                        .x = x,
                        .ldx = ldx,
                        .y = y,
                        .ldy = ldy,
                        .tokens = tokens};
    ffl_step_rows(&c, 0, tokens > 2 ? tokens - 1 : tokens);
}

static bool seam(ffl_call *c)
{
    if (c->exec->threads < 2)
        return true;
    ffl_team_rows(c->plan, c->exec, 1, seam_part, c->x, c->ldx, c->y, c->ldy, c->tokens);
    return false;
}

#define MEMORY(name, summary) FFL_MUTANT(FFL_FFF, "fff_mutant_" name, summary, "memory")
#define VALUES                                                                                               \
    {                                                                                                        \
        "FAILED *: row *: got *"                                                                             \
    }

const ffl_mutant ffl_memory_mutants[] = {
    {MEMORY("read_past_x", "reads 4 bytes past x"), .expect = {"CRASHED read 0 bytes past the end of x*"},
     .steps.after = read_past_x},
    {MEMORY("read_before_x", "reads 4 bytes before x"), .expect = {"CRASHED read 4 bytes before x*"},
     .steps.after = read_before_x},
    {MEMORY("read_past_w_in", "reads 4 bytes past w_in"),
     .expect = {"CRASHED read 0 bytes past the end of w_in*"}, .steps.after = read_past_w_in},
    {MEMORY("read_before_y", "reads 4 bytes before y"), .expect = {"CRASHED read 4 bytes before y*"},
     .steps.after = read_before_y},
    {MEMORY("uses_padding", "uses the padding of x"), .expect = {"FAILED *: got *nan*"},
     .steps.after = use_past_row},
    {MEMORY("write_past_y", "writes 4 bytes past y"),
     .expect = {"CRASHED wrote 0 bytes past the end of y*", "FAILED *wrote 0 bytes past the end of y"},
     .steps.after = write_past_y},
    {FFL_MUTANT_AS(FFL_FFF, "fff_mutant_write_declared", "writes where it may read", "memory",
                   FFL_CONTRACT_F32_READS(32)),
     .expect = {"FAILED *wrote 0 bytes past the end of y"}, .steps.after = write_past_y},
    {MEMORY("write_before_y", "writes 4 bytes before y"),
     .expect = {"CRASHED wrote 4 bytes before y*", "FAILED *wrote 4 bytes before y"},
     .steps.after = write_before_y},
    {MEMORY("writes_padding", "writes the padding of y"),
     .expect = {"FAILED *wrote the padding of y: row 0*"}, .steps.after = write_padding},
    {MEMORY("borrows_x", "overwrites x and restores it"),
     .expect = {"CRASHED wrote at byte 0 of x, which is read-only*"}, .steps.after = borrow_x},
    {MEMORY("writes_bias", "writes b_in"), .expect = {"CRASHED wrote at byte 0 of b_in, which is read-only*"},
     .steps.after = write_bias},
    {MEMORY("past_scratch", "writes past its scratch"), .expect = {"FAILED *wrote outside its scratch*"},
     .steps.after = write_past_scratch},
    {MEMORY("trusts_scratch", "expects zeros in its scratch"), .expect = {"FAILED *: got *nan*"},
     .steps.after = trust_scratch},
    {MEMORY("reads_output", "mixes the old output in"), .expect = VALUES,
     .steps = {.before = save_old_output, .finish = add_old_output}},
    {MEMORY("no_stride_x", "ignores the stride of x"), .expect = VALUES, .steps.before = dense_x},
    {MEMORY("no_stride_y", "ignores the stride of y"),
     .expect = {"FAILED *: row *: got *", "FAILED *wrote the padding of y*"}, .steps.before = dense_y},
    {MEMORY("aligns_x", "rounds the address of x down to 16 bytes"),
     .expect = {"FAILED *: row *: got *", "CRASHED read * before x*"}, .steps.before = align_x},
    {MEMORY("aligned_tail", "wants the batch's tail aligned"),
     .expect = {"FAILED *: row *: got *", "CRASHED read * before x*"}, .steps.logit = aligned_tail},
    {MEMORY("all_tokens", "takes the batch from the plan"),
     .expect = {"CRASHED * past the end of *", "FAILED *wrote * past the end of y",
                "FAILED *wrote the padding*"},
     .steps.before = all_tokens},
    {MEMORY("rest_of_the_plan", "takes the rows past a multiple of 8 from the plan"),
     .expect = {"FAILED second call, rows reversed: row *: got *"}, .steps.before = rest_of_the_plan},
    {MEMORY("last_row_stays", "leaves the last row as it was"), .expect = VALUES,
     .steps.before = last_row_stays},
    {MEMORY("race", "threads share one row"), .variant.threaded = true, .expect = VALUES, .needs = "threads",
     .steps.before = race},
    {MEMORY("seam", "loses a row between two threads"), .variant.threaded = true, .expect = VALUES,
     .needs = "threads", .steps.before = seam},
    {.family = NULL},
};
