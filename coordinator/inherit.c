/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/inherit.h"

#include <stdio.h>
#include <string.h>

#include "coordinator/candidate.h"
#include "coordinator/gate.h"
#include "coordinator/join.h"

/* The members of an inherited gate in JSON, in their order. */
static const struct {
    const char *key;
    size_t offset, size;
} members[] = {
#define MEMBER(name)                                                                               \
    {                                                                                              \
#name, offsetof(struct tg_inherited, name), sizeof((struct tg_inherited *)0)->name         \
    }
    MEMBER(flow), MEMBER(gate), MEMBER(answer), MEMBER(evidence), MEMBER(policy),
    MEMBER(head), MEMBER(date), MEMBER(part),   MEMBER(matrix),   MEMBER(model),
#undef MEMBER
};

enum { MEMBERS = sizeof members / sizeof *members };

const struct tg_inherited *tg_inherit_find(const struct tg_inherit *inherit, const char *gate)
{
    for (size_t i = 0; i < inherit->count; i++)
        if (strcmp(inherit->gates[i].gate, gate) == 0) return &inherit->gates[i];
    return NULL;
}

/* Adds one if the flow inherits its gate. */
static int add(const struct tg_policy *policy, const struct tg_inherited *found,
               struct tg_inherit *inherit, struct tg_error *err)
{
    if (!tg_texts_have(&policy->process.inherits, found->gate)) return 0;
    if (tg_inherit_find(inherit, found->gate))
        return tg_fail(err, "gate '%s' is inherited twice", found->gate);
    if (inherit->count == TG_INHERIT_MOST)
        return tg_fail(err, "more than %d gates are inherited", TG_INHERIT_MOST);
    inherit->gates[inherit->count++] = *found;
    return 0;
}

/*
 * What a run that passed has not looked at: cells that were left out, or another build than head;
 * and how many losses it let pass since they were accepted.
 */
static void tell_part(const struct tg_plan *plan, const struct tg_decision *d, char *out,
                      size_t size)
{
    size_t accepted = 0;
    const struct tg_capability *first = &plan->workers[0];
    char changed[200];
    bool is_same = plan->has_base && strcmp(first->head.digest, "unknown") != 0 &&
                   strcmp(first->head.digest, first->base.digest) == 0;
    tg_changed_note(&plan->asked.changed, changed, sizeof changed);
    bool is_changed = *changed && !*plan->asked.changed.unknown;
    for (size_t i = 0; i < d->verdict_count; i++)
        accepted += d->verdicts[i].accepted && tg_gate_is_required(plan, i);
    int used = snprintf(out, size, "%s", is_same ? "A/A" : "");
    if (accepted)
        used += snprintf(out + used, size - (size_t)used, "%s%zu accepted loss%s", used ? ", " : "",
                         accepted, accepted == 1 ? "" : "es");
    if (is_changed && used >= 0 && (size_t)used < size)
        used += snprintf(out + used, size - (size_t)used, "%s%s", used ? ", " : "", changed);
    if (*plan->asked.filter && used >= 0 && (size_t)used < size)
        snprintf(out + used, size - (size_t)used, "%sonly cells that match '%.80s'",
                 used ? ", " : "", plan->asked.filter);
}

/* The gates of a run that was decided: its own, if its step writes them, then what it inherited. */
static int take_all(const struct tg_plan *plan, const struct tg_decision *d,
                    const struct tg_policy *policy, struct tg_inherit *inherit,
                    struct tg_error *err)
{
    const struct tg_flow *flow = &plan->policy.process;
    const struct tg_texts *writes = &flow->writes;
    struct tg_inherit taken = *inherit;
    bool is_its_gate = flow->step_count == 0 || flow->steps[flow->step].writes;
    for (size_t i = 0; i < writes->count && is_its_gate; i++) {
        struct tg_inherited own = {{0}};
        snprintf(own.flow, sizeof own.flow, "%s", plan->policy.flow);
        snprintf(own.gate, sizeof own.gate, "%s", writes->at[i]);
        snprintf(own.answer, sizeof own.answer, "%s", tg_gate_word(d->answer));
        snprintf(own.evidence, sizeof own.evidence, "%s", d->evidence);
        snprintf(own.policy, sizeof own.policy, "%s", plan->policy_digest);
        snprintf(own.head, sizeof own.head, "%s", plan->workers[0].head.digest);
        snprintf(own.matrix, sizeof own.matrix, "%s", plan->matrix_digest);
        snprintf(own.model, sizeof own.model, "%s", tg_candidate_model(plan));
        snprintf(own.date, sizeof own.date, "%s", d->date);
        tell_part(plan, d, own.part, sizeof own.part);
        if (add(policy, &own, &taken, err) < 0) return -1;
    }
    for (size_t i = 0; i < plan->asked.inherit.count; i++) {
        const struct tg_inherited *handed_on = &plan->asked.inherit.gates[i];
        if (!tg_inherit_find(&taken, handed_on->gate) && add(policy, handed_on, &taken, err) < 0)
            return -1;
    }
    if (taken.count == inherit->count && !is_its_gate)
        return tg_fail(err, "step '%s' of flow '%s' does not write its gate",
                       flow->steps[flow->step].name, plan->policy.flow);
    if (taken.count == inherit->count)
        return tg_fail(err, "flow '%s' has no gate that flow '%s' inherits", plan->policy.flow,
                       policy->flow);
    *inherit = taken;
    return 0;
}

int tg_inherit_take(const char *directory, const struct tg_policy *policy,
                    struct tg_inherit *inherit, struct tg_error *err)
{
    struct tg_run run;
    struct tg_plan plan;
    struct tg_decision decision;
    if (tg_join_open(&directory, 1, NULL, &run, &plan, err) < 0) return tg_fail_in(err, "inherit");
    int rc = 0;
    if (strcmp(plan.policy.flow, policy->flow) == 0)
        rc = tg_fail(err, "it is of flow '%s' itself", policy->flow);
    else if (!run.is_sealed)
        rc = tg_fail(err, "it was not ended in order; run --resume ends it");
    if (rc == 0) rc = tg_gate_decide(&plan, &run, &decision, err);
    if (rc == 0) {
        rc = take_all(&plan, &decision, policy, inherit, err);
        tg_gate_release(&decision);
    }
    tg_plan_release(&plan);
    tg_store_release(&run);
    return rc < 0 ? tg_fail_in(err, "inherit: run '%s'", directory) : 0;
}

/* " for another build than head, another matrix": what else than this run's was decided on. */
static char *name_others(const struct tg_plan *plan, const struct tg_inherited *found, char *out,
                         size_t size)
{
    const struct {
        const char *what, *was, *is;
    } parts[] = {{"another build than head", found->head, plan->workers[0].head.digest},
                 {"another matrix", found->matrix, plan->matrix_digest},
                 {"another model file", found->model, tg_candidate_model(plan)}};
    out[0] = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        size_t used = strlen(out);
        bool is_known = i == 0 || (*parts[i].was && *parts[i].is);
        if (is_known && strcmp(parts[i].was, parts[i].is) != 0)
            snprintf(out + used, size - used, "%s%s", used ? ", " : " for ", parts[i].what);
    }
    return out;
}

bool tg_inherit_say(const struct tg_plan *plan, size_t i, char *out, size_t size, bool *may_pass)
{
    const struct tg_texts *wanted = &plan->policy.process.inherits;
    if (i >= wanted->count) return false;
    const struct tg_inherited *found = tg_inherit_find(&plan->asked.inherit, wanted->at[i]);
    if (!found) {
        snprintf(out, size, "cannot pass: flow '%s' inherits '%s', and none was given",
                 plan->policy.flow, wanted->at[i]);
        *may_pass = false;
        return true;
    }
    bool passed = strcmp(found->answer, tg_gate_word(TG_PASS)) == 0;
    char others[100];
    snprintf(out, size, "%s %s:gate:%s = %s%s%s%s%s, of %s, evidence %.16s",
             passed ? "inherits" : "cannot pass: it inherits", found->flow, found->gate,
             found->answer, *found->part ? " (" : "", found->part, *found->part ? ")" : "",
             name_others(plan, found, others, sizeof others), found->date, found->evidence);
    if (!passed) *may_pass = false;
    return true;
}

void tg_inherit_add(struct tg_json *parent, const struct tg_inherit *inherit)
{
    if (inherit->count == 0) return;
    struct tg_json *list = tg_json_array(parent, "inherited");
    for (size_t i = 0; i < inherit->count; i++) {
        struct tg_json *gate = tg_json_object(list, NULL);
        for (size_t m = 0; m < MEMBERS; m++) {
            const char *text = (const char *)&inherit->gates[i] + members[m].offset;
            bool is_optional = members[m].offset >= offsetof(struct tg_inherited, part);
            if (*text || !is_optional) tg_json_add_text(gate, members[m].key, text);
        }
    }
}

int tg_inherit_parse(const struct tg_json_file *file, const struct tg_json *member,
                     struct tg_inherit *inherit, struct tg_error *err)
{
    const char *keys[MEMBERS + 1] = {NULL};
    struct tg_inherit read = {0};
    for (size_t m = 0; m < MEMBERS; m++) keys[m] = members[m].key;
    if (tg_json_count(member) > TG_INHERIT_MOST)
        return tg_json_fail(file, member, err, "not what --inherit leaves");
    for (; read.count < tg_json_count(member); read.count++) {
        const struct tg_json *gate = tg_json_at(member, read.count);
        if (tg_json_only(file, gate, keys, err) < 0) return -1;
        for (size_t m = 0; m < MEMBERS; m++)
            snprintf((char *)&read.gates[read.count] + members[m].offset, members[m].size, "%s",
                     tg_json_text(tg_json_get(gate, members[m].key)));
    }
    *inherit = read;
    return 0;
}
