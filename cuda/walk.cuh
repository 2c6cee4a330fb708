/*
 * What all walks over packed rows have in common: packing, the trace, the end. A variant's state begins with
 * an ffl_walk<T>, allocated by ffl_walk_new; T is float or uint16_t (bfloat16 bits).
 */
#ifndef FFL_CUDA_WALK_CUH
#define FFL_CUDA_WALK_CUH

#include "cuda/path.cuh"
#include "kernels/memory.h"

template <typename T>
struct ffl_walk {
    ffl_packed packed;
    ffl_tree<T> tree;
};

/* plan->state, of type S; counts what was packed. FFL_NO_MEMORY or FFL_DEVICE. */
template <typename T, typename S>
static ffl_status ffl_walk_new(const ffl_layer *layer, ffl_plan *plan, S **out)
{
    S *s = (S *)ffl_alloc(sizeof *s);
    if (!s)
        return FFL_NO_MEMORY;
    const ffl_status status =
        ffl_packed_new(layer, sizeof(T) == 2 ? FFL_BF16 : FFL_F32, &s->packed, &plan->packed_bytes);
    if (status != FFL_OK) {
        ffl_free(s);
        return status;
    }
    s->tree = ffl_tree_of<T>(layer, &s->packed);
    plan->state = *out = s;
    return FFL_OK;
}

template <typename T>
static void ffl_walk_release(ffl_plan *plan)
{
    ffl_walk<T> *s = (ffl_walk<T> *)plan->state;
    ffl_packed_free(&s->packed);
    ffl_free(s);
}

template <typename T>
static ffl_status ffl_walk_trace(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx,
                                 size_t tokens, int32_t *nodes, float *logits)
{
    const ffl_walk<T> *s = (const ffl_walk<T> *)plan->state;
    return ffl_path_find<T>(&s->tree, (const T *)x, ldx, tokens, nodes, logits,
                            ffl_cuda_stream(exec->stream));
}

/* How rows of T are computed with. */
template <typename T>
static constexpr ffl_contract ffl_walk_contract = FFL_CONTRACT_F32_ROWS;
template <>
constexpr ffl_contract ffl_walk_contract<uint16_t> = FFL_CONTRACT_BF16_WALK;

/* A row of the table. */
#define FFL_WALK_VARIANT(type, family_, supports_, prepare_, run_, name_, source_, summary_)                 \
    {                                                                                                        \
        .name = name_, .summary = summary_, .source = source_, .operation = FFL_FFF, .place = FFL_CUDA,      \
        .family = family_, .contract = ffl_walk_contract<type>, .supports = supports_, .prepare = prepare_,  \
        .run = run_, .release = ffl_walk_release<type>, .trace = ffl_walk_trace<type>                        \
    }

#endif
