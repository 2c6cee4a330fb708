/*
 * The table of variants: what was compiled in (registry_table.c, written at configure time from the lines
 * in variants/meson.build and cuda/meson.build), the dispatchers of harness/auto, and what --plugin loaded.
 */
#ifndef FFL_HARNESS_REGISTRY_H
#define FFL_HARNESS_REGISTRY_H

#include "kernels/variant.h"

#ifdef __cplusplus
extern "C" {
#endif

size_t ffl_registry_count(void);

/* Sorted: built-in rows in file order, then plugins; i < ffl_registry_count(). */
const ffl_variant *ffl_registry_at(size_t i);

/* False for a row that --plugin loaded. */
bool ffl_registry_built_in(const ffl_variant *variant);

/* NULL when no variant has that name. */
const ffl_variant *ffl_registry_find(const char *name);

/*
 * A variant's name is ff_…, fff_…, fff_leaf_… or moe_… in lowercase letters, digits and single underscores,
 * and says the operation. False for anything else.
 */
bool ffl_registry_name_valid(const char *name, ffl_operation *operation);

/* Loads a shared object that ends in FFL_PLUGIN. FFL_BAD_INPUT names the file and what is wrong with it. */
ffl_status ffl_registry_load(const char *path);

/* FFL_BAD_INPUT, naming the file and the field, for a row that may not be added. */
ffl_status ffl_registry_check(const char *path, const ffl_variant *variant);

/* Adds one row that is no plugin's: it must outlive the program. */
ffl_status ffl_registry_add(const ffl_variant *variant);

/* Can it run on this machine at all: instruction set, library, device. False, with a reason in *why. */
bool ffl_variant_available(const ffl_variant *variant, const char **why);

/* Available, takes this shape, batch and thread count. False, with a reason in *why. */
bool ffl_variant_supports(const ffl_variant *variant, const ffl_layer *shape, size_t tokens, int threads,
                          const char **why);

/* -v and -x: name matches any of `globs` (none given: all) and none of `excluded`. */
bool ffl_variant_selected(const ffl_variant *variant, const char *const *globs, size_t glob_count,
                          const char *const *excluded, size_t excluded_count);

/* The class it is ranked in, its weights' type: "f32", "bf16", …; with another activation formula "bf16~". */
const char *ffl_variant_class(const ffl_variant *variant);

/*
 * What the class does not say: the types of inputs and activations as multiplied, "x f32, hidden bf16". Empty
 * in the class f32, where a row of other types would be no f32 row.
 */
enum { FFL_VALUES_SIZE = 32 };
void ffl_variant_values(const ffl_variant *variant, char out[FFL_VALUES_SIZE]);

#ifdef __cplusplus
}
#endif
#endif
