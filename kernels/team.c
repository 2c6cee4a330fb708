#include "kernels/team.h"
#ifdef _OPENMP
#include <omp.h>
#endif

/* Whole pages: neighbours' shares are never in one cache line, nor in what a prefetcher fetches beside it. */
enum { PAGE = 4096 };

bool ffl_team_available(void)
{
#ifdef _OPENMP
    return true;
#else
    return false;
#endif
}

void ffl_team_run(int members, ffl_team_member *member, void *work)
{
#ifdef _OPENMP
    if (members > 1) {
        /* The runtime may give fewer threads than asked for: each takes every n-th member. */
#pragma omp parallel num_threads(members)
        for (int i = omp_get_thread_num(); i < members; i += omp_get_num_threads())
            member(work, i, members);
        return;
    }
#endif
    for (int i = 0; i < members; i++)
        member(work, i, members);
}

static size_t share_bytes(size_t bytes)
{
    return (bytes + PAGE - 1) / PAGE * PAGE;
}

void ffl_team_scratch(ffl_plan *plan, size_t bytes)
{
    plan->scratch_bytes = share_bytes(bytes) * (size_t)(plan->threads > 0 ? plan->threads : 1);
}

void *ffl_team_share(const ffl_plan *plan, const ffl_exec *exec, int member)
{
    const size_t bytes = plan->scratch_bytes / (size_t)(plan->threads > 0 ? plan->threads : 1);
    return exec->scratch ? (char *)exec->scratch + bytes * (size_t)member : NULL;
}

typedef struct rows {
    const ffl_plan *plan;
    const ffl_exec *exec;
    ffl_team_part *part;
    const float *x;
    float *y;
    size_t ldx, ldy, tokens;
} rows;

static void run_part(void *work, int member, int members)
{
    const rows *r = work;
    const size_t first = r->tokens * (size_t)member / (size_t)members;
    const size_t end = r->tokens * ((size_t)member + 1) / (size_t)members;
    r->part(r->plan, ffl_team_share(r->plan, r->exec, member), r->x + first * r->ldx, r->ldx,
            r->y + first * r->ldy, r->ldy, end - first);
}

ffl_status ffl_team_rows(const ffl_plan *plan, const ffl_exec *exec, size_t grain, ffl_team_part *part,
                         const float *x, size_t ldx, float *y, size_t ldy, size_t tokens)
{
    rows work = {
        .plan = plan, .exec = exec, .part = part, .x = x, .ldx = ldx, .y = y, .ldy = ldy, .tokens = tokens};
    const size_t most = tokens / (grain ? grain : 1);
    const size_t members = most < (size_t)exec->threads ? most : (size_t)exec->threads;
    ffl_team_run(members > 1 ? (int)members : 1, run_part, &work);
    return FFL_OK;
}
