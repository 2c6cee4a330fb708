/* The providers are really apart, and every BLAS variant computes the layer. */
#define _GNU_SOURCE
#include "harness/instance.h"
#include "harness/registry.h"
#include "harness/workload/random.h"
#include "harness/workload/weights.h"
#include "kernels/blas.h"
#include "kernels/memory.h"
#include "kernels/reference.h"
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <link.h>
#include <math.h>
#include <string.h>

static float *random_rows(size_t count, uint64_t seed)
{
    float *x = ffl_alloc_array(count, sizeof *x);
    ffl_random random = ffl_random_new(seed, 0);
    for (size_t i = 0; i < count; i++)
        x[i] = (float)ffl_random_normal(&random);
    return x;
}

static ffl_blas *open_or_skip(ffl_library library)
{
    ffl_blas *blas = ffl_blas_open(library);
    if (!blas)
        cr_skip_test("%s", ffl_error());
    return blas;
}

Test(blas, sgemm_agrees_with_a_plain_loop)
{
    enum { M = 37, N = 65, K = 129 };
    float *a = random_rows(M * K, 1), *b = random_rows(N * K, 2), *c = ffl_alloc_array(M * N, sizeof *c);
    size_t opened = 0;
    for (int library = FFL_OPENBLAS; library <= FFL_BLIS; library++) {
        ffl_blas *blas = ffl_blas_open((ffl_library)library);
        if (!blas)
            continue;
        opened++;
        cr_assert(blas->version[0] && blas->family[0] && blas->path[0] == '/', "%s does not tell what it is",
                  ffl_library_name(blas->library));
        for (int threads = 1; threads <= 2; threads++) {
            ffl_blas_use(blas, threads);
            memset(c, 0xff, M * N * sizeof *c); /* NaN: beta = 0 must not read it */
            blas->sgemm(FFL_ROW_MAJOR, FFL_NO_TRANS, FFL_TRANS, M, N, K, 1.0f, a, K, b, K, 0.0f, c, N);
            for (size_t i = 0; i < M * N; i++) {
                const double expected = ffl_reference_dot(a + i / N * K, b + i % N * K, K);
                cr_assert(fabs((double)c[i] - expected) < 1e-4, "%s, element %zu", blas->path, i);
            }
        }
    }
    ffl_free(a), ffl_free(b), ffl_free(c);
    if (!opened)
        cr_skip_test("neither OpenBLAS nor BLIS: %s", ffl_error());
}

static int find_blas(struct dl_phdr_info *info, size_t size, void *found)
{
    (void)size;
    const char *base = strrchr(info->dlpi_name, '/');
    base = base ? base + 1 : info->dlpi_name;
    if (strstr(base, "blas") || strstr(base, "blis") || strstr(base, "mkl") || strstr(base, "lapack") ||
        strstr(base, "atlas"))
        *(const char **)found = info->dlpi_name;
    return 0;
}

Test(blas, nothing_links_a_blas)
{
    /* Before anything is opened, what is mapped is what the program and its libraries are linked against. */
    const char *found = NULL;
    dl_iterate_phdr(find_blas, &found);
    cr_assert_null(found, "%s is linked in", found);
    cr_assert_null(dlsym(RTLD_DEFAULT, "cblas_sgemm"));
    cr_assert_null(dlsym(RTLD_DEFAULT, "sgemm_"));
}

/* ---- Every symbol that one provider's object binds through its tables must not lie in the other ---- */

typedef struct object {
    uintptr_t start, end;
    const ElfW(Dyn) * dynamic;
    const char *path;
} object;

static int find_object(struct dl_phdr_info *info, size_t size, void *user)
{
    object *o = user;
    (void)size;
    if (o->start < info->dlpi_addr || o->start == 0)
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        const uintptr_t first = info->dlpi_addr + p->p_vaddr;
        if (p->p_type == PT_LOAD && o->start >= first && o->start < first + p->p_memsz)
            o->path = info->dlpi_name;
    }
    if (!o->path)
        return 0;
    uintptr_t low = UINTPTR_MAX, high = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        const uintptr_t first = info->dlpi_addr + p->p_vaddr;
        if (p->p_type == PT_DYNAMIC)
            o->dynamic = (const ElfW(Dyn) *)first;
        if (p->p_type != PT_LOAD)
            continue;
        low = first < low ? first : low;
        high = first + p->p_memsz > high ? first + p->p_memsz : high;
    }
    o->start = low;
    o->end = high;
    return 1;
}

static object object_at(void (*function)(void))
{
    object o = {0};
    memcpy(&o.start, &function, sizeof o.start);
    cr_assert(dl_iterate_phdr(find_object, &o) && o.dynamic);
    return o;
}

/* Jump slots of `from` that point into `to`; *total counts all that point anywhere but into `from`. */
static size_t bound_into(const object *from, const object *to, uintptr_t base, size_t *total)
{
    const ElfW(Rela) *rela = NULL;
    size_t bytes = 0, into = 0;
    for (const ElfW(Dyn) *d = from->dynamic; d->d_tag != DT_NULL; d++) {
        if (d->d_tag == DT_JMPREL)
            rela = (const ElfW(Rela) *)d->d_un.d_ptr;
        if (d->d_tag == DT_PLTRELSZ)
            bytes = d->d_un.d_val;
    }
    cr_assert(rela && bytes);
    for (size_t i = 0; i < bytes / sizeof *rela; i++) {
        const uintptr_t target = *(const uintptr_t *)(base + rela[i].r_offset);
        into += target >= to->start && target < to->end;
        *total += target < from->start || target >= from->end;
    }
    return into;
}

Test(blas, providers_are_distinct_objects_that_share_no_symbol)
{
#if !defined(__linux__) || !defined(__LP64__)
    cr_skip_test("reads 64-bit ELF relocations");
#endif
    ffl_blas *a = open_or_skip(FFL_OPENBLAS), *b = open_or_skip(FFL_BLIS);
    const object first = object_at((void (*)(void))a->sgemm), second = object_at((void (*)(void))b->sgemm);
    cr_assert_neq(first.start, second.start);
    cr_assert_str_neq(a->path, b->path);
    Dl_info info;
    size_t outside = 0;
    cr_assert(dladdr((const void *)first.start, &info));
    cr_assert_eq(bound_into(&first, &second, (uintptr_t)info.dli_fbase, &outside), 0, "%s calls into %s",
                 a->path, b->path);
    cr_assert(dladdr((const void *)second.start, &info));
    cr_assert_eq(bound_into(&second, &first, (uintptr_t)info.dli_fbase, &outside), 0, "%s calls into %s",
                 b->path, a->path);
    cr_assert_gt(outside, 0, "no relocation was looked at"); /* malloc, at the least */
}

Test(blas, a_path_that_is_no_cblas_or_no_new_one_is_refused)
{
    ffl_blas *known = open_or_skip(FFL_OPENBLAS);
    ffl_blas_set_path(known->path);
    cr_assert_null(ffl_blas_open(FFL_CBLAS));
    cr_assert(strstr(ffl_error(), "already open as openblas"), "%s", ffl_error());
}

Test(blas, a_library_without_cblas_is_refused)
{
    ffl_blas_set_path("/proc/self/exe");
    cr_assert_null(ffl_blas_open(FFL_CBLAS));
    cr_assert(strstr(ffl_error(), "/proc/self/exe"), "%s", ffl_error());
}

/* ---- Variants ---- */

static void check_variant(const ffl_variant *v, const ffl_weights *w, size_t tokens)
{
    const ffl_layer *l = &w->layer;
    const size_t ldx = l->width_in + 3, ldy = l->width_out + 5, visited = l->trees * l->levels;
    float *x = random_rows(tokens * ldx, tokens), *y = ffl_alloc_array(tokens * ldy, sizeof *y);
    double *expected = ffl_alloc_array(tokens * l->width_out, sizeof *expected);
    int32_t *path = ffl_alloc_array(tokens * visited, sizeof *path),
            *nodes = ffl_alloc_array(tokens * visited, sizeof *nodes);
    float *logits = ffl_alloc_array(tokens * visited, sizeof *logits);
    if (tokens > 2) {
        memset(x + ldx, 0, l->width_in * sizeof *x); /* one row decided by the biases alone */
        x[2 * ldx] = NAN;                            /* and one that must not spoil its neighbours */
    }
    cr_assert_eq(ffl_reference(l, x, ldx, tokens, expected, NULL, path), FFL_OK);
    ffl_instance instance;
    cr_assert_eq(ffl_instance_new(v, l, tokens, 1, &instance), FFL_OK, "%s: %s", v->name, ffl_error());
    memset(y, 0xff, tokens * ldy * sizeof *y);
    cr_assert_eq(ffl_instance_run(&instance, x, ldx, y, ldy, tokens), FFL_OK);
    for (size_t t = 0; t < tokens; t++) {
        for (size_t j = 0; j < l->width_out && !(tokens > 2 && t == 2); j++)
            cr_assert(fabs((double)y[t * ldy + j] - expected[t * l->width_out + j]) < 1e-4,
                      "%s %zu->%zu, %zu neurons: row %zu of %zu, element %zu: %g, expected %g", v->name,
                      l->width_in, l->width_out, l->neurons, t, tokens, j, (double)y[t * ldy + j],
                      expected[t * l->width_out + j]);
        for (size_t j = l->width_out; j < ldy; j++)
            cr_assert(isnan(y[t * ldy + j]), "%s wrote into the padding", v->name);
    }
    if (v->trace && !(tokens > 2)) {
        cr_assert_eq(ffl_instance_trace(&instance, x, ldx, tokens, nodes, logits), FFL_OK);
        cr_assert_eq(memcmp(nodes, path, tokens * visited * sizeof *path), 0, "%s: another path", v->name);
    }
    ffl_instance_free(&instance);
    ffl_free(x), ffl_free(y), ffl_free(expected), ffl_free(path), ffl_free(nodes), ffl_free(logits);
}

static void check_shape(const ffl_layer *shape, bool output_bias, ffl_activation activation,
                        const size_t *batches)
{
    ffl_weights w;
    cr_assert_eq(ffl_weights_new(shape, output_bias, &w), FFL_OK);
    ffl_weights_randomise(&w, 7);
    w.layer.activation = activation;
    if (activation == FFL_RELU) /* a row of zeros then meets ties: at node 0, and wherever the bias is 0 */
        for (size_t i = 0; i < shape->neurons; i++)
            w.b_in[i] = i % 3 ? 1.0f : 0.0f;
    for (size_t i = 0; i < ffl_registry_count(); i++) {
        const ffl_variant *v = ffl_registry_at(i);
        const char *why;
        for (size_t b = 0; batches[b] && v->library != FFL_NO_LIBRARY; b++)
            if (v->place == FFL_HOST && ffl_variant_supports(v, shape, batches[b], 1, &why))
                check_variant(v, &w, batches[b]);
    }
    ffl_weights_free(&w);
}

Test(blas_variants, dense_layers_match_the_reference)
{
    static const size_t shapes[][3] = {{1, 1, 1}, {5, 3, 7}, {100, 60, 33}, {768, 768, 70}, {16, 24, 4100}};
    static const size_t batches[] = {1, 2, 17, 65, 0}, large[] = {1030, 0};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        ffl_layer shape;
        cr_assert_eq(ffl_layer_ff(shapes[s][0], shapes[s][1], shapes[s][2], &shape), FFL_OK);
        check_shape(&shape, s % 2, s >= 2 ? FFL_RELU : FFL_GELU, s == 1 ? large : batches);
        check_shape(&shape, s % 2 == 0, FFL_GELU, batches);
    }
}

Test(blas_variants, trees_match_the_reference)
{
    static const size_t shapes[][4] = {
        {1, 1, 1, 1}, {5, 3, 1, 2}, {64, 40, 3, 5}, {100, 100, 16, 3}, {33, 65, 2, 10}};
    static const size_t batches[] = {1, 2, 17, 65, 0}, large[] = {1030, 0};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        ffl_layer shape;
        cr_assert_eq(ffl_layer_fff(shapes[s][0], shapes[s][1], shapes[s][2], shapes[s][3], &shape), FFL_OK);
        check_shape(&shape, false, s >= 2 ? FFL_RELU : FFL_GELU, batches);
        check_shape(&shape, false, FFL_GELU, s == 4 ? large : batches);
    }
}
