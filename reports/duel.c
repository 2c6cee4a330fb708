#include "reports/duel.h"
#include <math.h>

ffl_duel ffl_duel_of(const ffl_rows *rows, const ffl_row *race, int64_t neurons)
{
    ffl_duel d = {.fff = ffl_fastest(rows, race, "fff", race->record.neurons),
                  .dense = ffl_fastest(rows, race, "ff", neurons),
                  .neurons = neurons,
                  .speedup = {.ratio = NAN}};
    if (!d.fff)
        d.fff = ffl_fastest_reduced(rows, race, "fff", race->record.neurons);
    if (!d.dense)
        d.dense = ffl_fastest_reduced(rows, race, "ff", neurons);
    if (d.fff)
        d.speedup = ffl_speedup_of(d.fff, d.dense);
    return d;
}
