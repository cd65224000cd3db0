/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_MATRIX_SPEC_H
#define TG_MATRIX_SPEC_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/json.h"
#include "matrix/cell.h"
#include "matrix/policy.h"

/*
 * What is asked: a matrix file gives the cells; a policy's rules over those cells give the tests;
 * the cells that a test compares are a block, measured together.
 *
 *   {"tritgate_matrix": 1, "policy": "policy/review.json",
 *    "axes": {"kernel": ["i2s_*"], "model": ["bitnet-2b"], "layer": ["attn_q"], "batch": [1, 8]},
 *    "exclude": ["op=unpack batch=8"]}
 *
 * "axes" may be a list of such objects: the matrix is their union. A pattern stands for the words
 * of its axis that match it. One that matches none stands for itself: a cell that nobody can run,
 * and that every list names as such.
 */

/* One rule applied to one cell, or to a pair of them: it gets one verdict. */
struct tg_test {
    size_t rule; /* its place in the policy */
    size_t block;
    struct tg_cell of, to;
    bool has_to;
    size_t hardware; /* place of its class among those of tg_spec_plan */
    bool is_shadow;  /* head against its copy, for want of a base: reported, never counted */
};

#define TG_BLOCK_TEXT_SIZE (2 * TG_CELL_TEXT_SIZE + 8)

/* The one cell, or the two, that are measured together. */
struct tg_block {
    struct tg_cell cells[2];
    size_t cell_count;
    bool is_fixed;   /* a test of it needs a metric that is the same in every round */
    bool is_timed;   /* a test of it needs samples of time */
    size_t hardware; /* class of the machines that measure it */
    size_t shard;    /* part of the run that measures it, from 1; 0 where a run has no parts */
    char text[TG_BLOCK_TEXT_SIZE]; /* its identity: the cells' texts, with " | " between */
};

struct tg_spec {
    struct tg_cell *cells;
    size_t cell_count;
    struct tg_test *tests;
    size_t test_count;
    struct tg_block *blocks;
    size_t block_count;
};

/*
 * The cells of a block out of its text. Returns how many, or -1 where a cell cannot be read.
 */
int tg_block_parse(const char *text, struct tg_cell cells[2], struct tg_error *err);

/* Reads the cells of a matrix; words as in tg_policy_parse. */
int tg_spec_parse(const struct tg_json_file *file, const struct tg_words *words,
                  struct tg_spec *spec, struct tg_error *err);

/* The path of the policy that a matrix names, made relative to its own path; "" if it names none.
 */
void tg_spec_policy_path(const struct tg_json_file *file, const char *path, char *out, size_t size);

/* Keeps the cells that match; fails if none does. */
int tg_spec_filter(struct tg_spec *spec, const char *where, const struct tg_words *words,
                   struct tg_error *err);

/*
 * Makes tests and blocks from the rules, for each of `classes` (at least 1) of hardware apart: what
 * was measured on unlike machines is never compared. A rule with rivals (`against`) gives a test
 * for each cell of the matrix that matches, and is as the judged one but for the rule's axis and
 * the axes that the pattern names: to be better than each is to be better than the best. Without a
 * base, and of kernels that are words of the axis TG_SPEC_NEW, which base has not, a rule from head
 * to base compares head with its copy, as a shadow. Fails if no rule selects any cell.
 */
#define TG_SPEC_NEW "new"

int tg_spec_plan(struct tg_spec *spec, const struct tg_policy *policy, const struct tg_words *words,
                 bool has_base, size_t classes, struct tg_error *err);

/*
 * Of what was planned, keeps the tests of which a cell matches any of `count` patterns, with both
 * their cells, and the cells that match.
 */
int tg_spec_keep(struct tg_spec *spec, const char *const patterns[], size_t count,
                 const struct tg_words *words, struct tg_error *err);

/*
 * Adds the block of a test's cells, on its hardware, if it is not there; *block is its place. What
 * is measured of it is the caller's to say.
 */
int tg_spec_add_block(struct tg_spec *spec, const struct tg_test *test, size_t *block,
                      struct tg_error *err);

/* Whether a cell of a block is of this model. */
bool tg_spec_has_model(const struct tg_spec *spec, const char *model);

void tg_spec_release(struct tg_spec *spec);

#endif
