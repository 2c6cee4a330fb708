#include "harness/problems.h"
#include "harness/commands.h"
#include "tests/fuzz/targets.h"

static size_t cases;

static ffl_status count_case(const ffl_options *options, int *exit_code)
{
    fuzz_expect(options->value[FFL_OPT_PROBLEMS] == NULL, "a line names no further file");
    cases++;
    *exit_code = FFL_EXIT_GOOD;
    return FFL_OK;
}

/* The command as it is, but for running kernels: every line is read and validated. */
static ffl_status read_for(const ffl_command *command, const char *path)
{
    ffl_command reader = *command;
    reader.run = count_case;
    const ffl_options options = {.command = &reader, .value = {[FFL_OPT_PROBLEMS] = path}};
    int exit_code;
    cases = 0;
    const ffl_status status = ffl_problems_run(&options, &exit_code);
    fuzz_expect_named(status, path);
    fuzz_expect((status == FFL_OK) == (cases > 0), "all lines run, or none");
    return status;
}

ffl_status fuzz_problems(const uint8_t *data, size_t size)
{
    const char *path = fuzz_file(data, size);
    read_for(&ffl_command_bench, path);
    return read_for(&ffl_command_check, path);
}
