#include "harness/check/ways.h"
#include "kernels/variant.h"
#include <string.h>

static const struct {
    const char *name, *phrase;
    unsigned promise;
} ways[FFL_WAY_COUNT] = {
    [FFL_WAY_RUNS] = {"run-to-run", "called again", FFL_SAME_RUN_TO_RUN},
    [FFL_WAY_THREADS] = {"threads", "with other numbers of threads", FFL_SAME_THREADS},
    [FFL_WAY_BATCH] = {"batch", "in batches of other sizes", FFL_SAME_BATCH},
    [FFL_WAY_NEIGHBOURS] = {"neighbours", "among rows of NaN", FFL_SAME_BATCH},
    [FFL_WAY_PERMUTED] = {"permuted", "in another order", FFL_SAME_BATCH},
    [FFL_WAY_SPLIT] = {"split", "in two calls", FFL_SAME_BATCH},
    [FFL_WAY_ADDRESS] = {"address", "at other addresses", FFL_SAME_PLACE},
    [FFL_WAY_STRIDE] = {"stride", "with padded rows", FFL_SAME_PLACE},
    [FFL_WAY_INSTANCES] = {"instances", "beside another instance", FFL_SAME_RUN_TO_RUN},
    [FFL_WAY_DENORMALS] = {"denormals", "while the caller flushes denormals", 0},
    [FFL_WAY_PATH] = {"path", "by the names of the nodes", 0},
    [FFL_WAY_MIRROR] = {"mirror", "on the mirrored trees", 0},
    [FFL_WAY_SCALED_OUT] = {"scaled-out", "with w_out scaled", 0},
    [FFL_WAY_SCALED_IN] = {"scaled-in", "with x and w_in scaled", 0},
    [FFL_WAY_LAST_LEVEL] = {"last-level", "without the last level", 0},
    [FFL_WAY_RELABELLED] = {"relabelled", "with trees in another order", 0},
};

static const char *const outcome_names[] = {"not tried", "bitwise", "within bound", "broken"};

const char *ffl_way_name(ffl_way way)
{
    return ways[way].name;
}

const char *ffl_way_phrase(ffl_way way)
{
    return ways[way].phrase;
}

const char *ffl_way_outcome_name(ffl_way_outcome outcome)
{
    return outcome_names[outcome];
}

unsigned ffl_way_promise(ffl_way way)
{
    return ways[way].promise;
}

void ffl_way_outcomes_merge(ffl_way_outcomes *into, const ffl_way_outcomes *from)
{
    for (int w = 0; w < FFL_WAY_COUNT; w++)
        if (from->way[w] > into->way[w])
            into->way[w] = from->way[w];
}

json_t *ffl_way_outcomes_to_json(const ffl_way_outcomes *outcomes)
{
    json_t *json = NULL;
    for (int w = 0; w < FFL_WAY_COUNT; w++) {
        if (outcomes->way[w] == FFL_NOT_TRIED)
            continue;
        json = json ? json : json_object();
        json_object_set_new(json, ways[w].name, json_string(outcome_names[outcomes->way[w]]));
    }
    return json;
}

void ffl_way_outcomes_from_json(const json_t *json, ffl_way_outcomes *out)
{
    *out = (ffl_way_outcomes){{0}};
    for (int w = 0; w < FFL_WAY_COUNT; w++) {
        const char *text = json_string_value(json_object_get(json, ways[w].name));
        for (int outcome = FFL_BITWISE; text && outcome <= FFL_BROKEN; outcome++)
            if (strcmp(text, outcome_names[outcome]) == 0)
                out->way[w] = (unsigned char)outcome;
    }
}
