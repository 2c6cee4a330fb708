#include "harness/bench/gbench.h"
#include <benchmark/benchmark.h>
#include <exception>
#include <vector>

namespace
{

/* The library's own table is not wanted: results are the caller's samples. */
class silent_reporter : public benchmark::BenchmarkReporter
{
  public:
    bool ReportContext(const Context &) override
    {
        return true;
    }
    void ReportRuns(const std::vector<Run> &) override
    {
    }
};

void run_repetition(benchmark::State &state, const ffl_gbench_case *c)
{
    if (!c->begin(c->user)) {
        state.SkipWithError("ended by its owner");
        return;
    }
    for (auto _ : state) {
        const double seconds = c->call(c->user);
        if (!(seconds >= 0)) {
            state.SkipWithError("ended by its owner");
            return;
        }
        state.SetIterationTime(seconds);
    }
    if (!c->end(c->user))
        state.SkipWithError("ended by its owner");
}

/* Every flag that could change a run is given a value: the library also reads them from the environment
 * (BENCHMARK_OUT and the like), and what is left over there must not decide what is measured. */
void set_flags(bool interleave)
{
    const char *flags[] = {
        "fflab",
        interleave ? "--benchmark_enable_random_interleaving=true"
                   : "--benchmark_enable_random_interleaving=false",
        "--benchmark_out=",
        "--benchmark_filter=",
        "--benchmark_list_tests=false",
        "--benchmark_min_warmup_time=0",
        "--benchmark_perf_counters=",
        nullptr,
    };
    int count = static_cast<int>(sizeof flags / sizeof *flags) - 1;
    benchmark::Initialize(&count, const_cast<char **>(flags));
}

} // namespace

const char *ffl_gbench_version(void)
{
    return "Google Benchmark " FFL_GBENCH_VERSION;
}

ffl_status ffl_gbench_run(const ffl_gbench_case *cases, size_t count, bool interleave)
{
    if (count == 0)
        return FFL_OK;
    try {
        set_flags(interleave);
        for (size_t i = 0; i < count; i++)
            benchmark::RegisterBenchmark(cases[i].name, run_repetition, &cases[i])
                ->UseManualTime()
                ->Iterations(static_cast<benchmark::IterationCount>(cases[i].calls_per_repetition))
                ->Repetitions(static_cast<int>(cases[i].repetitions));
        silent_reporter reporter;
        benchmark::RunSpecifiedBenchmarks(&reporter, ".");
        benchmark::ClearRegisteredBenchmarks();
        return FFL_OK;
    } catch (const std::exception &e) {
        benchmark::ClearRegisteredBenchmarks();
        return ffl_fail(FFL_INTERNAL, "Google Benchmark: %s", e.what());
    } catch (...) {
        benchmark::ClearRegisteredBenchmarks();
        return ffl_fail(FFL_INTERNAL, "Google Benchmark: an exception of unknown type");
    }
}
