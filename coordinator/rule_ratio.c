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
    double sign = e->metric->better == TG_LOWER ? 1 : -1, shift = log(e->rule->limit);
    struct tg_progress progress = tg_rule_follow(e, sign, shift, 0, 0, v);
    if (progress.is_over || !e->is_brief) tg_rule_estimate(e, -sign, NULL, v);
    tg_rule_answer(&progress, "too little", "enough", v);
    if (progress.is_over)
        snprintf(v->reason, sizeof v->reason, "%.3gx, at least %.3gx is demanded", 1 + v->estimate,
                 e->rule->limit);
    tg_rule_say_since(v, progress.is_over, 1 + v->estimate < e->rule->limit,
                      "%.3gx, at least %.3gx is demanded", 1 + v->estimate, e->rule->limit);
    tg_rule_look_at_nodes(e, sign, shift, NAN, 1e-9, v);
}
