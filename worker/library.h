/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_LIBRARY_H
#define TG_WORKER_LIBRARY_H

#include <stdbool.h>

#include "base/error.h"
#include "kernels/kernel.h"
#include "results/measurement.h"

/*
 * A build of the kernels, opened from its file. Only a child opens one: a foreign file may do
 * anything when it is loaded.
 */

/*
 * Opens the library and checks that it is one of ours, of this version's table. It stays open until
 * the process ends.
 */
int tg_library_open(const char *path, const struct tg_library **library, struct tg_error *err);

/*
 * Opens it and finds a kernel of it, which must run here; the facts become what is known of both.
 */
int tg_library_open_kernel(const char *path, const char *name, struct tg_facts *facts,
                           const struct tg_library **library, const struct tg_kernel **kernel,
                           struct tg_error *err);

/* The row of that name, or NULL. */
const struct tg_kernel *tg_library_find(const struct tg_library *library, const char *name);

/* Whether a file has another SHA-256 than that, or cannot be read. */
bool tg_library_was_changed(const char *path, const char *digest);

/* The path of the library that was built with this program: it lies beside it. */
int tg_library_own_path(char *path, size_t size, struct tg_error *err);

#endif
