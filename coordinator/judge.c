/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/judge.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/digits.h"
#include "coordinator/lookout.h"
#include "coordinator/roofline.h"
#include "worker/probe/probe.h"

/*
 * What broken rounds say. A kernel of head that is wrong fails at once; what crashed or was late is
 * tried once more and then fails, unless the other side, which is not head's copy, broke too or the
 * process was killed from outside, which say nothing about head. On devices the second time may be
 * another cell's.
 */
bool tg_judge_broken(const struct tg_rounds *rounds, struct tg_verdict *v)
{
    char reason[TG_EVIDENCE_REASON_SIZE];
    size_t own = rounds->of_broken - rounds->of_killed;
    bool is_heads = own > 0 && rounds->of_is_at_fault && !rounds->to_is_at_fault;
    bool is_both = own + rounds->else_broken > 0 && rounds->of_is_at_fault &&
                   rounds->to_is_at_fault;
    tg_evidence_reason(rounds, reason);
    v->rounds = rounds->count;
    v->is_broken = rounds->wrong > 0 || own >= 2 || is_heads;
    if (rounds->wrong > 0)
        tg_rule_say(v, TG_FAIL, "wrong", "%s", reason);
    else if (own >= 2)
        tg_rule_say(v, TG_FAIL, "crashed or late", "%zu times; last: %s", own, reason);
    else if (is_heads)
        tg_rule_say(v, TG_FAIL, "crashed or late",
                    "here, and with another cell, which no one broken device explains: %s", reason);
    else if (is_both)
        tg_rule_say(v, TG_INCONCLUSIVE, "partner broke",
                    "here, and with another cell, which no one broken device explains: %s", reason);
    else if (rounds->of_killed >= 2)
        tg_rule_say(v, TG_INCONCLUSIVE, "killed",
                    "%zu times from outside (out of memory, or stopped?); last: %s",
                    rounds->of_killed, reason);
    else if (rounds->else_broken >= 2)
        tg_rule_say(v, TG_INCONCLUSIVE, "partner broke", "%zu times; last: %s", rounds->else_broken,
                    reason);
    else if (rounds->skipped > 0)
        tg_rule_say(v, TG_INCONCLUSIVE, "not run", "%s", reason);
    else
        return false;
    return true;
}

/* Whether a block may have another round; one that was disturbed has been given for nothing. */
static bool has_rounds_left(const struct tg_limits *limits, const struct tg_rounds *rounds)
{
    return rounds->last + 1 < tg_disturbance_rounds_max(&rounds->disturbed, limits);
}

/* A pass in spite of rounds that broke says so; where a cell of head did, it is looked at. */
static void tell_breaks(const struct tg_rounds *rounds, struct tg_verdict *v)
{
    char text[sizeof v->reason], reason[TG_EVIDENCE_REASON_SIZE];
    const size_t broken = rounds->of_broken + rounds->else_broken;
    tg_evidence_reason(rounds, reason);
    if (broken)
        snprintf(text, sizeof text, "broken %s, and repeated: %s",
                 broken == 1   ? "once"
                 : broken == 2 ? "twice"
                               : "three times",
                 reason);
    else
        snprintf(text, sizeof text, "broken %zu time%s on a broken device: %s", rounds->spared,
                 rounds->spared == 1 ? "" : "s", reason);
    char said[sizeof v->reason];
    memcpy(said, v->reason, sizeof said);
    snprintf(v->reason, sizeof v->reason, "%.150s%s%s", said, *said ? "; " : "", text);
    if (rounds->of_broken > rounds->of_killed || rounds->else_heads > 0)
        snprintf(v->word, sizeof v->word, "attention");
}

void tg_judge_complete(const struct tg_limits *limits, const struct tg_rounds *rounds,
                       struct tg_verdict *v)
{
    char reason[TG_EVIDENCE_REASON_SIZE];
    bool broke = rounds->of_broken + rounds->else_broken + rounds->spared > 0;
    if ((v->answer != TG_FAIL || v->is_held) && broke && rounds->since_broken == 0) {
        tg_rule_say(v, TG_INCONCLUSIVE, "inconclusive", "broken once and not yet repeated: %s",
                    tg_evidence_reason(rounds, reason));
        v->is_unrepeated = rounds->of_broken > rounds->of_killed &&
                           strcmp(rounds->broken->cell.build, "base") != 0;
        v->wants_more = true;
    } else if (v->answer == TG_PASS && rounds->hollow + rounds->apart > rounds->count) {
        /* The few that have one may be those that it suits. */
        tg_rule_say(v, TG_INCONCLUSIVE, "missing", "%zu of %zu rounds give no value",
                    rounds->hollow + rounds->apart, rounds->hollow + rounds->apart + rounds->count);
        v->is_clock_effect = v->wants_last = false;
        v->wants_more = true;
    }
    if (v->answer == TG_PASS && broke) tell_breaks(rounds, v);
    if (!has_rounds_left(limits, rounds)) v->wants_more = false;
}

/* Why a test is open, where nothing else was said. */
static void tell_open(const struct tg_rounds *rounds, struct tg_verdict *v)
{
    char reason[TG_EVIDENCE_REASON_SIZE];
    if (v->answer != TG_INCONCLUSIVE || *v->reason) return;
    size_t used = (size_t)snprintf(v->reason, sizeof v->reason, "not decided after %zu round%s",
                                   v->rounds, v->rounds == 1 ? "" : "s");
    char *rest = v->reason + used;
    const size_t size = sizeof v->reason - used;
    if (rounds->of_broken + rounds->else_broken > 0)
        snprintf(rest, size, "; one broke: %.300s", tg_evidence_reason(rounds, reason));
    else if (rounds->apart)
        snprintf(rest, size, "; rounds with sides of two nodes, devices or model files: %zu",
                 rounds->apart);
    else if (rounds->hollow > 0 && rounds->lacking == rounds->hollow)
        snprintf(rest, size, "; rounds without this metric: %zu", rounds->lacking);
    else if (rounds->hollow)
        snprintf(rest, size,
                 "; rounds without a value, whose samples are too few, or not two of each side in "
                 "every four turns, counted from 0: %zu",
                 rounds->hollow);
}

int tg_judge_gather(const struct tg_plan *plan, size_t test, const struct tg_rows *rows,
                    struct tg_rounds *rounds, struct tg_error *err)
{
    const struct tg_test *t = &plan->spec.tests[test];
    size_t count;
    const struct tg_measurement *const *own = tg_rows_of(rows, t->block, &count);
    return tg_evidence_gather(own, count, t, &plan->policy.rules[t->rule], &plan->policy.limits,
                              tg_rows_faults(rows), rounds, err);
}

void tg_judge_limits(const struct tg_rule *rule, const struct tg_test *test,
                     const struct tg_rounds *rounds, struct tg_verdict *v)
{
    const struct tg_cell *cells[] = {&test->of, &test->to};
    const struct tg_measurement *const *const rows[] = {rounds->of_rows, rounds->to_rows};
    const double *const medians[] = {rounds->of_medians, rounds->to_medians};
    if (rounds->count == 0) return;
    for (int side = 0; side <= test->has_to; side++) {
        double call_s = tg_probe_call_s(cells[side], rule->metric,
                                        tg_stats_median(medians[side], rounds->count));
        if (!isfinite(call_s)) return; /* it is no time of a call */
        if (side == 0) v->of_call_s = call_s;
        const struct tg_measurement *lowest = tg_roofline_lowest(rows[side], rounds->count);
        if (side == 0 && lowest) v->of_share = tg_roofline_share(lowest, call_s);
        if (!tg_roofline_is_impossible(rows[side], rounds->count, call_s)) continue;
        tg_rule_say(
            v, TG_INCONCLUSIVE, "impossible",
            "%s of %s takes %.3g s a call, and no machine here can do its work in less than "
            "%.3g s",
            cells[side]->kernel, cells[side]->build, call_s, lowest->facts.limit_s);
        v->wants_more = v->wants_last = v->wants_head = false;
        return;
    }
}

/* The median over rounds of a canary's time on a node, and on all others; NAN if not measured. */
static double canary_ratio(const struct tg_rounds *rounds, int node, size_t offset)
{
    double *times = calloc(2 * rounds->count + 1, sizeof *times), ratio = NAN;
    size_t own = 0, others = 0;
    for (size_t r = 0; times && r < rounds->count; r++) {
        double time = *(const double *)((const char *)&rounds->of_rows[r]->facts + offset);
        if (!isfinite(time)) continue;
        if (rounds->nodes[r] == node)
            times[own++] = time;
        else
            times[rounds->count + others++] = time;
    }
    if (own && others)
        ratio = tg_stats_median(times, own) / tg_stats_median(times + rounds->count, others);
    free(times);
    return ratio;
}

/* What the canaries say of a node that disagrees: whether it is slower at everything. */
static void tell_canaries(const struct tg_rounds *rounds, struct tg_verdict *v)
{
    double dot = canary_ratio(rounds, v->odd_node, offsetof(struct tg_facts, canary_dot_s));
    double read = canary_ratio(rounds, v->odd_node, offsetof(struct tg_facts, canary_read_s));
    size_t used = strlen(v->reason);
    if (isfinite(dot) && isfinite(read))
        snprintf(v->reason + used, sizeof v->reason - used,
                 "; its canaries take %.3g (arithmetic) and %.3g (memory) times the others'", dot,
                 read);
}

/* The median over rounds of a fact of a side's rows, NAN if no row has it. */
static double median_fact(const struct tg_measurement *const *rows, size_t count, size_t offset)
{
    double *values = calloc(count + 1, sizeof *values), median = NAN;
    size_t known = 0;
    for (size_t r = 0; values && r < count; r++) {
        double value = *(const double *)((const char *)&rows[r]->facts + offset);
        if (isfinite(value)) values[known++] = value;
    }
    if (known) median = tg_stats_median(values, known);
    free(values);
    return median;
}

/* What a clock effect is due to, as far as it is known: clocks, and what the device drew. */
static void tell_clocks(const struct tg_rounds *rounds, struct tg_verdict *v)
{
    static const struct {
        size_t offset;
        double factor;
        const char *what, *unit;
    } facts[] = {{offsetof(struct tg_facts, sm_clock_hz), 1e-6, "clock", "MHz"},
                 {offsetof(struct tg_facts, gpu_power_w), 1, "power", "W"}};
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        double of = median_fact(rounds->of_rows, rounds->count, facts[i].offset);
        double to = median_fact(rounds->to_rows, rounds->count, facts[i].offset);
        size_t used = strlen(v->reason);
        if (isfinite(of) && isfinite(to))
            snprintf(v->reason + used, sizeof v->reason - used, "; %s %.4g %s against %.4g",
                     facts[i].what, of * facts[i].factor, facts[i].unit, to * facts[i].factor);
    }
}

/*
 * A device whose clock was too often too low, or held down, measured its own heat: what was not
 * discarded decides nothing either. Before there are rounds_min rounds, it is not known which are
 * to be (clocks.h).
 */
static void look_at_clocks(const struct tg_limits *limits, const struct tg_rounds *rounds,
                           struct tg_verdict *v)
{
    char text[300];
    const struct tg_discards *discards = &rounds->discards;
    v->discarded = discards->rounds;
    v->clocked = discards->clocked;
    bool is_open = v->answer != TG_INCONCLUSIVE || strcmp(v->word, "inconclusive") == 0;
    if (discards->clocked == 0 || v->is_broken || !is_open) return;
    if (tg_clocks_are_thermal(discards, limits))
        tg_rule_say(v, TG_INCONCLUSIVE, "thermal", "%s; at most %.3g %% may be",
                    tg_clocks_text(discards, limits, text, sizeof text),
                    100 * limits->throttled_share);
    else if (v->answer != TG_INCONCLUSIVE && (int64_t)discards->clocked < limits->rounds_min)
        tg_rule_say(v, TG_INCONCLUSIVE, "inconclusive",
                    "%zu rounds are too few to know what the clock of the device is",
                    discards->clocked);
    else
        return;
    v->is_clock_effect = v->wants_last = false;
    v->wants_more = has_rounds_left(limits, rounds);
}

/* A machine on which too many rounds were disturbed is not one to decide anything on. */
static void look_at_disturbances(const struct tg_limits *limits, const struct tg_rounds *rounds,
                                 struct tg_verdict *v)
{
    char text[300];
    v->disturbed = rounds->disturbed;
    bool is_open = v->answer != TG_INCONCLUSIVE || strcmp(v->word, "inconclusive") == 0;
    if (v->is_broken || !is_open || !tg_disturbance_is_over(&rounds->disturbed, limits)) return;
    tg_rule_say(v, TG_INCONCLUSIVE, "disturbed", "%s; at most %.3g %% may be",
                tg_disturbance_text(&rounds->disturbed, text, sizeof text),
                100 * limits->disturbed_share);
    v->is_clock_effect = v->wants_last = false;
    v->wants_more = has_rounds_left(limits, rounds);
}

/* Whether what one device could not do has still to be tried on another. */
static bool wants_another_device(const struct tg_plan *plan, const struct tg_test *test,
                                 const struct tg_rounds *rounds)
{
    return rounds->skipped == 1 && rounds->unfit == 1 && rounds->since_broken == 0 &&
           tg_plan_devices(plan, &plan->spec.blocks[test->block]) > 1 &&
           has_rounds_left(&plan->policy.limits, rounds);
}

/*
 * Makes what broke the verdict, and returns whether it did: what whole rounds have shown to fail
 * stays so, whatever broke beside them.
 */
static bool take_breaks(const struct tg_plan *plan, const struct tg_test *test,
                        const struct tg_rounds *rounds, struct tg_verdict *v)
{
    if (!rounds->broken) return false;
    struct tg_verdict broken = tg_rule_no_verdict();
    if (!tg_judge_broken(rounds, &broken)) return false;
    if (broken.answer == TG_INCONCLUSIVE)
        broken.wants_more = wants_another_device(plan, test, rounds);
    if (broken.answer == TG_FAIL || v->answer != TG_FAIL || v->is_held) {
        *v = broken;
        return true;
    }
    v->wants_more = v->wants_last = false;
    return false;
}

/* A measured test's verdict, into one that saw nothing. Brief: without what only a report needs. */
static void judge_rounds(const struct tg_plan *plan, const struct tg_test *test,
                         const struct tg_rounds *rounds, bool is_brief, struct tg_verdict *v)
{
    const struct tg_rule *rule = &plan->policy.rules[test->rule];
    const struct tg_evidence evidence = {
        .rule = rule,
        .limits = &plan->policy.limits,
        .metric = tg_metric_find(rule->metric),
        .required_count = plan->required_count ? plan->required_count : 1,
        .values = rounds->values,
        .also = *rule->also ? tg_metric_find(rule->also) : NULL,
        .also_values = rounds->count && rounds->also_count == rounds->count ? rounds->also_values
                                                                            : NULL,
        .nodes = rounds->nodes,
        .sessions = rounds->sessions,
        .count = rounds->count,
        .node_names = rounds->node_names,
        .is_brief = is_brief};
    tg_rule_find(rule->rule)->judge(&evidence, v);
    if (plan->asked.is_imported && test->has_to) tg_digits_doubt(rounds, &evidence, v);
    if (!take_breaks(plan, test, rounds, v)) {
        tg_judge_complete(&plan->policy.limits, rounds, v);
        if (!is_brief) tell_open(rounds, v);
    }
    if (test->has_to && isfinite(v->estimate)) { /* what is wrong has no speed */
        v->of_median = tg_stats_median(rounds->of_medians, rounds->count);
        v->to_median = tg_stats_median(rounds->to_medians, rounds->count);
        if (rounds->of_bytes > 0) v->of_bytes = (double)rounds->of_bytes;
    }
    if (v->odd_node >= 0) tell_canaries(rounds, v);
    if (v->is_clock_effect) tell_clocks(rounds, v);
    if (!v->is_broken) tg_judge_limits(rule, test, rounds, v);
    look_at_clocks(&plan->policy.limits, rounds, v);
    look_at_disturbances(&plan->policy.limits, rounds, v);
    v->left_out = rounds->hollow;
    v->spared = rounds->spared;
    if (rounds->odd) tg_faults_device(rounds->odd, v->odd_device);
}

/*
 * What a round of a test takes: as those did that it has, else what is planned at least. Nothing is
 * planned for who measures elsewhere.
 */
static double round_cost_s(const struct tg_plan *plan, const struct tg_test *test,
                           const struct tg_rounds *rounds)
{
    const struct tg_limits *limits = &plan->policy.limits;
    double sum = 0;
    size_t known = 0;
    for (size_t r = 0; r < rounds->count; r++) {
        double took_s = rounds->of_rows[r]->facts.took_s;
        if (!isfinite(took_s) || took_s <= 0) continue; /* nothing takes no time */
        sum += took_s;
        known++;
    }
    if (known) return sum / (double)known;
    if (plan->asked.is_imported) return NAN;
    return limits->round_s + (test->has_to ? 2 : 1) * limits->warmup_min_s;
}

/* What would resolve a test that is open. */
static void look_ahead(const struct tg_plan *plan, const struct tg_test *test,
                       const struct tg_rounds *rounds, struct tg_verdict *v)
{
    double seen = (double)v->rounds;
    if (!isfinite(v->outlook.sd)) return;
    /* What is heterogeneous, impossible or held is not a matter of rounds. */
    if (v->answer != TG_INCONCLUSIVE || !isfinite(v->theta) || strcmp(v->word, "inconclusive") != 0)
        return;
    double total = tg_forecast_rounds(&v->outlook, v->theta);
    double way = fmax(v->log_fail / v->log_fail_line, v->log_clean / v->log_clean_line);
    double rest = total * (1 - fmin(1, fmax(0, way))); /* of one that was unlucky so far */
    v->rounds_needed = fmax(1, ceil(fmax(total - seen, rest)));
    v->seconds_needed = v->rounds_needed * round_cost_s(plan, test, rounds);
}

/* How many rounds an open test is likely to need; a super-round is two of them. */
static void foresee_rest(struct tg_verdict *v)
{
    if (isnan(v->rounds_needed) || v->units.rounds == 0) return;
    double each = (double)v->rounds / (double)v->units.rounds;
    v->rounds_left = tg_forecast_rest(&v->outlook, &v->units, v->log_fail);
    v->rounds_left.low = ceil(each * v->rounds_left.low);
    v->rounds_left.high = ceil(each * v->rounds_left.high);
}

void tg_judge_foresee(const struct tg_plan *plan, struct tg_verdict *verdict)
{
    const struct tg_limits *limits = &plan->policy.limits;
    struct tg_outlook planned = verdict->outlook;
    double most = (double)limits->rounds_max, seen = (double)verdict->rounds;
    if (!isfinite(verdict->outlook.sd)) return;
    planned.sd = limits->expected_sd;
    verdict->detectable_planned = tg_forecast_effect(&planned, most, limits->power);
    verdict->detectable = tg_forecast_effect(
        &verdict->outlook, verdict->answer == TG_INCONCLUSIVE ? seen : most, limits->power);
    foresee_rest(verdict);
}

static bool has_rows(const struct tg_rows *rows, size_t block)
{
    size_t count;
    tg_rows_of(rows, block, &count);
    return count > 0;
}

/* Whether anything came out of a block, for whatever reason it was not to be run. */
static bool was_run(const struct tg_rows *rows, size_t block)
{
    size_t count;
    const struct tg_measurement *const *own = tg_rows_of(rows, block, &count);
    for (size_t i = 0; i < count; i++)
        if (own[i]->outcome != TG_SKIPPED) return true;
    return false;
}

/*
 * By its stored baseline, if that answers, else by its own rounds; where these are there all the
 * same, as for another rule, and fail, no stored number excuses that.
 */
static int judge_measured(const struct tg_plan *plan, size_t test, const struct tg_rows *rows,
                          const struct tg_rounds *own, struct tg_verdict *verdict,
                          struct tg_error *err)
{
    struct tg_rounds gathered = {0};
    struct tg_verdict quiet; /* by its baseline, where its own rounds may fail all the same */
    bool is_quiet = false, is_brief = own != NULL;
    if (plan->lookouts[test].cell) {
        int answered = tg_lookout_judge(plan, test, rows, verdict, err);
        if (answered < 0) return -1;
        size_t block = plan->spec.tests[test].block;
        bool has_own = block != plan->lookouts[test].block && has_rows(rows, block);
        if (answered && (verdict->answer != TG_PASS || !has_own)) return 0;
        if (answered) {
            is_quiet = true;
            quiet = *verdict;
            *verdict = tg_rule_no_verdict();
        }
    }
    if (!own && tg_judge_gather(plan, test, rows, &gathered, err) < 0) return -1;
    if (!own) own = &gathered;
    judge_rounds(plan, &plan->spec.tests[test], own, is_brief, verdict);
    look_ahead(plan, &plan->spec.tests[test], own, verdict);
    if (is_quiet && verdict->answer != TG_FAIL) *verdict = quiet;
    tg_evidence_release(&gathered);
    return 0;
}

/*
 * A test that nobody could run by the plan, and somebody did: it did not count among those that
 * share the error rate, so only what broke is decided on. What was measured is never skipped, but
 * for lines that were imported of what this program would not measure.
 */
static int judge_unplanned(const struct tg_plan *plan, size_t test, const struct tg_rows *rows,
                           const struct tg_rounds *own, struct tg_verdict *verdict,
                           struct tg_error *err)
{
    if (judge_measured(plan, test, rows, own, verdict, err) < 0) return -1;
    verdict->wants_more = verdict->wants_last = verdict->wants_head = false;
    if (verdict->answer != TG_FAIL || !verdict->is_broken)
        tg_rule_say(verdict, TG_INCONCLUSIVE, "unplanned",
                    "it was measured, though by the plan it could not be: %s",
                    plan->prospects[test].reason);
    return 0;
}

int tg_judge_test(const struct tg_plan *plan, size_t test, const struct tg_rows *rows,
                  const struct tg_rounds *own, struct tg_verdict *verdict, struct tg_error *err)
{
    const struct tg_test *t = &plan->spec.tests[test];
    const struct tg_prospect *prospect = &plan->prospects[test];
    struct tg_verdict v = tg_rule_no_verdict();
    if (prospect->fate == TG_TO_MISS) {
        tg_rule_say(&v, TG_INCONCLUSIVE, "missing", "%s", prospect->reason);
    } else if (prospect->fate == TG_TO_SKIP && !plan->asked.is_imported &&
               was_run(rows, t->block)) {
        if (judge_unplanned(plan, test, rows, own, &v, err) < 0) return -1;
    } else if (prospect->fate != TG_TO_MEASURE) {
        bool fails = prospect->fate == TG_TO_FAIL;
        tg_rule_say(&v, fails ? TG_FAIL : TG_SKIP, fails ? "missing" : "skipped", "%s",
                    prospect->reason);
    } else if (plan->asked.is_imported && !has_rows(rows, t->block)) {
        /* Where the matrix is what was seen, nobody asked for more than it shows. */
        bool is_asked = !plan->asked.is_matrix_seen || tg_rows_are_beside(rows, test);
        tg_rule_say(&v, is_asked ? TG_INCONCLUSIVE : TG_SKIP, is_asked ? "missing" : "skipped",
                    "no line of its block was imported");
    } else if (judge_measured(plan, test, rows, own, &v, err) < 0) {
        return -1;
    }
    if (v.answer == TG_FAIL && tg_plan_is_optional(plan, test) && !v.is_broken) {
        const struct tg_verdict failed = v;
        tg_rule_say(&v, TG_PASS, "attention", "%s; its rule is optional",
                    *failed.reason ? failed.reason : failed.word);
    }
    tg_rule_hold(&plan->policy.limits, &v);
    *verdict = v;
    return 0;
}
