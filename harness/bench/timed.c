/* Life of a row outside its timed calls; timed_calls.c has those. */
#include "harness/bench/timed.h"
#include "harness/bench/clock.h"
#include "harness/bench/device_calls.h"
#include "harness/bench/own_calls.h"
#include "harness/bench/timed_calls.h"
#include "harness/check/checks.h"
#include "harness/device/storage.h"
#include "harness/environment.h"
#include "harness/registry.h"
#include "harness/variant_record.h"
#include "kernels/memory.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRY_TOKENS = 8, PROBE_TOKENS = 16, COMPARE_TOKENS = 1024 };

/* Seconds. Longest call that is timed at full size without --full; longest call of a reduced batch, which is
 * not ranked anyway. */
static const double call_limit = 2.0, reduced_limit = 0.5;

static void fill_routing(ffl_record *record, const ffl_routing_report *r)
{
    record->leaves_mean = r->leaves_mean;
    record->leaves_max = r->leaves_max;
    record->entropy_mean = r->entropy_mean;
    record->entropy_max = r->entropy_max;
    record->top1_mean = r->top1_mean;
    record->top1_max = r->top1_max;
    record->unique_weight_bytes = r->unique_weight_bytes;
    record->forced_margin = r->constructed ? r->margin : NAN;
}

/* Inputs are made to follow the tree's paths; which experts they ask is measured, on some of them. */
static ffl_status fill_routing_of(ffl_timed *row)
{
    enum { SAMPLE = 1024 };
    const ffl_stage *stage = row->stage;
    ffl_routing_report report = stage->routing;
    if (row->layer.experts) {
        const size_t tokens = stage->x_rows < SAMPLE ? stage->x_rows : SAMPLE;
        FFL_TRY(ffl_routing_measure(&row->layer, stage->x, row->layer.width_in, tokens, &report));
    }
    fill_routing(&row->record, &report);
    return FFL_OK;
}

/* Scratch of host variants is the stage's. */
static ffl_status open_instance(ffl_timed *row)
{
    const ffl_group *g = row->group;
    const bool device = ffl_group_on_device(g);
    FFL_TRY((device ? ffl_instance_new : ffl_instance_prepare)(row->what->variant, &row->layer, g->batch,
                                                               g->threads, &row->instance));
    return device ? ffl_device_calls_open(row) : FFL_OK;
}

ffl_status ffl_timed_open(ffl_timed *row, const ffl_group *group, const ffl_group_row *what, ffl_stage *stage)
{
    *row = (ffl_timed){.group = group, .what = what, .stage = stage, .tokens = group->batch, .burst = 1};
    ffl_group_record(group, what, &row->record);
    row->layer = ffl_stage_layer(stage, &what->shape);
    row->record.clock_ns = stage->clock_ns;
    FFL_TRY(fill_routing_of(row));
    const ffl_variant *v = what->variant;
    const char *why = "";
    if (!ffl_variant_supports(v, &what->shape, group->batch, group->threads, &why)) {
        ffl_timed_rule_out(row, FFL_UNSUPPORTED_HERE, why);
    } else {
        ffl_library_record(v, &row->record);
        const ffl_status status = open_instance(row);
        if (status == FFL_NO_MEMORY)
            ffl_timed_rule_out(row, FFL_SKIPPED, ffl_error());
        else if (status == FFL_UNSUPPORTED && v->library == FFL_PROCESS)
            ffl_timed_rule_out(row, FFL_UNSUPPORTED_HERE, ffl_error());
        else if (status != FFL_OK)
            ffl_timed_rule_out(row, FFL_FAILED, ffl_error());
        row->live = status == FFL_OK;
    }
    if (row->live && ffl_own_clock(row))
        ffl_own_describe(row);
    if (row->live) {
        row->record.pack_ns = row->instance.pack_ns;
        row->record.pack_bytes = (double)row->instance.plan.packed_bytes;
    }
    return FFL_OK;
}

static bool takes(const ffl_timed *row, size_t tokens)
{
    const char *why;
    return tokens <= row->group->batch &&
           ffl_variant_supports(row->what->variant, &row->what->shape, tokens, row->group->threads, &why);
}

/* One call on the first rows, into the warm-up outputs; its time, negative when the variant gave up. */
static double call_once(ffl_timed *row, size_t tokens)
{
    const ffl_layer *l = &row->layer;
    if (ffl_group_on_device(row->group) || ffl_own_clock(row)) {
        double seconds;
        if ((ffl_own_clock(row) ? ffl_own_call_once : ffl_device_call_once)(row, tokens, &seconds) == FFL_OK)
            return seconds;
        ffl_timed_run_failed(row);
        return -1;
    }
    const double start = ffl_clock_ns();
    if (ffl_instance_run(&row->instance, row->stage->x, l->width_in, row->stage->y_warm, l->width_out,
                         tokens) != FFL_OK) {
        ffl_timed_run_failed(row);
        return -1;
    }
    return 1e-9 * (ffl_clock_ns() - start);
}

/* One disturbed call must not cost a dense layer its full batch: that would drop the fastest baseline. */
static double shortest_call(ffl_timed *row, size_t tokens)
{
    double least = call_once(row, tokens);
    for (int i = 0; i < 2 && least >= 0 && least < 0.2; i++) {
        const double again = call_once(row, tokens);
        least = again < least ? again : least;
    }
    return least;
}

/* Right before fast: what is wrong on a few tokens is not timed at all. */
static ffl_status judge_a_few(ffl_timed *row)
{
    const size_t few = takes(row, TRY_TOKENS) ? TRY_TOKENS : row->group->batch;
    if (!ffl_check_on(FFL_CHECK_TRIED))
        return FFL_OK;
    ffl_timed_poison(row->stage->y_warm, few * row->layer.width_out);
    if (call_once(row, few) < 0)
        return FFL_OK;
    FFL_TRY(ffl_timed_check_memory(row));
    if (!row->live)
        return FFL_OK;
    FFL_TRY(ffl_timed_judge(row, row->stage->y_warm, 0, few));
    if (strcmp(row->record.verdict, ffl_verdict_name(FFL_FAILED)) == 0)
        row->live = false;
    return FFL_OK;
}

/*
 * Seconds of a call of the full batch, from calls on fewer tokens: more of them as long as the estimate
 * says too long, since a library's small products tell little about its large ones.
 */
static double estimate(ffl_timed *row)
{
    const size_t batch = row->group->batch;
    size_t tokens = takes(row, PROBE_TOKENS) ? PROBE_TOKENS : batch;
    /* Most rows of a group that is pruned will not be timed: not worth full calls of each. */
    if (row->group->prune > 0 && batch > COMPARE_TOKENS && takes(row, COMPARE_TOKENS))
        return shortest_call(row, COMPARE_TOKENS) * (double)batch / COMPARE_TOKENS;
    for (;;) {
        const double seconds = shortest_call(row, tokens);
        const double full = seconds * (double)batch / (double)tokens;
        if (seconds < 0 || tokens == batch)
            return seconds;
        if (full < 0.3)
            tokens = batch; /* affordable: measure it instead */
        else if (full > call_limit && seconds < 0.2 && takes(row, 4 * tokens))
            tokens *= 4;
        else
            return full;
    }
}

/* The largest power of two of tokens whose call stays within the lower limit. */
static void reduce(ffl_timed *row, double full)
{
    size_t tokens = 1;
    while (2 * tokens < row->group->batch &&
           2 * (double)tokens * full / (double)row->group->batch <= reduced_limit)
        tokens *= 2;
    if (!takes(row, tokens))
        return; /* this variant wants the batch whole */
    row->tokens = tokens;
    row->call_seconds = full * (double)tokens / (double)row->group->batch;
}

ffl_status ffl_timed_try(ffl_timed *row)
{
    FFL_TRY(judge_a_few(row));
    if (!row->live)
        return FFL_OK;
    row->call_seconds = estimate(row);
    if (!row->live)
        return FFL_OK;
    if (row->call_seconds > call_limit && !row->group->full && row->group->batch > 1)
        reduce(row, row->call_seconds);
    return ffl_timed_plan(row);
}

/* As the class has them: what a kernel packs besides is its own choice, and no work that has to be done. */
static double bytes_of_weight(ffl_type type)
{
    return type == FFL_INT8 ? 1 : type == FFL_BF16 || type == FFL_F16 ? 2 : sizeof(float);
}

/* Leaf trees and mixtures: measured on the tokens of one call. */
static ffl_status unique_expert_bytes(const ffl_timed *row, double *bytes)
{
    ffl_routing_report report;
    FFL_TRY(ffl_routing_measure(&row->layer, row->stage->x, row->layer.width_in, row->tokens, &report));
    *bytes = report.unique_weight_bytes;
    return FFL_OK;
}

/* Executed, and of the dense layer that it stands for. */
static ffl_status fill_work(ffl_timed *row)
{
    const ffl_layer *l = &row->layer;
    const double tokens = (double)row->tokens, widths = (double)(l->width_in + l->width_out);
    const double neurons = l->operation == FFL_FFF ? (double)(l->trees * l->levels)
                           : l->experts            ? (double)(l->chosen * l->expert_width)
                                                   : (double)l->neurons;
    /* A leaf tree asks the gates on its path, a mixture all. */
    const double gates = (double)(l->operation == FFL_FFF_LEAF ? l->levels : l->gates);
    double weights = (double)ffl_layer_bytes(l);
    if (l->operation == FFL_FFF)
        FFL_TRY(ffl_stage_unique_bytes(row->stage, row->tokens, &weights));
    else if (l->experts)
        FFL_TRY(unique_expert_bytes(row, &weights));
    row->record.flops = 2 * tokens * (neurons * widths + gates * (double)l->width_in);
    row->record.dense_flops = 2 * tokens * (double)l->neurons * widths;
    weights *= bytes_of_weight(row->what->variant->contract.weights) / sizeof(float);
    row->record.bytes =
        weights + tokens * widths * (double)ffl_storage_size(row->what->variant->contract.storage);
    if (row->what->variant->cost)
        row->what->variant->cost(&row->instance.plan, row->tokens, &row->record.flops, &row->record.bytes);
    return FFL_OK;
}

ffl_status ffl_timed_finish(ffl_timed *row)
{
    ffl_record *r = &row->record;
    r->tokens = (int64_t)row->tokens;
    r->calls = (int64_t)row->timed;
    if (!row->live || row->timed == 0)
        return FFL_OK;
    FFL_TRY(ffl_samples_from(row->ns, row->timed, &r->samples));
    ffl_samples_median(&r->samples, &r->median_ns, &r->low_ns, &r->high_ns);
    r->min_ns = ffl_samples_quantile(&r->samples, 0);
    double sum = 0;
    for (size_t i = 0; i < row->timed; i++)
        sum += row->ns[i];
    r->mean_ns = sum / (double)row->timed;
    if (row->tokens == 1)
        r->p99_ns = ffl_samples_quantile(&r->samples, 0.99);
    r->ns_per_token = r->median_ns / (double)row->tokens;
    if (ffl_own_clock(row))
        FFL_TRY(ffl_own_finish(row));
    return fill_work(row);
}

void ffl_timed_close(ffl_timed *row)
{
    ffl_device_calls_close(row);
    if (row->group && !ffl_group_on_device(row->group))
        row->instance.exec.scratch = NULL; /* lent by the stage */
    if (row->instance.plan.variant)
        ffl_instance_free(&row->instance);
    ffl_record_free(&row->record);
    free(row->ns);
    free(row->wall_ns);
    ffl_sample_free(&row->sample);
    *row = (ffl_timed){0};
}
