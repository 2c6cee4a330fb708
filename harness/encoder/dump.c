#include "harness/encoder/dump.h"
#include "harness/files/npy.h"
#include "kernels/memory.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

ffl_status ffl_dump_folder(const char *folder)
{
    struct stat info;
    if ((mkdir(folder, 0777) == 0 || errno == EEXIST) && stat(folder, &info) == 0 && S_ISDIR(info.st_mode) &&
        access(folder, W_OK) == 0)
        return FFL_OK;
    return ffl_fail(FFL_BAD_INPUT, "--dump %s: no folder that can be written to", folder);
}

static ffl_status write_array(const ffl_dump *dump, const char *name, ffl_npy_type type, size_t dimensions,
                              const size_t *shape, const void *data)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s.npy", dump->folder, name) >= (int)sizeof path)
        return ffl_fail(FFL_BAD_INPUT, "--dump %.40s…: the path is too long", dump->folder);
    return ffl_npy_write(path, type, dimensions, shape, data);
}

ffl_status ffl_dump_begin(ffl_dump *dump, const ffl_encoder_weights *weights)
{
    const ffl_encoder_config *c = dump->config;
    const size_t tokens = dump->input->batch * dump->input->sequence;
    if (weights->has_head && !(dump->logits = ffl_alloc_array(tokens, c->vocabulary * sizeof *dump->logits)))
        return FFL_NO_MEMORY;
    if (c->operation == FFL_FFF &&
        !(dump->paths = ffl_alloc_array(c->layers * tokens, c->trees * c->levels * sizeof *dump->paths)))
        return FFL_NO_MEMORY;
    return FFL_OK;
}

static ffl_status keep_paths(ffl_dump *dump, const ffl_encoder *e, size_t layer)
{
    const ffl_encoder_config *c = dump->config;
    const size_t visits = dump->input->batch * dump->input->sequence * c->trees * c->levels;
    float *z = ffl_alloc_array(visits, sizeof *z);
    if (!z)
        return FFL_NO_MEMORY;
    /* A variant that cannot tell its paths, or that has none, leaves no file. */
    dump->traced = ffl_encoder_trace(e, layer, dump->paths + layer * visits, z) == FFL_OK;
    ffl_free(z);
    return FFL_OK;
}

ffl_status ffl_dump_watch(void *user, ffl_encoder *encoder, size_t layer)
{
    ffl_dump *dump = user;
    const ffl_encoder_config *c = dump->config;
    const size_t shape[] = {dump->input->batch, dump->input->sequence, c->width};
    char name[32];
    if (layer < c->layers)
        snprintf(name, sizeof name, "layer_%02zu", layer);
    else
        snprintf(name, sizeof name, "%s", layer == c->layers ? "encoder" : "embedding");
    if (layer < c->layers) {
        const size_t rows[] = {shape[0] * shape[1], c->width};
        char given[48];
        snprintf(given, sizeof given, "feedforward_%02zu", layer);
        FFL_TRY(write_array(dump, given, FFL_NPY_F32, 2, rows, ffl_encoder_feedforward_input(encoder)));
        if (dump->paths)
            FFL_TRY(keep_paths(dump, encoder, layer));
    }
    return write_array(dump, name, FFL_NPY_F32, 3, shape, ffl_encoder_state(encoder));
}

void ffl_dump_logits(void *user, size_t first, size_t count, const float *logits)
{
    const ffl_dump *dump = user;
    const size_t words = dump->config->vocabulary;
    memcpy(dump->logits + first * words, logits, count * words * sizeof *logits);
}

ffl_status ffl_dump_end(ffl_dump *dump)
{
    const ffl_encoder_config *c = dump->config;
    const size_t batch = dump->input->batch, sequence = dump->input->sequence;
    const size_t words[] = {batch, sequence, c->vocabulary};
    const size_t visits[] = {c->layers, batch, sequence, c->trees, c->levels};
    if (dump->logits)
        FFL_TRY(write_array(dump, "logits", FFL_NPY_F32, 3, words, dump->logits));
    return dump->paths && dump->traced ? write_array(dump, "paths", FFL_NPY_I32, 5, visits, dump->paths)
                                       : FFL_OK;
}

void ffl_dump_free(ffl_dump *dump)
{
    ffl_free(dump->logits);
    ffl_free(dump->paths);
    dump->logits = NULL;
    dump->paths = NULL;
}
