#include "harness/workload/parallel.h"
#include "kernels/cpu.h"
#include <pthread.h>
#include <stdatomic.h>

enum { THREADS_MAX = 64, RANGE = 64 };

typedef struct work {
    atomic_size_t next;
    size_t count;
    void (*body)(void *user, size_t begin, size_t end);
    void *user;
} work;

static void *take_ranges(void *argument)
{
    work *w = argument;
    for (;;) {
        const size_t begin = atomic_fetch_add(&w->next, RANGE);
        if (begin >= w->count)
            return NULL;
        w->body(w->user, begin, begin + RANGE < w->count ? begin + RANGE : w->count);
    }
}

void ffl_parallel_rows(size_t count, void (*body)(void *user, size_t begin, size_t end), void *user)
{
    work w = {.count = count, .body = body, .user = user};
    pthread_t threads[THREADS_MAX];
    const size_t ranges = (count + RANGE - 1) / RANGE, cpus = (size_t)ffl_machine_host()->cpus;
    size_t started = 0;
    /* This thread works too, so a thread that cannot be started only costs time. */
    while (started < THREADS_MAX && started + 1 < cpus && started + 1 < ranges &&
           pthread_create(&threads[started], NULL, take_ranges, &w) == 0)
        started++;
    take_ranges(&w);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
}
