/* The report's frame: title, sections, legend. */
#include "reports/markdown.h"
#include "reports/sections.h"
#include <errno.h>
#include <string.h>

void ffl_markdown_legend(FILE *file)
{
    fputs("## Legend\n\n"
          "- **Verdict.** PASSED: every judged row matches the double-precision reference within the "
          "statistical\n"
          "  bound, along an admissible path. SUSPECT: only within the worst-case bound. FAILED: along no "
          "admissible\n"
          "  path. CRASHED, TIMEOUT: the case ended so. UNSUPPORTED, SKIPPED: it did not run, with the "
          "reason.\n"
          "- **Flags.** WEAK: passed, but the case proves little. HANDICAPPED: the library runs slower "
          "kernels than\n"
          "  it has for this processor; never ranked, never a denominator. IMPLAUSIBLE: faster than a "
          "measured roof\n"
          "  (`fflab calibrate`), beyond its tolerance; never ranked, never a denominator.\n"
          "- **\\*** fewer tokens per call than the batch, because a full call would take too long: shown "
          "per token,\n"
          "  never ranked with full ones.\n"
          "- **Same level.** Against the dense variant of the same family and library with as many neurons, "
          "the\n"
          "  papers' \"fair comparison\". **Fastest dense.** Against the fastest dense variant of the same "
          "machine,\n"
          "  class and threads: what a user lives with.\n"
          "- **Times** are medians of one call divided by its tokens; brackets hold the 95 % interval. "
          "Speed-ups'\n"
          "  brackets combine the far ends of both. Packing is outside (see \"Packing\").\n"
          "- **Shapes.** TxD: T trees of depth D (D decisions, D + 1 neurons evaluated per tree); a plain "
          "number:\n"
          "  dense neurons.\n"
          "- **Lines.** FILE:LINE of the journal behind a number; that line holds all samples.\n",
          file);
}

ffl_status ffl_markdown_write(const ffl_rows *rows, FILE *file)
{
    ffl_report report;
    ffl_status status = FFL_OK;
    FFL_TRY(ffl_report_open(rows, NULL, &report));
    fputs("# Dense against tree-conditional feedforward layers\n\n", file);
    ffl_notes_write(rows, file);
    for (const ffl_section *s = ffl_sections; s->id && status == FFL_OK; s++)
        status = s->write(&report, file);
    ffl_report_close(&report);
    FFL_TRY(status);
    if (fflush(file) != 0 || ferror(file))
        return ffl_fail(FFL_IO, "the report could not be written: %s", strerror(errno));
    return FFL_OK;
}
