/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_GUARD_H
#define TG_COORDINATOR_GUARD_H

#include "matrix/cell.h"
#include <stdbool.h>

/*
 * The guard of a flow: where another flow is running, as an environment variable says, nothing is
 * measured, and that is said in a line and an exit status of the policy's.
 *
 *   "guard": {"env": "CURRENT_FLOW", "equals": "generative", "else": "skipped (out-of-scope)",
 *             "gate": "guard", "exit": 0}
 */

/* What it says. */
struct tg_guard_word {
    char line[256]; /* to be printed, "generative:gate:guard = skipped (out-of-scope)" */
    char flow[TG_TEXT_SIZE], reason[TG_TEXT_SIZE]; /* "generative", "out-of-scope" */
    int status;
};

/*
 * Whether the guard in the text of a policy stops the run: its variable is set, and to another
 * value. Then *word is set. A text that is no policy, or whose guard is not as matrix/flow.h wants
 * it, stops nothing here; who reads it next refuses it.
 */
bool tg_guard_stops(const char *policy, struct tg_guard_word *word);

#endif
