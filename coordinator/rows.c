/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/model/model_source.h"

struct list {
    const struct tg_measurement **rows;
    size_t count, room;
};

struct tg_rows {
    const struct tg_plan *plan;
    struct tg_measurement **kept;
    size_t kept_count, kept_room;
    struct list *lists;             /* one for each block */
    const struct tg_block **sorted; /* the blocks, by their texts */
    struct tg_faults *faults;
    size_t last; /* block of the row that came last: the next is often its neighbour */
    size_t strays, stray_faults, others;
};

static int by_text(const void *a, const void *b)
{
    return strcmp((*(const struct tg_block *const *)a)->text,
                  (*(const struct tg_block *const *)b)->text);
}

int tg_rows_create(const struct tg_plan *plan, struct tg_rows **rows, struct tg_error *err)
{
    const struct tg_spec *spec = &plan->spec;
    struct tg_rows *made = calloc(1, sizeof *made);
    if (!made) return tg_fail(err, "out of memory");
    made->plan = plan;
    made->lists = calloc(spec->block_count + 1, sizeof *made->lists);
    made->sorted = calloc(spec->block_count + 1, sizeof *made->sorted);
    made->faults = tg_faults_create();
    if (!made->lists || !made->sorted || !made->faults) {
        tg_rows_destroy(made);
        return tg_fail(err, "out of memory");
    }
    for (size_t b = 0; b < spec->block_count; b++) made->sorted[b] = &spec->blocks[b];
    qsort(made->sorted, spec->block_count, sizeof *made->sorted, by_text);
    *rows = made;
    return 0;
}

static void free_row(struct tg_measurement *row)
{
    tg_measurement_free(row);
    free(row);
}

void tg_rows_destroy(struct tg_rows *rows)
{
    if (!rows) return;
    for (size_t k = 0; k < rows->kept_count; k++) free_row(rows->kept[k]);
    free(rows->kept);
    for (size_t b = 0; rows->lists && b < rows->plan->spec.block_count; b++)
        free(rows->lists[b].rows);
    tg_faults_destroy(rows->faults);
    free(rows->lists);
    free(rows->sorted);
    free(rows);
}

/* The block of a row, or block_count if it has none. */
static size_t find(const struct tg_rows *rows, const struct tg_measurement *row)
{
    const struct tg_spec *spec = &rows->plan->spec;
    if (rows->last < spec->block_count && tg_plan_is_of(rows->plan, &spec->blocks[rows->last], row))
        return rows->last;
    size_t low = 0, high = spec->block_count; /* the first whose text is not before the row's */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(rows->sorted[middle]->text, row->block) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < spec->block_count && strcmp(rows->sorted[low]->text, row->block) == 0; low++)
        if (tg_plan_is_of(rows->plan, rows->sorted[low], row))
            return (size_t)(rows->sorted[low] - spec->blocks);
    return spec->block_count;
}

static bool are_others(const char *wanted, const char *seen)
{
    return *wanted && strcmp(wanted, "unknown") != 0 && strcmp(seen, "unknown") != 0 &&
           strcmp(wanted, seen) != 0;
}

/* Whether a row is of another library or model than the run was begun with: it was put in between.
 */
static bool is_of_others(const struct tg_plan *plan, const struct tg_measurement *row)
{
    const struct tg_capability *first = &plan->workers[0];
    bool is_base = strcmp(row->cell.build, "base") == 0;
    if (is_base && !plan->has_base) return false;
    return are_others(is_base ? first->base.digest : first->head.digest, row->facts.library) ||
           (strcmp(row->cell.model, TG_MODEL_FILE) == 0 &&
            are_others(first->head.model_digest, row->facts.model_digest));
}

/* Whether a row says that head, or its copy, was wrong, crashed or was late. */
static bool is_fault_of_head(const struct tg_measurement *row)
{
    return strcmp(row->cell.build, "base") != 0 && !tg_measurement_was_killed(row) &&
           (row->outcome == TG_WRONG || row->outcome == TG_CRASHED || row->outcome == TG_LATE);
}

int tg_rows_add(struct tg_rows *rows, const struct tg_measurement *row, struct tg_error *err)
{
    if (is_of_others(rows->plan, row)) {
        rows->others++;
        return 0;
    }
    size_t block = find(rows, row);
    if (block == rows->plan->spec.block_count) {
        rows->strays++;
        rows->stray_faults += is_fault_of_head(row);
        return 0;
    }
    struct list *list = &rows->lists[block];
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 16;
        const struct tg_measurement **grown = realloc(list->rows, room * sizeof *grown);
        if (!grown) return tg_fail(err, "out of memory");
        list->rows = grown;
        list->room = room;
    }
    list->rows[list->count++] = row;
    rows->last = block;
    return tg_faults_take(rows->faults, list->rows, list->count) < 0 ? tg_fail(err, "out of memory")
                                                                     : 0;
}

void tg_rows_expect(struct tg_rows *rows, size_t block)
{
    rows->last = block;
}

int tg_rows_keep(struct tg_rows *rows, struct tg_measurement *row, struct tg_error *err)
{
    if (rows->kept_count == rows->kept_room) {
        size_t room = rows->kept_room ? 2 * rows->kept_room : 64;
        struct tg_measurement **grown = realloc(rows->kept, room * sizeof *grown);
        if (!grown) {
            free_row(row);
            return tg_fail(err, "out of memory");
        }
        rows->kept = grown;
        rows->kept_room = room;
    }
    rows->kept[rows->kept_count++] = row;
    return tg_rows_add(rows, row, err);
}

const struct tg_measurement *const *tg_rows_of(const struct tg_rows *rows, size_t block,
                                               size_t *count)
{
    *count = rows->lists[block].count;
    return rows->lists[block].rows;
}

bool tg_rows_are_beside(const struct tg_rows *rows, size_t test)
{
    const struct tg_spec *spec = &rows->plan->spec;
    const struct tg_test *t = &spec->tests[test];
    const char *metric = rows->plan->policy.rules[t->rule].metric;
    if (t->has_to || tg_plan_is_optional(rows->plan, test)) return false;
    for (size_t b = 0; b < spec->block_count; b++) {
        size_t count;
        const struct tg_measurement *const *of = tg_rows_of(rows, b, &count);
        if (spec->blocks[b].cell_count < 2 || spec->blocks[b].hardware != t->hardware) continue;
        for (size_t i = 0; i < count; i++)
            if (memcmp(&of[i]->cell, &t->of, sizeof t->of) == 0 &&
                tg_measurement_series(of[i], metric))
                return true;
    }
    return false;
}

int64_t tg_rows_rounds(const struct tg_rows *rows, size_t block)
{
    const struct list *list = &rows->lists[block];
    int64_t rounds = 0;
    for (size_t i = 0; i < list->count; i++)
        if (list->rows[i]->round >= rounds) rounds = list->rows[i]->round + 1;
    return rounds;
}

const struct tg_faults *tg_rows_faults(const struct tg_rows *rows)
{
    return rows->faults;
}

bool tg_rows_has_others(const struct tg_rows *rows)
{
    return rows->others > 0;
}

size_t tg_rows_strays(const struct tg_rows *rows)
{
    return rows->strays;
}

/*
 * How many rounds before its last one a block has no row of. Numbers are given one after the other,
 * a block is out once at a time, and rows of a round lie together.
 */
static size_t count_lost(const struct list *list)
{
    size_t lost = 0;
    for (size_t i = 0; i < list->count;) {
        const int session = list->rows[i]->session;
        int64_t numbers = 0, seen = 0, before = -1;
        for (; i < list->count && list->rows[i]->session == session; i++) {
            const int64_t round = list->rows[i]->round;
            seen += round != before;
            before = round;
            if (round >= numbers) numbers = round + 1;
        }
        if (numbers > seen) lost += (size_t)(numbers - seen);
    }
    return lost;
}

bool tg_rows_may_pass(const struct tg_rows *rows, char *note, size_t size)
{
    static const char which[] =
        "rows that no test asks for, or of hardware that the plan does not know";
    static const char fault[] = "head was wrong, crashed or was late in";
    const bool may_pass = rows->stray_faults == 0 || !rows->plan->is_own_policy;
    /* Whose lines are imported counts its rounds as it likes; rows of others were left out above.
     */
    const bool may_be_lost = !rows->plan->asked.is_imported && rows->others == 0;
    size_t lost = 0;
    *note = 0;
    if (!may_pass)
        snprintf(note, size, "cannot pass: %s %zu of %zu %s", fault, rows->stray_faults,
                 rows->strays, which);
    else if (rows->stray_faults)
        snprintf(note, size, "left out: %zu %s; %s %zu", rows->strays, which, fault,
                 rows->stray_faults);
    else if (rows->strays)
        snprintf(note, size, "left out: %zu %s", rows->strays, which);
    for (size_t b = 0; b < rows->plan->spec.block_count && may_be_lost; b++)
        lost += count_lost(&rows->lists[b]);
    if (lost)
        snprintf(
            note + strlen(note), size - strlen(note),
            "%s%zu round%s that %s given out %s not here: lost with a worker, or with its file",
            *note ? "; " : "", lost, lost == 1 ? "" : "s", lost == 1 ? "was" : "were",
            lost == 1 ? "is" : "are");
    return may_pass;
}
