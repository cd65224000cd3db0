/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_MATRIX_POLICY_H
#define TG_MATRIX_POLICY_H

#include <stddef.h>

#include "base/error.h"
#include "base/json.h"
#include "base/record.h"
#include "matrix/flow.h"
#include "matrix/words.h"

/*
 * A policy: how much to measure and what is demanded, as data. One file a flow. Every threshold of
 * a gate is a number of a policy; a number that is absent is not gated, it is never 0.
 *
 *   {"tritgate_policy": 1, "flow": "review",
 *    "limits": {"alpha_fail": 0.01, "budget_s": 60},
 *    "rules": [{"rule": "noninferior", "metric": "call_time", "where": "op=product",
 *               "axis": "build", "of": "head", "to": "base", "tolerance": 0.02, "margin": 0.05}]}
 */

/* What two timed blocks may not share, from the most to the least: the limit `exclusive`. */
enum tg_exclusive {
    TG_EXCLUSIVE_NODE,
    TG_EXCLUSIVE_MEMORY,
    TG_EXCLUSIVE_CACHE,
    TG_EXCLUSIVE_CORE,
    TG_EXCLUSIVE_COUNT /* none of them */
};

/* The limits of limits.def. */
struct tg_limits {
#define FIELD(name, KIND, fallback, unit, meaning) TG_MEMBER_##KIND(name)
#include "matrix/limits.def"
#undef FIELD
};

/*
 * One demand: the fields of rule.def, and two patterns of cells (see tg_cell_matches): those it is
 * about, and, in the place of `to`, the rivals that each of them is compared with ("" for none).
 */
struct tg_rule {
#define FIELD(name, KIND, fallback, unit, meaning) TG_MEMBER_##KIND(name)
#include "matrix/rule.def"
#undef FIELD
    char where[256], against[256];
};

extern const struct tg_record_type tg_limits_type;
extern const struct tg_record_type tg_rule_type;

struct tg_policy {
    char flow[TG_TEXT_SIZE];
    struct tg_limits limits;
    struct tg_rule *rules;
    size_t rule_count;
    struct tg_flow process;        /* what the flow does with its decision */
    struct tg_limits *step_limits; /* those of each step of it */
};

/*
 * Reads a policy from JSON. `words` holds the kinds of rule ("rule", with the
 * traits cells=pair|one and reading, see rules.def), the metrics ("metric", with the traits
 * nature=sampled|fixed, sign=positive|any and unit), the fields of hardware and the values of the
 * axes; the policy may use no others. The result is released by tg_policy_release; on failure there
 * is nothing to.
 */
int tg_policy_parse(const struct tg_json_file *file, const struct tg_words *words,
                    struct tg_policy *policy, struct tg_error *err);

/* What the word of the limit `exclusive` means; TG_EXCLUSIVE_COUNT if nothing. */
enum tg_exclusive tg_policy_exclusive(const char *word);

/* The word that a policy has for it, read before anything else is known. */
int tg_policy_read_exclusive(const struct tg_json_file *file, char word[TG_TEXT_SIZE],
                             struct tg_error *err);

/*
 * Makes it the policy of one step ("": the last that writes the gate): the step's limits stand, and
 * rules of other steps are taken out. A policy without steps has only "".
 */
int tg_policy_choose(struct tg_policy *policy, const char *step, struct tg_error *err);

/* What templates and routes call a rule: its name, or its metric if it has none. */
const char *tg_policy_rule_name(const struct tg_rule *rule);

/* How often a gate in which nothing is slower may fail: by a test, or by a family that fails it. */
double tg_policy_alpha(const struct tg_limits *limits);

void tg_policy_release(struct tg_policy *policy);

#endif
