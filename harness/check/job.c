#define _GNU_SOURCE
#include "harness/check/job.h"
#include "harness/check/capsule.h"
#include "harness/check/cases.h"
#include "harness/check/guard.h"
#include "harness/check/invariance.h"
#include "harness/check/leaks.h"
#include "harness/check/properties.h"
#include "harness/registry.h"
#include "kernels/device.h"
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

json_t *ffl_check_request(const ffl_check_case *item, bool isolated)
{
    return json_pack("{s:o, s:[], s:b}", "case", ffl_case_to_json(item), "variants", "isolated", isolated);
}

ffl_status ffl_check_request_add(json_t *request, const char *variant)
{
    return json_array_append_new(json_object_get(request, "variants"), json_string(variant)) == 0
               ? FFL_OK
               : ffl_fail(FFL_NO_MEMORY, "no memory for a check job");
}

/* ---- Judgements on the wire; NaN is left out ---- */

static void put_real(json_t *json, const char *name, double value)
{
    if (isfinite(value))
        json_object_set_new(json, name, json_real(value));
}

static double get_real(const json_t *json, const char *name)
{
    const json_t *value = json_object_get(json, name);
    return value ? json_number_value(value) : NAN;
}

json_t *ffl_judgement_to_json(const char *variant, const ffl_judgement *j)
{
    json_t *json = json_pack("{s:s, s:i, s:b, s:I, s:I, s:I, s:I, s:I, s:b, s:I, s:I, s:s%}", "result",
                             variant, "verdict", (int)j->verdict, "weak", j->weak, "rows",
                             (json_int_t)j->rows, "unbounded", (json_int_t)j->unbounded_rows, "suspect",
                             (json_int_t)j->suspect_rows, "failed", (json_int_t)j->failed_rows, "flips",
                             (json_int_t)j->flips, "located", j->located, "row", (json_int_t)j->row,
                             "element", (json_int_t)j->element, "reason", j->reason, strlen(j->reason));
    put_real(json, "flip_margin", j->flip_margin);
    put_real(json, "error_statistical", j->error_statistical);
    put_real(json, "error_worst", j->error_worst);
    json_t *outcomes = ffl_way_outcomes_to_json(&j->outcomes);
    if (outcomes)
        json_object_set_new(json, "outcomes", outcomes);
    return json;
}

ffl_status ffl_judgement_from_json(const json_t *json, ffl_judgement *j)
{
    int verdict, weak, located;
    json_int_t rows, unbounded, suspect, failed, flips, row, element;
    const char *reason;
    if (json_unpack((json_t *)json, "{s:i, s:b, s:I, s:I, s:I, s:I, s:I, s:b, s:I, s:I, s:s}", "verdict",
                    &verdict, "weak", &weak, "rows", &rows, "unbounded", &unbounded, "suspect", &suspect,
                    "failed", &failed, "flips", &flips, "located", &located, "row", &row, "element", &element,
                    "reason", &reason) != 0 ||
        verdict < 0 || verdict >= FFL_VERDICT_COUNT)
        return ffl_fail(FFL_INTERNAL, "a check result that cannot be read");
    *j = (ffl_judgement){.verdict = (ffl_verdict)verdict,
                         .weak = weak,
                         .rows = (size_t)rows,
                         .unbounded_rows = (size_t)unbounded,
                         .suspect_rows = (size_t)suspect,
                         .failed_rows = (size_t)failed,
                         .flips = (size_t)flips,
                         .located = located,
                         .row = (size_t)row,
                         .element = (size_t)element,
                         .flip_margin = get_real(json, "flip_margin"),
                         .error_statistical = get_real(json, "error_statistical"),
                         .error_worst = get_real(json, "error_worst")};
    snprintf(j->reason, sizeof j->reason, "%s", reason);
    ffl_way_outcomes_from_json(json_object_get(json, "outcomes"), &j->outcomes);
    return FFL_OK;
}

/* ---- Faults: say what was touched, then die of it ---- */

static ffl_answer *fault_answer;

static const char *access_of(const void *context)
{
#if defined(__x86_64__)
    const ucontext_t *machine = context;
    return machine->uc_mcontext.gregs[REG_ERR] & 2 ? "wrote" : "read"; /* the page fault's error code */
#else
    (void)context;
    return "touched memory";
#endif
}

/*
 * Runs in a process that is about to die, inside a variant's own access to a guarded page: nothing that it
 * calls can have been interrupted half-way. Returning repeats the access under the default action.
 */
static void on_fault(int number, siginfo_t *info, void *context)
{
    char what[128], text[160];
    signal(number, SIG_DFL);
    if (fault_answer && ffl_guard_explain(info->si_addr, what, sizeof what)) {
        snprintf(text, sizeof text, "%s %s", access_of(context), what);
        ffl_answer_send(fault_answer, json_pack("{s:s}", "fault", text));
    }
}

void ffl_check_watch_faults(ffl_answer *answer)
{
    static char stack[1 << 16]; /* the variant's own may be what overflowed */
    const stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    fault_answer = answer;
    sigaltstack(&alternate, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}

/* ---- The worker's side ---- */

/* Without its device this process can only fail what comes next, too: it dies as from a fault of its own. */
static ffl_status die_with_device(const ffl_variant *variant, ffl_answer *answer)
{
    const char *why;
    if (!ffl_variant_on_device(variant) || !ffl_device_lost(&why))
        return FFL_OK;
    FFL_TRY(ffl_answer_send(answer, json_pack("{s:s}", "fault", why)));
    abort();
}

/* What the case's data is made for: one of these three. */
typedef struct made {
    ffl_trial *trial;
    ffl_invariance *invariance;
    ffl_properties *properties;
} made;

static ffl_status made_new(const ffl_check_case *item, made *out)
{
    *out = (made){0};
    if (strcmp(item->fixture, FFL_INVARIANCE) == 0)
        return ffl_invariance_new(item, &out->invariance);
    if (strcmp(item->fixture, FFL_PROPERTIES) == 0)
        return ffl_properties_new(item, &out->properties);
    return ffl_trial_new(item, &out->trial);
}

static ffl_status made_run(const made *a, const ffl_variant *variant, ffl_judgement *out)
{
    if (a->invariance)
        return ffl_invariance_run(a->invariance, variant, out);
    if (a->properties)
        return ffl_properties_run(a->properties, variant, out);
    return ffl_trial_run(a->trial, variant, out);
}

static void made_free(made *a)
{
    ffl_trial_free(a->trial);
    ffl_invariance_free(a->invariance);
    ffl_properties_free(a->properties);
}

/* explain: says more about a wrong row. */
static ffl_status answer_result(const made *data, const ffl_variant *variant, const ffl_judgement *judgement,
                                bool explain, ffl_answer *answer)
{
    char text[2048] = "";
    if (explain)
        FFL_TRY(ffl_trial_explain(data->trial, variant, judgement, text, sizeof text));
    json_t *line = ffl_judgement_to_json(variant->name, judgement);
    if (*text)
        json_object_set_new(line, "explanation", json_stringn_nocheck(text, strlen(text)));
    return ffl_answer_send(answer, line);
}

static ffl_status try_variants(const made *data, const json_t *names, bool isolated, bool explain,
                               ffl_answer *answer)
{
    size_t i;
    const json_t *name;
    json_array_foreach(names, i, name)
    {
        const ffl_variant *variant = ffl_registry_find(json_string_value(name));
        ffl_judgement judgement;
        if (!variant)
            return ffl_fail(FFL_INTERNAL, "the worker has no variant '%s'", json_string_value(name));
        FFL_TRY(ffl_answer_send(answer, json_pack("{s:s}", "at", variant->name)));
        const size_t threads = ffl_leaks_threads();
        FFL_TRY(made_run(data, variant, &judgement));
        if (isolated)
            FFL_TRY(die_with_device(variant, answer));
        FFL_TRY(answer_result(data, variant, &judgement, explain, answer));
        /* What it left running may crash, or write, while others are tried. */
        if (isolated && ffl_leaks_own(variant) && ffl_leaks_threads() > threads) {
            ffl_answer_last(answer);
            return FFL_OK;
        }
    }
    return FFL_OK;
}

static ffl_status make_data(const json_t *request, made *out)
{
    ffl_check_case item;
    ffl_capsule capsule;
    *out = (made){0};
    const char *path = json_string_value(json_object_get(request, "capsule"));
    if (!path) {
        FFL_TRY(ffl_case_from_json(json_object_get(request, "case"), &item));
        return made_new(&item, out);
    }
    FFL_TRY(ffl_capsule_read(path, &capsule));
    item = ffl_capsule_case(&capsule);
    return ffl_trial_new_on(&item, &capsule.layout, &capsule.fixture, &out->trial);
}

ffl_status ffl_check_handle(const json_t *request, ffl_answer *answer)
{
    made data;
    if (json_array_size(json_object_get(request, "variants")) == 0)
        return FFL_OK;
    ffl_status status = make_data(request, &data);
    if (status == FFL_UNSUPPORTED || status == FFL_NO_MEMORY)
        return ffl_answer_send(answer, json_pack("{s:s}", "declined", ffl_error()));
    FFL_TRY(status);
    const bool isolated = json_is_true(json_object_get(request, "isolated"));
    if (isolated)
        ffl_check_watch_faults(answer);
    status = try_variants(&data, json_object_get(request, "variants"), isolated,
                          json_object_get(request, "capsule") != NULL, answer);
    made_free(&data);
    return status;
}
