/*
 * Worker processes: what a job answers, that a crash or a hang costs one job, that Ctrl-C ends all of them.
 * A worker is a copy of the running program, so this suite has a main of its own that can be one.
 */
#include "harness/commands.h"
#include "harness/worker.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- The worker's side: one kind of job, which does what its request says ---- */

static void sleep_seconds(double seconds)
{
    nanosleep(&(struct timespec){(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)}, NULL);
}

static ffl_status act(const json_t *request, ffl_answer *answer)
{
    const char *action = json_string_value(json_object_get(request, "action"));
    const json_int_t lines = json_integer_value(json_object_get(request, "lines"));
    for (json_int_t i = 0; i < lines; i++)
        FFL_TRY(ffl_answer_send(answer, json_pack("{s:I, s:i}", "line", i, "pid", (int)getpid())));
    if (strcmp(action, "crash") == 0) {
        signal(SIGSEGV, SIG_DFL); /* without a sanitizer's handler the signal is what the parent sees */
        raise(SIGSEGV);
    } else if (strcmp(action, "exit") == 0)
        exit(7);
    else if (strcmp(action, "half a line") == 0) {
        if (write(3, "{\"line\":", 8) != 8)
            abort();
        _exit(0);
    } else if (strcmp(action, "hang") == 0)
        sleep_seconds(60);
    else if (strcmp(action, "be pressed Ctrl-C at") == 0) /* three times ends a program that listens */
        for (int i = 0; i < 3; i++)
            raise(SIGINT);
    else if (strcmp(action, "close the answers") == 0) {
        close(3);
        _exit(0);
    } else if (strcmp(action, "garbage") == 0) {
        if (write(3, "not json\n", 9) != 9)
            abort();
    } else if (strcmp(action, "fail") == 0)
        return ffl_fail(FFL_UNSUPPORTED, "cannot do that");
    else if (strcmp(action, "be the last") == 0)
        ffl_answer_last(answer);
    else if (strcmp(action, "slow lines") == 0)
        for (int i = 0; i < 4; i++) {
            sleep_seconds(0.4);
            FFL_TRY(ffl_answer_send(answer, json_pack("{s:i}", "line", i)));
        }
    else if (strcmp(action, "long line") == 0) {
        char *text = malloc(300001);
        memset(text, 'x', 300000);
        text[300000] = '\0';
        const ffl_status status = ffl_answer_send(answer, json_pack("{s:i, s:s}", "line", 0, "text", text));
        free(text);
        return status;
    } else if (strcmp(action, "print") == 0)
        puts("a kernel that prints");
    return FFL_OK;
}

const ffl_command *const ffl_commands[] = {NULL};
const ffl_worker_kind ffl_worker_kinds[] = {{"act", act}, {0}};

static int serve(int argc, char **argv)
{
    ffl_options options;
    int exit_code = FFL_EXIT_GOOD;
    ffl_interrupt_install();
    ffl_status status = ffl_options_parse(&ffl_command_worker, argc - 2, argv + 2, &options);
    if (status == FFL_OK)
        status = ffl_command_worker.run(&options, &exit_code);
    ffl_options_free(&options);
    return status == FFL_OK ? exit_code : FFL_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "worker") == 0)
        return serve(argc, argv);
    struct criterion_test_set *tests = criterion_initialize();
    int failed = 0;
    if (criterion_handle_args(argc, argv, true))
        failed = !criterion_run_all_tests(tests);
    criterion_finalize(tests);
    return failed;
}

/* ---- The parent's side ---- */

enum { JOBS_MAX = 200 };

typedef struct heard {
    size_t lines[JOBS_MAX], ends[JOBS_MAX], starts[JOBS_MAX];
    ffl_job_end end[JOBS_MAX];
    char message[JOBS_MAX][128];
    long last_pid, pid[JOBS_MAX];
    bool out_of_order;
    size_t text_length;
    bool interrupt; /* press Ctrl-C at the first answer */
} heard;

static ffl_status on_answer(void *user, size_t index, const json_t *line)
{
    heard *h = user;
    const json_int_t number = json_integer_value(json_object_get(line, "line"));
    h->out_of_order |= number != (json_int_t)h->lines[index] || h->ends[index];
    h->lines[index]++;
    h->pid[index] = h->last_pid = (long)json_integer_value(json_object_get(line, "pid"));
    h->text_length = json_string_length(json_object_get(line, "text"));
    if (h->interrupt)
        raise(SIGINT);
    return FFL_OK;
}

static ffl_status on_end(void *user, size_t index, ffl_job_end end, const char *message)
{
    heard *h = user;
    h->ends[index]++;
    h->end[index] = end;
    snprintf(h->message[index], sizeof h->message[index], "%s", message);
    return FFL_OK;
}

static void on_start(void *user, size_t index)
{
    ((heard *)user)->starts[index]++;
}

typedef struct request {
    const char *action;
    int lines;
    double timeout_s;
    bool fresh;
} request;

static ffl_status run_jobs(const request *requests, size_t count, size_t parallel, heard *h)
{
    unsetenv("BXFI_MAP"); /* it would make the worker, a copy of this program, a Criterion test */
    ffl_interrupt_install();
    ffl_job jobs[JOBS_MAX];
    json_t *objects[JOBS_MAX];
    for (size_t i = 0; i < count; i++) {
        objects[i] = json_pack("{s:s, s:i}", "action", requests[i].action, "lines", requests[i].lines);
        jobs[i] =
            (ffl_job){objects[i], requests[i].timeout_s ? requests[i].timeout_s : 60, requests[i].fresh};
    }
    const ffl_job_listener listener = {h, on_answer, on_end, on_start};
    const ffl_status status = ffl_jobs_run("act", NULL, jobs, count, parallel, &listener);
    for (size_t i = 0; i < count; i++)
        json_decref(objects[i]);
    return status;
}

static size_t open_files(void)
{
    size_t count = 0;
    for (int file = 0; file < 256; file++)
        count += dup2(file, file) == file;
    return count;
}

Test(worker, many_jobs_answer_completely_and_in_order)
{
    for (size_t parallel = 0; parallel <= 3; parallel++) {
        static heard h;
        request requests[JOBS_MAX];
        h = (heard){0};
        for (size_t i = 0; i < JOBS_MAX; i++)
            requests[i] = (request){.action = "answer", .lines = (int)(i % 7)};
        const size_t files = open_files();
        cr_assert_eq(run_jobs(requests, JOBS_MAX, parallel, &h), FFL_OK, "%s", ffl_error());
        for (size_t i = 0; i < JOBS_MAX; i++)
            cr_assert(h.starts[i] == 1 && h.ends[i] == 1 && h.end[i] == FFL_JOB_DONE && h.lines[i] == i % 7,
                      "parallel %zu, job %zu", parallel, i);
        cr_assert_not(h.out_of_order);
        cr_assert_eq(open_files(), files, "file descriptors leak");
        cr_assert_eq(parallel == 0, h.last_pid == (long)getpid());
    }
}

Test(worker, a_crash_or_a_hang_costs_one_job)
{
    static heard h;
    const request requests[] = {
        {.action = "answer", .lines = 2},
        {.action = "crash", .lines = 1},
        {.action = "answer", .lines = 2},
        {.action = "exit"},
        {.action = "hang", .lines = 1, .timeout_s = 0.3},
        {.action = "half a line"},
        {.action = "close the answers"},
        {.action = "answer", .lines = 2},
    };
    static const struct {
        ffl_job_end end;
        const char *says;
    } expected[] = {
        {FFL_JOB_DONE, ""},
        {FFL_JOB_CRASHED, "signal 11"},
        {FFL_JOB_DONE, ""},
        {FFL_JOB_CRASHED, "exit code 7"},
        {FFL_JOB_TIMEOUT, "no answer for"},
        {FFL_JOB_CRASHED, "exit code 0"},
        {FFL_JOB_CRASHED, "exit code 0"},
        {FFL_JOB_DONE, ""},
    };
    const size_t files = open_files();
    for (size_t parallel = 1; parallel <= 2; parallel++) {
        h = (heard){0};
        cr_assert_eq(run_jobs(requests, sizeof requests / sizeof *requests, parallel, &h), FFL_OK, "%s",
                     ffl_error());
        for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
            cr_assert_eq(h.ends[i], 1, "job %zu", i);
            cr_assert_eq(h.end[i], expected[i].end, "job %zu: %d %s", i, (int)h.end[i], h.message[i]);
            cr_assert(strstr(h.message[i], expected[i].says), "job %zu: %s", i, h.message[i]);
            cr_assert_eq(h.lines[i], (size_t)requests[i].lines, "job %zu", i);
        }
    }
    cr_assert_eq(open_files(), files, "file descriptors leak");
}

/* Two processes are one where nothing asks for another. */
Test(worker, a_last_job_or_a_fresh_one_gets_another_process)
{
    static heard h;
    static const struct {
        const char *action;
        bool fresh, same; /* … as the job before */
    } jobs[] = {
        {"answer", false, false},     {"answer", false, true},       {"be the last", false, true},
        {"answer", false, false},     {"answer", true, false},       {"answer", false, true},
        {"be the last", true, false}, {"be the last", false, false}, {"answer", true, false},
    };
    enum { COUNT = sizeof jobs / sizeof *jobs };
    const size_t files = open_files();
    request requests[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        requests[i] = (request){.action = jobs[i].action, .lines = 1, .fresh = jobs[i].fresh};
    cr_assert_eq(run_jobs(requests, COUNT, 1, &h), FFL_OK, "%s", ffl_error());
    for (size_t i = 0; i < COUNT; i++) {
        cr_assert_eq(h.end[i], FFL_JOB_DONE, "job %zu: %s", i, h.message[i]);
        cr_assert_eq(i > 0 && h.pid[i] == h.pid[i - 1], jobs[i].same, "job %zu", i);
    }
    cr_assert_eq(open_files(), files, "file descriptors leak");
}

/* A process that is about to end is given nothing more, however fast its parent is. */
Test(worker, no_job_is_lost_to_a_process_on_its_way_out)
{
    static heard h;
    request requests[JOBS_MAX];
    for (size_t i = 0; i < JOBS_MAX; i++)
        requests[i] = (request){.action = "be the last"};
    cr_assert_eq(run_jobs(requests, JOBS_MAX, 2, &h), FFL_OK, "%s", ffl_error());
    for (size_t i = 0; i < JOBS_MAX; i++)
        cr_assert_eq(h.end[i], FFL_JOB_DONE, "job %zu: %s", i, h.message[i]);
}

/* The limit is for silence, not for the whole job. */
Test(worker, answers_postpone_the_timeout)
{
    static heard h;
    cr_assert_eq(run_jobs(&(request){.action = "slow lines", .timeout_s = 1.2}, 1, 1, &h), FFL_OK);
    cr_assert_eq(h.end[0], FFL_JOB_DONE, "%s", h.message[0]);
    cr_assert_eq(h.lines[0], 4);
}

Test(worker, a_long_answer_arrives_whole_and_prints_do_not)
{
    static heard h;
    const request requests[] = {{.action = "print"}, {.action = "long line"}};
    fflush(stdout);
    cr_assert_eq(run_jobs(requests, 2, 1, &h), FFL_OK, "%s", ffl_error());
    cr_assert_eq(h.text_length, 300000);
    cr_assert(h.end[0] == FFL_JOB_DONE && h.end[1] == FFL_JOB_DONE);
}

Test(worker, a_failure_or_garbage_stops_everything)
{
    for (size_t parallel = 0; parallel <= 1; parallel++) {
        static heard h;
        h = (heard){0};
        const request failing[] = {{.action = "answer"}, {.action = "fail"}, {.action = "answer"}};
        cr_assert_eq(run_jobs(failing, 3, parallel, &h), FFL_UNSUPPORTED);
        cr_assert_str_eq(ffl_error(), "cannot do that");
        cr_assert(h.ends[0] == 1 && h.ends[1] == 0 && h.starts[2] == 0);
    }
    static heard h;
    cr_assert_eq(run_jobs(&(request){.action = "garbage"}, 1, 1, &h), FFL_INTERNAL);
    cr_assert(strstr(ffl_error(), "not json"), "%s", ffl_error());
}

Test(worker, control_c_ends_the_workers_and_keeps_what_was_answered)
{
    static heard h;
    h.interrupt = true;
    const request requests[] = {{.action = "hang", .lines = 1}, {.action = "answer"}};
    cr_assert_eq(run_jobs(requests, 2, 1, &h), FFL_INTERRUPTED);
    cr_assert(ffl_interrupted());
    cr_assert(h.lines[0] == 1 && h.ends[0] == 0 && h.starts[1] == 0);
    cr_assert(kill((pid_t)h.last_pid, 0) == -1 && errno == ESRCH, "the worker is still there");
}

/* The terminal sends it to every process of the group; workers leave it to the parent. */
Test(worker, control_c_does_not_reach_a_worker)
{
    static heard h;
    cr_assert_eq(run_jobs(&(request){.action = "be pressed Ctrl-C at"}, 1, 1, &h), FFL_OK);
    cr_assert_eq(h.end[0], FFL_JOB_DONE, "%s", h.message[0]);
}

Test(worker, control_c_in_process_stops_after_the_job)
{
    static heard h;
    h.interrupt = true;
    const request requests[] = {{.action = "answer", .lines = 1}, {.action = "answer"}};
    cr_assert_eq(run_jobs(requests, 2, 0, &h), FFL_INTERRUPTED);
    cr_assert(h.ends[0] == 1 && h.starts[1] == 0);
}
