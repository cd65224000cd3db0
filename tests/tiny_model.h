/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_TESTS_TINY_MODEL_H
#define TG_TESTS_TINY_MODEL_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "worker/model/network.h"
#include "worker/model/synthetic.h"

/* The file of a tiny synthetic model, for the tests of what runs one: as setup and teardown. */

static char tiny_path[256];

static inline int tiny_make(void **state)
{
    const struct tg_synthetic what = {tg_model_find("tiny"), "I2_S", "F16", 1};
    struct tg_pool *pool;
    struct tg_error err;
    (void)state;
    const char *temporary = getenv("TMPDIR");
    snprintf(tiny_path, sizeof tiny_path, "%s/tg_tiny_XXXXXX", temporary ? temporary : "/tmp");
    int file = mkstemp(tiny_path);
    if (file < 0 || close(file) < 0 || tg_pool_create(1, NULL, &pool, &err) < 0) return -1;
    int rc = tg_synthetic_write(&what, pool, tiny_path, &err);
    tg_pool_destroy(pool);
    return rc;
}

/* Number 5 of a norm of such a file becomes none, and so each logit. */
static inline int tiny_spoil(const char *path, const char *norm)
{
    const float none = NAN;
    struct tg_gguf *gguf;
    struct tg_error err;
    if (tg_gguf_open(path, &gguf, &err) < 0) return -1;
    const struct tg_gguf_tensor *tensor = tg_gguf_tensor(gguf, norm);
    const long at = tensor ? (long)(tensor->data - gguf->bytes) + 5 * (long)sizeof none : -1;
    tg_gguf_close(gguf);
    if (at < 0) return -1;
    FILE *file = fopen(path, "r+b");
    if (!file || fseek(file, at, SEEK_SET) < 0) return -1;
    const size_t written = fwrite(&none, sizeof none, 1, file);
    return fclose(file) == 0 && written == 1 ? 0 : -1;
}

static inline int tiny_drop(void **state)
{
    (void)state;
    return unlink(tiny_path);
}

#endif
