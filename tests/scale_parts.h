/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_TESTS_SCALE_PARTS_H
#define TG_TESTS_SCALE_PARTS_H

#include <stdio.h>

/*
 * What a coordinator does with the end of a round, by parts: the linker puts functions here
 * (--wrap) before those that dispatch calls, and each takes the time. It lasts from the end of
 * tg_crew_hear to the next call of it. Told are medians: they leave out what other work of the
 * machine did meanwhile, and do not add up exactly.
 */

/* The answers to come are counted, those before are forgotten. */
void tg_parts_begin(void);

/*
 * Drives all that is cached out by so many MB as SCALE_COLD says, so that what comes next finds
 * nothing there; without it nothing.
 */
void tg_parts_cool(void);

/* An answer was heard; it is done with. */
void tg_parts_heard(void);
void tg_parts_done(void);

/* Writes a line for each part, in microseconds. */
void tg_parts_tell(FILE *out);

#endif
