/*
 * FF with oneDNN: two matrix products on weights in the layout that the library prefers, bias and exact GELU
 * attached to the first, over at most ROWS tokens so that the hidden values stay below 16 MB at 4095 neurons.
 * The library compiles its products for one number of tokens and threads: the last few are kept. Rows that do
 * not lie together are copied, for its fast kernels take only those that do.
 */
#include "kernels/memory.h"
#include "kernels/onednn.h"
#include <dnnl.h>
#include <string.h>

enum { ROWS = 1024, KEPT = 4 };

/* The library's functions, by the names that follow dnnl_. */
#define FUNCTIONS(X)                                                                                         \
    X(engine_create)                                                                                         \
    X(engine_destroy)                                                                                        \
    X(stream_create)                                                                                         \
    X(stream_destroy)                                                                                        \
    X(memory_desc_init_by_strides)                                                                           \
    X(memory_desc_init_by_tag)                                                                               \
    X(memory_desc_get_size)                                                                                  \
    X(memory_create)                                                                                         \
    X(memory_destroy)                                                                                        \
    X(memory_set_data_handle)                                                                                \
    X(primitive_attr_create)                                                                                 \
    X(primitive_attr_set_post_ops)                                                                           \
    X(primitive_attr_destroy)                                                                                \
    X(post_ops_create)                                                                                       \
    X(post_ops_append_eltwise)                                                                               \
    X(post_ops_destroy)                                                                                      \
    X(matmul_desc_init)                                                                                      \
    X(primitive_desc_create)                                                                                 \
    X(primitive_desc_query_md)                                                                               \
    X(primitive_desc_destroy)                                                                                \
    X(reorder_primitive_desc_create)                                                                         \
    X(primitive_create)                                                                                      \
    X(primitive_execute)                                                                                     \
    X(primitive_destroy)

typedef struct functions {
#define X(name) __typeof__(dnnl_##name) *name;
    FUNCTIONS(X)
#undef X
    void (*set_threads)(int threads);
} functions;

/* One product for `tokens` tokens: to = act(from·weights + bias). */
typedef struct product {
    dnnl_primitive_t primitive;
    dnnl_memory_t from, weights, bias, to;
} product;

typedef struct products {
    size_t tokens;
    int threads;
    product in, out;
} products;

typedef struct state {
    functions f;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_memory_desc_t in_layout, out_layout; /* of the packed weights */
    float *w_in, *w_out;
    products kept[KEPT];
    size_t next; /* in kept: the one to replace */
} state;

#define DNN(call)                                                                                            \
    do {                                                                                                     \
        const dnnl_status_t status_ = (call);                                                                \
        if (status_ != dnnl_success)                                                                         \
            return status_ == dnnl_out_of_memory                                                             \
                       ? ffl_fail(FFL_NO_MEMORY, "oneDNN is out of memory")                                  \
                       : ffl_fail(FFL_UNSUPPORTED, "oneDNN: status %d", (int)status_);                       \
    } while (0)

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void drop_product(const functions *f, product *p)
{
    f->primitive_destroy(p->primitive);
    f->memory_destroy(p->from);
    f->memory_destroy(p->weights);
    f->memory_destroy(p->bias);
    f->memory_destroy(p->to);
    *p = (product){0};
}

static void release(ffl_plan *plan)
{
    state *s = plan->state;
    for (size_t i = 0; i < KEPT; i++) {
        drop_product(&s->f, &s->kept[i].in);
        drop_product(&s->f, &s->kept[i].out);
    }
    s->f.stream_destroy(s->stream);
    s->f.engine_destroy(s->engine);
    ffl_free(s->w_in);
    ffl_free(s->w_out);
    ffl_free(s);
}

static ffl_status describe(state *s, const ffl_layer *l, bool in, size_t tokens,
                           const dnnl_memory_desc_t *layout, product *p, dnnl_primitive_desc_t *description)
{
    static const dnnl_alg_kind_t eltwise[] = {[FFL_GELU] = dnnl_eltwise_gelu_erf,
                                              [FFL_RELU] = dnnl_eltwise_relu,
                                              [FFL_GELU_TANH] = dnnl_eltwise_gelu_tanh};
    const functions *f = &s->f;
    const dnnl_dim_t m = (dnnl_dim_t)tokens, k = (dnnl_dim_t)(in ? l->width_in : l->neurons);
    const dnnl_dim_t n = (dnnl_dim_t)(in ? l->neurons : l->width_out);
    const bool biased = in || l->b_out;
    dnnl_memory_desc_t from, bias, to;
    DNN(f->memory_desc_init_by_strides(&from, 2, (dnnl_dims_t){m, k}, dnnl_f32, (dnnl_dims_t){k, 1}));
    DNN(f->memory_desc_init_by_strides(&to, 2, (dnnl_dims_t){m, n}, dnnl_f32, (dnnl_dims_t){n, 1}));
    DNN(f->memory_desc_init_by_strides(&bias, 2, (dnnl_dims_t){1, n}, dnnl_f32, (dnnl_dims_t){n, 1}));
    dnnl_matmul_desc_t what;
    DNN(f->matmul_desc_init(&what, &from, layout, biased ? &bias : NULL, &to));
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_post_ops_t after = NULL;
    dnnl_status_t status = f->primitive_attr_create(&attributes);
    if (status == dnnl_success && in) {
        status = f->post_ops_create(&after);
        if (status == dnnl_success)
            status = f->post_ops_append_eltwise(after, 1.0f, eltwise[l->activation], 0, 0);
        if (status == dnnl_success)
            status = f->primitive_attr_set_post_ops(attributes, after);
    }
    if (status == dnnl_success)
        status = f->primitive_desc_create(description, &what, attributes, s->engine, NULL);
    f->post_ops_destroy(after);
    f->primitive_attr_destroy(attributes);
    DNN(status);
    DNN(f->memory_create(&p->from, &from, s->engine, DNNL_MEMORY_NONE));
    DNN(f->memory_create(&p->to, &to, s->engine, DNNL_MEMORY_NONE));
    if (biased)
        DNN(f->memory_create(&p->bias, &bias, s->engine, (void *)(in ? l->b_in : l->b_out)));
    return FFL_OK;
}

/* The weights from their rows, which are columns in the first product, to the library's layout. */
static ffl_status pack(state *s, const ffl_layer *l, bool in, float **packed)
{
    const functions *f = &s->f;
    const dnnl_memory_desc_t *layout = in ? &s->in_layout : &s->out_layout;
    const dnnl_dim_t rows = (dnnl_dim_t)(in ? l->width_in : l->neurons);
    const dnnl_dim_t columns = (dnnl_dim_t)(in ? l->neurons : l->width_out);
    dnnl_memory_desc_t plain;
    DNN(f->memory_desc_init_by_strides(&plain, 2, (dnnl_dims_t){rows, columns}, dnnl_f32,
                                       in ? (dnnl_dims_t){1, rows} : (dnnl_dims_t){columns, 1}));
    if (!(*packed = ffl_alloc(f->memory_desc_get_size(layout))))
        return FFL_NO_MEMORY;
    dnnl_memory_t from = NULL, to = NULL;
    dnnl_primitive_desc_t description = NULL;
    dnnl_primitive_t primitive = NULL;
    dnnl_status_t status = f->memory_create(&from, &plain, s->engine, (void *)(in ? l->w_in : l->w_out));
    if (status == dnnl_success)
        status = f->memory_create(&to, layout, s->engine, *packed);
    if (status == dnnl_success)
        status = f->reorder_primitive_desc_create(&description, &plain, s->engine, layout, s->engine, NULL);
    if (status == dnnl_success)
        status = f->primitive_create(&primitive, description);
    if (status == dnnl_success)
        status = f->primitive_execute(primitive, s->stream, 2,
                                      (dnnl_exec_arg_t[]){{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
    f->primitive_destroy(primitive);
    f->primitive_desc_destroy(description);
    f->memory_destroy(from);
    f->memory_destroy(to);
    DNN(status);
    return FFL_OK;
}

/* Layouts are free the first time, and then decided. */
static ffl_status make_product(state *s, const ffl_layer *l, bool in, size_t tokens, product *p)
{
    dnnl_memory_desc_t *layout = in ? &s->in_layout : &s->out_layout, any;
    float **packed = in ? &s->w_in : &s->w_out;
    dnnl_primitive_desc_t description = NULL;
    const dnnl_dim_t k = (dnnl_dim_t)(in ? l->width_in : l->neurons);
    const dnnl_dim_t n = (dnnl_dim_t)(in ? l->neurons : l->width_out);
    DNN(s->f.memory_desc_init_by_tag(&any, 2, (dnnl_dims_t){k, n}, dnnl_f32, dnnl_format_tag_any));
    ffl_status status = describe(s, l, in, tokens, *packed ? layout : &any, p, &description);
    if (status == FFL_OK && !*packed) {
        *layout = *s->f.primitive_desc_query_md(description, dnnl_query_weights_md, 0);
        status = pack(s, l, in, packed);
    }
    dnnl_status_t done = dnnl_success;
    if (status == FFL_OK)
        done = s->f.primitive_create(&p->primitive, description);
    s->f.primitive_desc_destroy(description);
    FFL_TRY(status);
    DNN(done);
    DNN(s->f.memory_create(&p->weights, layout, s->engine, *packed));
    return FFL_OK;
}

/* The products for this many tokens and threads, compiled unless they are among the last few. */
static ffl_status find_products(state *s, const ffl_layer *l, size_t tokens, int threads,
                                const products **found)
{
    for (size_t i = 0; i < KEPT; i++)
        if (s->kept[i].tokens == tokens && s->kept[i].threads == threads) {
            *found = &s->kept[i];
            return FFL_OK;
        }
    products *p = &s->kept[s->next];
    s->next = (s->next + 1) % KEPT;
    drop_product(&s->f, &p->in);
    drop_product(&s->f, &p->out);
    *p = (products){0};
    FFL_TRY(make_product(s, l, true, tokens, &p->in));
    FFL_TRY(make_product(s, l, false, tokens, &p->out));
    p->tokens = tokens;
    p->threads = threads;
    *found = p;
    return FFL_OK;
}

static ffl_status execute(const state *s, const product *p, const float *from, float *to)
{
    DNN(s->f.memory_set_data_handle(p->from, (void *)from));
    DNN(s->f.memory_set_data_handle(p->to, to));
    DNN(s->f.primitive_execute(p->primitive, s->stream, p->bias ? 4 : 3,
                               (dnnl_exec_arg_t[]){{DNNL_ARG_SRC, p->from},
                                                   {DNNL_ARG_WEIGHTS, p->weights},
                                                   {DNNL_ARG_DST, p->to},
                                                   {DNNL_ARG_BIAS, p->bias}}));
    return FFL_OK;
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const ffl_layer *l = plan->layer;
    state *s = plan->state;
    const size_t rows = smaller(ROWS, plan->max_tokens);
    float *hidden = exec->scratch, *x_copy = hidden + rows * l->neurons,
          *y_copy = x_copy + rows * l->width_in;
    s->f.set_threads(exec->threads);
    for (size_t done = 0; done < tokens; done += ROWS, x += ROWS * ldx, y += ROWS * ldy) {
        const size_t count = smaller(ROWS, tokens - done);
        const products *p;
        FFL_TRY(find_products(s, l, count, exec->threads, &p));
        for (size_t t = 0; ldx != l->width_in && t < count; t++)
            memcpy(x_copy + t * l->width_in, x + t * ldx, l->width_in * sizeof *x);
        FFL_TRY(execute(s, &p->in, ldx == l->width_in ? x : x_copy, hidden));
        FFL_TRY(execute(s, &p->out, hidden, ldy == l->width_out ? y : y_copy));
        for (size_t t = 0; ldy != l->width_out && t < count; t++)
            memcpy(y + t * ldy, y_copy + t * l->width_out, l->width_out * sizeof *y);
    }
    return FFL_OK;
}

static bool supports(const ffl_layer *shape, size_t tokens, const char **why)
{
    (void)tokens;
    *why = "a size exceeds the library's 32-bit integers";
    return shape->width_in <= INT32_MAX && shape->width_out <= INT32_MAX && shape->neurons <= INT32_MAX;
}

static ffl_status load(functions *f)
{
    const ffl_onednn *library = ffl_onednn_open();
    if (!library)
        return FFL_UNSUPPORTED;
#define X(name)                                                                                              \
    if (!(f->name = (__typeof__(f->name))ffl_onednn_function(library, "dnnl_" #name)))                       \
        return ffl_fail(FFL_UNSUPPORTED, "oneDNN has no dnnl_" #name);
    FUNCTIONS(X)
#undef X
    f->set_threads = (void (*)(int))ffl_onednn_function(library, "omp_set_num_threads");
    return f->set_threads ? FFL_OK : ffl_fail(FFL_UNSUPPORTED, "oneDNN was built without OpenMP");
}

static ffl_status start(const ffl_layer *layer, ffl_plan *plan, state *s)
{
    const products *p;
    DNN(s->f.engine_create(&s->engine, dnnl_cpu, 0));
    DNN(s->f.stream_create(&s->stream, s->engine, dnnl_stream_default_flags));
    const int threads = plan->threads > 1 ? plan->threads : 1;
    s->f.set_threads(threads);
    return find_products(s, layer, smaller(ROWS, plan->max_tokens), threads, &p);
}

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    functions f;
    FFL_TRY(load(&f));
    state *s = plan->state = ffl_alloc(sizeof *s);
    if (!s)
        return FFL_NO_MEMORY;
    s->f = f;
    const ffl_status status = start(layer, plan, s);
    if (status != FFL_OK) {
        release(plan);
        return status;
    }
    plan->packed_bytes = f.memory_desc_get_size(&s->in_layout) + f.memory_desc_get_size(&s->out_layout);
    plan->scratch_bytes = smaller(ROWS, plan->max_tokens) *
                          (layer->neurons + layer->width_in + layer->width_out) * sizeof(float);
    return FFL_OK;
}

FFL_VARIANTS(ff_onednn) = {
    {.name = "ff_onednn",
     .source = "oneDNN, github.com/oneapi-src/oneDNN",
     .summary = "two oneDNN products on the library's own weight layout, GELU attached to the first",
     .operation = FFL_FF,
     .place = FFL_HOST,
     .family = FFL_BLAS3,
     .isa = FFL_ISA_BASE,
     .library = FFL_ONEDNN,
     .threaded = true,
     .contract = FFL_CONTRACT_F32,
     .supports = supports,
     .prepare = prepare,
     .run = run,
     .release = release},
    {0},
};
