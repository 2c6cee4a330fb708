#include "harness/check/findings.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void ffl_outcome_tell(ffl_judgement *out, ffl_verdict verdict, const char *format, ...)
{
    if (verdict <= out->verdict && out->reason[0])
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(out->reason, sizeof out->reason, format, arguments);
    va_end(arguments);
    out->verdict = verdict > out->verdict ? verdict : out->verdict;
}

void ffl_outcome_set(ffl_judgement *out, ffl_way way, ffl_way_outcome outcome)
{
    unsigned char *kept = &out->outcomes.way[way];
    *kept = outcome > *kept ? (unsigned char)outcome : *kept;
}

void ffl_outcome_broken(ffl_judgement *out, ffl_way way, const char *what, const char *why)
{
    ffl_outcome_set(out, way, FFL_BROKEN);
    ffl_outcome_tell(out, FFL_FAILED, "%s: %s: %s", ffl_way_name(way), what, why);
}

ffl_status ffl_findings_judge(const ffl_findings *f, const ffl_contract *contract, const ffl_judge **out)
{
    return ffl_judges_get(f->judges, &f->pool->fixture.weights.layer, contract, FFL_DATA_GENERAL,
                          f->pool->probe_x, f->pool->probes, out);
}

/* Element where two rows differ, width when nowhere. */
static size_t first_difference(const float *a, const float *b, size_t width)
{
    for (size_t j = 0; j < width; j++)
        if (memcmp(&a[j], &b[j], sizeof *a) != 0 && !(a[j] == 0 && b[j] == 0))
            return j;
    return width;
}

/* The probe of which `got` and `base` differ, `probes` when there is none. */
static size_t find_probe(const ffl_findings *f, const float *got, const float *base, size_t *element)
{
    const size_t width = f->pool->fixture.weights.layer.width_out;
    size_t probe = 0;
    for (; probe < f->pool->probes; probe++) {
        *element = first_difference(got + probe * width, base + probe * width, width);
        if (*element < width)
            break;
    }
    return probe;
}

static ffl_contract contract_of(const ffl_findings *f, ffl_way way)
{
    ffl_contract contract = f->variant->contract;
    contract.flushes_denormals |= way == FFL_WAY_DENORMALS; /* then the caller asked for it */
    return contract;
}

ffl_status ffl_findings_compare(const ffl_findings *f, ffl_way way, size_t size, const float *got,
                                const float *base, const char *how)
{
    const size_t width = f->pool->fixture.weights.layer.width_out;
    size_t element = 0;
    const size_t probe = find_probe(f, got, base, &element);
    ffl_outcome_set(f->out, way, FFL_BITWISE);
    if (probe == f->pool->probes)
        return FFL_OK;
    const ffl_contract contract = contract_of(f, way);
    const ffl_judge *judge;
    ffl_judgement judgement;
    FFL_TRY(ffl_findings_judge(f, &contract, &judge));
    FFL_TRY(ffl_judge_rows(judge, got, width, NULL, &judgement));
    char batch[48] = "alone";
    if (size > 1)
        snprintf(batch, sizeof batch, "in batches of %zu", size);
    if (judgement.verdict != FFL_PASSED) {
        ffl_outcome_set(f->out, way, FFL_BROKEN);
        ffl_outcome_tell(f->out, judgement.verdict, "%s, %s%s%s: %s", ffl_way_name(way), batch,
                         *how ? ", " : "", how, judgement.reason);
        return FFL_OK;
    }
    ffl_outcome_set(f->out, way, FFL_WITHIN_BOUND);
    if (f->variant->contract.invariances & ffl_way_promise(way))
        ffl_outcome_tell(
            f->out, FFL_FAILED,
            "%s: the same bits are promised, but row %zu element %zu %s%s%s is %.9g, otherwise %.9g",
            ffl_way_name(way), probe, element, batch, *how ? ", " : "", how,
            (double)got[probe * width + element], (double)base[probe * width + element]);
    return FFL_OK;
}
