/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/executed.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "kernels/isa.h"

/* What all threads do together, of one instruction set or of all. */
struct work {
    const struct tg_library *library;
    uint64_t isa;
    _Atomic uint64_t count;
};

static bool counts(const struct tg_library *library)
{
    return library->abi >= 2 && library->calls;
}

static void forget(void *opaque, int part)
{
    const struct work *w = opaque;
    struct tg_calls *calls = w->library->calls();
    (void)part;
    for (uint64_t i = 0; i < w->library->isa_count; i++) calls[i].count = 0;
}

static void add(void *opaque, int part)
{
    struct work *w = opaque;
    (void)part;
    atomic_fetch_add(&w->count, w->library->calls()[w->isa].count);
}

static bool is_same_code(const char *isa, const char *requested)
{
    const struct tg_isa *a = tg_isa_find(isa), *b = tg_isa_find(requested);
    return strcmp(isa, requested) == 0 || (a && b && strcmp(a->flags, b->flags) == 0);
}

void tg_executed_forget(const struct tg_library *library, struct tg_pool *pool)
{
    struct work w = {.library = library};
    if (!counts(library)) return;
    tg_pool_run(pool, forget, &w);
    tg_pool_rest(pool);
}

void tg_executed_look(const struct tg_library *library, struct tg_pool *pool,
                      struct tg_measurement *m)
{
    struct tg_facts *facts = &m->facts;
    const char *other = NULL;
    size_t used = 0, size = sizeof facts->isa_executed;
    snprintf(facts->isa_executed, size, "%s", counts(library) ? "none" : "uncounted");
    if (!counts(library)) return;
    facts->isa_calls = 0;
    for (uint64_t i = 0; i < library->isa_count; i++) {
        struct work w = {.library = library, .isa = i};
        const char *isa = library->calls()[i].isa;
        tg_pool_run(pool, add, &w);
        if (w.count == 0) continue;
        if (!is_same_code(isa, facts->isa_requested)) other = isa;
        facts->isa_calls += (int64_t)w.count;
        if (used < size)
            used += (size_t)snprintf(facts->isa_executed + used, size - used, "%s%s",
                                     used > 0 ? "+" : "", isa);
    }
    tg_pool_rest(pool);
    if (m->outcome != TG_MEASURED || (facts->isa_calls > 0 && !other)) return;
    m->outcome = TG_WRONG;
    if (other)
        snprintf(m->reason, sizeof m->reason, "its row says '%s', and a kernel for '%s' was called",
                 facts->isa_requested, other);
    else
        snprintf(m->reason, sizeof m->reason, "no call of a kernel was counted");
}
