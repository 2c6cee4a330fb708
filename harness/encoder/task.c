#include "harness/encoder/task.h"
#include "harness/files/npy.h"
#include "harness/workload/random.h"
#include "kernels/memory.h"
#include <math.h>
#include <string.h>

enum { SEQUENCE_MAX = 1 << 20, STREAM_IDS = 77 };

static const char *or_empty(const ffl_options *options, ffl_option option)
{
    return ffl_option_given(options, option) ? options->value[option] : "";
}

ffl_status ffl_encoder_task_request(const ffl_options *options, const ffl_encoder_point *point, json_t **out)
{
    static const ffl_option sources[] = {FFL_OPT_PRESET, FFL_OPT_CONFIG, FFL_OPT_CHECKPOINT};
    const char *preset = or_empty(options, FFL_OPT_PRESET);
    size_t given = 0, positions;
    uint64_t seed;
    for (size_t i = 0; i < 3; i++)
        given += ffl_option_given(options, sources[i]);
    if (given > 1)
        return ffl_fail(FFL_BAD_INPUT, "give one of --preset, --config and --checkpoint");
    FFL_TRY(ffl_option_size(options, FFL_OPT_POSITIONS, 1, SEQUENCE_MAX, 0, &positions));
    FFL_TRY(ffl_option_seed(options, 1, &seed));
    if (positions && ffl_option_given(options, FFL_OPT_CHECKPOINT))
        return ffl_fail(FFL_BAD_INPUT, "--positions %zu: a checkpoint brings its own table", positions);
    *out = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "preset",
                     given ? preset : "ultrafastbert-1x11", "config", or_empty(options, FFL_OPT_CONFIG),
                     "checkpoint", or_empty(options, FFL_OPT_CHECKPOINT), "tokens",
                     or_empty(options, FFL_OPT_TOKENS), "mask", or_empty(options, FFL_OPT_MASK), "types",
                     or_empty(options, FFL_OPT_TOKEN_TYPES), "batch", (json_int_t)point->batch, "sequence",
                     (json_int_t)point->sequence, "neurons", (json_int_t)point->neurons, "positions",
                     (json_int_t)positions, "seed", (json_int_t)seed);
    return *out ? FFL_OK : ffl_fail(FFL_BAD_INPUT, "a path that is not UTF-8");
}

static const char *text(const json_t *request, const char *key)
{
    const char *value = json_string_value(json_object_get(request, key));
    return value ? value : "";
}

static size_t number(const json_t *request, const char *key)
{
    return (size_t)json_integer_value(json_object_get(request, key));
}

static ffl_status unknown_preset(const char *name)
{
    char all[768] = "";
    for (size_t i = 0; i < ffl_encoder_preset_count(); i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? ", " : "",
                 ffl_encoder_preset_name(i));
    return ffl_fail(FFL_BAD_INPUT, "--preset %s: expected one of %s, or custom:layers=…", name, all);
}

static ffl_status take_preset(const char *name, ffl_encoder_config *out)
{
    static const char custom[] = "custom:";
    if (strncmp(name, custom, sizeof custom - 1) != 0)
        return ffl_encoder_preset(name, out) ? FFL_OK : unknown_preset(name);
    const ffl_status status = ffl_encoder_custom(name + sizeof custom - 1, out);
    return status == FFL_OK ? FFL_OK : ffl_fail(status, "--preset %.100s: %s", name, ffl_error());
}

static ffl_status open_weights(const json_t *request, bool seeded, ffl_encoder_task *out)
{
    ffl_encoder_config *config = &out->weights.config;
    const size_t positions = number(request, "positions");
    if (*text(request, "checkpoint")) {
        FFL_TRY(ffl_encoder_weights_load(text(request, "checkpoint"), &out->weights));
        out->layers = config->layers;
        return FFL_OK;
    }
    if (*text(request, "config"))
        FFL_TRY(ffl_encoder_config_read(text(request, "config"), config));
    else
        FFL_TRY(take_preset(text(request, "preset"), config));
    if (positions)
        config->position_rows = positions + config->position_offset;
    FFL_TRY(ffl_encoder_config_check(config));
    const size_t timed = number(request, "layers_timed");
    out->layers = config->layers;
    config->layers = timed && timed < config->layers ? timed : config->layers;
    const ffl_encoder_config kept = *config;
    return seeded ? ffl_encoder_weights_seeded(&kept, number(request, "seed"), &out->weights) : FFL_OK;
}

/* [batch, sequence] of whole numbers. */
static ffl_status read_integers(const char *path, const char *option, ffl_npy *out)
{
    const ffl_status status = ffl_npy_read(path, out);
    if (status != FFL_OK)
        return ffl_fail(status, "%s %s", option, ffl_error());
    if (out->dimensions == 2 && (out->type == FFL_NPY_I32 || out->type == FFL_NPY_I64))
        return FFL_OK;
    ffl_npy_free(out);
    return ffl_fail(FFL_BAD_INPUT, "%s %s: expected int32 or int64 of shape [batch, sequence]", option, path);
}

static int64_t at(const ffl_npy *npy, size_t i)
{
    return npy->type == FFL_NPY_I32 ? ((const int32_t *)npy->data)[i] : ((const int64_t *)npy->data)[i];
}

/* The shape of a file must be what --batch and --seq (0: not given) say. */
static ffl_status check_shape(const char *option, const char *path, const ffl_npy *npy, size_t batch,
                              size_t sequence)
{
    if ((batch && npy->shape[0] != batch) || (sequence && npy->shape[1] != sequence))
        return ffl_fail(FFL_BAD_INPUT, "%s %s: [%zu, %zu]; expected %zu sequences of %zu tokens", option,
                        path, npy->shape[0], npy->shape[1], batch ? batch : npy->shape[0],
                        sequence ? sequence : npy->shape[1]);
    return FFL_OK;
}

static ffl_status read_tokens(const json_t *request, ffl_encoder_task *out)
{
    const char *path = text(request, "tokens");
    ffl_npy npy;
    FFL_TRY(read_integers(path, "--tokens", &npy));
    ffl_status status =
        check_shape("--tokens", path, &npy, number(request, "batch"), number(request, "sequence"));
    if (status == FFL_OK && !(out->ids = ffl_alloc_array(npy.count, sizeof *out->ids)))
        status = FFL_NO_MEMORY;
    out->input.batch = npy.shape[0];
    out->input.sequence = npy.shape[1];
    for (size_t i = 0; i < npy.count && status == FFL_OK; i++) {
        const int64_t id = at(&npy, i);
        out->ids[i] = id < 0 || id > INT32_MAX ? -1 : (int32_t)id;
        if (id < 0 || (uint64_t)id >= out->weights.config.vocabulary)
            status =
                ffl_fail(FFL_BAD_INPUT, "--tokens %s: [%zu, %zu] is %lld; the vocabulary has %zu words", path,
                         i / npy.shape[1], i % npy.shape[1], (long long)id, out->weights.config.vocabulary);
    }
    ffl_npy_free(&npy);
    return status;
}

/* Zipf's law: the word of rank r with weight 1/r; ids are ranks, as most vocabularies are sorted. */
static ffl_status draw_tokens(const json_t *request, ffl_encoder_task *out)
{
    const ffl_encoder_config *c = &out->weights.config;
    const size_t batch = number(request, "batch"), sequence = number(request, "sequence");
    const size_t longest = ffl_encoder_longest(c);
    out->input.batch = batch ? batch : 8;
    out->input.sequence = sequence ? sequence : longest < 128 ? longest : 128;
    const size_t count = out->input.batch * out->input.sequence;
    out->ids = ffl_alloc_array(count, sizeof *out->ids);
    if (!out->ids)
        return FFL_NO_MEMORY;
    ffl_random random = ffl_random_new(number(request, "seed"), STREAM_IDS);
    for (size_t i = 0; i < count; i++) {
        size_t id = (size_t)pow((double)c->vocabulary, ffl_random_uniform(&random)) - 1;
        if (c->positions == FFL_LEARNED_SKIPPING_PADDING && id == c->padding_id)
            id++;
        out->ids[i] = (int32_t)(id < c->vocabulary ? id : 0);
    }
    return FFL_OK;
}

static ffl_status read_mask(const json_t *request, ffl_encoder_task *out)
{
    const char *path = text(request, "mask");
    ffl_npy npy;
    if (!*path)
        return FFL_OK;
    FFL_TRY(read_integers(path, "--mask", &npy));
    ffl_status status = check_shape("--mask", path, &npy, out->input.batch, out->input.sequence);
    if (status == FFL_OK && !(out->mask = ffl_alloc(npy.count)))
        status = FFL_NO_MEMORY;
    for (size_t i = 0; i < npy.count && status == FFL_OK; i++) {
        out->mask[i] = at(&npy, i) == 1;
        if (at(&npy, i) != 0 && at(&npy, i) != 1)
            status =
                ffl_fail(FFL_BAD_INPUT, "--mask %s: [%zu, %zu] is %lld; expected 1 (a token) or 0 (padding)",
                         path, i / npy.shape[1], i % npy.shape[1], (long long)at(&npy, i));
    }
    ffl_npy_free(&npy);
    return status;
}

static ffl_status set_dense_neurons(size_t neurons, ffl_encoder_weights *weights)
{
    const ffl_encoder_config *c = &weights->config;
    weights->dense_neurons = neurons;
    if (neurons && c->operation == FFL_FF && neurons != c->neurons)
        return ffl_fail(FFL_BAD_INPUT, "--neurons %zu: this encoder's layers are dense and have %zu", neurons,
                        c->neurons);
    if (neurons > c->neurons)
        return ffl_fail(FFL_BAD_INPUT, "--neurons %zu: the trees of this encoder have %zu", neurons,
                        c->neurons);
    return FFL_OK;
}

static ffl_status read_types(const json_t *request, ffl_encoder_task *out)
{
    const char *path = text(request, "types");
    const size_t count = out->weights.config.token_types;
    ffl_npy npy;
    if (!*path)
        return FFL_OK;
    FFL_TRY(read_integers(path, "--token-types", &npy));
    ffl_status status = check_shape("--token-types", path, &npy, out->input.batch, out->input.sequence);
    if (status == FFL_OK && !(out->types = ffl_alloc_array(npy.count, sizeof *out->types)))
        status = FFL_NO_MEMORY;
    for (size_t i = 0; i < npy.count && status == FFL_OK; i++) {
        if (at(&npy, i) < 0 || (uint64_t)at(&npy, i) >= count)
            status = ffl_fail(FFL_BAD_INPUT, "--token-types %s: [%zu, %zu] is %lld; the model has %zu types",
                              path, i / npy.shape[1], i % npy.shape[1], (long long)at(&npy, i), count);
        else
            out->types[i] = (int32_t)at(&npy, i);
    }
    ffl_npy_free(&npy);
    return status;
}

static ffl_status open_task(const json_t *request, bool seeded, ffl_encoder_task *out)
{
    FFL_TRY(open_weights(request, seeded, out));
    FFL_TRY(set_dense_neurons(number(request, "neurons"), &out->weights));
    FFL_TRY(*text(request, "tokens") ? read_tokens(request, out) : draw_tokens(request, out));
    FFL_TRY(read_mask(request, out));
    FFL_TRY(read_types(request, out));
    out->input.ids = out->ids;
    out->input.mask = out->mask;
    out->input.types = out->types;
    return ffl_encoder_input_check(&out->weights.config, &out->input);
}

ffl_status ffl_encoder_task_open(const json_t *request, bool seeded, ffl_encoder_task *out)
{
    *out = (ffl_encoder_task){.ids = NULL};
    const ffl_status status = open_task(request, seeded, out);
    if (status != FFL_OK)
        ffl_encoder_task_close(out);
    return status;
}

void ffl_encoder_task_close(ffl_encoder_task *task)
{
    ffl_encoder_weights_free(&task->weights);
    ffl_free(task->ids);
    ffl_free(task->mask);
    ffl_free(task->types);
    *task = (ffl_encoder_task){.ids = NULL};
}
