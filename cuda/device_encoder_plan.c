/* Sizes of the encoder's kernels: plain arithmetic, tested without a device. */
#include "cuda/device_encoder.h"

enum { WARP = 32, GRID_MOST = 65535 /* in the second and third dimension */ };

bool ffl_device_encoder_supports(size_t width, size_t embedding_width, size_t heads, ffl_type storage,
                                 const char **why)
{
    *why = "a pass on the device keeps its rows in f32 or bf16; this variant's are f16";
    if (storage != FFL_F32 && storage != FFL_BF16)
        return false;
    *why = "a pass on the device takes widths that are multiples of 8, up to 8192";
    if (width % FFL_DEVICE_LANES || embedding_width % FFL_DEVICE_LANES || width > FFL_DEVICE_WIDTH_MOST ||
        embedding_width > FFL_DEVICE_WIDTH_MOST)
        return false;
    *why = "a pass on the device takes heads whose width is a multiple of 8, up to 128";
    const size_t head = width / heads;
    return head % 8 == 0 && head <= FFL_DEVICE_HEAD_MOST;
}

size_t ffl_device_head_columns(size_t head_width)
{
    return head_width <= 64 ? 64 : 128;
}

size_t ffl_device_attention_shared(size_t head_width, ffl_type storage)
{
    const size_t columns = ffl_device_head_columns(head_width), tile = FFL_ATTENTION_TILE;
    if (storage == FFL_BF16) /* queries, two stages of keys and values, two of masks; rows 16 bytes apart */
        return 5 * tile * (columns + 8) * 2 + 2 * tile * sizeof(float);
    /* queries, keys, values, weights of the values, masks */
    return (3 * tile * (columns + 4) + tile * (tile + 4) + tile) * sizeof(float);
}

void ffl_device_attention_grid(const ffl_device_attention *a, unsigned grid[3])
{
    grid[0] = (unsigned)((a->sequence + FFL_ATTENTION_TILE - 1) / FFL_ATTENTION_TILE);
    grid[1] = (unsigned)a->heads;
    grid[2] = (unsigned)(a->batch < GRID_MOST ? a->batch : GRID_MOST);
}

unsigned ffl_device_norm_threads(size_t width)
{
    const size_t threads = (width + FFL_DEVICE_LANES - 1) / FFL_DEVICE_LANES;
    return (unsigned)((threads + WARP - 1) / WARP * WARP);
}
