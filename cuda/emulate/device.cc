/* emulate.h: blocks, threads, barriers. */
#include "cuda/emulate/cuda_runtime.h"
#include "cuda/emulate/fibers.h"
#include "cuda/emulate/stream.h"
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <vector>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace
{

enum { BARRIERS = 16, SHARED_ALIGN = 128, SHARED_MOST = 227 << 10, THREADS_MOST = 1024 };

struct copy {
    void *to;
    const void *from;
    unsigned bytes;
};

struct thread {
    ffl_fiber *fiber;
    unsigned index, block; /* in the block; block in the cluster */
    bool waits, over;
    unsigned mask;                      /* of the exchange it waits in; 0: none */
    unsigned barrier_id, barrier_count; /* of the barrier it waits at; count 0: none */
    bool cluster;                       /* waits for the cluster */
    ffl_emulated_word own;
    const ffl_emulated_word *seen;
    std::vector<std::vector<copy>> copies; /* committed groups, the open one last */
};

struct block {
    uint3 index;
    std::unique_ptr<unsigned char, decltype(&free)> memory{nullptr, free};
    unsigned char *shared;
    unsigned arrived[BARRIERS]; /* threads at each barrier */
};

/*
 * What the lanes of a warp gave each other. The next exchange takes the next place; by the time one is taken
 * again, all lanes have been through others since, unless their masks differ: hence more than two places.
 */
struct warp {
    ffl_emulated_word words[64][32];
    unsigned next;
    unsigned waiting; /* lanes in an exchange, whatever their masks */
};

struct cluster {
    std::vector<thread> threads;
    std::vector<warp> warps;
    std::vector<block> blocks;
    size_t shared, live;
    size_t arrived; /* threads at the cluster's barrier */
    unsigned block_threads;
    const char *kernel;
    const std::function<void()> *body;
};

cluster *at;
thread *self;
std::vector<ffl_fiber *> fibers; /* kept for the next launch */
std::recursive_mutex one_launch;

[[noreturn]] void die(const char *what)
{
    fprintf(stderr, "emulated device: kernel %s: %s\n", at->kernel, what);
    abort();
}

void go(thread *t)
{
    t->waits = false;
    t->mask = t->barrier_count = 0;
    t->cluster = false;
}

void wait()
{
    thread *t = self;
    t->waits = true;
    ffl_fiber_yield();
    self = t;
}

void settle_exchange(const thread *t)
{
    const unsigned first = t->index / 32 * 32, mask = t->mask;
    thread *lanes = &at->threads[t->block * at->block_threads + first];
    warp *w = &at->warps[t->block * ((at->block_threads + 31) / 32) + first / 32];
    w->waiting |= 1u << t->index % 32;
    if (mask & ~w->waiting)
        return;
    for (unsigned lane = 0; lane < 32; lane++)
        if (mask >> lane & 1 && lanes[lane].mask != mask)
            return;
    w->waiting &= ~mask;
    ffl_emulated_word *all = w->words[w->next++ % std::size(w->words)];
    for (unsigned lane = 0; lane < 32; lane++)
        if (mask >> lane & 1) {
            all[lane] = lanes[lane].own;
            lanes[lane].seen = all;
            go(&lanes[lane]);
        }
}

void settle_barrier(const thread *t)
{
    thread *first = &at->threads[t->block * at->block_threads];
    const unsigned id = t->barrier_id, count = t->barrier_count;
    unsigned *arrived = &at->blocks[t->block].arrived[id];
    if (++*arrived < count)
        return;
    *arrived = 0;
    for (unsigned i = 0; i < at->block_threads; i++)
        if (first[i].waits && first[i].barrier_count && first[i].barrier_id == id) {
            if (first[i].barrier_count != count)
                die("threads disagree on how many a named barrier is for");
            go(&first[i]);
        }
}

void settle_cluster()
{
    if (++at->arrived < at->threads.size())
        return;
    at->arrived = 0;
    for (thread &t : at->threads)
        go(&t);
}

void run_thread(void *)
{
    (*at->body)();
    for (const std::vector<copy> &group : self->copies)
        if (!group.empty())
            die("a thread ended with asynchronous copies that nobody waited for");
}

void resume(thread *t)
{
    self = t;
    threadIdx = {t->index % blockDim.x, t->index / blockDim.x % blockDim.y,
                 t->index / (blockDim.x * blockDim.y)};
    blockIdx = at->blocks[t->block].index;
    if (!ffl_fiber_resume(t->fiber)) {
        t->over = true;
        at->live--;
    }
}

std::mt19937 &order()
{
    static std::mt19937 generator = [] {
        const char *seed = getenv("FFL_EMULATE_SEED");
        return std::mt19937(seed ? (unsigned)strtoul(seed, nullptr, 10) : 1u);
    }();
    return generator;
}

/* One turn for each of these threads that can run; false when none could. */
bool run_some(cluster *c, size_t first, size_t count)
{
    bool moved = false;
    /* Another order every time: from any thread on, in steps that meet each one once. */
    size_t i = order()() % count, step = order()() % count + 1;
    while (std::gcd(step, count) != 1)
        step = step % count + 1;
    for (size_t turn = 0; turn < count; turn++, i += i + step < count ? step : step - count) {
        thread *t = &c->threads[first + i];
        if (!t->over && !t->waits) {
            resume(t);
            moved = true;
        }
    }
    return moved;
}

/* A block, or a warp of it, goes as far ahead of all others as it can. */
void run_ahead(cluster *c)
{
    const size_t block = order()() % c->blocks.size() * c->block_threads;
    size_t first = 0, count = c->block_threads;
    if (order()() % 2) {
        first = order()() % c->block_threads / 32 * 32;
        count = min((size_t)32, c->block_threads - first);
    }
    while (run_some(c, block + first, count)) {
    }
}

void run_cluster(cluster *c)
{
    at = c;
    c->live = c->threads.size();
    while (c->live > 0) {
        if (!run_some(c, 0, c->threads.size()))
            die("a barrier or warp exchange that not all of its threads reach");
        if (c->threads.size() > 32 && order()() % 4 == 0)
            run_ahead(c);
    }
    at = nullptr;
}

void prepare(cluster *c, unsigned threads, unsigned blocks)
{
    c->threads.resize((size_t)threads * blocks);
    c->warps.resize((size_t)(threads + 31) / 32 * blocks);
    while (fibers.size() < c->threads.size())
        fibers.push_back(ffl_fiber_new());
    c->blocks.resize(blocks);
    for (block &b : c->blocks) {
        /* Of exactly this size, so that AddressSanitizer sees an overrun. */
        void *memory = nullptr;
        if (posix_memalign(&memory, SHARED_ALIGN, c->shared ? c->shared : 1) != 0)
            die("no memory for its shared memory");
        b.memory.reset((unsigned char *)memory);
        b.shared = (unsigned char *)memory;
    }
}

void launch(const char *kernel, dim3 grid, dim3 threads, unsigned cluster_blocks, size_t shared,
            const std::function<void()> &body)
{
    const std::lock_guard<std::recursive_mutex> lock(one_launch);
    cluster c = {};
    c.kernel = kernel;
    c.body = &body;
    c.shared = shared;
    c.block_threads = threads.x * threads.y * threads.z;
    blockDim = threads;
    gridDim = grid;
    at = &c;
    prepare(&c, c.block_threads, cluster_blocks);
    const size_t count = (size_t)grid.x * grid.y * grid.z;
    for (size_t first = 0; first < count; first += cluster_blocks) {
        for (unsigned b = 0; b < cluster_blocks; b++) {
            const size_t i = first + b;
            memset(c.blocks[b].arrived, 0, sizeof c.blocks[b].arrived);
            c.blocks[b].index = {(unsigned)(i % grid.x), (unsigned)(i / grid.x % grid.y),
                                 (unsigned)(i / ((size_t)grid.x * grid.y))};
            memset(c.blocks[b].shared, 0xff, shared); /* NaN until written */
        }
        for (unsigned i = 0; i < c.threads.size(); i++) {
            thread *t = &c.threads[i];
            *t = thread();
            t->fiber = fibers[i];
            t->index = i % c.block_threads;
            t->block = i / c.block_threads;
            t->copies.resize(1);
            ffl_fiber_start(t->fiber, run_thread, nullptr);
        }
        run_cluster(&c);
    }
}

} /* namespace */

void ffl_emulated_launch(const char *kernel, dim3 grid, dim3 threads, unsigned cluster_blocks, size_t shared,
                         ffl_emulated_stream_handle stream, std::function<void()> body)
{
    const unsigned block_threads = threads.x * threads.y * threads.z;
    if (block_threads == 0 || block_threads > THREADS_MOST || grid.x == 0 || grid.y == 0 || grid.z == 0 ||
        grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535 || shared > SHARED_MOST ||
        cluster_blocks == 0 || cluster_blocks > 16 || grid.x % cluster_blocks != 0) {
        ffl_emulated_error(cudaErrorInvalidConfiguration);
        return;
    }
    ffl_emulated_enqueue(stream, [=] { launch(kernel, grid, threads, cluster_blocks, shared, body); });
}

unsigned char *ffl_emulated_shared()
{
    return at->blocks[self->block].shared;
}

unsigned ffl_emulated_cluster_rank()
{
    return self->block;
}

void *ffl_emulated_cluster_map(void *local, unsigned rank)
{
    const ptrdiff_t offset = (unsigned char *)local - ffl_emulated_shared();
    if (rank >= at->blocks.size() || offset < 0 || (size_t)offset >= at->shared)
        die("a cluster address that is no dynamic shared memory of the cluster");
    return at->blocks[rank].shared + offset;
}

void ffl_emulated_cluster_sync()
{
    self->cluster = true;
    self->waits = true;
    settle_cluster();
    if (self->waits)
        wait();
}

void ffl_emulated_barrier(unsigned id, unsigned threads)
{
    if (id >= BARRIERS)
        die("a named barrier above 15");
    self->barrier_id = id;
    self->barrier_count = threads ? threads : at->block_threads;
    self->waits = true;
    settle_barrier(self);
    if (self->waits)
        wait();
}

unsigned ffl_emulated_lane()
{
    return self->index % 32;
}

const ffl_emulated_word *ffl_emulated_exchange(unsigned mask, ffl_emulated_word own)
{
    if (!(mask >> ffl_emulated_lane() & 1))
        die("a warp exchange whose mask does not name the caller");
    self->own = own;
    self->mask = mask;
    self->waits = true;
    settle_exchange(self);
    if (self->waits)
        wait();
    return self->seen;
}

void ffl_emulated_copy(void *to, const void *from, unsigned bytes)
{
    if ((uintptr_t)to % bytes || (uintptr_t)from % bytes)
        die("an asynchronous copy that is not aligned");
    self->copies.back().push_back({to, from, bytes});
}

void ffl_emulated_copy_commit()
{
    self->copies.emplace_back();
}

void ffl_emulated_copy_wait(unsigned newest)
{
    while (self->copies.size() > newest + 1) {
        for (const copy &c : self->copies.front())
            if (c.from)
                memcpy(c.to, c.from, c.bytes);
            else
                memset(c.to, 0, c.bytes);
        self->copies.erase(self->copies.begin());
    }
}
