/* `fflab published`: times what was published, as it was published, beside the same loops put right. */
#define _GNU_SOURCE
#include "harness/bench/clock.h"
#include "harness/bench/pin.h"
#include "harness/commands.h"
#include "harness/journal.h"
#include "harness/published/forms.h"
#include "harness/registry.h"
#include "harness/variant_record.h"
#include "harness/worker.h"
#include "harness/workload/random.h"
#include "harness/workload/shapes.h"
#include "harness/workload/weights.h"
#include "kernels/memory.h"
#include "kernels/reference.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { ROUNDS = 5, FORMS_MAX = 16, JUDGED = 16, DENSE_TOKENS = 1024 };

typedef struct session {
    ffl_weights weights;
    ffl_layer dense; /* the same weights */
    const ffl_blas *blas;
    float *x, *y;
    float *unwritten; /* never written: maps to the zero page */
    size_t unwritten_bytes, batch;
    uint64_t seed;
    char cpus[64];
    double ns[FORMS_MAX][ROUNDS];
} session;

static size_t tokens_of(const session *s, const ffl_published_form *form)
{
    return form->dense && s->batch > DENSE_TOKENS ? DENSE_TOKENS : s->batch;
}

static ffl_status open_session(const ffl_options *options, session *s)
{
    ffl_shape_list shapes;
    FFL_TRY(ffl_shapes_from_options(options, &shapes));
    FFL_TRY(ffl_option_size(options, FFL_OPT_BATCH, 1, 1 << 20, 16384, &s->batch));
    FFL_TRY(ffl_option_seed(options, 1, &s->seed));
    if (ffl_option_given(options, FFL_OPT_CPUS))
        snprintf(s->cpus, sizeof s->cpus, "%s", options->value[FFL_OPT_CPUS]);
    else
        ffl_pin_first(s->cpus, sizeof s->cpus);
    FFL_TRY(ffl_pin(s->cpus));
    const ffl_layer *shape = &shapes.value[0].tree;
    FFL_TRY(ffl_weights_new(shape, false, &s->weights));
    ffl_weights_randomise(&s->weights, s->seed);
    s->dense = ffl_layer_dense(&s->weights.layer, shape->neurons);
    s->x = ffl_alloc_array(s->batch, shape->width_in * sizeof *s->x);
    s->y = ffl_alloc_array(s->batch, shape->width_out * sizeof *s->y);
    const size_t weights = ffl_layer_bytes(shape), inputs = s->batch * shape->width_in * sizeof *s->x;
    s->unwritten_bytes = weights > inputs ? weights : inputs;
    s->unwritten = mmap(NULL, s->unwritten_bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!s->x || !s->y || s->unwritten == MAP_FAILED)
        return ffl_fail(FFL_NO_MEMORY, "no memory for %zu tokens", s->batch);
    ffl_random random = ffl_random_new(s->seed, 1);
    for (size_t i = 0; i < s->batch * shape->width_in; i++)
        s->x[i] = (float)ffl_random_normal(&random);
    return FFL_OK;
}

static void close_session(session *s)
{
    ffl_weights_free(&s->weights);
    ffl_free(s->x);
    ffl_free(s->y);
    if (s->unwritten && s->unwritten != MAP_FAILED)
        munmap(s->unwritten, s->unwritten_bytes);
}

static ffl_status call(session *s, const ffl_published_form *form)
{
    return ffl_published_run(form, form->dense ? &s->dense : &s->weights.layer, s->blas, s->unwritten, s->x,
                             s->y, tokens_of(s, form));
}

/* Is the output that of the layer it claims to be? Coarsely: f32 sums of these sizes are 1000 times better.
 */
static ffl_status judge(session *s, const ffl_published_form *form, bool *right, char reason[256])
{
    const ffl_layer *layer = form->dense ? &s->dense : &s->weights.layer;
    const size_t width = layer->width_out, tokens = tokens_of(s, form),
                 rows = tokens < JUDGED ? tokens : JUDGED;
    double *expected = ffl_alloc_array(rows, width * sizeof *expected), scale = 0;
    *right = true;
    if (!expected)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the reference");
    /* The last rows: where all rows are row 0, only that one may be right. */
    const float *x = s->x + (tokens - rows) * layer->width_in, *y = s->y + (tokens - rows) * width;
    ffl_status status = form->dense
                            ? ffl_reference(layer, x, layer->width_in, rows, expected, NULL, NULL)
                            : ffl_reference_walk(layer, x, layer->width_in, rows, expected, NULL, NULL);
    for (size_t i = 0; i < rows * width; i++)
        scale = fmax(scale, fabs(expected[i]));
    for (size_t i = 0; status == FFL_OK && *right && i < rows * width; i++)
        if (!(fabs(y[i] - expected[i]) <= 1e-3 * scale)) {
            *right = false;
            snprintf(reason, 256, "row %zu, element %zu: got %.6g, expected %.6g", tokens - rows + i / width,
                     i % width, (double)y[i], expected[i]);
        }
    ffl_free(expected);
    return status;
}

static void fill_record(const session *s, const ffl_published_form *form, ffl_record *r)
{
    const ffl_layer *tree = &s->weights.layer;
    char shape[32];
    ffl_record_init(r);
    ffl_shape_name(tree, shape, sizeof shape);
    strcpy(r->kind, "published");
    snprintf(r->group, sizeof r->group, "published/%s/width:%zu/batch:%zu/seed:%llu", shape, tree->width_in,
             s->batch, (unsigned long long)s->seed);
    snprintf(r->key, sizeof r->key, "%s/%.400s", form->name, r->group);
    snprintf(r->command, sizeof r->command, "./fflab published --tree %s --width %zu --batch %zu --seed %llu",
             shape, tree->width_in, s->batch, (unsigned long long)s->seed);
    snprintf(r->variant, sizeof r->variant, "%s", form->name);
    strcpy(r->operation, form->dense ? "ff" : "fff");
    strcpy(r->family, form->dense ? "blas3" : "blas1");
    snprintf(r->library, sizeof r->library, "%s", ffl_library_name(s->blas->library));
    snprintf(r->kernel_family, sizeof r->kernel_family, "%.60s", s->blas->family);
    strcpy(r->isa, "base");
    strcpy(r->clazz, "f32");
    strcpy(r->place, "host");
    ffl_layer computed = *tree;
    computed.operation = form->dense ? FFL_FF : FFL_FFF;
    ffl_shape_record(&computed, r);
    strcpy(r->routing, "as-drawn");
    strcpy(r->cache, "hot");
    snprintf(r->cpus, sizeof r->cpus, "%s", s->cpus);
    r->batch = (int64_t)s->batch;
    r->tokens = (int64_t)tokens_of(s, form);
    r->threads = 1;
    r->seed = s->seed;
    r->calls = ROUNDS;
}

/* One line on the terminal and one in the journal. */
static ffl_status write_form(session *s, const ffl_published_form *form, size_t f, ffl_journal *journal,
                             bool *as_expected)
{
    ffl_record r;
    bool right;
    char reason[256] = "";
    FFL_TRY(call(s, form));
    FFL_TRY(judge(s, form, &right, reason));
    *as_expected = *as_expected && right == !form->wrong;
    fill_record(s, form, &r);
    strcpy(r.verdict, right ? "PASSED" : "FAILED");
    snprintf(r.reason, sizeof r.reason, "%s%.100s%s%.250s", form->wrong ? "as published, wrong: " : "",
             form->what, reason[0] ? "; " : "", reason);
    ffl_status status = ffl_samples_from(s->ns[f], ROUNDS, &r.samples);
    if (status == FFL_OK) {
        ffl_samples_median(&r.samples, &r.median_ns, &r.low_ns, &r.high_ns);
        r.min_ns = ffl_samples_quantile(&r.samples, 0);
        r.ns_per_token = r.median_ns / (double)r.tokens;
        printf("  %-28s %10.0f ns per token  %-6s  %s\n", form->name, r.ns_per_token, r.verdict, form->what);
        status = ffl_journal_write(journal, &r);
    }
    ffl_record_free(&r);
    return status;
}

static ffl_status time_all(session *s)
{
    for (size_t round = 0; round <= ROUNDS; round++) /* the first one warms up */
        for (size_t f = 0; ffl_published_forms[f].name; f++) {
            if (ffl_interrupted())
                return ffl_fail(FFL_INTERRUPTED, "interrupted");
            const double start = ffl_clock_ns();
            FFL_TRY(call(s, &ffl_published_forms[f]));
            if (round)
                s->ns[f][round - 1] = ffl_clock_ns() - start;
        }
    return FFL_OK;
}

/* --resume: all of them are there. They are timed in turns, so none is timed alone. */
static bool is_finished(const session *s, const ffl_journal *journal)
{
    ffl_record r;
    for (const ffl_published_form *form = ffl_published_forms; form->name; form++) {
        fill_record(s, form, &r);
        if (!ffl_journal_has(journal, r.key))
            return false;
    }
    return true;
}

static ffl_status measure(const ffl_options *options, session *s, ffl_journal *journal, int *exit_code)
{
    bool as_expected = true;
    size_t part, parts;
    FFL_TRY(ffl_option_shard(options, &part, &parts));
    if (part != 1) { /* timed in turns, these forms are one group */
        printf("published forms: the first shard times them\n");
        *exit_code = FFL_EXIT_GOOD;
        return FFL_OK;
    }
    if (!(s->blas = ffl_blas_open(FFL_OPENBLAS)) && !(s->blas = ffl_blas_open(FFL_BLIS))) {
        printf("published: skipped: these forms call a BLAS, and there is none: %s\n", ffl_error());
        *exit_code = FFL_EXIT_NOTHING_RAN;
        return FFL_OK;
    }
    FFL_TRY(open_session(options, s));
    char shape[32];
    ffl_shape_name(&s->weights.layer, shape, sizeof shape);
    if (is_finished(s, journal)) {
        printf("published forms: already in the journal\n");
        *exit_code = FFL_EXIT_GOOD;
        return FFL_OK;
    }
    printf("published forms, %s, width %zu, %zu tokens, one thread, %s:\n", shape, s->weights.layer.width_in,
           s->batch, ffl_library_name(s->blas->library));
    fflush(stdout);
    FFL_TRY(time_all(s));
    for (size_t f = 0; ffl_published_forms[f].name; f++)
        FFL_TRY(write_form(s, &ffl_published_forms[f], f, journal, &as_expected));
    *exit_code = as_expected ? FFL_EXIT_GOOD : FFL_EXIT_FAILED;
    return FFL_OK;
}

static ffl_status run(const ffl_options *options, int *exit_code)
{
    session s = {0};
    ffl_journal *journal;
    FFL_TRY(ffl_journal_open(options, &journal));
    ffl_status status = measure(options, &s, journal, exit_code);
    close_session(&s);
    const ffl_status closed = ffl_journal_close(journal);
    return status == FFL_OK ? closed : status;
}

static const ffl_option published_options[] = {FFL_OPT_TREE,   FFL_OPT_WIDTH, FFL_OPT_BATCH,
                                               FFL_OPT_CPUS,   FFL_OPT_SEED,  FFL_OPT_OUT,
                                               FFL_OPT_RESUME, FFL_OPT_SHARD, FFL_OPT_COUNT};

const ffl_command ffl_command_published = {
    .name = "published",
    .summary = "time the published benchmark's forms, mistakes and all, beside right ones",
    .usage = "[--out DIR]",
    .help =
        "The benchmark behind the published speed-ups reads its output where weights are meant, gives every "
        "row\n"
        "the same input and output, drops the activation, and never writes its weights. This times each of "
        "these\n"
        "forms, and the same loop without them, in half a minute; the report holds them against the claims.\n"
        "They are compared with the reference, must differ from it, and are never ranked.\n\n"
        "Examples:\n"
        "  fflab published\n"
        "  fflab published --out results/paper            beside a study, for its report\n"
        "  fflab published --tree 1x3 --width 16 --batch 64\n",
    .options = published_options,
    .run = run,
};
