/* Which rows stand side by side (peers.h). */
#include "reports/peers.h"
#include "kernels/layer.h"
#include "reports/format.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double alike = 0.05; /* "about as many neurons": within 5 % */

bool ffl_peer_is_program(const ffl_row *row)
{
    return strcmp(row->record.library, "process") == 0;
}

static bool is_peer(const ffl_row *row)
{
    return ffl_row_ran(row) && ffl_row_has_time(row) &&
           (ffl_peer_is_program(row) || !(ffl_row_is_fff(row) || ffl_row_is_dense(row)));
}

static bool same_table(const ffl_row *a, const ffl_row *b)
{
    const ffl_record *x = &a->record, *y = &b->record;
    return a->machine == b->machine && x->width_in == y->width_in && x->width_out == y->width_out &&
           x->threads == y->threads && strcmp(x->clazz, y->clazz) == 0 && strcmp(x->place, y->place) == 0 &&
           strcmp(x->cache, y->cache) == 0 && strcmp(x->activation, y->activation) == 0 &&
           x->emulated == y->emulated;
}

static bool same_line(const ffl_row *a, const ffl_row *b)
{
    const ffl_record *x = &a->record, *y = &b->record;
    return strcmp(x->operation, y->operation) == 0 && strcmp(x->shape, y->shape) == 0 &&
           x->neurons == y->neurons && ffl_peer_is_program(a) == ffl_peer_is_program(b) &&
           (!ffl_peer_is_program(a) || strcmp(x->variant, y->variant) == 0);
}

/* Full batches before reduced ones, then the faster; what may not be ranked only where there is nothing else.
 */
static bool is_better(const ffl_row *a, const ffl_row *b)
{
    if (!b)
        return true;
    const int x = 2 * ffl_row_ranks(a) - ffl_row_is_reduced(a),
              y = 2 * ffl_row_ranks(b) - ffl_row_is_reduced(b);
    return x != y ? x > y : ffl_row_token_ns(a) < ffl_row_token_ns(b);
}

static int order_of(const ffl_row *row)
{
    static const char *const operations[] = {"ff", "fff", "fff_leaf", "moe"};
    int order = 0;
    while (order < 3 && strcmp(operations[order], row->record.operation) != 0)
        order++;
    return 2 * order + ffl_peer_is_program(row);
}

static int by_kind(const void *a, const void *b)
{
    const ffl_row *x = ((const ffl_peer_line *)a)->row, *y = ((const ffl_peer_line *)b)->row;
    const ffl_record *r = &x->record, *s = &y->record;
    if (order_of(x) != order_of(y))
        return order_of(x) - order_of(y);
    if (r->trees != s->trees)
        return r->trees < s->trees ? -1 : 1;
    if (r->neurons != s->neurons)
        return r->neurons < s->neurons ? -1 : 1;
    return ffl_peer_is_program(x) ? strcmp(r->variant, s->variant) : strcmp(r->shape, s->shape);
}

/* ---- What a line costs ---- */

static void count_weights(ffl_peer_line *l)
{
    const ffl_record *r = &l->row->record;
    long long count = 0, width = 0, chosen = 1;
    l->active = (double)r->neurons;
    l->weights = 2 * (double)r->neurons;
    if (ffl_row_is_fff(l->row))
        l->active = (double)(r->trees * (r->depth + 1));
    else if (sscanf(r->shape, "leaf %lldx%lld", &count, &width) == 2 && count >= 0 && count < 40) {
        l->active = (double)width;
        l->gates = (double)count;
        l->weights += ldexp(1, (int)count) - 1 + ldexp(1, (int)count);
    } else if (sscanf(r->shape, "moe %lldx%lld:%lld", &count, &width, &chosen) == 3) {
        l->active = (double)width * (double)chosen;
        l->gates = (double)count;
        l->weights += 2 * (double)count;
    }
}

/* ---- Collecting ---- */

static ffl_peer_line *line_of(ffl_peer_table *t, const ffl_row *row)
{
    for (size_t i = 0; i < t->line_count; i++)
        if (same_line(t->lines[i].row, row))
            return &t->lines[i];
    if (t->line_count == FFL_PEER_LINES)
        return NULL;
    ffl_peer_line *l = &t->lines[t->line_count++];
    *l = (ffl_peer_line){.row = row};
    count_weights(l);
    return l;
}

static size_t batch_of(ffl_peer_table *t, const ffl_row *row)
{
    size_t at = 0;
    while (at < t->batch_count && t->batch[at] != row->record.batch)
        at++;
    if (at == t->batch_count && at < FFL_PEER_BATCHES)
        t->batch[t->batch_count++] = row->record.batch;
    return at;
}

/* Batches first: cells are found by their index. */
static void find_batches(ffl_peer_table *t)
{
    for (size_t i = 0; i < t->rows->count; i++)
        if (is_peer(&t->rows->value[i]) && same_table(&t->rows->value[i], t->first))
            (void)batch_of(t, &t->rows->value[i]);
    for (size_t i = 1; i < t->batch_count; i++)
        for (size_t k = i; k > 0 && t->batch[k - 1] > t->batch[k]; k--) {
            const int64_t swapped = t->batch[k];
            t->batch[k] = t->batch[k - 1];
            t->batch[k - 1] = swapped;
        }
}

/* Peers; dense layers and trees with as many neurons as some peer, at a batch that one was timed at. */
static bool belongs(const ffl_peer_table *t, const ffl_row *row)
{
    const ffl_record *r = &row->record;
    bool batch = false;
    if (!ffl_row_ran(row) || !ffl_row_has_time(row) || !same_table(row, t->first) ||
        !ffl_row_is_uniform(row) || strcmp(r->family, "auto") == 0)
        return false;
    for (size_t i = 0; i < t->batch_count; i++)
        batch |= t->batch[i] == r->batch;
    if (!batch || is_peer(row))
        return batch;
    for (size_t i = 0; i < t->rows->count; i++) {
        const ffl_row *peer = &t->rows->value[i];
        if (is_peer(peer) && same_table(peer, t->first) &&
            fabs((double)(peer->record.neurons - r->neurons)) <= alike * (double)r->neurons)
            return true;
    }
    return false;
}

void ffl_peers_collect(const ffl_rows *rows, const ffl_row *first, ffl_peer_table *t)
{
    *t = (ffl_peer_table){.rows = rows, .first = first};
    find_batches(t);
    for (size_t i = 0; i < t->rows->count; i++) {
        const ffl_row *row = &t->rows->value[i];
        ffl_peer_line *l = belongs(t, row) ? line_of(t, row) : NULL;
        const size_t at = l ? batch_of(t, row) : FFL_PEER_BATCHES;
        if (at < t->batch_count && is_better(row, l->best[at]))
            l->best[at] = row;
    }
    qsort(t->lines, t->line_count, sizeof *t->lines, by_kind);
}

const ffl_row *ffl_peers_fastest(const ffl_peer_table *t, const char *operation, bool programs, size_t batch)
{
    const ffl_row *best = NULL;
    for (size_t i = 0; i < t->line_count; i++) {
        const ffl_row *row = t->lines[i].best[batch];
        if (row && strcmp(row->record.operation, operation) == 0 && (programs || !ffl_peer_is_program(row)) &&
            is_better(row, best))
            best = row;
    }
    return best;
}

bool ffl_peers_begin(const ffl_rows *rows, size_t index)
{
    if (!is_peer(&rows->value[index]))
        return false;
    for (size_t i = 0; i < index; i++)
        if (is_peer(&rows->value[i]) && same_table(&rows->value[i], &rows->value[index]))
            return false;
    return true;
}

void ffl_peer_line_name(const ffl_peer_line *l, char *out, size_t size)
{
    static const char *const words[] = {"FF", "FFF", "leaf FFF", "MoE"};
    const ffl_record *r = &l->row->record;
    char shape[FFL_CELL];
    ffl_format_shape(l->row, shape);
    const char *rest = strchr(shape, ' '); /* "leaf 9x8" */
    snprintf(out, size, "%s %.40s%s%.64s", words[order_of(l->row) / 2], rest ? rest + 1 : shape,
             ffl_peer_is_program(l->row) ? ", " : "", ffl_peer_is_program(l->row) ? r->variant : "");
}

int64_t ffl_peers_dense(const ffl_rows *rows, const ffl_row *row)
{
    const double wanted = (double)row->record.neurons;
    int64_t nearest = 0;
    for (size_t i = 0; i < rows->count; i++) {
        const ffl_row *c = &rows->value[i];
        const double off = fabs((double)c->record.neurons - wanted);
        if (ffl_row_is_dense(c) && ffl_row_ran(c) && strcmp(c->record.group, row->record.group) == 0 &&
            off <= alike * wanted && (!nearest || off < fabs((double)nearest - wanted)))
            nearest = c->record.neurons;
    }
    return nearest;
}

static size_t batches_of(const ffl_peer_table *t, const ffl_peer_line *line, double *last_ns)
{
    size_t count = 0;
    for (size_t b = 0; b < t->batch_count; b++)
        if (line->best[b]) {
            *last_ns = ffl_row_token_ns(line->best[b]);
            count++;
        }
    return count;
}

static bool comes_before(const ffl_peer_table *t, size_t i, size_t j)
{
    double ns_i = 0, ns_j = 0;
    const size_t count_i = batches_of(t, &t->lines[i], &ns_i), count_j = batches_of(t, &t->lines[j], &ns_j);
    return count_i != count_j ? count_i > count_j : ns_i < ns_j;
}

static size_t next_of_kind(const ffl_peer_table *t, const bool *taken, size_t kind)
{
    size_t best = t->line_count;
    for (size_t i = 0; i < t->line_count; i++)
        if (!taken[i] && (size_t)order_of(t->lines[i].row) == kind &&
            (best == t->line_count || comes_before(t, i, best)))
            best = i;
    return best;
}

size_t ffl_peers_choose(const ffl_peer_table *t, size_t most, size_t *out)
{
    bool taken[FFL_PEER_LINES] = {false};
    size_t count = 0, before;
    bool first = true;
    do {
        before = count;
        for (size_t kind = !first; kind < 2 * FFL_OPERATION_COUNT && count < most; kind++) {
            const size_t line = next_of_kind(t, taken, kind);
            if (line < t->line_count) {
                taken[line] = true;
                count++;
            }
        }
        first = false;
    } while (count > before && count < most);
    for (size_t i = 0, at = 0; i < t->line_count; i++)
        if (taken[i])
            out[at++] = i;
    return count;
}
