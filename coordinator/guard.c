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

/* What stands in the parentheses, or "guard" where there are none. */
static void take_reason(const char *otherwise, char *reason, size_t size)
{
    const char *open = strchr(otherwise, '(');
    snprintf(reason, size, "%.*s", open ? (int)strcspn(open + 1, ")") : 5,
             open ? open + 1 : "guard");
}

bool tg_guard_stops(const char *policy, struct tg_guard_word *word)
{
    struct tg_json_file file;
    if (tg_json_parse(policy, &file, NULL) < 0) return false;
    const struct tg_json *guard = tg_json_get(file.root, "guard");
    const char *env = tg_json_text(tg_json_get(guard, "env"));
    const char *value = *env ? getenv(env) : NULL;
    bool stops = value && *value && is_sound(guard) &&
                 strcmp(value, tg_json_text(tg_json_get(guard, "equals"))) != 0;
    if (stops) {
        const char *flow = tg_json_text(tg_json_get(file.root, "flow"));
        const char *otherwise = tg_json_text(tg_json_get(guard, "else"));
        snprintf(word->line, sizeof word->line, "%s:gate:%s = %s", flow,
                 tg_json_text(tg_json_get(guard, "gate")), otherwise);
        snprintf(word->flow, sizeof word->flow, "%s", flow);
        take_reason(otherwise, word->reason, sizeof word->reason);
        word->status = (int)tg_json_number(tg_json_get(guard, "exit"));
    }
    tg_json_release(&file);
    return stops;
}
