/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_VOCABULARY_H
#define TG_COORDINATOR_VOCABULARY_H

#include "base/error.h"
#include "base/json.h"
#include "matrix/words.h"
#include "worker/survey.h"

/* The names that matrices and policies may use here: those of the tables, and of the libraries. */

/*
 * Gathers them; the kernels are those of this program and of the surveys (`count` of them), which
 * are head's and base's; those that only head has are new ones (spec.h), too. The words are
 * borrowed from the tables and surveys but for their traits; release frees those.
 */
int tg_vocabulary_gather(const struct tg_survey *const surveys[], size_t count,
                         struct tg_words *words, struct tg_error *err);

/*
 * Adds the values that a matrix writes out, for axes whose values are named: what was measured
 * elsewhere may have probes, models and layers that are in none of our tables.
 */
int tg_vocabulary_add_values(struct tg_words *words, const struct tg_json_file *matrix,
                             struct tg_error *err);

void tg_vocabulary_release(struct tg_words *words);

#endif
