/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/agreement.h"
#include "coordinator/rule.h"
#include "results/distributions.h"

/*
 * Nodes of one class that disagree answer nothing together. What counts as disagreeing is the
 * rule's: to be apart by more than a tolerance, or, where it has none, to lie on two sides of its
 * limit.
 */

/* A test's values as D, which is worse the higher it is, and who disagrees. */
struct look {
    const struct tg_evidence *evidence;
    double sign, shift; /* D = sign * value + shift */
    double p;       /* the chance that nodes that agree come out so, 1 if what counts is alike */
    double p_sides; /* ... that a side of the limit is chance; 0 where a tolerance counts */
    int odd;        /* the node that disagrees, -1 for none */
    double odd_mean, rest_mean; /* of D */
};

/* Rounds of a node, or of all others. */
struct share {
    size_t rounds;
    double sum, mean; /* of D */
};

static double value_of(const struct look *l, size_t round)
{
    return l->sign * l->evidence->values[round] + l->shift;
}

static int node_count(const struct tg_evidence *e)
{
    int count = 0;
    for (size_t r = 0; e->nodes && r < e->count; r++)
        if (e->nodes[r] >= count) count = e->nodes[r] + 1;
    return count;
}

/* What a node saw, and what all others did. */
static void divide(const struct look *l, int node, struct share *own, struct share *rest)
{
    *own = *rest = (struct share){0};
    for (size_t r = 0; r < l->evidence->count; r++) {
        struct share *share = l->evidence->nodes[r] == node ? own : rest;
        share->rounds++;
        share->sum += value_of(l, r);
    }
    own->mean = own->sum / (double)own->rounds;
    rest->mean = rest->sum / (double)rest->rounds;
}

/* The variance of D within nodes, as the analysis of variance takes it. */
static double spread(const struct look *l, size_t *freedom)
{
    struct share own, rest;
    double squares = 0;
    *freedom = l->evidence->count;
    for (int node = 0; node < node_count(l->evidence); node++) {
        divide(l, node, &own, &rest);
        for (size_t r = 0; r < l->evidence->count; r++)
            if (l->evidence->nodes[r] == node) squares += pow(value_of(l, r) - own.mean, 2);
        *freedom -= own.rounds > 0;
    }
    return squares / (double)*freedom;
}

/* The chance that a mean so far from the limit, on either side, is one that lies at it. */
static double chance_of_side(const struct share *share, double variance, size_t freedom)
{
    double f = share->mean * share->mean * (double)share->rounds / variance;
    return tg_distributions_f_tail(f, 1, (double)freedom);
}

/*
 * The node on the other side of the limit than all others together; of several the one that is
 * farthest from them, as tg_agreement_look reckons it, and of two that are, the worse.
 */
static void look_at_sides(struct look *l, double p)
{
    struct share own, rest;
    size_t freedom;
    double most = 0, variance = spread(l, &freedom);
    for (int node = 0; node < node_count(l->evidence); node++) {
        divide(l, node, &own, &rest);
        if (!(own.mean * rest.mean < 0)) continue; /* or one of them has no rounds */
        double errors = sqrt(1 / (double)own.rounds + 1 / (double)rest.rounds);
        double distance = fabs(own.mean - rest.mean) / errors;
        if (distance < most * (1 - 1e-9) || (distance <= most * (1 + 1e-9) && own.mean < 0))
            continue;
        most = distance;
        l->odd = node;
        l->odd_mean = own.mean;
        l->rest_mean = rest.mean;
        l->p = p;
        l->p_sides = fmax(chance_of_side(&own, variance, freedom),
                          chance_of_side(&rest, variance, freedom));
    }
}

static struct look look_at(const struct tg_evidence *e, double sign, double shift, double tolerance)
{
    struct look l = {e, sign, shift, 1, 0, -1, NAN, NAN};
    struct tg_agreement a = tg_agreement_look(e->values, e->nodes, e->count);
    if (a.odd < 0) return l;
    if (isnan(tolerance)) {
        look_at_sides(&l, a.p);
    } else if (fabs(a.odd_mean - a.rest_mean) > tolerance) {
        l.p = a.p;
        l.odd = a.odd;
        l.odd_mean = sign * a.odd_mean + shift;
        l.rest_mean = sign * a.rest_mean + shift;
    }
    return l;
}

/* Whether D is at least that whichever node is left out: then no one node made it so. */
static bool fails_without_any(const struct look *l, double least)
{
    struct share own, rest;
    for (int node = 0; node < node_count(l->evidence); node++) {
        divide(l, node, &own, &rest);
        if (rest.rounds && rest.mean < least) return false;
    }
    return true;
}

/* A mean D as what the rule's numbers are. */
static char *effect_text(const struct look *l, double mean, char *out, size_t size)
{
    const struct tg_evidence *e = l->evidence;
    const char *reading = tg_rule_find(e->rule->rule)->reading;
    char value[64];
    double x = mean - l->shift;
    if (strcmp(reading, "slowdown") == 0 || strcmp(reading, "growth") == 0)
        snprintf(out, size, "%+.2f %%", tg_rule_percent(tg_rule_change(e->rule, expm1(x))));
    else if (strcmp(reading, "factor") == 0)
        snprintf(out, size, "%.3gx", exp(-x));
    else if (strcmp(reading, "rate") == 0)
        snprintf(out, size, "%s a sample",
                 tg_metric_text(e->metric, x * e->rule->limit, value, sizeof value));
    else
        tg_metric_text(e->metric, exp(l->sign * x), out, size);
    return out;
}

void tg_rule_look_at_nodes(const struct tg_evidence *evidence, double sign, double shift,
                           double tolerance, double least, struct tg_verdict *verdict)
{
    char name[TG_TEXT_SIZE] = "one node", odd[96], rest[96];
    double looks = (double)evidence->required_count * (double)evidence->limits->rounds_max;
    double line = fmin(0.001, evidence->limits->alpha_fail / looks);
    struct look l = look_at(evidence, sign, shift, tolerance);
    bool is_certain = l.p < line && l.p_sides < line;
    bool is_failure = verdict->answer == TG_FAIL;
    bool waits = verdict->answer == TG_PASS || (is_failure && isnan(tolerance));
    if (!is_certain && !(waits && l.p < 0.01)) return;
    verdict->odd_node = l.odd;
    if (is_failure && fails_without_any(&l, least)) return;
    verdict->is_clock_effect = verdict->wants_last = false;
    verdict->wants_more = !is_certain;
    if (!is_certain) {
        tg_rule_say(verdict, TG_INCONCLUSIVE, "inconclusive", "its nodes may disagree");
        return;
    }
    if (evidence->node_names) snprintf(name, sizeof name, "%s", evidence->node_names[l.odd]);
    tg_rule_say(verdict, TG_INCONCLUSIVE, "heterogeneous", "node '%s' gives %s, the others %s",
                name, effect_text(&l, l.odd_mean, odd, sizeof odd),
                effect_text(&l, l.rest_mean, rest, sizeof rest));
}
