/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_GUARD_H
#define TG_COORDINATOR_GUARD_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The guard of a flow: where another flow is running, as an environment variable says, nothing is
 * measured, and that is said in a line and an exit status of the policy's.
 *
 *   "guard": {"env": "CURRENT_FLOW", "equals": "generative", "else": "skipped (out-of-scope)",
 *             "gate": "guard", "exit": 0}
 */

/*
 * Whether the guard in the text of a policy stops the run: its variable is set, and to another
 * value. Then `line` is what is to be printed, "generative:gate:guard = skipped (out-of-scope)". A
 * text that is no policy, or whose guard is not as matrix/flow.h wants it, stops nothing here; who
 * reads it next refuses it.
 */
bool tg_guard_stops(const char *policy, char *line, size_t size, int *status);

#endif
