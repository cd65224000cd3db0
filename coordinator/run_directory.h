/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_RUN_DIRECTORY_H
#define TG_COORDINATOR_RUN_DIRECTORY_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "coordinator/gate.h"
#include "coordinator/plan.h"
#include "results/store.h"

/*
 * A run's directory: matrix.json, policy.json, plan.json, acceptance.json if there is one, worker
 * files, digests.json, reports; tries.json and sealed.json if it was gone on with.
 */

/* The name of a directory: runs/<UTC date>, and a number behind it if that is not 0. Makes runs. */
int tg_run_directory_date(int number, char *path, size_t size, struct tg_error *err);

/* Fails if there is a directory, or another file, of the name that is wanted; accepts NULL. */
int tg_run_directory_is_free(const char *wanted, struct tg_error *err);

/*
 * Makes the directory (`wanted`, or runs/<date> if it is NULL; it must not exist) and writes the
 * texts, the plan last: with it, the run is begun. `path` becomes its absolute path. Where a text
 * cannot be written nothing stays.
 */
int tg_run_directory_make(const char *wanted, const struct tg_run *texts, char *path, size_t size,
                          struct tg_error *err);

/* Removes what was made of a directory whose run did not begin; what else is in it stays. */
void tg_run_directory_unmake(const char *path);

/* A directory as a word of a shell's line, to be pasted: in quotes where it must be. */
char *tg_run_directory_word(const char *directory, char *out, size_t size);

/* Keeps other coordinators off the directory until this process ends; fails if one is at work. */
int tg_run_directory_lock(const char *path, struct tg_error *err);

/* Waits until no coordinator is at work there, for so long at most. */
void tg_run_directory_await(const char *path, double most_s);

/*
 * Makes the directory ready for one attempt more: sets its number, which is one more than any
 * worker file has, adds it with its reason to tries.json, whose text of before `run` has, breaks
 * the seal, which becomes sealed.json, and removes the reports, if any. A full disk leaves all as
 * it was.
 */
int tg_run_directory_go_on(const char *path, const struct tg_run *run, struct tg_retry *retry,
                           struct tg_error *err);

/* Fails if `file` (NULL: none) cannot be written; before anything is measured. */
int tg_run_directory_can_write(const char *file, struct tg_error *err);

/*
 * Empties the file that a receipt will be written to (NULL: none), so that what an earlier run left
 * there is not taken for this one's, however it ends. What is no plain file, or is where this
 * process prints, stays as it is.
 */
void tg_run_directory_empty_receipt(const char *file);

/* Writes the receipt of a run that measured nothing, and why, if `file` is not NULL. */
int tg_run_directory_skip(const char *file, const char *flow, const char *reason, int status,
                          struct tg_error *err);

/* Writes the receipt to a file too, if `file` is not NULL. */
int tg_run_directory_copy_receipt(const char *file, const struct tg_plan *plan,
                                  const struct tg_decision *decision, struct tg_error *err);

/*
 * Reads a stored run and plans it again, under another policy if `policy` is not NULL (a file).
 * Both are to be released.
 */
int tg_run_directory_open(const char *path, const char *policy, struct tg_run *run,
                          struct tg_plan *plan, struct tg_error *err);

/*
 * Takes into the plan the acceptance file at `path`, or, if that is NULL, the one that the run was
 * begun with, which must be the one that its plan names.
 */
int tg_run_directory_accept(const char *path, const struct tg_run *run, struct tg_plan *plan,
                            struct tg_error *err);

/*
 * Plans an opened run again as another step of its flow; `policy` as in tg_run_directory_open.
 */
int tg_run_directory_take_step(const char *step, const char *policy, const struct tg_run *run,
                               struct tg_plan *plan, struct tg_error *err);

#endif
