#include "harness/peers/pool.h"
#include "harness/peers/interpreter.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { IDLE_MAX = 16 };

static struct idle {
    const ffl_peer_manifest *manifest; /* manifests live as long as this process */
    ffl_program program;
} idle[IDLE_MAX];
static size_t idle_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* A polite end, so that it can clean up behind itself; a killed process's programs are killed with it. */
static void end_all(void)
{
    while (idle_count)
        ffl_program_end(&idle[--idle_count].program);
}

static bool same_program(const ffl_peer_manifest *a, const ffl_peer_manifest *b)
{
    size_t i = 0;
    while (a->command[i] && b->command[i] && strcmp(a->command[i], b->command[i]) == 0)
        i++;
    size_t n = 0;
    while (a->needs[n] && b->needs[n] && strcmp(a->needs[n], b->needs[n]) == 0)
        n++;
    return !a->command[i] && !b->command[i] && !a->needs[n] && !b->needs[n] &&
           strcmp(a->folder, b->folder) == 0;
}

static bool take_idle(const ffl_peer_manifest *manifest, int threads, ffl_program *out)
{
    bool found = false;
    pthread_mutex_lock(&lock);
    for (size_t i = idle_count; i-- > 0 && !found;) {
        found = idle[i].program.threads == threads && same_program(idle[i].manifest, manifest);
        if (found) {
            *out = idle[i].program;
            idle[i] = idle[--idle_count];
        }
    }
    pthread_mutex_unlock(&lock);
    return found;
}

static ffl_status start(const ffl_peer_manifest *manifest, int threads, ffl_program *out)
{
    char *command[FFL_PEER_WORDS_MAX + 1];
    memcpy(command, manifest->command, sizeof command);
    if (strcmp(command[0], "{python}") == 0) {
        const char *why;
        command[0] = (char *)ffl_interpreter_find(manifest->needs, &why);
        if (!command[0])
            return ffl_fail(FFL_UNSUPPORTED, "%s", why);
    }
    return ffl_program_start(command, manifest->folder, threads, out);
}

ffl_status ffl_pool_take(const ffl_peer_manifest *manifest, int threads, ffl_program *out)
{
    if (!take_idle(manifest, threads, out))
        FFL_TRY(start(manifest, threads, out));
    ffl_program_bind(out);
    return FFL_OK;
}

void ffl_pool_give(const ffl_peer_manifest *manifest, ffl_program *program)
{
    static bool registered;
    bool kept = false;
    if (program->pid == 0)
        return;
    pthread_mutex_lock(&lock);
    if (!registered)
        registered = atexit(end_all) == 0;
    if (idle_count < IDLE_MAX && registered) {
        idle[idle_count++] = (struct idle){manifest, *program};
        kept = true;
    }
    pthread_mutex_unlock(&lock);
    if (!kept)
        ffl_program_end(program);
    *program = (ffl_program){0};
}
