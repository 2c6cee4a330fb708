#include "harness/check/shrink.h"
#include "harness/check/reduce.h"
#include "harness/worker.h"
#include "harness/workload/shapes.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Parts that the first round divides an axis into; each further one four times as many. */
enum { FIRST_PARTS = 8, FINER = 4, TRIES_TO_REPEAT = 2 };

typedef struct shrinking {
    const ffl_shrink_request *request;
    const char *variant;
    ffl_capsule now; /* the smallest that fails */
    ffl_judgement found;
    char candidate[4096]; /* file of the one that is tried */
    double start_s, timeout_s;
    size_t attempts;
    ffl_attempt last; /* of `now` */
} shrinking;

static double now_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool out_of_time(const shrinking *s)
{
    return now_seconds() - s->start_s > s->request->budget_s;
}

void ffl_capsule_words(const ffl_capsule *capsule, char *out, size_t size)
{
    const ffl_layer *l = &capsule->fixture.weights.layer;
    char shape[48];
    ffl_shape_name(l, shape, sizeof shape);
    snprintf(out, size, "%s%s, width %zu to %zu, %zu row%s", shape,
             l->operation == FFL_FFF_LEAF ? " leaf tree"
             : l->operation == FFL_MOE    ? " mixture"
             : l->operation == FFL_FFF    ? ""
             : l->neurons == 1            ? " neuron"
                                          : " neurons",
             l->width_in, l->width_out, capsule->fixture.tokens, capsule->fixture.tokens == 1 ? "" : "s");
}

/* ---- The same failure? ---- */

/* The words of a reason, without the call that it happened in and without numbers. */
static void words_of(const char *reason, char *out, size_t size)
{
    static const char *const calls[] = {
        "first call: ", "second call, rows reversed: ", "again at the same address, other rows: "};
    size_t used = 0;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (strncmp(reason, calls[i], strlen(calls[i])) == 0)
            reason += strlen(calls[i]);
    for (; *reason && used + 1 < size; reason++)
        if (!isdigit((unsigned char)*reason))
            out[used++] = *reason;
    out[used] = '\0';
}

/* The same verdict; both about a row, or both about the same misbehaviour. */
static bool same_failure(const ffl_judgement *a, const ffl_judgement *b)
{
    char of_a[48], of_b[48];
    if (a->verdict != b->verdict)
        return false;
    if (a->verdict != FFL_FAILED || a->located || b->located)
        return a->verdict != FFL_FAILED || a->located == b->located;
    words_of(a->reason, of_a, sizeof of_a);
    words_of(b->reason, of_b, sizeof of_b);
    return strcmp(of_a, of_b) == 0;
}

static ffl_status attempt(shrinking *s, const ffl_capsule *capsule, ffl_attempt *out)
{
    FFL_TRY(ffl_capsule_write(s->candidate, capsule));
    s->attempts++;
    return ffl_attempt_run(s->request->options, s->candidate, s->variant, s->timeout_s,
                           s->request->in_process, out);
}

/* ---- Reducing ---- */

/* Takes these parts away if the rest still fails. */
static ffl_status try_without(shrinking *s, ffl_axis axis, size_t begin, size_t count, bool *gone)
{
    ffl_capsule smaller;
    ffl_attempt result;
    bool changed;
    *gone = false;
    FFL_TRY(ffl_capsule_reduce(&s->now, axis, begin, count, &smaller, &changed));
    if (!changed)
        return FFL_OK;
    const ffl_status status = attempt(s, &smaller, &result);
    *gone = status == FFL_OK && same_failure(&s->found, &result.judgement);
    if (*gone) {
        ffl_capsule_free(&s->now);
        s->now = smaller;
        s->last = result;
    } else {
        ffl_capsule_free(&smaller);
    }
    return status;
}

/* The fewest levels that still fail. */
static ffl_status reduce_levels(shrinking *s, bool *any)
{
    const size_t levels = ffl_axis_size(&s->now, FFL_AXIS_LEVELS);
    bool gone = false;
    for (size_t left = 1; left < levels && !gone && !out_of_time(s); left++)
        FFL_TRY(try_without(s, FFL_AXIS_LEVELS, left, levels - left, &gone));
    *any |= gone;
    return FFL_OK;
}

/* Halves first, then quarters, … down to the finest parts of this round. */
static ffl_status reduce_axis(shrinking *s, ffl_axis axis, size_t parts, bool *any)
{
    if (axis == FFL_AXIS_LEVELS)
        return reduce_levels(s, any);
    const size_t whole = ffl_axis_size(&s->now, axis);
    const size_t least = whole > parts ? whole / parts : 1;
    size_t chunk = axis >= FFL_AXIS_CALL ? whole : whole / 2;
    for (chunk = chunk ? chunk : 1; whole && chunk >= least; chunk /= 2)
        for (size_t begin = 0; begin < ffl_axis_size(&s->now, axis) && !out_of_time(s);) {
            const size_t total = ffl_axis_size(&s->now, axis);
            bool gone;
            FFL_TRY(try_without(s, axis, begin, begin + chunk < total ? chunk : total - begin, &gone));
            *any |= gone;
            if (!gone || axis >= FFL_AXIS_CALL) /* zeros stay where they are */
                begin += chunk;
        }
    return FFL_OK;
}

static size_t largest_axis(const ffl_capsule *capsule)
{
    size_t largest = 0;
    for (int axis = 0; axis < FFL_AXIS_COUNT; axis++) {
        const size_t size = ffl_axis_size(capsule, (ffl_axis)axis);
        largest = size > largest ? size : largest;
    }
    return largest;
}

/* Until a round of single elements changes nothing. */
static ffl_status reduce(shrinking *s, bool *finished)
{
    *finished = false;
    for (size_t parts = FIRST_PARTS; !*finished; parts *= FINER) {
        bool any = false;
        const size_t largest = largest_axis(&s->now);
        for (int axis = 0; axis < FFL_AXIS_COUNT && !out_of_time(s); axis++)
            FFL_TRY(reduce_axis(s, (ffl_axis)axis, parts, &any));
        if (out_of_time(s))
            return FFL_OK;
        *finished = !any && parts >= largest;
        parts = parts < largest ? parts : largest;
    }
    return FFL_OK;
}

/* ---- One case ---- */

static ffl_status repeat(shrinking *s, bool *repeated)
{
    *repeated = false;
    for (int i = 0; i < TRIES_TO_REPEAT && !*repeated; i++) {
        FFL_TRY(attempt(s, &s->now, &s->last));
        *repeated = same_failure(&s->found, &s->last.judgement);
    }
    return FFL_OK;
}

static ffl_status save(shrinking *s, ffl_shrunk *out)
{
    struct stat info;
    snprintf(s->now.found, sizeof s->now.found, "%s: %s", ffl_verdict_name(s->last.judgement.verdict),
             s->last.judgement.reason);
    const int length = snprintf(out->path, sizeof out->path, "%s/%s-%08x.safetensors", s->request->dir,
                                s->variant, (unsigned)(ffl_capsule_hash(&s->now) & 0xffffffff));
    if (length < 0 || (size_t)length >= sizeof out->path)
        return ffl_fail(FFL_BAD_INPUT, "%.64s…: the path is too long", s->request->dir);
    FFL_TRY(ffl_capsule_write(out->path, &s->now));
    out->bytes = stat(out->path, &info) == 0 ? (size_t)info.st_size : 0;
    return FFL_OK;
}

ffl_status ffl_shrink_case(const ffl_shrink_request *request, const ffl_variant *variant,
                           const ffl_check_case *item, const ffl_judgement *found, ffl_shrunk *out)
{
    shrinking s = {.request = request, .variant = variant->name, .found = *found, .start_s = now_seconds()};
    /* A kernel that hangs spends this on every attempt. */
    s.timeout_s = found->verdict == FFL_TIMEOUT ? request->budget_s / 4 : request->timeout_s;
    s.timeout_s = s.timeout_s < request->timeout_s ? s.timeout_s : request->timeout_s;
    *out = (ffl_shrunk){0};
    const int length =
        snprintf(s.candidate, sizeof s.candidate, "%s/.attempt-%ld", request->dir, (long)getpid());
    if (length < 0 || (size_t)length >= sizeof s.candidate)
        return ffl_fail(FFL_BAD_INPUT, "%.64s…: the path is too long", request->dir);
    FFL_TRY(ffl_capsule_from_case(item, variant->name, &s.now));
    if (!variant->threaded)
        s.now.threads = 1;
    ffl_capsule_words(&s.now, out->before, sizeof out->before);
    ffl_status status = repeat(&s, &out->repeated);
    if (status == FFL_OK && out->repeated)
        status = reduce(&s, &out->finished);
    if (status == FFL_OK && out->repeated)
        status = save(&s, out);
    unlink(s.candidate);
    ffl_capsule_words(&s.now, out->after, sizeof out->after);
    out->attempts = s.attempts;
    out->seconds = now_seconds() - s.start_s;
    out->last = s.last;
    ffl_capsule_free(&s.now);
    return status;
}
