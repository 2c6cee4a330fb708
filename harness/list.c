/* `fflab list`: the variants, what they promise, and whether they run here. */
#include "harness/commands.h"
#include "harness/environment.h"
#include "harness/registry.h"
#include "harness/workload/shapes.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static const char *const scale_names[] = {"none", "tensor", "row"};

static json_t *contract_json(const ffl_contract *c)
{
    json_t *invariances = json_array();
    if (c->invariances & FFL_SAME_RUN_TO_RUN)
        json_array_append_new(invariances, json_string("run-to-run"));
    if (c->invariances & FFL_SAME_THREADS)
        json_array_append_new(invariances, json_string("threads"));
    if (c->invariances & FFL_SAME_BATCH)
        json_array_append_new(invariances, json_string("batch"));
    if (c->invariances & FFL_SAME_PLACE)
        json_array_append_new(invariances, json_string("place"));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:f, s:I, s:I, s:o}", "input",
                     ffl_type_name(c->input), "weights", ffl_type_name(c->weights), "logit",
                     ffl_type_name(c->logit), "hidden", ffl_type_name(c->hidden), "accumulator",
                     ffl_type_name(c->accumulator), "output", ffl_type_name(c->output), "weight_scale",
                     scale_names[c->weight_scale], "reassociates", c->reassociates, "flushes_denormals",
                     c->flushes_denormals, "activation_error", c->activation_error, "over_read_bytes",
                     (json_int_t)c->over_read_bytes, "alignment", (json_int_t)c->alignment, "invariances",
                     invariances);
}

static json_t *variant_json(const ffl_variant *v, bool available, const char *reason)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:s, s:o}", "name", v->name,
                     "summary", v->summary, "source", v->source, "operation",
                     ffl_operation_names[v->operation], "place", v->place == FFL_CUDA ? "cuda" : "host",
                     "family", ffl_family_name(v->family), "isa", ffl_isa_name(v->isa), "library",
                     ffl_library_name(v->library), "threaded", v->threaded, "available", available, "reason",
                     available ? "" : reason, "contract", contract_json(&v->contract));
}

static void print_row(const ffl_variant *v, bool available, const char *reason)
{
    char values[FFL_VALUES_SIZE];
    ffl_variant_values(v, values);
    printf("%-28s %-8s %-6s %-5s %-10s %s%s%s%s\n", v->name, ffl_operation_names[v->operation],
           ffl_family_name(v->family), ffl_variant_class(v), ffl_isa_name(v->isa), v->summary,
           *values ? " (" : "", values, *values ? ")" : "");
    if (!available)
        printf("%-28s   not here: %s\n", "", reason);
}

/* The libraries behind the rows, and what became of the user's own settings. */
static void print_providers(void)
{
    json_t *providers = ffl_environment_providers();
    for (size_t i = 0; i < json_array_size(providers); i++) {
        const char *library, *version, *family, *path, *reason;
        double gflops;
        json_unpack(json_array_get(providers, i), "{s:s, s:s, s:s, s:s, s:f, s:s}", "library", &library,
                    "version", &version, "family", &family, "path", &path, "gflops", &gflops, "reason",
                    &reason);
        printf("%s%-9s %s, kernels: %s, sgemm %.0f GFLOP/s on one thread\n          %s\n", i ? "" : "\n",
               library, version, *family ? family : "unknown", gflops, path);
        if (*reason)
            printf("          HANDICAPPED: %s\n", reason);
    }
    json_decref(providers);
    if (*ffl_environment_overridden())
        printf("The environment's %s was overridden (--keep-blas-environment obeys it).\n",
               ffl_environment_overridden());
}

static ffl_status run(const ffl_options *options, int *exit_code)
{
    const char *preset = options->value[FFL_OPT_PRESET];
    if (preset && strcmp(preset, "all") == 0) {
        ffl_presets_print();
        *exit_code = FFL_EXIT_GOOD;
        return FFL_OK;
    }
    if (preset)
        return ffl_fail(FFL_BAD_INPUT, "--preset %s: list takes only `--preset all`, which shows them",
                        preset);
    const bool json = ffl_option_given(options, FFL_OPT_JSON);
    json_t *all = json_array();
    size_t shown = 0;
    if (!json)
        printf("%-28s %-8s %-6s %-5s %-10s %s\n", "variant", "op", "family", "class", "isa", "summary");
    for (size_t i = 0; i < ffl_registry_count(); i++) {
        const ffl_variant *v = ffl_registry_at(i);
        const char *reason = "";
        if (!ffl_variant_selected(v, options->list[FFL_OPT_VARIANT], options->list_count[FFL_OPT_VARIANT],
                                  options->list[FFL_OPT_EXCLUDE], options->list_count[FFL_OPT_EXCLUDE]))
            continue;
        const bool available = ffl_variant_available(v, &reason);
        if (json)
            json_array_append_new(all, variant_json(v, available, reason));
        else
            print_row(v, available, reason);
        shown++;
    }
    if (json) {
        json_t *document = json_pack("{s:O, s:o, s:s}", "variants", all, "blas", ffl_environment_providers(),
                                     "overridden", ffl_environment_overridden());
        json_dumpf(document, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        putchar('\n');
        json_decref(document);
    } else {
        print_providers();
    }
    json_decref(all);
    *exit_code = shown ? FFL_EXIT_GOOD : FFL_EXIT_NOTHING_RAN;
    return FFL_OK;
}

static const ffl_option list_options[] = {
    FFL_OPT_VARIANT, FFL_OPT_EXCLUDE, FFL_OPT_PLUGIN,       FFL_OPT_PROCESS,
    FFL_OPT_PRESET,  FFL_OPT_JSON,    FFL_OPT_BLAS_LIBRARY, FFL_OPT_KEEP_BLAS_ENVIRONMENT,
    FFL_OPT_COUNT};

const ffl_command ffl_command_list = {
    .name = "list",
    .summary = "variants, their contracts, and whether they run here",
    .usage = "[-v GLOB] [--json] | --preset all",
    .help =
        "One line per variant; one that cannot run on this machine says why. --json prints an object "
        "with an\n"
        "array \"variants\", each with its numerics contract, and an array \"blas\": the libraries in "
        "use, their\n"
        "kernel families and how fast these are. The rows of library \"process\" (PyTorch's forms) are "
        "programs of "
        "their own:\n"
        "bench and check start them only where -v names them, as -v '*torch*' does; $FFLAB_PYTHON is their "
        "Python.\n\n"
        "Examples:\n"
        "  fflab list\n"
        "  fflab list -v '*avx512*'\n"
        "  fflab list --preset all\n"
        "  fflab list --json | jq '.variants[] | select(.available | not) | {name, reason}'\n",
    .options = list_options,
    .run = run,
};
