/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_ULFM_H
#define TG_WORKER_ULFM_H

#include <stdbool.h>

/*
 * User-Level Failure Mitigation, where MPI has it: a rank that dies is told of, and the others go
 * on. wire.h alone uses this. In a build without it, and where the launcher did not switch it on
 * (mpirun --with-ft ulfm), MPI ends all ranks when one dies.
 */

/* Whether this build has it. */
bool tg_ulfm_is_built(void);

/*
 * When MPI has begun: whether it is switched on. From then on a call of MPI that fails says so,
 * rather than end all ranks. Such a launcher does not take its ranks with it when it dies, so this
 * ties them to it.
 */
bool tg_ulfm_open(void);

/* Marks the ranks that have died by now. What comes of any rank then no longer fails by them. */
void tg_ulfm_look(bool *is_dead);

/* Whether it was the death of a rank that a call of MPI failed of. */
bool tg_ulfm_is_death(int rc);

#endif
