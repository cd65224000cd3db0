/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/simulate.h"

#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>

#include "coordinator/family.h"

enum {
    MOST_THREADS = 64,
    POOLED_QUADS = 25, /* that a round gives when quads are taken for rounds */
    POOLED_ROUNDS = 16 /* at most then: more cost much and show nothing else */
};

static const struct tg_ablation_kind kinds[] = {
    {"none", "the method as it is", NULL},
    {"fixed-order", "the order of the sides is the same in every round", "drift"},
    {"pooled-samples", "the quads of a round count, each as if it were a round", NULL},
    {"peeking", "mean and Student's 95 % interval, looked at after every round", NULL},
    {"no-multiplicity", "each test as if it were the only one of the run", NULL},
};

size_t tg_ablation_count(void)
{
    return sizeof kinds / sizeof *kinds;
}

const struct tg_ablation_kind *tg_ablation_kind(enum tg_ablation ablation)
{
    return &kinds[ablation];
}

int tg_ablation_find(const char *name)
{
    for (size_t i = 0; i < tg_ablation_count(); i++)
        if (strcmp(kinds[i].name, name) == 0) return (int)i;
    return -1;
}

void tg_tally_add(struct tg_tally *all, const struct tg_tally *part)
{
    all->gates += part->gates;
    all->gates_failed += part->gates_failed;
    all->gates_passed += part->gates_passed;
    all->gates_over += part->gates_over;
    all->families_over += part->families_over;
    all->tests += part->tests;
    all->over += part->over;
    all->failed += part->failed;
    all->clean += part->clean;
    all->inconclusive += part->inconclusive;
    all->rounds += part->rounds;
    all->decided_rounds += part->decided_rounds;
    if (part->most_rounds > all->most_rounds) all->most_rounds = part->most_rounds;
    all->intervals += part->intervals;
    all->covered += part->covered;
    for (size_t i = 0; i < TG_SEVERITY_COUNT; i++)
        for (size_t k = 0; k < 2; k++) all->severities[i][k] += part->severities[i][k];
}

double tg_simulate_theta(const struct tg_rule *rule, double share)
{
    return strcmp(rule->effect, "throughput") == 0 ? -log1p(-share) : log1p(share);
}

/* Where severity i (not 0) of a rule begins, as the logarithm of a time ratio. */
static double cut_of(const struct tg_rule *rule, int i)
{
    const double cuts[TG_SEVERITY_COUNT] = {-1, rule->margin, rule->major, rule->critical};
    return isnan(cuts[i]) ? INFINITY : tg_simulate_theta(rule, cuts[i]);
}

int tg_simulate_severity(const struct tg_rule *rule, double theta)
{
    int severity = 0;
    for (int i = 1; i < TG_SEVERITY_COUNT; i++)
        if (theta >= cut_of(rule, i) - 1e-9) severity = i;
    return severity;
}

/*
 * The textbook's way: mean and t interval of the rounds so far, which is right for one look and is
 * looked at after each. Over and clean mean the same as ever.
 *
 * Source: the quantile is Abramowitz & Stegun 26.7.5.
 */
static void judge_by_peeking(const struct tg_evidence *e, struct tg_verdict *v)
{
    const double n = (double)e->count, df = n - 1, z = 1.959963984540054;
    const double z3 = z * z * z, z5 = z3 * z * z, z7 = z5 * z * z;
    const double t = z + (z3 + z) / (4 * df) + (5 * z5 + 16 * z3 + 3 * z) / (96 * df * df) +
                     (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * df * df * df);
    double mean = 0, squares = 0;
    v->answer = TG_INCONCLUSIVE;
    v->wants_more = true;
    if ((int64_t)e->count < e->limits->rounds_min || e->count < 2) return;
    for (size_t i = 0; i < e->count; i++) mean += e->values[i] / n;
    for (size_t i = 0; i < e->count; i++) squares += (e->values[i] - mean) * (e->values[i] - mean);
    const double half = t * sqrt(squares / df / n);
    const bool is_over = mean - half > tg_simulate_theta(e->rule, e->rule->tolerance);
    const bool is_clean = mean + half < cut_of(e->rule, 1);
    v->estimate = expm1(mean);
    v->interval = (struct tg_interval){expm1(mean - half), expm1(mean + half)};
    v->log_fail = is_over ? INFINITY : 0;
    v->log_clean = is_clean ? INFINITY : 0;
    v->wants_more = !is_over && !is_clean;
    if (is_over)
        v->answer = mean >= cut_of(e->rule, 1) ? TG_FAIL : TG_PASS;
    else if (is_clean)
        v->answer = TG_PASS;
}

/* One test of a gate: the noise it will see, and what was seen so far. */
struct subject {
    struct tg_noise noise;
    uint64_t quads; /* where those of pooled samples come from */
    double sd;
    double *values; /* room for all rounds that the policy allows */
    size_t count;   /* of them: more than rounds if samples are pooled */
    size_t rounds;
    size_t decided_rounds; /* when it was over or clean first; 0: neither */
    struct tg_verdict verdict;
};

/* How many rounds a test may have. */
static size_t most_rounds(const struct tg_scene *scene)
{
    const size_t most = (size_t)scene->limits->rounds_max;
    return scene->ablation == TG_POOLED_SAMPLES && most > POOLED_ROUNDS ? POOLED_ROUNDS : most;
}

/* Room for the values of one test. */
static size_t room_of(const struct tg_scene *scene)
{
    return most_rounds(scene) * (scene->ablation == TG_POOLED_SAMPLES ? POOLED_QUADS : 1);
}

static void begin(const struct tg_scene *scene, struct subject *s, double *values, uint64_t seed)
{
    uint64_t size_seed = tg_noise_seed(seed, 2);
    *s = (struct subject){.values = values, .sd = scene->sd, .quads = tg_noise_seed(seed, 1)};
    if (scene->sigma > 0) s->sd *= exp(scene->sigma * tg_noise_normal(&size_seed));
    tg_noise_begin(&s->noise, scene->law, scene->record, s->sd, scene->ablation == TG_FIXED_ORDER,
                   seed);
}

/* The values of one more round: its D, or its quads if those are to be counted. */
static void add_round(const struct tg_scene *scene, struct subject *s)
{
    const double d = scene->theta + tg_noise_next(&s->noise);
    s->rounds++;
    if (scene->ablation != TG_POOLED_SAMPLES) s->values[s->count++] = d;
    for (int i = 0; scene->ablation == TG_POOLED_SAMPLES && i < POOLED_QUADS; i++)
        s->values[s->count++] = d + s->sd * tg_noise_normal(&s->quads);
}

static void judge(const struct tg_scene *scene, struct subject *s, bool is_brief)
{
    /* What is simulated is D, which is worse above 0 whichever side of the metric is better. */
    struct tg_metric metric = *tg_metric_find(scene->rule->metric);
    metric.better = TG_LOWER;
    const struct tg_evidence evidence = {
        .rule = scene->rule,
        .limits = scene->limits,
        .metric = &metric,
        .required_count = scene->ablation == TG_NO_MULTIPLICITY ? 1 : scene->required_count,
        .values = s->values,
        .count = s->count,
        .is_brief = is_brief,
        .is_blind = is_brief};
    s->verdict = tg_rule_no_verdict();
    if (scene->ablation == TG_PEEKING)
        judge_by_peeking(&evidence, &s->verdict);
    else
        tg_rule_find(scene->rule->rule)->judge(&evidence, &s->verdict);
    const bool is_over = tg_stats_is_over(s->verdict.log_fail, s->verdict.log_fail_line);
    if (!s->decided_rounds && (is_over || s->verdict.answer == TG_PASS))
        s->decided_rounds = s->rounds;
}

/* Rounds until the test wants no more, or may have no more. */
static void follow(const struct tg_scene *scene, struct subject *s)
{
    do {
        add_round(scene, s);
        judge(scene, s, true);
    } while (s->verdict.wants_more && s->rounds < most_rounds(scene));
}

void tg_tally_count(struct tg_tally *t, const struct tg_rule *rule, const struct tg_verdict *v,
                    size_t rounds, size_t decided_rounds, double truth)
{
    const bool is_over = tg_stats_is_over(v->log_fail, v->log_fail_line);
    t->tests++;
    t->over += is_over;
    t->clean += !is_over && v->answer == TG_PASS;
    t->failed += v->answer == TG_FAIL;
    t->inconclusive += v->answer == TG_INCONCLUSIVE;
    t->rounds += rounds;
    t->decided_rounds += decided_rounds;
    if (rounds > t->most_rounds) t->most_rounds = rounds;
    if (is_over)
        t->severities[tg_simulate_severity(rule, log1p(v->estimate))]
                     [strstr(v->word, "borderline") != NULL]++;
    if (isnan(truth) || !isfinite(v->interval.low) || !isfinite(v->interval.high)) return;
    t->intervals++;
    t->covered += v->interval.low <= truth && truth <= v->interval.high;
}

void tg_tally_end_gate(struct tg_tally *gate, const struct tg_limits *limits)
{
    gate->gates_over = gate->over > 0;
    gate->gates_failed = gate->failed > 0 || (gate->families_over && limits->family_fail);
    gate->gates_passed = !gate->gates_failed && gate->inconclusive == 0;
}

/* What one thread works with: the tests of a gate, their values, and what a family needs. */
struct room {
    struct subject *subjects;
    double *values;
    const double **family_values;
    size_t *family_counts;
    bool *chosen;
};

/*
 * The family of all tests of a gate, which gets its rounds one by one, as long as it wants them.
 * Returns whether it is over.
 */
static bool follow_family(const struct tg_scene *scene, struct room *room)
{
    struct tg_family_verdict v = {.name = "simulated"};
    for (size_t i = 0; i < scene->cells; i++) room->family_values[i] = room->subjects[i].values;
    for (bool is_longer = true; is_longer;) {
        is_longer = false;
        for (size_t i = 0; i < scene->cells; i++) room->family_counts[i] = room->subjects[i].count;
        tg_family_judge(scene->limits, 1, room->family_values, room->family_counts, scene->cells,
                        room->chosen, NULL, &v);
        for (size_t i = 0; v.wants_more && i < scene->cells; i++) {
            struct subject *s = &room->subjects[i];
            if (!room->chosen[i] || (int64_t)s->rounds >= scene->limits->family_rounds) continue;
            add_round(scene, s);
            judge(scene, s, true);
            is_longer = true;
        }
    }
    return v.is_over;
}

/* One gate: it fails if any test does, and passes if all do. */
static void simulate_gate(const struct tg_scene *scene, size_t gate, struct room *room,
                          struct tg_tally *all)
{
    struct tg_tally own = {.gates = 1};
    const uint64_t seed = tg_noise_seed(scene->seed, gate);
    for (size_t i = 0; i < scene->cells; i++) {
        struct subject *s = &room->subjects[i];
        begin(scene, s, room->values + i * room_of(scene), tg_noise_seed(seed, i));
        follow(scene, s);
    }
    /* Rounds of pooled samples are none. */
    if (scene->limits->family_watch && scene->ablation != TG_POOLED_SAMPLES)
        own.families_over = follow_family(scene, room);
    for (size_t i = 0; i < scene->cells; i++) {
        struct subject *s = &room->subjects[i];
        if (isnan(s->verdict.estimate)) judge(scene, s, false);
        tg_tally_count(&own, scene->rule, &s->verdict, s->rounds, s->decided_rounds,
                       expm1(scene->theta));
    }
    tg_tally_end_gate(&own, scene->limits);
    tg_tally_add(all, &own);
}

static void release_room(struct room *room)
{
    free(room->subjects);
    free(room->values);
    free(room->family_values);
    free(room->family_counts);
    free(room->chosen);
}

static bool make_room(const struct tg_scene *scene, struct room *room)
{
    room->subjects = calloc(scene->cells, sizeof *room->subjects);
    room->values = calloc(scene->cells * room_of(scene), sizeof *room->values);
    room->family_values = calloc(scene->cells, sizeof *room->family_values);
    room->family_counts = calloc(scene->cells, sizeof *room->family_counts);
    room->chosen = calloc(scene->cells, sizeof *room->chosen);
    return room->subjects && room->values && room->family_values && room->family_counts &&
           room->chosen;
}

/* What the threads share, and what is each one's own. */
struct crowd {
    const struct tg_scene *scene;
    atomic_size_t next, done;
    void (*show)(size_t done);
};

struct share {
    struct crowd *crowd;
    struct room room;
    struct tg_tally tally;
    bool is_first;
    thrd_t thread;
};

static int work(void *argument)
{
    struct share *own = argument;
    struct crowd *crowd = own->crowd;
    for (;;) {
        size_t gate = atomic_fetch_add(&crowd->next, 1);
        if (gate >= crowd->scene->gates) return 0;
        simulate_gate(crowd->scene, gate, &own->room, &own->tally);
        size_t done = atomic_fetch_add(&crowd->done, 1) + 1;
        if (own->is_first && crowd->show) crowd->show(done);
    }
}

int tg_simulate_run(const struct tg_scene *scene, size_t threads, void (*show)(size_t done),
                    struct tg_tally *tally, struct tg_error *err)
{
    struct crowd crowd = {.scene = scene, .show = show};
    struct tg_tally all = {0};
    size_t started = 1;
    bool has_room = true;
    assert(threads > 0);
    if (threads > MOST_THREADS) threads = MOST_THREADS;
    struct share *shares = calloc(threads, sizeof *shares);
    if (!shares) return tg_fail(err, "out of memory");
    for (size_t i = 0; i < threads; i++) {
        shares[i].crowd = &crowd;
        shares[i].is_first = i == 0;
        has_room = make_room(scene, &shares[i].room) && has_room;
    }
    /* With fewer threads than wanted it takes longer, and comes to the same. */
    while (has_room && started < threads &&
           thrd_create(&shares[started].thread, work, &shares[started]) == thrd_success)
        started++;
    if (has_room) work(&shares[0]);
    for (size_t i = 1; i < started; i++) thrd_join(shares[i].thread, NULL);
    for (size_t i = 0; i < threads; i++) {
        tg_tally_add(&all, &shares[i].tally);
        release_room(&shares[i].room);
    }
    free(shares);
    if (!has_room) return tg_fail(err, "out of memory");
    *tally = all;
    return 0;
}
