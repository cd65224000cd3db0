/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_ROUTE_H
#define TG_COORDINATOR_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "coordinator/gate.h"
#include "coordinator/plan.h"

/*
 * Where a decision goes next: the first route of the flow's step that holds, and what its receiver
 * is given. A pure function of plan and decision.
 */

/* The route that is taken, or NULL if the step has none that holds. */
const struct tg_flow_route *tg_route_choose(const struct tg_plan *plan,
                                            const struct tg_decision *decision);

/*
 * Whether a test is one that made the route hold. For a route of a pass: one that compared builds.
 * The receiver is given these.
 */
bool tg_route_is_about(const struct tg_plan *plan, const struct tg_decision *decision,
                       const struct tg_flow_route *route, size_t test);

/* How many further attempts of a kind a step allows. */
size_t tg_route_retries(const struct tg_flow_step *step, enum tg_try kind);

/*
 * Why a test was skipped, as the flow's registry says it: the reason of the first entry whose cells
 * it matches, else the verdict's own.
 */
const char *tg_route_skip_reason(const struct tg_plan *plan, const struct tg_decision *decision,
                                 size_t test);

#endif
