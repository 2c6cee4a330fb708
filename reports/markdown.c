/* The report's frame: title, order of the sections, legend. */
#include "reports/markdown.h"
#include "reports/encoder.h"
#include "reports/format.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void print_legend(FILE *file)
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
          "measured roof.\n"
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

static void print_notes(const ffl_rows *rows, FILE *file)
{
    if (!rows->note_count)
        return;
    fprintf(file, "**%zu journal line%s could not be used:**\n\n", rows->note_count,
            rows->note_count == 1 ? "" : "s");
    for (size_t n = 0; n < rows->note_count; n++) {
        fputs("- ", file);
        ffl_print_text(file, rows->notes[n]);
        fputc('\n', file);
    }
    fputc('\n', file);
}

ffl_status ffl_markdown_write(const ffl_rows *rows, FILE *file)
{
    const ffl_row **races;
    size_t count;
    ffl_status status;
    FFL_TRY(ffl_races(rows, &races, &count));
    fputs("# Dense against tree-conditional feedforward layers\n\n", file);
    print_notes(rows, file);
    if (rows->count == 0 && rows->pass_count == 0)
        fputs("No case is finished in these journals.\n\n", file);
    if (count)
        ffl_markdown_headline(rows, races, count, file);
    status = ffl_encoder_write(rows, file);
    ffl_markdown_circumstances(rows, file);
    if (rows->count) {
        ffl_markdown_checks(rows, file);
        ffl_markdown_paper(rows, races, count, file);
        ffl_markdown_ranking(rows, races, count, file);
        ffl_markdown_tails(rows, races, count, file);
        ffl_markdown_routing(rows, file);
        ffl_markdown_device(rows, file);
        ffl_markdown_packing(rows, file);
        ffl_markdown_repeat(rows, file);
    }
    print_legend(file);
    free(races);
    FFL_TRY(status);
    if (fflush(file) != 0 || ferror(file))
        return ffl_fail(FFL_IO, "the report could not be written: %s", strerror(errno));
    return FFL_OK;
}
