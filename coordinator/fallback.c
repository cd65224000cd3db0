/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/fallback.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pulse.h"

/* What is known of the matrix' cells, in their order. */
struct cells {
    const struct tg_plan *plan;
    const struct tg_run *run;
    const struct tg_verdict *verdicts;
    size_t *tests; /* the first test of each, or test_count */
    bool *measured;
    enum tg_answer *answers; /* fail if one of its tests failed, pass if one passed, else skip */
};

static bool is_cell(const struct tg_cell *a, const struct tg_cell *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static void look_at_tests(struct cells *c)
{
    const struct tg_spec *spec = &c->plan->spec;
    for (size_t i = 0; i < spec->cell_count; i++) {
        c->tests[i] = spec->test_count;
        c->answers[i] = TG_SKIP;
        for (size_t t = 0; t < spec->test_count; t++) {
            if (!is_cell(&spec->tests[t].of, &spec->cells[i])) continue;
            enum tg_answer answer = c->verdicts[t].answer;
            if (c->tests[i] == spec->test_count) c->tests[i] = t;
            bool is_noise = spec->tests[t].is_shadow && !c->verdicts[t].is_broken;
            if (answer == TG_FAIL && is_noise) continue;
            if (answer == TG_FAIL || (answer == TG_PASS && c->answers[i] != TG_FAIL))
                c->answers[i] = answer;
        }
    }
}

static void look_at_rows(struct cells *c)
{
    const struct tg_spec *spec = &c->plan->spec;
    for (size_t r = 0; r < c->run->count; r++) {
        tg_pulse();
        if (c->run->rows[r].outcome != TG_MEASURED && c->run->rows[r].outcome != TG_WRONG) continue;
        for (size_t i = 0; i < spec->cell_count; i++)
            if (is_cell(&c->run->rows[r].cell, &spec->cells[i])) c->measured[i] = true;
    }
}

/* How a cell was tried in vain: the most often in one block, and what came of the last. */
static void look_at_tries(const struct cells *c, const struct tg_cell *cell, struct tg_fallback *f)
{
    for (size_t r = 0; r < c->run->count; r++) {
        const struct tg_measurement *row = &c->run->rows[r];
        size_t tries = 0;
        tg_pulse();
        if (!is_cell(&row->cell, cell)) continue;
        for (size_t k = 0; k <= r; k++)
            tries += is_cell(&c->run->rows[k].cell, cell) &&
                     strcmp(c->run->rows[k].block, row->block) == 0;
        if (tries > f->tries) f->tries = tries;
        snprintf(f->reason, sizeof f->reason, "%s%s%.300s", tg_measurement_outcome(row->outcome),
                 *row->reason ? ": " : "", row->reason);
    }
}

/* The value of an axis, or the label of the cell's kernel; "" if it has none. */
static const char *value_of(const struct tg_plan *plan, const struct tg_cell *cell,
                            const char *name, char *out, size_t size)
{
    const struct tg_field *field = tg_record_field(&tg_cell_type, name);
    const struct tg_word *word = tg_words_find(&plan->words, "kernel", cell->kernel);
    out[0] = 0;
    if (field)
        tg_record_get(field, cell, out, size);
    else if (word)
        tg_words_trait(word, name, out, size);
    return out;
}

/* Whether two cells have the same in all names of a list; what neither has is not the same. */
static bool are_same(const struct tg_plan *plan, const char *names, const struct tg_cell *a,
                     const struct tg_cell *b)
{
    for (const char *p = names + strspn(names, " "); *p; p += strspn(p, " ")) {
        char name[TG_TEXT_SIZE], one[TG_TEXT_SIZE], other[TG_TEXT_SIZE];
        size_t length = strcspn(p, " ");
        snprintf(name, sizeof name, "%.*s", (int)length, p);
        p += length;
        value_of(plan, a, name, one, sizeof one);
        value_of(plan, b, name, other, sizeof other);
        bool is_axis = tg_record_field(&tg_cell_type, name) != NULL;
        if (strcmp(one, other) != 0 || (!is_axis && !*one)) return false;
    }
    return true;
}

/* The cell that reached a level in the place of another: one that passed, or one that failed. */
static bool reach(const struct cells *c, const struct tg_flow_level *level, struct tg_fallback *f)
{
    const struct tg_spec *spec = &c->plan->spec;
    for (size_t i = 0; *level->cells && i < spec->cell_count; i++) {
        const struct tg_cell *cell = &spec->cells[i];
        if (c->answers[i] == TG_SKIP || (f->instead && c->answers[i] != TG_PASS)) continue;
        if (!tg_cell_matches(cell, level->cells, &c->plan->words) ||
            !are_same(c->plan, level->same, f->cell, cell))
            continue;
        f->instead = cell;
        f->answer = c->answers[i];
        if (f->answer == TG_PASS) break;
    }
    f->level = level;
    return f->instead != NULL;
}

static void fall_back(const struct cells *c, size_t cell, const struct tg_flow_chain *chain,
                      struct tg_fallback *f)
{
    *f = (struct tg_fallback){.chain = chain, .cell = &c->plan->spec.cells[cell]};
    snprintf(f->reason, sizeof f->reason, "%s", c->plan->prospects[c->tests[cell]].reason);
    if (!*f->reason) snprintf(f->reason, sizeof f->reason, "there was no time for it");
    look_at_tries(c, f->cell, f);
    for (size_t l = 1; l < chain->level_count; l++)
        if (reach(c, &chain->levels[l], f)) break;
}

static bool is_missing(const struct cells *c, size_t cell, const struct tg_flow_chain *chain)
{
    return chain->is_for_each && chain->level_count > 1 && !c->measured[cell] &&
           c->tests[cell] < c->plan->spec.test_count &&
           tg_cell_matches(&c->plan->spec.cells[cell], chain->levels[0].cells, &c->plan->words);
}

static void find(const struct cells *c, struct tg_fallback *list, size_t *count)
{
    const struct tg_flow *flow = &c->plan->policy.process;
    *count = 0;
    for (size_t k = 0; k < flow->chain_count; k++)
        for (size_t i = 0; i < c->plan->spec.cell_count; i++)
            if (is_missing(c, i, &flow->chains[k]))
                fall_back(c, i, &flow->chains[k], &list[(*count)++]);
}

int tg_fallback_find(const struct tg_plan *plan, const struct tg_run *run,
                     const struct tg_verdict verdicts[], struct tg_fallback **list, size_t *count,
                     struct tg_error *err)
{
    const struct tg_flow *flow = &plan->policy.process;
    size_t cells = plan->spec.cell_count, most = cells * flow->chain_count;
    struct cells c = {plan, run, verdicts, NULL, NULL, NULL};
    bool any = false;
    for (size_t k = 0; k < flow->chain_count; k++) any = any || flow->chains[k].is_for_each;
    *list = NULL;
    *count = 0;
    if (!any) return 0;
    c.tests = calloc(cells + 1, sizeof *c.tests);
    c.measured = calloc(cells + 1, sizeof *c.measured);
    c.answers = calloc(cells + 1, sizeof *c.answers);
    struct tg_fallback *found = calloc(most + 1, sizeof *found);
    int rc = c.tests && c.measured && c.answers && found ? 0 : tg_fail(err, "out of memory");
    if (rc == 0) {
        look_at_tests(&c);
        look_at_rows(&c);
        find(&c, found, count);
        *list = found;
    } else {
        free(found);
    }
    free(c.tests);
    free(c.measured);
    free(c.answers);
    return rc;
}

char *tg_fallback_note(const struct tg_flow_chain *chain, const struct tg_fallback list[],
                       size_t count, char *out, size_t size)
{
    size_t all = 0;
    out[0] = 0;
    for (size_t i = 0; i < count; i++) all += list[i].chain == chain;
    if (!all) return out;
    int used = snprintf(out, size, "%s: %zu cell%s not measured; instead", chain->name, all,
                        all == 1 ? " was" : "s were");
    const char *before = ": ";
    for (size_t l = 1; l < chain->level_count; l++) {
        size_t reached = 0;
        for (size_t i = 0; i < count; i++) reached += list[i].level == &chain->levels[l];
        if (!reached || used < 0 || (size_t)used >= size) continue;
        used += snprintf(out + used, size - (size_t)used, "%s%zu %s", before, reached,
                         chain->levels[l].method);
        before = ", ";
    }
    return out;
}
