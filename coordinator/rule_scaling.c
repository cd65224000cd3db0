/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "coordinator/rule.h"

/*
 * Memory against the size of the model. D is the logarithm of how many times more `of` takes than
 * `to`, less that of how many times larger its model is: 0 is proportional, below it lies a part
 * that does not grow with the model. It fails when D <= ln(1 + tolerance) is refuted and the
 * estimate is at least the margin, as noninferior does, and passes when D >= ln(1 + margin) is; in
 * between it is attention.
 */

/* It is out of proportion for certain: by how much. */
static void is_out(double margin, struct tg_verdict *v)
{
    bool is_large = log1p(v->estimate) >= margin - 1e-9;
    tg_rule_say(v, is_large ? TG_FAIL : TG_PASS, is_large ? "out of proportion" : "attention",
                "%.3g %% more than its model is larger%s", 100 * v->estimate,
                is_large ? "" : ", which is below the margin");
}

void tg_rule_scaling(const struct tg_evidence *e, struct tg_verdict *v)
{
    const struct tg_rule *rule = e->rule;
    double floor = log1p(rule->tolerance), margin = log1p(rule->margin);
    struct tg_progress progress = tg_rule_follow(e, 1, 0, floor, margin, v);
    tg_rule_answer(&progress, "out of proportion", "in proportion", v);
    if (progress.is_over || !e->is_brief) tg_rule_estimate(e, 1, &v->units, v);
    if (progress.is_over) is_out(margin, v);
    double line = progress.is_over ? floor : margin;
    tg_rule_say_since(v, progress.is_over, log1p(v->estimate) >= line - 1e-9,
                      "%.3g %% more than its model is larger", 100 * v->estimate);
    tg_rule_look_at_nodes(e, 1, 0, floor, margin - 1e-9, v);
}
