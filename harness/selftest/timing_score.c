#include "harness/selftest/slowed.h"
#include "harness/selftest/timing.h"
#include "reports/change.h"
#include <stdio.h>
#include <stdlib.h>

static const double margin = 0.02, wanted_share = 0.95, useful_share = 0.75;

ffl_timing_score ffl_timing_score_new(void)
{
    static const size_t pairs[FFL_TIMING_STEPS] = {20, 40, 60, 80, 120, FFL_TIMING_PAIRS};
    ffl_timing_score score = {.planted_low = 1};
    for (size_t i = 0; i < FFL_TIMING_STEPS; i++)
        score.step[i].pairs = pairs[i];
    return score;
}

/* Of `count` values taken evenly from all, so that every seat has its share. */
static ffl_change change_of(const double *logs, size_t all, size_t count, double *room)
{
    for (size_t i = 0; i < count; i++)
        room[i] = logs[i * all / count];
    const ffl_effect effect = ffl_effect_of_pairs(room, count, 0.95);
    return ffl_change_of(&effect, margin);
}

ffl_status ffl_timing_score_add(ffl_timing_score *score, const ffl_pairs *pairs)
{
    double *room = calloc(pairs->count + 1, sizeof *room);
    if (!room)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the score of a self-test");
    for (size_t i = 0; i < FFL_TIMING_STEPS; i++) {
        ffl_timing_step *step = &score->step[i];
        const size_t count = step->pairs < pairs->count ? step->pairs : pairs->count;
        const ffl_change twin = change_of(pairs->log_ratio[FFL_TWIN], pairs->count, count, room);
        step->same += twin == FFL_SAME;
        step->claimed += twin == FFL_SLOWER || twin == FFL_FASTER;
        step->found += change_of(pairs->log_ratio[FFL_SLOWED], pairs->count, count, room) == FFL_SLOWER;
    }
    score->twins++;
    score->planted_low = pairs->planted < score->planted_low ? pairs->planted : score->planted_low;
    score->planted_high = pairs->planted > score->planted_high ? pairs->planted : score->planted_high;
    free(room);
    return FFL_OK;
}

static bool holds(const ffl_timing_score *score, const ffl_timing_step *step)
{
    const double least = wanted_share * (double)score->twins;
    return score->twins && (double)(score->twins - step->claimed) >= least && (double)step->found >= least;
}

bool ffl_timing_score_holds(const ffl_timing_score *score)
{
    return holds(score, &score->step[FFL_TIMING_STEPS - 1]);
}

size_t ffl_timing_score_size(const ffl_timing_score *score)
{
    size_t pairs = 0;
    for (size_t i = FFL_TIMING_STEPS; i-- > 0;) {
        const ffl_timing_step *step = &score->step[i];
        if (!holds(score, step) || (double)step->same < useful_share * (double)score->twins)
            break;
        pairs = step->pairs;
    }
    return pairs;
}

static json_t *share_to_json(size_t hits, size_t count)
{
    double low, high;
    ffl_share_interval(hits, count, &low, &high);
    return json_pack("{s:I, s:f, s:f}", "count", (json_int_t)hits, "low", low, "high", high);
}

json_t *ffl_timing_score_to_json(const ffl_timing_score *score)
{
    json_t *steps = json_array();
    for (size_t i = 0; i < FFL_TIMING_STEPS; i++) {
        const ffl_timing_step *step = &score->step[i];
        json_array_append_new(steps, json_pack("{s:I, s:o, s:o, s:o}", "pairs", (json_int_t)step->pairs,
                                               "no_difference",
                                               share_to_json(score->twins - step->claimed, score->twins),
                                               "same", share_to_json(step->same, score->twins),
                                               "slowdown_found", share_to_json(step->found, score->twins)));
    }
    return json_pack("{s:I, s:f, s:f, s:f, s:b, s:I, s:o}", "comparisons", (json_int_t)score->twins,
                     "planted", FFL_SLOWED_SHARE, "planted_low", score->planted_low, "planted_high",
                     score->planted_high, "holds", ffl_timing_score_holds(score), "pairs",
                     (json_int_t)ffl_timing_score_size(score), "steps", steps);
}

static void print_share(size_t hits, size_t count)
{
    double low, high;
    ffl_share_interval(hits, count, &low, &high);
    printf("  %4zu  %5.1f %% [%3.0f, %3.0f]", hits, 100 * (double)hits / (double)count, 100 * low,
           100 * high);
}

void ffl_timing_score_print(const ffl_timing_score *score)
{
    printf("%zu comparisons of a program with itself, and as many with %.1f %% to %.1f %% planted\n\n",
           score->twins, 100 * score->planted_low, 100 * score->planted_high);
    printf("%5s  %24s  %24s  %24s\n", "pairs", "itself: no difference", "of these SAME", "slowdown: SLOWER");
    for (size_t i = 0; i < FFL_TIMING_STEPS; i++) {
        printf("%5zu", score->step[i].pairs);
        print_share(score->twins - score->step[i].claimed, score->twins);
        print_share(score->step[i].same, score->twins);
        print_share(score->step[i].found, score->twins);
        putchar('\n');
    }
}
