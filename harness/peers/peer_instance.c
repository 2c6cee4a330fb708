/* The protocol (README.md), from the lab's side. */
#include "harness/peers/peer_instance.h"
#include "harness/files/layer_file.h"
#include "harness/files/npy.h"
#include "harness/peers/peer_rows.h"
#include "harness/peers/peers.h"
#include "harness/peers/pool.h"
#include "harness/peers/room.h"
#include "kernels/memory.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SAID_MAX = 100, REASON_MAX = 400, PATH_SIZE = 320 };

typedef struct peer {
    const ffl_peer_manifest *manifest;
    ffl_program program;
    ffl_room room;
    char version[SAID_MAX + 1], notes[SAID_MAX + 1];
} peer;

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

/* ---- Replies ---- */

static bool has_only(const json_t *reply, const char *const *known, size_t count)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)reply, key, value)
    {
        bool found = false;
        for (size_t i = 0; i < count; i++)
            found = found || strcmp(key, known[i]) == 0;
        if (!found)
            return false;
    }
    return true;
}

/* A short text of one line, "" where there is none; false for anything else. */
static bool read_said(const json_t *reply, const char *key, size_t most, char *out)
{
    const json_t *value = json_object_get(reply, key);
    out[0] = '\0';
    if (!value)
        return true;
    if (!json_is_string(value) || json_string_length(value) > most)
        return false;
    for (const char *c = json_string_value(value); *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            return false;
    strcpy(out, json_string_value(value));
    return true;
}

/* {"ready": true, "version": …, "notes": …}, {"unsupported": reason} or {"error": reason}. */
static ffl_status take_ready(peer *p, const json_t *reply)
{
    static const char *const known[] = {"ready", "version", "notes"};
    char reason[REASON_MAX + 1];
    if (json_object_size(reply) == 1 && read_said(reply, "unsupported", REASON_MAX, reason) && *reason)
        return ffl_fail(FFL_UNSUPPORTED, "%s", reason);
    if (json_object_size(reply) == 1 && read_said(reply, "error", REASON_MAX, reason) && *reason)
        return ffl_fail(FFL_IO, "the program says: %s", reason); /* and goes on */
    if (json_is_true(json_object_get(reply, "ready")) && has_only(reply, known, 3) &&
        read_said(reply, "version", SAID_MAX, p->version) && read_said(reply, "notes", SAID_MAX, p->notes))
        return FFL_OK;
    return ffl_program_fail(&p->program,
                            "the program replied to prepare with neither ready nor unsupported, or "
                            "with texts that do not belong there");
}

/* `calls` positive numbers whose sum passed inside `wall` nanoseconds; into ns where it is not NULL. */
static ffl_status take_times(peer *p, const json_t *reply, const char *key, size_t calls, double wall,
                             double *ns)
{
    const json_t *list = json_object_get(reply, key);
    double sum = 0;
    if (!json_is_array(list) || json_array_size(list) != calls)
        return ffl_program_fail(&p->program, "the program's \"%s\" are not %zu numbers", key, calls);
    for (size_t i = 0; i < calls; i++) {
        const double value = json_number_value(json_array_get(list, i));
        if (!(value > 0)) /* text, zero, negative */
            return ffl_program_fail(&p->program, "the program's \"%s\" has a time that is not above 0", key);
        sum += value;
        if (ns)
            ns[i] = value;
    }
    if (!(sum <= wall))
        return ffl_program_fail(
            &p->program, "the program says that it took %.0f ns of the %.0f ns that passed", sum, wall);
    return FFL_OK;
}

static ffl_status take_done(peer *p, const json_t *reply, const ffl_plan *plan, size_t calls, double wall,
                            double *ns)
{
    static const char *const known[] = {"ns", "device_ns"};
    char reason[REASON_MAX + 1];
    const bool device = json_object_get(reply, "device_ns") != NULL;
    if (json_object_size(reply) == 1 && read_said(reply, "error", REASON_MAX, reason) && *reason)
        return ffl_fail(FFL_IO, "the program says: %s", reason); /* and goes on */
    if (!has_only(reply, known, 2))
        return ffl_program_fail(&p->program,
                                "the program replied to run with more than \"ns\" and \"device_ns\"");
    FFL_TRY(take_times(p, reply, "ns", calls, wall, ns));
    /* A host row's time is what the caller waits for; a device row's is the device's, as for native ones. */
    return device
               ? take_times(p, reply, "device_ns", calls, wall, plan->variant->place == FFL_CUDA ? ns : NULL)
               : FFL_OK;
}

/* ---- Prepare ---- */

static json_t *make_problem(const ffl_plan *plan)
{
    const ffl_layer *l = plan->layer;
    const size_t depth = l->operation == FFL_FFF ? l->levels - 1 : l->levels;
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:i, s:I}", "operation",
                     ffl_operation_names[l->operation], "trees", (json_int_t)l->trees, "depth",
                     (json_int_t)depth, "experts", (json_int_t)l->experts, "expert_width",
                     (json_int_t)l->expert_width, "chosen", (json_int_t)l->chosen, "neurons",
                     (json_int_t)l->neurons, "width_in", (json_int_t)l->width_in, "width_out",
                     (json_int_t)l->width_out, "activation", ffl_activation_names[l->activation], "threads",
                     plan->threads, "max_tokens", (json_int_t)plan->max_tokens);
}

static ffl_status ask_to_prepare(peer *p, const ffl_plan *plan, const char *weights)
{
    json_t *reply;
    json_t *arguments = p->manifest->arguments ? json_incref(p->manifest->arguments) : json_object();
    json_t *message = json_pack("{s:{s:s, s:o, s:s, s:o}}", "prepare", "variant", plan->variant->name,
                                "problem", make_problem(plan), "weights", weights, "arguments", arguments);
    if (!message)
        return ffl_fail(FFL_NO_MEMORY, "no memory for a message");
    ffl_status status = ffl_program_ask(&p->program, message, "prepare", p->manifest->prepare_s, &reply);
    json_decref(message);
    if (status == FFL_OK)
        status = take_ready(p, reply);
    json_decref(reply);
    return status;
}

static ffl_status prepare(peer *p, const ffl_layer *layer, const ffl_plan *plan)
{
    char weights[PATH_SIZE];
    if (!p->manifest->activations[layer->activation])
        return ffl_fail(FFL_UNSUPPORTED, "its manifest does not have the activation %s",
                        ffl_activation_names[layer->activation]);
    const double rows =
        (double)plan->max_tokens * (double)(layer->width_in + layer->width_out) * sizeof(float);
    FFL_TRY(ffl_room_new((double)ffl_layer_bytes(layer) + 2 * rows, &p->room));
    ffl_room_file(&p->room, "weights.safetensors", weights, sizeof weights);
    FFL_TRY(ffl_layer_file_write(weights, layer, NULL, 0, NULL));
    FFL_TRY(ffl_pool_take(p->manifest, plan->threads, &p->program));
    FFL_TRY(ask_to_prepare(p, plan, weights));
    unlink(weights); /* the program has what it needs; this is memory */
    return FFL_OK;
}

ffl_status ffl_peer_prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    peer *p = ffl_alloc(sizeof *p);
    if (!p)
        return FFL_NO_MEMORY;
    p->manifest = ffl_peer_manifest_of(plan->variant);
    plan->state = p;
    const ffl_status status = prepare(p, layer, plan);
    if (status != FFL_OK)
        ffl_peer_release(plan);
    return status;
}

void ffl_peer_release(ffl_plan *plan)
{
    peer *p = plan->state;
    ffl_pool_give(p->manifest, &p->program);
    ffl_room_free(&p->room);
    ffl_free(p);
    plan->state = NULL;
}

/* ---- Run ---- */

static ffl_status write_rows(const char *path, const float *x, size_t ldx, size_t width, size_t count)
{
    const size_t shape[] = {count, width};
    if (ldx == width)
        return ffl_npy_write(path, FFL_NPY_F32, 2, shape, x);
    float *packed = ffl_alloc_array(count * width, sizeof *packed);
    if (!packed)
        return FFL_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        memcpy(packed + i * width, x + i * ldx, width * sizeof *packed);
    const ffl_status status = ffl_npy_write(path, FFL_NPY_F32, 2, shape, packed);
    ffl_free(packed);
    return status;
}

static ffl_status read_rows(peer *p, const char *path, float *y, size_t ldy, size_t width, size_t count)
{
    ffl_npy npy;
    if (ffl_npy_read_as(path, "its output", FFL_NPY_F32, 2, &npy) != FFL_OK) {
        char why[256];
        const char *name = strstr(ffl_error(), "y.npy"); /* the folder is gone when somebody reads this */
        snprintf(why, sizeof why, "%.255s", name ? name : ffl_error());
        return ffl_program_fail(&p->program, "the program's output: %s", why);
    }
    ffl_status status = FFL_OK;
    if (npy.shape[0] != count || npy.shape[1] != width)
        status = ffl_program_fail(&p->program, "the program's output is [%zu, %zu], expected [%zu, %zu]",
                                  npy.shape[0], npy.shape[1], count, width);
    for (size_t i = 0; i < count && status == FFL_OK; i++)
        memcpy(y + i * ldy, (const float *)npy.data + i * width, width * sizeof *y);
    ffl_npy_free(&npy);
    return status;
}

static ffl_status ask_to_run(peer *p, const ffl_plan *plan, const char *input, const char *output,
                             size_t tokens, size_t calls, double *ns)
{
    json_t *reply;
    json_t *message = json_pack("{s:{s:s, s:s, s:I, s:I}}", "run", "input", input, "output", output, "tokens",
                                (json_int_t)tokens, "repetitions", (json_int_t)calls);
    if (!message)
        return ffl_fail(FFL_NO_MEMORY, "no memory for a message");
    const double start = now_ns();
    ffl_status status = ffl_program_ask(&p->program, message, "run", p->manifest->run_s, &reply);
    const double wall = now_ns() - start;
    json_decref(message);
    if (status == FFL_OK)
        status = take_done(p, reply, plan, calls, wall, ns);
    json_decref(reply);
    return status;
}

ffl_status ffl_peer_run_calls(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx,
                              float *y, size_t ldy, size_t tokens, size_t calls, double *ns)
{
    (void)exec; /* the program has been told of the threads */
    peer *p = plan->state;
    const ffl_layer *l = plan->layer;
    char input[PATH_SIZE], output[PATH_SIZE];
    if (p->program.pid == 0)
        return ffl_fail(FFL_IO, "the program is gone");
    ffl_room_file(&p->room, "x.npy", input, sizeof input);
    ffl_room_file(&p->room, "y.npy", output, sizeof output);
    unlink(output); /* what an earlier call wrote is no answer to this one */
    FFL_TRY(write_rows(input, x, ldx, l->width_in, calls * tokens));
    FFL_TRY(ask_to_run(p, plan, input, output, tokens, calls, ns));
    return read_rows(p, output, y, ldy, l->width_out, calls * tokens);
}

ffl_status ffl_peer_run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                        size_t ldy, size_t tokens)
{
    return ffl_peer_run_calls(plan, exec, x, ldx, y, ldy, tokens, 1, NULL);
}

/* ---- What it said of itself ---- */

const char *ffl_peers_version(const ffl_plan *plan)
{
    return ((const peer *)plan->state)->version;
}

const char *ffl_peers_notes(const ffl_plan *plan)
{
    return ((const peer *)plan->state)->notes;
}
