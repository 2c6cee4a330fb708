/* What the program can do: its commands, and the kinds of jobs its workers serve. */
#include "harness/blas_probe.h"
#include "harness/commands.h"
#include "harness/bench/group.h"
#include "harness/check/job.h"
#include "harness/compare/slices.h"
#include "harness/encoder/serve.h"
#include "harness/selftest/serve.h"
#include "harness/selftest/slowed.h"
#include "harness/worker.h"

const ffl_command *const ffl_commands[] = {
    &ffl_command_bench,
    &ffl_command_calibrate,
    &ffl_command_check,
    &ffl_command_compare,
    &ffl_command_completion,
    &ffl_command_counters,
    &ffl_command_encoder,
    &ffl_command_export,
    &ffl_command_list,
    &ffl_command_man,
    &ffl_command_new,
    &ffl_command_published,
    &ffl_command_replay,
    &ffl_command_report,
    &ffl_command_run,
    &ffl_command_selftest,
    &ffl_command_study,
    &ffl_command_tune,
    NULL,
};

const ffl_worker_kind ffl_worker_kinds[] = {
    {"bench", ffl_bench_serve},
    {"blas-rate", ffl_blas_rate_job},
    {"check", ffl_check_handle},
    {"encoder", ffl_encoder_serve},
    {"selftest", ffl_selftest_serve},
    {"slices", ffl_slices_serve},
    {"slowed", ffl_slowed_serve},
    {0},
};
