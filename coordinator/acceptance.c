/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/acceptance.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "coordinator/plan.h"
#include "coordinator/rule.h"

static const char form[] = "0000-00-00"; /* of a day */

bool tg_acceptance_has_day(const char *text)
{
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    for (size_t i = 0; i < sizeof form - 1; i++)
        if (form[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != form[i]) return false;
    long year = strtol(text, NULL, 10), month = strtol(text + 5, NULL, 10);
    long day = strtol(text + 8, NULL, 10);
    bool leaps = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (month < 1 || month > 12 || day < 1 || day > days[month - 1]) return false;
    return month != 2 || day < 29 || leaps;
}

/* Copies a member that must be a text of 1 to size - 1 bytes. */
static int read_text(const struct tg_json_file *file, const struct tg_json *entry, const char *key,
                     char *out, size_t size, struct tg_error *err)
{
    const struct tg_json *member = tg_json_get(entry, key);
    const char *text = tg_json_text(member);
    if (!member) return tg_json_fail(file, entry, err, "'%s' is missing", key);
    if (!*text || strlen(text) >= size || strpbrk(text, "\r\n"))
        return tg_json_fail(file, member, err, "a line of 1 to %zu bytes is expected", size - 1);
    snprintf(out, size, "%s", text);
    return 0;
}

static int read_entry(const struct tg_json_file *file, const struct tg_json *entry,
                      const struct tg_words *words, struct tg_accepted *a, struct tg_error *err)
{
    static const char *const keys[] = {"cells",   "metric", "loss", "reason",
                                       "expires", "owner",  NULL};
    const struct tg_json *loss = tg_json_get(entry, "loss");
    struct tg_error why;
    if (tg_json_kind(entry) != TG_JSON_OBJECT)
        return tg_json_fail(file, entry, err, "an accepted loss is an object");
    if (tg_json_only(file, entry, keys, err) < 0 ||
        read_text(file, entry, "cells", a->cells, sizeof a->cells, err) < 0 ||
        read_text(file, entry, "metric", a->metric, sizeof a->metric, err) < 0 ||
        read_text(file, entry, "reason", a->reason, sizeof a->reason, err) < 0 ||
        read_text(file, entry, "expires", a->expires, sizeof a->expires, err) < 0 ||
        read_text(file, entry, "owner", a->owner, sizeof a->owner, err) < 0)
        return -1;
    if (tg_cell_check_where(a->cells, words, &why) < 0)
        return tg_json_fail(file, tg_json_get(entry, "cells"), err, "%s", why.text);
    if (!tg_words_find(words, "metric", a->metric))
        return tg_json_fail(file, tg_json_get(entry, "metric"), err, "no such metric '%s'",
                            a->metric);
    a->loss = tg_json_number(loss);
    if (tg_json_kind(loss) != TG_JSON_NUMBER || !(a->loss > 0 && a->loss < 1))
        return tg_json_fail(file, loss ? loss : entry, err, "'loss' lies between 0 and 1");
    if (!tg_acceptance_has_day(a->expires) || strlen(a->expires) != sizeof form - 1)
        return tg_json_fail(file, tg_json_get(entry, "expires"), err,
                            "a day is expected, as 2026-12-31");
    return 0;
}

static int read_all(const struct tg_json_file *file, const struct tg_words *words,
                    struct tg_acceptance *a, struct tg_error *err)
{
    static const char *const keys[] = {"tritgate_acceptance", "accepted", NULL};
    const struct tg_json *root = file->root, *list = tg_json_get(root, "accepted");
    if (tg_json_kind(root) != TG_JSON_OBJECT ||
        tg_json_number(tg_json_get(root, "tritgate_acceptance")) != 1)
        return tg_json_fail(file, root, err,
                            "not an acceptance: \"tritgate_acceptance\": 1 is missing");
    if (tg_json_only(file, root, keys, err) < 0) return -1;
    if (!list || tg_json_kind(list) != TG_JSON_ARRAY)
        return tg_json_fail(file, list ? list : root, err, "'accepted' is a list");
    a->entries = calloc(tg_json_count(list) + 1, sizeof *a->entries);
    if (!a->entries) return tg_fail(err, "out of memory");
    for (; a->count < tg_json_count(list); a->count++)
        if (read_entry(file, tg_json_at(list, a->count), words, &a->entries[a->count], err) < 0)
            return -1;
    return 0;
}

int tg_acceptance_parse(const char *text, const struct tg_words *words,
                        struct tg_acceptance *acceptance, struct tg_error *err)
{
    struct tg_json_file file;
    struct tg_acceptance read = {0};
    if (tg_json_parse(text, &file, err) < 0) return -1;
    int rc = read_all(&file, words, &read, err);
    tg_json_release(&file);
    if (rc < 0)
        tg_acceptance_release(&read);
    else
        *acceptance = read;
    return rc;
}

void tg_acceptance_release(struct tg_acceptance *acceptance)
{
    free(acceptance->entries);
    *acceptance = (struct tg_acceptance){0};
}

/* Whether an entry is about that test, whatever came of it. */
static bool names(const struct tg_accepted *a, const struct tg_plan *plan, size_t test)
{
    const struct tg_test *t = &plan->spec.tests[test];
    const struct tg_rule *rule = &plan->policy.rules[t->rule];
    return strcmp(tg_rule_find(rule->rule)->reading, "slowdown") == 0 &&
           strcmp(a->metric, rule->metric) == 0 && tg_cell_matches(&t->of, a->cells, &plan->words);
}

/* Something was measured, but nobody said when. */
static bool has_no_day(const char *date)
{
    return *date && !tg_acceptance_has_day(date);
}

/* Days are written so that they are ordered as texts are; of what is none, nothing is known. */
static bool has_expired(const struct tg_accepted *a, const char *date)
{
    if (!*date) return false; /* it has not come */
    return has_no_day(date) || strncmp(date, a->expires, strlen(a->expires)) > 0;
}

static bool is_held(const struct tg_verdict *v)
{
    return strcmp(v->word, "held") == 0;
}

/* Whether a test fails, or would if more runs or nodes had seen it. */
static bool would_fail(const struct tg_verdict *v)
{
    return v->answer == TG_FAIL || is_held(v);
}

void tg_acceptance_apply(const struct tg_plan *plan, const char *date, size_t test,
                         struct tg_verdict *v)
{
    const struct tg_rule *rule = &plan->policy.rules[plan->spec.tests[test].rule];
    const struct tg_accepted *last = NULL;
    char said[sizeof v->reason], node[TG_RULE_LOSS_SIZE] = "";
    if (!would_fail(v) || v->is_broken || plan->prospects[test].fate != TG_TO_MEASURE ||
        !isfinite(v->estimate))
        return;
    bool is_time = strcmp(rule->effect, "time") == 0;
    double most = fmax(v->estimate, v->node_loss); /* of one that disagrees, and of the others */
    double lost = is_time ? most : most / (1 + most);
    snprintf(said, sizeof said, "%.100s", v->reason);
    for (size_t i = 0; i < plan->acceptance.count; i++) {
        const struct tg_accepted *a = &plan->acceptance.entries[i];
        if (!names(a, plan, test)) continue;
        last = a;
        if (has_expired(a, date) || lost > a->loss + 1e-9) continue;
        if (is_held(v)) /* no longer: nobody else need see it */
            tg_rule_loss_text(rule, tg_metric_find(rule->metric), v->estimate, said);
        v->answer = TG_PASS;
        v->accepted = a;
        snprintf(v->word, sizeof v->word, "attention");
        snprintf(v->reason, sizeof v->reason, "%s; up to %.3g %% accepted until %s by %s: %s", said,
                 100 * a->loss, a->expires, a->owner, a->reason);
        return;
    }
    if (!last) return;
    const char *until = has_no_day(date)          ? "is accepted, but the run has no date: until"
                        : has_expired(last, date) ? "was accepted until"
                                                  : "is accepted, until";
    if (v->node_loss > v->estimate)
        tg_rule_loss_text(rule, tg_metric_find(rule->metric), v->node_loss, node);
    snprintf(v->reason, sizeof v->reason, "%s%s%s; up to %.3g %% %s %s by %s", said,
             *node ? ", on some of its nodes " : "", node, 100 * last->loss, until, last->expires,
             last->owner);
}

/* Why an entry was not used. */
static const char *why_idle(const struct tg_plan *plan, const char *date,
                            const struct tg_verdict *verdicts, const struct tg_accepted *a)
{
    bool is_named = false, fails = false, is_covered = false;
    for (size_t t = 0; t < plan->spec.test_count; t++) {
        if (!names(a, plan, t)) continue;
        is_named = true;
        fails = fails || would_fail(&verdicts[t]);
        is_covered = is_covered || verdicts[t].accepted;
    }
    if (!fails)
        return !is_named    ? "no such test"
               : is_covered ? "another entry covers it"
                            : "nothing fails there";
    if (has_no_day(date)) return "the run has no date";
    return has_expired(a, date) ? "expired" : "less than the loss";
}

char *tg_acceptance_note(const struct tg_plan *plan, const char *date,
                         const struct tg_verdict *verdicts, char *out, size_t size)
{
    const struct tg_acceptance *all = &plan->acceptance;
    size_t used = 0, length = 0;
    char idle[256] = "";
    for (size_t i = 0; i < all->count; i++) {
        const struct tg_accepted *a = &all->entries[i];
        bool is_used = false;
        for (size_t t = 0; t < plan->spec.test_count; t++)
            is_used = is_used || verdicts[t].accepted == a;
        used += is_used;
        if (is_used || length >= sizeof idle) continue;
        length += (size_t)snprintf(idle + length, sizeof idle - length, "%s'%s' of %s (%s)",
                                   length ? ", " : "", a->cells, a->owner,
                                   why_idle(plan, date, verdicts, a));
    }
    out[0] = 0;
    if (all->count)
        snprintf(out, size, "accepted losses: %zu of %zu used%s%s", used, all->count,
                 *idle ? "; not used: " : "", idle);
    return out;
}
