#include "harness/check/invariance.h"
#include "harness/check/findings.h"
#include "harness/check/guard.h"
#include "harness/registry.h"
#include "kernels/memory.h"
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { BESIDE_ROUNDS = 3 };

struct ffl_invariance {
    ffl_check_case check_case;
    ffl_pool pool;
    ffl_guarded_layer layer, negated; /* the pool's; the same with -w_out and -b_out, which gives -y */
    ffl_judges judges;
};

/* One variant at work. */
typedef struct subject {
    ffl_invariance *all;
    const ffl_variant *variant;
    ffl_findings findings;
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
    ffl_judges_free(&v->judges);
    ffl_pool_free(&v->pool);
    ffl_guarded_layer_free(&v->layer);
    ffl_guarded_layer_free(&v->negated);
    ffl_free(v);
}

/* ---- The ways ---- */

/* The lane's suite against the base, size by size. */
static ffl_status compare_all(subject *s, ffl_way way, const ffl_lane *lane, const char *how)
{
    const ffl_pool *pool = &s->all->pool;
    for (size_t i = 0; i < pool->size_count; i++) {
        const size_t at = (size_t)(ffl_suite_rows(lane, i) - lane->got);
        FFL_TRY(ffl_findings_compare(&s->findings, way, pool->sizes[i], lane->got + at, s->base + at, how));
    }
    return FFL_OK;
}

static size_t got_count(const subject *s)
{
    const ffl_pool *pool = &s->all->pool;
    return pool->size_count * pool->probes * pool->fixture.weights.layer.width_out;
}

/* One suite by `instance`. Rows that the setting leaves out count as the same. */
static ffl_status vary(subject *s, ffl_way way, const ffl_instance *instance, const ffl_setting *setting,
                       const char *how)
{
    memcpy(s->lane.got, s->base, got_count(s) * sizeof *s->base);
    if (ffl_suite_run(&s->lane, instance, setting) != FFL_OK) {
        ffl_outcome_broken(s->out, way, "run failed", ffl_error());
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
    const ffl_judge *judge;
    *right = false;
    FFL_TRY(ffl_findings_judge(&s->findings, &s->variant->contract, &judge));
    if (ffl_suite_run(&s->lane, &s->instance, &plain) != FFL_OK) {
        ffl_outcome_tell(s->out, FFL_FAILED, "run failed: %s", ffl_error());
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
            ffl_outcome_tell(s->out, judgement.verdict, "in batches of %zu, before anything varies: %s",
                             pool->sizes[i], judgement.reason);
    }
    *right = s->out->verdict == FFL_PASSED;
    return FFL_OK;
}

static ffl_status try_batches(subject *s)
{
    const ffl_pool *pool = &s->all->pool;
    const size_t rows = pool->probes * pool->fixture.weights.layer.width_out;
    for (size_t i = 1; i < pool->size_count; i++)
        FFL_TRY(ffl_findings_compare(&s->findings, FFL_WAY_BATCH, pool->sizes[i], s->base + i * rows, s->base,
                                     ""));
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
    ffl_outcome_broken(s->out, way, "prepare failed", ffl_error());
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
        ffl_outcome_broken(s->out, FFL_WAY_INSTANCES, "run failed",
                           first.status != FFL_OK ? first.error : second.error);
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
    subject s = {.all = v,
                 .variant = variant,
                 .findings = {.pool = &v->pool, .judges = &v->judges, .variant = variant, .out = out},
                 .out = out};
    *out = (ffl_judgement){.flip_margin = NAN, .error_statistical = NAN, .error_worst = NAN};
    if (!ffl_variant_supports(variant, &v->check_case.shape, v->pool.batch, threads, &why)) {
        ffl_outcome_tell(out, FFL_UNSUPPORTED_HERE, "%s", why);
        return FFL_OK;
    }
    const ffl_status prepared = ffl_instance_new(variant, l, v->pool.batch, 1, &s.instance);
    if (prepared == FFL_UNSUPPORTED && variant->library == FFL_PROCESS) {
        ffl_outcome_tell(out, FFL_UNSUPPORTED_HERE, "%s", ffl_error());
        return FFL_OK;
    }
    if (prepared != FFL_OK) {
        ffl_outcome_tell(out, prepared == FFL_NO_MEMORY ? FFL_SKIPPED : FFL_FAILED, "prepare failed: %s",
                         ffl_error());
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
