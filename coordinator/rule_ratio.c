/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>

#include "coordinator/rule.h"

/*
 * `of` is at least `limit` times better than `to`. The advantage is A = ln(to/of) where lower is
 * better, its negative where higher is, and D = ln(limit) - A: it passes when D >= 0 is refuted and
 * fails when D <= 0 is. The estimate is the advantage as a ratio less 1.
 */
void tg_rule_ratio(const struct tg_evidence *e, struct tg_verdict *v)
{
    double sign = e->metric->better == TG_LOWER ? 1 : -1;
    struct tg_progress progress = tg_rule_follow(e, sign, log(e->rule->limit), 0, 0, v);
    tg_rule_estimate(e, -sign, v);
    if (progress.is_over) {
        v->answer = TG_FAIL;
        snprintf(v->word, sizeof v->word, "too little");
        snprintf(v->reason, sizeof v->reason, "%.3gx, at least %.3gx is demanded", 1 + v->estimate,
                 e->rule->limit);
    } else if (progress.is_clean) {
        v->answer = TG_PASS;
        snprintf(v->word, sizeof v->word, "enough");
    } else {
        v->answer = TG_INCONCLUSIVE;
        v->wants_more = true;
        snprintf(v->word, sizeof v->word, "inconclusive");
    }
}
