#include "harness/roofs/gauge.h"
#include "harness/bench/clock.h"
#include "kernels/memory.h"
#include "kernels/team.h"
#include <stdlib.h>

enum { SLICES = 3 };

/* Nanoseconds. Waking threads takes tens of microseconds and must not count. */
static const double slice_alone = 1e6, slice_team = 4e6;

/* One slice: what the members of a team share. */
typedef struct slice {
    const ffl_gauge *gauge;
    char *memory;
    size_t region, steps, first, form;
} slice;

/* Two members must not read the same rows at the same time out of one cache. */
static void gather(const slice *s, const char *base, int member, int members)
{
    const ffl_gauge *g = s->gauge;
    const size_t rows = g->set / FFL_GATHER_ROW, piece = g->piece / FFL_GATHER_ROW;
    const size_t pieces = rows / piece, from = pieces * (size_t)member / (size_t)members;
    for (size_t i = 0; i < s->steps; i++)
        g->loops->gather(base, g->order + (s->first + from + i) % pieces * piece, piece, s->form ? 4 : 0);
}

static void member_of(void *work, int member, int members)
{
    static const size_t streams[FFL_GAUGE_FORMS] = {1, 2, 4};
    const slice *s = work;
    const ffl_gauge *g = s->gauge;
    char *base = s->memory + (g->shared ? 0 : (size_t)member * s->region);
    const size_t pieces = g->piece ? g->set / g->piece : 0;
    switch (g->kind) {
    case FFL_GAUGE_CHAIN:
        ffl_rate_chain(s->steps);
        break;
    case FFL_GAUGE_F32:
        g->loops->fma_f32(s->steps);
        break;
    case FFL_GAUGE_BF16:
        g->loops->fma_bf16(s->steps);
        break;
    case FFL_GAUGE_INT8:
        g->loops->fma_int8(s->steps);
        break;
    case FFL_GAUGE_READ:
        for (size_t i = 0; i < s->steps && pieces > 1; i++)
            g->loops->read(base + (s->first + i) % pieces * g->piece, g->piece, streams[s->form], 1);
        if (pieces == 1)
            g->loops->read(base, g->piece, streams[s->form], s->steps);
        break;
    case FFL_GAUGE_COPY: /* the second half of the set from the first */
        for (size_t i = 0; i < s->steps; i++) {
            const size_t at = (s->first + i) % pieces * (g->piece / 2);
            (s->form ? g->loops->copy_past : g->loops->copy)(base + g->set / 2 + at, base + at, g->piece / 2);
        }
        break;
    case FFL_GAUGE_GATHER:
        gather(s, base, member, members);
        break;
    }
}

/* Operations, bytes or cycles of one step of one member. */
static double work_of_step(const ffl_gauge *g)
{
    switch (g->kind) {
    case FFL_GAUGE_CHAIN:
        return 8;
    case FFL_GAUGE_F32:
        return g->loops->fma_f32(1);
    case FFL_GAUGE_BF16:
        return g->loops->fma_bf16(1);
    case FFL_GAUGE_INT8:
        return g->loops->fma_int8(1);
    default:
        return (double)g->piece;
    }
}

/* Nanoseconds of one slice of so many threads. */
static double run_slice(ffl_gauge *g, char *memory, size_t region, size_t steps, size_t form, int threads)
{
    slice s = {
        .gauge = g, .memory = memory, .region = region, .steps = steps, .first = g->position, .form = form};
    const double start = ffl_clock_ns();
    if (threads > 1)
        ffl_team_run(threads, member_of, &s);
    else
        member_of(&s, 0, 1);
    const double ns = ffl_clock_ns() - start;
    g->position += steps;
    return ns;
}

/* The shortest of three: a slice that was interrupted says nothing about the steps that a quiet one takes.
 * And of one thread: on a busy machine a team may take longer to wake than a slice. */
static void plan_slices(ffl_gauge *g, char *memory, size_t region)
{
    const double wanted = g->threads > 1 ? slice_team : slice_alone;
    double ns = 0;
    for (g->steps = 1; g->steps < (1u << 30); g->steps *= 2) {
        ns = run_slice(g, memory, region, g->steps, 0, 1);
        for (int i = 0; i < 2 && ns >= wanted / 2; i++) {
            const double again = run_slice(g, memory, region, g->steps, 0, 1);
            ns = again < ns ? again : ns;
        }
        if (ns >= wanted / 2)
            break;
    }
    const double steps = (double)g->steps * wanted / (ns > 1 ? ns : 1);
    g->steps = steps < 1 ? 1 : (size_t)steps;
}

static ffl_status make_room(ffl_gauge *g)
{
    if (g->count + SLICES <= g->capacity)
        return FFL_OK;
    const size_t capacity = 2 * g->capacity + 64;
    for (size_t f = 0; f < g->forms; f++) {
        double *grown = realloc(g->rate[f], capacity * sizeof *grown);
        if (!grown)
            return ffl_fail(FFL_NO_MEMORY, "no memory for the slices of a roof");
        g->rate[f] = grown;
    }
    g->capacity = capacity;
    return FFL_OK;
}

ffl_status ffl_gauge_visit(ffl_gauge *g, char *memory, size_t region)
{
    FFL_TRY(make_room(g));
    if (!g->steps)
        plan_slices(g, memory, region);
    const double work = work_of_step(g) * (double)g->threads;
    for (size_t f = 0; f < g->forms; f++) {
        run_slice(g, memory, region, g->steps / 2 + 1, f,
                  g->threads); /* warm: caches, clock, wide registers */
        for (size_t i = 0; i < SLICES; i++)
            g->rate[f][g->count + i] =
                work * (double)g->steps / run_slice(g, memory, region, g->steps, f, g->threads);
    }
    g->count += SLICES;
    return FFL_OK;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The second best: what was seen twice was no misread clock. */
void ffl_gauge_result(ffl_gauge *g, double *best, double *median)
{
    *best = *median = 0;
    for (size_t f = 0; f < g->forms && g->count >= SLICES; f++) {
        qsort(g->rate[f], g->count, sizeof *g->rate[f], ascending);
        if (g->rate[f][g->count - 2] > *best) {
            *best = g->rate[f][g->count - 2];
            *median = g->rate[f][g->count / 2];
        }
    }
}

void ffl_gauge_free(ffl_gauge *g)
{
    for (size_t f = 0; f < FFL_GAUGE_FORMS; f++)
        free(g->rate[f]);
    ffl_free(g->order);
    *g = (ffl_gauge){0};
}
