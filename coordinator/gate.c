/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/gate.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pulse.h"
#include "coordinator/coverage.h"
#include "coordinator/lookout.h"
#include "coordinator/shard.h"
#include "worker/gpu.h"

static const char *const words[] = {"pass", "fail", "inconclusive", "skipped"};

const char *tg_gate_word(enum tg_answer answer)
{
    return words[answer];
}

int tg_gate_status(const struct tg_decision *decision)
{
    return decision->answer == TG_PASS ? 0 : decision->answer == TG_FAIL ? 1 : 2;
}

bool tg_gate_is_required(const struct tg_plan *plan, size_t test)
{
    const struct tg_test *t = &plan->spec.tests[test];
    return !t->is_shadow && !tg_plan_is_optional(plan, test) &&
           plan->prospects[test].fate != TG_TO_SKIP;
}

bool tg_gate_counts(const struct tg_plan *plan, size_t test, const struct tg_verdict *verdict)
{
    return tg_gate_is_required(plan, test) || verdict->is_broken || verdict->is_unrepeated ||
           tg_coverage_is_unseen(plan, test, verdict);
}

static void note(struct tg_decision *d, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void note(struct tg_decision *d, const char *format, ...)
{
    if (d->note_count == sizeof d->notes / sizeof *d->notes) return;
    va_list args;
    va_start(args, format);
    vsnprintf(d->notes[d->note_count++], sizeof *d->notes, format, args);
    va_end(args);
}

/* Names what makes a pass impossible: always false, for may_pass. */
static bool forbid(struct tg_decision *d, const char *why)
{
    note(d, "cannot pass: %s", why);
    return false;
}

static void note_build(struct tg_decision *d, const char *name, const struct tg_survey *survey)
{
    if (survey->injected_percent)
        note(d, "%s is slowed by %lld %% on purpose", name, (long long)survey->injected_percent);
    if (survey->is_debug) note(d, "%s was built with assertions in it", name);
}

bool tg_gate_has_its_libraries(const struct tg_plan *plan, const struct tg_run *run)
{
    const struct tg_capability *first = &plan->workers[0];
    for (size_t i = 0; i < run->count; i++) {
        const struct tg_measurement *m = &run->rows[i];
        bool is_base = strcmp(m->cell.build, "base") == 0;
        bool is_told = m->outcome == TG_MEASURED || strcmp(m->facts.library, "unknown") != 0;
        if (is_told &&
            strcmp(m->facts.library, is_base ? first->base.digest : first->head.digest) != 0)
            return false;
    }
    return true;
}

/* Whether every row of the run's own model that says it is of the file of the run's begin. */
static bool has_its_model(const struct tg_plan *plan, const struct tg_run *run)
{
    for (size_t i = 0; i < run->count; i++) {
        const struct tg_measurement *m = &run->rows[i];
        bool is_told = m->outcome == TG_MEASURED || strcmp(m->facts.model_digest, "unknown") != 0;
        if (is_told && strcmp(m->cell.model, TG_MODEL_FILE) == 0 &&
            strcmp(m->facts.model_digest, plan->workers[0].head.model_digest) != 0)
            return false;
    }
    return true;
}

static bool is_known_digest(const char *digest)
{
    return strcmp(digest, "unknown") != 0;
}

/* Whether it was measured elsewhere. False if that leaves nothing to decide on. */
static bool note_origin(const struct tg_plan *plan, struct tg_decision *d)
{
    if (plan->asked.is_imported && plan->accepts_imported)
        note(d, "imported evidence: nothing of it was measured by this program");
    else if (plan->asked.is_imported)
        note(d, "cannot pass: imported evidence, see --imported");
    if (plan->asked.is_matrix_seen)
        note(d, "the matrix was made of what was seen: missing cells cannot be known");
    if (plan->session_count && !plan->asked.shard_count)
        note(d, "%zu runs are judged together", plan->session_count);
    if (!is_known_digest(plan->workers[0].head.digest))
        note(d, "which libraries were measured is not known");
    return !plan->asked.is_imported || plan->accepts_imported;
}

/* Names error rates that are above the usual ones: what passes or fails then means less. */
static void note_rates(struct tg_decision *d, const struct tg_limits *limits)
{
    char text[200] = "";
    for (size_t i = 0; i < tg_limits_type.field_count; i++) {
        const struct tg_field *field = &tg_limits_type.fields[i];
        if (strncmp(field->name, "alpha_", 6) != 0) continue;
        double rate = *(const double *)((const char *)limits + field->offset);
        double usual = strtod(field->fallback, NULL);
        size_t used = strlen(text);
        if (rate > usual * (1 + 1e-9))
            snprintf(text + used, sizeof text - used, "%s%s %.3g (%.3g)", used ? ", " : "",
                     field->name, rate, usual);
    }
    if (*text) note(d, "error rates above the usual ones: %s", text);
}

/* Which parts of the run are there; false if that leaves out some that have tests. */
static bool note_shards(const struct tg_plan *plan, struct tg_decision *d)
{
    char text[sizeof *d->notes];
    bool is_whole = tg_shard_note(plan, text, sizeof text);
    if (*text) note(d, "%s", text);
    return is_whole;
}

/* What stands above everything else, and what of it makes a pass impossible. */
static bool note_builds(const struct tg_plan *plan, const struct tg_run *run, struct tg_decision *d)
{
    const struct tg_limits *limits = &plan->policy.limits;
    const struct tg_capability *first = &plan->workers[0];
    const struct tg_survey *head = &first->head, *base = &first->base;
    char text[sizeof *d->notes];
    if (plan->has_base && *head->build && *base->build && strcmp(head->build, base->build) != 0)
        note(d, "base was built otherwise: %.180s; head: %.180s", base->build, head->build);
    note_build(d, "head", &first->head);
    if (plan->has_base) note_build(d, "base", &first->base);
    bool may_pass = tg_lookout_note(plan, text, sizeof text);
    if (*text) note(d, "%s", text);
    if (plan->has_base && first->base.injected_percent > first->head.injected_percent)
        may_pass = forbid(d, "head was compared with a base that is slowed more than it is");
    if (!plan->has_base && !plan->asked.baseline_count)
        note(d, "not compared with an earlier build");
    else if (plan->has_base && strcmp(first->head.digest, first->base.digest) == 0 &&
             is_known_digest(first->head.digest))
        note(d, "A/A: base and head are the same file");
    if (tg_coverage_has_idle_base(plan, run))
        may_pass = forbid(d, "there is a base, and not one test compares head with it");
    size_t new = tg_coverage_count_new(plan);
    if (new)
        note(d, "%zu test%s of kernels that base has not: nothing is compared", new,
             new == 1 ? "" : "s");
    if (tg_coverage_has_idle_patterns(plan, text, sizeof text))
        note(d, "nothing of this build matches %.300s", text);
    note_rates(d, limits);
    if (!plan->is_own_policy)
        note(d, "decided %s than it was measured for",
             plan->is_own_text ? "as another step" : "under another policy");
    if (!plan->is_own_acceptance) note(d, "decided with another acceptance file");
    if (*plan->asked.filter) note(d, "only cells that match '%.300s'", plan->asked.filter);
    for (size_t i = 0; tg_inherit_say(plan, i, text, sizeof text, &may_pass); i++)
        note(d, "%s", text);
    if (*tg_changed_note(&plan->asked.changed, text, sizeof text)) note(d, "%s", text);
    if (*plan->asked.changed.lacks) may_pass = forbid(d, plan->asked.changed.lacks);
    if (*tg_shard_open_note(plan, run, text, sizeof text)) may_pass = forbid(d, text);
    if (*run->dropped)
        note(d, "left out, still being written or damaged by a kill: %.300s", run->dropped);
    if (!tg_gate_has_its_libraries(plan, run))
        may_pass = forbid(d, "a library was changed while it was measured");
    if (!plan->asked.is_imported && !has_its_model(plan, run))
        may_pass = forbid(d, "the model file was changed while it was measured");
    if (limits->require_base && !plan->has_base) may_pass = forbid(d, "the policy requires a base");
    if (limits->require_release &&
        (first->head.is_debug || (plan->has_base && first->base.is_debug)))
        may_pass = forbid(d, "the policy requires kernels without assertions");
    else if (plan->has_base && base->is_debug && !head->is_debug)
        may_pass = forbid(d, "base has assertions in it, which slow it, and head has none");
    return may_pass;
}

/* Counts rules that select nothing, and cells that none selects. */
static int count_rules(const struct tg_plan *plan, struct tg_decision *d, struct tg_error *err)
{
    size_t *places = calloc(plan->spec.cell_count + 1, sizeof *places);
    if (!places) return tg_fail(err, "out of memory");
    int rc = tg_coverage_find_unasked(plan, places, &d->unasked, err);
    free(places);
    for (size_t r = 0; r < plan->policy.rule_count; r++) {
        bool used = false;
        for (size_t i = 0; i < plan->spec.test_count; i++)
            used = used || plan->spec.tests[i].rule == r;
        if (!used) d->unused_rules++;
    }
    return rc;
}

static void count(const struct tg_plan *plan, size_t i, struct tg_decision *d)
{
    const struct tg_verdict *v = &d->verdicts[i];
    const struct tg_test *test = &plan->spec.tests[i];
    if (test->is_shadow && !tg_gate_counts(plan, i, v)) {
        d->shadows++;
        return;
    }
    if (v->answer == TG_SKIP) {
        d->skipped++;
        return;
    }
    if (tg_plan_is_optional(plan, i) && !tg_gate_counts(plan, i, v)) {
        d->optional++;
        d->optional_open += v->answer == TG_INCONCLUSIVE;
        d->optional_attention += strcmp(v->word, "attention") == 0;
        return;
    }
    d->required++;
    if (v->answer == TG_PASS) d->passed++;
    if (v->answer == TG_FAIL) d->failed++;
    if (v->answer == TG_INCONCLUSIVE) d->inconclusive++;
    if (strcmp(v->word, "attention") == 0) d->attention++;
}

/* Of how many cells a round of a block has rows. */
static int cells_of(const char *block)
{
    int count = 1;
    for (; *block; block++) count += *block == '|';
    return count;
}

/* Adds a name to a list of them, unless it is there. */
static void add_name(char *list, size_t size, const char *name)
{
    const size_t length = strlen(name), used = strlen(list);
    for (const char *at = list; at; at = strstr(at, ", ")) {
        if (at != list) at += 2;
        if (strncmp(at, name, length) == 0 && (!at[length] || at[length] == ',')) return;
    }
    if (length) snprintf(list + used, size - used, "%s%s", used ? ", " : "", name);
}

/* The processors, and how long workers waited for other runs on the same memory. */
static void look_at_rows(const struct tg_run *run, struct tg_decision *d)
{
    double waited_s = 0;
    d->attempts = 1;
    for (size_t i = 0; i < run->count; i++) {
        const struct tg_facts *facts = &run->rows[i].facts;
        if (run->rows[i].attempt > (int64_t)d->attempts) d->attempts = (size_t)run->rows[i].attempt;
        /* Each row of a round has the whole wait of the round. */
        if (isfinite(facts->waited_s)) waited_s += facts->waited_s / cells_of(run->rows[i].block);
        /* What nobody ran has no processor. */
        if (run->rows[i].outcome == TG_SKIPPED && strcmp(facts->cpu, "unknown") == 0) continue;
        add_name(d->machines, sizeof d->machines, facts->cpu);
    }
    if (waited_s >= 1)
        note(d, "workers waited %.0f s in all for other runs on the same memory, out of the budget",
             waited_s);
}

/* Which devices ran cells, and the most that was seen of their memory, heat and power. */
static void look_at_devices(const struct tg_run *run, struct tg_decision *d)
{
    int64_t bytes = -1, reasons = 0;
    char why[200];
    double heat_c = NAN, power_w = NAN;
    for (size_t i = 0; i < run->count; i++) {
        const struct tg_facts *facts = &run->rows[i].facts;
        if (strcmp(facts->gpu, "unknown") == 0) continue;
        add_name(d->devices, sizeof d->devices, facts->gpu);
        if (facts->throttle > 0) reasons |= facts->throttle;
        if (facts->gpu_bytes > bytes) bytes = facts->gpu_bytes;
        heat_c = fmax(heat_c, facts->gpu_temperature_c);
        power_w = fmax(power_w, facts->gpu_power_w);
    }
    size_t used = strlen(d->devices);
    if (bytes >= 0)
        used += (size_t)snprintf(d->devices + used, sizeof d->devices - used,
                                 "; at most %.4g MiB held by a process", (double)bytes / 1048576);
    if (used < sizeof d->devices && isfinite(heat_c))
        used += (size_t)snprintf(d->devices + used, sizeof d->devices - used, "; at most %.4g C",
                                 heat_c);
    if (used < sizeof d->devices && isfinite(power_w))
        used += (size_t)snprintf(d->devices + used, sizeof d->devices - used, "; at most %.4g W",
                                 power_w);
    if (used < sizeof d->devices && reasons)
        snprintf(d->devices + used, sizeof d->devices - used, "; clock held down by %s",
                 tg_gpu_throttle_text(reasons, why, sizeof why));
}

/* Names families over their line; false if one would fail the run, and too few saw it. */
static bool note_families(const struct tg_limits *limits, struct tg_decision *d)
{
    char text[sizeof *d->notes];
    bool may_pass = true;
    if (limits->family_watch && d->family_count == 0)
        note(d, "no family was looked at: each has 3 tests at least that compare builds");
    for (size_t i = 0; i < d->family_count; i++) {
        const struct tg_family_verdict *v = &d->families[i];
        snprintf(text, sizeof text, "family %s: %zu tests together are slower by %.3g %%", v->name,
                 v->tests, 100 * v->estimate);
        if (v->is_held)
            note(d,
                 "cannot pass: held: %.200s: it would fail, but fewer than %lld runs or nodes "
                 "saw it",
                 text, (long long)limits->min_sessions);
        else if (v->is_over)
            note(d, "%s: %.300s", limits->family_fail ? "fails" : "attention", text);
        may_pass = may_pass && !v->is_held;
    }
    return may_pass;
}

/* What the verdicts make, once all are counted. */
static enum tg_answer answer_of(const struct tg_limits *limits, const struct tg_decision *d,
                                bool may_pass)
{
    if (d->failed || (limits->family_fail && d->families_over)) return TG_FAIL;
    bool is_covered = d->inconclusive == 0 && 10 * d->optional_open <= d->optional;
    return may_pass && is_covered && d->passed > 0 ? TG_PASS : TG_INCONCLUSIVE;
}

/* The date of the last row that has one. */
static void find_date(const struct tg_run *run, struct tg_decision *d)
{
    bool is_found = false;
    snprintf(d->date, sizeof d->date, "unknown");
    for (size_t i = 0; i < run->count; i++) {
        const char *date = run->rows[i].facts.date;
        if (!*date || strcmp(date, "unknown") == 0 || (is_found && strcmp(date, d->date) <= 0))
            continue;
        memcpy(d->date, date, sizeof d->date);
        is_found = true;
    }
}

/* What was measured instead of what could not be. */
static int note_fallbacks(const struct tg_plan *plan, const struct tg_run *run,
                          struct tg_decision *d, struct tg_error *err)
{
    const struct tg_flow *flow = &plan->policy.process;
    char text[sizeof *d->notes];
    if (tg_fallback_find(plan, run, d->verdicts, &d->fallbacks, &d->fallback_count, err) < 0)
        return -1;
    for (size_t k = 0; k < flow->chain_count; k++)
        if (*tg_fallback_note(&flow->chains[k], d->fallbacks, d->fallback_count, text, sizeof text))
            note(d, "%s", text);
    return 0;
}

/* How many cells a device measured, of whatever block. */
static size_t measured_on(const struct tg_run *run, const char *device)
{
    size_t count = 0;
    char name[TG_DEVICE_NAME_SIZE];
    for (size_t i = 0; i < run->count; i++)
        count += run->rows[i].outcome == TG_MEASURED && tg_faults_is_on_device(&run->rows[i]) &&
                 strcmp(tg_faults_device(&run->rows[i], name), device) == 0;
    return count;
}

/* Names the devices that alone could not measure what others did: how it ended says so. */
static void note_odd_devices(const struct tg_run *run, struct tg_decision *d)
{
    for (size_t i = 0; i < d->verdict_count; i++) {
        const char *device = d->verdicts[i].odd_device;
        size_t tests = 0, before = 0;
        if (!*device) continue;
        for (size_t k = 0; k < d->verdict_count; k++) {
            bool is_same = strcmp(d->verdicts[k].odd_device, device) == 0;
            tests += is_same;
            before += is_same && k < i;
        }
        if (before > 0) continue;
        size_t measured = measured_on(run, device);
        note(d,
             "broken device: %s, alone; rounds of %zu test%s broke there, and count for nothing: "
             "another device measured the same",
             device, tests, tests == 1 ? "" : "s");
        if (measured > 0)
            note(d, "%s measured %zu cell%s in order: it may be the kernels' fault, too", device,
                 measured, measured == 1 ? "" : "s");
    }
}

static int decide(const struct tg_plan *plan, const struct tg_run *run, const struct tg_rows *rows,
                  struct tg_decision *d, struct tg_error *err)
{
    bool is_whole = note_shards(plan, d);
    bool is_decidable = note_origin(plan, d), may_pass = note_builds(plan, run, d);
    char accepted[sizeof *d->notes], lacking[sizeof *d->notes] = "";
    size_t left_out = 0, discarded = 0, clocked = 0;
    struct tg_disturbed disturbed = {0};
    find_date(run, d);
    look_at_rows(run, d);
    look_at_devices(run, d);
    memcpy(d->evidence, run->evidence, sizeof d->evidence);
    d->row_count = run->count;
    d->verdict_count = plan->spec.test_count;
    for (size_t i = 0; i < d->verdict_count; i++) {
        tg_pulse();
        if (tg_judge_test(plan, i, rows, NULL, &d->verdicts[i], err) < 0) return -1;
        tg_judge_foresee(plan, &d->verdicts[i]);
        tg_acceptance_apply(plan, d->date, i, &d->verdicts[i]);
        left_out += d->verdicts[i].left_out;
        discarded += d->verdicts[i].discarded;
        clocked += d->verdicts[i].clocked;
        tg_disturbance_add(&disturbed, &d->verdicts[i].disturbed);
        count(plan, i, d);
    }
    if (tg_gate_look_at_families(plan, rows, d, err) < 0) return -1;
    may_pass = note_families(&plan->policy.limits, d) && may_pass;
    note_odd_devices(run, d);
    if (left_out)
        note(d, "left out: %zu rounds of tests that lack their metric, or samples of it", left_out);
    if (discarded)
        note(d,
             "discarded: %zu of %zu rounds of tests, in which the clock of a device was too low or "
             "held down",
             discarded, clocked);
    if (disturbed.rounds)
        note(d, "in all tests together, %s",
             tg_disturbance_text(&disturbed, accepted, sizeof accepted));
    may_pass = tg_rows_may_pass(rows, accepted, sizeof accepted) && may_pass;
    if (*accepted) note(d, "%s", accepted);
    if (*tg_acceptance_note(plan, d->date, d->verdicts, accepted, sizeof accepted))
        note(d, "%s", accepted);
    if (count_rules(plan, d, err) < 0) return -1;
    if (tg_coverage_lacks(plan, d->verdicts, lacking, sizeof lacking)) {
        note(d, "cannot pass: required, and not measured: %s", lacking);
        may_pass = false;
    }
    if (note_fallbacks(plan, run, d, err) < 0) return -1;
    if (tg_retry_read(run->tries, &d->retries, &d->retry_count, err) < 0) return -1;
    tg_retry_count(d->retries, d->retry_count, d->tries);
    if (d->required == 0) note(d, "nothing that counts could be measured here");
    d->answer = answer_of(&plan->policy.limits, d, may_pass && is_whole);
    if (!is_decidable) d->answer = TG_INCONCLUSIVE;
    return 0;
}

int tg_gate_decide(const struct tg_plan *plan, const struct tg_run *run,
                   struct tg_decision *decision, struct tg_error *err)
{
    struct tg_decision made = {.run = run};
    struct tg_rows *rows = NULL;
    made.verdicts = calloc(plan->spec.test_count, sizeof *made.verdicts);
    int rc = made.verdicts ? tg_rows_create(plan, &rows, err) : tg_fail(err, "out of memory");
    for (size_t i = 0; rc == 0 && i < run->count; i++) {
        tg_pulse();
        rc = tg_rows_add(rows, &run->rows[i], err);
    }
    if (rc == 0) rc = decide(plan, run, rows, &made, err);
    tg_rows_destroy(rows);
    if (rc < 0)
        tg_gate_release(&made);
    else
        *decision = made;
    return rc;
}

void tg_gate_release(struct tg_decision *decision)
{
    free(decision->verdicts);
    free(decision->families);
    free(decision->fallbacks);
    free(decision->retries);
    *decision = (struct tg_decision){0};
}
