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

/* ---- Trees ---- */

/*
 * Rows: nodes visited per token, each about 0.3 to 0.5 µs from L3 or memory. A thread is worth waking for
 * SPLIT_TREES rows of a token, half of which another thread would wait for anyway, or for tokens of
 * SPLIT_TOKENS rows. CHUNK tokens at a time pass through a group.
 */
enum { GROUP_ROWS = 32, GROUPS_MAX = 8, SPLIT_TREES = 64, SPLIT_TOKENS = 384, CHUNK = 16 };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t tree_groups(const ffl_layer *l)
{
    const size_t groups = smaller(l->trees * l->levels / GROUP_ROWS, smaller(l->trees, GROUPS_MAX));
    return groups > 1 ? groups : 1;
}

/* Floats of the sums of one group: rows of whole cache lines. */
static size_t sum_stride(const ffl_layer *l)
{
    return (l->width_out + 15) / 16 * 16;
}

void ffl_team_trees_scratch(ffl_plan *plan)
{
    const size_t threads = (size_t)(plan->threads > 0 ? plan->threads : 1);
    const size_t others = tree_groups(plan->layer) - 1;
    /* One group at a time for each thread, or all groups of one chunk for all threads together. */
    const size_t together = (others + threads - 1) / threads;
    const size_t groups = smaller(others, 1) > together ? smaller(others, 1) : together;
    ffl_team_scratch(plan,
                     groups * smaller(CHUNK, plan->max_tokens) * sum_stride(plan->layer) * sizeof(float));
}

typedef struct trees {
    const ffl_plan *plan;
    const ffl_exec *exec;
    ffl_team_trees_part *part;
    const float *x;
    float *y, *sums; /* sums [groups - 1][tokens][sum_stride] */
    size_t ldx, ldy, tokens;
} trees;

/* The first group writes y itself, the others their sums. */
static void run_group(const trees *w, size_t group, float *sums)
{
    const ffl_layer *l = w->plan->layer;
    const size_t groups = tree_groups(l), first = l->trees * group / groups;
    const size_t count = l->trees * (group + 1) / groups - first;
    if (group == 0)
        w->part(w->plan, first, count, w->x, w->ldx, w->y, w->ldy, w->tokens);
    else
        w->part(w->plan, first, count, w->x, w->ldx, sums, sum_stride(l), w->tokens);
}

static void add_group(const trees *w, const float *sums)
{
    const ffl_layer *l = w->plan->layer;
    for (size_t t = 0; t < w->tokens; t++)
        for (size_t i = 0; i < l->width_out; i++)
            w->y[t * w->ldy + i] += sums[t * sum_stride(l) + i];
}

static void run_groups(void *work, int member, int members)
{
    const trees *w = work;
    const size_t groups = tree_groups(w->plan->layer);
    const size_t end = groups * ((size_t)member + 1) / (size_t)members;
    for (size_t g = groups * (size_t)member / (size_t)members; g < end; g++)
        run_group(w, g, g ? w->sums + (g - 1) * w->tokens * sum_stride(w->plan->layer) : NULL);
}

/* This thread's tokens, all groups. */
static void run_tokens(void *work, int member, int members)
{
    const trees *all = work;
    trees w = *all;
    const size_t groups = tree_groups(w.plan->layer);
    float *sums = ffl_team_share(w.plan, w.exec, member);
    const size_t end = all->tokens * ((size_t)member + 1) / (size_t)members;
    /* A single group needs no sums, and its tokens no chunks. */
    const size_t chunk = groups > 1 ? CHUNK : end;
    for (size_t t = all->tokens * (size_t)member / (size_t)members; t < end; t += w.tokens) {
        w.x = all->x + t * w.ldx, w.y = all->y + t * w.ldy, w.tokens = smaller(chunk, end - t);
        for (size_t g = 0; g < groups; g++) {
            run_group(&w, g, sums);
            if (g > 0)
                add_group(&w, sums);
        }
    }
}

ffl_status ffl_team_trees(const ffl_plan *plan, const ffl_exec *exec, ffl_team_trees_part *part,
                          const float *x, size_t ldx, float *y, size_t ldy, size_t tokens)
{
    trees w = {.plan = plan, .exec = exec, .part = part, .x = x, .y = y, .ldx = ldx, .ldy = ldy};
    const size_t visited = plan->layer->trees * plan->layer->levels, groups = tree_groups(plan->layer);
    const size_t threads = (size_t)exec->threads, grain = SPLIT_TOKENS / visited;
    const size_t by_tokens = smaller(threads, tokens / (grain ? grain : 1));
    const size_t by_trees = smaller(smaller(threads, groups), tokens * visited / SPLIT_TREES);
    if (by_trees <= by_tokens || by_trees < 2) {
        w.tokens = tokens;
        ffl_team_run(by_tokens > 1 ? (int)by_tokens : 1, run_tokens, &w);
        return FFL_OK;
    }
    w.sums = exec->scratch;
    for (size_t t = 0; t < tokens; t += w.tokens) {
        w.x = x + t * ldx, w.y = y + t * ldy, w.tokens = smaller(CHUNK, tokens - t);
        ffl_team_run((int)by_trees, run_groups, &w);
        for (size_t g = 1; g < groups; g++)
            add_group(&w, w.sums + (g - 1) * w.tokens * sum_stride(plan->layer));
    }
    return FFL_OK;
}
