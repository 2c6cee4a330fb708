/* cuda/device_encoder.h: sizes anywhere; norms and attention against plain sums in double where there is a
 * device or an emulated one. */
#include "cuda/device_encoder.h"
#include "harness/device/fenced.h"
#include "harness/device/storage.h"
#include "harness/workload/random.h"
#include "kernels/device.h"
#include "kernels/gelu.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { ROOM = 1 << 17 };

static bool no_device(void)
{
    const char *why;
    return !ffl_device_available(&why);
}

/* ---- Sizes ---- */

Test(device_encoder, says_which_sizes_it_takes)
{
    const char *why;
    cr_expect(ffl_device_encoder_supports(768, 768, 12, FFL_F32, &why));
    cr_expect(ffl_device_encoder_supports(768, 128, 12, FFL_BF16, &why));
    cr_expect(ffl_device_encoder_supports(24, 8, 3, FFL_BF16, &why));
    cr_expect(!ffl_device_encoder_supports(768, 768, 12, FFL_F16, &why) && strstr(why, "f32 or bf16"));
    cr_expect(!ffl_device_encoder_supports(100, 100, 1, FFL_F32, &why) && strstr(why, "multiples of 8"));
    cr_expect(!ffl_device_encoder_supports(768, 100, 12, FFL_F32, &why) && strstr(why, "multiples of 8"));
    cr_expect(!ffl_device_encoder_supports(8200, 8200, 82, FFL_F32, &why) && strstr(why, "up to 8192"));
    cr_expect(!ffl_device_encoder_supports(24, 24, 2, FFL_F32, &why) && strstr(why, "heads"));
    cr_expect(!ffl_device_encoder_supports(272, 272, 2, FFL_F32, &why) && strstr(why, "up to 128"));
}

Test(device_encoder, blocks_cover_everything_and_fit)
{
    for (size_t width = 8; width <= FFL_DEVICE_WIDTH_MOST; width += 8) {
        const unsigned threads = ffl_device_norm_threads(width);
        cr_assert(threads % 32 == 0 && threads <= 1024 && threads * (size_t)FFL_DEVICE_LANES >= width);
    }
    for (size_t head = 8; head <= FFL_DEVICE_HEAD_MOST; head += 8) {
        cr_assert_geq(ffl_device_head_columns(head), head);
        cr_assert_leq(ffl_device_attention_shared(head, FFL_F32), 227u << 10);
        /* bf16: room for four blocks on a multiprocessor, up to heads of 64. */
        cr_assert_leq(ffl_device_attention_shared(head, FFL_BF16), head <= 64 ? 56u << 10 : 227u << 10);
    }
    for (size_t sequence = 1; sequence <= 200; sequence++) {
        unsigned grid[3];
        const ffl_device_attention a = {.batch = 70000, .sequence = sequence, .heads = 3, .head_width = 16};
        ffl_device_attention_grid(&a, grid);
        cr_assert(grid[0] * (size_t)FFL_ATTENTION_TILE >= sequence &&
                  (grid[0] - 1) * (size_t)FFL_ATTENTION_TILE < sequence);
        cr_assert(grid[1] == 3 && grid[2] <= 65535);
    }
}

/* ---- Arrays on both sides ---- */

typedef struct array {
    ffl_type storage;
    size_t count;
    float host[ROOM]; /* as the storage type has it */
    ffl_fenced device;
} array;

static void array_close(array *a)
{
    cr_assert_eq(ffl_fenced_intact(&a->device), FFL_OK, "%s", ffl_error());
    ffl_fenced_free(&a->device);
}

/* What was not written stays NaN. */
static void array_open(array *a, const char *name, ffl_type storage, size_t count)
{
    cr_assert_leq(count, (size_t)ROOM);
    a->storage = storage, a->count = count;
    cr_assert_eq(ffl_fenced_new(name, count * ffl_storage_size(storage), 0, &a->device), FFL_OK);
}

static void array_fill(array *a, const char *name, ffl_type storage, size_t count, uint64_t seed)
{
    static unsigned char bytes[4 * ROOM];
    ffl_random random = ffl_random_new(seed, 1);
    array_open(a, name, storage, count);
    for (size_t i = 0; i < count; i++)
        a->host[i] = (float)ffl_random_normal(&random);
    ffl_storage_narrow(storage, a->host, count, bytes);
    ffl_storage_widen(storage, bytes, count, a->host);
    cr_assert_eq(ffl_device_upload(a->device.data, bytes, count * ffl_storage_size(storage)), FFL_OK);
}

static void array_fetch(array *a)
{
    static unsigned char bytes[4 * ROOM];
    cr_assert_eq(ffl_device_download(bytes, a->device.data, a->count * ffl_storage_size(a->storage)), FFL_OK);
    ffl_storage_widen(a->storage, bytes, a->count, a->host);
}

/* ---- Norms ---- */

static array x, add, weight, bias, full, narrow, words, positions, types;

static void row_of(const ffl_device_norm *n, size_t row, const int32_t *index[3], double *v)
{
    double mean = 0, variance = 0;
    for (size_t i = 0; i < n->width; i++) {
        v[i] = n->words
                   ? (double)words.host[(size_t)index[0][row] * n->width + i] +
                         (double)positions.host[(size_t)index[1][row] * n->width + i] +
                         (n->types ? (double)types.host[(size_t)index[2][row] * n->width + i] : 0)
                   : (double)x.host[row * n->width + i] + (n->add ? (double)add.host[row * n->width + i] : 0);
        v[i] = n->activates ? ffl_activate_double(n->activation, v[i]) : v[i];
        mean += v[i] / (double)n->width;
    }
    for (size_t i = 0; i < n->width; i++)
        variance += (v[i] - mean) * (v[i] - mean) / (double)n->width;
    for (size_t i = 0; i < n->width && n->weight; i++)
        v[i] = (v[i] - mean) / sqrt(variance + n->eps) * (double)weight.host[i] + (double)bias.host[i];
}

enum { WITH_ADD = 1, KEEP = 2, ACTIVATE = 4, GATHER = 8, TYPES = 16, PLAIN = 32, IN_PLACE = 64 };

static void check_norm(size_t rows, size_t width, ffl_type storage, unsigned how)
{
    enum { TABLE = 5 };
    static double v[FFL_DEVICE_WIDTH_MOST];
    static float before[ROOM];
    int32_t index[3][64];
    void *on_device[3] = {NULL, NULL, NULL};
    const size_t count = rows * width;
    array_fill(&x, "x", FFL_F32, count, 1);
    memcpy(before, x.host, count * sizeof *before);
    array_fill(&add, "add", storage, count, 2);
    array_fill(&weight, "weight", FFL_F32, width, 3);
    array_fill(&bias, "bias", FFL_F32, width, 4);
    array_open(&full, "full", FFL_F32, count);
    array_open(&narrow, "narrow", storage, count);
    array_fill(&words, "words", FFL_F32, TABLE * width, 5);
    array_fill(&positions, "positions", FFL_F32, TABLE * width, 6);
    array_fill(&types, "types", FFL_F32, TABLE * width, 7);
    for (size_t k = 0; k < 3; k++) {
        for (size_t r = 0; r < rows; r++)
            index[k][r] = (int32_t)((r * (k + 2) + k) % TABLE);
        cr_assert_eq(ffl_device_alloc(sizeof *index, &on_device[k]), FFL_OK);
        cr_assert_eq(ffl_device_upload(on_device[k], index[k], sizeof *index), FFL_OK);
    }
    ffl_device_norm n = {.rows = rows,
                         .width = width,
                         .storage = storage,
                         .x = (float *)x.device.data,
                         .add = how & WITH_ADD ? add.device.data : NULL,
                         .keep = how & KEEP,
                         .activates = how & ACTIVATE,
                         .activation = FFL_GELU,
                         .weight = how & PLAIN ? NULL : (float *)weight.device.data,
                         .bias = how & PLAIN ? NULL : (float *)bias.device.data,
                         .eps = 1e-12,
                         .full = how & IN_PLACE ? (float *)x.device.data : (float *)full.device.data,
                         .narrow = narrow.device.data};
    if (how & GATHER) {
        n.words = (float *)words.device.data, n.positions = (float *)positions.device.data;
        n.types = how & TYPES ? (float *)types.device.data : NULL;
        n.id = on_device[0], n.position = on_device[1], n.type = on_device[2];
    }
    cr_assert_eq(ffl_device_norm_run(&n, NULL), FFL_OK, "%s", ffl_error());
    cr_assert_eq(ffl_device_synchronize(), FFL_OK);
    array *result = how & IN_PLACE ? &x : &full;
    array_fetch(&narrow), array_fetch(&full), array_fetch(&x);
    static float after[ROOM], y[ROOM];
    memcpy(after, x.host, count * sizeof *after);
    memcpy(y, result->host, count * sizeof *y);
    memcpy(x.host, before, count * sizeof *before);
    const int32_t *indices[3] = {index[0], index[1], index[2]};
    for (size_t r = 0; r < rows; r++) {
        row_of(&n, r, indices, v);
        for (size_t i = 0; i < width; i++) {
            const size_t at = r * width + i;
            const double bound = 4e-6 * (fabs(v[i]) + 1), short_of = storage == FFL_BF16 ? 0x1p-8 : 0;
            cr_assert(fabs((double)y[at] - v[i]) <= bound, "row %zu of %zu, %zu of %zu (%u): %g, not %g", r,
                      rows, i, width, how, (double)y[at], v[i]);
            cr_assert(fabs((double)narrow.host[at] - v[i]) <= bound + short_of * fabs(v[i]));
            if (how & KEEP)
                cr_assert_eq(after[at], before[at] + (how & WITH_ADD ? add.host[at] : 0));
            else if (!(how & IN_PLACE))
                cr_assert_eq(after[at], before[at]);
        }
    }
    array *const all[] = {&x, &add, &weight, &bias, &full, &narrow, &words, &positions, &types};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        array_close(all[i]);
    for (size_t k = 0; k < 3; k++)
        ffl_device_free(on_device[k]);
}

Test(device_encoder, norms_agree_with_the_definition)
{
    static const size_t widths[] = {8, 64, 256, 264, 768, 2056, 8192};
    static const unsigned ways[] = {0,        WITH_ADD | KEEP,    WITH_ADD, ACTIVATE,
                                    GATHER,   GATHER | TYPES,     PLAIN,    PLAIN | WITH_ADD | IN_PLACE,
                                    IN_PLACE, WITH_ADD | IN_PLACE};
    if (no_device())
        cr_skip("no device");
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
        for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
            check_norm(widths[w] > 1000 ? 3 : 17, widths[w], (w + i) % 2 ? FFL_F32 : FFL_BF16, ways[i]);
}

/* A large mean: two passes over what is in registers, not the difference of two sums. */
Test(device_encoder, norms_keep_their_accuracy)
{
    enum { WIDTH = 768 };
    double mean = 0, variance = 0;
    if (no_device())
        cr_skip("no device");
    array_fill(&x, "x", FFL_F32, WIDTH, 1);
    for (size_t i = 0; i < WIDTH; i++)
        x.host[i] = x.host[i] + 1000, weight.host[i] = 1;
    cr_assert_eq(ffl_device_upload(x.device.data, x.host, WIDTH * sizeof(float)), FFL_OK);
    array_open(&weight, "weight", FFL_F32, WIDTH), array_open(&full, "full", FFL_F32, WIDTH);
    array_open(&bias, "bias", FFL_F32, WIDTH);
    cr_assert_eq(ffl_device_upload(weight.device.data, weight.host, WIDTH * sizeof(float)), FFL_OK);
    cr_assert_eq(ffl_device_fill(bias.device.data, 0, WIDTH * sizeof(float)), FFL_OK);
    const ffl_device_norm n = {.rows = 1,
                               .width = WIDTH,
                               .x = (float *)x.device.data,
                               .weight = (float *)weight.device.data,
                               .bias = (float *)bias.device.data,
                               .eps = 1e-12,
                               .full = (float *)full.device.data};
    cr_assert_eq(ffl_device_norm_run(&n, NULL), FFL_OK, "%s", ffl_error());
    cr_assert_eq(ffl_device_synchronize(), FFL_OK);
    array_fetch(&full);
    for (size_t i = 0; i < WIDTH; i++)
        mean += (double)x.host[i] / WIDTH;
    for (size_t i = 0; i < WIDTH; i++)
        variance += ((double)x.host[i] - mean) * ((double)x.host[i] - mean) / WIDTH;
    for (size_t i = 0; i < WIDTH; i++)
        cr_assert(fabs((double)full.host[i] - ((double)x.host[i] - mean) / sqrt(variance)) < 1e-3);
    array_close(&x), array_close(&weight), array_close(&bias), array_close(&full);
}

/* ---- Attention ---- */

static array qkv, mask, out;

/* One head of one token; *size: Σ weight · |v|, which every error is measured by. */
static void attend(const ffl_device_attention *a, bool masked, size_t token, size_t head, double *y,
                   double *size)
{
    static double weights[4096];
    const size_t width = a->heads * a->head_width, first = token / a->sequence * a->sequence;
    const float *q = qkv.host + token * 3 * width + head * a->head_width;
    double most = -INFINITY, sum = 0;
    for (size_t j = 0; j < a->sequence; j++) {
        const float *k = qkv.host + (first + j) * 3 * width + width + head * a->head_width;
        weights[j] = 0;
        for (size_t i = 0; i < a->head_width; i++)
            weights[j] += (double)q[i] * (double)k[i];
        weights[j] = weights[j] * (double)a->scale + (masked ? (double)mask.host[first + j] : 0);
        most = fmax(most, weights[j]);
    }
    for (size_t j = 0; j < a->sequence; j++)
        sum += weights[j] = exp(weights[j] - most);
    for (size_t i = 0; i < a->head_width; i++) {
        y[i] = size[i] = 0;
        for (size_t j = 0; j < a->sequence; j++) {
            const double v = (double)qkv.host[(first + j) * 3 * width + 2 * width + head * a->head_width + i];
            y[i] += weights[j] / sum * v;
            size[i] += weights[j] / sum * fabs(v);
        }
    }
}

static void check_attention(const ffl_device_attention *a, bool masked)
{
    const size_t tokens = a->batch * a->sequence, width = a->heads * a->head_width;
    array_fill(&qkv, "qkv", a->storage, tokens * 3 * width, 8);
    array_fill(&mask, "mask", FFL_F32, tokens, 9);
    for (size_t t = 0; t < tokens; t++)
        mask.host[t] = t % a->sequence > 0 && t % 3 == 0 ? -10000.0f : 0.0f;
    cr_assert_eq(ffl_device_upload(mask.device.data, mask.host, tokens * sizeof(float)), FFL_OK);
    array_open(&out, "out", a->storage, tokens * width);
    cr_assert_eq(ffl_device_attention_run(a, qkv.device.data, masked ? (float *)mask.device.data : NULL,
                                          out.device.data, NULL),
                 FFL_OK, "%s", ffl_error());
    cr_assert_eq(ffl_device_synchronize(), FFL_OK);
    array_fetch(&out);
    /* bf16: weights and result rounded once each; and the float arithmetic of both. */
    const double unit = (a->storage == FFL_BF16 ? 0x1p-7 : 0) + 0x1p-17;
    for (size_t t = 0; t < tokens; t++)
        for (size_t h = 0; h < a->heads; h++) {
            double y[FFL_DEVICE_HEAD_MOST], size[FFL_DEVICE_HEAD_MOST];
            attend(a, masked, t, h, y, size);
            for (size_t i = 0; i < a->head_width; i++) {
                const double got = (double)out.host[t * width + h * a->head_width + i];
                cr_assert(fabs(got - y[i]) <= unit * size[i],
                          "%s, %zu x %zu, heads %zu of %zu: token %zu, head %zu, %zu is %g, not %g",
                          ffl_type_name(a->storage), a->batch, a->sequence, a->heads, a->head_width, t, h, i,
                          got, y[i]);
            }
        }
    array_close(&qkv), array_close(&mask), array_close(&out);
}

Test(device_encoder, attention_agrees_with_the_definition)
{
    static const struct {
        size_t batch, sequence, heads, head_width;
    } shapes[] = {{1, 1, 1, 8},   {2, 7, 3, 16},   {1, 63, 1, 64},   {1, 64, 2, 64},   {1, 65, 1, 24},
                  {3, 33, 2, 32}, {1, 129, 1, 72}, {1, 190, 1, 128}, {2, 100, 1, 120}, {5, 2, 2, 56}};
    if (no_device())
        cr_skip("no device");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int storage = 0; storage < 2; storage++)
            for (int masked = 0; masked < 2; masked++) {
                const ffl_device_attention a = {.batch = shapes[i].batch,
                                                .sequence = shapes[i].sequence,
                                                .heads = shapes[i].heads,
                                                .head_width = shapes[i].head_width,
                                                .storage = storage ? FFL_BF16 : FFL_F32,
                                                .scale = 1 / sqrtf((float)shapes[i].head_width)};
                check_attention(&a, masked);
            }
}

/* Scores that grow with every tile of keys: what was summed before must shrink to nothing. */
Test(device_encoder, later_keys_outweigh_earlier_ones)
{
    enum { SEQUENCE = 200, HEAD = 16 };
    static unsigned char bytes[4 * ROOM];
    if (no_device())
        cr_skip("no device");
    for (int storage = 0; storage < 2; storage++) {
        const ffl_device_attention a = {.batch = 1,
                                        .sequence = SEQUENCE,
                                        .heads = 1,
                                        .head_width = HEAD,
                                        .storage = storage ? FFL_BF16 : FFL_F32,
                                        .scale = 1};
        array_fill(&qkv, "qkv", a.storage, SEQUENCE * 3 * HEAD, 8);
        for (size_t t = 0; t < SEQUENCE; t++)
            for (size_t i = 0; i < HEAD; i++) {
                qkv.host[(t * 3 + 0) * HEAD + i] = 1;
                qkv.host[(t * 3 + 1) * HEAD + i] = (float)(t / 64 * 8);
            }
        ffl_storage_narrow(a.storage, qkv.host, qkv.count, bytes);
        cr_assert_eq(ffl_device_upload(qkv.device.data, bytes, qkv.count * ffl_storage_size(a.storage)),
                     FFL_OK);
        array_open(&out, "out", a.storage, SEQUENCE * HEAD);
        cr_assert_eq(ffl_device_attention_run(&a, qkv.device.data, NULL, out.device.data, NULL), FFL_OK);
        cr_assert_eq(ffl_device_synchronize(), FFL_OK);
        array_fetch(&out);
        for (size_t i = 0; i < HEAD; i++) {
            double mean = 0;
            for (size_t t = 192; t < SEQUENCE; t++)
                mean += (double)qkv.host[(t * 3 + 2) * HEAD + i] / (SEQUENCE - 192);
            cr_assert(fabs((double)out.host[i] - mean) <= (storage ? 0x1p-7 : 1e-6) * (fabs(mean) + 1));
        }
        array_close(&qkv), array_close(&out);
    }
}
