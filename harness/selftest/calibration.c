#include "harness/selftest/calibration.h"
#include "harness/cli.h"
#include "harness/progress.h"
#include "harness/worker.h"
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BLOCKS_PER_UNIT = 16, THREADS_MAX = 64 };

/* One unit: kinds vary fastest, then widths, so that an interrupted run has seen some of each. */
typedef struct crew {
    const ffl_calibration_request *request;
    size_t widths, units, blocks, next, done;
    ffl_progress *progress;
    ffl_status status;
    char message[256];
    ffl_calibration *out;
    pthread_mutex_t lock;
} crew;

static size_t count_widths(void)
{
    size_t count = 0;
    while (ffl_calibration_widths[count])
        count++;
    return count;
}

static void merge(const ffl_calibrated *from, ffl_calibrated *into)
{
    into->logits += from->logits;
    into->beyond += from->beyond;
    into->beyond_worst += from->beyond_worst;
    into->worst = from->worst > into->worst ? from->worst : into->worst;
    if (from->statistical > into->statistical) {
        into->statistical = from->statistical;
        into->width = from->width;
    }
}

static void merge_all(const ffl_calibration *from, ffl_calibration *into)
{
    for (size_t h = 0; ffl_honest_kernels[h].name; h++)
        for (size_t kind = 0; kind < FFL_CALIBRATE_KINDS; kind++)
            merge(&from->found[h][kind], &into->found[h][kind]);
}

/* The next unit; false when there is none, or something has gone wrong. */
static bool take(crew *c, size_t *unit)
{
    pthread_mutex_lock(&c->lock);
    if (ffl_interrupted() && c->status == FFL_OK)
        c->status = FFL_INTERRUPTED;
    const bool more = c->status == FFL_OK && c->next < c->units;
    *unit = c->next;
    c->next += more;
    pthread_mutex_unlock(&c->lock);
    return more;
}

static void *work(void *argument)
{
    crew *c = argument;
    size_t unit;
    while (take(c, &unit)) {
        ffl_calibration found = {0};
        const size_t cell = unit / FFL_CALIBRATE_KINDS % c->widths;
        const ffl_status status =
            ffl_calibration_unit((ffl_calibration_data)(unit % FFL_CALIBRATE_KINDS),
                                 ffl_calibration_widths[cell], c->blocks, c->request->seed, unit, &found);
        pthread_mutex_lock(&c->lock);
        if (status != FFL_OK) {
            c->status = status;
            snprintf(c->message, sizeof c->message, "%s", ffl_error()); /* it is this thread's */
        }
        merge_all(&found, c->out);
        ffl_progress_show(c->progress, (double)++c->done, "");
        pthread_mutex_unlock(&c->lock);
    }
    return NULL;
}

ffl_status ffl_calibration_run(const ffl_calibration_request *request, ffl_calibration *out)
{
    const size_t per_block = FFL_UNIT_TOKENS * FFL_BLOCK_NEURONS;
    crew c = {.request = request, .widths = count_widths(), .out = out, .lock = PTHREAD_MUTEX_INITIALIZER};
    const size_t cells = c.widths * FFL_CALIBRATE_KINDS, each = (request->logits + cells - 1) / cells;
    c.blocks = (each + per_block - 1) / per_block;
    c.blocks = c.blocks < BLOCKS_PER_UNIT ? c.blocks : BLOCKS_PER_UNIT;
    c.units = cells * ((each + c.blocks * per_block - 1) / (c.blocks * per_block));
    c.progress = ffl_progress_new("calibrating", (double)c.units);
    *out = (ffl_calibration){0};
    pthread_t threads[THREADS_MAX];
    int started = 0;
    while (started + 1 < request->threads && started < THREADS_MAX &&
           pthread_create(&threads[started], NULL, work, &c) == 0)
        started++;
    work(&c); /* this thread works too */
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    ffl_progress_clear(c.progress);
    ffl_progress_free(c.progress);
    return c.message[0] ? ffl_fail(c.status, "%s", c.message) : c.status;
}

/* ---- What was seen ---- */

static ffl_calibrated of_all_kinds(const ffl_calibration *calibration, size_t kernel)
{
    ffl_calibrated all = {0};
    for (size_t kind = 0; kind < FFL_CALIBRATE_KINDS; kind++)
        merge(&calibration->found[kernel][kind], &all);
    return all;
}

static json_t *to_json(const ffl_calibrated *found)
{
    return json_pack("{s:I, s:I, s:I, s:f, s:f, s:I}", "logits", (json_int_t)found->logits, "beyond",
                     (json_int_t)found->beyond, "beyond_worst", (json_int_t)found->beyond_worst,
                     "error_statistical", found->statistical, "error_worst", found->worst, "width",
                     (json_int_t)found->width);
}

static void print_json(const ffl_calibration *calibration, double seconds)
{
    json_t *document = json_pack("{s:[], s:f}", "calibration", "seconds", seconds);
    for (size_t h = 0; ffl_honest_kernels[h].name; h++) {
        json_t *row = json_pack("{s:s}", "kernel", ffl_honest_kernels[h].name);
        for (size_t kind = 0; kind < FFL_CALIBRATE_KINDS; kind++)
            json_object_set_new(row, ffl_calibration_data_names[kind], to_json(&calibration->found[h][kind]));
        json_array_append_new(json_object_get(document, "calibration"), row);
    }
    json_dumpf(document, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(document);
}

static void print_table(const ffl_calibration *calibration)
{
    printf("%-27s %10s", "largest error / bound", "logits");
    for (size_t kind = 0; kind < FFL_CALIBRATE_KINDS; kind++)
        printf(" %11s", ffl_calibration_data_names[kind]);
    printf(" %11s %9s %6s\n", "worst case", "beyond", "width");
    for (size_t h = 0; ffl_honest_kernels[h].name; h++) {
        const ffl_calibrated all = of_all_kinds(calibration, h);
        printf("%-27s %10llu", ffl_honest_kernels[h].name, (unsigned long long)all.logits);
        for (size_t kind = 0; kind < FFL_CALIBRATE_KINDS; kind++)
            printf(" %11.3f", calibration->found[h][kind].statistical);
        printf(" %11.3f %9llu %6zu\n", all.worst, (unsigned long long)all.beyond, all.width);
    }
}

int ffl_calibration_report(const ffl_calibration *calibration, double seconds, bool json)
{
    ffl_calibrated all = {0};
    for (size_t h = 0; ffl_honest_kernels[h].name; h++) {
        const ffl_calibrated kernel = of_all_kinds(calibration, h);
        merge(&kernel, &all);
    }
    if (json) {
        print_json(calibration, seconds);
    } else {
        print_table(calibration);
        printf("calibration: %llu logits, %llu beyond the statistical bound, %llu beyond the worst case; "
               "%.1f s\n",
               (unsigned long long)all.logits, (unsigned long long)all.beyond,
               (unsigned long long)all.beyond_worst, seconds);
    }
    return all.beyond || all.beyond_worst ? FFL_EXIT_FAILED : FFL_EXIT_GOOD;
}
