#include "cuda/async.cuh"
#include "cuda/bf16.cuh"
#include "cuda/mma.cuh"
#include "tests/emulate_kernels.h"

/* ---- Barriers and exchanges ---- */

__global__ static void missing_thread(unsigned missing)
{
    if (threadIdx.x == missing)
        return;
    __syncthreads();
}

void emulate_missing_thread(void)
{
    FFL_LAUNCH(missing_thread, 1, 64, 0, nullptr, 17u);
}

__global__ static void wrong_mask(unsigned other)
{
    __syncwarp(threadIdx.x < 16 ? 0xffffffffu : other);
}

void emulate_wrong_mask(void)
{
    FFL_LAUNCH(wrong_mask, 1, 32, 0, nullptr, 0xffff0000u);
}

__global__ static void neighbours(int *wrong, bool barrier)
{
    FFL_SHARED(int, values);
    values[threadIdx.x] = (int)threadIdx.x;
    if (barrier)
        __syncthreads();
    const unsigned next = (threadIdx.x + 1) % blockDim.x;
    if (values[next] != (int)next)
        atomicAdd(wrong, 1);
}

int emulate_neighbours(int threads, bool barrier)
{
    int wrong = 0;
    FFL_LAUNCH(neighbours, 1, (unsigned)threads, (unsigned)threads * sizeof(int), nullptr, &wrong, barrier);
    return wrong;
}

/* ---- Asynchronous copies ---- */

__global__ static void stale(const float *from, int *wrong, emulate_wait wait)
{
    FFL_SHARED(float, rows);
    ffl_copy_async(rows + 4 * threadIdx.x, from + 4 * threadIdx.x);
    ffl_copy_commit();
    if (wait == EMULATE_WAIT)
        ffl_copy_wait<0>();
    if (wait == EMULATE_WAIT_BUT_ONE)
        ffl_copy_wait<1>();
    __syncthreads();
    const unsigned other = (threadIdx.x + 5) % blockDim.x;
    if (!(rows[4 * other] == from[4 * other]))
        atomicAdd(wrong, 1);
    __syncthreads(); /* everyone has looked before the copies land */
    ffl_copy_wait<0>();
}

int emulate_stale(emulate_wait wait)
{
    alignas(16) float from[128];
    int wrong = 0;
    for (int i = 0; i < 128; i++)
        from[i] = (float)i;
    FFL_LAUNCH(stale, 1, 32, sizeof from, nullptr, (const float *)from, &wrong, wait);
    return wrong;
}

__global__ static void copy_left_behind(const float *from)
{
    FFL_SHARED(float, rows);
    ffl_copy_async(rows, from);
    ffl_copy_commit();
}

void emulate_copy_left_behind(void)
{
    alignas(16) float from[4] = {};
    FFL_LAUNCH(copy_left_behind, 1, 1, sizeof from, nullptr, (const float *)from);
}

/* ---- Matrix instructions ---- */

__global__ static void product_bf16(const float (*a)[16], const float (*b)[8], float (*d)[8])
{
    const unsigned g = threadIdx.x / 4, q = threadIdx.x % 4;
    uint32_t fa[4], fb[2];
    float fd[4] = {d[g][2 * q], d[g][2 * q + 1], d[g + 8][2 * q], d[g + 8][2 * q + 1]};
    for (unsigned i = 0; i < 4; i++) {
        const unsigned row = g + 8 * (i % 2), k = 2 * q + 8 * (i / 2);
        fa[i] = ffl_bf16_pair(a[row][k], a[row][k + 1]);
    }
    for (unsigned i = 0; i < 2; i++)
        fb[i] = ffl_bf16_pair(b[2 * q + 8 * i][g], b[2 * q + 8 * i + 1][g]);
    ffl_mma_bf16(fd, fa, fb);
    for (unsigned i = 0; i < 4; i++)
        d[g + 8 * (i / 2)][2 * q + i % 2] = fd[i];
}

void emulate_product_bf16(const float a[16][16], const float b[16][8], float d[16][8])
{
    FFL_LAUNCH(product_bf16, 1, 32, 0, nullptr, a, b, d);
}

__global__ static void product_tf32(const float (*a)[8], const float (*b)[8], float (*d)[8])
{
    const unsigned g = threadIdx.x / 4, q = threadIdx.x % 4;
    uint32_t fa[4], fb[2];
    float fd[4] = {d[g][2 * q], d[g][2 * q + 1], d[g + 8][2 * q], d[g + 8][2 * q + 1]};
    for (unsigned i = 0; i < 4; i++)
        fa[i] = __float_as_uint(a[g + 8 * (i % 2)][q + 4 * (i / 2)]);
    for (unsigned i = 0; i < 2; i++)
        fb[i] = __float_as_uint(b[q + 4 * i][g]);
    ffl_mma_tf32(fd, fa, fb);
    for (unsigned i = 0; i < 4; i++)
        d[g + 8 * (i / 2)][2 * q + i % 2] = fd[i];
}

void emulate_product_tf32(const float a[16][8], const float b[8][8], float d[16][8])
{
    FFL_LAUNCH(product_tf32, 1, 32, 0, nullptr, a, b, d);
}

__global__ static void load(const unsigned short *in, bool transposed, unsigned (*out)[4])
{
    FFL_SHARED(unsigned short, matrices);
    for (unsigned i = threadIdx.x; i < 4 * 64; i += 32)
        matrices[i] = in[i];
    __syncthreads();
    const unsigned short *row = matrices + 8 * threadIdx.x; /* lane i: row i % 8 of matrix i / 8 */
    if (transposed)
        ffl_load_matrices_transposed(out[threadIdx.x], row);
    else
        ffl_load_matrices(out[threadIdx.x], row);
}

void emulate_load(const unsigned short in[4][8][8], bool transposed, unsigned out[32][4])
{
    FFL_LAUNCH(load, 1, 32, 4 * 64 * sizeof(unsigned short), nullptr, &in[0][0][0], transposed, out);
}

/* ---- Streams ---- */

__global__ static void count(int *counter)
{
    atomicAdd(counter, 1);
}

void emulate_graph(int seen[3])
{
    int counter = 0;
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t run;
    (void)cudaStreamCreate(&stream);
    (void)cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
    FFL_LAUNCH(count, 1, 1, 0, stream, &counter);
    (void)cudaStreamEndCapture(stream, &graph);
    (void)cudaGraphInstantiate(&run, graph, 0);
    seen[0] = counter;
    (void)cudaGraphLaunch(run, stream);
    seen[1] = counter;
    (void)cudaGraphLaunch(run, stream);
    (void)cudaGraphLaunch(run, stream);
    seen[2] = counter;
    (void)cudaGraphExecDestroy(run);
    (void)cudaGraphDestroy(graph);
    (void)cudaStreamDestroy(stream);
}

__global__ static void nothing(int)
{
}

bool emulate_refuses(unsigned grid, unsigned block, unsigned shared)
{
    FFL_LAUNCH(nothing, grid, block, shared, nullptr, 0);
    return cudaGetLastError() == cudaErrorInvalidConfiguration;
}
