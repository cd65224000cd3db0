/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/part_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char ending[] = ".part";

static int lock(int descriptor)
{
    while (flock(descriptor, LOCK_EX) < 0)
        if (errno != EINTR) return -1;
    return 0;
}

/* 1 if the file is still that of the path, 0 if whoever had it has renamed or removed it. */
static int is_there(int descriptor, const char *path, struct stat *own)
{
    struct stat there;
    if (fstat(descriptor, own) < 0) return -1;
    if (lstat(path, &there) < 0) return errno == ENOENT ? 0 : -1;
    return own->st_dev == there.st_dev && own->st_ino == there.st_ino;
}

int tg_part_file_open(const char *path, struct tg_part_file *part, struct tg_error *err)
{
    struct tg_part_file p = {.descriptor = -1};
    struct stat own;
    const int length = snprintf(p.path, sizeof p.path, "%s%s", path, ending);
    if (length < 0 || (size_t)length >= sizeof p.path)
        return tg_fail(err, "the path '%.100s...' is too long", path);
    for (int is_own = 0; !is_own;) {
        /* Links are not followed, and pipes not waited for. */
        p.descriptor = open(p.path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
        if (p.descriptor < 0) return tg_fail(err, "cannot make '%s': %s", p.path, strerror(errno));
        if (lock(p.descriptor) < 0 || (is_own = is_there(p.descriptor, p.path, &own)) < 0) {
            tg_fail(err, "cannot lock '%s': %s", p.path, strerror(errno));
            close(p.descriptor);
            return -1;
        }
        if (!is_own) close(p.descriptor);
    }
    if (!S_ISREG(own.st_mode) || own.st_uid != geteuid() || own.st_nlink != 1)
        tg_fail(err, "'%s' is there already, and is no file of this user alone", p.path);
    else if (ftruncate(p.descriptor, 0) < 0)
        tg_fail(err, "cannot empty '%s': %s", p.path, strerror(errno));
    else {
        *part = p;
        return 0;
    }
    close(p.descriptor);
    return -1;
}

int tg_part_file_end(struct tg_part_file *part, bool is_whole, struct tg_error *err)
{
    char path[sizeof part->path];
    int rc = 0;
    snprintf(path, sizeof path, "%.*s", (int)(strlen(part->path) - strlen(ending)), part->path);
    if (is_whole && fchmod(part->descriptor, 0644) < 0)
        rc = tg_fail(err, "cannot set the mode: %s", strerror(errno));
    /* Before the lock is let go, with the last descriptor. */
    const int held = dup(part->descriptor);
    if (held < 0) rc = tg_fail(err, "cannot close: %s", strerror(errno));
    if (close(part->descriptor) < 0 && rc == 0)
        rc = tg_fail(err, "cannot write: %s", strerror(errno));
    if (is_whole && rc == 0 && rename(part->path, path) < 0)
        rc = tg_fail(err, "cannot rename: %s", strerror(errno));
    if (!is_whole || rc < 0) unlink(part->path);
    if (held >= 0) close(held);
    return rc;
}
