#include "harness/encoder/pass_clock.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Stretches per layer (norms twice or thrice), and beside the layers: at most. */
enum { EVENTS_PER_LAYER = 8, EVENTS_ELSEWHERE = 8 };

const char *ffl_part_name(ffl_part part)
{
    static const char *const names[] = {"embedding",  "norm",        "qkv",   "attention",
                                        "projection", "feedforward", "logits"};
    return names[part];
}

ffl_status ffl_pass_clock_new(size_t layers, size_t tokens, size_t at_once, ffl_pass_clock *out)
{
    *out = (ffl_pass_clock){
        .layer = SIZE_MAX, .event_capacity = EVENTS_PER_LAYER * layers + tokens / at_once + EVENTS_ELSEWHERE};
    out->events = calloc(out->event_capacity, sizeof *out->events);
    return out->events ? FFL_OK : ffl_fail(FFL_NO_MEMORY, "no memory for the events of a pass");
}

double ffl_pass_clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static void count_events(ffl_pass_clock *clock, ffl_part part)
{
    ffl_reading now;
    ffl_events_read(clock->counters, &now);
    for (size_t i = 0; i < clock->counters->count; i++)
        clock->counts[part][i] += now.value[i] - clock->last.value[i];
    clock->last = now;
}

void ffl_pass_clock_file(ffl_pass_clock *clock, ffl_part part, double start_ns, double ns)
{
    clock->ns[part] += ns;
    if (clock->event_count < clock->event_capacity)
        clock->events[clock->event_count++] = (ffl_encoder_event){part, clock->layer, start_ns, ns};
}

void ffl_pass_clock_count(ffl_pass_clock *clock, ffl_part part, double *start)
{
    const double now = ffl_pass_clock_ns();
    ffl_pass_clock_file(clock, part, *start, now - *start);
    *start = now;
    if (clock->counters)
        count_events(clock, part);
}

void ffl_pass_clock_clear(ffl_pass_clock *clock)
{
    memset(clock->ns, 0, sizeof clock->ns);
    clock->event_count = 0;
    memset(clock->counts, 0, sizeof clock->counts);
    if (clock->counters)
        ffl_events_read(clock->counters, &clock->last);
}

void ffl_pass_clock_free(ffl_pass_clock *clock)
{
    free(clock->events);
    *clock = (ffl_pass_clock){0};
}
