/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_TESTS_RECORDED_ROOT_H
#define TG_TESTS_RECORDED_ROOT_H

#include <ftw.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A folder that stands for the root of a machine, with files of /proc and /sys as they were seen.
 */

static char root[200];

static int root_make(void **state)
{
    (void)state;
    const char *temporary = getenv("TMPDIR");
    snprintf(root, sizeof root, "%s/tritgate-root-XXXXXX", temporary ? temporary : "/tmp");
    return mkdtemp(root) ? 0 : -1;
}

/* Writes a file below it, and the folders that it is in. */
static void put(const char *path, const char *text)
{
    char whole[512];
    snprintf(whole, sizeof whole, "%s%s", root, path);
    for (char *slash = whole + strlen(root) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = 0;
        mkdir(whole, 0777);
    }
    FILE *f = fopen(whole, "w");
    if (!f) abort();
    fputs(text, f);
    if (fclose(f) != 0) abort();
}

static int root_remove_one(const char *path, const struct stat *seen, int kind, struct FTW *where)
{
    (void)seen;
    (void)kind;
    (void)where;
    return remove(path);
}

static int root_remove(void **state)
{
    (void)state;
    return nftw(root, root_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
