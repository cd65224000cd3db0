/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "coordinator/catalogue.h"
#include "matrix/spec.h"
#include "worker/child.h"

void tg_command_take(struct argp_state *state, const char *what, const char **slot, const char *arg)
{
    if (*slot)
        argp_failure(state, TG_STATUS_USAGE, 0, "one %s is expected, '%s' is a second", what, arg);
    *slot = arg;
}

static bool is_seed(const char *text)
{
    return *text && strspn(text, "0123456789") == strlen(text) && strlen(text) <= 15;
}

int tg_command_environment_seed(const char **seed, struct tg_error *err)
{
    const char *given = getenv("BITNET_SEED");
    if (given && !*given) given = NULL;
    if (given && !is_seed(given))
        return tg_fail(err, "BITNET_SEED is no number of at most 15 digits: '%.40s'", given);
    *seed = given;
    return 0;
}

const char *tg_command_seed(struct argp_state *state, const char *arg)
{
    if (!is_seed(arg))
        argp_failure(state, TG_STATUS_USAGE, 0, "unusable seed '%s': a number of at most 15 digits",
                     arg);
    return arg;
}

double tg_command_seconds(struct argp_state *state, const char *what, const char *arg)
{
    char *end;
    double seconds = strtod(arg, &end);
    if (end == arg || *end || !(seconds > 0 && seconds < 1e9))
        argp_failure(state, TG_STATUS_USAGE, 0, "unusable %s '%s': seconds above 0", what, arg);
    return seconds;
}

void tg_command_tie(struct argp_state *state, const char *arg)
{
    struct tg_error err;
    if (tg_child_tie(strtol(arg, NULL, 10), &err) < 0)
        argp_failure(state, TG_STATUS_STOPPED, 0, "%s", err.text);
}

void tg_command_sources(char *out, size_t size)
{
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    out[0] = 0;
    if (length <= 0) return;
    path[length] = 0;
    for (int up = 0; up < 3; up++) { /* build/release/, libexec/tritgate/ */
        char *slash = strrchr(path, '/');
        if (!slash) return;
        *slash = 0;
    }
    snprintf(out, size, "%s/matrix", path);
}

/* Of that name, beside a matrix or the sources. */
static int find_named(const char *name, const char *matrix_path, char *out, size_t size,
                      struct tg_error *err)
{
    char beside[4096] = "", sources[4096], own[sizeof sources + 8], names[300];
    const char *slash = matrix_path ? strrchr(matrix_path, '/') : NULL;
    const char *const folders[] = {beside, own};
    struct tg_catalogue policies;
    if (matrix_path)
        snprintf(beside, sizeof beside, "%.*spolicy", slash ? (int)(slash + 1 - matrix_path) : 0,
                 matrix_path);
    tg_command_sources(sources, sizeof sources);
    snprintf(own, sizeof own, "%s%s", sources, *sources ? "/policy" : "");
    if (tg_catalogue_find(folders, 2, &policies, err) < 0) return -1;
    const char *found = tg_catalogue_path(&policies, name);
    int rc = 0;
    if (found)
        snprintf(out, size, "%s", found);
    else
        rc = tg_fail(err, "no such policy '%s', as a file or by name; those by name: %s", name,
                     tg_catalogue_names(&policies, names, sizeof names));
    tg_catalogue_release(&policies);
    return rc;
}

int tg_command_policy(const char *given, const struct tg_json_file *matrix, const char *path,
                      char *out, size_t size, struct tg_error *err)
{
    struct stat is;
    out[0] = 0;
    if (matrix && tg_json_number(tg_json_get(matrix->root, "tritgate_matrix")) != 1)
        return tg_fail(err, "'%s' is not a matrix: \"tritgate_matrix\": 1 is missing", path);
    if (!given) {
        if (matrix) tg_spec_policy_path(matrix, path, out, size);
        return *out || !matrix
                   ? 0
                   : tg_fail(err, "matrix '%s' names no policy; give one with --policy", path);
    }
    snprintf(out, size, "%s", given);
    if (strpbrk(given, "/.") || (stat(given, &is) == 0 && !S_ISDIR(is.st_mode))) return 0;
    return find_named(given, path, out, size, err);
}

int tg_command_date(long later_s, char out[TG_TEXT_SIZE], struct tg_error *err)
{
    struct tm utc;
    time_t then = time(NULL) + later_s;
    if (!gmtime_r(&then, &utc)) return tg_fail(err, "no date");
    strftime(out, TG_TEXT_SIZE, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return 0;
}
