/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_TESTS_CONDUCTED_H
#define TG_TESTS_CONDUCTED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/worker_cell.h"
#include "worker/conduct.h"

/* Rounds for tests: short ones, with deadlines that a loaded machine does not miss. */

static inline struct tg_bench make_bench(void)
{
    struct tg_bench bench = {.rank = 1};
    snprintf(bench.head, sizeof bench.head, "%s", kernel_library());
    tg_record_init(&tg_limits_type, &bench.limits);
    bench.limits.round_s = 0.02;
    bench.limits.sample_s = 1e-5;
    bench.limits.quads_max = 20;
    bench.limits.warmup_min_s = 0.001;
    bench.limits.warmup_max_s = 0.01;
    bench.limits.deadline_s = 60;
    bench.limits.stream_bytes = 1 << 20;
    snprintf(bench.place.domain, sizeof bench.place.domain, "numa0");
    bench.place.core = -1;
    bench.place.unshared = 1;
    snprintf(bench.host, sizeof bench.host, "node-a");
    return bench;
}

static inline void add_cell(struct tg_block *block, const char *text)
{
    struct tg_error err;
    char whole[TG_CELL_TEXT_SIZE];
    struct tg_cell *cell = &block->cells[block->cell_count++];
    const char *probe = strncmp(text, "probe=", 6) == 0 ? "" : "probe=kernel ";
    snprintf(whole, sizeof whole, "%s%s layer=64x256 batch=3", probe, text);
    if (tg_cell_parse(whole, cell, &err) < 0) fail_msg("%s", err.text);
    size_t used = strlen(block->text);
    snprintf(block->text + used, sizeof block->text - used, "%s%s", used ? " | " : "",
             tg_cell_text(cell, whole));
}

/* A block of one cell or, if `second` is not NULL, of two. */
static inline struct tg_order make_order(const char *first, const char *second)
{
    struct tg_order order = {.seed = 5, .is_complete = true};
    order.block.is_fixed = order.block.is_timed = true;
    add_cell(&order.block, first);
    if (second) add_cell(&order.block, second);
    return order;
}

/* Conducts a round, which must leave no process and no descriptor behind. */
static inline void conduct(const struct tg_bench *bench, const struct tg_order *order,
                           struct tg_measurement m[2])
{
    struct tg_error err;
    size_t before = open_descriptors();
    if (tg_conduct(bench, order, m, &err) < 0) fail_msg("%s", err.text);
    assert_false(has_children());
    assert_int_equal(open_descriptors(), before);
    /* Whatever was seen can be written down. */
    for (size_t i = 0; i < order->block.cell_count; i++) {
        struct tg_measurement again;
        char *line = tg_measurement_to_json(&m[i]);
        if (tg_measurement_from_json(line, &again, &err) < 0) fail_msg("%s", err.text);
        tg_measurement_free(&again);
        free(line);
    }
}

static inline void free_both(struct tg_measurement m[2])
{
    tg_measurement_free(&m[0]);
    tg_measurement_free(&m[1]);
}

/* Both sides together took every turn of so many quads, ABBA or BAAB each, one after the other. */
static inline void assert_turns_are_quads(const struct tg_measurement m[2], int64_t quads)
{
    enum { MOST = 400 };
    int side_of[MOST];
    int64_t begun[MOST];
    size_t turns = 4 * (size_t)quads;
    assert_in_range(turns, 20, MOST);
    for (size_t i = 0; i < turns; i++) side_of[i] = -1;
    for (int side = 0; side < 2; side++) {
        const struct tg_series *s = tg_measurement_series(&m[side], "call_time");
        assert_non_null(s);
        assert_int_equal(s->count, turns / 2);
        for (size_t i = 0; i < s->count; i++) {
            assert_in_range(s->turns[i], 0, turns - 1);
            assert_int_equal(side_of[s->turns[i]], -1);
            assert_true(s->samples[i] > 0);
            side_of[s->turns[i]] = side;
            begun[s->turns[i]] = s->begun[i];
        }
    }
    for (size_t i = 0; i < turns; i += 4) {
        assert_int_equal(side_of[i], side_of[i + 3]);
        assert_int_equal(side_of[i + 1], side_of[i + 2]);
        assert_int_not_equal(side_of[i], side_of[i + 1]);
    }
    for (size_t i = 1; i < turns; i++) assert_true(begun[i] > begun[i - 1]);
}

#endif
