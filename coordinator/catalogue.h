/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_CATALOGUE_H
#define TG_COORDINATOR_CATALOGUE_H

#include <stddef.h>

#include "base/error.h"
#include "base/record.h"

/*
 * The matrices or policies that lie in folders, by their names: `kernels` is kernels.json. Found,
 * asked, released.
 */

struct tg_catalogue_entry {
    char name[TG_TEXT_SIZE];
    char path[4096];
};

struct tg_catalogue {
    struct tg_catalogue_entry *entries; /* in the order of their names */
    size_t count;
};

/*
 * Finds those of all folders; one that is "" or not there has none. Where two folders have the same
 * name, it is the first one's.
 */
int tg_catalogue_find(const char *const folders[], size_t folder_count,
                      struct tg_catalogue *catalogue, struct tg_error *err);

/* The path of that name, or NULL. */
const char *tg_catalogue_path(const struct tg_catalogue *catalogue, const char *name);

/* "gpu, kernels and models", or "none". */
char *tg_catalogue_names(const struct tg_catalogue *catalogue, char *out, size_t size);

void tg_catalogue_release(struct tg_catalogue *catalogue);

#endif
