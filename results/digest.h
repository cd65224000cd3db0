/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_RESULTS_DIGEST_H
#define TG_RESULTS_DIGEST_H

#include <stddef.h>

#include "base/error.h"

/*
 * SHA-256 (FIPS 180-4), the name of a content: of rows, so that a changed store is noticed, and of
 * libraries and files, so that a result says what made it. A digest is created, fed bytes in any
 * portions, finished as often as wanted (each time it begins anew), and destroyed.
 *
 * The only door to libcrypto.
 */

enum {
    TG_DIGEST_SIZE = 65 /* 64 lower-case hexadecimal digits and a zero byte */
};

struct tg_digest; /* bytes taken in so far */

/* A digest of nothing yet, to be ended by tg_digest_destroy; NULL when there is no memory. */
struct tg_digest *tg_digest_create(struct tg_error *err);

/* Takes in `size` more bytes. What goes wrong here is told by tg_digest_finish. */
void tg_digest_update(struct tg_digest *digest, const void *bytes, size_t size);

/* Writes the digest of all bytes since creation or the last finish, and begins anew. */
int tg_digest_finish(struct tg_digest *digest, char hex[TG_DIGEST_SIZE], struct tg_error *err);

/* Accepts NULL. */
void tg_digest_destroy(struct tg_digest *digest);

/* Writes the digest of bytes that are at hand; of a text, without its zero byte. */
int tg_digest_bytes(const void *bytes, size_t size, char hex[TG_DIGEST_SIZE], struct tg_error *err);
int tg_digest_text(const char *text, char hex[TG_DIGEST_SIZE], struct tg_error *err);

/* Writes the digest of what the file at `path` holds now; a pipe is none. */
int tg_digest_file(const char *path, char hex[TG_DIGEST_SIZE], struct tg_error *err);

#endif
