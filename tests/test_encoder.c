/* The encoder and its reference against passes that others computed, and against each other. */
#include "files.h"
#include "harness/encoder/encoder_reference.h"
#include "harness/files/npy.h"
#include "harness/registry.h"
#include "kernels/memory.h"
#include <math.h>

static char folder[512];

typedef struct scene {
    ffl_encoder_weights weights;
    ffl_encoder_input input;
    int32_t ids[512], types[512];
    unsigned char mask[512];
} scene;

/* Where the fixture has any. */
static void read_types(const char *name, scene *s)
{
    const char *path = files_fixture(name, "token_types.npy");
    ffl_npy types;
    if (access(path, F_OK) != 0)
        return;
    cr_assert_eq(ffl_npy_read_as(path, "types", FFL_NPY_I64, 2, &types), FFL_OK, "%s", ffl_error());
    for (size_t i = 0; i < types.count; i++)
        s->types[i] = (int32_t)((int64_t *)types.data)[i];
    s->input.types = s->types;
    ffl_npy_free(&types);
}

static void read_fixture(const char *name, bool masked, scene *s)
{
    ffl_npy ids, mask;
    snprintf(folder, sizeof folder, "%s", files_fixture(name, "."));
    cr_assert_eq(ffl_encoder_weights_load(folder, &s->weights), FFL_OK, "%s", ffl_error());
    cr_assert_eq(ffl_npy_read_as(files_fixture(name, "input_ids.npy"), "ids", FFL_NPY_I64, 2, &ids), FFL_OK);
    s->input = (ffl_encoder_input){.batch = ids.shape[0], .sequence = ids.shape[1], .ids = s->ids};
    for (size_t i = 0; i < ids.count; i++)
        s->ids[i] = (int32_t)((int64_t *)ids.data)[i];
    if (masked) {
        cr_assert_eq(ffl_npy_read_as(files_fixture(name, "mask.npy"), "mask", FFL_NPY_I64, 2, &mask), FFL_OK);
        for (size_t i = 0; i < ids.count; i++)
            s->mask[i] = ((int64_t *)mask.data)[i] != 0;
        s->input.mask = s->mask;
        ffl_npy_free(&mask);
    }
    ffl_npy_free(&ids);
    read_types(name, s);
    cr_assert_eq(ffl_encoder_input_check(&s->weights.config, &s->input), FFL_OK, "%s", ffl_error());
}

/* Largest |got - want| over the scale of want; rows whose mask is 0 count for nothing. */
static double off(const scene *s, const float *got32, const double *got64, const double *want, size_t width)
{
    double scale = 0, error = 0;
    for (size_t i = 0; i < s->input.batch * s->input.sequence * width; i++) {
        if (s->input.mask && !s->mask[i / width])
            continue;
        const double e = fabs((got32 ? (double)got32[i] : got64[i]) - want[i]);
        error = !(e <= error) ? e : error;
        scale = fmax(scale, fabs(want[i]));
    }
    return error / scale;
}

static const ffl_variant *variant(const char *name)
{
    const ffl_variant *v = ffl_registry_find(name);
    cr_assert_not_null(v, "%s", name);
    return v;
}

typedef struct logits_seen {
    float *all;
    size_t vocabulary;
} logits_seen;

static void keep_logits(void *user, size_t first, size_t count, const float *logits)
{
    const logits_seen *seen = user;
    memcpy(seen->all + first * seen->vocabulary, logits, count * seen->vocabulary * sizeof *logits);
}

Test(encoder, agrees_with_the_published_module)
{
    const char *name = "encoder_fff_h64_l3_d5_p2";
    static const char *const variants[] = {"fff_naive", "fff_blas2_openblas", "fff_walk_avx512"};
    static scene s;
    ffl_npy output, paths, arg_max, logits;
    ffl_encoder_reference r;
    read_fixture(name, false, &s);
    cr_assert_eq(ffl_npy_read_as(files_fixture(name, "encoder.npy"), "y", FFL_NPY_F64, 3, &output), FFL_OK);
    cr_assert_eq(ffl_npy_read_as(files_fixture(name, "paths.npy"), "p", FFL_NPY_I32, 4, &paths), FFL_OK);
    cr_assert_eq(ffl_npy_read_as(files_fixture(name, "arg_max.npy"), "a", FFL_NPY_I32, 2, &arg_max), FFL_OK);
    cr_assert_eq(ffl_npy_read_as(files_fixture(name, "logits_first.npy"), "l", FFL_NPY_F64, 3, &logits),
                 FFL_OK);
    cr_assert_eq(ffl_encoder_reference_run(&s.weights, FFL_FFF, &s.input, true, &r), FFL_OK, "%s",
                 ffl_error());
    const double reference_off = off(&s, NULL, r.output, output.data, 64);
    cr_assert(reference_off <= 1e-6, "the reference is off by %g", reference_off);
    const size_t tokens = r.tokens, sequence = s.input.sequence, batch = s.input.batch;
    for (size_t t = 0; t < tokens; t++)
        for (size_t b = 0; b < batch && t < 4; b++)
            for (size_t v = 0; v < 1000; v++)
                cr_assert(fabs(r.logits[(b * sequence + t) * 1000 + v] -
                               ((double *)logits.data)[(b * 4 + t) * 1000 + v]) < 2e-5);
    int32_t *nodes = ffl_alloc_array(tokens * 12, sizeof *nodes);
    float *z = ffl_alloc_array(tokens * 12, sizeof *z);
    float *words = ffl_alloc_array(tokens * 1000, sizeof *words);
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        const char *why = "";
        ffl_encoder *e;
        if (!ffl_registry_find(variants[v]) || !ffl_variant_available(variant(variants[v]), &why))
            continue;
        cr_assert_eq(ffl_encoder_new(&s.weights, variant(variants[v]), batch, sequence, 1, &e), FFL_OK, "%s",
                     ffl_error());
        cr_assert_eq(ffl_encoder_embed(e, &s.input), FFL_OK);
        for (size_t i = 0; i < 3; i++) {
            cr_assert_eq(ffl_encoder_layer_run(e, i), FFL_OK);
            cr_assert_eq(ffl_encoder_trace(e, i, nodes, z), FFL_OK, "%s", ffl_error());
            for (size_t t = 0; t < tokens; t++) { /* the file's rows are in order s·B + b */
                const size_t row = t % sequence * batch + t / sequence;
                cr_assert_arr_eq(nodes + t * 12, (int32_t *)paths.data + (i * tokens + row) * 12,
                                 12 * sizeof *nodes);
            }
            const double state_off = off(&s, ffl_encoder_state(e), NULL, r.state + i * tokens * 64, 64);
            cr_assert(state_off <= 1e-5, "%s, layer %zu: off by %g", variants[v], i, state_off);
        }
        ffl_encoder_finish(e);
        const double pass_off = off(&s, ffl_encoder_state(e), NULL, output.data, 64);
        cr_assert(pass_off <= 1e-5, "%s: off by %g", variants[v], pass_off);
        logits_seen seen = {words, 1000};
        cr_assert_eq(ffl_encoder_logits(e, keep_logits, &seen), FFL_OK);
        for (size_t t = 0; t < tokens; t++) {
            size_t best = 0;
            for (size_t i = 1; i < 1000; i++)
                best = words[t * 1000 + i] > words[t * 1000 + best] ? i : best;
            cr_assert_eq((int32_t)best, ((int32_t *)arg_max.data)[t]);
        }
        ffl_encoder_free(e);
    }
    ffl_free(nodes), ffl_free(z), ffl_free(words);
    ffl_npy_free(&output), ffl_npy_free(&paths), ffl_npy_free(&arg_max), ffl_npy_free(&logits);
    ffl_encoder_reference_free(&r);
    ffl_encoder_weights_free(&s.weights);
}

Test(encoder, agrees_with_numpy_on_berts_family)
{
    static const char *const names[] = {"encoder_bert", "encoder_roberta", "encoder_distilbert",
                                        "encoder_albert"};
    static scene s;
    for (size_t f = 0; f < 4; f++) {
        ffl_npy output, logits;
        ffl_encoder_reference r;
        ffl_encoder *e;
        read_fixture(names[f], true, &s);
        cr_assert_eq(ffl_npy_read_as(files_fixture(names[f], "encoder.npy"), "y", FFL_NPY_F64, 3, &output),
                     FFL_OK);
        cr_assert_eq(ffl_encoder_reference_run(&s.weights, FFL_FF, &s.input, true, &r), FFL_OK, "%s",
                     ffl_error());
        const double reference_off = off(&s, NULL, r.output, output.data, 24);
        cr_assert(reference_off <= 1e-6, "%s: the reference is off by %g", names[f], reference_off);
        cr_assert_eq(ffl_encoder_new(&s.weights, variant("ff_naive"), 2, 9, 1, &e), FFL_OK, "%s",
                     ffl_error());
        cr_assert_eq(ffl_encoder_run(e, &s.input, false), FFL_OK);
        const double pass_off = off(&s, ffl_encoder_state(e), NULL, output.data, 24);
        cr_assert(pass_off <= 1e-5, "%s: off by %g", names[f], pass_off);
        if (s.weights.has_head) {
            float words[18 * 50];
            logits_seen seen = {words, 50};
            cr_assert_eq(ffl_npy_read_as(files_fixture(names[f], "logits.npy"), "l", FFL_NPY_F64, 3, &logits),
                         FFL_OK);
            cr_assert(off(&s, NULL, r.logits, logits.data, 50) <= 1e-6, "%s", names[f]);
            cr_assert_eq(ffl_encoder_logits(e, keep_logits, &seen), FFL_OK);
            cr_assert(off(&s, words, NULL, logits.data, 50) <= 1e-5, "%s", names[f]);
            ffl_npy_free(&logits);
        } else {
            cr_assert_eq(ffl_encoder_logits(e, NULL, NULL), FFL_UNSUPPORTED);
        }
        ffl_npy_free(&output);
        ffl_encoder_free(e);
        ffl_encoder_reference_free(&r);
        ffl_encoder_weights_free(&s.weights);
    }
}

/* Padding, batch size and threads change nothing about a sequence. */
Test(encoder, sequences_stand_alone)
{
    ffl_encoder_config c;
    ffl_encoder_weights w;
    ffl_encoder *e;
    int32_t ids[2 * 40];
    unsigned char mask[2 * 40];
    float first[20 * 64];
    cr_assert(ffl_encoder_preset("ultrafastbert-1x11", &c));
    c.layers = 2, c.width = c.embedding_width = 64, c.heads = 4, c.vocabulary = 100;
    c.levels = 6, c.neurons = 63;
    cr_assert_eq(ffl_encoder_weights_seeded(&c, 1, &w), FFL_OK);
    for (size_t i = 0; i < 80; i++) {
        ids[i] = (int32_t)(i * 37 % 100);
        mask[i] = i % 40 < 20;
    }
    cr_assert_eq(ffl_encoder_new(&w, variant("fff_naive"), 2, 40, 2, &e), FFL_BAD_INPUT, "one thread only");
    cr_assert_eq(ffl_encoder_new(&w, variant("fff_naive"), 2, 40, 1, &e), FFL_OK, "%s", ffl_error());
    const ffl_encoder_input alone = {1, 20, ids, NULL, NULL}, padded = {2, 40, ids, mask, NULL};
    cr_assert_eq(ffl_encoder_run(e, &alone, true), FFL_OK);
    memcpy(first, ffl_encoder_state(e), sizeof first);
    cr_assert_eq(ffl_encoder_run(e, &padded, true), FFL_OK);
    for (size_t i = 0; i < 20 * 64; i++)
        cr_assert(fabsf(first[i] - ffl_encoder_state(e)[i]) <= 1e-5f);
    for (size_t part = 0; part < FFL_PART_COUNT; part++)
        cr_assert(ffl_encoder_times(e)[part] > 0, "%s", ffl_part_name((ffl_part)part));
    ffl_encoder_free(e);
    ffl_encoder_weights_free(&w);
}

Test(encoder, inputs_are_refused_by_name)
{
    ffl_encoder_config c;
    int32_t ids[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    const unsigned char mask[8] = {1, 1, 1, 1, 0, 0, 0, 0};
    cr_assert(ffl_encoder_preset("bert-base", &c));
    const struct {
        ffl_encoder_input input;
        const char *message;
    } bad[] = {{{0, 4, ids, NULL, NULL}, "nothing to do"},
               {{1, 0, ids, NULL, NULL}, "nothing to do"},
               {{1, 513, ids, NULL, NULL}, "takes 512"},
               {{2, 4, ids, mask, NULL}, "sequence 1 is nothing but padding"},
               {{2, 4, ids, NULL, ids}, "sequence 0, position 2: token type 2; the model has 2"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert_eq(ffl_encoder_input_check(&c, &bad[i].input), FFL_BAD_INPUT);
        cr_assert(strstr(ffl_error(), bad[i].message), "%s", ffl_error());
    }
    ids[6] = 30522;
    cr_assert_eq(ffl_encoder_input_check(&c, &(ffl_encoder_input){2, 4, ids, NULL, NULL}), FFL_BAD_INPUT);
    cr_assert(strstr(ffl_error(), "sequence 1, position 2: token id 30522"), "%s", ffl_error());
    ids[6] = -1;
    cr_assert_eq(ffl_encoder_input_check(&c, &(ffl_encoder_input){2, 4, ids, NULL, NULL}), FFL_BAD_INPUT);
    const int32_t one[1] = {1};
    cr_assert(ffl_encoder_preset("distilbert", &c));
    cr_assert_eq(ffl_encoder_input_check(&c, &(ffl_encoder_input){1, 1, one, NULL, one}), FFL_BAD_INPUT);
    cr_assert(strstr(ffl_error(), "token type 1; the model has 0"), "%s", ffl_error());
}

/* One narrow layer of each, all its neurons, few words. */
Test(encoder, every_preset_runs)
{
    int32_t ids[6] = {5, 4, 3, 2, 1, 6};
    for (size_t p = 0; p < ffl_encoder_preset_count(); p++) {
        ffl_encoder_config c;
        ffl_encoder_weights w;
        ffl_encoder *e;
        cr_assert(ffl_encoder_preset(ffl_encoder_preset_name(p), &c));
        c.layers = 1, c.vocabulary = 50;
        c.embedding_width = c.embedding_width == c.width ? 96 : 16;
        c.width = 96;
        cr_assert_eq(ffl_encoder_weights_seeded(&c, 1, &w), FFL_OK, "%s", ffl_error());
        const ffl_variant *v = variant(c.operation == FFL_FFF ? "fff_naive" : "ff_naive");
        cr_assert_eq(ffl_encoder_new(&w, v, 2, 3, 1, &e), FFL_OK, "%s", ffl_error());
        cr_assert_eq(ffl_encoder_run(e, &(ffl_encoder_input){2, 3, ids, NULL, NULL}, true), FFL_OK);
        for (size_t i = 0; i < 6 * c.width; i++)
            cr_assert(isfinite(ffl_encoder_state(e)[i]), "%s", ffl_encoder_preset_name(p));
        ffl_encoder_free(e);
        ffl_encoder_weights_free(&w);
    }
}
