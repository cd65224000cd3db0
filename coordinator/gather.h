/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_GATHER_H
#define TG_COORDINATOR_GATHER_H

#include <stddef.h>

#include "base/error.h"
#include "coordinator/crew.h"
#include "results/store.h"

/*
 * The workers' files, brought into the coordinator's directory. Where nodes share a file system
 * they are there already, and nothing is sent: a file is there if it has the size that its worker
 * tells of, or more, since no two files of a run have one name. Where they do not, a worker writes
 * into a directory of its own by the same path; its file comes as parts (worker/parcel.h), is
 * compared by its digest, and only then gets its name. It stays where it was written, too.
 *
 * This is done twice: before a run goes on, for what was left on nodes when it was killed, and at
 * its end, before it is sealed. Workers close their files for it.
 */

/*
 * Brings what `directory` lacks of the files of this run's workers, and sets *count to how many
 * came. What one worker cannot give keeps no other from giving: the last such failure is returned.
 * A file of another run, which a node may have kept by the same path, is left out with a warning.
 * A worker that is lost is not asked, and is such a failure: what it wrote may be elsewhere, and it
 * may wake and leave in order before the run is sealed. Nor is one that is dead, which is none:
 * what it told of is looked for before that.
 */
int tg_gather(struct tg_crew *crew, const char *directory, const struct tg_store_plan *run,
              size_t *count, struct tg_error *err);

#endif
