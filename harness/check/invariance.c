#include "harness/check/invariance.h"
#include "harness/check/guard.h"
#include "harness/check/suite.h"
#include "harness/registry.h"
#include "kernels/memory.h"
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { CONTRACTS_MAX = 16, BESIDE_ROUNDS = 3 };

struct ffl_invariance {
    ffl_check_case check_case;
    ffl_pool pool;
    ffl_guarded_layer layer, negated; /* the pool's; the same with -w_out and -b_out, which gives -y */
    struct {
        ffl_contract contract;
        ffl_judge *judge;
    } judges[CONTRACTS_MAX];
    size_t judge_count;
};

/* One variant at work. */
typedef struct subject {
    ffl_invariance *all;
    const ffl_variant *variant;
    ffl_instance instance; /* on one thread */
    ffl_lane lane, beside;
    float *base; /* what the first suite wrote */
    ffl_judgement *out;
} subject;

/* ---- The data ---- */

static void negate(ffl_weights *w)
{
    const ffl_layer *l = &w->layer;
    for (size_t i = 0; i < l->neurons * l->width_out; i++)
        w->w_out[i] = -w->w_out[i];
    for (size_t j = 0; w->b_out && j < ffl_layer_output_biases(l); j++)
        w->b_out[j] = -w->b_out[j];
}

/* Read-only: what one variant did to them would be blamed on the next. */
static ffl_status guard_layers(ffl_invariance *v)
{
    ffl_weights *w = &v->pool.fixture.weights;
    FFL_TRY(ffl_guarded_layer_new(&w->layer, &v->layer));
    negate(w);
    const ffl_status status = ffl_guarded_layer_new(&w->layer, &v->negated);
    negate(w);
    return status;
}

ffl_status ffl_invariance_new(const ffl_check_case *check_case, ffl_invariance **out)
{
    *out = NULL;
    ffl_invariance *v = ffl_alloc(sizeof *v);
    if (!v)
        return FFL_NO_MEMORY;
    v->check_case = *check_case;
    ffl_status status = ffl_pool_new(check_case, &v->pool);
    if (status == FFL_OK)
        status = guard_layers(v);
    if (status != FFL_OK)
        ffl_invariance_free(v);
    else
        *out = v;
    return status;
}

void ffl_invariance_free(ffl_invariance *v)
{
    if (!v)
        return;
    for (size_t i = 0; i < v->judge_count; i++)
        ffl_judge_free(v->judges[i].judge);
    ffl_pool_free(&v->pool);
    ffl_guarded_layer_free(&v->layer);
    ffl_guarded_layer_free(&v->negated);
    ffl_free(v);
}

static ffl_status judge_for(ffl_invariance *v, const ffl_contract *contract, ffl_judge **out)
{
    const ffl_layer *l = &v->pool.fixture.weights.layer;
    for (size_t i = 0; i < v->judge_count; i++)
        if (memcmp(&v->judges[i].contract, contract, sizeof *contract) == 0) {
            *out = v->judges[i].judge;
            return FFL_OK;
        }
    if (v->judge_count == CONTRACTS_MAX) /* dropping one costs time only */
        ffl_judge_free(v->judges[--v->judge_count].judge);
    FFL_TRY(ffl_judge_new(l, contract, FFL_DATA_GENERAL, v->pool.probe_x, l->width_in, v->pool.probes, NULL,
                          0, out));
    v->judges[v->judge_count].contract = *contract;
    v->judges[v->judge_count++].judge = *out;
    return FFL_OK;
}

/* ---- Findings ---- */

/* The gravest finding is told; of several alike, the first. */
__attribute__((format(printf, 3, 4))) static void tell(subject *s, ffl_verdict verdict, const char *format,
                                                       ...)
{
    if (verdict <= s->out->verdict && s->out->reason[0])
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(s->out->reason, sizeof s->out->reason, format, arguments);
    va_end(arguments);
    s->out->verdict = verdict > s->out->verdict ? verdict : s->out->verdict;
}

static void set_outcome(subject *s, ffl_way way, ffl_way_outcome outcome)
{
    unsigned char *kept = &s->out->outcomes.way[way];
    *kept = outcome > *kept ? (unsigned char)outcome : *kept;
}

static void run_failed(subject *s, ffl_way way, const char *why)
{
    set_outcome(s, way, FFL_BROKEN);
    tell(s, FFL_FAILED, "%s: run failed: %s", ffl_way_name(way), why);
}

/* Element where two rows differ, width when nowhere. */
static size_t first_difference(const float *a, const float *b, size_t width)
{
    for (size_t j = 0; j < width; j++)
        if (memcmp(&a[j], &b[j], sizeof *a) != 0 && !(a[j] == 0 && b[j] == 0))
            return j;
    return width;
}

/* The probe of which `got` and `base` differ, `probes` when there is none. */
static size_t find_probe(const subject *s, const float *got, const float *base, size_t *element)
{
    const size_t width = s->all->pool.fixture.weights.layer.width_out;
    size_t probe = 0;
    for (; probe < s->all->pool.probes; probe++) {
        *element = first_difference(got + probe * width, base + probe * width, width);
        if (*element < width)
            break;
    }
    return probe;
}

static ffl_contract contract_of(const subject *s, ffl_way way)
{
    ffl_contract contract = s->variant->contract;
    contract.flushes_denormals |= way == FFL_WAY_DENORMALS; /* then the caller asked for it */
    return contract;
}

/* What one size of batch gave, against what it should be the same as. `how`: "7 threads", "". */
static ffl_status compare(subject *s, ffl_way way, size_t size, const float *got, const float *base,
                          const char *how)
{
    const size_t width = s->all->pool.fixture.weights.layer.width_out;
    size_t element = 0;
    const size_t probe = find_probe(s, got, base, &element);
    set_outcome(s, way, FFL_BITWISE);
    if (probe == s->all->pool.probes)
        return FFL_OK;
    const ffl_contract contract = contract_of(s, way);
    ffl_judge *judge;
    ffl_judgement judgement;
    FFL_TRY(judge_for(s->all, &contract, &judge));
    FFL_TRY(ffl_judge_rows(judge, got, width, NULL, &judgement));
    char batch[48] = "alone";
    if (size > 1)
        snprintf(batch, sizeof batch, "in batches of %zu", size);
    if (judgement.verdict != FFL_PASSED) {
        set_outcome(s, way, FFL_BROKEN);
        tell(s, judgement.verdict, "%s, %s%s%s: %s", ffl_way_name(way), batch, *how ? ", " : "", how,
             judgement.reason);
        return FFL_OK;
    }
    set_outcome(s, way, FFL_WITHIN_BOUND);
    if (s->variant->contract.invariances & ffl_way_promise(way))
        tell(s, FFL_FAILED,
             "%s: the same bits are promised, but row %zu element %zu %s%s%s is %.9g, otherwise %.9g",
             ffl_way_name(way), probe, element, batch, *how ? ", " : "", how,
             (double)got[probe * width + element], (double)base[probe * width + element]);
    return FFL_OK;
}

/* The lane's suite against the base, size by size. */
static ffl_status compare_all(subject *s, ffl_way way, const ffl_lane *lane, const char *how)
{
    const ffl_pool *pool = &s->all->pool;
    for (size_t i = 0; i < pool->size_count; i++) {
        const size_t at = (size_t)(ffl_suite_rows(lane, i) - lane->got);
        FFL_TRY(compare(s, way, pool->sizes[i], lane->got + at, s->base + at, how));
    }
    return FFL_OK;
}

static size_t got_count(const subject *s)
{
    const ffl_pool *pool = &s->all->pool;
    return pool->size_count * pool->probes * pool->fixture.weights.layer.width_out;
}

/* ---- The ways ---- */

/* One suite by `instance`. Rows that the setting leaves out count as the same. */
static ffl_status vary(subject *s, ffl_way way, const ffl_instance *instance, const ffl_setting *setting,
                       const char *how)
{
    memcpy(s->lane.got, s->base, got_count(s) * sizeof *s->base);
    if (ffl_suite_run(&s->lane, instance, setting) != FFL_OK) {
        run_failed(s, way, ffl_error());
        return FFL_OK;
    }
    return compare_all(s, way, &s->lane, how);
}

/* The first suite of all: it must be right, or nothing else means anything. */
static ffl_status find_base(subject *s, bool *right)
{
    static const ffl_setting plain;
    const ffl_pool *pool = &s->all->pool;
    const size_t width = pool->fixture.weights.layer.width_out;
    ffl_judge *judge;
    *right = false;
    FFL_TRY(judge_for(s->all, &s->variant->contract, &judge));
    if (ffl_suite_run(&s->lane, &s->instance, &plain) != FFL_OK) {
        tell(s, FFL_FAILED, "run failed: %s", ffl_error());
        return FFL_OK;
    }
    memcpy(s->base, s->lane.got, got_count(s) * sizeof *s->base);
    for (size_t i = 0; i < pool->size_count; i++) {
        ffl_judgement judgement;
        FFL_TRY(ffl_judge_rows(judge, s->base + i * pool->probes * width, width, NULL, &judgement));
        s->out->rows += judgement.rows;
        s->out->error_statistical = fmax(s->out->error_statistical, judgement.error_statistical);
        s->out->error_worst = fmax(s->out->error_worst, judgement.error_worst);
        if (judgement.verdict != FFL_PASSED)
            tell(s, judgement.verdict, "in batches of %zu, before anything varies: %s", pool->sizes[i],
                 judgement.reason);
    }
    *right = s->out->verdict == FFL_PASSED;
    return FFL_OK;
}

static ffl_status try_batches(subject *s)
{
    const ffl_pool *pool = &s->all->pool;
    const size_t rows = pool->probes * pool->fixture.weights.layer.width_out;
    for (size_t i = 1; i < pool->size_count; i++)
        FFL_TRY(compare(s, FFL_WAY_BATCH, pool->sizes[i], s->base + i * rows, s->base, ""));
    return FFL_OK;
}

static ffl_status try_settings(subject *s)
{
    static const struct {
        ffl_way way;
        ffl_setting setting;
    } settings[] = {
        {FFL_WAY_NEIGHBOURS, {.lonely = true}},
        {FFL_WAY_PERMUTED, {.shuffled = true}},
        {FFL_WAY_SPLIT, {.split = true}},
        {FFL_WAY_ADDRESS, {.offset_x = 1}},
        {FFL_WAY_ADDRESS, {.offset_y = 3}},
        {FFL_WAY_ADDRESS, {.offset_x = 2, .offset_y = 1}},
        {FFL_WAY_STRIDE, {.padding_x = 5, .padding_y = 1}},
        {FFL_WAY_STRIDE, {.padding_x = 16, .padding_y = 16}},
        {FFL_WAY_RUNS, {.flush = false}}, /* after all of these */
    };
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        const ffl_setting *p = &settings[i].setting;
        if (p->lonely + p->shuffled + p->split > 0 && s->all->pool.batch == 1)
            continue;
        char how[64] = "";
        if (settings[i].way == FFL_WAY_ADDRESS)
            snprintf(how, sizeof how, "x %zu and y %zu elements on", p->offset_x, p->offset_y);
        if (settings[i].way == FFL_WAY_STRIDE)
            snprintf(how, sizeof how, "padded by %zu and %zu", p->padding_x, p->padding_y);
        FFL_TRY(vary(s, settings[i].way, &s->instance, p, how));
    }
    return FFL_OK;
}

/* FFL_OK and no plan when prepare fails: told. */
static ffl_status prepare(subject *s, ffl_way way, const ffl_layer *layer, int threads, ffl_instance *out)
{
    const ffl_status status = ffl_instance_new(s->variant, layer, s->all->pool.batch, threads, out);
    *out = status == FFL_OK ? *out : (ffl_instance){0};
    if (status == FFL_OK || status == FFL_NO_MEMORY)
        return status;
    set_outcome(s, way, FFL_BROKEN);
    tell(s, FFL_FAILED, "%s: prepare failed: %s", ffl_way_name(way), ffl_error());
    return FFL_OK;
}

static ffl_status try_fresh_instance(subject *s)
{
    static const ffl_setting plain;
    ffl_instance fresh;
    FFL_TRY(prepare(s, FFL_WAY_RUNS, &s->all->layer.layer, 1, &fresh));
    const ffl_status status =
        fresh.plan.variant ? vary(s, FFL_WAY_RUNS, &fresh, &plain, "prepared again") : FFL_OK;
    ffl_instance_free(&fresh);
    return status;
}

/* A second suite by the same team: threads must not make a call's bits a matter of luck. */
static ffl_status vary_again(subject *s, const ffl_instance *team, const char *how)
{
    static const ffl_setting plain;
    float *base = s->base;
    memcpy(s->beside.got, s->lane.got, got_count(s) * sizeof *s->base);
    s->base = s->beside.got;
    const ffl_status status = vary(s, FFL_WAY_RUNS, team, &plain, how);
    s->base = base;
    return status;
}

/* Prepared for so many threads and run with as many, or prepared for the most and run with fewer. */
static ffl_status try_thread_count(subject *s, int prepared, int used)
{
    static const ffl_setting plain;
    ffl_instance team;
    char how[64];
    snprintf(how, sizeof how, "%d of %d threads", used, prepared);
    FFL_TRY(prepare(s, FFL_WAY_THREADS, &s->all->layer.layer, prepared, &team));
    if (!team.plan.variant)
        return FFL_OK;
    team.exec.threads = used;
    ffl_status status = vary(s, FFL_WAY_THREADS, &team, &plain, how);
    if (status == FFL_OK && used > 1)
        status = vary_again(s, &team, how);
    ffl_instance_free(&team);
    return status;
}

static ffl_status try_threads(subject *s)
{
    const int most = s->all->check_case.threads;
    if (!s->variant->threaded)
        return FFL_OK;
    for (int threads = 2; threads <= most; threads++) {
        FFL_TRY(try_thread_count(s, threads, threads));
        FFL_TRY(try_thread_count(s, most, threads - 1));
    }
    return FFL_OK;
}

static ffl_status try_denormals(subject *s)
{
    static const ffl_setting flush = {.flush = true};
    /* Another process has a mode of its own. */
    if (s->variant->place != FFL_HOST || s->variant->library == FFL_PROCESS || !ffl_suite_flushes())
        return FFL_OK;
    return vary(s, FFL_WAY_DENORMALS, &s->instance, &flush, "");
}

/* ---- Two instances at once ---- */

typedef struct player {
    const ffl_lane *lane;
    const ffl_instance *instance;
    ffl_status status;
    char error[256];
} player;

static void *play(void *argument)
{
    static const ffl_setting plain;
    player *p = argument;
    for (int round = 0; round < BESIDE_ROUNDS && p->status == FFL_OK; round++)
        p->status = ffl_suite_run(p->lane, p->instance, &plain);
    if (p->status != FFL_OK)
        snprintf(p->error, sizeof p->error, "%s", ffl_error());
    return NULL;
}

/* On the host both run at the same time; on a device, whose calls are waited for, in turns. */
static ffl_status play_both(player *first, player *second)
{
    pthread_t thread;
    if (ffl_variant_on_device(first->instance->plan.variant)) {
        play(first);
        if (first->status == FFL_OK)
            play(second);
        if (second->status == FFL_OK)
            play(first);
        return FFL_OK;
    }
    if (pthread_create(&thread, NULL, play, second) != 0)
        return ffl_fail(FFL_NO_MEMORY, "no thread for a second instance");
    play(first);
    pthread_join(thread, NULL);
    return FFL_OK;
}

static ffl_status try_instances(subject *s)
{
    ffl_instance other;
    FFL_TRY(prepare(s, FFL_WAY_INSTANCES, &s->all->negated.layer, 1, &other));
    if (!other.plan.variant)
        return FFL_OK;
    player first = {.lane = &s->lane, .instance = &s->instance};
    player second = {.lane = &s->beside, .instance = &other};
    ffl_status status = play_both(&first, &second);
    if (status == FFL_OK && (first.status != FFL_OK || second.status != FFL_OK)) {
        run_failed(s, FFL_WAY_INSTANCES, first.status != FFL_OK ? first.error : second.error);
    } else if (status == FFL_OK) {
        for (size_t i = 0; i < got_count(s); i++)
            s->beside.got[i] = -s->beside.got[i];
        status = compare_all(s, FFL_WAY_INSTANCES, &s->lane, "");
        if (status == FFL_OK)
            status = compare_all(s, FFL_WAY_INSTANCES, &s->beside, "weights negated");
    }
    ffl_instance_free(&other);
    return status;
}

/* ---- One variant ---- */

static ffl_status try_all(subject *s)
{
    static const ffl_setting plain;
    bool right;
    FFL_TRY(find_base(s, &right));
    if (!right)
        return FFL_OK;
    FFL_TRY(vary(s, FFL_WAY_RUNS, &s->instance, &plain, ""));
    FFL_TRY(try_batches(s));
    FFL_TRY(try_settings(s));
    FFL_TRY(try_fresh_instance(s));
    FFL_TRY(try_threads(s));
    FFL_TRY(try_denormals(s));
    return try_instances(s);
}

ffl_status ffl_invariance_run(ffl_invariance *v, const ffl_variant *variant, ffl_judgement *out)
{
    const char *why = "";
    const ffl_layer *l = &v->layer.layer;
    const int threads = variant->threaded ? v->check_case.threads : 1;
    subject s = {.all = v, .variant = variant, .out = out};
    *out = (ffl_judgement){.flip_margin = NAN, .error_statistical = NAN, .error_worst = NAN};
    if (!ffl_variant_supports(variant, &v->check_case.shape, v->pool.batch, threads, &why)) {
        tell(&s, FFL_UNSUPPORTED_HERE, "%s", why);
        return FFL_OK;
    }
    const ffl_status prepared = ffl_instance_new(variant, l, v->pool.batch, 1, &s.instance);
    if (prepared == FFL_UNSUPPORTED && variant->library == FFL_PROCESS) {
        tell(&s, FFL_UNSUPPORTED_HERE, "%s", ffl_error());
        return FFL_OK;
    }
    if (prepared != FFL_OK) {
        tell(&s, prepared == FFL_NO_MEMORY ? FFL_SKIPPED : FFL_FAILED, "prepare failed: %s", ffl_error());
        return FFL_OK;
    }
    ffl_status status = ffl_lane_new(&v->pool, &s.lane);
    if (status == FFL_OK)
        status = ffl_lane_new(&v->pool, &s.beside);
    if (status == FFL_OK && !(s.base = ffl_alloc_array(got_count(&s), sizeof *s.base)))
        status = FFL_NO_MEMORY;
    if (status == FFL_OK)
        status = try_all(&s);
    ffl_free(s.base);
    ffl_lane_free(&s.lane);
    ffl_lane_free(&s.beside);
    ffl_instance_free(&s.instance);
    return status;
}
