/* The view of long work: a terminal's, on a pseudo-terminal, and a pipe's. */
#define _GNU_SOURCE
#include "harness/check/judge.h"
#include "harness/progress.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char said[4096];

/* What two shows with notes between them, and the end, write to standard error when that is `file`. */
static void show_on(int file, int from)
{
    const int kept = dup(STDERR_FILENO);
    cr_assert(kept >= 0 && dup2(file, STDERR_FILENO) >= 0);
    ffl_progress *p = ffl_progress_new("timing", 10);
    ffl_progress_show(p, 1, "first row");
    ffl_progress_note(p, 0, "so far: 1 PASSED");
    ffl_progress_note(p, 1, "best so far: 3x");
    usleep(150000);
    ffl_progress_show(p, 2, "second row");
    ffl_progress_free(p);
    dup2(kept, STDERR_FILENO);
    close(kept);
    fcntl(from, F_SETFL, O_NONBLOCK);
    size_t used = 0;
    for (ssize_t got; (got = read(from, said + used, sizeof said - 1 - used)) > 0;)
        used += (size_t)got;
    said[used] = '\0';
}

Test(progress, a_terminal_shows_the_notes_and_is_clean_afterwards)
{
    const int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0)
        cr_skip("no pseudo-terminals here");
    const int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    cr_assert_geq(slave, 0);
    show_on(slave, master);
    const char *first = strstr(said, "timing: 10 %: first row"),
               *second = strstr(said, "timing: 20 %: second row");
    const char *verdicts = strstr(said, "\nso far: 1 PASSED"), *best = strstr(said, "\nbest so far: 3x");
    cr_assert(first && second && verdicts && best, "%s", said);
    cr_assert(first < second && second < verdicts && verdicts < best, "%s", said);
    /* Up over the notes, and everything below cleared: nothing of the view stays. */
    cr_assert(strstr(best, "\033[2A\r\033[J"), "%s", said);
    close(slave);
    close(master);
}

Test(progress, a_short_run_in_a_pipe_says_nothing)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    show_on(ends[1], ends[0]);
    cr_assert_str_empty(said);
}

Test(progress, verdicts_are_counted_in_words)
{
    char text[128];
    const size_t counts[FFL_VERDICT_COUNT] = {[FFL_PASSED] = 81, [FFL_SKIPPED] = 2};
    ffl_verdict_counts(counts, text, sizeof text);
    cr_assert_str_eq(text, "so far: 81 PASSED, 2 SKIPPED");
}
