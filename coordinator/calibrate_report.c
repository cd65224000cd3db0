/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "coordinator/calibrate.h"

/* A calibration for a reader and for a machine. */

static const double BOUND_CONFIDENCE = 0.95;
static const char *const severities[TG_SEVERITY_COUNT] = {"below margin", "minor", "major",
                                                          "critical"};

static double share_of(size_t events, size_t trials)
{
    return trials ? (double)events / (double)trials : NAN;
}

static double mean_rounds(const struct tg_point *p)
{
    return share_of(p->seen.rounds, p->seen.tests);
}

/* Rounds until the decision, in those tests that came to one. */
static double decided_rounds(const struct tg_point *p)
{
    return share_of(p->seen.decided_rounds, p->seen.over + p->seen.clean);
}

static const char *truth_of(const struct tg_point *p, char text[32])
{
    snprintf(text, 32, "%+.3g %%", 100 * p->effect);
    return isnan(p->effect) ? "-" : text;
}

static void print_promises(FILE *out, const struct tg_calibration *c)
{
    fprintf(out, "\n%-58s %12s %20s  %-26s\n", "promised", "", "seen", "exact 95 % interval");
    for (size_t i = 0; i < c->promise_count; i++) {
        const struct tg_promise *p = &c->promises[i];
        char promised[32], seen[48], bounds[64];
        snprintf(promised, sizeof promised, "%s %.3g %%",
                 p->is_least ? ">=" : "<=", 100 * p->share);
        snprintf(seen, sizeof seen, "%zu of %zu", p->events, p->trials);
        snprintf(bounds, sizeof bounds, "%.4g to %.4g %%", 100 * p->bounds.low,
                 100 * p->bounds.high);
        fprintf(out, "%-58s %12s %20s  %-26s %s\n", p->text, promised, seen, bounds,
                tg_calibrate_word(p->state));
    }
}

static void print_points(FILE *out, const struct tg_calibration *c)
{
    fprintf(out, "\n%-9s %-12s %7s %5s %7s %8s %8s %8s %8s %7s %7s %8s %8s\n", "part", "noise",
            "truth", "sd", "tests", "over", "fails", "clean", "open", "rounds", "decided",
            "seconds", "covered");
    for (size_t i = 0; i < c->point_count; i++) {
        const struct tg_point *p = &c->points[i];
        const struct tg_tally *t = &p->seen;
        char truth[32], sd[32];
        snprintf(sd, sizeof sd, "%.3g%s", 100 * p->sd, p->sigma > 0 ? "*" : "");
        fprintf(out, "%-9s %-12s %7s %5s ", p->part, p->name, truth_of(p, truth),
                isnan(p->sd) ? "-" : sd);
        if (!p->is_done) {
            fputs("not run: the budget was spent\n", out);
            continue;
        }
        fprintf(out, "%7zu %8.4g %8.4g %8.4g %8.4g %7.2f %7.2f %8.3g %8.4g\n", t->tests,
                100 * share_of(t->over, t->tests), 100 * share_of(t->failed, t->tests),
                100 * share_of(t->clean, t->tests), 100 * share_of(t->inconclusive, t->tests),
                mean_rounds(p), decided_rounds(p), p->seconds / (double)t->tests,
                100 * share_of(t->covered, t->intervals));
    }
    fputs("over, fails, clean, open (undecided) and covered are in per cent of the tests; seconds "
          "are a test's.\nsd is in per cent; *: the median over tests whose sd differ.\n",
          out);
}

static void print_severities(FILE *out, const struct tg_calibration *c)
{
    bool is_first = true;
    for (size_t i = 0; i < c->point_count; i++) {
        const struct tg_point *p = &c->points[i];
        if (!p->is_done || strcmp(p->part, "severity") != 0) continue;
        if (is_first) {
            fprintf(out, "\n%-9s %-12s %7s %-13s", "severity", "noise", "truth", "is");
            for (int s = 0; s < TG_SEVERITY_COUNT; s++) fprintf(out, " %14s", severities[s]);
            fputs("   of tests over; (borderline)\n", out);
        }
        is_first = false;
        const double theta = tg_simulate_theta(c->rule, p->effect);
        fprintf(out, "%-9s %-12s %+5.3g %% %-13s", "", p->name, 100 * p->effect,
                severities[tg_simulate_severity(c->rule, theta)]);
        for (int s = 0; s < TG_SEVERITY_COUNT; s++) {
            char text[48];
            snprintf(text, sizeof text, "%zu (%zu)",
                     p->seen.severities[s][0] + p->seen.severities[s][1], p->seen.severities[s][1]);
            fprintf(out, " %14s", text);
        }
        fputc('\n', out);
    }
}

/* Of the points that are whole gates or runs: how they ended. */
static void print_gates(FILE *out, const struct tg_calibration *c)
{
    bool is_first = true;
    for (size_t i = 0; i < c->point_count; i++) {
        const struct tg_point *p = &c->points[i];
        const struct tg_tally *t = &p->seen;
        char truth[32];
        if (!p->is_done || t->tests <= t->gates) continue;
        if (is_first)
            fprintf(out, "\n%-9s %-15s %7s %7s %7s %7s %7s %8s %10s %8s %16s\n", "gates", "noise",
                    "truth", "gates", "fail", "over", "pass", "families", "tests each", "rounds",
                    "undecided tests");
        is_first = false;
        fprintf(out, "%-9s %-15s %7s %7zu %7zu %7zu %7zu %8zu %10.4g %8.2f %16.3g\n", p->part,
                p->name, truth_of(p, truth), t->gates, t->gates_failed, t->gates_over,
                t->gates_passed, t->families_over, share_of(t->tests, t->gates), mean_rounds(p),
                share_of(t->inconclusive, t->gates));
    }
}

void tg_calibrate_print(FILE *out, const struct tg_calibration *c)
{
    const struct tg_limits *limits = &c->limits;
    fprintf(out,
            "calibration of '%s', %s: %s not %.3g %% %s (tolerance %.3g %%), alpha %.3g %% "
            "over %zu tests, at most %" PRId64 " rounds\n",
            c->policy->flow, c->is_simulated ? "simulated" : "on this machine", c->rule->metric,
            100 * c->rule->margin, tg_metric_worse(tg_metric_find(c->rule->metric)),
            100 * c->rule->tolerance, 100 * limits->alpha_fail, c->required_count,
            limits->rounds_max);
    if (c->policy->limits.min_sessions > limits->min_sessions)
        fprintf(out,
                "no failure is held for another session: each gate is decided by itself, as if "
                "min_sessions were %" PRId64 " and not %" PRId64 "\n",
                limits->min_sessions, c->policy->limits.min_sessions);
    print_promises(out, c);
    print_gates(out, c);
    print_points(out, c);
    print_severities(out, c);
    char alarms[200];
    size_t states[3] = {0};
    if (c->has_alarms)
        fprintf(out, "\n%s\n", tg_history_alarms_text(&c->alarms, alarms, sizeof alarms));
    for (size_t i = 0; i < c->promise_count; i++) states[c->promises[i].state]++;
    fprintf(out, "\n%s  %zu promises: %zu kept, %zu open (too few looks to tell), %zu broken\n",
            states[TG_BROKEN] ? "BROKEN"
            : states[TG_OPEN] ? "NONE BROKEN"
                              : "KEPT",
            c->promise_count, states[TG_KEPT], states[TG_OPEN], states[TG_BROKEN]);
}

/* {"events": 0, "trials": 2000, "share": 0, "low": 0, "high": 0.00184}; null without trials. */
static void add_share(struct tg_json *object, const char *key, size_t events, size_t trials)
{
    struct tg_json *share = tg_json_object(object, key);
    struct tg_interval bounds = {NAN, NAN};
    if (trials) bounds = tg_stats_clopper_pearson(events, trials, BOUND_CONFIDENCE);
    tg_json_add_number(share, "events", (double)events);
    tg_json_add_number(share, "trials", (double)trials);
    tg_json_add_rounded(share, "share", share_of(events, trials));
    tg_json_add_rounded(share, "low", bounds.low);
    tg_json_add_rounded(share, "high", bounds.high);
}

static void add_severities(struct tg_json *item, const struct tg_tally *t)
{
    struct tg_json *list = tg_json_object(item, "severities");
    for (int s = 0; s < TG_SEVERITY_COUNT; s++) {
        struct tg_json *one = tg_json_object(list, severities[s]);
        tg_json_add_number(one, "tests", (double)(t->severities[s][0] + t->severities[s][1]));
        tg_json_add_number(one, "borderline", (double)t->severities[s][1]);
    }
}

static void add_point(struct tg_json *list, const struct tg_calibration *c,
                      const struct tg_point *p)
{
    const struct tg_tally *t = &p->seen;
    struct tg_json *item = tg_json_object(list, NULL);
    tg_json_add_text(item, "part", p->part);
    tg_json_add_text(item, "noise", p->name);
    tg_json_add_rounded(item, "effect", p->effect);
    tg_json_add_rounded(item, "sd", p->sd);
    tg_json_add_rounded(item, "sigma", p->sigma);
    tg_json_add_boolean(item, "is_done", p->is_done);
    if (!p->is_done) return;
    tg_json_add_number(item, "gates", (double)t->gates);
    tg_json_add_number(item, "tests", (double)t->tests);
    add_share(item, "gates_failed", t->gates_failed, t->gates);
    add_share(item, "gates_over", t->gates_over, t->gates);
    add_share(item, "gates_passed", t->gates_passed, t->gates);
    add_share(item, "families_over", t->families_over, t->gates);
    add_share(item, "over", t->over, t->tests);
    add_share(item, "failed", t->failed, t->tests);
    add_share(item, "clean", t->clean, t->tests);
    add_share(item, "inconclusive", t->inconclusive, t->tests);
    add_share(item, "covered", t->covered, t->intervals);
    tg_json_add_rounded(item, "rounds", mean_rounds(p));
    tg_json_add_rounded(item, "rounds_to_decision", decided_rounds(p));
    tg_json_add_number(item, "rounds_most", (double)t->most_rounds);
    tg_json_add_rounded(item, "seconds", p->seconds / (double)t->tests);
    if (isfinite(p->effect))
        tg_json_add_text(
            item, "severity",
            severities[tg_simulate_severity(c->rule, tg_simulate_theta(c->rule, p->effect))]);
    add_severities(item, t);
}

static void add_promise(struct tg_json *list, const struct tg_promise *p)
{
    struct tg_json *item = tg_json_object(list, NULL);
    tg_json_add_text(item, "promise", p->text);
    tg_json_add_text(item, "side", p->is_least ? "at least" : "at most");
    tg_json_add_rounded(item, "promised", p->share);
    add_share(item, "seen", p->events, p->trials);
    tg_json_add_text(item, "state", tg_calibrate_word(p->state));
}

int tg_calibrate_write(const char *path, const struct tg_calibration *c, struct tg_error *err)
{
    char seed[32];
    struct tg_json *root = tg_json_object(NULL, NULL);
    tg_json_add_number(root, "tritgate_calibration", 1);
    tg_json_add_text(root, "version", TRITGATE_VERSION);
    tg_json_add_text(root, "flow", c->policy->flow);
    tg_json_add_boolean(root, "is_simulated", c->is_simulated);
    snprintf(seed, sizeof seed, "%" PRIu64, c->seed);
    tg_json_add_text(root, "seed", seed);
    tg_json_add_number(root, "statistical", (double)c->required_count);
    tg_json_add_rounded(root, "tolerance", c->rule->tolerance);
    tg_json_add_rounded(root, "margin", c->rule->margin);
    tg_json_add_record(root, "limits", &tg_limits_type, &c->limits);
    tg_json_add_boolean(root, "is_broken", tg_calibrate_is_broken(c));
    if (c->has_alarms) {
        struct tg_json *alarms = tg_json_object(root, "alarms");
        add_share(alarms, "runs", c->alarms.failed_runs, c->alarms.runs);
        add_share(alarms, "tests", c->alarms.failed, c->alarms.tests);
    }
    struct tg_json *promises = tg_json_array(root, "promises");
    for (size_t i = 0; i < c->promise_count; i++) add_promise(promises, &c->promises[i]);
    struct tg_json *points = tg_json_array(root, "points");
    for (size_t i = 0; i < c->point_count; i++) add_point(points, c, &c->points[i]);
    int rc = tg_json_write(root, path, err);
    tg_json_free(root);
    return rc;
}
