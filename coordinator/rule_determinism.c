/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "coordinator/rule.h"

/*
 * One cell whose fixed value must be the same, to the last bit, in every round: each is a fresh
 * process, with its own addresses. It passes after rounds_min rounds (2 at least), and fails at the
 * first that differs, or that is no number.
 */
void tg_rule_determinism(const struct tg_evidence *e, struct tg_verdict *v)
{
    size_t least = e->limits->rounds_min > 2 ? (size_t)e->limits->rounds_min : 2;
    v->rounds = e->count;
    for (size_t r = 0; r < e->count; r++) {
        if (isfinite(e->values[r]) && e->values[r] == e->values[0]) continue;
        if (isfinite(e->values[r]))
            tg_rule_say(v, TG_FAIL, "not deterministic", "the same input gave %.17g and %.17g",
                        e->values[0], e->values[r]);
        else
            tg_rule_say(v, TG_FAIL, "not a number", "the value is not finite");
        return;
    }
    if (e->count > 0) {
        v->estimate = e->values[0];
        v->interval = (struct tg_interval){v->estimate, v->estimate};
    }
    v->wants_more = e->count < least;
    tg_rule_say(v, v->wants_more ? TG_INCONCLUSIVE : TG_PASS,
                v->wants_more ? "inconclusive" : "the same", "%s", "");
}
