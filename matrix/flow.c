/* SPDX-License-Identifier: Apache-2.0 */
#include "matrix/flow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const tg_flow_whens[] = {
    "pass",         "fail",    "attention", "improved",        "minor",  "major", "critical",
    "inconclusive", "skipped", "nothing",   "baseline-needed", "always", NULL};
const char *const tg_flow_contexts[] = {"cells",   "deltas",  "thresholds", "commands",
                                        "reasons", "skipped", "machines",   NULL};

bool tg_texts_have(const struct tg_texts *texts, const char *text)
{
    for (size_t i = 0; i < texts->count; i++)
        if (strcmp(texts->at[i], text) == 0) return true;
    return false;
}

bool tg_flow_has_key(const char *key)
{
    static const char *const keys[] = {"agent",       "mode",    "writes",  "inherits",   "guard",
                                       "conclusions", "dialect", "labels",  "targets",    "steps",
                                       "fallbacks",   "skips",   "surface", "components", NULL};
    for (size_t i = 0; keys[i]; i++)
        if (strcmp(keys[i], key) == 0) return true;
    return false;
}

/* And which there are, as far as they fit. */
static int fail_no_step(const struct tg_flow *flow, const char *name, struct tg_error *err)
{
    char steps[256] = "";
    for (size_t i = 0, used = 0; i < flow->step_count && used < sizeof steps; i++)
        used += (size_t)snprintf(steps + used, sizeof steps - used, "%s%s", i ? ", " : "",
                                 flow->steps[i].name);
    return tg_fail(err, "the policy has no step '%s', it has %s", name, *steps ? steps : "none");
}

int tg_flow_find_step(const struct tg_flow *flow, const char *name, size_t *step,
                      struct tg_error *err)
{
    for (size_t i = flow->step_count; i-- > 0;) {
        if (*name ? strcmp(flow->steps[i].name, name) != 0 : !flow->steps[i].writes) continue;
        *step = i;
        return 0;
    }
    return *name ? fail_no_step(flow, name, err)
                 : tg_fail(err, "no step of the policy writes its gate; name one");
}

struct tg_texts tg_flow_lines(const struct tg_flow *flow, const char *name)
{
    const struct tg_flow_step *step = flow->step_count ? &flow->steps[flow->step] : NULL;
    for (size_t i = 0; step && i < step->text_count; i++)
        if (strcmp(step->texts[i].name, name) == 0) return step->texts[i].lines;
    return (struct tg_texts){NULL, 0};
}

const struct tg_flow_skip *tg_flow_skip_find(const struct tg_flow *flow, const char *reason)
{
    for (size_t i = 0; i < flow->skip_count; i++) {
        const struct tg_flow_skip *skip = &flow->skips[i];
        if (strcmp(skip->reason, reason) == 0 || tg_texts_have(&skip->aliases, reason)) return skip;
    }
    return NULL;
}

static void release_step(struct tg_flow_step *step)
{
    for (size_t i = 0; i < step->route_count; i++) {
        free(step->routes[i].context.at);
        free(step->routes[i].advice.at);
    }
    for (size_t i = 0; i < step->text_count; i++) free(step->texts[i].lines.at);
    free(step->routes);
    free(step->texts);
}

void tg_flow_release(struct tg_flow *flow)
{
    for (size_t i = 0; i < flow->step_count; i++) release_step(&flow->steps[i]);
    for (size_t i = 0; i < flow->chain_count; i++) free(flow->chains[i].levels);
    for (size_t i = 0; i < flow->skip_count; i++) {
        free(flow->skips[i].aliases.at);
        free(flow->skips[i].cells.at);
    }
    for (size_t i = 0; i < flow->component_count; i++) free(flow->components[i].paths.at);
    free(flow->steps);
    free(flow->chains);
    free(flow->skips);
    free(flow->components);
    free(flow->writes.at);
    free(flow->inherits.at);
    free(flow->labels.at);
    free(flow->targets.at);
    free(flow->surface.at);
    tg_json_release(&flow->source);
    *flow = (struct tg_flow){0};
}
