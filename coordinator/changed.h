/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_CHANGED_H
#define TG_COORDINATOR_CHANGED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/error.h"
#include "base/json.h"
#include "matrix/flow.h"
#include "matrix/spec.h"

/*
 * Which cells a change concerns: the paths that it touches, against the patterns of the policy's
 * flow. A path belongs to the first component that has a pattern for it ('*' stands for slashes,
 * too), and concerns that component's cells. A path of no component concerns all cells if it is on
 * the surface, or if the flow names no surface, and nothing otherwise. So does a folder that is a
 * path by itself (a submodule), if a pattern is of what lies in it. When in doubt more is
 * measured, never less.
 *
 * It is read once, when a run begins, and kept in its plan.
 */

enum { TG_CHANGED_COMPONENTS = 32 };

struct tg_changed {
    size_t path_count;                      /* 0: nobody asked */
    char cells[TG_CHANGED_COMPONENTS][256]; /* patterns: the cells that match any of them */
    size_t cell_count;
    char unknown[256]; /* the first path that concerns all cells, "" if none does */
    char lacks[640];   /* that the plan has no cell of some patterns, or no rule; "" if it has */
};

/*
 * Reads paths, one a line as `git diff --name-only` prints them, quoted ones too. Fails if there is
 * none: an empty list is more likely a mistake than a change of nothing. Fails for a line of
 * another kind, as one with a second path behind a blank: it would seem to be off the surface.
 */
int tg_changed_read(FILE *lines, const struct tg_flow *flow, struct tg_changed *changed,
                    struct tg_error *err);

/* The same of the file that --changed names. */
int tg_changed_read_file(const char *path, const struct tg_flow *flow, struct tg_changed *changed,
                         struct tg_error *err);

/* Whether paths were given, and none concerns any cell. */
bool tg_changed_is_nothing(const struct tg_changed *changed);

/*
 * What a run says that has nothing to measure: "review:gate:perf = skipped (no-surface)" for each
 * gate that the policy's flow writes, to `out`; and a receipt of it to the file `json`, if that is
 * not NULL.
 */
int tg_changed_say_nothing(const struct tg_policy *policy, FILE *out, const char *json,
                           struct tg_error *err);

/*
 * Of what was planned, keeps the tests of cells that are concerned, with what those are compared
 * with; fails if there is none. That a pattern by itself has none is in changed->lacks.
 */
int tg_changed_filter(struct tg_changed *changed, struct tg_spec *spec,
                      const struct tg_words *words, struct tg_error *err);

/* Fails for what a plan lacks: no run of it is begun, and one that was begun cannot pass. */
int tg_changed_check(const struct tg_changed *changed, struct tg_error *err);

/* For the reader of a report: which cells were left, and why. "" if nobody asked. Returns out. */
char *tg_changed_note(const struct tg_changed *changed, char *out, size_t size);

/* As the member "changed" of plan.json; nothing if nobody asked. */
void tg_changed_add(struct tg_json *plan, const struct tg_changed *changed);

/* Reads that member; it may be NULL. */
int tg_changed_parse(const struct tg_json_file *file, const struct tg_json *member,
                     struct tg_changed *changed, struct tg_error *err);

#endif
