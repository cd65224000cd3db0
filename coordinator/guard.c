/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

/* Whether the guard says all that it must, and does not claim that something passed. */
static bool is_sound(const struct tg_json *guard)
{
    const struct tg_json *status = tg_json_get(guard, "exit");
    double number = tg_json_number(status);
    const char *otherwise = tg_json_text(tg_json_get(guard, "else"));
    return tg_json_kind(status) == TG_JSON_NUMBER && (number == 0 || number == 1 || number == 2) &&
           strncmp(otherwise, "skipped", 7) == 0 && *tg_json_text(tg_json_get(guard, "gate"));
}

bool tg_guard_stops(const char *policy, char *line, size_t size, int *status)
{
    struct tg_json_file file;
    if (tg_json_parse(policy, &file, NULL) < 0) return false;
    const struct tg_json *guard = tg_json_get(file.root, "guard");
    const char *env = tg_json_text(tg_json_get(guard, "env"));
    const char *value = *env ? getenv(env) : NULL;
    bool stops = value && *value && is_sound(guard) &&
                 strcmp(value, tg_json_text(tg_json_get(guard, "equals"))) != 0;
    if (stops) {
        snprintf(line, size, "%s:gate:%s = %s", tg_json_text(tg_json_get(file.root, "flow")),
                 tg_json_text(tg_json_get(guard, "gate")),
                 tg_json_text(tg_json_get(guard, "else")));
        *status = (int)tg_json_number(tg_json_get(guard, "exit"));
    }
    tg_json_release(&file);
    return stops;
}
