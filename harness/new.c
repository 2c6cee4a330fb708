/* `fflab new`: a working variant to start from, known to the build (in the source tree) or as a plugin. */
#include "harness/build_info.h"
#include "harness/commands.h"
#include "harness/registry.h"
#include "harness/skeleton.h"
#include "harness/variant_list.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_MAX_LENGTH = 48 };

/* A last word such as _avx2 says which instruction set the file is compiled for. */
static ffl_isa isa_of_name(const char *name)
{
    const char *last = strrchr(name, '_');
    for (int isa = FFL_ISA_BASE + 1; last && isa < FFL_ISA_COUNT; isa++)
        if (strcmp(last + 1, ffl_isa_name((ffl_isa)isa)) == 0)
            return (ffl_isa)isa;
    return FFL_ISA_BASE;
}

static ffl_status check_name(const char *name)
{
    ffl_operation operation;
    if (!ffl_registry_name_valid(name, &operation) || strlen(name) > NAME_MAX_LENGTH)
        return ffl_fail(
            FFL_BAD_INPUT,
            "new %s: a name is ff_… (dense), fff_… (conditional), fff_leaf_… (trees with dense leaves) or "
            "moe_… (mixtures of experts), then lowercase letters, digits and _, at most %d characters: "
            "fff_mine, ff_tiled_avx2",
            name, NAME_MAX_LENGTH);
    const char *last = strrchr(name, '_');
    if (strcmp(last, "_cuda") == 0)
        return ffl_fail(FFL_BAD_INPUT,
                        "new %s: this writes host kernels; a CUDA kernel starts as a copy of one in cuda/",
                        name);
    if (ffl_registry_find(name))
        return ffl_fail(FFL_BAD_INPUT, "new %s: a variant of that name exists", name);
    return FFL_OK;
}

static bool is_source_tree(const char *root)
{
    static const char *const signs[] = {"variants/meson.build", "kernels/variant.h"};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", root, signs[i]);
        if (access(path, R_OK) != 0)
            return false;
    }
    return true;
}

/* The checkout around the working directory, otherwise the one this program was built from. */
static ffl_status find_source_tree(const char *name, char *root, size_t size)
{
    if (!getcwd(root, size))
        return ffl_fail(FFL_IO, "new %s: the working directory: %s", name, strerror(errno));
    for (char *slash = root + strlen(root); slash; slash = strrchr(root, '/')) {
        *slash = '\0';
        if (is_source_tree(root))
            return FFL_OK;
    }
    if (!is_source_tree(FFL_SOURCE_ROOT))
        return ffl_fail(FFL_BAD_INPUT,
                        "new %s: no source tree here; --out DIR writes a plugin, which needs none", name);
    snprintf(root, size, "%s", FFL_SOURCE_ROOT);
    return FFL_OK;
}

/* Writes the file, which must not exist, or leaves none. */
static ffl_status write_file(const char *path, const ffl_skeleton *skeleton)
{
    const int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    FILE *stream = file < 0 ? NULL : fdopen(file, "w");
    if (!stream)
        return ffl_fail(FFL_BAD_INPUT, "new %s: %s: %s", skeleton->name, path, strerror(errno));
    ffl_status status = ffl_skeleton_write(skeleton, stream);
    if (fclose(stream) != 0 && status == FFL_OK)
        status = ffl_fail(FFL_IO, "%s could not be written: %s", path, strerror(errno));
    if (status != FFL_OK)
        unlink(path);
    return status;
}

static const char *kind(const ffl_skeleton *skeleton)
{
    static const char *const kinds[FFL_OPERATION_COUNT] = {
        [FFL_FF] = "FF", [FFL_FFF] = "FFF", [FFL_FFF_LEAF] = "leaf FFF", [FFL_MOE] = "mixture-of-experts"};
    return kinds[skeleton->operation];
}

static ffl_status new_in_tree(ffl_skeleton *skeleton)
{
    char root[PATH_MAX], path[PATH_MAX + 64], list[PATH_MAX + 64], check[128], bench[128];
    FFL_TRY(find_source_tree(skeleton->name, root, sizeof root));
    snprintf(path, sizeof path, "%s/variants/%s.c", root, skeleton->name);
    snprintf(list, sizeof list, "%s/variants/meson.build", root);
    snprintf(check, sizeof check, "./fflab check -v %s", skeleton->name);
    snprintf(bench, sizeof bench, "./fflab bench -v %s", skeleton->name);
    skeleton->check = check;
    skeleton->bench = bench;
    FFL_TRY(write_file(path, skeleton));
    const ffl_status status = ffl_variant_list_add(list, skeleton->name, ffl_isa_name(skeleton->isa), "none");
    if (status != FFL_OK) {
        unlink(path);
        return status;
    }
    printf("Wrote %s, a correct %s kernel to start from,\nand its line in %s.\n\nNext:\n"
           "  $EDITOR %s\n  %-40s right?\n  %-40s fast?\n",
           path, kind(skeleton), list, path, check, bench);
    return FFL_OK;
}

static ffl_status new_plugin(const char *folder, ffl_skeleton *skeleton)
{
    char path[PATH_MAX], check[160], bench[160];
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return ffl_fail(FFL_BAD_INPUT, "--out %s: %s", folder, strerror(errno));
    if (snprintf(path, sizeof path, "%s/%s.c", folder, skeleton->name) >= (int)sizeof path)
        return ffl_fail(FFL_BAD_INPUT, "--out %s: the path is too long", folder);
    snprintf(check, sizeof check, "fflab check --plugin ./%s.so -v %s", skeleton->name, skeleton->name);
    snprintf(bench, sizeof bench, "fflab bench --plugin ./%s.so -v %s", skeleton->name, skeleton->name);
    skeleton->check = check;
    skeleton->bench = bench;
    skeleton->plugin = true;
    FFL_TRY(write_file(path, skeleton));
    printf("Wrote %s, a correct %s kernel to start from.\n\nNext, in %s:\n"
           "  $EDITOR %s.c\n"
           "  cc -O3 -march=native -shared -fPIC $(pkg-config --cflags fflab) %s.c -o %s.so\n"
           "  %-60s right?\n  %-60s fast?\n",
           path, kind(skeleton), folder, skeleton->name, skeleton->name, skeleton->name, check, bench);
    if (is_source_tree(FFL_SOURCE_ROOT))
        printf("\nWithout `meson install`, -I %s takes the place of pkg-config.\n", FFL_SOURCE_ROOT);
    return FFL_OK;
}

static ffl_status run(const ffl_options *options, int *exit_code)
{
    ffl_skeleton skeleton = {.name = options->words[0]};
    FFL_TRY(check_name(skeleton.name));
    (void)ffl_registry_name_valid(skeleton.name, &skeleton.operation);
    skeleton.isa = isa_of_name(skeleton.name);
    *exit_code = FFL_EXIT_GOOD;
    return ffl_option_given(options, FFL_OPT_OUT) ? new_plugin(options->value[FFL_OPT_OUT], &skeleton)
                                                  : new_in_tree(&skeleton);
}

static const ffl_option new_options[] = {FFL_OPT_OUT, FFL_OPT_COUNT};

const ffl_command ffl_command_new = {
    .name = "new",
    .summary = "start a kernel of your own: a working file to change",
    .usage = "NAME [--out DIR]",
    .help =
        "Writes variants/NAME.c, a plain and correct kernel with the comments a newcomer needs, and its line "
        "in\n"
        "variants/meson.build; list, check, bench and the tests then find it by themselves. The name says "
        "what\n"
        "it is: ff_… dense, fff_… conditional, fff_leaf_… a tree with dense leaves, moe_… a mixture of "
        "experts;\n"
        "a last word such as _avx2 or _avx512 compiles the file for that instruction set.\n\n"
        "With --out DIR it writes DIR/NAME.c outside the source tree instead, to be built against the "
        "installed\n"
        "headers and loaded with --plugin.\n\n"
        "Examples:\n"
        "  fflab new fff_mine\n"
        "  fflab new fff_mine_avx512\n"
        "  fflab new ff_mine --out ~/kernels\n",
    .options = new_options,
    .words_min = 1,
    .words_max = 1,
    .run = run,
};
