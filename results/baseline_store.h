/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_RESULTS_BASELINE_STORE_H
#define TG_RESULTS_BASELINE_STORE_H

#include <stddef.h>

#include "base/error.h"
#include "results/baseline.h"

/*
 * A directory of baselines, each with the kernel library that it is of, so that a run which finds
 * head slower than the numbers can compare head with the library itself.
 *
 *   entries/<name>.json        a baseline; the name is that of tg_baseline_name
 *   libraries/<SHA-256>.so     kernel libraries, named by their content
 *   lock                       held while something is promoted
 *
 * What is written is written beside its place, brought to disk and renamed, the library before the
 * baseline that needs it; so a kill leaves what was there before. To take a baseline back, remove
 * its file.
 */

/* What a file of a store holds: a baseline, or why it cannot be used. */
struct tg_baseline_entry {
    char name[TG_TEXT_SIZE]; /* of the file, without ".json" */
    struct tg_baseline baseline;
    char error[400]; /* "" if the baseline was read */
};

struct tg_baseline_entries {
    struct tg_baseline_entry *list; /* the newest first, what cannot be used last */
    size_t count;
};

/*
 * Adds a baseline to a store, which is made if it is not there, and the library at that path, whose
 * content must be the one that the baseline is of. Where the store has one of the same name that
 * has not expired at `now` (UTC, as in a baseline), its sessions are kept before the new ones, in
 * *baseline too. Fails, and changes nothing, if the sessions do not agree.
 */
int tg_baseline_store_promote(const char *store, struct tg_baseline *baseline, const char *library,
                              const char *now, struct tg_error *err);

/* Reads all entries; to be released. Fails if there is no store. */
int tg_baseline_store_read(const char *store, struct tg_baseline_entries *entries,
                           struct tg_error *err);

void tg_baseline_store_release(struct tg_baseline_entries *entries);

/*
 * The newest baseline of that key (whatever its canary, if the key's is "") that has not expired at
 * `now`. If there is none, NULL, and `why`
 * says what keeps the one that comes nearest from being used.
 */
const struct tg_baseline *tg_baseline_store_choose(const struct tg_baseline_entries *entries,
                                                   const struct tg_baseline_key *key,
                                                   const char *now, char *why, size_t size);

/* Writes the path of a library of a store; fails if it is not there or is not what its name says.
 */
int tg_baseline_store_library(const char *store, const char *digest, char *path, size_t size,
                              struct tg_error *err);

#endif
