/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/retry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "coordinator/gate.h"
#include "coordinator/route.h"

static const char *const words[TG_TRY_KINDS] = {"ended", "tooling", "gpu", "statistical"};

const char *tg_retry_word(enum tg_try kind)
{
    return words[kind];
}

static int read_one(const struct tg_json_file *file, const struct tg_json *item,
                    struct tg_retry *retry, struct tg_error *err)
{
    static const char *const keys[] = {"attempt", "run", "kind", "reason", NULL};
    const char *kind = tg_json_text(tg_json_get(item, "kind"));
    if (tg_json_only(file, item, keys, err) < 0) return -1;
    size_t k = 0;
    while (k < TG_TRY_KINDS && strcmp(words[k], kind) != 0) k++;
    if (k == TG_TRY_KINDS) return tg_json_fail(file, item, err, "no such kind '%s'", kind);
    retry->kind = (enum tg_try)k;
    retry->attempt = (int64_t)tg_json_number(tg_json_get(item, "attempt"));
    retry->run = (int64_t)tg_json_number(tg_json_get(item, "run"));
    snprintf(retry->reason, sizeof retry->reason, "%s", tg_json_text(tg_json_get(item, "reason")));
    return 0;
}

int tg_retry_read(const char *text, struct tg_retry **list, size_t *count, struct tg_error *err)
{
    static const char *const keys[] = {"tritgate_tries", "tries", NULL};
    struct tg_json_file file = {0};
    *list = NULL;
    *count = 0;
    if (!text) return 0;
    if (tg_json_parse(text, &file, err) < 0) return tg_fail_in(err, "tries.json");
    const struct tg_json *tries = tg_json_get(file.root, "tries");
    struct tg_retry *read = calloc(tg_json_count(tries) + 1, sizeof *read);
    int rc = read ? tg_json_only(&file, file.root, keys, err) : tg_fail(err, "out of memory");
    for (size_t i = 0; rc == 0 && i < tg_json_count(tries); i++)
        rc = read_one(&file, tg_json_at(tries, i), &read[i], err);
    if (rc == 0) {
        *list = read;
        *count = tg_json_count(tries);
    } else {
        free(read);
    }
    tg_json_release(&file);
    return rc == 0 ? 0 : tg_fail_in(err, "tries.json");
}

char *tg_retry_text(const struct tg_retry list[], size_t count)
{
    struct tg_json *root = tg_json_object(NULL, NULL);
    tg_json_add_number(root, "tritgate_tries", 1);
    struct tg_json *tries = tg_json_array(root, "tries");
    for (size_t i = 0; i < count; i++) {
        struct tg_json *item = tg_json_object(tries, NULL);
        tg_json_add_number(item, "attempt", (double)list[i].attempt);
        if (list[i].run) tg_json_add_number(item, "run", (double)list[i].run);
        tg_json_add_text(item, "kind", words[list[i].kind]);
        tg_json_add_text(item, "reason", list[i].reason);
    }
    char *text = tg_json_print(root, true);
    tg_json_free(root);
    return text;
}

int tg_retry_join(const char *const texts[], size_t count, char **joined, struct tg_error *err)
{
    struct tg_retry *all = NULL, *list;
    size_t total = 0, found;
    int rc = 0;
    *joined = NULL;
    for (size_t r = 0; rc == 0 && r < count; r++) {
        rc = tg_retry_read(texts[r], &list, &found, err);
        if (rc < 0) break;
        struct tg_retry *grown = realloc(all, (total + found + 1) * sizeof *all);
        if (!grown) rc = tg_fail(err, "out of memory");
        if (grown) all = grown;
        for (size_t i = 0; grown && i < found; i++) {
            all[total] = list[i];
            all[total++].run = (int64_t)r;
        }
        free(list);
    }
    if (rc == 0 && total > 0) *joined = tg_retry_text(all, total);
    free(all);
    return rc;
}

void tg_retry_count(const struct tg_retry list[], size_t count, size_t made[TG_TRY_KINDS])
{
    for (int k = 0; k < TG_TRY_KINDS; k++) {
        made[k] = 0;
        for (size_t i = 0; i < count; i++) {
            size_t here = 0;
            for (size_t j = 0; j < count; j++)
                here += list[j].run == list[i].run && (int)list[j].kind == k;
            if (here > made[k]) made[k] = here;
        }
    }
}

/* Whether a test is open, or failed, for what became of its processes; not for its numbers. */
static bool is_broken(const struct tg_plan *plan, const struct tg_verdict *v, size_t test)
{
    static const char *const broken[] = {"killed", "partner broke", "not run", "crashed or late"};
    if (!tg_gate_counts(plan, test, v)) return false;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        if (strcmp(v->word, broken[i]) == 0) return true;
    return strstr(v->reason, "broken once and not yet repeated") != NULL;
}

static void say(struct tg_retry *retry, enum tg_try kind, const char *reason)
{
    retry->kind = kind;
    snprintf(retry->reason, sizeof retry->reason, "%s", reason);
}

/* What it would be for: devices first, then processors, then numbers. */
static void find_kind(const struct tg_plan *plan, const struct tg_decision *d,
                      struct tg_retry *retry)
{
    size_t open = 0;
    say(retry, TG_TRY_STATISTICAL, "");
    for (size_t i = 0; i < d->verdict_count; i++) {
        const struct tg_block *block = &plan->spec.blocks[plan->spec.tests[i].block];
        open += tg_gate_counts(plan, i, &d->verdicts[i]) &&
                d->verdicts[i].answer == TG_INCONCLUSIVE;
        if (!is_broken(plan, &d->verdicts[i], i) || retry->kind == TG_TRY_GPU) continue;
        bool is_gpu = tg_plan_needs_device(plan, block);
        if (is_gpu || retry->kind == TG_TRY_STATISTICAL)
            say(retry, is_gpu ? TG_TRY_GPU : TG_TRY_TOOLING, d->verdicts[i].reason);
    }
    if (retry->kind == TG_TRY_STATISTICAL && (d->row_count == 0 || d->required == 0))
        say(retry, TG_TRY_TOOLING, "nothing that counts was measured");
    else if (retry->kind == TG_TRY_STATISTICAL)
        snprintf(retry->reason, sizeof retry->reason, "%zu of %zu required tests were open", open,
                 d->required);
}

int tg_retry_ask(const struct tg_plan *plan, const struct tg_decision *decision,
                 struct tg_retry *retry, struct tg_error *err)
{
    const struct tg_flow *flow = &plan->policy.process;
    *retry = (struct tg_retry){.attempt = (int64_t)decision->attempts + 1};
    find_kind(plan, decision, retry);
    if (flow->step_count == 0) return 0;
    const struct tg_flow_step *step = &flow->steps[flow->step];
    size_t most = tg_route_retries(step, retry->kind), made = decision->tries[retry->kind];
    if (made < most) return 0;
    return tg_fail(err,
                   "step '%s' of flow '%s' allows %zu further attempt%s of kind %s, and %zu %s "
                   "made; this one would be for: %s",
                   step->name, plan->policy.flow, most, most == 1 ? "" : "s", words[retry->kind],
                   made, made == 1 ? "was" : "were", retry->reason);
}
