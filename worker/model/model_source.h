/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_MODEL_MODEL_SOURCE_H
#define TG_WORKER_MODEL_MODEL_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "worker/model/network.h"

/*
 * Where the files of whole models come from. A row of models.def is a synthetic model, which each
 * node keeps in a folder of its own; the model `gguf` is the one file that a run is given, trained
 * by others. So a synthetic model has never the name of a real one.
 */

#define TG_MODEL_FILE "gguf" /* the value of the axis `model` for the file of the run */

struct tg_model_source {
    char cache[4096]; /* the folder of synthetic models */
    char file[4096];  /* the run's file, "" for none */
};

/*
 * What was asked for, "" for what was not: then the folder is that of TRITGATE_MODEL_CACHE, or
 * /var/tmp/tritgate-<uid>/models, which is local to a node; and the file is that of BITNET_GGUF,
 * whose path is made absolute, or none.
 */
void tg_model_source_init(struct tg_model_source *source, const char *cache, const char *file);

/*
 * The path of the file that this model is read from, and whether it is there. Fails where no file
 * could be: the model is unknown, or the run has no file.
 */
int tg_model_source_find(const struct tg_model_source *source, const char *model, char *path,
                         size_t size, bool *is_there, struct tg_error *err);

/*
 * Whether a file can be that of a run: one that is run here, and was not made here; with has_text
 * by its own vocabulary, too.
 */
int tg_model_source_check(const char *path, bool has_text, struct tg_error *err);

/*
 * A part of it, of a network whose layout was found: the weights of the smallest matrix of the
 * first block, as a session loads it, since numbers that are written out may not be ternary, as
 * those of any other model, and a scale may be none.
 */
int tg_model_source_check_weights(const struct tg_network *network, struct tg_error *err);

/*
 * Whether the layout of a real model is known well enough for its answers to mean anything. Tiles
 * of TL1 or TL2 that are only assumed are not: decoded weights are all that a check has, and so it
 * would pass whatever they are. That of type 36 is, since all published files have it.
 */
int tg_model_source_check_layout(const struct tg_network_layout *layout, struct tg_error *err);

#endif
