/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "matrix/spec.h"

void tg_command_take(struct argp_state *state, const char *what, const char **slot, const char *arg)
{
    if (*slot)
        argp_failure(state, TG_STATUS_USAGE, 0, "one %s is expected, '%s' is a second", what, arg);
    *slot = arg;
}

const char *tg_command_seed(struct argp_state *state, const char *arg)
{
    if (!*arg || strspn(arg, "0123456789") != strlen(arg) || strlen(arg) > 15)
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

/* The folder of matrices beside which the program was built or bundled; "" if that is unknown. */
static void find_sources(char *out, size_t size)
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
    snprintf(out, size, "%s/matrix/", path);
}

void tg_command_policy(const char *given, const struct tg_json_file *matrix, const char *path,
                       char *out, size_t size)
{
    char sources[4096];
    out[0] = 0;
    if (!given) {
        if (matrix) tg_spec_policy_path(matrix, path, out, size);
        return;
    }
    snprintf(out, size, "%s", given);
    struct stat is;
    if (strpbrk(given, "/.") || (stat(given, &is) == 0 && !S_ISDIR(is.st_mode))) return;
    const char *slash = path ? strrchr(path, '/') : NULL;
    find_sources(sources, sizeof sources);
    const char *folders[] = {slash ? path : "", sources};
    const int lengths[] = {slash ? (int)(slash + 1 - path) : 0, (int)strlen(sources)};
    for (int i = 0; i < 2; i++) {
        char found[2 * sizeof sources];
        snprintf(found, sizeof found, "%.*spolicy/%s.json", lengths[i], folders[i], given);
        if (access(found, R_OK) != 0) continue;
        snprintf(out, size, "%s", found);
        return;
    }
}

int tg_command_date(long later_s, char out[TG_TEXT_SIZE], struct tg_error *err)
{
    struct tm utc;
    time_t then = time(NULL) + later_s;
    if (!gmtime_r(&then, &utc)) return tg_fail(err, "no date");
    strftime(out, TG_TEXT_SIZE, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return 0;
}
