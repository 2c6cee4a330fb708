/*
 * FFF for the shallowest trees: all neurons as two register-tiled products (kernels/tiled.h), and between
 * them each token's paths, which leave 0 at every node not visited. Where most neurons are visited anyway no
 * walk can beat the FMA peak of the tiles; costs what ff_tiled_avx512 costs, one level exactly that.
 */
#include "kernels/simd/tiled_avx512.h"
#include "kernels/simd/walk.h"

/* The select chain costs one activation per tree and level, not one per node. */
static void visit(const ffl_layer *l, const float *bias, size_t trees, float *z, size_t rows)
{
    for (size_t r = 0; r < rows; r++, z += FFL_TILED_STRIDE)
        for (size_t t = 0; t < trees; t += FFL_TILED_PANEL) {
            float *node = z + t * l->nodes;
            const float *b = bias + t * l->nodes;
            __mmask16 here[FFL_TILED_DEPTH / FFL_TILED_PANEL];
            here[0] = trees - t < 16 ? ffl_lanes_avx512(trees - t) : (__mmask16)0xffff;
            for (size_t first = 0; first < l->nodes; first = 2 * first + 1) {
                const size_t end = 2 * first + 1;
                __m512 v = _mm512_setzero_ps();
                for (size_t i = first; i < end; i++)
                    v = _mm512_mask_add_ps(v, here[i], _mm512_loadu_ps(node + 16 * i),
                                           _mm512_loadu_ps(b + 16 * i));
                const __mmask16 right = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_GT_OQ);
                const __m512 a = ffl_act_avx512(l->activation, v);
                for (size_t i = first; i < end; i++) {
                    _mm512_storeu_ps(node + 16 * i, _mm512_maskz_mov_ps(here[i], a));
                    if (end < l->nodes) {
                        here[2 * i + 1] = (__mmask16)(here[i] & ~right);
                        here[2 * i + 2] = (__mmask16)(here[i] & right);
                    }
                }
            }
        }
}

FFL_DEFINE_TILES(tiles, ffl_tiled_step_f32, 1)

static const ffl_tiled kernel = {.rows = FFL_TILE,
                                 .panels = FFL_TILE_VECTORS,
                                 .tiles = tiles,
                                 .activate = ffl_tiled_activate_avx512,
                                 .add = ffl_axpy_avx512,
                                 .visit = visit};

static bool supports(const ffl_layer *shape, size_t tokens, const char **why)
{
    (void)tokens;
    if (shape->nodes <= FFL_TILED_NODES_MAX)
        return true;
    *why = "trees of more than 4 levels: evaluating all nodes never pays";
    return false;
}

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    return ffl_tiled_prepare(&kernel, layer, plan);
}

/* x·w in the tiles' order: k one after the other, in steps of FFL_TILED_DEPTH. */
static float dot(const float *x, const float *w, size_t n)
{
    float z = 0.0f;
    for (size_t k = 0; k < n; k += FFL_TILED_DEPTH) {
        float sum = 0.0f;
        for (size_t i = k; i < n && i < k + FFL_TILED_DEPTH; i++)
            sum = __builtin_fmaf(x[i], w[i], sum);
        z = k > 0 ? sum + z : sum;
    }
    return z;
}

static ffl_status trace(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, size_t tokens,
                        int32_t *nodes, float *logits)
{
    (void)exec;
    ffl_walk_trace(plan->layer, dot, x, ldx, tokens, nodes, logits);
    return FFL_OK;
}

FFL_VARIANTS(fff_masked_tiled_avx512) = {
    {.name = "fff_masked_tiled_avx512",
     .source = "this lab; blocking after Goto and van de Geijn, ACM TOMS 34(3), 2008",
     .summary = "all neurons in packed 8x48 register tiles, unvisited ones masked in between",
     .operation = FFL_FFF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX512,
     .threaded = true,
     .contract = FFL_CONTRACT_F32_ROWS,
     .supports = supports,
     .prepare = prepare,
     .run = ffl_tiled_run,
     .release = ffl_tiled_release,
     .trace = trace},
    {0},
};
