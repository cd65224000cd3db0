/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/skipped.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tg_skipped {
    const struct tg_plan *plan;
    const struct tg_run *texts;
    char path[4096 + 64];
    int64_t attempt;
    struct tg_store *store; /* NULL before the first row */
};

struct tg_skipped *tg_skipped_open(const struct tg_plan *plan, const struct tg_run *texts,
                                   const char *directory, int64_t attempt)
{
    struct tg_skipped *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->plan = plan;
    s->texts = texts;
    s->attempt = attempt;
    snprintf(s->path, sizeof s->path, "%s/worker-0000.%" PRId64 ".h5", directory, attempt);
    return s;
}

int tg_skipped_add(struct tg_skipped *skipped, size_t block, int64_t round, const char *host,
                   const char *reason, struct tg_measurement rows[2], struct tg_error *err)
{
    const struct tg_plan *plan = skipped->plan;
    const struct tg_block *b = &plan->spec.blocks[block];
    const struct tg_store_plan texts = {skipped->texts->matrix, skipped->texts->policy,
                                        skipped->texts->plan};
    if (!skipped->store && tg_store_create(skipped->path, &texts, &skipped->store, err) < 0)
        return -1;
    for (size_t i = 0; i < b->cell_count; i++) {
        struct tg_measurement *m = &rows[i];
        tg_measurement_init(m);
        m->cell = b->cells[i];
        m->round = round;
        m->attempt = skipped->attempt;
        m->outcome = TG_SKIPPED;
        snprintf(m->block, sizeof m->block, "%s", b->text);
        snprintf(m->reason, sizeof m->reason, "%s", reason);
        snprintf(m->facts.host, sizeof m->facts.host, "%s", host);
        snprintf(m->facts.hardware, sizeof m->facts.hardware, "%s", plan->classes[b->hardware]);
        if (tg_store_append(skipped->store, m, err) < 0) return -1; /* rows of this own nothing */
    }
    return 0;
}

bool tg_skipped_has(const struct tg_run *run, size_t row)
{
    const struct tg_measurement *m = &run->rows[row];
    for (size_t i = row > 0 ? row - 1 : 0; i <= row + 1 && i < run->count; i++)
        if (run->rows[i].outcome == TG_SKIPPED && run->rows[i].attempt == m->attempt &&
            run->rows[i].round == m->round && strcmp(run->rows[i].block, m->block) == 0)
            return true;
    return false;
}

int tg_skipped_close(struct tg_skipped *skipped, struct tg_error *err)
{
    if (!skipped) return 0;
    int rc = tg_store_close(skipped->store, err);
    free(skipped);
    return rc;
}
