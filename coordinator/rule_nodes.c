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
    bool is_known;  /* who disagrees and the others have rounds enough for spreads of their own */
    double p;       /* the chance that nodes that agree come out so, 1 if what counts is alike */
    double p_sides; /* ... that a side of the limit is chance; 0 where a tolerance counts */
    int odd;        /* the node that disagrees, -1 for none */
    double odd_mean, rest_mean; /* of D */
};

static int node_count(const struct tg_evidence *e)
{
    int count = 0;
    for (size_t r = 0; e->nodes && r < e->count; r++)
        if (e->nodes[r] >= count) count = e->nodes[r] + 1;
    return count;
}

/* D of a node, and of all others. */
static void divide(const struct look *l, int node, struct tg_side *own, struct tg_side *rest)
{
    const struct tg_evidence *e = l->evidence;
    tg_agreement_divide(e->values, e->nodes, e->count, node, own, rest);
    own->mean = l->sign * own->mean + l->shift;
    rest->mean = l->sign * rest->mean + l->shift;
}

/* The chance that a mean so far from the limit, on either side, is one that lies at it. */
static double chance_of_side(const struct tg_side *side)
{
    double f = side->mean * side->mean / side->error;
    return tg_distributions_f_tail(f, 1, (double)side->count - 1);
}

/*
 * Sets who disagrees, and how sure that is: by a spread of its own and one of the others, times the
 * nodes that it was picked from; with too few rounds for that by p, for which all have one.
 */
static void name_odd(struct look *l, int node, double p)
{
    struct tg_side own, rest;
    int count = node_count(l->evidence);
    divide(l, node, &own, &rest);
    double unlike = tg_agreement_unlike(&own, &rest);
    l->odd = node;
    l->odd_mean = own.mean;
    l->rest_mean = rest.mean;
    l->is_known = !isnan(unlike);
    l->p = !l->is_known ? p : count > 2 ? unlike * count : unlike;
}

/*
 * The node on the other side of the limit than all others together; of several the one that is
 * farthest from them, as tg_agreement_look reckons it, and of two that are, the worse.
 */
static void look_at_sides(struct look *l, double p)
{
    struct tg_side own, rest;
    double most = 0;
    for (int node = 0; node < node_count(l->evidence); node++) {
        divide(l, node, &own, &rest);
        if (!(own.mean * rest.mean < 0)) continue; /* or one of them has no rounds */
        double errors = sqrt(1 / (double)own.count + 1 / (double)rest.count);
        double distance = fabs(own.mean - rest.mean) / errors;
        if (distance < most * (1 - 1e-9) || (distance <= most * (1 + 1e-9) && own.mean < 0))
            continue;
        most = distance;
        name_odd(l, node, p);
        if (l->is_known) l->p_sides = fmax(chance_of_side(&own), chance_of_side(&rest));
    }
}

static struct look look_at(const struct tg_evidence *e, double sign, double shift, double tolerance)
{
    struct look l = {e, sign, shift, false, 1, 0, -1, NAN, NAN};
    struct tg_agreement a = tg_agreement_look(e->values, e->nodes, e->count);
    if (a.odd < 0) return l;
    if (isnan(tolerance)) {
        look_at_sides(&l, a.p);
    } else if (fabs(a.odd_mean - a.rest_mean) > tolerance) {
        name_odd(&l, a.odd, a.p);
    }
    return l;
}

/* Whether D is at least that whichever node is left out: then no one node made it so. */
static bool fails_without_any(const struct look *l, double least)
{
    struct tg_side own, rest;
    for (int node = 0; node < node_count(l->evidence); node++) {
        divide(l, node, &own, &rest);
        if (rest.count && rest.mean < least) return false;
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
    bool is_certain = l.is_known && l.p < line && l.p_sides < line;
    bool is_failure = verdict->answer == TG_FAIL;
    /* What would fail by itself is not to pass in the shade of the others. */
    bool is_shaded = !isnan(tolerance) && fmax(l.odd_mean, l.rest_mean) >= least;
    bool waits = verdict->answer == TG_PASS || is_failure;
    if (!is_certain && !(waits && l.p < (is_failure || is_shaded ? 0.1 : 0.01))) return;
    bool stands = is_failure && fails_without_any(&l, least);
    if (is_certain || !stands) verdict->odd_node = l.odd;
    if (stands && (is_certain || l.p < 0.01))
        verdict->node_loss = expm1(fmax(l.odd_mean, l.rest_mean));
    if (stands) return;
    verdict->is_clock_effect = verdict->wants_last = false;
    verdict->wants_more = !is_certain;
    if (evidence->node_names) snprintf(name, sizeof name, "%s", evidence->node_names[l.odd]);
    tg_rule_say(verdict, TG_INCONCLUSIVE, is_certain ? "heterogeneous" : "inconclusive",
                "%snode '%s' gives %s, the others %s",
                is_certain ? "" : "its nodes may disagree: ", name,
                effect_text(&l, l.odd_mean, odd, sizeof odd),
                effect_text(&l, l.rest_mean, rest, sizeof rest));
}
