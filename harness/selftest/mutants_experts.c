/*
 * Leaf FFF and mixtures of experts: wrong turns, wrong experts, wrong shares; and honest oddities. They have
 * a walk of their own, in which a slip replaces one step.
 */
#include "harness/selftest/mutant.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum slip {
    /* Leaf FFF */
    TIE_RIGHT,
    SWAPPED_LEVEL,
    ALL_TURNS,
    NEXT_LEAF,
    BIAS_OF_NEXT,
    GATES_ADD,
    LEVEL_LESS,
    FULL_BUCKET,
    /* Mixtures */
    SECOND_BEST,
    TIE_HIGHER,
    OF_ALL,
    SWAPPED_SHARES,
    BIAS_WHOLE,
    MAGNITUDE,
    NO_GATE_BIAS,
    EQUAL_SHARES,
    LAST_DROPPED,
    PAST_GATES,
    WRITES_GATES,
    /* Honest */
    AS_DEFINED,
    EXP2,
    RECIPROCAL,
    SHARE_LAST
} slip;

typedef struct state {
    slip slip;
    float *z, *share; /* [experts] */
    int32_t *set;     /* [experts] */
    float *y;         /* [width_out]: of one expert */
} state;

typedef struct token {
    const state *s;
    const ffl_layer *layer;
    const float *x;
    float *y;
} token;

static float gate(const token *t, size_t g)
{
    const ffl_layer *l = t->layer;
    float z = t->s->slip == NO_GATE_BIAS ? 0 : l->b_gate[g];
    for (size_t i = 0; i < l->width_in; i++)
        z += t->x[i] * l->w_gate[g * l->width_in + i];
    if (t->s->slip == PAST_GATES) /* as loads of whole vectors do */
        z += 0 * ((const volatile float *)l->w_gate)[(g + 1) * l->width_in];
    if (t->s->slip == WRITES_GATES)
        ((volatile float *)l->b_gate)[g] = l->b_gate[g];
    return z;
}

static float activate(const ffl_layer *l, float z)
{
    return (float)ffl_activate_double(l->activation, (double)z);
}

/* y += share · FF(x) of one expert. */
static void add_expert(const token *t, size_t e, float share)
{
    const ffl_layer *l = t->layer;
    const ffl_layer own = ffl_layer_expert(l, e), next = ffl_layer_expert(l, (e + 1) % l->experts);
    const slip s = t->s->slip;
    const float *bias = s == BIAS_OF_NEXT ? next.b_out : own.b_out;
    const float inner = s == SHARE_LAST ? 1 : share, outer = s == SHARE_LAST ? share : 1;
    float *to = t->s->y;
    memset(to, 0, own.width_out * sizeof *to);
    for (size_t k = 0; k < own.neurons; k++) {
        float z = own.b_in[k];
        for (size_t i = 0; i < own.width_in; i++)
            z += t->x[i] * own.w_in[k * own.width_in + i];
        const float g = inner * activate(&own, z);
        for (size_t j = 0; j < own.width_out; j++)
            to[j] += g * own.w_out[k * own.width_out + j];
    }
    for (size_t j = 0; bias && j < own.width_out; j++)
        to[j] += (s == BIAS_WHOLE ? 1 : inner) * bias[j];
    for (size_t j = 0; j < own.width_out; j++)
        t->y[j] += outer * to[j];
}

/* ---- Leaf FFF ---- */

static bool goes_right(const token *t, size_t level, float z)
{
    const slip s = t->s->slip;
    const bool right = s == TIE_RIGHT ? z >= 0 : z > 0;
    return right != (s == ALL_TURNS || (s == SWAPPED_LEVEL && level == 1));
}

/* As if a gate were a node of an FFF: act(z) times the row of its number. */
static void add_gate(const token *t, size_t node, float z)
{
    const ffl_layer *l = t->layer;
    const float g = activate(l, z), *w = l->w_out + node % l->neurons * l->width_out;
    for (size_t j = 0; j < l->width_out; j++)
        t->y[j] += g * w[j];
}

static size_t walk_to_leaf(const token *t)
{
    const ffl_layer *l = t->layer;
    const slip s = t->s->slip;
    size_t node = 0;
    for (size_t level = 0; level < l->levels; level++) {
        const float z = gate(t, node);
        if (s == GATES_ADD)
            add_gate(t, node, z);
        const bool skipped = s == LEVEL_LESS && level + 1 == l->levels;
        node = 2 * node + 1 + (!skipped && goes_right(t, level, z));
    }
    const size_t leaf = node - l->gates;
    return s == NEXT_LEAF ? (leaf + 1) % l->experts : leaf;
}

/* ---- Mixtures ---- */

static bool better(const token *t, size_t e, size_t best)
{
    const slip s = t->s->slip;
    const float a = t->s->z[e], b = t->s->z[best];
    return s == MAGNITUDE ? fabsf(a) > fabsf(b) : s == TIE_HIGHER ? a >= b : a > b;
}

/* The top `count` of the gates, into s->set. */
static void choose(const token *t, size_t count)
{
    const size_t experts = t->layer->experts;
    for (size_t k = 0; k < count; k++) {
        size_t best = experts;
        for (size_t e = 0; e < experts; e++) {
            bool taken = false;
            for (size_t i = 0; i < k; i++)
                taken |= (size_t)t->s->set[i] == e;
            if (!taken && (best == experts || better(t, e, best)))
                best = e;
        }
        t->s->set[k] = (int32_t)best;
    }
}

static float exponential(slip s, float z)
{
    return s == EXP2 ? exp2f(z * 1.44269504f) : expf(z);
}

static void weigh(const token *t, const int32_t *set, size_t count)
{
    const ffl_layer *l = t->layer;
    const slip s = t->s->slip;
    const float *z = t->s->z, most = z[set[0]];
    float *share = t->s->share, sum = 0;
    for (size_t k = count; k-- > 0;)
        share[k] = exponential(s, z[set[k]] - most);
    for (size_t k = 0; k < count; k++)
        sum += share[s == RECIPROCAL ? count - 1 - k : k];
    for (size_t e = 0; s == OF_ALL && e < l->experts; e++)
        sum = (e ? sum : 0) + exponential(s, z[e] - most);
    for (size_t k = 0; k < count; k++)
        share[k] = s == EQUAL_SHARES ? 1 / (float)count
                   : s == RECIPROCAL ? share[k] * (1 / sum)
                                     : share[k] / sum;
    if (s == SWAPPED_SHARES && count > 1) {
        const float first = share[0];
        share[0] = share[1];
        share[1] = first;
    }
}

static void mix(const token *t)
{
    const ffl_layer *l = t->layer;
    const slip s = t->s->slip;
    const size_t from = s == SECOND_BEST && l->experts > l->chosen;
    for (size_t e = 0; e < l->experts; e++)
        t->s->z[e] = gate(t, e);
    choose(t, l->chosen + from);
    const int32_t *set = t->s->set + from;
    weigh(t, set, l->chosen);
    for (size_t k = 0; k < l->chosen - (s == LAST_DROPPED && l->chosen > 1); k++)
        add_expert(t, (size_t)set[k], t->s->share[k]);
}

/* ---- The variant ---- */

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const ffl_layer *l = plan->layer;
    const state *s = plan->state;
    size_t first = 0, same = 0;
    (void)exec;
    for (size_t i = 0; i < tokens; i++) {
        const token t = {.s = s, .layer = l, .x = x + i * ldx, .y = y + i * ldy};
        memset(t.y, 0, l->width_out * sizeof *t.y);
        if (l->operation == FFL_MOE) {
            mix(&t);
            continue;
        }
        const size_t leaf = walk_to_leaf(&t);
        first = i == 0 ? leaf : first;
        same += leaf == first;
        if (s->slip != FULL_BUCKET || same < 13 || same < tokens) /* room for one token less */
            add_expert(&t, leaf, 1);
    }
    return FFL_OK;
}

static void release(ffl_plan *plan)
{
    state *s = plan->state;
    free(s->z);
    free(s->share);
    free(s->set);
    free(s->y);
    free(s);
}

static slip slip_of(const ffl_mutant *mutant);

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    const ffl_mutant *mutant = ffl_mutant_find(plan->variant->name);
    state *s = calloc(1, sizeof *s);
    if (!s || !mutant) {
        free(s);
        return ffl_fail(FFL_NO_MEMORY, "no memory for a mutant");
    }
    plan->state = s;
    s->slip = slip_of(mutant);
    s->z = calloc(layer->experts, sizeof *s->z);
    s->share = calloc(layer->experts, sizeof *s->share);
    s->set = calloc(layer->experts, sizeof *s->set);
    s->y = calloc(layer->width_out, sizeof *s->y);
    if (s->z && s->share && s->set && s->y)
        return FFL_OK;
    release(plan);
    return ffl_fail(FFL_NO_MEMORY, "no memory for a mutant");
}

#define EXPERTS(operation_, name_, summary_, family_)                                                        \
    .variant = {.name = name_,                                                                               \
                .summary = summary_,                                                                         \
                .source = "this lab",                                                                        \
                .operation = operation_,                                                                     \
                .contract = FFL_CONTRACT_F32,                                                                \
                .prepare = prepare,                                                                          \
                .run = run,                                                                                  \
                .release = release},                                                                         \
    .family = family_
#define LEAF(name, summary) EXPERTS(FFL_FFF_LEAF, "fff_leaf_mutant_" name, summary, "experts")
#define MIXTURE(name, summary) EXPERTS(FFL_MOE, "moe_mutant_" name, summary, "experts")
#define VALUES "FAILED *: row *: got *"
#define OTHER_LEAF "FAILED *; it is what leaf * alone gives, not leaf *, as if gate * had turned *"
#define OTHER_EXPERT "FAILED *; it is what expert* give*, not expert*"

static const slip slips[] = {TIE_RIGHT,    SWAPPED_LEVEL,  ALL_TURNS,   NEXT_LEAF,   BIAS_OF_NEXT,
                             GATES_ADD,    LEVEL_LESS,     FULL_BUCKET, SECOND_BEST, TIE_HIGHER,
                             OF_ALL,       SWAPPED_SHARES, BIAS_WHOLE,  MAGNITUDE,   NO_GATE_BIAS,
                             EQUAL_SHARES, LAST_DROPPED,   PAST_GATES,  WRITES_GATES};

/* In the order of `slips`. */
const ffl_mutant ffl_experts_mutants[] = {
    {LEAF("tie", "a gate of 0 goes right"), .expect = {OTHER_LEAF}},
    {LEAF("swapped_level", "children swapped at one level"), .expect = {OTHER_LEAF}},
    {LEAF("mirrored", "children swapped everywhere"), .expect = {OTHER_LEAF}},
    {LEAF("next_leaf", "leaf index off by one"), .expect = {OTHER_LEAF}},
    {LEAF("bias_of_next", "output bias of the next leaf"), .expect = {VALUES}},
    {LEAF("gates_add", "gates contribute, as nodes of an FFF do"), .expect = {VALUES}},
    {LEAF("level_less", "the last gate does not decide"), .expect = {OTHER_LEAF}},
    {LEAF("full_bucket", "loses a token when all of a batch reach one leaf"), .expect = {VALUES}},
    {MIXTURE("second_best", "chooses from the second best on"), .expect = {OTHER_EXPERT}},
    {MIXTURE("tie_higher", "of equal gates the higher index"), .expect = {OTHER_EXPERT}},
    {MIXTURE("of_all", "shares of all experts' sum"),
     .expect = {"FAILED *; it is what the right experts give with shares of all experts' sum"}},
    {MIXTURE("swapped_shares", "the two best experts' shares swapped"),
     .expect = {"FAILED *; it is what the right experts give with their shares in reverse"}},
    {MIXTURE("bias_whole", "output biases without their share"), .expect = {VALUES}},
    {MIXTURE("magnitude", "top gates by magnitude"), .expect = {OTHER_EXPERT}},
    {MIXTURE("no_gate_bias", "gates without bias"), .expect = {OTHER_EXPERT}},
    {MIXTURE("equal_shares", "all shares equal"),
     .expect = {"FAILED *; it is what the right experts give with equal shares"}},
    {MIXTURE("last_dropped", "the last of the chosen experts left out"), .expect = {VALUES}},
    {MIXTURE("past_gates", "reads past w_gate"), .expect = {"CRASHED * past the end of w_gate*"}},
    {MIXTURE("writes_gates", "writes b_gate"), .expect = {"CRASHED * of b_gate, which is read-only*"}},
    {.family = NULL},
};

static const slip honest_slips[] = {AS_DEFINED, AS_DEFINED, EXP2, RECIPROCAL, SHARE_LAST};

const ffl_mutant ffl_honest_experts[] = {
    {EXPERTS(FFL_FFF_LEAF, "fff_leaf_honest_sequential", "leaf tree, f32 by index", "honest")},
    {EXPERTS(FFL_MOE, "moe_honest_sequential", "mixture, f32 by index", "honest")},
    {EXPERTS(FFL_MOE, "moe_honest_exp2", "shares by powers of two", "honest")},
    {EXPERTS(FFL_MOE, "moe_honest_reciprocal", "shares summed backwards, times the reciprocal", "honest")},
    {EXPERTS(FFL_MOE, "moe_honest_share_last", "experts first, then their shares", "honest")},
    {.family = NULL},
};

static slip slip_of(const ffl_mutant *mutant)
{
    return ffl_mutant_honest(mutant) ? honest_slips[mutant - ffl_honest_experts]
                                     : slips[mutant - ffl_experts_mutants];
}
