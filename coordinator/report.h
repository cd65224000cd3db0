/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_REPORT_H
#define TG_COORDINATOR_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/error.h"
#include "base/json.h"
#include "coordinator/gate.h"
#include "coordinator/plan.h"

/*
 * The decision, written for a reader. Numbers come from the decision and from nowhere else; no
 * clock, host, path or locale enters a report, so that the same evidence gives the same bytes,
 * wherever they go but to a terminal (terminal.h).
 */

struct tg_report {
    const char *name;
    const char *file; /* in the run's directory, "" if it is not written there */
    const char *meaning;
    void (*write)(FILE *out, const struct tg_plan *plan, const struct tg_decision *decision);
};

/* The row of reports.def of that name, or NULL. */
const struct tg_report *tg_report_find(const char *name);

/* The rows in order; tg_report_at(i) for i < tg_report_count(). */
size_t tg_report_count(void);
const struct tg_report *tg_report_at(size_t i);

int tg_report_write(const struct tg_report *report, const char *path, const struct tg_plan *plan,
                    const struct tg_decision *decision, struct tg_error *err);

/* Writes every report that has a file into a directory. */
int tg_report_write_all(const char *directory, const struct tg_plan *plan,
                        const struct tg_decision *decision, struct tg_error *err);

#define REPORT(name, file, meaning)                                                                \
    void tg_report_##name(FILE *out, const struct tg_plan *plan,                                   \
                          const struct tg_decision *decision);
#include "coordinator/reports.def"
#undef REPORT

/* What a reader looks for, in the order in which reports have it. */
enum tg_report_part {
    TG_REPORT_FAILED,
    TG_REPORT_OPEN,
    TG_REPORT_ATTENTION,
    TG_REPORT_PASSED,
    TG_REPORT_SKIPPED,
    TG_REPORT_SHADOWS,
    TG_REPORT_PARTS
};

enum tg_report_part tg_report_part(const struct tg_plan *plan, const struct tg_decision *decision,
                                   size_t test);

/* How reports say the parts of a verdict, each into `out` of `size` bytes, which they return. */

enum { TG_REPORT_TEXT_SIZE = 700 };

/* "i2s_avx2 vs i2s_scalar, bitnet-2b, attn_q, batch=8"; the probe where no axis is set: "build" */
char *tg_report_subject(const struct tg_plan *plan, size_t test, char *out, size_t size);

/*
 * The same in two parts, for tables: what tests of a rule have in common, "call_time, head vs base:
 * not 5 % slower", and the rest, "i2s_avx2, attn_q, batch=8". The model that all tests of a run
 * share, "" if they do not, is in neither.
 */
char *tg_report_heading(const struct tg_plan *plan, size_t test, char *out, size_t size);
char *tg_report_brief(const struct tg_plan *plan, size_t test, char *out, size_t size);
const char *tg_report_model(const struct tg_plan *plan);

/* Adds ", value" to `out` for every axis that the cell sets, but for the probe and two others. */
void tg_report_add_axes(const struct tg_cell *cell, const char *but, const char *nor, char *out,
                        size_t size);

/* Adds " on CLASS" to `out` where the run has several classes of hardware. */
void tg_report_add_hardware(const struct tg_plan *plan, const char *hardware, char *out,
                            size_t size);

/* "at least 1.5x", "not 5 % slower", "kernel_accuracy at least 99.8 %" */
char *tg_report_demand(const struct tg_rule *rule, char *out, size_t size);

/* The same with the metric where that lacks it, which other words do not name: "call_time: ..." */
char *tg_report_demanded(const struct tg_rule *rule, char *out, size_t size);

/* "25.3x [25.1, 25.5]", "+0.12 % [-0.40, +0.63]", "99.9956 %" */
char *tg_report_measured(const struct tg_rule *rule, const struct tg_verdict *verdict, char *out,
                         size_t size);

/* A number above 0 with two digits that is at least that large, or, not `up`, at most. */
double tg_report_round(double value, bool up);

/* "33.1 us (49.5 GB/s, 45 % of the limit) vs 841 us", or "" */
char *tg_report_absolute(const struct tg_rule *rule, const struct tg_verdict *verdict, char *out,
                         size_t size);

/*
 * An effect of D as the rule's numbers are read: a slow-down as a ratio less 1, a factor or value
 * that would fail, a slope.
 */
double tg_report_effect(const struct tg_rule *rule, double theta);

/*
 * What is found with the limit `power`: "5.4 % slower", "4 % less throughput", "less than 1.42x",
 * or "".
 */
char *tg_report_detectable(const struct tg_rule *rule, const struct tg_verdict *verdict, char *out,
                           size_t size);

/*
 * What would decide an open test, in four cases of five: "4 to 23 rounds more (1.2 to 6.7 s) would
 * decide", "at least 40 rounds more (12 s) would be needed" where it may also be never, or "".
 * Seconds are left out where nobody knows them.
 */
char *tg_report_needed(const struct tg_verdict *verdict, char *out, size_t size);

/* "pass", "unchanged", "fail", "attention", "inconclusive", "skipped", "shadow: unchanged" */
char *tg_report_result(const struct tg_plan *plan, size_t test, const struct tg_verdict *verdict,
                       char *out, size_t size);

/* "not slower", "slower, minor", "killed: 2 times ..."; the word where the reason lacks it */
char *tg_report_why(const struct tg_verdict *verdict, char *out, size_t size);

/* "family cpu: 60 tests, 14 rounds: slower by +0.02 % [-0.05, +0.09]" */
char *tg_report_family(const struct tg_family_verdict *verdict, char *out, size_t size);

/* "false alarms so far: 0 of 300 ...", or that nobody counted them */
const char *tg_report_alarms(const struct tg_plan *plan);

/* "21 required tests: 20 passed, 1 failed, 2 skipped beside them" */
char *tg_report_summary(const struct tg_decision *decision, char *out, size_t size);

/* Text in Markdown: what would end a cell of a table or begin markup is escaped. */
void tg_report_put(FILE *out, const char *text);

/* Of a Markdown report: stages of whole models, and kernels beside them. Nothing without models. */
void tg_report_models(FILE *out, const struct tg_plan *plan, const struct tg_decision *decision);

/*
 * What the flow adds to reports; nothing where the policy has no steps.
 *
 *   text  writes the lines of the step's text of that name; returns how many
 *   next  the section of a Markdown report: the route, and what its receiver is given
 *   add   the same and the conclusion into a receipt
 */
size_t tg_report_flow_text(FILE *out, const struct tg_plan *plan,
                           const struct tg_decision *decision, const char *name);
void tg_report_flow_next(FILE *out, const struct tg_plan *plan, const struct tg_decision *decision);
void tg_report_flow_add(struct tg_json *root, const struct tg_plan *plan,
                        const struct tg_decision *decision);

#endif
