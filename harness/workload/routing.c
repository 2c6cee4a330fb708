#include "harness/workload/routing.h"
#include "harness/workload/impose.h"
#include "harness/workload/leaves.h"
#include "harness/workload/parallel.h"
#include "harness/workload/random.h"
#include "harness/workload/recorded.h"
#include "kernels/memory.h"
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Prototypes: rows are centre + 0.3·noise, scaled back to unit variance: neighbours, most of them on the path
 * of their centre in the upper levels and spread in the lower ones. */
#define NOISE 0.3

/* The number after the colon must be all there is. */
static bool number_after(const char *text, const char *name, double min, double max, double *out)
{
    const size_t length = strlen(name);
    if (strncmp(text, name, length) != 0 || text[length] < '0' || text[length] > '9')
        return false;
    char *end;
    *out = strtod(text + length, &end);
    return !*end && *out >= min && *out <= max;
}

ffl_status ffl_routing_parse(const char *text, ffl_routing *out)
{
    static const struct {
        const char *name;
        ffl_routing_kind kind;
    } plain[] = {{"uniform", FFL_UNIFORM}, {"single", FFL_SINGLE}, {"thrash", FFL_THRASH}};
    static const char recorded[] = "recorded:";
    double clusters;
    *out = (ffl_routing){0};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        out->kind = plain[i].kind;
        if (strcmp(text, plain[i].name) == 0)
            return FFL_OK;
    }
    out->kind = FFL_ZIPF;
    if (number_after(text, "zipf:", 0, 20, &out->exponent))
        return FFL_OK;
    out->kind = FFL_PROTOTYPES;
    if (number_after(text, "prototypes:", 1, 1e6, &clusters) && clusters == floor(clusters)) {
        out->clusters = (size_t)clusters;
        return FFL_OK;
    }
    out->kind = FFL_RECORDED;
    if (strncmp(text, recorded, sizeof recorded - 1) == 0) {
        const char *file = text + sizeof recorded - 1;
        if (!*file || strlen(file) >= sizeof out->file)
            return ffl_fail(FFL_BAD_INPUT, "--routing %s: expected recorded:FILE, a path of 1 to %zu bytes",
                            text, sizeof out->file - 1);
        strcpy(out->file, file);
        return FFL_OK;
    }
    return ffl_fail(
        FFL_BAD_INPUT,
        "--routing %s: expected uniform, zipf:S (S from 0 to 20), prototypes:K (K from 1 to 1000000), "
        "single, thrash or recorded:FILE",
        text);
}

/* What the threads share while they make rows. */
typedef struct making {
    const ffl_layer *layer;
    const ffl_leaves *leaves;
    const double *squares; /* NULL: as drawn */
    uint64_t seed;
    const float *centres; /* prototypes: [clusters][width_in] */
    float *x;
    size_t ldx;
    atomic_bool missed, no_memory;
} making;

static void draw_row(uint64_t seed, size_t row, float *x, size_t width)
{
    ffl_random random = ffl_random_new(seed, row);
    for (size_t i = 0; i < width; i++)
        x[i] = (float)ffl_random_normal(&random);
}

/* Rows of their own, corrected along their paths when `squares` is there. */
static void make_rows(void *user, size_t begin, size_t end)
{
    making *m = user;
    uint32_t *leaf = m->squares ? ffl_alloc_array(m->layer->trees, sizeof *leaf) : NULL;
    if (m->squares && !leaf)
        atomic_store(&m->no_memory, true);
    for (size_t t = begin; t < end; t++) {
        float *x = m->x + t * m->ldx;
        draw_row(m->seed, t, x, m->layer->width_in);
        if (!leaf)
            continue;
        ffl_leaves_of(m->leaves, t, leaf);
        if (!ffl_impose_path(m->layer, m->squares, leaf, x))
            atomic_store(&m->missed, true);
    }
    ffl_free(leaf);
}

/* Rows around the centres. Their noise is what it is: which leaf it leads to is measured, not imposed. */
static void make_neighbours(void *user, size_t begin, size_t end)
{
    const making *m = user;
    const size_t width = m->layer->width_in, clusters = m->leaves->routing.clusters;
    for (size_t t = begin; t < end; t++) {
        ffl_random random = ffl_random_new(~m->seed, t);
        const float *centre = m->centres + ffl_random_below(&random, clusters) * width;
        for (size_t i = 0; i < width; i++)
            m->x[t * m->ldx + i] =
                (float)(((double)centre[i] + NOISE * ffl_random_normal(&random)) / sqrt(1 + NOISE * NOISE));
    }
}

static ffl_status make_prototypes(making *m, size_t tokens)
{
    making centres = {.layer = m->layer,
                      .leaves = m->leaves,
                      .squares = m->squares,
                      .seed = m->seed,
                      .ldx = m->layer->width_in};
    const size_t clusters = m->leaves->routing.clusters;
    centres.x = ffl_alloc_array(clusters * m->layer->width_in, sizeof *centres.x);
    if (!centres.x)
        return FFL_NO_MEMORY;
    ffl_parallel_rows(clusters, make_rows, &centres);
    m->centres = centres.x;
    ffl_parallel_rows(tokens, make_neighbours, m);
    m->missed = centres.missed;
    m->no_memory = centres.no_memory;
    ffl_free(centres.x);
    return FFL_OK;
}

static ffl_status make(const ffl_layer *layer, const ffl_routing *routing, uint64_t seed, float *x,
                       size_t ldx, size_t tokens, bool *constructed)
{
    /* More decisions than dimensions: most combinations of leaves have no row at all. */
    const bool possible = layer->trees * (layer->levels - 1) <= layer->width_in;
    ffl_leaves leaves;
    FFL_TRY(ffl_leaves_new(layer, routing, seed, &leaves));
    making m = {.layer = layer, .leaves = &leaves, .seed = seed, .x = x, .ldx = ldx};
    double *squares = possible ? ffl_alloc_array(layer->neurons, sizeof *squares) : NULL;
    ffl_status status = possible && !squares ? FFL_NO_MEMORY : FFL_OK;
    if (squares)
        ffl_impose_squares(layer, squares);
    m.squares = squares;
    if (status == FFL_OK && routing->kind == FFL_PROTOTYPES)
        status = make_prototypes(&m, tokens);
    else if (status == FFL_OK)
        ffl_parallel_rows(tokens, make_rows, &m);
    if (status == FFL_OK && m.no_memory)
        status = ffl_fail(FFL_NO_MEMORY, "no memory for the leaves of %zu trees", layer->trees);
    *constructed = possible && !m.missed;
    ffl_free(squares);
    ffl_leaves_free(&leaves);
    return status;
}

ffl_status ffl_routing_inputs(const ffl_layer *layer, const ffl_routing *routing, uint64_t seed, float *x,
                              size_t ldx, size_t tokens, ffl_routing_report *report)
{
    bool constructed = true;
    if (routing->kind == FFL_RECORDED) {
        FFL_TRY(ffl_recorded_inputs(routing->file, layer->width_in, x, ldx, tokens));
    } else if (layer->operation == FFL_FFF) {
        FFL_TRY(make(layer, routing, seed, x, ldx, tokens, &constructed));
    } else {
        making m = {.layer = layer, .seed = seed, .x = x, .ldx = ldx};
        ffl_parallel_rows(tokens, make_rows, &m);
    }
    FFL_TRY(ffl_routing_measure(layer, x, ldx, tokens, report));
    report->constructed = constructed;
    return FFL_OK;
}
