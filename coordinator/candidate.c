/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/candidate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/clocks.h"
#include "coordinator/disturbance.h"
#include "coordinator/rule.h"
#include "results/metric.h"
#include "results/stats.h"
#include "worker/model/model_source.h"
#include "worker/probe/probe.h"

static int by_round(const void *a, const void *b)
{
    const struct tg_measurement *x = *(const struct tg_measurement *const *)a;
    const struct tg_measurement *y = *(const struct tg_measurement *const *)b;
    if (x->round != y->round) return x->round < y->round ? -1 : 1;
    return x->attempt < y->attempt ? -1 : x->attempt > y->attempt;
}

static double log_median(const struct tg_measurement *m, const char *metric)
{
    const struct tg_series *s = tg_measurement_series(m, metric);
    if (m->outcome != TG_MEASURED || m->unpaired || !s || s->count == 0) return NAN;
    return log(tg_stats_median(s->samples, s->count));
}

/* NAN if one of them is no number. */
static double median_of(const double *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i])) return NAN;
    return count ? tg_stats_median(values, count) : NAN;
}

/*
 * What the rows say of canaries and limit, where they all say the same. Canaries run on the host's
 * cores and take along nothing of what a device did.
 */
static void name_canary(const struct tg_measurement *const *mine, size_t count,
                        struct tg_candidate *c)
{
    size_t dot = 0, move = 0, on_device = 0;
    snprintf(c->canary, sizeof c->canary, "unknown");
    for (size_t i = 0; i < count; i++) {
        const char *canary = mine[i]->facts.canary;
        const char *limit = mine[i]->facts.limited_by;
        if (i == 0) snprintf(c->canary, sizeof c->canary, "%s", canary);
        if (strcmp(c->canary, canary) != 0) snprintf(c->canary, sizeof c->canary, "unknown");
        on_device += strcmp(mine[i]->facts.gpu, "unknown") != 0;
        dot += strcmp(limit, "dot") == 0;
        move += strcmp(limit, "read") == 0 || strcmp(limit, "write") == 0;
    }
    snprintf(c->limited_by, sizeof c->limited_by, "%s",
             on_device || strcmp(c->canary, "unknown") == 0 || dot + move == 0 ? "none"
             : dot > move                                                      ? "dot"
                                                                               : "read");
}

/*
 * The rows of head, in the order of their rounds, and for each that of what was measured beside it,
 * or NULL. Sorts `rows`; returns how many of head's there are.
 */
static size_t pair_up(const struct tg_measurement **rows, size_t count, const struct tg_cell *cell,
                      const char *metric, const struct tg_measurement **heads,
                      const struct tg_measurement **others)
{
    size_t used = 0;
    if (count > 0) qsort(rows, count, sizeof *rows, by_round);
    for (size_t i = 0; i < count; i++) {
        if (memcmp(&rows[i]->cell, cell, sizeof *cell) != 0 ||
            !isfinite(log_median(rows[i], metric)))
            continue;
        others[used] = NULL;
        for (size_t k = i ? i - 1 : 0; k <= i + 1 && k < count; k++)
            if (by_round(&rows[k], &rows[i]) == 0 &&
                memcmp(&rows[k]->cell, cell, sizeof *cell) != 0)
                others[used] = rows[k];
        heads[used++] = rows[i];
    }
    return used;
}

static unsigned causes_of(const struct tg_measurement *row, const struct tg_limits *limits)
{
    if (!row) return 0;
    const struct tg_disturbance_facts facts = tg_disturbance_facts(&row->facts);
    return tg_disturbance_causes(&facts, limits);
}

/*
 * Leaves out the rounds that decide nothing, as the gate does: disturbed, or discarded for the
 * clock of their device. With too many of them none is left.
 */
static int leave_out(const struct tg_measurement **heads,
                     const struct tg_measurement *const others[], size_t *count,
                     const struct tg_limits *limits, struct tg_error *err)
{
    struct tg_discards discards;
    struct tg_disturbed disturbed = {0};
    size_t kept = 0;
    bool *discarded = malloc((*count + 1) * sizeof *discarded);
    if (!discarded) return tg_fail(err, "out of memory");
    int rc = tg_clocks_look(heads, others, *count, limits, discarded, &discards, err);
    for (size_t i = 0; rc == 0 && i < *count; i++) {
        unsigned causes = causes_of(heads[i], limits) | causes_of(others[i], limits);
        tg_disturbance_count(&disturbed, causes);
        if (!causes && !discarded[i]) heads[kept++] = heads[i];
    }
    free(discarded);
    if (rc < 0) return -1;
    bool is_over = tg_clocks_are_thermal(&discards, limits) ||
                   tg_disturbance_is_over(&disturbed, limits);
    *count = is_over ? 0 : kept;
    return 0;
}

/* What these rounds of head say. */
static int look_at(const struct tg_measurement *const heads[], size_t count, const char *metric,
                   struct tg_candidate *c, struct tg_error *err)
{
    double *values = malloc((3 * count + 1) * sizeof *values);
    if (!values) return tg_fail(err, "out of memory");
    double *dots = values + count, *reads = dots + count;
    for (size_t i = 0; i < count; i++) {
        values[i] = log_median(heads[i], metric);
        dots[i] = log(heads[i]->facts.canary_dot_s);
        reads[i] = log(heads[i]->facts.canary_read_s);
    }
    c->rounds = (int64_t)count;
    c->value = median_of(values, count);
    c->canary_dot = median_of(dots, count);
    c->canary_read = median_of(reads, count);
    name_canary(heads, count, c);
    free(values);
    return 0;
}

int tg_candidate_take(const struct tg_measurement *const rows[], size_t count,
                      const struct tg_cell *cell, const char *metric,
                      const struct tg_limits *limits, struct tg_candidate *candidate,
                      struct tg_error *err)
{
    const struct tg_measurement **sorted = malloc((3 * count + 1) * sizeof *sorted);
    struct tg_candidate taken = {.value = NAN, .canary_dot = NAN, .canary_read = NAN};
    if (!sorted) return tg_fail(err, "out of memory");
    const struct tg_measurement **heads = sorted + count, **others = heads + count;
    for (size_t i = 0; i < count; i++) sorted[i] = rows[i];
    size_t used = pair_up(sorted, count, cell, metric, heads, others);
    int rc = 0;
    if (tg_metric_is_of_time(tg_metric_find(metric)))
        rc = leave_out(heads, others, &used, limits, err);
    if (rc == 0 && limits->rounds_min > 0 && used >= (size_t)limits->rounds_min)
        rc = look_at(heads, (size_t)limits->rounds_min, metric, &taken, err);
    free(sorted);
    if (rc == 0) *candidate = taken;
    return rc;
}

bool tg_candidate_is_of(const struct tg_plan *plan, size_t test)
{
    const struct tg_test *t = &plan->spec.tests[test];
    const struct tg_rule *rule = &plan->policy.rules[t->rule];
    return strcmp(rule->rule, "noninferior") == 0 && strcmp(rule->axis, "build") == 0 &&
           strcmp(t->of.build, "head") == 0 &&
           (strcmp(t->to.build, "base") == 0 || strcmp(t->to.build, "copy") == 0);
}

size_t tg_candidate_block(const struct tg_plan *plan, size_t test)
{
    const struct tg_test *t = &plan->spec.tests[test];
    struct tg_cell copy = t->of;
    size_t found = plan->spec.block_count;
    tg_record_set(&tg_cell_type, &copy, "build", "copy", NULL);
    for (size_t b = 0; b < plan->spec.block_count; b++) {
        const struct tg_block *block = &plan->spec.blocks[b];
        if (block->hardware != t->hardware || !block->is_timed ||
            memcmp(&block->cells[0], &t->of, sizeof t->of) != 0)
            continue;
        if (block->cell_count == 1) return b;
        if (memcmp(&block->cells[1], &copy, sizeof copy) == 0) found = b;
    }
    return found;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The models of the matrix, each once, sorted. */
static int name_models(const struct tg_plan *plan, char *out, size_t size, struct tg_error *err)
{
    const char **models = malloc((plan->spec.cell_count + 1) * sizeof *models);
    size_t used = 0;
    if (!models) return tg_fail(err, "out of memory");
    for (size_t i = 0; i < plan->spec.cell_count; i++) models[i] = plan->spec.cells[i].model;
    qsort(models, plan->spec.cell_count, sizeof *models, by_text);
    out[0] = 0;
    for (size_t i = 0; i < plan->spec.cell_count && used < size; i++)
        if (*models[i] && (i == 0 || strcmp(models[i], models[i - 1]) != 0))
            used += (size_t)snprintf(out + used, size - used, "%s%s", used ? "," : "", models[i]);
    free(models);
    return used < size ? 0 : tg_fail(err, "too many models for one baseline");
}

const char *tg_candidate_program(const struct tg_plan *plan)
{
    for (size_t i = 0; i < plan->spec.test_count; i++) {
        const struct tg_probe *probe = tg_probe_find(plan->spec.tests[i].of.probe);
        if (probe && probe->has_model) return plan->asked.program;
    }
    return "";
}

const char *tg_candidate_model(const struct tg_plan *plan)
{
    for (size_t i = 0; i < plan->spec.test_count; i++)
        if (strcmp(plan->spec.tests[i].of.model, TG_MODEL_FILE) == 0)
            return plan->workers[0].head.model_digest;
    return "";
}

int tg_candidate_key(const struct tg_plan *plan, size_t hardware, struct tg_baseline_key *key,
                     struct tg_error *err)
{
    struct tg_baseline_key made = {0};
    snprintf(made.hardware, sizeof made.hardware, "%s", plan->classes[hardware]);
    for (size_t w = plan->worker_count; w-- > 0;)
        if (strcmp(plan->workers[w].hardware, made.hardware) == 0)
            snprintf(made.machine, sizeof made.machine, "%s", plan->workers[w].machine);
    snprintf(made.version, sizeof made.version, "%s", plan->version);
    snprintf(made.program, sizeof made.program, "%s", tg_candidate_program(plan));
    snprintf(made.build, sizeof made.build, "%s", plan->workers[0].head.build);
    snprintf(made.model, sizeof made.model, "%s", tg_candidate_model(plan));
    snprintf(made.step, sizeof made.step, "%s", plan->asked.step);
    snprintf(made.policy, sizeof made.policy, "%s", plan->policy_digest);
    snprintf(made.matrix, sizeof made.matrix, "%s", plan->matrix_digest);
    if (name_models(plan, made.models, sizeof made.models, err) < 0) return -1;
    *key = made;
    return 0;
}

/* One cell of a baseline, if the run measured it often enough and it is not there yet. */
static int take_cell(const struct tg_plan *plan, const struct tg_rows *rows, size_t test,
                     struct tg_baseline *b, struct tg_error *err)
{
    const struct tg_test *t = &plan->spec.tests[test];
    const struct tg_rule *rule = &plan->policy.rules[t->rule];
    char text[TG_CELL_TEXT_SIZE];
    size_t block = tg_candidate_block(plan, test), count;
    struct tg_candidate taken;
    if (block == plan->spec.block_count) return 0;
    const char *name = plan->spec.blocks[block].text;
    const struct tg_baseline_cell *known = tg_baseline_find(b, tg_cell_text(&t->of, text),
                                                            rule->metric, name);
    if (known) {
        struct tg_baseline_cell *own = &b->cells[known - b->cells];
        own->margin = fmin(own->margin, tg_rule_margin(rule));
        return 0;
    }
    const struct tg_measurement *const *own = tg_rows_of(rows, block, &count);
    if (tg_candidate_take(own, count, &t->of, rule->metric, &plan->policy.limits, &taken, err) < 0)
        return -1;
    if (taken.rounds == 0) return 0;
    struct tg_baseline_cell *cell = tg_baseline_add_cell(b);
    struct tg_baseline_value *value = cell ? tg_baseline_add_value(cell) : NULL;
    if (!value) return tg_fail(err, "out of memory");
    snprintf(cell->cell, sizeof cell->cell, "%s", text);
    snprintf(cell->metric, sizeof cell->metric, "%s", rule->metric);
    snprintf(cell->block, sizeof cell->block, "%s", name);
    bool is_time = strcmp(tg_metric_find(rule->metric)->unit, "s") == 0;
    snprintf(cell->canary, sizeof cell->canary, "%s", is_time ? taken.limited_by : "none");
    cell->margin = tg_rule_margin(rule);
    *value = (struct tg_baseline_value){0, taken.rounds, taken.value, taken.canary_dot,
                                        taken.canary_read};
    if (!*b->key.canary) snprintf(b->key.canary, sizeof b->key.canary, "%s", taken.canary);
    if (strcmp(b->key.canary, taken.canary) != 0)
        return tg_fail(err, "cells of one run had different canaries");
    return 0;
}

int tg_candidate_baseline(const struct tg_plan *plan, const struct tg_rows *rows, size_t hardware,
                          const char *run, const char *date, struct tg_baseline *baseline,
                          struct tg_error *err)
{
    struct tg_baseline made = {0};
    int rc = tg_candidate_key(plan, hardware, &made.key, err);
    struct tg_baseline_session *session = rc == 0 ? tg_baseline_add_session(&made) : NULL;
    if (rc == 0 && !session) rc = tg_fail(err, "out of memory");
    if (rc == 0) {
        snprintf(session->run, sizeof session->run, "%s", run);
        snprintf(session->date, sizeof session->date, "%s", date);
        snprintf(made.library, sizeof made.library, "%s", plan->workers[0].head.digest);
    }
    for (size_t i = 0; rc == 0 && i < plan->spec.test_count; i++)
        if (plan->spec.tests[i].hardware == hardware && tg_candidate_is_of(plan, i))
            rc = take_cell(plan, rows, i, &made, err);
    if (rc == 0 && !*made.key.canary) snprintf(made.key.canary, sizeof made.key.canary, "unknown");
    if (rc < 0)
        tg_baseline_release(&made);
    else
        *baseline = made;
    return rc;
}

/* How many rounds of a test's head, alone or beside its copy, were measured whole. */
static size_t count_whole(const struct tg_plan *plan, const struct tg_rows *rows, size_t test,
                          size_t block)
{
    const struct tg_test *t = &plan->spec.tests[test];
    const char *metric = plan->policy.rules[t->rule].metric;
    size_t count, whole = 0;
    const struct tg_measurement *const *own = tg_rows_of(rows, block, &count);
    for (size_t i = 0; i < count; i++)
        whole += memcmp(&own[i]->cell, &t->of, sizeof t->of) == 0 &&
                 isfinite(log_median(own[i], metric));
    return whole;
}

int tg_candidate_why_none(const struct tg_plan *plan, const struct tg_rows *rows, size_t hardware,
                          struct tg_error *err)
{
    size_t tests = 0, parted = 0, blocks = 0, most = 0;
    const int64_t least = plan->policy.limits.rounds_min;
    for (size_t i = 0; i < plan->spec.test_count; i++) {
        if (plan->spec.tests[i].hardware != hardware || !tg_candidate_is_of(plan, i)) continue;
        size_t block = tg_candidate_block(plan, i);
        tests++;
        parted += plan->prospects[i].fate == TG_TO_MISS;
        if (block == plan->spec.block_count) continue;
        size_t whole = count_whole(plan, rows, i, block);
        blocks++;
        if (whole > most) most = whole;
    }
    if (tests == 0)
        return tg_fail(err, "%s compares head with an earlier build",
                       *plan->asked.filter ? "no test that its filter leaves"
                                           : "no test of its matrix and policy");
    if (parted == tests)
        return tg_fail(err, "it is a shard in which no test compares head with an earlier build");
    if (blocks == 0)
        return tg_fail(err, "it measured head beside another build, not alone or beside its copy: "
                            "run it without --base");
    if ((int64_t)most < least)
        return tg_fail(
            err, "no cell has %lld whole rounds of head alone or beside its copy, %zu at most",
            (long long)least, most);
    return tg_fail(err, "too many rounds of each cell were disturbed or discarded to leave %lld",
                   (long long)least);
}

int tg_candidate_accept(const struct tg_plan *plan, const struct tg_run *run,
                        const struct tg_decision *decision, struct tg_error *err)
{
    const struct tg_survey *head = &plan->workers[0].head;
    if (plan->asked.is_imported) return tg_fail(err, "its evidence was imported");
    if (!run->is_sealed) return tg_fail(err, "it was not ended in order");
    if (*run->dropped)
        return tg_fail(err, "rows of it were damaged, or still being written: %.300s",
                       run->dropped);
    if (decision->answer == TG_FAIL) return tg_fail(err, "it failed");
    for (size_t i = 0; i < decision->verdict_count; i++)
        if (tg_gate_is_required(plan, i) && strcmp(decision->verdicts[i].word, "held") == 0)
            return tg_fail(err, "it would fail, if another run saw what it did");
    for (size_t f = 0; f < decision->family_count; f++)
        if (decision->families[f].is_held)
            return tg_fail(err, "a family of it would fail, if another run saw what it did");
    if (head->is_debug) return tg_fail(err, "its kernels have assertions in them");
    if (head->injected_percent)
        return tg_fail(err, "its kernels are slowed by %lld %% on purpose",
                       (long long)head->injected_percent);
    for (size_t i = 0; i < run->count; i++)
        if (run->rows[i].outcome == TG_MEASURED && strcmp(run->rows[i].cell.build, "base") != 0 &&
            strcmp(run->rows[i].facts.library, head->digest) != 0)
            return tg_fail(err, "its library was changed while it was measured");
    return 0;
}
