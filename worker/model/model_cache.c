/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/model_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/model/gguf.h"

/* Of the generator: another number, when the same seed makes other bytes. */
enum { GENERATOR = 1 };

/*
 * Whether the file is there, with as many bytes as it must have, and can be read as a synthetic
 * model: one that is cut or damaged counts as none, and is made again.
 */
static int look(const char *path, int64_t bytes, bool *is_there, struct tg_error *err)
{
    struct stat status;
    struct tg_gguf *gguf;
    *is_there = false;
    if (stat(path, &status) < 0) {
        if (errno == ENOENT) return 0;
        return tg_fail(err, "cannot look at '%s': %s", path, strerror(errno));
    }
    if (status.st_size != bytes || tg_gguf_open(path, &gguf, NULL) < 0) return 0;
    *is_there = tg_gguf_find(gguf, "tritgate.synthetic") != NULL;
    tg_gguf_close(gguf);
    return 0;
}

/* The folder of a path, and those that it is in. */
static int make_folders(char *path, struct tg_error *err)
{
    int rc = 0;
    for (char *slash = strchr(path + 1, '/'); slash && rc == 0; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
            rc = tg_fail(err, "cannot make folder '%s': %s", path, strerror(errno));
        *slash = '/';
    }
    return rc;
}

int tg_model_cache_find(const char *folder, const struct tg_synthetic *what, char *path,
                        size_t size, bool *is_there, struct tg_error *err)
{
    int64_t bytes;
    if (tg_synthetic_bytes(what, &bytes, err) < 0) return -1;
    const int length = snprintf(path, size, "%s/%s-%s-%s-%" PRIu64 ".%d.gguf", folder,
                                what->model->name, what->ternary, what->head, what->seed,
                                GENERATOR);
    if (length < 0 || (size_t)length >= size || length >= 4096)
        return tg_fail(err, "the path of folder '%.100s' is too long", folder);
    return look(path, bytes, is_there, err);
}

int tg_model_cache_get(const char *folder, const struct tg_synthetic *what, struct tg_pool *pool,
                       char *path, size_t size, bool *was_made, struct tg_error *err)
{
    char lock[4096 + 8];
    int64_t bytes;
    bool is_there;
    *was_made = false;
    if (tg_model_cache_find(folder, what, path, size, &is_there, err) < 0 ||
        tg_synthetic_bytes(what, &bytes, err) < 0)
        return -1;
    if (is_there) return 0;
    if (make_folders(path, err) < 0) return -1;
    snprintf(lock, sizeof lock, "%s.lock", path);
    const int descriptor = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (descriptor < 0) return tg_fail(err, "cannot make '%s': %s", lock, strerror(errno));
    int rc = 0;
    while (flock(descriptor, LOCK_EX) < 0 && rc == 0)
        if (errno != EINTR) rc = tg_fail(err, "cannot lock '%s': %s", lock, strerror(errno));
    if (rc == 0) rc = look(path, bytes, &is_there, err);
    if (rc == 0 && !is_there) {
        rc = tg_synthetic_write(what, pool, path, err);
        *was_made = rc == 0;
    }
    close(descriptor);
    return rc;
}
