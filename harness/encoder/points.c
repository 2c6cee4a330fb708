#include "harness/encoder/points.h"
#include <stdlib.h>

enum { BATCH_MAX = 1 << 16, SEQUENCE_MAX = 1 << 20, NEURONS_MAX = 1 << 30 };

/* One point with a 0 when the option is not given. */
static ffl_status read_list(const ffl_options *options, ffl_option option, size_t most, ffl_size_list *out)
{
    *out = (ffl_size_list){.count = 1};
    return ffl_option_given(options, option) ? ffl_option_size_list(options, option, 1, most, "", out)
                                             : FFL_OK;
}

static ffl_status check_single(const ffl_options *options, size_t count)
{
    static const ffl_option single[] = {FFL_OPT_TOKENS, FFL_OPT_DUMP, FFL_OPT_TRACE, FFL_OPT_RECORD};
    for (size_t i = 0; i < sizeof single / sizeof *single; i++)
        if (count > 1 && ffl_option_given(options, single[i]))
            return ffl_fail(FFL_BAD_INPUT,
                            "%s %s: of one model and size; --batch, --seq and --neurons ask for %zu",
                            ffl_option_name(single[i]), options->value[single[i]], count);
    return FFL_OK;
}

static size_t tokens(const ffl_encoder_point *p)
{
    return p->batch * p->sequence;
}

static int smaller(const void *a, const void *b)
{
    const ffl_encoder_point *x = a, *y = b;
    if (tokens(x) != tokens(y))
        return tokens(x) > tokens(y) ? 1 : -1;
    if (x->sequence != y->sequence)
        return x->sequence > y->sequence ? 1 : -1;
    return (x->neurons > y->neurons) - (x->neurons < y->neurons);
}

ffl_status ffl_encoder_points_from(const ffl_options *options, ffl_encoder_points *out)
{
    ffl_size_list batch, sequence, neurons;
    *out = (ffl_encoder_points){0};
    FFL_TRY(read_list(options, FFL_OPT_BATCH, BATCH_MAX, &batch));
    FFL_TRY(read_list(options, FFL_OPT_SEQ, SEQUENCE_MAX, &sequence));
    FFL_TRY(read_list(options, FFL_OPT_NEURONS, NEURONS_MAX, &neurons));
    const size_t count = batch.count * sequence.count * neurons.count;
    FFL_TRY(check_single(options, count));
    out->value = calloc(count, sizeof *out->value);
    if (!out->value)
        return ffl_fail(FFL_NO_MEMORY, "no memory for %zu points", count);
    for (size_t b = 0; b < batch.count; b++)
        for (size_t s = 0; s < sequence.count; s++)
            for (size_t n = 0; n < neurons.count; n++)
                out->value[out->count++] = (ffl_encoder_point){
                    .batch = batch.value[b], .sequence = sequence.value[s], .neurons = neurons.value[n]};
    /* What is cheap is known first, and a budget that runs out leaves out the largest. */
    qsort(out->value, out->count, sizeof *out->value, smaller);
    return FFL_OK;
}

void ffl_encoder_points_free(ffl_encoder_points *points)
{
    free(points->value);
    *points = (ffl_encoder_points){0};
}
