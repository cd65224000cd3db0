/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/calibrate.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

static const double BOUND_CONFIDENCE = 0.95;
static const double GATE_SD = 0.01;     /* of D: the median over the tests of a simulated gate */
static const double GATE_SIGMA = 0.7;   /* and its spread, of the logarithm */
static const double NEAR_A_CUT = 0.005; /* of severities */

enum { FAMILY_GATES = 200 };

static const double power_effects[] = {-0.05, 0, 0.02, 0.03, 0.05, 0.07, 0.10, 0.15, 0.25};

void tg_calibrate_defaults(struct tg_calibrate_options *options)
{
    *options = (struct tg_calibrate_options){.gates = 2000,
                                             .cells = 300,
                                             .tests = 5000,
                                             .sd = 0.015,
                                             .law = "skewed",
                                             .effects = power_effects,
                                             .effect_count = sizeof power_effects /
                                                             sizeof *power_effects,
                                             .seed = 1,
                                             .families = -1,
                                             .threads = 1};
}

int tg_calibrate_begin(const struct tg_policy *policy, struct tg_calibration *calibration,
                       struct tg_error *err)
{
    struct tg_calibration begun = {.policy = policy, .limits = policy->limits};
    for (size_t i = policy->rule_count; i-- > 0;)
        if (strcmp(policy->rules[i].rule, "noninferior") == 0) begun.rule = &policy->rules[i];
    begun.limits.min_sessions = 1; /* each gate by itself: nothing is held for another */
    if (!begun.rule) return tg_fail(err, "the policy has no rule 'noninferior' to calibrate");
    begun.points = calloc(TG_POINT_MOST, sizeof *begun.points);
    begun.promises = calloc(TG_PROMISE_MOST, sizeof *begun.promises);
    if (!begun.points || !begun.promises) {
        tg_calibrate_release(&begun);
        return tg_fail(err, "out of memory");
    }
    *calibration = begun;
    return 0;
}

void tg_calibrate_release(struct tg_calibration *calibration)
{
    free(calibration->points);
    free(calibration->promises);
    *calibration = (struct tg_calibration){0};
}

void tg_calibrate_promise(struct tg_calibration *calibration, bool is_least, double share,
                          size_t events, size_t trials, const char *format, ...)
{
    va_list args;
    if (trials == 0 || calibration->promise_count == TG_PROMISE_MOST) return;
    struct tg_promise *p = &calibration->promises[calibration->promise_count++];
    va_start(args, format);
    vsnprintf(p->text, sizeof p->text, format, args);
    va_end(args);
    p->is_least = is_least;
    p->share = share;
    p->events = events;
    p->trials = trials;
    p->bounds = tg_stats_clopper_pearson(events, trials, BOUND_CONFIDENCE);
    const double far = is_least ? p->bounds.low : p->bounds.high;
    const double near = is_least ? p->bounds.high : p->bounds.low;
    const bool is_kept = is_least ? far >= share : far <= share;
    const bool is_broken = is_least ? near < share : near > share;
    p->state = is_kept ? TG_KEPT : is_broken ? TG_BROKEN : TG_OPEN;
}

bool tg_calibrate_is_broken(const struct tg_calibration *calibration)
{
    for (size_t i = 0; i < calibration->promise_count; i++)
        if (calibration->promises[i].state == TG_BROKEN) return true;
    return false;
}

const char *tg_calibrate_word(enum tg_promise_state state)
{
    static const char *const words[] = {"kept", "open", "broken"};
    return words[state];
}

/* A campaign: the scenes to run, each with its point. */
struct campaign {
    const struct tg_calibrate_options *options;
    struct tg_calibration *calibration;
    struct tg_scene scenes[TG_POINT_MOST];
    double began_s;
};

/* Adds a point and its scene: single tests of one truth, as many as the options say. */
static struct tg_scene *add(struct campaign *c, const char *part, const struct tg_noise_law *law,
                            double effect)
{
    const struct tg_calibrate_options *o = c->options;
    struct tg_calibration *all = c->calibration;
    assert(all->point_count < TG_POINT_MOST);
    struct tg_scene *scene = &c->scenes[all->point_count];
    *scene = (struct tg_scene){.rule = all->rule,
                               .limits = &all->limits,
                               .gates = o->tests,
                               .cells = 1,
                               .required_count = o->cells,
                               .law = law,
                               .record = o->record,
                               .theta = tg_simulate_theta(all->rule, effect),
                               .sd = o->sd,
                               .seed = tg_noise_seed(o->seed, all->point_count)};
    all->points[all->point_count++] = (struct tg_point){
        .part = part, .name = law->name, .effect = effect};
    return scene;
}

/* The same as whole gates, whose tests differ in their noise. */
static struct tg_scene *add_gates(struct campaign *c, const char *part,
                                  const struct tg_noise_law *law, double effect)
{
    struct tg_scene *scene = add(c, part, law, effect);
    scene->gates = c->options->gates;
    scene->cells = c->options->cells;
    scene->sd = GATE_SD;
    scene->sigma = GATE_SIGMA;
    return scene;
}

/* Gates whose tests are all slower by a little, which only their family can see. */
static void add_families(struct campaign *c, const struct tg_noise_law *law)
{
    const double tolerance = c->calibration->limits.family_tolerance;
    for (int times = 1; times <= 2; times++) {
        struct tg_scene *scene = add_gates(c, "families", law, times * tolerance);
        scene->theta = log1p(times * tolerance); /* of a family: whatever the effect */
        if (scene->gates > FAMILY_GATES) scene->gates = FAMILY_GATES;
    }
}

static bool is_asked(const struct tg_calibrate_options *o, const struct tg_noise_law *law)
{
    if (!law->side && !o->record) return false;
    return strcmp(o->law, "all") == 0 || strcmp(o->law, law->name) == 0;
}

/* The severities: in the middle of each class, and just below each cut; all of a throughput cannot
 * be lost. */
static void add_severities(struct campaign *c, const struct tg_noise_law *law)
{
    const struct tg_rule *rule = c->calibration->rule;
    double last = rule->critical + (rule->critical - rule->major);
    if (strcmp(rule->effect, "throughput") == 0) last = fmin(last, (1 + rule->critical) / 2);
    if (isnan(rule->major) || isnan(rule->critical)) return;
    add(c, "severity", law, (rule->margin + rule->major) / 2);
    add(c, "severity", law, rule->major - NEAR_A_CUT);
    add(c, "severity", law, (rule->major + rule->critical) / 2);
    add(c, "severity", law, rule->critical - NEAR_A_CUT);
    add(c, "severity", law, last);
}

double tg_calibrate_sure(const struct tg_rule *rule)
{
    const bool is_major = strcmp(rule->fail_from, "major") == 0;
    const bool is_critical = strcmp(rule->fail_from, "critical") == 0;
    return (is_critical ? rule->critical : is_major ? rule->major : rule->margin) + rule->tolerance;
}

/* The effects that are asked for, and the least that must fail, unless a rate cannot fall so. */
static void add_power(struct campaign *c, const struct tg_noise_law *law)
{
    const struct tg_calibrate_options *o = c->options;
    const double sure = tg_calibrate_sure(c->calibration->rule);
    bool has_sure = isinf(tg_simulate_theta(c->calibration->rule, fmin(sure, 1)));
    for (size_t i = 0; i < o->effect_count; i++) {
        add(c, "power", law, o->effects[i]);
        has_sure = has_sure || fabs(o->effects[i] - sure) < 1e-12;
    }
    if (!has_sure) add(c, "power", law, sure);
}

static void add_all(struct campaign *c)
{
    const struct tg_calibrate_options *o = c->options;
    const struct tg_rule *rule = c->calibration->rule;
    for (size_t i = 0; i < tg_noise_law_count(); i++) {
        const struct tg_noise_law *law = tg_noise_law(i);
        if (!is_asked(o, law)) continue;
        add_gates(c, "gates", law, 0);
        if (c->calibration->limits.family_watch) add_families(c, law);
        add_power(c, law);
        add_severities(c, law);
    }
    for (size_t i = 0; i < tg_noise_law_count(); i++) {
        const struct tg_noise_law *law = tg_noise_law(i);
        if (!law->side && !o->record) continue;
        if (law->is_fixed && !is_asked(o, law)) continue;
        struct tg_scene *scene = add(c, "boundary", law, rule->tolerance);
        scene->gates *= 12; /* what is rare takes more looks */
        if (!law->is_promised) continue;
        add(c, "boundary", law, 0);
        add(c, "boundary", law, rule->margin);
    }
}

static int add_ablation(struct campaign *c, struct tg_error *err)
{
    const struct tg_ablation_kind *kind = tg_ablation_kind(c->options->ablation);
    const char *name = kind->law ? kind->law : c->options->law;
    const struct tg_noise_law *law = tg_noise_find(name);
    if (!law || (!law->side && !c->options->record))
        return tg_fail(err, "an ablation needs one law, not '%s'", name);
    struct tg_scene *whole = add_gates(c, "ablation", law, c->calibration->rule->tolerance);
    struct tg_scene *ablated = add_gates(c, "ablation", law, c->calibration->rule->tolerance);
    ablated->ablation = c->options->ablation;
    ablated->seed = whole->seed;
    c->calibration->points[0].name = tg_ablation_kind(TG_WHOLE)->name;
    c->calibration->points[1].name = kind->name;
    return 0;
}

/* A line of progress that is written over on a terminal. */
static const struct tg_point *shown_point;
static size_t shown_gates;

static void show(size_t done)
{
    static double said_s;
    const double now = tg_now();
    if (now - said_s < 0.2) return;
    said_s = now;
    fprintf(stderr, "\r\033[K%s, %s, %+.3g %%: %.0f %%", shown_point->part, shown_point->name,
            100 * shown_point->effect, 100 * (double)done / (double)shown_gates);
    fflush(stderr);
}

static int run_points(struct campaign *c, struct tg_error *err)
{
    struct tg_calibration *all = c->calibration;
    const struct tg_limits *limits = &all->limits;
    const bool is_terminal = isatty(STDERR_FILENO);
    const double round_s = limits->round_s + 2 * limits->warmup_min_s;
    for (size_t i = 0; i < all->point_count; i++) {
        const struct tg_scene *scene = &c->scenes[i];
        struct tg_point *point = &all->points[i];
        const double now = tg_now();
        point->sd = scene->law->side ? scene->sd : NAN;
        point->sigma = scene->law->side ? scene->sigma : NAN;
        if (c->options->budget_s > 0 && now - c->began_s > c->options->budget_s) continue;
        shown_point = point;
        shown_gates = scene->gates;
        if (tg_simulate_run(scene, c->options->threads, is_terminal ? show : NULL, &point->seen,
                            err) < 0)
            return -1;
        point->is_done = true;
        point->seconds = round_s * (double)point->seen.rounds;
        if (!is_terminal)
            tg_log(TG_INFO, "%zu of %zu: %s, %s, %+.3g %%: %zu tests in %.1f s", i + 1,
                   all->point_count, point->part, point->name, 100 * point->effect,
                   point->seen.tests, tg_now() - now);
    }
    if (is_terminal) fputs("\r\033[K", stderr);
    return 0;
}

/* Sums of the points of a part and law, with that effect (NAN: any). */
static struct tg_tally sum_of(const struct tg_calibration *c, const char *part, const char *name,
                              double effect)
{
    struct tg_tally sum = {0};
    for (size_t i = 0; i < c->point_count; i++) {
        const struct tg_point *p = &c->points[i];
        if (p->is_done && strcmp(p->part, part) == 0 && strcmp(p->name, name) == 0 &&
            (isnan(effect) || fabs(p->effect - effect) < 1e-12))
            tg_tally_add(&sum, &p->seen);
    }
    return sum;
}

/* What the policy promises of every law that the method was made for. */
static void promise_about(struct tg_calibration *c, const struct tg_noise_law *law, double alpha)
{
    const struct tg_rule *rule = c->rule;
    const struct tg_limits *limits = &c->limits;
    const char *name = law->name;
    struct tg_tally t = sum_of(c, "gates", name, NAN);
    tg_calibrate_promise(c, false, tg_policy_alpha(limits), t.gates_failed, t.gates,
                         "%s: a gate with nothing slower fails", name);
    tg_calibrate_promise(c, false, alpha, t.over, t.tests, "%s: a test of such a gate is over",
                         name);
    if (limits->family_watch) {
        tg_calibrate_promise(c, false, limits->alpha_family, t.families_over, t.gates,
                             "%s: the family of such a gate is over", name);
        t = sum_of(c, "families", name, limits->family_tolerance);
        tg_calibrate_promise(c, false, limits->alpha_family, t.families_over, t.gates,
                             "%s: %+.3g %% in all tests puts their family over", name,
                             100 * limits->family_tolerance);
        t = sum_of(c, "families", name, 2 * limits->family_tolerance);
        tg_calibrate_promise(c, true, 1 - limits->alpha_miss, t.families_over, t.gates,
                             "%s: %+.3g %% in all tests puts their family over", name,
                             200 * limits->family_tolerance);
    }
    t = sum_of(c, "boundary", name, rule->tolerance);
    tg_calibrate_promise(c, false, alpha, t.over, t.tests, "%s: %+.3g %%, the tolerance, is over",
                         name, 100 * rule->tolerance);
    t = sum_of(c, "boundary", name, rule->margin);
    tg_calibrate_promise(c, false, limits->alpha_miss, t.clean, t.tests,
                         "%s: %+.3g %%, the margin, is called clean", name, 100 * rule->margin);
    t = sum_of(c, "boundary", name, NAN);
    tg_calibrate_promise(c, true, limits->confidence, t.covered, t.intervals,
                         "%s: the interval holds the truth", name);
}

/* How often the severity is the true one, or is said to be borderline. */
static void promise_severity(struct tg_calibration *c, const struct tg_noise_law *law)
{
    size_t right = 0, tests = 0;
    for (size_t i = 0; i < c->point_count; i++) {
        const struct tg_point *p = &c->points[i];
        if (!p->is_done || strcmp(p->part, "severity") != 0 || strcmp(p->name, law->name) != 0)
            continue;
        const int class = tg_simulate_severity(c->rule, tg_simulate_theta(c->rule, p->effect));
        for (int s = 0; s < TG_SEVERITY_COUNT; s++) {
            right += p->seen.severities[s][1] + (s == class ? p->seen.severities[s][0] : 0);
            tests += p->seen.severities[s][0] + p->seen.severities[s][1];
        }
    }
    tg_calibrate_promise(c, true, c->limits.confidence, right, tests,
                         "%s: the severity is right, or said to be borderline", law->name);
}

/* The least truth of the power points of a law that must fail; INFINITY if there is none. */
static double least_sure(const struct tg_calibration *c, const struct tg_noise_law *law)
{
    double least = INFINITY;
    for (size_t i = 0; i < c->point_count; i++) {
        const struct tg_point *p = &c->points[i];
        if (strcmp(p->part, "power") == 0 && strcmp(p->name, law->name) == 0 &&
            p->effect >= tg_calibrate_sure(c->rule) - 1e-12)
            least = fmin(least, p->effect);
    }
    return least;
}

static void promise_power(struct tg_calibration *c, const struct tg_noise_law *law)
{
    const struct tg_rule *rule = c->rule;
    const double found = 1 - c->limits.alpha_miss, sure = least_sure(c, law);
    struct tg_tally t = sum_of(c, "power", law->name, rule->margin);
    tg_calibrate_promise(c, true, found, t.over, t.tests, "%s: %+.3g %% is over", law->name,
                         100 * rule->margin);
    t = sum_of(c, "power", law->name, sure);
    tg_calibrate_promise(c, true, found, t.failed, t.tests, "%s: %+.3g %% fails", law->name,
                         100 * sure);
    if (!(rule->major > sure)) return;
    t = sum_of(c, "power", law->name, rule->major);
    tg_calibrate_promise(c, true, found, t.failed, t.tests, "%s: %+.3g %% fails", law->name,
                         100 * rule->major);
}

static void promise_all(struct campaign *c)
{
    struct tg_calibration *all = c->calibration;
    const struct tg_limits *limits = &all->limits;
    for (size_t i = 0; i < all->point_count; i++) {
        const struct tg_point *p = &all->points[i];
        if (!p->is_done || strcmp(p->part, "ablation") != 0) continue;
        tg_calibrate_promise(all, false, limits->alpha_fail, p->seen.gates_over, p->seen.gates,
                             "%s: a gate at the tolerance has a test over", p->name);
        tg_calibrate_promise(all, false, limits->alpha_fail / (double)all->required_count,
                             p->seen.over, p->seen.tests, "%s: a test at the tolerance is over",
                             p->name);
    }
    for (size_t i = 0; i < tg_noise_law_count(); i++) {
        const struct tg_noise_law *law = tg_noise_law(i);
        if (!law->is_promised) continue;
        promise_about(all, law, limits->alpha_fail / (double)all->required_count);
        promise_power(all, law);
        promise_severity(all, law);
    }
}

static int check_effects(const struct campaign *c, struct tg_error *err)
{
    for (size_t i = 0; i < c->options->effect_count; i++) {
        const double effect = c->options->effects[i];
        if (!isfinite(tg_simulate_theta(c->calibration->rule, effect)))
            return tg_fail(err,
                           "unusable effect '%g': less than 100 %% of a throughput can be lost",
                           100 * effect);
    }
    return 0;
}

int tg_calibrate_simulate(const struct tg_calibrate_options *options,
                          struct tg_calibration *calibration, struct tg_error *err)
{
    assert(options->effect_count <= TG_EFFECT_MOST);
    struct campaign *c = calloc(1, sizeof *c);
    if (!c) return tg_fail(err, "out of memory");
    c->options = options;
    c->calibration = calibration;
    c->began_s = tg_now();
    calibration->is_simulated = true;
    calibration->required_count = options->cells;
    calibration->seed = options->seed;
    if (options->families >= 0) calibration->limits.family_watch = options->families;
    int rc = check_effects(c, err);
    if (rc == 0 && options->has_ablation)
        rc = add_ablation(c, err);
    else if (rc == 0)
        add_all(c);
    if (rc == 0) rc = run_points(c, err);
    if (rc == 0) promise_all(c);
    free(c);
    return rc;
}
