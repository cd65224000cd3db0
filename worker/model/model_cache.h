/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_MODEL_MODEL_CACHE_H
#define TG_WORKER_MODEL_MODEL_CACHE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "worker/model/synthetic.h"

/*
 * The folder of a node that keeps synthetic models, each made once: whoever needs one first makes
 * it, under a lock of its name; who comes in the meantime waits and finds it. Files are only read
 * then, by any number of processes, which so share their pages.
 *
 * A name has all that the bytes depend on, the version of the generator, too: what is there is what
 * would be made. A file of another size, or that is no synthetic model, is as if it were not there;
 * its weights are not looked at.
 */

/* The path of a model in `folder`, and whether it is there; nothing is made. */
int tg_model_cache_find(const char *folder, const struct tg_synthetic *what, char *path,
                        size_t size, bool *is_there, struct tg_error *err);

/*
 * The path of a model in `folder`, which is made if need be. *was_made becomes whether this call
 * made it; `pool` is for that.
 */
int tg_model_cache_get(const char *folder, const struct tg_synthetic *what, struct tg_pool *pool,
                       char *path, size_t size, bool *was_made, struct tg_error *err);

#endif
