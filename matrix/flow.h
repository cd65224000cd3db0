/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_MATRIX_FLOW_H
#define TG_MATRIX_FLOW_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/json.h"
#include "matrix/words.h"

/*
 * What a flow does with its decision, as data: the part of a policy file beside limits and rules.
 * Who runs it, which gate it writes and what it inherits, its guard, its steps with their routes
 * and the lines that they write, its bounds of retries, fallbacks, reasons of skips, labels, and
 * which paths of a repository belong to which cells. docs/POLICIES.md has every key.
 *
 * It is read with its policy, borrowed by everybody, and released with it. A policy that says
 * nothing of it has a flow with no steps.
 */

struct tg_rule;

struct tg_texts {
    const char **at;
    size_t count;
};

bool tg_texts_have(const struct tg_texts *texts, const char *text);

/* How often the same step may be run again, by what went wrong. */
struct tg_flow_retry {
    int tooling, gpu, statistical;
};

/* Where a decision goes next. The first route of a step that holds is taken. */
struct tg_flow_route {
    const char *condition;   /* its name, "critical" */
    const char *when;        /* what must be so, a word of tg_flow_whens */
    const char *rules;       /* of rules whose name matches, "" for all */
    const char *cells;       /* in cells that match, "" for all */
    const char *retry;       /* only while this bound is not reached: "tooling" ..., or "" */
    const char *to;          /* "NEXT → perf-fixer", one of the flow's targets */
    struct tg_texts context; /* what its receiver is given: words of tg_flow_contexts */
    struct tg_texts advice;  /* and told */
};

/* Lines that a step writes, under a name: templates. */
struct tg_flow_text {
    const char *name;
    struct tg_texts lines;
};

struct tg_flow_step {
    const char *name, *agent;
    bool writes; /* the flow's gate */
    struct tg_flow_retry retry;
    struct tg_flow_route *routes;
    size_t route_count;
    struct tg_flow_text *texts;
    size_t text_count;
};

/* One way of finding out, of several: taken is the first whose cells have an answer. */
struct tg_flow_level {
    const char *level;  /* primary, alt1, alt2 or skip */
    const char *does;   /* in words */
    const char *method; /* its name in evidence lines */
    const char *cells;  /* "" if it is not one that cells can tell */
    const char *same;   /* for each cell: the axes, and labels of kernels, that must be the same */
};

struct tg_flow_chain {
    const char *name;
    bool is_for_each; /* told for each cell of its first level that was not measured (fallback.h) */
    struct tg_flow_level *levels;
    size_t level_count;
};

struct tg_flow_skip {
    const char *reason, *means;
    struct tg_texts aliases; /* the same, as others write it */
    struct tg_texts cells;   /* cells that are skipped for it */
};

/* Which cells a changed path concerns. */
struct tg_flow_component {
    struct tg_texts paths;
    const char *cells;
};

struct tg_flow {
    struct tg_json_file source; /* owns every text */
    const char *agent;
    const char *mode; /* record, compare or slo */
    struct tg_texts writes, inherits;
    const char *conclusions[4]; /* of pass, fail, skipped and inconclusive */
    const char *colon, *unit;   /* dialect: what follows a key, the word for tokens a second */
    struct tg_texts labels, targets, surface;
    struct tg_flow_step *steps;
    size_t step_count, step; /* step: the one that is asked for */
    struct tg_flow_chain *chains;
    size_t chain_count;
    struct tg_flow_skip *skips;
    size_t skip_count;
    struct tg_flow_component *components;
    size_t component_count;
};

/* The words that "when" and "context" may say, each list ended by NULL. */
extern const char *const tg_flow_whens[];
extern const char *const tg_flow_contexts[];

/* Whether a key of a policy belongs to the flow. */
bool tg_flow_has_key(const char *key);

/*
 * Reads the flow of a policy whose `count` rules were read before: templates and routes may name
 * no others. The result is released by tg_flow_release; on failure there is nothing to.
 */
int tg_flow_parse(const struct tg_json_file *file, const struct tg_rule *rules, size_t count,
                  const struct tg_words *words, struct tg_flow *flow, struct tg_error *err);

/* The place of the step of that name; "" is the last that writes the gate. Fails for no such. */
int tg_flow_find_step(const struct tg_flow *flow, const char *name, size_t *step,
                      struct tg_error *err);

/* The lines of the step that is asked for under a name; none if it writes none. */
struct tg_texts tg_flow_lines(const struct tg_flow *flow, const char *name);

/* The entry whose reason or alias this is, or NULL. */
const struct tg_flow_skip *tg_flow_skip_find(const struct tg_flow *flow, const char *reason);

void tg_flow_release(struct tg_flow *flow);

#endif
