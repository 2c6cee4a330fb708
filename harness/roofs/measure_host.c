/* Which roofs a host has, and the rounds in which all of them are visited. */
#include "harness/bench/clock.h"
#include "harness/bench/pin.h"
#include "harness/progress.h"
#include "harness/roofs/gauge.h"
#include "harness/roofs/roofs.h"
#include "harness/worker.h"
#include "harness/workload/random.h"
#include "kernels/memory.h"
#include "reports/date.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    GAUGES_MAX = 40,
    UNIT = 4 * FFL_READ_GRAIN,      /* sets are multiples: four streams of whole steps */
    PIECE = 1 << 20,                /* of memory beyond the caches */
    MEMORY_MIN = 64 << 20,          /* gone over in turn when the caches are small or unknown */
    WEIGHTS_1X11 = 2 * 4095 * 3072, /* 25 MB: the size that a kernel's rows come from */
    GATHERS = 32,                   /* rows of a piece */
    ROUNDS_MIN = 3,
};

typedef struct bank {
    ffl_gauge gauge[GAUGES_MAX];
    size_t count;
    const char *only;
    char *memory;
    size_t region; /* bytes of each thread */
    int threads;
} bank;

static size_t whole(size_t bytes, size_t unit)
{
    return bytes / unit * unit;
}

static ffl_gauge *add(bank *b, ffl_gauge_kind kind, const ffl_rate_loops *loops, const char *unit,
                      const char *what, const char *where)
{
    char name[sizeof b->gauge->name];
    snprintf(name, sizeof name, "%s%s%s", what, *where ? "_" : "", where);
    if (b->count == GAUGES_MAX || (b->only && strcmp(b->only, name) != 0))
        return NULL;
    ffl_gauge *g = &b->gauge[b->count++];
    *g = (ffl_gauge){.kind = kind, .loops = loops, .unit = unit, .threads = b->threads, .forms = 1};
    strcpy(g->name, name);
    return g;
}

static void add_arithmetic(bank *b, const ffl_rate_loops *loops)
{
    const char *isa = ffl_isa_name(loops->isa);
    /* VNNI and BF16 add nothing to f32, nor BF16 to bytes. */
    if (loops->isa <= FFL_ISA_AVX512)
        add(b, FFL_GAUGE_F32, loops, "GFLOP/s", "fma_f32", isa);
    if (loops->fma_bf16)
        add(b, FFL_GAUGE_BF16, loops, "GFLOP/s", "fma_bf16", isa);
    if (loops->fma_int8 && loops->isa <= FFL_ISA_AVX512_VNNI)
        add(b, FFL_GAUGE_INT8, loops, "GOP/s", "fma_int8", isa);
}

static ffl_status add_gather(bank *b, const ffl_rate_loops *loops, const char *where, size_t set, bool shared)
{
    const size_t rows = whole(set / FFL_GATHER_ROW, GATHERS);
    ffl_gauge *g = rows ? add(b, FFL_GAUGE_GATHER, loops, "GB/s", "gather_row_3k", where) : NULL;
    if (!g)
        return FFL_OK;
    g->set = rows * FFL_GATHER_ROW;
    g->piece = GATHERS * FFL_GATHER_ROW;
    g->forms = 2;
    g->shared = shared;
    g->order = ffl_alloc_array(rows, sizeof *g->order);
    if (!g->order)
        return FFL_NO_MEMORY;
    ffl_random random = ffl_random_new(1, 1);
    for (size_t i = 0; i < rows; i++) { /* a random order of all rows */
        const size_t k = ffl_random_below(&random, i + 1);
        g->order[i] = g->order[k];
        g->order[k] = (uint32_t)i;
    }
    return FFL_OK;
}

static void add_traffic(bank *b, const ffl_rate_loops *loops, const char *where, size_t set, size_t piece)
{
    ffl_gauge *read = add(b, FFL_GAUGE_READ, loops, "GB/s", "read", where);
    if (read) {
        read->set = set;
        read->piece = piece;
        read->forms = 3;
    }
    ffl_gauge *copy = add(b, FFL_GAUGE_COPY, loops, "GB/s", "copy", where);
    if (copy) {
        copy->set = set;
        copy->piece = piece;
        copy->forms = 2;
    }
}

/* A level's set is half of it, or four times the level below: well inside, and well outside of what is below.
 */
static ffl_status add_levels(bank *b, const ffl_rate_loops *loops)
{
    const ffl_machine *m = ffl_machine_host();
    const size_t l1 = whole(m->l1d_bytes / 2, UNIT), l2 = whole(m->l2_bytes / 2, UNIT);
    const size_t share = m->l3_bytes / 2 / (size_t)b->threads;
    const size_t l3 = whole(share < 4 * m->l2_bytes ? share : 4 * m->l2_bytes, UNIT);
    const size_t all = whole(b->region, 2 * PIECE);
    if (l1)
        add_traffic(b, loops, "l1", l1, l1);
    if (l1 && l2 >= 2 * m->l1d_bytes) {
        add_traffic(b, loops, "l2", l2, l2);
        FFL_TRY(add_gather(b, loops, "l2", l2, false));
    }
    if (l2 && l3 >= 2 * m->l2_bytes) {
        add_traffic(b, loops, "l3", l3, l3);
        FFL_TRY(add_gather(b, loops, "l3", l3, false));
    }
    add_traffic(b, loops, "dram", all, PIECE);
    FFL_TRY(add_gather(b, loops, "25mb", WEIGHTS_1X11, true));
    return add_gather(b, loops, "dram", all, false);
}

/* Four times what the caches hold in all, so that nothing is left of a piece when its turn comes again. */
static ffl_status lend_memory(bank *b)
{
    const ffl_machine *m = ffl_machine_host();
    const size_t threads = (size_t)b->threads;
    size_t total = 4 * (m->l3_bytes + threads * m->l2_bytes);
    total = total < MEMORY_MIN ? MEMORY_MIN : total;
    if (m->memory_bytes && total > m->memory_bytes / 4)
        return ffl_fail(FFL_NO_MEMORY,
                        "%.0f MB, four times the caches, are more than a quarter of the memory",
                        1e-6 * (double)total);
    b->region = whole(total / threads + 2 * PIECE, 2 * PIECE);
    b->memory = ffl_alloc(b->region * threads);
    if (!b->memory)
        return FFL_NO_MEMORY;
    /* Some processors treat lines of zeros in a way of their own, and some hosts keep equal pages once. */
    for (size_t at = 0; at < b->region * threads; at += sizeof at)
        memcpy(b->memory + at, &(size_t){at + 1}, sizeof at);
    return FFL_OK;
}

static ffl_status open_bank(bank *b, int threads, const char *only)
{
    const ffl_machine *m = ffl_machine_host();
    const ffl_rate_loops *widest = NULL;
    *b = (bank){.threads = threads, .only = only};
    FFL_TRY(lend_memory(b));
    add(b, FFL_GAUGE_CHAIN, NULL, "GHz", "clock", "");
    for (const ffl_rate_loops *const *l = ffl_rate_loops_built; *l; l++)
        if (m->isa[(*l)->isa]) {
            add_arithmetic(b, *l);
            widest = *l;
        }
    return add_levels(b, widest);
}

static void close_bank(bank *b)
{
    for (size_t i = 0; i < b->count; i++)
        ffl_gauge_free(&b->gauge[i]);
    ffl_free(b->memory);
    *b = (bank){0};
}

/* As bench binds its workers: one thread to one processor, several one each. */
static ffl_status bind_threads(int threads)
{
    char first[16] = "";
    if (threads == 1)
        ffl_pin_first(first, sizeof first);
    FFL_TRY(ffl_pin(first));
    if (threads > 1)
        ffl_pin_team(threads);
    return FFL_OK;
}

static ffl_status visit_all(bank *b)
{
    FFL_TRY(bind_threads(b->threads));
    for (size_t i = 0; i < b->count; i++) {
        if (ffl_interrupted())
            return ffl_fail(FFL_INTERRUPTED, "interrupted");
        FFL_TRY(ffl_gauge_visit(&b->gauge[i], b->memory, b->region));
    }
    return FFL_OK;
}

static ffl_status keep_results(bank *b, ffl_roofs *out)
{
    const time_t now = time(NULL);
    for (size_t i = 0; i < b->count; i++) {
        ffl_gauge *g = &b->gauge[i];
        ffl_roof roof = {.place = "host", .threads = g->threads, .rounds = (int64_t)g->count, .bytes = NAN};
        snprintf(roof.name, sizeof roof.name, "%s", g->name);
        snprintf(roof.unit, sizeof roof.unit, "%s", g->unit);
        ffl_date_write(now, roof.date);
        ffl_gauge_result(g, &roof.value, &roof.median);
        if (g->kind == FFL_GAUGE_CHAIN) { /* of one processor */
            roof.value /= g->threads;
            roof.median /= g->threads;
        }
        if (g->set)
            roof.bytes = (double)g->set * (g->shared ? 1 : g->threads);
        FFL_TRY(ffl_roofs_put(out, &roof));
    }
    return FFL_OK;
}

/* Rounds over all gauges until the time is up: a disturbance of seconds must not meet one roof alone. */
static ffl_status run_rounds(bank *banks, size_t count, double seconds)
{
    ffl_progress *progress = ffl_progress_new("calibrating", seconds);
    const double start = ffl_clock_ns();
    ffl_status status = FFL_OK;
    double spent = 0;
    for (size_t round = 0; status == FFL_OK && (round < ROUNDS_MIN || spent < seconds); round++) {
        for (size_t i = 0; i < count && status == FFL_OK; i++)
            status = visit_all(&banks[i]);
        spent = 1e-9 * (ffl_clock_ns() - start);
        ffl_progress_show(progress, spent < seconds ? spent : seconds, "the host's roofs");
    }
    ffl_progress_clear(progress);
    ffl_progress_free(progress);
    return status;
}

ffl_status ffl_roofs_measure_host(const ffl_roof_wish *wish, ffl_roofs *out)
{
    bank *banks = calloc(wish->thread_count + 1, sizeof *banks);
    ffl_status status = banks ? FFL_OK : ffl_fail(FFL_NO_MEMORY, "no memory to measure roofs");
    for (size_t i = 0; i < wish->thread_count && status == FFL_OK; i++)
        status = open_bank(&banks[i], wish->threads[i], wish->only);
    if (status == FFL_OK)
        status = run_rounds(banks, wish->thread_count, wish->seconds);
    for (size_t i = 0; banks && i < wish->thread_count; i++) {
        if (status == FFL_OK)
            status = keep_results(&banks[i], out);
        close_bank(&banks[i]);
    }
    free(banks);
    const ffl_status unbound = ffl_pin("");
    return status == FFL_OK ? unbound : status;
}
