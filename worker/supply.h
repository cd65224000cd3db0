/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_SUPPLY_H
#define TG_WORKER_SUPPLY_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "worker/model/model_source.h"

/*
 * Sees to it that the file of a whole model is on this node before a round needs it: a synthetic
 * one that is not there is made, by a child, which only the first round of a node waits for.
 */

/*
 * The path of the model's file. `within_s` is how long making it may take, with so many threads.
 */
int tg_supply_model(const struct tg_model_source *source, const char *model, int threads,
                    double within_s, char *path, size_t size, struct tg_error *err);

#endif
