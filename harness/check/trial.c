#include "harness/check/trial.h"
#include "harness/check/checks.h"
#include "harness/check/explain.h"
#include "harness/check/fixtures.h"
#include "harness/check/guard.h"
#include "harness/check/leaks.h"
#include "harness/device/storage.h"
#include "harness/instance.h"
#include "harness/registry.h"
#include "harness/workload/random.h"
#include "kernels/memory.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CONTRACTS_MAX = 16, WEIGHT_ALIGNMENT = 64, ROWS_OF_SINGLES = 3, AGAIN_TOKENS = 8 };

struct ffl_trial {
    ffl_check_case check_case;
    ffl_layout layout;
    ffl_fixture fixture;
    ffl_layer layer; /* the fixture's, in guarded memory */
    ffl_guarded_layer guarded;
    size_t batch, rows; /* of one full call; of all calls of a pass */
    float *got;         /* [rows][width_out] */
    float *bad;         /* [width_out]: the row that the judgement names, as it was then */
    int32_t *bad_trace; /* [trees][levels], and whether there is one */
    bool traced;
    struct {
        ffl_contract contract;
        ffl_judge *judge;
    } judges[CONTRACTS_MAX];
    size_t judge_count;
};

ffl_layout ffl_layout_from_seed(uint64_t seed)
{
    static const size_t padding[] = {0, 1, 5, 16};
    ffl_layout layout = {.bias = seed % 4 != 0};
    seed /= 4;
    layout.padding_x = padding[seed % 4];
    seed /= 4;
    layout.padding_y = padding[seed % 4];
    seed /= 4;
    layout.offset_x = seed % 4;
    seed /= 4;
    layout.offset_y = seed % 4;
    return layout;
}

/* The layout without what a self-test leaves out. */
static ffl_layout reduced_layout(ffl_layout layout)
{
    if (!ffl_check_on(FFL_CHECK_PADDING))
        layout.padding_x = layout.padding_y = 0;
    if (!ffl_check_on(FFL_CHECK_MISALIGNMENT))
        layout.offset_x = layout.offset_y = 0;
    return layout;
}

/* ---- The data ---- */

static ffl_status make_fixture(const ffl_check_case *c, bool bias, ffl_fixture *out)
{
    const ffl_fixture_request request = {.name = c->fixture,
                                         .shape = c->shape,
                                         .bias = bias,
                                         /* One row alone would look right from any cache of results. */
                                         .tokens = c->batch == 1 ? ROWS_OF_SINGLES : c->batch,
                                         .seed = c->seed};
    return ffl_fixture_make(&request, out);
}

static ffl_status guard_data(ffl_trial *t)
{
    const ffl_check_case *c = &t->check_case;
    const ffl_layer *l = &t->fixture.weights.layer;
    t->rows = t->fixture.tokens;
    t->batch = c->batch ? c->batch : t->rows;
    t->check_case.batch = t->batch;
    t->check_case.shape = *l;
    FFL_TRY(ffl_guarded_layer_new(l, &t->guarded));
    t->layer = t->guarded.layer;
    t->got = ffl_alloc_array(t->rows * l->width_out, sizeof *t->got);
    t->bad = ffl_alloc_array(l->width_out, sizeof *t->bad);
    t->bad_trace = ffl_alloc_array(l->trees * l->levels + 1, sizeof *t->bad_trace);
    return t->got && t->bad && t->bad_trace ? FFL_OK : FFL_NO_MEMORY;
}

ffl_status ffl_trial_new(const ffl_check_case *check_case, ffl_trial **out)
{
    const ffl_layout layout = ffl_layout_from_seed(check_case->seed);
    ffl_fixture fixture;
    *out = NULL;
    FFL_TRY(make_fixture(check_case, layout.bias, &fixture));
    return ffl_trial_new_on(check_case, &layout, &fixture, out);
}

ffl_status ffl_trial_new_on(const ffl_check_case *check_case, const ffl_layout *layout, ffl_fixture *fixture,
                            ffl_trial **out)
{
    *out = NULL;
    ffl_trial *t = ffl_alloc(sizeof *t);
    if (!t) {
        ffl_fixture_free(fixture);
        return FFL_NO_MEMORY;
    }
    t->check_case = *check_case;
    t->layout = reduced_layout(*layout);
    t->fixture = *fixture;
    *fixture = (ffl_fixture){0};
    const ffl_status status = guard_data(t);
    if (status != FFL_OK)
        ffl_trial_free(t);
    else
        *out = t;
    return status;
}

const ffl_check_case *ffl_trial_case(const ffl_trial *trial)
{
    return &trial->check_case;
}

void ffl_trial_free(ffl_trial *trial)
{
    if (!trial)
        return;
    for (size_t i = 0; i < trial->judge_count; i++)
        ffl_judge_free(trial->judges[i].judge);
    ffl_guarded_layer_free(&trial->guarded);
    ffl_fixture_free(&trial->fixture);
    ffl_free(trial->got);
    ffl_free(trial->bad);
    ffl_free(trial->bad_trace);
    ffl_free(trial);
}

static ffl_status judge_for(ffl_trial *t, const ffl_contract *contract, ffl_judge **out)
{
    for (size_t i = 0; i < t->judge_count; i++)
        if (memcmp(&t->judges[i].contract, contract, sizeof *contract) == 0) {
            *out = t->judges[i].judge;
            return FFL_OK;
        }
    if (t->judge_count == CONTRACTS_MAX) /* dropping one costs time only */
        ffl_judge_free(t->judges[--t->judge_count].judge);
    const ffl_layer *l = &t->fixture.weights.layer;
    ffl_data data = ffl_fixture_data(&t->fixture, contract);
    if (data == FFL_DATA_GENERAL && !ffl_check_on(FFL_CHECK_STATISTICAL))
        data = FFL_DATA_EQUAL_PRODUCTS;
    FFL_TRY(ffl_judge_new(l, contract, data, t->fixture.x, l->width_in, t->rows, NULL, 0, out));
    t->judges[t->judge_count].contract = *contract;
    t->judges[t->judge_count++].judge = *out;
    return FFL_OK;
}

/* ---- One call ---- */

/* Again: the rows of one call, all but the first in reverse; a row alone is another one. */
typedef enum order { FORWARDS = 0, BACKWARDS, AGAIN } order;

typedef struct call {
    order order;
    bool nan;             /* y holds NaN before, otherwise plausible numbers */
    bool twice;           /* and once more with the same buffers, in the order AGAIN */
    bool warm;            /* the call before was of the same size */
    size_t first, tokens; /* rows first … first + tokens - 1 in the order of the pass */
} call;

static size_t row_of(const ffl_trial *t, const call *c, size_t i)
{
    if (c->order == AGAIN)
        return i > 0 ? c->tokens - i : c->tokens == 1 && t->rows > 1;
    return c->order == BACKWARDS ? t->rows - 1 - (c->first + i) : c->first + i;
}

static ffl_fence fence_of(const call *c)
{
    return c->order == BACKWARDS ? FFL_FENCE_BEFORE : FFL_FENCE_AFTER;
}

static void fill_buffers(const ffl_trial *t, const call *c, const ffl_guarded_rows *x,
                         const ffl_guarded_rows *y)
{
    ffl_random random = ffl_random_new(t->check_case.seed, c->first);
    for (size_t i = 0; i < c->tokens; i++) {
        memcpy(x->data + i * x->ld, t->fixture.x + row_of(t, c, i) * x->width, x->width * sizeof *x->data);
        for (size_t j = 0; j < y->width; j++)
            y->data[i * y->ld + j] = c->nan ? NAN : (float)ffl_random_uniform(&random);
    }
}

static ffl_status run_once(const ffl_trial *t, const ffl_instance *instance, const call *c,
                           const ffl_guarded_rows *x, const ffl_guarded_rows *y)
{
    if (!ffl_variant_on_device(instance->plan.variant))
        return ffl_instance_run(instance, x->data, x->ld, y->data, y->ld, c->tokens);
    const ffl_device_place place = {.ends_flush = fence_of(c) == FFL_FENCE_AFTER,
                                    .offset_x = t->layout.offset_x,
                                    .offset_y = t->layout.offset_y};
    FFL_TRY(ffl_instance_run_placed(instance, &place, x->data, x->ld, y->data, y->ld, c->tokens));
    return ffl_instance_intact(instance);
}

/* Runs the variant; false, with the reason, when it misbehaved. */
static bool run_guarded(ffl_trial *t, const ffl_instance *instance, const call *c, ffl_guarded_rows *x,
                        ffl_guarded_rows *y, char *why, size_t size)
{
    const size_t scratch_bytes = instance->plan.scratch_bytes;
    const bool host = !ffl_variant_on_device(instance->plan.variant);
    const bool own = ffl_leaks_own(instance->plan.variant);
    ffl_leaks before;
    ffl_status status = FFL_OK;
    if (ffl_check_on(FFL_CHECK_SCRATCH_POISON))
        status = ffl_instance_poison_scratch(instance); /* NaN: its contents are unspecified */
    ffl_leaks_before(&before);
    if (instance->plan.variant->library == FFL_PROCESS) /* messages come and go: malloc counts what it keeps for the next one */
        before.heap = SIZE_MAX;
    if (status == FFL_OK)
        status = run_once(t, instance, c, x, y);
    const bool clean = ffl_leaks_after(&before, own, c->warm, why, size) || !host;
    if (status != FFL_OK) {
        snprintf(why, size, "run failed: %s", ffl_error());
        return false;
    }
    if (!clean)
        return false;
    if (!ffl_guarded_rows_intact(y, why, size) || !ffl_guarded_rows_intact(x, why, size))
        return false;
    if (host && scratch_bytes && ffl_check_on(FFL_CHECK_SCRATCH_GUARD) &&
        !ffl_memory_intact(instance->exec.scratch)) {
        snprintf(why, size, "wrote outside its scratch of %zu bytes", scratch_bytes);
        ffl_memory_restore(instance->exec.scratch);
        return false;
    }
    for (size_t i = 0; i < c->tokens; i++)
        memcpy(t->got + row_of(t, c, i) * y->width, y->data + i * y->ld, y->width * sizeof *y->data);
    return true;
}

/* Buffers for a call: x filled and read-only, y poisoned. */
static ffl_status make_buffers(const ffl_trial *t, const ffl_contract *contract, const call *c,
                               ffl_guarded_rows *x, ffl_guarded_rows *y)
{
    const ffl_layer *l = &t->layer;
    const size_t alignment = contract->alignment > sizeof(float) ? contract->alignment : sizeof(float);
    const size_t ldx = ffl_storage_stride(l->width_in, t->layout.padding_x, contract);
    const size_t ldy = ffl_storage_stride(l->width_out, t->layout.padding_y, contract);
    ffl_placement place = {.fence = fence_of(c),
                           .before = 4 * t->layout.offset_x,
                           .after = contract->over_read_bytes,
                           .alignment = ffl_check_on(FFL_CHECK_MISALIGNMENT) ? alignment : WEIGHT_ALIGNMENT};
    FFL_TRY(ffl_guarded_rows_new("x", c->tokens, l->width_in, ldx, &place, x));
    place.before = 4 * t->layout.offset_y;
    FFL_TRY(ffl_guarded_rows_new("y", c->tokens, l->width_out, ldy, &place, y));
    fill_buffers(t, c, x, y);
    return ffl_guard_lock(&x->memory, true);
}

static ffl_status do_call(ffl_trial *t, const ffl_instance *instance, const call *c, bool *fine, char *why,
                          size_t size)
{
    ffl_guarded_rows x = {0}, y = {0};
    ffl_status status = make_buffers(t, &instance->plan.variant->contract, c, &x, &y);
    if (status == FFL_OK)
        *fine = run_guarded(t, instance, c, &x, &y, why, size);
    if (status == FFL_OK && *fine && c->twice) {
        call again = *c;
        again.order = AGAIN;
        again.warm = true;
        status = ffl_guard_lock(&x.memory, false);
        fill_buffers(t, &again, &x, &y);
        if (status == FFL_OK)
            status = ffl_guard_lock(&x.memory, true);
        if (status == FFL_OK)
            *fine = run_guarded(t, instance, &again, &x, &y, why, size);
    }
    ffl_guarded_rows_free(&x);
    ffl_guarded_rows_free(&y);
    return status;
}

static size_t again_tokens(const ffl_trial *t)
{
    return t->batch < AGAIN_TOKENS ? t->batch : AGAIN_TOKENS;
}

/* The first rows, then others at the same addresses: whoever remembers by address or by a sample is wrong. */
static ffl_status do_again(ffl_trial *t, const ffl_instance *instance, bool *fine, char *why, size_t size)
{
    const call c = {.order = FORWARDS,
                    .nan = !ffl_check_on(FFL_CHECK_OLD_VALUES),
                    .twice = true,
                    .tokens = again_tokens(t)};
    return do_call(t, instance, &c, fine, why, size);
}

/* Sizes the pass's next call; false when its rows are done. Backwards, a partial batch comes first. */
static bool next_call(const ffl_trial *t, call *c)
{
    const bool part = c->order == BACKWARDS && c->first == 0 && ffl_check_on(FFL_CHECK_PART_BATCH);
    if (c->first >= t->rows)
        return false;
    c->tokens = part ? (t->batch + 1) / 2 : t->batch;
    if (c->tokens > t->rows - c->first)
        c->tokens = t->rows - c->first;
    return true;
}

/* All rows once. */
static ffl_status do_pass(ffl_trial *t, const ffl_instance *instance, order pass, bool *fine, char *why,
                          size_t size)
{
    const bool backwards = pass == BACKWARDS, poisoned = ffl_check_on(FFL_CHECK_NAN_POISON);
    call c = {.order = pass, .nan = backwards ? poisoned : !ffl_check_on(FFL_CHECK_OLD_VALUES)};
    *fine = true;
    if (pass == AGAIN)
        return do_again(t, instance, fine, why, size);
    for (; *fine && next_call(t, &c); c.first += c.tokens)
        FFL_TRY(do_call(t, instance, &c, fine, why, size));
    return FFL_OK;
}

/* ---- One variant ---- */

static void fail(ffl_judgement *out, ffl_verdict verdict, const char *pass, const char *why)
{
    char text[640];
    snprintf(text, sizeof text, "%s%s%s", pass, *pass ? ": " : "", why);
    out->verdict = verdict;
    memcpy(out->reason, text, sizeof out->reason - 1);
    out->reason[sizeof out->reason - 1] = '\0';
}

/* The graver verdict with its reason; the larger of all numbers (fmax passes over a NaN). */
static void merge(ffl_judgement *into, const ffl_judgement *from, const char *pass)
{
    if (from->verdict > into->verdict) {
        into->located = from->located;
        into->row = from->row;
        into->element = from->element;
    }
    if (from->verdict > into->verdict || (from->weak && !into->weak && into->verdict == FFL_PASSED))
        fail(into, from->verdict > into->verdict ? from->verdict : into->verdict, pass, from->reason);
    into->weak |= from->weak;
    into->rows = from->rows;
    into->unbounded_rows = from->unbounded_rows;
    into->suspect_rows += from->suspect_rows;
    into->failed_rows += from->failed_rows;
    into->flips = from->flips > into->flips ? from->flips : into->flips;
    into->flip_margin = fmax(into->flip_margin, from->flip_margin);
    into->error_statistical = fmax(into->error_statistical, from->error_statistical);
    into->error_worst = fmax(into->error_worst, from->error_worst);
}

/* The nodes that the variant says it visits in one call, to the rows' places in `nodes`. */
static bool trace_call(const ffl_trial *t, const ffl_instance *instance, const call *c, int32_t *nodes)
{
    const ffl_layer *l = &t->layer;
    const size_t visited = l->trees * l->levels, width = l->width_in;
    float *x = ffl_alloc_array(c->tokens * width, sizeof *x);
    float *logits = ffl_alloc_array(c->tokens * visited, sizeof *logits);
    int32_t *told = ffl_alloc_array(c->tokens * visited, sizeof *told);
    bool traced = x && logits && told;
    for (size_t i = 0; traced && i < c->tokens; i++)
        memcpy(x + i * width, t->fixture.x + row_of(t, c, i) * width, width * sizeof *x);
    traced = traced && ffl_instance_trace(instance, x, width, c->tokens, told, logits) == FFL_OK;
    for (size_t i = 0; traced && i < c->tokens; i++)
        memcpy(nodes + row_of(t, c, i) * visited, told + i * visited, visited * sizeof *nodes);
    ffl_free(x);
    ffl_free(logits);
    ffl_free(told);
    return traced;
}

/*
 * Of all rows, call by call as the pass ran them: where z is next to nothing, a row's path may depend on its
 * place in the batch, and a dispatcher takes other kernels for fewer tokens.
 */
static bool trace_pass(const ffl_trial *t, const ffl_instance *instance, order pass, int32_t *nodes)
{
    call c = {.order = pass};
    if (pass == AGAIN) {
        call before = {.order = FORWARDS, .tokens = again_tokens(t)};
        c.tokens = before.tokens;
        return trace_call(t, instance, &before, nodes) && trace_call(t, instance, &c, nodes);
    }
    bool traced = true;
    for (; traced && next_call(t, &c); c.first += c.tokens)
        traced = trace_call(t, instance, &c, nodes);
    return traced;
}

/* The row that the judgement names: the next pass overwrites it. */
static void keep_row(ffl_trial *t, size_t row, const int32_t *trace)
{
    const size_t width = t->layer.width_out, visited = t->layer.trees * t->layer.levels;
    memcpy(t->bad, t->got + row * width, width * sizeof *t->bad);
    t->traced = trace != NULL;
    if (trace)
        memcpy(t->bad_trace, trace + row * visited, visited * sizeof *trace);
}

static ffl_status judge_passes(ffl_trial *t, const ffl_instance *instance, const ffl_judge *judge,
                               int32_t *trace, ffl_judgement *out)
{
    static const char *const names[] = {"first call", "second call, rows reversed",
                                        "again at the same address, other rows"};
    static const ffl_check checks[] = {FFL_CHECK_OLD_VALUES, FFL_CHECK_SECOND_CALL, FFL_CHECK_SAME_ADDRESS};
    for (int pass = FORWARDS; pass <= AGAIN; pass++) {
        ffl_judgement judgement;
        char why[256];
        bool fine;
        if (pass != FORWARDS && !ffl_check_on(checks[pass]))
            continue;
        FFL_TRY(do_pass(t, instance, (order)pass, &fine, why, sizeof why));
        if (!fine) {
            fail(out, FFL_FAILED, names[pass], why);
            out->located = false;
            return FFL_OK;
        }
        if (trace && !trace_pass(t, instance, (order)pass, trace))
            trace = NULL;
        FFL_TRY(ffl_judge_rows(judge, t->got, t->layer.width_out, trace, &judgement));
        if (judgement.verdict > out->verdict && judgement.located)
            keep_row(t, judgement.row, trace);
        merge(out, &judgement, names[pass]);
    }
    return FFL_OK;
}

ffl_status ffl_trial_run(ffl_trial *t, const ffl_variant *variant, ffl_judgement *out)
{
    const char *why = "";
    const int threads = variant->threaded ? t->check_case.threads : 1;
    *out = (ffl_judgement){
        .verdict = FFL_PASSED, .flip_margin = NAN, .error_statistical = NAN, .error_worst = NAN};
    if (!ffl_variant_supports(variant, &t->check_case.shape, t->batch, threads, &why)) {
        fail(out, FFL_UNSUPPORTED_HERE, "", why);
        return FFL_OK;
    }
    ffl_judge *judge;
    FFL_TRY(judge_for(t, &variant->contract, &judge));
    ffl_instance instance;
    const ffl_status prepared = ffl_instance_new(variant, &t->layer, t->batch, threads, &instance);
    if (prepared == FFL_UNSUPPORTED && variant->library == FFL_PROCESS) {
        fail(out, FFL_UNSUPPORTED_HERE, "", ffl_error());
        return FFL_OK;
    }
    if (prepared != FFL_OK) { /* otherwise supports alone may decline a shape */
        fail(out, prepared == FFL_NO_MEMORY ? FFL_SKIPPED : FFL_FAILED, "prepare failed", ffl_error());
        return FFL_OK;
    }
    const ffl_layer *l = &t->layer;
    int32_t *trace = l->trees > 1 && variant->trace
                         ? ffl_alloc_array(t->rows * l->trees * l->levels, sizeof *trace)
                         : NULL;
    const ffl_status status = judge_passes(t, &instance, judge, trace, out);
    ffl_free(trace);
    ffl_instance_free(&instance);
    return status;
}

ffl_status ffl_trial_explain(const ffl_trial *t, const ffl_variant *variant, const ffl_judgement *judgement,
                             char *out, size_t size)
{
    const ffl_layer *l = &t->fixture.weights.layer;
    out[0] = '\0';
    if (!judgement->located)
        return FFL_OK;
    const ffl_bad_row row = {.x = t->fixture.x + judgement->row * l->width_in,
                             .got = t->bad,
                             .trace = t->traced ? t->bad_trace : NULL,
                             .row = judgement->row,
                             .element = judgement->element};
    return ffl_explain_row(l, &variant->contract, ffl_fixture_data(&t->fixture, &variant->contract), &row,
                           out, size);
}
