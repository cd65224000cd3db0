/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_PARCEL_H
#define TG_WORKER_PARCEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"

/*
 * Whole files as messages. A node that shares no file system with the coordinator has a run
 * directory of its own, by the same path; the file that its worker wrote there is told of by name
 * and size, read part by part in the order of its bytes, and compared by its digest. Messages are
 * text, so bytes are written as two digits each. No more than a part of a file is in memory.
 */

#define TG_PARCEL_PART_BYTES (1 << 20)

/* Whether this is the name of a worker's file, worker-<rank>.<attempt>.h5: no path. */
bool tg_parcel_is_name(const char *name);

/*
 * Adds {"name":…, "bytes":…} to a list for each worker's file of a directory, in no order; for
 * `only` this one if that is not NULL, and for none that `had`, a list as this one, has with its
 * size. Nothing is added where there is no such file.
 */
void tg_parcel_list(const char *directory, const char *only, const struct tg_json *had,
                    struct tg_json *list);

/*
 * Adds the part of a file that begins at byte `at`: {"part":digits, "left":bytes behind it}, and
 * with the last one "digest" of the whole. The file must not change meanwhile.
 */
int tg_parcel_read(const char *directory, const char *name, int64_t at, struct tg_json *answer,
                   struct tg_error *err);

/* The bytes of a part, which the caller frees. */
int tg_parcel_decode(const char *part, unsigned char **bytes, size_t *size, struct tg_error *err);

#endif
