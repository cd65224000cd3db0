/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "coordinator/rule.h"

/*
 * Two cells whose fixed values must be near each other: |of - to| <= limit in every round. No
 * statistics: the round that is farthest off decides, and a value that is no number is farther off
 * than any. The estimate is that distance.
 */

#define ROUNDS 2 /* one process more than it takes to be lucky */

void tg_rule_parity(const struct tg_evidence *e, struct tg_verdict *v)
{
    double worst = NAN;
    bool is_finite = true;
    for (size_t r = 0; r < e->count; r++) {
        double apart = fabs(e->values[r]);
        if (!isfinite(apart)) is_finite = false;
        if (r == 0 || apart > worst) worst = apart;
    }
    v->rounds = e->count;
    if (!is_finite) {
        tg_rule_say(v, TG_FAIL, "not a number", "a difference is not finite");
        return;
    }
    v->estimate = worst;
    if (e->count > 0) v->interval = (struct tg_interval){worst, worst};
    if (e->count > 0 && !(worst <= e->rule->limit)) {
        tg_rule_say(v, TG_FAIL, "apart", "by %.3g, at most %.3g is allowed", worst, e->rule->limit);
    } else if (e->count < ROUNDS) {
        tg_rule_say(v, TG_INCONCLUSIVE, "inconclusive", "%s", "");
        v->wants_more = true;
    } else {
        tg_rule_say(v, TG_PASS, "alike", "%s", "");
    }
}
