/* Compiled once per instruction set, with -DRATE_ISA=avx512 and -DRATE_ENUM=FFL_ISA_AVX512. */
#include "harness/roofs/rate_loops.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define VECTOR 64
#elif defined(__AVX__)
#define VECTOR 32
#else
#define VECTOR 16
#endif

typedef float vector_f32 __attribute__((vector_size(VECTOR)));
typedef long long vector __attribute__((vector_size(VECTOR)));

/* A value that the compiler must have in a register here, and knows nothing about afterwards. */
#if defined(__x86_64__)
#define KEEP(v) __asm__ volatile("" : "+x"(v))
#else
#define KEEP(v) __asm__ volatile("" : "+w"(v))
#endif

/* Every sum is kept apart from the others by KEEP: equal ones would become one.
 * Two units with a latency of 4 or 5 want 10 sums; a separate multiply and add as many. 16 registers hold 12
 * sums and their operands. */
#define EACH(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
enum { SUMS = 12 };

static double fma_f32(size_t rounds)
{
    vector_f32 half = (vector_f32){0} + 0.5f, sum[SUMS];
    KEEP(half);
#define SET(i)                                                                                               \
    sum[i] = half;                                                                                           \
    KEEP(sum[i]);
    EACH(SET)
#undef SET
    for (size_t r = 0; r < rounds; r++) {
#define STEP(i) sum[i] = sum[i] * half + half;
        EACH(STEP)
#undef STEP
    }
#define DONE(i) KEEP(sum[i]);
    EACH(DONE)
#undef DONE
    return 2.0 * SUMS * (VECTOR / 4) * (double)rounds;
}

#if defined(__AVX512BF16__)
#define FMA_BF16 fma_bf16
static double fma_bf16(size_t rounds)
{
    const __m512bh one = (__m512bh)_mm512_set1_epi16(0x3f80);
    __m512 sum[SUMS];
#define SET(i)                                                                                               \
    sum[i] = _mm512_setzero_ps();                                                                            \
    KEEP(sum[i]);
    EACH(SET)
#undef SET
    for (size_t r = 0; r < rounds; r++) {
#define STEP(i) sum[i] = _mm512_dpbf16_ps(sum[i], one, one);
        EACH(STEP)
#undef STEP
    }
#define DONE(i) KEEP(sum[i]);
    EACH(DONE)
#undef DONE
    return 2.0 * SUMS * 32 * (double)rounds;
}
#else
#define FMA_BF16 NULL
#endif

/*
 * Without VNNI: bytes multiplied and added in pairs, the pairs added up in 16 bits. Kernels that must not
 * overflow widen further and are slower: this is what none can exceed.
 */
#if defined(__AVX512VNNI__)
#define STEP_INT8(i) sum[i] = _mm512_dpbusd_epi32(sum[i], one, one);
#elif defined(__AVX512BW__)
#define STEP_INT8(i) sum[i] = _mm512_add_epi16(sum[i], _mm512_maddubs_epi16(one, one));
#elif defined(__AVX2__)
#define STEP_INT8(i) sum[i] = _mm256_add_epi16(sum[i], _mm256_maddubs_epi16(one, one));
#endif
#if defined(__AVX512BW__)
typedef __m512i vector_int;
#define ONE_INT8 _mm512_set1_epi8(1)
#elif defined(__AVX2__)
typedef __m256i vector_int;
#define ONE_INT8 _mm256_set1_epi8(1)
#endif

#if defined(STEP_INT8)
#define FMA_INT8 fma_int8
static double fma_int8(size_t rounds)
{
    vector_int one = ONE_INT8, sum[SUMS];
    KEEP(one);
#define SET(i)                                                                                               \
    sum[i] = one;                                                                                            \
    KEEP(sum[i]);
    EACH(SET)
#undef SET
    for (size_t r = 0; r < rounds; r++) {
#define STEP(i)                                                                                              \
    KEEP(one); /* or its product with itself is made once */                                                 \
    STEP_INT8(i)
        EACH(STEP)
#undef STEP
    }
#define DONE(i) KEEP(sum[i]);
    EACH(DONE)
#undef DONE
    return 2.0 * SUMS * VECTOR * (double)rounds;
}
#else
#define FMA_INT8 NULL
#endif

/* Eight vectors from `from` on, or-ed into `seen`: a load each, and nothing to wait for. */
#define LOAD_EIGHT(from)                                                                                     \
    do {                                                                                                     \
        const vector *v_ = (const vector *)(from);                                                           \
        s0 |= v_[0], s1 |= v_[1], s2 |= v_[2], s3 |= v_[3];                                                  \
        s4 |= v_[4], s5 |= v_[5], s6 |= v_[6], s7 |= v_[7];                                                  \
    } while (0)
#define SEEN vector s0 = {0}, s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0
#define SEEN_DONE                                                                                            \
    do {                                                                                                     \
        s0 |= s1 | s2 | s3 | s4 | s5 | s6 | s7;                                                              \
        KEEP(s0);                                                                                            \
    } while (0)

static inline __attribute__((always_inline)) void read_streams(const char *from, size_t bytes, size_t streams,
                                                               size_t passes)
{
    const size_t part = bytes / streams;
    SEEN;
    for (size_t pass = 0; pass < passes; pass++)
        for (size_t at = 0; at < part; at += 8 * VECTOR)
            for (size_t s = 0; s < streams; s++)
                LOAD_EIGHT(from + s * part + at);
    SEEN_DONE;
}

/* With constant numbers of streams: a loop over them would cost more than loads from the first level. */
static void read_all(const char *from, size_t bytes, size_t streams, size_t passes)
{
    if (streams == 1)
        read_streams(from, bytes, 1, passes);
    else if (streams == 2)
        read_streams(from, bytes, 2, passes);
    else
        read_streams(from, bytes, 4, passes);
}

#if defined(__AVX512F__)
#define STORE_PAST(to, v) _mm512_stream_si512((void *)(to), (__m512i)(v))
#elif defined(__AVX__)
#define STORE_PAST(to, v) _mm256_stream_si256((__m256i *)(to), (__m256i)(v))
#elif defined(__x86_64__)
#define STORE_PAST(to, v) _mm_stream_si128((__m128i *)(to), (__m128i)(v))
#else
#define STORE_PAST(to, v) (*(to) = (v))
#endif

/* Four vectors in registers, or the loop becomes a call of memcpy. */
#define COPY_LOOP(STORE)                                                                                     \
    for (size_t at = 0; at < bytes; at += 4 * VECTOR) {                                                      \
        const vector *f = (const vector *)(from + at);                                                       \
        vector *t = (vector *)(to + at), a = f[0], b = f[1], c = f[2], d = f[3];                             \
        KEEP(a);                                                                                             \
        KEEP(b);                                                                                             \
        KEEP(c);                                                                                             \
        KEEP(d);                                                                                             \
        STORE(t, a);                                                                                         \
        STORE(t + 1, b);                                                                                     \
        STORE(t + 2, c);                                                                                     \
        STORE(t + 3, d);                                                                                     \
    }
#define STORE_PLAIN(to, v) (*(to) = (v))

static void copy(char *to, const char *from, size_t bytes)
{
    COPY_LOOP(STORE_PLAIN)
}

static void copy_past(char *to, const char *from, size_t bytes)
{
    COPY_LOOP(STORE_PAST)
#if defined(__x86_64__)
    _mm_sfence();
#endif
}

static void gather(const char *from, const uint32_t *order, size_t count, size_t ahead)
{
    SEEN;
    for (size_t i = 0; i < count; i++) {
        const char *row = from + (size_t)order[i] * FFL_GATHER_ROW;
        const char *next =
            ahead && i + ahead < count ? from + (size_t)order[i + ahead] * FFL_GATHER_ROW : NULL;
        for (size_t at = 0; at < FFL_GATHER_ROW; at += 8 * VECTOR) {
            for (size_t line = at; next && line < at + 8 * VECTOR; line += 64)
                __builtin_prefetch(next + line);
            LOAD_EIGHT(row + at);
        }
    }
    SEEN_DONE;
}

#define NAME_(isa) ffl_rate_loops_##isa
#define NAME(isa) NAME_(isa)
extern const ffl_rate_loops NAME(RATE_ISA);
const ffl_rate_loops NAME(RATE_ISA) = {
    .isa = RATE_ENUM,
    .fma_f32 = fma_f32,
    .fma_bf16 = FMA_BF16,
    .fma_int8 = FMA_INT8,
    .read = read_all,
    .copy = copy,
    .copy_past = copy_past,
    .gather = gather,
};
