/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/evidence.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/round_value.h"
#include "results/metric.h"
#include "results/stats.h"

/*
 * The samples of a quad of one side, whose next sample is *next, and which of the four they are, as
 * bits. False if there are not two.
 */
static bool take_two(const struct tg_series *s, size_t *next, int64_t quad, double two[2],
                     unsigned *places)
{
    int found = 0;
    *places = 0;
    while (*next < s->count && s->turns[*next] / 4 < quad) ++*next;
    while (*next < s->count && s->turns[*next] / 4 == quad && found < 2) {
        if (s->turns[*next] < 0) return false;
        *places |= 1u << s->turns[*next] % 4;
        two[found++] = s->samples[(*next)++];
    }
    return found == 2 && two[0] > 0 && two[1] > 0;
}

/* Whether a quad is of-to-to-of or to-of-of-to: in any other order drift is a difference. */
static bool is_in_order(unsigned of, unsigned to)
{
    const unsigned outer = 1u << 0 | 1u << 3, inner = 1u << 1 | 1u << 2;
    return (of == outer && to == inner) || (of == inner && to == outer);
}

int tg_evidence_value(const struct tg_series *of, const struct tg_series *to, double *value)
{
    size_t next_of = 0, next_to = 0, count = 0;
    size_t most = of->count / 2 < to->count / 2 ? of->count / 2 : to->count / 2;
    struct tg_quad *quads = malloc((most + 1) * sizeof *quads);
    double *values = malloc((most + 1) * sizeof *values);
    int rc = -1;
    if (quads && values) {
        for (int64_t q = 0; q < (int64_t)most; q++) {
            unsigned of_places, to_places;
            if (take_two(of, &next_of, q, quads[count].head, &of_places) &&
                take_two(to, &next_to, q, quads[count].base, &to_places) &&
                is_in_order(of_places, to_places))
                count++;
        }
        if (count > 0 && count == most) {
            *value = tg_stats_round_value(quads, count, values);
            rc = isfinite(*value) ? 0 : -1;
        }
    }
    free(quads);
    free(values);
    return rc;
}

static bool broke(const struct tg_measurement *m)
{
    return m && (m->outcome == TG_CRASHED || m->outcome == TG_LATE || m->outcome == TG_WRONG);
}

/* A kernel of head that is wrong fails wherever it stands in a pair. */
static bool is_wrong_head(const struct tg_measurement *m)
{
    return m && m->outcome == TG_WRONG && strcmp(m->cell.build, "base") != 0;
}

/* Head's own copy, which stands for a base that there is not: what breaks there, breaks in head. */
static bool is_copy(const struct tg_cell *to, const struct tg_cell *of)
{
    return strcmp(to->build, "copy") == 0 && strcmp(of->build, "head") == 0;
}

char *tg_evidence_reason(const struct tg_rounds *rounds, char out[TG_EVIDENCE_REASON_SIZE])
{
    const struct tg_measurement *m = rounds->broken;
    *out = 0;
    if (!m) return out;
    /* Of another engine there is no kernel. */
    snprintf(out, TG_EVIDENCE_REASON_SIZE, "%s of %s %s%s%.300s",
             *m->cell.kernel ? m->cell.kernel : m->cell.probe, m->cell.build,
             m->outcome == TG_WRONG     ? "is wrong"
             : m->outcome == TG_CRASHED ? "crashed"
             : m->outcome == TG_LATE    ? "was late"
                                        : "was skipped",
             *m->reason ? ": " : "", m->reason);
    /* One line, whoever wrote it: a report's other lines are the gate's. */
    for (char *c = out; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f) *c = ' ';
    return out;
}

static bool are_known(const char *a, const char *b)
{
    return strcmp(a, "unknown") != 0 && strcmp(b, "unknown") != 0;
}

/*
 * Whether two nodes, or two devices of one, measured the two sides, or one model of two files:
 * those are not compared. A kernel and the host's may be; one kernel on a device and on none, or an
 * unknown one, may not. Of another kernel, a model of the same name may have another file.
 */
static bool is_apart(const struct tg_measurement *of, const struct tg_measurement *to)
{
    bool on_devices = are_known(of->facts.gpu_uuid, to->facts.gpu_uuid);
    bool is_same_kernel = strcmp(of->cell.kernel, to->cell.kernel) == 0;
    bool is_same_model = strcmp(of->cell.model, to->cell.model) == 0;
    return strcmp(of->facts.host, to->facts.host) != 0 ||
           (is_same_kernel && is_same_model &&
            are_known(of->facts.model_digest, to->facts.model_digest) &&
            strcmp(of->facts.model_digest, to->facts.model_digest) != 0) ||
           ((on_devices || is_same_kernel) && strcmp(of->facts.gpu_uuid, to->facts.gpu_uuid) != 0);
}

/* The value of a round in the rule's second metric, NAN if it has none. */
static double also_value(const struct tg_whole_round *round)
{
    struct tg_rule rule;
    double value;
    if (!*round->rule->also) return NAN;
    rule = *round->rule;
    memcpy(rule.metric, rule.also, sizeof rule.metric);
    const struct tg_whole_round same = {&rule, round->of, round->to};
    return tg_round_value(&same, &value) < 0 ? NAN : value;
}

/* The value of a whole round; one without a value is hollow. */
static void take_value(const struct tg_whole_round *round, struct tg_rounds *rounds)
{
    size_t n = rounds->count;
    if (tg_round_value(round, &rounds->values[n]) < 0) {
        const char *metric = round->rule->metric;
        bool lacks = !tg_measurement_series(round->of, metric) ||
                     (round->to && !tg_measurement_series(round->to, metric));
        rounds->hollow++;
        rounds->lacking += lacks;
        return;
    }
    rounds->also_values[n] = also_value(round);
    rounds->also_count += !isnan(rounds->also_values[n]);
    rounds->count++;
    rounds->since_broken++;
    rounds->of_rows[n] = round->of;
    rounds->to_rows[n] = round->to;
    rounds->is_known[n] = false;
    rounds->of_medians[n] = rounds->to_medians[n] = NAN;
    if (!isfinite(rounds->values[n])) return;
    const struct tg_series *s = tg_measurement_series(round->of, round->rule->metric);
    rounds->of_medians[n] = tg_stats_median(s->samples, s->count);
    rounds->of_bytes = round->of->facts.packed_bytes;
    if (!round->to) return;
    s = tg_measurement_series(round->to, round->rule->metric);
    rounds->to_medians[n] = tg_stats_median(s->samples, s->count);
}

static int by_round(const void *a, const void *b)
{
    const struct tg_measurement *x = *(const struct tg_measurement *const *)a;
    const struct tg_measurement *y = *(const struct tg_measurement *const *)b;
    if (x->session != y->session) return x->session < y->session ? -1 : 1;
    if (x->round != y->round) return x->round < y->round ? -1 : 1;
    return x->attempt < y->attempt ? -1 : x->attempt > y->attempt;
}

/* Whether a cell broke on a device that measured the other cell of the round. */
static bool broke_alone(const struct tg_measurement *const rows[], size_t count, size_t i)
{
    for (size_t k = i ? i - 1 : 0; k < count && k <= i + 1; k++)
        if (rows[i]->outcome != TG_SKIPPED && by_round(&rows[k], &rows[i]) == 0 &&
            rows[k]->outcome == TG_MEASURED && rows[k]->series_count > 0 &&
            tg_faults_is_on_device(rows[k]))
            return true;
    return false;
}

/* The first row of the device that alone is broken, NULL if none is: see the header. */
static const struct tg_measurement *find_odd(const struct tg_measurement *const rows[],
                                             size_t count)
{
    const struct tg_measurement *odd = NULL;
    size_t broken = 0, alone = 0;
    bool is_after = false, others_can = false;
    for (size_t i = 0; i < count; i++) {
        if (!tg_faults_failed_there(rows[i])) continue;
        if (!tg_faults_is_named(rows[i])) return NULL;
        if (odd && !tg_faults_may_share(odd, rows[i])) return NULL;
        if (!odd) odd = rows[i];
        broken++;
        alone += broke_alone(rows, count, i);
    }
    if (alone >= 2 || alone == broken) return NULL;
    for (size_t i = 0; odd && i < count; i++) {
        const struct tg_measurement *m = rows[i];
        is_after = is_after || m == odd;
        if (m->outcome != TG_MEASURED || m->unpaired || !tg_faults_is_on_device(m)) continue;
        if (is_after && tg_faults_may_share(odd, m)) return NULL;
        others_can = others_can || !tg_faults_may_share(odd, m);
    }
    return others_can ? odd : NULL;
}

/* Leaves out a round that the broken device could not measure; false if it is none of these. */
static bool spare(const struct tg_measurement *odd, const struct tg_measurement *of,
                  const struct tg_measurement *to, struct tg_rounds *rounds)
{
    const struct tg_measurement *broken = tg_faults_failed_there(of) ? of : to;
    if (!odd || !broken || !tg_faults_failed_there(broken) || of->outcome == TG_WRONG ||
        is_wrong_head(to))
        return false;
    rounds->odd = odd;
    rounds->spared++;
    rounds->since_broken = 0;
    rounds->broken = broken;
    return true;
}

/* A round in which head broke, in its copy or beside it. */
static void take_own_break(const struct tg_measurement *of, const struct tg_measurement *to,
                           struct tg_rounds *rounds)
{
    bool was_killed = (!broke(of) || tg_measurement_was_killed(of)) &&
                      (!broke(to) || tg_measurement_was_killed(to));
    rounds->of_broken++;
    rounds->of_killed += was_killed;
    rounds->broken = broke(of) && (was_killed || !tg_measurement_was_killed(of)) ? of : to;
}

/* One round: both rows, or the one if the test has one cell. */
static void take_round(const struct tg_measurement *of, const struct tg_measurement *to,
                       const struct tg_rule *rule, struct tg_rounds *rounds)
{
    if (of->outcome != TG_MEASURED || (to && to->outcome != TG_MEASURED)) rounds->since_broken = 0;
    if (of->outcome == TG_WRONG || is_wrong_head(to)) {
        rounds->wrong++;
        rounds->broken = of->outcome == TG_WRONG ? of : to;
    } else if (of->outcome == TG_SKIPPED || (to && to->outcome == TG_SKIPPED)) {
        const struct tg_measurement *skipped = of->outcome == TG_SKIPPED ? of : to;
        rounds->skipped++;
        rounds->unfit += tg_faults_is_on_device(skipped);
        rounds->broken = skipped;
    } else if (broke(to) && !is_copy(&to->cell, &of->cell)) {
        rounds->else_broken++;
        rounds->else_heads += strcmp(to->cell.build, "base") != 0 && !tg_measurement_was_killed(to);
        rounds->broken = to;
    } else if (broke(of) || broke(to)) {
        take_own_break(of, to, rounds);
    } else if (of->unpaired || (to && to->unpaired)) {
        rounds->hollow++;
    } else if (to && is_apart(of, to)) {
        rounds->apart++;
    } else {
        const struct tg_whole_round round = {rule, of, to};
        take_value(&round, rounds);
    }
}

/* Appends round k of others, or of its own behind its end. */
static void append(struct tg_rounds *rounds, const struct tg_rounds *from, size_t k)
{
    const size_t n = rounds->count++;
    rounds->values[n] = from->values[k];
    rounds->also_values[n] = from->also_values[k];
    rounds->also_count += !isnan(from->also_values[k]);
    rounds->of_medians[n] = from->of_medians[k];
    rounds->to_medians[n] = from->to_medians[k];
    rounds->of_rows[n] = from->of_rows[k];
    rounds->to_rows[n] = from->to_rows[k];
}

/*
 * Takes the round of these rows as it was gathered before, if it was and was kept; *next is where
 * it would be. What a row says does not change.
 */
static bool take_again(const struct tg_rounds *before, size_t *next,
                       const struct tg_measurement *const rows[], size_t count, bool has_to,
                       struct tg_rounds *rounds)
{
    const size_t k = *next;
    if (k == before->count || count != (has_to ? 2 : 1)) return false;
    size_t of = rows[0] == before->of_rows[k] ? 0 : count - 1;
    if (rows[of] != before->of_rows[k] || (has_to && rows[1 - of] != before->to_rows[k]))
        return false;
    rounds->is_known[rounds->count] = true;
    append(rounds, before, k);
    rounds->of_bytes = before->of_bytes;
    rounds->since_broken++;
    ++*next;
    return true;
}

static bool is_cell(const struct tg_measurement *m, const struct tg_cell *cell)
{
    return memcmp(&m->cell, cell, sizeof *cell) == 0;
}

/* Room for `count` rounds, all of it in one piece, which begins with the values. */
static int make_room(struct tg_rounds *rounds, size_t count, struct tg_error *err)
{
    const size_t each = 4 * sizeof(double) + 3 * sizeof(void *) + 2 * sizeof(int) + sizeof(bool);
    void *room = malloc((count + 1) * each);
    if (!room) return tg_fail(err, "out of memory");
    rounds->values = room;
    rounds->also_values = rounds->values + count + 1;
    rounds->of_medians = rounds->also_values + count + 1;
    rounds->to_medians = rounds->of_medians + count + 1;
    rounds->of_rows = (const struct tg_measurement **)(void *)(rounds->to_medians + count + 1);
    rounds->to_rows = rounds->of_rows + count + 1;
    rounds->node_names = (const char **)(void *)(rounds->to_rows + count + 1);
    rounds->nodes = (int *)(void *)(rounds->node_names + count + 1);
    rounds->sessions = rounds->nodes + count + 1;
    rounds->is_known = (bool *)(void *)(rounds->sessions + count + 1);
    return 0;
}

/* The number of a node, new if its name is. */
static int node_of(struct tg_rounds *rounds, const char *host)
{
    size_t n = 0;
    while (n < rounds->node_count && strcmp(rounds->node_names[n], host) != 0) n++;
    if (n == rounds->node_count) rounds->node_names[rounds->node_count++] = host;
    return (int)n;
}

/* What disturbed a round: either of its sides. */
static unsigned causes_of(const struct tg_rounds *rounds, size_t round,
                          const struct tg_limits *limits)
{
    const struct tg_measurement *sides[] = {rounds->of_rows[round], rounds->to_rows[round]};
    unsigned causes = 0;
    for (int i = 0; i < 2; i++) {
        if (!sides[i]) continue;
        const struct tg_disturbance_facts facts = tg_disturbance_facts(&sides[i]->facts);
        causes |= tg_disturbance_causes(&facts, limits);
    }
    return causes;
}

/* Takes out the rounds that were disturbed, and those that the clocks of their devices discard. */
static int discard(struct tg_rounds *rounds, const struct tg_limits *limits, struct tg_error *err)
{
    const size_t count = rounds->count;
    bool *discarded = malloc((count + 1) * sizeof *discarded);
    if (!discarded) return tg_fail(err, "out of memory");
    if (tg_clocks_look(rounds->of_rows, rounds->to_rows, rounds->count, limits, discarded,
                       &rounds->discards, err) < 0) {
        free(discarded);
        return -1;
    }
    rounds->count = rounds->also_count = 0;
    for (size_t r = 0; r < count; r++) {
        unsigned causes = rounds->is_known[r] ? 0 : causes_of(rounds, r, limits);
        tg_disturbance_count(&rounds->disturbed, causes);
        if (discarded[r] || causes) continue;
        append(rounds, rounds, r);
    }
    free(discarded);
    return 0;
}

/* Where and in which run each round was measured. */
static void name_nodes(struct tg_rounds *rounds)
{
    for (size_t r = 0; r < rounds->count; r++) {
        rounds->nodes[r] = node_of(rounds, rounds->of_rows[r]->facts.host);
        rounds->sessions[r] = rounds->of_rows[r]->session;
    }
}

static bool is_wrong(const struct tg_measurement *m)
{
    return m && m->outcome == TG_WRONG;
}

/* Whether a row was skipped in an attempt after which another one had rows of its block. */
static bool was_tried_again(const struct tg_measurement *const rows[], size_t count,
                            const struct tg_measurement *m)
{
    for (size_t i = 0; m->outcome == TG_SKIPPED && i < count; i++)
        if (rows[i]->session == m->session && rows[i]->attempt > m->attempt) return true;
    return false;
}

/*
 * A round of a pair of which one row is there gives no value. What it says went wrong stands; but
 * where it broke, the other cell may have, too, if it is not head's copy.
 */
static void take_half(const struct tg_measurement *of, const struct tg_measurement *to,
                      const struct tg_test *test, const struct tg_rule *rule,
                      const struct tg_measurement *odd, struct tg_rounds *rounds)
{
    const struct tg_measurement lost = {
        .cell = of ? test->to : test->of, .outcome = TG_MEASURED, .unpaired = 1};
    const struct tg_measurement *only = of ? of : to;
    if (spare(odd, only, &lost, rounds)) return;
    if (of && is_copy(&test->to, &test->of))
        take_round(of, &lost, rule, rounds);
    else
        take_round(&lost, only, rule, rounds);
}

/*
 * Takes the rounds out of rows that are in order; `odd` is of the device that alone is broken, and
 * `before` what was gathered of fewer rows.
 */
static void take_rounds(const struct tg_measurement *const rows[], size_t count,
                        const struct tg_test *test, const struct tg_rule *rule,
                        const struct tg_measurement *odd, const struct tg_rounds *before,
                        struct tg_rounds *rounds)
{
    for (size_t i = 0, next, known = 0; i < count; i = next) {
        const struct tg_measurement *of = NULL, *to = NULL;
        bool is_open = false;
        for (next = i + 1; next < count && by_round(&rows[next], &rows[i]) == 0;) next++;
        rounds->last = rows[i]->round;
        if (take_again(before, &known, rows + i, next - i, test->has_to, rounds)) continue;
        for (size_t k = i; k < next; k++) {
            if (was_tried_again(rows, count, rows[k])) {
                is_open = true;
                continue;
            }
            /* Of two rows of one cell, which files that met later may have, a wrong one stands. */
            if (is_cell(rows[k], &test->of) && !is_wrong(of)) of = rows[k];
            if (test->has_to && is_cell(rows[k], &test->to) && !is_wrong(to)) to = rows[k];
        }
        if (of && (to || !test->has_to)) {
            if (!spare(odd, of, to, rounds)) take_round(of, to, rule, rounds);
        } else if (is_wrong_head(of) || is_wrong_head(to) || (!is_open && (of || to))) {
            take_half(of, to, test, rule, odd, rounds);
        }
    }
}

static bool is_in_order_of_rounds(const struct tg_measurement *const rows[], size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (by_round(&rows[i - 1], &rows[i]) > 0) return false;
    return true;
}

int tg_evidence_gather(const struct tg_measurement *const rows[], size_t count,
                       const struct tg_test *test, const struct tg_rule *rule,
                       const struct tg_limits *limits, const struct tg_faults *faults,
                       struct tg_rounds *rounds, struct tg_error *err)
{
    const struct tg_measurement **sorted = NULL;
    struct tg_rounds gathered = {.last = -1, .of_bytes = -1};
    gathered.of_is_at_fault = tg_faults_is_kernels(faults, &test->of);
    gathered.to_is_at_fault = test->has_to && !is_copy(&test->to, &test->of) &&
                              tg_faults_is_kernels(faults, &test->to);
    if (!is_in_order_of_rounds(rows, count)) {
        if (!(sorted = malloc(count * sizeof *sorted))) return tg_fail(err, "out of memory");
        memcpy(sorted, rows, count * sizeof *sorted);
        qsort(sorted, count, sizeof *sorted, by_round);
        rows = sorted;
    }
    if (make_room(&gathered, count, err) < 0) {
        free(sorted);
        return -1;
    }
    bool is_kernels = tg_faults_is_kernels_there(faults, &test->of) ||
                      (test->has_to && tg_faults_is_kernels_there(faults, &test->to));
    take_rounds(rows, count, test, rule, is_kernels ? NULL : find_odd(rows, count), rounds,
                &gathered);
    free(sorted);
    if (tg_metric_is_of_time(tg_metric_find(rule->metric)) && discard(&gathered, limits, err) < 0) {
        tg_evidence_release(&gathered);
        return -1;
    }
    name_nodes(&gathered);
    tg_evidence_release(rounds);
    *rounds = gathered;
    return 0;
}

void tg_evidence_release(struct tg_rounds *rounds)
{
    free(rounds->values);
    *rounds = (struct tg_rounds){0};
}
