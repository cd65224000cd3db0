/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>

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
        bool is_finite = isfinite(e->values[r]);
        v->answer = TG_FAIL;
        snprintf(v->word, sizeof v->word, is_finite ? "not deterministic" : "not a number");
        snprintf(v->reason, sizeof v->reason,
                 is_finite ? "the same input gave %.17g and %.17g" : "the value is not finite",
                 e->values[0], e->values[r]);
        return;
    }
    if (e->count > 0) {
        v->estimate = e->values[0];
        v->interval = (struct tg_interval){v->estimate, v->estimate};
    }
    v->answer = e->count < least ? TG_INCONCLUSIVE : TG_PASS;
    v->wants_more = e->count < least;
    snprintf(v->word, sizeof v->word, e->count < least ? "inconclusive" : "the same");
}
