/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/coverage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whether two cells are the same, but for an axis ("" for none). */
static bool are_alike(const struct tg_cell *a, const struct tg_cell *b, const char *axis)
{
    char value[TG_TEXT_SIZE];
    struct tg_cell same = *b;
    const struct tg_field *field = tg_record_field(&tg_cell_type, axis);
    if (field)
        tg_record_set(&tg_cell_type, &same, axis, tg_record_get(field, a, value, sizeof value),
                      NULL);
    return memcmp(a, &same, sizeof same) == 0;
}

/* Whether one test stands for another of its rule: on other hardware, or against another rival. */
static bool stands_for(const struct tg_plan *plan, size_t other, size_t test)
{
    const struct tg_test *t = &plan->spec.tests[test], *o = &plan->spec.tests[other];
    const struct tg_rule *rule = &plan->policy.rules[t->rule];
    if (o->rule != t->rule || !are_alike(&t->of, &o->of, "")) return false;
    return !t->has_to || are_alike(&t->to, &o->to, *rule->against ? rule->axis : "");
}

/* Whether head was measured beside its copy for want of the base that the rule asks for. */
static bool is_stand_in(const struct tg_plan *plan, size_t test)
{
    const struct tg_test *t = &plan->spec.tests[test];
    return t->is_shadow && strcmp(t->to.build, plan->policy.rules[t->rule].to) != 0;
}

bool tg_coverage_is_new(const struct tg_plan *plan, size_t test)
{
    return plan->has_base && is_stand_in(plan, test);
}

bool tg_coverage_is_unseen(const struct tg_plan *plan, size_t test,
                           const struct tg_verdict *verdict)
{
    return verdict->answer == TG_INCONCLUSIVE && verdict->rounds == 0 &&
           tg_coverage_is_new(plan, test) && !tg_plan_is_optional(plan, test) &&
           plan->prospects[test].fate == TG_TO_MEASURE;
}

static bool is_measured(const struct tg_plan *plan, const struct tg_verdict verdicts[], size_t test)
{
    return verdicts[test].answer != TG_SKIP && !is_stand_in(plan, test);
}

static bool is_lacking(const struct tg_plan *plan, const struct tg_verdict verdicts[], size_t test)
{
    if (is_measured(plan, verdicts, test)) return false;
    for (size_t i = 0; i < plan->spec.test_count; i++)
        if (is_measured(plan, verdicts, i) && stands_for(plan, i, test)) return false;
    return true;
}

/* Adds what one rule lacks; *why is the reason of the first test that is not measured. */
static void look_at_rule(const struct tg_plan *plan, const struct tg_verdict verdicts[], size_t r,
                         const char **why, char *out, size_t size)
{
    size_t selected = 0, lacking = 0, used = strlen(out);
    for (size_t i = 0; i < plan->spec.test_count; i++) {
        if (plan->spec.tests[i].rule != r) continue;
        selected++;
        if (!is_lacking(plan, verdicts, i)) continue;
        lacking++;
        if (!*why)
            *why = verdicts[i].answer == TG_SKIP ? verdicts[i].reason
                   : plan->has_base              ? "its kernel is not in base"
                                                 : "there is no base to compare with";
    }
    const char *name = tg_policy_rule_name(&plan->policy.rules[r]), *before = used ? ", " : "";
    if (selected == 0)
        snprintf(out + used, size - used, "%s%s (selects nothing)", before, name);
    else if (lacking > 0)
        snprintf(out + used, size - used, "%s%s (%zu test%s)", before, name, lacking,
                 lacking == 1 ? "" : "s");
}

bool tg_coverage_lacks(const struct tg_plan *plan, const struct tg_verdict verdicts[], char *out,
                       size_t size)
{
    const char *why = NULL;
    out[0] = 0;
    for (size_t r = 0; r < plan->policy.rule_count; r++)
        if (plan->policy.rules[r].required) look_at_rule(plan, verdicts, r, &why, out, size);
    size_t used = strlen(out);
    if (why) snprintf(out + used, size - used, "; the first: %.150s", why);
    return *out != 0;
}

/* Whether any row of the run is of a test's block. */
static bool has_rows(const struct tg_plan *plan, const struct tg_run *run, size_t test)
{
    size_t i = 0;
    const char *block = plan->spec.blocks[plan->spec.tests[test].block].text;
    while (i < run->count && strcmp(run->rows[i].block, block) != 0) i++;
    return i < run->count;
}

bool tg_coverage_has_idle_base(const struct tg_plan *plan, const struct tg_run *run)
{
    bool has_rule = false;
    const struct tg_changed *changed = &plan->asked.changed;
    if (!plan->has_base) return false;
    if (changed->cell_count && !*changed->unknown) return false;
    for (size_t r = 0; r < plan->policy.rule_count; r++) {
        const struct tg_rule *rule = &plan->policy.rules[r];
        has_rule = has_rule || (strcmp(rule->axis, "build") == 0 && !rule->optional);
    }
    for (size_t i = 0; i < plan->spec.test_count; i++) {
        const struct tg_test *test = &plan->spec.tests[i];
        if (test->has_to && strcmp(test->to.build, "base") == 0 && !test->is_shadow &&
            plan->prospects[i].fate != TG_TO_SKIP &&
            (!plan->asked.is_imported || has_rows(plan, run, i)))
            return false;
    }
    return has_rule;
}

bool tg_coverage_has_idle_patterns(const struct tg_plan *plan, char *out, size_t size)
{
    out[0] = 0;
    for (size_t i = 0; i < plan->spec.cell_count; i++) {
        for (size_t f = 0; f < tg_cell_type.field_count; f++) {
            const struct tg_field *field = &tg_cell_type.fields[f];
            const char *value = (const char *)&plan->spec.cells[i] + field->offset;
            char said[2 * TG_TEXT_SIZE];
            size_t used = strlen(out);
            if (field->kind != TG_TEXT || !tg_words_is_pattern(value)) continue;
            snprintf(said, sizeof said, "%s '%s'", field->name, value);
            if (!strstr(out, said))
                snprintf(out + used, size - used, "%s%s", used ? ", " : "", said);
        }
    }
    return *out != 0;
}

size_t tg_coverage_count_new(const struct tg_plan *plan)
{
    size_t count = 0;
    for (size_t i = 0; i < plan->spec.test_count; i++)
        count += tg_coverage_is_new(plan, i) && plan->prospects[i].fate != TG_TO_SKIP;
    return count;
}

static int by_cell(const void *a, const void *b)
{
    return memcmp(*(const struct tg_cell *const *)a, *(const struct tg_cell *const *)b,
                  sizeof(struct tg_cell));
}

/* By the first worker of a class: of all of a large farm it would take long to find out. */
static bool can_be_run(const struct tg_plan *plan, const struct tg_cell *cell)
{
    char why[400];
    struct tg_block one = {.cells = {*cell}, .cell_count = 1};
    for (; one.hardware < plan->class_count; one.hardware++) {
        size_t w = 0;
        while (strcmp(plan->workers[w].hardware, plan->classes[one.hardware]) != 0) w++;
        if (tg_plan_can_run(plan, &plan->workers[w], &one, why, sizeof why)) return true;
    }
    return false;
}

int tg_coverage_find_unasked(const struct tg_plan *plan, size_t *places, size_t *count,
                             struct tg_error *err)
{
    const struct tg_spec *spec = &plan->spec;
    size_t asked = 0;
    const struct tg_cell **cells = calloc(2 * spec->test_count + 1, sizeof *cells);
    if (!cells) return tg_fail(err, "out of memory");
    for (size_t t = 0; t < spec->test_count; t++) {
        cells[asked++] = &spec->tests[t].of;
        if (spec->tests[t].has_to) cells[asked++] = &spec->tests[t].to;
    }
    qsort(cells, asked, sizeof *cells, by_cell);
    *count = 0;
    for (size_t i = 0; i < spec->cell_count; i++) {
        const struct tg_cell *cell = &spec->cells[i];
        if (!bsearch(&cell, cells, asked, sizeof *cells, by_cell) && can_be_run(plan, cell))
            places[(*count)++] = i;
    }
    free(cells);
    return 0;
}
