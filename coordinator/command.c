/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/command.h"

#include <stdlib.h>
#include <string.h>

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
