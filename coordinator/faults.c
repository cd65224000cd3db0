/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/faults.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernel.h"
#include "worker/probe/probe.h"

/* A kernel of a build that broke. */
struct suspect {
    const struct tg_cell *cell;           /* any of it */
    const struct tg_measurement *there;   /* on a device with this name */
    const struct tg_measurement *besides; /* beside a cell that was measured */
    bool on_two, twice;                   /* and on another one; and in another round */
    bool twice_on_host;                   /* ... of a kernel that runs on none */
    bool since, again; /* that device measured it in order since then; and it broke there again */
    struct suspect *next;
};

struct tg_faults {
    struct suspect *suspects;
};

struct tg_faults *tg_faults_create(void)
{
    return calloc(1, sizeof(struct tg_faults));
}

void tg_faults_destroy(struct tg_faults *faults)
{
    if (!faults) return;
    for (struct suspect *s = faults->suspects, *next; s; s = next) {
        next = s->next;
        free(s);
    }
    free(faults);
}

bool tg_faults_is_named(const struct tg_measurement *m)
{
    return strcmp(m->facts.gpu_uuid, "unknown") != 0;
}

bool tg_faults_is_on_device(const struct tg_measurement *m)
{
    return tg_faults_is_named(m) || (m->facts.rank >= 0 && tg_probe_is_on_device(&m->cell));
}

bool tg_faults_failed_there(const struct tg_measurement *m)
{
    return m->outcome != TG_MEASURED && m->outcome != TG_WRONG && !tg_measurement_was_killed(m) &&
           tg_faults_is_on_device(m);
}

static bool is_instance(const struct tg_measurement *m)
{
    return strncmp(m->facts.gpu_uuid, "MIG-", 4) == 0;
}

bool tg_faults_may_share(const struct tg_measurement *a, const struct tg_measurement *b)
{
    if (strcmp(a->facts.host, b->facts.host) != 0) return false;
    return !tg_faults_is_named(a) || !tg_faults_is_named(b) || (is_instance(a) && is_instance(b)) ||
           strcmp(a->facts.gpu_uuid, b->facts.gpu_uuid) == 0;
}

char *tg_faults_device(const struct tg_measurement *m, char out[TG_DEVICE_NAME_SIZE])
{
    snprintf(out, TG_DEVICE_NAME_SIZE, "%s of %s", m->facts.gpu_uuid, m->facts.host);
    return out;
}

bool tg_faults_is_same_round(const struct tg_measurement *a, const struct tg_measurement *b)
{
    return a->session == b->session && a->attempt == b->attempt && a->round == b->round &&
           strcmp(a->block, b->block) == 0 && strcmp(a->facts.hardware, b->facts.hardware) == 0;
}

static bool is_of_base(const struct tg_cell *cell)
{
    return strcmp(cell->build, "base") == 0;
}

/* Head's copy is head. */
static struct suspect *find(const struct tg_faults *faults, const struct tg_cell *cell)
{
    struct suspect *s = faults->suspects;
    while (s &&
           (strcmp(s->cell->kernel, cell->kernel) != 0 || is_of_base(s->cell) != is_of_base(cell)))
        s = s->next;
    return s;
}

static struct suspect *find_or_add(struct tg_faults *faults, const struct tg_cell *cell)
{
    struct suspect *s = find(faults, cell);
    if (s || !(s = calloc(1, sizeof *s))) return s;
    s->cell = cell;
    s->next = faults->suspects;
    return faults->suspects = s;
}

/* What was skipped says nothing of the kernel. */
static bool broke(const struct tg_measurement *m)
{
    return (m->outcome == TG_CRASHED || m->outcome == TG_LATE) && !tg_measurement_was_killed(m);
}

/* Whether a cell was to run on no device, as far as this program knows its kernel. */
static bool is_on_host(const struct tg_measurement *m)
{
    const struct tg_kernel *kernel = tg_kernel_find(m->cell.kernel);
    return m->facts.rank >= 0 && kernel && strcmp(kernel->device, "cpu") == 0 &&
           !tg_faults_is_named(m);
}

/* Whether a cell was found right, or sampled, where another one broke: on a device, or on none. */
static bool was_in_order_beside(const struct tg_measurement *other, const struct tg_measurement *m)
{
    if (other->outcome != TG_MEASURED) return false;
    if (tg_faults_is_on_device(m)) return other->series_count > 0 && tg_faults_is_on_device(other);
    return is_on_host(m) && (other->series_count > 0 || other->facts.checked > 0);
}

static bool broke_beside(const struct tg_measurement *m, const struct tg_measurement *other)
{
    return broke(m) && was_in_order_beside(other, m);
}

/* Whether a row is of the worker and attempt of which another one is: these come in their order. */
static bool is_of_same_file(const struct tg_measurement *a, const struct tg_measurement *b)
{
    return a->session == b->session && a->attempt == b->attempt && a->facts.rank == b->facts.rank;
}

/* Notes that a kernel was measured in order, if it broke there before. */
static void note_order(struct tg_faults *faults, const struct tg_measurement *m)
{
    struct suspect *s = faults->suspects ? find(faults, &m->cell) : NULL;
    if (s && s->there && is_of_same_file(s->there, m) && tg_faults_may_share(s->there, m))
        s->since = true;
}

/* Notes a break, and whether the device measured the other cell of the round meanwhile. */
static int note(struct tg_faults *faults, const struct tg_measurement *m, bool is_beside)
{
    struct suspect *s = find_or_add(faults, &m->cell);
    if (!s) return -1;
    if (tg_faults_is_named(m)) {
        if (!s->there) s->there = m;
        s->on_two = s->on_two || !tg_faults_may_share(s->there, m);
        s->again = s->again || (s->since && is_of_same_file(s->there, m));
    }
    if (!is_beside) return 0;
    if (!s->besides) s->besides = m;
    if (!tg_faults_is_same_round(s->besides, m))
        *(tg_faults_is_on_device(m) ? &s->twice : &s->twice_on_host) = true;
    return 0;
}

int tg_faults_take(struct tg_faults *faults, const struct tg_measurement *const rows[],
                   size_t count)
{
    const struct tg_measurement *m = rows[count - 1];
    bool is_whole = m->outcome == TG_MEASURED && !m->unpaired;
    if (is_whole && tg_faults_is_named(m)) note_order(faults, m);
    if (is_whole || m->outcome == TG_WRONG || m->outcome == TG_SKIPPED) return 0;
    int rc = broke(m) ? note(faults, m, false) : 0;
    for (size_t i = 0; rc == 0 && i < count - 1; i++) {
        if (!tg_faults_is_same_round(rows[i], m)) continue;
        if (broke_beside(m, rows[i])) rc = note(faults, m, true);
        if (broke_beside(rows[i], m)) rc = note(faults, rows[i], true);
    }
    return rc;
}

bool tg_faults_is_kernels_there(const struct tg_faults *faults, const struct tg_cell *cell)
{
    const struct suspect *s = faults ? find(faults, cell) : NULL;
    return s && (s->on_two || s->twice || s->again);
}

/* Whether two cells are of base's and of head's build of one kernel. */
static bool are_rivals(const struct tg_cell *a, const struct tg_cell *b)
{
    return strcmp(a->kernel, b->kernel) == 0 && is_of_base(a) != is_of_base(b);
}

bool tg_faults_is_kernels(const struct tg_faults *faults, const struct tg_cell *cell)
{
    const struct suspect *s = faults ? find(faults, cell) : NULL;
    if (!s || s->twice_on_host || tg_faults_is_kernels_there(faults, cell)) return s != NULL;
    for (const struct suspect *other = faults->suspects; other; other = other->next)
        if (other->twice_on_host && are_rivals(other->cell, cell)) return true;
    return false;
}
