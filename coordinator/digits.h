/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_DIGITS_H
#define TG_COORDINATOR_DIGITS_H

#include "coordinator/evidence.h"
#include "coordinator/plan.h"
#include "coordinator/rule.h"

/*
 * Numbers that others measured are as fine as they were written: 1.44 and 1.36, as 1.4. Where the
 * noise is below the last digit, rounds repeat the same error, and no number of them averages it
 * away. So an answer must be the same whichever way the numbers were rounded.
 */

/*
 * Takes back what was answered about the rounds of a pair, in a metric that depends on time, where
 * it is another answer if each round's value is one step of the last digit more, or less: half a
 * step of either cell. A failure that fewer than min_sessions runs or nodes would then have seen is
 * held. A cell's last digit is the last one, before the point or behind it, that any of its samples
 * has. Passes of rounds that have one value are taken back as well (tg_rule_doubt_copies). Of a
 * head that is three times as good as base or more the verdict asks whether that is the same work:
 * nobody here saw it done.
 */
void tg_digits_doubt(const struct tg_rounds *rounds, const struct tg_evidence *evidence,
                     struct tg_verdict *verdict);

/*
 * How many of a test's rounds its family may look at: of imported ones none where a step of the
 * last digit is not small beside the family's tolerance, since families are not doubted.
 */
size_t tg_digits_of_family(const struct tg_plan *plan, size_t test, const struct tg_rounds *rounds);

#endif
