/* SPDX-License-Identifier: Apache-2.0 */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "matrix/cell.h"
#include "matrix/policy.h"
#include "matrix/template.h"

/* What is read, and what it may name. */
struct reader {
    const struct tg_json_file *file;
    const struct tg_rule *rules;
    size_t rule_count;
    const struct tg_words *words;
    struct tg_flow *flow;
    struct tg_error *err;
};

/* What a hole may name beside rules and fallbacks; as a condition with a part also "skip". */
static const char *const plain[] = {"flow",     "gate",   "agent",  "step",   "unit",
                                    "colon",    "answer", "reason", "route",  "skipped",
                                    "machines", "tests",  "passed", "failed", NULL};
static const char *const conditions[] = {"pass", "fail",      "inconclusive", "attention",
                                         "base", "inherited", "same",         NULL};

static bool is_among(const char *text, const char *const list[])
{
    for (size_t i = 0; list[i]; i++)
        if (strcmp(list[i], text) == 0) return true;
    return false;
}

/* A member's text, `fallback` if it is absent; absent without fallback is an error. */
static int text_of(struct reader *r, const struct tg_json *object, const char *key,
                   const char *fallback, const char **out)
{
    const struct tg_json *value = tg_json_get(object, key);
    if (!value && !fallback) return tg_json_fail(r->file, object, r->err, "'%s' is missing", key);
    if (value && (tg_json_kind(value) != TG_JSON_TEXT || !*tg_json_text(value)))
        return tg_json_fail(r->file, value, r->err, "a text is expected");
    *out = value ? tg_json_text(value) : fallback;
    return 0;
}

/* A member's texts; none if it is absent. */
static int texts_of(struct reader *r, const struct tg_json *object, const char *key,
                    struct tg_texts *out)
{
    const struct tg_json *list = tg_json_get(object, key);
    if (!list) return 0;
    if (tg_json_kind(list) != TG_JSON_ARRAY)
        return tg_json_fail(r->file, list, r->err, "a list of texts is expected");
    out->at = calloc(tg_json_count(list) + 1, sizeof *out->at);
    if (!out->at) return tg_fail(r->err, "out of memory");
    const struct tg_json *item = tg_json_count(list) ? tg_json_at(list, 0) : NULL;
    for (; item; item = tg_json_next(item)) {
        if (tg_json_kind(item) != TG_JSON_TEXT)
            return tg_json_fail(r->file, item, r->err, "a text is expected");
        out->at[out->count++] = tg_json_text(item);
    }
    return 0;
}

/* A whole number up to most. */
static int number_of(struct reader *r, const struct tg_json *object, const char *key, int most,
                     int *out)
{
    const struct tg_json *value = tg_json_get(object, key);
    double number = tg_json_number(value);
    if (!value) return 0;
    if (tg_json_kind(value) != TG_JSON_NUMBER || !(number >= 0 && number <= most) ||
        number != (int)number)
        return tg_json_fail(r->file, value, r->err, "a whole number from 0 to %d is expected",
                            most);
    *out = (int)number;
    return 0;
}

/* A member's pattern of cells, "" if it is absent. */
static int cells_of(struct reader *r, const struct tg_json *object, const char **out)
{
    struct tg_error why;
    if (text_of(r, object, "cells", "", out) < 0) return -1;
    if (tg_cell_check_where(*out, r->words, &why) < 0)
        return tg_json_fail(r->file, tg_json_get(object, "cells"), r->err, "%s", why.text);
    return 0;
}

/* Reads each object of a list, whose `size` bytes begin as zeros, into *items. */
static int list_of(struct reader *r, const struct tg_json *object, const char *key, size_t size,
                   int (*read)(struct reader *, const struct tg_json *, void *), void **items,
                   size_t *count)
{
    const struct tg_json *list = tg_json_get(object, key);
    if (!list) return 0;
    if (tg_json_kind(list) != TG_JSON_ARRAY)
        return tg_json_fail(r->file, list, r->err, "a list is expected");
    *items = calloc(tg_json_count(list) + 1, size);
    if (!*items) return tg_fail(r->err, "out of memory");
    const struct tg_json *item = tg_json_count(list) ? tg_json_at(list, 0) : NULL;
    for (; item; item = tg_json_next(item)) {
        char *at = (char *)*items + size * (*count)++; /* counted first, so that it is released */
        if (tg_json_kind(item) != TG_JSON_OBJECT)
            return tg_json_fail(r->file, item, r->err, "an object is expected");
        if (read(r, item, at) < 0) return -1;
    }
    return 0;
}

/* Names of axes or of labels of kernels, with a blank between. */
static int check_same(struct reader *r, const struct tg_json *object, const char *names)
{
    for (const char *p = names + strspn(names, " "); *p; p += strspn(p, " ")) {
        char name[TG_TEXT_SIZE];
        size_t length = strcspn(p, " ");
        snprintf(name, sizeof name, "%.*s", (int)length, p);
        p += length;
        if (!tg_record_field(&tg_cell_type, name) &&
            !tg_words_have_trait(r->words, "kernel", name, NULL))
            return tg_json_fail(r->file, tg_json_get(object, "same"), r->err,
                                "'%s' is no axis, and no label of a kernel", name);
    }
    return 0;
}

static int read_level(struct reader *r, const struct tg_json *object, void *item)
{
    static const char *const keys[] = {"level", "does", "method", "cells", "same", NULL};
    static const char *const levels[] = {"primary", "alt1", "alt2", "skip", NULL};
    struct tg_flow_level *level = item;
    if (tg_json_only(r->file, object, keys, r->err) < 0 ||
        text_of(r, object, "level", NULL, &level->level) < 0 ||
        text_of(r, object, "does", NULL, &level->does) < 0 ||
        text_of(r, object, "method", level->does, &level->method) < 0 ||
        text_of(r, object, "same", "", &level->same) < 0 ||
        cells_of(r, object, &level->cells) < 0 || check_same(r, object, level->same) < 0)
        return -1;
    return is_among(level->level, levels)
               ? 0
               : tg_json_fail(r->file, tg_json_get(object, "level"), r->err,
                              "a level is primary, alt1, alt2 or skip");
}

static int read_chain(struct reader *r, const struct tg_json *object, void *item)
{
    static const char *const keys[] = {"name", "levels", "each", NULL};
    const struct tg_json *each = tg_json_get(object, "each");
    struct tg_flow_chain *chain = item;
    void *levels = NULL;
    int rc = tg_json_only(r->file, object, keys, r->err);
    if (rc == 0 && each && tg_json_kind(each) != TG_JSON_BOOLEAN)
        rc = tg_json_fail(r->file, each, r->err, "true or false is expected");
    chain->is_for_each = each && tg_json_number(each) != 0;
    if (rc == 0) rc = text_of(r, object, "name", NULL, &chain->name);
    if (rc == 0)
        rc = list_of(r, object, "levels", sizeof *chain->levels, read_level, &levels,
                     &chain->level_count);
    chain->levels = levels;
    return rc;
}

static int read_skip(struct reader *r, const struct tg_json *object, void *item)
{
    static const char *const keys[] = {"reason", "means", "aliases", "cells", NULL};
    struct tg_flow_skip *skip = item;
    struct tg_error why;
    if (tg_json_only(r->file, object, keys, r->err) < 0 ||
        text_of(r, object, "reason", NULL, &skip->reason) < 0 ||
        text_of(r, object, "means", "", &skip->means) < 0 ||
        texts_of(r, object, "aliases", &skip->aliases) < 0 ||
        texts_of(r, object, "cells", &skip->cells) < 0)
        return -1;
    for (size_t i = 0; i < skip->cells.count; i++)
        if (tg_cell_check_where(skip->cells.at[i], r->words, &why) < 0)
            return tg_json_fail(r->file, tg_json_get(object, "cells"), r->err, "%s", why.text);
    return 0;
}

static int read_component(struct reader *r, const struct tg_json *object, void *item)
{
    static const char *const keys[] = {"paths", "cells", NULL};
    struct tg_flow_component *component = item;
    if (tg_json_only(r->file, object, keys, r->err) < 0 ||
        texts_of(r, object, "paths", &component->paths) < 0 ||
        cells_of(r, object, &component->cells) < 0)
        return -1;
    return component->paths.count
               ? 0
               : tg_json_fail(r->file, object, r->err, "'paths' has at least one pattern");
}

/* Whether a rule of that name is there; unnamed ones go by their metric. All must be of a kind. */
static int check_rules(struct reader *r, const char *name, bool *is_there)
{
    const struct tg_rule *first = NULL;
    for (size_t i = 0; i < r->rule_count; i++) {
        const struct tg_rule *rule = &r->rules[i];
        if (strcmp(tg_policy_rule_name(rule), name) != 0) continue;
        if (first &&
            (strcmp(first->rule, rule->rule) != 0 || strcmp(first->metric, rule->metric) != 0))
            return tg_fail(r->err, "'%s' stands for rules of different kinds or metrics", name);
        if (!first) first = rule;
    }
    *is_there = first != NULL;
    return 0;
}

/* "1e-5": the value is compared with it. */
static bool is_number(const char *text)
{
    char *end;
    if (!(*text >= '0' && *text <= '9')) return false;
    strtod(text, &end);
    return !*end;
}

/* Whether a hole can be filled, by some run: it names a rule, a fallback or a word. */
static int known(void *context, const struct tg_hole *hole, struct tg_error *err)
{
    static const char *const parts[] = {"",      "value",    "baseline", "delta", "low",
                                        "high",  "factor",   "limit",    "count", "result",
                                        "token", "measured", "met",      NULL};
    static const char *const states[] = {"", "fail", "attention", "improved", "measured", NULL};
    static const char *const levels[] = {"primary", "alt1", "alt2", "skip", NULL};
    static const char *const chains[] = {"level", "method", "does", NULL};
    struct reader *r = context;
    bool is_rule = false, is_known = false;
    const char *part = hole->part;
    if (check_rules(r, hole->name, &is_rule) < 0) return -1;
    if (is_rule)
        is_known = is_among(part, hole->is_condition ? states : parts) ||
                   (hole->is_condition && is_number(part));
    else if (!*part)
        is_known = is_among(hole->name, hole->is_condition ? conditions : plain);
    else if (strcmp(hole->name, "skip") == 0 && hole->is_condition)
        is_known = tg_flow_skip_find(r->flow, part) != NULL;
    for (size_t i = 0; i < r->flow->chain_count && !is_known; i++)
        is_known = strcmp(r->flow->chains[i].name, hole->name) == 0 &&
                   is_among(part, hole->is_condition ? levels : chains);
    return is_known ? 0
                    : tg_fail(err, "nothing is called '%s%s%s%s'", hole->is_condition ? "?" : "",
                              hole->name, *part ? "." : "", part);
}

static int read_text_lines(struct reader *r, const struct tg_json *list, struct tg_flow_text *text)
{
    struct tg_error why;
    text->name = tg_json_key(list);
    if (tg_json_kind(list) != TG_JSON_ARRAY)
        return tg_json_fail(r->file, list, r->err, "a list of lines is expected");
    text->lines.at = calloc(tg_json_count(list) + 1, sizeof *text->lines.at);
    if (!text->lines.at) return tg_fail(r->err, "out of memory");
    for (size_t i = 0; i < tg_json_count(list); i++) {
        const struct tg_json *line = tg_json_at(list, i);
        struct reader inner = *r;
        inner.err = &why;
        if (tg_json_kind(line) != TG_JSON_TEXT)
            return tg_json_fail(r->file, line, r->err, "a line is a text");
        if (tg_template_check(tg_json_text(line), known, &inner, &why) < 0)
            return tg_json_fail(r->file, line, r->err, "%s", why.text);
        text->lines.at[text->lines.count++] = tg_json_text(line);
    }
    return 0;
}

static int read_step_texts(struct reader *r, const struct tg_json *object,
                           struct tg_flow_step *step)
{
    static const char *const names[] = {"evidence", "chain",   "assumption", "table",    "summary",
                                        "decision", "gates",   "hop",        "progress", "report",
                                        "matrix",   "skipped", NULL};
    const struct tg_json *texts = tg_json_get(object, "texts");
    if (!texts) return 0;
    if (tg_json_kind(texts) != TG_JSON_OBJECT)
        return tg_json_fail(r->file, texts, r->err, "an object of lists of lines is expected");
    if (tg_json_only(r->file, texts, names, r->err) < 0) return -1;
    step->texts = calloc(tg_json_count(texts) + 1, sizeof *step->texts);
    if (!step->texts) return tg_fail(r->err, "out of memory");
    for (size_t i = 0; i < tg_json_count(texts); i++)
        if (read_text_lines(r, tg_json_at(texts, i), &step->texts[step->text_count++]) < 0)
            return -1;
    return 0;
}

/* Each of the patterns, which blanks separate, must match the name of a rule. */
static int check_patterns(struct reader *r, const struct tg_json *object, const char *patterns)
{
    for (const char *p = patterns + strspn(patterns, " "); *p; p += strspn(p, " ")) {
        char pattern[TG_TEXT_SIZE];
        size_t length = strcspn(p, " "), i = 0;
        snprintf(pattern, sizeof pattern, "%.*s", (int)length, p);
        p += length;
        while (i < r->rule_count && fnmatch(pattern, tg_policy_rule_name(&r->rules[i]), 0) != 0)
            i++;
        if (i == r->rule_count)
            return tg_json_fail(r->file, tg_json_get(object, "rules"), r->err,
                                "'%s' matches no rule of the policy", pattern);
    }
    return 0;
}

static int read_route(struct reader *r, const struct tg_json *object, void *item)
{
    static const char *const keys[] = {"condition", "when",    "rules",  "cells", "retry",
                                       "to",        "context", "advice", NULL};
    static const char *const bounds[] = {"", "tooling", "gpu", "statistical", NULL};
    struct tg_flow_route *route = item;
    if (tg_json_only(r->file, object, keys, r->err) < 0 ||
        text_of(r, object, "condition", NULL, &route->condition) < 0 ||
        text_of(r, object, "when", NULL, &route->when) < 0 ||
        text_of(r, object, "rules", "", &route->rules) < 0 || cells_of(r, object, &route->cells) ||
        text_of(r, object, "retry", "", &route->retry) < 0 ||
        text_of(r, object, "to", NULL, &route->to) < 0 ||
        texts_of(r, object, "context", &route->context) < 0 ||
        texts_of(r, object, "advice", &route->advice) < 0)
        return -1;
    if (!is_among(route->when, tg_flow_whens))
        return tg_json_fail(r->file, tg_json_get(object, "when"), r->err,
                            "routes know no condition '%s'", route->when);
    if (check_patterns(r, object, route->rules) < 0) return -1;
    if (!is_among(route->retry, bounds))
        return tg_json_fail(r->file, tg_json_get(object, "retry"), r->err,
                            "a bound of retries is tooling, gpu or statistical");
    if (!tg_texts_have(&r->flow->targets, route->to))
        return tg_json_fail(r->file, tg_json_get(object, "to"), r->err,
                            "'%s' is not one of the flow's targets", route->to);
    for (size_t i = 0; i < route->context.count; i++)
        if (!is_among(route->context.at[i], tg_flow_contexts))
            return tg_json_fail(r->file, tg_json_get(object, "context"), r->err,
                                "routes know no context '%s'", route->context.at[i]);
    return 0;
}

static int read_step(struct reader *r, const struct tg_json *object, void *item)
{
    static const char *const keys[] = {"name",   "agent",  "writes", "retry",
                                       "limits", "routes", "texts",  NULL};
    static const char *const bounds[] = {"tooling", "gpu", "statistical", NULL};
    struct tg_flow_step *step = item;
    const struct tg_json *writes = tg_json_get(object, "writes");
    const struct tg_json *retry = tg_json_get(object, "retry");
    void *routes = NULL;
    if (tg_json_only(r->file, object, keys, r->err) < 0 ||
        text_of(r, object, "name", NULL, &step->name) < 0 ||
        text_of(r, object, "agent", r->flow->agent, &step->agent) < 0)
        return -1;
    /* Commands that reports print name it. */
    if (strspn(step->name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != strlen(step->name))
        return tg_json_fail(r->file, tg_json_get(object, "name"), r->err,
                            "a step's name is of lower case letters, digits, '-' and '_'");
    if (writes && tg_json_kind(writes) != TG_JSON_BOOLEAN)
        return tg_json_fail(r->file, writes, r->err, "'writes' is true or false");
    step->writes = !writes || tg_json_number(writes) != 0;
    if (retry && (tg_json_only(r->file, retry, bounds, r->err) < 0 ||
                  number_of(r, retry, "tooling", 100, &step->retry.tooling) < 0 ||
                  number_of(r, retry, "gpu", 100, &step->retry.gpu) < 0 ||
                  number_of(r, retry, "statistical", 100, &step->retry.statistical) < 0))
        return -1;
    int rc = list_of(r, object, "routes", sizeof *step->routes, read_route, &routes,
                     &step->route_count);
    step->routes = routes;
    return rc < 0 ? -1 : read_step_texts(r, object, step);
}

/* Nothing of it is kept: a guard acts before its policy is read. */
static int check_guard(struct reader *r, const struct tg_json *root)
{
    static const char *const keys[] = {"env", "equals", "else", "gate", "exit", NULL};
    const struct tg_json *guard = tg_json_get(root, "guard");
    const char *text, *otherwise;
    int status;
    if (!guard) return 0;
    if (tg_json_only(r->file, guard, keys, r->err) < 0 ||
        text_of(r, guard, "env", NULL, &text) < 0 || text_of(r, guard, "equals", NULL, &text) < 0 ||
        text_of(r, guard, "else", NULL, &otherwise) < 0 ||
        text_of(r, guard, "gate", NULL, &text) < 0 || number_of(r, guard, "exit", 2, &status) < 0)
        return -1;
    if (strncmp(otherwise, "skipped", 7) == 0) return 0;
    return tg_json_fail(r->file, tg_json_get(guard, "else"), r->err,
                        "what is not measured is 'skipped (...)'");
}

static int read_conclusions(struct reader *r, const struct tg_json *root)
{
    static const char *const keys[] = {"pass", "fail", "skipped", "inconclusive", NULL};
    static const char *const usual[] = {"success", "failure", "neutral", "neutral"};
    static const char *const allowed[] = {"success", "failure", "neutral", "action_required", NULL};
    const struct tg_json *given = tg_json_get(root, "conclusions");
    if (given && tg_json_only(r->file, given, keys, r->err) < 0) return -1;
    for (int i = 0; i < 4; i++) {
        if (text_of(r, given, keys[i], usual[i], &r->flow->conclusions[i]) < 0) return -1;
        if (!is_among(r->flow->conclusions[i], allowed))
            return tg_json_fail(r->file, tg_json_get(given, keys[i]), r->err,
                                "a conclusion is success, failure, neutral or action_required");
        if (i > 0 && strcmp(r->flow->conclusions[i], "success") == 0)
            return tg_json_fail(r->file, tg_json_get(given, keys[i]), r->err,
                                "only a pass is a success");
    }
    return 0;
}

/* Whether a hole that names this would mean a word, or one of the first fallbacks. */
static bool is_taken(const struct tg_flow *flow, size_t chain_count, const char *name)
{
    while (chain_count > 0)
        if (strcmp(flow->chains[--chain_count].name, name) == 0) return true;
    return is_among(name, plain) || is_among(name, conditions) || strcmp(name, "skip") == 0;
}

/* What is called as something else that a hole may name could not be written. */
static int check_names(struct reader *r, const struct tg_json *root)
{
    for (size_t i = 0; i < r->flow->chain_count; i++) {
        const char *name = r->flow->chains[i].name;
        if (is_taken(r->flow, i, name))
            return tg_json_fail(r->file, tg_json_at(tg_json_get(root, "fallbacks"), i), r->err,
                                "'%s' is a word or another fallback, no name for one", name);
    }
    for (size_t i = 0; i < r->rule_count; i++) {
        const char *name = tg_policy_rule_name(&r->rules[i]);
        if (is_taken(r->flow, r->flow->chain_count, name))
            return tg_json_fail(r->file, tg_json_at(tg_json_get(root, "rules"), i), r->err,
                                "'%s' is a word or a fallback, no name for a rule", name);
    }
    return 0;
}

static int read_lists(struct reader *r, const struct tg_json *root)
{
    struct tg_flow *f = r->flow;
    void *chains = NULL, *components = NULL, *steps = NULL, *skips = NULL;
    int rc = list_of(r, root, "fallbacks", sizeof *f->chains, read_chain, &chains, &f->chain_count);
    f->chains = chains;
    if (rc == 0) rc = check_names(r, root);
    if (rc == 0)
        rc = list_of(r, root, "skips", sizeof *f->skips, read_skip, &skips, &f->skip_count);
    f->skips = skips;
    for (size_t i = 0; rc == 0 && i < f->skip_count; i++)
        if (tg_flow_skip_find(f, f->skips[i].reason) != &f->skips[i])
            rc = tg_json_fail(r->file, tg_json_get(root, "skips"), r->err,
                              "reason '%s' is given twice", f->skips[i].reason);
    if (rc == 0)
        rc = list_of(r, root, "components", sizeof *f->components, read_component, &components,
                     &f->component_count);
    f->components = components;
    if (rc == 0)
        rc = list_of(r, root, "steps", sizeof *f->steps, read_step, &steps, &f->step_count);
    f->steps = steps;
    for (size_t i = 0, last; rc == 0 && i < f->step_count; i++)
        if (tg_flow_find_step(f, f->steps[i].name, &last, r->err) == 0 && last != i)
            rc = tg_json_fail(r->file, tg_json_get(root, "steps"), r->err,
                              "step '%s' is given twice", f->steps[i].name);
    return rc;
}

static int read_flow(struct reader *r, const struct tg_json *root)
{
    static const char *const modes[] = {"record", "compare", "slo", NULL};
    static const char *const dialect_keys[] = {"colon", "unit", NULL};
    const struct tg_json *dialect = tg_json_get(root, "dialect");
    struct tg_flow *f = r->flow;
    if (dialect && tg_json_only(r->file, dialect, dialect_keys, r->err) < 0) return -1;
    if (text_of(r, root, "agent", "", &f->agent) < 0 ||
        text_of(r, root, "mode", "compare", &f->mode) < 0 ||
        texts_of(r, root, "writes", &f->writes) < 0 ||
        texts_of(r, root, "inherits", &f->inherits) < 0 ||
        texts_of(r, root, "labels", &f->labels) < 0 ||
        texts_of(r, root, "targets", &f->targets) < 0 ||
        texts_of(r, root, "surface", &f->surface) < 0 ||
        text_of(r, dialect, "colon", ": ", &f->colon) < 0 ||
        text_of(r, dialect, "unit", "tok/s", &f->unit) < 0 || check_guard(r, root) < 0 ||
        read_conclusions(r, root) < 0)
        return -1;
    if (!is_among(f->mode, modes))
        return tg_json_fail(r->file, tg_json_get(root, "mode"), r->err,
                            "a mode is record, compare or slo");
    return read_lists(r, root);
}

int tg_flow_parse(const struct tg_json_file *file, const struct tg_rule *rules, size_t count,
                  const struct tg_words *words, struct tg_flow *flow, struct tg_error *err)
{
    struct tg_flow parsed = {0};
    struct reader reader = {.rules = rules, .rule_count = count, .words = words, .err = err};
    if (tg_json_parse(file->text, &parsed.source, err) < 0) return -1;
    reader.file = &parsed.source;
    reader.flow = &parsed;
    if (read_flow(&reader, parsed.source.root) < 0) {
        tg_flow_release(&parsed);
        return -1;
    }
    *flow = parsed;
    return 0;
}
