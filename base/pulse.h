/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_BASE_PULSE_H
#define TG_BASE_PULSE_H

#include <stdbool.h>

/*
 * What a process does while it waits long for something else than messages, such as a child or a
 * lock: it says that it is alive, and hears whether what it waits for is still wanted. Who waits
 * calls tg_pulse at least twice a second; what is done then is said once, by who opens the wire.
 */

/* What is to be done: `beat` of `whom`, which says whether to go on. NULL: nothing. */
void tg_pulse_set(bool (*beat)(void *whom), void *whom);

/* Does it. False: whoever waits is to give up, soon. True where nothing was set. */
bool tg_pulse(void);

/*
 * From now on the first of SIGINT, SIGTERM and SIGHUP, which comes of a terminal that is closed,
 * asks for the end: what is under way comes to its own, what still waits to begin gives up. Not
 * SIGHUP where it is ignored, as by nohup: the process is to outlive its terminal.
 */
void tg_pulse_heed_signals(void);

/* Whether the end was asked for. */
bool tg_pulse_is_ending(void);

#endif
