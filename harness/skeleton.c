#include "harness/skeleton.h"
#include "harness/skeleton_text.h"
#include <errno.h>
#include <string.h>

static const char *const isa_enumerators[FFL_ISA_COUNT] = {"FFL_ISA_BASE", "FFL_ISA_AVX2", "FFL_ISA_AVX512",
                                                           "FFL_ISA_AVX512_VNNI", "FFL_ISA_AVX512_BF16"};

static const char *const texts[FFL_OPERATION_COUNT] = {[FFL_FF] = FFL_SKELETON_FF,
                                                       [FFL_FFF] = FFL_SKELETON_FFF,
                                                       [FFL_FFF_LEAF] = FFL_SKELETON_FFF_LEAF,
                                                       [FFL_MOE] = FFL_SKELETON_MOE};

/* What the placeholder at `text` ("@NAME@…") stands for, and its length; NULL when it is none. */
static const char *find_value(const ffl_skeleton *s, const char *text, size_t *length)
{
    const char *const pairs[][2] = {
        {"@NAME@", s->name},
        {"@CHECK@", s->check},
        {"@BENCH@", s->bench},
        {"@ISA@", isa_enumerators[s->isa]},
        {"@FAMILY@", s->isa == FFL_ISA_BASE ? "FFL_NAIVE" : "FFL_SIMD"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        *length = strlen(pairs[i][0]);
        if (strncmp(text, pairs[i][0], *length) == 0)
            return pairs[i][1];
    }
    return NULL;
}

static void write_text(const ffl_skeleton *s, const char *text, FILE *file)
{
    while (*text) {
        size_t length;
        const char *value = *text == '@' ? find_value(s, text, &length) : NULL;
        if (value) {
            fputs(value, file);
            text += length;
        } else {
            putc(*text++, file);
        }
    }
}

ffl_status ffl_skeleton_write(const ffl_skeleton *skeleton, FILE *file)
{
    write_text(skeleton, texts[skeleton->operation], file);
    if (skeleton->plugin)
        write_text(skeleton, FFL_SKELETON_PLUGIN, file);
    if (fflush(file) != 0 || ferror(file))
        return ffl_fail(FFL_IO, "%s.c could not be written: %s", skeleton->name, strerror(errno));
    return FFL_OK;
}
