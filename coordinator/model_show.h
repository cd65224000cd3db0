/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_MODEL_SHOW_H
#define TG_COORDINATOR_MODEL_SHOW_H

#include "base/error.h"
#include "base/json.h"

/*
 * What a GGUF file holds, as an object that is printed as JSON or as text:
 *
 *   file, bytes, sha256, version, alignment
 *   network      architecture, gate, pairing and the numbers of worker/model/network.h, and `like`,
 *                the row of models.def that has these numbers; or `not_run`, why there is none
 *   layout       how the ternary matrices lie: format, is_assumed, possible; or `not_run`, as where
 *                they are not ternary
 *   text         tokens, of the vocabulary; or `not_run`
 *   types        of the tensors: name, tensors, bytes
 *   values       key, kind, and the value, or how many there are; a number that JSON has not is a
 *                text: an integer above 2^53, nan, inf
 *   tensors      name, type, dimensions (columns first), offset, bytes
 *
 * The caller releases it.
 */
int tg_model_show_read(const char *path, struct tg_json_file *object, struct tg_error *err);

/* The text of such an object on standard output; all tensors, too, or their types only. */
void tg_model_show_print(const struct tg_json *object, bool has_tensors);

#endif
