/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/lookout.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/candidate.h"
#include "coordinator/evidence.h"
#include "coordinator/trigger.h"
#include "results/metric.h"

static int choose(const struct tg_plan *plan, const char *now, struct tg_lookout_choice *c,
                  struct tg_error *err)
{
    for (size_t h = 0; h < plan->class_count; h++) {
        struct tg_baseline_key key;
        char why[sizeof c->note];
        if (tg_candidate_key(plan, h, &key, err) < 0) return -1;
        const struct tg_baseline *b = tg_baseline_store_choose(&c->entries, &key, now, why,
                                                               sizeof why);
        if (b && (c->count == 0 || strcmp(b->library, c->baselines[0].library) == 0))
            c->baselines[c->count++] = *b;
        else if (!*c->note)
            snprintf(c->note, sizeof c->note, "%s",
                     b ? "machines of two classes have baselines of different libraries" : why);
    }
    return 0;
}

/* What cannot be read may be newer than what is used, and of this very key: that is told. */
static void name_unreadable(struct tg_lookout_choice *c)
{
    for (size_t i = 0; c->count > 0 && i < c->entries.count; i++) {
        const struct tg_baseline_entry *entry = &c->entries.list[i];
        size_t used = strlen(c->note);
        if (*entry->error)
            snprintf(c->note + used, sizeof c->note - used,
                     "%s'%s' of the store cannot be used: %s", used ? "; " : "", entry->name,
                     entry->error);
    }
}

int tg_lookout_choose(const struct tg_plan *plan, const char *store, const char *now,
                      struct tg_lookout_choice *choice, struct tg_error *err)
{
    struct tg_lookout_choice c = {0};
    struct tg_survey survey;
    struct tg_error why;
    if (tg_baseline_store_read(store, &c.entries, err) < 0) return -1;
    c.baselines = calloc(plan->class_count + 1, sizeof *c.baselines);
    if (!c.baselines || choose(plan, now, &c, err) < 0) {
        if (!c.baselines) tg_fail(err, "out of memory");
        tg_lookout_release(&c);
        return -1;
    }
    if (c.count > 0) {
        if (tg_baseline_store_library(store, c.baselines[0].library, c.library, sizeof c.library,
                                      &why) == 0 &&
            tg_survey_take(c.library, &survey, &why) == 0) {
            tg_survey_release(&survey);
        } else {
            *c.library = 0;
            snprintf(c.note, sizeof c.note, "%s", why.text);
        }
    }
    name_unreadable(&c);
    *choice = c;
    return 0;
}

void tg_lookout_release(struct tg_lookout_choice *choice)
{
    free(choice->baselines);
    tg_baseline_store_release(&choice->entries);
    *choice = (struct tg_lookout_choice){0};
}

/* The plan's baseline for the hardware of a test, if it holds for what is asked. */
static const struct tg_baseline *baseline_of(const struct tg_plan *plan, size_t test)
{
    const char *class = plan->classes[plan->spec.tests[test].hardware];
    for (size_t i = 0; i < plan->asked.baseline_count; i++) {
        const struct tg_baseline *b = &plan->asked.baselines[i];
        if (strcmp(b->key.hardware, class) == 0 && strcmp(b->key.step, plan->asked.step) == 0 &&
            strcmp(b->key.policy, plan->policy_digest) == 0 &&
            strcmp(b->key.matrix, plan->matrix_digest) == 0 &&
            strcmp(b->key.program, tg_candidate_program(plan)) == 0 &&
            strcmp(b->key.model, tg_candidate_model(plan)) == 0)
            return b;
    }
    return NULL;
}

/* Whether a baseline has a test's cell, in whatever block. */
static bool knows(const struct tg_baseline *b, const char *cell, const char *metric)
{
    for (size_t i = 0; i < b->cell_count; i++)
        if (strcmp(b->cells[i].cell, cell) == 0 && strcmp(b->cells[i].metric, metric) == 0)
            return true;
    return false;
}

static int attach(struct tg_plan *plan, size_t test, struct tg_error *err)
{
    struct tg_test *t = &plan->spec.tests[test];
    const char *metric = plan->policy.rules[t->rule].metric;
    const struct tg_baseline *b = baseline_of(plan, test);
    char cell[TG_CELL_TEXT_SIZE];
    if (!b || !tg_candidate_is_of(plan, test) || !knows(b, tg_cell_text(&t->of, cell), metric))
        return 0;
    size_t block = tg_candidate_block(plan, test);
    if (block == plan->spec.block_count) {
        struct tg_test alike = *t;
        tg_record_set(&tg_cell_type, &alike.to, "build", "copy", NULL);
        if (tg_spec_add_block(&plan->spec, &alike, &block, err) < 0) return -1;
        plan->spec.blocks[block].is_timed = true;
    }
    const struct tg_baseline_cell *known = tg_baseline_find(b, cell, metric,
                                                            plan->spec.blocks[block].text);
    if (!known) return 0;
    plan->lookouts[test] = (struct tg_lookout){b, known, block};
    if (!plan->has_base) t->is_shadow = false;
    return 0;
}

int tg_lookout_attach(struct tg_plan *plan, struct tg_error *err)
{
    plan->lookouts = calloc(plan->spec.test_count + 1, sizeof *plan->lookouts);
    if (!plan->lookouts) return tg_fail(err, "out of memory");
    for (size_t i = 0; plan->asked.baseline_count && i < plan->spec.test_count; i++)
        if (attach(plan, i, err) < 0) return -1;
    return 0;
}

/* Tests that are to be held against base, and for want of it are held against head's own copy. */
static size_t count_stand_ins(const struct tg_plan *plan)
{
    size_t count = 0;
    for (size_t i = 0; i < plan->spec.test_count; i++) {
        const struct tg_test *t = &plan->spec.tests[i];
        const struct tg_rule *rule = &plan->policy.rules[t->rule];
        count += t->is_shadow && strcmp(rule->to, t->to.build) != 0 &&
                 !tg_plan_is_optional(plan, i) && plan->prospects[i].fate != TG_TO_SKIP;
    }
    return count;
}

/* A cell of the baseline that no test has, as of a kernel whose row is gone; NULL if there is none.
 */
static const char *find_lost(const struct tg_plan *plan, const struct tg_baseline *b)
{
    char text[TG_CELL_TEXT_SIZE];
    for (size_t i = 0; i < b->cell_count; i++) {
        bool is_there = false;
        for (size_t t = 0; t < plan->spec.test_count && !is_there; t++)
            is_there = strcmp(tg_cell_text(&plan->spec.tests[t].of, text), b->cells[i].cell) == 0;
        if (!is_there) return b->cells[i].cell;
    }
    return NULL;
}

bool tg_lookout_note(const struct tg_plan *plan, char *out, size_t size)
{
    const struct tg_asked *asked = &plan->asked;
    const struct tg_baseline *b = asked->baseline_count ? &asked->baselines[0] : NULL;
    const size_t without = b && !plan->has_base ? count_stand_ins(plan) : 0;
    const bool is_whole = !*asked->filter && asked->changed.path_count == 0;
    const char *lost = b && !plan->has_base && is_whole ? find_lost(plan, b) : NULL;
    out[0] = 0;
    if (!b && *asked->baseline_note)
        snprintf(out, size, "cannot pass: no stored baseline is used: %s", asked->baseline_note);
    else if (b && plan->has_base)
        snprintf(out, size, "base is the library of a stored baseline, made %s of %zu sessions%s%s",
                 b->created, b->session_count, *asked->baseline_note ? "; " : "",
                 asked->baseline_note);
    else if (b && without)
        snprintf(
            out, size,
            "cannot pass: the stored baseline has no numbers for %zu test%s of this policy and "
            "matrix, and its library is not there: %s",
            without, without == 1 ? "" : "s", asked->baseline_note);
    else if (lost)
        snprintf(out, size,
                 "cannot pass: the stored baseline has a cell that the matrix has no more, and its "
                 "library is not there to say why: %s",
                 lost);
    else if (b)
        snprintf(out, size,
                 "compared with the numbers of a stored baseline only, made %s of %zu sessions: %s",
                 b->created, b->session_count, asked->baseline_note);
    return without == 0 && !lost && (b || !*asked->baseline_note);
}

/* The test of the block in which head is watched: with its copy, or alone. */
static struct tg_test watch_of(const struct tg_plan *plan, size_t test)
{
    const struct tg_block *block = &plan->spec.blocks[plan->lookouts[test].block];
    struct tg_test alike = plan->spec.tests[test];
    alike.has_to = block->cell_count == 2;
    alike.to = block->cells[1];
    return alike;
}

/* The rounds of that block. */
static int gather(const struct tg_plan *plan, size_t test, const struct tg_rows *rows,
                  struct tg_rounds *rounds, struct tg_error *err)
{
    const struct tg_lookout *w = &plan->lookouts[test];
    const struct tg_test alike = watch_of(plan, test);
    struct tg_rule rule = plan->policy.rules[alike.rule];
    size_t count;
    if (!alike.has_to) snprintf(rule.rule, sizeof rule.rule, "ceiling"); /* reads one cell */
    const struct tg_measurement *const *own = tg_rows_of(rows, w->block, &count);
    return tg_evidence_gather(own, count, &alike, &rule, &plan->policy.limits, tg_rows_faults(rows),
                              rounds, err);
}

/* What each run says of head, normalised; those that say too little are left out. */
static int take_sessions(const struct tg_plan *plan, size_t test, const struct tg_rows *rows,
                         double *values, size_t *value_count, struct tg_error *err)
{
    const struct tg_lookout *w = &plan->lookouts[test];
    const struct tg_test *t = &plan->spec.tests[test];
    size_t count, sessions = plan->session_count ? plan->session_count : 1;
    const struct tg_measurement *const *own = tg_rows_of(rows, w->block, &count);
    const struct tg_measurement **mine = malloc((count + 1) * sizeof *mine);
    int rc = mine ? 0 : tg_fail(err, "out of memory");
    *value_count = 0;
    for (size_t s = 0; rc == 0 && s < sessions; s++) {
        struct tg_candidate taken;
        size_t used = 0;
        for (size_t i = 0; i < count; i++)
            if ((size_t)own[i]->session == s) mine[used++] = own[i];
        rc = tg_candidate_take(mine, used, &t->of, w->cell->metric, &plan->policy.limits, &taken,
                               err);
        if (rc < 0 || taken.rounds == 0) continue;
        /* Times of other canaries say nothing of these. */
        bool is_same = strcmp(w->cell->canary, "none") == 0 ||
                       strcmp(w->baseline->key.canary, taken.canary) == 0;
        const struct tg_baseline_value value = {0, taken.rounds, is_same ? taken.value : NAN,
                                                taken.canary_dot, taken.canary_read};
        values[(*value_count)++] = tg_baseline_normalised(w->cell, &value);
    }
    free(mine);
    return rc;
}

static void say_quiet(const struct tg_trigger *asked, struct tg_verdict *v)
{
    tg_rule_say(v, TG_PASS, "unchanged (baseline)", "%s", "");
    v->estimate = expm1(asked->difference);
    v->interval = (struct tg_interval){expm1(2 * asked->difference - asked->bound),
                                       expm1(asked->bound)};
}

/* What numbers without their library can say at most. */
static void say_open(const struct tg_rule *rule, const struct tg_trigger *asked, size_t sessions,
                     struct tg_verdict *v)
{
    const char *worse = tg_metric_worse(tg_metric_find(rule->metric));
    if (isfinite(asked->difference)) v->estimate = expm1(asked->difference);
    if (asked->answer == TG_TRIGGER_ALARM)
        tg_rule_say(v, TG_INCONCLUSIVE, "suspect",
                    "suspect: %.1f %% %s than %zu stored sessions, whose library is not there "
                    "to compare with",
                    100 * expm1(asked->difference), worse, sessions);
    else if (isfinite(asked->bound))
        tg_rule_say(v, TG_INCONCLUSIVE, "inconclusive",
                    "%zu stored sessions show only that it is less than %.3g %% %s, and their "
                    "library is not there to compare with",
                    sessions, 100 * expm1(asked->bound), worse);
    else
        tg_rule_say(v, TG_INCONCLUSIVE, "inconclusive",
                    "the stored sessions cannot be compared with, and their library is not there");
}

static int ask_trigger(const struct tg_plan *plan, size_t test, const struct tg_rows *rows,
                       const struct tg_rounds *rounds, struct tg_verdict *v, struct tg_error *err)
{
    const struct tg_baseline_cell *cell = plan->lookouts[test].cell;
    const struct tg_rule *rule = &plan->policy.rules[plan->spec.tests[test].rule];
    const struct tg_limits *limits = &plan->policy.limits;
    double sign = tg_metric_find(rule->metric)->better == TG_LOWER ? 1 : -1;
    double *heads = malloc((plan->session_count + 1) * sizeof *heads);
    double *stored = malloc((cell->count + 1) * sizeof *stored);
    size_t head_count = 0;
    int rc = heads && stored ? 1 : tg_fail(err, "out of memory");
    if (rc > 0 && take_sessions(plan, test, rows, heads, &head_count, err) < 0) rc = -1;
    v->rounds = rounds->count;
    if (rc > 0 && head_count == 0 &&
        rounds->last + 1 < tg_disturbance_rounds_max(&rounds->disturbed, limits)) {
        tg_rule_say(v, TG_INCONCLUSIVE, "inconclusive", "not decided after %zu round%s",
                    rounds->count, rounds->count == 1 ? "" : "s");
        v->wants_more = v->wants_head = true;
    } else if (rc > 0) {
        struct tg_trigger asked = {.answer = TG_TRIGGER_OPEN, .difference = NAN, .bound = NAN};
        for (size_t i = 0; i < head_count; i++) heads[i] *= sign;
        for (size_t i = 0; i < cell->count; i++)
            stored[i] = sign * tg_baseline_normalised(cell, &cell->values[i]);
        if (head_count > 0)
            asked = tg_trigger_ask(stored, cell->count, heads, head_count, tg_rule_margin(rule),
                                   limits->alpha_miss);
        if (asked.answer == TG_TRIGGER_QUIET)
            say_quiet(&asked, v);
        else if (plan->has_base)
            rc = 0;
        else
            say_open(rule, &asked, cell->count, v);
    }
    free(heads);
    free(stored);
    return rc;
}

/* Head was too hot to be compared with what is stored; beside its base it may be. */
static int say_thermal(const struct tg_plan *plan, const struct tg_rounds *rounds,
                       struct tg_verdict *v)
{
    char text[300];
    tg_rule_say(v, TG_INCONCLUSIVE, "thermal", "%s",
                tg_clocks_text(&rounds->discards, &plan->policy.limits, text, sizeof text));
    v->rounds = rounds->count;
    v->discarded = rounds->discards.rounds;
    v->clocked = rounds->discards.clocked;
    return plan->has_base ? 0 : 1;
}

/* Likewise on a node that was disturbed too often. */
static int say_disturbed(const struct tg_plan *plan, const struct tg_rounds *rounds,
                         struct tg_verdict *v)
{
    char text[300];
    tg_rule_say(v, TG_INCONCLUSIVE, "disturbed", "%s",
                tg_disturbance_text(&rounds->disturbed, text, sizeof text));
    v->rounds = rounds->count;
    v->disturbed = rounds->disturbed;
    return plan->has_base ? 0 : 1;
}

int tg_lookout_judge(const struct tg_plan *plan, size_t test, const struct tg_rows *rows,
                     struct tg_verdict *verdict, struct tg_error *err)
{
    struct tg_rounds rounds = {0};
    struct tg_verdict v = tg_rule_no_verdict();
    int rc = 1;
    if (gather(plan, test, rows, &rounds, err) < 0) return -1;
    bool is_broken = tg_judge_broken(&rounds, &v);
    if (!is_broken && tg_clocks_are_thermal(&rounds.discards, &plan->policy.limits))
        rc = say_thermal(plan, &rounds, &v);
    else if (!is_broken && tg_disturbance_is_over(&rounds.disturbed, &plan->policy.limits))
        rc = say_disturbed(plan, &rounds, &v);
    else if (!is_broken)
        rc = ask_trigger(plan, test, rows, &rounds, &v, err);
    if (!is_broken && rc > 0 && v.answer == TG_PASS) {
        tg_judge_complete(&plan->policy.limits, &rounds, &v);
        v.wants_head = v.wants_more;
        const struct tg_test watched = watch_of(plan, test);
        tg_judge_limits(&plan->policy.rules[watched.rule], &watched, &rounds, &v);
        v.spared = rounds.spared;
        if (rounds.odd) tg_faults_device(rounds.odd, v.odd_device);
    }
    tg_evidence_release(&rounds);
    if (rc > 0) *verdict = v;
    return rc;
}
