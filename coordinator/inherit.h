/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_INHERIT_H
#define TG_COORDINATOR_INHERIT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/json.h"
#include "matrix/policy.h"

/*
 * What a run takes over from runs of earlier flows: the policy's flow names gates in `inherits`,
 * and each must be found in a run that is given with --inherit. What such a run decided is decided
 * again from its files, as it will always be, and is kept in the plan of this run: gate, answer and
 * the digest of its evidence. A run also hands on what it inherited itself.
 *
 * It is taken once, when a run begins, and told by every report.
 */

enum { TG_INHERIT_MOST = 8 };

struct tg_inherited {
    char flow[TG_TEXT_SIZE], gate[TG_TEXT_SIZE];
    char answer[TG_TEXT_SIZE]; /* "pass", "fail" or "inconclusive" */
    char evidence[65];         /* SHA-256 of its rows' digests */
    char policy[65], head[65]; /* SHA-256 of its policy, and of the library that it judged */
    char date[TG_TEXT_SIZE];   /* of its last row */
    char part[200];            /* what it left out, or let pass as accepted; "" for nothing */
    char matrix[65];           /* SHA-256 of its matrix, "" if that is not known */
    char model[65];            /* of the file of --model, "" if no cell of it was of that */
};

struct tg_inherit {
    struct tg_inherited gates[TG_INHERIT_MOST];
    size_t count;
};

struct tg_plan;

/*
 * Takes from the run in a directory the gates that the policy's flow inherits. Refused are a run
 * whose files were changed, one that was not ended in order, one of this flow itself, one that has
 * no gate that is inherited, and a second run for the same gate. One that failed is taken: it is
 * what was found.
 */
int tg_inherit_take(const char *directory, const struct tg_policy *policy,
                    struct tg_inherit *inherit, struct tg_error *err);

/* What was inherited for that gate, or NULL. */
const struct tg_inherited *tg_inherit_find(const struct tg_inherit *inherit, const char *gate);

/*
 * For the reader of a report, of the inherited gate i of the plan's flow: what was found, and for
 * what else it was decided than this run is, or that nothing was found. False if there is no gate
 * i. Sets *may_pass to false where it forbids a pass: a gate that was not given, or did not pass.
 */
bool tg_inherit_say(const struct tg_plan *plan, size_t i, char *out, size_t size, bool *may_pass);

/* As the member "inherited" of plan.json and of a receipt; nothing if there is nothing. */
void tg_inherit_add(struct tg_json *parent, const struct tg_inherit *inherit);

/* Reads that member; it may be NULL. */
int tg_inherit_parse(const struct tg_json_file *file, const struct tg_json *member,
                     struct tg_inherit *inherit, struct tg_error *err);

#endif
